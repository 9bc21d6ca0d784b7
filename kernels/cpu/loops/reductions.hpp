// Loops over the elements of one slot that sum: sums of squares, residuals.
//
// Sums add up in 4 vectors of doubles: element i goes to lane i mod (4 width), and lanes are joined
// in a fixed tree, so that the order depends on the number of elements alone.
#pragma once

#include "kernels/cpu/loops.hpp"
#include "kernels/cpu/loops/vector.hpp"

namespace manyfold::kernels::cpu::MF_ISA {
namespace {

constexpr int lanes = width<double>;
constexpr int accumulators = 4;
constexpr int block = lanes * accumulators;

/// As many elements of T as a vector has doubles.
template <class T>
struct Narrow;
template <>
struct Narrow<double> {
  typedef double type __attribute__((vector_size(8 * lanes)));
  typedef double unaligned __attribute__((vector_size(8 * lanes), aligned(8), may_alias));
  typedef int64_t flags __attribute__((vector_size(8 * lanes)));
};
template <>
struct Narrow<float> {
  typedef float type __attribute__((vector_size(4 * lanes)));
  typedef float unaligned __attribute__((vector_size(4 * lanes), aligned(4), may_alias));
  typedef int32_t flags __attribute__((vector_size(4 * lanes)));
};
typedef uint8_t Bytes __attribute__((vector_size(lanes), aligned(1), may_alias));

struct SquareSum {
  Vector<double> lane[accumulators];
};

template <class T>
MF_LOOP void add_square(SquareSum& sum, int accumulator, typename Narrow<T>::type x) {
  const auto wide = __builtin_convertvector(x, Vector<double>);
  sum.lane[accumulator] = fma(wide, wide, sum.lane[accumulator]);
}

MF_LOOP double total(const SquareSum& sum) {
  const Vector<double> joined = (sum.lane[0] + sum.lane[1]) + (sum.lane[2] + sum.lane[3]);
  double part[lanes];
  for (int i = 0; i < lanes; ++i) part[i] = joined[i];
  for (int half = lanes / 2; half > 0; half /= 2) {
    for (int i = 0; i < half; ++i) part[i] += part[i + half];
  }
  return part[0];
}

template <class T>
MF_LOOP typename Narrow<T>::type load_narrow(const T* p) {
  return *reinterpret_cast<const typename Narrow<T>::unaligned*>(p);
}

template <class T>
double sum_of_squares(const T* x, int64_t count) {
  SquareSum sum{};
  int64_t i = 0;
  for (; i + block <= count; i += block) {
#pragma GCC unroll 4
    for (int a = 0; a < accumulators; ++a) add_square<T>(sum, a, load_narrow(x + i + a * lanes));
  }
  for (int a = 0; i < count; ++a, i += lanes) {
    if (i + lanes <= count) {
      add_square<T>(sum, a, load_narrow(x + i));
    } else {
      T rest[lanes] = {};
      for (int64_t j = i; j < count; ++j) rest[j - i] = x[j];
      add_square<T>(sum, a, load_narrow(rest));
    }
  }
  return total(sum);
}

/// One narrow vector of residuals: stored where wanted, its squares added.
template <class T, bool masked>
MF_LOOP void residual_step(SquareSum& sum, int a, const T* w, const T* target, const uint8_t* mask,
                           bool observed, T* out) {
  using V = typename Narrow<T>::type;
  using Flags = typename Narrow<T>::flags;
  V difference = load_narrow(w) - load_narrow(target);
  if constexpr (masked) {
    const auto flags = __builtin_convertvector(*reinterpret_cast<const Bytes*>(mask), Flags);
    const Flags counts = observed ? flags != 0 : flags == 0;
    difference = counts ? difference : V{};
  }
  if (out != nullptr) *reinterpret_cast<typename Narrow<T>::unaligned*>(out) = difference;
  add_square<T>(sum, a, difference);
}

/// `count` adjacent elements; all calls but the last of one sum must have a multiple of `block`.
template <class T, bool masked>
void residual_run(SquareSum& sum, const T* w, const T* target, const uint8_t* mask, bool observed,
                  T* out, int64_t count) {
  const auto step = [&](int a, int64_t i) {
    residual_step<T, masked>(sum, a, w + i, target + i, masked ? mask + i : nullptr, observed,
                             out != nullptr ? out + i : nullptr);
  };
  int64_t i = 0;
  for (; i + block <= count; i += block) {
#pragma GCC unroll 4
    for (int a = 0; a < accumulators; ++a) step(a, i + a * lanes);
  }
  for (int a = 0; i < count; ++a, i += lanes) {
    if (i + lanes <= count) {
      step(a, i);
    } else {
      const int64_t rest = count - i;
      T rest_w[lanes] = {};
      T rest_target[lanes] = {};
      uint8_t rest_mask[lanes] = {};
      T rest_out[lanes];
      for (int64_t j = 0; j < rest; ++j) {
        rest_w[j] = w[i + j];
        rest_target[j] = target[i + j];
        if (masked) rest_mask[j] = mask[i + j];
      }
      residual_step<T, masked>(sum, a, rest_w, rest_target, rest_mask, observed, rest_out);
      if (out != nullptr) {
        for (int64_t j = 0; j < rest; ++j) out[i + j] = rest_out[j];
      }
    }
  }
}

template <class T, bool masked>
double residual_of(const ResidualSlot<T>& slot) {
  SquareSum sum{};
  const int64_t count = slot.rows * slot.cols;
  const bool adjacent =
      slot.rows == 1 || (slot.w_row == slot.cols && slot.target_row == slot.cols &&
                         (!masked || slot.mask_row == slot.cols) &&
                         (slot.out == nullptr || slot.out_row == slot.cols));
  if (adjacent) {
    residual_run<T, masked>(sum, slot.w, slot.target, slot.mask, slot.observed, slot.out, count);
    return total(sum);
  }
  // Rows with gaps are gathered first, so that every element meets the lane it has without gaps.
  constexpr int64_t chunk = 16 * block;
  T w[chunk];
  T target[chunk];
  uint8_t mask[masked ? chunk : 1];
  T out[chunk];
  int64_t row = 0;
  int64_t col = 0;
  for (int64_t begin = 0; begin < count; begin += chunk) {
    const int64_t size = count - begin < chunk ? count - begin : chunk;
    int64_t r = row;
    int64_t c = col;
    for (int64_t i = 0; i < size; ++i) {
      w[i] = slot.w[r * slot.w_row + c];
      target[i] = slot.target[r * slot.target_row + c];
      if (masked) mask[i] = slot.mask[r * slot.mask_row + c];
      if (++c == slot.cols) {
        c = 0;
        ++r;
      }
    }
    residual_run<T, masked>(sum, w, target, mask, slot.observed, out, size);
    for (int64_t i = 0; i < size; ++i) {
      if (slot.out != nullptr) slot.out[row * slot.out_row + col] = out[i];
      if (++col == slot.cols) {
        col = 0;
        ++row;
      }
    }
  }
  return total(sum);
}

template <class T>
double residual(const ResidualSlot<T>& slot) {
  if (slot.mask != nullptr) return residual_of<T, true>(slot);
  if (slot.observed) return residual_of<T, false>(slot);
  if (slot.out != nullptr) {  // no mask, and what is not observed is asked for: nothing counts
    for (int64_t r = 0; r < slot.rows; ++r) {
      for (int64_t c = 0; c < slot.cols; ++c) slot.out[r * slot.out_row + c] = 0;
    }
  }
  return 0;
}

}  // namespace
}  // namespace manyfold::kernels::cpu::MF_ISA
