// Small arithmetic on per-slot doubles, for probes: norms from squares, ratios, copies, entry by
// entry.
#pragma once

#include <cstdint>

#include "core/executor/executor.hpp"

namespace manyfold::kernels {

/// out_si = scale * f((numerator_si - minus_si) / denominator_si), f the square root or the
/// identity; a null denominator is 1, a null minus 0. (slot, count) each, with their own strides; a
/// denominator_stride of 0 shares one.
struct CombineArgs {
  std::int64_t slots = 0;
  std::int64_t count = 1;
  double scale = 1;
  bool square_root = false;
  const double* numerator = nullptr;
  std::int64_t numerator_stride = 1;
  const double* denominator = nullptr;
  std::int64_t denominator_stride = 1;
  double* out = nullptr;
  std::int64_t out_stride = 1;
  const double* minus = nullptr;
  std::int64_t minus_stride = 1;
};
void combine(Executor& executor, const CombineArgs& args);

}  // namespace manyfold::kernels
