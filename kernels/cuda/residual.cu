// Masked residuals on a GPU: one block a slot, so that the sum needs no second kernel and no
// atomics.
#include <cstdint>

#include "core/portable.hpp"
#include "kernels/cuda/for_each.cuh"
#include "kernels/cuda/operations.cuh"
#include "kernels/cuda/reduce.cuh"

namespace manyfold::kernels::cuda {
namespace {

constexpr int residual_threads = 128;

}  // namespace

template <class T>
__global__ void residual_kernel(ResidualArgs<T> args) {
  const std::int64_t slot = blockIdx.x;
  const T* w = args.w.slot(slot);
  const T* target = args.target.slot(slot);
  const std::uint8_t* mask = args.mask.data != nullptr ? args.mask.slot(slot) : nullptr;
  T* out = args.residual.data != nullptr ? args.residual.slot(slot) : nullptr;
  // A thread's elements lie blockDim.x apart in row-major order; one division here spares one each.
  const std::int64_t cols = args.w.cols;
  const std::int64_t row_step = blockDim.x / cols;
  const std::int64_t col_step = blockDim.x % cols;
  std::int64_t row = threadIdx.x / cols;
  std::int64_t col = threadIdx.x % cols;
  double sum = 0;
  while (row < args.w.rows) {
    const bool seen = mask == nullptr || mask[row * args.mask.row_stride + col] != 0;
    T difference = 0;
    if (seen == args.observed) {
      difference = w[row * args.w.row_stride + col] - target[row * args.target.row_stride + col];
    }
    if (out != nullptr) out[row * args.residual.row_stride + col] = difference;
    const double wide = difference;
    sum = fma(wide, wide, sum);
    row += row_step;
    col += col_step;
    if (col >= cols) {
      col -= cols;
      ++row;
    }
  }
  sum = block_sum<residual_threads>(sum);
  if (threadIdx.x == 0 && args.half_square != nullptr) args.half_square[slot] = 0.5 * sum;
}

template <class T>
void residual(Executor& executor, const ResidualArgs<T>& args) {
  if (args.w.size() == 0) {
    if (args.half_square != nullptr) {
      const ForEach for_each(executor);
      for_each("residual (empty)", args.w.slots, 1,
               [=] MF_KERNEL(std::int64_t slot, std::int64_t) { args.half_square[slot] = 0; });
    }
    return;
  }
  launch(cuda(executor), "residual", residual_kernel<T>,
         dim3(static_cast<unsigned int>(args.w.slots)), dim3(residual_threads), 0, args);
}
template void residual(Executor&, const ResidualArgs<float>&);
template void residual(Executor&, const ResidualArgs<double>&);

}  // namespace manyfold::kernels::cuda
