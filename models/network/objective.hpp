// The train loss of networks and its gradient, over all examples or a few drawn ones; and what
// probes ask of the examples of either set.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>

#include "core/executor/executor.hpp"
#include "core/executor/memory.hpp"
#include "kernels/examples.hpp"
#include "kernels/stepping.hpp"
#include "models/curvature/product.hpp"
#include "models/network/examples.hpp"
#include "models/network/net.hpp"
#include "models/network/net_tangent.hpp"
#include "models/training/model.hpp"

namespace manyfold::network {

enum class Set { train, test };

/// Examples are evaluated some rows at a time, so that the activations of a slot stay below a bound
/// whatever their number; gradients and sums add up over the rows in their order.
template <class T>
class Objective {
 public:
  Objective(Executor& executor, const Settings& example, Net<T>& net, std::int64_t slots,
            bool shared_problem);

  /// The most examples that a member's network has to evaluate at once.
  static std::int64_t rows(const Settings& example, const Description& description);
  /// Memory beside the network's, and the work of one gradient.
  static Footprint footprint(const Settings& example, const Description& description,
                             bool shared_problem);

  /// Puts the members' data in place.
  void load(std::span<const Settings> members);

  /// The gradient of the train loss at the network's weights; the loss (slot) where asked. Kernels
  /// only.
  void gradient(double* loss);
  /// As Model::evaluate_stochastic. Kernels only.
  void stochastic_gradient(const kernels::StepControl& control, const StochasticGradient& what);
  const std::int64_t* terms() const { return terms_.data(); }

  /// product <- the Hessian of the train loss at the network's weights, or its Gauss-Newton matrix,
  /// times `vector`, (slot, parameter) both. Leaves the gradient and what the activations show as
  /// `gradient` did. Kernels only.
  void multiply_curvature(NetTangent<T>& tangent, CurvatureMatrix matrix,
                          VectorBatch<const T> vector, VectorBatch<T> product);

  std::int64_t count(Set set) const { return examples(set).count(); }
  /// Evaluates examples first, first + 1, ... of a set, at most as many as the network has rows, if
  /// they do not stand there already. Kernels only.
  void show(Set set, std::int64_t first, std::int64_t count);
  MatrixBatch<const T> inputs(Set set) const { return examples(set).inputs(); }
  /// Evaluates all examples of a set, calling see(first, count) after each forward pass over
  /// `count` of them; passes over what stands there already are left out. Kernels only.
  void each_pass(Set set, const std::function<void(std::int64_t, std::int64_t)>& see);
  /// One number of each example of a set, (slot, example), slots `terms_stride()` apart, until the
  /// next call; losses as the train loss weighs them. Kernels only.
  const double* example_terms(Set set, kernels::ExampleTerm term);
  std::int64_t terms_stride() const { return terms_stride_; }
  /// out[s * out_stride] = the sum of a slot's `count` doubles, slots stride apart in x. Kernels
  /// only.
  void sum(const double* x, std::int64_t count, std::int64_t stride, double* out,
           std::int64_t out_stride = 1) const;

 private:
  /// What the loss of one of so many examples counts.
  double weight_of(std::int64_t examples) const {
    return mean_ ? 1 / static_cast<double>(examples) : 1.0;
  }
  const Examples<T>& examples(Set set) const { return set == Set::train ? train_ : test_; }
  /// Loss and slope of the `count` rows that the network shows, which are examples first, ... of
  /// `set`, or those that `what` drew.
  struct Rows {
    std::int64_t first = 0;
    std::int64_t count = 0;
    double* losses = nullptr;  ///< of the row's first example on
    double weight = 1;
    const StochasticGradient* what = nullptr;
    const kernels::StepControl* control = nullptr;
  };
  void slopes(const Rows& rows);

  Executor& executor_;
  Net<T>& net_;
  DataSize size_;
  std::int64_t slots_;
  bool shared_;
  kernels::Loss loss_;
  bool mean_;
  std::int64_t batch_;  ///< examples of a minibatch; 0: none are drawn
  std::int64_t terms_stride_;
  Examples<T> train_;
  Examples<T> test_;
  Buffer<T> drawn_;  ///< inputs of a minibatch
  Buffer<double> per_example_;
  Buffer<std::int64_t> terms_;
  /// What the network's activations show: a whole set, or neither.
  std::optional<Set> shown_;
};

}  // namespace manyfold::network
