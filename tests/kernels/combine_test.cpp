#include "kernels/combine.hpp"

#include <cmath>
#include <cstdint>
#include <vector>

#include "tests/kernels/devices.hpp"

namespace manyfold::kernels {
namespace {

using namespace manyfold::test;

class Combine : public DeviceTest {};

TEST_P(Combine, IsScaledRootOfRatio) {
  std::mt19937_64 random(test_seed());
  const std::int64_t count = 3;
  const std::int64_t slots = enough_slots(5, count);
  auto numerator = random_vector<double>(slots * 4, random);
  auto denominator = random_vector<double>(slots * 3, random);
  for (double& x : numerator) x = x * x;
  for (double& x : denominator) x = x * x;
  const auto device_numerator = to_device(executor(), numerator);
  const auto device_denominator = to_device(executor(), denominator);
  for (const bool square_root : {false, true}) {
    for (const int kind : {0, 1, 2}) {  // no denominator, one a slot, one for all
      const auto out =
          to_device(executor(), std::vector<double>(static_cast<std::size_t>(5 * slots), -7));
      CombineArgs args;
      args.slots = slots;
      args.count = count;
      args.scale = 1.75;
      args.square_root = square_root;
      args.numerator = device_numerator.data();
      args.numerator_stride = 4;
      args.denominator = kind == 0 ? nullptr : device_denominator.data();
      args.denominator_stride = kind == 2 ? 0 : 3;
      args.out = out.data();
      args.out_stride = 5;
      combine(executor(), args);
      const auto result = out.download();
      for (std::int64_t s = 0; s < slots; ++s) {
        for (std::int64_t i = 0; i < 5; ++i) {
          double expected = -7;
          if (i < count) {
            expected = numerator[static_cast<std::size_t>(4 * s + i)];
            if (kind > 0)
              expected /= denominator[static_cast<std::size_t>((kind == 2 ? 0 : 3 * s) + i)];
            if (square_root) expected = std::sqrt(expected);
            expected *= 1.75;  // divided, rooted and scaled: exactly rounded each, on every device
          }
          ASSERT_EQ(result[static_cast<std::size_t>(5 * s + i)], expected) << "slot " << s;
        }
      }
    }
  }
}

TEST_P(Combine, MayWorkInPlace) {
  const auto memory = to_device(executor(), std::vector<double>{4, 9, 16});
  CombineArgs args;
  args.slots = 3;
  args.square_root = true;
  args.numerator = memory.data();
  args.out = memory.data();
  combine(executor(), args);
  EXPECT_EQ(memory.download(), (std::vector<double>{2, 3, 4}));
}

TEST_P(Combine, SubtractsBeforeItDivides) {
  const auto numerator = to_device(executor(), std::vector<double>{10, 1, -99, 7, 2, -99});
  const auto minus = to_device(executor(), std::vector<double>{1, 3, 5, 2});
  const auto denominator = to_device(executor(), std::vector<double>{2, 4});
  const auto out = to_device(executor(), std::vector<double>(4, -7));
  combine(executor(), {.slots = 2,
                       .count = 2,
                       .scale = 3,
                       .numerator = numerator.data(),
                       .numerator_stride = 3,
                       .denominator = denominator.data(),
                       .denominator_stride = 0,
                       .out = out.data(),
                       .out_stride = 2,
                       .minus = minus.data(),
                       .minus_stride = 2});
  EXPECT_EQ(out.download(), (std::vector<double>{13.5, -1.5, 3, 0}));
}

MANYFOLD_ON_EVERY_DEVICE(Combine);

}  // namespace
}  // namespace manyfold::kernels
