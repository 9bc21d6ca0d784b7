// Draws starts on the host, so that every device begins from the same bits.
#include "models/network/start.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>

#include <fmt/format.h>

#include "core/random/philox.hpp"
#include "models/training/model.hpp"

namespace manyfold::network {
namespace {

/// Layers whose entries are Gaussian: those that a list of deviations has numbers for.
std::int64_t gaussian_layers(const Description& description) {
  return std::count_if(description.weights.begin(), description.weights.end(),
                       [](const Weight& w) { return !w.signs; });
}

bool has_unit_default(const Settings& settings) {
  return settings.text("init.scaling") != "none" ||
         settings.text("model.kind") == "two_layer_relu" ||
         settings.text("model.parametrization") != "standard";
}

/// What init.scaling multiplies the entries of W by.
double scaling(const std::string& kind, const Description& description, const Weight& w) {
  if (kind == "none") return 1;
  if (kind == "he") return std::sqrt(2 / static_cast<double>(w.cols));
  if (kind == "fan_in") return 1 / std::sqrt(static_cast<double>(w.cols));
  std::int64_t widest = 0;
  for (std::size_t h = 0; h + 1 < description.weights.size(); ++h) {
    widest = std::max(widest, description.weights[h].rows);
  }
  return 1 / std::sqrt(static_cast<double>(widest));
}

/// The deviation of each Gaussian layer.
std::vector<double> deviations(const Settings& settings, const Description& description) {
  std::vector<double> values{1.0};
  if (settings.has("init.stddev")) values = settings.numbers("init.stddev");
  if (settings.has("init.variance")) {
    values = settings.numbers("init.variance");
    for (double& v : values) v = std::sqrt(v);
  }
  const auto layers = static_cast<std::size_t>(gaussian_layers(description));
  if (values.size() == 1) values.assign(layers, values.front());
  return values;
}

}  // namespace

void add_start_keys(Spec& spec) {
  const Condition networks{"model.kind", model_names()};
  spec.also("init.kind", networks, "Networks start gaussian.");
  spec.also("init.stddev", networks,
            "Of networks: one for all weights, or one for each W_h that is not signs; 1 by default "
            "under init.scaling, of a two_layer_relu, and where model.parametrization is not "
            "standard.");
  spec.also("init.scaling", networks);
  spec.add({.path = "init.variance",
            .type = Type::number | Type::numbers,
            .doc = "Variance of the entries in place of init.stddev: one for all weights, or one "
                   "each from the input.",
            .min = 0,
            .min_exclusive = true,
            .when = for_networks({{"init.kind", {"gaussian"}}})});
}

void validate_start(const Settings& settings, const Description& description) {
  const std::string& kind = settings.text("init.kind");
  if (kind != "gaussian") {
    settings.reject(
        "init.kind",
        fmt::format("\"{}\" with model.kind = \"{}\"", kind, settings.text("model.kind")),
        "\"gaussian\", the start of a network");
  }
  const bool stddev = settings.has("init.stddev");
  if (stddev && settings.has("init.variance")) {
    settings.reject("init.variance", "a value beside init.stddev",
                    "one of init.stddev and init.variance");
  }
  if (!stddev && !settings.has("init.variance") && !has_unit_default(settings)) {
    settings.reject("init.stddev", "nothing",
                    "a deviation of the weights: init.stddev, init.variance or init.scaling");
  }
  const std::int64_t layers = gaussian_layers(description);
  for (const char* key : {"init.stddev", "init.variance"}) {
    if (!settings.has(key)) continue;
    const auto count = static_cast<std::int64_t>(settings.numbers(key).size());
    if (count == 1 || count == layers) continue;
    settings.reject(key, fmt::format("{} values", count),
                    fmt::format("one, or one for each of the {} weights", layers));
  }
  if (settings.text("init.scaling") == "width" && description.weights.size() < 2) {
    settings.reject("init.scaling", "\"width\" with one weight matrix",
                    "a hidden width to scale by, or \"fan_in\"");
  }
}

Start start(const Settings& settings, const Description& description) {
  const std::uint64_t seed = seed_of(settings, "init.seed");
  const std::vector<double> stddev = deviations(settings, description);
  const std::string& kind = settings.text("init.scaling");
  Start start;
  start.parameters.assign(static_cast<std::size_t>(description.parameters), 0.0);
  start.frozen.assign(static_cast<std::size_t>(description.frozen), 0.0);
  std::size_t gaussian = 0;
  for (std::size_t h = 0; h < description.weights.size(); ++h) {
    const Weight& w = description.weights[h];
    const double factor = w.signs ? 1 : stddev[gaussian++] * scaling(kind, description, w);
    const std::uint64_t stream = random_stream("init/W/" + std::to_string(h + 1));
    double* entries = (w.frozen ? start.frozen : start.parameters).data() + w.offset;
    for (std::int64_t i = 0; i < w.size(); ++i) {
      const double draw = normal_double(seed, stream, static_cast<std::uint64_t>(i));
      entries[i] = w.signs ? (draw < 0 ? -1.0 : 1.0) : factor * draw;
    }
  }
  return start;
}

}  // namespace manyfold::network
