// Weight decay of whatever parameters a model has: objective.l2 = lambda adds to the train loss
// lambda/2 ||theta||^2 over all trained parameters theta (biases too), or what a model makes of
// lambda instead, and the gradient of that to the gradient.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/config/settings.hpp"
#include "core/config/spec.hpp"
#include "core/executor/executor.hpp"
#include "core/executor/memory.hpp"
#include "kernels/stepping.hpp"
#include "models/training/hyperparameter.hpp"
#include "models/training/model.hpp"

namespace manyfold {

/// The key, for the values of model.kind in `kinds`.
void add_weight_decay_keys(Spec& spec, std::vector<std::string> kinds);
/// " l2" or nothing: whether its kernels run, part of a family's name.
std::string weight_decay_text(const Settings& settings);
/// Multiplications and additions of its gradient.
double weight_decay_flops(const Settings& settings, std::int64_t parameters);

template <class T>
class WeightDecay {
 public:
  /// `value` lambda ||theta||^2 in the loss, `gradient` lambda theta in the gradient.
  WeightDecay(Executor& executor, const Settings& example, std::int64_t slots, double value = 0.5,
              double gradient = 1);
  static std::size_t bytes_per_slot(const Settings& settings);

  void load(std::span<const Settings> members);
  /// Adds to the gradient, and to loss (slot; may be null). Kernels only, and none without the key.
  void add(const kernels::StepControl& control, const Parameters<T>& parameters, double* loss);
  /// Adds the penalty's Hessian, lambda times the identity, times a vector: lambda as `add` left
  /// it. (slot, parameter) both. Kernels only.
  void add_curvature(VectorBatch<const T> vector, VectorBatch<T> product) const;

 private:
  Executor& executor_;
  double value_;
  double gradient_;
  std::optional<Hyperparameter> lambda_;
  Buffer<double> square_;  ///< (slot)
};

}  // namespace manyfold
