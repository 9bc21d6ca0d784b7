// Elementary functions from operations that IEEE 754 rounds exactly, so that a CPU and a GPU agree
// in every bit where a library's would not. The logarithm is in core/random/normal.hpp.
#pragma once

#include <cstdint>

#include <math.h>

#include "core/portable.hpp"
#include "core/random/exact.hpp"
#include "kernels/common/power_of_two.hpp"

namespace manyfold::kernels {

/// e^x within 2 ulp where the result is a normal number: x = k ln 2 + r, |r| <= 0.35, and the
/// series of e^r, whose terms beyond r^14 / 14! are below 2^-60.
MF_FN double exact_exp(double x) {
  if (x != x) return x;
  if (x < -746) return 0;
  if (x > 710) return HUGE_VAL;
  const double k = floor(exact::times(x, 1.4426950408889634) + 0.5);
  // ln 2 in two parts, the first with trailing zeros, so that its product with k is exact.
  const double r = (x - exact::times(k, 6.93147180369123816490e-01)) -
                   exact::times(k, 1.90821492927058770002e-10);
  double sum = 1;
  for (int n = 14; n >= 1; --n) sum = 1 + exact::times(sum, r) / n;
  const int exponent = static_cast<int>(k);
  const int half = exponent / 2;  // two steps, since 2^k itself may be no normal number
  return exact::times(exact::times(sum, power_of_two(half)), power_of_two(exponent - half));
}

/// sin x for 0 <= x <= pi / 4 by its series, to x^17.
MF_FN double exact_sin_octant(double x) {
  const double x2 = exact::times(x, x);
  double sum = 1;
  for (int n = 16; n >= 2; n -= 2) sum = 1 - exact::times(sum, x2) / (n * (n + 1));
  return exact::times(x, sum);
}

/// (1 + cos(pi t / n)) / 2 for 0 <= t <= n: 1 at 0, 0 at n, both exactly.
MF_FN double cosine_weight(std::int64_t t, std::int64_t n) {
  constexpr double half_pi = 1.5707963267948966;
  const bool early = 2 * t <= n;
  const double share = static_cast<double>(early ? t : n - t) / static_cast<double>(n);
  const double sine = exact_sin_octant(exact::times(half_pi, share));
  const double square = exact::times(sine, sine);
  return early ? 1 - square : square;
}

}  // namespace manyfold::kernels
