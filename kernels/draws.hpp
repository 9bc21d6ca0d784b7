// What optimizers draw while they step. Every draw is a pure function of (slot's seed, stream,
// step): a member that is saved, branched off or moved to another slot goes on with its stream.
// Streams are random_stream("...") of core/random/philox.hpp. Only active slots are touched.
#pragma once

#include <cstdint>

#include "core/executor/executor.hpp"
#include "core/view.hpp"
#include "kernels/stepping.hpp"

namespace manyfold::kernels {

/// Terms of an objective for one step: out (slot, batch), element b numbers draw
/// q = step batch + b of the slot, each in [0, terms), terms < 2^31.
/// With replacement: uniform, floor(terms * random bits / 2^64), so that probabilities differ from
/// 1 / terms by less than 2^-64. Without: draw q is element q mod terms of a permutation of its own
/// for each epoch q / terms (common/draws.hpp: computed, not stored), so that each term comes once
/// an epoch; a batch may span two epochs.
struct DrawTermsArgs {
  StepControl control;
  const std::int64_t* terms = nullptr;  ///< (slot)
  std::int64_t batch = 1;
  bool replacement = true;
  const std::uint64_t* seeds = nullptr;  ///< (slot)
  std::uint64_t stream = 0;
  std::int32_t* out = nullptr;
};
void draw_terms(Executor& executor, const DrawTermsArgs& args);

/// params += sqrt(2 step_size temperature) N(0, I), the noise of Langevin dynamics in the
/// Euler-Maruyama scheme. Element i takes draw step count + i; draw and product in double
/// precision, then rounded to T and added in T: the same bits on every device.
template <class T>
struct DiffuseArgs {
  StepControl control;
  VectorBatch<T> params;
  const double* temperature = nullptr;   ///< (slot), >= 0
  const std::uint64_t* seeds = nullptr;  ///< (slot)
  std::uint64_t stream = 0;
};
template <class T>
void diffuse(Executor& executor, const DiffuseArgs<T>& args);

/// Perturbed gradient descent (Jin et al. 2017; Du 2019, algorithm 2): where the gradient norm is
/// at or below grad_threshold and more than min_steps steps have gone by since last_noise, adds a
/// point uniform in the ball of `radius` about 0 to params and sets last_noise to step. The point
/// is radius u^(1/count) z / |z|: z_i normal, draw step count + i of `stream`; u uniform, draw step
/// of `radius_stream`. |z|^2 is summed in 128 parts and a fixed tree: the same bits on every
/// device.
template <class T>
struct PerturbArgs {
  StepControl control;
  VectorBatch<T> params;
  const double* grad_threshold = nullptr;   ///< (slot)
  const double* radius = nullptr;           ///< (slot)
  const std::int64_t* min_steps = nullptr;  ///< (slot)
  std::int64_t* last_noise = nullptr;       ///< (slot), state; never_perturbed at the start
  const std::uint64_t* seeds = nullptr;     ///< (slot)
  std::uint64_t stream = 0;
  std::uint64_t radius_stream = 0;
};
constexpr std::int64_t never_perturbed = -(std::int64_t{1} << 62);
template <class T>
void perturb(Executor& executor, const PerturbArgs<T>& args);

}  // namespace manyfold::kernels
