// Inner products on a GPU: one block a slot.
#include <cstdint>

#include "kernels/cuda/for_each.cuh"
#include "kernels/cuda/operations.cuh"
#include "kernels/cuda/reduce.cuh"

namespace manyfold::kernels::cuda {
namespace {

constexpr int product_threads = 128;

}  // namespace

template <class T>
__global__ void inner_product_kernel(InnerProductArgs<T> args) {
  const std::int64_t slot = blockIdx.x;
  const T* x = args.x.slot(slot);
  const T* y = args.y.slot(slot);
  double sum = 0;
  for (std::int64_t i = threadIdx.x; i < args.x.count; i += blockDim.x) {
    sum = fma(static_cast<double>(x[i]), static_cast<double>(y[i]), sum);
  }
  sum = block_sum<product_threads>(sum);
  if (threadIdx.x == 0) args.out[slot * args.out_stride] = sum;
}

template <class T>
void inner_product(Executor& executor, const InnerProductArgs<T>& args) {
  launch(cuda(executor), "inner_product", inner_product_kernel<T>,
         dim3(static_cast<unsigned int>(args.x.slots)), dim3(product_threads), 0, args);
}
template void inner_product(Executor&, const InnerProductArgs<float>&);
template void inner_product(Executor&, const InnerProductArgs<double>&);

}  // namespace manyfold::kernels::cuda
