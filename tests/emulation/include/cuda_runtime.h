// Stand-in for CUDA's cuda_runtime.h under an ordinary C++ compiler: the kernel language
// (qualifiers, built-in variables, barriers, warp operations, atomics, intrinsics) and the C++
// templates around the runtime API. A .cu source that launches its kernels through
// cudaLaunchKernelEx compiles unchanged against this header and against CUDA 13's own.
//
// Qualifiers mostly vanish. __shared__ becomes thread-local storage, because all threads of a block
// are fibers of one operating-system thread; `extern __shared__` has no counterpart, which is why
// dynamic shared memory is reached through emulation::dynamic_shared().
#pragma once

// libstdc++ spells an attribute __noinline__, which CUDA makes a macro: its users come first.
#include <cmath>
#include <cstdint>
#include <memory>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "cuda_runtime_api.h"
#include "emulation/device.hpp"
#include "vector_functions.h"
#include <math.h>

#define __global__
#define __device__
#define __host__
#define __constant__
#define __shared__ static thread_local
#define __grid_constant__
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))

#define EMULATION_HERE \
  ::emulation::detail::Location where = ::emulation::detail::Location::current()

// ---- Barriers, votes and shuffles

inline void __syncthreads(EMULATION_HERE) {
  emulation::detail::block_barrier(emulation::detail::Vote::none, 0, where);
}
inline int __syncthreads_count(int predicate, EMULATION_HERE) {
  return emulation::detail::block_barrier(emulation::detail::Vote::count, predicate, where);
}
inline int __syncthreads_and(int predicate, EMULATION_HERE) {
  return emulation::detail::block_barrier(emulation::detail::Vote::all, predicate, where);
}
inline int __syncthreads_or(int predicate, EMULATION_HERE) {
  return emulation::detail::block_barrier(emulation::detail::Vote::any, predicate, where);
}

inline void __syncwarp(unsigned int mask = 0xffffffffU, EMULATION_HERE) {
  emulation::detail::warp_collective(emulation::detail::WarpOperation::sync, mask, 0, 0, where);
}

#define EMULATION_WARP(operation, mask, value, type)                                             \
  emulation::detail::warp_reduce<type>(emulation::detail::WarpOperation::operation, mask, value, \
                                       where)

inline unsigned int __ballot_sync(unsigned int mask, int predicate, EMULATION_HERE) {
  return EMULATION_WARP(ballot, mask, predicate != 0, unsigned int);
}
inline int __all_sync(unsigned int mask, int predicate, EMULATION_HERE) {
  return EMULATION_WARP(all, mask, predicate != 0, int);
}
inline int __any_sync(unsigned int mask, int predicate, EMULATION_HERE) {
  return EMULATION_WARP(any, mask, predicate != 0, int);
}
// The lanes that happen to run together: here each lane runs alone, which is a legal answer and the
// one that exposes code which takes the result for the lanes of its branch.
inline unsigned int __activemask() { return 1U << emulation::detail::lane_index; }

inline unsigned int __reduce_add_sync(unsigned int mask, unsigned int value, EMULATION_HERE) {
  return EMULATION_WARP(add, mask, value, unsigned int);
}
inline int __reduce_add_sync(unsigned int mask, int value, EMULATION_HERE) {
  return EMULATION_WARP(add, mask, value, int);
}
inline unsigned int __reduce_min_sync(unsigned int mask, unsigned int value, EMULATION_HERE) {
  return EMULATION_WARP(min_unsigned, mask, value, unsigned int);
}
inline int __reduce_min_sync(unsigned int mask, int value, EMULATION_HERE) {
  return EMULATION_WARP(min_signed, mask, value, int);
}
inline unsigned int __reduce_max_sync(unsigned int mask, unsigned int value, EMULATION_HERE) {
  return EMULATION_WARP(max_unsigned, mask, value, unsigned int);
}
inline int __reduce_max_sync(unsigned int mask, int value, EMULATION_HERE) {
  return EMULATION_WARP(max_signed, mask, value, int);
}
inline unsigned int __reduce_and_sync(unsigned int mask, unsigned int value, EMULATION_HERE) {
  return EMULATION_WARP(bit_and, mask, value, unsigned int);
}
inline unsigned int __reduce_or_sync(unsigned int mask, unsigned int value, EMULATION_HERE) {
  return EMULATION_WARP(bit_or, mask, value, unsigned int);
}
inline unsigned int __reduce_xor_sync(unsigned int mask, unsigned int value, EMULATION_HERE) {
  return EMULATION_WARP(bit_xor, mask, value, unsigned int);
}

#define EMULATION_SHUFFLES(T)                                                                  \
  inline T __shfl_sync(unsigned int mask, T value, int lane, int width = 32, EMULATION_HERE) { \
    return emulation::detail::shuffle_index(mask, value, lane, width, where);                  \
  }                                                                                            \
  inline T __shfl_up_sync(unsigned int mask, T value, unsigned int delta, int width = 32,      \
                          EMULATION_HERE) {                                                    \
    return emulation::detail::shuffle_up(mask, value, delta, width, where);                    \
  }                                                                                            \
  inline T __shfl_down_sync(unsigned int mask, T value, unsigned int delta, int width = 32,    \
                            EMULATION_HERE) {                                                  \
    return emulation::detail::shuffle_down(mask, value, delta, width, where);                  \
  }                                                                                            \
  inline T __shfl_xor_sync(unsigned int mask, T value, int lane_mask, int width = 32,          \
                           EMULATION_HERE) {                                                   \
    return emulation::detail::shuffle_xor(mask, value, lane_mask, width, where);               \
  }                                                                                            \
  inline unsigned int __match_any_sync(unsigned int mask, T value, EMULATION_HERE) {           \
    return static_cast<unsigned int>(                                                          \
        emulation::detail::warp_collective(emulation::detail::WarpOperation::match_any, mask,  \
                                           emulation::detail::to_bits(value), 0, where));      \
  }
EMULATION_SHUFFLES(int)
EMULATION_SHUFFLES(unsigned int)
EMULATION_SHUFFLES(long)
EMULATION_SHUFFLES(unsigned long)
EMULATION_SHUFFLES(long long)
EMULATION_SHUFFLES(unsigned long long)
EMULATION_SHUFFLES(float)
EMULATION_SHUFFLES(double)
#undef EMULATION_SHUFFLES
#undef EMULATION_WARP

// ---- Fences. Sequentially consistent, so stronger than a GPU's: a missing fence is not found
// here.

inline void __threadfence() { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
inline void __threadfence_block() { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
inline void __threadfence_system() { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
inline void __nanosleep(unsigned int) { emulation::detail::yield(); }
inline void __trap(EMULATION_HERE) { emulation::detail::trap(where); }

// ---- Atomics: real ones, since blocks run on several operating-system threads

namespace emulation::detail {

template <typename T, typename Update>
T atomic_update(T* address, Update update) {
  T seen;
  __atomic_load(address, &seen, __ATOMIC_RELAXED);
  T wanted = update(seen);
  while (!__atomic_compare_exchange(address, &seen, &wanted, false, __ATOMIC_RELAXED,
                                    __ATOMIC_RELAXED)) {
    wanted = update(seen);
  }
  return seen;
}

template <typename T>
T atomic_exchange(T* address, T value) {
  T before;
  __atomic_exchange(address, &value, &before, __ATOMIC_RELAXED);
  return before;
}

template <typename T>
T atomic_compare_and_swap(T* address, T expected, T value) {
  __atomic_compare_exchange(address, &expected, &value, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
  return expected;
}

}  // namespace emulation::detail

#define EMULATION_ATOMIC_ADD(T, suffix)                                     \
  inline T atomicAdd##suffix(T* address, T value) {                         \
    return emulation::detail::atomic_update(                                \
        address, [value](T seen) { return static_cast<T>(seen + value); }); \
  }
#define EMULATION_ATOMIC_INTEGER(T, suffix)                                \
  inline T atomicMin##suffix(T* address, T value) {                        \
    return emulation::detail::atomic_update(                               \
        address, [value](T seen) { return value < seen ? value : seen; }); \
  }                                                                        \
  inline T atomicMax##suffix(T* address, T value) {                        \
    return emulation::detail::atomic_update(                               \
        address, [value](T seen) { return seen < value ? value : seen; }); \
  }                                                                        \
  inline T atomicAnd##suffix(T* address, T value) {                        \
    return __atomic_fetch_and(address, value, __ATOMIC_RELAXED);           \
  }                                                                        \
  inline T atomicOr##suffix(T* address, T value) {                         \
    return __atomic_fetch_or(address, value, __ATOMIC_RELAXED);            \
  }                                                                        \
  inline T atomicXor##suffix(T* address, T value) {                        \
    return __atomic_fetch_xor(address, value, __ATOMIC_RELAXED);           \
  }
#define EMULATION_ATOMIC_EXCHANGE(T, suffix)                   \
  inline T atomicExch##suffix(T* address, T value) {           \
    return emulation::detail::atomic_exchange(address, value); \
  }
#define EMULATION_ATOMIC_CAS(T, suffix)                                          \
  inline T atomicCAS##suffix(T* address, T expected, T value) {                  \
    return emulation::detail::atomic_compare_and_swap(address, expected, value); \
  }
#define EMULATION_ATOMICS(suffix)                                                        \
  inline int atomicAdd##suffix(int* address, int value) {                                \
    return __atomic_fetch_add(address, value, __ATOMIC_RELAXED);                         \
  }                                                                                      \
  inline unsigned int atomicAdd##suffix(unsigned int* address, unsigned int value) {     \
    return __atomic_fetch_add(address, value, __ATOMIC_RELAXED);                         \
  }                                                                                      \
  inline unsigned long long atomicAdd##suffix(unsigned long long* address,               \
                                              unsigned long long value) {                \
    return __atomic_fetch_add(address, value, __ATOMIC_RELAXED);                         \
  }                                                                                      \
  EMULATION_ATOMIC_ADD(float, suffix)                                                    \
  EMULATION_ATOMIC_ADD(double, suffix)                                                   \
  inline int atomicSub##suffix(int* address, int value) {                                \
    return __atomic_fetch_sub(address, value, __ATOMIC_RELAXED);                         \
  }                                                                                      \
  inline unsigned int atomicSub##suffix(unsigned int* address, unsigned int value) {     \
    return __atomic_fetch_sub(address, value, __ATOMIC_RELAXED);                         \
  }                                                                                      \
  EMULATION_ATOMIC_INTEGER(int, suffix)                                                  \
  EMULATION_ATOMIC_INTEGER(unsigned int, suffix)                                         \
  EMULATION_ATOMIC_INTEGER(long long, suffix)                                            \
  EMULATION_ATOMIC_INTEGER(unsigned long long, suffix)                                   \
  EMULATION_ATOMIC_EXCHANGE(int, suffix)                                                 \
  EMULATION_ATOMIC_EXCHANGE(unsigned int, suffix)                                        \
  EMULATION_ATOMIC_EXCHANGE(unsigned long long, suffix)                                  \
  EMULATION_ATOMIC_EXCHANGE(float, suffix)                                               \
  EMULATION_ATOMIC_CAS(int, suffix)                                                      \
  EMULATION_ATOMIC_CAS(unsigned int, suffix)                                             \
  EMULATION_ATOMIC_CAS(unsigned long long, suffix)                                       \
  inline unsigned int atomicInc##suffix(unsigned int* address, unsigned int limit) {     \
    return emulation::detail::atomic_update(                                             \
        address, [limit](unsigned int seen) { return seen >= limit ? 0U : seen + 1U; }); \
  }                                                                                      \
  inline unsigned int atomicDec##suffix(unsigned int* address, unsigned int limit) {     \
    return emulation::detail::atomic_update(address, [limit](unsigned int seen) {        \
      return seen == 0U || seen > limit ? limit : seen - 1U;                             \
    });                                                                                  \
  }
EMULATION_ATOMICS()
EMULATION_ATOMICS(_block)
EMULATION_ATOMICS(_system)
#undef EMULATION_ATOMICS
#undef EMULATION_ATOMIC_ADD
#undef EMULATION_ATOMIC_INTEGER
#undef EMULATION_ATOMIC_EXCHANGE
#undef EMULATION_ATOMIC_CAS

// ---- Loads and stores with cache hints: the hints vanish

template <typename T>
T __ldg(const T* address) {
  return *address;
}
template <typename T>
T __ldcg(const T* address) {
  return *address;
}
template <typename T>
T __ldcs(const T* address) {
  return *address;
}
template <typename T>
void __stcg(T* address, std::type_identity_t<T> value) {
  *address = value;
}
template <typename T>
void __stcs(T* address, std::type_identity_t<T> value) {
  *address = value;
}

// ---- Integer intrinsics

inline int __popc(unsigned int x) { return __builtin_popcount(x); }
inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
inline int __clz(int x) { return x == 0 ? 32 : __builtin_clz(static_cast<unsigned int>(x)); }
inline int __clzll(long long x) {
  return x == 0 ? 64 : __builtin_clzll(static_cast<unsigned long long>(x));
}
inline int __ffs(int x) { return __builtin_ffs(x); }
inline int __ffsll(long long x) { return __builtin_ffsll(x); }
inline unsigned int __brev(unsigned int x) {
  unsigned int reversed = 0;
  for (int bit = 0; bit < 32; ++bit) reversed |= ((x >> bit) & 1U) << (31 - bit);
  return reversed;
}
inline unsigned int __umulhi(unsigned int a, unsigned int b) {
  return static_cast<unsigned int>((static_cast<unsigned long long>(a) * b) >> 32);
}
inline int __mulhi(int a, int b) { return static_cast<int>((static_cast<long long>(a) * b) >> 32); }
inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
  __extension__ typedef unsigned __int128 Wide;
  return static_cast<unsigned long long>((static_cast<Wide>(a) * b) >> 64);
}
inline long long __mul64hi(long long a, long long b) {
  __extension__ typedef __int128 Wide;
  return static_cast<long long>((static_cast<Wide>(a) * b) >> 64);
}
inline unsigned int __funnelshift_l(unsigned int low, unsigned int high, unsigned int shift) {
  const unsigned long long both = (static_cast<unsigned long long>(high) << 32) | low;
  return static_cast<unsigned int>((both << (shift & 31U)) >> 32);
}
inline unsigned int __funnelshift_r(unsigned int low, unsigned int high, unsigned int shift) {
  const unsigned long long both = (static_cast<unsigned long long>(high) << 32) | low;
  return static_cast<unsigned int>(both >> (shift & 31U));
}

// ---- Bits of floating-point numbers

inline int __float_as_int(float x) {
  return emulation::detail::from_bits<int>(emulation::detail::to_bits(x));
}
inline unsigned int __float_as_uint(float x) {
  return emulation::detail::from_bits<unsigned int>(emulation::detail::to_bits(x));
}
inline float __int_as_float(int x) {
  return emulation::detail::from_bits<float>(emulation::detail::to_bits(x));
}
inline float __uint_as_float(unsigned int x) {
  return emulation::detail::from_bits<float>(emulation::detail::to_bits(x));
}
inline long long __double_as_longlong(double x) {
  return emulation::detail::from_bits<long long>(emulation::detail::to_bits(x));
}
inline double __longlong_as_double(long long x) {
  return emulation::detail::from_bits<double>(emulation::detail::to_bits(x));
}
inline int __double2hiint(double x) {
  return static_cast<int>(static_cast<unsigned int>(emulation::detail::to_bits(x) >> 32));
}
inline int __double2loint(double x) {
  return static_cast<int>(static_cast<unsigned int>(emulation::detail::to_bits(x) & 0xffffffffU));
}
inline double __hiloint2double(int high, int low) {
  return emulation::detail::from_bits<double>(
      (static_cast<std::uint64_t>(static_cast<unsigned int>(high)) << 32) |
      static_cast<unsigned int>(low));
}

// ---- Correctly rounded arithmetic. The results pass through an empty assembly statement because
// g++ may contract a product and a sum into one fused operation, which these forms exist to
// prevent.

namespace emulation::detail {
template <typename T>
T uncontracted(T x) {
#if defined(__x86_64__)
  __asm__("" : "+x"(x));
#elif defined(__aarch64__)
  __asm__("" : "+w"(x));
#else
  __asm__("" : "+m"(x));
#endif
  return x;
}
}  // namespace emulation::detail

inline double __fma_rn(double a, double b, double c) { return std::fma(a, b, c); }
inline float __fmaf_rn(float a, float b, float c) { return std::fma(a, b, c); }
inline double __dadd_rn(double a, double b) { return emulation::detail::uncontracted(a + b); }
inline double __dsub_rn(double a, double b) { return emulation::detail::uncontracted(a - b); }
inline double __dmul_rn(double a, double b) { return emulation::detail::uncontracted(a * b); }
inline double __ddiv_rn(double a, double b) { return a / b; }
inline double __dsqrt_rn(double a) { return std::sqrt(a); }
inline double __drcp_rn(double a) { return 1.0 / a; }
inline float __fadd_rn(float a, float b) { return emulation::detail::uncontracted(a + b); }
inline float __fsub_rn(float a, float b) { return emulation::detail::uncontracted(a - b); }
inline float __fmul_rn(float a, float b) { return emulation::detail::uncontracted(a * b); }
inline float __fdiv_rn(float a, float b) { return a / b; }
inline float __fsqrt_rn(float a) { return std::sqrt(a); }
inline float __frcp_rn(float a) { return 1.0F / a; }
inline float __frsqrt_rn(float a) {
  return static_cast<float>(1.0 / std::sqrt(static_cast<double>(a)));
}

inline float __int2float_rn(int x) { return static_cast<float>(x); }
inline float __uint2float_rn(unsigned int x) { return static_cast<float>(x); }
inline double __uint2double_rn(unsigned int x) { return static_cast<double>(x); }
inline double __ull2double_rn(unsigned long long x) { return static_cast<double>(x); }
inline double __ll2double_rn(long long x) { return static_cast<double>(x); }
inline int __float2int_rn(float x) { return static_cast<int>(std::nearbyint(x)); }
inline int __float2int_rz(float x) { return static_cast<int>(x); }
inline int __double2int_rn(double x) { return static_cast<int>(std::nearbyint(x)); }
inline int __double2int_rz(double x) { return static_cast<int>(x); }
inline float __double2float_rn(double x) { return static_cast<float>(x); }

// ---- Functions that CUDA adds to <cmath>

inline double rsqrt(double x) { return 1.0 / std::sqrt(x); }
inline float rsqrt(float x) { return 1.0F / std::sqrt(x); }
inline float rsqrtf(float x) { return 1.0F / std::sqrt(x); }
inline double rcbrt(double x) { return 1.0 / std::cbrt(x); }
inline double normcdf(double x) { return 0.5 * std::erfc(-x * 0.70710678118654752440); }
inline float normcdff(float x) { return 0.5F * std::erfc(-x * 0.70710678118654752440F); }

namespace emulation::detail {
// sin(pi x) and cos(pi x) with the argument reduced exactly, so that integers and half integers
// give exact results as on a GPU.
template <typename T>
void sine_cosine_pi(T x, T* sine, T* cosine) {
  constexpr T pi = static_cast<T>(3.14159265358979323846L);
  const T quarter_turns = std::nearbyint(x + x);
  const T rest = std::fma(quarter_turns, static_cast<T>(-0.5), x) * pi;
  const T s = std::sin(rest);
  const T c = std::cos(rest);
  const T turn = quarter_turns - static_cast<T>(4) * std::floor(quarter_turns / static_cast<T>(4));
  if (turn == static_cast<T>(0)) {
    *sine = s;
    *cosine = c;
  } else if (turn == static_cast<T>(1)) {
    *sine = c;
    *cosine = static_cast<T>(0) - s;
  } else if (turn == static_cast<T>(2)) {
    *sine = static_cast<T>(0) - s;
    *cosine = static_cast<T>(0) - c;
  } else {
    *sine = static_cast<T>(0) - c;
    *cosine = s;
  }
}
}  // namespace emulation::detail

inline void sincospi(double x, double* sine, double* cosine) {
  emulation::detail::sine_cosine_pi(x, sine, cosine);
}
inline void sincospif(float x, float* sine, float* cosine) {
  emulation::detail::sine_cosine_pi(x, sine, cosine);
}
inline double sinpi(double x) {
  double sine, cosine;
  sincospi(x, &sine, &cosine);
  return sine;
}
inline double cospi(double x) {
  double sine, cosine;
  sincospi(x, &sine, &cosine);
  return cosine;
}
inline float sinpif(float x) {
  float sine, cosine;
  sincospif(x, &sine, &cosine);
  return sine;
}
inline float cospif(float x) {
  float sine, cosine;
  sincospif(x, &sine, &cosine);
  return cosine;
}
inline float fdividef(float a, float b) { return a / b; }
inline float __fdividef(float a, float b) { return a / b; }
inline float __saturatef(float x) { return x > 0.0F ? (x < 1.0F ? x : 1.0F) : 0.0F; }

// Fast approximations become the accurate functions; macros, because the C library declares (but
// does not define) functions of these names.
#define __expf ::expf
#define __exp10f ::exp10f
#define __logf ::logf
#define __log2f ::log2f
#define __log10f ::log10f
#define __sinf ::sinf
#define __cosf ::cosf
#define __tanf ::tanf
#define __sincosf ::sincosf
#define __powf ::powf

#define EMULATION_MIN_MAX(T, A, B)                                                        \
  inline T min(A a, B b) {                                                                \
    return static_cast<T>(b) < static_cast<T>(a) ? static_cast<T>(b) : static_cast<T>(a); \
  }                                                                                       \
  inline T max(A a, B b) {                                                                \
    return static_cast<T>(a) < static_cast<T>(b) ? static_cast<T>(b) : static_cast<T>(a); \
  }
EMULATION_MIN_MAX(int, int, int)
EMULATION_MIN_MAX(unsigned int, unsigned int, unsigned int)
EMULATION_MIN_MAX(unsigned int, int, unsigned int)
EMULATION_MIN_MAX(unsigned int, unsigned int, int)
EMULATION_MIN_MAX(long, long, long)
EMULATION_MIN_MAX(unsigned long, unsigned long, unsigned long)
EMULATION_MIN_MAX(unsigned long, long, unsigned long)
EMULATION_MIN_MAX(unsigned long, unsigned long, long)
EMULATION_MIN_MAX(long long, long long, long long)
EMULATION_MIN_MAX(unsigned long long, unsigned long long, unsigned long long)
EMULATION_MIN_MAX(unsigned long long, long long, unsigned long long)
EMULATION_MIN_MAX(unsigned long long, unsigned long long, long long)
#undef EMULATION_MIN_MAX
inline float min(float a, float b) { return std::fmin(a, b); }
inline float max(float a, float b) { return std::fmax(a, b); }
inline double min(double a, double b) { return std::fmin(a, b); }
inline double max(double a, double b) { return std::fmax(a, b); }
inline double min(float a, double b) { return std::fmin(static_cast<double>(a), b); }
inline double max(float a, double b) { return std::fmax(static_cast<double>(a), b); }
inline double min(double a, float b) { return std::fmin(a, static_cast<double>(b)); }
inline double max(double a, float b) { return std::fmax(a, static_cast<double>(b)); }

namespace emulation::detail {
long long clock_ticks();
}
inline long long clock64() { return emulation::detail::clock_ticks(); }

// ---- Launches

namespace emulation::detail {

// A kernel with its arguments, copied at the launch as CUDA copies them. Called once per thread.
class KernelCall {
 public:
  virtual ~KernelCall() = default;
  virtual void operator()() const = 0;
};

template <typename... Parameters>
class BoundKernel final : public KernelCall {
 public:
  BoundKernel(void (*kernel)(Parameters...), Parameters... arguments)
      : kernel_(kernel), arguments_(arguments...) {}
  void operator()() const override {
    std::apply([this](const auto&... argument) { kernel_(argument...); }, arguments_);
  }

 private:
  void (*kernel_)(Parameters...);
  std::tuple<Parameters...> arguments_;
};

// Pointer arguments, so that a pointer to host memory is reported at the launch: nothing else could
// find it here, where kernels can read all of the process.
template <typename T>
void collect_pointer(std::vector<const void*>& pointers, const T& argument) {
  if constexpr (std::is_pointer_v<T>) {
    if constexpr (!std::is_function_v<std::remove_pointer_t<T>>) {
      pointers.push_back(const_cast<const void*>(static_cast<const volatile void*>(argument)));
    }
  }
}

cudaError_t launch(const cudaLaunchConfig_t* config, const void* function,
                   std::shared_ptr<const KernelCall> call,
                   const std::vector<const void*>& pointers);

}  // namespace emulation::detail

template <typename... ExpTypes, typename... ActTypes>
inline cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(ExpTypes...),
                                      ActTypes&&... args) {
  return [&](ExpTypes... coerced) {
    std::vector<const void*> pointers;
    (emulation::detail::collect_pointer(pointers, coerced), ...);
    return emulation::detail::launch(
        config, reinterpret_cast<const void*>(kernel),
        std::make_shared<emulation::detail::BoundKernel<ExpTypes...>>(kernel, coerced...),
        pointers);
  }(std::forward<ActTypes>(args)...);
}

// The forms that take an array of pointers to the arguments.
template <typename... Parameters>
inline cudaError_t cudaLaunchKernel(void (*func)(Parameters...), dim3 grid, dim3 block, void** args,
                                    size_t sharedMem = 0, cudaStream_t stream = nullptr) {
  cudaLaunchConfig_t config{grid, block, sharedMem, stream, nullptr, 0};
  return [&]<std::size_t... I>(std::index_sequence<I...>) {
    return cudaLaunchKernelEx(&config, func, *static_cast<Parameters*>(args[I])...);
  }
  (std::index_sequence_for<Parameters...>{});
}

template <typename... Parameters>
inline cudaError_t cudaLaunchCooperativeKernel(void (*func)(Parameters...), dim3 grid, dim3 block,
                                               void** args, size_t sharedMem = 0,
                                               cudaStream_t stream = nullptr) {
  cudaLaunchAttribute cooperative{};
  cooperative.id = cudaLaunchAttributeCooperative;
  cooperative.val.cooperative = 1;
  cudaLaunchConfig_t config{grid, block, sharedMem, stream, &cooperative, 1};
  return [&]<std::size_t... I>(std::index_sequence<I...>) {
    return cudaLaunchKernelEx(&config, func, *static_cast<Parameters*>(args[I])...);
  }
  (std::index_sequence_for<Parameters...>{});
}

// ---- C++ overloads of the C functions

inline cudaError_t cudaEventCreate(cudaEvent_t* event, unsigned int flags) {
  return cudaEventCreateWithFlags(event, flags);
}
inline cudaError_t cudaMallocHost(void** ptr, size_t size, unsigned int flags) {
  return cudaHostAlloc(ptr, size, flags);
}
template <typename T>
inline cudaError_t cudaMalloc(T** devPtr, size_t size) {
  return ::cudaMalloc(reinterpret_cast<void**>(devPtr), size);
}
template <typename T>
inline cudaError_t cudaMallocHost(T** ptr, size_t size, unsigned int flags = 0) {
  return ::cudaHostAlloc(reinterpret_cast<void**>(ptr), size, flags);
}
template <typename T>
inline cudaError_t cudaHostAlloc(T** ptr, size_t size, unsigned int flags) {
  return ::cudaHostAlloc(reinterpret_cast<void**>(ptr), size, flags);
}
template <typename T>
inline cudaError_t cudaHostGetDevicePointer(T** pDevice, void* pHost, unsigned int flags) {
  return ::cudaHostGetDevicePointer(reinterpret_cast<void**>(pDevice), pHost, flags);
}
template <typename T>
inline cudaError_t cudaMallocPitch(T** devPtr, size_t* pitch, size_t width, size_t height) {
  return ::cudaMallocPitch(reinterpret_cast<void**>(devPtr), pitch, width, height);
}
template <typename T>
inline cudaError_t cudaMallocAsync(T** ptr, size_t size, cudaStream_t stream) {
  return ::cudaMallocAsync(reinterpret_cast<void**>(ptr), size, stream);
}
inline cudaError_t cudaMallocAsync(void** ptr, size_t size, cudaMemPool_t memPool,
                                   cudaStream_t stream) {
  return ::cudaMallocFromPoolAsync(ptr, size, memPool, stream);
}
template <typename T>
inline cudaError_t cudaMallocAsync(T** ptr, size_t size, cudaMemPool_t memPool,
                                   cudaStream_t stream) {
  return ::cudaMallocFromPoolAsync(reinterpret_cast<void**>(ptr), size, memPool, stream);
}
template <typename T>
inline cudaError_t cudaMemcpyToSymbol(const T& symbol, const void* src, size_t count,
                                      size_t offset = 0,
                                      enum cudaMemcpyKind kind = cudaMemcpyHostToDevice) {
  return ::cudaMemcpyToSymbol(static_cast<const void*>(&symbol), src, count, offset, kind);
}
template <typename T>
inline cudaError_t cudaMemcpyToSymbolAsync(const T& symbol, const void* src, size_t count,
                                           size_t offset = 0,
                                           enum cudaMemcpyKind kind = cudaMemcpyHostToDevice,
                                           cudaStream_t stream = nullptr) {
  return ::cudaMemcpyToSymbolAsync(static_cast<const void*>(&symbol), src, count, offset, kind,
                                   stream);
}
template <typename T>
inline cudaError_t cudaMemcpyFromSymbol(void* dst, const T& symbol, size_t count, size_t offset = 0,
                                        enum cudaMemcpyKind kind = cudaMemcpyDeviceToHost) {
  return ::cudaMemcpyFromSymbol(dst, static_cast<const void*>(&symbol), count, offset, kind);
}
template <typename T>
inline cudaError_t cudaMemcpyFromSymbolAsync(void* dst, const T& symbol, size_t count,
                                             size_t offset = 0,
                                             enum cudaMemcpyKind kind = cudaMemcpyDeviceToHost,
                                             cudaStream_t stream = nullptr) {
  return ::cudaMemcpyFromSymbolAsync(dst, static_cast<const void*>(&symbol), count, offset, kind,
                                     stream);
}
template <typename T>
inline cudaError_t cudaGetSymbolAddress(void** devPtr, const T& symbol) {
  return ::cudaGetSymbolAddress(devPtr, static_cast<const void*>(&symbol));
}
template <typename T>
inline cudaError_t cudaFuncSetAttribute(T* func, enum cudaFuncAttribute attr, int value) {
  return ::cudaFuncSetAttribute(reinterpret_cast<const void*>(func), attr, value);
}
template <typename T>
inline cudaError_t cudaFuncGetAttributes(struct cudaFuncAttributes* attr, T* entry) {
  return ::cudaFuncGetAttributes(attr, reinterpret_cast<const void*>(entry));
}
template <typename T>
inline cudaError_t cudaFuncSetCacheConfig(T* func, enum cudaFuncCache cacheConfig) {
  return ::cudaFuncSetCacheConfig(reinterpret_cast<const void*>(func), cacheConfig);
}
template <typename T>
inline cudaError_t cudaFuncGetName(const char** name, T* func) {
  return ::cudaFuncGetName(name, reinterpret_cast<const void*>(func));
}
template <typename T>
inline cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* numBlocks, T func,
                                                                 int blockSize,
                                                                 size_t dynamicSMemSize) {
  return ::cudaOccupancyMaxActiveBlocksPerMultiprocessor(
      numBlocks, reinterpret_cast<const void*>(func), blockSize, dynamicSMemSize);
}
template <typename T>
inline cudaError_t cudaOccupancyAvailableDynamicSMemPerBlock(size_t* dynamicSmemSize, T* func,
                                                             int numBlocks, int blockSize) {
  return ::cudaOccupancyAvailableDynamicSMemPerBlock(
      dynamicSmemSize, reinterpret_cast<const void*>(func), numBlocks, blockSize);
}
// The emulated device has no register limit, so the largest block that fits is the largest legal
// one.
template <typename T>
inline cudaError_t cudaOccupancyMaxPotentialBlockSize(int* minGridSize, int* blockSize, T func,
                                                      size_t dynamicSMemSize = 0,
                                                      int blockSizeLimit = 0) {
  *blockSize = blockSizeLimit > 0 && blockSizeLimit < 1024 ? blockSizeLimit : 1024;
  int blocks = 0;
  const cudaError_t error =
      cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, func, *blockSize, dynamicSMemSize);
  int processors = 0;
  if (error == cudaSuccess) {
    const cudaError_t query =
        ::cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, 0);
    if (query != cudaSuccess) return query;
  }
  *minGridSize = blocks * processors;
  return error;
}
