// Gradient descent with momentum: the heavy ball (Polyak 1964) and Nesterov's form of it.
//   v <- mu v + g;   heavy ball: W <- W - eta v;   Nesterov: W <- W - eta (g + mu v).
// A momentum that a schedule varies is the one of the step about to be taken.
#include "kernels/stepping.hpp"
#include "kernels/updates.hpp"
#include "models/training/optimizer.hpp"

namespace manyfold {
namespace {

template <class T, bool nesterov>
class Momentum final : public Optimizer {
 public:
  Momentum(const OptimizerContext& context, const Parameters<T>& parameters)
      : executor_(context.executor),
        parameters_(parameters),
        learning_rate_(context.executor, context.slots, context.example, "optimizer.learning_rate"),
        momentum_(context.executor, context.slots, context.example, "optimizer.momentum"),
        velocity_(context.executor, parameters.values) {}

  void load(std::span<const Settings> members) override {
    learning_rate_.load(members);
    momentum_.load(members);
    velocity_.clear();
  }
  void step(const kernels::StepControl& control) override {
    learning_rate_.update(control);
    momentum_.update(control);
    kernels::constant_step(executor_, {control, learning_rate_.data()});
    kernels::heavy_ball<T>(executor_, {control, parameters_.values, parameters_.gradient,
                                       velocity_.view(), momentum_.data(), nesterov});
  }
  std::vector<StateArray> state() override { return {vector_state("velocity", velocity_.view())}; }

 private:
  Executor& executor_;
  Parameters<T> parameters_;
  Hyperparameter learning_rate_;
  Hyperparameter momentum_;
  ParameterVector<T> velocity_;
};

template <class T>
using HeavyBall = Momentum<T, false>;
template <class T>
using Nesterov = Momentum<T, true>;

std::size_t bytes_per_slot(const Settings& settings, std::int64_t parameters,
                           std::size_t element_bytes) {
  return Hyperparameter::bytes_per_slot(settings, "optimizer.learning_rate") +
         Hyperparameter::bytes_per_slot(settings, "optimizer.momentum") +
         ParameterVector<float>::bytes_per_slot(parameters, element_bytes);
}

KeySpec momentum_key() {
  return {.path = "momentum",
          .type = Type::number,
          .doc = "Weight mu of the past in the velocity v <- mu v + gradient.",
          .default_value = 0.9,
          .min = 0,
          .max = 1,
          .max_exclusive = true};
}

const RegisterOptimizer heavy_ball({
    .name = "momentum",
    .doc = "heavy ball: v <- mu v + g, then W <- W - eta v (Polyak 1964)",
    .keys = {momentum_key()},
    .scheduled = {"momentum"},
    .bytes_per_slot = bytes_per_slot,
    .make = make_optimizer<HeavyBall>,
});

const RegisterOptimizer nesterov({
    .name = "nesterov",
    .doc = "Nesterov's momentum: v <- mu v + g, then W <- W - eta (g + mu v) (Sutskever et al. "
           "2013)",
    .keys = {momentum_key()},
    .scheduled = {"momentum"},
    .bytes_per_slot = bytes_per_slot,
    .make = make_optimizer<Nesterov>,
});

}  // namespace
}  // namespace manyfold
