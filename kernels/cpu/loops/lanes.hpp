// Loops over the elements of the members in the lanes of a vector (kernels/cpu/lanes.hpp).
#pragma once

#include "kernels/common/updates.hpp"
#include "kernels/cpu/lanes.hpp"
#include "kernels/cpu/loops/vector.hpp"

namespace manyfold::kernels::cpu::MF_ISA {
namespace {

/// Element e of an array with lanes, or of a shared one.
template <class T, bool shared>
MF_LOOP Vector<T> element(const T* p, int64_t e) {
  if constexpr (shared) {
    return broadcast(p[e]);
  } else {
    return load(p + e * width<T>);
  }
}

#if !defined(__FMA__)
/// The updates have the same bits everywhere, so what is fused there is fused here.
template <class T>
MF_LOOP Vector<T> fused_lanes(Vector<T> a, Vector<T> b, Vector<T> c) {
  for (int i = 0; i < width<T>; ++i) c[i] = fused(a[i], b[i], c[i]);
  return c;
}
template <class T>
MF_LOOP Vector<T> root_lanes(Vector<T> x) {
  for (int i = 0; i < width<T>; ++i) x[i] = root(x[i]);
  return x;
}
#else
template <class T>
MF_LOOP Vector<T> fused_lanes(Vector<T> a, Vector<T> b, Vector<T> c) {
  return fma(a, b, c);
}
template <class T>
MF_LOOP Vector<T> root_lanes(Vector<T> x) {
  return square_root(x);
}
#endif

/// Accumulators of a tile of C, a row of op(B) and a factor must fit the registers: 32, or 16.
constexpr int tile_rows = vector_bytes == 64 ? 4 : 3;
constexpr int tile_cols = vector_bytes == 64 ? 5 : 3;

template <class T, int rows, int cols, bool a_shared, bool b_shared>
void lane_tile(const LaneGemm<T>& g, int64_t row, int64_t col) {
  constexpr int64_t a_lanes = a_shared ? 1 : width<T>;
  constexpr int64_t b_lanes = b_shared ? 1 : width<T>;
  const T* a = g.a + row * g.a_row * a_lanes;
  const T* b = g.b + col * g.b_col * b_lanes;
  const int64_t a_row = g.a_row * a_lanes;
  const int64_t a_col = g.a_col * a_lanes;
  const int64_t b_row = g.b_row * b_lanes;
  const int64_t b_col = g.b_col * b_lanes;
  Vector<T> sum[rows][cols] = {};
  for (int64_t p = g.k; p > 0; --p, a += a_col, b += b_row) {
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
  constexpr int64_t w = width<T>;
  T* c = g.c + (row * g.c_row + col) * w;
  const int64_t c_row = g.c_row * w;
  if (g.alpha == 1 && g.beta == 0) {
#pragma GCC unroll 8
    for (int i = 0; i < rows; ++i) {
#pragma GCC unroll 8
      for (int j = 0; j < cols; ++j) store(c + i * c_row + j * w, sum[i][j]);
    }
    return;
  }
  const Vector<T> alpha = broadcast(g.alpha);
  const Vector<T> beta = broadcast(g.beta);
  const bool added = g.beta != 0;
#pragma GCC unroll 8
  for (int i = 0; i < rows; ++i) {
#pragma GCC unroll 8
    for (int j = 0; j < cols; ++j) {
      T* const place = c + i * c_row + j * w;
      Vector<T> x = sum[i][j] * alpha;
      if (added) x = fma(beta, load(place), x);
      store(place, x);
    }
  }
}

template <class T>
using LaneTile = void (*)(const LaneGemm<T>&, int64_t row, int64_t col);

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

template <class T, bool a_shared, bool b_shared>
void lane_gemm_of(const LaneGemm<T>& g) {
  const Cut rows = cut(g.m, tile_rows);
  const Cut cols = cut(g.n, tile_cols);
  int64_t col = 0;
  for (int64_t j = 0; j < cols.pieces; ++j) {
    const int64_t wide = cols.low_size + (j < cols.high ? 1 : 0);
    int64_t row = 0;
    for (int64_t i = 0; i < rows.pieces; ++i) {
      const int64_t tall = rows.low_size + (i < rows.high ? 1 : 0);
      LaneTiles<T, a_shared, b_shared>::table[tall - 1][wide - 1](g, row, col);
      row += tall;
    }
    col += wide;
  }
}

template <class T>
void lane_gemm(const LaneGemm<T>& g) {
  if (g.a_shared) {
    g.b_shared ? lane_gemm_of<T, true, true>(g) : lane_gemm_of<T, true, false>(g);
  } else {
    g.b_shared ? lane_gemm_of<T, false, true>(g) : lane_gemm_of<T, false, false>(g);
  }
}

/// Sums in double precision, a few chains of them so that additions need not wait for each other;
/// element e joins chain e mod 4.
constexpr int chains = 4;
constexpr int wide_width = width<double>;
typedef double Wide __attribute__((vector_size(8 * wide_width)));
typedef float NarrowHalf __attribute__((vector_size(4 * wide_width), aligned(4), may_alias));

template <class T>
struct LaneSum;
template <>
struct LaneSum<double> {
  Wide sum[chains];
  [[gnu::always_inline]] inline void add(int chain, Vector<double> x, Vector<double> y) {
    sum[chain] = fma(x, y, sum[chain]);
  }
  [[gnu::always_inline]] inline void store_to(double* out) const {
    store(out, (sum[0] + sum[1]) + (sum[2] + sum[3]));
  }
};
template <>
struct LaneSum<float> {
  Wide low[chains];
  Wide high[chains];
  [[gnu::always_inline]] inline void add(int chain, Vector<float> x, Vector<float> y) {
    float xs[2 * wide_width];
    float ys[2 * wide_width];
    store(xs, x);
    store(ys, y);
    const auto half = [](const float* p) {
      return __builtin_convertvector(*reinterpret_cast<const NarrowHalf*>(p), Wide);
    };
    low[chain] = fma(half(xs), half(ys), low[chain]);
    high[chain] = fma(half(xs + wide_width), half(ys + wide_width), high[chain]);
  }
  [[gnu::always_inline]] inline void store_to(double* out) const {
    store(out, (low[0] + low[1]) + (low[2] + low[3]));
    store(out + wide_width, (high[0] + high[1]) + (high[2] + high[3]));
  }
};

template <class T, bool x_shared, bool y_shared>
void lane_inner_product_of(const T* x, const T* y, int64_t count, double* out) {
  LaneSum<T> sum{};
  int64_t e = 0;
  for (; e + chains <= count; e += chains) {
#pragma GCC unroll 4
    for (int c = 0; c < chains; ++c)
      sum.add(c, element<T, x_shared>(x, e + c), element<T, y_shared>(y, e + c));
  }
  for (int c = 0; e < count; ++e, ++c)
    sum.add(c, element<T, x_shared>(x, e), element<T, y_shared>(y, e));
  sum.store_to(out);
}

template <class T>
void lane_inner_product(const T* x, bool x_shared, const T* y, bool y_shared, int64_t count,
                        double* out) {
  if (x_shared) {
    y_shared ? lane_inner_product_of<T, true, true>(x, y, count, out)
             : lane_inner_product_of<T, true, false>(x, y, count, out);
  } else {
    y_shared ? lane_inner_product_of<T, false, true>(x, y, count, out)
             : lane_inner_product_of<T, false, false>(x, y, count, out);
  }
}

/// Whether the lanes of an element count, as a vector of all ones or zeros.
template <class T>
struct LaneFlags;
template <>
struct LaneFlags<double> {
  typedef int64_t type __attribute__((vector_size(vector_bytes)));
  typedef uint8_t bytes __attribute__((vector_size(vector_bytes / 8), aligned(1), may_alias));
};
template <>
struct LaneFlags<float> {
  typedef int32_t type __attribute__((vector_size(vector_bytes)));
  typedef uint8_t bytes __attribute__((vector_size(vector_bytes / 4), aligned(1), may_alias));
};

enum class LaneMask { none, shared, own };

template <class T, bool target_shared, LaneMask mask>
void lane_residual_of(const LaneResidual<T>& r) {
  using Bytes = typename LaneFlags<T>::bytes;
  using Flags = typename LaneFlags<T>::type;
  constexpr int64_t w = width<T>;
  LaneSum<T> sum{};
  const bool wanted = r.sum != nullptr;
  const bool stored = r.out != nullptr;
  int chain = 0;
  for (int64_t i = 0; i < r.rows; ++i) {
    for (int64_t j = 0; j < r.cols; ++j) {
      Vector<T> x = load(r.w + (i * r.w_row + j) * w) -
                    element<T, target_shared>(r.target, i * r.target_row + j);
      if constexpr (mask == LaneMask::shared) {
        if ((r.mask[i * r.mask_row + j] != 0) != r.observed) x = Vector<T>{};
      } else if constexpr (mask == LaneMask::own) {
        const auto bytes = *reinterpret_cast<const Bytes*>(r.mask + (i * r.mask_row + j) * w);
        const Flags flags = __builtin_convertvector(bytes, Flags);
        const Flags counts = r.observed ? flags != 0 : flags == 0;
        x = counts ? x : Vector<T>{};
      }
      if (stored) store(r.out + (i * r.out_row + j) * w, x);
      if (wanted) sum.add(chain, x, x);
      chain = (chain + 1) % chains;
    }
  }
  if (wanted) sum.store_to(r.sum);
}

template <class T>
void lane_residual(const LaneResidual<T>& r) {
  const auto with_mask = [&]<bool target_shared>() {
    if (r.mask == nullptr) {
      lane_residual_of<T, target_shared, LaneMask::none>(r);
    } else if (r.mask_shared) {
      lane_residual_of<T, target_shared, LaneMask::shared>(r);
    } else {
      lane_residual_of<T, target_shared, LaneMask::own>(r);
    }
  };
  r.target_shared ? with_mask.template operator()<true>() : with_mask.template operator()<false>();
}

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

/// `block` entries of a row of S at once. The row's change is added up in `change` where the row
/// has more entries than one block.
template <class T, int block>
MF_LOOP void top_layer_part(const LaneTopLayer<T>& g, int64_t line, int32_t first, bool begins,
                            bool ends, Vector<T>* change) {
  constexpr int64_t w = width<T>;
  Vector<T> s[block] = {};
  T* const row = g.w + line * g.w_row * w;
  // One offset for P and the slope: two pointers and eight offsets fit the registers.
  int64_t col[block];
#pragma GCC unroll 8
  for (int t = 0; t < block; ++t) col[t] = g.pattern.other[first + t] * w;
  const int64_t p_row = g.p_row * w;
  const int64_t slope_row = g.slope_row * w;
  const int64_t k = g.k;
  const T* p = g.p;
  for (int64_t q = 0; q < k; ++q, p += p_row) {
    const Vector<T> factor = load(row + q * w);
#pragma GCC unroll 8
    for (int t = 0; t < block; ++t) s[t] = fma(factor, load(p + col[t]), s[t]);
  }
#pragma GCC unroll 8
  for (int t = 0; t < block; ++t) {
    const int32_t target = g.target_entry[first + t];
    s[t] = s[t] - (g.target_shared ? broadcast(g.target[target]) : load(g.target + target * w));
    if (g.scale != nullptr) s[t] = load(g.scale) * s[t];
  }
  const Vector<T> minus_step = -load(g.step);
  p = g.p;
  T* slope = g.slope;
  for (int64_t q = 0; q < k; ++q, p += p_row, slope += slope_row) {
    const Vector<T> factor = load(row + q * w);
    Vector<T> sum = begins ? Vector<T>{} : change[q];
    Vector<T> at[block];
#pragma GCC unroll 8
    for (int t = 0; t < block; ++t) at[t] = load(slope + col[t]);
#pragma GCC unroll 8
    for (int t = 0; t < block; ++t) sum = fma(s[t], load(p + col[t]), sum);
#pragma GCC unroll 8
    for (int t = 0; t < block; ++t) store(slope + col[t], fma(factor, s[t], at[t]));
    if (ends) {
      store(row + q * w, fused_lanes<T>(minus_step, sum, factor));
    } else {
      change[q] = sum;
    }
  }
}

template <class T>
void lane_sparse_top_layer(const LaneTopLayer<T>& g) {
  constexpr int64_t w = width<T>;
  Vector<T> change[longest_top_row];
  for (int64_t q = 0; q < g.k; ++q) {
    for (int64_t j = 0; j < g.cols; ++j) store(g.slope + (q * g.slope_row + j) * w, Vector<T>{});
  }
  for (int64_t line = 0; line < g.pattern.lines; ++line) {
    const int32_t begin = g.pattern.begin[line];
    const int32_t end = g.pattern.begin[line + 1];
    for (int32_t t = begin; t < end;) {
      const bool begins = t == begin;
      const int32_t left = end - t;
      const bool ends = left <= 8;
      switch (left < 8 ? left : 8) {
        case 1:
          top_layer_part<T, 1>(g, line, t, begins, ends, change);
          break;
        case 2:
          top_layer_part<T, 2>(g, line, t, begins, ends, change);
          break;
        case 3:
          top_layer_part<T, 3>(g, line, t, begins, ends, change);
          break;
        case 4:
          top_layer_part<T, 4>(g, line, t, begins, ends, change);
          break;
        case 5:
          top_layer_part<T, 5>(g, line, t, begins, ends, change);
          break;
        case 6:
          top_layer_part<T, 6>(g, line, t, begins, ends, change);
          break;
        case 7:
          top_layer_part<T, 7>(g, line, t, begins, ends, change);
          break;
        default:
          top_layer_part<T, 8>(g, line, t, begins, ends, change);
          break;
      }
      t += left < 8 ? left : 8;
    }
  }
}

template <class T>
void lane_add_scaled(const T* x, bool x_shared, const T* c, bool add, T* y, int64_t count) {
  constexpr int64_t w = width<T>;
  const Vector<T> factor = load(c);
  for (int64_t e = 0; e < count; ++e) {
    const Vector<T> value = x_shared ? broadcast(x[e]) : load(x + e * w);
    store(y + e * w, add ? fused_lanes<T>(factor, value, load(y + e * w)) : factor * value);
  }
}

template <class T>
void lane_descend(const LaneUpdate<T>& u) {
  constexpr int64_t w = width<T>;
  const Vector<T> minus_step = -load(u.step);
  for (int64_t i = 0; i < u.count * w; i += w) {
    store(u.params + i, fused_lanes<T>(minus_step, load(u.grad + i), load(u.params + i)));
  }
}

template <class T>
void lane_heavy_ball(const LaneUpdate<T>& u) {
  constexpr int64_t w = width<T>;
  const Vector<T> minus_step = -load(u.step);
  const Vector<T> kept = load(u.kept1);
  for (int64_t i = 0; i < u.count * w; i += w) {
    const Vector<T> gradient = load(u.grad + i);
    const Vector<T> v = fused_lanes<T>(kept, load(u.first + i), gradient);
    store(u.first + i, v);
    const Vector<T> direction = u.nesterov ? fused_lanes<T>(kept, v, gradient) : v;
    store(u.params + i, fused_lanes<T>(minus_step, direction, load(u.params + i)));
  }
}

template <class T>
void lane_adam(const LaneUpdate<T>& u) {
  constexpr int64_t w = width<T>;
  const Vector<T> minus_step = -load(u.step);
  const Vector<T> kept1 = load(u.kept1);
  const Vector<T> added1 = load(u.added1);
  const Vector<T> kept2 = load(u.kept2);
  const Vector<T> added2 = load(u.added2);
  const Vector<T> epsilon = load(u.epsilon);
  const Vector<T> root_scale = load(u.root_scale);
  for (int64_t i = 0; i < u.count * w; i += w) {
    const Vector<T> gradient = load(u.grad + i);
    const Vector<T> mean = fused_lanes<T>(kept1, load(u.first + i), added1 * gradient);
    const Vector<T> square =
        fused_lanes<T>(kept2, load(u.second + i), added2 * gradient * gradient);
    store(u.first + i, mean);
    store(u.second + i, square);
    const Vector<T> ratio = mean / fused_lanes<T>(root_lanes<T>(square), root_scale, epsilon);
    store(u.params + i, fused_lanes<T>(minus_step, ratio, load(u.params + i)));
  }
}

template <class T>
void lane_sign_descend(const LaneUpdate<T>& u) {
  constexpr int64_t w = width<T>;
  const Vector<T> minus_step = -load(u.step);
  const Vector<T> zero{};
  const Vector<T> one = broadcast(T(1));
  for (int64_t i = 0; i < u.count * w; i += w) {
    const Vector<T> gradient = load(u.grad + i);
    const Vector<T> sign = gradient > zero ? one : (gradient < zero ? -one : gradient);
    store(u.params + i, fused_lanes<T>(minus_step, sign, load(u.params + i)));
  }
}

template <class T>
void lane_linear_combination(T* x, const T* y, const T* a, const T* b, int64_t count) {
  constexpr int64_t w = width<T>;
  const Vector<T> kept = load(a);
  const Vector<T> added = load(b);
  for (int64_t i = 0; i < count * w; i += w) {
    store(x + i, fused_lanes<T>(kept, load(x + i), added * load(y + i)));
  }
}

}  // namespace
}  // namespace manyfold::kernels::cpu::MF_ISA
