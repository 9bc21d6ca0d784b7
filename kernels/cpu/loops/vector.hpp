// Vectors of the instruction set that this file is being compiled for (see kernels/cpu/loops.hpp):
// GCC's vector types for arithmetic, and the few things those lack: fused multiply-add, square
// roots, and loads and stores of the first elements only.
#pragma once

#include <stdint.h>

#if defined(__AVX512F__) || defined(__AVX2__)
// GCC 12 warns of what its own header leaves undefined on purpose.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#include <immintrin.h>
#pragma GCC diagnostic pop
#endif

#if !defined(MF_ISA)
#error "define MF_ISA: the namespace of this instruction set"
#endif

namespace manyfold::kernels::cpu::MF_ISA {
namespace {

#if defined(__AVX512F__)
constexpr int vector_bytes = 64;
#elif defined(__AVX2__)
constexpr int vector_bytes = 32;
#else
constexpr int vector_bytes = 16;
#endif

#define MF_LOOP [[maybe_unused, gnu::always_inline]] static inline

template <class T>
struct Vectors;
template <>
struct Vectors<double> {
  typedef double type __attribute__((vector_size(vector_bytes)));
  typedef double unaligned __attribute__((vector_size(vector_bytes), aligned(8), may_alias));
};
template <>
struct Vectors<float> {
  typedef float type __attribute__((vector_size(vector_bytes)));
  typedef float unaligned __attribute__((vector_size(vector_bytes), aligned(4), may_alias));
};
template <class T>
using Vector = typename Vectors<T>::type;
template <class T>
constexpr int width = vector_bytes / static_cast<int>(sizeof(T));

template <class T>
MF_LOOP Vector<T> load(const T* p) {
  return *reinterpret_cast<const typename Vectors<T>::unaligned*>(p);
}
template <class T>
MF_LOOP void store(T* p, Vector<T> v) {
  *reinterpret_cast<typename Vectors<T>::unaligned*>(p) = v;
}
template <class T>
MF_LOOP Vector<T> broadcast(T x) {
  return x - Vector<T>{};  // x - 0 keeps every x, the sign of zero included
}

/// What comparing vectors of doubles gives: all ones, or zero.
typedef int64_t Marks __attribute__((vector_size(vector_bytes)));
MF_LOOP bool any(Marks marks) {
#if defined(__AVX512F__)
  return _mm512_test_epi64_mask(reinterpret_cast<__m512i>(marks),
                                reinterpret_cast<__m512i>(marks)) != 0;
#elif defined(__AVX2__)
  return _mm256_movemask_pd(reinterpret_cast<__m256d>(marks)) != 0;
#else
  return (marks[0] | marks[1]) != 0;
#endif
}

#if defined(__AVX512F__)

MF_LOOP Vector<double> fma(Vector<double> a, Vector<double> b, Vector<double> c) {
  return _mm512_fmadd_pd(a, b, c);
}
MF_LOOP Vector<float> fma(Vector<float> a, Vector<float> b, Vector<float> c) {
  return _mm512_fmadd_ps(a, b, c);
}

MF_LOOP Vector<double> square_root(Vector<double> x) { return _mm512_sqrt_pd(x); }
MF_LOOP Vector<float> square_root(Vector<float> x) { return _mm512_sqrt_ps(x); }

/// The first `count` elements, 0 <= count <= width.
template <class T>
struct First;
template <>
struct First<double> {
  __mmask8 mask;
  MF_LOOP First of(int64_t count) { return {static_cast<__mmask8>((1u << count) - 1)}; }
};
template <>
struct First<float> {
  __mmask16 mask;
  MF_LOOP First of(int64_t count) { return {static_cast<__mmask16>((1u << count) - 1)}; }
};
MF_LOOP Vector<double> load(const double* p, First<double> first) {
  return _mm512_maskz_loadu_pd(first.mask, p);
}
MF_LOOP Vector<float> load(const float* p, First<float> first) {
  return _mm512_maskz_loadu_ps(first.mask, p);
}
MF_LOOP void store(double* p, Vector<double> v, First<double> first) {
  _mm512_mask_storeu_pd(p, first.mask, v);
}
MF_LOOP void store(float* p, Vector<float> v, First<float> first) {
  _mm512_mask_storeu_ps(p, first.mask, v);
}

// The first half or quarter of a vector, the rest zero.
MF_LOOP Vector<double> load_half(const double* p) {
  return _mm512_zextpd256_pd512(_mm256_loadu_pd(p));
}
MF_LOOP Vector<float> load_half(const float* p) {
  return _mm512_zextps256_ps512(_mm256_loadu_ps(p));
}
MF_LOOP Vector<double> load_quarter(const double* p) {
  return _mm512_zextpd128_pd512(_mm_loadu_pd(p));
}
MF_LOOP Vector<float> load_quarter(const float* p) {
  return _mm512_zextps128_ps512(_mm_loadu_ps(p));
}
MF_LOOP void store_half(double* p, Vector<double> v) {
  _mm256_storeu_pd(p, _mm512_castpd512_pd256(v));
}
MF_LOOP void store_half(float* p, Vector<float> v) {
  _mm256_storeu_ps(p, _mm512_castps512_ps256(v));
}
MF_LOOP void store_quarter(double* p, Vector<double> v) {
  _mm_storeu_pd(p, _mm512_castpd512_pd128(v));
}
MF_LOOP void store_quarter(float* p, Vector<float> v) {
  _mm_storeu_ps(p, _mm512_castps512_ps128(v));
}

#elif defined(__AVX2__)

MF_LOOP Vector<double> fma(Vector<double> a, Vector<double> b, Vector<double> c) {
  return _mm256_fmadd_pd(a, b, c);
}
MF_LOOP Vector<float> fma(Vector<float> a, Vector<float> b, Vector<float> c) {
  return _mm256_fmadd_ps(a, b, c);
}
MF_LOOP Vector<double> square_root(Vector<double> x) { return _mm256_sqrt_pd(x); }
MF_LOOP Vector<float> square_root(Vector<float> x) { return _mm256_sqrt_ps(x); }

template <class T>
struct First {
  __m256i mask;
  /// A window on ones followed by zeros.
  MF_LOOP First of(int64_t count) {
    static const int32_t ones[16] = {-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0};
    const int64_t words = static_cast<int64_t>(sizeof(T) / 4);
    return {
        _mm256_loadu_si256(reinterpret_cast<const __m256i*>(ones + words * (width<T> - count)))};
  }
};
MF_LOOP Vector<double> load(const double* p, First<double> first) {
  return _mm256_maskload_pd(p, first.mask);
}
MF_LOOP Vector<float> load(const float* p, First<float> first) {
  return _mm256_maskload_ps(p, first.mask);
}
MF_LOOP void store(double* p, Vector<double> v, First<double> first) {
  _mm256_maskstore_pd(p, first.mask, v);
}
MF_LOOP void store(float* p, Vector<float> v, First<float> first) {
  _mm256_maskstore_ps(p, first.mask, v);
}

MF_LOOP Vector<double> load_half(const double* p) {
  return _mm256_zextpd128_pd256(_mm_loadu_pd(p));
}
MF_LOOP Vector<float> load_half(const float* p) { return _mm256_zextps128_ps256(_mm_loadu_ps(p)); }
MF_LOOP Vector<double> load_quarter(const double* p) {
  return _mm256_zextpd128_pd256(_mm_load_sd(p));
}
MF_LOOP Vector<float> load_quarter(const float* p) {
  return _mm256_zextps128_ps256(
      _mm_castsi128_ps(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
}
MF_LOOP void store_half(double* p, Vector<double> v) {
  _mm_storeu_pd(p, _mm256_castpd256_pd128(v));
}
MF_LOOP void store_half(float* p, Vector<float> v) { _mm_storeu_ps(p, _mm256_castps256_ps128(v)); }
MF_LOOP void store_quarter(double* p, Vector<double> v) {
  _mm_store_sd(p, _mm256_castpd256_pd128(v));
}
MF_LOOP void store_quarter(float* p, Vector<float> v) {
  _mm_storel_epi64(reinterpret_cast<__m128i*>(p), _mm_castps_si128(_mm256_castps256_ps128(v)));
}

#else

template <class V>
MF_LOOP V fma(V a, V b, V c) {
  return a * b + c;  // two roundings: this instruction set has no fused one
}

template <class T>
struct First {
  int64_t count;
  MF_LOOP First of(int64_t count) { return {count}; }
};
template <class T>
MF_LOOP Vector<T> load(const T* p, First<T> first) {
  Vector<T> v{};
  for (int i = 0; i < width<T>; ++i) {
    if (i < first.count) v[i] = p[i];
  }
  return v;
}
template <class T>
MF_LOOP void store(T* p, Vector<T> v, First<T> first) {
  for (int i = 0; i < width<T>; ++i) {
    if (i < first.count) p[i] = v[i];
  }
}

// Not used with vectors this short.
template <class T>
MF_LOOP Vector<T> load_half(const T* p) {
  return load(p, First<T>::of(width<T> / 2));
}
template <class T>
MF_LOOP Vector<T> load_quarter(const T* p) {
  return load(p, First<T>::of(width<T> / 4));
}
template <class T>
MF_LOOP void store_half(T* p, Vector<T> v) {
  store(p, v, First<T>::of(width<T> / 2));
}
template <class T>
MF_LOOP void store_quarter(T* p, Vector<T> v) {
  store(p, v, First<T>::of(width<T> / 4));
}

#endif

}  // namespace
}  // namespace manyfold::kernels::cpu::MF_ISA
