// Spectra and best low-rank approximations of single matrices, on the host, by LAPACK.
#pragma once

#include <cstdint>
#include <vector>

namespace manyfold::factorization {

/// All min(rows, cols) singular values of `matrix`, (rows, cols) row-major, decreasing (dgesdd:
/// accurate to eps times the largest). Throws std::runtime_error where LAPACK does not converge.
std::vector<double> spectrum(const std::vector<double>& matrix, std::int64_t rows,
                             std::int64_t cols);

/// The matrix of rank at most `rank` (0 to min(rows, cols)) that is nearest in the Frobenius norm:
/// sum_{i <= rank} s_i u_i v_i^T (Eckart and Young 1936). Of an exactly symmetric matrix the result
/// is exactly symmetric.
std::vector<double> best_approximation(const std::vector<double>& matrix, std::int64_t rows,
                                       std::int64_t cols, std::int64_t rank);

}  // namespace manyfold::factorization
