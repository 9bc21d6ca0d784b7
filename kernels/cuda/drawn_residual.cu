// Residuals of drawn terms on a GPU: one block a slot. A thread adds the draws whose entry is its
// own, in the order of the draws, so that no atomics are needed and the order is the CPU's.
#include <cstdint>

#include "core/portable.hpp"
#include "kernels/cuda/for_each.cuh"
#include "kernels/cuda/operations.cuh"
#include "kernels/elements/drawn_residual.hpp"

namespace manyfold::kernels::cuda {
namespace {

constexpr int drawn_threads = 128;

}  // namespace

template <class T>
__global__ void drawn_residual_kernel(DrawnResidualArgs<T> args) {
  const std::int64_t slot = blockIdx.x;
  const std::int64_t threads = blockDim.x;
  const std::int64_t self = threadIdx.x;
  T* out = args.residual.slot(slot);
  for (std::int64_t i = self; i < args.residual.size(); i += threads) {
    out[i / args.residual.cols * args.residual.row_stride + i % args.residual.cols] = T(0);
  }
  __syncthreads();  // an entry's first addition may come from another thread than its zero
  const T weight = elements::term_weight<T>(args, slot);
  if (args.drawn == nullptr) {
    for (std::int64_t j = self; j < args.count[slot]; j += threads) {
      elements::add_term(args, slot, weight, j, elements::entry_of(args, slot, j));
    }
    return;
  }
  const std::int32_t* drawn = args.drawn + slot * args.batch;
  for (std::int64_t b = 0; b < args.batch; ++b) {
    const std::int64_t entry = elements::entry_of(args, slot, drawn[b]);
    if (entry % threads == self) elements::add_term(args, slot, weight, drawn[b], entry);
  }
}

template <class T>
void drawn_residual(Executor& executor, const DrawnResidualArgs<T>& args) {
  launch(cuda(executor), "drawn_residual", drawn_residual_kernel<T>,
         dim3(static_cast<unsigned int>(args.w.slots)), dim3(drawn_threads), 0, args);
}
template void drawn_residual(Executor&, const DrawnResidualArgs<float>&);
template void drawn_residual(Executor&, const DrawnResidualArgs<double>&);

}  // namespace manyfold::kernels::cuda
