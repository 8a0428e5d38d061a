// What a kernel needs from the machine that runs its threads: who am I, shared memory, barriers, shuffles, the fast
// exponential, narrow numbers, wide stores. Under nvcc these are the device's own instructions. Elsewhere they come
// from tests/native/cuda_host_simt.h, which runs the same kernel source on the CPU, one fibre a thread.
#pragma once

#if defined(__CUDACC__)

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>

#define GSDD_DEVICE __device__ __forceinline__

namespace gsdd::simt {

constexpr unsigned kAllLanes = 0xffffffffu;

using Float4 = float4;

GSDD_DEVICE unsigned thread_index() { return threadIdx.x; }
GSDD_DEVICE unsigned thread_count() { return blockDim.x; }
GSDD_DEVICE unsigned block_index() { return blockIdx.x; }

// The same number, and the compiler does not know it: what is made of it is made anew, not kept in a register.
GSDD_DEVICE unsigned forgotten(unsigned number) {
  asm volatile("" : "+r"(number));
  return number;
}

// The block's dynamic shared memory, 16-byte aligned.
GSDD_DEVICE Float4* shared_memory() {
  extern __shared__ float4 memory[];
  return memory;
}

GSDD_DEVICE void sync_block() { __syncthreads(); }
GSDD_DEVICE unsigned ballot(bool predicate) { return __ballot_sync(kAllLanes, predicate); }
GSDD_DEVICE int shuffle(int value, int lane) { return __shfl_sync(kAllLanes, value, lane); }
GSDD_DEVICE int shuffle_up(int value, int distance) { return __shfl_up_sync(kAllLanes, value, distance); }
GSDD_DEVICE float shuffle_xor(float value, int mask) { return __shfl_xor_sync(kAllLanes, value, mask); }
GSDD_DEVICE int lowest_bit(unsigned bits) { return __ffs(static_cast<int>(bits)) - 1; }
GSDD_DEVICE int count_bits(unsigned bits) { return __popc(bits); }
GSDD_DEVICE float as_float(int bits) { return __int_as_float(bits); }
GSDD_DEVICE int as_int(float value) { return __float_as_int(value); }

// 2^x, within 2 ulp; results below 2^-126 are 0.
GSDD_DEVICE float exp2_fast(float x) {
  float result;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x));
  return result;
}

GSDD_DEVICE float load(const float* address) { return __ldg(address); }
GSDD_DEVICE Float4 load4(const float* address) { return __ldg(reinterpret_cast<const float4*>(address)); }
GSDD_DEVICE uint16_t load(const uint16_t* address) { return __ldg(address); }
// Four numbers of 16 bits, two a word, the first in the lower half.
GSDD_DEVICE uint2 load4(const uint16_t* address) { return __ldg(reinterpret_cast<const uint2*>(address)); }

GSDD_DEVICE float from_float16(uint16_t bits) { return __half2float(__ushort_as_half(bits)); }
GSDD_DEVICE float from_bfloat16(uint16_t bits) { return __uint_as_float(static_cast<unsigned>(bits) << 16); }
GSDD_DEVICE uint16_t to_float16(float value) { return __half_as_ushort(__float2half_rn(value)); }
GSDD_DEVICE uint16_t to_bfloat16(float value) { return __bfloat16_as_ushort(__float2bfloat16_rn(value)); }

// Written once and not read again here: past the caches.
GSDD_DEVICE void store4(float* address, Float4 values) { __stcs(reinterpret_cast<float4*>(address), values); }
GSDD_DEVICE void store4(uint16_t* address, uint16_t a, uint16_t b, uint16_t c, uint16_t d) {
  __stcs(reinterpret_cast<uint2*>(address),
         make_uint2(static_cast<unsigned>(b) << 16 | a, static_cast<unsigned>(d) << 16 | c));
}

}  // namespace gsdd::simt

#else
#include "cuda_host_simt.h"
#endif
