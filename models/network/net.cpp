// Carries a tape out.
#include "models/network/net.hpp"

#include <algorithm>
#include <stdexcept>

#include "kernels/activation.hpp"
#include "kernels/add_scaled.hpp"
#include "kernels/patches.hpp"
#include "kernels/sharing.hpp"

namespace manyfold::network {
namespace {

using kernels::Transpose;

constexpr Transpose keep = Transpose::no;
constexpr Transpose flip = Transpose::yes;

/// Rows of the longest column of ones: every row of every product whose layer has a bias.
std::int64_t longest_column(const Description& description, std::int64_t rows) {
  std::int64_t most = 0;
  for (const Layer& layer : description.layers) {
    if (!layer.bias) continue;
    const std::int64_t places = layer.places();
    most = std::max(most, rows * places);
  }
  return most;
}

/// Entries of the largest trained matrix that has a pattern.
std::int64_t largest_pattern(const Description& description) {
  std::int64_t most = 0;
  for (const Weight& w : description.weights) {
    if (w.pattern && !w.frozen) most = std::max(most, w.entries());
  }
  return most;
}

Buffer<std::int32_t> uploaded(Executor& executor, const std::vector<std::int32_t>& values) {
  Buffer<std::int32_t> buffer(executor, static_cast<std::int64_t>(values.size()));
  if (!values.empty()) buffer.upload(values);
  return buffer;
}

}  // namespace

template <class T>
std::size_t Net<T>::bytes_per_slot(const Description& description, std::int64_t rows) {
  const Tape tape = make_tape(description);
  std::int64_t elements = 2 * padded<T>(description.parameters) + padded<T>(description.frozen) +
                          padded<T>(rows * tape.patches) + padded<T>(description.spread) +
                          padded<T>(largest_pattern(description));
  for (const std::int64_t features : tape.storage) elements += padded<T>(rows * features);
  for (const std::int64_t features : tape.buffers) elements += padded<T>(rows * features);
  return static_cast<std::size_t>(elements) * sizeof(T);
}

template <class T>
std::size_t Net<T>::shared_bytes(const Description& description, std::int64_t rows) {
  std::size_t numbers = 0;
  for (const Weight& w : description.weights) {
    if (!w.pattern) continue;
    const Pattern& p = *w.pattern;
    numbers += p.numbers.size() + p.places.size() + p.begins.size();
  }
  return static_cast<std::size_t>(longest_column(description, rows)) * sizeof(T) +
         numbers * sizeof(std::int32_t);
}

template <class T>
Net<T>::Net(Executor& executor, const Description& description, std::int64_t slots,
            std::int64_t rows, kernels::MathMode math)
    : executor_(executor),
      description_(description),
      tape_(make_tape(description)),
      slots_(slots),
      rows_(rows),
      math_(math),
      stride_(padded<T>(description.parameters)),
      frozen_stride_(padded<T>(description.frozen)),
      parameters_(executor, slots * stride_),
      gradient_(executor, slots * stride_),
      frozen_(executor, slots * frozen_stride_),
      patches_(executor, slots * padded<T>(rows * tape_.patches)),
      ones_(executor, longest_column(description, rows)),
      spread_(executor, slots * padded<T>(description.spread)),
      spread_gradient_(executor, slots * padded<T>(largest_pattern(description))) {
  for (const Weight& w : description.weights) {
    static const Pattern none;
    const Pattern& p = w.pattern ? *w.pattern : none;
    patterns_.push_back({uploaded(executor, p.numbers), uploaded(executor, p.places),
                         uploaded(executor, p.begins)});
  }
  for (const std::int64_t features : tape_.storage) {
    storage_.emplace_back(executor, slots * padded<T>(rows * features));
  }
  for (const std::int64_t features : tape_.buffers) {
    buffers_.emplace_back(executor, slots * padded<T>(rows * features));
  }
  gradient_.clear();  // what pads a slot is never written
  if (ones_.size() > 0) {
    ones_.upload(std::vector<T>(static_cast<std::size_t>(ones_.size()), T(1)));
  }
}

template <class T>
Parameters<T> Net<T>::parameters() const {
  return {{parameters_.data(), slots_, description_.parameters, stride_},
          {gradient_.data(), slots_, description_.parameters, stride_}};
}

template <class T>
const Layer& Net<T>::layer_of(const Node& node) const {
  return description_.layers[static_cast<std::size_t>(node.layer)];
}

template <class T>
MatrixBatch<T> Net<T>::free_weight(std::int64_t h) const {
  const Weight& w = description_.weights[static_cast<std::size_t>(h - 1)];
  return {(w.frozen ? frozen_ : parameters_).data() + w.offset,
          slots_,
          w.array_rows(),
          w.array_cols(),
          w.frozen ? frozen_stride_ : stride_,
          w.array_cols()};
}

template <class T>
MatrixBatch<T> Net<T>::weight(std::int64_t h) const {
  const Weight& w = description_.weights[static_cast<std::size_t>(h - 1)];
  if (!w.pattern) return free_weight(h);
  return {spread_.data() + w.spread_offset, slots_, w.rows, w.cols,
          padded<T>(description_.spread),   w.cols};
}

template <class T>
MatrixBatch<T> Net<T>::weight_gradient(std::int64_t h) const {
  const Weight& w = description_.weights[static_cast<std::size_t>(h - 1)];
  if (w.pattern) {
    return {spread_gradient_.data(),
            slots_,
            w.rows,
            w.cols,
            padded<T>(largest_pattern(description_)),
            w.cols};
  }
  return {gradient_.data() + w.offset, slots_, w.rows, w.cols, stride_, w.cols};
}

template <class T>
void Net<T>::spread(std::int64_t h, const VectorBatch<const T>& v, const MatrixBatch<T>& w) const {
  const Places& pattern = patterns_[static_cast<std::size_t>(h - 1)];
  kernels::spread_weights<T>(executor_, {v, pattern.numbers.data(), w});
}

template <class T>
void Net<T>::spread() const {
  for (std::size_t i = 0; i < description_.weights.size(); ++i) {
    if (!description_.weights[i].pattern) continue;
    const auto h = static_cast<std::int64_t>(i) + 1;
    spread(h, flatten(free_weight(h)), weight(h));
  }
}

template <class T>
void Net<T>::collect(std::int64_t h, const VectorBatch<T>& all, bool add) const {
  const Weight& w = description_.weights[static_cast<std::size_t>(h - 1)];
  const Places& pattern = patterns_[static_cast<std::size_t>(h - 1)];
  kernels::collect_weights<T>(executor_,
                              {weight_gradient(h),
                               pattern.begins.data(),
                               pattern.places.data(),
                               add,
                               {all.data + w.offset, slots_, w.size(), all.slot_stride}});
}

template <class T>
MatrixBatch<T> Net<T>::bias(std::int64_t h, const Buffer<T>& of) const {
  const Weight& w = description_.weights[static_cast<std::size_t>(h - 1)];
  return {of.data() + w.bias_offset, slots_, 1, w.rows, stride_, w.rows};
}

template <class T>
MatrixBatch<const T> Net<T>::ones(std::int64_t rows) const {
  return {ones_.data(), slots_, rows, 1, 0, 1};
}

template <class T>
MatrixBatch<T> Net<T>::own(int number) const {
  const Value& v = tape_.values[static_cast<std::size_t>(number)];
  const auto at = static_cast<std::size_t>(v.storage);
  return matrix(storage_[at], padded<T>(rows_ * tape_.storage[at]), v.shape.size());
}

template <class T>
MatrixBatch<const T> Net<T>::value(int number) const {
  if (tape_.values[static_cast<std::size_t>(number)].storage < 0) return input_;
  return own(number);
}

template <class T>
MatrixBatch<T> Net<T>::gradient(int buffer, std::int64_t features) const {
  const auto at = static_cast<std::size_t>(buffer);
  return matrix(buffers_[at], padded<T>(rows_ * tape_.buffers[at]), features);
}

template <class T>
MatrixBatch<T> Net<T>::output() const {
  return own(tape_.output);
}

template <class T>
double Net<T>::output_scale() const {
  return tape_.values[static_cast<std::size_t>(tape_.output)].scale;
}

template <class T>
MatrixBatch<T> Net<T>::output_slope() const {
  return gradient(0, description_.outputs);
}

template <class T>
const Node& Net<T>::node_of(std::int64_t layer) const {
  for (const Node& node : tape_.nodes) {
    if (node.layer == layer) return node;
  }
  throw std::logic_error("layer " + std::to_string(layer) + " has no state of its own");
}

template <class T>
MatrixBatch<T> Net<T>::state(std::int64_t layer) const {
  return own(node_of(layer).out);
}

template <class T>
double Net<T>::state_scale(std::int64_t layer) const {
  return tape_.values[static_cast<std::size_t>(node_of(layer).out)].scale;
}

template <class T>
void Net<T>::multiply(Transpose ta, Transpose tb, MatrixBatch<const T> a, MatrixBatch<const T> b,
                      MatrixBatch<T> c, double alpha, bool add, const Ending& ending) const {
  kernels::gemm<T>(executor_, {ta, tb, static_cast<T>(alpha), a, b, add ? T(1) : T(0), c, math_,
                               ending.finish, ending.below, ending.by, ending.state});
}

template <class T>
std::optional<T> Net<T>::below_zero(const Layer& layer) {
  if (layer.kind != LayerKind::activation) return std::nullopt;
  if (layer.activation == kernels::Activation::relu) return T(0);
  if (layer.activation == kernels::Activation::leaky_relu) return static_cast<T>(layer.slope);
  return std::nullopt;
}

template <class T>
typename Net<T>::Ending Net<T>::forward_ending(std::size_t node) const {
  if (node + 1 == tape_.nodes.size()) return {};
  const Node& next = tape_.nodes[node + 1];
  const std::optional<T> below = below_zero(layer_of(next));
  const Value& made = tape_.values[static_cast<std::size_t>(tape_.nodes[node].out)];
  const Value& state = tape_.values[static_cast<std::size_t>(next.out)];
  if (!below || next.in != tape_.nodes[node].out || made.storage != state.storage) return {};
  return {kernels::Finish::rectify, *below, static_cast<T>(made.scale), {}};
}

template <class T>
typename Net<T>::Ending Net<T>::backward_ending(std::size_t step) const {
  if (step + 1 == tape_.backward.size()) return {};
  const BackwardStep& here = tape_.backward[step];
  const BackwardStep& next = tape_.backward[step + 1];
  const Node& node = tape_.nodes[static_cast<std::size_t>(next.node)];
  const std::optional<T> below = below_zero(layer_of(node));
  const int buffer = here.in.buffer;
  if (!below || buffer < 0 || next.out.buffer != buffer || next.in.buffer != buffer || next.add ||
      next.copy_from >= 0)
    return {};
  const double scale = tape_.values[static_cast<std::size_t>(node.in)].scale;
  return {kernels::Finish::rectified_slope, *below,
          static_cast<T>(next.out.scale / next.in.scale * scale), own(node.out)};
}

template <class T>
MatrixBatch<const T> Net<T>::operand(const Node& node, const Layer& layer) {
  return operand(value(node.in), layer);
}

template <class T>
MatrixBatch<const T> Net<T>::operand(const MatrixBatch<const T>& in, const Layer& layer) {
  if (layer.kind == LayerKind::dense) return in;
  const std::int64_t size = layer.window.places() * layer.window.patch_size();
  const MatrixBatch<T> patches = matrix(patches_, padded<T>(rows_ * tape_.patches), size);
  kernels::unfold<T>(executor_, {layer.window, in, patches});
  return by_place(MatrixBatch<const T>(patches), layer.window.places());
}

template <class T>
void Net<T>::product(const Node& node, const Layer& layer, const Ending& ending) {
  const std::int64_t places = layer.places();
  const MatrixBatch<T> out = by_place(own(node.out), places);
  if (layer.bias) {
    multiply(keep, keep, ones(out.rows), bias(layer.weight, parameters_), out, 1, false);
  }
  const double scale = layer.scale * tape_.values[static_cast<std::size_t>(node.in)].scale;
  multiply(keep, flip, operand(node, layer), weight(layer.weight), out, scale, layer.bias, ending);
}

template <class T>
void Net<T>::forward(MatrixBatch<const T> x) {
  if (x.rows > rows_) throw std::logic_error("more examples than the network has room for");
  current_rows_ = x.rows;
  input_ = x;
  spread();
  for (std::size_t i = 0; i < tape_.nodes.size(); ++i) {
    const Node& node = tape_.nodes[i];
    const Layer& layer = layer_of(node);
    const Value& in = tape_.values[static_cast<std::size_t>(node.in)];
    switch (layer.kind) {
      case LayerKind::dense:
      case LayerKind::conv: {
        const Ending ending = forward_ending(i);
        product(node, layer, ending);
        if (ending.finish != kernels::Finish::none) ++i;  // the activation is done
        break;
      }
      case LayerKind::activation:
        kernels::activate<T>(executor_, {.kind = layer.activation,
                                         .slope = layer.slope,
                                         .scale = in.scale,
                                         .z = flatten(value(node.in)),
                                         .y = flatten(own(node.out))});
        break;
      case LayerKind::pool:
        kernels::average_pool<T>(executor_, {layer.window, value(node.in), own(node.out)});
        break;
      case LayerKind::end: {
        const VectorBatch<T> sum = flatten(own(node.out));
        const double scale = tape_.values[static_cast<std::size_t>(node.skip)].scale;
        kernels::add_scaled<T>(
            executor_, {.x = flatten(value(node.skip)), .scale = scale, .add = false, .y = sum});
        kernels::add_scaled<T>(
            executor_, {.x = flatten(value(node.in)), .scale = node.scale * in.scale, .y = sum});
        break;
      }
      case LayerKind::flatten:
      case LayerKind::residual:
        break;
    }
  }
}

template <class T>
void Net<T>::product_back(const BackwardStep& step, const Node& node, const Layer& layer,
                          const std::function<void(const LayerTerms<T>&)>& see,
                          const Ending& ending) {
  const std::int64_t places = layer.places();
  const MatrixBatch<const T> out =
      by_place(MatrixBatch<const T>(gradient(step.out.buffer, layer.result.size())), places);
  const double scale = layer.scale * tape_.values[static_cast<std::size_t>(node.in)].scale;
  if (layer.bias || !layer.frozen) {
    see({.h = layer.weight,
         .places = places,
         .scale = scale * step.out.scale,
         .bias_scale = step.out.scale,
         .in = layer.frozen ? MatrixBatch<const T>{} : operand(node, layer),
         .slope = out});
  }
  if (step.in.buffer < 0) return;
  const double factor = scale * step.out.scale / step.in.scale;
  const MatrixBatch<T> in = gradient(step.in.buffer, layer.in.size());
  const MatrixBatch<const T> w = weight(layer.weight);
  if (layer.kind == LayerKind::dense) {
    multiply(keep, keep, out, w, in, factor, step.add, ending);
    return;
  }
  const std::int64_t size = places * layer.window.patch_size();
  const MatrixBatch<T> patches = matrix(patches_, padded<T>(rows_ * tape_.patches), size);
  multiply(keep, keep, out, w, by_place(patches, places), 1, false);
  kernels::fold<T>(executor_, {.window = layer.window,
                               .patches = patches,
                               .factor = factor,
                               .add = step.add,
                               .images = in});
}

template <class T>
void Net<T>::backward(bool add) {
  backward_terms([&](const LayerTerms<T>& terms) {
    const Weight& w = description_.weights[static_cast<std::size_t>(terms.h - 1)];
    if (w.bias) {
      multiply(flip, keep, ones(terms.slope.rows), terms.slope, bias(terms.h, gradient_),
               terms.bias_scale, add);
    }
    if (terms.in.data != nullptr) {
      const bool shared = w.pattern != nullptr;
      multiply(flip, keep, terms.slope, terms.in, weight_gradient(terms.h), terms.scale,
               add && !shared);
      if (shared) collect(terms.h, parameters().gradient, add);
    }
  });
}

template <class T>
void Net<T>::backward_terms(const std::function<void(const LayerTerms<T>&)>& see) {
  for (std::size_t i = 0; i < tape_.backward.size(); ++i) {
    const BackwardStep& step = tape_.backward[i];
    const Node& node = tape_.nodes[static_cast<std::size_t>(step.node)];
    const Layer& layer = layer_of(node);
    const std::int64_t features = layer.in.size();
    if (step.copy_from >= 0) {
      kernels::add_scaled<T>(executor_, {.x = flatten(gradient(step.copy_from, features)),
                                         .add = false,
                                         .y = flatten(gradient(step.in.buffer, features))});
    }
    const double factor = step.in.buffer < 0 ? 0 : step.out.scale / step.in.scale;
    const double in_scale = tape_.values[static_cast<std::size_t>(node.in)].scale;
    switch (layer.kind) {
      case LayerKind::dense: {
        const Ending ending = backward_ending(i);
        product_back(step, node, layer, see, ending);
        if (ending.finish != kernels::Finish::none) ++i;  // the activation below is done
        break;
      }
      case LayerKind::conv:
        product_back(step, node, layer, see, {});
        break;
      case LayerKind::activation: {
        if (step.in.buffer < 0) break;
        const bool of_output = kernels::slope_follows_from_output(layer.activation);
        kernels::activation_slope<T>(
            executor_,
            {.kind = layer.activation,
             .slope = layer.slope,
             .scale = in_scale,
             .state = flatten(of_output ? MatrixBatch<const T>(own(node.out)) : value(node.in)),
             .dy = flatten(gradient(step.out.buffer, features)),
             .factor = factor * in_scale,
             .add = step.add,
             .dz = flatten(gradient(step.in.buffer, features))});
        break;
      }
      case LayerKind::pool:
        if (step.in.buffer < 0) break;
        kernels::spread_means<T>(executor_,
                                 {.window = layer.window,
                                  .means = gradient(step.out.buffer, layer.result.size()),
                                  .factor = factor,
                                  .add = step.add,
                                  .images = gradient(step.in.buffer, features)});
        break;
      case LayerKind::end:
        kernels::add_scaled<T>(executor_, {.x = flatten(gradient(step.out.buffer, features)),
                                           .scale = factor,
                                           .y = flatten(gradient(step.in.buffer, features))});
        break;
      case LayerKind::flatten:
      case LayerKind::residual:
        break;
    }
  }
}

template class Net<float>;
template class Net<double>;

}  // namespace manyfold::network
