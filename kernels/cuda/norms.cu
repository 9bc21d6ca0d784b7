// Sums of squares on a GPU: one block a slot.
#include <cstdint>

#include "kernels/cuda/for_each.cuh"
#include "kernels/cuda/operations.cuh"
#include "kernels/cuda/reduce.cuh"

namespace manyfold::kernels::cuda {
namespace {

constexpr int norm_threads = 128;

}  // namespace

template <class T>
__global__ void sum_of_squares_kernel(SumOfSquaresArgs<T> args) {
  const std::int64_t slot = blockIdx.x;
  const T* x = args.x.slot(slot);
  double sum = 0;
  for (std::int64_t i = threadIdx.x; i < args.x.count; i += blockDim.x) {
    const double wide = x[i];
    sum = fma(wide, wide, sum);
  }
  sum = block_sum<norm_threads>(sum);
  if (threadIdx.x == 0) args.out[slot * args.out_stride] = sum;
}

template <class T>
void sum_of_squares(Executor& executor, const SumOfSquaresArgs<T>& args) {
  launch(cuda(executor), "sum_of_squares", sum_of_squares_kernel<T>,
         dim3(static_cast<unsigned int>(args.x.slots)), dim3(norm_threads), 0, args);
}
template void sum_of_squares(Executor&, const SumOfSquaresArgs<float>&);
template void sum_of_squares(Executor&, const SumOfSquaresArgs<double>&);

}  // namespace manyfold::kernels::cuda
