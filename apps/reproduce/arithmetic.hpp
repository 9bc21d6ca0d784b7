// What claims are computed with.
#pragma once

#include <cstddef>
#include <vector>

namespace manyfold::apps {

/// Slope of the least-squares line through (log x, log y).
double log_log_slope(const std::vector<double>& x, const std::vector<double>& y);

/// ||r||^2.
double squared(const std::vector<double>& r);

/// (I - eta H) r, H symmetric, row-major.
std::vector<double> descended(const std::vector<double>& r, const std::vector<double>& h,
                              double eta);

struct Eigenpairs {
  std::vector<double> values;   ///< ascending
  std::vector<double> vectors;  ///< row i is that of values[i], of length 1
};
/// Of a symmetric n x n matrix, row-major.
Eigenpairs eigenpairs(std::vector<double> matrix, std::size_t n);

}  // namespace manyfold::apps
