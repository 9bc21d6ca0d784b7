// Observers of what every net of layers has: norms of weights, hidden neurons between neighbouring
// weights, all parameters. Beside what observers.hpp asks of a scene they need
//   weights()        W_h of the layers that are looked at, from the input, (slot, rows, cols)
//   neighbours()     {a, b} for each pair of neighbouring weights: rows of a and columns of b are
//                    what goes into a hidden neuron and comes out of it
//   all_parameters() (slot, element)
// and, by the kind's namespace, each_layer, each_pair, validate_pairs and hidden_neurons of its
// ProbeSettings.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "core/executor/memory.hpp"
#include "kernels/combine.hpp"
#include "kernels/neurons.hpp"
#include "kernels/norms.hpp"
#include "kernels/reduce.hpp"
#include "kernels/widen.hpp"
#include "models/training/observers.hpp"

namespace manyfold {

/// What goes into the hidden neurons between two layers, and what comes out.
template <class T>
struct Neighbours {
  MatrixBatch<const T> a;
  MatrixBatch<const T> b;
};

template <class Observed>
struct LayerObservers {
  template <class T>
  using Scene = typename Observed::template Scene<T>;
  using Context = ObserverContextOf<Observed>;

  template <class T>
  static void norms2(const Scene<T>& scene, double* out, std::int64_t stride) {
    for (const MatrixBatch<const T>& weight : scene.weights()) {
      kernels::sum_of_squares<T>(scene.executor(), {flatten(weight), out++, stride});
    }
  }

  /// ||W_h||^2.
  template <class T>
  class Norm2 final : public ObserverOf<Scene<T>> {
   public:
    explicit Norm2(const Context&) {}
    void observe(Scene<T>& scene, double* out, std::int64_t stride) override {
      norms2<T>(scene, out, stride);
    }
  };

  /// Of each layer and the one below it: difference or ratio of ||W_h||^2.
  template <class T, bool ratio>
  class NeighbourNorms : public ObserverOf<Scene<T>> {
   public:
    explicit NeighbourNorms(const Context& context)
        : layers_(each_layer(context.probe).front()),
          norms2_(context.executor, context.slots * layers_) {}
    void observe(Scene<T>& scene, double* out, std::int64_t stride) override {
      norms2<T>(scene, norms2_.data(), layers_);
      const double* below = norms2_.data();
      kernels::combine(scene.executor(), {.slots = scene.slots(),
                                          .count = layers_ - 1,
                                          .numerator = below + 1,
                                          .numerator_stride = layers_,
                                          .denominator = ratio ? below : nullptr,
                                          .denominator_stride = layers_,
                                          .out = out,
                                          .out_stride = stride,
                                          .minus = ratio ? nullptr : below,
                                          .minus_stride = layers_});
    }

   private:
    std::int64_t layers_;
    Buffer<double> norms2_;
  };
  template <class T>
  using NormDifference = NeighbourNorms<T, false>;
  template <class T>
  using NormRatio = NeighbourNorms<T, true>;

  /// Largest gap ||W_h[i,:]||^2 - ||W_{h+1}[:,i]||^2 of a pair's neurons, or largest change of one
  /// since the start.
  template <class T, bool drift>
  class NeuronBalance : public ObserverOf<Scene<T>> {
   public:
    explicit NeuronBalance(const Context& context)
        : count_(hidden_neurons(context.probe)),
          gaps_(context.executor, context.slots * count_),
          start_(context.executor, drift ? context.slots * count_ : 0) {}

    void remember(Scene<T>& scene) override {
      if (drift) measure(scene, start_.data());
    }

    void observe(Scene<T>& scene, double* out, std::int64_t stride) override {
      measure(scene, gaps_.data());
      std::int64_t first = 0;
      for (const Neighbours<T>& pair : scene.neighbours()) {
        kernels::reduce(scene.executor(), {.slots = scene.slots(),
                                           .count = pair.a.rows,
                                           .reduction = kernels::Reduction::largest_difference,
                                           .x = gaps_.data() + first,
                                           .x_stride = count_,
                                           .y = drift ? start_.data() + first : nullptr,
                                           .y_stride = count_,
                                           .out = out++,
                                           .out_stride = stride});
        first += pair.a.rows;
      }
    }

    std::vector<StateArray> state() override {
      if (!drift) return {};
      return {{"start", reinterpret_cast<std::byte*>(start_.data()), double_bytes(count_),
               double_bytes(count_)}};
    }

   private:
    void measure(const Scene<T>& scene, double* gaps) const {
      for (const Neighbours<T>& pair : scene.neighbours()) {
        kernels::neuron_terms<T>(scene.executor(), {.a = pair.a,
                                                    .b = pair.b,
                                                    .term = kernels::NeuronTerm::norm2_difference,
                                                    .out = gaps,
                                                    .out_stride = count_});
        gaps += pair.a.rows;
      }
    }

    std::int64_t count_;
    Buffer<double> gaps_;
    Buffer<double> start_;
  };
  template <class T>
  using NeuronGap = NeuronBalance<T, false>;
  template <class T>
  using NeuronDrift = NeuronBalance<T, true>;

  template <class T>
  class EveryParameter final : public ObserverOf<Scene<T>> {
   public:
    explicit EveryParameter(const Context&) {}
    void observe(Scene<T>& scene, double* out, std::int64_t stride) override {
      kernels::widen<T>(scene.executor(), {scene.all_parameters(), out, stride});
    }
  };
};

// The probes; `comment` is what the record says of them.

template <class Observed>
ProbeOf<Observed> layer_norm2_probe(std::string comment) {
  return {.kind = {.name = "layer_norm2",
                   .extents = {"layer"},
                   .units = "1",
                   .long_name = "squared norm of each layer",
                   .comment = std::move(comment),
                   .keys = {}},
          .extents = [](const typename Observed::Settings& probe) { return each_layer(probe); },
          .make = observer_maker_of<Observed, LayerObservers<Observed>::template Norm2>()};
}

/// Of ||W_{h+1}||^2 beside ||W_h||^2.
template <class Observed>
ProbeOf<Observed> neighbour_norms_probe(std::string name, std::string long_name,
                                        std::string comment, ObserverMakerOf<Observed> make) {
  using Asked = typename Observed::Settings;
  return {.kind = {.name = std::move(name),
                   .extents = {"pair"},
                   .units = "1",
                   .long_name = std::move(long_name),
                   .comment = std::move(comment),
                   .keys = {}},
          .extents = [](const Asked& probe) { return each_pair(probe); },
          .validate = [](const Asked& probe) { validate_pairs(probe); },
          .bytes =
              [](const Asked& probe) {
                return ObserverBytes{.per_slot = double_bytes(each_layer(probe).front())};
              },
          .make = make};
}
template <class Observed>
ProbeOf<Observed> layer_norm2_difference_probe(std::string comment) {
  return neighbour_norms_probe<Observed>(
      "layer_norm2_difference", "difference of the squared norms of neighbouring layers",
      std::move(comment),
      observer_maker_of<Observed, LayerObservers<Observed>::template NormDifference>());
}
template <class Observed>
ProbeOf<Observed> layer_norm2_ratio_probe(std::string comment) {
  return neighbour_norms_probe<Observed>(
      "layer_norm2_ratio", "ratio of the squared norms of neighbouring layers", std::move(comment),
      observer_maker_of<Observed, LayerObservers<Observed>::template NormRatio>());
}

/// `validate`: whether there are neurons that can be balanced.
template <class Observed>
ProbeOf<Observed> neuron_probe(std::string name, std::string long_name, std::string comment,
                               void (*validate)(const typename Observed::Settings&),
                               ObserverBytes (*bytes)(const typename Observed::Settings&),
                               ObserverMakerOf<Observed> make) {
  return {.kind = {.name = std::move(name),
                   .extents = {"pair"},
                   .units = "1",
                   .long_name = std::move(long_name),
                   .comment = std::move(comment),
                   .keys = {}},
          .extents = [](const typename Observed::Settings& probe) { return each_pair(probe); },
          .validate = validate,
          .bytes = bytes,
          .make = make};
}
template <class Observed>
ProbeOf<Observed> neuron_balance_probe(std::string comment,
                                       void (*validate)(const typename Observed::Settings&)) {
  return neuron_probe<Observed>(
      "neuron_balance", "balancedness of hidden neurons", std::move(comment), validate,
      [](const typename Observed::Settings& probe) {
        return ObserverBytes{.per_slot = double_bytes(hidden_neurons(probe))};
      },
      observer_maker_of<Observed, LayerObservers<Observed>::template NeuronGap>());
}
template <class Observed>
ProbeOf<Observed> neuron_balance_drift_probe(std::string comment,
                                             void (*validate)(const typename Observed::Settings&)) {
  return neuron_probe<Observed>(
      "neuron_balance_drift", "drift of the balancedness of hidden neurons", std::move(comment),
      validate,
      [](const typename Observed::Settings& probe) {
        const std::size_t gaps = double_bytes(hidden_neurons(probe));
        return ObserverBytes{.per_slot = 2 * gaps, .remembered = gaps};
      },
      observer_maker_of<Observed, LayerObservers<Observed>::template NeuronDrift>());
}

template <class Observed>
ProbeOf<Observed> parameters_probe(
    std::string comment, std::vector<std::int64_t> (*extents)(const typename Observed::Settings&)) {
  return {.kind = {.name = "parameters",
                   .extents = {"parameter"},
                   .units = "1",
                   .long_name = "parameters",
                   .comment = std::move(comment),
                   .keys = {},
                   .is_parameters = true},
          .extents = extents,
          .make = observer_maker_of<Observed, LayerObservers<Observed>::template EveryParameter>()};
}

}  // namespace manyfold
