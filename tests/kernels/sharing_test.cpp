#include "kernels/sharing.hpp"

#include <cmath>
#include <cstdint>
#include <limits>
#include <stdexcept>
#include <vector>

#include "tests/kernels/devices.hpp"

namespace manyfold::kernels {
namespace {

using namespace manyfold::test;

using Numbers = std::vector<std::int32_t>;

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

/// Which of `count` parameters stands at each of rows x cols entries, each at least once; about a
/// third of the entries are 0.
Numbers random_numbers(std::int64_t entries, std::int64_t count, std::mt19937_64& random) {
  Numbers numbers(at(entries), 0);
  for (std::int32_t& k : numbers) {
    if (random() % 3 != 0) {
      k = 1 + static_cast<std::int32_t>(random() % static_cast<std::uint64_t>(count));
    }
  }
  for (std::int64_t k = 0; k < count; ++k) {
    numbers[at(k * entries / count)] = static_cast<std::int32_t>(count - k);
  }
  return numbers;
}

/// Places of each parameter, one after the other.
struct Places {
  Numbers begins{0};
  Numbers places;

  Places(const Numbers& numbers, std::int64_t count) {
    for (std::int32_t k = 1; k <= count; ++k) {
      for (std::size_t i = 0; i < numbers.size(); ++i) {
        if (numbers[i] == k) places.push_back(static_cast<std::int32_t>(i));
      }
      begins.push_back(static_cast<std::int32_t>(places.size()));
    }
  }
};

class Sharing : public DeviceTest {
 protected:
  struct Sizes {
    std::int64_t rows;
    std::int64_t cols;
    std::int64_t count;
  };

  template <class T>
  void check_spread(const Sizes& size, bool shared) {
    std::mt19937_64 random(test_seed());
    const std::int64_t slots = enough_slots(5, size.rows * size.cols);
    const std::int64_t v_slot = size.count + 3;
    const std::int64_t w_row = size.cols + 2;
    const std::int64_t w_slot = size.rows * w_row + 5;
    const Numbers numbers = random_numbers(size.rows * size.cols, size.count, random);
    std::vector<T> v = random_vector<T>(slots * v_slot, random);
    v[at(v_slot + size.count - 1)] = std::numeric_limits<T>::quiet_NaN();  // of slot 1 alone
    const auto on_v = to_device(executor(), v);
    const auto on_numbers = to_device(executor(), numbers);
    const auto w = to_device(executor(), poisoned<T>(slots * w_slot));
    spread_weights<T>(executor(), {{on_v.data(), slots, size.count, shared ? 0 : v_slot},
                                   on_numbers.data(),
                                   {w.data(), slots, size.rows, size.cols, w_slot, w_row}});
    std::vector<T> expected = poisoned<T>(slots * w_slot);
    for (std::int64_t s = 0; s < slots; ++s) {
      for (std::int64_t i = 0; i < size.rows * size.cols; ++i) {
        const std::int32_t k = numbers[at(i)];
        expected[at(s * w_slot + i / size.cols * w_row + i % size.cols)] =
            k == 0 ? T(0) : v[at((shared ? 0 : s * v_slot) + k - 1)];
      }
    }
    EXPECT_EQ(bits(w.download()), bits(expected));
  }

  template <class T>
  void check_collect(const Sizes& size, bool add) {
    std::mt19937_64 random(test_seed());
    const std::int64_t slots = enough_slots(5, size.count);
    const std::int64_t v_slot = size.count + 3;
    const std::int64_t w_row = size.cols + 2;
    const std::int64_t w_slot = size.rows * w_row + 5;
    const Numbers numbers = random_numbers(size.rows * size.cols, size.count, random);
    const Places where(numbers, size.count);
    std::vector<T> w = random_vector<T>(slots * w_slot, random);
    for (std::int64_t i = 0; i < size.rows * size.cols; ++i) {  // every entry of slot 1
      w[at(w_slot + i / size.cols * w_row + i % size.cols)] = std::numeric_limits<T>::quiet_NaN();
    }
    const auto before =
        add ? random_vector<T>(slots * v_slot, random) : poisoned<T>(slots * v_slot);
    const auto on_w = to_device(executor(), w);
    const auto begins = to_device(executor(), where.begins);
    const auto places = to_device(executor(), where.places);
    const auto v = to_device(executor(), before);
    collect_weights<T>(executor(), {{on_w.data(), slots, size.rows, size.cols, w_slot, w_row},
                                    begins.data(),
                                    places.data(),
                                    add,
                                    {v.data(), slots, size.count, v_slot}});
    const std::vector<T> found = v.download();
    std::vector<T> expected = before;
    for (std::int64_t s = 0; s < slots; ++s) {
      for (std::int64_t k = 0; k < size.count; ++k) {
        T& sum = expected[at(s * v_slot + k)];
        double all = add ? static_cast<double>(sum) : 0.0;
        for (std::int64_t i = 0; i < size.rows * size.cols; ++i) {
          if (numbers[at(i)] != k + 1) continue;
          all += static_cast<double>(w[at(s * w_slot + i / size.cols * w_row + i % size.cols)]);
        }
        sum = static_cast<T>(all);
        if (s == 1) {
          EXPECT_TRUE(std::isnan(found[at(s * v_slot + k)])) << k;
          sum = found[at(s * v_slot + k)];  // a NaN's own bits do not count
        }
      }
    }
    EXPECT_EQ(bits(found), bits(expected));
  }

  static const std::vector<Sizes>& sizes() {
    static const std::vector<Sizes> all{{1, 1, 1}, {3, 5, 4}, {7, 6, 42}, {33, 17, 40}, {65, 3, 2}};
    return all;
  }
};

TEST_P(Sharing, SpreadPutsEveryParameterInItsPlaces) {
  for (const Sizes& size : sizes()) {
    for (const bool shared : {false, true}) {
      check_spread<double>(size, shared);
      check_spread<float>(size, shared);
    }
  }
}

TEST_P(Sharing, CollectAddsUpThePlacesInTheirOrder) {
  for (const Sizes& size : sizes()) {
    for (const bool add : {false, true}) {
      check_collect<double>(size, add);
      check_collect<float>(size, add);
    }
  }
}

TEST_P(Sharing, RejectsWhatDoesNotFit) {
  const Buffer<double> memory(executor(), 64);
  const auto numbers = to_device(executor(), Numbers(64, 0));
  SpreadWeightsArgs<double> spread{
      {memory.data(), 2, 3, 4}, nullptr, {memory.data(), 2, 2, 2, 4, 2}};
  EXPECT_THROW(spread_weights(executor(), spread), std::invalid_argument) << "no numbers";
  spread.numbers = numbers.data();
  spread.w.slot_stride = 0;
  EXPECT_THROW(spread_weights(executor(), spread), std::invalid_argument) << "one W for two slots";
  spread.w.slot_stride = 4;
  spread.v.slots = 3;
  EXPECT_THROW(spread_weights(executor(), spread), std::invalid_argument) << "3 slots for 2";
  CollectWeightsArgs<double> collect{
      {memory.data(), 2, 2, 2, 4, 2}, nullptr, numbers.data(), false, {memory.data(), 2, 3, 4}};
  EXPECT_THROW(collect_weights(executor(), collect), std::invalid_argument) << "no begins";
  collect.begins = numbers.data();
  collect.v.slot_stride = 2;
  EXPECT_THROW(collect_weights(executor(), collect), std::invalid_argument) << "slots overlap";
  collect.v.slot_stride = 4;
  collect.w.slots = 3;
  EXPECT_THROW(collect_weights(executor(), collect), std::invalid_argument) << "3 slots for 2";
}

MANYFOLD_ON_EVERY_DEVICE(Sharing);

}  // namespace
}  // namespace manyfold::kernels
