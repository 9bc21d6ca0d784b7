// Loops over the elements of one slot: the updates of optimizers. With fused vectors each follows
// kernels/common/updates.hpp operation by operation, so that every instruction set has its bits;
// without, they are those formulas.
#pragma once

#include "kernels/common/updates.hpp"
#include "kernels/cpu/loops.hpp"
#include "kernels/cpu/loops/elementwise.hpp"

namespace manyfold::kernels::cpu::MF_ISA {
namespace {

template <class T>
void descend(T* params, const T* grad, T step, int64_t count) {
#if defined(__FMA__)
  const Vector<T> minus_step = broadcast(-step);
  each_vector<T>(count, [=](int64_t i, auto part) {
    store(params + i, fma(minus_step, load(grad + i, part), load(params + i, part)), part);
  });
#else
  for (int64_t i = 0; i < count; ++i) params[i] = fused(-step, grad[i], params[i]);
#endif
}

template <class T>
void heavy_ball(T* params, const T* grad, T* velocity, T momentum, T step, bool nesterov,
                int64_t count) {
#if defined(__FMA__)
  const Vector<T> minus_step = broadcast(-step);
  const Vector<T> kept = broadcast(momentum);
  each_vector<T>(count, [=](int64_t i, auto part) {
    const Vector<T> gradient = load(grad + i, part);
    const Vector<T> v = fma(kept, load(velocity + i, part), gradient);
    store(velocity + i, v, part);
    const Vector<T> direction = nesterov ? fma(kept, v, gradient) : v;
    store(params + i, fma(minus_step, direction, load(params + i, part)), part);
  });
#else
  for (int64_t i = 0; i < count; ++i) {
    heavy_ball_element(params[i], grad[i], velocity[i], momentum, step, nesterov);
  }
#endif
}

template <class T>
void adam(T* params, const T* grad, T* m, T* v, AdamNumbers<T> n, int64_t count) {
#if defined(__FMA__)
  const Vector<T> kept1 = broadcast(n.kept1);
  const Vector<T> added1 = broadcast(n.added1);
  const Vector<T> kept2 = broadcast(n.kept2);
  const Vector<T> added2 = broadcast(n.added2);
  const Vector<T> epsilon = broadcast(n.epsilon);
  const Vector<T> minus_step = broadcast(-n.step);
  const Vector<T> root_scale = broadcast(n.root_scale);
  each_vector<T>(count, [=](int64_t i, auto part) {
    const Vector<T> gradient = load(grad + i, part);
    const Vector<T> mean = fma(kept1, load(m + i, part), added1 * gradient);
    const Vector<T> square = fma(kept2, load(v + i, part), added2 * gradient * gradient);
    store(m + i, mean, part);
    store(v + i, square, part);
    const Vector<T> ratio = mean / fma(square_root(square), root_scale, epsilon);
    store(params + i, fma(minus_step, ratio, load(params + i, part)), part);
  });
#else
  for (int64_t i = 0; i < count; ++i) adam_element(params[i], grad[i], m[i], v[i], n);
#endif
}

template <class T>
void sign_descend(T* params, const T* grad, T step, int64_t count) {
#if defined(__FMA__)
  const Vector<T> minus_step = broadcast(-step);
  const Vector<T> zero{};
  const Vector<T> one = broadcast(T(1));
  each_vector<T>(count, [=](int64_t i, auto part) {
    const Vector<T> gradient = load(grad + i, part);
    const Vector<T> sign = gradient > zero ? one : (gradient < zero ? -one : gradient);
    store(params + i, fma(minus_step, sign, load(params + i, part)), part);
  });
#else
  for (int64_t i = 0; i < count; ++i) params[i] = fused(-step, sign_of(grad[i]), params[i]);
#endif
}

}  // namespace
}  // namespace manyfold::kernels::cpu::MF_ISA
