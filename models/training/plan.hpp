// What an experiment will need, before anything is allocated: families, slots, waves, memory, the
// record's layout and size; and which members begin where another one was left.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/checkpoint/slot_state.hpp"
#include "core/executor/executor.hpp"
#include "core/record/layout.hpp"
#include "core/sweep/experiment.hpp"
#include "models/training/model.hpp"
#include "models/training/probes.hpp"

namespace manyfold {

/// How members are stepped: `batched`, all slots together, operation after operation; `resident`,
/// each carried through many steps without leaving the chip (kernels/resident.hpp).
enum class Path { batched, resident };
const char* word(Path path);

/// Members of one shape, which share kernels and a memory layout.
struct FamilyPlan {
  std::string description;            ///< "deep_linear 20x20 . 20x20 full, gd, f64"
  std::int64_t example = 0;           ///< any of its members
  std::vector<std::int64_t> numbers;  ///< of all its members, ascending
  /// Numbers of those that are to be run: first the starters, then the offshoots that branch off in
  /// this run, each ascending by the step at which they begin, then by number.
  std::vector<std::int64_t> members;
  std::size_t starters = 0;
  bool shared_problem = true;     ///< one target and mask for all
  Path path = Path::batched;      ///< until choose_paths says otherwise
  std::string path_reason{};      ///< a phrase
  Footprint footprint;            ///< model, optimizer, control and sample buffers together
  std::int64_t slots = 0;         ///< members on the device at once
  std::int64_t waves = 0;         ///< of starters and of offshoots, which come after them
  std::size_t state_bytes = 0;    ///< of a member's SlotState, at most
  std::int64_t member_steps = 0;  ///< at most: members may stop early
  /// Where parameters are recorded: their arrays, and the first of the record's variables for them.
  std::vector<ParameterArray> arrays{};
  int first_array = -1;

  /// Slots that are evaluated at once: all of them, or, where steps are taken on the chip and only
  /// looks evaluate, a sixteenth of many.
  std::int64_t slots_in_window() const;
  bool in_windows() const;  ///< whether it is the latter
  std::size_t bytes() const { return bytes_of(slots); }
  /// With this many slots.
  std::size_t bytes_of(std::int64_t count) const;
  /// What is not shared, over the slots.
  std::size_t bytes_per_member() const {
    return slots > 0 ? (bytes() - footprint.shared_bytes) / static_cast<std::size_t>(slots) : 0;
  }

  /// Sets slots and waves to what `budget` bytes hold; false: not one member, and nothing changed.
  bool fit(std::size_t budget);

  /// A wave of starters, or of offshoots: which of `members`.
  struct Wave {
    std::size_t first = 0;
    std::size_t count = 0;
  };
  std::vector<Wave> waves_of(bool offshoots) const;
};

/// What an earlier run of some of the members left behind.
struct Continuation {
  static constexpr std::int64_t done = -1;
  /// By member: `done`, 0 (run it from its start, or its branch), or the step that it stands at.
  std::vector<std::int64_t> position;
  std::vector<std::int64_t> end_step;  ///< by member, of those that are done
  /// Whether there is a state of a member at a step, and that state.
  std::function<bool(std::int64_t member, std::int64_t step)> has_state;
  std::function<std::optional<SlotState>(std::int64_t member, std::int64_t step)> state;
};

struct Plan {
  std::vector<FamilyPlan> families;
  ProbePlan probes;
  RecordLayout layout;
  std::int64_t check_every = 0;
  std::int64_t member_steps = 0;
  /// The steps at which members are branched off in this run and to how many offshoots; by parent.
  std::map<std::int64_t, std::map<std::int64_t, std::int64_t>> branches;
  /// By member; empty where all begin at their starts. An offshoot begins at its branch step.
  std::vector<std::int64_t> begin;
  std::size_t kept_bytes = 0;  ///< host memory for the states of parents that offshoots wait for

  std::int64_t begin_of(std::int64_t member) const {
    return begin.empty() ? 0 : begin[static_cast<std::size_t>(member)];
  }
  std::size_t peak_bytes() const;  ///< of device memory: families run one after another
  double flops() const;            ///< of all gradients, if no member stops early
};

/// Validates every member, too. Throws InputError, and ResourceError when one member of a family
/// does not fit the device's memory budget, or what offshoots wait for this machine's memory.
Plan make_plan(const Experiment& experiment, const DeviceDescription& device,
               const Continuation* continuation = nullptr);

/// Decides on the path of each family: resident where every operation of its step has a resident
/// form and a member fits the chip, which shape, precision, optimizer and device say, never the
/// number of members. `wanted` "resident" or "batched" forces one for all; InputError names the
/// family and the reason where resident cannot be had, and an unknown word.
void choose_paths(Plan& plan, const Experiment& experiment, Executor& executor,
                  const std::string& wanted = "auto");
/// What to ask for where an earlier record's `path` attribute is to be followed: `wanted`, or,
/// where that is "auto" and all of the record took one path, that one.
std::string path_of_record(const std::string& recorded, const std::string& wanted);
/// The paths of a plan's families, in their order, as a record has them: "resident", or
/// "resident, batched" where they differ.
std::string paths_text(const Plan& plan);

}  // namespace manyfold
