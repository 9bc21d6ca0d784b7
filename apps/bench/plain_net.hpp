// Gradient descent of small networks in plain loops in double precision, written for reading: what
// the first steps of a member are compared with before anything is timed.
#pragma once

#include <cstdint>
#include <vector>

#include "apps/bench/plain_loops.hpp"
#include "core/config/settings.hpp"

namespace manyfold::apps {

/// f(x) = scale W_L relu(... relu(W_1 x)), loss weight sum_i 1/2 ||f(x_i) - y_i||^2. The layers
/// that are given move; `last`, where there is one, is a W_L that does not.
struct PlainNet {
  std::int64_t inputs = 0;
  std::int64_t outputs = 0;
  Matrix x;  ///< (example, input)
  Matrix y;  ///< (example, output)
  Matrix last{};
  double scale = 1;
  double weight = 1;
  double learning_rate = 0;

  /// Of a member whose model.kind is two_layer_relu or fc.
  static PlainNet of(const Settings& member, double learning_rate);
};
std::vector<Matrix> plain_steps(const PlainNet& net, std::vector<Matrix> w, int steps);

/// Convolutions 3x3, stride 2, padding 1, each with a ReLU, then a dense layer; loss the mean of
/// 1/2 ||f(x_i) - y_i||^2. Maps are (row, column, channel), kernels (out, row, column, channel).
struct PlainConvNet {
  std::int64_t side = 0;
  std::int64_t outputs = 0;
  std::vector<std::int64_t> channels;  ///< of the input, then of each convolution
  Matrix x;                            ///< (example, row, column): one channel
  Matrix y;
  double learning_rate = 0;

  static PlainConvNet of(const Settings& member, double learning_rate);
};
std::vector<Matrix> plain_steps(const PlainConvNet& net, std::vector<Matrix> w, int steps);

}  // namespace manyfold::apps
