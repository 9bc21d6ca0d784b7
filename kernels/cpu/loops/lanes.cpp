// The lane loops, compiled once per instruction set as loops.cpp is.
#include "kernels/cpu/lanes.hpp"

#include "kernels/cpu/loops/lanes.hpp"

namespace manyfold::kernels::cpu::MF_ISA {

const LaneLoops lane_loops = {typed_lane_loops<float>(), typed_lane_loops<double>()};

}  // namespace manyfold::kernels::cpu::MF_ISA
