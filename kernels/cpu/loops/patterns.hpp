// Patterns of 0 and 1, 64 columns a word (kernels/gram.hpp): made from numbers, and counts of the
// columns that two of them share.
//
// With AVX2 four columns at a time are looked up instead of counted bit by bit: a byte shuffle
// gives 32 rows of b at once how many of their four columns a row of a shares, and since four is
// less than half a byte, those of two rows of a: 256 bits an instruction, where a conjunction alone
// has as many, and a count of its bits to come.
#pragma once

#include "kernels/cpu/loops.hpp"
#include "kernels/cpu/loops/vector.hpp"

namespace manyfold::kernels::cpu::MF_ISA {
namespace {

/// Bit c of a word is 1 where x[c] > 0, c < count <= 64.
template <class T>
MF_LOOP uint64_t positive_word(const T* x, int64_t count) {
  uint64_t word = 0;
  for (int64_t c = 0; c < count; ++c) word |= static_cast<uint64_t>(x[c] > T(0)) << c;
  return word;
}

#if defined(__AVX2__)

MF_LOOP uint64_t positive_word(const float* x) {
  uint64_t word = 0;
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) {
    const __m256 above = _mm256_cmp_ps(_mm256_loadu_ps(x + 8 * i), _mm256_setzero_ps(), _CMP_GT_OQ);
    word |= static_cast<uint64_t>(static_cast<uint32_t>(_mm256_movemask_ps(above))) << (8 * i);
  }
  return word;
}
MF_LOOP uint64_t positive_word(const double* x) {
  uint64_t word = 0;
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) {
    const __m256d above =
        _mm256_cmp_pd(_mm256_loadu_pd(x + 4 * i), _mm256_setzero_pd(), _CMP_GT_OQ);
    word |= static_cast<uint64_t>(static_cast<uint32_t>(_mm256_movemask_pd(above))) << (4 * i);
  }
  return word;
}

#else

template <class T>
MF_LOOP uint64_t positive_word(const T* x) {
  return positive_word(x, 64);
}

#endif

template <class T>
void positive_bits(uint64_t* bits, const T* x, int64_t count) {
  int64_t c = 0;
  for (; c + 64 <= count; c += 64) *bits++ = positive_word(x + c);
  if (c < count) *bits = positive_word(x + c, count - c);
}

#if defined(__AVX2__)

typedef __m256i ByteVector;

/// Rows of b that are counted at once: two vectors of bytes.
constexpr int strip = 64;
/// Words that are counted in bytes: 192 columns, the most below 256 in groups of three lookups.
constexpr int run_words = 3;
/// Half bytes of a run, first the lower ones of each word's bytes, then the upper ones.
constexpr int run_groups = 16 * run_words;
/// Runs that are counted in 16 bits.
constexpr int64_t most_words = 65535 / (64 * run_words) * run_words;
/// Rows of a whose counts are kept meanwhile.
constexpr int tall = 256;

/// Shared columns of four, of any of 16 patterns with those of two rows: the first row's in the
/// lower half of a byte, the second one's in the upper.
struct SharedOfFour {
  alignas(64) uint8_t of[256][16];
};
constexpr SharedOfFour shared_of_four() {
  SharedOfFour table{};
  for (int rows = 0; rows < 256; ++rows) {
    for (int v = 0; v < 16; ++v) {
      int both = 0;
      for (int bit = 0; bit < 4; ++bit) {
        both += (rows >> bit & v >> bit & 1) + 16 * (rows >> (4 + bit) & v >> bit & 1);
      }
      table.of[rows][v] = static_cast<uint8_t>(both);
    }
  }
  return table;
}
constexpr SharedOfFour lookup = shared_of_four();

/// Half bytes of 16 rows' word, transposed: group g's at to + g * strip.
MF_LOOP void spread_word(uint8_t* to, const uint64_t* const* rows, int64_t word) {
  __m128i x[8];
  __m128i y[8];
#pragma GCC unroll 8
  for (int k = 0; k < 8; ++k) {
    x[k] = _mm_unpacklo_epi8(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(rows[k] + word)),
                             _mm_loadl_epi64(reinterpret_cast<const __m128i*>(rows[k + 8] + word)));
  }
  // Rows 8, then 4, 2 and 1 apart; afterwards y[k] has byte k of all of them.
#pragma GCC unroll 4
  for (int k = 0; k < 4; ++k) {
    y[k] = _mm_unpacklo_epi8(x[k], x[k + 4]);
    y[k + 4] = _mm_unpackhi_epi8(x[k], x[k + 4]);
  }
#pragma GCC unroll 2
  for (int k = 0; k < 2; ++k) {
    x[k] = _mm_unpacklo_epi8(y[k], y[k + 2]);
    x[k + 2] = _mm_unpackhi_epi8(y[k], y[k + 2]);
    x[k + 4] = _mm_unpacklo_epi8(y[k + 4], y[k + 6]);
    x[k + 6] = _mm_unpackhi_epi8(y[k + 4], y[k + 6]);
  }
#pragma GCC unroll 4
  for (int k = 0; k < 4; ++k) {
    y[2 * k] = _mm_unpacklo_epi8(x[2 * k], x[2 * k + 1]);
    y[2 * k + 1] = _mm_unpackhi_epi8(x[2 * k], x[2 * k + 1]);
  }
  const __m128i half = _mm_set1_epi8(15);
#pragma GCC unroll 8
  for (int k = 0; k < 8; ++k) {
    _mm_store_si128(reinterpret_cast<__m128i*>(to + k * strip), _mm_and_si128(y[k], half));
    _mm_store_si128(reinterpret_cast<__m128i*>(to + (k + 8) * strip),
                    _mm_and_si128(_mm_srli_epi16(y[k], 4), half));
  }
}

/// Half bytes of a run of two rows, in the order of spread_word: a place in the table each.
MF_LOOP void pair_run(uint64_t* to, const uint64_t* first, const uint64_t* second, int words) {
  constexpr uint64_t half = 0x0f0f0f0f0f0f0f0f;
#pragma GCC unroll 3
  for (int w = 0; w < run_words; ++w) {
    const uint64_t x = w < words ? first[w] : 0;
    const uint64_t y = w < words ? second[w] : 0;
    to[2 * w] = (x & half) | (y & half) << 4;
    to[2 * w + 1] = (x >> 4 & half) | (y & ~half);
  }
}

MF_LOOP ByteVector table_at(uint8_t place) {
  return _mm256_broadcastsi128_si256(
      _mm_load_si128(reinterpret_cast<const __m128i*>(lookup.of[place])));
}

/// Adds a run of two rows to their counts of a strip: of each vector of bytes the even ones, then
/// the odd ones.
MF_LOOP void count_run(ByteVector* first, ByteVector* second, const uint8_t* halves,
                       const uint8_t* places) {
  constexpr int vectors = strip / 32;
  const ByteVector half = _mm256_set1_epi8(15);
  ByteVector both[vectors] = {};   // first + 16 second, modulo 256
  ByteVector upper[vectors] = {};  // second
  for (int g = 0; g < run_groups; g += 3) {
    const ByteVector table[3] = {table_at(places[g]), table_at(places[g + 1]),
                                 table_at(places[g + 2])};
    const auto* v = reinterpret_cast<const ByteVector*>(halves + g * strip);
#pragma GCC unroll 4
    for (int q = 0; q < vectors; ++q) {
      // At most 12 in either half.
      const ByteVector three =
          _mm256_add_epi8(_mm256_add_epi8(_mm256_shuffle_epi8(table[0], v[q]),
                                          _mm256_shuffle_epi8(table[1], v[vectors + q])),
                          _mm256_shuffle_epi8(table[2], v[2 * vectors + q]));
      both[q] = _mm256_add_epi8(both[q], three);
      upper[q] = _mm256_add_epi8(upper[q], _mm256_and_si256(_mm256_srli_epi16(three, 4), half));
    }
  }
  const ByteVector even = _mm256_set1_epi16(255);
#pragma GCC unroll 4
  for (int q = 0; q < vectors; ++q) {
    const ByteVector sixteen = _mm256_andnot_si256(half, _mm256_slli_epi16(upper[q], 4));
    const ByteVector lower = _mm256_sub_epi8(both[q], sixteen);
    first[2 * q] = _mm256_add_epi16(first[2 * q], _mm256_and_si256(lower, even));
    first[2 * q + 1] = _mm256_add_epi16(first[2 * q + 1], _mm256_srli_epi16(lower, 8));
    second[2 * q] = _mm256_add_epi16(second[2 * q], _mm256_and_si256(upper[q], even));
    second[2 * q + 1] = _mm256_add_epi16(second[2 * q + 1], _mm256_srli_epi16(upper[q], 8));
  }
}

/// Of at most `tall` rows, a strip of `cols` and most_words words; added to what is there where
/// `add`.
void shared_ones_block(double* counts, int64_t counts_row, const uint64_t* a, int64_t rows,
                       const uint64_t* b, int64_t cols, int64_t words_row, int64_t words,
                       bool add) {
  constexpr int row_vectors = 2 * strip / 32;
  ByteVector sums[tall * row_vectors];
  alignas(64) uint8_t halves[run_groups * strip];
  const uint64_t nothing[run_words] = {};
  for (int64_t i = 0; i < (rows + 1) / 2 * 2 * row_vectors; ++i) sums[i] = ByteVector{};
  for (int64_t w = 0; w < words; w += run_words) {
    const int some = words - w < run_words ? static_cast<int>(words - w) : run_words;
    for (int64_t j = 0; j < strip; j += 16) {
      const uint64_t* from[16];
      for (int64_t k = 0; k < 16; ++k) {
        from[k] = j + k < cols ? b + (j + k) * words_row + w : nothing;
      }
      const uint64_t* none[16];
      for (const uint64_t*& row : none) row = nothing;
      for (int word = 0; word < run_words; ++word) {
        spread_word(halves + 16 * word * strip + j, word < some ? from : none,
                    word < some ? word : 0);
      }
    }
    for (int64_t i = 0; i < rows; i += 2) {
      const uint64_t* first = a + i * words_row + w;
      uint64_t places[2 * run_words];
      pair_run(places, first, i + 1 < rows ? first + words_row : first, some);
      ByteVector* to = sums + i * row_vectors;
      count_run(to, to + row_vectors, halves, reinterpret_cast<const uint8_t*>(places));
    }
  }
  for (int64_t i = 0; i < rows; ++i) {
    const auto* row = reinterpret_cast<const uint16_t*>(sums + i * row_vectors);
    double* to = counts + i * counts_row;
    for (int64_t j = 0; j < cols; ++j) {
      const double count = row[j / 32 * 32 + j % 2 * 16 + j % 32 / 2];
      to[j] = add ? to[j] + count : count;
    }
  }
}

void shared_ones(double* counts, int64_t counts_row, const uint64_t* a, int64_t rows,
                 const uint64_t* b, int64_t cols, int64_t words_row, int64_t words) {
  for (int64_t i = 0; i < rows; i += tall) {
    for (int64_t j = 0; j < cols; j += strip) {
      for (int64_t w = 0; w < words; w += most_words) {
        shared_ones_block(counts + i * counts_row + j, counts_row, a + i * words_row + w,
                          rows - i < tall ? rows - i : tall, b + j * words_row + w,
                          cols - j < strip ? cols - j : strip, words_row,
                          words - w < most_words ? words - w : most_words, w > 0);
      }
    }
  }
}

#else

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
  constexpr int high = 2;
  constexpr int wide = 4;
  for (int64_t i = 0; i < rows; i += high) {
    const uint64_t* own = a + i * words_row;
    double* to = counts + i * counts_row;
    const bool pair = i + high <= rows;
    int64_t j = 0;
    for (; j + wide <= cols; j += wide) {
      if (pair) {
        shared_ones_tile<high, wide>(to + j, counts_row, own, b + j * words_row, words_row, words);
      } else {
        shared_ones_tile<1, wide>(to + j, counts_row, own, b + j * words_row, words_row, words);
      }
    }
    for (; j < cols; ++j) {
      if (pair) {
        shared_ones_tile<high, 1>(to + j, counts_row, own, b + j * words_row, words_row, words);
      } else {
        shared_ones_tile<1, 1>(to + j, counts_row, own, b + j * words_row, words_row, words);
      }
    }
  }
}

#endif

}  // namespace
}  // namespace manyfold::kernels::cpu::MF_ISA
