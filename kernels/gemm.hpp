// Batched matrix product: C_s = alpha op(A_s) op(B_s) + beta C_s for every slot s.
#pragma once

#include "core/executor/executor.hpp"
#include "core/view.hpp"

namespace manyfold::kernels {

enum class Transpose { no, yes };

/// `full` computes in the type of the operands. `tf32` lets a GPU round float operands to 10 bits
/// of mantissa; elsewhere it is the same as `full`.
enum class MathMode { full, tf32 };

/// What every element of the result goes through before it is stored, with X = alpha op(A) op(B) +
/// beta C: a rectifier (kernels/activation.hpp) that would follow in its place, or on the way back
/// its slope. To the bit as one after the other.
///   rectify          C = s(by X), s(x) = x for x >= 0, `below` x under 0; 0 there where below = 0
///   rectified_slope  C = by s' X, s' = 1 where `state` > 0, `below` elsewhere
enum class Finish { none, rectify, rectified_slope };

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
  Finish finish = Finish::none;  ///< others want a dense C
  T below = 0;
  T by = 1;
  MatrixBatch<const T> state{};  ///< (slot, m, n), dense, not C
};

/// Throws std::invalid_argument when shapes do not multiply, naming them.
template <class T>
void gemm(Executor& executor, const GemmArgs<T>& args);

}  // namespace manyfold::kernels
