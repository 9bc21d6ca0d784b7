// Inverse of the standard normal distribution function: algorithm AS 241, PPND16 (Wichura 1988,
// Applied Statistics 37, 477-484), relative accuracy about 1e-16. Written with operations that
// IEEE 754 rounds exactly, the logarithm included, so that a CPU and a GPU agree in every bit;
// a library's logarithm would not do.
#pragma once

#include <cstdint>
#include <cstring>

#include <math.h>

#include "core/portable.hpp"
#include "core/random/exact.hpp"

namespace manyfold {

/// Natural logarithm of a positive normal number, within about 2 ulp: x = 2^e m with m in
/// [sqrt(1/2), sqrt(2)), log m = 2 atanh(f), f = (m - 1) / (m + 1), |f| < 0.1716, by its series.
MF_FN double exact_log(double x) {
  std::uint64_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  int exponent = static_cast<int>(bits >> 52) - 1023;
  bits = (bits & 0x000fffffffffffffu) | 0x3ff0000000000000u;
  double m;
  std::memcpy(&m, &bits, sizeof m);
  if (m > 1.4142135623730951) {
    m *= 0.5;
    ++exponent;
  }
  const double f = (m - 1) / (m + 1);
  const double f2 = exact::times(f, f);
  double series = 1.0 / 25;
  for (int n = 23; n >= 3; n -= 2) series = exact::times_plus(series, f2, 1.0 / n);
  const double small = exact::times(exact::times(f, f2), series) * 2;
  // ln 2 in two parts, the first with trailing zeros, so that its product with e is exact.
  const double e = exponent;
  const double high = exact::times(e, 6.93147180369123816490e-01);
  const double low = exact::times(e, 1.90821492927058770002e-10);
  return high + (f * 2 + (small + low));
}

namespace ppnd16 {

/// numerator(r) / denominator(r), both of degree 7 with coefficients from the constant term up.
MF_FN double ratio(const double (&numerator)[8], const double (&denominator)[8], double r) {
  double above = numerator[7];
  double below = denominator[7];
  for (int i = 6; i >= 0; --i) {
    above = exact::times_plus(above, r, numerator[i]);
    below = exact::times_plus(below, r, denominator[i]);
  }
  return above / below;
}

}  // namespace ppnd16

/// x with Phi(x) = p, for p in (0, 1).
MF_FN double inverse_normal_cdf(double p) {
  const double q = p - 0.5;
  if (fabs(q) <= 0.425) {
    constexpr double a[8] = {3.3871328727963666080e0, 1.3314166789178437745e2,
                             1.9715909503065514427e3, 1.3731693765509461125e4,
                             4.5921953931549871457e4, 6.7265770927008700853e4,
                             3.3430575583588128105e4, 2.5090809287301226727e3};
    constexpr double b[8] = {1.0,
                             4.2313330701600911252e1,
                             6.8718700749205790830e2,
                             5.3941960214247511077e3,
                             2.1213794301586595867e4,
                             3.9307895800092710610e4,
                             2.8729085735721942674e4,
                             5.2264952788528545610e3};
    return exact::times(q, ppnd16::ratio(a, b, 0.180625 - exact::times(q, q)));
  }
  const double tail = q < 0 ? p : 1 - p;
  const double r = sqrt(-exact_log(tail));
  double x;
  if (r <= 5) {
    constexpr double c[8] = {1.42343711074968357734e0,  4.63033784615654529590e0,
                             5.76949722146069140550e0,  3.64784832476320460504e0,
                             1.27045825245236838258e0,  2.41780725177450611770e-1,
                             2.27238449892691845833e-2, 7.74545014278341407640e-4};
    constexpr double d[8] = {1.0,
                             2.05319162663775882187e0,
                             1.67638483018380384940e0,
                             6.89767334985100004550e-1,
                             1.48103976427480074590e-1,
                             1.51986665636164571966e-2,
                             5.47593808499534494600e-4,
                             1.05075007164441684324e-9};
    x = ppnd16::ratio(c, d, r - 1.6);
  } else {
    constexpr double e[8] = {6.65790464350110377720e0,  5.46378491116411436990e0,
                             1.78482653991729133580e0,  2.96560571828504891230e-1,
                             2.65321895265761230930e-2, 1.24266094738807843860e-3,
                             2.71155556874348757815e-5, 2.01033439929228813265e-7};
    constexpr double f[8] = {1.0,
                             5.99832206555887937690e-1,
                             1.36929880922735805310e-1,
                             1.48753612908506148525e-2,
                             7.86869131145613259100e-4,
                             1.84631831751005468180e-5,
                             1.42151175831644588870e-7,
                             2.04426310338993978564e-15};
    x = ppnd16::ratio(e, f, r - 5);
  }
  return q < 0 ? -x : x;
}

}  // namespace manyfold
