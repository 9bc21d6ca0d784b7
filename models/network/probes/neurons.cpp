// Hidden neurons, of convolutions channels: what gradient flow conserves of each (Du, Hu, Lee
// 2018), and how far each has moved from its start (Du 2019, thesis, chapter 2).
#include "kernels/neurons.hpp"

#include <algorithm>

#include "core/executor/memory.hpp"
#include "kernels/add_scaled.hpp"
#include "kernels/combine.hpp"
#include "kernels/reduce.hpp"
#include "models/network/probes.hpp"

namespace manyfold::network {
namespace {

std::int64_t rows_of(const Description& description, std::int64_t h) {
  return description.weights[static_cast<std::size_t>(h - 1)].rows;
}

/// Hidden neurons of all pairs.
std::int64_t neurons(const Description& description) {
  std::int64_t count = 0;
  for (std::size_t h = 1; h < description.weights.size(); ++h) {
    count += rows_of(description, static_cast<std::int64_t>(h));
  }
  return count;
}

/// The columns of the layer above that read a channel stand side by side in rows of as many
/// channels, one for each output and each tap or place: channels are last wherever they are.
template <class T>
MatrixBatch<const T> readers(const Net<T>& net, std::int64_t h) {
  const MatrixBatch<const T> w = net.weight(h + 1);
  const std::int64_t channels = rows_of(net.description(), h);
  return {w.data, w.slots, w.size() / channels, channels, w.slot_stride, channels};
}

/// The gap of neuron i between layers h and h+1 is ||W_h[i,:]||^2 - ||W_{h+1}[:,i]||^2.
template <class T>
class NeuronBalance : public Observer<T> {
 public:
  NeuronBalance(const ObserverContext& context, bool drift)
      : count_(neurons(context.probe.description)),
        gaps_(context.executor, context.slots * count_),
        start_(context.executor, drift ? context.slots * count_ : 0) {}

  void load(std::span<const Settings>, Scene<T>& scene) override {
    if (start_.size() > 0) measure(scene, start_.data());
  }

  void observe(Scene<T>& scene, double* out, std::int64_t stride) override {
    measure(scene, gaps_.data());
    std::int64_t first = 0;
    for (std::int64_t h = 1; h <= pairs(scene); ++h) {
      const std::int64_t rows = rows_of(scene.description(), h);
      kernels::reduce(scene.executor(), {.slots = scene.slots(),
                                         .count = rows,
                                         .reduction = kernels::Reduction::largest_difference,
                                         .x = gaps_.data() + first,
                                         .x_stride = count_,
                                         .y = start_.size() > 0 ? start_.data() + first : nullptr,
                                         .y_stride = count_,
                                         .out = out + (h - 1),
                                         .out_stride = stride});
      first += rows;
    }
  }

  std::vector<StateArray> state() override {
    if (start_.size() == 0) return {};
    return {{"start", reinterpret_cast<std::byte*>(start_.data()), double_bytes(count_),
             double_bytes(count_)}};
  }

 private:
  static std::int64_t pairs(const Scene<T>& scene) {
    return static_cast<std::int64_t>(scene.description().weights.size()) - 1;
  }
  void measure(const Scene<T>& scene, double* gaps) const {
    std::int64_t first = 0;
    for (std::int64_t h = 1; h <= pairs(scene); ++h) {
      kernels::neuron_terms<T>(scene.executor(), {.a = scene.net.weight(h),
                                                  .b = readers(scene.net, h),
                                                  .term = kernels::NeuronTerm::norm2_difference,
                                                  .out = gaps + first,
                                                  .out_stride = count_});
      first += rows_of(scene.description(), h);
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

void validate_balance(const ProbeSettings& probe) {
  validate_pairs(probe);
  const Description& d = probe.description;
  const bool all_trained = trained_weights(d).size() == d.weights.size();
  if (all_trained && !d.has_blocks() && !d.has_biases()) return;
  probe.reject("neurons of " + d.text(),
               "a network without blocks, biases and frozen weights, whose neurons are balanced");
}

/// max_i ||W_h[i,:](k) - W_h[i,:](0)||.
template <class T>
class NeuronDistance final : public Observer<T> {
 public:
  explicit NeuronDistance(const ObserverContext& context)
      : start_(context.executor, context.probe.description, context.slots),
        difference_(context.executor, context.slots * largest(context.probe.description)),
        distances_(context.executor, context.slots * most_rows(context.probe.description)),
        largest_(context.executor, context.slots) {}

  void load(std::span<const Settings>, Scene<T>& scene) override { start_.load(scene.net); }

  void observe(Scene<T>& scene, double* out, std::int64_t stride) override {
    for (const std::int64_t h : trained_weights(scene.description())) {
      MatrixBatch<T> difference = scene.net.weight(h);
      difference.data = difference_.data();
      difference.slot_stride = largest(scene.description());
      const MatrixBatch<const T> now = scene.net.weight(h);
      kernels::add_scaled<T>(scene.executor(),
                             {.x = flatten(now), .add = false, .y = flatten(difference)});
      kernels::add_scaled<T>(
          scene.executor(),
          {.x = flatten(start_.weight(scene.net, h)), .scale = -1, .y = flatten(difference)});
      // Nothing goes out of these neurons: their squared lengths alone.
      const MatrixBatch<const T> nothing{difference_.data(), scene.slots(), 0, difference.rows, 0,
                                         difference.rows};
      const std::int64_t room = most_rows(scene.description());
      kernels::neuron_terms<T>(scene.executor(), {.a = difference,
                                                  .b = nothing,
                                                  .term = kernels::NeuronTerm::norm2_difference,
                                                  .out = distances_.data(),
                                                  .out_stride = room});
      kernels::reduce(scene.executor(), {.slots = scene.slots(),
                                         .count = difference.rows,
                                         .reduction = kernels::Reduction::largest_difference,
                                         .x = distances_.data(),
                                         .x_stride = room,
                                         .out = largest_.data()});
      kernels::combine(scene.executor(), {.slots = scene.slots(),
                                          .square_root = true,
                                          .numerator = largest_.data(),
                                          .out = out++,
                                          .out_stride = stride});
    }
  }

  std::vector<StateArray> state() override { return start_.state(); }

  /// Elements of the largest weight, and rows of the one that has most.
  static std::int64_t largest(const Description& description) {
    std::int64_t most = 0;
    for (const Weight& w : description.weights) most = std::max(most, w.size());
    return padded<T>(most);
  }
  static std::int64_t most_rows(const Description& description) {
    std::int64_t most = 0;
    for (const Weight& w : description.weights) most = std::max(most, w.rows);
    return most;
  }

 private:
  StartWeights<T> start_;
  Buffer<T> difference_;
  Buffer<double> distances_;
  Buffer<double> largest_;
};

const RegisterProbe neuron_balance({
    .kind = {.name = "neuron_balance",
             .extents = {"pair"},
             .units = "1",
             .long_name = "balancedness of hidden neurons",
             .comment = "max_i | ||W_h[i,:]||^2 - ||W_{h+1}[:,i]||^2 | over neurons, or channels "
                        "with all their taps and places (Du, Hu, Lee 2018, theorem 2.1)",
             .keys = {}},
    .extents = each_pair,
    .validate = validate_balance,
    .bytes =
        [](const ProbeSettings& probe) {
          return ObserverBytes{.per_slot = double_bytes(neurons(probe.description))};
        },
    .make = observer_maker<NeuronGap>(),
});

const RegisterProbe neuron_balance_drift({
    .kind = {.name = "neuron_balance_drift",
             .extents = {"pair"},
             .units = "1",
             .long_name = "drift of the balancedness of hidden neurons",
             .comment = "max_i | g_i(k) - g_i(0) |, g_i = ||W_h[i,:]||^2 - ||W_{h+1}[:,i]||^2 over "
                        "neurons, or channels with all their taps and places (Du, Hu, Lee 2018, "
                        "theorem 2.1)",
             .keys = {}},
    .extents = each_pair,
    .validate = validate_balance,
    .bytes =
        [](const ProbeSettings& probe) {
          const std::size_t gaps = double_bytes(neurons(probe.description));
          return ObserverBytes{.per_slot = 2 * gaps, .remembered = gaps};
        },
    .make = observer_maker<NeuronDrift>(),
});

const RegisterProbe neuron_distance({
    .kind = {.name = "neuron_distance",
             .extents = {"layer"},
             .units = "1",
             .long_name = "largest distance of a neuron from its start",
             .comment = "max_i ||W_h[i,:](k) - W_h[i,:](0)|| of the trained weights (Du 2019, "
                        "thesis, section 2)",
             .keys = {}},
    .extents = each_layer,
    .bytes =
        [](const ProbeSettings& probe) {
          const Description& d = probe.description;
          const bool wide = probe.settings.text("precision") == "f64";
          ObserverBytes bytes = start_bytes(probe);
          bytes.per_slot += element_bytes(probe, wide ? NeuronDistance<double>::largest(d)
                                                      : NeuronDistance<float>::largest(d)) +
                            double_bytes(NeuronDistance<double>::most_rows(d) + 1);
          return bytes;
        },
    .make = observer_maker<NeuronDistance>(),
});

}  // namespace
}  // namespace manyfold::network
