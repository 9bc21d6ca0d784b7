// The curvature of what a factorization descends, for models/curvature/: the products of chain.hpp
// and their gradients along a direction in the layers, and the second derivatives of objective and
// penalties. Every one is a product of few matrices, so all are exact.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/executor/memory.hpp"
#include "kernels/work_slots.hpp"
#include "models/curvature/product.hpp"
#include "models/factorization/chain.hpp"
#include "models/factorization/objective.hpp"
#include "models/factorization/penalty.hpp"

namespace manyfold::factorization {

/// F is W, so the Gauss-Newton matrix leaves out the curvature of W in its layers.
template <class T>
class ChainCurvature final : public CurvatureProduct<T> {
 public:
  ChainCurvature(Executor& executor, const Chain<T>& chain, const Objective<T>& objective,
                 Penalty<T>& penalty, kernels::WorkSlots& work);

  /// Everything that the constructor allocates: for each slot, all of it work, and once.
  static std::size_t bytes_per_slot(const Shape& shape);
  static std::size_t shared_bytes(const Settings& settings, const Shape& shape);

  /// Reads grad f(W) where `Chain::slope` holds it since the evaluation, and overwrites what the
  /// chain keeps of the way back.
  void multiply(CurvatureMatrix matrix, VectorBatch<const T> vector,
                VectorBatch<T> product) override;

 private:
  /// How P_h changes along a direction, h = 2, ..., and W of the symmetric model: where they stand.
  MatrixBatch<T> product_of(std::int64_t h) const;
  MatrixBatch<T> square() const;
  /// The same of every P_h and W: that of P_1 = W_1 is a part of the direction.
  MatrixBatch<const T> prefix(VectorBatch<const T> along, std::int64_t h) const;
  MatrixBatch<const T> end(VectorBatch<const T> along) const;
  /// How df/dP_h and grad f(W) do: that of P_1 = W_1 is a part of the product.
  MatrixBatch<T> prefix_slope(VectorBatch<T> product, std::int64_t h) const;
  MatrixBatch<T> slope(VectorBatch<T> product) const;

  void forward(VectorBatch<const T> vector);
  void backward(bool whole, VectorBatch<const T> vector, VectorBatch<T> product);

  const Chain<T>& chain_;
  const Objective<T>& objective_;
  Penalty<T>& penalty_;
  std::vector<Buffer<T>> prefix_;
  std::array<Buffer<T>, 2> backward_;
  Buffer<T> end_;
  Buffer<T> slope_;
  Buffer<T> zero_;  ///< a target of 0, where some entries only are observed
};

}  // namespace manyfold::factorization
