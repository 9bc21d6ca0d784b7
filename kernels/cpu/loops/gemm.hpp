// Products of small matrices, C = alpha op(A) op(B) + beta C, at a large share of the FMA peak.
//
// A tile of `rows` x `vectors` accumulators stays in registers over the whole of k: per k, a few
// vectors of a row of op(B) are loaded and each element of op(A) is broadcast, so op(A) may have
// any strides and A^T costs nothing. op(B) = B^T is transposed into scratch first. Every element of
// C is one chain of fused multiply-adds over k = 0, 1, ..., whatever the tile: results do not
// depend on how C is cut.
#pragma once

#include "kernels/cpu/loops.hpp"
#include "kernels/cpu/loops/elementwise.hpp"
#include "kernels/cpu/loops/transpose.hpp"
#include "kernels/cpu/loops/vector.hpp"

namespace manyfold::kernels::cpu::MF_ISA {
namespace {

/// A panel of columns of one product, `parts` tiles high.
template <class T>
struct Panel {
  int64_t k;
  const T* a;  // op(A)(i, p) at a[i * a_row + p * a_col]
  int64_t a_row, a_col;
  const T* b;  // op(B)(p, j) at b[p * b_row + j]
  int64_t b_row;
  T* c;
  int64_t c_row;
  int64_t last;  // columns in the last vector
  T alpha, beta;
  LoopFinish finish;
  T below, by;
  const T* state;  // rows c_row apart, as C's
};

/// How much of the last vector of a panel is there. Halves and quarters have loads and stores of
/// their own: those need no mask, and cross cache lines more seldom.
enum class Tail { whole, half, quarter, masked };

template <class T>
constexpr Tail tail_of(int64_t last) {
  if (last == width<T>) return Tail::whole;
  if (last * 2 == width<T> && vector_bytes > 16) return Tail::half;
  if (last * 4 == width<T> && vector_bytes > 16) return Tail::quarter;
  return Tail::masked;
}

template <Tail tail, class T>
MF_LOOP Vector<T> load_tail(const T* p, First<T> first) {
  if constexpr (tail == Tail::whole) return load(p);
  if constexpr (tail == Tail::half) return load_half(p);
  if constexpr (tail == Tail::quarter) return load_quarter(p);
  return load(p, first);
}

template <Tail tail, class T>
MF_LOOP void store_tail(T* p, Vector<T> v, First<T> first) {
  if constexpr (tail == Tail::whole) {
    store(p, v);
  } else if constexpr (tail == Tail::half) {
    store_half(p, v);
  } else if constexpr (tail == Tail::quarter) {
    store_quarter(p, v);
  } else {
    store(p, v, first);
  }
}

template <class T, int rows, int vectors, Tail tail>
void multiply_tiles(const Panel<T>& panel, int64_t parts) {
  constexpr int w = width<T>;
  // Copies, because stores to C could change what `panel` refers to.
  const int64_t k = panel.k;
  const int64_t a_row = panel.a_row;
  const int64_t a_col = panel.a_col;
  const int64_t b_row = panel.b_row;
  const int64_t c_row = panel.c_row;
  const First<T> first = First<T>::of(panel.last);
  const bool plain = panel.alpha == 1 && panel.beta == 0;
  const bool added = panel.beta != 0;
  const Vector<T> alpha = broadcast(panel.alpha);
  const Vector<T> beta = broadcast(panel.beta);
  const LoopFinish finish = panel.finish;
  const Vector<T> below = broadcast(panel.below);
  const Vector<T> by = broadcast(panel.by);
  const bool flat = panel.below == 0;
  const T* tile_a = panel.a;
  T* c = panel.c;
  const T* state = panel.state;
  for (int64_t part = 0; part < parts; ++part, tile_a += rows * a_row) {
    Vector<T> sum[rows][vectors] = {};
    // f(sum, place in C, whether all of a vector is there) of the whole tile, in registers.
    const auto each = [&](const auto& f) {
#pragma GCC unroll 16
      for (int i = 0; i < rows; ++i) {
#pragma GCC unroll 8
        for (int v = 0; v < vectors; ++v) f(sum[i][v], i * c_row + v * w, v + 1 < vectors);
      }
    };
    const T* a = tile_a;
    const T* b = panel.b;
    for (int64_t p = 0; p < k; ++p, a += a_col, b += b_row) {
      Vector<T> row[vectors];
#pragma GCC unroll 8
      for (int v = 0; v < vectors; ++v) {
        row[v] = v + 1 < vectors ? load(b + v * w) : load_tail<tail>(b + v * w, first);
      }
#pragma GCC unroll 16
      for (int i = 0; i < rows; ++i) {
        const Vector<T> factor = broadcast(a[i * a_row]);
#pragma GCC unroll 8
        for (int v = 0; v < vectors; ++v) sum[i][v] = fma(factor, row[v], sum[i][v]);
      }
    }
    if (!plain) {
      each([&](Vector<T>& x, int64_t at, bool inner) {
        x *= alpha;
        if (added) x = fma(beta, inner ? load(c + at) : load_tail<tail>(c + at, first), x);
      });
    }
    if (finish == LoopFinish::rectify) {
      each([&](Vector<T>& x, int64_t, bool) { x = rectified(by * x, below, flat); });
    } else if (finish == LoopFinish::rectified_slope) {
      each([&](Vector<T>& x, int64_t at, bool inner) {
        const Vector<T> here = inner ? load(state + at) : load_tail<tail>(state + at, first);
        x = by * (rectified_slope(here, below) * x);
      });
    }
    each([&](Vector<T>& x, int64_t at, bool inner) {
      if (inner) {
        store(c + at, x);
      } else {
        store_tail<tail>(c + at, x, first);
      }
    });
    c += rows * c_row;
    state += finish == LoopFinish::rectified_slope ? rows * c_row : 0;
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
using TileFunction = void (*)(const Panel<T>&, int64_t parts);

/// Tiles of 1 to 12 rows.
template <class T, int vectors, Tail tail>
struct TileRows {
  template <int rows>
  static constexpr TileFunction<T> of() {
    if constexpr (rows <= max_rows(vectors)) {
      return multiply_tiles<T, rows, vectors, tail>;
    } else {
      return nullptr;
    }
  }
  static constexpr TileFunction<T> table[13] = {nullptr,  of<1>(),  of<2>(), of<3>(), of<4>(),
                                                of<5>(),  of<6>(),  of<7>(), of<8>(), of<9>(),
                                                of<10>(), of<11>(), of<12>()};
};

template <class T, Tail tail>
const TileFunction<T>* tiles(int64_t vectors) {
  switch (vectors) {
    case 1:
      return TileRows<T, 1, tail>::table;
    case 2:
      return TileRows<T, 2, tail>::table;
    case 3:
      return TileRows<T, 3, tail>::table;
    default:
      return TileRows<T, max_vectors, tail>::table;
  }
}

template <class T>
const TileFunction<T>* tiles(int64_t vectors, Tail tail) {
  switch (tail) {
    case Tail::whole:
      return tiles<T, Tail::whole>(vectors);
    case Tail::half:
      return tiles<T, Tail::half>(vectors);
    case Tail::quarter:
      return tiles<T, Tail::quarter>(vectors);
    default:
      return tiles<T, Tail::masked>(vectors);
  }
}

/// How C is cut, found once for all slots: panels of columns of nearly equal width (13 vectors are
/// 4 + 3 + 3 + 3, not 4 + 4 + 4 + 1), each cut into `high` tiles of `rows` + 1 rows and `low` tiles
/// of `rows` rows.
template <class T>
struct Plan {
  struct Columns {
    int64_t begin, last;
    int64_t rows, high, low;
    TileFunction<T> multiply_high, multiply_low;
  };
  static constexpr int64_t capacity =
      (largest_own_gemm / width<T> + max_vectors - 1) / max_vectors + 1;
  int64_t count;
  Columns columns[capacity];
};

template <class T>
void make_plan(int64_t m, int64_t n, Plan<T>& plan) {
  constexpr int w = width<T>;
  const int64_t all_vectors = (n + w - 1) / w;
  plan.count = (all_vectors + max_vectors - 1) / max_vectors;
  int64_t column = 0;
  int64_t vectors_left = all_vectors;
  for (int64_t i = 0; i < plan.count; ++i) {
    const int64_t panels_left = plan.count - i;
    const int64_t vectors = (vectors_left + panels_left - 1) / panels_left;
    vectors_left -= vectors;
    const int64_t end = column + vectors * w;
    const int64_t limit = max_rows(static_cast<int>(vectors));
    const int64_t parts = (m + limit - 1) / limit;
    typename Plan<T>::Columns& columns = plan.columns[i];
    columns.begin = column;
    columns.last = end <= n ? w : n - (end - w);
    const TileFunction<T>* table = tiles<T>(vectors, tail_of<T>(columns.last));
    columns.rows = m / parts;
    columns.high = m % parts;
    columns.low = parts - columns.high;
    columns.multiply_low = table[columns.rows];
    columns.multiply_high = columns.high > 0 ? table[columns.rows + 1] : nullptr;
    column = end;
  }
}

/// One product.
template <class T>
void multiply(const Plan<T>& plan, Panel<T> panel) {
  const T* const a = panel.a;
  const T* const b = panel.b;
  T* const c = panel.c;
  const T* const state = panel.state;
  const bool sloped = panel.finish == LoopFinish::rectified_slope;
  for (int64_t i = 0; i < plan.count; ++i) {
    const typename Plan<T>::Columns& columns = plan.columns[i];
    panel.last = columns.last;
    panel.a = a;
    panel.b = b + columns.begin;
    panel.c = c + columns.begin;
    if (sloped) panel.state = state + columns.begin;
    if (columns.high > 0) {
      columns.multiply_high(panel, columns.high);
      const int64_t done = columns.high * (columns.rows + 1);
      panel.a += done * panel.a_row;
      panel.c += done * panel.c_row;
      if (sloped) panel.state += done * panel.c_row;
    }
    columns.multiply_low(panel, columns.low);
  }
}

template <class T>
int64_t round_up(int64_t count) {
  return (count + width<T> - 1) / width<T> * width<T>;
}

/// A single column as the row of C^T = op(B)^T op(A)^T: a vector holds many of its elements then
/// and not one. The chains of sums are the same.
template <class T>
GemmBatch<T> upright(const GemmBatch<T>& g) {
  if (g.n != 1 || g.m < width<T> || g.c_row != 1) return g;
  return {g.n,      g.m,     g.k,  !g.transpose_b, !g.transpose_a, g.alpha, g.beta,   g.b,
          g.b_slot, g.b_row, g.a,  g.a_slot,       g.a_row,        g.c,     g.c_slot, g.m,
          g.finish, g.below, g.by, g.state,        g.state_slot};
}

template <class T>
int64_t gemm_scratch(const GemmBatch<T>& given) {
  const GemmBatch<T> batch = upright(given);
  return batch.transpose_b ? batch.k * round_up<T>(batch.n) : 0;
}

template <class T>
void gemm(const GemmBatch<T>& given, int64_t slot_begin, int64_t slot_end, T* scratch) {
  const GemmBatch<T> batch = upright(given);
  Plan<T> plan;
  make_plan(batch.m, batch.n, plan);
  Panel<T> panel;
  panel.k = batch.k;
  panel.a_row = batch.transpose_a ? 1 : batch.a_row;
  panel.a_col = batch.transpose_a ? batch.a_row : 1;
  panel.b_row = batch.transpose_b ? round_up<T>(batch.n) : batch.b_row;
  panel.c_row = batch.c_row;
  panel.alpha = batch.alpha;
  panel.beta = batch.beta;
  panel.finish = batch.finish;
  panel.below = batch.below;
  panel.by = batch.by;
  for (int64_t slot = slot_begin; slot < slot_end; ++slot) {
    panel.a = batch.a + slot * batch.a_slot;
    panel.b = batch.b + slot * batch.b_slot;
    panel.c = batch.c + slot * batch.c_slot;
    panel.state = batch.state != nullptr ? batch.state + slot * batch.state_slot : nullptr;
    if (batch.transpose_b) {
      if (slot == slot_begin || batch.b_slot != 0) {
        transpose(panel.b, batch.b_row, batch.n, batch.k, scratch, panel.b_row);
      }
      panel.b = scratch;
    }
    multiply(plan, panel);
  }
}

}  // namespace
}  // namespace manyfold::kernels::cpu::MF_ISA
