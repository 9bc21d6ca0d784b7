// Singular value decompositions by LAPACK.
#include "models/factorization/best_rank.hpp"

#include <algorithm>
#include <stdexcept>

#include <lapacke.h>

namespace manyfold::factorization {
namespace {

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

struct Decomposition {
  std::vector<double> u;   ///< (rows, k)
  std::vector<double> s;   ///< (k)
  std::vector<double> vt;  ///< (k, cols)
};

Decomposition decompose(std::vector<double> matrix, std::int64_t rows, std::int64_t cols,
                        bool vectors) {
  const std::int64_t k = std::min(rows, cols);
  Decomposition d{std::vector<double>(at(vectors ? rows * k : 1)), std::vector<double>(at(k)),
                  std::vector<double>(at(vectors ? k * cols : 1))};
  const auto m = static_cast<lapack_int>(rows);
  const auto n = static_cast<lapack_int>(cols);
  const auto least = static_cast<lapack_int>(vectors ? k : 1);
  // LAPACKE asks for n columns of V^T even where it writes none.
  if (LAPACKE_dgesdd(LAPACK_ROW_MAJOR, vectors ? 'S' : 'N', m, n, matrix.data(), n, d.s.data(),
                     d.u.data(), least, d.vt.data(), n) != 0) {
    throw std::runtime_error("dgesdd failed");
  }
  return d;
}

}  // namespace

std::vector<double> spectrum(const std::vector<double>& matrix, std::int64_t rows,
                             std::int64_t cols) {
  return decompose(matrix, rows, cols, false).s;
}

std::vector<double> best_approximation(const std::vector<double>& matrix, std::int64_t rows,
                                       std::int64_t cols, std::int64_t rank) {
  const std::int64_t k = std::min(rows, cols);
  const Decomposition d = decompose(matrix, rows, cols, true);
  std::vector<double> nearest(matrix.size(), 0.0);
  for (std::int64_t i = 0; i < rows; ++i) {
    for (std::int64_t r = 0; r < std::min(rank, k); ++r) {
      const double left = d.u[at(i * k + r)] * d.s[at(r)];
      for (std::int64_t j = 0; j < cols; ++j) {
        nearest[at(i * cols + j)] += left * d.vt[at(r * cols + j)];
      }
    }
  }
  bool symmetric = rows == cols;
  for (std::int64_t i = 0; i < rows && symmetric; ++i) {
    for (std::int64_t j = 0; j < i; ++j) {
      if (matrix[at(i * cols + j)] != matrix[at(j * cols + i)]) symmetric = false;
    }
  }
  if (symmetric) {
    for (std::int64_t i = 0; i < rows; ++i) {
      for (std::int64_t j = 0; j < i; ++j) {
        const double mean = (nearest[at(i * cols + j)] + nearest[at(j * cols + i)]) / 2;
        nearest[at(i * cols + j)] = nearest[at(j * cols + i)] = mean;
      }
    }
  }
  return nearest;
}

}  // namespace manyfold::factorization
