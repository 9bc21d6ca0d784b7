// Activation functions of networks, entry by entry, and their part of backpropagation.
#pragma once

#include "core/executor/executor.hpp"
#include "core/view.hpp"

namespace manyfold::kernels {

/// s(z):
///   linear      z
///   relu        max(z, 0)
///   leaky_relu  z for z >= 0, slope z below
///   softplus    log(1 + e^z)
///   tanh
///   sigmoid     1 / (1 + e^-z)
///   erf         2/sqrt(pi) int_0^z e^(-t^2) dt
/// s'(0) is 0 for relu and `slope` for leaky_relu.
enum class Activation { linear, relu, leaky_relu, softplus, tanh, sigmoid, erf };

/// Whether s' follows from s(z), so that z need not be kept: all but erf.
constexpr bool slope_follows_from_output(Activation kind) { return kind != Activation::erf; }

/// y_si = s(scale z_si). z, y: (slot, element) of one shape; y may be z. NaN stays NaN.
/// Exponentials are the device's own, so bits may differ between devices.
template <class T>
struct ActivateArgs {
  Activation kind = Activation::linear;
  double slope = 0;  ///< of leaky_relu, >= 0
  double scale = 1;
  VectorBatch<const T> z;
  VectorBatch<T> y;
};
template <class T>
void activate(Executor& executor, const ActivateArgs<T>& args);

/// dz_si = factor s'(scale z_si) dy_si, or dz_si plus that where `add`. `state` is y = s(scale z)
/// where `slope_follows_from_output`, else z. All (slot, element) of one shape; dz may be dy, or
/// state. The derivative with respect to z itself has scale as a part of `factor`.
template <class T>
struct ActivationSlopeArgs {
  Activation kind = Activation::linear;
  double slope = 0;
  double scale = 1;
  VectorBatch<const T> state;
  VectorBatch<const T> dy;
  double factor = 1;
  bool add = false;
  VectorBatch<T> dz;
};
template <class T>
void activation_slope(Executor& executor, const ActivationSlopeArgs<T>& args);

/// Whether s'' is not 0 almost everywhere.
constexpr bool is_curved(Activation kind) { return kind >= Activation::softplus; }

/// What the slope's own change adds to a gradient along a direction: dz_si += factor s''(u) u'
/// dy_si with u = scale z and y' = s'(u) u', which `tangent` holds: s''(u) u' = (s''/s')(u) y'.
/// `state` as in activation_slope; (slot, element) of one shape each. Nothing for functions of
/// straight pieces.
template <class T>
struct ActivationCurvatureArgs {
  Activation kind = Activation::tanh;
  double scale = 1;
  VectorBatch<const T> state;
  VectorBatch<const T> tangent;
  VectorBatch<const T> dy;
  double factor = 1;
  VectorBatch<T> dz;
};
template <class T>
void activation_curvature(Executor& executor, const ActivationCurvatureArgs<T>& args);

}  // namespace manyfold::kernels
