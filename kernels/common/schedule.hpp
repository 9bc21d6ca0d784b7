// The value of a schedule at a step (contract: kernels/schedule.hpp), for both backends.
#pragma once

#include <cstdint>

#include <math.h>

#include "core/portable.hpp"
#include "core/random/exact.hpp"
#include "core/random/normal.hpp"
#include "kernels/common/elementary.hpp"
#include "kernels/schedule.hpp"

namespace manyfold::kernels {

/// The last piece that has begun at t; `base` before the first.
MF_FN double piece_at(const std::int64_t* starts, const double* values, std::int64_t pieces,
                      std::int64_t t, double base) {
  std::int64_t begun = 0;  // pieces that have begun; bisection between `begun` and `end`
  std::int64_t end = pieces;
  while (begun < end) {
    const std::int64_t middle = begun + (end - begun) / 2;
    if (starts[middle] <= t) {
      begun = middle + 1;
    } else {
      end = middle;
    }
  }
  return begun == 0 ? base : values[begun - 1];
}

MF_FN double power_law(double base, double exponent, std::int64_t t) {
  const double n = static_cast<double>(t) + 1;
  if (exponent == 1) return base / n;
  if (exponent == 0.5) return base / sqrt(n);
  return exact::times(base, exact_exp(exact::times(-exponent, exact_log(n))));
}

MF_FN double schedule_value(const Schedule& s, const std::int64_t* starts, const double* values,
                            std::int64_t t) {
  double value = s.base;
  const auto n = static_cast<double>(s.steps);
  const bool over = t >= s.steps;
  switch (s.kind) {
    case ScheduleKind::constant:
      break;
    case ScheduleKind::piecewise:
      value = piece_at(starts, values, s.pieces, t, s.base);
      break;
    case ScheduleKind::periodic:
      value = piece_at(starts, values, s.pieces, t % s.steps, s.base);
      break;
    case ScheduleKind::power:
      value = power_law(s.base, s.parameter, t);
      break;
    case ScheduleKind::cosine:
      if (over) {
        value = s.parameter;
      } else {
        const double weight = cosine_weight(t, s.steps);
        value = exact::times(weight, s.base) + exact::times(1 - weight, s.parameter);
      }
      break;
    case ScheduleKind::linear:
      if (over) {
        value = s.parameter;
      } else {
        value = exact::times(static_cast<double>(s.steps - t) / n, s.base) +
                exact::times(static_cast<double>(t) / n, s.parameter);
      }
      break;
    case ScheduleKind::exponential:
      if (over) {
        value = s.parameter;
      } else {
        const double share = static_cast<double>(t) / n;
        value =
            exact::times(s.base, exact_exp(exact::times(share, exact_log(s.parameter / s.base))));
      }
      break;
  }
  if (t < s.warmup) {
    value = exact::times(value, static_cast<double>(t) / static_cast<double>(s.warmup));
  }
  return value;
}

}  // namespace manyfold::kernels
