// Functions of a spectrum: one number from the singular values of a slot.
#pragma once

#include <cstdint>

#include "core/executor/executor.hpp"

namespace manyfold::kernels {

/// With s_1 >= s_2 >= ... >= 0 the values of a slot and x the parameter:
///   power_sum       sum_i s_i^x, 0 for s_i = 0
///   schatten_norm   (sum_i s_i^x)^(1/x)
///   tail_norm       sqrt(sum_{i > x} s_i^2), x a whole number
///   effective_rank  exp of the entropy of p_i = s_i / sum_j s_j (Roy and Vetterli 2007, def. 1)
///   stable_rank     sum_i s_i^2 / s_1^2
///   numerical_rank  number of s_i > x s_1
///   f_alpha_rank    sum_i f_x(s_i^2), f_x(y) = y (2 x - y) / x^2 up to y = x, 1 beyond (Wang and
///                   Jacot 2023, section 3.2)
/// Ranks of a zero matrix are 0. Sums of powers are taken relative to the largest value where that
/// keeps them from underflow.
enum class SpectrumFunction {
  power_sum,
  schatten_norm,
  tail_norm,
  effective_rank,
  stable_rank,
  numerical_rank,
  f_alpha_rank,
};

/// values: (slot, count), decreasing, slots values_stride apart. out_s = scale times the function;
/// NaN where the slot's values are, touching no other slot.
struct SpectrumArgs {
  std::int64_t slots = 0;
  std::int64_t count = 0;
  const double* values = nullptr;
  std::int64_t values_stride = 0;
  SpectrumFunction function = SpectrumFunction::power_sum;
  double parameter = 1;
  double scale = 1;
  double* out = nullptr;
  std::int64_t out_stride = 1;
};
void spectrum(Executor& executor, const SpectrumArgs& args);

}  // namespace manyfold::kernels
