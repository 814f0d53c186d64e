#!/usr/bin/env bash
# Unpacks what building and testing need, but for compilers, CMake, Ninja, CUDA and torch, into a
# folder: for machines that cannot install packages. Needs apt-get and the network here; no root.
#
#   tools/deps.sh DIR      then, on the other machine:
#   PYTHONPATH=DIR/python cmake --preset release -DCMAKE_PREFIX_PATH=DIR/usr -DPython_EXECUTABLE=...
set -euo pipefail
cd "$(dirname "$0")/.."

[ $# -eq 1 ] && [ -n "$1" ] || {
  echo "deps: name the folder to fill: make deps DIR=..." >&2
  exit 2
}
mkdir -p "$1"
target="$(cd "$1" && pwd)"
limit_mib=40
python=.venv/bin/python
[ -x "$python" ] || python=python3

# The development packages of tools/packages.txt (python3-dev belongs to the Python that is there),
# and the libraries that each of them is for.
packages() {
  local package
  grep -E '^(lib.*|nlohmann-json3)-dev$' tools/packages.txt | while read -r package; do
    echo "$package"
    apt-cache depends --no-recommends --no-suggests "$package" |
      awk '$1 == "Depends:" && $2 ~ /^lib/ && $2 !~ /^lib(c6|gcc|stdc)/ {print $2}'
  done | sort -u
}

unpack() {
  local downloads names
  downloads="$(mktemp -d)"
  mapfile -t names < <(packages)
  # apt's own user must not need to write there; nothing is installed.
  (cd "$downloads" && apt-get download -qq -o APT::Sandbox::User=root "${names[@]}")
  for file in "$downloads"/*.deb; do dpkg-deb -x "$file" "$target"; done
  rm -rf "$downloads"
}

# What is no header, library or description of one is not needed. Descriptions name /usr.
tidy_up() {
  rm -rf "${target:?}/usr/share/doc" "$target/usr/share/man" "$target/usr/share/lintian" \
    "$target/usr/src" "$target/usr/bin"
  # A library that Debian puts into /lib is looked for beside its link in /usr.
  if [ -d "$target/lib" ] && [ ! -L "$target/lib" ]; then
    cp -a "$target/lib/." "$target/usr/lib/" && rm -rf "$target/lib"
  fi
  find "$target/usr/lib" -lname '/lib/*' | while read -r link; do
    ln -sfn "$(basename "$(readlink "$link")")" "$link"
  done
  # shellcheck disable=SC2016  # pkg-config's variable
  find "$target/usr/lib" -path '*/pkgconfig/*.pc' -exec \
    sed -i 's#=/usr#=${pcfiledir}/../../..#; s#^prefix=$#prefix=${pcfiledir}/../../..#' {} +
}

unpack
tidy_up
"$python" -m pip install -q --disable-pip-version-check --upgrade --target "$target/python" \
  nanobind pytest pytest-timeout
size_mib="$(du -sm "$target" | cut -f1)"
[ "$size_mib" -lt "$limit_mib" ] || {
  echo "deps: $target has $size_mib MiB, $limit_mib is the limit" >&2
  exit 1
}
echo "deps: $size_mib MiB in $target; use: -DCMAKE_PREFIX_PATH=$target/usr PYTHONPATH=$target/python"
