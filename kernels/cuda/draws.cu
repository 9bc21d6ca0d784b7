// Perturbations on a GPU: one block a slot. The normal numbers are drawn twice, for their norm and
// for the sum, because that needs no memory and happens at few steps.
#include <cstdint>

#include "kernels/common/draws.hpp"
#include "kernels/cuda/for_each.cuh"
#include "kernels/cuda/operations.cuh"
#include "kernels/cuda/reduce.cuh"

namespace manyfold::kernels::cuda {
namespace {

constexpr int perturb_threads = 128;

}  // namespace

template <class T>
__global__ void perturb_kernel(PerturbArgs<T> args) {
  __shared__ double scale;
  const std::int64_t slot = blockIdx.x;
  const std::int64_t step = args.control.step[slot];
  // The same for all threads of the block: they leave together.
  if (args.control.active[slot] == 0 ||
      !perturbation_is_due(args.control.grad_norm2[slot], args.grad_threshold[slot], step,
                           args.last_noise[slot], args.min_steps[slot])) {
    return;
  }
  const std::int64_t count = args.params.count;
  const std::uint64_t seed = args.seeds[slot];
  const auto at = static_cast<std::uint64_t>(step);
  const std::uint64_t first = at * static_cast<std::uint64_t>(count);
  double norm2 = 0;
  for (std::int64_t i = threadIdx.x; i < count; i += blockDim.x) {
    const double z = normal_double(seed, args.stream, first + static_cast<std::uint64_t>(i));
    norm2 = fma(z, z, norm2);
  }
  // Its barrier also lets every thread read last_noise before thread 0 writes it.
  norm2 = block_sum<perturb_threads>(norm2);
  if (threadIdx.x == 0) {
    args.last_noise[slot] = step;
    scale = perturbation_scale(args.radius[slot], uniform_double(seed, args.radius_stream, at),
                               count, norm2);
  }
  __syncthreads();
  T* params = args.params.slot(slot);
  for (std::int64_t i = threadIdx.x; i < count; i += blockDim.x) {
    const double z = normal_double(seed, args.stream, first + static_cast<std::uint64_t>(i));
    params[i] += static_cast<T>(exact::times(scale, z));
  }
}

template <class T>
void perturb(Executor& executor, const PerturbArgs<T>& args) {
  launch(cuda(executor), "perturb", perturb_kernel<T>,
         dim3(static_cast<unsigned int>(args.control.slots)), dim3(perturb_threads), 0, args);
}
template void perturb(Executor&, const PerturbArgs<float>&);
template void perturb(Executor&, const PerturbArgs<double>&);

}  // namespace manyfold::kernels::cuda
