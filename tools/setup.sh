#!/usr/bin/env bash
# Installs what building and testing need: Debian packages, then a .venv with torch. Re-entrant:
# what is there already is left alone, an interrupted run is taken up again, and a second run needs
# no network.
#
#   tools/setup.sh            what building and testing need
#   tools/setup.sh lint       the same, and what `make lint` needs
#   tools/setup.sh fuzz       the same, and what `make fuzz` needs
#   tools/setup.sh bench      the same, and the contenders of `make bench` that are optional
set -euo pipefail
cd "$(dirname "$0")/.."

TORCH_PINNED="torch==2.11.0"
venv_python=.venv/bin/python

kind="${1:-build}"
stamp=".venv/setup-$kind.stamp"
package_lists=(tools/packages.txt)
requirements=(tools/requirements.txt)
if [ "$kind" = lint ]; then
  package_lists+=(tools/packages-lint.txt)
  requirements+=(tools/requirements-lint.txt)
elif [ "$kind" = fuzz ]; then
  package_lists+=(tools/packages-fuzz.txt)
fi

say() { printf 'setup: %s\n' "$*"; }

fail() {
  say "$*" >&2
  exit 1
}

# Changes with this script, the lists and the place of the checkout, which a venv's scripts hold.
fingerprint() {
  { cat tools/setup.sh tools/packages*.txt tools/requirements*.txt && pwd; } | sha256sum
}

as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  else
    command -v sudo >/dev/null || fail "this needs root and there is no sudo: as root, run $*"
    sudo "$@"
  fi
}

missing_packages() {
  local package
  sort -u "${package_lists[@]}" | while read -r package; do
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null)" = installed ] ||
      printf '%s ' "$package"
  done
}

install_packages() {
  local missing
  if ! command -v apt-get >/dev/null; then
    say "no apt-get: what ${package_lists[*]} name must be there (README.md, Other systems)"
    return
  fi
  missing="$(missing_packages)"
  [ -n "$missing" ] || return 0
  say "installing Debian packages: $missing"
  as_root apt-get update -qq
  # shellcheck disable=SC2086  # one word per package
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
    $missing >/dev/null
}

is_new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; }

has_torch() {
  "$1" - <<'PYTHON' >/dev/null 2>&1
import torch
assert tuple(int(part) for part in torch.__version__.split(".")[:2]) >= (2, 6)
PYTHON
}

# The active Python; where that is too old, the newest that is named by its version.
find_python() {
  local candidate
  for candidate in python3 python3.13 python3.12 python3.11 python3.10; do
    if is_new_enough "$candidate"; then
      command -v "$candidate"
      return
    fi
  done
  fail "Python 3.10 or newer is needed; python3 is $(python3 --version 2>&1 || true)"
}

# A venv that works is kept; half-made, moved or of a Python that is gone, it is made anew.
make_venv() {
  local python
  if is_usable_venv; then return; fi
  python="$(find_python)"
  rm -rf .venv
  if has_torch "$python"; then
    say "making .venv over $python, which has torch"
    "$python" -m venv --system-site-packages .venv
    # Where the active Python is in a venv itself, "system" means the Python below that one.
    has_torch "$venv_python" || "$python" -c '
import pathlib, torch
print(pathlib.Path(torch.__file__).parents[1])' > "$(site_packages)/active-python.pth"
  else
    say "making .venv with $python"
    "$python" -m venv .venv
  fi
}

is_usable_venv() {
  is_new_enough "$venv_python" && "$venv_python" -m pip --version >/dev/null 2>&1 &&
    [ "$("$venv_python" -c 'import sys; print(sys.prefix)')" = "$PWD/.venv" ] &&
    grep -qF "$PWD/.venv" .venv/bin/activate
}

install_python_packages() {
  local pip=("$venv_python" -m pip install -q --disable-pip-version-check)
  if ! has_torch "$venv_python"; then
    say "installing $TORCH_PINNED into .venv (several minutes; about 5 GB with its CUDA libraries)"
    "${pip[@]}" "$TORCH_PINNED"
  fi
  say "installing Python tools into .venv: $(cat "${requirements[@]}" | tr '\n' ' ')"
  "${pip[@]}" "${requirements[@]/#/--requirement=}"
}

# Built where they are installed, which may fail: the table then does without.
install_contenders() {
  say "installing into .venv, to compare with: $(tr '\n' ' ' < tools/requirements-bench.txt)"
  "$venv_python" -m pip install -q --disable-pip-version-check -r tools/requirements-bench.txt ||
    say "not installed: the table of make bench is without them"
}

# As cmake/Cuda.cmake asks.
has_fitting_nvcc() {
  local nvcc release
  nvcc="$(command -v nvcc || echo "${CUDA_HOME:-/usr/local/cuda}/bin/nvcc")"
  release="$("$nvcc" --version 2>/dev/null | sed -n 's/.*release \([0-9.]*\).*/\1/p')"
  [ -n "$release" ] && [ "$(printf '12.5\n%s\n' "$release" | sort -V | head -n1)" = 12.5 ]
}

# Its own folder: torch's wheels bring parts of CUDA, and a venv over another Python has not even
# those. Without a compiler everything but the CUDA part is built, so that failing is no end.
install_cuda_compiler() {
  local target=.venv/cuda
  if has_fitting_nvcc; then return; fi
  [ ! -x "$target/nvidia/cu13/bin/nvcc" ] || return 0
  say "installing CUDA's compiler into $target (300 MB)"
  rm -rf "$target"
  if ! "$venv_python" -m pip install -q --disable-pip-version-check --no-deps --target "$target" \
    -r tools/requirements-cuda.txt; then
    say "no CUDA compiler: the CUDA part is not built, and torch copies CUDA tensors to the host"
    rm -rf "$target"
    return
  fi
  ln -sfn lib "$target/nvidia/cu13/lib64"  # where nvcc looks
}

site_packages() { "$venv_python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))'; }

# The package is run from the build tree; the command too.
link_into_venv() {
  printf '%s\n' "$PWD/build/release/python" > "$(site_packages)/tintype.pth"
  ln -sfn "$PWD/build/release/tools/tintype" .venv/bin/tintype
}

if [ -x "$venv_python" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$(fingerprint)" ]; then exit 0; fi
install_packages
make_venv
install_python_packages
install_cuda_compiler
if [ "$kind" = bench ]; then install_contenders; fi
link_into_venv
fingerprint > "$stamp"
say "done"
