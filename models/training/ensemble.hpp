// A family living on a device in S slots: model, optimizer, stepping state and the recorded
// programs that step and observe it, batched or resident. All slots are at one step between two
// calls; members that ended, or wait for theirs, are frozen.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/checkpoint/slot_state.hpp"
#include "core/config/settings.hpp"
#include "core/executor/executor.hpp"
#include "core/executor/memory.hpp"
#include "kernels/resident.hpp"
#include "kernels/resident/program.hpp"
#include "kernels/work_slots.hpp"
#include "models/training/control_block.hpp"
#include "models/training/model.hpp"
#include "models/training/optimizer.hpp"
#include "models/training/plan.hpp"
#include "models/training/probes.hpp"

namespace manyfold {

class Ensemble {
 public:
  /// `example`: the settings of any member of the family.
  Ensemble(Executor& executor, const Settings& example, const FamilyPlan& family,
           const ProbePlan& probes, std::int64_t check_every);

  /// Members at step 0 into slots 0, 1, ...; at most `slots` of them. Those that wait (`waiting`,
  /// by slot) stand still until they `enter`.
  void load(std::span<const Settings> members, const std::vector<bool>& waiting = {});

  /// A waiting member takes over a state: what has the same name and size in it. The rest, such as
  /// what another kind of optimizer remembers, stays as `load` left it.
  struct Entry {
    std::int64_t slot = 0;
    const SlotState* state = nullptr;
  };
  void enter(std::span<const Entry> entries);
  /// What the members of consecutive slots take along, as they are after the work so far: the
  /// state itself, not what a look at it leaves behind (`watched`). Waits for the device.
  std::vector<SlotState> save(std::int64_t first, std::int64_t count);
  /// Bytes of one SlotState.
  std::size_t state_bytes();

  /// Steps all slots from step `from` (where they are) to step `to`, without waiting.
  void advance(std::int64_t from, std::int64_t to);

  /// The same for `count` slots alone, whose numbers are in device memory; where the family is
  /// stepped resident.
  void advance_only(const std::int32_t* slots, std::int64_t count, std::int64_t to);
  /// Another stop.steps for the members of slots 0, 1, ...
  void end_at(std::span<const std::int64_t> steps);

  /// A look at all slots whose values come back while later steps run. Two may be under way.
  struct Look {
    std::int64_t step = 0;
    std::vector<int> cadences;
    int buffer = 0;
    Ticket ticket;
  };
  /// Observes the probes of `cadences` and the stepping state, as they are after the work so far.
  Look look(std::int64_t step, const std::vector<int>& cadences);
  /// Waits until a look's values are here.
  void await(const Look& look);
  ControlView control(const Look& look) const;
  /// (slot, width(cadence)): the values of the cadence's probes one after another.
  const double* values(const Look& look, int cadence) const;

  /// One probe's place among a cadence's values, or one watch's among the watched values.
  struct Place {
    int probe = 0;   ///< index into ProbePlan::probes
    int watch = -1;  ///< index into its watches; -1 in a cadence
    std::int64_t offset = 0;
    std::int64_t width = 1;  ///< product of the extents
    std::vector<std::int64_t> extents{};
  };
  std::span<const Place> places(int cadence) const;
  std::int64_t width(int cadence) const;

  /// Watches at the members' last states included; (slot, watched_width()), NaN where nothing was
  /// seen. Waits for the device.
  std::vector<double> watched();
  std::span<const Place> watched_places() const { return watch_places_; }
  std::int64_t watched_width() const { return watch_width_; }

  /// All parameters of one slot's member, from W_1 on. Waits for the device.
  std::vector<double> parameters(std::int64_t slot);

  /// What resident stepping carries out; nullptr where the family is stepped batched.
  const kernels::resident::Program* resident() const { return resident_.get(); }
  /// Why there is none, where one was asked for.
  const std::string& why_not_resident() const { return why_not_resident_; }
  /// Device memory that resident stepping takes beside the slots'.
  std::size_t resident_bytes() const;
  /// Of the resident steps so far. Waits for the device.
  kernels::ResidentUsage usage() const;

  /// Bytes a slot needs beside the model: optimizer, stepping state, sample buffers.
  static std::size_t bytes_per_slot(const Settings& example, const ProbePlan& probes,
                                    std::int64_t parameters);
  /// Bytes of a SlotState, at most; of host memory.
  static std::size_t state_bytes(const Settings& example, const ProbePlan& probes,
                                 const Footprint& footprint);

 private:
  struct Samples {
    std::vector<Place> places;
    std::int64_t width = 0;
    Buffer<double> device;
    std::array<PinnedBuffer<double>, 2> host;
    std::vector<std::unique_ptr<Program>> programs;  ///< one a window
  };

  std::vector<StateArray> state();
  void observe(const ProbeRequest& probe, double* out, std::int64_t stride);
  void observe_watches();
  void plain_step();
  void checked_step();
  void record_steps();
  /// Whether one of them is a probe whose kernels wait for a GPU.
  bool waits(const std::vector<Place>& places) const;
  void record_looks();
  std::vector<std::unique_ptr<Program>> record_look(const std::function<void()>& observe,
                                                    bool waits);
  void run(const std::vector<std::unique_ptr<Program>>& programs);
  void compile_resident();
  // The parts of a step, as both paths carry them out.
  void evaluate(bool checked);
  void inspect();
  void move();

  Executor& executor_;
  const ProbePlan& probes_;
  std::int64_t slots_;
  std::int64_t check_every_;
  std::size_t touched_bytes_;
  bool optimizer_needs_gradient_;
  bool optimizer_needs_norm_;
  std::string optimizer_name_;
  ControlBlock control_;
  kernels::WorkSlots work_;
  std::unique_ptr<Model> model_;
  std::unique_ptr<Optimizer> optimizer_;
  std::vector<Samples> samples_;
  std::array<Buffer<std::byte>, 2> control_snapshots_;
  std::array<PinnedBuffer<std::byte>, 2> control_copies_;
  std::array<Ticket, 2> tickets_{};
  std::array<bool, 2> staged_{};
  int next_buffer_ = 0;

  std::vector<Place> watch_places_;
  std::int64_t watch_width_ = 0;
  std::int64_t scratch_width_ = 0;
  Buffer<double> watch_state_;
  Buffer<double> watch_scratch_;
  std::vector<std::unique_ptr<Program>> watch_programs_;

  std::unique_ptr<Program> plain_program_;
  std::unique_ptr<Program> checked_program_;
  std::unique_ptr<Program> block_program_;  ///< a checked step and check_every - 1 plain ones

  std::unique_ptr<kernels::resident::Program> resident_;
  std::string why_not_resident_;
  Buffer<kernels::ResidentUsage> usage_;
};

}  // namespace manyfold
