// Probes of factorizations: what is observed of a member, on the device. To add one, write one file
// in probes/ that ends in a `RegisterProbe`; keys, validation, memory, cadences, running extremes,
// events and the record follow from what it says there.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/config/settings.hpp"
#include "models/factorization/chain.hpp"
#include "models/factorization/objective.hpp"
#include "models/factorization/shape.hpp"
#include "models/training/model.hpp"

namespace manyfold::factorization {

/// What a probe may look at: the state that the model evaluated last, and helpers that several
/// probes share. Everything is recorded kernels on the family's executor.
template <class T>
class Scene {
 public:
  Scene(Executor& executor, const Chain<T>& chain, const Objective<T>& objective,
        bool singular_values);

  Executor& executor() const { return executor_; }
  const Chain<T>& chain() const { return chain_; }
  const Objective<T>& objective() const { return objective_; }
  const Shape& shape() const { return chain_.shape(); }
  std::int64_t slots() const { return chain_.slots(); }

  /// All singular values of W, (slot, min(rows, cols)), decreasing. Computed by the first probe
  /// that asks after an evaluation.
  const double* singular_values();
  std::int64_t rank_limit() const;  ///< min(rows, cols)
  /// Told by the model when it evaluates: what was computed before is stale.
  void evaluated() { spectrum_is_fresh_ = false; }

  /// x <- sqrt(x), (slot, count) with slots `stride` apart.
  void root(std::int64_t count, double* x, std::int64_t stride) const;

  static std::size_t bytes_per_slot(const Shape& shape, bool singular_values);

 private:
  Executor& executor_;
  const Chain<T>& chain_;
  const Objective<T>& objective_;
  bool spectrum_is_fresh_ = false;
  Buffer<double> spectrum_;
  Buffer<double> spectrum_workspace_;
  Buffer<std::int32_t> sweeps_;
};

template <class T>
class Observer {
 public:
  virtual ~Observer() = default;
  /// Host side, when the members of slots 0, 1, ... are at their starts and evaluated: for what
  /// differs between members, and for what is remembered of a start. May call kernels.
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
  const Settings& example;
  const Shape& shape;
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

struct Probe {
  ProbeKind kind;
  /// Lengths of the extents; null where there are none.
  std::vector<std::int64_t> (*extents)(const Settings&, const Shape&) = nullptr;
  /// Rejects settings under which there is nothing to look at; may be null. Throws InputError.
  void (*validate)(const Settings&, const Shape&) = nullptr;
  bool needs_singular_values = false;  ///< of W, through the scene
  /// What the observer allocates per slot; null: nothing.
  std::size_t (*bytes_per_slot)(const Settings&, const Shape&) = nullptr;
  ObserverMaker make;
};

class RegisterProbe {
 public:
  explicit RegisterProbe(Probe probe);
};

/// Every registered probe, by name.
std::span<const Probe> probes();
const Probe& probe_named(const std::string& name);
/// Those that the experiment asks for.
std::vector<const Probe*> requested_probes(const Settings& settings);

/// The key of `probe` that a message about it should name: probes.NAME.every, .steps, ...
std::string probe_place(const Settings& settings, const std::string& probe);

}  // namespace manyfold::factorization
