#!/usr/bin/env bash
# Formats the C++ and Python sources, or with --check names those that are not formatted.
#
#   tools/format.sh [--check] [FILE...]      without files: everything that git tracks
set -euo pipefail
cd "$(dirname "$0")/.."

ruff=.venv/bin/ruff
clang_format=clang-format-14
for tool in "$ruff" "$clang_format"; do
  command -v "$tool" >/dev/null || { echo "format: $tool is missing: make setup-lint"; exit 1; }
done

check=()
if [ "${1:-}" = --check ]; then check=(yes) && shift; fi

# files SUFFIX...: those of the given ones, else of the tracked ones, that end so.
given=("$@")
files() {
  local names suffix
  names="$(if [ ${#given[@]} -gt 0 ]; then printf '%s\n' "${given[@]}"; else git ls-files; fi)"
  for suffix in "$@"; do grep "\\.$suffix\$" <<< "$names" || true; done
}

mapfile -t cpp < <(files cc h)
mapfile -t python < <(files py)
status=0
if [ ${#cpp[@]} -gt 0 ]; then
  "$clang_format" ${check:+--dry-run -Werror} ${check:---i} "${cpp[@]}" || status=1
fi
if [ ${#python[@]} -gt 0 ]; then
  "$ruff" format -q ${check:+--diff} "${python[@]}" || status=1
fi
exit $status
