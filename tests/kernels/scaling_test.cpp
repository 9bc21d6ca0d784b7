#include <cmath>
#include <cstdint>
#include <stdexcept>
#include <vector>

#include "kernels/accumulate.hpp"
#include "kernels/add_scaled.hpp"
#include "tests/kernels/devices.hpp"

namespace manyfold::kernels {
namespace {

using namespace manyfold::test;

class Scaling : public DeviceTest {
 protected:
  /// The contract names every rounding, so the bits are known.
  template <class T>
  void check_add_scaled() {
    std::mt19937_64 random(test_seed());
    constexpr std::int64_t slots = 3;
    for (const std::int64_t count : {1, 7, 32, 33, 130, 400}) {
      for (int flags = 0; flags < 8; ++flags) {
        const bool add = flags % 2 == 1;
        const bool in_place = flags / 2 % 2 == 1;
        const bool shared = !in_place && flags / 4 == 1;
        const bool scaled = flags / 4 == 0 || in_place;
        const std::int64_t stride = count + 3;
        const auto x = random_vector<T>(slots * stride, random);
        const auto y = in_place ? x
                       : add    ? random_vector<T>(slots * stride, random)
                                : poisoned<T>(slots * stride);
        const auto coefficient = random_vector<double>(slots, random);
        const auto on_x = to_device(executor(), x);
        const auto on_y = to_device(executor(), y);
        const auto on_coefficient = to_device(executor(), coefficient);
        const T* from = in_place ? on_y.data() : on_x.data();
        add_scaled<T>(executor(), {.x = {from, slots, count, shared ? 0 : stride},
                                   .scale = -1.3,
                                   .coefficient = scaled ? on_coefficient.data() : nullptr,
                                   .add = add,
                                   .y = {on_y.data(), slots, count, stride}});
        std::vector<T> expected = y;
        for (std::int64_t slot = 0; slot < slots; ++slot) {
          const auto c =
              static_cast<T>(scaled ? -1.3 * coefficient[static_cast<std::size_t>(slot)] : -1.3);
          for (std::int64_t i = 0; i < count; ++i) {
            const auto to = static_cast<std::size_t>(slot * stride + i);
            const T given = x[shared ? static_cast<std::size_t>(i) : to];
            expected[to] = add ? std::fma(c, given, y[to]) : c * given;
          }
        }
        EXPECT_EQ(bits(on_y.download()), bits(expected)) << count << " flags " << flags;
      }
    }
  }
};

TEST_P(Scaling, AddsScaledVectorsInDouble) { check_add_scaled<double>(); }
TEST_P(Scaling, AddsScaledVectorsInFloat) { check_add_scaled<float>(); }

TEST_P(Scaling, AccumulatesProducts) {
  std::mt19937_64 random(test_seed());
  constexpr std::int64_t slots = 70;
  const auto a = random_vector<double>(slots, random);
  const auto b = random_vector<double>(slots, random);
  const auto before = random_vector<double>(slots, random);
  for (int flags = 0; flags < 8; ++flags) {
    const bool add = flags % 2 == 1;
    const bool with_a = flags / 2 % 2 == 1;
    const bool with_b = flags / 4 == 1;
    const auto on_a = to_device(executor(), a);
    const auto on_b = to_device(executor(), b);
    const auto out = to_device(executor(), add ? before : poisoned<double>(slots));
    accumulate(executor(), {.slots = slots,
                            .scale = 0.7,
                            .a = with_a ? on_a.data() : nullptr,
                            .b = with_b ? on_b.data() : nullptr,
                            .add = add,
                            .out = out.data()});
    std::vector<double> expected;
    for (std::size_t s = 0; s < static_cast<std::size_t>(slots); ++s) {
      volatile double product = 0.7;  // rounded after every operation
      if (with_a) product = product * a[s];
      if (with_b) product = product * b[s];
      expected.push_back(add ? before[s] + product : product);
    }
    EXPECT_EQ(bits(out.download()), bits(expected)) << flags;
  }
  // In place: a loss times a number of its slot.
  const auto out = to_device(executor(), a);
  const auto on_b = to_device(executor(), b);
  accumulate(executor(),
             {.slots = slots, .a = out.data(), .b = on_b.data(), .add = false, .out = out.data()});
  const auto found = out.download();
  for (std::size_t s = 0; s < found.size(); ++s) EXPECT_EQ(found[s], a[s] * b[s]);
}

TEST_P(Scaling, RejectsWhatDoesNotFit) {
  const Buffer<double> memory(executor(), 16);
  EXPECT_THROW(add_scaled<double>(executor(),
                                  {.x = {memory.data(), 1, 3, 3}, .y = {memory.data(), 1, 4, 4}}),
               std::invalid_argument);
  EXPECT_THROW(add_scaled<double>(
                   executor(), {.x = {memory.data(), 2, 4, 4}, .y = {memory.data() + 8, 2, 4, 0}}),
               std::invalid_argument);
}

MANYFOLD_ON_EVERY_DEVICE(Scaling);

}  // namespace
}  // namespace manyfold::kernels
