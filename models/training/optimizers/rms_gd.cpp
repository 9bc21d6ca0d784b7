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
  RmsGradientDescent(Executor& executor, const Parameters<T>& parameters, std::int64_t slots)
      : executor_(executor),
        parameters_(parameters),
        learning_rate_(executor, slots),
        epsilon_(executor, slots, 1.0),  // an empty slot must not divide by zero
        decay_(executor, slots),
        v_(executor, slots),
        decay_power_(executor, slots, 1.0) {}

  void load(std::span<const Settings> members) override {
    learning_rate_.load(members, "optimizer.learning_rate");
    epsilon_.load(members, "optimizer.epsilon");
    decay_.load(members, "optimizer.decay");
    v_.fill(0.0);
    decay_power_.fill(1.0);
  }
  void step(const kernels::StepControl& control) override {
    kernels::rms_step(executor_, {control, learning_rate_.data(), epsilon_.data(), decay_.data(),
                                  v_.data(), decay_power_.data()});
    kernels::descend<T>(executor_, {control, parameters_.values, parameters_.gradient});
  }

 private:
  Executor& executor_;
  Parameters<T> parameters_;
  PerSlot learning_rate_;
  PerSlot epsilon_;
  PerSlot decay_;
  PerSlot v_;
  PerSlot decay_power_;
};

void add_keys(Spec& spec) {
  spec.add({.path = "optimizer.epsilon",
            .type = Type::number,
            .doc = "Added to the root mean square of the gradient before dividing by it.",
            .default_value = 1e-8,
            .min = 0,
            .min_exclusive = true,
            .when = {{"optimizer.kind", {"rms_gd"}}}});
  spec.add({.path = "optimizer.decay",
            .type = Type::number,
            .doc = "Weight of the past in the running mean of the squared gradient norm.",
            .default_value = 0.99,
            .min = 0,
            .max = 1,
            .max_exclusive = true,
            .when = {{"optimizer.kind", {"rms_gd"}}}});
}

}  // namespace

extern const OptimizerKind rms_gd_kind{
    .name = "rms_gd",
    .doc = "gradient descent, the step divided by a running root mean square of the gradient norm",
    .add_keys = add_keys,
    .needs_grad_norm2 = true,
    .bytes_per_slot = [](std::int64_t, std::size_t) { return 5 * sizeof(double); },
    .make =
        [](Executor& executor, const AnyParameters& parameters, std::int64_t slots) {
          return std::visit(
              [&]<class T>(const Parameters<T>& typed) -> std::unique_ptr<Optimizer> {
                return std::make_unique<RmsGradientDescent<T>>(executor, typed, slots);
              },
              parameters);
        },
};

}  // namespace manyfold
