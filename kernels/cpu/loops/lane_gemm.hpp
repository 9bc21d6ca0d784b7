// Products of members in the lanes of vectors (LaneGemm of kernels/cpu/lanes.hpp).
//
// A tile of accumulators stays in registers over its terms. Every element of C is one chain of
// fused multiply-adds over p = 0, 1, ..., however the work is cut: tiles go through C in the order
// that reads the larger factor once and keeps the smaller one in the L1 cache; where neither stays
// there, the terms are cut into blocks whose parts of both do.
#pragma once

#include "kernels/cpu/lanes.hpp"
#include "kernels/cpu/loops/lanes.hpp"
#include "kernels/cpu/loops/vector.hpp"

namespace manyfold::kernels::cpu::MF_ISA {
namespace {

/// Accumulators of a tile of C, a row of op(B) and a factor must fit the registers: 32, or 16.
constexpr int tile_rows = 4;
constexpr int tile_cols = vector_bytes == 64 ? 5 : 3;

/// Terms begin ... end - 1 of a tile; in between a chain of sums waits in C.
template <class T, int rows, int cols, bool a_shared, bool b_shared>
void lane_tile(const LaneGemm<T>& g, int64_t row, int64_t col, int64_t begin, int64_t end) {
  constexpr int64_t a_lanes = a_shared ? 1 : width<T>;
  constexpr int64_t b_lanes = b_shared ? 1 : width<T>;
  const T* a = g.a + (row * g.a_row + begin * g.a_col) * a_lanes;
  const T* b = g.b + (col * g.b_col + begin * g.b_row) * b_lanes;
  const int64_t a_row = g.a_row * a_lanes;
  const int64_t a_col = g.a_col * a_lanes;
  const int64_t b_row = g.b_row * b_lanes;
  const int64_t b_col = g.b_col * b_lanes;
  constexpr int64_t w = width<T>;
  T* c = g.c + (row * g.c_row + col) * w;
  const int64_t c_row = g.c_row * w;
  Vector<T> sum[rows][cols] = {};
  if (begin > 0) {
#pragma GCC unroll 8
    for (int i = 0; i < rows; ++i) {
#pragma GCC unroll 8
      for (int j = 0; j < cols; ++j) sum[i][j] = load(c + i * c_row + j * w);
    }
  }
  for (int64_t p = end - begin; p > 0; --p, a += a_col, b += b_row) {
    Vector<T> line[cols];
#pragma GCC unroll 8
    for (int j = 0; j < cols; ++j) line[j] = element<T, b_shared>(b + j * b_col, 0);
#pragma GCC unroll 8
    for (int i = 0; i < rows; ++i) {
      const Vector<T> factor = element<T, a_shared>(a + i * a_row, 0);
#pragma GCC unroll 8
      for (int j = 0; j < cols; ++j) sum[i][j] = fma(factor, line[j], sum[i][j]);
    }
  }
  // f(sum, i, j) of the whole tile; its accumulators stay in registers.
  const auto each = [&](const auto& f) {
#pragma GCC unroll 8
    for (int i = 0; i < rows; ++i) {
#pragma GCC unroll 8
      for (int j = 0; j < cols; ++j) f(sum[i][j], i, j);
    }
  };
  if (end == g.k) {
    if (g.alpha != 1 || g.beta != 0) {
      const Vector<T> alpha = broadcast(g.alpha);
      const Vector<T> beta = broadcast(g.beta);
      const bool added = g.beta != 0;
      each([&](Vector<T>& x, int i, int j) {
        x = x * alpha;
        if (added) x = fma(beta, load(c + i * c_row + j * w), x);
      });
    }
    const Vector<T> below = broadcast(g.below);
    const Vector<T> by = broadcast(g.by);
    if (g.finish == LoopFinish::rectify) {
      const bool flat = g.below == 0;
      each([&](Vector<T>& x, int, int) { x = rectified(by * x, below, flat); });
    } else if (g.finish == LoopFinish::rectified_slope) {
      const T* const state = g.state + (row * g.state_row + col) * w;
      const int64_t state_row = g.state_row * w;
      each([&](Vector<T>& x, int i, int j) {
        x = by * (rectified_slope(load(state + i * state_row + j * w), below) * x);
      });
    }
  }
  each([&](Vector<T>& x, int i, int j) { store(c + i * c_row + j * w, x); });
}

template <class T>
using LaneTile = void (*)(const LaneGemm<T>&, int64_t row, int64_t col, int64_t begin, int64_t end);

template <class T, bool a_shared, bool b_shared>
struct LaneTiles {
  template <int rows, int cols>
  static constexpr LaneTile<T> of() {
    if constexpr (rows <= tile_rows && cols <= tile_cols) {
      return lane_tile<T, rows, cols, a_shared, b_shared>;
    } else {
      return nullptr;
    }
  }
  static constexpr LaneTile<T> table[4][5] = {
      {of<1, 1>(), of<1, 2>(), of<1, 3>(), of<1, 4>(), of<1, 5>()},
      {of<2, 1>(), of<2, 2>(), of<2, 3>(), of<2, 4>(), of<2, 5>()},
      {of<3, 1>(), of<3, 2>(), of<3, 3>(), of<3, 4>(), of<3, 5>()},
      {of<4, 1>(), of<4, 2>(), of<4, 3>(), of<4, 4>(), of<4, 5>()}};
};

/// Cuts `size` into pieces of nearly equal length, at most `most`: `high` of `low_size` + 1, then
/// pieces of `low_size`.
struct Cut {
  int64_t pieces, high, low_size;
};
MF_LOOP Cut cut(int64_t size, int64_t most) {
  const int64_t pieces = (size + most - 1) / most;
  return {pieces, pieces > 0 ? size % pieces : 0, pieces > 0 ? size / pieces : 0};
}

/// Bytes of factors that may be meant to stay in an L1 cache of 32 KiB or more.
constexpr int64_t near_bytes = 16 << 10;
/// Fewer terms than this are not worth loading and storing C for.
constexpr int64_t shortest_block = 8;

/// How a product is cut.
struct LaneOrder {
  int64_t block;      ///< terms at a time
  bool rows_outside;  ///< all columns of a few rows, then the next rows; else the other way round
};

template <class T, bool a_shared, bool b_shared>
LaneOrder order_of(const LaneGemm<T>& g) {
  constexpr int64_t element_bytes = sizeof(T);
  constexpr int64_t a_bytes = a_shared ? element_bytes : vector_bytes;
  constexpr int64_t b_bytes = b_shared ? element_bytes : vector_bytes;
  if (g.k * g.n * b_bytes <= near_bytes && g.k * tile_rows * a_bytes <= near_bytes / 2) {
    return {g.k, true};
  }
  if (g.k * g.m * a_bytes <= near_bytes && g.k * tile_cols * b_bytes <= near_bytes / 2) {
    return {g.k, false};
  }
  const int64_t block = near_bytes / (g.m * a_bytes + g.n * b_bytes);
  if (g.beta == 0 && block >= shortest_block && block < g.k) return {block, true};
  return {g.k, false};
}

template <class T, bool a_shared, bool b_shared>
void lane_gemm_of(const LaneGemm<T>& g) {
  const LaneOrder order = order_of<T, a_shared, b_shared>(g);
  const Cut rows = cut(g.m, tile_rows);
  const Cut cols = cut(g.n, tile_cols);
  const Cut& outer = order.rows_outside ? rows : cols;
  const Cut& inner = order.rows_outside ? cols : rows;
  int64_t begin = 0;
  do {  // once where there are no terms, too
    const int64_t end = begin + order.block < g.k ? begin + order.block : g.k;
    int64_t at = 0;
    for (int64_t i = 0; i < outer.pieces; ++i) {
      const int64_t some = outer.low_size + (i < outer.high ? 1 : 0);
      int64_t across = 0;
      for (int64_t j = 0; j < inner.pieces; ++j) {
        const int64_t more = inner.low_size + (j < inner.high ? 1 : 0);
        const int64_t tall = order.rows_outside ? some : more;
        const int64_t wide = order.rows_outside ? more : some;
        const int64_t row = order.rows_outside ? at : across;
        const int64_t col = order.rows_outside ? across : at;
        LaneTiles<T, a_shared, b_shared>::table[tall - 1][wide - 1](g, row, col, begin, end);
        across += more;
      }
      at += some;
    }
    begin = end;
  } while (begin < g.k);
}

template <class T>
void lane_gemm(const LaneGemm<T>& g) {
  if (g.a_shared) {
    g.b_shared ? lane_gemm_of<T, true, true>(g) : lane_gemm_of<T, true, false>(g);
  } else {
    g.b_shared ? lane_gemm_of<T, false, true>(g) : lane_gemm_of<T, false, false>(g);
  }
}

}  // namespace
}  // namespace manyfold::kernels::cpu::MF_ISA
