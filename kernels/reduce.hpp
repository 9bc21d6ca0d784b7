// One number per slot from a few per-slot doubles, for probes.
#pragma once

#include <cstdint>

#include "core/executor/executor.hpp"

namespace manyfold::kernels {

///   sum                 sum_i x_i, in order
///   largest_difference  max_i |x_i - y_i|; no y: max_i |x_i|
///   least               min_i x_i
///   least_place         the first i, from 0, at which x_i is least
///   all_at_most         1 where every x_i <= threshold, else 0
enum class Reduction { sum, largest_difference, least, least_place, all_at_most };

/// x, and y (may be null): (slot, count) with strides of their own, count >= 1. out_s is NaN where
/// any x (or difference) of the slot is.
struct ReduceArgs {
  std::int64_t slots = 0;
  std::int64_t count = 1;
  Reduction reduction = Reduction::sum;
  const double* x = nullptr;
  std::int64_t x_stride = 1;
  const double* y = nullptr;
  std::int64_t y_stride = 1;
  double threshold = 0;
  double* out = nullptr;
  std::int64_t out_stride = 1;
};
void reduce(Executor& executor, const ReduceArgs& args);

}  // namespace manyfold::kernels
