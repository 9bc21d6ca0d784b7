// All singular values of many small matrices, or of a few large ones, by one-sided Jacobi in double
// precision (Hestenes 1958; de Rijk 1989; Demmel and Veselic 1992 for its relative accuracy on
// column-graded matrices): tiny values are the result here, and bidiagonalization would lose them.
// Where both sides are long, LAPACK and cuSOLVER have that method
// (kernels/common/singular_methods.hpp).
#pragma once

#include <cstdint>

#include "core/executor/executor.hpp"
#include "core/portable.hpp"
#include "core/view.hpp"

namespace manyfold::kernels {

/// a: (slot, m, n), any m, n >= 1, m n < 2^31; not changed. values: (slot, values_count), the
/// largest in decreasing order, slots values_stride apart, in double precision whatever T is. A
/// slot with a value that is not finite gives NaN for all of its values and touches no other slot.
/// sweeps (slot; may be null) receives the number of sweeps taken (0 for such a slot and for one
/// row or column; 1 where a library took them), or -1 where `max_sweeps` did not suffice (the
/// values are then the best known). left (slot, m; may be null), slots left_stride apart, receives
/// the left singular vector of the largest value, of length 1 and of either sign: the longest of
/// the rotated columns of A where columns were rotated, else A v / s_1 with v the longest rotated
/// row, which is as accurate because s_1 is the norm of A. NaN for a zero matrix. u (slot, m, k)
/// and v (slot, n, k), k = min(m, n) (no data: not wanted) receive all singular vectors as columns,
/// A = U S V^T; both columns that belong to a value of 0 are 0, all others are orthonormal.
/// workspace: device memory of at least singular_values_workspace doubles per slot. By a library:
/// memory for one matrix more and its vectors (on a CPU, for each thread), and on a GPU the call
/// waits for the device and cannot be recorded (std::logic_error); of a single matrix all threads
/// of a CPU make the products.
template <class T>
struct SingularValuesArgs {
  MatrixBatch<const T> a;
  double* values = nullptr;
  std::int64_t values_count = 0;  ///< beyond min(m, n) they are `beyond`
  std::int64_t values_stride = 0;
  std::int32_t* sweeps = nullptr;
  double* workspace = nullptr;
  int max_sweeps = 60;
  double* left = nullptr;
  std::int64_t left_stride = 0;
  MatrixBatch<double> u{};
  MatrixBatch<double> v{};
  bool scaled = false;  ///< u and v receive U S and V S
  double beyond = 0;
  std::int64_t workspace_stride = 0;  ///< 0: singular_values_workspace
};

/// Doubles a slot; `vectors` where u or v is asked for.
MF_FN constexpr std::int64_t singular_values_workspace(std::int64_t m, std::int64_t n,
                                                       bool vectors = false) {
  const std::int64_t least = m < n ? m : n;
  return m * n + (vectors ? least * least : 0) + 3 * least;
}

template <class T>
void singular_values(Executor& executor, const SingularValuesArgs<T>& args);

}  // namespace manyfold::kernels
