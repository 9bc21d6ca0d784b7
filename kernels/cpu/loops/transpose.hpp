// Transposition into scratch, in blocks of 4 x 4 doubles or 8 x 4 floats held in 256-bit registers:
// halves of rows are put together while they are loaded, which spares the shuffles across 128-bit
// lanes (the scarce ones).
#pragma once

#include "kernels/cpu/loops/vector.hpp"

namespace manyfold::kernels::cpu::MF_ISA {
namespace {

/// to[c * to_row + r] = from[r * from_row + c] on [row_begin, row_end) x [col_begin, col_end).
template <class T>
void transpose_rest(const T* from, int64_t from_row, int64_t row_begin, int64_t row_end,
                    int64_t col_begin, int64_t col_end, T* to, int64_t to_row) {
  for (int64_t c = col_begin; c < col_end; ++c) {
    for (int64_t r = row_begin; r < row_end; ++r) to[c * to_row + r] = from[r * from_row + c];
  }
}

#if defined(__AVX2__)

MF_LOOP void transpose_block(const double* from, int64_t from_row, double* to, int64_t to_row) {
  const auto halves = [&](int64_t r, int64_t c) {
    return _mm256_insertf128_pd(_mm256_castpd128_pd256(_mm_loadu_pd(from + r * from_row + c)),
                                _mm_loadu_pd(from + (r + 2) * from_row + c), 1);
  };
  const __m256d even_left = halves(0, 0);
  const __m256d odd_left = halves(1, 0);
  const __m256d even_right = halves(0, 2);
  const __m256d odd_right = halves(1, 2);
  _mm256_storeu_pd(to, _mm256_unpacklo_pd(even_left, odd_left));
  _mm256_storeu_pd(to + to_row, _mm256_unpackhi_pd(even_left, odd_left));
  _mm256_storeu_pd(to + 2 * to_row, _mm256_unpacklo_pd(even_right, odd_right));
  _mm256_storeu_pd(to + 3 * to_row, _mm256_unpackhi_pd(even_right, odd_right));
}

MF_LOOP void transpose_block(const float* from, int64_t from_row, float* to, int64_t to_row) {
  const auto halves = [&](int64_t r) {
    return _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(from + r * from_row)),
                                _mm_loadu_ps(from + (r + 4) * from_row), 1);
  };
  const __m256 row0 = halves(0);
  const __m256 row1 = halves(1);
  const __m256 row2 = halves(2);
  const __m256 row3 = halves(3);
  const __m256d low01 = _mm256_castps_pd(_mm256_unpacklo_ps(row0, row1));
  const __m256d low23 = _mm256_castps_pd(_mm256_unpacklo_ps(row2, row3));
  const __m256d high01 = _mm256_castps_pd(_mm256_unpackhi_ps(row0, row1));
  const __m256d high23 = _mm256_castps_pd(_mm256_unpackhi_ps(row2, row3));
  _mm256_storeu_ps(to, _mm256_castpd_ps(_mm256_unpacklo_pd(low01, low23)));
  _mm256_storeu_ps(to + to_row, _mm256_castpd_ps(_mm256_unpackhi_pd(low01, low23)));
  _mm256_storeu_ps(to + 2 * to_row, _mm256_castpd_ps(_mm256_unpacklo_pd(high01, high23)));
  _mm256_storeu_ps(to + 3 * to_row, _mm256_castpd_ps(_mm256_unpackhi_pd(high01, high23)));
}

/// 4 x 4 floats, for the rest of 8-row blocks.
MF_LOOP void transpose_half_block(const float* from, int64_t from_row, float* to, int64_t to_row) {
  __m128 row0 = _mm_loadu_ps(from);
  __m128 row1 = _mm_loadu_ps(from + from_row);
  __m128 row2 = _mm_loadu_ps(from + 2 * from_row);
  __m128 row3 = _mm_loadu_ps(from + 3 * from_row);
  _MM_TRANSPOSE4_PS(row0, row1, row2, row3);
  _mm_storeu_ps(to, row0);
  _mm_storeu_ps(to + to_row, row1);
  _mm_storeu_ps(to + 2 * to_row, row2);
  _mm_storeu_ps(to + 3 * to_row, row3);
}

/// to (cols, rows) = from (rows, cols) transposed.
template <class T>
void transpose(const T* from, int64_t from_row, int64_t rows, int64_t cols, T* to, int64_t to_row) {
  constexpr int64_t block_rows = 32 / static_cast<int64_t>(sizeof(T));
  const int64_t whole_rows = rows / block_rows * block_rows;
  const int64_t whole_cols = cols / 4 * 4;
  // Rows of `to` in order, so that the product, which reads them in order, waits the least.
  for (int64_t c = 0; c < whole_cols; c += 4) {
    int64_t r = 0;
    for (; r < whole_rows; r += block_rows) {
      transpose_block(from + r * from_row + c, from_row, to + c * to_row + r, to_row);
    }
    if constexpr (sizeof(T) == 4) {
      if (r + 4 <= rows) {
        transpose_half_block(from + r * from_row + c, from_row, to + c * to_row + r, to_row);
        r += 4;
      }
    }
    transpose_rest(from, from_row, r, rows, c, c + 4, to, to_row);
  }
  transpose_rest(from, from_row, 0, rows, whole_cols, cols, to, to_row);
}

#else

template <class T>
void transpose(const T* from, int64_t from_row, int64_t rows, int64_t cols, T* to, int64_t to_row) {
  transpose_rest(from, from_row, 0, rows, 0, cols, to, to_row);
}

#endif

}  // namespace
}  // namespace manyfold::kernels::cpu::MF_ISA
