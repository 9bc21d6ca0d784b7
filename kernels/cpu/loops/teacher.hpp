// The gradient of the students in the lanes of a vector (kernels/teacher.hpp): one pass over a for
// 1.a and a.a*, the scalars of all lanes at once, one pass for the gradient. Operation by operation
// what kernels/common/teacher.hpp and kernels/elements/teacher.hpp do for one member, so that the
// bits are the same; nothing is fused there, so nothing is here. In double precision throughout:
// lanes of float are taken in two halves.
#pragma once

#include "kernels/common/teacher.hpp"
#include "kernels/cpu/lanes.hpp"
#include "kernels/cpu/loops/lanes.hpp"

namespace manyfold::kernels::cpu::MF_ISA {
namespace {

MF_LOOP Wide load_wide(const double* p) { return load(p); }
MF_LOOP Wide load_wide(const float* p) {
  return __builtin_convertvector(*reinterpret_cast<const NarrowHalf*>(p), Wide);
}
MF_LOOP void store_wide(double* p, Wide x) { store(p, x); }
MF_LOOP void store_wide(float* p, Wide x) {
  *reinterpret_cast<NarrowHalf*>(p) = __builtin_convertvector(x, NarrowHalf);
}

/// Element e of the lanes from `half` on, or of a shared array.
template <class T, bool shared>
MF_LOOP Wide wide_element(const T* p, int64_t e, int64_t half) {
  if constexpr (shared) {
    return broadcast(static_cast<double>(p[e]));
  } else {
    return load_wide(p + e * width<T> + half);
  }
}

MF_LOOP Wide wide_root(Wide x) { return root_lanes<double>(x); }

/// acute_angle.
MF_LOOP Wide lane_acute_angle(Wide sine, Wide cosine) {
  const auto small = sine <= cosine * acute_tan_eighth;
  const auto large = cosine <= sine * acute_tan_eighth;
  const Wide zero{};
  const Wide base = small ? zero : (large ? broadcast(0.5 * pi) : broadcast(0.25 * pi));
  const Wide above = small ? sine : (large ? -cosine : sine - cosine);
  const Wide below = small ? cosine : (large ? sine : sine + cosine);
  const Wide x = above / below;
  const Wide z = x * x;
  Wide q = broadcast(acute_coefficient(0));
#pragma GCC unroll 12
  for (int i = 1; i < 12; ++i) q = q * z + acute_coefficient(i);
  return base + (x + x * z * q);
}

template <class T, bool w_shared, bool a_shared>
MF_LOOP void lane_teacher_half(const LaneTeacher<T>& g, int64_t half) {
  constexpr int64_t w = width<T>;
  // teacher_sums
  Wide sums[4] = {};
  Wide products[4] = {};
  int64_t e = 0;
  const auto join = [&](int chain, int64_t i) {
    const Wide x = load_wide(g.a + i * w + half);
    sums[chain] += x;
    products[chain] += x * wide_element<T, a_shared>(g.a_star, i, half);
  };
  for (; e + 4 <= g.patches; e += 4) {
#pragma GCC unroll 4
    for (int c = 0; c < 4; ++c) join(c, e + c);
  }
  for (int c = 0; e + c < g.patches; ++c) join(c, e + c);
  const Wide sum = ((sums[0] + sums[1]) + (sums[2] + sums[3])) - load(g.sum + half);
  const Wide product = (products[0] + products[1]) + (products[2] + products[3]);

  // teacher_angle
  Wide norm2{};
  Wide along{};
  for (int64_t i = 0; i < g.filter; ++i) {
    const Wide x = load_wide(g.v + i * w + half);
    norm2 += x * x;
    along += x * wide_element<T, w_shared>(g.w, i, half);
  }
  Wide beside2{};
  for (int64_t i = 0; i < g.filter; ++i) {
    const Wide x = load_wide(g.v + i * w + half) - along * wide_element<T, w_shared>(g.w, i, half);
    beside2 += x * x;
  }
  const Wide zero{};
  const Wide norm = wide_root(norm2);
  const Wide beside = wide_root(beside2);
  const Wide cosine = along / norm;
  const Wide sine = beside / norm;
  const auto ahead = along >= zero;
  const Wide acute = lane_acute_angle(beside, ahead ? along : -along);
  const Wide obtuse = pi - acute;
  const Wide rest = ahead ? obtuse : acute;

  // teacher_coefficients
  constexpr double share = 1 / (2 * pi);
  const Wide pull = product * rest / (2 * pi * wide_root(norm2));
  const Wide stay = pull * along / norm2;
  const Wide lean = (rest * cosine + sine - 1) * share;
  const Wide shift = sum * share;

  for (int64_t i = 0; i < g.filter; ++i) {
    const int64_t at = i * w + half;
    store_wide(g.grad_v + at,
               stay * load_wide(g.v + at) - pull * wide_element<T, w_shared>(g.w, i, half));
  }
  constexpr double own = (pi - 1) * share;
  for (int64_t i = 0; i < g.patches; ++i) {
    const int64_t at = i * w + half;
    store_wide(
        g.grad_a + at,
        (own * load_wide(g.a + at) - lean * wide_element<T, a_shared>(g.a_star, i, half)) + shift);
  }
  if (g.loss == nullptr) return;
  Wide error2{};
  for (int64_t i = 0; i < g.patches; ++i) {
    const Wide x = load_wide(g.a + i * w + half) - wide_element<T, a_shared>(g.a_star, i, half);
    error2 += x * x;
  }
  // teacher_gap, teacher_loss
  const Wide phi = ahead ? acute : obtuse;
  const Wide versine = cosine > zero ? sine * sine / (1 + cosine) : 1 - cosine;
  const Wide gap = pi * versine + (phi * cosine - sine);
  store(g.loss + half, (sum * sum + (pi - 1) * error2 + 2 * gap * product) / (4 * pi));
}

template <class T>
void lane_teacher_gradient(const LaneTeacher<T>& g) {
  const auto all = [&]<bool w_shared, bool a_shared>() {
    for (int64_t half = 0; half < width<T>; half += wide_width) {
      lane_teacher_half<T, w_shared, a_shared>(g, half);
    }
  };
  if (g.w_shared) {
    g.a_star_shared ? all.template operator()<true, true>()
                    : all.template operator()<true, false>();
  } else {
    g.a_star_shared ? all.template operator()<false, true>()
                    : all.template operator()<false, false>();
  }
}

}  // namespace
}  // namespace manyfold::kernels::cpu::MF_ISA
