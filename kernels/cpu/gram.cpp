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

/// Rows of counts that are worth a thread, and whose patterns stay in its caches meanwhile.
constexpr std::int64_t pattern_piece = 32;

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

void pattern_products(Executor& executor, const PatternProductsArgs& args) {
  cpu(executor).for_slots(
      args.counts.slots, [args, threads = cpu(executor).threads()](SlotRange range) {
        const std::int64_t n = args.counts.rows;
        const std::int64_t row = args.counts.row_stride;
        const std::int64_t words_row = args.bits.row_stride;
        for (std::int64_t slot = range.begin; slot < range.end; ++slot) {
          const std::uint64_t* bits = args.bits.slot(slot);
          double* counts = args.counts.slot(slot);
          // The lower triangle by blocks of rows, the longest first; what is above is its mirror.
          const std::int64_t pieces = (n + pattern_piece - 1) / pattern_piece;
          in_pieces(threads, pieces, 1, [&](std::int64_t begin, std::int64_t end) {
            for (std::int64_t p = begin; p < end; ++p) {
              const std::int64_t last = n - p * pattern_piece;
              const std::int64_t first = std::max<std::int64_t>(0, last - pattern_piece);
              chosen_loops().shared_ones(counts + first * row, row, bits + first * words_row,
                                         last - first, bits, last, words_row, args.bits.cols);
              for (std::int64_t i = first; i < last; ++i) {
                for (std::int64_t j = 0; j < i; ++j) counts[j * row + i] = counts[i * row + j];
              }
            }
          });
        }
      });
}

}  // namespace manyfold::kernels::cpu
