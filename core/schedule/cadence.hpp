// When probes are evaluated: every k steps, geometrically, or at listed steps.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace manyfold {

struct Cadence {
  enum class Kind { every, geometric, listed };
  static constexpr std::int64_t max_per_decade = 1'000'000'000;
  static constexpr std::int64_t max_step = 1'000'000'000'000'000'000;

  Kind kind = Kind::every;
  std::int64_t every = 1;              ///< > 0, for Kind::every
  std::int64_t per_decade = 10;        ///< > 0, for Kind::geometric
  std::vector<std::int64_t> listed{};  ///< >= 0, any order
  std::string name{};                  ///< names the sample dimension; empty: `sample`

  /// The sampled steps: ascending, without repeats, from 0, with every element of `ends` (the
  /// members' own last steps) included and nothing beyond the largest of them. Geometric: the
  /// distinct round(10^(i/per_decade)), i = 0, 1, ..., besides 0.
  /// Throws std::invalid_argument for `every` below 1, `per_decade` below 1 or above
  /// max_per_decade, a negative listed step, and ends below 0 or above max_step.
  std::vector<std::int64_t> steps(std::span<const std::int64_t> ends) const;

  /// steps(ends).size() without making them, in time that does not grow with the steps: for plans.
  std::int64_t count(std::span<const std::int64_t> ends) const;
};

}  // namespace manyfold
