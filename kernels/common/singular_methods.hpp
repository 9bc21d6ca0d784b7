// Which method finds singular values: our own rotations, or a library's for matrices that no core's
// caches and no block hold. The one place where that is decided; neither size is tuned.
#pragma once

#include <algorithm>
#include <cstdint>

namespace manyfold::kernels {

/// Matrices with more columns than this, of the smaller side, go to LAPACK's dgejsv (preconditioned
/// one-sided Jacobi, Drmac and Veselic 2008, of the same relative accuracy), one thread a matrix.
inline constexpr std::int64_t cpu_singular_columns = 1024;

/// Or to cuSOLVER's gesvdj, one matrix after another: it has the whole device for each.
inline constexpr std::int64_t gpu_singular_columns = 512;

/// Whether singular_values waits for a GPU, and so cannot be recorded there (Executor::record).
inline bool singular_values_wait(std::int64_t m, std::int64_t n) {
  return std::min(m, n) > gpu_singular_columns;
}

}  // namespace manyfold::kernels
