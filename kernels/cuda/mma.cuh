// A warp's product of small tiles by the FP64 tensor cores.
#pragma once

#include <cuda_runtime.h>

namespace manyfold::kernels::cuda {

/// C += A B for tiles of 8x4 by 4x8 doubles (PTX mma.m8n8k4). All lanes of a warp call; lane l
/// holds A(l / 4, l % 4), B(l % 4, l / 4) and C(l / 4, 2 (l % 4)), C(l / 4, 2 (l % 4) + 1).
__device__ inline void mma_8x8x4(double (&c)[2], double a, double b) {
#if defined(MANYFOLD_EMULATED)
  const int lane = static_cast<int>(threadIdx.x % 32);
  for (int k = 0; k < 4; ++k) {
    const double factor = __shfl_sync(0xffffffffu, a, lane / 4 * 4 + k);
    for (int j = 0; j < 2; ++j) {
      c[j] = fma(factor, __shfl_sync(0xffffffffu, b, (lane % 4 * 2 + j) * 4 + k), c[j]);
    }
  }
#else
  asm volatile("mma.sync.aligned.m8n8k4.row.col.f64.f64.f64.f64 {%0, %1}, {%2}, {%3}, {%0, %1};"
               : "+d"(c[0]), "+d"(c[1])
               : "d"(a), "d"(b));
#endif
}

}  // namespace manyfold::kernels::cuda
