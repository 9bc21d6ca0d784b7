#include "kernels/norms.hpp"

#include <cmath>
#include <cstdint>
#include <vector>

#include "tests/kernels/devices.hpp"

namespace manyfold::kernels {
namespace {

using namespace manyfold::test;

class SumOfSquares : public DeviceTest {
 protected:
  template <class T>
  std::vector<double> compute(Executor& executor, const std::vector<T>& host, std::int64_t slots,
                              std::int64_t count, std::int64_t stride, std::int64_t out_stride) {
    const auto x = to_device(executor, host);
    const auto out = to_device(executor, poisoned<double>(slots * out_stride));
    sum_of_squares(executor,
                   SumOfSquaresArgs<T>{{x.data(), slots, count, stride}, out.data(), out_stride});
    return out.download();
  }

  template <class T>
  void check_sizes() {
    std::mt19937_64 random(test_seed());
    for (const std::int64_t count : {0, 1, 2, 7, 31, 32, 33, 64, 127, 400, 1000, 4099}) {
      const std::int64_t stride = count + 5;
      const std::int64_t slots = enough_slots(3, stride);
      const auto host = random_vector<T>(slots * stride, random);
      const auto out = compute(executor(), host, slots, count, stride, 2);
      for (std::int64_t s = 0; s < slots; ++s) {
        long double sum = 0;
        for (std::int64_t i = 0; i < count; ++i) {
          const long double x = host[static_cast<std::size_t>(s * stride + i)];
          sum += x * x;
        }
        const double expected = static_cast<double>(sum);
        const double value = out[static_cast<std::size_t>(2 * s)];
        // In double precision whatever T: n additions and n products, each within eps / 2.
        ASSERT_NEAR(value, expected, static_cast<double>(count) * epsilon<double>() * expected)
            << count << ", slot " << s;
        ASSERT_TRUE(std::isnan(out[static_cast<std::size_t>(2 * s + 1)])) << "wrote between slots";
      }
    }
  }
};

TEST_P(SumOfSquares, MatchesADirectSumInDouble) { check_sizes<double>(); }
TEST_P(SumOfSquares, MatchesADirectSumInFloat) { check_sizes<float>(); }

TEST_P(SumOfSquares, DependsOnTheVectorAlone) {
  std::mt19937_64 random(test_seed());
  const std::int64_t count = 403;
  const auto one = random_vector<float>(count, random);
  std::vector<float> four;
  for (int s = 0; s < 4; ++s) {
    four.insert(four.end(), one.begin(), one.end());
    if (s == 2) four[static_cast<std::size_t>(2 * count + 9)] = NAN;
  }
  const double expected = compute(executor(), one, 1, count, count, 1)[0];
  const auto all = compute(executor(), four, 4, count, count, 1);
  EXPECT_EQ(all[0], expected);
  EXPECT_EQ(all[1], expected);
  EXPECT_TRUE(std::isnan(all[2]));
  EXPECT_EQ(all[3], expected);
  if (on_cpu()) {
    const auto single = make_executor({.device = "cpu", .threads = 1});
    EXPECT_EQ(compute(*single, four, 4, count, count, 1)[3], expected);
  }
}

/// Squares of floats reach 1e76: no overflow in between.
TEST_P(SumOfSquares, OfLargeFloats) {
  const auto out = compute(executor(), std::vector<float>{3e38f, 0.0f, -3e38f}, 1, 3, 3, 1);
  const double x = static_cast<double>(3e38f);
  EXPECT_EQ(out[0], 2 * x * x);
}

MANYFOLD_ON_EVERY_DEVICE(SumOfSquares);

}  // namespace
}  // namespace manyfold::kernels
