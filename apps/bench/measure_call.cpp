// Times calls.
#include "apps/bench/measure_call.hpp"

#include <chrono>
#include <vector>

#include "apps/bench/floors.hpp"
#include "apps/manyfold/summary.hpp"

namespace manyfold::apps {
namespace {

using Clock = std::chrono::steady_clock;

/// How often a call fits a measurement, and how long so many take.
class Repeated {
 public:
  Repeated(Executor& executor, const std::function<void()>& call, double seconds)
      : executor_(executor), call_(call) {
    double took = run();
    for (; took < seconds; took = run()) times_ *= 2;
    if (took > long_call) first_ = took;
  }

  double calls_per_second() {
    const double took = first_ > 0 ? first_ : run();
    first_ = 0;
    return times_ / took;
  }

 private:
  /// Seconds; a call that takes as long needs no warming up: the first one counts.
  static constexpr double long_call = 60;

  double run() const {
    const auto began = Clock::now();
    for (int i = 0; i < times_; ++i) call_();
    executor_.synchronize();
    return std::chrono::duration<double>(Clock::now() - began).count();
  }

  Executor& executor_;
  const std::function<void()>& call_;
  int times_ = 1;
  double first_ = 0;  // 0: nothing is kept
};

}  // namespace

BenchRow measure_call(Executor& executor, const BenchFlags& flags, const TimedCall& what) {
  Repeated ours(executor, what.compute, flags.seconds);
  std::vector<Repeated> theirs;
  if (what.rival.compute) theirs.emplace_back(executor, what.rival.compute, flags.seconds);

  Floors floors(executor, what.precision, false, flags.seconds / 4);
  const auto count = static_cast<double>(what.count);
  std::vector<double> rates;
  std::vector<double> rival_rates;
  for (int repeat = 0; repeat < flags.repeats; ++repeat) {
    floors.measure();
    rates.push_back(count * ours.calls_per_second());
    for (Repeated& rival : theirs) rival_rates.push_back(count * rival.calls_per_second());
  }
  BenchRow row;
  row.name = what.name;
  row.device = executor.device().kind;
  row.precision = what.precision;
  row.members = what.count;
  row.value = median(rates);
  row.unit = what.unit;
  row.median_of = flags.repeats;
  row.checked = true;
  row.formula = what.formula;
  floors.state_shares(row, what.operations);
  if (!rival_rates.empty()) {
    const double value = median(rival_rates);
    row.peers.push_back({.name = what.rival.name,
                         .version = what.rival.version,
                         .value = value,
                         .ratio = row.value / value});
  }
  return row;
}

}  // namespace manyfold::apps
