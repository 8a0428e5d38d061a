#!/bin/sh
# Looks for wrong memory accesses and races in the CUDA kernels.
#
#   tests/native/cuda_sanitize.sh host     the kernels' source on the CPU, under address and undefined sanitizers
#   tests/native/cuda_sanitize.sh device   on a GPU, under compute-sanitizer: memcheck, racecheck, synccheck
#
# PYTHON names the interpreter; it is python3 otherwise. GSDD_SANITIZE_TOOLS chooses among the tools. The torch library
# must be built with -DGSDD_CUDA=ON for `device`.
set -eu
cd "$(dirname "$0")/../.."
python=${PYTHON:-python3}

host() {
  compiler=${CXX:-c++}
  GSDD_CUDA_HOST_FLAGS="-g -fsanitize=address,undefined -fno-sanitize-recover=undefined" \
  LD_PRELOAD="$("$compiler" -print-file-name=libasan.so) $("$compiler" -print-file-name=libstdc++.so)" \
  ASAN_OPTIONS=detect_leaks=0:detect_stack_use_after_return=0 \
    "$python" -m pytest -q -p no:cacheprovider tests/test_cuda_host.py "$@"
}

device() {
  for tool in ${GSDD_SANITIZE_TOOLS:-memcheck racecheck synccheck}; do
    echo "compute-sanitizer --tool $tool"
    # PyTorch's allocator keeps freed memory: without it every access beyond a tensor shows.
    GSDD_REQUIRE_CUDA=${GSDD_REQUIRE_CUDA:-1} PYTORCH_NO_CUDA_MEMORY_CACHING=1 \
      compute-sanitizer --tool "$tool" --error-exitcode 1 --kernel-name kernel_substring=gsdd \
      "$python" -m pytest -q -p no:cacheprovider tests/test_cuda_kernel.py tests/test_doors.py \
      tests/test_cuda_layers.py \
      -k "(test_cuda_kernel and not graph and not compiled and not opcheck and not large) or (test_doors and cuda and not source) or a_device_has_steps" \
      --deselect tests/test_doors.py::test_doors_agree_with_each_other "$@"
  done
}

case "${1:-}" in
  host | device) what=$1; shift; "$what" "$@" ;;
  *) echo "usage: $0 host|device [pytest options]" >&2; exit 2 ;;
esac
