// Gradient descent: W <- W - eta grad.
#include "kernels/stepping.hpp"
#include "models/training/optimizer.hpp"

namespace manyfold {
namespace {

template <class T>
class GradientDescent final : public Optimizer {
 public:
  GradientDescent(const OptimizerContext& context, const Parameters<T>& parameters)
      : executor_(context.executor),
        parameters_(parameters),
        learning_rate_(context.executor, context.slots, context.example,
                       "optimizer.learning_rate") {}

  void load(std::span<const Settings> members) override { learning_rate_.load(members); }
  void step(const kernels::StepControl& control) override {
    learning_rate_.update(control);
    kernels::constant_step(executor_, {control, learning_rate_.data()});
    kernels::descend<T>(executor_, {control, parameters_.values, parameters_.gradient});
  }

 private:
  Executor& executor_;
  Parameters<T> parameters_;
  Hyperparameter learning_rate_;
};

const RegisterOptimizer registered({
    .name = "gd",
    .doc = "gradient descent",
    .bytes_per_slot =
        [](const Settings& settings, std::int64_t, std::size_t) {
          return Hyperparameter::bytes_per_slot(settings, "optimizer.learning_rate");
        },
    .make = make_optimizer<GradientDescent>,
});

}  // namespace
}  // namespace manyfold
