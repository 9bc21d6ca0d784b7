// Lays out values and gradients.
#include "models/network/tape.hpp"

#include <algorithm>
#include <numeric>
#include <optional>

namespace manyfold::network {
namespace {

bool contains(const std::vector<int>& all, int one) {
  return std::find(all.begin(), all.end(), one) != all.end();
}

class Maker {
 public:
  explicit Maker(const Description& description) : description_(description) {}

  Tape make() {
    forward();
    backward();
    return std::move(tape_);
  }

 private:
  const Layer& layer_of(const Node& node) const {
    return description_.layers[static_cast<std::size_t>(node.layer)];
  }
  Value& value(int number) { return tape_.values[static_cast<std::size_t>(number)]; }

  int new_value(const Shape& shape, int storage, double scale) {
    tape_.values.push_back({storage, shape, scale});
    return static_cast<int>(tape_.values.size()) - 1;
  }
  int new_storage(std::int64_t elements) {
    tape_.storage.push_back(elements);
    return static_cast<int>(tape_.storage.size()) - 1;
  }

  void forward() {
    int current = new_value(description_.input, -1, 1);
    std::vector<int> open;  // what the blocks around began with
    for (std::size_t i = 0; i < description_.layers.size(); ++i) {
      const Layer& layer = description_.layers[i];
      Node node{static_cast<std::int64_t>(i), current, -1, -1, 1};
      switch (layer.kind) {
        case LayerKind::residual:
          open.push_back(current);
          continue;
        case LayerKind::flatten:
          value(current).shape = layer.result;  // the same elements
          continue;
        case LayerKind::dense:
        case LayerKind::conv:
        case LayerKind::pool:
          node.out = new_value(layer.result, new_storage(layer.result.size()),
                               layer.kind == LayerKind::pool ? value(current).scale : 1);
          if (layer.kind == LayerKind::conv) {
            tape_.patches =
                std::max(tape_.patches, layer.window.places() * layer.window.patch_size());
          }
          break;
        case LayerKind::activation:
          if (layer.activation == kernels::Activation::linear && !contains(open, current)) {
            value(current).scale *= layer.scale;
            continue;
          }
          node.out =
              new_value(layer.result, storage_of_activation(layer, current, open), layer.scale);
          break;
        case LayerKind::end:
          node.skip = open.back();
          open.pop_back();
          node.scale = layer.scale;
          node.out = new_value(layer.result, new_storage(layer.result.size()), 1);
          break;
      }
      tape_.nodes.push_back(node);
      current = node.out;
    }
    tape_.output = current;
  }

  /// An activation overwrites what it reads where nobody needs that again.
  int storage_of_activation(const Layer& layer, int in, const std::vector<int>& open) {
    const bool read_later = contains(open, in);
    const bool is_input = value(in).storage < 0;
    // What another layer made from it (an activation in place) needs its own state.
    const bool is_state = !tape_.nodes.empty() && tape_.nodes.back().out == in &&
                          needs_own_output(tape_.nodes.back());
    if (read_later || is_input || is_state ||
        !kernels::slope_follows_from_output(layer.activation)) {
      return new_storage(layer.result.size());
    }
    return value(in).storage;
  }
  /// Whether a node reads its output again on the way back.
  bool needs_own_output(const Node& node) const {
    const Layer& layer = layer_of(node);
    return layer.kind == LayerKind::activation &&
           kernels::slope_follows_from_output(layer.activation);
  }

  // ---- gradients ----

  int allocate(std::int64_t elements) {
    for (std::size_t i = 0; i < users_.size(); ++i) {
      if (users_[i] > 0) continue;
      users_[i] = 1;
      tape_.buffers[i] = std::max(tape_.buffers[i], elements);
      return static_cast<int>(i);
    }
    users_.push_back(1);
    tape_.buffers.push_back(elements);
    return static_cast<int>(users_.size()) - 1;
  }
  void release(int buffer) { --users_[static_cast<std::size_t>(buffer)]; }

  /// Values that some trained weight lies below of.
  std::vector<bool> trained() const {
    std::vector<bool> depends(tape_.values.size(), false);
    for (const Node& node : tape_.nodes) {
      const Layer& layer = layer_of(node);
      bool here = depends[static_cast<std::size_t>(node.in)];
      if (node.skip >= 0) here = here || depends[static_cast<std::size_t>(node.skip)];
      if (layer.has_weight()) here = here || !layer.frozen || layer.bias;
      depends[static_cast<std::size_t>(node.out)] = here;
    }
    return depends;
  }

  void backward() {
    tape_.trained = trained();
    const std::vector<bool>& needed = tape_.trained;
    std::vector<std::optional<Gradient>> gradients(tape_.values.size());
    gradients[static_cast<std::size_t>(tape_.output)] =
        Gradient{allocate(value(tape_.output).shape.size()), 1};
    for (auto at = tape_.nodes.rbegin(); at != tape_.nodes.rend(); ++at) {
      const Node& node = *at;
      auto& out = gradients[static_cast<std::size_t>(node.out)];
      if (!out) continue;  // nothing below is trained
      const int number = static_cast<int>(&node - tape_.nodes.data());
      if (layer_of(node).kind == LayerKind::end) {
        end_of_block(node, *out, needed, gradients);
        continue;
      }
      BackwardStep step{number, *out, {}, false, -1};
      auto& in = gradients[static_cast<std::size_t>(node.in)];
      if (needed[static_cast<std::size_t>(node.in)]) step = into(step, node, in);
      if (step.in.buffer != out->buffer) release(out->buffer);
      tape_.backward.push_back(step);
    }
  }

  /// Chooses where the gradient of a node's input goes.
  BackwardStep into(BackwardStep step, const Node& node, std::optional<Gradient>& in) {
    const std::int64_t elements = value(node.in).shape.size();
    const bool elementwise = layer_of(node).kind == LayerKind::activation;
    const bool alone = users_[static_cast<std::size_t>(step.out.buffer)] == 1;
    if (in && users_[static_cast<std::size_t>(in->buffer)] > 1) {
      // Another value's gradient stands there, too.
      step.copy_from = in->buffer;
      release(in->buffer);
      in->buffer = allocate(elements);
      step.add = true;
    } else if (in) {
      step.add = true;
    } else if (elementwise && alone) {
      in = Gradient{step.out.buffer, 1};
    } else {
      in = Gradient{allocate(elements), 1};
    }
    step.in = *in;
    return step;
  }

  /// A sum hands its gradient on to both terms, which share the buffer.
  void end_of_block(const Node& node, const Gradient& out, const std::vector<bool>& needed,
                    std::vector<std::optional<Gradient>>& gradients) {
    const auto hand_on = [&](int to, double scale) {
      if (!needed[static_cast<std::size_t>(to)]) return;
      auto& gradient = gradients[static_cast<std::size_t>(to)];
      const Gradient given{out.buffer, out.scale * scale};
      if (!gradient) {
        gradient = given;
        ++users_[static_cast<std::size_t>(out.buffer)];
        return;
      }
      // Two blocks that began with the same value: what came first is kept, this one is added.
      BackwardStep step{static_cast<int>(&node - tape_.nodes.data()), given, *gradient, true, -1};
      if (users_[static_cast<std::size_t>(gradient->buffer)] > 1) {
        step.copy_from = gradient->buffer;
        release(gradient->buffer);
        gradient->buffer = allocate(value(to).shape.size());
        step.in = *gradient;
      }
      tape_.backward.push_back(step);
    };
    hand_on(node.in, node.scale * value(node.in).scale);
    hand_on(node.skip, value(node.skip).scale);
    release(out.buffer);
  }

  const Description& description_;
  Tape tape_;
  std::vector<int> users_;  ///< of each buffer: gradients that stand in it
};

}  // namespace

std::int64_t Tape::elements() const {
  return std::accumulate(storage.begin(), storage.end(), std::int64_t{0}) +
         std::accumulate(buffers.begin(), buffers.end(), std::int64_t{0}) + patches;
}

Tape make_tape(const Description& description) { return Maker(description).make(); }

}  // namespace manyfold::network
