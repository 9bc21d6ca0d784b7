// Perturbed gradient descent (Jin et al. 2017; Du 2019, algorithm 2): where the gradient is small
// and no noise was added lately, a point uniform in a ball is added to the parameters; then a step
// of gradient descent from there. The gradient is evaluated a second time at every step, because
// the host does not know which members moved; where a member did not, it is the same gradient.
#include "core/random/philox.hpp"
#include "kernels/draws.hpp"
#include "kernels/stepping.hpp"
#include "models/training/optimizer.hpp"

namespace manyfold {
namespace {

template <class T>
class PerturbedDescent final : public Optimizer {
 public:
  PerturbedDescent(const OptimizerContext& context, const Parameters<T>& parameters)
      : executor_(context.executor),
        model_(context.model),
        parameters_(parameters),
        seeds_(context),
        learning_rate_(context.executor, context.slots, context.example, "optimizer.learning_rate"),
        grad_threshold_(context.executor, context.slots, context.example,
                        "optimizer.grad_threshold"),
        radius_(context.executor, context.slots, context.example, "optimizer.radius"),
        min_steps_(context.executor, context.slots),
        last_noise_(context.executor, context.slots) {
    load({});
  }

  void load(std::span<const Settings> members) override {
    seeds_.load(members);
    learning_rate_.load(members);
    grad_threshold_.load(members);
    radius_.load(members);
    upload_each(min_steps_, members, std::int64_t{0},
                [](const Settings& member) { return member.integer("optimizer.min_steps"); });
    upload_each(last_noise_, members, kernels::never_perturbed,
                [](const Settings&) { return kernels::never_perturbed; });
  }
  void step(const kernels::StepControl& control) override {
    for (Hyperparameter* one : {&learning_rate_, &grad_threshold_, &radius_}) one->update(control);
    kernels::constant_step(executor_, {control, learning_rate_.data()});
    kernels::perturb<T>(executor_, {.control = control,
                                    .params = parameters_.values,
                                    .grad_threshold = grad_threshold_.data(),
                                    .radius = radius_.data(),
                                    .min_steps = min_steps_.data(),
                                    .last_noise = last_noise_.data(),
                                    .seeds = seeds_.data(),
                                    .stream = random_stream("sgd/perturbation"),
                                    .radius_stream = random_stream("sgd/perturbation/radius")});
    model_.evaluate(control, {.train_loss = false, .grad_norm2 = false});
    kernels::descend<T>(executor_, {control, parameters_.values, parameters_.gradient});
  }
  std::vector<StateArray> state() override {
    return {{.name = "last_noise",
             .data = reinterpret_cast<std::byte*>(last_noise_.data()),
             .bytes = sizeof(std::int64_t),
             .stride = sizeof(std::int64_t)}};
  }

 private:
  Executor& executor_;
  Model& model_;
  Parameters<T> parameters_;
  StepSeeds seeds_;
  Hyperparameter learning_rate_;
  Hyperparameter grad_threshold_;
  Hyperparameter radius_;
  Buffer<std::int64_t> min_steps_;
  Buffer<std::int64_t> last_noise_;
};

const RegisterOptimizer registered({
    .name = "perturbed_gd",
    .doc = "gradient descent that adds a point uniform in a ball where the gradient is small (Jin "
           "et al. 2017)",
    .keys = {{.path = "grad_threshold",
              .type = Type::number,
              .doc = "Noise is added where the norm of the gradient is at or below this.",
              .required = true,
              .min = 0},
             {.path = "radius",
              .type = Type::number,
              .doc = "Radius of the ball in the space of all parameters.",
              .required = true,
              .min = 0,
              .min_exclusive = true},
             {.path = "min_steps",
              .type = Type::integer,
              .doc = "Noise is added only when more than this many steps have gone by since the "
                     "last.",
              .default_value = std::int64_t{1},
              .min = 0,
              .max = 1e15}},
    .scheduled = {"grad_threshold", "radius"},
    .needs_grad_norm2 = true,
    .bytes_per_slot =
        [](const Settings& settings, std::int64_t, std::size_t) {
          return Hyperparameter::bytes_per_slot(settings, "optimizer.learning_rate") +
                 Hyperparameter::bytes_per_slot(settings, "optimizer.grad_threshold") +
                 Hyperparameter::bytes_per_slot(settings, "optimizer.radius") +
                 3 * sizeof(std::int64_t);
        },
    .make = make_optimizer<PerturbedDescent>,
});

}  // namespace
}  // namespace manyfold
