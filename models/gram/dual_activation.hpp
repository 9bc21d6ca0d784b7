// Expectations of an activation over pairs of Gaussians, of which the kernels of infinitely wide
// networks are made (Daniely, Frostig and Singer 2016 call them dual activations).
#pragma once

#include "kernels/activation.hpp"

namespace manyfold::gram {

/// (u, v) ~ N(0, [[a, c], [c, b]]) of correlation rho = c / sqrt(a b), by what keeps its relative
/// accuracy as u and v become parallel or opposite.
struct GaussianPair {
  double a = 0;         ///< E[u^2] >= 0
  double b = 0;         ///< E[v^2] >= 0
  double apart = 0;     ///< 2 sqrt(a b) (1 - rho) >= 0
  double together = 0;  ///< 2 sqrt(a b) (1 + rho) >= 0

  double covariance() const { return (together - apart) / 4; }
  double distance() const;  ///< E[(u - v)^2]
};
/// By c, from which near rho = 1 and -1 only half the digits of the angle can be had.
GaussianPair pair_of_covariance(double a, double b, double c);
/// By E[(u - v)^2], from which they all can be had near rho = 1, where a = b.
GaussianPair pair_of_distance(double a, double b, double distance);

struct DualMoments {
  double product = 0;   ///< E[s(u) s(v)]
  double slopes = 0;    ///< E[s'(u) s'(v)], s'(0) as in kernels/activation.hpp
  double distance = 0;  ///< E[(s(u) - s(v))^2]
};

/// One activation s. Thread-safe.
///   linear, relu, leaky_relu  closed forms (Cho and Saul 2009: arc-cosine kernels of order 1 and
///                             0) by the angle between u and v, which keeps its relative accuracy
///                             as it goes to 0 or pi. leaky_relu is relu(z) - slope relu(-z).
///   erf                       closed forms (Williams 1997, eq. 11; slopes: a Gaussian integral)
///   softplus, tanh, sigmoid   the trapezoidal rule in x and y, u = sqrt(a) x and
///                             v = sqrt(b) (rho x + sqrt(1 - rho^2) y), at any correlation rho; its
///                             step follows from where s has its nearest singularity
/// Errors at variances 1/100 to 25 and angles 0 to pi, 1e-12 and pi - 1e-7 included, against rules
/// in other coordinates (of a third of the step; in the angle, of the piecewise linear ones):
/// of products at most 2e-15 sqrt(E[s(u)^2] E[s(v)^2]), of slopes 1e-15, of distances 4e-15
/// (E[s(u)^2] + E[s(v)^2]). The rule's time grows with the larger variance: at 1 it has 1,600
/// points for softplus and sigmoid, 5,700 for tanh.
class DualActivation {
 public:
  /// `slope` is that of leaky_relu. By quadrature, variances above 1e4 are InputErrors.
  explicit DualActivation(kernels::Activation kind, double slope = 0);

  /// Whether s(t z) = t s(z) for t >= 0.
  bool homogeneous() const;
  /// E[s(u)], u ~ N(0, variance).
  double mean(double variance) const;
  /// E[s(u)^2].
  double mean_square(double variance) const;
  /// The distance is exactly 0 where that of u and v is.
  DualMoments moments(const GaussianPair& pair) const;

 private:
  kernels::Activation kind_;
  double slope_;  ///< below 0, of the homogeneous ones
};

}  // namespace manyfold::gram
