// Resident stepping: members are carried through thousands of steps without leaving the chip, each
// until a step of its own, and one that ends or rests makes room for the next.
#pragma once

#include <cstdint>

#include "core/executor/executor.hpp"

namespace manyfold::kernels {

namespace resident {
struct Program;
}

/// Steps that places on the chip had time for and steps that members took in them, added up; a step
/// of all places is one of the slowest. What the end of a launch costs, when there are no more
/// members to take in, is in these and apart.
struct ResidentUsage {
  std::int64_t member_steps = 0;
  std::int64_t place_steps = 0;
  std::int64_t drain_member_steps = 0;
  std::int64_t drain_place_steps = 0;
};

/// Carries members on, each to step `until` or its end, whichever comes first. A member enters as
/// soon as a place on the chip is free, in the order of the slots; its state moves between device
/// memory and the chip when it enters and when it leaves, never in between. What becomes of a
/// member depends on its own state and the program alone: bitwise the same in any company, order,
/// number of threads and place, on one backend, precision and instruction set.
struct ResidentArgs {
  const resident::Program* program = nullptr;  ///< compiled for this executor
  std::int64_t count = 0;
  const std::int32_t* slots = nullptr;  ///< (count), device memory, each at most once; null: all
  std::int64_t until = 0;
  ResidentUsage* usage = nullptr;  ///< device memory; added to
};
void advance_resident(Executor& executor, const ResidentArgs& args);

}  // namespace manyfold::kernels
