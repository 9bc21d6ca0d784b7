#include "kernels/watch.hpp"

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
constexpr double infinity = std::numeric_limits<double>::infinity();

class Watch : public DeviceTest {};

TEST_P(Watch, ExtremesPassOverNan) {
  // (slot, 4) in rows of 5 and 6: the gaps hold what must not be read or written.
  const std::vector<double> values = {1, nan, -infinity, 3, 99, -2, nan, 5, 3, 99};
  const std::vector<double> extremes = {nan, nan, nan, 4, -1, -1, -3, 7, 4, nan, -1, -1};
  for (const bool maximum : {true, false}) {
    const auto device_values = to_device(executor(), values);
    const auto device_extremes = to_device(executor(), extremes);
    running_extreme(executor(),
                    {2, 4, device_values.data(), 5, device_extremes.data(), 6, maximum});
    const std::vector<double> expected =
        maximum ? std::vector<double>{1, nan, -infinity, 4, -1, -1, -2, 7, 5, 3, -1, -1}
                : std::vector<double>{1, nan, -infinity, 3, -1, -1, -3, 7, 4, 3, -1, -1};
    EXPECT_EQ(bits(device_extremes.download()), bits(expected)) << maximum;
  }
}

/// Both against the contract, element by element, with NaN among values and extremes.
TEST_P(Watch, MatchesTheContractWhereSlotsFillTheChip) {
  std::mt19937_64 random(test_seed());
  const std::int64_t count = 3;
  const std::int64_t slots = enough_slots(67, count);
  auto values = random_vector<double>(slots * 4, random);
  auto extremes = random_vector<double>(slots * 5, random);
  for (double& x : values) x = random() % 7 == 0 ? nan : x;
  for (double& x : extremes) x = random() % 7 == 0 ? nan : x;
  std::vector<std::int64_t> steps;
  for (std::int64_t s = 0; s < slots; ++s) steps.push_back(3 * s + 1);
  const auto device_values = to_device(executor(), values);
  const auto device_extremes = to_device(executor(), extremes);
  const auto device_first = to_device(executor(), extremes);
  const auto device_steps = to_device(executor(), steps);
  running_extreme(executor(),
                  {slots, count, device_values.data(), 4, device_extremes.data(), 5, true});
  first_crossing(executor(), {slots, count, device_values.data(), 4, 0.25, true,
                              device_steps.data(), device_first.data(), 5});
  auto largest = extremes;
  auto first = extremes;
  for (std::int64_t s = 0; s < slots; ++s) {
    for (std::int64_t i = 0; i < count; ++i) {
      const double value = values[static_cast<std::size_t>(4 * s + i)];
      double& extreme = largest[static_cast<std::size_t>(5 * s + i)];
      if (!std::isnan(value) && !(extreme >= value)) extreme = value;
    }
    for (std::int64_t i = 0; i < count; ++i) {
      double& crossing = first[static_cast<std::size_t>(5 * s + i)];
      if (std::isnan(crossing) && values[static_cast<std::size_t>(4 * s + i)] < 0.25) {
        crossing = static_cast<double>(steps[static_cast<std::size_t>(s)]);
      }
    }
  }
  EXPECT_TRUE(bits(device_extremes.download()) == bits(largest));
  EXPECT_TRUE(bits(device_first.download()) == bits(first));
}

TEST_P(Watch, ExtremesRejectOverlappingSlots) {
  const Buffer<double> memory(executor(), 20);
  EXPECT_THROW(running_extreme(executor(), {2, 4, memory.data(), 4, memory.data() + 8, 3, true}),
               std::invalid_argument);
}

TEST_P(Watch, CrossingsKeepTheFirstStep) {
  const auto steps = to_device(executor(), std::vector<std::int64_t>{10, 20, 30, 40, 50});
  const std::vector<double> start = {nan, -7, nan, -7, nan, -7, nan, -7, 3, -7};
  for (const bool below : {true, false}) {
    const auto first = to_device(executor(), start);
    const auto call = [&](const std::vector<double>& host) {
      const auto values = to_device(executor(), host);
      first_crossing(executor(),
                     {5, 1, values.data(), 1, 1.5, below, steps.data(), first.data(), 2});
      executor().synchronize();
    };
    const double side = below ? -1 : 1;
    // At the threshold is neither below nor above; NaN is no crossing; the last slot crossed
    // before.
    call({1.5 + side, 1.5, 1.5 - side, nan, 1.5 + side});
    EXPECT_EQ(bits(first.download()),
              bits(std::vector<double>{10, -7, nan, -7, nan, -7, nan, -7, 3, -7}));
    const auto later = to_device(executor(), std::vector<std::int64_t>{11, 21, 31, 41, 51});
    const auto values = to_device(
        executor(), std::vector<double>{1.5 + side, 1.5 + side, 1.5 + side, side * infinity, 1.5});
    first_crossing(executor(), {5, 1, values.data(), 1, 1.5, below, later.data(), first.data(), 2});
    EXPECT_EQ(first.download(), (std::vector<double>{10, -7, 21, -7, 31, -7, 41, -7, 3, -7}));
  }
}

TEST_P(Watch, CrossingsOfSeveralValuesAreTheirOwn) {
  // (slot, 3) in rows of 4 and 5.
  const auto steps = to_device(executor(), std::vector<std::int64_t>{10, 20});
  const auto values = to_device(executor(), std::vector<double>{1, 5, nan, 9, 7, 7, 0, 9});
  const auto first =
      to_device(executor(), std::vector<double>{nan, nan, nan, -7, -7, 3, nan, nan, -7, -7});
  first_crossing(executor(), {.slots = 2,
                              .count = 3,
                              .values = values.data(),
                              .values_stride = 4,
                              .threshold = 4,
                              .below = false,
                              .step = steps.data(),
                              .first = first.data(),
                              .first_stride = 5});
  EXPECT_EQ(bits(first.download()),
            bits(std::vector<double>{nan, 10, nan, -7, -7, 3, 20, nan, -7, -7}));
  EXPECT_THROW(first_crossing(executor(), {.slots = 2,
                                           .count = 3,
                                           .values = values.data(),
                                           .values_stride = 4,
                                           .step = steps.data(),
                                           .first = first.data(),
                                           .first_stride = 2}),
               std::invalid_argument);
}

MANYFOLD_ON_EVERY_DEVICE(Watch);

}  // namespace
}  // namespace manyfold::kernels
