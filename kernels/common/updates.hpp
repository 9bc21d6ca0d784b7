// One element of the updates in kernels/updates.hpp and of gradient descent: the formulas that GPUs
// and processors without fused vectors share. Vector loops (cpu/loops/updates.hpp) follow them
// operation by operation.
#pragma once

#include <math.h>

#include "core/portable.hpp"

namespace manyfold::kernels {

MF_FN float fused(float a, float b, float c) { return fmaf(a, b, c); }
MF_FN double fused(double a, double b, double c) { return fma(a, b, c); }
MF_FN float root(float x) { return sqrtf(x); }
MF_FN double root(double x) { return sqrt(x); }

template <class T>
MF_FN void heavy_ball_element(T& parameter, T gradient, T& velocity, T momentum, T step,
                              bool nesterov) {
  velocity = fused(momentum, velocity, gradient);
  const T direction = nesterov ? fused(momentum, velocity, gradient) : velocity;
  parameter = fused(-step, direction, parameter);
}

/// A slot's numbers of Adam; `kept` and `added` are beta and 1 - beta, each rounded to T by itself.
template <class T>
struct AdamNumbers {
  T kept1, added1, kept2, added2, epsilon, step, root_scale;
};

template <class T>
MF_FN void adam_element(T& parameter, T gradient, T& m, T& v, const AdamNumbers<T>& n) {
  m = fused(n.kept1, m, n.added1 * gradient);
  v = fused(n.kept2, v, n.added2 * gradient * gradient);
  parameter = fused(-n.step, m / fused(root(v), n.root_scale, n.epsilon), parameter);
}

template <class T>
MF_FN T sign_of(T x) {
  return x > 0 ? T(1) : x < 0 ? T(-1) : x;  // x itself where it is 0 or NaN
}

}  // namespace manyfold::kernels
