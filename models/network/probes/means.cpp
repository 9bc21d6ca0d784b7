// Means of the hidden layers' outputs over neurons, beside their limit of infinite width (Du 2019,
// thesis, theorem 3.4).
#include <cmath>
#include <span>
#include <vector>

#include "core/executor/memory.hpp"
#include "kernels/gemm.hpp"
#include "kernels/reduce.hpp"
#include "kernels/widen.hpp"
#include "models/network/limits.hpp"
#include "models/network/probes.hpp"

namespace manyfold::network {
namespace {

/// Indices of the layers whose outputs are x^(1), ..., x^(H): the first activation, then the ends
/// of blocks, or every activation where there are none.
std::vector<std::int64_t> hidden_layers(const Description& description) {
  std::vector<std::int64_t> layers;
  for (std::size_t i = 0; i < description.layers.size(); ++i) {
    const LayerKind kind = description.layers[i].kind;
    const bool is_one = kind == LayerKind::activation ? layers.empty() || !description.has_blocks()
                                                      : kind == LayerKind::end;
    if (is_one) layers.push_back(static_cast<std::int64_t>(i));
  }
  return layers;
}

const Shape& shape_of(const Description& description) {
  return description.layers[static_cast<std::size_t>(hidden_layers(description).front())].result;
}
std::int64_t places_of(const Description& description) {
  const Shape& shape = shape_of(description);
  return shape.size() / shape.channels;
}
std::int64_t entries_of(const ProbeSettings& probe) {
  return probe.data.train * places_of(probe.description);
}

/// max over examples (and places) of | sqrt(m) mean_r x^(h)_r - b^(h) |.
template <class T>
class LayerMeanError final : public Observer<T> {
 public:
  explicit LayerMeanError(const ObserverContext& context)
      : layers_(hidden_layers(context.probe.description)),
        places_(places_of(context.probe.description)),
        channels_(shape_of(context.probe.description).channels),
        examples_(context.probe.data.train),
        entries_(entries_of(context.probe)),
        limits_(context.executor,
                context.slots * entries_ * static_cast<std::int64_t>(layers_.size())),
        ones_(context.executor, channels_),
        means_(context.executor,
               context.slots * entries_ * static_cast<std::int64_t>(layers_.size())),
        wide_(context.executor, means_.size()) {
    ones_.upload(std::vector<T>(static_cast<std::size_t>(channels_), T(1)));
  }

  void load(std::span<const Settings> members) override {
    for (std::size_t slot = 0; slot < members.size(); ++slot) {
      const Settings& member = members[slot];
      limits_.upload(limit_layer_means(member, description_of(member), Set::train, examples_),
                     static_cast<std::int64_t>(slot) * per_slot());
    }
  }

  void observe(Scene<T>& scene, double* out, std::int64_t stride) override {
    const std::int64_t slots = scene.slots();
    scene.objective.each_pass(Set::train, [&](std::int64_t first, std::int64_t count) {
      for (std::size_t i = 0; i < layers_.size(); ++i) {
        const MatrixBatch<T> x = scene.net.state(layers_[i]);
        const std::int64_t rows = count * places_;
        const double scale =
            scene.net.state_scale(layers_[i]) / std::sqrt(static_cast<double>(channels_));
        kernels::gemm<T>(
            scene.executor(),
            {.alpha = static_cast<T>(scale),
             .a = {x.data, slots, rows, channels_, x.slot_stride, channels_},
             .b = {ones_.data(), slots, channels_, 1, 0, 1},
             .c = {means_.data() + of_layer(i) + first * places_, slots, rows, 1, per_slot(), 1}});
      }
    });
    kernels::widen<T>(scene.executor(),
                      {{means_.data(), slots, per_slot(), per_slot()}, wide_.data(), per_slot()});
    for (std::size_t i = 0; i < layers_.size(); ++i) {
      kernels::reduce(scene.executor(), {.slots = slots,
                                         .count = entries_,
                                         .reduction = kernels::Reduction::largest_difference,
                                         .x = wide_.data() + of_layer(i),
                                         .x_stride = per_slot(),
                                         .y = limits_.data() + of_layer(i),
                                         .y_stride = per_slot(),
                                         .out = out++,
                                         .out_stride = stride});
    }
  }

 private:
  std::int64_t of_layer(std::size_t i) const { return static_cast<std::int64_t>(i) * entries_; }
  std::int64_t per_slot() const { return of_layer(layers_.size()); }

  std::vector<std::int64_t> layers_;
  std::int64_t places_;
  std::int64_t channels_;
  std::int64_t examples_;
  std::int64_t entries_;
  Buffer<double> limits_;
  Buffer<T> ones_;
  Buffer<T> means_;
  Buffer<double> wide_;
};

const RegisterProbe layer_mean_error({
    .kind = {.name = "layer_mean_error",
             .extents = {"hidden_layer"},
             .units = "1",
             .long_name = "distance of each hidden layer's mean from its limit",
             .comment = "max over the train examples, of convolutions over places, too, of "
                        "|sqrt(m) mean_r x^(h)_r - b^(h)|, b^(h) of infinite width (Du 2019, "
                        "thesis, theorem 3.4)",
             .keys = {}},
    .extents = [](const ProbeSettings& probe) -> std::vector<std::int64_t> {
      return {static_cast<std::int64_t>(hidden_layers(probe.description).size())};
    },
    .validate =
        [](const ProbeSettings& probe) {
          const NoLimit why = why_no_limit(probe.settings, probe.description);
          if (!why.found.empty()) probe.reject(why.found, why.expected);
          if (probe.settings.text("model.kind") != "two_layer_relu") return;
          probe.reject("a \"two_layer_relu\"", "an fc, resnet or conv_resnet");
        },
    .bytes =
        [](const ProbeSettings& probe) {
          const std::int64_t all = entries_of(probe) * static_cast<std::int64_t>(
                                                           hidden_layers(probe.description).size());
          return ObserverBytes{
              .per_slot = 2 * double_bytes(all) + element_bytes(probe, all),
              .shared = element_bytes(probe, shape_of(probe.description).channels)};
        },
    .make = observer_maker<LayerMeanError>(),
});

}  // namespace
}  // namespace manyfold::network
