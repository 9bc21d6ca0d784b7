// Rows that time one call again and again, beside the floor and, where there is one, a rival in
// this process.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "apps/bench/bench.hpp"

namespace manyfold::apps {

/// What else computes the same here: a library's own routine with as many threads.
struct Rival {
  std::string name;
  std::string version;
  std::function<void()> compute;  ///< `count` units, done when it returns
};

/// What a row measures: `compute` once makes `count` units.
struct TimedCall {
  std::string name;
  std::string precision = "f64";
  std::string unit = "matrices/s";
  std::int64_t count = 0;
  double operations = 0;  ///< a unit
  std::string formula;
  std::function<void()> compute;
  Rival rival{};  ///< none where it computes nothing
};

/// Calls, floor and rival are measured by turns: drift hits them alike. The result is to be checked
/// before.
BenchRow measure_call(Executor& executor, const BenchFlags& flags, const TimedCall& what);

}  // namespace manyfold::apps
