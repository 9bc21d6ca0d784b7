// Optimizers: what turns a gradient into a step. To add one, write one file in optimizers/ that
// ends in a `RegisterOptimizer`; keys, validation, documentation and the family's memory follow
// from what it says there.
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
  bool needs_gradient = true;     ///< false: `step` evaluates what it needs itself
  bool needs_grad_norm2 = false;  ///< at every step, not only where stop conditions are checked
  std::size_t (*bytes_per_slot)(const Settings& settings, std::int64_t parameters,
                                std::size_t element_bytes) = nullptr;
  std::unique_ptr<Optimizer> (*make)(const OptimizerContext& context) = nullptr;
  /// Rejects what the keys' own ranges cannot; may be null. Throws InputError.
  void (*validate)(const Settings&) = nullptr;
};

/// Every registered kind, by name.
std::span<const OptimizerKind> optimizer_kinds();
const OptimizerKind& optimizer_kind(const Settings& settings);
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
