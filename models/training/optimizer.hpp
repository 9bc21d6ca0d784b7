// Optimizers: what turns a gradient into a step. To add one, write one file in optimizers/ that
// ends in a `RegisterOptimizer`; keys, validation, documentation and the family's memory follow
// from what it says there. An optimizer that only combines vectors (averages, extrapolations) needs
// no kernel of its own: ParameterVector holds them, kernels::linear_combination combines them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "core/config/settings.hpp"
#include "core/config/spec.hpp"
#include "core/executor/memory.hpp"
#include "models/training/hyperparameter.hpp"
#include "models/training/model.hpp"

namespace manyfold {

class Optimizer {
 public:
  virtual ~Optimizer() = default;
  /// Hyperparameters and fresh state for the members of slots 0, 1, ...
  virtual void load(std::span<const Settings> members) = 0;
  /// One step of active slots: sets control.step_size and moves the parameters. The objective's
  /// gradient is at hand where the kind says `needs_gradient`; others ask the model for what they
  /// want. Kernels only.
  virtual void step(const kernels::StepControl& control) = 0;
  /// What a member takes along beside its parameters: momenta, running means.
  virtual std::vector<StateArray> state() { return {}; }
};

/// What an optimizer is made for: a family in S slots. All of it outlives the optimizer.
struct OptimizerContext {
  Executor& executor;
  Model& model;
  const Settings& example;  ///< the settings of any member of the family
  std::int64_t slots = 0;
};

struct OptimizerKind {
  std::string name;  ///< value of optimizer.kind
  std::string doc;   ///< a phrase, with the source of the formula
  /// Keys of [optimizer] that it reads beside kind and learning_rate: paths without the table, no
  /// conditions. Kinds that share a key give it the same name, type, default and doc.
  std::vector<KeySpec> keys{};
  /// Names among `keys` that a schedule may vary, as it may vary learning_rate: the optimizer holds
  /// each as a Hyperparameter and brings it up to date in `step`.
  std::vector<std::string> scheduled{};
  bool needs_gradient = true;     ///< false: `step` evaluates what it needs itself
  bool needs_grad_norm2 = false;  ///< at every step, not only where stop conditions are checked
  std::size_t (*bytes_per_slot)(const Settings& settings, std::int64_t parameters,
                                std::size_t element_bytes) = nullptr;
  std::unique_ptr<Optimizer> (*make)(const OptimizerContext& context) = nullptr;
  /// Rejects what the keys' own ranges cannot; may be null. Throws InputError.
  void (*validate)(const Settings&) = nullptr;
  /// What else the members of a family have in common because memory or kernels depend on it, a
  /// phrase like "batch 4"; null or "": nothing.
  std::string (*family)(const Settings&) = nullptr;
};

/// Every registered kind, by name.
std::span<const OptimizerKind> optimizer_kinds();
const OptimizerKind& optimizer_kind(const Settings& settings);
/// The member's optimizer as its family names it: kind and `family`.
std::string optimizer_family(const Settings& settings);
/// Rejects what the optimizer of this member cannot be. Throws InputError.
void validate_optimizer(const Settings& settings);
/// Keys of all kinds, each under the condition that its kinds give it.
void add_optimizer_keys(Spec& spec);

/// Adds a kind to the program: one static object per optimizer, in the optimizer's own file.
class RegisterOptimizer {
 public:
  explicit RegisterOptimizer(OptimizerKind kind);
};

/// `make` of an optimizer that is a class template over the element type.
template <template <class> class Kind>
std::unique_ptr<Optimizer> make_optimizer(const OptimizerContext& context) {
  return std::visit(
      [&]<class T>(const Parameters<T>& parameters) -> std::unique_ptr<Optimizer> {
        return std::make_unique<Kind<T>>(context, parameters);
      },
      context.model.parameters());
}

/// of(member) for each slot in device memory; slots without a member get `idle`.
template <class T, class Of>
void upload_each(const Buffer<T>& buffer, std::span<const Settings> members, T idle, const Of& of) {
  std::vector<T> host(static_cast<std::size_t>(buffer.size()), idle);
  for (std::size_t i = 0; i < members.size(); ++i) host[i] = of(members[i]);
  buffer.upload(host);
}

/// (slot): what draws each member's noise and minibatches.
class StepSeeds {
 public:
  explicit StepSeeds(const OptimizerContext& context) : seeds_(context.executor, context.slots) {
    load({});
  }
  void load(std::span<const Settings> members) {
    upload_each(seeds_, members, std::uint64_t{0},
                [](const Settings& member) { return seed_of(member, "sgd.seed"); });
  }
  const std::uint64_t* data() const { return seeds_.data(); }

 private:
  Buffer<std::uint64_t> seeds_;
};

/// One vector a slot with the shape of the parameters: a momentum, a running mean. Slots are as far
/// apart as those of the parameters, which keeps their alignment.
template <class T>
class ParameterVector {
 public:
  ParameterVector(Executor& executor, const VectorBatch<T>& like)
      : buffer_(executor, like.slots * like.slot_stride),
        view_{buffer_.data(), like.slots, like.count, like.slot_stride} {
    buffer_.clear();
  }
  void clear() { buffer_.clear(); }
  const VectorBatch<T>& view() const { return view_; }

  /// Parameters stand at most 64 bytes further apart than they are long.
  static std::size_t bytes_per_slot(std::int64_t parameters, std::size_t element_bytes) {
    return static_cast<std::size_t>(parameters) * element_bytes + 64;
  }

 private:
  Buffer<T> buffer_;
  VectorBatch<T> view_;
};

/// A PerSlot as state that a member takes along.
inline StateArray per_slot_state(std::string name, const PerSlot& values) {
  return {std::move(name), reinterpret_cast<std::byte*>(values.data()), sizeof(double),
          sizeof(double)};
}
/// A vector of every slot likewise.
template <class T>
StateArray vector_state(std::string name, const VectorBatch<T>& v) {
  return {std::move(name), reinterpret_cast<std::byte*>(v.data),
          static_cast<std::size_t>(v.count) * sizeof(T),
          static_cast<std::size_t>(v.slot_stride) * sizeof(T)};
}

}  // namespace manyfold
