// Closed forms and quadrature.
#include "models/gram/dual_activation.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <vector>

#include <fmt/format.h>

#include "core/error.hpp"

namespace manyfold::gram {
namespace {

using kernels::Activation;
using std::numbers::pi;

double square(double x) { return x * x; }

/// sin t - t cos t, of which both terms are nearly t for small t >= 0.
double sine_excess(double t, double sine, double cosine) {
  if (t > 0.5) return sine - t * cosine;
  // sum_k (-1)^k (2k + 2)/(2k + 3)! t^(2k + 3)
  const double t2 = t * t;
  double sum = 0;
  double term = t * t2 / 6;  // t^(2k + 3)/(2k + 3)!, with its sign
  for (int k = 0; k < 7; ++k) {
    sum += (2 * k + 2) * term;
    term *= -t2 / ((2 * k + 4) * (2 * k + 5));
  }
  return sum;
}

/// Of s(z) = relu(z) - slope relu(-z).
DualMoments piecewise_linear(double slope, const GaussianPair& pair) {
  const double far = std::max(pair.apart, pair.together);
  const double near = std::min(pair.apart, pair.together);
  // The angle between u and v, or between u and -v, whichever is acute.
  const double acute = 2 * std::atan2(std::sqrt(near), std::sqrt(far));
  const double angle = pair.apart == near ? acute : pi - acute;
  const double supplement = pair.apart == near ? pi - acute : acute;
  const double sine = far > 0 ? 2 * std::sqrt(near * far) / (near + far) : 0;
  const double cosine = far > 0 ? (pair.together - pair.apart) / (near + far) : 1;
  const double scale = std::sqrt(pair.a * pair.b) / (2 * pi);
  // E[relu(u) relu(v)] and E[relu(u) relu(-v)]
  const double same_sign = scale * sine_excess(supplement, sine, -cosine);
  const double other_sign = scale * sine_excess(angle, sine, cosine);
  DualMoments moments;
  moments.product = (1 + slope * slope) * same_sign - 2 * slope * other_sign;
  moments.slopes = ((1 + slope * slope) * supplement + 2 * slope * angle) / (2 * pi);
  // u and v that are 0 for certain have s'(0), which is `slope`.
  if (pair.a == 0 || pair.b == 0)
    moments.slopes = pair.a == pair.b ? slope * slope : slope * (1 + slope) / 2;
  moments.distance =
      std::max((1 + slope * slope) * pair.distance() / 2 - 2 * square(1 - slope) * other_sign, 0.0);
  return moments;
}

DualMoments error_function(const GaussianPair& pair) {
  // arcsin(2c / sqrt((1 + 2a)(1 + 2b))) without the division, which near 1 costs half the digits;
  // 4 (a b - c^2) is apart times together.
  const double root = std::sqrt(1 + 2 * (pair.a + pair.b) + pair.apart * pair.together);
  const auto own = [](double a) { return std::atan2(2 * a, std::sqrt(1 + 2 * (a + a))); };
  const double both = std::atan2(2 * pair.covariance(), root);
  const bool equal = pair.a == pair.b && pair.apart == 0;
  return {.product = 2 / pi * both,
          .slopes = 4 / pi / root,
          .distance =
              equal ? 0 : std::max(2 / pi * ((own(pair.a) - both) + (own(pair.b) - both)), 0.0)};
}

struct ValueAndSlope {
  double value = 0;
  double slope = 0;
};

/// The activations that have no closed form.
ValueAndSlope smooth(Activation kind, double z) {
  if (kind == Activation::tanh) {
    const double t = std::tanh(z);
    return {t, 1 - t * t};
  }
  const double e = std::exp(-std::abs(z));
  const double sigmoid = z >= 0 ? 1 / (1 + e) : e / (1 + e);
  if (kind == Activation::sigmoid) return {sigmoid, e / square(1 + e)};
  return {std::max(z, 0.0) + std::log1p(e), sigmoid};
}

/// The trapezoidal rule for expectations over a standard normal. Its error for f analytic in a
/// strip of half width d is about e^(d^2/2 - 2 pi d / step), which the step below makes e^-45: what
/// a pole at the strip's edge adds is a factor of some e^7.
class NormalGrid {
 public:
  /// For f(z) = s(sqrt(variance) z).
  NormalGrid(Activation kind, double variance) {
    constexpr double exponent = 45;
    if (!(variance <= largest_variance))
      throw InputError(
          fmt::format("an expectation by quadrature at variance {}: expected at most {}", variance,
                      largest_variance));
    const double singularity = kind == Activation::tanh ? pi / 2 : pi;
    const double strip = std::min(singularity / std::sqrt(variance), std::sqrt(2 * exponent));
    step_ = 2 * pi * strip / (exponent + strip * strip / 2);
    const auto count = static_cast<int>(end / step_);
    for (int k = -count; k <= count; ++k) {
      nodes_.push_back(k * step_);
      weights_.push_back(std::exp(-square(k * step_) / 2) * step_ / std::sqrt(2 * pi));
    }
  }

  std::size_t size() const { return nodes_.size(); }
  double node(std::size_t k) const { return nodes_[k]; }
  double weight(std::size_t k) const { return weights_[k]; }
  /// The first of the nodes y with x^2 + y^2 <= end^2; they end as far from the other side.
  std::size_t first_beside(double x) const {
    const auto count =
        static_cast<std::size_t>(std::sqrt(std::max(end * end - x * x, 0.0)) / step_);
    return size() / 2 - std::min(count, size() / 2);
  }

  template <class F>
  double expectation(const F& f) const {
    double sum = 0;
    for (std::size_t k = 0; k < size(); ++k) sum += weights_[k] * f(nodes_[k]);
    return sum;
  }

 private:
  static constexpr double end = 9;                 // where the density is below 1e-18
  static constexpr double largest_variance = 1e4;  // 3e7 points or more are nobody's wish

  double step_ = 0;
  std::vector<double> nodes_;
  std::vector<double> weights_;
};

DualMoments quadrature(Activation kind, const GaussianPair& pair) {
  const NormalGrid grid(kind, std::max(pair.a, pair.b));
  const double deviation = std::sqrt(pair.a);
  // sqrt(b) rho and sqrt(b) sqrt(1 - rho^2); exactly sqrt(b) and 0 where u and v are parallel.
  const double sum = pair.together + pair.apart;
  const double along = std::sqrt(pair.b) * (sum > 0 ? (pair.together - pair.apart) / sum : 1);
  const double across =
      sum > 0 ? std::sqrt(pair.b) * 2 * std::sqrt(pair.together * pair.apart) / sum : 0;
  DualMoments moments;
  for (std::size_t i = 0; i < grid.size(); ++i) {
    const double x = grid.node(i);
    const ValueAndSlope u = smooth(kind, deviation * x);
    DualMoments given;  // x
    const std::size_t first = grid.first_beside(x);
    for (std::size_t j = first; j < grid.size() - first; ++j) {
      const ValueAndSlope v = smooth(kind, along * x + across * grid.node(j));
      given.product += grid.weight(j) * v.value;
      given.slopes += grid.weight(j) * v.slope;
      given.distance += grid.weight(j) * square(u.value - v.value);
    }
    moments.product += grid.weight(i) * u.value * given.product;
    moments.slopes += grid.weight(i) * u.slope * given.slopes;
    moments.distance += grid.weight(i) * given.distance;
  }
  return moments;
}

double homogeneous_slope(Activation kind, double slope) {
  if (kind == Activation::linear) return 1;
  return kind == Activation::leaky_relu ? slope : 0;
}

}  // namespace

double GaussianPair::distance() const { return square(std::sqrt(a) - std::sqrt(b)) + apart; }

GaussianPair pair_of_covariance(double a, double b, double c) {
  const double parallel = std::sqrt(a * b);
  return {a, b, std::max(2 * (parallel - c), 0.0), std::max(2 * (parallel + c), 0.0)};
}

GaussianPair pair_of_distance(double a, double b, double distance) {
  // Heron's factors of the triangle of sides sqrt(a), sqrt(b) and sqrt(distance).
  const double u = std::sqrt(a);
  const double v = std::sqrt(b);
  return {a, b, std::max(distance - square(u - v), 0.0), std::max(square(u + v) - distance, 0.0)};
}

DualActivation::DualActivation(Activation kind, double slope)
    : kind_(kind), slope_(homogeneous_slope(kind, slope)) {}

bool DualActivation::homogeneous() const {
  return kind_ == Activation::linear || kind_ == Activation::relu ||
         kind_ == Activation::leaky_relu;
}

double DualActivation::mean(double variance) const {
  if (homogeneous()) return (1 - slope_) * std::sqrt(variance / (2 * pi));
  if (kind_ == Activation::sigmoid) return 0.5;
  if (kind_ != Activation::softplus) return 0;
  const double deviation = std::sqrt(variance);
  return NormalGrid(kind_, variance).expectation([&](double z) {
    return smooth(kind_, deviation * z).value;
  });
}

double DualActivation::mean_square(double variance) const {
  if (homogeneous()) return (1 + slope_ * slope_) * variance / 2;
  if (kind_ == Activation::erf)
    return error_function(pair_of_distance(variance, variance, 0)).product;
  const double deviation = std::sqrt(variance);
  return NormalGrid(kind_, variance).expectation([&](double z) {
    return square(smooth(kind_, deviation * z).value);
  });
}

DualMoments DualActivation::moments(const GaussianPair& pair) const {
  if (kind_ == Activation::linear)
    return {.product = pair.covariance(), .slopes = 1, .distance = pair.distance()};
  if (homogeneous()) return piecewise_linear(slope_, pair);
  if (kind_ == Activation::erf) return error_function(pair);
  return quadrature(kind_, pair);
}

}  // namespace manyfold::gram
