// Plain loops of networks.
#include "apps/bench/plain_net.hpp"

#include <cmath>

#include "models/data/data_set.hpp"
#include "models/network/problem.hpp"
#include "models/network/start.hpp"

namespace manyfold::apps {
namespace {

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

/// W -= rate * gradient.
void descend(std::vector<Matrix>& w, const std::vector<Matrix>& gradient, double rate) {
  for (std::size_t h = 0; h < w.size(); ++h) {
    for (std::size_t e = 0; e < w[h].size(); ++e) w[h][e] -= rate * gradient[h][e];
  }
}

std::vector<Matrix> zeros_like(const std::vector<Matrix>& w) {
  std::vector<Matrix> zeros;
  for (const Matrix& one : w) zeros.emplace_back(one.size(), 0.0);
  return zeros;
}

/// y = W x, W (out, in).
std::vector<double> times(const Matrix& w, const std::vector<double>& x) {
  const std::size_t rows = w.size() / x.size();
  std::vector<double> y(rows, 0.0);
  for (std::size_t r = 0; r < rows; ++r) {
    for (std::size_t c = 0; c < x.size(); ++c) y[r] += w[r * x.size() + c] * x[c];
  }
  return y;
}
/// W^T y.
std::vector<double> back(const Matrix& w, const std::vector<double>& y) {
  const std::size_t cols = w.size() / y.size();
  std::vector<double> x(cols, 0.0);
  for (std::size_t r = 0; r < y.size(); ++r) {
    for (std::size_t c = 0; c < cols; ++c) x[c] += w[r * cols + c] * y[r];
  }
  return x;
}
void add_outer(Matrix& gradient, const std::vector<double>& y, const std::vector<double>& x) {
  for (std::size_t r = 0; r < y.size(); ++r) {
    for (std::size_t c = 0; c < x.size(); ++c) gradient[r * x.size() + c] += y[r] * x[c];
  }
}
std::vector<double> relu(std::vector<double> z) {
  for (double& value : z) value = value > 0 ? value : 0;
  return z;
}
/// The slope before a ReLU from the one behind it.
void mask(std::vector<double>& slope, const std::vector<double>& behind) {
  for (std::size_t i = 0; i < slope.size(); ++i) {
    if (!(behind[i] > 0)) slope[i] = 0;
  }
}
std::vector<double> row(const Matrix& m, std::int64_t i, std::int64_t cols) {
  const auto from = m.begin() + static_cast<std::ptrdiff_t>(i * cols);
  return {from, from + static_cast<std::ptrdiff_t>(cols)};
}

}  // namespace

PlainNet PlainNet::of(const Settings& member, double learning_rate) {
  const auto data = network::data_of(member);
  const network::Description description = network::description_of(member);
  PlainNet net;
  net.x = data->train.inputs;
  net.y = data->train.targets;
  net.outputs = data->train.outputs;
  net.inputs = static_cast<std::int64_t>(net.x.size()) / data->train.count();
  net.weight = network::term_weight(member, data->train.count());
  net.learning_rate = learning_rate;
  if (member.text("model.kind") == "two_layer_relu") {
    net.last = network::start(member, description).frozen;
    net.scale = 1 / std::sqrt(static_cast<double>(net.last.size()));
  }
  return net;
}

std::vector<Matrix> plain_steps(const PlainNet& net, std::vector<Matrix> w, int steps) {
  const bool frozen = !net.last.empty();
  const std::int64_t examples = static_cast<std::int64_t>(net.x.size()) / net.inputs;
  for (int step = 0; step < steps; ++step) {
    std::vector<Matrix> gradient = zeros_like(w);
    for (std::int64_t i = 0; i < examples; ++i) {
      std::vector<std::vector<double>> values{row(net.x, i, net.inputs)};
      for (std::size_t h = 0; h < w.size(); ++h) {
        std::vector<double> z = times(w[h], values.back());
        const bool hidden = frozen || h + 1 < w.size();
        values.push_back(hidden ? relu(z) : z);
      }
      std::vector<double> slope = frozen ? times(net.last, values.back()) : values.back();
      for (std::int64_t o = 0; o < net.outputs; ++o) {
        slope[at(o)] =
            net.scale * net.weight * (net.scale * slope[at(o)] - net.y[at(i * net.outputs + o)]);
      }
      if (frozen) {
        slope = back(net.last, slope);
        mask(slope, values.back());
      }
      for (std::size_t h = w.size(); h-- > 0;) {
        add_outer(gradient[h], slope, values[h]);
        if (h == 0) break;
        slope = back(w[h], slope);
        mask(slope, values[h]);
      }
    }
    descend(w, gradient, net.learning_rate);
  }
  return w;
}

PlainConvNet PlainConvNet::of(const Settings& member, double learning_rate) {
  const auto data = network::data_of(member);
  PlainConvNet net;
  net.x = data->train.inputs;
  net.y = data->train.targets;
  net.outputs = data->train.outputs;
  net.side = data->train.shape.back();
  net.channels = {1};
  for (const std::int64_t c : member.integers("model.channels")) net.channels.push_back(c);
  net.learning_rate = learning_rate;
  return net;
}

namespace {

/// One convolution's place: which element of the input a tap sees, -1 in the padding.
std::int64_t tap(std::int64_t side, std::int64_t channels, std::int64_t r, std::int64_t c,
                 std::int64_t u, std::int64_t v, std::int64_t channel) {
  const std::int64_t y = 2 * r + u - 1;
  const std::int64_t x = 2 * c + v - 1;
  if (y < 0 || x < 0 || y >= side || x >= side) return -1;
  return (y * side + x) * channels + channel;
}

/// Calls see(output element, weight element, input element) for every product of a convolution.
template <class See>
void each_product(std::int64_t side, std::int64_t in, std::int64_t out, const See& see) {
  const std::int64_t half = (side + 1) / 2;
  for (std::int64_t r = 0; r < half; ++r) {
    for (std::int64_t c = 0; c < half; ++c) {
      for (std::int64_t o = 0; o < out; ++o) {
        for (std::int64_t u = 0; u < 3; ++u) {
          for (std::int64_t v = 0; v < 3; ++v) {
            for (std::int64_t i = 0; i < in; ++i) {
              const std::int64_t from = tap(side, in, r, c, u, v, i);
              if (from < 0) continue;
              see(at((r * half + c) * out + o), at(((o * 3 + u) * 3 + v) * in + i), at(from));
            }
          }
        }
      }
    }
  }
}

}  // namespace

std::vector<Matrix> plain_steps(const PlainConvNet& net, std::vector<Matrix> w, int steps) {
  const std::int64_t pixels = net.side * net.side;
  const std::int64_t examples = static_cast<std::int64_t>(net.x.size()) / pixels;
  const std::size_t convolutions = net.channels.size() - 1;
  for (int step = 0; step < steps; ++step) {
    std::vector<Matrix> gradient = zeros_like(w);
    for (std::int64_t i = 0; i < examples; ++i) {
      std::vector<std::vector<double>> values{row(net.x, i, pixels)};
      std::vector<std::int64_t> sides{net.side};
      for (std::size_t h = 0; h < convolutions; ++h) {
        const std::int64_t side = sides.back();
        const std::int64_t half = (side + 1) / 2;
        std::vector<double> z(at(half * half * net.channels[h + 1]), 0.0);
        each_product(side, net.channels[h], net.channels[h + 1],
                     [&](std::size_t to, std::size_t weight, std::size_t from) {
                       z[to] += w[h][weight] * values.back()[from];
                     });
        values.push_back(relu(std::move(z)));
        sides.push_back(half);
      }
      std::vector<double> slope = times(w.back(), values.back());
      for (std::int64_t o = 0; o < net.outputs; ++o) {
        slope[at(o)] =
            (slope[at(o)] - net.y[at(i * net.outputs + o)]) / static_cast<double>(examples);
      }
      add_outer(gradient.back(), slope, values.back());
      slope = back(w.back(), slope);
      for (std::size_t h = convolutions; h-- > 0;) {
        mask(slope, values[h + 1]);
        std::vector<double> below(values[h].size(), 0.0);
        each_product(sides[h], net.channels[h], net.channels[h + 1],
                     [&](std::size_t to, std::size_t weight, std::size_t from) {
                       gradient[h][weight] += slope[to] * values[h][from];
                       below[from] += slope[to] * w[h][weight];
                     });
        slope = std::move(below);
      }
    }
    descend(w, gradient, net.learning_rate);
  }
  return w;
}

}  // namespace manyfold::apps
