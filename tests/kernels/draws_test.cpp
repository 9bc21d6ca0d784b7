// Draws of optimizers: their laws, with bounds that a correct program exceeds once in a thousand
// million runs (and seeds are fixed, so a test that passed passes), and their bits.
#include "kernels/draws.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <map>
#include <set>
#include <stdexcept>
#include <vector>

#include "core/random/philox.hpp"
#include "kernels/common/draws.hpp"
#include "tests/kernels/devices.hpp"
#include "tests/kernels/step_control.hpp"

namespace manyfold::kernels {
namespace {

using namespace manyfold::test;

constexpr std::uint64_t stream = random_stream("test/draws");
constexpr double failure = 1e-9;

/// The terms that each slot draws over `calls` steps from step `from` on, joined.
std::vector<std::vector<std::int32_t>> terms_drawn(Executor& executor,
                                                   const std::vector<std::uint64_t>& seeds,
                                                   const std::vector<std::int64_t>& terms,
                                                   std::int64_t batch, bool replacement,
                                                   std::int64_t from, std::int64_t calls) {
  const std::size_t slots = seeds.size();
  Steps state(executor, std::vector<std::int64_t>(slots, from), std::vector<double>(slots, 0.1),
              std::vector<std::int32_t>(slots, 1));
  const auto device_seeds = to_device(executor, seeds);
  const auto device_terms = to_device(executor, terms);
  const auto out =
      to_device(executor, std::vector<std::int32_t>(slots * static_cast<std::size_t>(batch), -7));
  std::vector<std::vector<std::int32_t>> drawn(slots);
  for (std::int64_t t = from; t < from + calls; ++t) {
    state.set_step(std::vector<std::int64_t>(slots, t));
    draw_terms(executor, {state.control(), device_terms.data(), batch, replacement,
                          device_seeds.data(), stream, out.data()});
    const auto host = out.download();
    for (std::size_t s = 0; s < slots; ++s) {
      const auto first = host.begin() + static_cast<std::ptrdiff_t>(s) * batch;
      drawn[s].insert(drawn[s].end(), first, first + batch);
    }
  }
  return drawn;
}

class Draws : public DeviceTest {};

TEST_P(Draws, WithReplacementIsUniform) {
  const std::vector<std::uint64_t> seeds = {1, 2, 0xffffffffffffffffu};
  const std::vector<std::int64_t> terms = {3, 41, 400};
  const auto drawn = terms_drawn(executor(), seeds, terms, 4000, true, 0, 3);
  for (std::size_t s = 0; s < seeds.size(); ++s) {
    std::vector<std::int64_t> counts(static_cast<std::size_t>(terms[s]), 0);
    for (const std::int32_t term : drawn[s]) {
      ASSERT_GE(term, 0);
      ASSERT_LT(term, terms[s]);
      ++counts[static_cast<std::size_t>(term)];
    }
    EXPECT_LT(chi_square(counts), chi_square_bound(static_cast<double>(terms[s] - 1)));
    // The same formula in 128 bits.
    for (std::size_t q = 0; q < drawn[s].size(); ++q) {
      __extension__ using Wide = unsigned __int128;
      const Wide product =
          Wide{random_bits(seeds[s], stream, q)} * static_cast<std::uint64_t>(terms[s]);
      ASSERT_EQ(drawn[s][q], static_cast<std::int32_t>(product >> 64));
    }
  }
}

TEST(ScaledBits, ReachesBothEnds) {
  EXPECT_EQ(scaled_bits(0, 2147483647), 0u);
  EXPECT_EQ(scaled_bits(~std::uint64_t{0}, 2147483647), 2147483646u);
  EXPECT_EQ(scaled_bits(~std::uint64_t{0}, 1), 0u);
  EXPECT_EQ(scaled_bits(std::uint64_t{1} << 63, 2), 1u);
  EXPECT_EQ(scaled_bits((std::uint64_t{1} << 63) - 1, 2), 0u);
}

/// Every epoch holds every term once; a batch goes on into the next epoch; and what is drawn
/// depends on the number of the draw alone, however draws are cut into batches.
TEST_P(Draws, WithoutReplacementComesOnceAnEpoch) {
  for (const std::int64_t n : {1, 2, 3, 4, 5, 16, 17, 130}) {
    const std::vector<std::uint64_t> seeds = {5, 6, 5};
    const std::vector<std::int64_t> terms(3, n);
    const std::int64_t epochs = 5;
    const auto whole = terms_drawn(executor(), seeds, terms, n, false, 0, epochs);
    for (std::size_t s = 0; s < seeds.size(); ++s) {
      for (std::int64_t e = 0; e < epochs; ++e) {
        const auto first = whole[s].begin() + e * n;
        EXPECT_EQ(std::set<std::int32_t>(first, first + n).size(), static_cast<std::size_t>(n));
        EXPECT_EQ(*std::min_element(first, first + n), 0);
        EXPECT_EQ(*std::max_element(first, first + n), n - 1);
      }
    }
    EXPECT_EQ(whole[0], whole[2]);
    if (n >= 16) {
      EXPECT_NE(whole[0], whole[1]);
      EXPECT_FALSE(std::equal(whole[0].begin(), whole[0].begin() + n, whole[0].begin() + n));
    }
    const std::int64_t batch = n + 2;
    const std::int64_t calls = n * epochs / batch;
    const auto cut = terms_drawn(executor(), seeds, terms, batch, false, 0, calls);
    for (std::size_t s = 0; s < seeds.size(); ++s) {
      EXPECT_TRUE(std::equal(cut[s].begin(), cut[s].end(), whole[s].begin())) << n;
    }
  }
}

/// All orders of few terms are equally frequent, and an epoch's does not depend on the one before.
TEST(Shuffled, EveryOrderIsEquallyFrequent) {
  for (const std::uint64_t n : {2u, 3u, 4u, 5u, 6u}) {
    std::map<std::vector<std::uint64_t>, std::int64_t> number_of;
    std::vector<std::uint64_t> order(n);
    for (std::uint64_t i = 0; i < n; ++i) order[i] = i;
    do {
      number_of.emplace(order, static_cast<std::int64_t>(number_of.size()));
    } while (std::next_permutation(order.begin(), order.end()));
    const std::size_t orders = number_of.size();
    std::vector<std::int64_t> counts(orders, 0);
    std::vector<std::int64_t> pairs(n <= 3 ? orders * orders : 0, 0);
    std::int64_t before = -1;
    for (std::uint64_t epoch = 0; epoch < 60'000; ++epoch) {
      for (std::uint64_t i = 0; i < n; ++i) order[i] = shuffled(11, stream, n, epoch, i);
      const auto found = number_of.find(order);
      ASSERT_NE(found, number_of.end());
      ++counts[static_cast<std::size_t>(found->second)];
      if (before >= 0 && !pairs.empty()) {
        ++pairs[static_cast<std::size_t>(before) * orders +
                static_cast<std::size_t>(found->second)];
      }
      before = found->second;
    }
    EXPECT_LT(chi_square(counts), chi_square_bound(static_cast<double>(orders - 1))) << n;
    if (!pairs.empty()) {
      EXPECT_LT(chi_square(pairs), chi_square_bound(static_cast<double>(pairs.size() - 1))) << n;
    }
  }
}

/// The joint law of the first three places of a domain that is just large enough for the network:
/// 17 x 16 x 15 outcomes, equally likely.
TEST(Shuffled, ThreePlacesAreJointlyUniform) {
  constexpr std::uint64_t n = 17;
  std::vector<std::int64_t> counts(n * (n - 1) * (n - 2), 0);
  for (std::uint64_t epoch = 0; epoch < 200'000; ++epoch) {
    const std::uint64_t x = shuffled(21, stream, n, epoch, 0);
    std::uint64_t y = shuffled(21, stream, n, epoch, 1);
    std::uint64_t z = shuffled(21, stream, n, epoch, 2);
    // Ranks among the terms that are left.
    z -= static_cast<std::uint64_t>(z > x) + static_cast<std::uint64_t>(z > y);
    y -= static_cast<std::uint64_t>(y > x);
    ++counts[(x * (n - 1) + y) * (n - 2) + z];
  }
  EXPECT_LT(chi_square(counts), chi_square_bound(static_cast<double>(counts.size() - 1)));
}

/// Where many terms stand, over epochs and over seeds: each place of the first three takes each
/// term equally often, and neighbours are not tied.
TEST(Shuffled, PlacesOfManyTermsAreUniform) {
  constexpr std::uint64_t n = 60;
  for (const bool over_seeds : {false, true}) {
    std::vector<std::vector<std::int64_t>> counts(3, std::vector<std::int64_t>(n, 0));
    std::vector<std::int64_t> distances(n - 1, 0);
    for (std::uint64_t k = 0; k < 20'000; ++k) {
      const std::uint64_t seed = over_seeds ? k : 3;
      const std::uint64_t epoch = over_seeds ? 0 : k;
      std::array<std::uint64_t, 3> at{};
      for (std::uint64_t i = 0; i < 3; ++i) {
        at[i] = shuffled(seed, stream, n, epoch, i);
        ++counts[i][at[i]];
      }
      ++distances[(at[1] + n - at[0]) % n - 1];
    }
    for (const auto& place : counts) EXPECT_LT(chi_square(place), chi_square_bound(n - 1));
    EXPECT_LT(chi_square(distances), chi_square_bound(n - 2));
  }
}

TEST(Shuffled, LargestDomains) {
  for (const std::uint64_t n : {std::uint64_t{65536}, std::uint64_t{2147483647}}) {
    std::set<std::uint64_t> seen;
    for (std::uint64_t i = 0; i < 2000; ++i) {
      const std::uint64_t x = shuffled(9, stream, n, 123456789, i);
      EXPECT_LT(x, n);
      seen.insert(x);
    }
    EXPECT_EQ(seen.size(), 2000u);
  }
}

TEST_P(Draws, InactiveSlotsKeepTheirTerms) {
  const Steps state(executor(), {0, 0}, {0.1, 0.1}, {0, 1});
  const auto seeds = to_device(executor(), std::vector<std::uint64_t>{1, 1});
  const auto terms = to_device(executor(), std::vector<std::int64_t>{10, 10});
  const auto out = to_device(executor(), std::vector<std::int32_t>(4, -7));
  draw_terms(executor(),
             {state.control(), terms.data(), 2, true, seeds.data(), stream, out.data()});
  const auto drawn = out.download();
  EXPECT_EQ(drawn[0], -7);
  EXPECT_EQ(drawn[1], -7);
  EXPECT_GE(drawn[2], 0);
  EXPECT_GE(drawn[3], 0);
  EXPECT_THROW(draw_terms(executor(), {state.control(), terms.data(), 0, true, seeds.data(), stream,
                                       out.data()}),
               std::invalid_argument);
}

/// Noise of the variance that the contract gives, mean 0, the bits of the formula, fresh at each
/// step, and the same in every slot with the same seed.
template <class T>
void check_diffuse(Executor& executor) {
  constexpr std::int64_t count = 3001;
  constexpr std::int64_t stride = count + 5;
  const std::vector<std::uint64_t> seeds = {1, 2, 1, 1, 1};
  const std::vector<double> temperature = {0.5, 2, 0.5, 0, 0.5};
  const std::vector<double> eta = {0.1, 1e-3, 0.1, 0.1, 0.1};
  const std::vector<std::int64_t> step = {4, 4, 4, 4, 5};
  const Steps state(executor, step, eta, {1, 1, 1, 1, 1});
  const auto params = to_device(executor, std::vector<T>(seeds.size() * stride, T(0)));
  const auto device_seeds = to_device(executor, seeds);
  const auto t = to_device(executor, temperature);
  diffuse<T>(
      executor,
      {state.control(), {params.data(), 5, count, stride}, t.data(), device_seeds.data(), stream});
  const auto found = params.download();
  for (std::size_t s = 0; s < seeds.size(); ++s) {
    const double variance = 2 * eta[s] * temperature[s];
    double sum = 0;
    double squares = 0;
    for (std::int64_t i = 0; i < count; ++i) {
      const T x = found[s * stride + static_cast<std::size_t>(i)];
      const double z =
          normal_double(seeds[s], stream, static_cast<std::uint64_t>(step[s] * count + i));
      // One rounding of the product under the root, and the root's and the product's own.
      ASSERT_NEAR(x, std::sqrt(variance) * z,
                  2 * epsilon<T>() * std::sqrt(variance) * std::fabs(z));
      sum += static_cast<double>(x);
      squares += static_cast<double>(x) * static_cast<double>(x);
    }
    for (std::int64_t i = count; i < stride; ++i) {
      ASSERT_EQ(found[s * stride + static_cast<std::size_t>(i)], T(0));
    }
    const double n = count;
    EXPECT_LE(std::fabs(sum / n), 6 * std::sqrt(variance / n));
    EXPECT_LE(std::fabs(squares / n - variance), 6 * variance * std::sqrt(2 / n));
  }
  const auto slot = [&](std::size_t s) {
    const auto first = found.begin() + static_cast<std::ptrdiff_t>(s * stride);
    return std::vector<T>(first, first + count);
  };
  EXPECT_EQ(bits(slot(0)), bits(slot(2)));
  EXPECT_NE(bits(slot(0)), bits(slot(4)));
}

TEST_P(Draws, DiffusionHasItsVariance) {
  check_diffuse<double>(executor());
  check_diffuse<float>(executor());
}

template <class T>
std::vector<T> diffused(Executor& executor) {
  const Steps state(executor, {3, 70}, {0.1, 0.2}, {1, 1});
  const auto params = to_device(executor, std::vector<T>(2 * 101, T(0.75)));
  const auto seeds = to_device(executor, std::vector<std::uint64_t>{8, 9});
  const auto t = to_device(executor, std::vector<double>{0.3, 4});
  diffuse<T>(executor,
             {state.control(), {params.data(), 2, 101, 101}, t.data(), seeds.data(), stream});
  return params.download();
}

TEST_P(Draws, DiffusionHasTheBitsOfTheCpu) {
  const auto cpu = make_executor({.device = "cpu", .threads = 1});
  EXPECT_EQ(bits(diffused<double>(executor())), bits(diffused<double>(*cpu)));
  EXPECT_EQ(bits(diffused<float>(executor())), bits(diffused<float>(*cpu)));
}

constexpr std::uint64_t radius_stream = random_stream("test/radius");

struct DueCase {
  const char* name;
  double grad_norm;
  std::int64_t step, last_noise, min_steps;
  std::int32_t active;
  bool due;
};

/// Noise exactly where algorithm 2 says, and last_noise then; threshold 0.5.
TEST_P(Draws, PerturbsWhenTheGradientIsSmallAndNoiseIsOld) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const std::vector<DueCase> cases = {
      {"at the first step", 0.1, 0, never_perturbed, 10, 1, true},
      {"at the threshold", 0.5, 7, never_perturbed, 1, 1, true},
      {"above it", 0.5000001, 7, never_perturbed, 1, 1, false},
      {"no gradient", 0, 7, never_perturbed, 1, 1, true},
      {"a NaN norm", nan, 7, never_perturbed, 1, 1, false},
      {"as many steps as must pass", 0.1, 7, 5, 2, 1, false},
      {"one step more", 0.1, 8, 5, 2, 1, true},
      {"the step after", 0.1, 6, 5, 0, 1, true},
      {"the same step", 0.1, 5, 5, 0, 1, false},
      {"an inactive slot", 0.1, 0, never_perturbed, 0, 0, false},
  };
  const std::size_t slots = cases.size();
  std::vector<std::int64_t> step, last, min_steps;
  std::vector<double> norm2;
  std::vector<std::int32_t> active;
  for (const DueCase& one : cases) {
    step.push_back(one.step);
    last.push_back(one.last_noise);
    min_steps.push_back(one.min_steps);
    norm2.push_back(one.grad_norm * one.grad_norm);
    active.push_back(one.active);
  }
  for (const std::int64_t count : {1, 5, 200}) {
    Steps state(executor(), step, std::vector<double>(slots, 0.1), active);
    state.set_grad_norm2(norm2);
    const std::int64_t stride = count + 2;
    const auto params =
        to_device(executor(), std::vector<double>(slots * static_cast<std::size_t>(stride), 0.0));
    const auto threshold = to_device(executor(), std::vector<double>(slots, 0.5));
    const auto radius = to_device(executor(), std::vector<double>(slots, 0.25));
    const auto wait = to_device(executor(), min_steps);
    const auto noise = to_device(executor(), last);
    const auto seeds = to_device(executor(), std::vector<std::uint64_t>(slots, 4));
    perturb<double>(executor(), {state.control(),
                                 {params.data(), static_cast<std::int64_t>(slots), count, stride},
                                 threshold.data(),
                                 radius.data(),
                                 wait.data(),
                                 noise.data(),
                                 seeds.data(),
                                 stream,
                                 radius_stream});
    const auto found = params.download();
    const auto noise_at = noise.download();
    for (std::size_t s = 0; s < slots; ++s) {
      SCOPED_TRACE(cases[s].name);
      EXPECT_EQ(noise_at[s], cases[s].due ? cases[s].step : cases[s].last_noise);
      double found2 = 0;
      for (std::int64_t i = 0; i < count; ++i) {
        const double x = found[s * static_cast<std::size_t>(stride) + static_cast<std::size_t>(i)];
        found2 += x * x;
      }
      if (cases[s].due) {
        EXPECT_GT(found2, 0);
        EXPECT_LE(std::sqrt(found2), 0.25 * (1 + static_cast<double>(count) * epsilon<double>()));
      } else {
        EXPECT_EQ(found2, 0);
      }
      for (std::int64_t i = count; i < stride; ++i) {
        EXPECT_EQ(found[s * static_cast<std::size_t>(stride) + static_cast<std::size_t>(i)], 0);
      }
    }
  }
}

template <class T>
std::vector<T> perturbed(Executor& executor, std::int64_t slots, std::int64_t count) {
  const auto size = static_cast<std::size_t>(slots);
  Steps state(executor, std::vector<std::int64_t>(size, 12), std::vector<double>(size, 0.1),
              std::vector<std::int32_t>(size, 1));
  state.set_grad_norm2(std::vector<double>(size, 0.0));
  const auto params =
      to_device(executor, std::vector<T>(size * static_cast<std::size_t>(count), T(0)));
  const auto threshold = to_device(executor, std::vector<double>(size, 0.5));
  const auto radius = to_device(executor, std::vector<double>(size, 2.0));
  const auto wait = to_device(executor, std::vector<std::int64_t>(size, 0));
  const auto noise = to_device(executor, std::vector<std::int64_t>(size, never_perturbed));
  std::vector<std::uint64_t> seeds;
  for (std::size_t s = 0; s < size; ++s) seeds.push_back(s);
  const auto device_seeds = to_device(executor, seeds);
  perturb<T>(executor, {state.control(),
                        {params.data(), slots, count, count},
                        threshold.data(),
                        radius.data(),
                        wait.data(),
                        noise.data(),
                        device_seeds.data(),
                        stream,
                        radius_stream});
  return params.download();
}

TEST_P(Draws, PerturbationsHaveTheBitsOfTheCpu) {
  const auto cpu = make_executor({.device = "cpu", .threads = 1});
  for (const std::int64_t count : {1, 3, 127, 128, 129, 300}) {
    EXPECT_EQ(bits(perturbed<double>(executor(), 3, count)),
              bits(perturbed<double>(*cpu, 3, count)));
    EXPECT_EQ(bits(perturbed<float>(executor(), 3, count)), bits(perturbed<float>(*cpu, 3, count)));
  }
}

/// In a ball of radius r in n dimensions (|x| / r)^n is uniform (the Dvoretzky-Kiefer-Wolfowitz
/// inequality bounds the distance of its empirical law), and x is symmetric: each coordinate has
/// mean 0 and mean square r^2 / (n + 2).
TEST_P(Draws, PerturbationsAreUniformInTheBall) {
  const std::int64_t slots = emulated() ? 400 : 4000;
  for (const std::int64_t n : {1, 2, 3, 10}) {
    const auto x = perturbed<double>(executor(), slots, n);
    const double dimension = static_cast<double>(n);
    const double samples = static_cast<double>(slots);
    std::vector<double> shares;
    std::vector<double> mean(static_cast<std::size_t>(n), 0),
        square(static_cast<std::size_t>(n), 0);
    for (std::int64_t s = 0; s < slots; ++s) {
      double norm2 = 0;
      for (std::int64_t i = 0; i < n; ++i) {
        const double value = x[static_cast<std::size_t>(s * n + i)];
        norm2 += value * value;
        mean[static_cast<std::size_t>(i)] += value / samples;
        square[static_cast<std::size_t>(i)] += value * value / samples;
      }
      shares.push_back(std::pow(std::sqrt(norm2) / 2, dimension));
    }
    std::sort(shares.begin(), shares.end());
    double distance = 0;
    for (std::size_t s = 0; s < shares.size(); ++s) {
      distance = std::max({distance, std::fabs(shares[s] - static_cast<double>(s) / samples),
                           std::fabs(shares[s] - static_cast<double>(s + 1) / samples)});
    }
    EXPECT_LT(distance, std::sqrt(std::log(2 / failure) / (2 * samples))) << n;
    const double expected = 4 / (dimension + 2);
    for (std::size_t i = 0; i < mean.size(); ++i) {
      EXPECT_LT(std::fabs(mean[i]), 6 * std::sqrt(expected / samples)) << n;
      // x_i^2 <= 4 bounds its variance by 4 expected.
      EXPECT_LT(std::fabs(square[i] - expected), 6 * std::sqrt(4 * expected / samples)) << n;
    }
  }
}

MANYFOLD_ON_EVERY_DEVICE(Draws);

}  // namespace
}  // namespace manyfold::kernels
