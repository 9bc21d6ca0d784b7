// Probes that watch every few steps without being sampled: running extremes and first crossings.
#pragma once

#include <cstdint>

#include "core/executor/executor.hpp"

namespace manyfold::kernels {

/// extreme_si = max (or min) of itself and value_si, both (slot, count) with strides of their own.
/// NaN values are passed over; a NaN extreme stands for "nothing yet".
struct ExtremeArgs {
  std::int64_t slots = 0;
  std::int64_t count = 0;
  const double* values = nullptr;
  std::int64_t values_stride = 0;
  double* extremes = nullptr;
  std::int64_t extremes_stride = 0;
  bool maximum = true;
};
void running_extreme(Executor& executor, const ExtremeArgs& args);

/// first_si = step_s at the first call in which value_si is below (or above) the threshold; until
/// then first_si stays NaN. Both (slot, count) with strides of their own.
struct CrossingArgs {
  std::int64_t slots = 0;
  std::int64_t count = 1;
  const double* values = nullptr;
  std::int64_t values_stride = 1;
  double threshold = 0;
  bool below = true;
  const std::int64_t* step = nullptr;
  double* first = nullptr;
  std::int64_t first_stride = 1;
};
void first_crossing(Executor& executor, const CrossingArgs& args);

}  // namespace manyfold::kernels
