#include "kernels/neurons.hpp"

#include <cmath>
#include <cstdint>
#include <stdexcept>
#include <vector>

#include "tests/kernels/devices.hpp"

namespace manyfold::kernels {
namespace {

using namespace manyfold::test;

class Neurons : public DeviceTest {
 protected:
  template <class T>
  void check(std::int64_t n, std::int64_t p, std::int64_t q, NeuronTerm term) {
    constexpr std::int64_t slots = 3;
    std::mt19937_64 random(test_seed());
    // Gaps after each row and each slot.
    const std::int64_t a_row = p + 1;
    const std::int64_t b_row = n + 2;
    const std::int64_t a_slot = n * a_row + 3;
    const std::int64_t b_slot = q * b_row + 1;
    auto a = random_vector<T>(slots * a_slot, random);
    const auto b = random_vector<T>(slots * b_slot, random);
    a[static_cast<std::size_t>(a_slot)] = std::numeric_limits<T>::quiet_NaN();  // slot 1, row 0
    const auto device_a = to_device(executor(), a);
    const auto device_b = to_device(executor(), b);
    const std::int64_t stride = n + 2;
    const auto out =
        to_device(executor(), std::vector<double>(static_cast<std::size_t>(slots * stride), -7));
    neuron_terms(executor(), NeuronTermsArgs<T>{{device_a.data(), slots, n, p, a_slot, a_row},
                                                {device_b.data(), slots, q, n, b_slot, b_row},
                                                term,
                                                out.data(),
                                                stride});
    const auto all = out.download();
    for (std::int64_t s = 0; s < slots; ++s) {
      for (std::int64_t i = 0; i < stride; ++i) {
        const double value = all[static_cast<std::size_t>(s * stride + i)];
        if (i >= n) {
          EXPECT_EQ(value, -7) << "wrote between slots";
          continue;
        }
        if (s == 1 && i == 0) {
          EXPECT_TRUE(std::isnan(value));
          continue;
        }
        auto at_a = [&](std::int64_t j) {
          return static_cast<long double>(a[static_cast<std::size_t>(s * a_slot + i * a_row + j)]);
        };
        auto at_b = [&](std::int64_t j) {
          return static_cast<long double>(b[static_cast<std::size_t>(s * b_slot + j * b_row + i)]);
        };
        long double expected = 0;
        long double size = 0;
        for (std::int64_t j = 0; j < p; ++j) size += at_a(j) * at_a(j);
        for (std::int64_t j = 0; j < q; ++j) size += at_b(j) * at_b(j);
        if (term == NeuronTerm::norm2_difference) {
          for (std::int64_t j = 0; j < p; ++j) expected += at_a(j) * at_a(j);
          for (std::int64_t j = 0; j < q; ++j) expected -= at_b(j) * at_b(j);
        } else {
          for (std::int64_t j = 0; j < p; ++j) {
            const long double difference = at_a(j) - at_b(j);
            expected += term == NeuronTerm::inner ? at_a(j) * at_b(j) : difference * difference;
          }
        }
        // p + q fused additions and a few roundings of terms that are at most twice `size`.
        EXPECT_NEAR(value, static_cast<double>(expected),
                    4 * static_cast<double>(p + q) * epsilon<double>() * static_cast<double>(size))
            << n << " " << p << " " << q;
      }
    }
  }
};

TEST_P(Neurons, MatchDirectSums) {
  for (const auto term : {NeuronTerm::norm2_difference, NeuronTerm::distance2, NeuronTerm::inner}) {
    for (const std::int64_t n : {1, 7, 33, 70}) {
      check<double>(n, 5, 5, term);
      check<float>(n, 41, 41, term);
    }
  }
  check<double>(20, 3, 40, NeuronTerm::norm2_difference);
  check<float>(40, 65, 1, NeuronTerm::norm2_difference);
}

TEST_P(Neurons, RejectShapesThatDoNotFit) {
  const Buffer<double> memory(executor(), 64);
  NeuronTermsArgs<double> args;
  args.a = {memory.data(), 1, 3, 4, 12, 4};
  args.b = {memory.data(), 1, 2, 3, 6, 3};
  args.out = memory.data();
  args.out_stride = 3;
  args.term = NeuronTerm::inner;
  EXPECT_THROW(neuron_terms(executor(), args), std::invalid_argument) << "rows of 4, columns of 2";
  args.term = NeuronTerm::norm2_difference;
  args.b.cols = 2;
  EXPECT_THROW(neuron_terms(executor(), args), std::invalid_argument) << "3 rows, 2 columns";
  args.b.cols = 3;
  args.a.slots = 2;
  args.b.slots = 2;
  args.out_stride = 2;
  EXPECT_THROW(neuron_terms(executor(), args), std::invalid_argument) << "slots overlap";
}

MANYFOLD_ON_EVERY_DEVICE(Neurons);

}  // namespace
}  // namespace manyfold::kernels
