// What an array is like, in a few numbers.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "core/data/array_file.hpp"

namespace manyfold {

struct ArraySummary {
  std::int64_t elements = 0;
  std::int64_t not_finite = 0;  ///< NaN and infinities: left out of what follows
  std::optional<double> min{};  ///< these four: nullopt where no element is finite
  std::optional<double> max{};
  std::optional<double> mean{};
  std::optional<double> norm{};  ///< root of the sum of squares; does not overflow before it must
  /// Of a matrix whose numbers are all finite and which is not too large for it
  /// (rows * cols * min(rows, cols) <= 2^32): singular values, decreasing, and how many of them are
  /// above max(rows, cols) eps s_1, as numpy.linalg.matrix_rank counts.
  std::optional<std::int64_t> rank{};
  std::vector<double> singular_values{};
};

/// Singular values by LAPACK (dgesdd).
ArraySummary summarize(const Array& array);

}  // namespace manyfold
