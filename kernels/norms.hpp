// Sums of squares per slot.
#pragma once

#include <cstdint>

#include "core/executor/executor.hpp"
#include "core/view.hpp"

namespace manyfold::kernels {

/// out[s * out_stride] = sum_i x_si^2 for each slot s, added up in double precision in an order
/// that depends on x.count alone (so a slot's result depends on nothing but its vector).
template <class T>
struct SumOfSquaresArgs {
  VectorBatch<const T> x;
  double* out = nullptr;
  std::int64_t out_stride = 1;
};

template <class T>
void sum_of_squares(Executor& executor, const SumOfSquaresArgs<T>& args);

}  // namespace manyfold::kernels
