// From captured operations to a resident program: where each operand stands in a member's arena,
// what has to be brought in and what taken back.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "kernels/resident/program.hpp"
#include "kernels/stepping.hpp"

namespace manyfold::kernels::resident {

/// Device memory that outlives a launch: `bytes` from `data` on in slot 0, and as far in every other
/// slot as that operand's stride says.
struct Persistent {
  const void* data = nullptr;
  std::size_t bytes = 0;
};

struct CompileArgs {
  /// Each calls the operations of its section (program.hpp) for all slots.
  std::array<std::function<void()>, sections> bodies;
  StepControl control;
  std::int64_t check_every = 1;
  std::span<const Persistent> persistent;  ///< beside `active` and `reason` of the control
};

struct Compiled {
  std::unique_ptr<Program> program;  ///< null: there is none
  std::string why_not;
};

/// Compiles for this executor, whose memory the program then needs as long as it lives. No program,
/// and the reason, where an operation has no resident form. Whether the arena fits the chip is the
/// caller's question (resident_capacity). Throws std::logic_error where a step carries something
/// over to the next that is not persistent.
Compiled compile(Executor& executor, const CompileArgs& args);

}  // namespace manyfold::kernels::resident
