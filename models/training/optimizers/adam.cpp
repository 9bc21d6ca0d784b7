// Adam (Kingma and Ba 2015, algorithm 1), bias-corrected.
#include "kernels/updates.hpp"
#include "models/training/optimizer.hpp"

namespace manyfold {
namespace {

template <class T>
class Adam final : public Optimizer {
 public:
  Adam(const OptimizerContext& context, const Parameters<T>& parameters)
      : executor_(context.executor),
        parameters_(parameters),
        learning_rate_(context.executor, context.slots, context.example, "optimizer.learning_rate"),
        beta1_(context.executor, context.slots, context.example, "optimizer.beta1"),
        beta2_(context.executor, context.slots, context.example, "optimizer.beta2"),
        // An empty slot must not divide by zero.
        epsilon_(context.executor, context.slots, context.example, "optimizer.epsilon", 1.0),
        power1_(context.executor, context.slots, 1.0),
        power2_(context.executor, context.slots, 1.0),
        scaled_step_(context.executor, context.slots),
        root_scale_(context.executor, context.slots),
        m_(context.executor, parameters.values),
        v_(context.executor, parameters.values) {}

  void load(std::span<const Settings> members) override {
    learning_rate_.load(members);
    for (Hyperparameter* one : {&beta1_, &beta2_, &epsilon_}) one->load(members);
    power1_.fill(1.0);
    power2_.fill(1.0);
    m_.clear();
    v_.clear();
  }
  void step(const kernels::StepControl& control) override {
    learning_rate_.update(control);
    for (Hyperparameter* one : {&beta1_, &beta2_, &epsilon_}) one->update(control);
    kernels::adam_step(executor_, {.control = control,
                                   .learning_rate = learning_rate_.data(),
                                   .beta1 = beta1_.data(),
                                   .beta2 = beta2_.data(),
                                   .power1 = power1_.data(),
                                   .power2 = power2_.data(),
                                   .scaled_step = scaled_step_.data(),
                                   .root_scale = root_scale_.data()});
    kernels::adam<T>(executor_, {.control = control,
                                 .params = parameters_.values,
                                 .grad = parameters_.gradient,
                                 .m = m_.view(),
                                 .v = v_.view(),
                                 .beta1 = beta1_.data(),
                                 .beta2 = beta2_.data(),
                                 .epsilon = epsilon_.data(),
                                 .scaled_step = scaled_step_.data(),
                                 .root_scale = root_scale_.data()});
  }
  std::vector<StateArray> state() override {
    return {vector_state("m", m_.view()), vector_state("v", v_.view()),
            per_slot_state("power1", power1_), per_slot_state("power2", power2_)};
  }

 private:
  Executor& executor_;
  Parameters<T> parameters_;
  Hyperparameter learning_rate_;
  Hyperparameter beta1_;
  Hyperparameter beta2_;
  Hyperparameter epsilon_;
  PerSlot power1_;
  PerSlot power2_;
  PerSlot scaled_step_;
  PerSlot root_scale_;
  ParameterVector<T> m_;
  ParameterVector<T> v_;
};

KeySpec decay_key(const char* name, const char* doc, double value) {
  return {.path = name,
          .type = Type::number,
          .doc = doc,
          .default_value = value,
          .min = 0,
          .max = 1,
          .max_exclusive = true};
}

const RegisterOptimizer registered({
    .name = "adam",
    .doc = "Adam, bias-corrected (Kingma and Ba 2015, algorithm 1)",
    .keys = {decay_key("beta1", "Weight of the past in the running mean of the gradient.", 0.9),
             decay_key("beta2", "Weight of the past in the running mean of its square.", 0.999),
             {.path = "epsilon",
              .type = Type::number,
              .doc = "Added to the root mean square of the gradient before dividing by it.",
              .default_value = 1e-8,
              .min = 0,
              .min_exclusive = true}},
    .scheduled = {"beta1", "beta2", "epsilon"},
    .bytes_per_slot =
        [](const Settings& settings, std::int64_t parameters, std::size_t element_bytes) {
          return Hyperparameter::bytes_per_slot(settings, "optimizer.learning_rate") +
                 Hyperparameter::bytes_per_slot(settings, "optimizer.beta1") +
                 Hyperparameter::bytes_per_slot(settings, "optimizer.beta2") +
                 Hyperparameter::bytes_per_slot(settings, "optimizer.epsilon") +
                 4 * sizeof(double) +
                 2 * ParameterVector<float>::bytes_per_slot(parameters, element_bytes);
        },
    .make = make_optimizer<Adam>,
});

}  // namespace
}  // namespace manyfold
