// Enumerates sampled steps, and counts them without enumerating.
#include "core/schedule/cadence.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <stdexcept>

namespace manyfold {
namespace {

/// The ends, ascending, without repeats.
std::vector<std::int64_t> checked_ends(std::span<const std::int64_t> ends) {
  std::vector<std::int64_t> sorted(ends.begin(), ends.end());
  std::sort(sorted.begin(), sorted.end());
  sorted.erase(std::unique(sorted.begin(), sorted.end()), sorted.end());
  if (!sorted.empty() && (sorted.front() < 0 || sorted.back() > Cadence::max_step))
    throw std::invalid_argument("cadence: members end at steps from 0 to 10^18");
  return sorted;
}

void check(const Cadence& cadence) {
  if (cadence.kind == Cadence::Kind::every && cadence.every < 1)
    throw std::invalid_argument("cadence: `every` must be at least 1");
  if (cadence.kind == Cadence::Kind::geometric &&
      (cadence.per_decade < 1 || cadence.per_decade > Cadence::max_per_decade))
    throw std::invalid_argument("cadence: `per_decade` must be from 1 to 10^9");
  if (cadence.kind == Cadence::Kind::listed &&
      std::any_of(cadence.listed.begin(), cadence.listed.end(),
                  [](std::int64_t step) { return step < 0; }))
    throw std::invalid_argument("cadence: listed steps must not be negative");
}

/// The steps round(10^(i/per_decade)). Neighbours 10^(i/p) are about 10^(i/p) ln(10)/p apart: below
/// p/ln(10) they are less than 1 apart and every integer is met; above, more than 1 apart and every
/// index gives a step of its own. Hence steps can be counted, and found from the step before them,
/// without going through the indices, of which there may be billions for a large per_decade.
class Geometric {
 public:
  Geometric(std::int64_t per_decade, std::int64_t last)
      : per_decade_(static_cast<double>(per_decade)), last_(last) {}

  /// The step of an index, or last + 1 for any that lies beyond last.
  std::int64_t step(std::int64_t index) const {
    const double value = std::round(std::pow(10.0, static_cast<double>(index) / per_decade_));
    return value > static_cast<double>(last_) ? last_ + 1 : static_cast<std::int64_t>(value);
  }

  /// The least index whose step is above `step`.
  std::int64_t index_above(std::int64_t step_below) const {
    const double real = per_decade_ * std::log10(static_cast<double>(step_below) + 0.5);
    auto index = std::max(std::int64_t{0}, static_cast<std::int64_t>(std::floor(real)) - 1);
    while (index > 0 && step(index - 1) > step_below) --index;
    while (step(index) <= step_below) ++index;
    return index;
  }

  bool contains(std::int64_t wanted) const {
    return wanted >= 1 && step(index_above(wanted - 1)) == wanted;
  }

  /// Distinct steps in [1, last].
  std::int64_t count() const {
    const double border = per_decade_ / std::numbers::ln10;
    if (static_cast<double>(last_) <= border - 2.0) return last_;
    std::int64_t step_now = std::max(std::int64_t{0}, static_cast<std::int64_t>(border) - 2);
    std::int64_t counted = step_now;
    std::int64_t index = index_above(step_now);
    while (true) {  // a handful around the border
      step_now = step(index);
      if (step_now > last_) return counted;
      ++counted;
      if (static_cast<double>(step_now) > border + 2.0) break;
      index = index_above(step_now);
    }
    return counted + (index_above(last_) - index - 1);
  }

  void append_to(std::vector<std::int64_t>& steps) const {
    for (std::int64_t now = step(0); now <= last_; now = step(index_above(now)))
      steps.push_back(now);
  }

 private:
  double per_decade_;
  std::int64_t last_;
};

std::vector<std::int64_t> listed_up_to(const Cadence& cadence, std::int64_t last) {
  std::vector<std::int64_t> steps;
  for (const std::int64_t step : cadence.listed)
    if (step <= last) steps.push_back(step);
  return steps;
}

void sort_unique(std::vector<std::int64_t>& steps) {
  std::sort(steps.begin(), steps.end());
  steps.erase(std::unique(steps.begin(), steps.end()), steps.end());
}

}  // namespace

std::vector<std::int64_t> Cadence::steps(std::span<const std::int64_t> ends) const {
  check(*this);
  const std::vector<std::int64_t> own = checked_ends(ends);
  const std::int64_t last = own.empty() ? 0 : own.back();

  std::vector<std::int64_t> regular;
  switch (kind) {
    case Kind::every:
      regular.reserve(static_cast<std::size_t>(last / every) + 1);
      for (std::int64_t i = 0; i <= last / every; ++i) regular.push_back(i * every);
      break;
    case Kind::geometric:
      regular.push_back(0);
      if (last > 0) Geometric(per_decade, last).append_to(regular);
      break;
    case Kind::listed:
      regular = listed_up_to(*this, last);
      regular.push_back(0);
      sort_unique(regular);
      break;
  }
  const auto middle = static_cast<std::ptrdiff_t>(regular.size());
  regular.insert(regular.end(), own.begin(), own.end());
  std::inplace_merge(regular.begin(), regular.begin() + middle, regular.end());
  regular.erase(std::unique(regular.begin(), regular.end()), regular.end());
  return regular;
}

std::int64_t Cadence::count(std::span<const std::int64_t> ends) const {
  if (kind == Kind::listed) return static_cast<std::int64_t>(steps(ends).size());
  check(*this);
  const std::vector<std::int64_t> own = checked_ends(ends);
  const std::int64_t last = own.empty() ? 0 : own.back();
  if (kind == Kind::every)
    return last / every + 1 + std::count_if(own.begin(), own.end(), [this](std::int64_t end) {
             return end % every != 0;
           });
  if (last == 0) return 1;
  const Geometric geometric(per_decade, last);
  return 1 + geometric.count() + std::count_if(own.begin(), own.end(), [&](std::int64_t end) {
           return end > 0 && !geometric.contains(end);
         });
}

}  // namespace manyfold
