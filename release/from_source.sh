#!/bin/sh
# Whether the source archive builds by itself: `release/from_source.sh SDIST [FOLDER]` installs it, away from every
# checkout, into a new environment in FOLDER, and walks (walk.py). With ISOLATED=1 pip makes the build's own environment,
# as it does for everybody (torch is then fetched for it); without, the tools of the Python on PATH build it.
set -eu
sdist=$(realpath "$1")
root=$(realpath "$(dirname "$0")/..")
folder=${2:-$(mktemp -d)}
mkdir -p "$folder"
cd "$folder"
[ -n "${ISOLATED:-}" ] || without=--no-build-isolation
python -m pip wheel --quiet --no-deps ${without:-} --wheel-dir "$folder/wheels" "$sdist"
python -m venv "$folder/environment"
bin=$folder/environment/bin
# torch first and alone: an open range would take the newest build, gigabytes of it.
"$bin/pip" install --quiet --constraint "$root/constraints.txt" torch
"$bin/pip" install --quiet --constraint "$root/constraints.txt" "$folder"/wheels/*.whl onnx onnxscript onnxruntime
cp "$root/release/walk.py" "$folder"
"$bin/python" "$folder/walk.py"
