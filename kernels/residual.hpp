// Residual on the observed entries, and half its squared norm: the gradient and the value of
//   f(W) = 1/2 sum_{(i,j) in O} (W_ij - M_ij)^2
// in W (Li, Luo, Lyu 2021, section 7, where off-diagonal pairs count twice as here; full
// observation is O = everything).
#pragma once

#include <cstdint>

#include "core/executor/executor.hpp"
#include "core/view.hpp"

namespace manyfold::kernels {

/// w, target, mask, residual: (slot, row, col) of one shape; target and mask may be shared.
/// An entry counts when mask != 0 equals `observed`; a mask without data counts every entry when
/// `observed`, none otherwise. residual (may have no data) receives W - M where an entry counts and
/// 0 elsewhere, and may be `w` itself. half_square (slot; may be null) receives the sum, added up
/// in double precision in an order that depends on the shape alone.
template <class T>
struct ResidualArgs {
  MatrixBatch<const T> w;
  MatrixBatch<const T> target;
  MatrixBatch<const std::uint8_t> mask;
  bool observed = true;
  MatrixBatch<T> residual;
  double* half_square = nullptr;
};

template <class T>
void residual(Executor& executor, const ResidualArgs<T>& args);

}  // namespace manyfold::kernels
