// One-sided Jacobi on the columns of a matrix: the formulas that both backends share.
//
// Rotations of pairs of columns make all columns orthogonal; their norms are then the singular
// values (Hestenes 1958). Each column is kept as x = 2^e x^ with |x^| near 1, so that squared norms
// neither overflow nor underflow however far apart columns are, and columns of 1e-200 keep their
// relative accuracy beside columns of 1 (Demmel and Veselic 1992: rotations commit errors that are
// small relative to each column).
#pragma once

#include <math.h>

#include "core/portable.hpp"
#include "kernels/common/power_of_two.hpp"

namespace manyfold::kernels {

/// Two columns count as orthogonal when the cosine between them is at most this: what rounding
/// leaves of a scalar product of m terms (the sqrt(m) eps of LAPACK's xGESVJ, with a floor for tiny
/// m).
MF_FN double jacobi_tolerance(double m) { return 1.2e-16 * (m < 16 ? 4 : sqrt(m)); }

/// A column that lay in the span of others loses all but its rounding errors, and those again in
/// every sweep, for ever: one whose squared norm falls below this is brought back to size 1 once,
/// and the second time it is 0. (Once, because a column of few tiny elements may be exact.)
constexpr double jacobi_gone = 1e-28;

/// x^ <- keep x^ + to_first y^,  y^ <- keep y^ + to_second x^ (the old x^); of the columns
/// themselves x <- keep x - sine y, y <- keep y + sine x.
struct JacobiRotation {
  double keep, to_first, to_second, sine;
};

/// The rotation that makes x and y orthogonal, given a = |x^|^2, b = |y^|^2, g = x^ . y^ != 0 and
/// ratio = 2^(e_y - e_x). With w = (|y|^2 - |x|^2) / (2 x . y) its tangent is
/// t = sign(w) / (|w| + sqrt(1 + w^2)) (Rutishauser); all is written in t / ratio, which stays
/// representable when ratio does not.
MF_FN JacobiRotation jacobi_rotation(double a, double b, double g, double ratio) {
  const double h = b * ratio * ratio - a;
  const double g2 = 2 * g;
  const double root = sqrt(g2 * ratio * (g2 * ratio) + h * h);
  // t / ratio = 2 g / (h + sign(h) root): the sign of w is that of h g.
  const double over = g2 / (h < 0 ? h - root : h + root);
  const double t = over * ratio;
  const double keep = 1 / sqrt(1 + t * t);
  return {keep, -keep * t * ratio, keep * over, keep * t};
}

/// Columns p < q of a round of the circle method: in n rounds every pair of n columns comes once,
/// and no two pairs of a round have a column in common. Pairs 0 to n / 2 - 1; none where not
/// `present`.
struct JacobiPair {
  int p, q;
  bool present;
};
MF_FN JacobiPair jacobi_pair(int n, int round, int pair) {
  // Half the distance either side of round / 2, around the circle of n places.
  const int distance = 2 * pair + (round % 2 == 0 ? 2 : 1);
  const int below = ((round - distance) / 2 + n) % n;
  const int above = (round + distance) / 2 % n;
  return {below < above ? below : above, below < above ? above : below, distance < n};
}

/// The exponent e that puts a positive x into [1/2, 1) 2^e.
MF_FN int exponent_of(double x) {
  int exponent = 0;
  (void)frexp(x, &exponent);
  return exponent;
}

/// x 2^exponent for any representable result: one factor alone could overflow.
MF_FN double scale_by_power(double x, int exponent) {
  const int half = exponent / 2;
  return x * power_of_two(half) * power_of_two(exponent - half);
}

}  // namespace manyfold::kernels
