// Lanczos' method, kernel by kernel (kernels/lanczos.hpp has the steps).
#include "models/curvature/ends.hpp"

#include <algorithm>
#include <limits>
#include <stdexcept>
#include <utility>

#include "core/random/philox.hpp"
#include "kernels/add_scaled.hpp"
#include "kernels/inner_product.hpp"
#include "kernels/lanczos.hpp"
#include "kernels/norms.hpp"
#include "kernels/random_fill.hpp"
#include "models/training/optimizer.hpp"

namespace manyfold {
namespace {

constexpr std::uint64_t stream_start = random_stream("curvature/start");

/// Doubles a step of a slot: projections of both passes, alpha, beta, and 3 for the eigenvalues.
constexpr std::int64_t table_columns = 7;
constexpr std::int64_t results = 4;

/// What is left of a vector counts as rounding below so many units of the precision: a product of
/// the matrix is some dozens of roundings away.
constexpr double negligible_units = 32;

std::int64_t most_steps(const std::vector<CurvatureRequest>& requests) {
  std::int64_t most = 0;
  for (const CurvatureRequest& request : requests) most = std::max(most, request.steps);
  return most;
}

}  // namespace

template <class T>
std::size_t CurvatureEnds<T>::work_bytes(std::int64_t parameters,
                                         const std::vector<CurvatureRequest>& requests) {
  if (requests.empty()) return 0;
  const std::int64_t steps = most_steps(requests);
  const std::int64_t doubles =
      table_columns * steps + 2 + results * static_cast<std::int64_t>(requests.size());
  return static_cast<std::size_t>((steps + 1) * padded<T>(parameters)) * sizeof(T) +
         static_cast<std::size_t>(doubles) * sizeof(double) + 2 * sizeof(std::int32_t);
}

template <class T>
std::size_t CurvatureEnds<T>::bytes_per_slot(std::int64_t parameters,
                                             const std::vector<CurvatureRequest>& requests) {
  if (requests.empty()) return 0;
  return work_bytes(parameters, requests) + sizeof(std::uint64_t) + sizeof(double);
}

template <class T>
CurvatureEnds<T>::CurvatureEnds(Executor& executor, VectorBatch<const T> parameters,
                                std::vector<CurvatureRequest> requests,
                                std::unique_ptr<CurvatureProduct<T>> product,
                                kernels::WorkSlots& work)
    : executor_(executor),
      parameters_(parameters),
      requests_(std::move(requests)),
      product_(std::move(product)),
      steps_(most_steps(requests_)),
      fresh_(requests_.size(), false),
      seeds_(executor, parameters.slots),
      ones_(executor, parameters.slots),
      vectors_(work.buffer<T>((steps_ + 1) * padded<T>(parameters.count))),
      table_(work.buffer<double>(table_columns * steps_)),
      norm2_(work.buffer<double>(1)),
      scale_(work.buffer<double>(1)),
      length_(work.buffer<std::int32_t>(1)),
      ended_(work.buffer<std::int32_t>(1)) {
  for (std::size_t i = 0; i < requests_.size(); ++i) {
    results_.push_back(work.buffer<double>(results));
  }
  load({});
  ones_.upload(std::vector<double>(static_cast<std::size_t>(parameters.slots), 1.0));
}

template <class T>
void CurvatureEnds<T>::load(std::span<const Settings> members) {
  upload_each(seeds_, members, std::uint64_t{0},
              [](const Settings& member) { return seed_of(member, "seed"); });
  evaluated();
}

template <class T>
void CurvatureEnds<T>::evaluated() {
  fresh_.assign(fresh_.size(), false);
}

template <class T>
const double* CurvatureEnds<T>::ends(const CurvatureRequest& request) {
  const auto found = std::find(requests_.begin(), requests_.end(), request);
  if (found == requests_.end()) throw std::logic_error("a curvature that was not asked for");
  const auto at = static_cast<std::size_t>(found - requests_.begin());
  if (!fresh_[at]) {
    compute(request, results_[at].data());
    fresh_[at] = true;
  }
  return results_[at].data();
}

template <class T>
MatrixBatch<T> CurvatureEnds<T>::vectors(std::int64_t count) const {
  const std::int64_t stride = padded<T>(parameters_.count);
  return {vectors_.data(),   parameters_.slots,     count,
          parameters_.count, (steps_ + 1) * stride, stride};
}

template <class T>
VectorBatch<T> CurvatureEnds<T>::vector(std::int64_t number) const {
  const std::int64_t stride = padded<T>(parameters_.count);
  return {vectors_.data() + number * stride, parameters_.slots, parameters_.count,
          (steps_ + 1) * stride};
}

template <class T>
void CurvatureEnds<T>::compute(const CurvatureRequest& request, double* out) {
  const std::int64_t steps = request.steps;
  // Tables of a slot stand together, one kind after the other for all slots in the window.
  double* projections = table_.data();
  const std::int64_t slots = table_.size() / (table_columns * steps_);
  double* alpha = projections + slots * 2 * steps;
  double* beta = alpha + slots * steps;
  double* scratch = beta + slots * steps;
  kernels::LanczosStepArgs step{
      .slots = parameters_.slots,
      .steps = steps,
      .step = -1,
      .negligible = negligible_units * static_cast<double>(std::numeric_limits<T>::epsilon()),
      .projections = projections,
      .norm2 = norm2_.data(),
      .alpha = alpha,
      .beta = beta,
      .length = length_.data(),
      .ended = ended_.data(),
      .scale = scale_.data()};
  const auto advance = [&](const VectorBatch<T>& next) {
    kernels::sum_of_squares<T>(executor_, {next, norm2_.data(), 1});
    kernels::lanczos_step(executor_, step);
    kernels::add_scaled<T>(executor_,
                           {.x = next, .coefficient = scale_.data(), .add = false, .y = next});
  };
  kernels::random_fill<T>(executor_, {.out = vector(0),
                                      .distribution = kernels::Distribution::normal,
                                      .seeds = seeds_.data(),
                                      .stream = stream_start,
                                      .scales = ones_.data()});
  advance(vector(0));
  for (std::int64_t j = 0; j < steps; ++j) {
    const VectorBatch<T> next = vector(j + 1);
    product_->multiply(request.matrix, vector(j), next);
    for (const int pass : {0, 1}) {
      double* c = projections + pass * steps;
      kernels::inner_products<T>(executor_, {vectors(j + 1), next, c, 2 * steps});
      kernels::subtract_rows<T>(executor_, {vectors(j + 1), c, 2 * steps, next});
    }
    step.step = j;
    advance(next);
  }
  kernels::sum_of_squares<T>(executor_, {parameters_, norm2_.data(), 1});
  kernels::ritz_ends(executor_, {.slots = parameters_.slots,
                                 .steps = steps,
                                 .alpha = alpha,
                                 .beta = beta,
                                 .length = length_.data(),
                                 .finite = norm2_.data(),
                                 .scratch = scratch,
                                 .out = out,
                                 .out_stride = results});
}

template class CurvatureEnds<float>;
template class CurvatureEnds<double>;

}  // namespace manyfold
