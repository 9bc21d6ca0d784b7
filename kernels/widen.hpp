// Copies elements of any precision as doubles: what the record keeps.
#pragma once

#include <cstdint>

#include "core/executor/executor.hpp"
#include "core/view.hpp"

namespace manyfold::kernels {

/// out_si = x_si, out: (slot, x.count), slots out_stride apart.
template <class T>
struct WidenArgs {
  VectorBatch<const T> x;
  double* out = nullptr;
  std::int64_t out_stride = 0;
};
template <class T>
void widen(Executor& executor, const WidenArgs<T>& args);

}  // namespace manyfold::kernels
