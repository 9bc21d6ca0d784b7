// Full observation and completion: residuals on the observed entries.
#include "models/factorization/objective.hpp"

#include <algorithm>
#include <array>
#include <stdexcept>
#include <vector>

#include "kernels/residual.hpp"
#include "models/factorization/problem.hpp"

namespace manyfold::factorization {
namespace {

std::int64_t entries_of(const Shape& shape) { return shape.rows() * shape.cols(); }

std::int64_t mask_entries(const Settings& settings, const Shape& shape) {
  return settings.text("objective.kind") == "completion" ? entries_of(shape) : 0;
}

}  // namespace

bool tests_everything(const Settings& settings) {
  return settings.text("objective.kind") == "full" || settings.text("objective.test_on") == "all";
}

template <class T>
Footprint Objective<T>::footprint(const Settings& settings, const Shape& shape,
                                  bool shared_problem) {
  const std::size_t problem = static_cast<std::size_t>(entries_of(shape)) * sizeof(T) +
                              static_cast<std::size_t>(mask_entries(settings, shape)) +
                              sizeof(double);
  Footprint footprint;
  footprint.bytes_per_slot = sizeof(std::int64_t) + (shared_problem ? 0 : problem);
  footprint.shared_bytes = shared_problem ? problem : 0;
  return footprint;
}

template <class T>
Objective<T>::Objective(Executor& executor, const Settings& example, const Shape& shape,
                        std::int64_t slots, bool shared_problem)
    : executor_(executor),
      shape_(shape),
      slots_(slots),
      shared_(shared_problem),
      test_everything_(tests_everything(example)),
      target_stride_(entries_of(shape)),
      mask_stride_(mask_entries(example, shape)),
      target_(executor, (shared_problem ? 1 : slots) * target_stride_),
      mask_(executor, (shared_problem ? 1 : slots) * mask_stride_),
      test_norm2_(executor, shared_problem ? 1 : slots),
      terms_(executor, slots) {}

template <class T>
void Objective<T>::load(std::span<const Settings> members) {
  const std::size_t problems = shared_ ? 1 : members.size();
  std::vector<std::int64_t> terms(static_cast<std::size_t>(slots_), 1);
  for (std::size_t i = 0; i < problems; ++i) {
    const Problem problem = make_problem(members[i]);
    const std::vector<T> target(problem.target.begin(), problem.target.end());
    target_.upload(target, static_cast<std::int64_t>(i) * target_stride_);
    if (!problem.mask.empty()) {
      mask_.upload(problem.mask, static_cast<std::int64_t>(i) * mask_stride_);
    }
    double norm2 = 0;
    for (std::size_t j = 0; j < problem.target.size(); ++j) {
      const bool tested = test_everything_ || problem.mask[j] == 0;
      if (tested) norm2 += problem.target[j] * problem.target[j];
    }
    test_norm2_.upload(std::array{norm2}, static_cast<std::int64_t>(i));
    const auto count = static_cast<std::int64_t>(
        problem.mask.empty()
            ? problem.target.size()
            : static_cast<std::size_t>(std::count_if(problem.mask.begin(), problem.mask.end(),
                                                     [](std::uint8_t seen) { return seen != 0; })));
    if (shared_) {
      std::fill(terms.begin(), terms.end(), count);
    } else {
      terms[i] = count;
    }
  }
  terms_.upload(terms);
}

template <class T>
void Objective<T>::gradient(MatrixBatch<const T> w, MatrixBatch<T> gradient, double* loss) const {
  kernels::residual<T>(executor_, {.w = w,
                                   .target = target(),
                                   .mask = mask(),
                                   .observed = true,
                                   .residual = gradient,
                                   .half_square = loss});
}

template <class T>
void Objective<T>::stochastic_gradient(const kernels::StepControl&, const StochasticGradient&,
                                       MatrixBatch<const T>, MatrixBatch<T>) const {
  throw std::logic_error("no stochastic gradient yet");
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
MatrixBatch<const T> Objective<T>::target() const {
  return {target_.data(), slots_, shape_.rows(), shape_.cols(), shared_ ? 0 : target_stride_,
          shape_.cols()};
}

template <class T>
MatrixBatch<const std::uint8_t> Objective<T>::mask() const {
  return {mask_.data(), slots_, shape_.rows(), shape_.cols(), shared_ ? 0 : mask_stride_,
          shape_.cols()};
}

template class Objective<float>;
template class Objective<double>;

}  // namespace manyfold::factorization
