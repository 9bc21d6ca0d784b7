// One pass over the numbers, and a singular value decomposition of matrices.
#include "core/data/array_summary.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>

#include <lapacke.h>

namespace manyfold {
namespace {

/// Of the finite ones.
void add_moments(const std::vector<double>& values, ArraySummary& summary) {
  double min = std::numeric_limits<double>::infinity();
  double max = -min;
  double largest = 0;
  std::int64_t finite = 0;
  for (const double x : values) {
    if (!std::isfinite(x)) continue;
    ++finite;
    min = std::min(min, x);
    max = std::max(max, x);
    largest = std::max(largest, std::abs(x));
  }
  summary.not_finite = summary.elements - finite;
  if (finite == 0) return;
  // Divided by a power of 2 near the largest, which is exact: neither sum overflows.
  const int exponent = largest > 0 ? std::ilogb(largest) : 0;
  double sum = 0;
  double square = 0;
  for (const double x : values) {
    if (!std::isfinite(x)) continue;
    const double scaled = std::scalbn(x, -exponent);
    sum += scaled;
    square += scaled * scaled;
  }
  summary.min = min;
  summary.max = max;
  summary.mean = std::scalbn(sum / static_cast<double>(finite), exponent);
  summary.norm = std::scalbn(std::sqrt(square), exponent);
}

void add_spectrum(const Array& array, ArraySummary& summary) {
  const std::int64_t rows = array.shape[0];
  const std::int64_t cols = array.shape[1];
  const std::int64_t side = std::min(rows, cols);
  constexpr double most = 4294967296.0;
  if (static_cast<double>(summary.elements) * static_cast<double>(side) > most) return;
  std::vector<double> a = array.values;
  summary.singular_values.resize(static_cast<std::size_t>(side));
  if (LAPACKE_dgesdd(LAPACK_ROW_MAJOR, 'N', static_cast<lapack_int>(rows),
                     static_cast<lapack_int>(cols), a.data(), static_cast<lapack_int>(cols),
                     summary.singular_values.data(), nullptr, static_cast<lapack_int>(rows),
                     nullptr, static_cast<lapack_int>(cols)) != 0) {
    throw std::runtime_error("dgesdd failed");
  }
  const double rounding = static_cast<double>(std::max(rows, cols)) *
                          std::numeric_limits<double>::epsilon() * summary.singular_values.front();
  summary.rank = std::count_if(summary.singular_values.begin(), summary.singular_values.end(),
                               [&](double s) { return s > rounding; });
}

}  // namespace

ArraySummary summarize(const Array& array) {
  ArraySummary summary{.elements = static_cast<std::int64_t>(array.values.size())};
  add_moments(array.values, summary);
  if (array.shape.size() == 2 && summary.elements > 0 && summary.not_finite == 0) {
    add_spectrum(array, summary);
  }
  return summary;
}

}  // namespace manyfold
