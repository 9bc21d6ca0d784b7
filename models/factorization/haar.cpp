// QR by LAPACK, with the signs that make its Q Haar-distributed.
#include "models/factorization/haar.hpp"

#include <stdexcept>

#include <lapacke.h>

#include "core/random/philox.hpp"

namespace manyfold::factorization {

std::vector<double> haar_frame(std::int64_t rows, std::int64_t cols, std::uint64_t seed,
                               std::uint64_t stream) {
  if (rows < cols) throw std::invalid_argument("a frame has no more columns than rows");
  const auto count = static_cast<std::size_t>(rows * cols);
  std::vector<double> q(count);
  for (std::size_t i = 0; i < count; ++i) q[i] = normal_double(seed, stream, i);
  const auto m = static_cast<lapack_int>(rows);
  const auto n = static_cast<lapack_int>(cols);
  std::vector<double> tau(static_cast<std::size_t>(cols));
  if (LAPACKE_dgeqrf(LAPACK_ROW_MAJOR, m, n, q.data(), n, tau.data()) != 0) {
    throw std::runtime_error("dgeqrf failed");
  }
  std::vector<double> sign(static_cast<std::size_t>(cols));
  for (std::int64_t j = 0; j < cols; ++j) {
    sign[static_cast<std::size_t>(j)] = q[static_cast<std::size_t>(j * cols + j)] < 0 ? -1.0 : 1.0;
  }
  if (LAPACKE_dorgqr(LAPACK_ROW_MAJOR, m, n, n, q.data(), n, tau.data()) != 0) {
    throw std::runtime_error("dorgqr failed");
  }
  for (std::int64_t i = 0; i < rows; ++i) {
    for (std::int64_t j = 0; j < cols; ++j) {
      q[static_cast<std::size_t>(i * cols + j)] *= sign[static_cast<std::size_t>(j)];
    }
  }
  return q;
}

}  // namespace manyfold::factorization
