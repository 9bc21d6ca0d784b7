// Inner products on a GPU: one block for each.
#include <cstdint>

#include "kernels/cuda/for_each.cuh"
#include "kernels/cuda/operations.cuh"
#include "kernels/cuda/reduce.cuh"

namespace manyfold::kernels::cuda {
namespace {

constexpr int product_threads = 128;

/// By the block, in thread 0.
template <class T>
__device__ double dot(const T* x, const T* y, std::int64_t count) {
  double sum = 0;
  for (std::int64_t i = threadIdx.x; i < count; i += blockDim.x) {
    sum = fma(static_cast<double>(x[i]), static_cast<double>(y[i]), sum);
  }
  return block_sum<product_threads>(sum);
}

}  // namespace

template <class T>
__global__ void inner_product_kernel(InnerProductArgs<T> args) {
  const std::int64_t slot = blockIdx.x;
  const double sum = dot(args.x.slot(slot), args.y.slot(slot), args.x.count);
  if (threadIdx.x == 0) args.out[slot * args.out_stride] = sum;
}

template <class T>
__global__ void inner_products_kernel(InnerProductsArgs<T> args) {
  const std::int64_t slot = blockIdx.x / args.x.rows;
  const std::int64_t r = blockIdx.x % args.x.rows;
  const double sum =
      dot(args.x.slot(slot) + r * args.x.row_stride, args.y.slot(slot), args.y.count);
  if (threadIdx.x == 0) args.out[slot * args.out_stride + r] = sum;
}

template <class T>
void inner_product(Executor& executor, const InnerProductArgs<T>& args) {
  launch(cuda(executor), "inner_product", inner_product_kernel<T>,
         dim3(static_cast<unsigned int>(args.x.slots)), dim3(product_threads), 0, args);
}
template void inner_product(Executor&, const InnerProductArgs<float>&);
template void inner_product(Executor&, const InnerProductArgs<double>&);

template <class T>
void inner_products(Executor& executor, const InnerProductsArgs<T>& args) {
  launch(cuda(executor), "inner_products", inner_products_kernel<T>,
         dim3(static_cast<unsigned int>(args.x.slots * args.x.rows)), dim3(product_threads), 0,
         args);
}
template void inner_products(Executor&, const InnerProductsArgs<float>&);
template void inner_products(Executor&, const InnerProductsArgs<double>&);

}  // namespace manyfold::kernels::cuda
