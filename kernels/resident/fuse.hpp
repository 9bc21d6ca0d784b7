// Rewrites captured steps into ones that do less work with the same result. Whatever is not
// recognized is left alone.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <vector>

#include "core/executor/executor.hpp"
#include "kernels/resident/program.hpp"

namespace manyfold::kernels::resident {

/// The operations of each part of a step.
using Calls = std::array<std::vector<Instruction>, sections>;

/// Above this share of observed entries dense products are as fast.
constexpr double densest_pattern = 0.7;

/// Lists that the rewritten operations point to.
using PatternMemory = std::deque<std::vector<std::int32_t>>;

/// Shared masks as sparsity: products whose result is only looked at where a mask observes, and
/// products with such a masked residual. Looks at the masks as they are in device memory now. For a
/// CPU.
void fuse_masks(Executor& executor, Calls& calls, PatternMemory& patterns);

/// Steps of stochastic gradient descent on one drawn entry of a chain: their gradient has rank one,
/// so that matrix-vector products and one pass over each layer do.
void fuse_drawn(Calls& calls);

}  // namespace manyfold::kernels::resident
