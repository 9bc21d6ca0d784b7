// Probes of networks: what is observed of a member, on the device. To add one, write one file in
// probes/ that ends in a `RegisterProbe`, as for factorizations (models/factorization/probes.hpp).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/config/settings.hpp"
#include "models/network/description.hpp"
#include "models/network/net.hpp"
#include "models/network/objective.hpp"
#include "models/network/problem.hpp"
#include "models/training/model.hpp"

namespace manyfold::network {

/// A probe as an experiment asks for it, before anything is allocated.
struct ProbeSettings {
  const Settings& settings;
  const Description& description;
  DataSize data;
  std::string name;  ///< the table under [probes]

  std::string key(std::string_view word) const;  ///< "probes.NAME.word"
  bool has(std::string_view word) const { return settings.has(key(word)); }
  /// The examples that its key `set` names, and how many there are.
  Set set() const;
  std::int64_t examples() const;
  /// Rejects the probe itself: the message names the key that asks for it.
  [[noreturn]] void reject(const std::string& found, const std::string& expected) const;
};

/// What a probe may look at: the state that the model evaluated last. Everything is recorded
/// kernels on the family's executor.
template <class T>
struct Scene {
  Net<T>& net;
  Objective<T>& objective;

  Executor& executor() const { return net.executor(); }
  std::int64_t slots() const { return net.slots(); }
  const Description& description() const { return net.description(); }
};

template <class T>
class Observer {
 public:
  virtual ~Observer() = default;
  /// Host side, when the members of slots 0, 1, ... are at their starts: for what differs between
  /// members, and for what is remembered of a start. May call kernels.
  virtual void load(std::span<const Settings> members, Scene<T>& scene) {
    (void)members;
    (void)scene;
  }
  /// The product of its extents doubles per slot, slots `stride` apart. Kernels only.
  virtual void observe(Scene<T>& scene, double* out, std::int64_t stride) = 0;
  /// What `load` remembered of the members' starts.
  virtual std::vector<StateArray> state() { return {}; }
};

/// What an observer is made for.
struct ObserverContext {
  Executor& executor;
  ProbeSettings probe;
  std::int64_t slots = 0;
};

struct ObserverMaker {
  std::unique_ptr<Observer<float>> (*f32)(const ObserverContext&) = nullptr;
  std::unique_ptr<Observer<double>> (*f64)(const ObserverContext&) = nullptr;
};
/// Of an observer that is a class template over the element type.
template <template <class> class Kind>
constexpr ObserverMaker observer_maker() {
  return {[](const ObserverContext& context) -> std::unique_ptr<Observer<float>> {
            return std::make_unique<Kind<float>>(context);
          },
          [](const ObserverContext& context) -> std::unique_ptr<Observer<double>> {
            return std::make_unique<Kind<double>>(context);
          }};
}

/// What an observer allocates for each slot.
struct ObserverBytes {
  std::size_t per_slot = 0;
  std::size_t remembered = 0;  ///< of per_slot, what `state` shows
};
/// Of so many elements of the member's precision, or of doubles.
std::size_t element_bytes(const ProbeSettings& probe, std::int64_t elements);
constexpr std::size_t double_bytes(std::int64_t doubles) {
  return static_cast<std::size_t>(doubles) * sizeof(double);
}

struct Probe {
  ProbeKind kind;
  /// Lengths of the extents; null where there are none.
  std::vector<std::int64_t> (*extents)(const ProbeSettings&) = nullptr;
  /// Rejects settings under which there is nothing to look at; may be null. Throws InputError.
  void (*validate)(const ProbeSettings&) = nullptr;
  ObserverBytes (*bytes)(const ProbeSettings&) = nullptr;  ///< null: nothing
  ObserverMaker make;
};

class RegisterProbe {
 public:
  explicit RegisterProbe(Probe probe);
};

/// Every registered probe, by name.
std::span<const Probe> probes();
/// Those that the experiment asks for, with the names that it gives them.
struct RequestedProbe {
  const Probe* probe = nullptr;
  std::string name;
};
std::vector<RequestedProbe> requested_probes(const Settings& settings);

/// Numbers h of the weights that are trained.
std::vector<std::int64_t> trained_weights(const Description& description);
/// One for each of them, for neighbouring ones.
std::vector<std::int64_t> each_layer(const ProbeSettings& probe);
std::vector<std::int64_t> each_pair(const ProbeSettings& probe);
/// Rejects a probe of neighbouring layers where only one is trained.
void validate_pairs(const ProbeSettings& probe);
/// Rejects a probe of test examples where there are none.
void validate_test(const ProbeSettings& probe);

/// The trained weights as they were at a member's start.
template <class T>
class StartWeights {
 public:
  StartWeights(Executor& executor, const Description& description, std::int64_t slots);

  void load(const Net<T>& net) const;
  std::vector<StateArray> state() const;
  MatrixBatch<const T> weight(const Net<T>& net, std::int64_t h) const;  ///< W_h(0)

 private:
  Buffer<T> values_;
  VectorBatch<T> view_;
};
ObserverBytes start_bytes(const ProbeSettings& probe);

}  // namespace manyfold::network
