// Inner products per slot.
#pragma once

#include <cstdint>

#include "core/executor/executor.hpp"
#include "core/view.hpp"

namespace manyfold::kernels {

/// out[s * out_stride] = sum_i x_si y_si for each slot s, products and sum in double precision, in
/// an order that depends on the count alone. x, y: (slot, element) of one shape; either may be
/// shared (slot_stride 0), and y may be x. A count of 0 gives 0.
template <class T>
struct InnerProductArgs {
  VectorBatch<const T> x;
  VectorBatch<const T> y;
  double* out = nullptr;
  std::int64_t out_stride = 1;
};

template <class T>
void inner_product(Executor& executor, const InnerProductArgs<T>& args);

/// The same of every row of x with y: out[s * out_stride + r] = sum_i x_sri y_si, each to the bit
/// as by itself. x: (slot, row, element), y: (slot, element).
template <class T>
struct InnerProductsArgs {
  MatrixBatch<const T> x;
  VectorBatch<const T> y;
  double* out = nullptr;
  std::int64_t out_stride = 0;
};

template <class T>
void inner_products(Executor& executor, const InnerProductsArgs<T>& args);

}  // namespace manyfold::kernels
