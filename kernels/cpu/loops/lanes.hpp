// Loops over the elements of the members in the lanes of a vector (kernels/cpu/lanes.hpp).
#pragma once

#include "kernels/cpu/lanes.hpp"
#include "kernels/cpu/loops/elementwise.hpp"

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

/// Sums in double precision, a few chains of them so that additions need not wait for each other;
/// element e joins chain e mod 4.
constexpr int chains = 4;

template <class T>
struct LaneSum {
  static constexpr int parts = Widened<T>::parts;
  Wide sum[parts][chains];
  [[gnu::always_inline]] inline void add(int chain, Vector<T> x, Vector<T> y) {
    const auto xs = Widened<T>::of(x);
    const auto ys = Widened<T>::of(y);
    for (int i = 0; i < parts; ++i) sum[i][chain] = fma(xs.part[i], ys.part[i], sum[i][chain]);
  }
  [[gnu::always_inline]] inline void store_to(double* out) const {
    for (int i = 0; i < parts; ++i) {
      store(out + i * wide_width, (sum[i][0] + sum[i][1]) + (sum[i][2] + sum[i][3]));
    }
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

template <class T, bool target_shared>
void lane_squared_of(const LaneSquared<T>& q) {
  constexpr int64_t w = width<T>;
  constexpr int parts = Widened<T>::parts;
  const Wide scale = broadcast(q.scale);
  const Wide slope_scale = broadcast(q.weight * q.scale);
  for (int64_t r = 0; r < q.rows; ++r) {
    Wide sum[parts] = {};
    for (int64_t k = 0; k < q.outputs; ++k) {
      const auto f = Widened<T>::of(load(q.f + (r * q.f_row + k) * w));
      const auto y = Widened<T>::of(element<T, target_shared>(q.target, r * q.target_row + k));
      T* const slope = q.slope != nullptr ? q.slope + (r * q.slope_row + k) * w : nullptr;
      for (int i = 0; i < parts; ++i) {
        const Wide difference = scale * f.part[i] - y.part[i];
        sum[i] = fused_lanes<double>(difference, difference, sum[i]);
        if (slope != nullptr) store_narrow(slope + i * wide_width, slope_scale * difference);
      }
    }
    if (q.losses == nullptr) continue;
    for (int i = 0; i < parts; ++i) {
      store(q.losses + r * w + i * wide_width, q.weight * (0.5 * sum[i]));
    }
  }
}

template <class T>
void lane_squared(const LaneSquared<T>& q) {
  q.target_shared ? lane_squared_of<T, true>(q) : lane_squared_of<T, false>(q);
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
