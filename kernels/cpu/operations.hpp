// The CPU's operations, as its table lists them.
#pragma once

#include "kernels/table.hpp"

namespace manyfold::kernels::cpu {
#include "kernels/operations.inc"
}  // namespace manyfold::kernels::cpu
