// Activation functions and their derivatives: the formulas that both backends share.
#pragma once

#include <math.h>

#include "core/portable.hpp"
#include "kernels/activation.hpp"

namespace manyfold::kernels {

/// s(z). Comparisons are such that NaN passes through.
template <Activation kind, class T>
MF_FN T activation_of(T z, T slope) {
  if constexpr (kind == Activation::relu) {
    return z < T(0) ? T(0) : z;
  } else if constexpr (kind == Activation::leaky_relu) {
    return z < T(0) ? slope * z : z;
  } else if constexpr (kind == Activation::softplus) {
    // The exponential of a negative number: no overflow, and full relative accuracy on the left.
    return (z > T(0) ? z : T(0)) + log1p(exp(-fabs(z)));
  } else if constexpr (kind == Activation::tanh) {
    return tanh(z);
  } else if constexpr (kind == Activation::sigmoid) {
    const T e = exp(-fabs(z));
    return (z < T(0) ? e : T(1)) / (T(1) + e);
  } else if constexpr (kind == Activation::erf) {
    return erf(z);
  } else {
    return z;
  }
}

/// Either rectifier: relu where `below` is 0, so that 0 times an infinity does not occur.
template <class T>
MF_FN T rectified(T z, T below) {
  return below == T(0) ? activation_of<Activation::relu>(z, below)
                       : activation_of<Activation::leaky_relu>(z, below);
}
template <class T>
MF_FN T rectified_slope(T state, T below) {
  return state > T(0) ? T(1) : below;
}

/// s'(z) from s(z), for erf from z.
template <Activation kind, class T>
MF_FN T slope_of(T state, T slope) {
  if constexpr (kind == Activation::relu) {
    return rectified_slope(state, T(0));
  } else if constexpr (kind == Activation::leaky_relu) {
    return rectified_slope(state, slope);
  } else if constexpr (kind == Activation::softplus) {
    return -expm1(-state);
  } else if constexpr (kind == Activation::tanh) {
    return (T(1) - state) * (T(1) + state);
  } else if constexpr (kind == Activation::sigmoid) {
    return state * (T(1) - state);
  } else if constexpr (kind == Activation::erf) {
    constexpr double two_over_root_pi = 1.1283791670955126;
    return static_cast<T>(two_over_root_pi) * exp(-state * state);
  } else {
    return T(1);
  }
}

/// (s'' / s')(z) from s(z), for erf from z: the logarithmic derivative of the slope. 0 for
/// functions of straight pieces.
template <Activation kind, class T>
MF_FN T relative_curvature_of(T state) {
  if constexpr (kind == Activation::softplus) {
    return exp(-state);  // 1 - sigmoid(z)
  } else if constexpr (kind == Activation::tanh) {
    return T(-2) * state;
  } else if constexpr (kind == Activation::sigmoid) {
    return T(1) - T(2) * state;
  } else if constexpr (kind == Activation::erf) {
    return T(-2) * state;
  } else {
    return T(0);
  }
}

}  // namespace manyfold::kernels
