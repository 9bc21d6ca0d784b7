// Formulas of the teacher and its student (contract: kernels/teacher.hpp) that both backends share,
// from operations that IEEE 754 rounds exactly. The lanes of
// resident stepping (cpu/loops/teacher.hpp) follow them operation by operation.
#pragma once

#include <cstdint>

#include <math.h>

#include "core/portable.hpp"
#include "core/random/exact.hpp"

namespace manyfold::kernels {

constexpr double pi = 3.14159265358979323846;

// Of acute_angle.
constexpr double acute_tan_eighth = 0.41421356237309503;
MF_FN double acute_coefficient(int i) {
  constexpr double coefficients[12] = {
      0.015113751209243478, -0.033387810778772384, 0.04499500136790281, -0.05217312427531867,
      0.0587683398166983,   -0.06666205257609008,  0.07692281099775194, -0.09090908059023865,
      0.111111110853219,    -0.14285714285329704,  0.19999999999997015, -0.33333333333333326};
  return coefficients[i];
}

/// The angle of (cosine, sine) for sine, cosine >= 0, not both 0: in [0, pi/2], within 2 ulp.
///
/// One division brings it to x = tan(angle - base), |x| <= tan(pi/8), base one of 0, pi/4, pi/2.
/// There atan(x) = x + x z q(z), z = x^2; 1 + z q(z) interpolates atan(x) / x at the Chebyshev
/// points of 0 <= z <= tan^2(pi/8), with a relative error below 5e-20.
MF_FN double acute_angle(double sine, double cosine) {
  const bool small = sine <= exact::times(cosine, acute_tan_eighth);
  const bool large = cosine <= exact::times(sine, acute_tan_eighth);
  const double base = small ? 0 : large ? 0.5 * pi : 0.25 * pi;
  const double above = small ? sine : large ? -cosine : sine - cosine;
  const double below = small ? cosine : large ? sine : sine + cosine;
  const double x = above / below;
  const double z = exact::times(x, x);
  double q = acute_coefficient(0);
  for (int i = 1; i < 12; ++i) q = exact::times_plus(q, z, acute_coefficient(i));
  return base + (x + exact::times(exact::times(x, z), q));
}

/// Where v stands relative to w*.
struct TeacherAngle {
  double norm2;   ///< ||v||^2
  double along;   ///< v.w*
  double cosine;  ///< of phi
  double sine;
  double phi;   ///< in [0, pi]
  double rest;  ///< pi - phi, as exact where it is small as phi is
};

/// The sine comes from what v has beside w*, so that small angles lose nothing. Elements stand
/// v_step and w_step apart.
template <class T>
MF_FN TeacherAngle teacher_angle(const T* v, std::int64_t v_step, const T* w, std::int64_t w_step,
                                 std::int64_t count) {
  TeacherAngle angle;
  angle.norm2 = 0;
  angle.along = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    const double x = v[i * v_step];
    angle.norm2 += exact::times(x, x);
    angle.along += exact::times(x, w[i * w_step]);
  }
  double beside2 = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    const double beside = v[i * v_step] - exact::times(angle.along, w[i * w_step]);
    beside2 += exact::times(beside, beside);
  }
  const double norm = sqrt(angle.norm2);
  const double beside = sqrt(beside2);
  angle.cosine = angle.along / norm;
  angle.sine = beside / norm;
  const bool ahead = angle.along >= 0;
  const double acute = acute_angle(beside, fabs(angle.along));
  const double obtuse = pi - acute;
  angle.phi = ahead ? acute : obtuse;
  angle.rest = ahead ? obtuse : acute;
  return angle;
}

/// 1.a and a.a*, each in four chains, so that an addition need not wait for the one before: element
/// i joins chain i mod 4, and the chains are added in pairs.
struct TeacherSums {
  double sum, product;
};
template <class T>
MF_FN TeacherSums teacher_sums(const T* a, const T* a_star, std::int64_t count) {
  double sum[4] = {0, 0, 0, 0};
  double product[4] = {0, 0, 0, 0};
  for (std::int64_t i = 0; i < count; i += 4) {
    for (int c = 0; c < 4; ++c) {
      if (i + c >= count) continue;
      const double x = a[i + c];
      sum[c] += x;
      product[c] += exact::times(x, a_star[i + c]);
    }
  }
  return {(sum[0] + sum[1]) + (sum[2] + sum[3]),
          (product[0] + product[1]) + (product[2] + product[3])};
}

/// g(phi).
MF_FN double teacher_g(const TeacherAngle& angle) {
  return exact::times(angle.rest, angle.cosine) + angle.sine;
}

/// pi - g(phi), which goes like phi^2, without cancelling to less than that.
MF_FN double teacher_gap(const TeacherAngle& angle) {
  const double versine = angle.cosine > 0
                             ? exact::times(angle.sine, angle.sine) / (1 + angle.cosine)
                             : 1 - angle.cosine;
  return exact::times(pi, versine) + (exact::times(angle.phi, angle.cosine) - angle.sine);
}

/// The loss from 1.e, ||e||^2 and a.a*.
MF_FN double teacher_loss(double sum, double norm2, double product, double gap) {
  const double square = exact::times(sum, sum);
  const double spread = exact::times(pi - 1, norm2);
  const double turn = exact::times(exact::times(2, gap), product);
  return (square + spread + turn) / (4 * pi);
}

/// The coefficients of a step: dl/dv_i = -pull w*_i + stay v_i, dl/da_i = own a_i + shift - lean
/// a*_i.
struct TeacherCoefficients {
  double pull, stay, own, lean, shift;
};

/// `sum` is 1.e, `product` a.a*.
MF_FN TeacherCoefficients teacher_coefficients(const TeacherAngle& angle, double sum,
                                               double product) {
  constexpr double share = 1 / (2 * pi);
  TeacherCoefficients c;
  c.pull = exact::times(product, angle.rest) / exact::times(2 * pi, sqrt(angle.norm2));
  c.stay = exact::times(c.pull, angle.along) / angle.norm2;
  c.own = (pi - 1) * share;
  c.lean = exact::times(teacher_g(angle) - 1, share);
  c.shift = exact::times(sum, share);
  return c;
}

/// The two parts of the spurious point of lemma 5.1: s_i = level - slope a*_i.
constexpr double spurious_slope = 1 / (pi - 1);
MF_FN double spurious_level(double sum, std::int64_t count) {
  return exact::times(sum, pi) / exact::times(pi - 1, pi - 1 + static_cast<double>(count));
}

}  // namespace manyfold::kernels
