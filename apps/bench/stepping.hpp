// Rows whose members step for as long as the clock wants: checked against plain loops, then timed.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "apps/bench/bench.hpp"
#include "apps/bench/plain_loops.hpp"
#include "core/config/settings.hpp"

namespace manyfold::apps {

/// Steps of a member that are compared with plain loops before anything is timed.
inline constexpr int checked_steps = 20;
/// stop.steps of members that step for as long as the clock wants.
inline constexpr std::int64_t unbounded_steps = 1'000'000'000'000;

/// A row whose members step in full for as long as the clock wants.
struct Work {
  std::string bench;  ///< "resident": of which benchmark, for messages
  std::string name;
  std::string experiment;     ///< text of an experiment file
  std::string path = "auto";  ///< of choose_paths
  double operations = 0;      ///< per member-step
  double products = 0;        ///< operations of its products among them
  double bytes = 0;           ///< that pass through the L2 cache; 0: none to speak of
  double observed = 1;        ///< share of the entries that sparse products visit
  std::string formula;
  std::vector<std::int64_t> elements;  ///< of each layer
  /// Where plain loops come to from a start; empty: `check_stepping` has seen the like.
  std::function<std::vector<Matrix>(const Settings&, const std::vector<Matrix>& start)> plain;
};

/// Throws DeviceError where member 0 is not where the plain loops come to. The ensemble's size does
/// not matter: of work whose plain loops take long, the same work on less may be checked.
void check_stepping(Executor& executor, const std::string& precision, const Work& work);

/// Checks the work itself where it has plain loops.
BenchRow measure_stepping(Executor& executor, const BenchFlags& flags, const std::string& precision,
                          const Work& work);

}  // namespace manyfold::apps
