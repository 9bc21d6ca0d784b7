// Resident stepping on the CPU.
#include <stdexcept>

#include "kernels/cpu/operations.hpp"

namespace manyfold::kernels::cpu {

void advance_resident(Executor&, const ResidentArgs&) {
  throw std::logic_error("advance_resident: not on this device yet");
}

}  // namespace manyfold::kernels::cpu
