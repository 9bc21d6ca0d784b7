// Which method finds the eigenvalues of a symmetric matrix, by its size: the one place where that
// is decided. The measurements that the CPU's sizes rest on stand in kernels/README.md ("Symmetric
// eigenvalues"); those of a GPU are what its libraries are made for, not measured yet.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/portable.hpp"
#include "kernels/symmetric_eigenvalues.hpp"

namespace manyfold::kernels {

enum class EigenMethod {
  jacobi,       ///< cyclic Jacobi: one rotation for n = 2, a few sweeps above
  tridiagonal,  ///< reduction to tridiagonal form, then its values (LAPACK)
  inverse,      ///< Cholesky and Lanczos on the inverse, for the least value (CPU)
  batched,      ///< cuSOLVER's XsyevBatched
  single,       ///< cuSOLVER's Xsyevd and Xsyevdx, one matrix after another
};

struct EigenChoice {
  std::int64_t up_to;  ///< rows
  EigenMethod values;  ///< of all values, or several
  EigenMethod least;   ///< of the least alone
};

inline constexpr std::int64_t any_rows = INT64_MAX;

inline constexpr EigenChoice cpu_eigen_choices[] = {
    {4, EigenMethod::jacobi, EigenMethod::jacobi},
    {150, EigenMethod::tridiagonal, EigenMethod::tridiagonal},
    {any_rows, EigenMethod::tridiagonal, EigenMethod::inverse},
};

/// A warp of a GPU holds a matrix of that many rows.
inline constexpr std::int64_t eigen_jacobi_rows = 32;

inline constexpr EigenChoice gpu_eigen_choices[] = {
    {eigen_jacobi_rows, EigenMethod::jacobi, EigenMethod::jacobi},
    {2048, EigenMethod::batched, EigenMethod::batched},
    {any_rows, EigenMethod::single, EigenMethod::single},
};

/// On a GPU, slots with fewer rows than this have one thread each, larger ones a warp.
inline constexpr std::int64_t eigen_thread_rows = 5;

/// A single matrix with more rows than this is shared by a CPU's threads.
inline constexpr std::int64_t eigen_shared_rows = 512;

template <std::size_t size>
constexpr EigenMethod eigen_method(const EigenChoice (&choices)[size], Eigenvalues which,
                                   std::int64_t n) {
  for (const EigenChoice& choice : choices) {
    if (n <= choice.up_to) return which == Eigenvalues::least ? choice.least : choice.values;
  }
  return EigenMethod::tridiagonal;
}

}  // namespace manyfold::kernels
