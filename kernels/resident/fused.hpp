// Operations that only resident programs have: several captured ones as one that does less work.
#pragma once

#include <cstdint>

#include "core/portable.hpp"
#include "core/view.hpp"

namespace manyfold::kernels::resident {

/// Where a matrix of a fixed pattern has entries, line by line (rows, or columns): line i has those
/// from begin[i] to begin[i + 1]; `entry` is an entry's element in the matrix, `other` its column
/// (or row). Memory of the program's.
struct Pattern {
  std::int64_t lines = 0;
  const std::int32_t* begin = nullptr;
  const std::int32_t* entry = nullptr;
  const std::int32_t* other = nullptr;
};

/// residual = A' B' - target on the entries of `pattern` (rows of the residual), which is all that
/// anybody looks at, and half the sum of their squares: a product and a masked residual in one.
/// A'(i, p) is element i * a_row + p * a_col of a, B'(p, j) element p * b_row + j * b_col of b.
template <class T>
struct SampledProductArgs {
  Pattern pattern;
  std::int64_t k = 0;
  MatrixBatch<const T> a;
  std::int64_t a_row = 0, a_col = 0;
  MatrixBatch<const T> b;
  std::int64_t b_row = 0, b_col = 0;
  MatrixBatch<const T> target;
  const std::int32_t* target_entry = nullptr;  ///< by entry: its element in the target
  MatrixBatch<T> residual;
  double* half_square = nullptr;
};

/// A product one of whose factors, s, has entries on `pattern` alone: with X the other factor,
/// C(i, q) = alpha sum_t s[entry_t] X(other_t, q) + beta C(i, q) over the entries of line i,
/// q = 0 ... count - 1. X(o, q) is element o * x_line + q * x_step of x, C(i, q) element
/// i * c_line + q * c_step of c.
template <class T>
struct SparseProductArgs {
  Pattern pattern;
  std::int64_t count = 0;
  T alpha = 1;
  T beta = 0;
  MatrixBatch<const T> s;
  MatrixBatch<const T> x;
  std::int64_t x_line = 0, x_step = 0;
  MatrixBatch<T> c;
  std::int64_t c_line = 0, c_step = 0;
};

}  // namespace manyfold::kernels::resident
