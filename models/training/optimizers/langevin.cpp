// Langevin dynamics by the Euler-Maruyama scheme: W <- W - eta grad + sqrt(2 eta T) N(0, I), whose
// stationary law is proportional to exp(-f / T) as eta goes to 0.
#include "core/random/philox.hpp"
#include "kernels/draws.hpp"
#include "kernels/stepping.hpp"
#include "models/training/optimizer.hpp"

namespace manyfold {
namespace {

template <class T>
class Langevin final : public Optimizer {
 public:
  Langevin(const OptimizerContext& context, const Parameters<T>& parameters)
      : executor_(context.executor),
        parameters_(parameters),
        seeds_(context),
        learning_rate_(context.executor, context.slots, context.example, "optimizer.learning_rate"),
        temperature_(context.executor, context.slots, context.example, "optimizer.temperature") {}

  void load(std::span<const Settings> members) override {
    seeds_.load(members);
    learning_rate_.load(members);
    temperature_.load(members);
  }
  void step(const kernels::StepControl& control) override {
    learning_rate_.update(control);
    temperature_.update(control);
    kernels::constant_step(executor_, {control, learning_rate_.data()});
    kernels::descend<T>(executor_, {control, parameters_.values, parameters_.gradient});
    kernels::diffuse<T>(executor_, {control, parameters_.values, temperature_.data(), seeds_.data(),
                                    random_stream("sgd/langevin")});
  }

 private:
  Executor& executor_;
  Parameters<T> parameters_;
  StepSeeds seeds_;
  Hyperparameter learning_rate_;
  Hyperparameter temperature_;
};

const RegisterOptimizer registered({
    .name = "langevin",
    .doc = "gradient descent, then Gaussian noise of variance 2 eta T on every parameter",
    .keys = {{.path = "temperature",
              .type = Type::number,
              .doc = "T of the noise's variance 2 eta T a parameter and step.",
              .required = true,
              .min = 0}},
    .scheduled = {"temperature"},
    .bytes_per_slot =
        [](const Settings& settings, std::int64_t, std::size_t) {
          return Hyperparameter::bytes_per_slot(settings, "optimizer.learning_rate") +
                 Hyperparameter::bytes_per_slot(settings, "optimizer.temperature") +
                 sizeof(std::uint64_t);
        },
    .make = make_optimizer<Langevin>,
});

}  // namespace
}  // namespace manyfold
