#!/bin/sh
# Builds the native tests for arm64 with a cross compiler and runs them under qemu's user-mode emulation.
# Debian and Ubuntu: apt-get install g++-aarch64-linux-gnu qemu-user
set -eu
root=$(cd "$(dirname "$0")/../../.." && pwd)
compiler=${GSDD_ARM64_CXX:-aarch64-linux-gnu-g++}
emulator=${GSDD_ARM64_QEMU:-qemu-aarch64}
build=${GSDD_ARM64_BUILD:-$root/build/arm64}
for program in "$compiler" "$emulator" cmake; do
  if ! command -v "$program" >/dev/null; then
    echo "arm64: $program is missing: install g++-aarch64-linux-gnu, qemu-user and cmake; nothing was tested" >&2
    exit 77
  fi
done
cmake -S "$root" -B "$build" -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64 \
  -DCMAKE_CXX_COMPILER="$compiler" -DCMAKE_EXE_LINKER_FLAGS=-static \
  -DGSDD_CUDA=OFF -DGSDD_TORCH=OFF -DGSDD_ONNXRUNTIME=OFF -DGSDD_TENSORRT=OFF -DGSDD_DALI=OFF -DGSDD_NATIVE_TESTS=ON >/dev/null
cmake --build "$build" --target gsdd_kernel_test gsdd_layers_test -j "${GSDD_JOBS:-2}"
"$emulator" "$build/tests/native/kernel/gsdd_kernel_test"
"$emulator" "$build/tests/native/layers/gsdd_layers_test"
