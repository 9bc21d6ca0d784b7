// Eigenvalues of many symmetric matrices, of small ones and of one large one: all of them, a few at
// either end, or the least alone, in double precision, each with a bound on its error. How a matrix
// is dealt with is chosen by its size in kernels/common/eigen_methods.hpp.
#pragma once

#include <cstdint>

#include "core/executor/executor.hpp"
#include "core/portable.hpp"
#include "core/view.hpp"

namespace manyfold::kernels {

enum class Eigenvalues : std::int32_t {
  all,    ///< ascending
  ends,   ///< the `count` least ascending, then the `count` largest ascending
  least,  ///< the least
};

/// What `status` says of a slot.
enum class EigenStatus : std::int32_t {
  fine = 0,
  not_finite = 1,     ///< an entry of the lower triangle is not: NaN for all that the slot is given
  not_converged = 2,  ///< values, vector and bound are the best known; the bound may be large
};

/// a: (slot, n, n), symmetric, n >= 1 up to 46,340; only the lower triangle is read, and not
/// changed. values: (slot, eigenvalues_kept), slots values_stride apart.
/// status (slot; may be null): EigenStatus.
/// bounds (slot; may be null): for each value l given, the value in its place of A's own spectrum
/// lies within this of it, and |A v - l v| of the vector given is at most this. It is
/// eigen_bound(n, |A|_inf), c n eps |A| with c = 4: what a backward stable method promises (Golub
/// and Van Loan, 8.1.2). Of the least value by itself it is not only promised: by Cholesky
/// factorizations A - s I is definite for an s that close below (Sylvester's law of inertia), or a
/// reduction to tridiagonal form took over. Of a vector it is measured, and more where that is.
/// least_vector (slot, n; may be null), slots least_vector_stride apart: an eigenvector of the
/// least value, of length 1 and of either sign; of a multiple value any. max_sweeps: of Jacobi's
/// method on small matrices. LAPACK and cuSOLVER have limits of their own. Entries may be of any
/// size that a double has: matrices are scaled by a power of 2 first.
///
/// Memory, beside the operands: on a CPU n^2 doubles (and O(n)) for each matrix at work, one a
/// thread; a single matrix above eigen_shared_rows has all threads, and its bits depend on
/// their number. On a GPU, above eigen_jacobi_rows, as many matrices go at once as a quarter of the
/// budget holds; there the call waits for the device and cannot be recorded (std::logic_error).
template <class T>
struct SymmetricEigenvaluesArgs {
  MatrixBatch<const T> a;
  Eigenvalues which = Eigenvalues::all;
  std::int64_t count = 0;  ///< of `ends`, at each: 1 to n / 2
  double* values = nullptr;
  std::int64_t values_stride = 0;
  std::int32_t* status = nullptr;
  double* bounds = nullptr;
  double* least_vector = nullptr;
  std::int64_t least_vector_stride = 0;
  int max_sweeps = 40;
};

/// Values of a slot.
MF_FN constexpr std::int64_t eigenvalues_kept(Eigenvalues which, std::int64_t n,
                                              std::int64_t count) {
  return which == Eigenvalues::all ? n : which == Eigenvalues::ends ? 2 * count : 1;
}

/// What rounding may do to an eigenvalue of a matrix with that norm.
MF_FN constexpr double eigen_bound(std::int64_t n, double norm) {
  constexpr double epsilon = 2.220446049250313e-16;
  return 4 * static_cast<double>(n) * epsilon * norm;
}

template <class T>
void symmetric_eigenvalues(Executor& executor, const SymmetricEigenvaluesArgs<T>& args);

}  // namespace manyfold::kernels
