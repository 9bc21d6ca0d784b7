// What happens between two gradients, for every slot at once and without the host: stop conditions,
// step sizes, the update, the step count.
#pragma once

#include <cstdint>

#include "core/executor/executor.hpp"
#include "core/view.hpp"

namespace manyfold::kernels {

/// Why a slot's member ended; 0 while it has not.
enum class StopReason : std::int32_t {
  none = 0,
  steps,           ///< all its steps are done
  train_loss,      ///< train loss at or below stop.train_loss
  grad_norm,       ///< gradient norm at or below stop.grad_norm
  non_finite,      ///< train loss or gradient norm is not finite
  divergence,      ///< train loss above stop.divergence
  global_minimum,  ///< a student is at its teacher (kernels/teacher.hpp)
  spurious,        ///< a student is at the other end point
};

/// Per-slot state of the stepping, in device memory; one element a slot.
struct StepControl {
  std::int64_t slots = 0;
  std::int32_t* active = nullptr;  ///< 1 while the member steps
  std::int32_t* reason = nullptr;  ///< StopReason
  std::int64_t* step = nullptr;    ///< updates done
  double* time = nullptr;          ///< sum of the step sizes taken
  double* train_loss = nullptr;    ///< f at the current state, written by the model
  double* grad_norm2 = nullptr;    ///< squared norm of the whole gradient, written by the model
  double* step_size = nullptr;     ///< of the step about to be taken
  std::int64_t* finite_step = nullptr;  ///< last checked step with finite loss and gradient
  double* finite_train_loss = nullptr;  ///< and the values there; NaN before the first
  double* finite_grad_norm = nullptr;
  const std::int64_t* max_steps = nullptr;
  const double* stop_train_loss = nullptr;  ///< negative: never
  const double* stop_grad_norm = nullptr;   ///< negative: never
  const double* stop_divergence = nullptr;  ///< infinity: only non-finite values
};

/// Ends members whose stop condition holds at the current state (train_loss and grad_norm2 must be
/// of it) and remembers the last finite values. Conditions are tried in the order of StopReason
/// from `non_finite` down: non_finite, divergence, train_loss, grad_norm. Inactive slots are left
/// alone.
void check_stop(Executor& executor, const StepControl& control);

/// step_size = learning_rate, for gradient descent.
struct ConstantStepArgs {
  StepControl control;
  const double* learning_rate = nullptr;  ///< (slot)
};
void constant_step(Executor& executor, const ConstantStepArgs& args);

/// RMS-scaled gradient descent (Li, Luo, Lyu 2021, appendix B): one scalar v a member,
///   v <- decay v + (1 - decay) ||grad||^2,
///   step_size = learning_rate / (sqrt(v / (1 - decay^(t+1))) + epsilon),   t = steps done.
/// v and decay_power (the product of the decays so far, 1 at the start) are state: (slot).
struct RmsStepArgs {
  StepControl control;
  const double* learning_rate = nullptr;
  const double* epsilon = nullptr;
  const double* decay = nullptr;
  double* v = nullptr;
  double* decay_power = nullptr;
};
void rms_step(Executor& executor, const RmsStepArgs& args);

/// params -= step_size grad for active slots (params, grad: (slot, element)), the product and the
/// difference in T with one rounding (fused).
template <class T>
struct DescendArgs {
  StepControl control;
  VectorBatch<T> params;
  VectorBatch<const T> grad;
};
template <class T>
void descend(Executor& executor, const DescendArgs<T>& args);

/// Counts the step of active slots (step += 1, time += step_size) and ends those that reached
/// max_steps with StopReason::steps.
void advance(Executor& executor, const StepControl& control);

}  // namespace manyfold::kernels
