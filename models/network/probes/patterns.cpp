// Activation patterns of ReLU layers, and what has changed of them (Du 2019, thesis, chapter 2).
#include "kernels/patterns.hpp"

#include "core/executor/memory.hpp"
#include "kernels/combine.hpp"
#include "models/network/probes.hpp"

namespace manyfold::network {
namespace {

/// Indices of the layers that have patterns.
std::vector<std::int64_t> pattern_layers(const Description& description) {
  std::vector<std::int64_t> layers;
  for (std::size_t i = 0; i < description.layers.size(); ++i) {
    const Layer& layer = description.layers[i];
    if (layer.kind != LayerKind::activation) continue;
    if (layer.activation == kernels::Activation::relu ||
        layer.activation == kernels::Activation::leaky_relu) {
      layers.push_back(static_cast<std::int64_t>(i));
    }
  }
  return layers;
}

std::int64_t features(const Description& description, std::int64_t layer) {
  return description.layers[static_cast<std::size_t>(layer)].result.size();
}

/// Entries of all patterns of one example.
std::int64_t pattern_features(const Description& description) {
  std::int64_t count = 0;
  for (const std::int64_t layer : pattern_layers(description)) {
    count += features(description, layer);
  }
  return count;
}

template <class T>
class ChangedPatterns final : public Observer<T> {
 public:
  explicit ChangedPatterns(const ObserverContext& context)
      : slots_(context.slots),
        examples_(context.probe.data.train),
        layers_(pattern_layers(context.probe.description)),
        stride_(examples_ * pattern_features(context.probe.description)),
        patterns_(context.executor, slots_ * stride_),
        changed_(context.executor, slots_ * examples_ * static_cast<std::int64_t>(layers_.size())) {
  }

  void remember(Scene<T>& scene) override {
    scene.objective.each_pass(Set::train, [&](std::int64_t first, std::int64_t count) {
      for (std::size_t i = 0; i < layers_.size(); ++i) {
        kernels::sign_patterns<T>(scene.executor(),
                                  {scene.net.state(layers_[i]), pattern(scene, i, first, count)});
      }
    });
  }

  void observe(Scene<T>& scene, double* out, std::int64_t stride) override {
    const std::int64_t per_slot = examples_ * static_cast<std::int64_t>(layers_.size());
    scene.objective.each_pass(Set::train, [&](std::int64_t first, std::int64_t count) {
      for (std::size_t i = 0; i < layers_.size(); ++i) {
        kernels::changed_signs<T>(scene.executor(),
                                  {scene.net.state(layers_[i]), pattern(scene, i, first, count),
                                   of_layer(i) + first, per_slot});
      }
    });
    for (std::size_t i = 0; i < layers_.size(); ++i) {
      const auto entries =
          static_cast<double>(examples_ * features(scene.description(), layers_[i]));
      scene.objective.sum(of_layer(i), examples_, per_slot, out + i, stride);
      kernels::combine(scene.executor(), {.slots = slots_,
                                          .scale = 1 / entries,
                                          .numerator = out + i,
                                          .numerator_stride = stride,
                                          .out = out + i,
                                          .out_stride = stride});
    }
  }

  std::vector<StateArray> state() override {
    return {{"start", reinterpret_cast<std::byte*>(patterns_.data()),
             static_cast<std::size_t>(stride_), static_cast<std::size_t>(stride_)}};
  }

 private:
  /// Patterns of layer i on some examples, (slot, row, feature).
  MatrixBatch<std::uint8_t> pattern(const Scene<T>& scene, std::size_t i, std::int64_t first,
                                    std::int64_t count) const {
    std::int64_t before = 0;
    for (std::size_t j = 0; j < i; ++j) before += features(scene.description(), layers_[j]);
    const std::int64_t width = features(scene.description(), layers_[i]);
    return {patterns_.data() + examples_ * before + first * width,
            slots_,
            count,
            width,
            stride_,
            width};
  }
  /// (slot, example) counts of layer i.
  double* of_layer(std::size_t i) const {
    return changed_.data() + static_cast<std::int64_t>(i) * examples_;
  }

  std::int64_t slots_;
  std::int64_t examples_;
  std::vector<std::int64_t> layers_;
  std::int64_t stride_;
  Buffer<std::uint8_t> patterns_;
  Buffer<double> changed_;
};

const RegisterProbe changed_patterns({
    .kind = {.name = "changed_patterns",
             .extents = {"layer"},
             .units = "1",
             .long_name = "share of activation patterns that have changed",
             .comment = "share of the entries 1{z > 0} of each relu or leaky_relu layer, over its "
                        "neurons and the train examples, that differ from the start (Du 2019, "
                        "thesis, section 2)",
             .keys = {}},
    .extents = [](const ProbeSettings& probe) -> std::vector<std::int64_t> {
      return {static_cast<std::int64_t>(pattern_layers(probe.description).size())};
    },
    .validate =
        [](const ProbeSettings& probe) {
          if (!pattern_layers(probe.description).empty()) return;
          probe.reject("activation patterns of " + probe.description.text(),
                       "a network with a relu or leaky_relu");
        },
    .bytes =
        [](const ProbeSettings& probe) {
          const auto patterns =
              static_cast<std::size_t>(probe.data.train * pattern_features(probe.description));
          const auto layers = static_cast<std::int64_t>(pattern_layers(probe.description).size());
          return ObserverBytes{.per_slot = patterns + double_bytes(probe.data.train * layers),
                               .remembered = patterns};
        },
    .make = observer_maker<ChangedPatterns>(),
});

}  // namespace
}  // namespace manyfold::network
