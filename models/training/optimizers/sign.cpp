// Sign descent: W <- W - eta sign(g), sign(0) = 0. What Adam is without its memory, and steepest
// descent in the largest-entry norm.
#include "kernels/stepping.hpp"
#include "kernels/updates.hpp"
#include "models/training/optimizer.hpp"

namespace manyfold {
namespace {

template <class T>
class SignDescent final : public Optimizer {
 public:
  SignDescent(const OptimizerContext& context, const Parameters<T>& parameters)
      : executor_(context.executor),
        parameters_(parameters),
        learning_rate_(context.executor, context.slots, context.example,
                       "optimizer.learning_rate") {}

  void load(std::span<const Settings> members) override { learning_rate_.load(members); }
  void step(const kernels::StepControl& control) override {
    learning_rate_.update(control);
    kernels::constant_step(executor_, {control, learning_rate_.data()});
    kernels::sign_descend<T>(executor_, {control, parameters_.values, parameters_.gradient});
  }

 private:
  Executor& executor_;
  Parameters<T> parameters_;
  Hyperparameter learning_rate_;
};

const RegisterOptimizer registered({
    .name = "sign",
    .doc = "sign descent: W <- W - eta sign(g), sign(0) = 0",
    .bytes_per_slot =
        [](const Settings& settings, std::int64_t, std::size_t) {
          return Hyperparameter::bytes_per_slot(settings, "optimizer.learning_rate");
        },
    .make = make_optimizer<SignDescent>,
});

}  // namespace
}  // namespace manyfold
