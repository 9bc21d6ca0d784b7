// Sums in plain loops; eigenpairs by LAPACK.
#include "apps/reproduce/arithmetic.hpp"

#include <cmath>
#include <utility>

#include <lapacke.h>

#include "core/error.hpp"

namespace manyfold::apps {

double log_log_slope(const std::vector<double>& x, const std::vector<double>& y) {
  double mean_x = 0;
  double mean_y = 0;
  const auto count = static_cast<double>(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) {
    mean_x += std::log(x[i]) / count;
    mean_y += std::log(y[i]) / count;
  }
  double above = 0;
  double below = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double dx = std::log(x[i]) - mean_x;
    above += dx * (std::log(y[i]) - mean_y);
    below += dx * dx;
  }
  return above / below;
}

double squared(const std::vector<double>& r) {
  double sum = 0;
  for (const double one : r) sum += one * one;
  return sum;
}

std::vector<double> descended(const std::vector<double>& r, const std::vector<double>& h,
                              double eta) {
  std::vector<double> next = r;
  for (std::size_t i = 0; i < r.size(); ++i) {
    double sum = 0;
    for (std::size_t j = 0; j < r.size(); ++j) sum += h[i * r.size() + j] * r[j];
    next[i] -= eta * sum;
  }
  return next;
}

Eigenpairs eigenpairs(std::vector<double> matrix, std::size_t n) {
  Eigenpairs pairs{std::vector<double>(n), std::move(matrix)};
  const auto size = static_cast<lapack_int>(n);
  // Column-major: LAPACK's columns are our rows.
  const lapack_int info = LAPACKE_dsyevd(LAPACK_COL_MAJOR, 'V', 'L', size, pairs.vectors.data(),
                                         size, pairs.values.data());
  if (info != 0) throw ResourceError("the eigenvalues of a Gram matrix did not converge");
  return pairs;
}

}  // namespace manyfold::apps
