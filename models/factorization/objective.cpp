// Residuals on observed entries, residuals of measurements, and linear forms.
#include "models/factorization/objective.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include "core/random/philox.hpp"
#include "kernels/accumulate.hpp"
#include "kernels/add_scaled.hpp"
#include "kernels/drawn_residual.hpp"
#include "kernels/gemm.hpp"
#include "kernels/inner_product.hpp"
#include "kernels/residual.hpp"
#include "models/factorization/best_rank.hpp"
#include "models/factorization/chain.hpp"

namespace manyfold::factorization {
namespace {

using kernels::Transpose;

constexpr std::uint64_t stream_label_noise = random_stream("sgd/label_noise");

std::int64_t entries_of(const Shape& shape) { return shape.rows() * shape.cols(); }

std::int64_t mask_entries(const Settings& settings, const Shape& shape) {
  return objective_kind(settings) == ObjectiveKind::completion ? entries_of(shape) : 0;
}

std::int64_t measurements_of(const Settings& settings) {
  return objective_kind(settings) == ObjectiveKind::sensing ? measurement_count(settings) : 0;
}

bool is_shifted(const Settings& settings) {
  return settings.has("objective.shift") && settings.text("objective.shift") == "best_rank";
}

/// 2c of a sum of `terms` squares.
double factor_of(Convention convention, std::int64_t terms) {
  if (convention == Convention::paper) return 1.0 / static_cast<double>(terms);
  if (convention == Convention::weight_decay) return 2.0 / static_cast<double>(terms);
  return 1.0;
}

/// 2c N, without the rounding of 1/N.
double term_weight_of(Convention convention, std::int64_t terms) {
  if (convention == Convention::paper) return 1.0;
  if (convention == Convention::weight_decay) return 2.0;
  return static_cast<double>(terms);
}

std::vector<std::int32_t> places(const std::vector<std::uint8_t>& mask) {
  std::vector<std::int32_t> entries;
  for (std::size_t i = 0; i < mask.size(); ++i) {
    if (mask[i] != 0) entries.push_back(static_cast<std::int32_t>(i));
  }
  return entries;
}

/// 1/2 of what the best matrix of rank `rank` leaves of the target.
double tail(const Problem& problem, std::int64_t rank) {
  const std::vector<double> s = spectrum(problem.target, problem.rows, problem.cols);
  double sum = 0;  // from the smallest up
  for (auto i = static_cast<std::int64_t>(s.size()); i > rank; --i) {
    const double value = s[static_cast<std::size_t>(i - 1)];
    sum += value * value;
  }
  return sum / 2;
}

/// Matrices as vectors in one row, (slot, 1, rows * cols).
template <class T>
MatrixBatch<T> as_row(const MatrixBatch<T>& m) {
  return {m.data, m.slots, 1, m.size(), m.slot_stride, m.size()};
}

}  // namespace

Convention convention_of(const Settings& settings) {
  const std::string& convention = settings.text("objective.convention");
  if (convention == "paper") return Convention::paper;
  if (convention == "weight-decay") return Convention::weight_decay;
  return Convention::sum;
}

bool tests_everything(const Settings& settings) {
  return objective_kind(settings) != ObjectiveKind::completion ||
         settings.text("objective.test_on") == "all";
}

void validate_objective(const Settings& settings, const Shape& shape) {
  if (settings.boolean("objective.symmetric") && shape.rows() != shape.cols()) {
    settings.reject("objective.symmetric",
                    "true with a target of " + std::to_string(shape.rows()) + "x" +
                        std::to_string(shape.cols()),
                    "a square target");
  }
  const ObjectiveKind kind = objective_kind(settings);
  if (kind == ObjectiveKind::linear && settings.has("optimizer.label_noise")) {
    settings.reject("optimizer.label_noise", "a value with objective.kind = \"linear\"",
                    "no value: f_0 - <W, Q> has no labels");
  }
  if (is_shifted(settings) && shape.symmetric_model) {
    settings.reject("objective.shift", "\"best_rank\" with model.kind = \"symmetric\"",
                    "a model that every matrix of its rank belongs to: W = P P^T has no negative "
                    "eigenvalue");
  }
  if (kind == ObjectiveKind::sensing) (void)measurement_count(settings);
}

std::string objective_text(const Settings& settings) {
  std::string text = settings.text("objective.kind");
  const ObjectiveKind kind = objective_kind(settings);
  if (kind == ObjectiveKind::completion && tests_everything(settings)) text += " all";
  if (kind == ObjectiveKind::sensing) {
    text += " of " + std::to_string(measurement_count(settings)) + " measurements";
  }
  if (convention_of(settings) != Convention::sum)
    text += " " + settings.text("objective.convention");
  if (is_shifted(settings)) text += " shifted";
  return text;
}

template <class T>
Footprint Objective<T>::footprint(const Settings& settings, const Shape& shape,
                                  bool shared_problem) {
  const auto entries = static_cast<std::size_t>(entries_of(shape));
  const auto mask = static_cast<std::size_t>(mask_entries(settings, shape));
  const std::int64_t count = measurements_of(settings);
  const auto measurements = static_cast<std::size_t>(count);
  const bool linear = objective_kind(settings) == ObjectiveKind::linear;
  const std::size_t problem = (entries + measurements * entries + measurements) * sizeof(T) +
                              mask * (sizeof(std::uint8_t) + sizeof(std::int32_t)) + sizeof(double);
  const std::size_t slot_doubles = 1 + (convention_of(settings) != Convention::sum ? 1U : 0U) +
                                   (is_shifted(settings) ? 1U : 0U) + (linear ? 2U : 0U);
  Footprint footprint;
  footprint.bytes_per_slot = sizeof(std::int64_t) + slot_doubles * sizeof(double) +
                             2 * static_cast<std::size_t>(padded<T>(count)) * sizeof(T) +
                             (shared_problem ? 0 : problem);
  footprint.shared_bytes = shared_problem ? problem : 0;
  // Beyond the residual of every entry, which the shape's own count has.
  footprint.flops_per_step = 4 * static_cast<double>(count) * static_cast<double>(entries);
  if (convention_of(settings) != Convention::sum) {
    footprint.flops_per_step += static_cast<double>(count > 0 ? measurements : entries);
  }
  return footprint;
}

template <class T>
Objective<T>::Objective(Executor& executor, const Settings& example, const Shape& shape,
                        std::int64_t slots, bool shared_problem)
    : executor_(executor),
      shape_(shape),
      slots_(slots),
      shared_(shared_problem),
      kind_(objective_kind(example)),
      convention_(convention_of(example)),
      shifted_(is_shifted(example)),
      test_everything_(tests_everything(example)),
      target_stride_(entries_of(shape)),
      mask_stride_(mask_entries(example, shape)),
      measurements_(measurements_of(example)),
      measured_stride_(padded<T>(measurements_)) {
  const std::int64_t problems = shared_problem ? 1 : slots;
  target_ = Buffer<T>(executor, problems * target_stride_);
  mask_ = Buffer<std::uint8_t>(executor, problems * mask_stride_);
  entries_ = Buffer<std::int32_t>(executor, problems * mask_stride_);
  measurement_ = Buffer<T>(executor, problems * measurements_ * target_stride_);
  value_ = Buffer<T>(executor, problems * measurements_);
  test_norm2_ = Buffer<double>(executor, problems);
  residual_ = Buffer<T>(executor, slots * measured_stride_);
  drawn_ = Buffer<T>(executor, slots * measured_stride_);
  terms_ = Buffer<std::int64_t>(executor, slots);
  term_weight_ = Buffer<double>(executor, slots);
  if (convention_ != Convention::sum) factor_ = Buffer<double>(executor, slots);
  if (shifted_) shift_ = Buffer<double>(executor, slots);
  if (kind_ == ObjectiveKind::linear) {
    offset_ = Buffer<double>(executor, slots);
    product_ = Buffer<double>(executor, slots);
  }
  // Slots without a member compute too: on anything finite, with draws inside the terms.
  target_.clear();
  mask_.clear();
  entries_.clear();
  measurement_.clear();
  value_.clear();
}

template <class T>
void Objective<T>::upload(std::size_t problem, const Problem& made) {
  const auto i = static_cast<std::int64_t>(problem);
  const auto narrow = [](const std::vector<double>& values) {
    return std::vector<T>(values.begin(), values.end());
  };
  target_.upload(narrow(made.target), i * target_stride_);
  if (!made.mask.empty()) {
    mask_.upload(made.mask, i * mask_stride_);
    entries_.upload(places(made.mask), i * mask_stride_);
  }
  if (measurements_ > 0) {
    measurement_.upload(narrow(made.measurements), i * measurements_ * target_stride_);
    value_.upload(narrow(made.values), i * measurements_);
  }
  double norm2 = 0;
  for (std::size_t j = 0; j < made.target.size(); ++j) {
    const bool tested = test_everything_ || made.mask[j] == 0;
    if (tested) norm2 += made.target[j] * made.target[j];
  }
  test_norm2_.upload(std::array{norm2}, i);
}

template <class T>
void Objective<T>::load(std::span<const Settings> members) {
  const auto slots = static_cast<std::size_t>(slots_);
  std::vector<std::int64_t> terms(slots, 1);
  std::vector<double> shift(slots, 0.0);
  std::vector<double> offset(slots, 0.0);
  const std::size_t problems = shared_ ? 1 : members.size();
  for (std::size_t i = 0; i < problems; ++i) {
    const Problem problem = make_problem(members[i]);
    upload(i, problem);
    const std::size_t end = shared_ ? slots : i + 1;
    std::fill(terms.begin() + static_cast<std::ptrdiff_t>(i),
              terms.begin() + static_cast<std::ptrdiff_t>(end), problem.terms());
    std::fill(offset.begin() + static_cast<std::ptrdiff_t>(i),
              offset.begin() + static_cast<std::ptrdiff_t>(end), problem.offset);
    if (!shifted_) continue;
    std::fill(shift.begin() + static_cast<std::ptrdiff_t>(i),
              shift.begin() + static_cast<std::ptrdiff_t>(end), tail(problem, shape_.rank()));
  }
  terms_.upload(terms);
  std::vector<double> factor(slots);
  std::vector<double> weight(slots);
  for (std::size_t slot = 0; slot < slots; ++slot) {
    factor[slot] = factor_of(convention_, terms[slot]);
    weight[slot] = term_weight_of(convention_, terms[slot]);
  }
  term_weight_.upload(weight);
  if (factor_.size() > 0) factor_.upload(factor);
  if (shift_.size() > 0) shift_.upload(shift);
  if (offset_.size() > 0) offset_.upload(offset);
}

template <class T>
void Objective<T>::measure(MatrixBatch<const T> w, MatrixBatch<T> out) const {
  kernels::gemm<T>(executor_,
                   {Transpose::no, Transpose::yes, T(1), as_row(w), measurements(), T(0), out});
}

template <class T>
void Objective<T>::spread(MatrixBatch<const T> r, MatrixBatch<T> gradient) const {
  kernels::gemm<T>(executor_,
                   {Transpose::no, Transpose::no, T(1), r, measurements(), T(0), as_row(gradient)});
}

template <class T>
void Objective<T>::scale(MatrixBatch<T> gradient, double* loss) const {
  if (convention_ == Convention::sum) return;
  kernels::add_scaled<T>(executor_, {.x = flatten(gradient),
                                     .coefficient = factor_.data(),
                                     .add = false,
                                     .y = flatten(gradient)});
  if (loss == nullptr) return;
  kernels::accumulate(executor_,
                      {.slots = slots_, .a = loss, .b = factor_.data(), .add = false, .out = loss});
}

template <class T>
void Objective<T>::gradient(MatrixBatch<const T> w, MatrixBatch<T> gradient, double* loss) const {
  switch (kind_) {
    case ObjectiveKind::full:
    case ObjectiveKind::completion:
      kernels::residual<T>(executor_, {.w = w,
                                       .target = target(),
                                       .mask = mask(),
                                       .observed = true,
                                       .residual = gradient,
                                       .half_square = loss});
      scale(gradient, loss);
      break;
    case ObjectiveKind::sensing: {
      const MatrixBatch<T> r = measured(residual_);
      measure(w, r);
      kernels::residual<T>(executor_, {.w = r,
                                       .target = values(),
                                       .mask = {},
                                       .observed = true,
                                       .residual = r,
                                       .half_square = loss});
      scale(r, loss);  // before it is spread over the entries: there are fewer measurements
      spread(r, gradient);
      break;
    }
    case ObjectiveKind::linear:
      kernels::add_scaled<T>(
          executor_, {.x = flatten(target()), .scale = -1, .add = false, .y = flatten(gradient)});
      if (loss == nullptr) break;
      kernels::inner_product<T>(executor_, {flatten(w), flatten(target()), product_.data(), 1});
      kernels::accumulate(executor_,
                          {.slots = slots_, .a = offset_.data(), .add = false, .out = loss});
      kernels::accumulate(executor_,
                          {.slots = slots_, .scale = -1, .a = product_.data(), .out = loss});
      break;
  }
  if (shifted_ && loss != nullptr) {
    kernels::accumulate(
        executor_,
        {.slots = slots_, .scale = -1, .a = shift_.data(), .b = factor_.data(), .out = loss});
  }
}

template <class T>
void Objective<T>::second_derivative(MatrixBatch<const T> dw, MatrixBatch<const T> zero,
                                     MatrixBatch<T> out) const {
  switch (kind_) {
    case ObjectiveKind::full:
      kernels::add_scaled<T>(
          executor_, {.x = flatten(dw),
                      .coefficient = convention_ == Convention::sum ? nullptr : factor_.data(),
                      .add = false,
                      .y = flatten(out)});
      break;
    case ObjectiveKind::completion:
      kernels::residual<T>(
          executor_, {.w = dw, .target = zero, .mask = mask(), .observed = true, .residual = out});
      scale(out, nullptr);
      break;
    case ObjectiveKind::sensing: {
      const MatrixBatch<T> r = measured(residual_);
      measure(dw, r);
      scale(r, nullptr);
      spread(r, out);
      break;
    }
    case ObjectiveKind::linear:
      kernels::add_scaled<T>(executor_,
                             {.x = flatten(dw), .scale = 0, .add = false, .y = flatten(out)});
      break;
  }
}

template <class T>
void Objective<T>::stochastic_gradient(const kernels::StepControl& control,
                                       const StochasticGradient& what, MatrixBatch<const T> w,
                                       MatrixBatch<T> gradient) const {
  if (kind_ == ObjectiveKind::linear || (what.terms == nullptr && what.label_noise == nullptr)) {
    this->gradient(w, gradient, nullptr);  // one term, or all of them as they are
    return;
  }
  const bool sensing = kind_ == ObjectiveKind::sensing;
  if (sensing) measure(w, measured(residual_));
  kernels::DrawnResidualArgs<T> args;
  if (kind_ == ObjectiveKind::completion) args.entries = entries_.data();
  args.entries_stride = shared_ ? 0 : mask_stride_;
  args.count = terms_.data();
  args.drawn = what.terms;
  args.batch = what.batch;
  args.weight = what.terms != nullptr ? term_weight_.data() : factor_.data();
  args.noise = what.label_noise;
  args.seeds = what.seeds;
  args.step = control.step;
  args.stream = stream_label_noise;
  args.w = sensing ? MatrixBatch<const T>(measured(residual_)) : w;
  args.target = sensing ? values() : target();
  args.residual = sensing ? measured(drawn_) : gradient;
  kernels::drawn_residual<T>(executor_, args);
  if (sensing) spread(measured(drawn_), gradient);
}

template <class T>
void Objective<T>::test_half_square(MatrixBatch<const T> w, double* half_square) const {
  kernels::residual<T>(executor_,
                       {.w = w,
                        .target = target(),
                        .mask = test_everything_ ? MatrixBatch<const std::uint8_t>{} : mask(),
                        .observed = test_everything_,
                        .residual = {},
                        .half_square = half_square});
}

template <class T>
void Objective<T>::test_loss(MatrixBatch<const T> w, double* loss) const {
  test_half_square(w, loss);
  if (!shifted_) return;
  kernels::accumulate(executor_, {.slots = slots_, .scale = -1, .a = shift_.data(), .out = loss});
}

template <class T>
MatrixBatch<const T> Objective<T>::target() const {
  return {target_.data(), slots_, shape_.rows(), shape_.cols(), shared_ ? 0 : target_stride_,
          shape_.cols()};
}

template <class T>
MatrixBatch<const std::uint8_t> Objective<T>::mask() const {
  return {mask_.data(), slots_, shape_.rows(), shape_.cols(), shared_ ? 0 : mask_stride_,
          shape_.cols()};
}

template <class T>
MatrixBatch<const T> Objective<T>::measurements() const {
  const std::int64_t size = measurements_ * target_stride_;
  return {measurement_.data(), slots_,        measurements_, target_stride_,
          shared_ ? 0 : size,  target_stride_};
}

template <class T>
MatrixBatch<const T> Objective<T>::values() const {
  return {value_.data(), slots_, 1, measurements_, shared_ ? 0 : measurements_, measurements_};
}

template <class T>
MatrixBatch<T> Objective<T>::measured(const Buffer<T>& buffer) const {
  return {buffer.data(), slots_, 1, measurements_, measured_stride_, measurements_};
}

template class Objective<float>;
template class Objective<double>;

}  // namespace manyfold::factorization
