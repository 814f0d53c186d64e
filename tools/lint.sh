#!/usr/bin/env bash
# Analysis beyond what `make test` does: formatting, ruff, headers that stand alone, clang-tidy.
#
#   tools/lint.sh [FILE.cc...]      without files: every source of the release build
set -euo pipefail
cd "$(dirname "$0")/.."

build=build/release
jobs="${JOBS:-$(nproc)}"
ruff=.venv/bin/ruff
database="$build/compile_commands.json"
[ -e "$database" ] || { echo "lint: $database is missing: make build"; exit 1; }
for tool in clang-tidy-14 "$ruff"; do
  command -v "$tool" >/dev/null || { echo "lint: $tool is missing: make setup-lint"; exit 1; }
done

mapfile -t sources < <(
  if [ $# -gt 0 ]; then printf '%s\n' "$@"; else git ls-files '*.cc'; fi)
failed=()

# run NAME COMMAND...: goes on after a failure, so that one run shows everything.
run() {
  local name="$1"
  shift
  echo "lint: $name"
  "$@" || failed+=("$name")
}

# Each header as a source of its own: what it needs it must include.
headers_alone() {
  git ls-files 'base/*.h' 'io/*.h' 'kernels/*.h' 'engine/*.h' |
    xargs -P "$jobs" -I{} g++ -std=c++20 -fsyntax-only -Wall -Wextra -I. -include {} -x c++ /dev/null
}

clang_tidy() {
  printf '%s\n' "${sources[@]}" |
    xargs -P "$jobs" -n 1 clang-tidy-14 -p "$build" --quiet 2> >(grep -v 'warnings generated' >&2)
}

run format tools/format.sh --check
run ruff "$ruff" check -q .
run "headers alone" headers_alone
run clang-tidy clang_tidy
if [ ${#failed[@]} -gt 0 ]; then
  printf 'lint: failed: %s\n' "${failed[*]}"
  exit 1
fi
echo "lint: no finding in ${#sources[@]} sources"
