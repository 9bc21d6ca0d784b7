// One slot's perturbation by a block (contract: kernels/draws.hpp).
#pragma once

#include <cstdint>

#include "kernels/common/draws.hpp"
#include "kernels/cuda/reduce.cuh"
#include "kernels/draws.hpp"

namespace manyfold::kernels::cuda {

constexpr int perturb_threads = 128;

/// All threads of the block call. The normal numbers are drawn twice, for their norm and for the
/// sum, because that needs no memory and happens at few steps.
template <class T>
__device__ inline void perturb_slot(const PerturbArgs<T>& args, std::int64_t slot) {
  __shared__ double scale;
  const std::int64_t step = args.control.step[slot];
  // The same for all threads of the block: they leave together.
  if (args.control.active[slot] == 0 ||
      !perturbation_is_due(args.control.grad_norm2[slot], args.grad_threshold[slot], step,
                           args.last_noise[slot], args.min_steps[slot])) {
    return;
  }
  const std::int64_t count = args.params.count;
  const std::uint64_t seed = args.seeds[slot];
  const auto at = static_cast<std::uint64_t>(step);
  const std::uint64_t first = at * static_cast<std::uint64_t>(count);
  double norm2 = 0;
  for (std::int64_t i = threadIdx.x; i < count; i += blockDim.x) {
    const double z = normal_double(seed, args.stream, first + static_cast<std::uint64_t>(i));
    norm2 = fma(z, z, norm2);
  }
  // Its barrier also lets every thread read last_noise before thread 0 writes it.
  norm2 = block_sum<perturb_threads>(norm2);
  if (threadIdx.x == 0) {
    args.last_noise[slot] = step;
    scale = perturbation_scale(args.radius[slot], uniform_double(seed, args.radius_stream, at),
                               count, norm2);
  }
  __syncthreads();
  T* params = args.params.slot(slot);
  for (std::int64_t i = threadIdx.x; i < count; i += blockDim.x) {
    const double z = normal_double(seed, args.stream, first + static_cast<std::uint64_t>(i));
    params[i] += static_cast<T>(exact::times(scale, z));
  }
}

}  // namespace manyfold::kernels::cuda
