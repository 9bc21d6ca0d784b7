// Vectors times a number of their slot, stored or added: penalties into gradients, gradients times
// what an objective divides by.
#pragma once

#include <cstdint>

#include "core/executor/executor.hpp"
#include "core/view.hpp"

namespace manyfold::kernels {

/// y_si = c_s x_si, or y_si + c_s x_si where `add`, with c_s = scale * coefficient_s rounded to T
/// (a null coefficient is 1). x, y: (slot, element) of one shape; x may be shared (slot_stride 0)
/// and may be y. One rounding an element (fused), so the bits are the same on every device. Every
/// slot is changed, whether its member steps or not.
template <class T>
struct AddScaledArgs {
  VectorBatch<const T> x;
  double scale = 1;
  const double* coefficient = nullptr;  ///< (slot)
  bool add = true;
  VectorBatch<T> y;
};

template <class T>
void add_scaled(Executor& executor, const AddScaledArgs<T>& args);

}  // namespace manyfold::kernels
