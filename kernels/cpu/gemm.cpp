// Batched products on the CPU: our own loops for small matrices, single-threaded BLAS calls for
// large ones, one for each piece of C, so that the threads can share one large product.
#include <algorithm>
#include <cstdint>

#include <cblas.h>

#include "kernels/cpu/activation.hpp"
#include "kernels/cpu/for_each.hpp"
#include "kernels/cpu/loops.hpp"
#include "kernels/cpu/operations.hpp"

namespace manyfold::kernels::cpu {
namespace {

void blas_gemm(CBLAS_TRANSPOSE ta, CBLAS_TRANSPOSE tb, int m, int n, int k, float alpha,
               const float* a, int lda, const float* b, int ldb, float beta, float* c, int ldc) {
  cblas_sgemm(CblasRowMajor, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}
void blas_gemm(CBLAS_TRANSPOSE ta, CBLAS_TRANSPOSE tb, int m, int n, int k, double alpha,
               const double* a, int lda, const double* b, int ldb, double beta, double* c,
               int ldc) {
  cblas_dgemm(CblasRowMajor, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}

/// Rows or columns of C in one call.
constexpr std::int64_t longest_piece = 512;

/// A matrix of one row may have any row stride; BLAS wants at least the number of columns.
template <class T>
int leading_dimension(const MatrixBatch<T>& m) {
  return static_cast<int>(std::max({m.row_stride, m.cols, std::int64_t{1}}));
}

}  // namespace

template <class T>
void gemm(Executor& executor, const GemmArgs<T>& args) {
  const bool ta = args.transpose_a == Transpose::yes;
  const bool tb = args.transpose_b == Transpose::yes;
  const std::int64_t m = args.c.rows;
  const std::int64_t n = args.c.cols;
  const std::int64_t k = ta ? args.a.rows : args.a.cols;
  if (std::max({m, n, k}) > largest_own_gemm && k > 0) {
    cpu(executor).for_slots(args.c.slots, [=, threads = cpu(executor).threads()](SlotRange range) {
      // The longer side of C, in pieces of equal size.
      const bool by_rows = m >= n;
      const std::int64_t side = by_rows ? m : n;
      const std::int64_t pieces = (side + longest_piece - 1) / longest_piece;
      for (std::int64_t slot = range.begin; slot < range.end; ++slot) {
        in_pieces(threads, side, (side + pieces - 1) / pieces,
                  [&](std::int64_t begin, std::int64_t end) {
                    const std::int64_t row = by_rows ? begin : 0;
                    const std::int64_t col = by_rows ? 0 : begin;
                    const int rows = static_cast<int>(by_rows ? end - begin : m);
                    const int cols = static_cast<int>(by_rows ? n : end - begin);
                    blas_gemm(ta ? CblasTrans : CblasNoTrans, tb ? CblasTrans : CblasNoTrans, rows,
                              cols, static_cast<int>(k), args.alpha,
                              args.a.slot(slot) + (ta ? row : row * args.a.row_stride),
                              leading_dimension(args.a),
                              args.b.slot(slot) + (tb ? col * args.b.row_stride : col),
                              leading_dimension(args.b), args.beta,
                              args.c.slot(slot) + row * args.c.row_stride + col,
                              leading_dimension(args.c));
                    if (args.finish == Finish::none) return;
                    for (std::int64_t r = row; r < row + rows; ++r) {
                      const std::int64_t at = r * args.c.row_stride + col;
                      const bool sloped = args.finish == Finish::rectified_slope;
                      finish_row(args, args.c.slot(slot) + at,
                                 sloped ? args.state.slot(slot) + at : nullptr, cols);
                    }
                  });
      }
    });
    return;
  }
  const GemmBatch<T> batch{m,
                           n,
                           k,
                           ta,
                           tb,
                           args.alpha,
                           args.beta,
                           args.a.data,
                           args.a.slot_stride,
                           args.a.row_stride,
                           args.b.data,
                           args.b.slot_stride,
                           args.b.row_stride,
                           args.c.data,
                           args.c.slot_stride,
                           args.c.row_stride,
                           loop_finish(args.finish),
                           args.below,
                           args.by,
                           args.state.data,
                           args.state.slot_stride};
  const TypedLoops<T>& loops = chosen_loops().*LoopsOf<T>::member;
  const auto scratch_bytes = static_cast<std::size_t>(loops.gemm_scratch(batch)) * sizeof(T);
  cpu(executor).for_slots(args.c.slots, [batch, &loops, scratch_bytes](SlotRange range) {
    T* scratch = scratch_bytes > 0 ? static_cast<T*>(thread_scratch(scratch_bytes)) : nullptr;
    loops.gemm(batch, range.begin, range.end, scratch);
  });
}
template void gemm(Executor&, const GemmArgs<float>&);
template void gemm(Executor&, const GemmArgs<double>&);

}  // namespace manyfold::kernels::cpu
