// Double-precision arithmetic that no compiler may contract: a product used in a sum is rounded
// first, on every device and under every compiler flag. With + - * / sqrt, which IEEE 754 rounds
// exactly, a formula then has one result everywhere. (Only products need this: contraction fuses a
// product into a sum.)
#pragma once

#include "core/portable.hpp"

namespace manyfold::exact {

/// a * b, rounded.
MF_FN double times(double a, double b) {
#if defined(__CUDA_ARCH__)
  return __dmul_rn(a, b);
#else
  double product = a * b;
#if defined(__x86_64__) && defined(__FMA__)
  asm("" : "+x"(product));
#elif defined(__aarch64__)
  asm("" : "+w"(product));
#endif
  return product;
#endif
}

/// a * b + c, rounded twice.
MF_FN double times_plus(double a, double b, double c) { return times(a, b) + c; }

}  // namespace manyfold::exact
