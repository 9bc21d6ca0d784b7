// Reads and writes layers.
#include "models/network/layer.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <numbers>
#include <optional>
#include <stdexcept>

#include <fmt/format.h>

namespace manyfold::network {
namespace {

using kernels::Activation;

constexpr std::int64_t largest_size = 1 << 24;

std::vector<std::string> words_of(const std::string& text) {
  std::vector<std::string> words;
  std::size_t begin = 0;
  while (begin < text.size()) {
    const std::size_t end = std::min(text.find(' ', begin), text.size());
    if (end > begin) words.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return words;
}

template <class T>
std::optional<T> number_of(std::string_view word) {
  T value{};
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
  if (error != std::errc() || end != word.data() + word.size()) return std::nullopt;
  return value;
}

std::string sizes_text(const std::vector<std::int64_t>& sizes) {
  return fmt::format("{}", fmt::join(sizes, "x"));
}

/// Reads one entry of the list word by word.
class Reader {
 public:
  Reader(const Settings& settings, const std::string& text, std::size_t number)
      : settings_(settings), text_(text), number_(number), words_(words_of(text)) {}

  Layer read() {
    if (words_.empty())
      fail(
          "a layer: dense, conv, pool, flatten, residual, end, output, or an "
          "activation");
    const std::string name = words_[next_++];
    Layer layer;
    if (name == "dense" || name == "output") {
      layer.is_output = name == "output";
      if (!layer.is_output) layer.out = whole("dense OUT: the number of outputs, at least 1", 1);
      options(layer, {"pattern", "bias", "frozen", "signs", "scale"});
    } else if (name == "conv") {
      layer.kind = LayerKind::conv;
      layer.out = whole("conv CHANNELS KERNEL: the number of channels, at least 1", 1);
      layer.kernel = sizes("conv CHANNELS KERNEL: the size of the kernel, 3 or 3x5", 1);
      layer.stride = {1};
      layer.padding = {0};
      options(layer, {"stride", "padding", "bias", "frozen", "signs", "scale"});
    } else if (name == "pool") {
      layer.kind = LayerKind::pool;
      if (next_ < words_.size() && words_[next_] == "all") {
        ++next_;
      } else {
        layer.kernel = sizes("pool KERNEL: the size of the window, 2 or 2x3, or all", 1);
        layer.stride = layer.kernel;
        options(layer, {"stride"});
      }
    } else if (name == "flatten" || name == "residual") {
      layer.kind = name == "flatten" ? LayerKind::flatten : LayerKind::residual;
    } else if (name == "end") {
      layer.kind = LayerKind::end;
      options(layer, {"scale"});
    } else {
      activation(layer, name);
    }
    if (next_ < words_.size()) fail(fmt::format("nothing after \"{}\"", words_[next_ - 1]));
    return layer;
  }

 private:
  [[noreturn]] void fail(const std::string& expected) const {
    settings_.reject("model.layers", fmt::format("\"{}\" as layer {}", text_, number_), expected);
  }

  void activation(Layer& layer, const std::string& name) {
    const auto& names = activation_names();
    if (std::find(names.begin(), names.end(), name) == names.end()) {
      std::vector<std::string> known{"dense",    "conv", "pool",  "flatten",
                                     "residual", "end",  "output"};
      known.insert(known.end(), names.begin(), names.end());
      const auto nearest = nearest_word(name, known);
      fail(nearest ? fmt::format("a layer; did you mean {}?", *nearest)
                   : fmt::format("a layer that begins with one of {}", fmt::join(known, ", ")));
    }
    layer.kind = LayerKind::activation;
    layer.activation = activation_named(name);
    if (layer.activation == Activation::leaky_relu) {
      layer.slope = number("leaky_relu SLOPE: the slope below 0, at least 0");
      if (layer.slope < 0) fail("leaky_relu SLOPE: the slope below 0, at least 0");
    }
    options(layer, {"scale"});
  }

  /// The words that may follow, each at most once and in any order.
  void options(Layer& layer, std::vector<std::string> allowed) {
    while (next_ < words_.size()) {
      const std::string word = words_[next_];
      const auto found = std::find(allowed.begin(), allowed.end(), word);
      if (found == allowed.end()) {
        if (allowed.empty()) return;
        fail(fmt::format("one of {} in place of \"{}\"", fmt::join(allowed, ", "), word));
      }
      allowed.erase(found);
      ++next_;
      if (word == "pattern") layer.pattern = true;
      if (word == "bias") layer.bias = true;
      if (word == "frozen") layer.frozen = true;
      if (word == "signs") layer.signs = true;
      if (word == "scale") layer.scale = number("scale S: a number");
      if (word == "stride") layer.stride = sizes("stride S: a size, 2 or 2x3", 1);
      if (word == "padding") layer.padding = sizes("padding P: a size, 1 or 1x2", 0);
    }
  }

  std::int64_t whole(const std::string& expected, std::int64_t least) {
    const auto value =
        next_ < words_.size() ? number_of<std::int64_t>(words_[next_]) : std::nullopt;
    if (!value || *value < least || *value > largest_size) fail(expected);
    ++next_;
    return *value;
  }

  double number(const std::string& expected) {
    const auto value = next_ < words_.size() ? number_of<double>(words_[next_]) : std::nullopt;
    if (!value || !std::isfinite(*value)) fail(expected);
    ++next_;
    return *value;
  }

  std::vector<std::int64_t> sizes(const std::string& expected, std::int64_t least) {
    if (next_ == words_.size()) fail(expected);
    std::vector<std::int64_t> all;
    const std::string& word = words_[next_];
    for (std::size_t begin = 0; begin <= word.size();) {
      const std::size_t end = std::min(word.find('x', begin), word.size());
      const auto value = number_of<std::int64_t>(std::string_view(word).substr(begin, end - begin));
      if (!value || *value < least || *value > largest_size || all.size() == 2) fail(expected);
      all.push_back(*value);
      begin = end + 1;
    }
    ++next_;
    return all;
  }

  const Settings& settings_;
  const std::string& text_;
  std::size_t number_;
  std::vector<std::string> words_;
  std::size_t next_ = 0;
};

template <class F>
double expectation(const F& f) {
  // Beyond 13 the density is below 1e-37.
  constexpr double step = 1.0 / 32;
  double sum = 0;
  for (int i = -13 * 32; i <= 13 * 32; ++i) {
    const double z = i * step;
    sum += std::exp(-z * z / 2) * f(z);
  }
  return sum * step / std::sqrt(2 * std::numbers::pi);
}

double square(double x) { return x * x; }

}  // namespace

std::string Shape::text() const {
  if (dimensions == 0) return std::to_string(channels);
  if (dimensions == 1) return fmt::format("{}x{}", channels, width);
  return fmt::format("{}x{}x{}", channels, height, width);
}

Shape shape_of_data(const std::vector<std::int64_t>& shape) {
  if (shape.size() == 1) return {0, shape[0], 1, 1};
  if (shape.size() == 2) return {1, shape[0], 1, shape[1]};
  return {2, shape[0], shape[1], shape[2]};
}

std::string Layer::text() const {
  std::string options;
  if (pattern) options += " pattern";
  if (bias) options += " bias";
  if (frozen) options += " frozen";
  if (signs) options += " signs";
  if (scale != 1) options += fmt::format(" scale {}", scale);
  switch (kind) {
    case LayerKind::dense:
      return (is_output ? "output" : fmt::format("dense {}", out)) + options;
    case LayerKind::conv: {
      std::string text = fmt::format("conv {} {}", out, sizes_text(kernel));
      if (stride != std::vector<std::int64_t>{1}) text += " stride " + sizes_text(stride);
      if (padding != std::vector<std::int64_t>{0}) text += " padding " + sizes_text(padding);
      return text + options;
    }
    case LayerKind::activation: {
      std::string text = activation_names()[static_cast<std::size_t>(activation)];
      if (activation == Activation::leaky_relu) text += fmt::format(" {}", slope);
      return text + options;
    }
    case LayerKind::pool:
      if (kernel.empty()) return "pool all";
      return "pool " + sizes_text(kernel) +
             (stride == kernel ? "" : " stride " + sizes_text(stride));
    case LayerKind::flatten:
      return "flatten";
    case LayerKind::residual:
      return "residual";
    case LayerKind::end:
      return "end" + options;
  }
  return "?";
}

Layer parse_layer(const Settings& settings, const std::string& text, std::size_t number) {
  return Reader(settings, text, number).read();
}

const std::vector<std::string>& activation_names() {
  static const std::vector<std::string> names{"linear", "relu",    "leaky_relu", "softplus",
                                              "tanh",   "sigmoid", "erf"};
  return names;
}

Activation activation_named(const std::string& name) {
  const auto& names = activation_names();
  const auto found = std::find(names.begin(), names.end(), name);
  if (found == names.end()) throw std::logic_error("no activation: " + name);
  return static_cast<Activation>(found - names.begin());
}

double mean_square(Activation kind, double slope) {
  switch (kind) {
    case Activation::linear:
      return 1;
    case Activation::relu:
      return 0.5;
    case Activation::leaky_relu:
      return (1 + slope * slope) / 2;
    case Activation::softplus:
      return expectation(
          [](double z) { return square(std::max(z, 0.0) + std::log1p(std::exp(-std::abs(z)))); });
    case Activation::tanh:
      return expectation([](double z) { return square(std::tanh(z)); });
    case Activation::sigmoid:
      return expectation([](double z) { return square(1 / (1 + std::exp(-z))); });
    case Activation::erf:
      // E[erf(u) erf(v)] = 2/pi arcsin(2 c / (1 + 2 c)) for Gaussians of variance and covariance
      // c (Williams 1997, eq. 11), c = 1.
      return 2 / std::numbers::pi * std::asin(2.0 / 3.0);
  }
  return 1;
}

}  // namespace manyfold::network
