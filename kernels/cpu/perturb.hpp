// One slot's perturbation on the CPU (contract: kernels/draws.hpp), wherever its parameters stand.
#pragma once

#include <cstdint>

#include "kernels/common/draws.hpp"
#include "kernels/common/updates.hpp"
#include "kernels/draws.hpp"

namespace manyfold::kernels::cpu {

/// Squared norm of the normal draws first, first + 1, ..., added in the order of a GPU's block of
/// 128 threads: thread i takes draws i, i + 128, ...; lanes of 32 are joined by halves, then warps
/// in order (cuda/reduce.cuh).
inline double normal_norm2(std::uint64_t seed, std::uint64_t stream, std::uint64_t first,
                    std::int64_t count) {
  constexpr int threads = 128;
  constexpr int warp = 32;
  double part[threads] = {};
  for (std::int64_t i = 0; i < count; ++i) {
    const double z = normal_double(seed, stream, first + static_cast<std::uint64_t>(i));
    part[i % threads] = fused(z, z, part[i % threads]);
  }
  double sum = 0;
  for (int w = 0; w < threads; w += warp) {
    for (int half = warp / 2; half > 0; half /= 2) {
      for (int lane = 0; lane < half; ++lane) part[w + lane] += part[w + lane + half];
    }
    sum += part[w];
  }
  return sum;
}

/// Parameter i of the slot is params[i * stride].
template <class T>
void perturb_slot(const PerturbArgs<T>& args, std::int64_t slot, T* params, std::int64_t stride) {
  const std::int64_t step = args.control.step[slot];
  if (args.control.active[slot] == 0 ||
      !perturbation_is_due(args.control.grad_norm2[slot], args.grad_threshold[slot], step,
                           args.last_noise[slot], args.min_steps[slot])) {
    return;
  }
  args.last_noise[slot] = step;
  const std::int64_t count = args.params.count;
  const std::uint64_t seed = args.seeds[slot];
  const auto at = static_cast<std::uint64_t>(step);
  const std::uint64_t first = at * static_cast<std::uint64_t>(count);
  const double scale =
      perturbation_scale(args.radius[slot], uniform_double(seed, args.radius_stream, at), count,
                         normal_norm2(seed, args.stream, first, count));
  for (std::int64_t i = 0; i < count; ++i) {
    const double z = normal_double(seed, args.stream, first + static_cast<std::uint64_t>(i));
    params[i * stride] += static_cast<T>(exact::times(scale, z));
  }
}

}  // namespace manyfold::kernels::cpu
