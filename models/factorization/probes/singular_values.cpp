// Singular values of the end-to-end matrix and of the layers.
#include <algorithm>
#include <limits>

#include "kernels/combine.hpp"
#include "models/factorization/probes.hpp"

namespace manyfold::factorization {
namespace {

KeySpec count_key() {
  return {.path = "count",
          .type = Type::integer,
          .doc = "How many of the largest singular values, or how many directions; by default all.",
          .min = 1,
          .sweepable = false};
}

std::int64_t count_of(const ProbeSettings& probe, std::int64_t all) {
  return probe.has("count") ? probe.integer("count") : all;
}

template <class T>
class SingularValues final : public Observer<T> {
 public:
  explicit SingularValues(const ObserverContext& context)
      : count_(count_of(context.probe, rank_limit(context.probe.shape))) {}
  void observe(Scene<T>& scene, double* out, std::int64_t stride) override {
    scene.copy(count_, scene.singular_values(), scene.rank_limit(), out, stride);
  }

 private:
  std::int64_t count_;
};

template <class T>
class LayerSingularValues final : public Observer<T> {
 public:
  explicit LayerSingularValues(const ObserverContext& context)
      : count_(count_of(context.probe, layer_rank_limit(context.probe.shape))) {}
  void observe(Scene<T>& scene, double* out, std::int64_t stride) override {
    for (std::int64_t h = 1; h <= scene.shape().layers(); ++h) {
      scene.copy(count_, scene.layer_singular_values(h), scene.layer_spectra_stride(),
                 out + (h - 1) * count_, stride);
    }
  }

 private:
  std::int64_t count_;
};

/// c n eps s_1 with c = 4: what a backward stable method may do to a value.
template <class T>
class SingularValueFloor final : public Observer<T> {
 public:
  explicit SingularValueFloor(const ObserverContext&) {}
  void observe(Scene<T>& scene, double* out, std::int64_t stride) override {
    const auto n = static_cast<double>(std::max(scene.shape().rows(), scene.shape().cols()));
    kernels::combine(scene.executor(), {.slots = scene.slots(),
                                        .scale = 4 * n * std::numeric_limits<double>::epsilon(),
                                        .numerator = scene.singular_values(),
                                        .numerator_stride = scene.rank_limit(),
                                        .out = out,
                                        .out_stride = stride});
  }
};

void validate_end(const ProbeSettings& probe) {
  const std::int64_t most = rank_limit(probe.shape);
  if (count_of(probe, most) <= most) return;
  probe.reject("count", std::to_string(probe.integer("count")),
               "at most min(rows, cols) = " + std::to_string(most));
}

void validate_layers(const ProbeSettings& probe) {
  const std::int64_t most = layer_rank_limit(probe.shape);
  if (count_of(probe, most) <= most) return;
  probe.reject("count", std::to_string(probe.integer("count")),
               "at most " + std::to_string(most) + ", the largest min(rows, cols) of a layer of " +
                   probe.shape.text());
}

const RegisterProbe singular_values({
    .kind = {.name = "singular_values",
             .extents = {"index"},
             .units = "1",
             .long_name = "singular values of the end-to-end matrix",
             .comment = "s_i(W), decreasing",
             .keys = {count_key()}},
    .extents = [](const ProbeSettings& probe) -> std::vector<std::int64_t> {
      return {count_of(probe, rank_limit(probe.shape))};
    },
    .validate = validate_end,
    .needs = {.singular_values = true},
    .make = observer_maker<SingularValues>(),
});

const RegisterProbe singular_value_floor({
    .kind = {.name = "singular_value_floor",
             .extents = {},
             .units = "1",
             .long_name = "singular values below which rounding may have made what is seen",
             .comment =
                 "4 max(rows, cols) eps s_1(W), for W taken as it is; as values come from the "
                 "factors, those below it are right, too, to eps times the factors' condition",
             .keys = {}},
    .needs = {.singular_values = true},
    .make = observer_maker<SingularValueFloor>(),
});

const RegisterProbe layer_singular_values({
    .kind = {.name = "layer_singular_values",
             .extents = {"layer", "index"},
             .units = "1",
             .long_name = "singular values of each layer",
             .comment = "s_i(W_h), decreasing; NaN where a layer has fewer",
             .keys = {count_key()}},
    .extents = [](const ProbeSettings& probe) -> std::vector<std::int64_t> {
      return {probe.shape.layers(), count_of(probe, layer_rank_limit(probe.shape))};
    },
    .validate = validate_layers,
    .needs = {.layer_singular_values = true},
    .make = observer_maker<LayerSingularValues>(),
});

}  // namespace
}  // namespace manyfold::factorization
