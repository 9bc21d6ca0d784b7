// Resident stepping: members are carried through thousands of steps without leaving the chip, each
// until a step of its own, and one that ends or rests makes room for the next.
#pragma once

#include <cstdint>

#include "core/executor/executor.hpp"

namespace manyfold::kernels {

namespace resident {
struct Program;
}

/// Steps that places on the chip had time for and steps that members took in them, added up.
struct ResidentUsage {
  std::int64_t member_steps = 0;
  std::int64_t place_steps = 0;
};

/// Carries the members of `slots` on, each until its own target step or its end, whichever comes
/// first; they enter in the order given, each as soon as a place on the chip is free. State moves
/// between device memory and the chip when a member enters and leaves, never in between. What a
/// member becomes depends on its own state and the program alone: bitwise the same in any company,
/// order, number of threads and place, on one backend, precision and instruction set.
struct ResidentArgs {
  const resident::Program* program = nullptr;  ///< compiled for this executor
  std::int64_t count = 0;
  const std::int32_t* slots = nullptr;   ///< (count), device memory, each slot at most once
  const std::int64_t* target = nullptr;  ///< (slot), device memory
  ResidentUsage* usage = nullptr;        ///< device memory; added to
};
void advance_resident(Executor& executor, const ResidentArgs& args);

}  // namespace manyfold::kernels
