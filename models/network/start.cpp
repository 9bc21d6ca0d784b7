// Draws starts on the host, so that every device begins from the same bits.
#include "models/network/start.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <utility>

#include <fmt/format.h>

#include "core/random/philox.hpp"
#include "models/training/given_start.hpp"
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
  if (kind == "he") return std::sqrt(2 / static_cast<double>(w.fan_in()));
  if (kind == "fan_in") return 1 / std::sqrt(static_cast<double>(w.fan_in()));
  std::int64_t widest = 0;
  for (std::size_t h = 0; h + 1 < description.weights.size(); ++h) {
    widest = std::max(widest, description.weights[h].rows);
  }
  return 1 / std::sqrt(static_cast<double>(widest));
}

/// Sizes of a filter as PyTorch has it; none of a dense layer.
std::vector<std::int64_t> filter_of(const Description& description, std::size_t h) {
  for (const Layer& layer : description.layers) {
    if (layer.weight != static_cast<std::int64_t>(h) + 1 || layer.kind != LayerKind::conv) continue;
    const kernels::Window& w = layer.window;
    if (layer.in.dimensions == 1) return {layer.out, w.channels, w.kernel_width};
    return {layer.out, w.channels, w.kernel_height, w.kernel_width};
  }
  return {};
}

/// The arrays as files and records have them.
GivenLayout given_layout(const Description& description) {
  GivenLayout layout{.arrays = {}, .text = "arrays of " + description.text()};
  for (std::size_t h = 0; h < description.weights.size(); ++h) {
    const Weight& w = description.weights[h];
    const std::string number = std::to_string(h + 1);
    (w.frozen ? layout.untrained : layout.arrays)
        .push_back({"W_" + number, w.array_rows(), w.array_cols(), filter_of(description, h)});
    if (w.bias) layout.arrays.push_back({"b_" + number, 1, w.rows});
  }
  return layout;
}

/// What init.path or init.record gives.
GivenStart given_start(const Settings& settings, const Description& description) {
  const GivenLayout layout = given_layout(description);
  GivenStart given;
  if (settings.text("init.kind") == "file") {
    given = start_from_file(settings, layout);
  } else {
    given.parameters = start_from_record(settings, layout);
  }
  given.untrained.resize(layout.untrained.size());
  return given;
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
  spec.also("init.kind", networks, "Networks start gaussian, from a file or from a record.");
  spec.also("init.stddev", networks,
            "Of networks: one for all weights, or one for each W_h that is not signs; 1 by default "
            "under init.scaling, of a two_layer_relu, and where model.parametrization is not "
            "standard.");
  spec.also("init.scaling", networks);
  spec.also(
      "init.path", networks,
      "Of networks: W_1, b_1, W_2, ... as far as they are trained, a filter as (out, tap row, "
      "tap column, channel) in a row or as PyTorch's (out, channel, tap row, tap column), of a "
      "pattern its K parameters in place of W_h. "
      "Frozen weights are drawn, or come from an archive that has them by their names.");
  spec.also("init.record", networks, "Frozen weights of a network are drawn by init.seed.");
  spec.also("init.member", networks);
  spec.also("init.sample", networks);
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
  if (kind == "file" || kind == "record") {
    const GivenStart given = given_start(settings, description);
    std::size_t number = 0;
    for (std::size_t h = 0; h < description.weights.size(); ++h) {
      const Weight& w = description.weights[h];
      if (!w.frozen || !given.untrained[number++].empty() || w.signs) continue;
      settings.reject(kind == "file" ? "init.path" : "init.record",
                      fmt::format("no W_{}, which is frozen and no signs", h + 1),
                      "an archive (init.kind = \"file\") that has it by its name");
    }
    return;
  }
  if (kind != "gaussian") {
    settings.reject(
        "init.kind",
        fmt::format("\"{}\" with model.kind = \"{}\"", kind, settings.text("model.kind")),
        "\"gaussian\", \"file\" or \"record\", the starts of a network");
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

namespace {

/// Entries of W_h as they are drawn; `deviation` is that of a layer that is not signs.
void draw(const Settings& settings, const Description& description, std::size_t h, double deviation,
          double* entries) {
  const Weight& w = description.weights[h];
  const std::uint64_t seed = seed_of(settings, "init.seed");
  const std::uint64_t stream = random_stream("init/W/" + std::to_string(h + 1));
  for (std::int64_t i = 0; i < w.size(); ++i) {
    const double draw = normal_double(seed, stream, static_cast<std::uint64_t>(i));
    entries[i] = w.signs ? (draw < 0 ? -1.0 : 1.0) : deviation * draw;
  }
}

Start gaussian(const Settings& settings, const Description& description, Start start) {
  const std::vector<double> stddev = deviations(settings, description);
  const std::string& kind = settings.text("init.scaling");
  std::size_t number = 0;
  for (std::size_t h = 0; h < description.weights.size(); ++h) {
    const Weight& w = description.weights[h];
    const double deviation = w.signs ? 1 : stddev[number++] * scaling(kind, description, w);
    draw(settings, description, h, deviation,
         (w.frozen ? start.frozen : start.parameters).data() + w.offset);
  }
  return start;
}

}  // namespace

Start start(const Settings& settings, const Description& description) {
  Start start;
  start.parameters.assign(static_cast<std::size_t>(description.parameters), 0.0);
  start.frozen.assign(static_cast<std::size_t>(description.frozen), 0.0);
  const std::string& kind = settings.text("init.kind");
  if (kind == "gaussian") return gaussian(settings, description, std::move(start));
  GivenStart given = given_start(settings, description);
  start.parameters = std::move(given.parameters);
  std::size_t number = 0;
  for (std::size_t h = 0; h < description.weights.size(); ++h) {
    const Weight& w = description.weights[h];
    if (!w.frozen) continue;
    const std::vector<double>& values = given.untrained[number++];
    double* entries = start.frozen.data() + w.offset;
    if (values.empty()) {
      draw(settings, description, h, 1, entries);  // signs: see validate_start
    } else {
      std::copy(values.begin(), values.end(), entries);
    }
  }
  return start;
}

}  // namespace manyfold::network
