// Loops over the elements of one slot: activations of two straight pieces and their part of
// backpropagation. With fused vectors they follow kernels/elements/activation.hpp operation by
// operation, so that every instruction set has its bits; without, they are those formulas.
#pragma once

#include "kernels/common/updates.hpp"
#include "kernels/cpu/loops.hpp"
#include "kernels/cpu/loops/updates.hpp"
#include "kernels/cpu/loops/vector.hpp"

namespace manyfold::kernels::cpu::MF_ISA {
namespace {

template <class T>
void rectify(T* y, const T* z, T scale, T slope, int64_t count) {
#if defined(__FMA__)
  const Vector<T> by = broadcast(scale);
  const Vector<T> zero{};
  const Vector<T> below = broadcast(slope);
  if (slope == T(0)) {  // 0 times an infinity is none
    each_vector<T>(count, [=](int64_t i, auto part) {
      const Vector<T> x = by * load(z + i, part);
      store(y + i, x < zero ? zero : x, part);
    });
    return;
  }
  each_vector<T>(count, [=](int64_t i, auto part) {
    const Vector<T> x = by * load(z + i, part);
    store(y + i, x < zero ? below * x : x, part);
  });
#else
  for (int64_t i = 0; i < count; ++i) {
    const T x = scale * z[i];
    y[i] = x < T(0) ? (slope == T(0) ? T(0) : slope * x) : x;
  }
#endif
}

template <class T>
void rectified_slope(T* dz, const T* state, const T* dy, T slope, T factor, bool add,
                     int64_t count) {
#if defined(__FMA__)
  const Vector<T> zero{};
  const Vector<T> above = broadcast(T(1));
  const Vector<T> below = broadcast(slope);
  const Vector<T> by = broadcast(factor);
  if (add) {
    each_vector<T>(count, [=](int64_t i, auto part) {
      const Vector<T> s = load(state + i, part) > zero ? above : below;
      store(dz + i, fma(by, s * load(dy + i, part), load(dz + i, part)), part);
    });
    return;
  }
  each_vector<T>(count, [=](int64_t i, auto part) {
    const Vector<T> s = load(state + i, part) > zero ? above : below;
    store(dz + i, by * (s * load(dy + i, part)), part);
  });
#else
  for (int64_t i = 0; i < count; ++i) {
    const T along = (state[i] > T(0) ? T(1) : slope) * dy[i];
    dz[i] = add ? fused(factor, along, dz[i]) : factor * along;
  }
#endif
}

}  // namespace
}  // namespace manyfold::kernels::cpu::MF_ISA
