// Carries a tape out along a direction.
#include "models/network/net_tangent.hpp"

#include "kernels/activation.hpp"
#include "kernels/add_scaled.hpp"
#include "kernels/patches.hpp"

namespace manyfold::network {
namespace {

using kernels::Transpose;

constexpr Transpose keep = Transpose::no;
constexpr Transpose flip = Transpose::yes;

}  // namespace

template <class T>
std::size_t NetTangent<T>::bytes_per_slot(const Description& description, std::int64_t rows) {
  const Tape tape = make_tape(description);
  std::int64_t elements = padded<T>(description.spread);
  for (const std::int64_t features : tape.storage) elements += padded<T>(rows * features);
  for (const std::int64_t features : tape.buffers) elements += padded<T>(rows * features);
  return static_cast<std::size_t>(elements) * sizeof(T);
}

template <class T>
NetTangent<T>::NetTangent(Net<T>& net)
    : net_(net), spread_(net.executor_, net.slots_ * padded<T>(net.description_.spread)) {
  for (const Buffer<T>& values : net.storage_) {
    storage_.emplace_back(net.executor_, values.size());
  }
  for (const Buffer<T>& gradients : net.buffers_) {
    buffers_.emplace_back(net.executor_, gradients.size());
  }
}

template <class T>
MatrixBatch<T> NetTangent<T>::tangent(int number) const {
  const Value& v = net_.tape_.values[static_cast<std::size_t>(number)];
  const auto at = static_cast<std::size_t>(v.storage);
  return net_.matrix(storage_[at], padded<T>(net_.rows_ * net_.tape_.storage[at]), v.shape.size());
}

template <class T>
MatrixBatch<T> NetTangent<T>::gradient(int buffer, std::int64_t features) const {
  const auto at = static_cast<std::size_t>(buffer);
  return net_.matrix(buffers_[at], padded<T>(net_.rows_ * net_.tape_.buffers[at]), features);
}

template <class T>
template <class U>
MatrixBatch<U> NetTangent<T>::weight(const VectorBatch<U>& of, std::int64_t h) const {
  const Weight& w = net_.description_.weights[static_cast<std::size_t>(h - 1)];
  return {of.data + w.offset, of.slots, w.rows, w.cols, of.slot_stride, w.cols};
}

template <class T>
template <class U>
MatrixBatch<U> NetTangent<T>::bias(const VectorBatch<U>& of, std::int64_t h) const {
  const Weight& w = net_.description_.weights[static_cast<std::size_t>(h - 1)];
  return {of.data + w.bias_offset, of.slots, 1, w.rows, of.slot_stride, w.rows};
}

template <class T>
MatrixBatch<const T> NetTangent<T>::direction(std::int64_t h) const {
  const Weight& w = net_.description_.weights[static_cast<std::size_t>(h - 1)];
  if (!w.pattern) return weight(direction_, h);
  return {spread_.data() + w.spread_offset,
          direction_.slots,
          w.rows,
          w.cols,
          padded<T>(net_.description_.spread),
          w.cols};
}

/// b' + c (x W'^T + x' W^T).
template <class T>
void NetTangent<T>::product(const Node& node, const Layer& layer) {
  const MatrixBatch<T> out = Net<T>::by_place(tangent(node.out), layer.places());
  const double scale = layer.scale * scale_of(node.in);
  bool add = false;
  if (layer.bias) {
    net_.multiply(keep, keep, net_.ones(out.rows), bias(direction_, layer.weight), out, 1, add);
    add = true;
  }
  if (!layer.frozen) {
    net_.multiply(keep, flip, net_.operand(node, layer), direction(layer.weight), out, scale, add);
    add = true;
  }
  if (trained(node.in)) {
    net_.multiply(keep, flip, net_.operand(tangent(node.in), layer), net_.weight(layer.weight), out,
                  scale, add);
  }
}

template <class T>
void NetTangent<T>::sum_of_block(const Node& node) {
  const VectorBatch<T> sum = flatten(tangent(node.out));
  bool add = false;
  for (const auto& [term, scale] : {std::pair{node.skip, scale_of(node.skip)},
                                    std::pair{node.in, node.scale * scale_of(node.in)}}) {
    if (!trained(term)) continue;
    kernels::add_scaled<T>(net_.executor_,
                           {.x = flatten(tangent(term)), .scale = scale, .add = add, .y = sum});
    add = true;
  }
}

template <class T>
void NetTangent<T>::forward(VectorBatch<const T> direction) {
  direction_ = direction;
  const std::vector<Weight>& weights = net_.description_.weights;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    const Weight& w = weights[i];
    if (!w.pattern || w.frozen) continue;
    const auto h = static_cast<std::int64_t>(i) + 1;
    MatrixBatch<T> whole{spread_.data() + w.spread_offset,    direction.slots, w.rows, w.cols,
                         padded<T>(net_.description_.spread), w.cols};
    net_.spread(h, {direction.data + w.offset, direction.slots, w.size(), direction.slot_stride},
                whole);
  }
  for (const Node& node : net_.tape_.nodes) {
    if (!trained(node.out)) continue;  // nothing below it moves
    const Layer& layer = net_.layer_of(node);
    switch (layer.kind) {
      case LayerKind::dense:
      case LayerKind::conv:
        product(node, layer);
        break;
      case LayerKind::activation: {
        const bool of_output = kernels::slope_follows_from_output(layer.activation);
        kernels::activation_slope<T>(
            net_.executor_, {.kind = layer.activation,
                             .slope = layer.slope,
                             .scale = scale_of(node.in),
                             .state = flatten(of_output ? MatrixBatch<const T>(net_.own(node.out))
                                                        : net_.value(node.in)),
                             .dy = flatten(tangent(node.in)),
                             .factor = scale_of(node.in),
                             .dz = flatten(tangent(node.out))});
        break;
      }
      case LayerKind::pool:
        kernels::average_pool<T>(net_.executor_,
                                 {layer.window, tangent(node.in), tangent(node.out)});
        break;
      case LayerKind::end:
        sum_of_block(node);
        break;
      case LayerKind::flatten:
      case LayerKind::residual:
        break;
    }
  }
}

template <class T>
template <class F>
void NetTangent<T>::of_each_gradient(const BackwardStep& step, std::int64_t out, std::int64_t in,
                                     const F& f) const {
  f(gradient(step.out.buffer, out), gradient(step.in.buffer, in));
  if (whole_) f(net_.gradient(step.out.buffer, out), net_.gradient(step.in.buffer, in));
}

/// With g the gradient of the output and g' its change, gradients W: g^T x and x: g W change by
/// g'^T x + g^T x' and g' W + g W'.
template <class T>
void NetTangent<T>::product_back(const BackwardStep& step, const Node& node, const Layer& layer,
                                 VectorBatch<T> change, bool add) {
  const std::int64_t places = layer.places();
  const std::int64_t features = layer.result.size();
  const MatrixBatch<const T> moved =
      Net<T>::by_place(MatrixBatch<const T>(gradient(step.out.buffer, features)), places);
  const MatrixBatch<const T> out =
      Net<T>::by_place(MatrixBatch<const T>(net_.gradient(step.out.buffer, features)), places);
  const double scale = layer.scale * scale_of(node.in);
  if (layer.bias) {
    net_.multiply(flip, keep, net_.ones(moved.rows), moved, bias(change, layer.weight),
                  step.out.scale, add);
  }
  if (!layer.frozen) {
    const MatrixBatch<T> w =
        layer.pattern ? net_.weight_gradient(layer.weight) : weight(change, layer.weight);
    net_.multiply(flip, keep, moved, net_.operand(node, layer), w, scale * step.out.scale,
                  add && !layer.pattern);
    if (whole_ && trained(node.in)) {
      net_.multiply(flip, keep, out, net_.operand(tangent(node.in), layer), w,
                    scale * step.out.scale, true);
    }
    if (layer.pattern) net_.collect(layer.weight, change, add);
  }
  if (step.in.buffer < 0) return;
  const double factor = scale * step.out.scale / step.in.scale;
  const bool turns = whole_ && !layer.frozen;  // W' counts
  const MatrixBatch<const T> w = net_.weight(layer.weight);
  const MatrixBatch<T> in = gradient(step.in.buffer, layer.in.size());
  if (layer.kind == LayerKind::dense) {
    net_.multiply(keep, keep, moved, w, in, factor, step.add);
    if (turns) net_.multiply(keep, keep, out, direction(layer.weight), in, factor, true);
    if (whole_) {
      net_.multiply(keep, keep, out, w, net_.gradient(step.in.buffer, layer.in.size()), factor,
                    step.add);
    }
    return;
  }
  const MatrixBatch<T> patches =
      net_.matrix(net_.patches_, padded<T>(net_.rows_ * net_.tape_.patches),
                  places * layer.window.patch_size());
  const MatrixBatch<T> rows = Net<T>::by_place(patches, places);
  const auto fold = [&](const MatrixBatch<T>& images) {
    kernels::fold<T>(net_.executor_, {.window = layer.window,
                                      .patches = patches,
                                      .factor = factor,
                                      .add = step.add,
                                      .images = images});
  };
  net_.multiply(keep, keep, moved, w, rows, 1, false);
  if (turns) net_.multiply(keep, keep, out, direction(layer.weight), rows, 1, true);
  fold(in);
  if (!whole_) return;
  net_.multiply(keep, keep, out, w, rows, 1, false);
  fold(net_.gradient(step.in.buffer, layer.in.size()));
}

/// The gradient s'(u) dy changes by s'(u) dy' + s''(u) u' dy.
template <class T>
void NetTangent<T>::activation_back(const BackwardStep& step, const Node& node,
                                    const Layer& layer) {
  const std::int64_t features = layer.in.size();
  const bool of_output = kernels::slope_follows_from_output(layer.activation);
  const double scale = scale_of(node.in);
  const double factor = step.out.scale / step.in.scale * scale;
  const VectorBatch<const T> state =
      flatten(of_output ? MatrixBatch<const T>(net_.own(node.out)) : net_.value(node.in));
  const auto slope = [&](const MatrixBatch<T>& out, const MatrixBatch<T>& in) {
    kernels::activation_slope<T>(net_.executor_, {.kind = layer.activation,
                                                  .slope = layer.slope,
                                                  .scale = scale,
                                                  .state = state,
                                                  .dy = flatten(out),
                                                  .factor = factor,
                                                  .add = step.add,
                                                  .dz = flatten(in)});
  };
  const MatrixBatch<T> moved = gradient(step.in.buffer, features);
  slope(gradient(step.out.buffer, features), moved);
  if (!whole_) return;
  const MatrixBatch<T> dy = net_.gradient(step.out.buffer, features);
  kernels::activation_curvature<T>(net_.executor_, {.kind = layer.activation,
                                                    .scale = scale,
                                                    .state = state,
                                                    .tangent = flatten(tangent(node.out)),
                                                    .dy = flatten(dy),
                                                    .factor = factor,
                                                    .dz = flatten(moved)});
  slope(dy, net_.gradient(step.in.buffer, features));
}

template <class T>
void NetTangent<T>::backward(CurvatureMatrix matrix, VectorBatch<T> change, bool add) {
  whole_ = matrix == CurvatureMatrix::hessian;
  for (const BackwardStep& step : net_.tape_.backward) {
    const Node& node = net_.tape_.nodes[static_cast<std::size_t>(step.node)];
    const Layer& layer = net_.layer_of(node);
    const std::int64_t features = layer.in.size();
    if (step.copy_from >= 0) {
      const BackwardStep copy{step.node, {step.copy_from, 1}, step.in, false, -1};
      of_each_gradient(copy, features, features, [&](const auto& from, const auto& to) {
        kernels::add_scaled<T>(net_.executor_,
                               {.x = flatten(from), .add = false, .y = flatten(to)});
      });
    }
    const double factor = step.in.buffer < 0 ? 0 : step.out.scale / step.in.scale;
    switch (layer.kind) {
      case LayerKind::dense:
      case LayerKind::conv:
        product_back(step, node, layer, change, add);
        break;
      case LayerKind::activation:
        if (step.in.buffer >= 0) activation_back(step, node, layer);
        break;
      case LayerKind::pool:
        if (step.in.buffer < 0) break;
        of_each_gradient(step, layer.result.size(), features,
                         [&](const MatrixBatch<T>& means, const MatrixBatch<T>& images) {
                           kernels::spread_means<T>(net_.executor_, {.window = layer.window,
                                                                     .means = means,
                                                                     .factor = factor,
                                                                     .add = step.add,
                                                                     .images = images});
                         });
        break;
      case LayerKind::end:
        of_each_gradient(step, features, features, [&](const auto& out, const auto& in) {
          kernels::add_scaled<T>(net_.executor_,
                                 {.x = flatten(out), .scale = factor, .y = flatten(in)});
        });
        break;
      case LayerKind::flatten:
      case LayerKind::residual:
        break;
    }
  }
}

template class NetTangent<float>;
template class NetTangent<double>;

}  // namespace manyfold::network
