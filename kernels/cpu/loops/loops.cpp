// The CPU's hot loops. The build compiles this file once per instruction set, with its flags and
// with MF_ISA naming its namespace (kernels/cpu/loops.hpp says why), and links all of them.
#include "kernels/cpu/loops.hpp"

#include "kernels/cpu/loops/activation.hpp"
#include "kernels/cpu/loops/copy.hpp"
#include "kernels/cpu/loops/examples.hpp"
#include "kernels/cpu/loops/fma_peak.hpp"
#include "kernels/cpu/loops/gemm.hpp"
#include "kernels/cpu/loops/jacobi.hpp"
#include "kernels/cpu/loops/lane_jacobi.hpp"
#include "kernels/cpu/loops/patterns.hpp"
#include "kernels/cpu/loops/reductions.hpp"
#include "kernels/cpu/loops/updates.hpp"

#define MF_ISA_NAME_OF(isa) #isa
#define MF_ISA_NAME(isa) MF_ISA_NAME_OF(isa)

namespace manyfold::kernels::cpu::MF_ISA {

namespace {

template <class T>
constexpr TypedLoops<T> typed_loops() {
  return {gemm_scratch<T>,
          gemm<T>,
          residual<T>,
          sum_of_squares<T>,
          descend<T>,
          heavy_ball<T>,
          adam<T>,
          sign_descend<T>,
          {activate<Linear, T>, activate<Relu, T>, activate<LeakyRelu, T>, activate<Softplus, T>,
           activate<Tanh, T>, activate<Sigmoid, T>, activate<Erf, T>},
          {activation_slope<Linear, T>, activation_slope<Relu, T>, activation_slope<LeakyRelu, T>,
           activation_slope<Softplus, T>, activation_slope<Tanh, T>, activation_slope<Sigmoid, T>,
           activation_slope<Erf, T>},
          squared_slopes<T>,
          squared_losses<T>,
          positive_bits<T>,
          fma_rounds<T>,
          fma_flops_per_round<T>};
}

}  // namespace

const Loops loops = {
    MF_ISA_NAME(MF_ISA), typed_loops<float>(), typed_loops<double>(), jacobi_stride, jacobi,
    lane_count,          lane_jacobi,          shared_ones,           copy_rounds,
};

}  // namespace manyfold::kernels::cpu::MF_ISA
