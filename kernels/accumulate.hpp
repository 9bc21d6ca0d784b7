// Sums of products of per-slot doubles: losses from their parts.
#pragma once

#include <cstdint>

#include "core/executor/executor.hpp"

namespace manyfold::kernels {

/// out_s = scale a_s b_s, or out_s + scale a_s b_s where `add`: (scale a_s) b_s, each operation
/// rounded, so that the bits are the same on every device. A null a or b is 1. a and b may be out.
struct AccumulateArgs {
  std::int64_t slots = 0;
  double scale = 1;
  const double* a = nullptr;  ///< (slot)
  const double* b = nullptr;  ///< (slot)
  bool add = true;
  double* out = nullptr;  ///< (slot)
};
void accumulate(Executor& executor, const AccumulateArgs& args);

}  // namespace manyfold::kernels
