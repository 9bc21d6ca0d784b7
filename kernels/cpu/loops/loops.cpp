// The CPU's hot loops. The build compiles this file once per instruction set, with its flags and
// with MF_ISA naming its namespace (kernels/cpu/loops.hpp says why), and links all of them.
#include "kernels/cpu/loops.hpp"

#include "kernels/cpu/loops/activation.hpp"
#include "kernels/cpu/loops/copy.hpp"
#include "kernels/cpu/loops/fma_peak.hpp"
#include "kernels/cpu/loops/gemm.hpp"
#include "kernels/cpu/loops/jacobi.hpp"
#include "kernels/cpu/loops/reductions.hpp"
#include "kernels/cpu/loops/updates.hpp"

#define MF_ISA_NAME_OF(isa) #isa
#define MF_ISA_NAME(isa) MF_ISA_NAME_OF(isa)

namespace manyfold::kernels::cpu::MF_ISA {

const Loops loops = {
    MF_ISA_NAME(MF_ISA),
    {gemm_scratch<float>, gemm<float>, residual<float>, sum_of_squares<float>, descend<float>,
     heavy_ball<float>, adam<float>, sign_descend<float>, rectify<float>, rectified_slope<float>,
     fma_rounds<float>, fma_flops_per_round<float>},
    {gemm_scratch<double>, gemm<double>, residual<double>, sum_of_squares<double>, descend<double>,
     heavy_ball<double>, adam<double>, sign_descend<double>, rectify<double>,
     rectified_slope<double>, fma_rounds<double>, fma_flops_per_round<double>},
    jacobi_stride,
    jacobi,
    copy_rounds,
};

}  // namespace manyfold::kernels::cpu::MF_ISA
