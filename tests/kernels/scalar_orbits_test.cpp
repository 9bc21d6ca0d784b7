// Orbits of the scalar problem: against plain loops, bit for bit, on every device; alone as in
// company.
#include "kernels/scalar_orbits.hpp"

#include <cmath>
#include <cstdint>
#include <stdexcept>
#include <vector>

#include "tests/kernels/devices.hpp"

namespace manyfold::kernels {
namespace {

using namespace manyfold::test;

struct Orbits {
  std::vector<double> x, y;
  std::vector<std::int64_t> step;
  std::vector<std::int32_t> fate;
};

/// Starts of which some converge, some diverge and some stay: norms up to 4, steps of 0.1 to 2.
struct Starts {
  int d;
  std::vector<double> x, y, h;

  Starts(std::int64_t members, int dimension) : d(dimension) {
    std::mt19937_64 random(test_seed());
    std::uniform_real_distribution<double> entry(-2.5 / std::sqrt(d), 2.5 / std::sqrt(d));
    std::uniform_real_distribution<double> step(0.1, 2.0);
    for (std::int64_t m = 0; m < members; ++m) {
      for (int c = 0; c < d; ++c) {
        x.push_back(entry(random));
        y.push_back(entry(random));
      }
      h.push_back(step(random));
    }
  }
  std::int64_t members() const { return static_cast<std::int64_t>(h.size()); }
};

constexpr double far = 1e6;
constexpr double close = 1e-12;
constexpr std::int64_t check_every = 10;
constexpr std::int64_t max_steps = 300;

Orbits plain_loops(const Starts& starts) {
  Orbits ends{starts.x, starts.y, {}, {}};
  const auto d = static_cast<std::size_t>(starts.d);
  for (std::size_t m = 0; m < starts.h.size(); ++m) {
    double* const x = &ends.x[m * d];
    double* const y = &ends.y[m * d];
    const auto residual = [&] {
      double r = 1;
      for (std::size_t c = 0; c < d; ++c) r = std::fma(-x[c], y[c], r);
      return r;
    };
    std::int64_t step = 0;
    OrbitFate fate = OrbitFate::bounded;
    while (step < max_steps && fate == OrbitFate::bounded) {
      const double move = starts.h[m] * residual();
      for (std::size_t c = 0; c < d; ++c) {
        const double old = x[c];
        x[c] = std::fma(move, y[c], x[c]);
        y[c] = std::fma(move, old, y[c]);
      }
      if (++step % check_every != 0) continue;
      double size = 0;
      for (std::size_t c = 0; c < d; ++c) {
        size = std::fma(y[c], y[c], std::fma(x[c], x[c], size));
      }
      if (!(size < far)) {
        fate = OrbitFate::diverged;
      } else if (std::abs(residual()) < close) {
        fate = OrbitFate::converged;
      }
    }
    for (std::size_t c = 0; c < d; ++c) {
      for (double* const end : {x + c, y + c}) {
        if (std::isnan(*end)) *end = std::numeric_limits<double>::quiet_NaN();
      }
    }
    ends.step.push_back(step);
    ends.fate.push_back(static_cast<std::int32_t>(fate));
  }
  return ends;
}

/// Members [first, first + count) on the device.
Orbits on_device(Executor& executor, const Starts& starts, std::int64_t first, std::int64_t count) {
  const auto d = static_cast<std::int64_t>(starts.d);
  const auto part = [](const std::vector<double>& all, std::int64_t from, std::int64_t size) {
    return std::vector<double>(all.begin() + from, all.begin() + from + size);
  };
  const auto x = to_device(executor, part(starts.x, first * d, count * d));
  const auto y = to_device(executor, part(starts.y, first * d, count * d));
  const auto h = to_device(executor, part(starts.h, first, count));
  const auto end_x = to_device(executor, poisoned<double>(count * d));
  const auto end_y = to_device(executor, poisoned<double>(count * d));
  const auto step =
      to_device(executor, std::vector<std::int64_t>(static_cast<std::size_t>(count), -1));
  const auto fate =
      to_device(executor, std::vector<std::int32_t>(static_cast<std::size_t>(count), -1));
  scalar_orbits(executor, {.members = count,
                           .dimension = starts.d,
                           .x = x.data(),
                           .y = y.data(),
                           .h = h.data(),
                           .far = far,
                           .close = close,
                           .check_every = check_every,
                           .max_steps = max_steps,
                           .end_x = end_x.data(),
                           .end_y = end_y.data(),
                           .end_step = step.data(),
                           .fate = fate.data()});
  return {end_x.download(), end_y.download(), step.download(), fate.download()};
}

void expect_same(const Orbits& found, const Orbits& expected, const std::string& what) {
  EXPECT_EQ(bits(found.x), bits(expected.x)) << what;
  EXPECT_EQ(bits(found.y), bits(expected.y)) << what;
  EXPECT_EQ(found.step, expected.step) << what;
  EXPECT_EQ(found.fate, expected.fate) << what;
}

class ScalarOrbits : public DeviceTest {};

TEST_P(ScalarOrbits, MatchPlainLoopsBitForBit) {
  for (int d = 1; d <= 4; ++d) {
    const Starts starts(emulated() ? 150 : enough_slots(2000, 4 * d), d);
    const Orbits expected = plain_loops(starts);
    for (const auto fate : {OrbitFate::bounded, OrbitFate::converged, OrbitFate::diverged}) {
      EXPECT_GT(
          std::count(expected.fate.begin(), expected.fate.end(), static_cast<std::int32_t>(fate)),
          0)
          << "the starts of dimension " << d << " leave out fate " << static_cast<int>(fate);
    }
    expect_same(on_device(executor(), starts, 0, starts.members()), expected,
                "dimension " + std::to_string(d));
  }
}

TEST_P(ScalarOrbits, AreTheSameAloneAndInAnyCompany) {
  const Starts starts(emulated() ? 40 : 333, 2);
  const Orbits all = on_device(executor(), starts, 0, starts.members());
  for (const std::int64_t size : {1, 7, 65}) {
    Orbits pieces;
    for (std::int64_t first = 0; first < starts.members(); first += size) {
      const Orbits piece =
          on_device(executor(), starts, first, std::min(size, starts.members() - first));
      const auto append = [](auto& to, const auto& from) {
        to.insert(to.end(), from.begin(), from.end());
      };
      append(pieces.x, piece.x);
      append(pieces.y, piece.y);
      append(pieces.step, piece.step);
      append(pieces.fate, piece.fate);
    }
    expect_same(pieces, all, "in pieces of " + std::to_string(size));
  }
  if (!on_cpu()) return;
  for (const int threads : {1, 3}) {
    const auto other = make_executor({.device = "cpu", .threads = threads});
    expect_same(on_device(*other, starts, 0, starts.members()), all,
                std::to_string(threads) + " threads");
  }
}

TEST_P(ScalarOrbits, RejectWhatChecksDoNotMeet) {
  ScalarOrbitsArgs args{.members = 1, .check_every = 10, .max_steps = 15};
  EXPECT_THROW(scalar_orbits(executor(), args), std::invalid_argument);
  args.max_steps = 0;
  EXPECT_THROW(scalar_orbits(executor(), args), std::invalid_argument);
  args.max_steps = 20;
  args.dimension = 5;
  EXPECT_THROW(scalar_orbits(executor(), args), std::invalid_argument);
}

MANYFOLD_ON_EVERY_DEVICE(ScalarOrbits);

}  // namespace
}  // namespace manyfold::kernels
