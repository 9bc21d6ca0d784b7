// A step of stochastic gradient descent on one drawn entry of a chain, for the members in the lanes
// of a vector: matrix-vector products forward, then one pass that takes each layer's row back and
// moves it while it is here. Layers stream from L2 twice and are written once.
#pragma once

#include "kernels/cpu/lanes.hpp"
#include "kernels/cpu/loops/lanes.hpp"
#include "kernels/cpu/loops/vector.hpp"

namespace manyfold::kernels::cpu::MF_ISA {
namespace {

/// W -> keep W - step b x for an element of a layer; `by` is -step b.
template <class T, bool decays>
struct Mover {
  Vector<T> minus_step, keep;
  [[gnu::always_inline]] inline Vector<T> operator()(Vector<T> by, Vector<T> x, Vector<T> w) const {
    if constexpr (decays) w *= keep;
    return fused_lanes<T>(by, x, w);
  }
};

/// out = W x, `rows` rows at once so that as many chains of additions are under way.
template <class T, int rows>
MF_LOOP void times_rows(const T* w, int64_t cols, const T* x, T* out) {
  constexpr int64_t l = width<T>;
  Vector<T> sum[rows] = {};
  for (int64_t q = 0; q < cols; ++q) {
    const Vector<T> factor = load(x + q * l);
#pragma GCC unroll 8
    for (int r = 0; r < rows; ++r) sum[r] = fma(load(w + (r * cols + q) * l), factor, sum[r]);
  }
#pragma GCC unroll 8
  for (int r = 0; r < rows; ++r) store(out + r * l, sum[r]);
}

template <class T>
void times(const T* w, int64_t rows, int64_t cols, const T* x, T* out) {
  constexpr int64_t l = width<T>;
  int64_t r = 0;
  for (; r + 8 <= rows; r += 8) times_rows<T, 8>(w + r * cols * l, cols, x, out + r * l);
  for (; r + 2 <= rows; r += 2) times_rows<T, 2>(w + r * cols * l, cols, x, out + r * l);
  for (; r < rows; ++r) times_rows<T, 1>(w + r * cols * l, cols, x, out + r * l);
}

/// back (+)= W^T b and W moved along b x^T, `rows` rows of it.
template <class T, int rows, bool decays>
MF_LOOP void move_rows(T* w, int64_t cols, const T* x, const T* b, bool first, T* back,
                       const Mover<T, decays>& moved) {
  constexpr int64_t l = width<T>;
  Vector<T> slope[rows];
  Vector<T> by[rows];
#pragma GCC unroll 4
  for (int r = 0; r < rows; ++r) {
    slope[r] = load(b + r * l);
    by[r] = moved.minus_step * slope[r];
  }
  for (int64_t q = 0; q < cols; ++q) {
    const Vector<T> input = load(x + q * l);
    Vector<T> sum = first ? Vector<T>{} : load(back + q * l);
#pragma GCC unroll 4
    for (int r = 0; r < rows; ++r) {
      T* const place = w + (r * cols + q) * l;
      const Vector<T> old = load(place);
      sum = fma(old, slope[r], sum);
      store(place, moved(by[r], input, old));
    }
    store(back + q * l, sum);
  }
}

template <class T, bool decays>
void move_layer(T* w, int64_t rows, int64_t cols, const T* x, const T* b, T* back,
                const Mover<T, decays>& moved) {
  constexpr int64_t l = width<T>;
  // From the last row up: those that the products above have read last are still near.
  int64_t r = rows;
  for (; r % 4 != 0; --r) {
    move_rows<T, 1>(w + (r - 1) * cols * l, cols, x, b + (r - 1) * l, r == rows, back, moved);
  }
  for (; r > 0; r -= 4) {
    move_rows<T, 4>(w + (r - 4) * cols * l, cols, x, b + (r - 4) * l, r == rows, back, moved);
  }
}

/// In which lanes a number is `which`.
template <class T>
typename LaneFlags<T>::type lanes_of(const int32_t* number, int64_t which) {
  typename LaneFlags<T>::type flags{};
  for (int lane = 0; lane < width<T>; ++lane) flags[lane] = number[lane] == which ? -1 : 0;
  return flags;
}

/// line[p] = m[p * step + c * choice], each lane with a c of its own.
template <class T>
void choose(const T* m, int64_t choices, int64_t choice, int64_t count, int64_t step,
            const int32_t* own, T* line) {
  constexpr int64_t l = width<T>;
  for (int64_t c = 0; c < choices; ++c) {
    const auto here = lanes_of<T>(own, c);
    for (int64_t p = 0; p < count; ++p) {
      const Vector<T> value = load(m + (p * step + c * choice) * l);
      store(line + p * l, c == 0 ? value : here ? value : load(line + p * l));
    }
  }
}

template <class T, bool decays>
void drawn_descent_of(const LaneDrawnDescent<T>& d) {
  constexpr int64_t l = width<T>;
  const Vector<T> minus_step = -load(d.step);
  Mover<T, decays> moved{minus_step, {}};
  if constexpr (decays) moved.keep = fused_lanes<T>(minus_step, load(d.decay), broadcast(T(1)));
  const int32_t last = d.layers - 1;  // index of W_L
  const int64_t columns = d.sizes[0];
  const int64_t inner = d.sizes[last];  // columns of W_L

  // x_1: each lane's own column of W_1.
  T* x = d.scratch;
  choose(d.params, columns, 1, d.sizes[1], columns, d.col, x);
  T* w = d.params + d.sizes[1] * columns * l;
  for (int32_t h = 1; h < last; ++h) {
    T* const next = x + d.sizes[h] * l;
    times(w, d.sizes[h + 1], d.sizes[h], x, next);
    w += int64_t{d.sizes[h + 1]} * d.sizes[h] * l;
    x = next;
  }

  // The entry's residual, and W_L.
  T* b = d.scratch + d.back * l;
  T* other = b + d.widest * l;
  Vector<T> output{};
  choose(w, d.sizes[d.layers], inner, inner, 1, d.row, b);
  for (int64_t p = 0; p < inner; ++p) output = fma(load(b + p * l), load(x + p * l), output);
  Vector<T> difference = output - load(d.label);
  if (d.noise != nullptr) difference -= load(d.noise);
  const Vector<T> s = load(d.weight) * difference;
  for (int64_t p = 0; p < inner; ++p) store(b + p * l, load(b + p * l) * s);
  for (int64_t i = 0; i < d.sizes[d.layers]; ++i) {
    const Vector<T> own = lanes_of<T>(d.row, i) ? minus_step * s : Vector<T>{};
    T* const line = w + i * inner * l;
    for (int64_t p = 0; p < inner; ++p)
      store(line + p * l, moved(own, load(x + p * l), load(line + p * l)));
  }

  // Back through the layers between.
  for (int32_t h = last - 1; h >= 1; --h) {
    x -= d.sizes[h] * l;
    w -= int64_t{d.sizes[h + 1]} * d.sizes[h] * l;
    move_layer<T, decays>(w, d.sizes[h + 1], d.sizes[h], x, b, other, moved);
    T* const used = b;
    b = other;
    other = used;
  }

  for (int64_t j = 0; j < columns; ++j) {
    const auto here = lanes_of<T>(d.col, j);
    for (int64_t p = 0; p < d.sizes[1]; ++p) {
      T* const place = d.params + (p * columns + j) * l;
      store(place, moved(here ? minus_step : Vector<T>{}, load(b + p * l), load(place)));
    }
  }
}

template <class T>
void lane_drawn_descent(const LaneDrawnDescent<T>& d) {
  d.decay != nullptr ? drawn_descent_of<T, true>(d) : drawn_descent_of<T, false>(d);
}

}  // namespace
}  // namespace manyfold::kernels::cpu::MF_ISA
