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

void validate_balance(const ProbeSettings& probe) {
  validate_pairs(probe);
  const Description& d = probe.description;
  const auto shared = std::find_if(d.weights.begin(), d.weights.end(), [](const Weight& w) {
    return w.pattern && !w.pattern->shares_nothing();
  });
  if (shared != d.weights.end()) {
    probe.reject("neurons of " + d.text() + ", where W_" +
                     std::to_string(shared - d.weights.begin() + 1) +
                     " shares parameters by its pattern",
                 "patterns that have each parameter once: neurons that share some are not balanced "
                 "one by one, only the layers' norms (layer_norm2_difference) are");
  }
  const bool all_trained = trained_weights(d).size() == d.weights.size();
  if (all_trained && !d.has_blocks() && !d.has_biases()) return;
  probe.reject("neurons of " + d.text(),
               "a network without blocks, biases and frozen weights, whose neurons are balanced");
}

/// Entries of the largest matrix, parameters of the largest pattern, and rows of the matrix that
/// has most.
std::int64_t largest_weight(const Description& description) {
  std::int64_t most = 0;
  for (const Weight& w : description.weights) most = std::max(most, w.entries());
  return most;
}
std::int64_t largest_pattern(const Description& description) {
  std::int64_t most = 0;
  for (const Weight& w : description.weights) most = std::max(most, w.pattern ? w.size() : 0);
  return most;
}
std::int64_t most_rows(const Description& description) {
  std::int64_t most = 0;
  for (const Weight& w : description.weights) most = std::max(most, w.rows);
  return most;
}

/// max_i ||W_h[i,:](k) - W_h[i,:](0)||, of a pattern of the matrix that it makes.
template <class T>
class NeuronDistance final : public Observer<T> {
 public:
  explicit NeuronDistance(const ObserverContext& context)
      : start_(context.executor, context.probe.description, context.slots),
        difference_(context.executor,
                    context.slots * padded<T>(largest_weight(context.probe.description))),
        parameters_(context.executor,
                    context.slots * padded<T>(largest_pattern(context.probe.description))),
        distances_(context.executor, context.slots * most_rows(context.probe.description)),
        largest_(context.executor, context.slots) {}

  void remember(Scene<T>& scene) override { start_.load(scene.net); }

  void observe(Scene<T>& scene, double* out, std::int64_t stride) override {
    for (const std::int64_t h : trained_weights(scene.description())) {
      MatrixBatch<T> difference = scene.net.weight(h);
      difference.data = difference_.data();
      difference.slot_stride = padded<T>(largest_weight(scene.description()));
      const bool pattern =
          scene.description().weights[static_cast<std::size_t>(h - 1)].pattern != nullptr;
      const MatrixBatch<const T> now = scene.net.free_weight(h);
      const VectorBatch<T> moved =
          pattern ? VectorBatch<T>{parameters_.data(), scene.slots(), now.size(),
                                   padded<T>(largest_pattern(scene.description()))}
                  : flatten(difference);
      kernels::add_scaled<T>(scene.executor(), {.x = flatten(now), .add = false, .y = moved});
      kernels::add_scaled<T>(scene.executor(),
                             {.x = flatten(start_.weight(scene.net, h)), .scale = -1, .y = moved});
      if (pattern) scene.net.spread(h, moved, difference);
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

 private:
  StartWeights<T> start_;
  Buffer<T> difference_;
  Buffer<T> parameters_;  ///< difference of v, where there are patterns
  Buffer<double> distances_;
  Buffer<double> largest_;
};

const RegisterProbe neuron_balance(neuron_balance_probe<Observed>(
    "max_i | ||W_h[i,:]||^2 - ||W_{h+1}[:,i]||^2 | over neurons, or channels with all their taps "
    "and places (Du, Hu, Lee 2018, theorem 2.1)",
    validate_balance));

const RegisterProbe neuron_balance_drift(neuron_balance_drift_probe<Observed>(
    "max_i | g_i(k) - g_i(0) |, g_i = ||W_h[i,:]||^2 - ||W_{h+1}[:,i]||^2 over neurons, or "
    "channels with all their taps and places (Du, Hu, Lee 2018, theorem 2.1)",
    validate_balance));

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
          ObserverBytes bytes = start_bytes(probe);
          bytes.per_slot += padded_bytes(probe, largest_weight(d)) +
                            padded_bytes(probe, largest_pattern(d)) +
                            double_bytes(most_rows(d) + 1);
          return bytes;
        },
    .make = observer_maker<NeuronDistance>(),
});

}  // namespace
}  // namespace manyfold::network
