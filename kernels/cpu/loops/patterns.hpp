// Counts of columns that two 0/1 patterns share, 64 columns a word (kernels/gram.hpp).
#pragma once

#include "kernels/cpu/loops.hpp"
#include "kernels/cpu/loops/vector.hpp"

namespace manyfold::kernels::cpu::MF_ISA {
namespace {

/// counts (rows, cols), rows counts_row apart, of the patterns at a (rows) and b (cols), each
/// words_row apart. Every word of a tile's rows is loaded once for all of its columns, and the
/// other way round.
template <int rows, int cols>
void shared_ones_tile(double* counts, int64_t counts_row, const uint64_t* a, const uint64_t* b,
                      int64_t words_row, int64_t words) {
  int64_t sums[rows][cols] = {};
  for (int64_t w = 0; w < words; ++w) {
#pragma GCC unroll 4
    for (int i = 0; i < rows; ++i) {
      const uint64_t own = a[i * words_row + w];
#pragma GCC unroll 4
      for (int j = 0; j < cols; ++j) {
        sums[i][j] += __builtin_popcountll(own & b[j * words_row + w]);
      }
    }
  }
  for (int i = 0; i < rows; ++i) {
    for (int j = 0; j < cols; ++j) counts[i * counts_row + j] = static_cast<double>(sums[i][j]);
  }
}

void shared_ones(double* counts, int64_t counts_row, const uint64_t* a, int64_t rows,
                 const uint64_t* b, int64_t cols, int64_t words_row, int64_t words) {
  constexpr int tall = 2;
  constexpr int wide = 4;
  for (int64_t i = 0; i < rows; i += tall) {
    const uint64_t* own = a + i * words_row;
    double* to = counts + i * counts_row;
    const bool pair = i + tall <= rows;
    int64_t j = 0;
    for (; j + wide <= cols; j += wide) {
      if (pair) {
        shared_ones_tile<tall, wide>(to + j, counts_row, own, b + j * words_row, words_row, words);
      } else {
        shared_ones_tile<1, wide>(to + j, counts_row, own, b + j * words_row, words_row, words);
      }
    }
    for (; j < cols; ++j) {
      if (pair) {
        shared_ones_tile<tall, 1>(to + j, counts_row, own, b + j * words_row, words_row, words);
      } else {
        shared_ones_tile<1, 1>(to + j, counts_row, own, b + j * words_row, words_row, words);
      }
    }
  }
}

}  // namespace
}  // namespace manyfold::kernels::cpu::MF_ISA
