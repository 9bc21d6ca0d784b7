// The squared loss of a slot's examples and its slope, in double precision as
// kernels/elements/examples.hpp has them, operation by operation.
#pragma once

#include "kernels/cpu/loops.hpp"
#include "kernels/cpu/loops/elementwise.hpp"

namespace manyfold::kernels::cpu::MF_ISA {
namespace {

template <class T>
void squared_slopes(T* slope, const T* f, const T* y, double scale, double weight, int64_t count) {
  constexpr int parts = Widened<T>::parts;
  const Wide by = broadcast(scale);
  const Wide slope_scale = broadcast(weight * scale);
  int64_t i = 0;
  for (; i + width<T> <= count; i += width<T>) {
    const auto fs = Widened<T>::of(load(f + i));
    const auto ys = Widened<T>::of(load(y + i));
    for (int h = 0; h < parts; ++h) {
      store_narrow(slope + i + h * wide_width, slope_scale * (by * fs.part[h] - ys.part[h]));
    }
  }
  for (; i < count; ++i) {
    const double difference = scale * static_cast<double>(f[i]) - static_cast<double>(y[i]);
    slope[i] = static_cast<T>(weight * scale * difference);
  }
}

template <class T>
void squared_losses(double* losses, const T* f, int64_t f_row, const T* y, int64_t y_row,
                    int64_t rows, int64_t outputs, double scale, double weight) {
  for (int64_t r = 0; r < rows; ++r, f += f_row, y += y_row) {
    double sum = 0;
    for (int64_t k = 0; k < outputs; ++k) {
      const double difference = scale * static_cast<double>(f[k]) - static_cast<double>(y[k]);
      sum = fused(difference, difference, sum);
    }
    losses[r] = weight * (0.5 * sum);
  }
}

}  // namespace
}  // namespace manyfold::kernels::cpu::MF_ISA
