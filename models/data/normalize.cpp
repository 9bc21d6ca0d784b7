// Norms, means and variances, each summed in the order of the data.
#include "models/data/normalize.hpp"

#include <cmath>
#include <cstddef>
#include <vector>

#include <fmt/format.h>

namespace manyfold {
namespace {

void all_to_unit_norm(const Settings& settings, const char* what, DataSet& set) {
  const auto size = static_cast<std::size_t>(set.size());
  for (std::size_t i = 0; i * size < set.inputs.size(); ++i) {
    if (to_unit_norm(std::span(set.inputs).subspan(i * size, size))) continue;
    settings.reject("data.normalize",
                    fmt::format("\"unit_norm\" with {} example {} (counted from 0) zero", what, i),
                    "inputs that are not zero");
  }
}

/// Of one entry of the inputs, over the training set.
struct Moments {
  double mean = 0;
  double stddev = 1;
};

std::vector<Moments> moments_of(const DataSet& set) {
  const auto size = static_cast<std::size_t>(set.size());
  const auto count = static_cast<double>(set.count());
  std::vector<double> mean(size, 0.0);
  std::vector<double> square(size, 0.0);
  std::vector<bool> varies(size, false);
  for (std::size_t i = 0; i < set.inputs.size(); ++i) {
    mean[i % size] += set.inputs[i];
    if (set.inputs[i] != set.inputs[i % size]) varies[i % size] = true;
  }
  for (double& sum : mean) sum /= count;
  for (std::size_t i = 0; i < set.inputs.size(); ++i) {
    const double deviation = set.inputs[i] - mean[i % size];
    square[i % size] += deviation * deviation;
  }
  std::vector<Moments> moments(size);
  for (std::size_t j = 0; j < size; ++j) {
    // The mean of equal numbers is not always that number, and what is left must not be blown up.
    moments[j] =
        varies[j] ? Moments{mean[j], std::sqrt(square[j] / count)} : Moments{set.inputs[j], 1};
  }
  return moments;
}

void standardize(const std::vector<Moments>& moments, DataSet& set) {
  for (std::size_t i = 0; i < set.inputs.size(); ++i) {
    const Moments& of = moments[i % moments.size()];
    set.inputs[i] = (set.inputs[i] - of.mean) / of.stddev;
  }
}

}  // namespace

bool to_unit_norm(std::span<double> x) {
  double square = 0;
  for (const double entry : x) square += entry * entry;
  if (square == 0) return false;
  const double norm = std::sqrt(square);
  for (double& entry : x) entry /= norm;
  return true;
}

void normalize(const Settings& settings, Data& data) {
  const std::string& kind = settings.text("data.normalize");
  if (kind == "unit_norm") {
    all_to_unit_norm(settings, "training", data.train);
    all_to_unit_norm(settings, "test", data.test);
  }
  if (kind == "standardize") {
    const std::vector<Moments> moments = moments_of(data.train);
    standardize(moments, data.train);
    standardize(moments, data.test);
  }
}

}  // namespace manyfold
