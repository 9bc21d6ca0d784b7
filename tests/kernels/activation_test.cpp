#include "kernels/activation.hpp"

#include <array>
#include <cmath>
#include <cstdint>
#include <stdexcept>
#include <vector>

#include "tests/kernels/devices.hpp"

namespace manyfold::kernels {
namespace {

using namespace manyfold::test;

constexpr std::array all_kinds{Activation::linear,   Activation::relu, Activation::leaky_relu,
                               Activation::softplus, Activation::tanh, Activation::sigmoid,
                               Activation::erf};
constexpr double leak = 0.2;

/// In long double, from the definitions.
long double defined(Activation kind, long double z) {
  switch (kind) {
    case Activation::relu:
      return z > 0 ? z : 0;
    case Activation::leaky_relu:
      return z > 0 ? z : static_cast<long double>(leak) * z;
    case Activation::softplus:
      return z > 0 ? z + std::log1p(std::exp(-z)) : std::log1p(std::exp(z));
    case Activation::tanh:
      return std::tanh(z);
    case Activation::sigmoid:
      return 1 / (1 + std::exp(-z));
    case Activation::erf:
      return std::erf(z);
    case Activation::linear:
      break;
  }
  return z;
}
long double defined_slope(Activation kind, long double z) {
  switch (kind) {
    case Activation::relu:
      return z > 0 ? 1 : 0;
    case Activation::leaky_relu:
      return z > 0 ? 1 : static_cast<long double>(leak);
    case Activation::softplus:
      return 1 / (1 + std::exp(-z));
    case Activation::tanh:
      return 1 / (std::cosh(z) * std::cosh(z));
    case Activation::sigmoid:
      return 1 / (2 + std::exp(z) + std::exp(-z));
    case Activation::erf:
      return 2 / std::sqrt(std::acos(-1.0L)) * std::exp(-z * z);
    case Activation::linear:
      break;
  }
  return 1;
}

class Activations : public DeviceTest {
 protected:
  template <class T>
  void check(Activation kind, std::int64_t count, double scale) {
    constexpr std::int64_t slots = 3;
    std::mt19937_64 random(test_seed());
    const std::int64_t stride = count + 3;
    auto z = random_vector<T>(slots * stride, random, 2);
    z[0] = 0;
    z[static_cast<std::size_t>(stride)] = std::numeric_limits<T>::quiet_NaN();  // slot 1
    z[static_cast<std::size_t>(stride + 1)] = T(60);                            // nothing overflows
    z[static_cast<std::size_t>(stride + 2)] = T(-60);
    const auto dy = random_vector<T>(slots * stride, random);
    const auto on_z = to_device(executor(), z);
    const auto on_dy = to_device(executor(), dy);
    const auto y = to_device(executor(), poisoned<T>(slots * stride));
    activate<T>(executor(), {.kind = kind,
                             .slope = leak,
                             .scale = scale,
                             .z = {on_z.data(), slots, count, stride},
                             .y = {y.data(), slots, count, stride}});
    const auto values = y.download();
    const bool of_output = slope_follows_from_output(kind);
    for (const bool add : {false, true}) {
      const auto begin =
          add ? random_vector<T>(slots * stride, random) : poisoned<T>(slots * stride);
      const auto dz = to_device(executor(), begin);
      activation_slope<T>(executor(),
                          {.kind = kind,
                           .slope = leak,
                           .scale = scale,
                           .state = {of_output ? y.data() : on_z.data(), slots, count, stride},
                           .dy = {on_dy.data(), slots, count, stride},
                           .factor = -1.5,
                           .add = add,
                           .dz = {dz.data(), slots, count, stride}});
      const auto slopes = dz.download();
      for (std::int64_t s = 0; s < slots; ++s) {
        for (std::int64_t i = 0; i < stride; ++i) {
          const auto at = static_cast<std::size_t>(s * stride + i);
          if (i >= count) {
            EXPECT_TRUE(std::isnan(values[at])) << "wrote between slots";
            continue;
          }
          if (s == 1 && i == 0) {
            EXPECT_TRUE(std::isnan(values[at])) << static_cast<int>(kind);
            continue;
          }
          // The argument and its function are rounded a few times; s' is at most 1.2.
          const auto argument = static_cast<long double>(static_cast<T>(scale) * z[at]);
          const double expected = static_cast<double>(defined(kind, argument));
          const double size = 1 + std::fabs(static_cast<double>(argument));
          EXPECT_NEAR(values[at], expected, 4 * epsilon<T>() * size) << static_cast<int>(kind);
          const double moved = (add ? static_cast<double>(begin[at]) : 0.0) -
                               1.5 * static_cast<double>(defined_slope(kind, argument)) *
                                   static_cast<double>(dy[at]);
          EXPECT_NEAR(
              slopes[at], moved,
              16 * epsilon<T>() * (1 + std::fabs(static_cast<double>(dy[at])) + std::fabs(moved)))
              << static_cast<int>(kind) << " at " << static_cast<double>(argument);
        }
      }
    }
  }
};

TEST_P(Activations, FollowTheirDefinitions) {
  for (const Activation kind : all_kinds) {
    for (const std::int64_t count : {3, 33, 200}) {
      check<double>(kind, count, 1);
      check<float>(kind, count, 0.5);
    }
  }
}

/// s''(u) u' dy beside y' = s'(u) u', by a central difference of the slope's own definition.
TEST_P(Activations, CurvatureIsTheChangeOfTheSlope) {
  std::mt19937_64 random(test_seed());
  constexpr std::int64_t slots = 2;
  constexpr std::int64_t count = 70;
  constexpr std::int64_t stride = count + 3;
  const double scale = 0.7;
  for (const Activation kind : all_kinds) {
    auto z = random_vector<double>(slots * stride, random, 2);
    z[static_cast<std::size_t>(stride)] = std::nan("");  // slot 1
    z[1] = 60;
    z[2] = -60;
    const auto change = random_vector<double>(slots * stride, random);  // u'
    const auto dy = random_vector<double>(slots * stride, random);
    std::vector<double> state = z;
    std::vector<double> tangent(z.size());
    std::vector<long double> expected(z.size());
    for (std::size_t i = 0; i < z.size(); ++i) {
      const long double u = static_cast<long double>(scale) * z[i];
      if (slope_follows_from_output(kind)) state[i] = static_cast<double>(defined(kind, u));
      tangent[i] = static_cast<double>(defined_slope(kind, u) * change[i]);
      constexpr long double h = 1e-6L;
      const bool kink = std::abs(u) < h;
      expected[i] = kink ? 0
                         : (defined_slope(kind, u + h) - defined_slope(kind, u - h)) / (2 * h) *
                               change[i] * dy[i];
    }
    const auto on_state = to_device(executor(), state);
    const auto on_tangent = to_device(executor(), tangent);
    const auto on_dy = to_device(executor(), dy);
    const auto dz = to_device(executor(), std::vector<double>(z.size(), 0.25));
    activation_curvature<double>(executor(), {.kind = kind,
                                              .scale = scale,
                                              .state = {on_state.data(), slots, count, stride},
                                              .tangent = {on_tangent.data(), slots, count, stride},
                                              .dy = {on_dy.data(), slots, count, stride},
                                              .factor = -2,
                                              .dz = {dz.data(), slots, count, stride}});
    const auto found = dz.download();
    for (std::size_t i = 0; i < found.size(); ++i) {
      const bool between = i % stride >= static_cast<std::size_t>(count);
      if (i == static_cast<std::size_t>(stride) && is_curved(kind)) {
        EXPECT_TRUE(std::isnan(found[i])) << static_cast<int>(kind);
      } else if (between || i == static_cast<std::size_t>(stride)) {
        EXPECT_EQ(found[i], 0.25);
      } else {
        EXPECT_NEAR(found[i], 0.25 - 2 * static_cast<double>(expected[i]), 1e-10)
            << static_cast<int>(kind) << " at " << z[i];
      }
    }
  }
}

TEST_P(Activations, MayOverwriteTheirInput) {
  const std::vector<double> z{-1, 2, 3};
  for (const Activation kind : all_kinds) {
    const auto in_place = to_device(executor(), z);
    activate<double>(executor(), {.kind = kind,
                                  .slope = leak,
                                  .z = {in_place.data(), 1, 3, 3},
                                  .y = {in_place.data(), 1, 3, 3}});
    const auto y = in_place.download();
    for (std::size_t i = 0; i < z.size(); ++i) {
      EXPECT_NEAR(y[i], static_cast<double>(defined(kind, z[i])), 1e-15);
    }
    activation_slope<double>(executor(), {.kind = kind,
                                          .slope = leak,
                                          .state = {in_place.data(), 1, 3, 3},
                                          .dy = {in_place.data(), 1, 3, 3},
                                          .dz = {in_place.data(), 1, 3, 3}});
    const auto dz = in_place.download();
    for (std::size_t i = 0; i < z.size(); ++i) {
      const double at = slope_follows_from_output(kind) ? z[i] : y[i];
      EXPECT_NEAR(dz[i], y[i] * static_cast<double>(defined_slope(kind, at)), 4e-15);
    }
  }
}

TEST_P(Activations, RejectShapesThatDiffer) {
  const Buffer<double> memory(executor(), 16);
  ActivateArgs<double> args;
  args.z = {memory.data(), 2, 3, 3};
  args.y = {memory.data(), 2, 4, 4};
  EXPECT_THROW(activate(executor(), args), std::invalid_argument);
  args.y = {memory.data(), 2, 3, 2};
  EXPECT_THROW(activate(executor(), args), std::invalid_argument) << "slots overlap";
}

MANYFOLD_ON_EVERY_DEVICE(Activations);

}  // namespace
}  // namespace manyfold::kernels
