// Kernels of infinitely wide networks: expectations of activations against quadrature in other
// coordinates and against draws, the recursions against wide networks that are drawn, and fully
// connected ones against neural-tangents (infinite_width_reference.py).
#include "models/gram/infinite_width.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <fstream>
#include <limits>
#include <numbers>
#include <ostream>
#include <random>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "core/error.hpp"
#include "models/gram/dual_activation.hpp"
#include "models/network/layer.hpp"

namespace manyfold::testing {
namespace {

using gram::Architecture;
using gram::DualActivation;
using gram::DualMoments;
using gram::InfiniteWidthKernels;
using gram::NetworkKind;
using gram::Parametrization;
using kernels::Activation;
using std::numbers::pi;

constexpr double leaky_slope = 0.3;

struct ValueAndSlope {
  double value = 0;
  double slope = 0;
};

ValueAndSlope activate(Activation kind, double z) {
  switch (kind) {
    case Activation::linear:
      return {z, 1};
    case Activation::relu:
      return {std::max(z, 0.0), z > 0 ? 1.0 : 0.0};
    case Activation::leaky_relu:
      return {z > 0 ? z : leaky_slope * z, z > 0 ? 1 : leaky_slope};
    case Activation::softplus:
      return {std::max(z, 0.0) + std::log1p(std::exp(-std::abs(z))), 1 / (1 + std::exp(-z))};
    case Activation::tanh:
      return {std::tanh(z), 1 / (std::cosh(z) * std::cosh(z))};
    case Activation::sigmoid:
      return {1 / (1 + std::exp(-z)), 1 / (2 + std::exp(z) + std::exp(-z))};
    case Activation::erf:
      return {std::erf(z), 2 / std::sqrt(pi) * std::exp(-z * z)};
  }
  return {};
}

bool is_piecewise_linear(Activation kind) { return DualActivation(kind).homogeneous(); }

struct Rule {
  std::vector<double> nodes;
  std::vector<double> weights;
};

/// Gauss-Legendre on [-1, 1].
Rule gauss_legendre(int order) {
  Rule rule;
  for (int i = 0; i < order; ++i) {
    double x = std::cos(pi * (i + 0.75) / (order + 0.5));
    double derivative = 0;
    for (int step = 0; step < 100; ++step) {
      double before = 1;
      double now = x;
      for (int k = 2; k <= order; ++k)
        before = std::exchange(now, ((2 * k - 1) * x * now - (k - 1) * before) / k);
      derivative = order * (x * now - before) / (x * x - 1);
      x -= now / derivative;
    }
    rule.nodes.push_back(x);
    rule.weights.push_back(2 / ((1 - x * x) * derivative * derivative));
  }
  return rule;
}

/// Where s is linear on both sides of 0, the expectations are integrals over the direction of
/// (x, y) alone, of trigonometric functions between the four directions where u or v is 0.
DualMoments by_direction(Activation kind, double a, double b, double angle) {
  static const Rule rule = gauss_legendre(20);
  std::vector<double> ends{0,
                           2 * pi,
                           pi / 2,
                           3 * pi / 2,
                           std::fmod(angle + pi / 2, 2 * pi),
                           std::fmod(angle + 3 * pi / 2, 2 * pi)};
  std::sort(ends.begin(), ends.end());
  DualMoments moments;
  for (std::size_t k = 0; k + 1 < ends.size(); ++k) {
    const double half = (ends[k + 1] - ends[k]) / 2;
    for (std::size_t i = 0; i < rule.nodes.size(); ++i) {
      const double direction = ends[k] + half * (1 + rule.nodes[i]);
      const auto u = activate(kind, std::sqrt(a) * std::cos(direction));
      const auto v = activate(kind, std::sqrt(b) * std::cos(direction - angle));
      const double weight = half * rule.weights[i] / (2 * pi);
      moments.product += 2 * weight * u.value * v.value;
      moments.slopes += weight * u.slope * v.slope;
      moments.distance += 2 * weight * (u.value - v.value) * (u.value - v.value);
    }
  }
  return moments;
}

/// The trapezoidal rule in coordinates that treat u and v alike, with steps a third of those that
/// DualActivation takes, or less.
DualMoments by_fine_grid(Activation kind, double a, double b, double angle) {
  const double step = 0.07 / std::sqrt(std::max({a, b, 1.0}));
  const int count = static_cast<int>(10 / step);
  long double product = 0;
  long double slopes = 0;
  long double distance = 0;
  for (int i = -count; i <= count; ++i) {
    DualMoments row;
    const double x = i * step;
    for (int j = -count; j <= count; ++j) {
      const double y = j * step;
      const double along = std::cos(angle / 2) * x;
      const double across = std::sin(angle / 2) * y;
      const auto u = activate(kind, std::sqrt(a) * (along + across));
      const auto v = activate(kind, std::sqrt(b) * (along - across));
      const double weight = std::exp(-(x * x + y * y) / 2);
      row.product += weight * u.value * v.value;
      row.slopes += weight * u.slope * v.slope;
      row.distance += weight * (u.value - v.value) * (u.value - v.value);
    }
    product += row.product;
    slopes += row.slopes;
    distance += row.distance;
  }
  const double scale = step * step / (2 * pi);
  return {scale * static_cast<double>(product), scale * static_cast<double>(slopes),
          scale * static_cast<double>(distance)};
}

gram::GaussianPair pair_at(double a, double b, double angle) {
  const double sine = std::sin(angle / 2);
  const double cosine = std::cos(angle / 2);
  const double scale = 4 * std::sqrt(a * b);
  return {a, b, scale * sine * sine, scale * cosine * cosine};
}

class ActivationTest : public ::testing::TestWithParam<Activation> {};

TEST_P(ActivationTest, ExpectationsAgreeWithQuadratureInOtherCoordinates) {
  const DualActivation dual(GetParam(), leaky_slope);
  double worst_product = 0;
  double worst_slopes = 0;
  double worst_distance = 0;
  for (const auto& [a, b] :
       {std::pair{1.0, 1.0}, {0.01, 0.01}, {25.0, 25.0}, {0.04, 1.7}, {9.0, 1.0}}) {
    for (const double angle :
         {0.0, 1e-12, 1e-7, 1e-3, 0.4, pi / 2, 2.6, pi - 1e-3, pi - 1e-7, pi}) {
      const DualMoments expected = is_piecewise_linear(GetParam())
                                       ? by_direction(GetParam(), a, b, angle)
                                       : by_fine_grid(GetParam(), a, b, angle);
      const DualMoments moments = dual.moments(pair_at(a, b, angle));
      const double scale = std::sqrt(dual.mean_square(a) * dual.mean_square(b));
      worst_product = std::max(worst_product, std::abs(moments.product - expected.product) / scale);
      worst_slopes = std::max(worst_slopes, std::abs(moments.slopes - expected.slopes));
      worst_distance = std::max(worst_distance, std::abs(moments.distance - expected.distance) /
                                                    (dual.mean_square(a) + dual.mean_square(b)));
    }
  }
  RecordProperty("product", fmt::format("{:.2e}", worst_product));
  RecordProperty("slopes", fmt::format("{:.2e}", worst_slopes));
  RecordProperty("distance", fmt::format("{:.2e}", worst_distance));
  EXPECT_LE(worst_product, 2e-15);
  EXPECT_LE(worst_slopes, 1e-15);
  EXPECT_LE(worst_distance, 4e-15);
}

TEST_P(ActivationTest, ExpectationsAgreeWithDraws) {
  constexpr int draws = 1'000'000;
  const DualActivation dual(GetParam(), leaky_slope);
  std::mt19937_64 random(17);
  std::normal_distribution<double> normal;
  for (const auto& [a, b, c] : {std::tuple{1.0, 1.0, 0.6}, {0.5, 3.0, -0.9}}) {
    const DualMoments moments = dual.moments(gram::pair_of_covariance(a, b, c));
    const std::array<double, 5> expected{moments.product, moments.slopes, moments.distance,
                                         dual.mean(a), dual.mean_square(b)};
    std::array<double, 5> sums{};
    std::array<double, 5> squares{};
    for (int draw = 0; draw < draws; ++draw) {
      const double x = normal(random);
      const double y = normal(random);
      const auto u = activate(GetParam(), std::sqrt(a) * x);
      const auto v = activate(GetParam(), c / std::sqrt(a) * x + std::sqrt(b - c * c / a) * y);
      const std::array<double, 5> values{u.value * v.value, u.slope * v.slope,
                                         (u.value - v.value) * (u.value - v.value), u.value,
                                         v.value * v.value};
      for (std::size_t k = 0; k < values.size(); ++k) {
        sums[k] += values[k];
        squares[k] += values[k] * values[k];
      }
    }
    for (std::size_t k = 0; k < expected.size(); ++k) {
      const double mean = sums[k] / draws;
      const double error = std::sqrt(std::max(squares[k] / draws - mean * mean, 0.0) / draws);
      EXPECT_NEAR(mean, expected[k], 5 * error + 1e-12) << "expectation " << k;
    }
  }
}

TEST_P(ActivationTest, ExpectationsFollowFromEachOther) {
  const DualActivation dual(GetParam(), leaky_slope);
  for (const double a : {0.3, 1.0, 4.0}) {
    const DualMoments same = dual.moments(gram::pair_of_distance(a, a, 0));
    EXPECT_EQ(same.distance, 0);
    EXPECT_NEAR(same.product, dual.mean_square(a), 4e-15 * dual.mean_square(a));
    const DualMoments apart = dual.moments(gram::pair_of_distance(a, 2 * a, 2.5 * a));
    EXPECT_NEAR(apart.distance, dual.mean_square(a) + dual.mean_square(2 * a) - 2 * apart.product,
                1e-14 * (dual.mean_square(a) + dual.mean_square(2 * a)));
  }
  EXPECT_NEAR(dual.mean_square(1), network::mean_square(GetParam(), leaky_slope), 4e-15);
}

INSTANTIATE_TEST_SUITE_P(Of, ActivationTest,
                         ::testing::Values(Activation::linear, Activation::relu,
                                           Activation::leaky_relu, Activation::softplus,
                                           Activation::tanh, Activation::sigmoid, Activation::erf),
                         [](const auto& of) {
                           return network::activation_names()[static_cast<std::size_t>(of.param)];
                         });

TEST(DualActivation, ReluKeepsItsAccuracyAtSmallAngles) {
  // E[(relu(u) - relu(v))^2] = 1 - cos t - (sin t - t cos t)/pi
  for (const double t : {1e-3, 1e-6, 1e-10}) {
    const DualMoments moments = DualActivation(Activation::relu).moments(pair_at(1, 1, t));
    const double t3 = t * t * t;
    EXPECT_NEAR(moments.distance,
                t * t / 2 - t3 / (3 * pi) - t3 * t / 24 + t3 * t * t / (30 * pi) + t3 * t3 / 720,
                1e-15 * t * t);
    EXPECT_NEAR(0.5 - moments.slopes, t / (2 * pi), 2e-16);
  }
}

TEST(DualActivation, RefusesAVarianceThatItsRuleCannotResolve) {
  EXPECT_THROW(DualActivation(Activation::tanh).moments(gram::pair_of_covariance(1e9, 1, 0)),
               InputError);
  EXPECT_THROW(DualActivation(Activation::softplus).mean(std::nan("")), InputError);
}

/// Points on the unit sphere.
std::vector<double> sphere(std::int64_t examples, std::int64_t dimension, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<double> normal;
  std::vector<double> x(static_cast<std::size_t>(examples * dimension));
  const auto d = static_cast<std::size_t>(dimension);
  for (std::size_t i = 0; i < x.size(); i += d) {
    double square = 0;
    for (std::size_t k = i; k < i + d; ++k) {
      x[k] = normal(random);
      square += x[k] * x[k];
    }
    for (std::size_t k = i; k < i + d; ++k) x[k] /= std::sqrt(square);
  }
  return x;
}

double dot(const double* x, const double* y, std::size_t count) {
  double sum = 0;
  for (std::size_t k = 0; k < count; ++k) sum += x[k] * y[k];
  return sum;
}

TEST(TwoLayerRelu, KernelAgreesWithItsFormulaWithQuadratureAndWithDraws) {
  constexpr std::size_t n = 6;
  constexpr std::size_t d = 4;
  constexpr int draws = 1'000'000;
  const std::vector<double> x = sphere(n, d, 3);
  const std::vector<double> kernel = gram::two_layer_relu_kernel(x, n, 1);
  std::vector<int> both(n * n);
  std::mt19937_64 random(23);
  std::normal_distribution<double> normal;
  for (int draw = 0; draw < draws; ++draw) {
    std::array<double, d> w{};
    for (double& entry : w) entry = normal(random);
    std::array<bool, n> active{};
    for (std::size_t i = 0; i < n; ++i) active[i] = dot(w.data(), &x[i * d], d) >= 0;
    for (std::size_t i = 0; i < n; ++i) {
      for (std::size_t j = 0; j < n; ++j) both[i * n + j] += active[i] && active[j] ? 1 : 0;
    }
  }
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t j = 0; j < n; ++j) {
      const double product = i == j ? 1 : dot(&x[i * d], &x[j * d], d);
      const double angle = std::acos(product);
      const double entry = kernel[i * n + j];
      EXPECT_NEAR(entry, product * (pi - angle) / (2 * pi), 1e-15);
      EXPECT_NEAR(entry, product * by_direction(Activation::relu, 1, 1, angle).slopes, 1e-15);
      const double share = both[i * n + j] / static_cast<double>(draws);
      const double error = std::sqrt(share * (1 - share) / draws);
      EXPECT_NEAR(entry, product * share, 5 * std::abs(product) * error);
    }
  }
}

double least_eigenvalue(double a, double b, double c) {
  // Of [[a, c], [c, b]] by its determinant: no difference of eigenvalue-sized numbers.
  return (a * b - c * c) / ((a + b) / 2 + std::hypot((a - b) / 2, c));
}

TEST(TwoLayerRelu, ParallelInputsMakeItSingular) {
  std::vector<double> x = sphere(1, 40, 8);
  for (const double factor : {1.0, 3.0, 0.7, 1e5}) {
    std::vector<double> both = x;
    for (const double entry : x) both.push_back(factor * entry);
    for (const std::int64_t depth : {1, 3, 8}) {
      for (const NetworkKind kind : {NetworkKind::fc, NetworkKind::resnet}) {
        const InfiniteWidthKernels kernels =
            gram::infinite_width_kernels({.kind = kind, .depth = depth}, both, 2, 1);
        for (const auto* k : {&kernels.nngp, &kernels.tangent, &kernels.last_layer}) {
          // In the inputs' own scale; 16 roundings of entries of size 1.
          const double a = (*k)[0];
          const double b = (*k)[3] / (factor * factor);
          const double c = (*k)[1] / factor;
          EXPECT_NEAR(least_eigenvalue(a, b, c) / a, 0, 16 * std::numeric_limits<double>::epsilon())
              << factor << " " << depth;
        }
      }
    }
    const std::vector<double> kernel = gram::two_layer_relu_kernel(both, 2, 1);
    EXPECT_NEAR(least_eigenvalue(kernel[0], kernel[3] / (factor * factor), kernel[1] / factor), 0,
                4 * std::numeric_limits<double>::epsilon());
  }
}

TEST(TwoLayerRelu, NearlyParallelAndOppositeInputsHaveTheirAngle) {
  // x_i . x_j rounds to 1 and -1 here; arccos would say 0 and pi.
  const double angle = 1e-9;
  const std::vector<double> x{1, 0, std::cos(angle), std::sin(angle), -1, 0};
  const std::vector<double> kernel = gram::two_layer_relu_kernel(x, 3, 1);
  EXPECT_NEAR(0.5 - kernel[1], angle / (2 * pi), 1e-16);
  EXPECT_NEAR(-kernel[2 * 3 + 1], angle / (2 * pi), 1e-16);
  EXPECT_EQ(kernel[2 * 3], 0);
}

// Networks of finite width, drawn and differentiated here by plain loops.

struct Matrices {
  std::vector<double> nngp;
  std::vector<double> tangent;
  std::vector<double> last_layer;
  std::vector<double> means;  ///< as gram::layer_means
};

class DrawnNet {
 public:
  DrawnNet(const Architecture& architecture, std::size_t width, std::uint64_t seed)
      : architecture_(architecture), width_(width), random_(seed) {}

  Matrices measure(const std::vector<double>& inputs, std::size_t n) {
    const std::size_t entries = inputs.size() / n;
    const std::size_t channels = entries / places();
    // (example, place, channel)
    std::vector<double> x(inputs.size());
    for (std::size_t i = 0; i < n; ++i) {
      for (std::size_t k = 0; k < entries; ++k)
        x[i * entries + k % places() * channels + k / places()] = inputs[i * entries + k];
    }
    Matrices result;
    std::vector<Layer> layers;
    for (std::size_t h = 0; h < depth(); ++h) {
      layers.push_back(forward(x, n, h == 0 ? channels : width_, h));
      for (std::size_t row = 0; row < n * places(); ++row) {
        double sum = 0;
        for (std::size_t r = 0; r < width_; ++r) sum += x[row * width_ + r];
        const double m = static_cast<double>(width_);
        result.means.push_back(sum / m * (is_thesis() ? std::sqrt(m) : 1));
      }
    }
    const std::size_t size = places() * width_;
    const double output = is_thesis() ? 1 : 1 / std::sqrt(static_cast<double>(size));
    result.nngp = gram_of(x, x, n, size);
    for (double& entry : result.nngp) entry *= output * output;
    std::vector<double> a(size);
    for (double& entry : a) entry = output * normal_(random_);
    std::vector<double> dx;
    for (std::size_t i = 0; i < n; ++i) dx.insert(dx.end(), a.begin(), a.end());
    result.tangent = result.nngp;
    for (std::size_t h = depth(); h-- > 0;) {
      const std::vector<double> layer = backward(layers[h], dx, n, h);
      for (std::size_t k = 0; k < layer.size(); ++k) result.tangent[k] += layer[k];
      if (h + 1 == depth()) result.last_layer = layer;
    }
    return result;
  }

 private:
  struct Layer {
    std::size_t inputs = 0;  ///< of a patch
    std::vector<float> weights;
    std::vector<double> patches;
    std::vector<double> slopes;
    double product_scale = 1;
    double scale = 1;
  };

  bool is_conv() const { return architecture_.kind == NetworkKind::conv_resnet; }
  bool is_thesis() const { return architecture_.parametrization == Parametrization::thesis; }
  std::size_t depth() const { return static_cast<std::size_t>(architecture_.depth); }
  std::size_t places() const {
    return is_conv() ? static_cast<std::size_t>(architecture_.window.places()) : 1;
  }
  std::size_t taps() const {
    return is_conv() ? static_cast<std::size_t>(architecture_.window.taps()) : 1;
  }
  /// The place that `tap` of the patch at `place` shows, or -1.
  int seen(std::size_t place, std::size_t tap) const {
    if (!is_conv()) return 0;
    const auto& window = architecture_.window;
    const auto width = static_cast<std::size_t>(window.width);
    const auto kernel = static_cast<std::size_t>(window.kernel_width);
    const auto row = static_cast<std::int64_t>(place / width + tap / kernel) - window.padding_y;
    const auto col = static_cast<std::int64_t>(place % width + tap % kernel) - window.padding_x;
    if (row < 0 || row >= window.height || col < 0 || col >= window.width) return -1;
    return static_cast<int>(row * window.width + col);
  }

  Layer forward(std::vector<double>& x, std::size_t n, std::size_t channels, std::size_t h) {
    Layer layer;
    layer.inputs = taps() * channels;
    const double m = static_cast<double>(width_);
    const bool block = architecture_.kind != NetworkKind::fc && h > 0;
    if (is_thesis()) {
      layer.scale =
          block ? architecture_.c_res / (static_cast<double>(depth()) * std::sqrt(m))
                : std::sqrt(
                      1 / network::mean_square(architecture_.activation, architecture_.slope) / m);
    } else {
      layer.scale = block ? architecture_.c_res : 1;
      layer.product_scale = 1 / std::sqrt(static_cast<double>(layer.inputs));
    }
    layer.weights.resize(width_ * layer.inputs);
    for (float& w : layer.weights) w = static_cast<float>(normal_(random_));
    layer.patches.resize(n * places() * layer.inputs);
    for (std::size_t i = 0; i < n; ++i) {
      for (std::size_t l = 0; l < places(); ++l) {
        for (std::size_t t = 0; t < taps(); ++t) {
          const int from = seen(l, t);
          if (from < 0) continue;
          const double* source = &x[(i * places() + static_cast<std::size_t>(from)) * channels];
          std::copy_n(source, channels,
                      &layer.patches[(i * places() + l) * layer.inputs + t * channels]);
        }
      }
    }
    std::vector<double> result(n * places() * width_);
    layer.slopes.resize(result.size());
    for (std::size_t r = 0; r < width_; ++r) {
      const float* w = &layer.weights[r * layer.inputs];
      for (std::size_t row = 0; row < n * places(); ++row) {
        const double* patch = &layer.patches[row * layer.inputs];
        double z = 0;
        for (std::size_t k = 0; k < layer.inputs; ++k) z += static_cast<double>(w[k]) * patch[k];
        const auto s = activate(architecture_.activation, layer.product_scale * z);
        result[row * width_ + r] = layer.scale * s.value + (block ? x[row * width_ + r] : 0);
        layer.slopes[row * width_ + r] = s.slope;
      }
    }
    x = std::move(result);
    return layer;
  }

  /// The Gram matrix of derivatives by this layer's weights; dx goes from its output to its input.
  std::vector<double> backward(const Layer& layer, std::vector<double>& dx, std::size_t n,
                               std::size_t h) {
    const std::size_t rows = n * places();
    std::vector<double> dz(dx.size());
    for (std::size_t k = 0; k < dz.size(); ++k)
      dz[k] = layer.scale * layer.product_scale * layer.slopes[k] * dx[k];
    const std::vector<double> inputs = gram_of(layer.patches, layer.patches, rows, layer.inputs);
    const std::vector<double> outputs = gram_of(dz, dz, rows, width_);
    std::vector<double> matrix(n * n);
    for (std::size_t p = 0; p < rows; ++p) {
      for (std::size_t q = 0; q < rows; ++q)
        matrix[p / places() * n + q / places()] += inputs[p * rows + q] * outputs[p * rows + q];
    }
    if (h == 0) return matrix;
    if (architecture_.kind == NetworkKind::fc) std::fill(dx.begin(), dx.end(), 0.0);
    for (std::size_t r = 0; r < width_; ++r) {
      for (std::size_t row = 0; row < rows; ++row) {
        for (std::size_t t = 0; t < taps(); ++t) {
          const int to = seen(row % places(), t);
          if (to < 0) continue;
          const float* w = &layer.weights[r * layer.inputs + t * width_];
          double* sum = &dx[(row / places() * places() + static_cast<std::size_t>(to)) * width_];
          const double factor = dz[row * width_ + r];
          for (std::size_t k = 0; k < width_; ++k) sum[k] += factor * static_cast<double>(w[k]);
        }
      }
    }
    return matrix;
  }

  static std::vector<double> gram_of(const std::vector<double>& x, const std::vector<double>& y,
                                     std::size_t rows, std::size_t size) {
    std::vector<double> gram(rows * rows);
    for (std::size_t i = 0; i < rows; ++i) {
      for (std::size_t j = 0; j < rows; ++j)
        gram[i * rows + j] = dot(&x[i * size], &y[j * size], size);
    }
    return gram;
  }

  Architecture architecture_;
  std::size_t width_;
  std::mt19937_64 random_;
  std::normal_distribution<double> normal_;
};

struct WidthCase {
  std::string name;
  Architecture architecture;
  std::size_t width;
};

void PrintTo(const WidthCase& width_case, std::ostream* out) { *out << width_case.name; }

kernels::Window places(std::int64_t channels, std::int64_t height, std::int64_t width) {
  return {.channels = channels,
          .height = height,
          .width = width,
          .kernel_height = height == 1 ? 1 : 3,
          .kernel_width = 3,
          .padding_y = height == 1 ? 0 : 1,
          .padding_x = 1};
}

const std::vector<WidthCase>& width_cases() {
  constexpr auto resnet = NetworkKind::resnet;
  constexpr auto conv = NetworkKind::conv_resnet;
  constexpr auto relu = Activation::relu;
  constexpr auto softplus = Activation::softplus;
  constexpr auto ntk = Parametrization::ntk;
  static const std::vector<WidthCase> cases{
      {"fc_relu_2", {.depth = 2}, 2048},
      {"fc_relu_3", {.depth = 3}, 1024},
      {"fc_tanh_3", {.activation = Activation::tanh, .depth = 3}, 1024},
      {"fc_leaky_3_ntk",
       {.activation = Activation::leaky_relu,
        .slope = leaky_slope,
        .depth = 3,
        .parametrization = ntk},
       1024},
      {"resnet_relu_2", {.kind = resnet, .activation = relu, .depth = 2, .c_res = 0.9}, 2048},
      {"resnet_relu_3", {.kind = resnet, .activation = relu, .depth = 3, .c_res = 0.9}, 1024},
      {"resnet_softplus_3",
       {.kind = resnet, .activation = softplus, .depth = 3, .c_res = 0.9},
       1024},
      {"resnet_softplus_2_ntk",
       {.kind = resnet, .activation = softplus, .depth = 2, .c_res = 0.9, .parametrization = ntk},
       2048},
      {"conv_relu_2",
       {.kind = conv, .activation = relu, .depth = 2, .c_res = 0.9, .window = places(2, 1, 5)},
       512},
      {"conv_softplus_3",
       {.kind = conv, .activation = softplus, .depth = 3, .c_res = 0.9, .window = places(2, 1, 4)},
       512},
      {"conv_erf_3_ntk",
       {.kind = conv,
        .activation = Activation::erf,
        .depth = 3,
        .c_res = 0.9,
        .parametrization = ntk,
        .window = places(1, 2, 3)},
       256},
  };
  return cases;
}

class FiniteWidthTest : public ::testing::TestWithParam<WidthCase> {};

/// The kernels and means of nets of one width, a list of vectors for each.
using DrawnKernels = std::array<std::vector<std::vector<double>>, 4>;
constexpr std::array<const char*, 4> kernel_names{"nngp", "tangent", "last layer", "means"};

DrawnKernels draw(const Architecture& architecture, std::size_t width, std::size_t count,
                  const std::vector<double>& inputs, std::size_t examples) {
  DrawnKernels all;
  for (std::size_t seed = 0; seed < count; ++seed) {
    Matrices drawn = DrawnNet(architecture, width, 1000 * width + seed).measure(inputs, examples);
    all[0].push_back(std::move(drawn.nngp));
    all[1].push_back(std::move(drawn.tangent));
    all[2].push_back(std::move(drawn.last_layer));
    all[3].push_back(std::move(drawn.means));
  }
  return all;
}

/// Of single nets against the limit, over all entries.
double root_mean_square_error(const std::vector<std::vector<double>>& nets,
                              const std::vector<double>& limit) {
  double total = 0;
  for (const auto& net : nets) {
    for (std::size_t k = 0; k < limit.size(); ++k)
      total += (net[k] - limit[k]) * (net[k] - limit[k]);
  }
  return std::sqrt(total / static_cast<double>(limit.size() * nets.size()));
}

/// Means over nets lie within 5 standard errors of the limit. What a finite width leaves in the
/// mean, of relative size 1/m, is far below these, of size 1/sqrt(m nets).
void expect_limit(const char* name, const std::vector<std::vector<double>>& nets,
                  const std::vector<double>& limit) {
  const double count = static_cast<double>(nets.size());
  for (std::size_t k = 0; k < limit.size(); ++k) {
    double sum = 0;
    for (const auto& net : nets) sum += net[k];
    const double mean = sum / count;
    double squares = 0;
    for (const auto& net : nets) squares += (net[k] - mean) * (net[k] - mean);
    EXPECT_NEAR(mean, limit[k], 5 * std::sqrt(squares / (count - 1) / count)) << name << " " << k;
  }
}

TEST_P(FiniteWidthTest, DrawnNetsApproachTheLimit) {
  const auto& [name, architecture, width] = GetParam();
  constexpr std::size_t n = 3;
  constexpr std::size_t wide_nets = 24;
  constexpr std::size_t narrow_nets = 96;
  const bool conv = architecture.kind == NetworkKind::conv_resnet;
  const std::vector<double> x = sphere(n, conv ? architecture.window.image_size() : 4, 5);
  InfiniteWidthKernels kernels = gram::infinite_width_kernels(architecture, x, n, 1);
  const std::array<std::vector<double>, 4> limits{
      std::move(kernels.nngp), std::move(kernels.tangent), std::move(kernels.last_layer),
      gram::layer_means(architecture, x, n)};

  const DrawnKernels narrow = draw(architecture, width / 16, narrow_nets, x, n);
  const DrawnKernels wide = draw(architecture, width, wide_nets, x, n);
  // Errors fall like m^-1/2. The logarithm of one from N nets, whose entries vary together, has a
  // standard error of 1/sqrt(2 N): 4 of them both ways.
  const double factor = std::exp(4 * std::sqrt(0.5 / wide_nets + 0.5 / narrow_nets));
  for (std::size_t k = 0; k < limits.size(); ++k) {
    expect_limit(kernel_names[k], wide[k], limits[k]);
    const double ratio =
        root_mean_square_error(narrow[k], limits[k]) / root_mean_square_error(wide[k], limits[k]);
    EXPECT_GT(ratio, 4 / factor) << kernel_names[k];
    EXPECT_LT(ratio, 4 * factor) << kernel_names[k];
  }
}

INSTANTIATE_TEST_SUITE_P(Of, FiniteWidthTest, ::testing::ValuesIn(width_cases()),
                         [](const auto& of) { return of.param.name; });

TEST(InfiniteWidth, FullyConnectedAgreesWithNeuralTangents) {
  std::ifstream file(std::string(MANYFOLD_SOURCE_DIR) +
                     "/tests/models/infinite_width_reference.json");
  const nlohmann::json reference = nlohmann::json::parse(file);
  const auto n = reference["examples"].get<std::int64_t>();
  const auto x = reference["inputs"].get<std::vector<double>>();
  ASSERT_EQ(reference["cases"].size(), 48U);
  double worst = 0;
  for (const auto& stored : reference["cases"]) {
    const Architecture architecture{
        .activation = network::activation_named(stored["activation"].get<std::string>()),
        .slope = reference["leaky_slope"].get<double>(),
        .depth = stored["depth"].get<std::int64_t>(),
        .parametrization =
            stored["parametrization"] == "ntk" ? Parametrization::ntk : Parametrization::thesis};
    const InfiniteWidthKernels kernels = gram::infinite_width_kernels(architecture, x, n, 1);
    std::size_t k = 0;
    for (std::int64_t i = 0; i < n; ++i) {
      for (std::int64_t j = 0; j <= i; ++j, ++k) {
        const auto at = static_cast<std::size_t>(i * n + j);
        for (const auto& [own, other] :
             {std::pair{kernels.nngp[at], stored["nngp"][k].get<double>()},
              std::pair{kernels.tangent[at], stored["tangent"][k].get<double>()}}) {
          EXPECT_NEAR(own, other, 1e-6 * std::abs(other))
              << stored["activation"] << stored["parametrization"] << stored["depth"] << i << j;
          worst = std::max(worst, std::abs(own / other - 1));
        }
      }
    }
  }
  RecordProperty("relative", fmt::format("{:.2e}", worst));
}

TEST(InfiniteWidth, KernelsOfOneHiddenLayer) {
  // At H = 1 the last hidden layer's is chapter 2's matrix times c_s = 2, for a ResNet as well.
  const std::vector<double> x = sphere(5, 3, 2);
  const std::vector<double> two_layer = gram::two_layer_relu_kernel(x, 5, 1);
  for (const NetworkKind kind : {NetworkKind::fc, NetworkKind::resnet}) {
    const InfiniteWidthKernels kernels = gram::infinite_width_kernels({.kind = kind}, x, 5, 1);
    for (std::size_t k = 0; k < two_layer.size(); ++k) {
      EXPECT_NEAR(kernels.last_layer[k], 2 * two_layer[k], 1e-15);
      EXPECT_NEAR(kernels.tangent[k], kernels.nngp[k] + kernels.last_layer[k], 1e-15);
    }
  }
}

TEST(InfiniteWidth, LinearNetsHaveTheInputsGramMatrix) {
  const std::vector<double> x = sphere(4, 6, 2);
  const std::int64_t depth = 5;
  const InfiniteWidthKernels kernels =
      gram::infinite_width_kernels({.activation = Activation::linear, .depth = depth}, x, 4, 1);
  for (std::size_t i = 0; i < 4; ++i) {
    for (std::size_t j = 0; j < 4; ++j) {
      const double product = dot(&x[i * 6], &x[j * 6], 6);
      EXPECT_NEAR(kernels.nngp[i * 4 + j], product, 1e-15);
      EXPECT_NEAR(kernels.tangent[i * 4 + j], static_cast<double>(depth + 1) * product, 1e-14);
    }
  }
}

TEST(InfiniteWidth, EqualInputsHaveEqualRowsAndZeroInputsAreNoMatter) {
  const std::vector<double> x{0, 0, 1, 2, 1, 2};
  for (const Activation kind : {Activation::relu, Activation::softplus, Activation::erf}) {
    const InfiniteWidthKernels kernels =
        gram::infinite_width_kernels({.activation = kind, .depth = 3}, x, 3, 1);
    for (const auto* k : {&kernels.nngp, &kernels.tangent, &kernels.last_layer}) {
      const std::vector<double>& entries = *k;
      EXPECT_EQ(entries[3 + 2], entries[3 + 1]);
      EXPECT_EQ(entries[2 * 3 + 2], entries[3 + 1]);
      EXPECT_EQ(entries[2], entries[1]);
      EXPECT_TRUE(std::isfinite(entries[0]));
      if (kind == Activation::relu) {
        EXPECT_EQ(entries[0], 0);
        EXPECT_EQ(entries[1], 0);
      }
    }
  }
}

TEST(InfiniteWidth, ConvolutionOfOnePlaceIsAResidualNet) {
  const std::vector<double> x = sphere(4, 6, 9);
  for (const auto parametrization : {Parametrization::thesis, Parametrization::ntk}) {
    Architecture architecture{.kind = NetworkKind::resnet,
                              .activation = Activation::softplus,
                              .depth = 3,
                              .parametrization = parametrization};
    const InfiniteWidthKernels dense = gram::infinite_width_kernels(architecture, x, 4, 1);
    architecture.kind = NetworkKind::conv_resnet;
    architecture.window = {.channels = 6};
    const InfiniteWidthKernels conv = gram::infinite_width_kernels(architecture, x, 4, 1);
    EXPECT_EQ(conv.nngp, dense.nngp);
    EXPECT_EQ(conv.tangent, dense.tangent);
    EXPECT_EQ(conv.last_layer, dense.last_layer);
  }
}

TEST(InfiniteWidth, ResultsDoNotDependOnThreads) {
  const std::vector<double> x = sphere(13, 2 * 6, 4);
  const Architecture architecture{.kind = NetworkKind::conv_resnet,
                                  .activation = Activation::softplus,
                                  .depth = 2,
                                  .window = places(2, 2, 3)};
  const InfiniteWidthKernels one = gram::infinite_width_kernels(architecture, x, 13, 1);
  const InfiniteWidthKernels three = gram::infinite_width_kernels(architecture, x, 13, 3);
  EXPECT_EQ(one.nngp, three.nngp);
  EXPECT_EQ(one.tangent, three.tangent);
  EXPECT_EQ(one.last_layer, three.last_layer);
}

TEST(InfiniteWidth, SaysWhatIsWrongWithItsInputs) {
  const auto message = [](const Architecture& architecture, const std::vector<double>& x,
                          std::int64_t examples) -> std::string {
    try {
      gram::infinite_width_kernels(architecture, x, examples, 1);
    } catch (const InputError& error) {
      return error.what();
    }
    return "nothing";
  };
  using ::testing::HasSubstr;
  EXPECT_THAT(message({.depth = 0}, {1, 2}, 2), HasSubstr("0 layers: expected at least 1"));
  EXPECT_THAT(message({}, {1, 2, 3}, 2), HasSubstr("3 numbers as inputs"));
  EXPECT_THAT(message({}, {1, std::nan("")}, 2), HasSubstr("number 2 of the inputs"));
  Architecture conv{.kind = NetworkKind::conv_resnet, .window = places(2, 1, 4)};
  EXPECT_THAT(message(conv, {1, 2, 3, 4}, 1), HasSubstr("1 examples of 2x1x4"));
  conv.window.padding_x = 0;
  EXPECT_THAT(message(conv, {1, 2, 3, 4, 5, 6, 7, 8}, 1), HasSubstr("from 1x4 to 1x2 places"));
}

}  // namespace
}  // namespace manyfold::testing
