// The CUDA backend's operations, as its table lists them.
#pragma once

#include "kernels/table.hpp"

namespace manyfold::kernels::cuda {
#include "kernels/operations.inc"
}  // namespace manyfold::kernels::cuda
