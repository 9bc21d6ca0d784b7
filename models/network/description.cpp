// From keys to layers, and from layers to shapes.
#include "models/network/description.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include <fmt/format.h>

namespace manyfold::network {
namespace {

constexpr double largest_size = 1 << 24;

std::string kind_of(const Settings& settings) { return settings.text("model.kind"); }

std::string quoted(const std::string& text) { return "\"" + text + "\""; }

std::string list_text(const std::vector<std::int64_t>& values) {
  return fmt::format("[{}]", fmt::join(values, ", "));
}

// ---- presets ----

Layer dense(std::int64_t out, bool bias) {
  Layer layer;
  layer.out = out;
  layer.bias = bias;
  return layer;
}

Layer output(bool bias) {
  Layer layer = dense(0, bias);
  layer.is_output = true;
  return layer;
}

Layer plain(LayerKind kind) {
  Layer layer;
  layer.kind = kind;
  return layer;
}

/// What the presets read of [model] beside sizes.
class Preset {
 public:
  explicit Preset(const Settings& settings)
      : settings_(settings),
        thesis_(settings.text("model.parametrization") == "thesis"),
        bias_(settings.has("model.bias") && settings.boolean("model.bias")) {
    activation_.kind = LayerKind::activation;
    activation_.activation = activation_named(settings.text("model.activation"));
    if (settings.has("model.slope")) activation_.slope = settings.number("model.slope");
    c_ = 1 / mean_square(activation_.activation, activation_.slope);
  }

  bool bias() const { return bias_; }
  bool thesis() const { return thesis_; }

  /// s(x) after a layer of width m.
  Layer activation(std::int64_t m) const {
    Layer layer = activation_;
    if (thesis_) layer.scale = std::sqrt(c_ / static_cast<double>(m));
    return layer;
  }
  Layer activation_of_block() const { return activation_; }

  /// The end of a block of width m, of a net with `hidden` hidden layers.
  Layer end_of_block(std::int64_t m, std::int64_t hidden) const {
    Layer layer = plain(LayerKind::end);
    layer.scale = thesis_ ? settings_.number("model.c_res") /
                                (static_cast<double>(hidden) * std::sqrt(static_cast<double>(m)))
                          : settings_.number("model.residual_scale");
    return layer;
  }

 private:
  const Settings& settings_;
  bool thesis_;
  bool bias_;
  Layer activation_;
  double c_ = 1;
};

/// Widths of the hidden layers, from model.hidden and model.depth.
std::vector<std::int64_t> widths_of(const Settings& settings) {
  if (!settings.has("model.hidden")) {
    settings.reject("model.hidden", "nothing", "the widths of the hidden layers");
  }
  std::vector<std::int64_t> widths = settings.integers("model.hidden");
  if (!settings.has("model.depth")) return widths;
  const std::int64_t depth = settings.integer("model.depth");
  const auto wanted = static_cast<std::size_t>(depth - 1);
  if (widths.size() == 1) widths.assign(wanted, widths.front());
  if (widths.size() != wanted) {
    settings.reject("model.hidden", fmt::format("{} widths {}", widths.size(), list_text(widths)),
                    fmt::format("{} for depth {} (or one width for all)", wanted, depth));
  }
  return widths;
}

std::int64_t one_of(const Settings& settings, const char* key, const char* what) {
  if (!settings.has(key)) settings.reject(key, "nothing", what);
  const std::vector<std::int64_t> values = settings.integers(key);
  if (values.size() != 1) settings.reject(key, list_text(values), what);
  return values.front();
}

/// W matrices of a residual net: one before the blocks, one in each, the output's.
std::int64_t residual_depth(const Settings& settings) {
  if (!settings.has("model.depth")) {
    settings.reject("model.depth", "nothing", "the number of weight matrices, at least 2");
  }
  const std::int64_t depth = settings.integer("model.depth");
  if (depth < 2) {
    settings.reject("model.depth", std::to_string(depth),
                    "at least 2: a layer before the blocks, and the output");
  }
  return depth;
}

std::vector<Layer> two_layer_relu(const Settings& settings) {
  const std::int64_t m = one_of(settings, "model.hidden", "one width of the hidden layer");
  Layer relu = plain(LayerKind::activation);
  relu.activation = kernels::Activation::relu;
  Layer last = output(false);
  last.frozen = last.signs = true;
  last.scale = 1 / std::sqrt(static_cast<double>(m));
  return {dense(m, false), relu, last};
}

std::vector<Layer> fc(const Settings& settings) {
  const Preset preset(settings);
  std::vector<Layer> layers;
  for (const std::int64_t width : widths_of(settings)) {
    layers.push_back(dense(width, preset.bias()));
    layers.push_back(preset.activation(width));
  }
  layers.push_back(output(preset.bias()));
  return layers;
}

std::vector<Layer> resnet(const Settings& settings) {
  const Preset preset(settings);
  const std::int64_t m = one_of(settings, "model.hidden", "one width of all hidden layers");
  const std::int64_t hidden = residual_depth(settings) - 1;
  std::vector<Layer> layers{dense(m, preset.bias()), preset.activation(m)};
  for (std::int64_t h = 2; h <= hidden; ++h) {
    layers.push_back(plain(LayerKind::residual));
    layers.push_back(dense(m, preset.bias()));
    layers.push_back(preset.activation_of_block());
    layers.push_back(preset.end_of_block(m, hidden));
  }
  layers.push_back(output(preset.bias()));
  return layers;
}

Layer conv(const Settings& settings, std::int64_t channels, bool bias) {
  Layer layer;
  layer.kind = LayerKind::conv;
  layer.out = channels;
  layer.bias = bias;
  layer.kernel = {settings.integer("model.kernel")};
  layer.stride = {1};
  layer.padding = {0};
  return layer;
}

std::vector<Layer> conv_resnet(const Settings& settings) {
  const Preset preset(settings);
  const std::int64_t m =
      one_of(settings, "model.channels", "one number of channels of all hidden layers");
  const std::int64_t hidden = residual_depth(settings) - 1;
  Layer filter = conv(settings, m, preset.bias());
  if (filter.kernel.front() % 2 == 0) {
    settings.reject("model.kernel", std::to_string(filter.kernel.front()),
                    "an odd number: zero padding then keeps the places of the input");
  }
  filter.padding = {filter.kernel.front() / 2};
  std::vector<Layer> layers{filter, preset.activation(m)};
  for (std::int64_t h = 2; h <= hidden; ++h) {
    layers.push_back(plain(LayerKind::residual));
    layers.push_back(filter);
    layers.push_back(preset.activation_of_block());
    layers.push_back(preset.end_of_block(m, hidden));
  }
  layers.push_back(plain(LayerKind::flatten));
  layers.push_back(output(preset.bias()));
  return layers;
}

std::vector<Layer> cnn(const Settings& settings) {
  const Preset preset(settings);
  if (!settings.has("model.channels")) {
    settings.reject("model.channels", "nothing", "the channels of each convolution");
  }
  const std::int64_t pool = settings.integer("model.pool");
  std::vector<Layer> layers;
  for (const std::int64_t channels : settings.integers("model.channels")) {
    Layer filter = conv(settings, channels, preset.bias());
    filter.stride = {settings.integer("model.stride")};
    filter.padding = {settings.has("model.padding") ? settings.integer("model.padding")
                                                    : filter.kernel.front() / 2};
    layers.push_back(filter);
    layers.push_back(preset.activation(channels));
    if (pool == 1) continue;
    layers.push_back(plain(LayerKind::pool));
    layers.back().kernel = layers.back().stride = {pool};
  }
  layers.push_back(plain(LayerKind::flatten));
  if (settings.has("model.hidden")) {
    for (const std::int64_t width : settings.integers("model.hidden")) {
      layers.push_back(dense(width, preset.bias()));
      layers.push_back(preset.activation(width));
    }
  }
  layers.push_back(output(preset.bias()));
  return layers;
}

std::vector<Layer> listed(const Settings& settings) {
  std::vector<Layer> layers;
  const std::vector<std::string> texts = settings.texts("model.layers");
  for (std::size_t i = 0; i < texts.size(); ++i) {
    layers.push_back(parse_layer(settings, texts[i], i + 1));
  }
  return layers;
}

std::vector<Layer> layers_of(const Settings& settings) {
  const std::string kind = kind_of(settings);
  if (kind == "two_layer_relu") return two_layer_relu(settings);
  if (kind == "fc") return fc(settings);
  if (kind == "resnet") return resnet(settings);
  if (kind == "conv_resnet") return conv_resnet(settings);
  if (kind == "cnn") return cnn(settings);
  return listed(settings);
}

// ---- fitting ----

/// Gives each layer its shapes and its weight.
class Fitter {
 public:
  Fitter(const Settings& settings, Description& description)
      : settings_(settings),
        description_(description),
        ntk_(settings.has("model.parametrization") &&
             settings.text("model.parametrization") == "ntk") {}

  void fit() {
    pattern_files_ = pattern_files(settings_, description_.layers);
    Shape shape = description_.input;
    const bool is_preset = kind_of(settings_) != "network";
    const Layer& first = description_.layers.front();
    if (is_preset && shape.dimensions > 0 && first.kind == LayerKind::dense) {
      description_.layers.insert(description_.layers.begin(), plain(LayerKind::flatten));
    }
    for (number_ = 1; number_ <= description_.layers.size(); ++number_) {
      Layer& layer = this->layer();
      layer.in = shape;
      shape = fitted(layer);
      layer.result = shape;
    }
    if (!blocks_.empty()) {
      number_ = blocks_.back().number;
      fail("that no \"end\" closes", "an \"end\" for each \"residual\"");
    }
    number_ = description_.layers.size();
    if (shape != Shape{0, description_.outputs, 1, 1}) {
      fail(fmt::format("as the last, which gives {}", shape.text()),
           fmt::format("{}, the outputs of the data: \"output\" as the last layer",
                       description_.outputs));
    }
  }

 private:
  struct Block {
    Shape shape;
    std::size_t number = 0;
  };

  Layer& layer() { return description_.layers[number_ - 1]; }

  [[noreturn]] void fail(const std::string& what, const std::string& expected) {
    const std::string found = fmt::format("layer {}, \"{}\", {}", number_, layer().text(), what);
    if (kind_of(settings_) == "network") settings_.reject("model.layers", found, expected);
    settings_.reject("model.kind", fmt::format("{} with {}", quoted(kind_of(settings_)), found),
                     expected);
  }

  Shape fitted(Layer& layer) {
    switch (layer.kind) {
      case LayerKind::dense:
        if (layer.in.dimensions > 0) {
          fail(fmt::format("on {}", layer.in.text()),
               "a vector: put \"flatten\" before a dense layer");
        }
        if (layer.is_output) layer.out = description_.outputs;
        add_weight(layer, layer.in.size(), layer.pattern ? pattern_of(layer) : nullptr);
        return {0, layer.out, 1, 1};
      case LayerKind::conv:
        layer.window = window_of(layer);
        add_weight(layer, layer.window.patch_size());
        return slid(layer, layer.out);
      case LayerKind::pool:
        layer.window = window_of(layer);
        return slid(layer, layer.in.channels);
      case LayerKind::flatten:
        if (!blocks_.empty()) fail("inside a block", "layers that keep the block's shape");
        return {0, layer.in.size(), 1, 1};
      case LayerKind::residual:
        blocks_.push_back({layer.in, number_});
        return layer.in;
      case LayerKind::end: {
        if (blocks_.empty()) fail("closes no block", "a \"residual\" before it");
        const Block block = blocks_.back();
        blocks_.pop_back();
        if (block.shape != layer.in) {
          fail(fmt::format("closes a block that began with {} and gives {}", block.shape.text(),
                           layer.in.text()),
               "equal shapes, which are added");
        }
        if (number_ == block.number + 1) fail("closes an empty block", "layers between the two");
        return layer.in;
      }
      case LayerKind::activation:
        return layer.in;
    }
    return layer.in;
  }

  /// Sizes for (height, width).
  std::pair<std::int64_t, std::int64_t> along(const std::vector<std::int64_t>& sizes,
                                              const Shape& shape, const char* what,
                                              std::int64_t absent) {
    if (shape.dimensions == 2) return {sizes.front(), sizes.back()};
    if (sizes.size() == 2) {
      fail(fmt::format("on {}", layer().in.text()),
           fmt::format("one number as its {}, for signals in one dimension", what));
    }
    return {absent, sizes.front()};
  }

  kernels::Window window_of(Layer& layer) {
    Shape shape = layer.in;
    if (shape.dimensions == 0) shape = {1, 1, 1, shape.channels};
    if (layer.kernel.empty()) layer.kernel = layer.stride = {shape.height, shape.width};
    if (shape.dimensions == 1 && layer.kernel.size() == 2 && layer.kind == LayerKind::pool &&
        layer.kernel.front() == 1) {
      layer.kernel = layer.stride = {layer.kernel.back()};  // pool all
    }
    kernels::Window w;
    w.channels = shape.channels;
    w.height = shape.height;
    w.width = shape.width;
    std::tie(w.kernel_height, w.kernel_width) = along(layer.kernel, shape, "kernel", 1);
    std::tie(w.stride_y, w.stride_x) = along(layer.stride, shape, "stride", 1);
    if (!layer.padding.empty()) {
      std::tie(w.padding_y, w.padding_x) = along(layer.padding, shape, "padding", 0);
    }
    if (w.kernel_height > w.height + 2 * w.padding_y ||
        w.kernel_width > w.width + 2 * w.padding_x) {
      fail(fmt::format("on {}", layer.in.text()),
           fmt::format("a window no larger than the {}x{} that padding makes of it",
                       w.height + 2 * w.padding_y, w.width + 2 * w.padding_x));
    }
    return w;
  }

  static Shape slid(const Layer& layer, std::int64_t channels) {
    return {layer.in.dimensions == 2 ? 2 : 1, channels, layer.window.out_height(),
            layer.window.out_width()};
  }

  std::shared_ptr<const Pattern> pattern_of(const Layer& layer) {
    const std::string& file = pattern_files_[patterns_++];
    std::shared_ptr<const Pattern> pattern = read_pattern(settings_, file);
    if (pattern->rows != layer.out || pattern->cols != layer.in.size()) {
      settings_.reject(
          "model.patterns",
          fmt::format("{} with an array of shape ({}, {}) for layer {}, \"{}\", on {}", file,
                      pattern->rows, pattern->cols, number_, layer.text(), layer.in.text()),
          fmt::format("shape ({}, {})", layer.out, layer.in.size()));
    }
    return pattern;
  }

  void add_weight(Layer& layer, std::int64_t cols, std::shared_ptr<const Pattern> pattern = {}) {
    Weight weight;
    weight.rows = layer.out;
    weight.cols = cols;
    weight.pattern = std::move(pattern);
    weight.bias = layer.bias;
    weight.frozen = layer.frozen;
    weight.signs = layer.signs;
    std::int64_t& end = layer.frozen ? description_.frozen : description_.parameters;
    weight.offset = end;
    end += weight.size();
    weight.bias_offset = description_.parameters;
    if (layer.bias) description_.parameters += weight.rows;
    if (weight.pattern) {
      weight.spread_offset = description_.spread;
      description_.spread += weight.entries();
    }
    if (ntk_) layer.scale /= std::sqrt(static_cast<double>(weight.fan_in()));
    description_.weights.push_back(weight);
    layer.weight = static_cast<std::int64_t>(description_.weights.size());
  }

  const Settings& settings_;
  Description& description_;
  bool ntk_;
  std::size_t number_ = 1;
  std::vector<Block> blocks_;
  std::vector<std::string> pattern_files_;  ///< one for each layer that has a pattern
  std::size_t patterns_ = 0;                ///< of them, those that were taken
};

/// The words in a row, what repeats itself written once: "a, 3 x (b, c), d".
std::string listed_once(const std::vector<std::string>& words) {
  constexpr std::ptrdiff_t longest = 8;  // layers of a block
  std::vector<std::string> parts;
  for (auto at = words.begin(); at != words.end();) {
    std::ptrdiff_t length = 1;
    std::ptrdiff_t times = 1;
    for (std::ptrdiff_t l = 1; l <= longest && l <= words.end() - at; ++l) {
      std::ptrdiff_t t = 1;
      while ((t + 1) * l <= words.end() - at && std::equal(at, at + l, at + t * l)) ++t;
      if (t > 1 && t * l > times * length) {
        times = t;
        length = l;
      }
    }
    const std::vector<std::string> once(at, at + length);
    parts.push_back(times == 1 ? once.front()
                               : fmt::format("{} x ({})", times, fmt::join(once, ", ")));
    at += times * length;
  }
  return fmt::format("{}", fmt::join(parts, ", "));
}

}  // namespace

const std::vector<std::string>& model_names() {
  static const std::vector<std::string> names{"network", "two_layer_relu", "fc",
                                              "resnet",  "conv_resnet",    "cnn"};
  return names;
}

std::vector<Condition> for_networks(std::vector<Condition> more) {
  more.insert(more.begin(), Condition{"model.kind", model_names()});
  return more;
}

bool Description::has_blocks() const {
  return std::any_of(layers.begin(), layers.end(),
                     [](const Layer& l) { return l.kind == LayerKind::residual; });
}

bool Description::has_biases() const {
  return std::any_of(weights.begin(), weights.end(), [](const Weight& w) { return w.bias; });
}

bool Description::has_patterns() const {
  return std::any_of(weights.begin(), weights.end(),
                     [](const Weight& w) { return w.pattern != nullptr; });
}

bool Description::input_is_spatial() const {
  for (const Layer& layer : layers) {
    if (layer.kind == LayerKind::conv || layer.kind == LayerKind::pool) return true;
    if (layer.kind == LayerKind::flatten || layer.kind == LayerKind::dense) return false;
  }
  return false;
}

std::string Description::text() const {
  std::vector<std::string> texts;
  for (const Layer& layer : layers) texts.push_back(layer.text());
  return fmt::format("{} on {} inputs, {} outputs", listed_once(texts), input.text(), outputs);
}

void add_description_keys(Spec& spec) {
  const auto of = [](std::vector<std::string> kinds) {
    return std::vector<Condition>{{"model.kind", std::move(kinds)}};
  };
  spec.add({.path = "model.layers",
            .type = Type::texts,
            .doc =
                "The layers from the input: \"dense OUT\", \"conv CHANNELS KERNEL stride S "
                "padding P\" (sizes as 3 or 3x5; after both: bias, frozen, signs, scale S; after "
                "dense OUT and output: pattern, with a file in model.patterns), "
                "linear, relu, \"leaky_relu SLOPE\", softplus, tanh, sigmoid, erf (after each: "
                "scale S), \"pool KERNEL stride S\", \"pool all\", flatten, residual ... "
                "\"end scale S\" around a block that is added to what it began with, output: a "
                "dense layer with the data's number of outputs.",
            .required = true,
            .when = of({"network"})});
  add_pattern_keys(spec, of({"network"}));
  spec.also("model.depth", of({"fc", "resnet", "conv_resnet"}).front(),
            "Of networks: the number of weight matrices, the output's included; the thesis's H is "
            "one less.");
  spec.also("model.hidden", of({"two_layer_relu", "fc", "resnet", "cnn"}).front(),
            "Of networks: the widths of dense hidden layers, one for all with model.depth, one "
            "width of a two_layer_relu or resnet; of a cnn those after the convolutions.");
  spec.add({.path = "model.channels",
            .type = Type::integer | Type::integers,
            .doc = "Channels of each convolution from the input; of a conv_resnet one number for "
                   "all.",
            .min = 1,
            .max = largest_size,
            .when = of({"cnn", "conv_resnet"})});
  spec.add({.path = "model.kernel",
            .type = Type::integer,
            .doc = "Taps of a convolution along each dimension.",
            .default_value = std::int64_t{3},
            .min = 1,
            .max = largest_size,
            .when = of({"cnn", "conv_resnet"})});
  spec.add({.path = "model.stride",
            .type = Type::integer,
            .doc = "Places between two windows of a convolution.",
            .default_value = std::int64_t{1},
            .min = 1,
            .max = largest_size,
            .when = of({"cnn"})});
  spec.add({.path = "model.padding",
            .type = Type::integer,
            .doc = "Zeros on each side of a convolution's input. By default half of the kernel, "
                   "rounded down.",
            .min = 0,
            .max = largest_size,
            .when = of({"cnn"})});
  spec.add({.path = "model.pool",
            .type = Type::integer,
            .doc = "Side of the windows whose mean is taken after each convolution; 1: none.",
            .default_value = std::int64_t{1},
            .min = 1,
            .max = largest_size,
            .when = of({"cnn"})});
  const std::vector<std::string> presets{"fc", "resnet", "conv_resnet", "cnn"};
  spec.add({.path = "model.activation",
            .type = Type::text,
            .doc = "What stands after each hidden layer.",
            .default_value = "relu",
            .choices = activation_names(),
            .when = of(presets)});
  spec.add({.path = "model.slope",
            .type = Type::number,
            .doc = "Slope of leaky_relu below 0.",
            .default_value = 0.01,
            .min = 0,
            .when = {{"model.kind", presets}, {"model.activation", {"leaky_relu"}}}});
  spec.add({.path = "model.bias",
            .type = Type::boolean,
            .doc = "Whether each layer adds a trained vector, 0 at the start.",
            .default_value = false,
            .when = of(presets)});
  std::vector<std::string> parametrized = presets;
  parametrized.emplace_back("network");
  spec.add({.path = "model.parametrization",
            .type = Type::text,
            .doc = "standard: no scales; ntk: W x times 1/sqrt(fan in); thesis: s(W x) times "
                   "sqrt(c_s/m), in a block times c_res/(H sqrt(m)) (Du 2019, eq. 3.2, 3.3).",
            .default_value = "standard",
            .choices = {"standard", "ntk", "thesis"},
            .when = of(parametrized)});
  const Condition residual{"model.kind", {"resnet", "conv_resnet"}};
  spec.add({.path = "model.c_res",
            .type = Type::number,
            .doc = "c_res of the thesis's residual nets.",
            .required = true,
            .min = 0,
            .max = 1,
            .min_exclusive = true,
            .max_exclusive = true,
            .when = {residual, {"model.parametrization", {"thesis"}}}});
  spec.add({.path = "model.residual_scale",
            .type = Type::number,
            .doc = "What a block is multiplied by before it is added.",
            .default_value = 1.0,
            .when = {residual, {"model.parametrization", {"standard", "ntk"}}}});
}

Description describe(const Settings& settings, const Shape& input, std::int64_t outputs) {
  Description description;
  description.input = input;
  description.outputs = outputs;
  const std::string kind = kind_of(settings);
  if ((kind == "cnn" || kind == "network") && settings.text("model.parametrization") == "thesis") {
    settings.reject("model.parametrization",
                    fmt::format("\"thesis\" with model.kind = \"{}\"", kind),
                    "fc, resnet or conv_resnet, which the thesis has; layers take a scale");
  }
  description.layers = layers_of(settings);
  Fitter(settings, description).fit();
  return description;
}

}  // namespace manyfold::network
