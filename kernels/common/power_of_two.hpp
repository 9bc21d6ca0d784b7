// Powers of 2 for loops, without the standard library's functions: the CPU's hot loops include
// this.
#pragma once

#include <math.h>

#include "core/portable.hpp"

namespace manyfold::kernels {

/// 2^exponent, 0 or infinity where that is out of range. (ldexp is slow and this stands in loops.)
MF_FN double power_of_two(int exponent) {
  if (exponent < -1022) return 0;
  if (exponent > 1023) return HUGE_VAL;
  union {
    unsigned long long bits;
    double value;
  } number;
  number.bits = static_cast<unsigned long long>(exponent + 1023) << 52;
  return number.value;
}

}  // namespace manyfold::kernels
