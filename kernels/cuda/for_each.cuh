// The launcher of element bodies on a GPU: one thread per (slot, element) in a grid-stride loop.
#pragma once

#include <algorithm>
#include <cstdint>

#include "core/executor/cuda/launch.cuh"

namespace manyfold::kernels::cuda {

/// An executor that came with the CUDA table is a CUDA executor.
inline CudaExecutor& cuda(Executor& executor) { return static_cast<CudaExecutor&>(executor); }

/// Index is 32 bits wide where that suffices: a GPU divides 64-bit integers many times slower.
template <class Index, class Body>
__global__ void for_each_kernel(Index total, Index count, Body body) {
  const Index step = static_cast<Index>(gridDim.x) * blockDim.x;
  for (Index i = static_cast<Index>(blockIdx.x) * blockDim.x + threadIdx.x; i < total; i += step) {
    body(static_cast<std::int64_t>(i / count), static_cast<std::int64_t>(i % count));
  }
}

class ForEach {
 public:
  explicit ForEach(Executor& executor) : executor_(&cuda(executor)) {}

  template <class Body>
  void operator()(const char* name, std::int64_t slots, std::int64_t count,
                  const Body& body) const {
    constexpr int threads = 128;
    const std::int64_t total = slots * count;
    const std::int64_t blocks = std::min<std::int64_t>((total + threads - 1) / threads,
                                                       std::int64_t{16} * multiprocessors());
    if (blocks <= 0) return;
    const dim3 grid(static_cast<unsigned int>(blocks));
    if (total < (std::int64_t{1} << 30)) {
      launch(*executor_, name, for_each_kernel<std::uint32_t, Body>, grid, dim3(threads), 0,
             static_cast<std::uint32_t>(total), static_cast<std::uint32_t>(count), body);
    } else {
      launch(*executor_, name, for_each_kernel<std::uint64_t, Body>, grid, dim3(threads), 0,
             static_cast<std::uint64_t>(total), static_cast<std::uint64_t>(count), body);
    }
  }

 private:
  std::int64_t multiprocessors() const { return executor_->multiprocessors(); }

  CudaExecutor* executor_;
};

}  // namespace manyfold::kernels::cuda
