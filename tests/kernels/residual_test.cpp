#include "kernels/residual.hpp"

#include <cmath>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "tests/kernels/devices.hpp"

namespace manyfold::kernels {
namespace {

using namespace manyfold::test;

struct Setting {
  std::int64_t slots = 3, rows = 1, cols = 1, gap = 0;
  bool shared = false;  ///< target and mask
  bool masked = true;
  bool observed = true;
  bool in_place = false;
  bool stored = true;
  bool summed = true;

  std::int64_t row_stride() const { return cols + gap; }
  std::int64_t slot_stride() const { return rows * row_stride() + gap; }
};

template <class T>
struct Data {
  std::vector<T> w, target;
  std::vector<std::uint8_t> mask;
};

template <class T>
Data<T> random_data(const Setting& s, std::mt19937_64& random) {
  Data<T> data{random_vector<T>(s.slots * s.slot_stride(), random),
               random_vector<T>(s.slots * s.slot_stride(), random),
               {}};
  // Any value but 0 counts as 1.
  for (std::size_t i = 0; i < data.w.size(); ++i) {
    data.mask.push_back(random() % 2 == 0 ? std::uint8_t{0}
                                          : static_cast<std::uint8_t>(1 + random() % 255));
  }
  return data;
}

template <class T>
struct Outcome {
  std::vector<T> residual;
  std::vector<double> half_square;
};

template <class T>
Outcome<T> compute(Executor& executor, const Setting& s, const Data<T>& data) {
  const auto w = to_device(executor, data.w);
  const auto target = to_device(executor, data.target);
  const auto mask = to_device(executor, data.mask);
  const auto out = to_device(executor, poisoned<T>(s.slots * s.slot_stride()));
  const auto half_square = to_device(executor, poisoned<double>(s.slots));
  const auto view = [&](auto* memory, bool shared) {
    return MatrixBatch<std::remove_reference_t<decltype(*memory)>>{
        memory, s.slots, s.rows, s.cols, shared ? 0 : s.slot_stride(), s.row_stride()};
  };
  ResidualArgs<T> args;
  args.w = view(w.data(), false);
  args.target = view(target.data(), s.shared);
  if (s.masked) args.mask = view(mask.data(), s.shared);
  args.observed = s.observed;
  if (s.stored) args.residual = view(s.in_place ? w.data() : out.data(), false);
  if (s.summed) args.half_square = half_square.data();
  residual(executor, args);
  return {s.in_place ? w.download() : out.download(), half_square.download()};
}

/// Residuals are one subtraction, so exact; a sum of n squares in any order is within n eps of
/// itself in double precision.
template <class T>
void expect_residual(const Setting& s, const Data<T>& data, const Outcome<T>& outcome) {
  std::vector<T> expected = s.in_place ? data.w : poisoned<T>(s.slots * s.slot_stride());
  for (std::int64_t slot = 0; slot < s.slots; ++slot) {
    long double sum = 0;
    for (std::int64_t r = 0; r < s.rows; ++r) {
      for (std::int64_t c = 0; c < s.cols; ++c) {
        const auto place =
            static_cast<std::size_t>(slot * s.slot_stride() + r * s.row_stride() + c);
        const auto given = s.shared ? static_cast<std::size_t>(r * s.row_stride() + c) : place;
        const bool seen = !s.masked || data.mask[given] != 0;
        const T difference = seen == s.observed ? data.w[place] - data.target[given] : T(0);
        if (s.stored) expected[place] = difference;
        sum += static_cast<long double>(difference) * difference;
      }
    }
    const double half = static_cast<double>(sum / 2);
    if (s.summed) {
      ASSERT_NEAR(outcome.half_square[static_cast<std::size_t>(slot)], half,
                  static_cast<double>(s.rows * s.cols + 1) * epsilon<double>() * half)
          << s.rows << "x" << s.cols << ", slot " << slot;
    }
  }
  EXPECT_TRUE(bits(outcome.residual) == bits(expected))
      << s.rows << "x" << s.cols << " gap " << s.gap;
}

class Residual : public DeviceTest {
 protected:
  template <class T>
  void check(const Setting& s, std::mt19937_64& random) {
    const Data<T> data = random_data<T>(s, random);
    expect_residual(s, data, compute(executor(), s, data));
  }
  template <class T>
  void check_sizes() {
    std::mt19937_64 random(test_seed());
    for (const auto& [rows, cols] : {std::pair{1, 1},
                                     {1, 7},
                                     {7, 1},
                                     {3, 5},
                                     {8, 8},
                                     {20, 20},
                                     {33, 65},
                                     {64, 64},
                                     {130, 129},
                                     {200, 3},
                                     {3, 200}}) {
      for (int flags = 0; flags < 16; ++flags) {
        Setting s;
        s.rows = rows;
        s.cols = cols;
        s.gap = flags % 2 == 0 ? 0 : 5;
        s.shared = (flags / 2 + rows) % 2 == 0;
        s.in_place = flags / 4 % 2 == 1;
        s.observed = flags / 8 == 0;
        s.masked = (flags + cols) % 5 != 0;
        check<T>(s, random);
      }
    }
  }
};

TEST_P(Residual, MatchesADirectSumInDouble) { check_sizes<double>(); }
TEST_P(Residual, MatchesADirectSumInFloat) { check_sizes<float>(); }

TEST_P(Residual, MatchesADirectSumWhereSlotsFillTheChip) {
  std::mt19937_64 random(test_seed());
  for (const auto& [rows, cols] : {std::pair{3, 5}, {20, 20}, {33, 65}, {64, 64}}) {
    Setting s;
    s.rows = rows;
    s.cols = cols;
    s.gap = rows % 2;
    s.slots = enough_slots(37, s.slot_stride());
    s.shared = rows == 20;
    s.in_place = rows == 33;
    s.observed = rows != 64;
    check<double>(s, random);
    check<float>(s, random);
    if (HasFailure()) return;
  }
}

TEST_P(Residual, GivesOnlyWhatIsAskedFor) {
  std::mt19937_64 random(test_seed());
  for (const bool stored : {false, true}) {
    Setting s;
    s.rows = 9;
    s.cols = 14;
    s.stored = stored;
    s.summed = !stored;
    const auto data = random_data<double>(s, random);
    const auto outcome = compute(executor(), s, data);
    expect_residual(s, data, outcome);
    for (const double x : outcome.half_square) EXPECT_EQ(std::isnan(x), stored);
  }
}

/// What does not count may be anything: a target that is not known is often NaN.
TEST_P(Residual, DoesNotReadIntoWhatDoesNotCount) {
  std::mt19937_64 random(test_seed());
  Setting s;
  s.rows = 13;
  s.cols = 11;
  auto data = random_data<float>(s, random);
  for (std::size_t i = 0; i < data.mask.size(); ++i) {
    if (data.mask[i] == 0) data.target[i] = std::numeric_limits<float>::quiet_NaN();
  }
  expect_residual(s, data, compute(executor(), s, data));
}

TEST_P(Residual, NanStaysInItsSlot) {
  std::mt19937_64 random(test_seed());
  Setting s;
  s.rows = 20;
  s.cols = 20;
  s.masked = false;
  auto data = random_data<double>(s, random);
  const auto good = compute(executor(), s, data);
  data.w[static_cast<std::size_t>(s.slot_stride() + 17)] = std::numeric_limits<double>::infinity();
  const auto bad = compute(executor(), s, data);
  EXPECT_EQ(bad.half_square[0], good.half_square[0]);
  EXPECT_FALSE(std::isfinite(bad.half_square[1]));
  EXPECT_EQ(bad.half_square[2], good.half_square[2]);
}

/// The order of a sum depends on the shape alone: not on gaps between rows, on the slot, on
/// threads.
TEST_P(Residual, SumsInAnOrderOfTheShape) {
  std::mt19937_64 random(test_seed());
  for (const auto& [rows, cols] : {std::pair{7, 9}, {20, 20}, {65, 33}}) {
    Setting dense;
    dense.slots = 2;
    dense.rows = rows;
    dense.cols = cols;
    dense.masked = rows != 20;
    const auto data = random_data<float>(dense, random);
    Setting gapped = dense;
    gapped.gap = 7;
    Data<float> spread = random_data<float>(gapped, random);
    for (std::int64_t slot = 0; slot < 2; ++slot) {
      for (std::int64_t r = 0; r < rows; ++r) {
        for (std::int64_t c = 0; c < cols; ++c) {
          const auto from = static_cast<std::size_t>(r * cols + c);  // slot 0 in both places
          const auto to =
              static_cast<std::size_t>(slot * gapped.slot_stride() + r * gapped.row_stride() + c);
          spread.w[to] = data.w[from];
          spread.target[to] = data.target[from];
          spread.mask[to] = data.mask[from];
        }
      }
    }
    const double expected = compute(executor(), dense, data).half_square[0];
    const auto outcome = compute(executor(), gapped, spread);
    EXPECT_EQ(outcome.half_square, (std::vector<double>{expected, expected}));
    if (on_cpu()) {
      const auto single = make_executor({.device = "cpu", .threads = 1});
      EXPECT_EQ(compute(*single, dense, data).half_square[0], expected);
    }
  }
}

TEST_P(Residual, RejectsShapesThatDiffer) {
  const Buffer<double> memory(executor(), 64);
  ResidualArgs<double> args;
  args.w = {memory.data(), 1, 2, 3, 6, 3};
  args.target = {memory.data(), 1, 3, 2, 6, 2};
  try {
    residual(executor(), args);
    FAIL() << "accepted";
  } catch (const std::invalid_argument& error) {
    EXPECT_NE(std::string(error.what()).find("w (1, 2, 3) and target (1, 3, 2)"), std::string::npos)
        << error.what();
  }
  args.target = args.w;
  args.w.slots = 2;
  args.target.slots = 1;
  EXPECT_THROW(residual(executor(), args), std::invalid_argument) << "target is not shared";
}

MANYFOLD_ON_EVERY_DEVICE(Residual);

}  // namespace
}  // namespace manyfold::kernels
