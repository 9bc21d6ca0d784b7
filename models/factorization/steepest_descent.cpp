// One dense eigenvalue or singular value problem per distinct problem.
#include "models/factorization/steepest_descent.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <stdexcept>

#include <lapacke.h>

namespace manyfold::factorization {
namespace {

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

/// -1 where the largest entry in modulus is negative.
double sign_of(const std::vector<double>& u) {
  const auto largest = std::max_element(
      u.begin(), u.end(), [](double a, double b) { return std::abs(a) < std::abs(b); });
  return *largest < 0 ? -1 : 1;
}

Descent top_eigenpair(const std::vector<double>& gradient, std::int64_t n) {
  std::vector<double> a(at(n * n));
  for (std::int64_t i = 0; i < n; ++i) {
    for (std::int64_t j = 0; j < n; ++j) {
      a[at(i * n + j)] = -(gradient[at(i * n + j)] + gradient[at(j * n + i)]) / 2;
    }
  }
  const auto order = static_cast<lapack_int>(n);
  std::vector<double> values(at(n));
  std::vector<double> vector(at(n));
  lapack_int found = 0;
  std::vector<lapack_int> support(at(2 * n));
  if (LAPACKE_dsyevr(LAPACK_ROW_MAJOR, 'V', 'I', 'U', order, a.data(), order, 0, 0, order, order, 0,
                     &found, values.data(), vector.data(), 1, support.data()) != 0 ||
      found != 1) {
    throw std::runtime_error("dsyevr failed");
  }
  return {.slope = values.front(), .left = vector, .right = vector};
}

Descent top_singular_triple(const std::vector<double>& gradient, std::int64_t m, std::int64_t n) {
  std::vector<double> a(gradient.size());
  std::transform(gradient.begin(), gradient.end(), a.begin(), [](double g) { return -g; });
  const std::int64_t k = std::min(m, n);
  std::vector<double> values(at(k));
  std::vector<double> u(at(m * k));
  std::vector<double> vt(at(k * n));
  if (LAPACKE_dgesdd(LAPACK_ROW_MAJOR, 'S', static_cast<lapack_int>(m), static_cast<lapack_int>(n),
                     a.data(), static_cast<lapack_int>(n), values.data(), u.data(),
                     static_cast<lapack_int>(k), vt.data(), static_cast<lapack_int>(n)) != 0) {
    throw std::runtime_error("dgesdd failed");
  }
  Descent descent{.slope = values.front(), .left = std::vector<double>(at(m)), .right = {}};
  for (std::int64_t i = 0; i < m; ++i) descent.left[at(i)] = u[at(i * k)];
  descent.right.assign(vt.begin(), vt.begin() + n);
  return descent;
}

}  // namespace

Descent steepest_descent_at_zero(const Problem& problem, bool symmetric) {
  if (symmetric && problem.rows != problem.cols) {
    throw std::invalid_argument("a symmetric problem is square");
  }
  const std::vector<double> gradient = gradient_at_zero(problem);
  Descent descent = symmetric ? top_eigenpair(gradient, problem.rows)
                              : top_singular_triple(gradient, problem.rows, problem.cols);
  double norm2 = 0;
  for (const double g : gradient) norm2 += g * g;
  const double rounding = static_cast<double>(std::max(problem.rows, problem.cols)) *
                          std::numeric_limits<double>::epsilon() * std::sqrt(norm2);
  if (std::abs(descent.slope) <= rounding) descent.slope = 0;
  const double sign = sign_of(descent.left);
  for (double& x : descent.left) x *= sign;
  for (double& x : descent.right) x *= sign;
  return descent;
}

}  // namespace manyfold::factorization
