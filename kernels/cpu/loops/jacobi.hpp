// Singular values of one matrix by one-sided Jacobi with de Rijk's pivoting (1989): before column p
// meets the columns after it, the longest of those takes its place. That sorts the values on the
// way and lets graded matrices converge in few sweeps. Formulas: kernels/common/jacobi.hpp.
#pragma once

#include <math.h>

#include "kernels/common/jacobi.hpp"
#include "kernels/cpu/loops.hpp"
#include "kernels/cpu/loops/vector.hpp"

namespace manyfold::kernels::cpu::MF_ISA {
namespace {

constexpr int jacobi_max_columns = 1024;

int64_t jacobi_stride(int64_t m) {
  constexpr int64_t w = width<double>;
  return (m + w - 1) / w * w;
}

MF_LOOP double sum_of(Vector<double> v) {
  double sum = 0;
  double part[width<double>];
  for (int i = 0; i < width<double>; ++i) part[i] = v[i];
  for (int half = width<double> / 2; half > 0; half /= 2) {
    for (int i = 0; i < half; ++i) part[i] += part[i + half];
  }
  sum = part[0];
  return sum;
}

/// `length` is a multiple of the vector width.
MF_LOOP double scalar_product(const double* x, const double* y, int64_t length) {
  constexpr int w = width<double>;
  Vector<double> even{};
  Vector<double> odd{};
  int64_t i = 0;
  for (; i + 2 * w <= length; i += 2 * w) {
    even = fma(load(x + i), load(y + i), even);
    odd = fma(load(x + i + w), load(y + i + w), odd);
  }
  if (i < length) even = fma(load(x + i), load(y + i), even);
  return sum_of(even + odd);
}

/// Rotates and returns the new squared norms.
MF_LOOP void rotate(double* x, double* y, int64_t length, JacobiRotation rotation, double* a,
                    double* b) {
  constexpr int w = width<double>;
  const Vector<double> keep = broadcast(rotation.keep);
  const Vector<double> to_first = broadcast(rotation.to_first);
  const Vector<double> to_second = broadcast(rotation.to_second);
  Vector<double> sum_x{};
  Vector<double> sum_y{};
  for (int64_t i = 0; i < length; i += w) {
    const Vector<double> old_x = load(x + i);
    const Vector<double> old_y = load(y + i);
    const Vector<double> new_x = fma(to_first, old_y, keep * old_x);
    const Vector<double> new_y = fma(to_second, old_x, keep * old_y);
    sum_x = fma(new_x, new_x, sum_x);
    sum_y = fma(new_y, new_y, sum_y);
    store(x + i, new_x);
    store(y + i, new_y);
  }
  *a = sum_of(sum_x);
  *b = sum_of(sum_y);
}

/// One column: 2^exponent times what is stored at `data`.
struct JacobiColumn {
  double* data;
  double* right;  // of the rotations; null: not wanted
  double norm2;   // of what is stored
  int exponent;
  bool shrunk;  // jacobi_gone
};

/// Puts the largest element into [1/2, 1); a zero column has norm2 = 0.
MF_LOOP void normalize(JacobiColumn& column, int64_t length) {
  double largest = 0;
  for (int64_t i = 0; i < length; ++i) {
    const double size = fabs(column.data[i]);
    largest = size > largest ? size : largest;
  }
  column.norm2 = 0;
  if (largest == 0) return;
  const int exponent = exponent_of(largest);
  column.exponent += exponent;
  for (int64_t i = 0; i < length; ++i) {
    column.data[i] = scale_by_power(column.data[i], -exponent);
  }
  column.norm2 = scalar_product(column.data, column.data, length);
}

MF_LOOP void shrink(JacobiColumn& column, int64_t length) {
  if (column.shrunk) {
    for (int64_t i = 0; i < length; ++i) column.data[i] = 0;
    column.norm2 = 0;
    return;
  }
  normalize(column, length);
  column.shrunk = true;
}

MF_LOOP bool longer(const JacobiColumn& x, const JacobiColumn& y) {
  if (x.norm2 == 0 || y.norm2 == 0) return x.norm2 > y.norm2;
  const double ratio = power_of_two(x.exponent - y.exponent);
  return x.norm2 * ratio > y.norm2 / ratio;
}

/// Columns of the rotations, as the columns themselves turn.
MF_LOOP void rotate_right(double* x, double* y, int64_t length, double keep, double sine) {
  constexpr int w = width<double>;
  const Vector<double> stay = broadcast(keep);
  const Vector<double> turn = broadcast(sine);
  for (int64_t i = 0; i < length; i += w) {
    const Vector<double> old_x = load(x + i);
    const Vector<double> old_y = load(y + i);
    store(x + i, fma(-turn, old_y, stay * old_x));
    store(y + i, fma(turn, old_x, stay * old_y));
  }
}

int32_t jacobi(int64_t m, int64_t n, double* columns, double* right, double* norms,
               int32_t* exponents, int32_t* places, int32_t max_sweeps) {
  const int64_t length = jacobi_stride(m);
  const int64_t right_length = jacobi_stride(n);
  const double tolerance = jacobi_tolerance(static_cast<double>(m));
  JacobiColumn column[jacobi_max_columns];
  for (int64_t j = 0; j < n; ++j) {
    column[j] = {columns + j * length, right != nullptr ? right + j * right_length : nullptr, 0, 0,
                 false};
    normalize(column[j], length);
  }
  int32_t sweeps = 0;
  bool rotated = n > 1;
  while (rotated && sweeps < max_sweeps) {
    rotated = false;
    ++sweeps;
    for (int64_t p = 0; p + 1 < n; ++p) {
      int64_t longest = p;
      for (int64_t q = p + 1; q < n; ++q) {
        if (longer(column[q], column[longest])) longest = q;
      }
      const JacobiColumn pivot = column[longest];
      column[longest] = column[p];
      column[p] = pivot;
      JacobiColumn& x = column[p];
      if (x.norm2 == 0) break;  // and so are all that follow
      for (int64_t q = p + 1; q < n; ++q) {
        JacobiColumn& y = column[q];
        if (y.norm2 == 0) continue;
        const double g = scalar_product(x.data, y.data, length);
        if (fabs(g) <= tolerance * (sqrt(x.norm2) * sqrt(y.norm2))) continue;
        rotated = true;
        const double ratio = power_of_two(y.exponent - x.exponent);
        const JacobiRotation rotation = jacobi_rotation(x.norm2, y.norm2, g, ratio);
        rotate(x.data, y.data, length, rotation, &x.norm2, &y.norm2);
        if (right != nullptr) {
          rotate_right(x.right, y.right, right_length, rotation.keep, rotation.sine);
        }
        if (y.norm2 < jacobi_gone) shrink(y, length);
        if (x.norm2 < jacobi_gone) shrink(x, length);
        if (x.norm2 > 1e60) normalize(x, length);
      }
    }
  }
  for (int64_t j = 0; j < n; ++j) {
    norms[j] = sqrt(column[j].norm2);
    exponents[j] = column[j].exponent;
    places[j] = static_cast<int32_t>((column[j].data - columns) / length);
  }
  return rotated ? -1 : sweeps;
}

}  // namespace
}  // namespace manyfold::kernels::cpu::MF_ISA
