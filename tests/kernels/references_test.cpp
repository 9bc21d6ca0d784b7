#include "kernels/references.hpp"

#include <cmath>
#include <cstdint>
#include <stdexcept>
#include <vector>

#include "kernels/widen.hpp"
#include "tests/kernels/devices.hpp"

namespace manyfold::kernels {
namespace {

using namespace manyfold::test;

class References : public DeviceTest {
 protected:
  template <class T>
  void check_distances(std::int64_t m, std::int64_t count, bool shared) {
    constexpr std::int64_t slots = 4;
    std::mt19937_64 random(test_seed());
    const std::int64_t x_stride = m + 3;
    auto x = random_vector<T>(slots * x_stride, random);
    x[static_cast<std::size_t>(2 * x_stride)] = std::numeric_limits<T>::quiet_NaN();
    const auto references = random_vector<double>((shared ? 1 : slots) * count * m, random);
    const auto device_x = to_device(executor(), x);
    const auto device_r = to_device(executor(), references);
    const std::int64_t stride = count + 1;
    const auto out =
        to_device(executor(), std::vector<double>(static_cast<std::size_t>(slots * stride), -7));
    reference_distances(executor(), ReferenceDistancesArgs<T>{{device_x.data(), slots, m, x_stride},
                                                              {device_r.data(), slots, count, m,
                                                               shared ? 0 : count * m, m},
                                                              out.data(),
                                                              stride});
    const auto all = out.download();
    for (std::int64_t s = 0; s < slots; ++s) {
      EXPECT_EQ(all[static_cast<std::size_t>(s * stride + count)], -7) << "wrote between slots";
      for (std::int64_t i = 0; i < count; ++i) {
        const double value = all[static_cast<std::size_t>(s * stride + i)];
        if (s == 2) {
          EXPECT_TRUE(std::isnan(value));
          continue;
        }
        long double sum = 0;
        for (std::int64_t j = 0; j < m; ++j) {
          const long double difference =
              static_cast<long double>(x[static_cast<std::size_t>(s * x_stride + j)]) -
              references[static_cast<std::size_t>(((shared ? 0 : s) * count + i) * m + j)];
          sum += difference * difference;
        }
        const auto expected = static_cast<double>(std::sqrt(sum));
        EXPECT_NEAR(value, expected, static_cast<double>(m + 4) * epsilon<double>() * expected);
      }
    }
  }
};

TEST_P(References, DistancesMatchDirectSums) {
  for (const std::int64_t m : {1, 12, 77}) {
    for (const std::int64_t count : {1, 5, 150}) {
      check_distances<double>(m, count, true);
      check_distances<float>(m, count, false);
    }
  }
}

TEST_P(References, DistanceOfAReferenceFromItselfIsZero) {
  const std::vector<double> host{0.1, -3e200, 7e-200};
  const auto x = to_device(executor(), host);
  const auto out = to_device(executor(), poisoned<double>(1));
  reference_distances(executor(),
                      ReferenceDistancesArgs<double>{
                          {x.data(), 1, 3, 3}, {x.data(), 1, 1, 3, 0, 3}, out.data(), 1});
  EXPECT_EQ(out.download(), std::vector<double>{0});
}

TEST_P(References, AlignmentsMatchDirectSums) {
  constexpr std::int64_t slots = 3;
  constexpr std::int64_t m = 37;
  constexpr std::int64_t count = 40;
  std::mt19937_64 random(test_seed());
  const auto x = random_vector<double>(slots * m, random);
  const auto r = random_vector<double>(slots * count * m, random);
  const auto device_x = to_device(executor(), x);
  const auto device_r = to_device(executor(), r);
  const auto out = to_device(executor(), poisoned<double>(slots * count));
  reference_alignments(executor(), {{device_x.data(), slots, m, m},
                                    {device_r.data(), slots, count, m, count * m, m},
                                    out.data(),
                                    count});
  const auto all = out.download();
  for (std::int64_t s = 0; s < slots; ++s) {
    for (std::int64_t i = 0; i < count; ++i) {
      long double sum = 0;
      long double size = 0;
      for (std::int64_t j = 0; j < m; ++j) {
        const long double term = static_cast<long double>(x[static_cast<std::size_t>(s * m + j)]) *
                                 r[static_cast<std::size_t>((s * count + i) * m + j)];
        sum += term;
        size += std::fabs(term);
      }
      EXPECT_NEAR(all[static_cast<std::size_t>(s * count + i)], static_cast<double>(std::fabs(sum)),
                  static_cast<double>(m) * epsilon<double>() * static_cast<double>(size));
    }
  }
}

TEST_P(References, RejectShapesThatDoNotFit) {
  const Buffer<double> memory(executor(), 64);
  EXPECT_THROW(
      reference_alignments(
          executor(), {{memory.data(), 1, 4, 4}, {memory.data(), 1, 2, 3, 0, 3}, memory.data(), 2}),
      std::invalid_argument)
      << "directions of another length";
  EXPECT_THROW(
      reference_alignments(
          executor(), {{memory.data(), 2, 3, 3}, {memory.data(), 1, 2, 3, 0, 3}, memory.data(), 1}),
      std::invalid_argument)
      << "slots overlap";
}

TEST_P(References, WidenKeepsEveryValue) {
  const std::vector<float> host{1.5F, -0.0F, 3e38F, std::numeric_limits<float>::quiet_NaN(),
                                7,    1e-45F};
  const auto x = to_device(executor(), host);
  const auto out = to_device(executor(), std::vector<double>(6, -7));
  widen(executor(), WidenArgs<float>{{x.data(), 2, 2, 3}, out.data(), 3});
  const auto all = out.download();
  EXPECT_EQ(bits(std::vector<double>(all.begin(), all.begin() + 3)),
            bits(std::vector<double>{1.5, -0.0, -7}));
  EXPECT_TRUE(std::isnan(all[3]));
  EXPECT_EQ(std::vector<double>(all.begin() + 4, all.end()), (std::vector<double>{7, -7}));
}

MANYFOLD_ON_EVERY_DEVICE(References);

}  // namespace
}  // namespace manyfold::kernels
