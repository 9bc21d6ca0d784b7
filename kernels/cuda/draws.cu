// Perturbations on a GPU: one block a slot.
#include <cstdint>

#include "kernels/cuda/for_each.cuh"
#include "kernels/cuda/operations.cuh"
#include "kernels/cuda/perturb.cuh"

namespace manyfold::kernels::cuda {

template <class T>
__global__ void perturb_kernel(PerturbArgs<T> args) {
  perturb_slot(args, static_cast<std::int64_t>(blockIdx.x));
}

template <class T>
void perturb(Executor& executor, const PerturbArgs<T>& args) {
  launch(cuda(executor), "perturb", perturb_kernel<T>,
         dim3(static_cast<unsigned int>(args.control.slots)), dim3(perturb_threads), 0, args);
}
template void perturb(Executor&, const PerturbArgs<float>&);
template void perturb(Executor&, const PerturbArgs<double>&);

}  // namespace manyfold::kernels::cuda
