// The one way kernels are launched, and the one way they name their shared memory, so that the same
// source runs on a GPU and under emulation.
#pragma once

#include <cstddef>
#include <utility>

#include <cuda_runtime.h>

#include "core/executor/cuda/check.cuh"
#include "core/executor/cuda/cuda_executor.cuh"

#if defined(MANYFOLD_EMULATED)
#include "emulation/control.hpp"
#endif

namespace manyfold {

/// Asks for dynamic shared memory above 48 KB, which a kernel does not get unasked.
template <class... Parameters>
void ask_for_shared(const char* name, void (*kernel)(Parameters...), std::size_t shared_bytes) {
  if (shared_bytes <= 48 * 1024) return;
  check(cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel),
                             cudaFuncAttributeMaxDynamicSharedMemorySize,
                             static_cast<int>(shared_bytes)),
        name);
}

/// Blocks of a kernel that a multiprocessor holds at once, as its registers, threads and shared
/// memory allow.
template <class... Parameters>
int blocks_at_once(const char* name, void (*kernel)(Parameters...), int threads,
                   std::size_t shared_bytes) {
  ask_for_shared(name, kernel, shared_bytes);
  int blocks = 0;
  check(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, kernel, threads, shared_bytes),
        name);
  return blocks;
}

/// Launches on the executor's stream; `name` stands in errors. An empty grid is nothing to do.
template <class... Parameters, class... Arguments>
void launch(const CudaExecutor& executor, const char* name, void (*kernel)(Parameters...),
            dim3 grid, dim3 block, std::size_t shared_bytes, Arguments&&... arguments) {
  if (grid.x == 0 || grid.y == 0 || grid.z == 0) return;
  ask_for_shared(name, kernel, shared_bytes);
  cudaLaunchConfig_t config{};
  config.gridDim = grid;
  config.blockDim = block;
  config.dynamicSmemBytes = shared_bytes;
  config.stream = executor.stream();
  check(cudaLaunchKernelEx(&config, kernel, std::forward<Arguments>(arguments)...), name);
}

/// The block's dynamic shared memory, 16-byte aligned.
template <class T>
__device__ inline T* dynamic_shared() {
#if defined(MANYFOLD_EMULATED)
  return reinterpret_cast<T*>(emulation::dynamic_shared());
#else
  extern __shared__ __align__(16) unsigned char manyfold_shared_memory[];
  return reinterpret_cast<T*>(manyfold_shared_memory);
#endif
}

}  // namespace manyfold
