// Balancedness of neighbouring layers (Du, Hu, Lee 2018): what gradient flow conserves, as matrices
// and neuron by neuron, and how far gradient descent drifts from it.
#include <algorithm>
#include <cmath>

#include "core/executor/memory.hpp"
#include "kernels/combine.hpp"
#include "kernels/neurons.hpp"
#include "kernels/norms.hpp"
#include "kernels/reduce.hpp"
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
        count_(elements_below(context.shape(), context.shape().layers())),
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

/// Hidden units of all pairs.
std::int64_t neurons(const Shape& shape) {
  std::int64_t count = 0;
  for (std::int64_t h = 1; h < shape.layers(); ++h) count += shape.layer_rows(h);
  return count;
}

/// The gap of neuron i between layers h and h+1 is ||W_h[i,:]||^2 - ||W_{h+1}[:,i]||^2.
template <class T>
class NeuronBalance : public Observer<T> {
 public:
  NeuronBalance(const ObserverContext& context, bool drift)
      : count_(neurons(context.shape())),
        gaps_(context.executor, context.slots * count_),
        start_(context.executor, drift ? context.slots * count_ : 0) {}

  void remember(Scene<T>& scene) override {
    if (start_.size() > 0) measure(scene, start_.data());
  }

  void observe(Scene<T>& scene, double* out, std::int64_t stride) override {
    measure(scene, gaps_.data());
    std::int64_t first = 0;
    for (std::int64_t h = 1; h < scene.shape().layers(); ++h) {
      kernels::reduce(scene.executor(), {.slots = scene.slots(),
                                         .count = scene.shape().layer_rows(h),
                                         .reduction = kernels::Reduction::largest_difference,
                                         .x = gaps_.data() + first,
                                         .x_stride = count_,
                                         .y = start_.size() > 0 ? start_.data() + first : nullptr,
                                         .y_stride = count_,
                                         .out = out + (h - 1),
                                         .out_stride = stride});
      first += scene.shape().layer_rows(h);
    }
  }

  std::vector<StateArray> state() override {
    if (start_.size() == 0) return {};
    return {{"start", reinterpret_cast<std::byte*>(start_.data()), double_bytes(count_),
             double_bytes(count_)}};
  }

 private:
  void measure(const Scene<T>& scene, double* gaps) const {
    std::int64_t first = 0;
    for (std::int64_t h = 1; h < scene.shape().layers(); ++h) {
      kernels::neuron_terms<T>(scene.executor(), {.a = scene.chain().weight(h),
                                                  .b = scene.chain().weight(h + 1),
                                                  .term = kernels::NeuronTerm::norm2_difference,
                                                  .out = gaps + first,
                                                  .out_stride = count_});
      first += scene.shape().layer_rows(h);
    }
  }

  std::int64_t count_;
  Buffer<double> gaps_;
  Buffer<double> start_;
};
template <class T>
class NeuronGap final : public NeuronBalance<T> {
 public:
  explicit NeuronGap(const ObserverContext& context) : NeuronBalance<T>(context, false) {}
};
template <class T>
class NeuronDrift final : public NeuronBalance<T> {
 public:
  explicit NeuronDrift(const ObserverContext& context) : NeuronBalance<T>(context, true) {}
};

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

const RegisterProbe neuron_balance({
    .kind = {.name = "neuron_balance",
             .extents = {"pair"},
             .units = "1",
             .long_name = "balancedness of hidden neurons",
             .comment = "max_i | ||W_h[i,:]||^2 - ||W_{h+1}[:,i]||^2 |, h = 1 ... L-1 (Du, Hu, Lee "
                        "2018, theorem 2.1)",
             .keys = {}},
    .extents = each_pair,
    .validate = validate_pairs,
    .bytes =
        [](const ProbeSettings& probe) {
          return ObserverBytes{.per_slot = double_bytes(neurons(probe.shape))};
        },
    .make = observer_maker<NeuronGap>(),
});

const RegisterProbe neuron_balance_drift({
    .kind = {.name = "neuron_balance_drift",
             .extents = {"pair"},
             .units = "1",
             .long_name = "drift of the balancedness of hidden neurons",
             .comment = "max_i | g_i(k) - g_i(0) |, g_i = ||W_h[i,:]||^2 - ||W_{h+1}[:,i]||^2, "
                        "h = 1 ... L-1 (Du, Hu, Lee 2018, theorem 2.1)",
             .keys = {}},
    .extents = each_pair,
    .validate = validate_pairs,
    .bytes =
        [](const ProbeSettings& probe) {
          const std::size_t gaps = double_bytes(neurons(probe.shape));
          return ObserverBytes{.per_slot = 2 * gaps, .remembered = gaps};
        },
    .make = observer_maker<NeuronDrift>(),
});

}  // namespace
}  // namespace manyfold::factorization
