// Products of small matrices, C = alpha op(A) op(B) + beta C, at a large share of the FMA peak.
//
// A tile of `rows` x `vectors` accumulators stays in registers over the whole of k: per k, a few
// vectors of a row of op(B) are loaded and each element of op(A) is broadcast, so op(A) may have
// any strides and A^T costs nothing. op(B) = B^T is transposed into scratch first. Every element of
// C is one chain of fused multiply-adds over k = 0, 1, ..., whatever the tile: results do not
// depend on how C is cut.
#pragma once

#include "kernels/cpu/loops.hpp"
#include "kernels/cpu/loops/transpose.hpp"
#include "kernels/cpu/loops/vector.hpp"

namespace manyfold::kernels::cpu::MF_ISA {
namespace {

template <class T>
struct Tile {
  int64_t k;
  const T* a;  // op(A)(i, p) at a[i * a_row + p * a_col]
  int64_t a_row, a_col;
  const T* b;  // op(B)(p, j) at b[p * b_row + j]
  int64_t b_row;
  T* c;
  int64_t c_row;
  int64_t last;  // columns in the last vector
  T alpha, beta;
};

template <class T, int rows, int vectors, bool whole>
void multiply_tile(const Tile<T>& tile) {
  constexpr int w = width<T>;
  const First<T> first = First<T>::of(tile.last);
  Vector<T> sum[rows][vectors] = {};
  const T* a = tile.a;
  const T* b = tile.b;
  const int64_t a_row = tile.a_row;
  for (int64_t p = 0; p < tile.k; ++p, a += tile.a_col, b += tile.b_row) {
    Vector<T> row[vectors];
#pragma GCC unroll 8
    for (int v = 0; v < vectors; ++v) {
      row[v] = whole || v + 1 < vectors ? load(b + v * w) : load(b + v * w, first);
    }
#pragma GCC unroll 16
    for (int i = 0; i < rows; ++i) {
      const Vector<T> factor = broadcast(a[i * a_row]);
#pragma GCC unroll 8
      for (int v = 0; v < vectors; ++v) sum[i][v] = fma(factor, row[v], sum[i][v]);
    }
  }
  const bool scaled = tile.alpha != 1;
  const bool added = tile.beta != 0;
  const Vector<T> alpha = broadcast(tile.alpha);
  const Vector<T> beta = broadcast(tile.beta);
#pragma GCC unroll 16
  for (int i = 0; i < rows; ++i) {
    T* c = tile.c + i * tile.c_row;
#pragma GCC unroll 8
    for (int v = 0; v < vectors; ++v) {
      Vector<T> x = sum[i][v];
      if (scaled) x *= alpha;
      if (whole || v + 1 < vectors) {
        if (added) x = fma(beta, load(c + v * w), x);
        store(c + v * w, x);
      } else {
        if (added) x = fma(beta, load(c + v * w, first), x);
        store(c + v * w, x, first);
      }
    }
  }
}

/// The most rows of a tile of `vectors` vectors: accumulators, a row of B and a factor must fit the
/// registers (32, or 16 where `portable` also needs one for each product).
constexpr int max_vectors = vector_bytes == 64 ? 4 : 3;
constexpr int max_rows(int vectors) {
  if (vector_bytes == 64) return vectors == 1 ? 12 : vectors == 2 ? 12 : vectors == 3 ? 8 : 6;
  return vectors == 1 ? 8 : vectors == 2 ? 6 : 4;
}

template <class T>
using TileFunction = void (*)(const Tile<T>&);

/// Tiles of 1 to 12 rows.
template <class T, int vectors, bool whole>
struct TileRows {
  template <int rows>
  static constexpr TileFunction<T> of() {
    if constexpr (rows <= max_rows(vectors)) {
      return multiply_tile<T, rows, vectors, whole>;
    } else {
      return nullptr;
    }
  }
  static constexpr TileFunction<T> table[13] = {nullptr,  of<1>(),  of<2>(), of<3>(), of<4>(),
                                                of<5>(),  of<6>(),  of<7>(), of<8>(), of<9>(),
                                                of<10>(), of<11>(), of<12>()};
};

template <class T, bool whole>
const TileFunction<T>* tiles(int vectors) {
  switch (vectors) {
    case 1:
      return TileRows<T, 1, whole>::table;
    case 2:
      return TileRows<T, 2, whole>::table;
    case 3:
      return TileRows<T, 3, whole>::table;
    default:
      return TileRows<T, max_vectors, whole>::table;
  }
}

/// One product.
template <class T>
void multiply(int64_t m, int64_t n, Tile<T> tile) {
  constexpr int w = width<T>;
  const T* const a = tile.a;
  const T* const b = tile.b;
  T* const c = tile.c;
  int64_t column = 0;
  int64_t vectors_left = (n + w - 1) / w;
  // Panels of columns of nearly equal width: 13 vectors are 4 + 3 + 3 + 3, not 4 + 4 + 4 + 1.
  for (int64_t panels = (vectors_left + max_vectors - 1) / max_vectors; panels > 0; --panels) {
    const int vectors = static_cast<int>((vectors_left + panels - 1) / panels);
    vectors_left -= vectors;
    const int64_t end = column + vectors * w;
    const bool whole = end <= n;
    tile.last = whole ? w : n - (end - w);
    const TileFunction<T>* table = whole ? tiles<T, true>(vectors) : tiles<T, false>(vectors);
    tile.b = b + column;
    int64_t row = 0;
    for (int64_t parts = (m + max_rows(vectors) - 1) / max_rows(vectors); parts > 0; --parts) {
      const int64_t rows = (m - row + parts - 1) / parts;
      tile.a = a + row * tile.a_row;
      tile.c = c + row * tile.c_row + column;
      table[rows](tile);
      row += rows;
    }
    column = end;
  }
}

template <class T>
int64_t round_up(int64_t count) {
  return (count + width<T> - 1) / width<T> * width<T>;
}

template <class T>
int64_t gemm_scratch(const GemmBatch<T>& batch) {
  return batch.transpose_b ? batch.k * round_up<T>(batch.n) : 0;
}

template <class T>
void gemm(const GemmBatch<T>& batch, int64_t slot_begin, int64_t slot_end, T* scratch) {
  Tile<T> tile;
  tile.k = batch.k;
  tile.a_row = batch.transpose_a ? 1 : batch.a_row;
  tile.a_col = batch.transpose_a ? batch.a_row : 1;
  tile.b_row = batch.transpose_b ? round_up<T>(batch.n) : batch.b_row;
  tile.c_row = batch.c_row;
  tile.alpha = batch.alpha;
  tile.beta = batch.beta;
  for (int64_t slot = slot_begin; slot < slot_end; ++slot) {
    tile.a = batch.a + slot * batch.a_slot;
    tile.b = batch.b + slot * batch.b_slot;
    tile.c = batch.c + slot * batch.c_slot;
    if (batch.transpose_b) {
      if (slot == slot_begin || batch.b_slot != 0) {
        transpose(tile.b, batch.b_row, batch.n, batch.k, scratch, tile.b_row);
      }
      tile.b = scratch;
    }
    multiply(batch.m, batch.n, tile);
  }
}

}  // namespace
}  // namespace manyfold::kernels::cpu::MF_ISA
