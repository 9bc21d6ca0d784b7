// The per-slot state of stepping in one piece of device memory, so that one copy shows it to the
// host.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "core/config/settings.hpp"
#include "core/executor/memory.hpp"
#include "kernels/stepping.hpp"
#include "models/training/model.hpp"

namespace manyfold {

/// What the host reads of a copy of the block.
struct ControlView {
  const std::int32_t* active;
  const std::int32_t* reason;
  const std::int64_t* step;
  const std::int64_t* finite_step;
  const double* finite_train_loss;
  const double* finite_grad_norm;
};

class ControlBlock {
 public:
  ControlBlock(Executor& executor, std::int64_t slots);
  /// Slots 0 ... members.size()-1 become active at step 0, but those that wait; the others
  /// inactive. `waiting`: by slot; empty: none.
  void load(std::span<const Settings> members, const std::vector<bool>& waiting = {});
  /// Slots that stand at their members' states (`state`) become active, unless all their steps are
  /// done. Waits for the device.
  void activate(std::span<const std::int64_t> slots);
  /// What a member takes along of the stepping.
  std::vector<StateArray> state() const;

  kernels::StepControl control() const;
  const std::byte* data() const { return block_.data(); }
  std::size_t bytes() const { return block_.bytes(); }
  /// The view of a host copy of the block.
  ControlView view(const std::byte* copy) const;

  static std::size_t bytes_per_slot();

 private:
  std::int64_t slots_;
  Buffer<std::byte> block_;
};

}  // namespace manyfold
