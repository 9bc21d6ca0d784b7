// Loops over the elements of one slot: activations and their part of backpropagation, formula by
// formula those of kernels/common/activation.hpp. Of two straight pieces, fused vectors give every
// instruction set the same bits; exponentials and the like are those of the C library's vectors
// (libmvec), whose last bits differ between instruction sets.
#pragma once

#include "kernels/cpu/loops.hpp"
#include "kernels/cpu/loops/elementwise.hpp"

#if defined(__x86_64__)
#if defined(__AVX512F__)
#define MF_WIDE_MATH(name) _ZGVeN8v_##name
#define MF_NARROW_MATH(name) _ZGVeN16v_##name##f
#elif defined(__AVX2__)
#define MF_WIDE_MATH(name) _ZGVdN4v_##name
#define MF_NARROW_MATH(name) _ZGVdN8v_##name##f
#else
#define MF_WIDE_MATH(name) _ZGVbN2v_##name
#define MF_NARROW_MATH(name) _ZGVbN4v_##name##f
#endif
#endif

namespace manyfold::kernels::cpu::MF_ISA {
namespace {

#if defined(__x86_64__)
#define MF_VECTOR_MATH(name)                                                               \
  extern "C" Vector<double> MF_WIDE_MATH(name)(Vector<double>);                            \
  extern "C" Vector<float> MF_NARROW_MATH(name)(Vector<float>);                            \
  MF_LOOP Vector<double> vector_##name(Vector<double> x) { return MF_WIDE_MATH(name)(x); } \
  MF_LOOP Vector<float> vector_##name(Vector<float> x) { return MF_NARROW_MATH(name)(x); }
#else
#define MF_VECTOR_MATH(name)                                                 \
  MF_LOOP Vector<double> vector_##name(Vector<double> x) {                   \
    for (int i = 0; i < width<double>; ++i) x[i] = __builtin_##name(x[i]);   \
    return x;                                                                \
  }                                                                          \
  MF_LOOP Vector<float> vector_##name(Vector<float> x) {                     \
    for (int i = 0; i < width<float>; ++i) x[i] = __builtin_##name##f(x[i]); \
    return x;                                                                \
  }
#endif
MF_VECTOR_MATH(exp)
MF_VECTOR_MATH(expm1)
MF_VECTOR_MATH(log1p)
MF_VECTOR_MATH(tanh)
MF_VECTOR_MATH(erf)
#undef MF_VECTOR_MATH
#undef MF_WIDE_MATH
#undef MF_NARROW_MATH

/// e^-|x|: no overflow.
template <class V>
MF_LOOP V decayed(V x) {
  return vector_exp(x < 0 ? x : -x);
}

// In each: s(x), and s' from the state that backpropagation has (kernels/activation.hpp). `below`
// is the slope of a rectifier under 0.
struct Linear {
  template <class V>
  MF_LOOP V value(V x, V) {
    return x;
  }
  template <class V>
  MF_LOOP V slope(V, V) {
    return V{} + 1;
  }
};
struct Relu {
  template <class V>
  MF_LOOP V value(V x, V) {
    return rectified(x, V{}, true);
  }
  template <class V>
  MF_LOOP V slope(V state, V) {
    return rectified_slope(state, V{});
  }
};
struct LeakyRelu {
  template <class V>
  MF_LOOP V value(V x, V below) {
    return rectified(x, below, false);
  }
  template <class V>
  MF_LOOP V slope(V state, V below) {
    return rectified_slope(state, below);
  }
};
struct Softplus {
  template <class V>
  MF_LOOP V value(V x, V) {
    return (x > 0 ? x : V{}) + vector_log1p(decayed(x));
  }
  template <class V>
  MF_LOOP V slope(V state, V) {
    return -vector_expm1(-state);
  }
};
struct Tanh {
  template <class V>
  MF_LOOP V value(V x, V) {
    return vector_tanh(x);
  }
  template <class V>
  MF_LOOP V slope(V state, V) {
    return (1 - state) * (1 + state);
  }
};
struct Sigmoid {
  template <class V>
  MF_LOOP V value(V x, V) {
    const V e = decayed(x);
    return (x < 0 ? e : V{} + 1) / (1 + e);
  }
  template <class V>
  MF_LOOP V slope(V state, V) {
    return state * (1 - state);
  }
};
struct Erf {
  template <class V>
  MF_LOOP V value(V x, V) {
    return vector_erf(x);
  }
  template <class V>
  MF_LOOP V slope(V x, V) {
    constexpr double two_over_root_pi = 1.1283791670955126;
    return static_cast<decltype(+x[0])>(two_over_root_pi) * vector_exp(-x * x);
  }
};

template <class Kind, class T>
void activate(T* y, const T* z, T scale, T below, int64_t count) {
  const Vector<T> by = broadcast(scale);
  const Vector<T> under = broadcast(below);
  each_vector<T>(count, [=](int64_t i, auto part) {
    store(y + i, Kind::value(by * load(z + i, part), under), part);
  });
}

/// dz = factor s'(scale state) dy, added to dz where `add`.
template <class Kind, class T>
void activation_slope(T* dz, const T* state, const T* dy, T scale, T below, T factor, bool add,
                      int64_t count) {
  const Vector<T> in = broadcast(scale);
  const Vector<T> under = broadcast(below);
  const Vector<T> by = broadcast(factor);
  each_vector<T>(count, [=](int64_t i, auto part) {
    const Vector<T> along = Kind::slope(in * load(state + i, part), under) * load(dy + i, part);
    store(dz + i, add ? fused_lanes<T>(by, along, load(dz + i, part)) : by * along, part);
  });
}

}  // namespace
}  // namespace manyfold::kernels::cpu::MF_ISA
