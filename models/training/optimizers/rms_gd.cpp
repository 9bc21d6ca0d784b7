// RMS-scaled gradient descent (Li, Luo, Lyu 2021, appendix B): gradient descent whose step is
// divided by a running root mean square of the whole gradient, one scalar a member, so that
// direction is kept and only time is rescaled. The continuous time of a run is the sum of its
// steps.
#include "kernels/stepping.hpp"
#include "models/training/optimizer.hpp"

namespace manyfold {
namespace {

template <class T>
class RmsGradientDescent final : public Optimizer {
 public:
  RmsGradientDescent(const OptimizerContext& context, const Parameters<T>& parameters)
      : executor_(context.executor),
        parameters_(parameters),
        learning_rate_(context.executor, context.slots, context.example, "optimizer.learning_rate"),
        // An empty slot must not divide by zero.
        epsilon_(context.executor, context.slots, context.example, "optimizer.epsilon", 1.0),
        decay_(context.executor, context.slots, context.example, "optimizer.decay"),
        v_(context.executor, context.slots),
        decay_power_(context.executor, context.slots, 1.0) {}

  void load(std::span<const Settings> members) override {
    learning_rate_.load(members);
    epsilon_.load(members);
    decay_.load(members);
    v_.fill(0.0);
    decay_power_.fill(1.0);
  }
  void step(const kernels::StepControl& control) override {
    learning_rate_.update(control);
    epsilon_.update(control);
    decay_.update(control);
    kernels::rms_step(executor_, {control, learning_rate_.data(), epsilon_.data(), decay_.data(),
                                  v_.data(), decay_power_.data()});
    kernels::descend<T>(executor_, {control, parameters_.values, parameters_.gradient});
  }
  std::vector<StateArray> state() override {
    return {per_slot_state("v", v_), per_slot_state("decay_power", decay_power_)};
  }

 private:
  Executor& executor_;
  Parameters<T> parameters_;
  Hyperparameter learning_rate_;
  Hyperparameter epsilon_;
  Hyperparameter decay_;
  PerSlot v_;
  PerSlot decay_power_;
};

const RegisterOptimizer registered({
    .name = "rms_gd",
    .doc = "gradient descent, the step divided by a running root mean square of the gradient norm",
    .keys = {{.path = "epsilon",
              .type = Type::number,
              .doc = "Added to the root mean square of the gradient before dividing by it.",
              .default_value = 1e-8,
              .min = 0,
              .min_exclusive = true},
             {.path = "decay",
              .type = Type::number,
              .doc = "Weight of the past in the running mean of the squared gradient norm.",
              .default_value = 0.99,
              .min = 0,
              .max = 1,
              .max_exclusive = true}},
    .scheduled = {"epsilon", "decay"},
    .needs_grad_norm2 = true,
    .bytes_per_slot =
        [](const Settings& settings, std::int64_t, std::size_t) {
          return Hyperparameter::bytes_per_slot(settings, "optimizer.learning_rate") +
                 Hyperparameter::bytes_per_slot(settings, "optimizer.epsilon") +
                 Hyperparameter::bytes_per_slot(settings, "optimizer.decay") + 2 * sizeof(double);
        },
    .make = make_optimizer<RmsGradientDescent>,
});

}  // namespace
}  // namespace manyfold
