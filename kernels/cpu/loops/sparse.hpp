// Products with matrices that have entries on a fixed pattern alone, for the members in the lanes
// of a vector (kernels/cpu/lanes.hpp).
#pragma once

#include "kernels/cpu/lanes.hpp"
#include "kernels/cpu/loops/lanes.hpp"
#include "kernels/cpu/loops/vector.hpp"

namespace manyfold::kernels::cpu::MF_ISA {
namespace {

/// Outputs of a line that are summed at once.
constexpr int sparse_block = vector_bytes == 64 ? 20 : 10;

template <class T, int block>
MF_LOOP void sparse_line(const LaneSparse<T>& g, int64_t line, int64_t first) {
  constexpr int64_t w = width<T>;
  Vector<T> sum[block] = {};
  const int64_t step = g.x_step * w;
  const T* const x0 = g.x + first * step;
  const int32_t end = g.pattern.begin[line + 1];
  for (int32_t t = g.pattern.begin[line]; t < end; ++t) {
    const Vector<T> factor = load(g.s + g.pattern.entry[t] * w);
    const T* x = x0 + g.pattern.other[t] * g.x_line * w;
#pragma GCC unroll 20
    for (int q = 0; q < block; ++q) sum[q] = fma(factor, load(x + q * step), sum[q]);
  }
  T* c = g.c + (line * g.c_line + first * g.c_step) * w;
  const int64_t c_step = g.c_step * w;
  const bool plain = g.alpha == 1 && g.beta == 0;
  for (int q = 0; q < block; ++q) {
    Vector<T> y = sum[q];
    if (!plain) {
      y *= broadcast(g.alpha);
      if (g.beta != 0) y = fma(broadcast(g.beta), load(c + q * c_step), y);
    }
    store(c + q * c_step, y);
  }
}

template <class T>
void lane_sparse(const LaneSparse<T>& g) {
  for (int64_t line = 0; line < g.pattern.lines; ++line) {
    int64_t q = 0;
    for (; q + sparse_block <= g.count; q += sparse_block) sparse_line<T, sparse_block>(g, line, q);
    for (; q + 5 <= g.count; q += 5) sparse_line<T, 5>(g, line, q);
    for (; q < g.count; ++q) sparse_line<T, 1>(g, line, q);
  }
}

template <class T, int block>
MF_LOOP void sampled_line(const LaneSampled<T>& g, int64_t line, int32_t first, LaneSum<T>& sum) {
  constexpr int64_t w = width<T>;
  Vector<T> dot[block] = {};
  const T* a = g.a + line * g.a_row * w;
  const T* b[block];
#pragma GCC unroll 8
  for (int t = 0; t < block; ++t) b[t] = g.b + g.pattern.other[first + t] * g.b_col * w;
  const int64_t a_col = g.a_col * w;
  const int64_t b_row = g.b_row * w;
  int64_t at = 0;
  for (int64_t p = g.k; p > 0; --p, a += a_col, at += b_row) {
    const Vector<T> factor = load(a);
#pragma GCC unroll 8
    for (int t = 0; t < block; ++t) dot[t] = fma(factor, load(b[t] + at), dot[t]);
  }
#pragma GCC unroll 8
  for (int t = 0; t < block; ++t) {
    const int32_t target = g.target_entry[first + t];
    const Vector<T> x =
        dot[t] - (g.target_shared ? broadcast(g.target[target]) : load(g.target + target * w));
    store(g.s + g.pattern.entry[first + t] * w, x);
    if (g.sum != nullptr) sum.add(t % chains, x, x);
  }
}

template <class T>
void lane_sampled(const LaneSampled<T>& g) {
  LaneSum<T> sum{};
  for (int64_t line = 0; line < g.pattern.lines; ++line) {
    int32_t t = g.pattern.begin[line];
    const int32_t end = g.pattern.begin[line + 1];
    for (; t + 8 <= end; t += 8) sampled_line<T, 8>(g, line, t, sum);
    switch (end - t) {
      case 7:
        sampled_line<T, 7>(g, line, t, sum);
        break;
      case 6:
        sampled_line<T, 6>(g, line, t, sum);
        break;
      case 5:
        sampled_line<T, 5>(g, line, t, sum);
        break;
      case 4:
        sampled_line<T, 4>(g, line, t, sum);
        break;
      case 3:
        sampled_line<T, 3>(g, line, t, sum);
        break;
      case 2:
        sampled_line<T, 2>(g, line, t, sum);
        break;
      case 1:
        sampled_line<T, 1>(g, line, t, sum);
        break;
      default:
        break;
    }
  }
  if (g.sum != nullptr) sum.store_to(g.sum);
}

/// S = c (W P - M) on row `line`, kept entry after entry; `block` of them at once.
template <class T, int block>
MF_LOOP void top_residual(const LaneTopLayer<T>& g, int64_t line, int32_t first) {
  constexpr int64_t w = width<T>;
  Vector<T> s[block] = {};
  const T* const row = g.w + line * g.w_row * w;
  int64_t col[block];
#pragma GCC unroll 8
  for (int t = 0; t < block; ++t) col[t] = g.rows.other[first + t] * w;
  const int64_t p_row = g.p_row * w;
  const T* p = g.p;
  for (int64_t q = 0; q < g.k; ++q, p += p_row) {
    const Vector<T> factor = load(row + q * w);
#pragma GCC unroll 8
    for (int t = 0; t < block; ++t) s[t] = fma(factor, load(p + col[t]), s[t]);
  }
#pragma GCC unroll 8
  for (int t = 0; t < block; ++t) {
    const int32_t target = g.target_entry[first + t];
    s[t] = s[t] - (g.target_shared ? broadcast(g.target[target]) : load(g.target + target * w));
    if (g.scale != nullptr) s[t] = load(g.scale) * s[t];
    store(g.s + (first + t) * w, s[t]);
  }
}

template <class T>
void top_residuals(const LaneTopLayer<T>& g) {
  for (int64_t line = 0; line < g.rows.lines; ++line) {
    int32_t t = g.rows.begin[line];
    const int32_t end = g.rows.begin[line + 1];
    for (; t + 8 <= end; t += 8) top_residual<T, 8>(g, line, t);
    for (; t + 3 <= end; t += 3) top_residual<T, 3>(g, line, t);
    for (; t < end; ++t) top_residual<T, 1>(g, line, t);
  }
}

/// Rows [q0, q0 + block) of the slope, then the columns of W and the rows of P that they belong to,
/// while all of these are in the first cache.
template <class T, int block>
MF_LOOP void top_move(const LaneTopLayer<T>& g, int64_t q0) {
  constexpr int64_t w = width<T>;
  const Vector<T> minus_step = -load(g.step);
  const int64_t slope_row = g.slope_row * w;
  T* const slope = g.slope + (g.moves_p ? 0 : q0 * slope_row);
  for (int64_t col = 0; col < g.cols.lines; ++col) {
    Vector<T> sum[block] = {};
    const int32_t end = g.cols.begin[col + 1];
    for (int32_t t = g.cols.begin[col]; t < end; ++t) {
      const Vector<T> s = load(g.s + g.cols.entry[t] * w);
      const T* const row = g.w + (g.cols.other[t] * g.w_row + q0) * w;
#pragma GCC unroll 10
      for (int q = 0; q < block; ++q) sum[q] = fma(s, load(row + q * w), sum[q]);
    }
#pragma GCC unroll 10
    for (int q = 0; q < block; ++q) store(slope + q * slope_row + col * w, sum[q]);
  }
  const int64_t p_row = g.p_row * w;
  T* const p = g.p + q0 * p_row;
  for (int64_t line = 0; line < g.rows.lines; ++line) {
    Vector<T> sum[block] = {};
    const int32_t end = g.rows.begin[line + 1];
    for (int32_t t = g.rows.begin[line]; t < end; ++t) {
      const Vector<T> s = load(g.s + t * w);
      const T* const column = p + g.rows.other[t] * w;
#pragma GCC unroll 10
      for (int q = 0; q < block; ++q) sum[q] = fma(s, load(column + q * p_row), sum[q]);
    }
    T* const row = g.w + (line * g.w_row + q0) * w;
#pragma GCC unroll 10
    for (int q = 0; q < block; ++q)
      store(row + q * w, fused_lanes<T>(minus_step, sum[q], load(row + q * w)));
  }
  if (!g.moves_p) return;
  for (int q = 0; q < block; ++q) {
    for (int64_t j = 0; j < g.cols.lines; ++j) {
      T* const place = p + q * p_row + j * w;
      store(place, fused_lanes<T>(minus_step, load(slope + q * slope_row + j * w), load(place)));
    }
  }
}

template <class T>
void lane_sparse_top_layer(const LaneTopLayer<T>& g) {
  top_residuals(g);
  int64_t q = 0;
  for (; q + 10 <= g.k; q += 10) top_move<T, 10>(g, q);
  for (; q + 5 <= g.k; q += 5) top_move<T, 5>(g, q);
  for (; q < g.k; ++q) top_move<T, 1>(g, q);
}

}  // namespace
}  // namespace manyfold::kernels::cpu::MF_ISA
