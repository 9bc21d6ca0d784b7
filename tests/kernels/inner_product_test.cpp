#include "kernels/inner_product.hpp"

#include <cmath>
#include <cstdint>
#include <stdexcept>
#include <vector>

#include "tests/kernels/devices.hpp"

namespace manyfold::kernels {
namespace {

using namespace manyfold::test;

class InnerProduct : public DeviceTest {
 protected:
  /// Any order of n products and additions in double is within n eps of the sum of magnitudes.
  template <class T>
  void check() {
    std::mt19937_64 random(test_seed());
    constexpr std::int64_t slots = 3;
    for (const std::int64_t count : {0, 1, 7, 8, 9, 31, 33, 127, 128, 129, 400, 1001}) {
      for (const bool shared : {false, true}) {
        const std::int64_t stride = count + 5;
        const auto x = random_vector<T>(slots * stride, random);
        const auto y = random_vector<T>(slots * stride, random);
        const auto on_x = to_device(executor(), x);
        const auto on_y = to_device(executor(), y);
        const auto out = to_device(executor(), poisoned<double>(2 * slots));
        inner_product<T>(executor(), {{on_x.data(), slots, count, stride},
                                      {on_y.data(), slots, count, shared ? 0 : stride},
                                      out.data(),
                                      2});
        const auto found = out.download();
        for (std::int64_t slot = 0; slot < slots; ++slot) {
          long double sum = 0;
          double magnitude = 0;
          for (std::int64_t i = 0; i < count; ++i) {
            const auto a = static_cast<std::size_t>(slot * stride + i);
            const auto b = static_cast<std::size_t>((shared ? 0 : slot * stride) + i);
            sum += static_cast<long double>(x[a]) * static_cast<long double>(y[b]);
            magnitude += std::abs(static_cast<double>(x[a]) * static_cast<double>(y[b]));
          }
          EXPECT_NEAR(found[static_cast<std::size_t>(2 * slot)], static_cast<double>(sum),
                      static_cast<double>(count + 1) * epsilon<double>() * magnitude)
              << count;
          EXPECT_TRUE(std::isnan(found[static_cast<std::size_t>(2 * slot + 1)]));
        }
      }
    }
  }
};

TEST_P(InnerProduct, MatchesADirectSumInDouble) { check<double>(); }
TEST_P(InnerProduct, MatchesADirectSumInFloat) { check<float>(); }

TEST_P(InnerProduct, NanStaysInItsSlot) {
  std::mt19937_64 random(test_seed());
  auto x = random_vector<double>(3 * 50, random);
  const auto y = to_device(executor(), random_vector<double>(50, random));
  const auto compute = [&] {
    const auto on_x = to_device(executor(), x);
    const auto out = to_device(executor(), poisoned<double>(3));
    inner_product<double>(executor(),
                          {{on_x.data(), 3, 50, 50}, {y.data(), 3, 50, 0}, out.data(), 1});
    return out.download();
  };
  const auto good = compute();
  x[73] = std::nan("");
  const auto bad = compute();
  EXPECT_EQ(bad[0], good[0]);
  EXPECT_TRUE(std::isnan(bad[1]));
  EXPECT_EQ(bad[2], good[2]);
}

TEST_P(InnerProduct, RejectsShapesThatDiffer) {
  const Buffer<double> memory(executor(), 8);
  EXPECT_THROW(
      inner_product<double>(executor(),
                            {{memory.data(), 1, 3, 3}, {memory.data(), 1, 4, 4}, memory.data(), 1}),
      std::invalid_argument);
}

MANYFOLD_ON_EVERY_DEVICE(InnerProduct);

}  // namespace
}  // namespace manyfold::kernels
