// Numbers that members have one each of and that a schedule may vary while they train.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "core/config/settings.hpp"
#include "core/executor/executor.hpp"
#include "core/executor/memory.hpp"
#include "kernels/schedule.hpp"
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

/// A PerSlot that follows the schedule of its key (models/training/schedule.hpp), where the family
/// has one. Each slot follows its own member's.
class Hyperparameter {
 public:
  /// `key`: "optimizer.learning_rate"; where a member has no such key it counts as `idle`.
  /// `example`: any member of the family.
  Hyperparameter(Executor& executor, std::int64_t slots, const Settings& example, std::string key,
                 double idle = 0);
  void load(std::span<const Settings> members);
  /// Brings the values to each slot's step (control.step), to be called before they are used in a
  /// step. Kernels only; none without a schedule.
  void update(const kernels::StepControl& control);
  const double* data() const { return values_.data(); }

  static std::size_t bytes_per_slot(const Settings& settings, std::string_view key);

 private:
  Executor& executor_;
  std::string key_;
  double idle_;
  std::int64_t capacity_;  ///< pieces of schedule there is room for; 0: no schedule
  PerSlot values_;
  Buffer<kernels::Schedule> schedules_;
  Buffer<std::int64_t> starts_;
  Buffer<double> pieces_;
};

}  // namespace manyfold
