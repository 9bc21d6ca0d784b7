// Rows of `manyfold bench resident` that have a workload of their own, each in a file of its own.
// They follow apps/bench/peers/workloads: constants, stopping rules, and what counts as a step.
#pragma once

#include <string>
#include <vector>

#include "apps/bench/bench.hpp"

namespace manyfold::apps {

/// "table": students of convolutional teachers to one of their two end points (teacher_table.py);
/// `full`: 180,000 of them, else 5,004. Throws DeviceError where a member ends elsewhere, or, at
/// full scale, where a cell's share of successes is not the thesis's.
std::vector<BenchRow> bench_table(Executor& executor, bool full, const std::string& path);

/// "scalar-map": orbits over a grid of starts and steps (scalar_map.py); `full`: 1000 x 1000 to
/// 10^4 steps, else 200 x 200 to 1000. Throws DeviceError where orbits differ from plain loops.
std::vector<BenchRow> bench_scalar_map(Executor& executor, bool full, int repeats);

/// "theorem-3.1" of large-lr.md: random starts (x_0, y_0) in R^2 x R^2 at 99.9 % of the step bound;
/// `full`: 10^6 of them, else 10^4. Throws DeviceError where one does not converge, or not to where
/// theorem 3.2 says.
std::vector<BenchRow> bench_theorem_3_1(Executor& executor, bool full, int repeats);

}  // namespace manyfold::apps
