// Parts of Gram matrices on the CPU: patterns by the loops of this instruction set, gradients of
// filters as one small product an example.
#include "kernels/gram.hpp"

#include <algorithm>
#include <cstdint>

#include <cblas.h>

#include "kernels/cpu/for_each.hpp"
#include "kernels/cpu/loops.hpp"
#include "kernels/cpu/operations.hpp"

namespace manyfold::kernels::cpu {
namespace {

/// A piece of counts that is worth a thread: rows, and columns, as the loops take them at once.
constexpr std::int64_t pattern_rows = 256;
constexpr std::int64_t pattern_cols = 64;

/// Copies what is below the diagonal in rows top to last and columns col to end above it, by
/// squares of cache lines.
void mirror(double* m, std::int64_t row, std::int64_t top, std::int64_t last, std::int64_t col,
            std::int64_t end) {
  constexpr std::int64_t side = 8;
  for (std::int64_t i = top; i < last; i += side) {
    for (std::int64_t j = col; j < std::min(end, i + side); j += side) {
      for (std::int64_t k = j; k < std::min(j + side, end); ++k) {
        for (std::int64_t l = std::max(i, k + 1); l < std::min(i + side, last); ++l) {
          m[k * row + l] = m[l * row + k];
        }
      }
    }
  }
}

/// Rows first to last of the lower triangle in some columns, and their mirror.
void count_piece(const PatternProductsArgs& args, std::int64_t slot, std::int64_t first,
                 std::int64_t last, std::int64_t col) {
  const std::uint64_t* bits = args.bits.slot(slot);
  double* counts = args.counts.slot(slot);
  const std::int64_t row = args.counts.row_stride;
  const std::int64_t words_row = args.bits.row_stride;
  const std::int64_t top = std::max(first, col);
  const std::int64_t end = std::min(col + pattern_cols, last);
  chosen_loops().shared_ones(counts + top * row + col, row, bits + top * words_row, last - top,
                             bits + col * words_row, end - col, words_row, args.bits.cols);
  mirror(counts, row, top, last, col, end);
}

/// Rows and columns of a block of (A A^T) o (B B^T): its two products stay in a thread's caches.
constexpr std::int64_t product_side = 256;

void blas_product(bool square, int rows, int cols, int terms, const float* a, int a_row,
                  const float* b, int b_row, float* c) {
  if (square) {
    cblas_ssyrk(CblasRowMajor, CblasLower, CblasNoTrans, rows, terms, 1, a, a_row, 0, c, cols);
  } else {
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, rows, cols, terms, 1, a, a_row, b, b_row,
                0, c, cols);
  }
}
void blas_product(bool square, int rows, int cols, int terms, const double* a, int a_row,
                  const double* b, int b_row, double* c) {
  if (square) {
    cblas_dsyrk(CblasRowMajor, CblasLower, CblasNoTrans, rows, terms, 1, a, a_row, 0, c, cols);
  } else {
    cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasTrans, rows, cols, terms, 1, a, a_row, b, b_row,
                0, c, cols);
  }
}

/// c (rows, cols), dense: products of rows first to first + rows with those from `col` on; where
/// first is col the lower triangle is enough.
template <class T>
void block_product(const MatrixBatch<const T>& m, std::int64_t slot, std::int64_t first,
                   std::int64_t rows, std::int64_t col, std::int64_t cols, T* c) {
  const T* a = m.slot(slot) + first * m.row_stride;
  const T* b = m.slot(slot) + col * m.row_stride;
  if (std::max({rows, cols, m.cols}) > largest_own_gemm) {
    const int row = static_cast<int>(std::max({m.row_stride, m.cols, std::int64_t{1}}));
    blas_product(first == col, static_cast<int>(rows), static_cast<int>(cols),
                 static_cast<int>(m.cols), a, row, b, row, c);
    return;
  }
  const GemmBatch<T> batch{.m = rows,
                           .n = cols,
                           .k = m.cols,
                           .transpose_a = false,
                           .transpose_b = true,
                           .alpha = 1,
                           .beta = 0,
                           .a = a,
                           .a_slot = 0,
                           .a_row = m.row_stride,
                           .b = b,
                           .b_slot = 0,
                           .b_row = m.row_stride,
                           .c = c,
                           .c_slot = 0,
                           .c_row = cols,
                           .finish = LoopFinish::none,
                           .below = 0,
                           .by = 1,
                           .state = nullptr,
                           .state_slot = 0};
  const TypedLoops<T>& loops = chosen_loops().*LoopsOf<T>::member;
  loops.gemm(batch, 0, 1, c + product_side * product_side);
}

/// Elements of scratch behind the products that block_product takes.
template <class T>
std::int64_t product_scratch(const MatrixBatch<const T>& m, std::int64_t side) {
  if (std::max(side, m.cols) > largest_own_gemm) return 0;
  GemmBatch<T> batch{};
  batch.m = batch.n = side;
  batch.k = m.cols;
  batch.transpose_b = true;
  return (chosen_loops().*LoopsOf<T>::member).gemm_scratch(batch);
}

/// Examples first, first + 1, ... of a slot.
void products_of(const ExampleProductsArgs& args, std::int64_t slot, std::int64_t first,
                 std::int64_t count) {
  const std::int64_t outputs = args.a.cols;
  const std::int64_t taps = args.b.cols;
  const double* a = args.a.slot(slot) + first * args.places * outputs;
  const double* b = args.b.slot(slot) + first * args.places * taps;
  double* c = args.c.slot(slot) + first * args.c.cols;
  if (std::max({outputs, taps, args.places}) > largest_own_gemm) {
    for (std::int64_t e = 0; e < count; ++e) {
      cblas_dgemm(CblasRowMajor, CblasTrans, CblasNoTrans, static_cast<int>(outputs),
                  static_cast<int>(taps), static_cast<int>(args.places), 1.0,
                  a + e * args.places * outputs, static_cast<int>(outputs),
                  b + e * args.places * taps, static_cast<int>(taps), 0.0, c + e * args.c.cols,
                  static_cast<int>(taps));
    }
    return;
  }
  const GemmBatch<double> batch{.m = outputs,
                                .n = taps,
                                .k = args.places,
                                .transpose_a = true,
                                .transpose_b = false,
                                .alpha = 1,
                                .beta = 0,
                                .a = a,
                                .a_slot = args.places * outputs,
                                .a_row = outputs,
                                .b = b,
                                .b_slot = args.places * taps,
                                .b_row = taps,
                                .c = c,
                                .c_slot = args.c.cols,
                                .c_row = taps,
                                .finish = LoopFinish::none,
                                .below = 0,
                                .by = 1,
                                .state = nullptr,
                                .state_slot = 0};
  const TypedLoops<double>& loops = chosen_loops().f64;
  const auto bytes = static_cast<std::size_t>(loops.gemm_scratch(batch)) * sizeof(double);
  loops.gemm(batch, 0, count, bytes > 0 ? static_cast<double*>(thread_scratch(bytes)) : nullptr);
}

}  // namespace

void example_products(Executor& executor, const ExampleProductsArgs& args) {
  cpu(executor).for_slots(args.c.slots, [args, threads = cpu(executor).threads()](SlotRange range) {
    const std::int64_t work = args.c.cols * args.places;
    const std::int64_t piece = std::max<std::int64_t>(1, element_piece / work);
    for (std::int64_t slot = range.begin; slot < range.end; ++slot) {
      in_pieces(threads, args.c.rows, piece, [&](std::int64_t begin, std::int64_t end) {
        products_of(args, slot, begin, end - begin);
      });
    }
  });
}

template <class T>
void gram_products(Executor& executor, const GramProductsArgs<T>& args) {
  const std::int64_t n = args.gram.rows;
  // Of equal size, but for the last.
  const std::int64_t across = (n + product_side - 1) / product_side;
  const std::int64_t side = (n + across - 1) / across;
  const bool weighed = args.a.data != nullptr;
  const std::int64_t room =
      std::max(weighed ? product_scratch(args.a, side) : 0, product_scratch(args.b, side));
  const std::int64_t square = product_side * product_side;
  const auto bytes = static_cast<std::size_t>(2 * square + room) * sizeof(T);
  cpu(executor).for_slots(args.gram.slots, [=, threads = cpu(executor).threads()](SlotRange range) {
    for (std::int64_t slot = range.begin; slot < range.end; ++slot) {
      double* gram = args.gram.slot(slot);
      const std::int64_t stride = args.gram.row_stride;
      in_pieces(threads, across * across, 1, [&](std::int64_t begin, std::int64_t end) {
        T* y = static_cast<T*>(thread_scratch(bytes));
        T* x = y + square;
        for (std::int64_t p = begin; p < end; ++p) {
          const std::int64_t first = p / across * side;
          const std::int64_t col = p % across * side;
          if (col > first || first >= n) continue;
          const std::int64_t rows = std::min(side, n - first);
          const std::int64_t cols = std::min(side, n - col);
          // x lies behind y, and the scratch of either behind x: y's first.
          block_product(args.b, slot, first, rows, col, cols, y);
          if (weighed) block_product(args.a, slot, first, rows, col, cols, x);
          for (std::int64_t i = 0; i < rows; ++i) {
            double* to = gram + (first + i) * stride + col;
            const std::int64_t count = first == col ? i + 1 : cols;
            for (std::int64_t j = 0; j < count; ++j) {
              double product = y[i * cols + j];
              if (weighed) product *= x[i * cols + j];
              to[j] = args.add ? to[j] + args.factor * product : args.factor * product;
            }
          }
          mirror(gram, stride, first, first + rows, col, std::min(col + cols, first + rows));
        }
      });
    }
  });
}
template void gram_products(Executor&, const GramProductsArgs<float>&);
template void gram_products(Executor&, const GramProductsArgs<double>&);

template <class T>
void pattern_bits(Executor& executor, const PatternBitsArgs<T>& args) {
  cpu(executor).for_slots(
      args.bits.slots, [args, threads = cpu(executor).threads()](SlotRange range) {
        const std::int64_t piece = std::max<std::int64_t>(1, element_piece / args.x.cols);
        const TypedLoops<T>& loops = chosen_loops().*LoopsOf<T>::member;
        for (std::int64_t slot = range.begin; slot < range.end; ++slot) {
          in_pieces(threads, args.x.rows, piece, [&](std::int64_t begin, std::int64_t end) {
            for (std::int64_t row = begin; row < end; ++row) {
              loops.positive_bits(args.bits.slot(slot) + row * args.bits.row_stride,
                                  args.x.slot(slot) + row * args.x.row_stride, args.x.cols);
            }
          });
        }
      });
}
template void pattern_bits(Executor&, const PatternBitsArgs<float>&);
template void pattern_bits(Executor&, const PatternBitsArgs<double>&);

void pattern_products(Executor& executor, const PatternProductsArgs& args) {
  cpu(executor).for_slots(
      args.counts.slots, [args, threads = cpu(executor).threads()](SlotRange range) {
        const std::int64_t n = args.counts.rows;
        const std::int64_t strips = (n + pattern_cols - 1) / pattern_cols;
        const std::int64_t pieces = (n + pattern_rows - 1) / pattern_rows * strips;
        for (std::int64_t slot = range.begin; slot < range.end; ++slot) {
          in_pieces(threads, pieces, 1, [&](std::int64_t begin, std::int64_t end) {
            for (std::int64_t p = begin; p < end; ++p) {
              const std::int64_t first = p / strips * pattern_rows;
              const std::int64_t last = std::min(n, first + pattern_rows);
              const std::int64_t col = p % strips * pattern_cols;
              if (col < last) count_piece(args, slot, first, last, col);
            }
          });
        }
      });
}

}  // namespace manyfold::kernels::cpu
