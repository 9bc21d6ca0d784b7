#include "kernels/random_fill.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <stdexcept>
#include <vector>

#include "core/random/philox.hpp"
#include "tests/kernels/devices.hpp"

namespace manyfold::kernels {
namespace {

using namespace manyfold::test;

/// Random123's own known answers (kat_vectors, philox4x32 with 10 rounds).
TEST(Philox, GivesRandom123sKnownAnswers) {
  struct Answer {
    std::uint64_t seed, stream, block;
    std::array<std::uint32_t, 4> words;
  };
  const std::array<Answer, 3> answers = {{
      {0, 0, 0, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
      {~0ull, ~0ull, ~0ull, {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
      {0x299f31d0'a4093822,
       0x03707344'13198a2e,
       0x85a308d3'243f6a88,
       {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
  }};
  for (const Answer& answer : answers) {
    const philox4x32_ctr_t counter = {{static_cast<std::uint32_t>(answer.block),
                                       static_cast<std::uint32_t>(answer.block >> 32),
                                       static_cast<std::uint32_t>(answer.stream),
                                       static_cast<std::uint32_t>(answer.stream >> 32)}};
    const philox4x32_key_t key = {
        {static_cast<std::uint32_t>(answer.seed), static_cast<std::uint32_t>(answer.seed >> 32)}};
    const philox4x32_ctr_t block = philox4x32(counter, key);
    for (std::size_t i = 0; i < 4; ++i) EXPECT_EQ(block.v[i], answer.words[i]);
    if (answer.block >> 63 != 0) continue;  // no element index reaches these blocks
    const auto pair = [&](std::size_t i) {
      return std::uint64_t{answer.words[i + 1]} << 32 | answer.words[i];
    };
    EXPECT_EQ(random_bits(answer.seed, answer.stream, 2 * answer.block), pair(0));
    EXPECT_EQ(random_bits(answer.seed, answer.stream, 2 * answer.block + 1), pair(2));
  }
}

/// Published values of FNV-1a with 64 bits.
TEST(RandomStream, IsFnv1a) {
  EXPECT_EQ(random_stream(""), 0xcbf29ce484222325u);
  EXPECT_EQ(random_stream("a"), 0xaf63dc4c8601ec8cu);
  EXPECT_EQ(random_stream("foobar"), 0x85944171f73967e8u);
  static_assert(random_stream("init") != random_stream("problem.mask"));
}

TEST(Uniform, LiesOnOddMultiplesOfTwoToTheMinus53) {
  for (std::uint64_t i = 0; i < 10000; ++i) {
    const double u = uniform_double(3, 5, i);
    EXPECT_GT(u, 0);
    EXPECT_LT(u, 1);
    const double odd = std::fmod(u * 0x1p53, 2);
    EXPECT_EQ(odd, 1);
  }
}

TEST(ExactLog, IsWithinTwoUlp) {
  for (std::uint64_t i = 0; i < 100000; ++i) {
    const double exponent = -700 * uniform_double(1, random_stream("log"), i);
    const double x = std::exp2(exponent);
    const long double expected = std::log(static_cast<long double>(x));
    EXPECT_LE(std::fabs(exact_log(x) - expected), 2 * epsilon<double>() * std::fabs(expected)) << x;
  }
}

/// Reference values to 20 digits by Newton's method on the distribution function (mpmath, 40
/// digits). AS 241 promises about 1e-16; rounding in the rational functions adds a few eps.
TEST(InverseNormalCdf, MatchesAccurateValues) {
  const std::array<std::array<double, 2>, 25> table = {{
      {0x1p-53, -8.2095361516013868556},
      {0x1.8p-50, -7.9056899960058893005},
      {0x1p-40, -7.0477002566644087254},
      {0x1p-30, -6.0093535655307438932},
      {0x1p-24, -5.2947040848545980574},
      {0x1.921fbp-20, -4.671090040887738165},
      {0x1p-16, -4.169569323349105755},
      {0x1.47ae147ae147bp-7, -2.3263478740408410931},
      {0x1.3333333333333p-4, -1.4395314709384559349},
      {0x1.3p-4, -1.4450725798180744226},
      {0x1.4p-4, -1.4177971379962673391},
      {0x1.999999999999ap-4, -1.2815515655446004353},
      {0x1p-3, -1.1503493803760081783},
      {0x1p-2, -0.6744897501960817432},
      {0x1.8p-2, -0.31863936396437516302},
      {0x1.fffffp-2, -5.9762675157335989778e-7},
      {0x1.0000000000001p-1, 2.7829164246717669222e-16},
      {0x1.4p-1, 0.31863936396437516302},
      {0x1.8p-1, 0.6744897501960817432},
      {0x1.d99999999999ap-1, 1.4395314709384562291},
      {0x1.e666666666666p-1, 1.6448536269514722843},
      {0x1.fae147ae147aep-1, 2.3263478740408407676},
      {0x1.ffffp-1, 4.3249190408260462572},
      {0x1.ffffffffffffep-1, 8.1258906647019068585},
      {0x1.fffffffffffffp-1, 8.2095361516013868556},
  }};
  for (const auto& [p, expected] : table) {
    EXPECT_NEAR(inverse_normal_cdf(p), expected, 6 * epsilon<double>() * std::fabs(expected)) << p;
  }
}

class RandomFill : public DeviceTest {
 protected:
  template <class T>
  std::vector<T> fill(Distribution distribution, const std::vector<std::uint64_t>& seeds,
                      const std::vector<double>& scales, std::int64_t count, std::int64_t gap = 0,
                      std::uint64_t stream = random_stream("test")) {
    const auto slots = static_cast<std::int64_t>(seeds.size());
    const auto device_seeds = to_device(executor(), seeds);
    const auto device_scales = to_device(executor(), scales);
    const auto out = to_device(executor(), poisoned<T>(slots * (count + gap)));
    random_fill(executor(), RandomFillArgs<T>{{out.data(), slots, count, count + gap},
                                              distribution,
                                              device_seeds.data(),
                                              stream,
                                              device_scales.data()});
    return out.download();
  }
};

/// The promise that matters: the bits of the host's own evaluation, on every device.
template <class T>
void expect_host_bits(const std::vector<T>& out, Distribution distribution,
                      const std::vector<std::uint64_t>& seeds, const std::vector<double>& scales,
                      std::int64_t count, std::int64_t gap) {
  std::vector<T> expected = poisoned<T>(static_cast<std::int64_t>(out.size()));
  const std::uint64_t stream = random_stream("test");
  for (std::size_t s = 0; s < seeds.size(); ++s) {
    for (std::int64_t i = 0; i < count; ++i) {
      const auto index = static_cast<std::uint64_t>(i);
      const double draw = distribution == Distribution::normal
                              ? normal_double(seeds[s], stream, index)
                              : 2 * uniform_double(seeds[s], stream, index) - 1;
      expected[s * static_cast<std::size_t>(count + gap) + static_cast<std::size_t>(i)] =
          static_cast<T>(scales[s] * draw);
    }
  }
  EXPECT_TRUE(bits(out) == bits(expected));
}

TEST_P(RandomFill, HasTheSameBitsOnEveryDevice) {
  std::vector<std::uint64_t> seeds = {test_seed(), 0, ~0ull, test_seed()};
  std::vector<double> scales = {1, 0.3, 1e-6, 1};
  const auto slots = static_cast<std::size_t>(enough_slots(4, 780));
  while (seeds.size() < slots) {
    scales.push_back(1 + static_cast<double>(seeds.size()));
    seeds.push_back(test_seed() + seeds.size());
  }
  for (const auto distribution : {Distribution::normal, Distribution::uniform}) {
    const auto wide = fill<double>(distribution, seeds, scales, 777, 3);
    expect_host_bits(wide, distribution, seeds, scales, 777, 3);
    const auto narrow = fill<float>(distribution, seeds, scales, 401);
    expect_host_bits(narrow, distribution, seeds, scales, 401, 0);
    EXPECT_TRUE(std::equal(narrow.begin(), narrow.begin() + 401, narrow.begin() + 3 * 401))
        << "equal seeds draw the same in every slot";
  }
}

/// Fixed seeds: the statistics either hold or do not. Bounds are at 5 standard errors, and at
/// D sqrt(n) = 2 for Kolmogorov and Smirnov (probability 7e-4).
TEST_P(RandomFill, IsNormal) {
  const std::int64_t count = emulated() ? 20000 : 400000;
  auto x = fill<double>(Distribution::normal, {20240607}, {1}, count);
  const double n = static_cast<double>(count);
  std::array<double, 5> moment{};
  double lag = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    for (std::size_t k = 1; k < moment.size(); ++k) {
      moment[k] += std::pow(x[i], static_cast<double>(k)) / n;
    }
    if (i > 0) lag += x[i] * x[i - 1] / n;
  }
  EXPECT_NEAR(moment[1], 0, 5 * std::sqrt(1 / n));
  EXPECT_NEAR(moment[2], 1, 5 * std::sqrt(2 / n));
  EXPECT_NEAR(moment[3], 0, 5 * std::sqrt(15 / n));
  EXPECT_NEAR(moment[4], 3, 5 * std::sqrt(96 / n));
  EXPECT_NEAR(lag, 0, 5 * std::sqrt(1 / n));
  std::sort(x.begin(), x.end());
  double distance = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double cdf = 0.5 * std::erfc(-x[i] / std::sqrt(2.0));
    distance = std::max({distance, std::fabs(cdf - static_cast<double>(i) / n),
                         std::fabs(cdf - static_cast<double>(i + 1) / n)});
  }
  EXPECT_LT(distance * std::sqrt(n), 2);
}

TEST_P(RandomFill, SeedsAndStreamsAreUnrelated) {
  const std::int64_t count = 5000;
  const auto x = fill<double>(Distribution::normal, {7, 8}, {1, 1}, count);
  const auto y = fill<double>(Distribution::normal, {7}, {1}, count, 0, random_stream("test2"));
  double seeds = 0;
  double streams = 0;
  for (std::size_t i = 0; i < y.size(); ++i) {
    seeds += x[i] * x[i + y.size()];
    streams += x[i] * y[i];
  }
  EXPECT_NEAR(seeds, 0, 5 * std::sqrt(static_cast<double>(count)));
  EXPECT_NEAR(streams, 0, 5 * std::sqrt(static_cast<double>(count)));
}

TEST_P(RandomFill, RejectsOverlappingSlots) {
  const Buffer<double> out(executor(), 20);
  EXPECT_THROW(random_fill(executor(), RandomFillArgs<double>{{out.data(), 2, 10, 5}}),
               std::invalid_argument);
}

MANYFOLD_ON_EVERY_DEVICE(RandomFill);

}  // namespace
}  // namespace manyfold::kernels
