// What a network is: its layers, from a list in the experiment file or a preset, fitted to the data
// and to each other; and where each weight stands among a member's parameters.
//   two_layer_relu  f = 1/sqrt(m) sum_r a_r relu(w_r . x), a_r = +-1 fixed (Du 2019, thesis, ch. 2)
//   fc              dense layers with an activation between them
//   resnet          a dense layer, then blocks x + c s(W x), then the output
//   conv_resnet     the same with convolutions, as many places as the input has
//   cnn             convolutions, each with an activation and perhaps pooling, then dense layers
//   network         the list model.layers
// A dense layer may have a pattern (pattern.hpp): W[i,j] = v[g(i,j)] or 0. Its parameters are v.
// Parametrizations: `standard` has no scales; `ntk` multiplies W x by 1/sqrt(fan in); `thesis` is
// eq. 3.2 and 3.3 of Du 2019: s(W x) times sqrt(c_s/m), a block's times c_res/(H sqrt(m)), with
// c_s = 1/E[s(z)^2], z ~ N(0, 1), and H hidden layers of width, or of m channels, m.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/config/settings.hpp"
#include "core/config/spec.hpp"
#include "models/network/layer.hpp"
#include "models/network/pattern.hpp"

namespace manyfold::network {

/// Values of model.kind.
const std::vector<std::string>& model_names();
/// A key legal for networks only, where `more` holds too.
std::vector<Condition> for_networks(std::vector<Condition> more = {});

/// W_h, (rows, cols), and its b_h, (rows).
struct Weight {
  std::int64_t rows = 0;
  std::int64_t cols = 0;  ///< of a convolution (tap row, tap column, channel)
  /// Which free parameter, or 0, stands at each entry; null: each entry is its own.
  std::shared_ptr<const Pattern> pattern{};
  bool bias = false;
  bool frozen = false;
  bool signs = false;
  /// Where W_h, or v of a pattern, begins, row-major: among the parameters, or among the frozen
  /// entries. b_h is a parameter either way.
  std::int64_t offset = 0;
  std::int64_t bias_offset = 0;
  /// Of a pattern: where W_h begins among the matrices that are made of parameters.
  std::int64_t spread_offset = 0;

  /// Free parameters, and the array that they are in files and records: W_h, or (1, K) of a pattern
  /// of K.
  std::int64_t size() const { return array_rows() * array_cols(); }
  std::int64_t array_rows() const { return pattern ? 1 : rows; }
  std::int64_t array_cols() const { return pattern ? pattern->parameters : cols; }
  /// Entries of the matrix that multiplies.
  std::int64_t entries() const { return rows * cols; }
  /// What goes into one output: of a pattern the most entries of a row that are not 0, as of a
  /// convolution whose padding counts.
  std::int64_t fan_in() const { return pattern ? pattern->fan_in : cols; }
};

struct Description {
  Shape input;
  std::int64_t outputs = 0;
  std::vector<Layer> layers;
  std::vector<Weight> weights;  ///< from the input: W_1, W_2, ...
  std::int64_t parameters = 0;  ///< W_1, b_1, W_2, ... as far as they are trained
  std::int64_t frozen = 0;      ///< free parameters of frozen weights
  std::int64_t spread = 0;      ///< entries of the matrices that patterns make of parameters

  bool has_blocks() const;
  bool has_biases() const;
  bool has_patterns() const;
  /// Whether the input's elements are taken as images or signals: channel last on the device.
  bool input_is_spatial() const;
  /// "2 x (dense 100, relu), output on 64 inputs, 10 outputs".
  std::string text() const;
};

void add_description_keys(Spec& spec);

/// Throws InputError: an entry of model.layers that is none, layers that do not fit each other or
/// the data, each with both shapes and the layer's number.
Description describe(const Settings& settings, const Shape& input, std::int64_t outputs);

}  // namespace manyfold::network
