// Updates of optimizers beyond gradient descent, one pass over the parameters each, and the pieces
// from which new ones are made. Everywhere: only active slots; T arithmetic; per-slot numbers are
// doubles, rounded to T once; views are (slot, element) with strides of their own and must not
// overlap. Products are fused as written below and nothing else is, so that every device has the
// same bits.
#pragma once

#include "core/executor/executor.hpp"
#include "core/view.hpp"
#include "kernels/stepping.hpp"

namespace manyfold::kernels {

/// Heavy ball (Polyak 1964): v <- momentum v + grad, params -= step_size v. Nesterov's form:
/// v <- momentum v + grad, params -= step_size (momentum v + grad), v the new one (Sutskever et al.
/// 2013 in terms of the point where the gradient is taken). Each line is one fused operation.
template <class T>
struct HeavyBallArgs {
  StepControl control;
  VectorBatch<T> params;
  VectorBatch<const T> grad;
  VectorBatch<T> velocity;
  const double* momentum = nullptr;  ///< (slot)
  bool nesterov = false;
};
template <class T>
void heavy_ball(Executor& executor, const HeavyBallArgs<T>& args);

/// The scalars of Adam's next step (Kingma and Ba 2015, algorithm 1, in the order of operations
/// that the end of section 2 gives), all (slot):
///   power_i <- beta_i power_i    (beta_i^t where it is constant, 1 at the start; state)
///   step_size = learning_rate
///   scaled_step = learning_rate / (1 - power_1)
///   root_scale = 1 / sqrt(1 - power_2)
struct AdamStepArgs {
  StepControl control;
  const double* learning_rate = nullptr;
  const double* beta1 = nullptr;
  const double* beta2 = nullptr;
  double* power1 = nullptr;
  double* power2 = nullptr;
  double* scaled_step = nullptr;
  double* root_scale = nullptr;
};
void adam_step(Executor& executor, const AdamStepArgs& args);

/// m <- beta1 m + (1 - beta1) grad, v <- beta2 v + (1 - beta2) grad^2,
/// params -= scaled_step m / (sqrt(v) root_scale + epsilon), which is algorithm 1's
/// learning_rate m^ / (sqrt(v^) + epsilon). m and v are state.
template <class T>
struct AdamArgs {
  StepControl control;
  VectorBatch<T> params;
  VectorBatch<const T> grad;
  VectorBatch<T> m;
  VectorBatch<T> v;
  const double* beta1 = nullptr;
  const double* beta2 = nullptr;
  const double* epsilon = nullptr;
  const double* scaled_step = nullptr;
  const double* root_scale = nullptr;
};
template <class T>
void adam(Executor& executor, const AdamArgs<T>& args);

/// params -= step_size sign(grad); sign(0) = 0, and a NaN stays one.
template <class T>
void sign_descend(Executor& executor, const DescendArgs<T>& args);

/// x <- a x + b y, the sum fused with the product a x. a and b: (slot); null ones are 1. With it an
/// optimizer that only combines vectors needs no kernel of its own.
template <class T>
struct LinearCombinationArgs {
  StepControl control;
  VectorBatch<T> x;
  VectorBatch<const T> y;
  const double* a = nullptr;
  const double* b = nullptr;
};
template <class T>
void linear_combination(Executor& executor, const LinearCombinationArgs<T>& args);

}  // namespace manyfold::kernels
