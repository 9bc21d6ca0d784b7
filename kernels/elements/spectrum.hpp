// Body of spectrum (contract: kernels/spectrum.hpp). One thread walks a slot's values: they are few
// beside the rotations that made them, and stand one after another or in a lane of resident
// members.
#pragma once

#include <cstdint>

#include <math.h>

#include "core/portable.hpp"
#include "kernels/spectrum.hpp"

namespace manyfold::kernels::elements {

/// Value i stands at first[i * step].
struct SpectrumValues {
  const double* first;
  std::int64_t step;
  MF_FN double operator[](std::int64_t i) const { return first[i * step]; }
};

MF_FN double sum_of_powers(const SpectrumValues& s, std::int64_t first, std::int64_t count,
                           double unit, double power) {
  double sum = 0;
  for (std::int64_t i = first; i < count; ++i) {
    if (s[i] > 0) sum += pow(s[i] / unit, power);
  }
  return sum;
}

MF_FN double sum_of_ratios2(const SpectrumValues& s, std::int64_t first, std::int64_t count,
                            double unit) {
  double sum = 0;
  for (std::int64_t i = first; i < count; ++i) sum = fma(s[i] / unit, s[i] / unit, sum);
  return sum;
}

MF_FN double effective_rank(const SpectrumValues& s, std::int64_t count) {
  double total = 0;
  for (std::int64_t i = 0; i < count; ++i) total += s[i] / s[0];
  double entropy = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    const double p = s[i] / s[0] / total;
    if (p > 0) entropy -= p * log(p);
  }
  return exp(entropy);
}

MF_FN double numerical_rank(const SpectrumValues& s, std::int64_t count, double tolerance) {
  double rank = 0;
  for (std::int64_t i = 0; i < count; ++i) rank += s[i] > tolerance * s[0] ? 1 : 0;
  return rank;
}

MF_FN double f_alpha_rank(const SpectrumValues& s, std::int64_t count, double alpha) {
  double rank = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    const double y = s[i] * s[i] / alpha;
    rank += y <= 1 ? y * (2 - y) : 1;
  }
  return rank;
}

MF_FN double spectrum_value(const SpectrumValues& s, std::int64_t count, SpectrumFunction function,
                            double x) {
  if (count == 0) return 0;
  if (s[0] != s[0]) return s[0];  // a slot with a NaN has no other values
  switch (function) {
    case SpectrumFunction::power_sum:
      return sum_of_powers(s, 0, count, 1, x);
    case SpectrumFunction::schatten_norm:
      return s[0] > 0 ? s[0] * pow(sum_of_powers(s, 0, count, s[0], x), 1 / x) : 0;
    case SpectrumFunction::tail_norm: {
      const auto first = static_cast<std::int64_t>(x);
      if (first >= count || !(s[first] > 0)) return 0;
      return s[first] * sqrt(sum_of_ratios2(s, first, count, s[first]));
    }
    case SpectrumFunction::effective_rank:
      return s[0] > 0 ? effective_rank(s, count) : 0;
    case SpectrumFunction::stable_rank:
      return s[0] > 0 ? sum_of_ratios2(s, 0, count, s[0]) : 0;
    case SpectrumFunction::numerical_rank:
      return numerical_rank(s, count, x);
    case SpectrumFunction::f_alpha_rank:
      return f_alpha_rank(s, count, x);
  }
  return 0;
}

MF_CALLS_EITHER template <class Launcher>
MF_FN void spectrum(const Launcher& for_each, const SpectrumArgs& args) {
  for_each("spectrum", args.slots, 1, [=] MF_KERNEL(std::int64_t slot, std::int64_t) {
    args.out[slot * args.out_stride] =
        args.scale * spectrum_value({args.values + slot * args.values_stride, 1}, args.count,
                                    args.function, args.parameter);
  });
}

}  // namespace manyfold::kernels::elements
