// The products of a factorization on a device: P_h = W_h ... W_1 forward, and from grad f(W) back
// to the gradient of every layer, for all slots of a family at once.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "core/executor/executor.hpp"
#include "core/executor/memory.hpp"
#include "core/view.hpp"
#include "kernels/gemm.hpp"
#include "models/factorization/shape.hpp"
#include "models/training/model.hpp"

namespace manyfold::factorization {

/// Parameters, gradient and intermediate products of S slots. deep_linear: W = P_L. symmetric:
/// W = P_L P_L^T, and the gradient is that of f / 2 (Li, Luo, Lyu 2021, eq. 2).
template <class T>
class ChainCurvature;

template <class T>
class Chain {
 public:
  Chain(Executor& executor, const Shape& shape, std::int64_t slots, kernels::MathMode math,
        kernels::WorkSlots& work);

  /// Everything that the constructor allocates, per slot, and what of it is work.
  static std::size_t bytes_per_slot(const Shape& shape);
  static std::size_t work_bytes(const Shape& shape);

  /// W from the parameters. Kernels only.
  void forward();
  /// The gradient of every layer from grad f(W), which stands in `slope()`. Kernels only.
  void backward();

  const Shape& shape() const { return shape_; }
  std::int64_t slots() const { return slots_; }
  Parameters<T> parameters() const;
  const Buffer<T>& values() const { return parameters_; }
  /// Elements from one slot's parameters to the next.
  std::int64_t stride() const { return stride_; }

  /// W_h, (slot, n_h, n_{h-1}), h = 1 ... L.
  MatrixBatch<T> weight(std::int64_t h) const;
  MatrixBatch<T> weight_gradient(std::int64_t h) const;
  /// W_h among vectors of a member's parameters, (slot, n_h, n_{h-1}).
  template <class U>
  MatrixBatch<U> layer(const VectorBatch<U>& of, std::int64_t h) const {
    return {of.data + shape_.layer_offset(h),
            of.slots,
            shape_.layer_rows(h),
            shape_.layer_cols(h),
            of.slot_stride,
            shape_.layer_cols(h)};
  }
  /// P_h = W_h ... W_1, (slot, n_h, n_0), as `forward` left it.
  MatrixBatch<T> prefix(std::int64_t h) const;
  /// The end-to-end matrix W, (slot, rows, cols), as `forward` left it.
  MatrixBatch<T> end() const;
  /// Where grad f(W) goes, (slot, rows, cols); of a single layer it is the gradient itself.
  MatrixBatch<T> slope() const;

  void multiply(kernels::Transpose ta, kernels::Transpose tb, MatrixBatch<const T> a,
                MatrixBatch<const T> b, MatrixBatch<T> c, T alpha = 1, T beta = 0) const;

 private:
  friend class ChainCurvature<T>;  // goes the same ways along a direction

  MatrixBatch<T> matrix(T* data, std::int64_t rows, std::int64_t cols, std::int64_t stride) const {
    return {data, slots_, rows, cols, stride, cols};
  }
  /// df/dP_h, (n_h, n_0); neighbouring layers use different buffers. P_1 is W_1, so its slope is
  /// the gradient itself, and P_L of the asymmetric model is W.
  MatrixBatch<T> prefix_slope(std::int64_t h) const;

  Executor& executor_;
  Shape shape_;
  std::int64_t slots_;
  kernels::MathMode math_;
  std::int64_t stride_;
  std::vector<std::int64_t> prefix_stride_;  ///< of P_h, h = 2 ... L
  std::int64_t backward_stride_ = 0;
  std::int64_t end_stride_ = 0;    ///< 0 where P_L or W_1 serves
  std::int64_t slope_stride_ = 0;  ///< 0 where the gradient of the only layer serves
  Buffer<T> parameters_;
  Buffer<T> gradient_;
  std::vector<Buffer<T>> prefix_;
  std::array<Buffer<T>, 2> backward_;
  Buffer<T> end_;
  Buffer<T> slope_;
};

}  // namespace manyfold::factorization
