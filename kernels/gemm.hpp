// Batched matrix product: C_s = alpha op(A_s) op(B_s) + beta C_s for every slot s.
#pragma once

#include "core/executor/executor.hpp"
#include "core/view.hpp"

namespace manyfold::kernels {

enum class Transpose { no, yes };

/// `full` computes in the type of the operands. `tf32` lets a GPU round float operands to 10 bits
/// of mantissa; elsewhere it is the same as `full`.
enum class MathMode { full, tf32 };

/// Shapes: op(A) (slot, m, k), op(B) (slot, k, n), C (slot, m, n). A and B may be shared
/// (slot_stride 0); C must not be, nor overlap A or B. With beta = 0, C is not read: NaN in it does
/// not spread. Any of m, n, k may be 0 (k = 0: C = beta C).
///
/// CPU: a slot's result is bitwise the same for any number of slots and threads on one instruction
/// set (small sizes: our own loops; large ones: BLAS, one thread a slot). CUDA: cuBLAS strided
/// batched; bitwise repeatable for an equal number of slots.
template <class T>
struct GemmArgs {
  Transpose transpose_a = Transpose::no;
  Transpose transpose_b = Transpose::no;
  T alpha = 1;
  MatrixBatch<const T> a;
  MatrixBatch<const T> b;
  T beta = 0;
  MatrixBatch<T> c;
  MathMode math = MathMode::full;
};

/// Throws std::invalid_argument when shapes do not multiply, naming them.
template <class T>
void gemm(Executor& executor, const GemmArgs<T>& args);

}  // namespace manyfold::kernels
