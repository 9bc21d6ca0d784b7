// Penalties on the parameters of a factorization, added to its objective:
//   objective.l2 = lambda            lambda/2 ||theta||^2; lambda ||theta||^2 under the convention
//                                    "paper" (Wang and Jacot 2023);
//                                    models/training/weight_decay.hpp
//   objective.balance_penalty = c    c ||U^T U - V^T V||_F^2 of W = U V^T, U = W_2, V^T = W_1
//                                    (Du, Hu, Lee 2018, eq. 3, with c = 1/8)
// Their values enter the train loss whole. The symmetric model descends f / 2, so there half of
// their gradient enters too.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "core/config/settings.hpp"
#include "core/config/spec.hpp"
#include "core/executor/executor.hpp"
#include "core/executor/memory.hpp"
#include "kernels/stepping.hpp"
#include "models/curvature/product.hpp"
#include "models/factorization/chain.hpp"
#include "models/training/hyperparameter.hpp"
#include "models/training/weight_decay.hpp"

namespace manyfold::factorization {

void add_penalty_keys(Spec& spec);
/// Rejects penalties that the shape does not have. Throws InputError.
void validate_penalty(const Settings& settings, const Shape& shape);
/// " l2", " balance_penalty": what of it decides which kernels run, part of a family's name.
std::string penalty_text(const Settings& settings);
/// Multiplications and additions of their gradients.
double penalty_flops(const Settings& settings, const Shape& shape);

template <class T>
class Penalty {
 public:
  Penalty(Executor& executor, const Settings& example, const Shape& shape, std::int64_t slots);
  static std::size_t bytes_per_slot(const Settings& settings, const Shape& shape);

  void load(std::span<const Settings> members);

  /// Adds the penalties' gradients to the chain's, which `backward` must have left there, and their
  /// values to loss (slot; may be null). Kernels only, and none without penalties.
  void add(const kernels::StepControl& control, const Chain<T>& chain, double* loss);
  /// product += the penalties' Hessian, or their Gauss-Newton matrix, times vector; coefficients as
  /// `add` left them. Kernels only.
  void add_curvature(CurvatureMatrix matrix, const Chain<T>& chain, VectorBatch<const T> vector,
                     VectorBatch<T> product);

 private:
  /// D = U^T U - V^T V, (slot, r, r).
  MatrixBatch<T> difference(const Chain<T>& chain) const;
  void compute_difference(const Chain<T>& chain) const;
  /// D <- 4 c D; then U D is added to one layer and -D V^T to the other.
  void times_coefficient(const Chain<T>& chain) const;
  void spread(const Chain<T>& chain, MatrixBatch<const T> u, MatrixBatch<const T> v,
              MatrixBatch<T> to_u, MatrixBatch<T> to_v) const;
  void add_balance(const kernels::StepControl& control, const Chain<T>& chain, double* loss);

  Executor& executor_;
  std::int64_t balance_stride_ = 0;
  WeightDecay<T> decay_;
  std::optional<Hyperparameter> balance_;
  Buffer<double> square_;  ///< (slot)
  Buffer<T> difference_;   ///< U^T U - V^T V, (slot, r, r)
};

}  // namespace manyfold::factorization
