// Rows scalar-map and theorem-3.1 of manyfold bench resident: whole orbits of gradient descent on
// 1/2 (mu - x.y)^2 by kernels/scalar_orbits.hpp.
//
// Operations of a member-step in d dimensions, as the peers count them: 2 d for mu - x.y, 1 for h
// times it, 4 d for the updates; every 10 steps a test of 5 d.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "apps/bench/floors.hpp"
#include "apps/bench/resident_rows.hpp"
#include "apps/manyfold/summary.hpp"
#include "core/error.hpp"
#include "core/executor/memory.hpp"
#include "core/random/philox.hpp"
#include "kernels/scalar_orbits.hpp"

namespace manyfold::apps {
namespace {

using Clock = std::chrono::steady_clock;
using kernels::OrbitFate;

constexpr std::int64_t check_every = 10;
constexpr double far = 1e6;
constexpr double close = 1e-12;

struct Starts {
  int dimension = 1;
  std::vector<double> x, y, h;
  std::int64_t members() const { return static_cast<std::int64_t>(h.size()); }
};

struct Ends {
  std::vector<double> x, y;
  std::vector<std::int64_t> step;
  std::vector<std::int32_t> fate;
  double seconds = 0;  ///< median; from the starts in device memory to the ends there

  std::int64_t steps() const { return std::accumulate(step.begin(), step.end(), std::int64_t{0}); }
  std::int64_t count(OrbitFate wanted) const {
    return std::count(fate.begin(), fate.end(), static_cast<std::int32_t>(wanted));
  }
};

template <class T>
Buffer<T> uploaded(Executor& executor, const std::vector<T>& values) {
  Buffer<T> buffer(executor, static_cast<std::int64_t>(values.size()));
  buffer.upload(values);
  return buffer;
}

Ends run_orbits(Executor& executor, const Starts& starts, std::int64_t max_steps, int repeats) {
  const std::int64_t members = starts.members();
  const auto x = uploaded(executor, starts.x);
  const auto y = uploaded(executor, starts.y);
  const auto h = uploaded(executor, starts.h);
  const Buffer<double> end_x(executor, x.size());
  const Buffer<double> end_y(executor, y.size());
  const Buffer<std::int64_t> step(executor, members);
  const Buffer<std::int32_t> fate(executor, members);
  std::vector<double> seconds;
  for (int repeat = 0; repeat < repeats; ++repeat) {
    executor.synchronize();
    const auto began = Clock::now();
    kernels::scalar_orbits(executor, {.members = members,
                                      .dimension = starts.dimension,
                                      .x = x.data(),
                                      .y = y.data(),
                                      .h = h.data(),
                                      .mu = 1,
                                      .far = far,
                                      .close = close,
                                      .check_every = check_every,
                                      .max_steps = max_steps,
                                      .end_x = end_x.data(),
                                      .end_y = end_y.data(),
                                      .end_step = step.data(),
                                      .fate = fate.data()});
    executor.synchronize();
    seconds.push_back(std::chrono::duration<double>(Clock::now() - began).count());
  }
  return {end_x.download(), end_y.download(), step.download(), fate.download(), median(seconds)};
}

/// Every 37th member of a map against plain loops, bit for bit.
void require_plain_loops(const Starts& starts, const Ends& ends, std::int64_t max_steps) {
  for (std::size_t m = 0; m < starts.h.size(); m += 37) {
    double x = starts.x[m];
    double y = starts.y[m];
    const auto residual = [&] { return std::fma(-x, y, 1.0); };
    std::int64_t step = 0;
    auto fate = OrbitFate::bounded;
    while (step < max_steps && fate == OrbitFate::bounded) {
      const double move = starts.h[m] * residual();
      const double old = x;
      x = std::fma(move, y, x);
      y = std::fma(move, old, y);
      if (++step % check_every != 0) continue;
      if (!(std::fma(y, y, std::fma(x, x, 0.0)) < far)) {
        fate = OrbitFate::diverged;
      } else if (std::abs(residual()) < close) {
        fate = OrbitFate::converged;
      }
    }
    const auto same = [](double a, double b) { return a == b || (std::isnan(a) && std::isnan(b)); };
    if (same(ends.x[m], x) && same(ends.y[m], y) && ends.step[m] == step &&
        ends.fate[m] == static_cast<std::int32_t>(fate)) {
      continue;
    }
    throw DeviceError(fmt::format(
        "bench resident scalar-map: member {} ends at ({}, {}) after {} steps, fate {}; in plain "
        "loops at ({}, {}) after {}, fate {}",
        m, ends.x[m], ends.y[m], ends.step[m], ends.fate[m], x, y, step, static_cast<int>(fate)));
  }
}

double operations(int dimension) {
  return 6.0 * dimension + 1 + 5.0 * dimension / static_cast<double>(check_every);
}

BenchRow row_of(const char* name, const Executor& executor, const Starts& starts, const Ends& ends,
                int repeats) {
  BenchRow row;
  row.name = name;
  row.device = executor.device().kind;
  row.precision = "f64";
  row.members = starts.members();
  row.value = static_cast<double>(ends.steps()) / ends.seconds;
  row.unit = "member-steps/s";
  row.median_of = repeats;
  row.checked = true;
  Floors floors(executor, row.precision, false, 0.25);
  floors.measure();
  floors.state_shares(row, operations(starts.dimension));
  return row;
}

}  // namespace

std::vector<BenchRow> bench_scalar_map(Executor& executor, bool full, int repeats) {
  const std::int64_t side = full ? 1000 : 200;
  const std::int64_t max_steps = full ? 10'000 : 1000;
  Starts starts;
  for (std::int64_t row = 0; row < side; ++row) {
    for (std::int64_t col = 0; col < side; ++col) {
      starts.x.push_back(4 * static_cast<double>(col + 1) / static_cast<double>(side));
      starts.y.push_back(0.3);
      starts.h.push_back(0.5 + 1.5 * static_cast<double>(row) / static_cast<double>(side - 1));
    }
  }
  const Ends ends = run_orbits(executor, starts, max_steps, repeats);
  require_plain_loops(starts, ends, max_steps);
  BenchRow row = row_of("scalar-map", executor, starts, ends, repeats);
  const auto percent = [&](OrbitFate fate) {
    return 100 * static_cast<double>(ends.count(fate)) / static_cast<double>(starts.members());
  };
  row.formula = fmt::format(
      "scalar-map: 7 a member-step and 5 a test, one in {} steps: {}; {:.4g} member-steps in "
      "{:.4g} "
      "s, {:.1f} % converge, {:.1f} % diverge, {:.1f} % stay",
      check_every, operations(1), static_cast<double>(ends.steps()), ends.seconds,
      percent(OrbitFate::converged), percent(OrbitFate::diverged), percent(OrbitFate::bounded));
  return {row};
}

std::vector<BenchRow> bench_theorem_3_1(Executor& executor, bool full, int repeats) {
  constexpr double most = 5;  // entries of a start: uniform in (-5, 5)
  constexpr std::int64_t max_steps = 100'000;
  const std::int64_t members = full ? 1'000'000 : 10'000;
  Starts starts{.dimension = 2, .x = {}, .y = {}, .h = {}};
  const std::uint64_t stream = random_stream("bench/theorem-3.1");
  for (std::int64_t m = 0; m < members; ++m) {
    double size = 0;
    for (std::uint64_t i = 0; i < 4; ++i) {
      const double u = uniform_double(1, stream, 4 * static_cast<std::uint64_t>(m) + i);
      const double entry = most * (2 * u - 1);
      (i < 2 ? starts.x : starts.y).push_back(entry);
      size += entry * entry;
    }
    starts.h.push_back(0.999 * std::min(4 / (size + 4), 1.0 / 3));
  }
  const Ends ends = run_orbits(executor, starts, max_steps, repeats);
  for (std::size_t m = 0; m < starts.h.size(); ++m) {
    const auto fate = static_cast<OrbitFate>(ends.fate[m]);
    double size = 0;
    for (const std::size_t i : {2 * m, 2 * m + 1}) {
      size += ends.x[i] * ends.x[i] + ends.y[i] * ends.y[i];
    }
    const bool where = size <= 2 / starts.h[m] * (1 + 1e-9);
    if (fate == OrbitFate::converged && where) continue;
    throw DeviceError(fmt::format(
        "bench resident theorem-3.1: from ({}, {}), ({}, {}) at h = {} the orbit {} after {} "
        "steps, "
        "||x||^2 + ||y||^2 = {}; expected it to converge, with at most 2/h = {}",
        starts.x[2 * m], starts.x[2 * m + 1], starts.y[2 * m], starts.y[2 * m + 1], starts.h[m],
        fate == OrbitFate::converged  ? "converged"
        : fate == OrbitFate::diverged ? "diverged"
                                      : "had not converged",
        ends.step[m], size, 2 / starts.h[m]));
  }
  BenchRow row = row_of("theorem-3.1", executor, starts, ends, repeats);
  row.formula = fmt::format(
      "theorem-3.1: 13 a member-step and 10 a test, one in {} steps: {}; all {} starts in (-5, "
      "5)^4 "
      "converge within {} steps (asked: {}), {:.4g} member-steps in {:.4g} s",
      check_every, operations(2), members, *std::max_element(ends.step.begin(), ends.step.end()),
      max_steps, static_cast<double>(ends.steps()), ends.seconds);
  return {row};
}

}  // namespace manyfold::apps
