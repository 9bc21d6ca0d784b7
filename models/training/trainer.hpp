// Runs a planned experiment on a device and writes its samples: family after family, wave after
// wave; first the members that begin by themselves, then the offshoots, whose parents' states were
// kept when their waves passed the branch steps.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <optional>

#include "core/checkpoint/state_log.hpp"
#include "core/executor/executor.hpp"
#include "core/progress/event_log.hpp"
#include "core/progress/progress.hpp"
#include "core/record/sample_log.hpp"
#include "core/sweep/experiment.hpp"
#include "kernels/resident.hpp"
#include "models/training/plan.hpp"

namespace manyfold {

/// Changes when a change of the program changes trajectories.
inline constexpr std::int64_t trajectory_version = 3;

/// Where the time of a run went, in seconds. Stepping and probes are the device's; recording is the
/// host's and runs beside them on a GPU; idle is what the device did not do.
struct Profile {
  double load = 0;  ///< drawing starts and filling slots
  double step = 0;
  double probes = 0;
  double record = 0;
  double idle = 0;
  ReplayGaps gaps{};  ///< between replays; in the times of steps and probes, and none on a CPU
};

struct RunSummary {
  std::map<MemberStatus, std::int64_t> members;  ///< by status
  std::int64_t kept = 0;  ///< members of an earlier run that were done: not among those above
  std::int64_t member_steps = 0;
  double seconds = 0;
  bool interrupted = false;
  /// Of families that were stepped resident.
  kernels::ResidentUsage usage{};
  std::optional<Profile> profile;  ///< where it was asked for

  /// Steps of members over steps that places on the chip had time for; NaN where nothing was
  /// stepped resident.
  double utilization() const {
    return static_cast<double>(usage.member_steps) / static_cast<double>(usage.place_steps);
  }
  /// The same while there were members left to enter.
  double utilization_before_drain() const {
    return static_cast<double>(usage.member_steps - usage.drain_member_steps) /
           static_cast<double>(usage.place_steps - usage.drain_place_steps);
  }
};

struct RunContext {
  Executor& executor;
  SampleLog& log;
  Progress& progress;
  EventLog& events;
  const std::atomic<bool>& stop;  ///< set by a signal: end after the samples at hand
  bool profile = false;
  /// Takes the states of members that ended with all their steps done or were interrupted, and
  /// those of parents at branch steps; nullptr: they are not kept.
  StateLog* states = nullptr;
  const Continuation* continuation = nullptr;  ///< what the plan was made with
};

/// Carries the plan out. Members that ended are in the log when this returns or throws; on `stop`
/// those that were stepping end as `interrupted`, the others stay `pending`. So does an offshoot
/// whose parent ended before the branch, and says so.
RunSummary run_experiment(const Experiment& experiment, const Plan& plan,
                          const RunContext& context);

}  // namespace manyfold
