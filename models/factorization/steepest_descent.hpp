// Where an objective falls most steeply from W = 0, on the host: rank-one starts point there.
#pragma once

#include <vector>

#include "models/factorization/problem.hpp"

namespace manyfold::factorization {

/// The direction in which f falls most steeply from W = 0: unit vectors u (rows) and v (cols) that
/// maximize slope = -<grad f(0), u v^T>.
///   symmetric  u = v, the eigenvector of the largest eigenvalue of the symmetric part of
///              -grad f(0), and slope that eigenvalue, which may be negative
///   else       the first left and right singular vectors of -grad f(0), and slope its largest
///              singular value
/// A slope within rounding of 0, max(rows, cols) eps ||grad f(0)||_F, is 0. The sign is fixed: the
/// largest entry of u in modulus (the first of several) is positive.
struct Descent {
  double slope = 0;
  std::vector<double> left;
  std::vector<double> right;
};
/// By LAPACK (dsyevr, dgesdd). Throws std::runtime_error where it does not converge.
Descent steepest_descent_at_zero(const Problem& problem, bool symmetric);

}  // namespace manyfold::factorization
