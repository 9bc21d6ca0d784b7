// Batched products by cuBLAS. cuBLAS stores by columns: a row-major matrix is its transpose there,
// so C = op(A) op(B) is asked for as C^T = op(B)^T op(A)^T, with the operands exchanged.
#include <algorithm>
#include <cstdint>
#include <stdexcept>
#include <string>

#include <cublas_v2.h>

#include "core/portable.hpp"
#include "kernels/cuda/for_each.cuh"
#include "kernels/cuda/operations.cuh"
#include "kernels/elements/activation.hpp"

namespace manyfold::kernels::cuda {
namespace {

/// Numbers of rows, columns, terms and slots, as cuBLAS takes them.
int narrow(std::int64_t count) {
  if (count > INT32_MAX) {
    throw std::invalid_argument("gemm: cuBLAS takes no size above 2^31: " + std::to_string(count));
  }
  return static_cast<int>(count);
}

/// A matrix of one row may have any row stride; cuBLAS wants at least the number of columns.
template <class T>
int leading_dimension(const MatrixBatch<T>& m) {
  return narrow(std::max({m.row_stride, m.cols, std::int64_t{1}}));
}

struct Shape {
  cublasOperation_t op_a, op_b;
  int m, n, k, lda, ldb, ldc, slots;
};

void multiply(cublasHandle_t handle, const Shape& s, const GemmArgs<double>& args) {
  check(cublasDgemmStridedBatched(handle, s.op_b, s.op_a, s.n, s.m, s.k, &args.alpha, args.b.data,
                                  s.ldb, args.b.slot_stride, args.a.data, s.lda, args.a.slot_stride,
                                  &args.beta, args.c.data, s.ldc, args.c.slot_stride, s.slots),
        "gemm");
}

void multiply(cublasHandle_t handle, const Shape& s, const GemmArgs<float>& args) {
  const cublasComputeType_t compute =
      args.math == MathMode::tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
  check(
      cublasGemmStridedBatchedEx(handle, s.op_b, s.op_a, s.n, s.m, s.k, &args.alpha, args.b.data,
                                 CUDA_R_32F, s.ldb, args.b.slot_stride, args.a.data, CUDA_R_32F,
                                 s.lda, args.a.slot_stride, &args.beta, args.c.data, CUDA_R_32F,
                                 s.ldc, args.c.slot_stride, s.slots, compute, CUBLAS_GEMM_DEFAULT),
      "gemm");
}

/// C = beta C, for products without terms.
template <class T>
void scale(Executor& executor, MatrixBatch<T> c, T beta) {
  const ForEach for_each(executor);
  for_each("gemm (k = 0)", c.slots, c.size(), [=] MF_KERNEL(std::int64_t slot, std::int64_t i) {
    T& entry = c.slot(slot)[i / c.cols * c.row_stride + i % c.cols];
    entry = beta == T(0) ? T(0) : beta * entry;
  });
}

/// cuBLAS has no epilogue for strided batches.
template <class T>
void finish(Executor& executor, const GemmArgs<T>& args) {
  const Activation kind = args.below == T(0) ? Activation::relu : Activation::leaky_relu;
  const double below = args.below;
  const double by = args.by;
  const VectorBatch<T> c = flatten(args.c);
  if (args.finish == Finish::rectify) {
    elements::activate(ForEach(executor), ActivateArgs<T>{kind, below, by, c, c});
  } else if (args.finish == Finish::rectified_slope) {
    elements::activation_slope(
        ForEach(executor),
        ActivationSlopeArgs<T>{kind, below, 1, flatten(args.state), c, by, false, c});
  }
}

}  // namespace

template <class T>
void gemm(Executor& executor, const GemmArgs<T>& args) {
  const bool ta = args.transpose_a == Transpose::yes;
  const bool tb = args.transpose_b == Transpose::yes;
  const std::int64_t k = ta ? args.a.rows : args.a.cols;
  if (k == 0) {
    scale(executor, args.c, args.beta);
    finish(executor, args);
    return;
  }
  const Shape shape{ta ? CUBLAS_OP_T : CUBLAS_OP_N,
                    tb ? CUBLAS_OP_T : CUBLAS_OP_N,
                    narrow(args.c.rows),
                    narrow(args.c.cols),
                    narrow(k),
                    leading_dimension(args.a),
                    leading_dimension(args.b),
                    leading_dimension(args.c),
                    narrow(args.c.slots)};
  multiply(cuda(executor).cublas(), shape, args);
  finish(executor, args);
}
template void gemm(Executor&, const GemmArgs<float>&);
template void gemm(Executor&, const GemmArgs<double>&);

}  // namespace manyfold::kernels::cuda
