#include <algorithm>
#include <chrono>
#include <cmath>
#include <random>
#include <set>

#include <gtest/gtest.h>

#include "core/schedule/cadence.hpp"

namespace manyfold {
namespace {

using Steps = std::vector<std::int64_t>;

/// The definition itself: slow, and obviously right.
Steps by_definition(const Cadence& cadence, const Steps& ends) {
  const std::int64_t last = ends.empty() ? 0 : *std::max_element(ends.begin(), ends.end());
  std::set<std::int64_t> steps{0};
  steps.insert(ends.begin(), ends.end());
  switch (cadence.kind) {
    case Cadence::Kind::every:
      for (std::int64_t step = 0; step <= last; step += cadence.every) steps.insert(step);
      break;
    case Cadence::Kind::geometric:
      for (int i = 0;; ++i) {
        const double step = std::round(std::pow(10.0, i / static_cast<double>(cadence.per_decade)));
        if (step > static_cast<double>(last)) break;
        steps.insert(static_cast<std::int64_t>(step));
      }
      break;
    case Cadence::Kind::listed:
      for (const std::int64_t step : cadence.listed)
        if (step <= last) steps.insert(step);
      break;
  }
  return {steps.begin(), steps.end()};
}

Cadence every(std::int64_t k) { return {.kind = Cadence::Kind::every, .every = k}; }
Cadence geometric(std::int64_t per_decade) {
  return {.kind = Cadence::Kind::geometric, .per_decade = per_decade};
}

TEST(Cadence, EveryKStepsWithTheMembersOwnEnds) {
  EXPECT_EQ(every(4).steps(Steps{10}), (Steps{0, 4, 8, 10}));
  EXPECT_EQ(every(5).steps(Steps{10}), (Steps{0, 5, 10}));
  EXPECT_EQ(every(5).steps(Steps{10, 7, 3, 7}), (Steps{0, 3, 5, 7, 10}));
  EXPECT_EQ(every(100).steps(Steps{10}), (Steps{0, 10}));
  EXPECT_EQ(every(1).steps(Steps{0}), (Steps{0}));
  EXPECT_EQ(every(1).steps(Steps{}), (Steps{0}));
}

TEST(Cadence, GeometricStepsAreTheDistinctRoundedPowers) {
  EXPECT_EQ(geometric(1).steps(Steps{1500}), (Steps{0, 1, 10, 100, 1000, 1500}));
  // 10^(i/3) = 1, 2.15, 4.64, 10, 21.5, 46.4, 100
  EXPECT_EQ(geometric(3).steps(Steps{100}), (Steps{0, 1, 2, 5, 10, 22, 46, 100}));
  EXPECT_EQ(geometric(1000).steps(Steps{9}), (Steps{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}));
}

TEST(Cadence, ListedStepsInAnyOrderUpToTheLastEnd) {
  const Cadence listed{.kind = Cadence::Kind::listed, .listed = {50, 3, 3, 1000, 0}};
  EXPECT_EQ(listed.steps(Steps{60, 20}), (Steps{0, 3, 20, 50, 60}));
  EXPECT_EQ(listed.count(Steps{60, 20}), 5);
  const Cadence nothing{.kind = Cadence::Kind::listed};
  EXPECT_EQ(nothing.steps(Steps{60}), (Steps{0, 60}));
}

TEST(Cadence, AgreesWithItsDefinitionForRandomOnes) {
  std::mt19937_64 random(7);
  const auto up_to = [&](std::int64_t most) {
    return std::uniform_int_distribution<std::int64_t>(0, most)(random);
  };
  for (int round = 0; round < 600; ++round) {
    Cadence cadence;
    cadence.kind = static_cast<Cadence::Kind>(round % 3);
    const std::int64_t most = up_to(3) == 0 ? 30 : 20'000;
    cadence.every = 1 + up_to(most);
    cadence.per_decade = 1 + up_to(up_to(1) == 0 ? 20 : 30'000);
    for (std::int64_t i = up_to(5); i > 0; --i) cadence.listed.push_back(up_to(most));
    Steps ends;
    for (std::int64_t i = up_to(4); i > 0; --i) ends.push_back(up_to(most));
    const Steps expected = by_definition(cadence, ends);
    ASSERT_EQ(cadence.steps(ends), expected) << "round " << round;
    ASSERT_EQ(cadence.count(ends), static_cast<std::int64_t>(expected.size())) << "round " << round;
  }
}

TEST(Cadence, CountsBillionsWithoutMakingThem) {
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(every(1).count(Steps{1'000'000'000}), 1'000'000'001);
  EXPECT_EQ(every(7).count(Steps{1'000'000'000, 8, 14}), 1'000'000'000 / 7 + 1 + 2);
  // Below 10^9 / ln 10 every integer is met; all of them where that is beyond the end.
  EXPECT_EQ(geometric(1'000'000'000).count(Steps{400'000'000}), 400'000'001);
  // From the border b = p / ln 10 on each index gives one step: b + p (9 - log10 b) + 1 of them, up
  // to what happens at the border itself.
  const double border = 1e8 / std::log(10.0);
  const double expected = border + 1e8 * (9.0 - std::log10(border)) + 1.0;
  EXPECT_NEAR(static_cast<double>(geometric(100'000'000).count(Steps{1'000'000'000})), expected,
              3.0);
  EXPECT_GT(geometric(10).count(Steps{Cadence::max_step}), 170);
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(1));
}

TEST(Cadence, GeometricCountAgreesWithItsStepsAroundTheBorder) {
  for (const std::int64_t per_decade : {2, 3, 5, 50, 1000, 46'000})
    for (const std::int64_t around : {per_decade / 3, per_decade / 2, per_decade, 10 * per_decade})
      for (std::int64_t last = std::max<std::int64_t>(1, around - 5); last < around + 5; ++last) {
        const Cadence cadence = geometric(per_decade);
        ASSERT_EQ(cadence.count(Steps{last}),
                  static_cast<std::int64_t>(cadence.steps(Steps{last}).size()))
            << per_decade << " per decade, up to " << last;
      }
}

TEST(Cadence, RefusesWhatMakesNoSense) {
  const Steps ends{100};
  for (const std::int64_t wrong : {std::int64_t{0}, std::int64_t{-1}}) {
    EXPECT_THROW(every(wrong).steps(ends), std::invalid_argument);
    EXPECT_THROW(every(wrong).count(ends), std::invalid_argument);
    EXPECT_THROW(geometric(wrong).steps(ends), std::invalid_argument);
    EXPECT_THROW(geometric(wrong).count(ends), std::invalid_argument);
  }
  EXPECT_THROW(geometric(Cadence::max_per_decade + 1).count(ends), std::invalid_argument);
  const Cadence listed{.kind = Cadence::Kind::listed, .listed = {5, -1}};
  EXPECT_THROW(listed.steps(ends), std::invalid_argument);
  EXPECT_THROW(every(1).steps(Steps{5, -1}), std::invalid_argument);
  EXPECT_THROW(every(1).count(Steps{Cadence::max_step + 1}), std::invalid_argument);
}

}  // namespace
}  // namespace manyfold
