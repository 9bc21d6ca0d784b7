// Singular values of W = W_L ... W_1 from its factors. The rounding of the formed product is some
// eps ||W_L|| ... ||W_1||: smaller values are lost in it. Here the columns of X_h = W_h U_{h-1}
// S_{h-1} are made orthogonal layer by layer, X_h = U_h S_h V_h^T with X_1 = W_1 (one-sided Jacobi,
// whose errors are small relative to each column): the singular values of W are those of X_L, and
// each is right to some n eps cond(W_h), summed over the layers, relative to itself, however small
// it is. (Heath, Laub, Paige, Ward 1986 for two factors; Demmel and Veselic 1992 for the graded
// columns.) In double precision whatever T is. W = P P^T is taken as W_k ... W_1 W_1^T ... W_k^T.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/executor/executor.hpp"
#include "core/executor/memory.hpp"
#include "models/factorization/chain.hpp"

namespace manyfold::factorization {

template <class T>
class ProductSpectrum {
 public:
  /// Nothing is allocated where there is but one factor.
  ProductSpectrum(Executor& executor, const Chain<T>& chain, kernels::WorkSlots& work);
  static std::size_t bytes_per_slot(const Shape& shape);
  /// Doubles of the workspace that `compute` wants.
  static std::int64_t workspace(const Shape& shape);

  /// values: (slot, min(rows, cols)), decreasing; 0 beyond the narrowest layer, to the bit. left
  /// (may be null): u_1, (slot, rows). sweeps: (slot), of the last factor, -1 where a value is not
  /// what it would be with more. Slots of the workspace are workspace_stride apart. Kernels only.
  void compute(double* values, double* left, std::int32_t* sweeps, double* workspace,
               std::int64_t workspace_stride);

 private:
  Executor& executor_;
  const Chain<T>& chain_;
  Buffer<double> wide_;     ///< a factor in double precision; empty where T is double
  Buffer<double> product_;  ///< X_h
  Buffer<double> scaled_;   ///< U_h S_h
};

}  // namespace manyfold::factorization
