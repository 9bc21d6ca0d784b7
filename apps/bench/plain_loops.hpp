// The steps that benchmarks time, in plain loops in double precision, written for reading: what the
// first steps of a member are compared with before anything is timed.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace manyfold::apps {

/// Row-major.
using Matrix = std::vector<double>;

/// Gradient descent on 1/2 ||mask o (W_L ... W_1 - target)||_F^2, all matrices (size, size).
struct PlainFactorization {
  std::int64_t size = 0;
  Matrix target;
  std::vector<std::uint8_t> mask{};  ///< not 0 where an entry is observed; empty: everywhere
  double learning_rate = 0;
  /// The step divided by sqrt(v / (1 - decay^(t+1))) + epsilon, v the running mean of the squared
  /// norm of the whole gradient (optimizer rms_gd).
  bool rms = false;
  double decay = 0.99;
  double epsilon = 0;
};
/// Where the layers `w`, W_1 first, are after `steps` steps.
std::vector<Matrix> plain_steps(const PlainFactorization& problem, std::vector<Matrix> w,
                                int steps);

/// SGD on one observed entry a step of a net of depth 3, sizes size - width - width - size, in the
/// convention "weight-decay": theta <- (1 - eta l2) theta - eta grad (M_ij - W_ij)^2.
struct PlainEntries {
  std::int64_t size = 0;
  std::int64_t width = 0;
  Matrix target;                      ///< (size, size)
  std::vector<std::int64_t> entries;  ///< row * size + col, ascending
  double learning_rate = 0;
  double l2 = 0;
  /// Number of the entry of a step.
  std::function<std::int64_t(std::int64_t step)> draw;
};
std::vector<Matrix> plain_steps(const PlainEntries& problem, std::vector<Matrix> w, int steps);

/// One member's parameters, all layers one after another, as layers of so many elements.
std::vector<Matrix> layers_of(const std::vector<double>& parameters,
                              const std::vector<std::int64_t>& elements);

/// Throws DeviceError unless `reached` agrees with `expected`: the largest difference over the
/// largest element within the rounding errors of a few hundred operations an entry in `precision`,
/// and the change since `start` within 1 %, so that a wrong gradient cannot hide behind a short
/// step.
void require_agreement(const std::string& what, const std::string& precision,
                       const std::vector<Matrix>& start, const std::vector<Matrix>& expected,
                       const std::vector<Matrix>& reached);

}  // namespace manyfold::apps
