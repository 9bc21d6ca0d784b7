// Norms of the trained weights, and how far they have moved.
#include "kernels/norms.hpp"

#include <cmath>

#include "core/executor/memory.hpp"
#include "kernels/combine.hpp"
#include "kernels/residual.hpp"
#include "models/network/probes.hpp"

namespace manyfold::network {
namespace {

/// ||W_h(k) - W_h(0)||_F, over ||W_h(0)||_F where `relative`; of a pattern of its parameters.
template <class T>
class Movement : public Observer<T> {
 public:
  Movement(const ObserverContext& context, bool relative)
      : relative_(relative),
        start_(context.executor, context.probe.description, context.slots),
        squares_(context.executor, 2 * context.slots) {}

  void remember(Scene<T>& scene) override { start_.load(scene.net); }

  void observe(Scene<T>& scene, double* out, std::int64_t stride) override {
    double* half_square = squares_.data();
    double* norm2 = squares_.data() + scene.slots();
    for (const std::int64_t h : trained_weights(scene.description())) {
      const MatrixBatch<const T> start = start_.weight(scene.net, h);
      kernels::residual<T>(scene.executor(), {.w = scene.net.free_weight(h),
                                              .target = start,
                                              .mask = {},
                                              .residual = {},
                                              .half_square = half_square});
      if (relative_) kernels::sum_of_squares<T>(scene.executor(), {flatten(start), norm2, 1});
      kernels::combine(scene.executor(), {.slots = scene.slots(),
                                          .scale = std::sqrt(2.0),
                                          .square_root = true,
                                          .numerator = half_square,
                                          .denominator = relative_ ? norm2 : nullptr,
                                          .out = out++,
                                          .out_stride = stride});
    }
  }

  std::vector<StateArray> state() override { return start_.state(); }

 private:
  bool relative_;
  StartWeights<T> start_;
  Buffer<double> squares_;
};
template <class T>
class WeightDistance final : public Movement<T> {
 public:
  explicit WeightDistance(const ObserverContext& context) : Movement<T>(context, false) {}
};
template <class T>
class WeightMovement final : public Movement<T> {
 public:
  explicit WeightMovement(const ObserverContext& context) : Movement<T>(context, true) {}
};

ObserverBytes movement_bytes(const ProbeSettings& probe) {
  ObserverBytes bytes = start_bytes(probe);
  bytes.per_slot += double_bytes(2);
  return bytes;
}

const RegisterProbe layer_norm2(layer_norm2_probe<Observed>(
    "||W_h||_F^2 of the trained weights from the input; of a convolution or a pattern over its "
    "free parameters "
    "(Du, Hu, Lee 2018, eq. 4)"));

const RegisterProbe layer_norm2_difference(layer_norm2_difference_probe<Observed>(
    "||W_{h+1}||_F^2 - ||W_h||_F^2 of the trained weights (Du, Hu, Lee 2018, corollary 2.1)"));

const RegisterProbe layer_norm2_ratio(layer_norm2_ratio_probe<Observed>(
    "||W_{h+1}||_F^2 / ||W_h||_F^2 of the trained weights (Du, Hu, Lee 2018, figure 2)"));

const RegisterProbe weight_distance({
    .kind = {.name = "weight_distance",
             .extents = {"layer"},
             .units = "1",
             .long_name = "distance of each layer from its start",
             .comment = "||W_h(k) - W_h(0)||_F of the trained weights, of a pattern over its free "
                        "parameters",
             .keys = {}},
    .extents = each_layer,
    .bytes = movement_bytes,
    .make = observer_maker<WeightDistance>(),
});

const RegisterProbe weight_movement({
    .kind = {.name = "weight_movement",
             .extents = {"layer"},
             .units = "1",
             .long_name = "relative movement of each layer from its start",
             .comment =
                 "||W_h(k) - W_h(0)||_F / ||W_h(0)||_F of the trained weights, of a pattern over "
                 "its free parameters",
             .keys = {}},
    .extents = each_layer,
    .bytes = movement_bytes,
    .make = observer_maker<WeightMovement>(),
});

}  // namespace
}  // namespace manyfold::network
