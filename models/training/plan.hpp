// What an experiment will need, before anything is allocated: families, slots, waves, memory, the
// record's layout and size.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/executor/executor.hpp"
#include "core/record/layout.hpp"
#include "core/sweep/experiment.hpp"
#include "models/training/model.hpp"
#include "models/training/probes.hpp"

namespace manyfold {

/// Members of one shape, which share kernels and a memory layout.
struct FamilyPlan {
  std::string description;            ///< "deep_linear 20x20 . 20x20 full, gd, f64"
  std::vector<std::int64_t> members;  ///< their numbers, ascending
  bool shared_problem = true;         ///< one target and mask for all
  Footprint footprint;                ///< model, optimizer, control and sample buffers together
  std::int64_t slots = 0;             ///< members on the device at once
  std::int64_t waves = 0;             ///< ceil(members / slots)
  std::int64_t member_steps = 0;      ///< at most: members may stop early
  /// Where parameters are recorded: their arrays, and the first of the record's variables for them.
  std::vector<ParameterArray> arrays{};
  int first_array = -1;

  std::size_t bytes() const {
    return footprint.shared_bytes + footprint.bytes_per_slot * static_cast<std::size_t>(slots);
  }
};

struct Plan {
  std::vector<FamilyPlan> families;
  ProbePlan probes;
  RecordLayout layout;
  std::int64_t check_every = 0;
  std::int64_t member_steps = 0;

  std::size_t peak_bytes() const;  ///< of device memory: families run one after another
  double flops() const;            ///< of all gradients, if no member stops early
};

/// Validates every member, too. Throws InputError, and ResourceError when one member of a family
/// does not fit the device's memory budget.
Plan make_plan(const Experiment& experiment, const DeviceDescription& device);

}  // namespace manyfold
