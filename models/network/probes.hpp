// Probes of networks: what is observed of a member, on the device. To add one, write one file in
// probes/ that ends in a `RegisterProbe`, as for factorizations (models/factorization/probes.hpp).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/config/settings.hpp"
#include "models/curvature/ends.hpp"
#include "models/network/description.hpp"
#include "models/network/grams.hpp"
#include "models/network/net.hpp"
#include "models/network/objective.hpp"
#include "models/network/problem.hpp"
#include "models/training/layer_observers.hpp"
#include "models/training/model.hpp"
#include "models/training/observers.hpp"

namespace manyfold::network {

/// A probe as an experiment asks for it, before anything is allocated.
struct ProbeSettings : AskedProbe {
  const Description& description;
  DataSize data;

  /// The examples that its key `set` names, and how many there are.
  Set set() const;
  std::int64_t examples() const;
  /// Of a probe of Gram matrices; its key `examples` names how many of the first.
  GramRequest grams(bool layers) const;
};

/// What a probe may look at: the state that the model evaluated last. Everything is recorded
/// kernels on the family's executor.
template <class T>
struct Scene {
  Net<T>& net;
  Objective<T>& objective;
  GramSet<T>& gram_set;
  CurvatureEnds<T>* curvature = nullptr;  ///< where a probe asks for it

  Executor& executor() const { return net.executor(); }
  std::int64_t slots() const { return net.slots(); }
  const Description& description() const { return net.description(); }
  const Grams<T>& grams(const GramRequest& request) const {
    return gram_set.at(request, net, objective);
  }

  const double* curvature_ends(const CurvatureRequest& request) const {
    return curvature->ends(request);
  }

  // What layer_observers.hpp looks at: the trained weights, of a pattern its free parameters;
  // neighbours are whole matrices.
  std::vector<MatrixBatch<const T>> weights() const;
  std::vector<Neighbours<T>> neighbours() const;
  VectorBatch<const T> all_parameters() const { return net.parameters().values; }
};

/// What probes of networks know and see (models/training/observers.hpp).
struct Observed {
  using Settings = ProbeSettings;
  template <class T>
  using Scene = network::Scene<T>;
  struct Needs {
    bool grams = false;                          ///< Gram matrices: their sum
    bool layer_grams = false;                    ///< and one of each layer
    std::optional<CurvatureMatrix> curvature{};  ///< ends of whose spectrum it shows
  };
};
template <class T>
using Observer = ObserverOf<Scene<T>>;
using ObserverContext = ObserverContextOf<Observed>;
using Probe = ProbeOf<Observed>;
using Probes = ProbeRegistry<Observed>;
using RegisterProbe = RegisterProbeOf<Observed>;
template <template <class> class Kind>
constexpr ObserverMakerOf<Observed> observer_maker() {
  return observer_maker_of<Observed, Kind>();
}

/// What the probes of an experiment ask for.
std::vector<GramRequest> gram_requests(const Settings& settings, const Description& description,
                                       const DataSize& data);

/// Numbers h of the weights that are trained.
std::vector<std::int64_t> trained_weights(const Description& description);
/// One for each of them, for neighbouring ones.
std::vector<std::int64_t> each_layer(const ProbeSettings& probe);
std::vector<std::int64_t> each_pair(const ProbeSettings& probe);
/// Rejects a probe of neighbouring layers where only one is trained.
void validate_pairs(const ProbeSettings& probe);
/// Hidden neurons, of convolutions channels, of all pairs.
std::int64_t hidden_neurons(const ProbeSettings& probe);
/// Of a member, those that are trained.
std::int64_t parameter_count(const ProbeSettings& probe);
/// Rejects a probe of test examples where there are none.
void validate_test(const ProbeSettings& probe);

/// The trained weights as they were at a member's start.
template <class T>
class StartWeights {
 public:
  StartWeights(Executor& executor, const Description& description, std::int64_t slots);

  void load(const Net<T>& net) const;
  std::vector<StateArray> state() const;
  MatrixBatch<const T> weight(const Net<T>& net, std::int64_t h) const;  ///< W_h(0), or v(0)

 private:
  Buffer<T> values_;
  VectorBatch<T> view_;
};
ObserverBytes start_bytes(const ProbeSettings& probe);

}  // namespace manyfold::network

// One registry, in probes.cpp.
extern template class manyfold::ProbeRegistry<manyfold::network::Observed>;
