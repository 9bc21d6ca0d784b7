// Weight decay, and the balancing regularizer of asymmetric factorizations.
#include "models/factorization/penalty.hpp"

#include <string>

#include "kernels/accumulate.hpp"
#include "kernels/add_scaled.hpp"
#include "kernels/norms.hpp"
#include "models/factorization/objective.hpp"

namespace manyfold::factorization {
namespace {

using kernels::Transpose;

constexpr const char* l2_key = "objective.l2";
constexpr const char* balance_key = "objective.balance_penalty";

/// r of W = U V^T.
std::int64_t inner_size(const Shape& shape) { return shape.layer_rows(1); }

}  // namespace

void add_penalty_keys(Spec& spec) {
  spec.add({.path = l2_key,
            .type = Type::number,
            .doc = "Weight decay lambda: adds lambda/2 ||theta||^2 to the train loss (lambda "
                   "||theta||^2 under the convention \"paper\") and its gradient to the gradient.",
            .min = 0,
            .when = for_factorizations()});
  spec.add({.path = balance_key,
            .type = Type::number,
            .doc = "Coefficient c of the penalty c ||U^T U - V^T V||_F^2 of W = U V^T; 1/8 in "
                   "the literature.",
            .min = 0,
            .when = for_factorizations()});
}

void validate_penalty(const Settings& settings, const Shape& shape) {
  if (!settings.has(balance_key)) return;
  if (shape.symmetric_model || shape.layers() != 2) {
    settings.reject(balance_key, "a value for " + shape.text(),
                    "a model of two layers, W = U V^T (model.kind = \"asymmetric\")");
  }
}

std::string penalty_text(const Settings& settings) {
  std::string text;
  if (settings.has(l2_key)) text += " l2";
  if (settings.has(balance_key)) text += " balance_penalty";
  return text;
}

double penalty_flops(const Settings& settings, const Shape& shape) {
  double flops = 0;
  if (settings.has(l2_key)) flops += 2 * static_cast<double>(shape.parameters());
  if (settings.has(balance_key)) {
    const auto r = static_cast<double>(inner_size(shape));
    // U^T U, V^T V, U D and D V^T, and the coefficient times D.
    flops += 4 * r * static_cast<double>(shape.parameters()) + r * r;
  }
  return flops;
}

template <class T>
std::size_t Penalty<T>::bytes_per_slot(const Settings& settings, const Shape& shape) {
  const bool l2 = settings.has(l2_key);
  const bool balance = settings.has(balance_key);
  std::size_t bytes = l2 || balance ? sizeof(double) : 0;
  if (l2) bytes += Hyperparameter::bytes_per_slot(settings, l2_key);
  if (balance) {
    const std::int64_t r = inner_size(shape);
    bytes += Hyperparameter::bytes_per_slot(settings, balance_key) +
             static_cast<std::size_t>(padded<T>(r * r)) * sizeof(T);
  }
  return bytes;
}

template <class T>
Penalty<T>::Penalty(Executor& executor, const Settings& example, const Shape& shape,
                    std::int64_t slots)
    : executor_(executor) {
  const bool paper = convention_of(example) == Convention::paper;
  l2_value_ = paper ? 1.0 : 0.5;
  l2_gradient_ = 2 * l2_value_ * (shape.symmetric_model ? 0.5 : 1.0);
  if (example.has(l2_key)) l2_.emplace(executor, slots, example, l2_key);
  if (example.has(balance_key)) {
    const std::int64_t r = inner_size(shape);
    balance_.emplace(executor, slots, example, balance_key);
    balance_stride_ = padded<T>(r * r);
    difference_ = Buffer<T>(executor, slots * balance_stride_);
  }
  if (l2_ || balance_) square_ = Buffer<double>(executor, slots);
}

template <class T>
void Penalty<T>::load(std::span<const Settings> members) {
  if (l2_) l2_->load(members);
  if (balance_) balance_->load(members);
}

template <class T>
void Penalty<T>::add(const kernels::StepControl& control, const Chain<T>& chain, double* loss) {
  if (l2_) add_l2(control, chain, loss);
  if (balance_) add_balance(control, chain, loss);
}

template <class T>
void Penalty<T>::add_l2(const kernels::StepControl& control, const Chain<T>& chain, double* loss) {
  l2_->update(control);
  const Parameters<T> parameters = chain.parameters();
  kernels::add_scaled<T>(executor_, {.x = parameters.values,
                                     .scale = l2_gradient_,
                                     .coefficient = l2_->data(),
                                     .y = parameters.gradient});
  if (loss == nullptr) return;
  kernels::sum_of_squares<T>(executor_, {parameters.values, square_.data(), 1});
  kernels::accumulate(executor_, {.slots = chain.slots(),
                                  .scale = l2_value_,
                                  .a = l2_->data(),
                                  .b = square_.data(),
                                  .out = loss});
}

/// With D = U^T U - V^T V: the gradient of c ||D||^2 is 4c U D in U and -4c V D in V, and D is
/// symmetric, so -4c D V^T in V^T.
template <class T>
void Penalty<T>::add_balance(const kernels::StepControl& control, const Chain<T>& chain,
                             double* loss) {
  balance_->update(control);
  const std::int64_t r = inner_size(chain.shape());
  const MatrixBatch<T> d{difference_.data(), chain.slots(), r, r, balance_stride_, r};
  chain.multiply(Transpose::yes, Transpose::no, chain.weight(2), chain.weight(2), d);
  chain.multiply(Transpose::no, Transpose::yes, chain.weight(1), chain.weight(1), d, T(-1), T(1));
  if (loss != nullptr) {
    kernels::sum_of_squares<T>(executor_, {flatten(MatrixBatch<const T>(d)), square_.data(), 1});
    kernels::accumulate(
        executor_,
        {.slots = chain.slots(), .a = balance_->data(), .b = square_.data(), .out = loss});
  }
  kernels::add_scaled<T>(executor_, {.x = flatten(d),
                                     .scale = 4,
                                     .coefficient = balance_->data(),
                                     .add = false,
                                     .y = flatten(d)});
  chain.multiply(Transpose::no, Transpose::no, chain.weight(2), d, chain.weight_gradient(2), T(1),
                 T(1));
  chain.multiply(Transpose::no, Transpose::no, d, chain.weight(1), chain.weight_gradient(1), T(-1),
                 T(1));
}

template class Penalty<float>;
template class Penalty<double>;

}  // namespace manyfold::factorization
