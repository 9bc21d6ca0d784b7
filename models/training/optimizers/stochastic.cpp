// Gradient descent on a gradient that is not the objective's own: of a few terms drawn at each step
// (Wang and Jacot 2023 take one observed entry, with replacement), or of labels with fresh noise.
#include "core/random/philox.hpp"
#include "kernels/draws.hpp"
#include "kernels/stepping.hpp"
#include "models/training/optimizer.hpp"

namespace manyfold {
namespace {

constexpr const char* learning_rate_key = "optimizer.learning_rate";
constexpr const char* noise_key = "optimizer.label_noise";

/// Draws terms where the family has a batch (`draws`), adds label noise where it has that.
template <class T, bool draws>
class StochasticDescent final : public Optimizer {
 public:
  StochasticDescent(const OptimizerContext& context, const Parameters<T>& parameters)
      : executor_(context.executor),
        model_(context.model),
        parameters_(parameters),
        noisy_(context.example.has(noise_key)),
        batch_(draws ? context.example.integer("optimizer.batch") : 0),
        replacement_(!draws || context.example.boolean("optimizer.replacement")),
        seeds_(context),
        learning_rate_(context.executor, context.slots, context.example, learning_rate_key),
        label_noise_(context.executor, context.slots, context.example, noise_key),
        terms_(context.executor, context.slots * batch_) {
    terms_.clear();  // a slot that never steps draws nothing, and term 0 is there in any objective
  }

  void load(std::span<const Settings> members) override {
    seeds_.load(members);
    learning_rate_.load(members);
    label_noise_.load(members);
  }
  void step(const kernels::StepControl& control) override {
    learning_rate_.update(control);
    if (noisy_) label_noise_.update(control);
    if constexpr (draws) {
      kernels::draw_terms(executor_, {.control = control,
                                      .terms = model_.terms(),
                                      .batch = batch_,
                                      .replacement = replacement_,
                                      .seeds = seeds_.data(),
                                      .stream = random_stream("sgd/entries"),
                                      .out = terms_.data()});
    }
    model_.evaluate_stochastic(control, {.terms = draws ? terms_.data() : nullptr,
                                         .batch = batch_,
                                         .label_noise = noisy_ ? label_noise_.data() : nullptr,
                                         .seeds = seeds_.data()});
    kernels::constant_step(executor_, {control, learning_rate_.data()});
    kernels::descend<T>(executor_, {control, parameters_.values, parameters_.gradient});
  }

  static std::size_t bytes_per_slot(const Settings& settings, std::int64_t, std::size_t) {
    const std::int64_t batch = draws ? settings.integer("optimizer.batch") : 0;
    return Hyperparameter::bytes_per_slot(settings, learning_rate_key) +
           Hyperparameter::bytes_per_slot(settings, noise_key) + sizeof(std::uint64_t) +
           static_cast<std::size_t>(batch) * sizeof(std::int32_t);
  }

 private:
  Executor& executor_;
  Model& model_;
  Parameters<T> parameters_;
  bool noisy_;
  std::int64_t batch_;
  bool replacement_;
  StepSeeds seeds_;
  Hyperparameter learning_rate_;
  Hyperparameter label_noise_;
  Buffer<std::int32_t> terms_;
};

template <class T>
using EntryDescent = StochasticDescent<T, true>;
template <class T>
using NoisyDescent = StochasticDescent<T, false>;

KeySpec label_noise_key() {
  return {.path = "label_noise",
          .type = Type::number,
          .doc = "Standard deviation of Gaussian noise on every label, drawn anew at each step.",
          .min = 0};
}

const RegisterOptimizer entries({
    .name = "sgd_entries",
    .doc = "stochastic gradient descent on terms of the objective (observed entries, "
           "measurements) drawn at each step, their mean times the number of terms",
    .keys = {{.path = "batch",
              .type = Type::integer,
              .doc = "Terms drawn at each step.",
              .default_value = std::int64_t{1},
              .min = 1,
              .max = 1e6},
             {.path = "replacement",
              .type = Type::boolean,
              .doc = "true: every term anew and uniformly; false: every term once an epoch, in an "
                     "order drawn for each epoch. A batch may span two epochs.",
              .default_value = true},
             label_noise_key()},
    .scheduled = {"label_noise"},
    .needs_gradient = false,
    .bytes_per_slot = EntryDescent<float>::bytes_per_slot,
    .make = make_optimizer<EntryDescent>,
    .family =
        [](const Settings& settings) {
          std::string text = "batch " + std::to_string(settings.integer("optimizer.batch"));
          if (!settings.boolean("optimizer.replacement")) text += " without replacement";
          if (settings.has(noise_key)) text += " with label noise";
          return text;
        },
});

const RegisterOptimizer noisy_labels({
    .name = "label_noise",
    .doc = "gradient descent on all terms, their labels with fresh noise at each step",
    .keys = {label_noise_key()},
    .scheduled = {"label_noise"},
    .needs_gradient = false,
    .bytes_per_slot = NoisyDescent<float>::bytes_per_slot,
    .make = make_optimizer<NoisyDescent>,
    .validate =
        [](const Settings& settings) {
          if (settings.has(noise_key)) return;
          settings.reject(noise_key, "nothing", "the standard deviation of the noise");
        },
});

}  // namespace
}  // namespace manyfold
