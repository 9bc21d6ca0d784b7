// The balancing regularizer of asymmetric factorizations, beside weight decay.
#include "models/factorization/penalty.hpp"

#include <string>

#include "kernels/accumulate.hpp"
#include "kernels/add_scaled.hpp"
#include "kernels/norms.hpp"
#include "models/factorization/objective.hpp"

namespace manyfold::factorization {
namespace {

using kernels::Transpose;

constexpr const char* balance_key = "objective.balance_penalty";

/// r of W = U V^T.
std::int64_t inner_size(const Shape& shape) { return shape.layer_rows(1); }

/// The penalty over lambda ||theta||^2.
double l2_value(const Settings& settings) {
  return convention_of(settings) == Convention::paper ? 1.0 : 0.5;
}

}  // namespace

void add_penalty_keys(Spec& spec) {
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
  std::string text = weight_decay_text(settings);
  if (settings.has(balance_key)) text += " balance_penalty";
  return text;
}

double penalty_flops(const Settings& settings, const Shape& shape) {
  double flops = weight_decay_flops(settings, shape.parameters());
  if (settings.has(balance_key)) {
    const auto r = static_cast<double>(inner_size(shape));
    // U^T U, V^T V, U D and D V^T, and the coefficient times D.
    flops += 4 * r * static_cast<double>(shape.parameters()) + r * r;
  }
  return flops;
}

template <class T>
std::size_t Penalty<T>::bytes_per_slot(const Settings& settings, const Shape& shape) {
  std::size_t bytes = WeightDecay<T>::bytes_per_slot(settings);
  if (settings.has(balance_key)) {
    const std::int64_t r = inner_size(shape);
    bytes += sizeof(double) + Hyperparameter::bytes_per_slot(settings, balance_key) +
             static_cast<std::size_t>(padded<T>(r * r)) * sizeof(T);
  }
  return bytes;
}

template <class T>
Penalty<T>::Penalty(Executor& executor, const Settings& example, const Shape& shape,
                    std::int64_t slots)
    : executor_(executor),
      decay_(executor, example, slots, l2_value(example),
             2 * l2_value(example) * (shape.symmetric_model ? 0.5 : 1.0)) {
  if (example.has(balance_key)) {
    const std::int64_t r = inner_size(shape);
    balance_.emplace(executor, slots, example, balance_key);
    balance_stride_ = padded<T>(r * r);
    difference_ = Buffer<T>(executor, slots * balance_stride_);
    square_ = Buffer<double>(executor, slots);
  }
}

template <class T>
void Penalty<T>::load(std::span<const Settings> members) {
  decay_.load(members);
  if (balance_) balance_->load(members);
}

template <class T>
void Penalty<T>::add(const kernels::StepControl& control, const Chain<T>& chain, double* loss) {
  decay_.add(control, chain.parameters(), loss);
  if (balance_) add_balance(control, chain, loss);
}

template <class T>
MatrixBatch<T> Penalty<T>::difference(const Chain<T>& chain) const {
  const std::int64_t r = inner_size(chain.shape());
  return {difference_.data(), chain.slots(), r, r, balance_stride_, r};
}

template <class T>
void Penalty<T>::compute_difference(const Chain<T>& chain) const {
  const MatrixBatch<T> d = difference(chain);
  chain.multiply(Transpose::yes, Transpose::no, chain.weight(2), chain.weight(2), d);
  chain.multiply(Transpose::no, Transpose::yes, chain.weight(1), chain.weight(1), d, T(-1), T(1));
}

template <class T>
void Penalty<T>::times_coefficient(const Chain<T>& chain) const {
  const VectorBatch<T> d = flatten(difference(chain));
  kernels::add_scaled<T>(
      executor_, {.x = d, .scale = 4, .coefficient = balance_->data(), .add = false, .y = d});
}

template <class T>
void Penalty<T>::spread(const Chain<T>& chain, MatrixBatch<const T> u, MatrixBatch<const T> v,
                        MatrixBatch<T> to_u, MatrixBatch<T> to_v) const {
  const MatrixBatch<const T> d = difference(chain);
  chain.multiply(Transpose::no, Transpose::no, u, d, to_u, T(1), T(1));
  chain.multiply(Transpose::no, Transpose::no, d, v, to_v, T(-1), T(1));
}

/// With D = U^T U - V^T V: the gradient of c ||D||^2 is 4c U D in U and -4c V D in V, and D is
/// symmetric, so -4c D V^T in V^T.
template <class T>
void Penalty<T>::add_balance(const kernels::StepControl& control, const Chain<T>& chain,
                             double* loss) {
  balance_->update(control);
  compute_difference(chain);
  if (loss != nullptr) {
    kernels::sum_of_squares<T>(
        executor_, {flatten(MatrixBatch<const T>(difference(chain))), square_.data(), 1});
    kernels::accumulate(
        executor_,
        {.slots = chain.slots(), .a = balance_->data(), .b = square_.data(), .out = loss});
  }
  times_coefficient(chain);
  spread(chain, chain.weight(2), chain.weight(1), chain.weight_gradient(2),
         chain.weight_gradient(1));
}

/// Along U', V'^T these change by 4c (U D' + U' D) and -4c (D' V^T + D V'^T), where D' = U'^T U +
/// U^T U' - V'^T V - V^T V'; the terms with D' are the Gauss-Newton matrix.
template <class T>
void Penalty<T>::add_curvature(CurvatureMatrix matrix, const Chain<T>& chain,
                               VectorBatch<const T> vector, VectorBatch<T> product) {
  decay_.add_curvature(vector, product);
  if (!balance_) return;
  const MatrixBatch<const T> u = chain.weight(2);
  const MatrixBatch<const T> v = chain.weight(1);
  const MatrixBatch<const T> moved_u = chain.layer(vector, 2);
  const MatrixBatch<const T> moved_v = chain.layer(vector, 1);
  const MatrixBatch<T> to_u = chain.layer(product, 2);
  const MatrixBatch<T> to_v = chain.layer(product, 1);
  const MatrixBatch<T> d = difference(chain);
  chain.multiply(Transpose::yes, Transpose::no, moved_u, u, d);
  chain.multiply(Transpose::yes, Transpose::no, u, moved_u, d, T(1), T(1));
  chain.multiply(Transpose::no, Transpose::yes, moved_v, v, d, T(-1), T(1));
  chain.multiply(Transpose::no, Transpose::yes, v, moved_v, d, T(-1), T(1));
  times_coefficient(chain);
  spread(chain, u, v, to_u, to_v);
  if (matrix != CurvatureMatrix::hessian) return;
  compute_difference(chain);
  times_coefficient(chain);
  spread(chain, moved_u, moved_v, to_u, to_v);
}

template class Penalty<float>;
template class Penalty<double>;

}  // namespace manyfold::factorization
