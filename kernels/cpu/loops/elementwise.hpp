// Passes over arrays vector by vector, and what has the same bits on every instruction set.
#pragma once

#include "kernels/common/updates.hpp"
#include "kernels/cpu/loops/vector.hpp"

namespace manyfold::kernels::cpu::MF_ISA {
namespace {

/// Stands for a whole vector where the rest of a row is a First.
struct Whole {};
template <class T>
MF_LOOP Vector<T> load(const T* p, Whole) {
  return load(p);
}
template <class T>
MF_LOOP void store(T* p, Vector<T> v, Whole) {
  store(p, v);
}

/// body(i, part) for each vector from element i on.
template <class T, class Body>
MF_LOOP void each_vector(int64_t count, const Body& body) {
  constexpr int w = width<T>;
  int64_t i = 0;
  for (; i + 2 * w <= count; i += 2 * w) {
    body(i, Whole{});
    body(i + w, Whole{});
  }
  for (; i < count; i += w) body(i, First<T>::of(count - i < w ? count - i : w));
}

#if !defined(__FMA__)
/// The updates have the same bits everywhere, so what is fused there is fused here.
template <class T>
MF_LOOP Vector<T> fused_lanes(Vector<T> a, Vector<T> b, Vector<T> c) {
  for (int i = 0; i < width<T>; ++i) c[i] = fused(a[i], b[i], c[i]);
  return c;
}
template <class T>
MF_LOOP Vector<T> root_lanes(Vector<T> x) {
  for (int i = 0; i < width<T>; ++i) x[i] = root(x[i]);
  return x;
}
#else
template <class T>
MF_LOOP Vector<T> fused_lanes(Vector<T> a, Vector<T> b, Vector<T> c) {
  return fma(a, b, c);
}
template <class T>
MF_LOOP Vector<T> root_lanes(Vector<T> x) {
  return square_root(x);
}
#endif

constexpr int wide_width = width<double>;
typedef double Wide __attribute__((vector_size(8 * wide_width)));
typedef float NarrowHalf __attribute__((vector_size(4 * wide_width), aligned(4), may_alias));

/// A vector of T as vectors of doubles: one, or two halves.
template <class T>
struct Widened {
  static constexpr int parts = sizeof(T) == sizeof(double) ? 1 : 2;
  Wide part[parts];
  MF_LOOP Widened of(Vector<T> x) {
    T values[width<T>];
    store(values, x);
    Widened made;
    for (int i = 0; i < parts; ++i) {
      if constexpr (parts == 1) {
        made.part[i] = x;
      } else {
        made.part[i] = __builtin_convertvector(
            *reinterpret_cast<const NarrowHalf*>(values + i * wide_width), Wide);
      }
    }
    return made;
  }
};
MF_LOOP void store_narrow(double* p, Wide x) { store(p, x); }
MF_LOOP void store_narrow(float* p, Wide x) {
  *reinterpret_cast<NarrowHalf*>(p) = __builtin_convertvector(x, NarrowHalf);
}

/// kernels/common/activation.hpp; `flat` where below is 0: 0 times an infinity is none.
template <class V>
MF_LOOP V rectified(V x, V below, bool flat) {
  return x < 0 ? (flat ? V{} : below * x) : x;
}
template <class V>
MF_LOOP V rectified_slope(V state, V below) {
  return state > 0 ? V{} + 1 : below;
}

}  // namespace
}  // namespace manyfold::kernels::cpu::MF_ISA
