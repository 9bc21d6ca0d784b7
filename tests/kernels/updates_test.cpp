// Updates against the same arithmetic written out with std::fma: the contract promises these bits
// on every device and instruction set.
#include "kernels/updates.hpp"

#include <cmath>
#include <cstdint>
#include <limits>
#include <stdexcept>
#include <vector>

#include "tests/kernels/devices.hpp"
#include "tests/kernels/step_control.hpp"

namespace manyfold::kernels {
namespace {

using namespace manyfold::test;

const std::vector<std::int64_t> counts = {1, 7, 16, 33, 400, 1201};
constexpr std::int64_t slots = 4;

/// Slot 1 is inactive.
Steps steps(Executor& executor) {
  return {executor, {5, 5, 0, 9}, {0.1, 0.2, 1e-3, 3}, {1, 0, 1, 1}};
}
template <class T>
T rounded(double x) {
  return static_cast<T>(x);
}

/// Vectors (slot, count) with gaps between the slots, on the host and on a device.
template <class T>
struct Vectors {
  std::vector<T> host;
  Buffer<T> device;
  VectorBatch<T> view;

  Vectors(Executor& executor, std::int64_t count, std::int64_t stride, std::mt19937_64& random)
      : host(random_vector<T>(slots * stride, random)),
        device(to_device(executor, host)),
        view{device.data(), slots, count, stride} {}
  /// Other signs and zeros than random ones have.
  void set(std::size_t i, T value) {
    host[i] = value;
    device.upload(host);
  }
};

/// f(i, slot) for each element of the active slots.
template <class F>
void each_active(std::int64_t count, std::int64_t stride, const F& f) {
  for (const std::int64_t s : {0, 2, 3}) {
    for (std::int64_t i = 0; i < count; ++i) {
      f(static_cast<std::size_t>(s * stride + i), static_cast<std::size_t>(s));
    }
  }
}

template <class T>
void check_heavy_ball(Executor& executor, bool nesterov) {
  std::mt19937_64 random(test_seed());
  const std::vector<double> momentum = {0.9, 0.5, 0.0, 0.99};
  const std::vector<double> eta = {0.1, 0.2, 1e-3, 3};
  for (const std::int64_t count : counts) {
    const std::int64_t stride = count + 3;
    Vectors<T> x(executor, count, stride, random);
    Vectors<T> g(executor, count, stride, random);
    Vectors<T> v(executor, count, stride, random);
    const auto mu = to_device(executor, momentum);
    heavy_ball<T>(executor,
                  {steps(executor).control(), x.view, g.view, v.view, mu.data(), nesterov});
    each_active(count, stride, [&](std::size_t i, std::size_t s) {
      const T kept = rounded<T>(momentum[s]);
      v.host[i] = std::fma(kept, v.host[i], g.host[i]);
      const T direction = nesterov ? std::fma(kept, v.host[i], g.host[i]) : v.host[i];
      x.host[i] = std::fma(-rounded<T>(eta[s]), direction, x.host[i]);
    });
    EXPECT_EQ(bits(x.device.download()), bits(x.host)) << count;
    EXPECT_EQ(bits(v.device.download()), bits(v.host)) << count;
  }
}

class Updates : public DeviceTest {};

TEST_P(Updates, HeavyBallIsItsFormulaBitForBit) {
  check_heavy_ball<double>(executor(), false);
  check_heavy_ball<float>(executor(), false);
}
TEST_P(Updates, NesterovIsItsFormulaBitForBit) {
  check_heavy_ball<double>(executor(), true);
  check_heavy_ball<float>(executor(), true);
}

template <class T>
void check_adam(Executor& executor) {
  std::mt19937_64 random(test_seed());
  const std::vector<double> beta1 = {0.9, 0.5, 0.0, 0.99};
  const std::vector<double> beta2 = {0.999, 0.5, 0.9, 0.0};
  const std::vector<double> epsilon = {1e-8, 1, 1e-3, 0.1};
  const std::vector<double> scaled = {0.1, 7, 1e-3, 2};
  const std::vector<double> scale = {30, 7, 1, 1.5};
  for (const std::int64_t count : counts) {
    const std::int64_t stride = count + 3;
    Vectors<T> x(executor, count, stride, random);
    Vectors<T> g(executor, count, stride, random);
    Vectors<T> m(executor, count, stride, random);
    Vectors<T> v(executor, count, stride, random);
    for (std::size_t i = 0; i < v.host.size(); ++i) v.host[i] = std::fabs(v.host[i]);
    v.host[0] = 0;
    v.device.upload(v.host);
    g.set(0, 0);  // no gradient and no past: 0 / epsilon
    m.set(0, 0);
    const auto b1 = to_device(executor, beta1);
    const auto b2 = to_device(executor, beta2);
    const auto eps = to_device(executor, epsilon);
    const auto step = to_device(executor, scaled);
    const auto root = to_device(executor, scale);
    adam<T>(executor, {steps(executor).control(), x.view, g.view, m.view, v.view, b1.data(),
                       b2.data(), eps.data(), step.data(), root.data()});
    each_active(count, stride, [&](std::size_t i, std::size_t s) {
      const T first = rounded<T>(1 - beta1[s]) * g.host[i];
      const T part = rounded<T>(1 - beta2[s]) * g.host[i];
      const T second = part * g.host[i];
      m.host[i] = std::fma(rounded<T>(beta1[s]), m.host[i], first);
      v.host[i] = std::fma(rounded<T>(beta2[s]), v.host[i], second);
      const T below = std::fma(std::sqrt(v.host[i]), rounded<T>(scale[s]), rounded<T>(epsilon[s]));
      x.host[i] = std::fma(-rounded<T>(scaled[s]), m.host[i] / below, x.host[i]);
    });
    EXPECT_EQ(bits(x.device.download()), bits(x.host)) << count;
    EXPECT_EQ(bits(m.device.download()), bits(m.host)) << count;
    EXPECT_EQ(bits(v.device.download()), bits(v.host)) << count;
  }
}

TEST_P(Updates, AdamIsItsFormulaBitForBit) {
  check_adam<double>(executor());
  check_adam<float>(executor());
}

/// Against std::pow: t + 1 roundings in the power, magnified by beta / (1 - beta), a few more.
TEST_P(Updates, AdamStepCorrectsTheBias) {
  const std::vector<double> rates = {0.1, 0.2, 1e-3, 3};
  const std::vector<double> beta1 = {0.9, 0.5, 0.0, 0.99};
  const std::vector<double> beta2 = {0.999, 0.5, 0.9, 0.0};
  const auto device = [&](const std::vector<double>& values) {
    return to_device(executor(), values);
  };
  const auto rate = device(rates);
  const auto b1 = device(beta1);
  const auto b2 = device(beta2);
  const auto power1 = device({1, 1, 1, 1});
  const auto power2 = device({1, 1, 1, 1});
  const auto scaled = device({-1, -1, -1, -1});
  const auto root = device({-1, -1, -1, -1});
  const Steps state(executor(), {0, 0, 0, 0}, {-1, -1, -1, -1}, {1, 0, 1, 1});
  for (int t = 0; t < 30; ++t) {
    adam_step(executor(), {state.control(), rate.data(), b1.data(), b2.data(), power1.data(),
                           power2.data(), scaled.data(), root.data()});
    const auto found_scaled = scaled.download();
    const auto found_root = root.download();
    for (const std::size_t s : {0u, 2u, 3u}) {
      const double c1 = 1 - std::pow(beta1[s], t + 1);
      const double c2 = 1 - std::pow(beta2[s], t + 1);
      const double error = 1000 * (t + 2) * epsilon<double>();
      EXPECT_NEAR(found_scaled[s], rates[s] / c1, error * rates[s] / c1);
      EXPECT_NEAR(found_root[s], 1 / std::sqrt(c2), error / std::sqrt(c2));
    }
    EXPECT_EQ(found_scaled[1], -1);
    EXPECT_EQ(found_root[1], -1);
  }
  EXPECT_EQ(state.step_size(), (std::vector<double>{0.1, -1, 1e-3, 3}));
}

template <class T>
void check_sign(Executor& executor) {
  std::mt19937_64 random(test_seed());
  const std::vector<double> eta = {0.1, 0.2, 1e-3, 3};
  constexpr T nan = std::numeric_limits<T>::quiet_NaN();
  for (const std::int64_t count : counts) {
    const std::int64_t stride = count + 3;
    Vectors<T> x(executor, count, stride, random);
    Vectors<T> g(executor, count, stride, random);
    g.set(0, 0);
    g.set(static_cast<std::size_t>(3 * stride), nan);
    sign_descend<T>(executor, {steps(executor).control(), x.view, g.view});
    each_active(count, stride, [&](std::size_t i, std::size_t s) {
      const T step = rounded<T>(eta[s]);
      if (g.host[i] > 0) x.host[i] -= step;
      if (g.host[i] < 0) x.host[i] += step;
    });
    auto found = x.device.download();
    EXPECT_TRUE(std::isnan(found[static_cast<std::size_t>(3 * stride)])) << count;
    found[static_cast<std::size_t>(3 * stride)] = x.host[static_cast<std::size_t>(3 * stride)];
    EXPECT_EQ(bits(found), bits(x.host)) << count;
  }
}

TEST_P(Updates, SignDescendTakesEqualSteps) {
  check_sign<double>(executor());
  check_sign<float>(executor());
}

template <class T>
void check_linear_combination(Executor& executor) {
  std::mt19937_64 random(test_seed());
  const std::vector<double> first = {0.9, 0.5, 0.0, -1.25};
  const std::vector<double> second = {-0.1, 7, 1e-3, 2};
  for (const std::int64_t count : counts) {
    const std::int64_t stride = count + 3;
    const auto a = to_device(executor, first);
    const auto b = to_device(executor, second);
    for (const bool with_a : {true, false}) {
      for (const bool with_b : {true, false}) {
        Vectors<T> x(executor, count, stride, random);
        Vectors<T> y(executor, count, stride, random);
        linear_combination<T>(executor, {steps(executor).control(), x.view, y.view,
                                         with_a ? a.data() : nullptr, with_b ? b.data() : nullptr});
        each_active(count, stride, [&](std::size_t i, std::size_t s) {
          const T scaled = with_b ? rounded<T>(second[s]) * y.host[i] : y.host[i];
          x.host[i] = std::fma(with_a ? rounded<T>(first[s]) : T(1), x.host[i], scaled);
        });
        EXPECT_EQ(bits(x.device.download()), bits(x.host)) << count;
      }
    }
  }
}

TEST_P(Updates, LinearCombinationIsItsFormulaBitForBit) {
  check_linear_combination<double>(executor());
  check_linear_combination<float>(executor());
}

TEST_P(Updates, ShapesThatDifferAreRefused) {
  const Steps state = steps(executor());
  const auto memory = to_device(executor(), std::vector<double>(64, 0.0));
  const auto mu = to_device(executor(), std::vector<double>(4, 0.0));
  const auto vectors = [&](std::int64_t s, std::int64_t count, std::int64_t stride) {
    return VectorBatch<double>{memory.data(), s, count, stride};
  };
  const auto good = vectors(4, 8, 8);
  const auto control = state.control();
  EXPECT_THROW(heavy_ball<double>(executor(), {control, good, vectors(4, 7, 8), good, mu.data()}),
               std::invalid_argument);
  EXPECT_THROW(heavy_ball<double>(executor(), {control, good, good, vectors(3, 8, 8), mu.data()}),
               std::invalid_argument);
  EXPECT_THROW(heavy_ball<double>(executor(), {control, vectors(4, 8, 0), good, good, mu.data()}),
               std::invalid_argument);
  EXPECT_THROW(sign_descend<double>(executor(), {control, vectors(3, 8, 8), vectors(3, 8, 8)}),
               std::invalid_argument);
  EXPECT_THROW(adam<double>(executor(), {control, good, good, vectors(4, 4, 8), good, mu.data(),
                                         mu.data(), mu.data(), mu.data(), mu.data()}),
               std::invalid_argument);
  EXPECT_THROW(linear_combination<double>(executor(), {control, good, vectors(4, 9, 9)}),
               std::invalid_argument);
}

MANYFOLD_ON_EVERY_DEVICE(Updates);

}  // namespace
}  // namespace manyfold::kernels
