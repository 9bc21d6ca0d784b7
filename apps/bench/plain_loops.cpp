// Plain loops, and how far from them is too far.
#include "apps/bench/plain_loops.hpp"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "core/error.hpp"

namespace manyfold::apps {
namespace {

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

/// op(a) op(b) of square matrices.
Matrix multiply(std::int64_t size, const Matrix& a, bool flip_a, const Matrix& b, bool flip_b) {
  const std::size_t n = at(size);
  Matrix c(n * n, 0.0);
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t j = 0; j < n; ++j) {
      for (std::size_t k = 0; k < n; ++k) {
        c[i * n + j] +=
            (flip_a ? a[k * n + i] : a[i * n + k]) * (flip_b ? b[j * n + k] : b[k * n + j]);
      }
    }
  }
  return c;
}

}  // namespace

std::vector<Matrix> plain_steps(const PlainFactorization& problem, std::vector<Matrix> w,
                                int steps) {
  const std::int64_t n = problem.size;
  const std::size_t depth = w.size();
  double v = 0;
  for (int step = 0; step < steps; ++step) {
    std::vector<Matrix> partial{w[0]};  // W_h ... W_1
    for (std::size_t h = 1; h < depth; ++h) {
      partial.push_back(multiply(n, w[h], false, partial.back(), false));
    }
    Matrix slope = partial.back();
    for (std::size_t i = 0; i < slope.size(); ++i) {
      slope[i] = problem.mask.empty() || problem.mask[i] != 0 ? slope[i] - problem.target[i] : 0.0;
    }
    std::vector<Matrix> gradient(depth);
    for (std::size_t h = depth - 1; h > 0; --h) {
      gradient[h] = multiply(n, slope, false, partial[h - 1], true);
      slope = multiply(n, w[h], true, slope, false);
    }
    gradient[0] = slope;
    double scale = problem.learning_rate;
    if (problem.rms) {
      double norm2 = 0;
      for (const Matrix& g : gradient) {
        for (const double x : g) norm2 += x * x;
      }
      v = problem.decay * v + (1 - problem.decay) * norm2;
      scale /= std::sqrt(v / (1 - std::pow(problem.decay, step + 1))) + problem.epsilon;
    }
    for (std::size_t h = 0; h < depth; ++h) {
      for (std::size_t i = 0; i < w[h].size(); ++i) w[h][i] -= scale * gradient[h][i];
    }
  }
  return w;
}

std::vector<Matrix> plain_steps(const PlainEntries& problem, std::vector<Matrix> w, int steps) {
  const std::size_t n = at(problem.size);
  const std::size_t width = at(problem.width);
  for (int step = 0; step < steps; ++step) {
    const std::size_t entry = at(problem.entries[at(problem.draw(step))]);
    const std::size_t i = entry / n;
    const std::size_t j = entry % n;
    std::vector<double> hidden(width, 0.0);  // W_2 W_1 e_j
    std::vector<double> back(width, 0.0);    // W_2^T W_3^T e_i
    double output = 0;
    for (std::size_t a = 0; a < width; ++a) {
      for (std::size_t b = 0; b < width; ++b) {
        hidden[a] += w[1][a * width + b] * w[0][b * n + j];
        back[b] += w[1][a * width + b] * w[2][i * width + a];
      }
      output += w[2][i * width + a] * hidden[a];
    }
    const double pull = 2 * problem.learning_rate * (problem.target[entry] - output);
    const double kept = 1 - problem.learning_rate * problem.l2;
    std::vector<Matrix> next = w;
    for (Matrix& layer : next) {
      for (double& x : layer) x *= kept;
    }
    for (std::size_t a = 0; a < width; ++a) {
      next[0][a * n + j] += pull * back[a];
      next[2][i * width + a] += pull * hidden[a];
      for (std::size_t b = 0; b < width; ++b) {
        next[1][a * width + b] += pull * w[2][i * width + a] * w[0][b * n + j];
      }
    }
    w = std::move(next);
  }
  return w;
}

std::vector<Matrix> layers_of(const std::vector<double>& parameters,
                              const std::vector<std::int64_t>& elements) {
  std::vector<Matrix> layers;
  auto from = parameters.begin();
  for (const std::int64_t count : elements) {
    layers.emplace_back(from, from + count);
    from += count;
  }
  return layers;
}

void require_agreement(const std::string& what, const std::string& precision,
                       const std::vector<Matrix>& start, const std::vector<Matrix>& expected,
                       const std::vector<Matrix>& reached) {
  double largest = 0;
  double difference = 0;
  double difference2 = 0;
  double change2 = 0;
  for (std::size_t l = 0; l < expected.size(); ++l) {
    for (std::size_t i = 0; i < expected[l].size(); ++i) {
      const double off = std::abs(expected[l][i] - reached[l][i]);
      largest = std::max(largest, std::abs(expected[l][i]));
      difference = off > difference || std::isnan(off) ? off : difference;  // NaN stays: see below
      difference2 += off * off;
      change2 += (expected[l][i] - start[l][i]) * (expected[l][i] - start[l][i]);
    }
  }
  const double tolerance = 1000 * (precision == "f64" ? 0x1p-53 : 0x1p-24);
  const double of_change = std::sqrt(difference2 / change2);
  if (difference / largest < tolerance && of_change < 0.01) return;  // false of a NaN, too
  throw DeviceError(fmt::format(
      "{} in {}: after the first steps the parameters differ by {:.2g} from plain loops, "
      "{:.2g} of their change; expected less than {:.2g}, and 0.01",
      what, precision, difference / largest, of_change, tolerance));
}

}  // namespace manyfold::apps
