#!/usr/bin/env bash
# Installs what building and testing need: Debian packages, then a .venv with torch. Re-entrant: what
# is there already is left alone, and a second run asks nobody.
#
#   tools/setup.sh            everything
set -euo pipefail
cd "$(dirname "$0")/.."

TORCH_PINNED="torch==2.11.0"
stamp="build/setup.stamp"
inputs="$(cat tools/setup.sh tools/packages.txt tools/requirements.txt | sha256sum | cut -d' ' -f1)"

say() { printf 'setup: %s\n' "$*"; }

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

missing_packages() {
  local package
  while read -r package; do
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null)" = installed ] ||
      printf '%s\n' "$package"
  done < tools/packages.txt
}

install_packages() {
  local missing
  missing="$(missing_packages | tr '\n' ' ')"
  [ -n "${missing// /}" ] || return 0
  command -v apt-get >/dev/null || {
    say "these packages are missing and there is no apt-get: $missing"
    exit 1
  }
  say "installing Debian packages: $missing"
  as_root apt-get update -qq
  # shellcheck disable=SC2086  # one word per package
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
    $missing >/dev/null
}

python_has_torch() {
  "$1" - <<'PYTHON' >/dev/null 2>&1
import torch
assert tuple(int(part) for part in torch.__version__.split(".")[:2]) >= (2, 6)
PYTHON
}

make_venv() {
  if [ ! -x .venv/bin/python ]; then
    if python_has_torch python3; then
      say "making .venv over the active Python, which has torch"
      python3 -m venv --system-site-packages .venv
    else
      say "making .venv"
      python3 -m venv .venv
    fi
  fi
  .venv/bin/python -c 'import sys; sys.exit(sys.version_info < (3, 10))' || {
    say "Python 3.10 or newer is needed; .venv has $(.venv/bin/python --version)"
    exit 1
  }
  if ! python_has_torch .venv/bin/python; then
    say "installing $TORCH_PINNED into .venv (several minutes, about 5 GB)"
    .venv/bin/python -m pip install -q --disable-pip-version-check "$TORCH_PINNED"
  fi
  say "installing Python build and test tools into .venv"
  .venv/bin/python -m pip install -q --disable-pip-version-check -r tools/requirements.txt
}

link_into_venv() {
  local site
  site="$(.venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"
  printf '%s\n' "$PWD/build/release/python" > "$site/tintype.pth"
  ln -sfn "$PWD/build/release/tools/tintype" .venv/bin/tintype
}

if [ -x .venv/bin/python ] && [ "$(cat "$stamp" 2>/dev/null)" = "$inputs $PWD" ]; then exit 0; fi
install_packages
make_venv
link_into_venv
mkdir -p build
printf '%s %s\n' "$inputs" "$PWD" > "$stamp"
say "done"
