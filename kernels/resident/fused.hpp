// Operations that only resident programs have: several captured ones as one that does less work.
#pragma once

#include <cstdint>

#include "core/portable.hpp"
#include "core/view.hpp"
#include "kernels/drawn_residual.hpp"

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

/// A whole step of gradient descent of the last layer W of a chain, R = W P, with the slope that
/// the layers below need:
///   S_ij = c (sum_p W_ip P_pj - target_ij) on the pattern,  slope_pj = sum_i W_ip S_ij,
///   W_ip <- W_ip - step sum_j S_ij P_pj,
/// each sum a chain of fused multiply-adds as in the products that it stands for, so the bits are
/// theirs. c = scale * coefficient rounded to T; 1 where `scaled` is false. Where P is the only
/// layer below, `moves_p`: P <- P - step slope as well, and the slope is left undefined.
template <class T>
struct SparseTopLayerArgs {
  Pattern rows;  ///< of S; `entry` is not looked at
  Pattern cols;  ///< the same by columns; `entry`: its number in the order of rows
  MatrixBatch<T> w;
  MatrixBatch<T> p;
  bool moves_p = false;
  MatrixBatch<const T> target;
  const std::int32_t* target_entry = nullptr;
  MatrixBatch<T> s;  ///< scratch
  MatrixBatch<T> slope;
  bool scaled = false;
  double scale = 1;
  const double* coefficient = nullptr;    ///< (slot)
  const double* learning_rate = nullptr;  ///< (slot): the step
};

/// A whole step of stochastic gradient descent of a chain W_L ... W_1 on one drawn entry (i, j),
/// batch 1, whose gradient has rank one in every layer:
///   x_1 = W_1(:, j), x_h = W_h x_{h-1} for h = 2 ... L - 1,
///   s = weight ((W_L(i, :) x_{L-1} - M_ij) - noise xi),
///   b_{L-1} = s W_L(i, :)^T, b_{h-1} = W_h^T b_h,
///   G_L = s e_i x_{L-1}^T, G_h = b_h x_{h-1}^T, G_1 = b_1 e_j^T,
///   W_h <- (1 - step decay) W_h - step G_h, from the old layers all,
/// decay = decay_scale * coefficient rounded to T, absent where `decays` is false.
template <class T>
struct DrawnDescentArgs : DrawnTerms {
  static constexpr std::int32_t most_layers = 12;

  std::int32_t layers = 0;                   ///< L, from 2 on
  std::int32_t sizes[most_layers + 1] = {};  ///< n_0 ... n_L: W_h has n_h rows, n_{h-1} columns
  VectorBatch<T> params;                     ///< (slot, element): W_1, W_2, ...
  VectorBatch<T> scratch;                    ///< scratch_size() elements or more
  MatrixBatch<const T> target;               ///< (slot, n_L, n_0)
  bool decays = false;
  double decay_scale = 1;
  const double* decay = nullptr;      ///< (slot); null: 1
  const double* step_size = nullptr;  ///< (slot)

  /// x_1 ... x_{L-1} one after another, then two vectors for b.
  MF_FN std::int64_t back_offset() const {
    std::int64_t sum = 0;
    for (std::int32_t h = 1; h < layers; ++h) sum += sizes[h];
    return sum;
  }
  MF_FN std::int64_t widest() const {
    std::int64_t most = 0;
    for (std::int32_t h = 1; h < layers; ++h) most = sizes[h] > most ? sizes[h] : most;
    return most;
  }
  MF_FN std::int64_t scratch_size() const { return back_offset() + 2 * widest(); }
};

}  // namespace manyfold::kernels::resident
