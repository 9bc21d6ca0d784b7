// Resident stepping on a GPU: one member a block, its arena in shared memory.
#include <stdexcept>

#include "kernels/cuda/operations.cuh"

namespace manyfold::kernels::cuda {

void advance_resident(Executor&, const ResidentArgs&) {
  throw std::logic_error("advance_resident: not on this device yet");
}

}  // namespace manyfold::kernels::cuda
