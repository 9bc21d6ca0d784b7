// The registry of probes, and what several of them share.
#include "models/factorization/probes.hpp"

#include <algorithm>
#include <limits>
#include <utility>

#include "kernels/combine.hpp"
#include "kernels/singular_values.hpp"
#include "models/factorization/product_spectrum.hpp"
#include "models/training/probes.hpp"

namespace manyfold::factorization {
namespace {

std::int64_t smaller_side(std::int64_t rows, std::int64_t cols) { return std::min(rows, cols); }

/// Doubles that the Jacobi rotations of W or of any layer need.
std::int64_t workspace(const Shape& shape, const SceneNeeds& needs) {
  std::int64_t largest = 0;
  if (needs.singular_values) largest = ProductSpectrum<double>::workspace(shape);
  for (std::int64_t h = 1; needs.layer_singular_values && h <= shape.layers(); ++h) {
    largest = std::max(
        largest, kernels::singular_values_workspace(shape.layer_rows(h), shape.layer_cols(h)));
  }
  return largest;
}

std::int64_t layer_spectra_elements(const Shape& shape) {
  return shape.layers() * layer_rank_limit(shape);
}

}  // namespace

SceneNeeds scene_needs(const Settings& settings) {
  SceneNeeds needs;
  for (const auto& [probe, name] : Probes::requested(settings)) {
    needs.singular_values |= probe->needs.singular_values || probe->needs.top_left_vector;
    needs.top_left_vector |= probe->needs.top_left_vector;
    needs.layer_singular_values |= probe->needs.layer_singular_values;
  }
  return needs;
}

std::int64_t rank_limit(const Shape& shape) { return smaller_side(shape.rows(), shape.cols()); }

std::int64_t layer_rank_limit(const Shape& shape) {
  std::int64_t largest = 0;
  for (std::int64_t h = 1; h <= shape.layers(); ++h) {
    largest = std::max(largest, smaller_side(shape.layer_rows(h), shape.layer_cols(h)));
  }
  return largest;
}

std::vector<std::int64_t> each_layer(const ProbeSettings& probe) { return {probe.shape.layers()}; }
std::vector<std::int64_t> each_pair(const ProbeSettings& probe) {
  return {probe.shape.layers() - 1};
}

void validate_pairs(const ProbeSettings& probe) {
  if (probe.shape.layers() >= 2) return;
  probe.reject("a probe of neighbouring layers of " + probe.shape.text(),
               "a model with at least two layers");
}

std::int64_t parameter_count(const ProbeSettings& probe) { return probe.shape.parameters(); }

std::int64_t hidden_neurons(const ProbeSettings& probe) {
  std::int64_t count = 0;
  for (std::int64_t h = 1; h < probe.shape.layers(); ++h) count += probe.shape.layer_rows(h);
  return count;
}

template <class T>
Scene<T>::Scene(Executor& executor, const Chain<T>& chain, const Objective<T>& objective,
                const SceneNeeds& needs, kernels::WorkSlots& work, CurvatureEnds<T>* curvature)
    : executor_(executor),
      chain_(chain),
      objective_(objective),
      curvature_(curvature),
      layer_is_fresh_(static_cast<std::size_t>(chain.shape().layers() + 1), false) {
  const Shape& s = chain.shape();
  workspace_size_ = workspace(s, needs);
  workspace_ = work.buffer<double>(workspace_size_);
  if (needs.singular_values) {
    spectrum_ = work.buffer<double>(rank_limit());
    product_.emplace(executor, chain, work);
  }
  if (needs.top_left_vector) top_left_ = work.buffer<double>(s.rows());
  if (needs.layer_singular_values) {
    layer_spectra_ = work.buffer<double>(layer_spectra_elements(s));
  }
  if (needs.singular_values || needs.layer_singular_values) {
    sweeps_ = work.buffer<std::int32_t>(1);
  }
}

template <class T>
std::vector<MatrixBatch<const T>> Scene<T>::weights() const {
  std::vector<MatrixBatch<const T>> all;
  for (std::int64_t h = 1; h <= shape().layers(); ++h) all.push_back(chain_.weight(h));
  return all;
}

template <class T>
std::vector<Neighbours<T>> Scene<T>::neighbours() const {
  std::vector<Neighbours<T>> all;
  for (std::int64_t h = 1; h < shape().layers(); ++h) {
    all.push_back({chain_.weight(h), chain_.weight(h + 1)});
  }
  return all;
}

template <class T>
std::size_t Scene<T>::bytes_per_slot(const Shape& shape, const SceneNeeds& needs) {
  std::int64_t doubles = workspace(shape, needs);
  std::size_t bytes = 0;
  if (needs.singular_values) {
    doubles += factorization::rank_limit(shape);
    bytes += ProductSpectrum<T>::bytes_per_slot(shape);
  }
  if (needs.top_left_vector) doubles += shape.rows();
  if (needs.layer_singular_values) doubles += layer_spectra_elements(shape);
  const bool rotates = needs.singular_values || needs.layer_singular_values;
  return bytes + double_bytes(doubles) + (rotates ? sizeof(std::int32_t) : 0);
}

template <class T>
std::int64_t Scene<T>::rank_limit() const {
  return factorization::rank_limit(shape());
}

template <class T>
void Scene<T>::evaluated() {
  spectrum_is_fresh_ = false;
  layer_is_fresh_.assign(layer_is_fresh_.size(), false);
  if (curvature_ != nullptr) curvature_->evaluated();
}

template <class T>
const double* Scene<T>::singular_values() {
  if (!spectrum_is_fresh_) {
    product_->compute(spectrum_.data(), top_left_.data(), sweeps_.data(), workspace_.data(),
                      workspace_size_);
    spectrum_is_fresh_ = true;
  }
  return spectrum_.data();
}

template <class T>
VectorBatch<const double> Scene<T>::top_left_vector() {
  (void)singular_values();
  return {top_left_.data(), slots(), shape().rows(), shape().rows()};
}

template <class T>
const double* Scene<T>::layer_singular_values(std::int64_t h) {
  const std::int64_t width = layer_rank_limit(shape());
  double* values = layer_spectra_.data() + (h - 1) * width;
  if (!layer_is_fresh_[static_cast<std::size_t>(h)]) {
    kernels::singular_values<T>(executor_, {.a = chain_.weight(h),
                                            .values = values,
                                            .values_count = width,
                                            .values_stride = layer_spectra_stride(),
                                            .sweeps = sweeps_.data(),
                                            .workspace = workspace_.data(),
                                            .beyond = std::numeric_limits<double>::quiet_NaN(),
                                            .workspace_stride = workspace_size_});
    layer_is_fresh_[static_cast<std::size_t>(h)] = true;
  }
  return values;
}

template <class T>
std::int64_t Scene<T>::layer_spectra_stride() const {
  return layer_spectra_elements(shape());
}

template <class T>
void Scene<T>::copy(std::int64_t count, const double* from, std::int64_t from_stride, double* to,
                    std::int64_t to_stride) const {
  kernels::combine(executor_, {.slots = slots(),
                               .count = count,
                               .numerator = from,
                               .numerator_stride = from_stride,
                               .out = to,
                               .out_stride = to_stride});
}

template <class T>
void Scene<T>::root(std::int64_t count, double* x, std::int64_t stride) const {
  kernels::combine(executor_, {.slots = slots(),
                               .count = count,
                               .square_root = true,
                               .numerator = x,
                               .numerator_stride = stride,
                               .out = x,
                               .out_stride = stride});
}

template class Scene<float>;
template class Scene<double>;

}  // namespace manyfold::factorization

template class manyfold::ProbeRegistry<manyfold::factorization::Observed>;
