#include "kernels/reduce.hpp"

#include <cmath>
#include <cstdint>
#include <limits>
#include <stdexcept>
#include <vector>

#include "tests/kernels/devices.hpp"

namespace manyfold::kernels {
namespace {

using namespace manyfold::test;

constexpr double nan = std::numeric_limits<double>::quiet_NaN();

class Reduce : public DeviceTest {
 protected:
  std::vector<double> compute(Reduction reduction, const std::vector<double>& x,
                              const std::vector<double>& y = {}, double threshold = 0) {
    // Three slots of three values in rows of four: the fourth must not be read.
    const auto device_x = to_device(executor(), x);
    const auto device_y = to_device(executor(), y);
    const auto out = to_device(executor(), std::vector<double>(6, -7));
    reduce(executor(), {.slots = 3,
                        .count = 3,
                        .reduction = reduction,
                        .x = device_x.data(),
                        .x_stride = 4,
                        .y = y.empty() ? nullptr : device_y.data(),
                        .y_stride = 3,
                        .threshold = threshold,
                        .out = out.data(),
                        .out_stride = 2});
    const auto all = out.download();
    EXPECT_EQ(all[1], -7);
    EXPECT_EQ(all[5], -7);
    return {all[0], all[2], all[4]};
  }
};

/// Any NaN is as good as another.
void expect_values(const std::vector<double>& found, const std::vector<double>& expected) {
  ASSERT_EQ(found.size(), expected.size());
  for (std::size_t i = 0; i < found.size(); ++i) {
    if (std::isnan(expected[i])) {
      EXPECT_TRUE(std::isnan(found[i])) << i;
    } else {
      EXPECT_EQ(found[i], expected[i]) << i;
    }
  }
}

const std::vector<double> values{3, -1, 2, -99, 5, nan, 1, -99, -2, -2, 4, 99};

TEST_P(Reduce, HasItsValuesAndKeepsNanInItsSlot) {
  expect_values(compute(Reduction::sum, values), {4, nan, 0});
  expect_values(compute(Reduction::largest_difference, values), {3, nan, 4});
  expect_values(compute(Reduction::least, values), {-1, nan, -2});
  expect_values(compute(Reduction::least_place, values), {1, nan, 0});
  expect_values(compute(Reduction::all_at_most, values, {}, 3), {1, nan, 0});
  expect_values(compute(Reduction::all_at_most, values, {}, 2.5), {0, nan, 0});
}

TEST_P(Reduce, TakesDifferences) {
  const std::vector<double> y{3, 1, 2, 0, 0, 0, -2, nan, 4};
  expect_values(compute(Reduction::largest_difference, values, y), {2, nan, nan});
}

TEST_P(Reduce, RejectsNoValues) {
  const Buffer<double> memory(executor(), 4);
  EXPECT_THROW(
      reduce(executor(), {.slots = 1, .count = 0, .x = memory.data(), .out = memory.data()}),
      std::invalid_argument);
}

MANYFOLD_ON_EVERY_DEVICE(Reduce);

}  // namespace
}  // namespace manyfold::kernels
