#!/bin/sh
# The wheels of a checkout for this machine's architecture, in manylinux_2_28 containers, by cibuildwheel:
# `GSDD_WHEEL=cpu release/wheels.sh dist`, or cuda. Each is tested in every Python of pyproject.toml (walk.py); it is one
# wheel for all of them, since nothing in it is bound to a version of Python. Needs docker or podman.
set -eu
out=$1
root=$(realpath "$(dirname "$0")/..")
SOURCE_DATE_EPOCH=$(git -C "$root" log -1 --format=%ct)
export SOURCE_DATE_EPOCH GSDD_WHEEL="${GSDD_WHEEL:-cpu}"
python -m pip install --quiet cibuildwheel==4.3.5
python -m cibuildwheel --output-dir "$out" "$root"
for wheel in "$out"/*.whl; do python "$root/release/sbom.py" "$wheel" > "${wheel%.whl}.cdx.json"; done
