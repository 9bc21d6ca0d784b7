// A net along a direction in its weights: how its values change (the forward tangent), and how its
// gradient does (the tangent of the backward pass). Together they make exact products with the
// Hessian and with the Gauss-Newton matrix, at a few times the cost of a gradient (Pearlmutter
// 1994; Schraudolph 2002).
//
// Tangents stand as the tape lays out what they are tangents of, in memory of their own: a value's
// tangent has the value's scale, and where an activation overwrites what it read, so does its
// tangent: s''(u) u' = (s''/s')(u) y' is known from what is left.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/executor/memory.hpp"
#include "core/view.hpp"
#include "models/curvature/product.hpp"
#include "models/network/net.hpp"

namespace manyfold::network {

template <class T>
class NetTangent {
 public:
  explicit NetTangent(Net<T>& net);

  /// What the constructor allocates for each slot of a net with so many rows.
  static std::size_t bytes_per_slot(const Description& description, std::int64_t rows);

  /// Tangents of all values along `direction`, (slot, parameter), for the examples that the net's
  /// own `forward` saw last. Kernels only.
  void forward(VectorBatch<const T> direction);
  /// (slot, row, output): the outputs change by output_scale() times this.
  MatrixBatch<T> output() const { return tangent(net_.tape_.output); }
  /// Where the change of the gradient in the net's `output()` goes, scale included.
  MatrixBatch<T> output_slope() const { return gradient(0, net_.description().outputs); }

  /// change <- by how much the gradient of every weight changes along the direction that `forward`
  /// had, (slot, parameter), or what is there plus that where `add`.
  ///   hessian       the net's output_slope() holds the gradient in the outputs, output_slope() its
  ///                 change. Overwrites both, but no gradient of a weight
  ///   gauss_newton  as if the net were linear in its weights: output_slope() alone counts
  /// Kernels only.
  void backward(CurvatureMatrix matrix, VectorBatch<T> change, bool add);

 private:
  bool trained(int number) const { return net_.tape_.trained[static_cast<std::size_t>(number)]; }
  double scale_of(int number) const {
    return net_.tape_.values[static_cast<std::size_t>(number)].scale;
  }
  MatrixBatch<T> tangent(int number) const;
  MatrixBatch<T> gradient(int buffer, std::int64_t features) const;
  /// W_h and b_h among vectors of a member's parameters.
  template <class U>
  MatrixBatch<U> weight(const VectorBatch<U>& of, std::int64_t h) const;
  /// W'_h, of a pattern the whole matrix that v' makes.
  MatrixBatch<const T> direction(std::int64_t h) const;
  template <class U>
  MatrixBatch<U> bias(const VectorBatch<U>& of, std::int64_t h) const;

  void product(const Node& node, const Layer& layer);
  void sum_of_block(const Node& node);
  void product_back(const BackwardStep& step, const Node& node, const Layer& layer,
                    VectorBatch<T> change, bool add);
  void activation_back(const BackwardStep& step, const Node& node, const Layer& layer);
  /// Calls f(out, in) with the buffers of a step's gradients: first the changes, then, for the
  /// Hessian, the gradients themselves.
  template <class F>
  void of_each_gradient(const BackwardStep& step, std::int64_t out, std::int64_t in,
                        const F& f) const;

  Net<T>& net_;
  bool whole_ = true;  ///< the pass is for the Hessian: gradients go along with their changes
  VectorBatch<const T> direction_{};
  std::vector<Buffer<T>> storage_;
  std::vector<Buffer<T>> buffers_;
  Buffer<T> spread_;  ///< of patterns
};

}  // namespace manyfold::network
