// Hyperparameters that follow a schedule: each slot's value at its own step, on the device.
#pragma once

#include <cstdint>

#include "core/executor/executor.hpp"

namespace manyfold::kernels {

enum class ScheduleKind : std::int32_t {
  constant = 0,
  piecewise,
  periodic,
  power,
  cosine,
  linear,
  exponential,
};

/// One slot's schedule. With t the step, v the base value and n = steps:
///   constant     v
///   piecewise    values[i] for the last i with starts[i] <= t; v where there is none
///   periodic     the same with t mod n
///   power        v (t + 1)^-parameter
///   cosine       w v + (1 - w) parameter, w = (1 + cos(pi t / n)) / 2; parameter from t = n on
///   linear       ((n - t) / n) v + (t / n) parameter; parameter from t = n on
///   exponential  v (parameter / v)^(t / n); parameter from t = n on; both > 0
/// and all of it times t / warmup while t < warmup. Values at the ends (t = 0 and t >= n) are
/// exact, the powers 1/2 and 1 correctly rounded operations, other values within 1e-13 of the
/// formula; every device has the same bits.
struct Schedule {
  double base = 0;
  double parameter = 0;
  std::int64_t steps = 1;
  std::int64_t warmup = 0;
  ScheduleKind kind = ScheduleKind::constant;
  std::int32_t pieces = 0;
};

/// values_s <- the schedule's value at step_s, for every slot, active or not: what a member shows
/// after its end is of its last step.
struct FollowScheduleArgs {
  std::int64_t slots = 0;
  const std::int64_t* step = nullptr;    ///< (slot)
  const Schedule* schedules = nullptr;   ///< (slot)
  std::int64_t capacity = 0;             ///< pieces there is room for
  const std::int64_t* starts = nullptr;  ///< (slot, capacity), ascending
  const double* pieces = nullptr;        ///< (slot, capacity): the values of the pieces
  double* values = nullptr;              ///< (slot)
};
void follow_schedule(Executor& executor, const FollowScheduleArgs& args);

}  // namespace manyfold::kernels
