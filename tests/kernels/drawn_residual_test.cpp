#include "kernels/drawn_residual.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <stdexcept>
#include <vector>

#include "core/random/philox.hpp"
#include "tests/kernels/devices.hpp"

namespace manyfold::kernels {
namespace {

using namespace manyfold::test;

struct Setting {
  std::int64_t slots = 3, rows = 1, cols = 1, gap = 0;
  std::int64_t batch = 0;  ///< 0: all terms
  bool shared = false;     ///< target and entries
  bool listed = true;
  bool weighted = true;
  bool noisy = true;

  std::int64_t size() const { return rows * cols; }
  std::int64_t row_stride() const { return cols + gap; }
  std::int64_t slot_stride() const { return rows * row_stride() + gap; }
};

class DrawnResidual : public DeviceTest {
 protected:
  /// Every rounding is in the contract, so the bits are known on every device.
  template <class T>
  void check(const Setting& s, std::mt19937_64& random) {
    constexpr std::uint64_t stream = random_stream("test");
    const auto w = random_vector<T>(s.slots * s.slot_stride(), random);
    const auto target = random_vector<T>(s.slots * s.slot_stride(), random);
    std::vector<std::int64_t> count;
    std::vector<std::int32_t> entries(static_cast<std::size_t>(s.slots * s.size()), -1);
    std::vector<std::int32_t> drawn;
    std::vector<double> weight;
    std::vector<double> noise;
    std::vector<std::uint64_t> seeds;
    std::vector<std::int64_t> step;
    for (std::int64_t slot = 0; slot < s.slots; ++slot) {
      const std::int64_t terms =
          !s.listed ? s.size()
          : s.shared && slot > 0
              ? count.front()
              : 1 + static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(s.size()));
      count.push_back(terms);
      std::vector<std::int32_t> order(static_cast<std::size_t>(s.size()));
      std::iota(order.begin(), order.end(), 0);
      std::shuffle(order.begin(), order.end(), random);
      if (!s.shared || slot == 0) {
        std::copy_n(order.begin(), terms,
                    entries.begin() + static_cast<std::ptrdiff_t>(slot * s.size()));
      }
      for (std::int64_t b = 0; b < s.batch; ++b) {
        drawn.push_back(static_cast<std::int32_t>(random() % static_cast<std::uint64_t>(terms)));
      }
      weight.push_back(1.5 + static_cast<double>(slot));
      noise.push_back(0.25 * static_cast<double>(slot));
      seeds.push_back(random());
      step.push_back(static_cast<std::int64_t>(random() % 1'000'000'007));
    }
    const auto on_w = to_device(executor(), w);
    const auto on_target = to_device(executor(), target);
    const auto on_entries = to_device(executor(), entries);
    const auto on_count = to_device(executor(), count);
    const auto on_drawn = to_device(executor(), drawn);
    const auto on_weight = to_device(executor(), weight);
    const auto on_noise = to_device(executor(), noise);
    const auto on_seeds = to_device(executor(), seeds);
    const auto on_step = to_device(executor(), step);
    const auto poison = poisoned<T>(s.slots * s.slot_stride());
    const auto out = to_device(executor(), poison);
    const auto view = [&](auto* memory, bool shared) {
      return MatrixBatch<std::remove_reference_t<decltype(*memory)>>{
          memory, s.slots, s.rows, s.cols, shared ? 0 : s.slot_stride(), s.row_stride()};
    };
    DrawnResidualArgs<T> args;
    args.w = view(on_w.data(), false);
    args.target = view(on_target.data(), s.shared);
    if (s.listed) args.entries = on_entries.data();
    args.entries_stride = s.shared ? 0 : s.size();
    args.count = on_count.data();
    if (s.batch > 0) args.drawn = on_drawn.data();
    args.batch = s.batch;
    if (s.weighted) args.weight = on_weight.data();
    if (s.noisy) {
      args.noise = on_noise.data();
      args.seeds = on_seeds.data();
      args.step = on_step.data();
    }
    args.stream = stream;
    args.residual = view(out.data(), false);
    drawn_residual(executor(), args);

    std::vector<T> expected = poison;
    for (std::int64_t slot = 0; slot < s.slots; ++slot) {
      const auto at = static_cast<std::size_t>(slot);
      const auto place = [&](std::int64_t entry) {
        return entry / s.cols * s.row_stride() + entry % s.cols;
      };
      for (std::int64_t e = 0; e < s.size(); ++e) {
        expected[static_cast<std::size_t>(slot * s.slot_stride() + place(e))] = 0;
      }
      const double whole = s.weighted ? weight[at] : 1.0;
      const auto factor =
          static_cast<T>(s.batch > 0 ? whole / static_cast<double>(s.batch) : whole);
      for (std::int64_t b = 0; b < (s.batch > 0 ? s.batch : count[at]); ++b) {
        const std::int64_t j =
            s.batch > 0 ? drawn[static_cast<std::size_t>(slot * s.batch + b)] : b;
        const std::int64_t e =
            s.listed ? entries[static_cast<std::size_t>((s.shared ? 0 : slot * s.size()) + j)] : j;
        const auto own = static_cast<std::size_t>(slot * s.slot_stride() + place(e));
        const auto given = s.shared ? static_cast<std::size_t>(place(e)) : own;
        T difference = w[own] - target[given];
        if (s.noisy) {
          const auto index = static_cast<std::uint64_t>(step[at] * count[at] + j);
          difference -= static_cast<T>(noise[at] * normal_double(seeds[at], stream, index));
        }
        expected[own] = std::fma(factor, difference, expected[own]);
      }
    }
    EXPECT_EQ(bits(out.download()), bits(expected))
        << s.rows << "x" << s.cols << " batch " << s.batch << " gap " << s.gap;
  }
  template <class T>
  void check_all() {
    std::mt19937_64 random(test_seed());
    for (const auto& [rows, cols] : {std::pair{1, 1}, {1, 7}, {3, 5}, {20, 20}, {33, 17}}) {
      for (const std::int64_t batch : {0, 1, 2, 5, 130}) {
        for (int flags = 0; flags < 16; flags += 3) {
          Setting s;
          s.rows = rows;
          s.cols = cols;
          s.batch = batch;
          s.gap = flags % 2 == 0 ? 0 : 3;
          s.shared = flags / 2 % 2 == 1;
          s.listed = flags / 4 % 2 == 1;
          s.noisy = flags / 8 == 1;
          s.weighted = (flags + rows) % 3 != 0;
          check<T>(s, random);
        }
      }
    }
  }
};

TEST_P(DrawnResidual, HasTheBitsOfItsContractInDouble) { check_all<double>(); }
TEST_P(DrawnResidual, HasTheBitsOfItsContractInFloat) { check_all<float>(); }

/// What is not drawn may be anything, and a slot that is not finite touches no other.
TEST_P(DrawnResidual, ReadsOnlyWhatIsDrawn) {
  const double nan = std::nan("");
  const auto w = to_device<double>(executor(), {nan, 2, nan, nan, 4, 5, nan, 7});
  const auto target = to_device<double>(executor(), {nan, 1, nan, nan});
  const auto count = to_device<std::int64_t>(executor(), {4, 4});
  const auto drawn = to_device<std::int32_t>(executor(), {1, 1, 1, 1});
  const auto out = to_device(executor(), poisoned<double>(8));
  DrawnResidualArgs<double> args;
  args.w = {w.data(), 2, 2, 2, 4, 2};
  args.target = {target.data(), 2, 2, 2, 0, 2};
  args.count = count.data();
  args.drawn = drawn.data();
  args.batch = 2;
  args.residual = {out.data(), 2, 2, 2, 4, 2};
  drawn_residual(executor(), args);
  EXPECT_EQ(out.download(), (std::vector<double>{0, 1, 0, 0, 0, 4, 0, 0}));
}

TEST_P(DrawnResidual, RejectsWhatDoesNotFit) {
  const Buffer<double> memory(executor(), 64);
  const Buffer<std::int64_t> count(executor(), 1);
  const Buffer<std::int32_t> drawn(executor(), 1);
  DrawnResidualArgs<double> good;
  good.w = {memory.data(), 1, 2, 3, 6, 3};
  good.target = {memory.data(), 1, 2, 3, 6, 3};
  good.residual = {memory.data() + 8, 1, 2, 3, 6, 3};
  good.count = count.data();
  DrawnResidualArgs<double> bad = good;
  bad.target.rows = 3;
  bad.target.cols = 2;
  EXPECT_THROW(drawn_residual(executor(), bad), std::invalid_argument);
  bad = good;
  bad.drawn = drawn.data();
  EXPECT_THROW(drawn_residual(executor(), bad), std::invalid_argument) << "no batch";
  bad = good;
  bad.noise = memory.data();
  EXPECT_THROW(drawn_residual(executor(), bad), std::invalid_argument) << "no seeds";
  bad = good;
  bad.count = nullptr;
  EXPECT_THROW(drawn_residual(executor(), bad), std::invalid_argument) << "no count";
}

MANYFOLD_ON_EVERY_DEVICE(DrawnResidual);

}  // namespace
}  // namespace manyfold::kernels
