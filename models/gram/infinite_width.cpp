// The recursions, pair of examples by pair.
#include "models/gram/infinite_width.hpp"

#include <algorithm>
#include <cmath>
#include <string>

#include <fmt/format.h>

#include "core/error.hpp"
#include "core/executor/cpu_executor.hpp"
#include "models/gram/dual_activation.hpp"
#include "models/network/layer.hpp"

namespace manyfold::gram {
namespace {

using Places = std::vector<double>;  ///< a number per place

/// f(i) summed in four strands, so that an addition need not wait for the one before it.
template <class F>
double sum_of(std::size_t count, const F& f) {
  double first = 0;
  double second = 0;
  double third = 0;
  double fourth = 0;
  std::size_t i = 0;
  for (; i + 4 <= count; i += 4) {
    first += f(i);
    second += f(i + 1);
    third += f(i + 2);
    fourth += f(i + 3);
  }
  for (; i < count; ++i) first += f(i);
  return (first + second) + (third + fourth);
}

/// Which places stand in the patch at every place; of vectors the one place itself.
class Patches {
 public:
  explicit Patches(const Architecture& architecture) {
    if (architecture.kind != NetworkKind::conv_resnet) {
      begin_ = {0, 1};
      members_ = {0};
      return;
    }
    const kernels::Window& window = architecture.window;
    for (std::int64_t y = 0; y < window.height; ++y) {
      for (std::int64_t x = 0; x < window.width; ++x) {
        begin_.push_back(members_.size());
        add_patch(window, y, x);
      }
    }
    begin_.push_back(members_.size());
  }

  std::size_t places() const { return begin_.size() - 1; }
  std::span<const std::size_t> at(std::size_t place) const {
    return std::span(members_).subspan(begin_[place], begin_[place + 1] - begin_[place]);
  }

  /// factor times the sums of `values` over patches.
  void sum(const Places& values, double factor, Places& sums) const {
    for (std::size_t l = 0; l < places(); ++l) {
      sums[l] = 0;
      for (const std::size_t member : at(l)) sums[l] += values[member];
      sums[l] *= factor;
    }
  }

 private:
  void add_patch(const kernels::Window& window, std::int64_t y, std::int64_t x) {
    for (std::int64_t dy = 0; dy < window.kernel_height; ++dy) {
      for (std::int64_t dx = 0; dx < window.kernel_width; ++dx) {
        const std::int64_t row = y + dy - window.padding_y;
        const std::int64_t col = x + dx - window.padding_x;
        if (row < 0 || row >= window.height || col < 0 || col >= window.width) continue;
        members_.push_back(static_cast<std::size_t>(row * window.width + col));
      }
    }
  }

  std::vector<std::size_t> begin_;
  std::vector<std::size_t> members_;
};

/// What a parametrization multiplies where, squared but for `block`.
struct Scales {
  double input = 1;   ///< W^(1)'s products
  double patch = 1;   ///< other layers' products
  double layer = 1;   ///< s, in layers that are not blocks
  double block = 0;   ///< s in a block, times sqrt(m)
  double output = 1;  ///< the output's products
};

Scales scales_of(const Architecture& architecture, std::size_t channels, std::size_t places) {
  if (architecture.parametrization == Parametrization::thesis)
    return {.layer = 1 / network::mean_square(architecture.activation, architecture.slope),
            .block = architecture.c_res / static_cast<double>(architecture.depth)};
  const bool conv = architecture.kind == NetworkKind::conv_resnet;
  const double taps = conv ? static_cast<double>(architecture.window.taps()) : 1;
  return {.input = 1 / (taps * static_cast<double>(channels)),
          .patch = 1 / taps,
          .block = architecture.c_res,
          .output = 1 / static_cast<double>(places)};
}

/// One layer of one example.
struct LayerMoments {
  Places variance;     ///< of the pre-activations
  Places mean;         ///< E[s]
  Places mean_before;  ///< b^(h-1); 0 before a layer that is no block
  Places b;            ///< b^(h)
};
struct ExampleMoments {
  std::vector<LayerMoments> layers;
  Places last_variance;  ///< K^(H)_ii
};

/// Inputs as (example, place, channel), of length 1 where their length only scales the kernels:
/// then what differs between parallel inputs, at any layer, is rounding.
class Examples {
 public:
  Examples(const Architecture& architecture, std::span<const double> inputs, std::int64_t examples,
           std::size_t places)
      : values_(inputs.size()),
        places_(places),
        channels_(inputs.size() / static_cast<std::size_t>(examples) / places),
        lengths_(static_cast<std::size_t>(examples), 1.0) {
    const bool scaled = DualActivation(architecture.activation).homogeneous();
    for (std::size_t i = 0; i < count(); ++i) {
      const auto example = inputs.subspan(i * size(), size());
      const double length =
          std::sqrt(sum_of(size(), [&](std::size_t k) { return example[k] * example[k]; }));
      if (scaled) lengths_[i] = length;
      const double divisor = scaled && length > 0 ? length : 1;
      for (std::size_t k = 0; k < size(); ++k)
        values_[i * size() + k % places_ * channels_ + k / places_] = example[k] / divisor;
    }
  }

  std::size_t count() const { return lengths_.size(); }
  std::size_t channels() const { return channels_; }
  double length(std::size_t i) const { return lengths_[i]; }

  Places squared_length(std::size_t i) const {
    Places sums(places_);
    for (std::size_t l = 0; l < places_; ++l) {
      const double* x = at(i, l);
      sums[l] = sum_of(channels_, [x](std::size_t k) { return x[k] * x[k]; });
    }
    return sums;
  }
  /// Pre-activations of the first layer: products of Gaussian weights with the patches of i and j,
  /// which, squared and times `scale`, are the variances a and b.
  GaussianPair pair(std::size_t i, std::size_t j, std::span<const std::size_t> patch, double scale,
                    double a, double b) const {
    if (a == 0 || b == 0) return {.a = a, .b = b, .apart = 0, .together = 0};
    const double u = std::sqrt(a);
    const double v = std::sqrt(b);
    const auto between = [&](double sign) {
      double sum = 0;
      for (const std::size_t place : patch) {
        const double* x = at(i, place);
        const double* y = at(j, place);
        sum += sum_of(channels_, [x, y, left = 1 / u, right = sign / v](std::size_t k) {
          const double difference = left * x[k] + right * y[k];
          return difference * difference;
        });
      }
      return scale * u * v * sum;
    };
    const double apart = between(-1);
    if (apart <= 2 * u * v) return {a, b, apart, 4 * u * v - apart};
    const double together = between(1);
    return {a, b, 4 * u * v - together, together};
  }

 private:
  std::size_t size() const { return places_ * channels_; }
  const double* at(std::size_t example, std::size_t place) const {
    return values_.data() + example * size() + place * channels_;
  }

  std::vector<double> values_;
  std::size_t places_;
  std::size_t channels_;
  std::vector<double> lengths_;
};

void check(const Architecture& architecture, std::span<const double> inputs,
           std::int64_t examples) {
  if (architecture.depth < 1)
    throw InputError(fmt::format("an infinitely wide network of {} layers: expected at least 1",
                                 architecture.depth));
  if (examples < 1 || inputs.empty() || inputs.size() % static_cast<std::size_t>(examples) != 0)
    throw InputError(fmt::format("{} numbers as inputs: expected as many for each of {} examples",
                                 inputs.size(), examples));
  const auto wrong =
      std::find_if_not(inputs.begin(), inputs.end(), [](double x) { return std::isfinite(x); });
  if (wrong != inputs.end())
    throw InputError(fmt::format("{} as number {} of the inputs: expected finite numbers", *wrong,
                                 wrong - inputs.begin() + 1));
  if (architecture.kind != NetworkKind::conv_resnet) return;
  const kernels::Window& window = architecture.window;
  if (window.stride_y != 1 || window.stride_x != 1 || window.out_height() != window.height ||
      window.out_width() != window.width)
    throw InputError(fmt::format(
        "a residual convolution from {}x{} to {}x{} places: expected as many as before it",
        window.height, window.width, window.out_height(), window.out_width()));
  if (inputs.size() != static_cast<std::size_t>(examples * window.image_size()))
    throw InputError(fmt::format("{} numbers as inputs: expected {} examples of {}x{}x{}",
                                 inputs.size(), examples, window.channels, window.height,
                                 window.width));
}

/// The recursions of one architecture on given examples.
class Recursion {
 public:
  Recursion(const Architecture& architecture, std::span<const double> inputs, std::int64_t count)
      : activation_(architecture.activation, architecture.slope),
        depth_(static_cast<std::size_t>(architecture.depth)),
        residual_(architecture.kind != NetworkKind::fc),
        patches_(architecture),
        examples_(architecture, inputs, count, patches_.places()),
        scales_(scales_of(architecture, examples_.channels(), patches_.places())) {
    for (std::size_t i = 0; i < examples_.count(); ++i) moments_.push_back(moments_of(i));
  }

  std::size_t examples() const { return examples_.count(); }
  std::size_t places() const { return patches_.places(); }
  std::size_t depth() const { return depth_; }
  /// b^(h) of the input as it was given.
  double b(std::size_t layer, std::size_t example, std::size_t place) const {
    return moments_[example].layers[layer].b[place] * examples_.length(example);
  }

  struct Entry {
    double nngp = 0;
    double tangent = 0;
    double last_layer = 0;
  };
  /// What `entry` works with: a row's own.
  struct PairState {
    explicit PairState(const Recursion& recursion)
        : distance(recursion.places()),
          tangent(distance),
          last_layer(distance),
          patch_distance(distance),
          patch_tangent(distance) {}

    // At every place, of x = x_i^(h) and y = x_j^(h).
    Places distance;  ///< ||x - y||^2, h > 0
    Places tangent;   ///< T^(h)
    Places last_layer;
    Places patch_distance;
    Places patch_tangent;
  };
  Entry entry(std::size_t i, std::size_t j, PairState& state) const {
    std::fill(state.distance.begin(), state.distance.end(), 0.0);
    std::fill(state.tangent.begin(), state.tangent.end(), 0.0);
    for (std::size_t h = 0; h < depth_; ++h) advance(h, i, j, state);
    Entry entry;
    for (std::size_t l = 0; l < places(); ++l) {
      entry.nngp +=
          (moments_[i].last_variance[l] + moments_[j].last_variance[l] - state.distance[l]) / 2;
      entry.tangent += state.tangent[l];
      entry.last_layer += state.last_layer[l];
    }
    entry.tangent += entry.nngp;
    const double factor = scales_.output * examples_.length(i) * examples_.length(j);
    return {factor * entry.nngp, factor * entry.tangent, factor * entry.last_layer};
  }

 private:
  bool is_block(std::size_t h) const { return residual_ && h > 0; }
  double product_scale(std::size_t h) const { return h == 0 ? scales_.input : scales_.patch; }

  ExampleMoments moments_of(std::size_t i) const {
    ExampleMoments moments;
    Places variance = examples_.squared_length(i);
    Places b(places());
    for (std::size_t h = 0; h < depth_; ++h) {
      LayerMoments layer{.variance = Places(places()),
                         .mean = Places(places()),
                         .mean_before = is_block(h) ? b : Places(places()),
                         .b = {}};
      patches_.sum(variance, product_scale(h), layer.variance);
      const double scale = is_block(h) ? scales_.block : std::sqrt(scales_.layer);
      for (std::size_t l = 0; l < places(); ++l) {
        const double before = layer.mean_before[l];
        const double mean = activation_.mean(layer.variance[l]);
        const double square = scale * scale * activation_.mean_square(layer.variance[l]);
        layer.mean[l] = mean;
        variance[l] = (is_block(h) ? variance[l] : 0) + 2 * scale * before * mean + square;
        b[l] = before + scale * mean;
      }
      layer.b = b;
      moments.layers.push_back(std::move(layer));
    }
    moments.last_variance = std::move(variance);
    return moments;
  }

  void advance(std::size_t h, std::size_t i, std::size_t j, PairState& state) const {
    const LayerMoments& one = moments_[i].layers[h];
    const LayerMoments& other = moments_[j].layers[h];
    patches_.sum(state.distance, product_scale(h), state.patch_distance);
    patches_.sum(state.tangent, product_scale(h), state.patch_tangent);
    const double scale2 = is_block(h) ? scales_.block * scales_.block : scales_.layer;
    for (std::size_t l = 0; l < places(); ++l) {
      const double a = one.variance[l];
      const double b = other.variance[l];
      const GaussianPair pair = h == 0 ? examples_.pair(i, j, patches_.at(l), scales_.input, a, b)
                                       : pair_of_distance(a, b, state.patch_distance[l]);
      const DualMoments moments = activation_.moments(pair);
      state.last_layer[l] = scale2 * pair.covariance() * moments.slopes;
      const double own = scale2 * moments.slopes * state.patch_tangent[l] + state.last_layer[l];
      if (is_block(h)) {
        state.tangent[l] += own;
        state.distance[l] += 2 * scales_.block * (one.mean_before[l] - other.mean_before[l]) *
                                 (one.mean[l] - other.mean[l]) +
                             scale2 * moments.distance;
      } else {
        state.tangent[l] = own;
        state.distance[l] = scale2 * moments.distance;
      }
    }
  }

  DualActivation activation_;
  std::size_t depth_;
  bool residual_;
  Patches patches_;
  Examples examples_;
  Scales scales_;
  std::vector<ExampleMoments> moments_;
};

}  // namespace

InfiniteWidthKernels infinite_width_kernels(const Architecture& architecture,
                                            std::span<const double> inputs, std::int64_t examples,
                                            int threads) {
  check(architecture, inputs, examples);
  const Recursion recursion(architecture, inputs, examples);
  const std::size_t n = recursion.examples();
  InfiniteWidthKernels kernels{.nngp = std::vector<double>(n * n),
                               .tangent = std::vector<double>(n * n),
                               .last_layer = std::vector<double>(n * n)};
  in_pieces(threads, examples, 1, [&](std::int64_t row, std::int64_t) {
    const auto i = static_cast<std::size_t>(row);
    Recursion::PairState state(recursion);
    for (std::size_t j = 0; j <= i; ++j) {
      const Recursion::Entry entry = recursion.entry(i, j, state);
      kernels.nngp[i * n + j] = kernels.nngp[j * n + i] = entry.nngp;
      kernels.tangent[i * n + j] = kernels.tangent[j * n + i] = entry.tangent;
      kernels.last_layer[i * n + j] = kernels.last_layer[j * n + i] = entry.last_layer;
    }
  });
  return kernels;
}

std::vector<double> layer_means(const Architecture& architecture, std::span<const double> inputs,
                                std::int64_t examples) {
  check(architecture, inputs, examples);
  const Recursion recursion(architecture, inputs, examples);
  std::vector<double> means;
  for (std::size_t h = 0; h < recursion.depth(); ++h) {
    for (std::size_t i = 0; i < recursion.examples(); ++i) {
      for (std::size_t l = 0; l < recursion.places(); ++l) means.push_back(recursion.b(h, i, l));
    }
  }
  return means;
}

std::vector<double> two_layer_relu_kernel(std::span<const double> inputs, std::int64_t examples,
                                          int threads) {
  // Of the one hidden layer of def. 3.1, whose outputs a also are N(0, 1), without its c_s = 2.
  std::vector<double> kernel =
      infinite_width_kernels({.kind = NetworkKind::fc}, inputs, examples, threads).last_layer;
  for (double& entry : kernel) entry /= 2;
  return kernel;
}

}  // namespace manyfold::gram
