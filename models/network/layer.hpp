// The layers that a network is a list of, and how they are written.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/config/settings.hpp"
#include "core/config/spec.hpp"
#include "kernels/activation.hpp"
#include "kernels/patches.hpp"

namespace manyfold::network {

/// What stands between two layers for one example: a vector, channels of signals, or channels of
/// images. Elements are kept with the channel last.
struct Shape {
  int dimensions = 0;         ///< 0: a vector; 1: signals; 2: images
  std::int64_t channels = 0;  ///< of a vector: its entries
  std::int64_t height = 1;
  std::int64_t width = 1;

  std::int64_t size() const { return channels * height * width; }
  bool operator==(const Shape&) const = default;
  /// "10", "8x64" (channels x width), "8x28x28".
  std::string text() const;
};
/// Of a data set's shape: {d}, {channels, length} or {channels, height, width}.
Shape shape_of_data(const std::vector<std::int64_t>& shape);

enum class LayerKind {
  dense,       ///< W x + b
  conv,        ///< W phi(x) + b at every place, phi the patch there (kernels/patches.hpp)
  activation,  ///< s(x), entry by entry
  pool,        ///< the mean of every window, channel by channel
  flatten,     ///< the same elements as a vector
  residual,    ///< opens a block
  end          ///< closes it: what it began with plus what came out of it
};

struct Layer {
  LayerKind kind = LayerKind::dense;
  /// Rows of W: entries of the output, or channels. 0 for an output layer until the data are known.
  std::int64_t out = 0;
  bool is_output = false;  ///< a dense layer with as many rows as the data have outputs
  /// Of a dense layer: its entries are free parameters in the places that a file names, or 0.
  bool pattern = false;
  bool bias = false;
  bool frozen = false;  ///< W is drawn and not trained
  bool signs = false;   ///< the entries of W are drawn from +1 and -1
  /// Multiplies W x (not b), s(x), or at the end of a block what came out of it.
  double scale = 1;
  kernels::Activation activation = kernels::Activation::linear;
  double slope = 0;
  /// Numbers along each dimension of the input (two of an image), one for all of them, or of a pool
  /// none for a window as large as its input.
  std::vector<std::int64_t> kernel;
  std::vector<std::int64_t> stride;
  std::vector<std::int64_t> padding;

  // Known once the layers before it are.
  Shape in;
  Shape result;
  kernels::Window window;
  std::int64_t weight = 0;  ///< h of W_h; 0: it has none

  /// As model.layers writes it.
  std::string text() const;
  /// Rows of its product for one example: of a convolution a place each.
  std::int64_t places() const { return kind == LayerKind::conv ? window.places() : 1; }
  bool has_weight() const { return kind == LayerKind::dense || kind == LayerKind::conv; }
};

/// One entry of model.layers; `number` counts from 1. Throws InputError that shows it and says what
/// was expected:
///   dense OUT, output               and after either: pattern, bias, frozen, signs, scale S
///   conv CHANNELS KERNEL            stride S, padding P, bias, frozen, signs, scale S; sizes as 3
///                                   or 3x5
///   linear, relu, leaky_relu SLOPE, softplus, tanh, sigmoid, erf    scale S
///   pool KERNEL, pool all           stride S; by default that of KERNEL
///   flatten
///   residual, end                   after end: scale S
Layer parse_layer(const Settings& settings, const std::string& text, std::size_t number);

/// Words of the activations, in the order of the enumeration.
const std::vector<std::string>& activation_names();
kernels::Activation activation_named(const std::string& name);

/// E[s(z)^2], z ~ N(0, 1): in closed form, for softplus, tanh and sigmoid by the trapezoidal rule,
/// which for such functions is accurate to rounding.
double mean_square(kernels::Activation kind, double slope);

}  // namespace manyfold::network
