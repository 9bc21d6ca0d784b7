// The penalty and its gradient, kernel by kernel.
#include "models/training/weight_decay.hpp"

#include <utility>

#include "kernels/accumulate.hpp"
#include "kernels/add_scaled.hpp"
#include "kernels/norms.hpp"

namespace manyfold {
namespace {

constexpr const char* key = "objective.l2";

}  // namespace

void add_weight_decay_keys(Spec& spec, std::vector<std::string> kinds) {
  spec.add({.path = key,
            .type = Type::number,
            .doc = "Weight decay lambda: adds lambda/2 ||theta||^2 to the train loss (lambda "
                   "||theta||^2 under the convention \"paper\") and its gradient to the gradient.",
            .min = 0,
            .when = {{"model.kind", std::move(kinds)}}});
}

std::string weight_decay_text(const Settings& settings) { return settings.has(key) ? " l2" : ""; }

double weight_decay_flops(const Settings& settings, std::int64_t parameters) {
  return settings.has(key) ? 2 * static_cast<double>(parameters) : 0;
}

template <class T>
std::size_t WeightDecay<T>::bytes_per_slot(const Settings& settings) {
  if (!settings.has(key)) return 0;
  return sizeof(double) + Hyperparameter::bytes_per_slot(settings, key);
}

template <class T>
WeightDecay<T>::WeightDecay(Executor& executor, const Settings& example, std::int64_t slots,
                            double value, double gradient)
    : executor_(executor), value_(value), gradient_(gradient) {
  if (!example.has(key)) return;
  lambda_.emplace(executor, slots, example, key);
  square_ = Buffer<double>(executor, slots);
}

template <class T>
void WeightDecay<T>::load(std::span<const Settings> members) {
  if (lambda_) lambda_->load(members);
}

template <class T>
void WeightDecay<T>::add(const kernels::StepControl& control, const Parameters<T>& parameters,
                         double* loss) {
  if (!lambda_) return;
  lambda_->update(control);
  kernels::add_scaled<T>(executor_, {.x = parameters.values,
                                     .scale = gradient_,
                                     .coefficient = lambda_->data(),
                                     .y = parameters.gradient});
  if (loss == nullptr) return;
  kernels::sum_of_squares<T>(executor_, {parameters.values, square_.data(), 1});
  kernels::accumulate(executor_, {.slots = parameters.values.slots,
                                  .scale = value_,
                                  .a = lambda_->data(),
                                  .b = square_.data(),
                                  .out = loss});
}

template <class T>
void WeightDecay<T>::add_curvature(VectorBatch<const T> vector, VectorBatch<T> product) const {
  if (!lambda_) return;
  kernels::add_scaled<T>(
      executor_, {.x = vector, .scale = gradient_, .coefficient = lambda_->data(), .y = product});
}

template class WeightDecay<float>;
template class WeightDecay<double>;

}  // namespace manyfold
