// Sums over a block in an order that depends on its number of threads alone: no atomics.
#pragma once

#include <cuda_runtime.h>

namespace manyfold::kernels::cuda {

/// Sum over groups of `lanes` neighbouring lanes; every lane receives it. All lanes of the warp
/// call.
template <int lanes, class T>
__device__ inline T group_sum(T value) {
#pragma unroll
  for (int offset = lanes / 2; offset > 0; offset /= 2) {
    value += __shfl_xor_sync(0xffffffffu, value, offset, lanes);
  }
  return value;
}

/// The same for the maximum of numbers that are not NaN.
template <int lanes>
__device__ inline double group_max(double value) {
#pragma unroll
  for (int offset = lanes / 2; offset > 0; offset /= 2) {
    value = fmax(value, __shfl_xor_sync(0xffffffffu, value, offset, lanes));
  }
  return value;
}

/// Sum over the block's `threads` threads (a multiple of 32), in thread 0. All threads call, once.
template <int threads>
__device__ inline double block_sum(double value) {
  constexpr int warps = threads / 32;
  __shared__ double partial[warps];
  value = group_sum<32>(value);
  if (threadIdx.x % 32 == 0) partial[threadIdx.x / 32] = value;
  __syncthreads();
  double sum = 0;
  if (threadIdx.x == 0) {
    for (int w = 0; w < warps; ++w) sum += partial[w];
  }
  return sum;
}

}  // namespace manyfold::kernels::cuda
