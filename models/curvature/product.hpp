// What a kind of model gives to whoever asks for its curvature: products of vectors that are shaped
// like a member's parameters with the Hessian of what it descends, or with the Gauss-Newton matrix.
#pragma once

#include "core/view.hpp"

namespace manyfold {

/// Of f(theta) = L(F(theta)) + penalties, F what the model makes of its parameters (a network's
/// outputs for all train examples, the end-to-end matrix of a factorization) and L the loss of
/// that:
///   hessian       d^2 f / d theta^2
///   gauss_newton  J^T (d^2 L / dF^2) J with J = dF / d theta (Schraudolph 2002), and of a penalty
///                 c ||D(theta)||^2 its own, 2 c J_D^T J_D: the Hessian without the curvature of F
/// Where a model descends a multiple of its train loss (the symmetric factorization: half of it) f
/// is what it descends, so that gradient descent by steps eta is stable at a minimum for
/// eigenvalues up to 2 / eta.
enum class CurvatureMatrix { hessian, gauss_newton };

template <class T>
class CurvatureProduct {
 public:
  virtual ~CurvatureProduct() = default;
  /// product <- H vector, or G vector, at the parameters that the model evaluated last, over all of
  /// its train examples or entries; exact but for roundings. Both (slot, parameter), not the same.
  /// Parameters, gradient and losses stay as they are. Kernels only.
  virtual void multiply(CurvatureMatrix matrix, VectorBatch<const T> vector,
                        VectorBatch<T> product) = 0;
};

}  // namespace manyfold
