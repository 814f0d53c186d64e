#!/usr/bin/env bash
# Formats the C++ and Python sources, or with --check shows those that are not formatted.
#
#   tools/format.sh [--check] [FILE...]      without files: everything that git tracks
set -euo pipefail
cd "$(dirname "$0")/.."

ruff=.venv/bin/ruff
clang_format=clang-format-14
for tool in "$ruff" "$clang_format"; do
  command -v "$tool" >/dev/null || { echo "format: $tool is missing: make setup-lint"; exit 1; }
done

cpp_mode=(-i)
imports_mode=(--fix)
python_mode=()
if [ "${1:-}" = --check ]; then
  shift
  cpp_mode=(--dry-run -Werror)
  imports_mode=(--diff)
  python_mode=(--diff)
fi

# files SUFFIX...: those of the given ones, else of the tracked ones, that end so.
given=("$@")
files() {
  local names suffix
  names="$(if [ ${#given[@]} -gt 0 ]; then printf '%s\n' "${given[@]}"; else git ls-files; fi)"
  for suffix in "$@"; do grep "\\.$suffix\$" <<< "$names" || true; done
}

mapfile -t cpp < <(files cc h cu)
mapfile -t python < <(files py)
status=0
if [ ${#cpp[@]} -gt 0 ]; then
  "$clang_format" "${cpp_mode[@]}" "${cpp[@]}" || status=1
fi
if [ ${#python[@]} -gt 0 ]; then
  "$ruff" check -q --select I "${imports_mode[@]}" "${python[@]}" || status=1
  "$ruff" format -q "${python_mode[@]}" "${python[@]}" || status=1
fi
exit $status
