// Probes of factorizations: what is observed of a member, on the device. To add one, write one file
// in probes/ that ends in a `RegisterProbe`; keys, validation, memory, cadences, running extremes,
// events and the record follow from what it says there.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/config/settings.hpp"
#include "models/factorization/chain.hpp"
#include "models/factorization/objective.hpp"
#include "models/factorization/shape.hpp"
#include "models/training/model.hpp"

namespace manyfold::factorization {

/// A probe as an experiment asks for it, before anything is allocated.
struct ProbeSettings {
  const Settings& settings;
  const Shape& shape;
  std::string name;            ///< the table under [probes]
  bool shared_problem = true;  ///< one target and mask for all members of the family

  std::string key(std::string_view word) const;  ///< "probes.NAME.word"
  bool has(std::string_view word) const { return settings.has(key(word)); }
  std::int64_t integer(std::string_view word) const { return settings.integer(key(word)); }
  double number(std::string_view word) const { return settings.number(key(word)); }
  const std::string& text(std::string_view word) const { return settings.text(key(word)); }
  /// Rejects the value of one of its keys.
  [[noreturn]] void reject(std::string_view word, const std::string& found,
                           const std::string& expected) const;
  /// Rejects the probe itself: the message names the key that asks for it.
  [[noreturn]] void reject(const std::string& found, const std::string& expected) const;
};

/// min(rows, cols) of W: how many singular values it has.
std::int64_t rank_limit(const Shape& shape);
/// The largest min(rows, cols) among the layers.
std::int64_t layer_rank_limit(const Shape& shape);

/// What a probe wants of the scene beyond the products.
struct SceneNeeds {
  bool singular_values = false;        ///< of W
  bool top_left_vector = false;        ///< of W; asks for singular values, too
  bool layer_singular_values = false;  ///< of every layer
};

/// What a probe may look at: the state that the model evaluated last, and helpers that several
/// probes share. Everything is recorded kernels on the family's executor.
template <class T>
class Scene {
 public:
  Scene(Executor& executor, const Chain<T>& chain, const Objective<T>& objective,
        const SceneNeeds& needs, kernels::WorkSlots& work);

  Executor& executor() const { return executor_; }
  const Chain<T>& chain() const { return chain_; }
  const Objective<T>& objective() const { return objective_; }
  const Shape& shape() const { return chain_.shape(); }
  std::int64_t slots() const { return chain_.slots(); }

  /// All singular values of W, (slot, rank_limit()), decreasing. Computed by the first probe that
  /// asks after an evaluation, and so is what follows.
  const double* singular_values();
  std::int64_t rank_limit() const;  ///< min(rows, cols)
  /// u_1 of W, (slot, rows), of length 1 and of either sign; NaN where W = 0.
  VectorBatch<const double> top_left_vector();
  /// All singular values of W_h, decreasing, then NaN up to layer_rank_limit(); slots
  /// layer_spectra_stride() apart, layers layer_rank_limit() apart.
  const double* layer_singular_values(std::int64_t h);
  std::int64_t layer_spectra_stride() const;
  /// Told by the model when it evaluates: what was computed before is stale.
  void evaluated();

  /// x <- sqrt(x), (slot, count) with slots `stride` apart.
  void root(std::int64_t count, double* x, std::int64_t stride) const;
  /// to <- from, (slot, count).
  void copy(std::int64_t count, const double* from, std::int64_t from_stride, double* to,
            std::int64_t to_stride) const;

  static std::size_t bytes_per_slot(const Shape& shape, const SceneNeeds& needs);

 private:
  Executor& executor_;
  const Chain<T>& chain_;
  const Objective<T>& objective_;
  bool spectrum_is_fresh_ = false;
  std::vector<bool> layer_is_fresh_;
  Buffer<double> spectrum_;
  Buffer<double> top_left_;
  Buffer<double> layer_spectra_;
  Buffer<double> workspace_;
  Buffer<std::int32_t> sweeps_;
};

template <class T>
class Observer {
 public:
  virtual ~Observer() = default;
  /// Host side, when members enter slots 0, 1, ...: for what differs between members.
  virtual void load(std::span<const Settings> members) { (void)members; }
  /// What is to be remembered of the members' starts, which have been evaluated. Kernels only.
  virtual void remember(Scene<T>& scene) { (void)scene; }
  /// The product of its extents doubles per slot, slots `stride` apart. Kernels only.
  virtual void observe(Scene<T>& scene, double* out, std::int64_t stride) = 0;
  /// What `remember` keeps.
  virtual std::vector<StateArray> state() { return {}; }
};

/// What an observer is made for.
struct ObserverContext {
  Executor& executor;
  ProbeSettings probe;
  std::int64_t slots = 0;

  const Shape& shape() const { return probe.shape; }
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

/// What an observer allocates.
struct ObserverBytes {
  std::size_t per_slot = 0;
  std::size_t shared = 0;      ///< once per family
  std::size_t remembered = 0;  ///< of per_slot, what `state` shows
};
/// Of `elements` parameters, or of another number of doubles, per slot.
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
  SceneNeeds needs{};
  /// Null: nothing.
  ObserverBytes (*bytes)(const ProbeSettings&) = nullptr;
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
/// What they want of the scene together.
SceneNeeds scene_needs(const Settings& settings);

/// Extents that several probes have.
std::vector<std::int64_t> each_layer(const ProbeSettings& probe);
std::vector<std::int64_t> each_pair(const ProbeSettings& probe);
/// Rejects a probe of neighbouring layers of a model that has only one.
void validate_pairs(const ProbeSettings& probe);

}  // namespace manyfold::factorization
