// What the probes of every kind of model are made of: observers of an ensemble on a device, and the
// registry in which an experiment's words find them. A kind of model says what its probes know and
// see in a struct
//   struct Observed {
//     using Settings = ProbeSettings;             // of an AskedProbe, before anything is allocated
//     // What observers look at; has executor() and slots().
//     template <class T> using Scene = Scene<T>;
//     using Needs = SceneNeeds;  // what a probe wants of the scene
//   };
// and instantiates its ProbeRegistry in one source file.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "core/config/settings.hpp"
#include "core/executor/executor.hpp"
#include "models/training/model.hpp"
#include "models/training/probes.hpp"

namespace manyfold {

/// A probe as an experiment asks for it.
struct AskedProbe {
  const Settings& settings;
  std::string name;  ///< the table under [probes]

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

/// Of `elements` parameters.
std::size_t element_bytes(const AskedProbe& probe, std::int64_t elements);
/// The same where slots are padded (`padded` of model.hpp).
std::size_t padded_bytes(const AskedProbe& probe, std::int64_t elements);
/// Of doubles.
constexpr std::size_t double_bytes(std::int64_t doubles) {
  return static_cast<std::size_t>(doubles) * sizeof(double);
}

/// What an observer allocates.
struct ObserverBytes {
  std::size_t per_slot = 0;
  std::size_t shared = 0;      ///< once per family
  std::size_t remembered = 0;  ///< of per_slot, what `state` shows
};

template <class Scene>
class ObserverOf {
 public:
  virtual ~ObserverOf() = default;
  /// Host side, when members enter slots 0, 1, ...: for what differs between members.
  virtual void load(std::span<const Settings> members) { (void)members; }
  /// What is to be remembered of the members' starts, which have been evaluated. Kernels only.
  virtual void remember(Scene& scene) { (void)scene; }
  /// The product of its extents doubles per slot, slots `stride` apart. Kernels only.
  virtual void observe(Scene& scene, double* out, std::int64_t stride) = 0;
  /// What `remember` keeps.
  virtual std::vector<StateArray> state() { return {}; }
};

/// What an observer is made for.
template <class Observed>
struct ObserverContextOf {
  Executor& executor;
  typename Observed::Settings probe;
  std::int64_t slots = 0;
};

template <class Observed>
struct ObserverMakerOf {
  template <class T>
  using Made = std::unique_ptr<ObserverOf<typename Observed::template Scene<T>>>;
  Made<float> (*f32)(const ObserverContextOf<Observed>&) = nullptr;
  Made<double> (*f64)(const ObserverContextOf<Observed>&) = nullptr;
};
/// Of an observer that is a class template over the element type.
template <class Observed, template <class> class Kind>
constexpr ObserverMakerOf<Observed> observer_maker_of() {
  using Maker = ObserverMakerOf<Observed>;
  using Context = ObserverContextOf<Observed>;
  return {[](const Context& context) ->
          typename Maker::template Made<float> { return std::make_unique<Kind<float>>(context); },
          [](const Context& context) -> typename Maker::template Made<double> {
            return std::make_unique<Kind<double>>(context);
          }};
}

template <class Observed>
struct ProbeOf {
  ProbeKind kind;
  /// Lengths of the extents; null where there are none.
  std::vector<std::int64_t> (*extents)(const typename Observed::Settings&) = nullptr;
  /// Rejects settings under which there is nothing to look at; may be null. Throws InputError.
  void (*validate)(const typename Observed::Settings&) = nullptr;
  typename Observed::Needs needs{};
  /// Null: nothing.
  ObserverBytes (*bytes)(const typename Observed::Settings&) = nullptr;
  ObserverMakerOf<Observed> make;
};

/// Every probe of a kind of model, by name.
template <class Observed>
class ProbeRegistry {
 public:
  using Probe = ProbeOf<Observed>;

  static void add(Probe probe) {
    auto& all = registered();
    const auto place =
        std::lower_bound(all.begin(), all.end(), probe,
                         [](const Probe& a, const Probe& b) { return a.kind.name < b.kind.name; });
    all.insert(place, std::move(probe));
  }
  static std::span<const Probe> all() { return registered(); }
  static std::vector<ProbeKind> kinds() {
    std::vector<ProbeKind> kinds;
    for (const Probe& probe : registered()) kinds.push_back(probe.kind);
    return kinds;
  }

  /// A probe that the experiment asks for, with the name that it gives it.
  struct Requested {
    const Probe* probe = nullptr;
    std::string name;
  };
  static std::vector<Requested> requested(const Settings& settings) {
    std::vector<Requested> requested;
    for (const std::string& name : settings.children("probes")) {
      const std::string kind = probe_kind_name(settings, name);
      for (const Probe& probe : registered()) {
        if (probe.kind.name == kind) requested.push_back({&probe, name});
      }
    }
    return requested;
  }

  // Of the probes that the experiment asks for; asked(name) is one's Observed::Settings.

  /// Adds their memory.
  template <class Asked>
  static void add_bytes(const Settings& settings, const Asked& asked, Footprint& footprint) {
    for (const auto& [probe, name] : requested(settings)) {
      if (probe->bytes == nullptr) continue;
      const ObserverBytes bytes = probe->bytes(asked(name));
      footprint.bytes_per_slot += bytes.per_slot;
      footprint.shared_bytes += bytes.shared;
      footprint.remembered_bytes += bytes.remembered;
    }
  }
  /// Lengths of one's extents (ModelKind::extents).
  template <class Asked>
  static std::vector<std::int64_t> extents(const Settings& settings, const ProbeKind& kind,
                                           const Asked& asked) {
    for (const auto& [probe, name] : requested(settings)) {
      if (name == kind.name && probe->extents != nullptr) return probe->extents(asked(name));
    }
    return {};
  }

 private:
  static std::vector<Probe>& registered() {
    static std::vector<Probe> probes;
    return probes;
  }
};

template <class Observed>
class RegisterProbeOf {
 public:
  explicit RegisterProbeOf(ProbeOf<Observed> probe) {
    ProbeRegistry<Observed>::add(std::move(probe));
  }
};

/// The observers of an ensemble, by the names that the experiment gives them.
template <class Observed, class T>
class ObserversOf {
 public:
  using Scene = typename Observed::template Scene<T>;

  /// asked(name): that probe's Observed::Settings.
  template <class Asked>
  ObserversOf(Executor& executor, const Settings& example, const Asked& asked, std::int64_t slots) {
    for (const auto& [probe, name] : ProbeRegistry<Observed>::requested(example)) {
      const ObserverContextOf<Observed> context{executor, asked(name), slots};
      if constexpr (std::is_same_v<T, float>) {
        all_.push_back({name, probe->make.f32(context)});
      } else {
        all_.push_back({name, probe->make.f64(context)});
      }
    }
  }

  void load(std::span<const Settings> members) {
    for (const auto& [name, observer] : all_) observer->load(members);
  }
  void remember(Scene& scene) {
    for (const auto& [name, observer] : all_) observer->remember(scene);
  }
  void observe(Scene& scene, const std::string& probe, double* out, std::int64_t stride) {
    for (const auto& [name, observer] : all_) {
      if (name == probe) return observer->observe(scene, out, stride);
    }
    throw std::logic_error("not a probe of this model: " + probe);
  }
  std::vector<StateArray> state() {
    std::vector<StateArray> all;
    for (const auto& [name, observer] : all_) {
      for (StateArray array : observer->state()) {
        array.name = name + "/" + array.name;
        all.push_back(std::move(array));
      }
    }
    return all;
  }

 private:
  struct Named {
    std::string name;
    std::unique_ptr<ObserverOf<Scene>> observer;
  };
  std::vector<Named> all_;
};

}  // namespace manyfold
