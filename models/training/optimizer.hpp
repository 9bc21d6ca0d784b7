// Optimizers: what turns a gradient into a step. One file each in optimizers/; to add one, write
// its file and name it in optimizer.cpp.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/config/settings.hpp"
#include "core/config/spec.hpp"
#include "core/executor/memory.hpp"
#include "models/training/model.hpp"

namespace manyfold {

class Optimizer {
 public:
  virtual ~Optimizer() = default;
  /// Hyperparameters and fresh state for the members of slots 0, 1, ...
  virtual void load(std::span<const Settings> members) = 0;
  /// One step of active slots from the gradient at hand: sets control.step_size and moves the
  /// parameters. Kernels only.
  virtual void step(const kernels::StepControl& control) = 0;
};

struct OptimizerKind {
  std::string name;  ///< value of optimizer.kind
  std::string doc;
  void (*add_keys)(Spec&);
  bool needs_grad_norm2;  ///< at every step, not only where stop conditions are checked
  std::size_t (*bytes_per_slot)(std::int64_t parameters, std::size_t element_bytes);
  std::unique_ptr<Optimizer> (*make)(Executor&, const AnyParameters&, std::int64_t slots);
};

std::span<const OptimizerKind> optimizer_kinds();
const OptimizerKind& optimizer_kind(const Settings& settings);

/// One number per slot on a device, filled from a key of the members' settings.
class PerSlot {
 public:
  PerSlot(Executor& executor, std::int64_t slots, double initial = 0);
  void load(std::span<const Settings> members, std::string_view key);
  void fill(double value);
  double* data() const { return values_.data(); }

 private:
  Buffer<double> values_;
  double initial_;
};

}  // namespace manyfold
