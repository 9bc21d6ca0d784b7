// Values of schedules against their formulas in extended precision, and their bits.
#include "kernels/schedule.hpp"

#include <cmath>
#include <cstdint>
#include <numbers>
#include <vector>

#include "kernels/common/elementary.hpp"
#include "tests/kernels/devices.hpp"

namespace manyfold::kernels {
namespace {

using namespace manyfold::test;

using Kind = ScheduleKind;

/// A schedule with its pieces.
struct Written {
  Schedule schedule;
  std::vector<std::int64_t> starts;
  std::vector<double> values;
};

std::vector<Written> schedules() {
  return {
      {{0.3, 0, 1, 0, Kind::constant, 0}, {}, {}},
      {{0.3, 0, 1, 40, Kind::constant, 0}, {}, {}},
      {{0.3, 0, 1, 0, Kind::piecewise, 3}, {0, 500, 501}, {0.03, 0.2, 0.7}},
      {{0.3, 0, 1, 0, Kind::piecewise, 2}, {10, 20}, {0.03, 0.2}},
      {{0.3, 0, 1, 15, Kind::piecewise, 1}, {10}, {0.03}},
      {{0.3, 0, 5, 0, Kind::periodic, 2}, {0, 2}, {0.1, 0.4}},
      {{0.3, 0, 12, 3, Kind::periodic, 4}, {0, 1, 5, 10}, {0.1, 0.4, 0, -2}},
      {{0.3, 0.55, 1, 0, Kind::power, 0}, {}, {}},
      {{0.3, 0.5, 1, 0, Kind::power, 0}, {}, {}},
      {{0.3, 1, 1, 10, Kind::power, 0}, {}, {}},
      {{0.3, 3.7, 1, 0, Kind::power, 0}, {}, {}},
      {{0.3, 0, 1, 0, Kind::power, 0}, {}, {}},
      {{0.3, 0, 1000, 0, Kind::cosine, 0}, {}, {}},
      {{0.3, 0.1, 77, 20, Kind::cosine, 0}, {}, {}},
      {{0.3, 0.1, 1, 0, Kind::cosine, 0}, {}, {}},
      {{0.3, 0.7, 313, 0, Kind::linear, 0}, {}, {}},
      {{0.3, 1e-7, 1000, 0, Kind::exponential, 0}, {}, {}},
      {{1e-9, 1e3, 64, 100, Kind::exponential, 0}, {}, {}},
  };
}

/// The formula of kernels/schedule.hpp in long double, pieces found by going through them.
long double formula(const Written& one, std::int64_t t) {
  const Schedule& s = one.schedule;
  const long double v = s.base;
  const long double p = s.parameter;
  const long double n = static_cast<long double>(s.steps);
  const auto x = static_cast<long double>(t);
  long double value = v;
  if (s.kind == Kind::piecewise || s.kind == Kind::periodic) {
    const std::int64_t at = s.kind == Kind::periodic ? t % s.steps : t;
    for (std::size_t i = 0; i < one.starts.size(); ++i) {
      if (one.starts[i] <= at) value = one.values[i];
    }
  } else if (s.kind == Kind::power) {
    value = v * std::pow(x + 1, -p);
  } else if (s.kind != Kind::constant) {
    if (t >= s.steps) {
      value = p;
    } else if (s.kind == Kind::cosine) {
      value = p + (v - p) * (1 + std::cos(std::numbers::pi_v<long double> * x / n)) / 2;
    } else if (s.kind == Kind::linear) {
      value = v + (p - v) * x / n;
    } else {
      value = v * std::pow(p / v, x / n);
    }
  }
  return t < s.warmup ? value * x / static_cast<long double>(s.warmup) : value;
}

std::vector<double> values_at(Executor& executor, const std::vector<Written>& all, std::int64_t t) {
  constexpr std::size_t capacity = 4;
  std::vector<Schedule> rows;
  std::vector<std::int64_t> starts(all.size() * capacity, -1);
  std::vector<double> pieces(all.size() * capacity, std::nan(""));
  for (std::size_t s = 0; s < all.size(); ++s) {
    rows.push_back(all[s].schedule);
    for (std::size_t i = 0; i < all[s].starts.size(); ++i) {
      starts[s * capacity + i] = all[s].starts[i];
      pieces[s * capacity + i] = all[s].values[i];
    }
  }
  const auto slots = static_cast<std::int64_t>(all.size());
  const auto device_rows = to_device(executor, rows);
  const auto device_starts = to_device(executor, starts);
  const auto device_pieces = to_device(executor, pieces);
  const auto step = to_device(executor, std::vector<std::int64_t>(all.size(), t));
  const auto values = to_device(executor, poisoned<double>(slots));
  follow_schedule(executor, {slots, step.data(), device_rows.data(), capacity, device_starts.data(),
                             device_pieces.data(), values.data()});
  return values.download();
}

const std::vector<std::int64_t> looked_at = {
    0,  1,  2,  3,  4,   5,   9,   10,  11,  15,  19,  20,  31,  38,   39,     40,           63,
    64, 76, 77, 99, 100, 156, 157, 312, 313, 499, 500, 501, 999, 1000, 123456, 1'000'000'007};

class Schedules : public DeviceTest {};

TEST_P(Schedules, FollowTheirFormulas) {
  const auto all = schedules();
  for (const std::int64_t t : looked_at) {
    const auto values = values_at(executor(), all, t);
    for (std::size_t s = 0; s < all.size(); ++s) {
      const auto expected = static_cast<double>(formula(all[s], t));
      EXPECT_NEAR(values[s], expected, 1e-13 * std::fabs(expected))
          << "schedule " << s << ", t " << t;
    }
  }
}

/// What must not be a rounding off: pieces, both ends, the powers 1/2 and 1.
TEST_P(Schedules, AreExactWhereTheyCanBe) {
  const auto all = schedules();
  const auto begin = values_at(executor(), all, 0);
  for (const std::size_t s : {0u, 3u, 7u, 8u, 11u, 12u, 15u, 16u}) EXPECT_EQ(begin[s], 0.3) << s;
  for (const std::size_t s : {1u, 4u, 6u, 9u, 13u, 17u}) EXPECT_EQ(begin[s], 0) << s;
  EXPECT_EQ(begin[14], 0.3);
  const auto end = values_at(executor(), all, 1000);
  for (const std::size_t s : {12u, 13u, 14u, 15u, 16u, 17u}) {
    EXPECT_EQ(end[s], all[s].schedule.parameter) << s;
  }
  EXPECT_EQ(end[8], 0.3 / std::sqrt(1001.0));
  EXPECT_EQ(end[9], 0.3 / 1001.0);
  EXPECT_EQ(end[2], 0.7);
  EXPECT_EQ(values_at(executor(), all, 500)[2], 0.2);
  EXPECT_EQ(values_at(executor(), all, 499)[2], 0.03);
  EXPECT_EQ(values_at(executor(), all, 6)[5], 0.1);
  EXPECT_EQ(values_at(executor(), all, 7)[5], 0.4);
}

TEST_P(Schedules, HaveTheBitsOfTheCpu) {
  const auto cpu = make_executor({.device = "cpu", .threads = 1});
  const auto all = schedules();
  for (const std::int64_t t : looked_at) {
    EXPECT_EQ(bits(values_at(executor(), all, t)), bits(values_at(*cpu, all, t))) << t;
  }
}

MANYFOLD_ON_EVERY_DEVICE(Schedules);

TEST(ExactExp, IsWithinTwoUlp) {
  std::mt19937_64 random(test_seed());
  std::uniform_real_distribution<double> uniform(-700, 700);
  for (int i = 0; i < 100'000; ++i) {
    const double x = i % 2 == 0 ? uniform(random) : uniform(random) / 1000;
    const auto expected = static_cast<double>(std::exp(static_cast<long double>(x)));
    ASSERT_NEAR(exact_exp(x), expected, 2 * epsilon<double>() * expected) << x;
  }
  EXPECT_EQ(exact_exp(0), 1);
  EXPECT_EQ(exact_exp(-800), 0);
  EXPECT_EQ(exact_exp(-std::numeric_limits<double>::infinity()), 0);
  EXPECT_EQ(exact_exp(800), std::numeric_limits<double>::infinity());
  EXPECT_TRUE(std::isnan(exact_exp(std::nan(""))));
  EXPECT_GT(exact_exp(-744), 0);
}

}  // namespace
}  // namespace manyfold::kernels
