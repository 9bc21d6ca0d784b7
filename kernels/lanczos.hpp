// Lanczos' method for a symmetric matrix that is known by its products alone, all slots of a family
// at once: what happens between two products, and the eigenvalues of the tridiagonal matrix in the
// end (Lanczos 1950; Golub and Van Loan, 10.1; Parlett 1998, chapter 13). The caller multiplies:
//
//   q_0 random;  norm2 = q_0 . q_0;  lanczos_step(step = -1);  q_0 <- scale q_0
//   for j = 0 ... steps - 1:
//     w = H q_j
//     twice: c = (q_0 . w, ..., q_j . w);  w <- w - c_0 q_0 - ... - c_j q_j     (kept orthogonal)
//     norm2 = w . w;  lanczos_step(step = j);  q_{j+1} = scale w
//   ritz_ends
#pragma once

#include <cstdint>

#include "core/executor/executor.hpp"
#include "core/view.hpp"

namespace manyfold::kernels {

/// y_si <- y_si - sum_r c_sr x_sri, added up in double precision from r = 0 on and rounded to T
/// once. x: (slot, row, element), y: (slot, element); c: (slot, row) doubles, slots c_stride apart.
/// The bits are the same on every device and for any packing.
template <class T>
struct SubtractRowsArgs {
  MatrixBatch<const T> x;
  const double* c = nullptr;
  std::int64_t c_stride = 0;
  VectorBatch<T> y;
};
template <class T>
void subtract_rows(Executor& executor, const SubtractRowsArgs<T>& args);

/// Row `step` of each slot's tridiagonal matrix, and what its next vector is multiplied by. With
/// c and c' (slot, steps each, one after the other) the projections that the two passes took off
///   alpha_step = c_step + c'_step,   beta_step = sqrt(norm2),   scale = 1 / beta_step.
/// Where beta is at most `negligible` times the largest |alpha_i| + beta_i so far (or is not a
/// number) the vectors span an invariant space: the slot's matrix ends here, with `length` = step +
/// 1, and scale = 0, as in every later step, which leaves the matrix alone.
/// step = -1: nothing is known yet; scale = 1 / sqrt(norm2), length = 0.
struct LanczosStepArgs {
  std::int64_t slots = 0;
  std::int64_t steps = 0;  ///< there is room for so many
  std::int64_t step = -1;
  double negligible = 0;
  const double* projections = nullptr;  ///< (slot, 2 steps)
  const double* norm2 = nullptr;        ///< (slot)
  double* alpha = nullptr;              ///< (slot, steps)
  double* beta = nullptr;               ///< (slot, steps)
  std::int32_t* length = nullptr;       ///< (slot)
  std::int32_t* ended = nullptr;        ///< (slot), 1 where the matrix has come to its end
  double* scale = nullptr;              ///< (slot)
};
void lanczos_step(Executor& executor, const LanczosStepArgs& args);

/// Of each slot's tridiagonal matrix T of `length` rows: out = (least, its bound, largest, its
/// bound), slots out_stride apart. A bound is beta_last |s|, s the last entry of the value's
/// eigenvector of length 1: |H y - value y| for the vector y of length 1 that belongs to it, so
/// that an eigenvalue of H lies within it of the value, but for roundings (Parlett 1998, 13.2).
/// NaN for all four where an entry of T or `finite` (slot; may be null) is not a finite number; a
/// bound is infinite where the eigenvalues of T were not found. Eigenvalues by implicitly shifted
/// QL (kernels/common/tridiagonal.hpp). scratch: (slot, 3 steps).
struct RitzEndsArgs {
  std::int64_t slots = 0;
  std::int64_t steps = 0;
  const double* alpha = nullptr;
  const double* beta = nullptr;
  const std::int32_t* length = nullptr;
  const double* finite = nullptr;
  double* scratch = nullptr;
  double* out = nullptr;
  std::int64_t out_stride = 4;
};
void ritz_ends(Executor& executor, const RitzEndsArgs& args);

}  // namespace manyfold::kernels
