// Numbers that members have one each of and that a schedule may vary while they train.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "core/config/settings.hpp"
#include "core/executor/executor.hpp"
#include "core/executor/memory.hpp"
#include "kernels/stepping.hpp"

namespace manyfold {

/// One number per slot on a device, filled from a key of the members' settings.
class PerSlot {
 public:
  /// Empty slots hold `idle`.
  PerSlot(Executor& executor, std::int64_t slots, double idle = 0);
  void load(std::span<const Settings> members, std::string_view key);
  void fill(double value);
  double* data() const { return values_.data(); }

 private:
  Buffer<double> values_;
  double idle_;
};

/// A PerSlot that follows the schedule of its key, where a member of the family has one.
class Hyperparameter {
 public:
  /// `key`: "optimizer.learning_rate"; where a member has no such key it counts as `idle`.
  Hyperparameter(Executor& executor, std::int64_t slots, const Settings& example, std::string key,
                 double idle = 0);
  void load(std::span<const Settings> members);
  /// Brings the values to each slot's step (control.step). Kernels only; none without a schedule.
  void update(const kernels::StepControl& control);
  const double* data() const { return values_.data(); }

  static std::size_t bytes_per_slot(const Settings& settings, std::string_view key);

 private:
  Executor& executor_;
  std::string key_;
  double idle_;
  PerSlot values_;
};

}  // namespace manyfold
