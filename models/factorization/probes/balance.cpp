// Balancedness of neighbouring layers (Du, Hu, Lee 2018): what gradient flow conserves, as matrices
// and neuron by neuron, and how far gradient descent drifts from it.
#include <algorithm>
#include <cmath>

#include "core/executor/memory.hpp"
#include "kernels/combine.hpp"
#include "kernels/norms.hpp"
#include "kernels/residual.hpp"
#include "models/factorization/probes.hpp"
#include "models/factorization/probes/pair_difference.hpp"

namespace manyfold::factorization {
namespace {

template <class T>
class Balance final : public Observer<T> {
 public:
  explicit Balance(const ObserverContext& context) : difference_(context) {}

  void observe(Scene<T>& scene, double* out, std::int64_t stride) override {
    const std::int64_t pairs = scene.shape().layers() - 1;
    for (std::int64_t h = 1; h <= pairs; ++h) {
      const MatrixBatch<const T> difference = difference_(scene.chain(), h);
      kernels::sum_of_squares<T>(scene.executor(), {flatten(difference), out + (h - 1), stride});
    }
    scene.root(pairs, out, stride);
  }

 private:
  PairDifference<T> difference_;
};

/// Elements of D_1 ... D_{h-1}.
std::int64_t elements_below(const Shape& shape, std::int64_t h) {
  std::int64_t elements = 0;
  for (std::int64_t i = 1; i < h; ++i) elements += shape.layer_rows(i) * shape.layer_rows(i);
  return elements;
}

template <class T>
class BalanceDrift final : public Observer<T> {
 public:
  explicit BalanceDrift(const ObserverContext& context)
      : slots_(context.slots),
        count_(elements_below(context.probe.shape, context.probe.shape.layers())),
        stride_(padded<T>(count_)),
        difference_(context),
        start_(context.executor, context.slots * stride_),
        half_square_(context.executor, context.slots) {}

  void remember(Scene<T>& scene) override {
    for (std::int64_t h = 1; h < scene.shape().layers(); ++h) {
      PairDifference<T>::compute(scene.chain(), h, start(scene.shape(), h));
    }
  }

  void observe(Scene<T>& scene, double* out, std::int64_t stride) override {
    for (std::int64_t h = 1; h < scene.shape().layers(); ++h) {
      kernels::residual<T>(scene.executor(), {.w = difference_(scene.chain(), h),
                                              .target = start(scene.shape(), h),
                                              .mask = {},
                                              .observed = true,
                                              .residual = {},
                                              .half_square = half_square_.data()});
      kernels::combine(scene.executor(), {.slots = slots_,
                                          .scale = std::sqrt(2.0),
                                          .square_root = true,
                                          .numerator = half_square_.data(),
                                          .out = out + (h - 1),
                                          .out_stride = stride});
    }
  }

  std::vector<StateArray> state() override {
    return {{"start", reinterpret_cast<std::byte*>(start_.data()),
             static_cast<std::size_t>(count_) * sizeof(T),
             static_cast<std::size_t>(stride_) * sizeof(T)}};
  }

 private:
  MatrixBatch<T> start(const Shape& shape, std::int64_t h) const {
    const std::int64_t n = shape.layer_rows(h);
    return {start_.data() + elements_below(shape, h), slots_, n, n, stride_, n};
  }

  std::int64_t slots_;
  std::int64_t count_;
  std::int64_t stride_;
  PairDifference<T> difference_;
  Buffer<T> start_;
  Buffer<double> half_square_;
};

ObserverBytes balance_drift_bytes(const ProbeSettings& probe) {
  const std::int64_t start = elements_below(probe.shape, probe.shape.layers());
  return {.per_slot = pair_difference_bytes(probe) + padded_bytes(probe, start) + sizeof(double),
          .remembered = element_bytes(probe, start)};
}

const RegisterProbe balance({
    .kind = {.name = "balance",
             .extents = {"pair"},
             .units = "1",
             .long_name = "balancedness of neighbouring layers",
             .comment = "||W_{h+1}^T W_{h+1} - W_h W_h^T||_F, h = 1 ... L-1 (Du, Hu, Lee 2018, "
                        "theorem 2.2)",
             .keys = {}},
    .extents = each_pair,
    .validate = validate_pairs,
    .bytes =
        [](const ProbeSettings& probe) {
          return ObserverBytes{.per_slot = pair_difference_bytes(probe)};
        },
    .make = observer_maker<Balance>(),
});

const RegisterProbe balance_drift({
    .kind = {.name = "balance_drift",
             .extents = {"pair"},
             .units = "1",
             .long_name = "drift of the balancedness of neighbouring layers",
             .comment = "||D_h(k) - D_h(0)||_F, D_h = W_{h+1}^T W_{h+1} - W_h W_h^T, h = 1 ... L-1 "
                        "(Du, Hu, Lee 2018, theorem 2.2)",
             .keys = {}},
    .extents = each_pair,
    .validate = validate_pairs,
    .bytes = balance_drift_bytes,
    .make = observer_maker<BalanceDrift>(),
});

const RegisterProbe neuron_balance(neuron_balance_probe<Observed>(
    "max_i | ||W_h[i,:]||^2 - ||W_{h+1}[:,i]||^2 |, h = 1 ... L-1 (Du, Hu, Lee 2018, theorem 2.1)",
    validate_pairs));

const RegisterProbe neuron_balance_drift(neuron_balance_drift_probe<Observed>(
    "max_i | g_i(k) - g_i(0) |, g_i = ||W_h[i,:]||^2 - ||W_{h+1}[:,i]||^2, h = 1 ... L-1 (Du, Hu, "
    "Lee 2018, theorem 2.1)",
    validate_pairs));

}  // namespace
}  // namespace manyfold::factorization
