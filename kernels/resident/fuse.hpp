// Rewrites captured steps into ones that do less work with the same result: products whose result
// is only looked at where a mask observes, and products with such a masked residual.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <vector>

#include "core/executor/executor.hpp"
#include "kernels/resident/program.hpp"

namespace manyfold::kernels::resident {

/// Above this share of observed entries dense products are as fast.
constexpr double densest_pattern = 0.7;

/// Lists that the rewritten operations point to.
using PatternMemory = std::deque<std::vector<std::int32_t>>;

/// Looks at shared masks as they are in device memory now. Leaves alone whatever it does not
/// recognize.
void fuse(Executor& executor, std::array<std::vector<Instruction>, sections>& calls,
          PatternMemory& patterns);

}  // namespace manyfold::kernels::resident
