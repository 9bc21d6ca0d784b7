// The lane loops, compiled once per instruction set as loops.cpp is.
#include "kernels/cpu/lanes.hpp"

#include "kernels/cpu/loops/drawn_descent.hpp"
#include "kernels/cpu/loops/lane_gemm.hpp"
#include "kernels/cpu/loops/lanes.hpp"
#include "kernels/cpu/loops/orbits.hpp"
#include "kernels/cpu/loops/sparse.hpp"
#include "kernels/cpu/loops/teacher.hpp"

namespace manyfold::kernels::cpu::MF_ISA {
namespace {

template <class T>
constexpr TypedLaneLoops<T> typed_lane_loops() {
  return {width<T>,
          lane_gemm<T>,
          lane_residual<T>,
          lane_squared<T>,
          lane_sparse<T>,
          lane_sampled<T>,
          lane_sparse_top_layer<T>,
          lane_drawn_descent<T>,
          lane_inner_product<T>,
          lane_add_scaled<T>,
          lane_descend<T>,
          lane_heavy_ball<T>,
          lane_adam<T>,
          lane_sign_descend<T>,
          lane_linear_combination<T>,
          lane_teacher_gradient<T>};
}

}  // namespace

const LaneLoops lane_loops = {typed_lane_loops<float>(),
                              typed_lane_loops<double>(),
                              {orbits<1>, orbits<2>, orbits<3>, orbits<4>}};

}  // namespace manyfold::kernels::cpu::MF_ISA
