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
constexpr int tile_rows = 4;
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
