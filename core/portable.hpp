// What lets one formula stand in host and device code, and give the same bits in both.
#pragma once

/// Before a function of host and device code that calls what it is given, which is one or the
/// other.
#if defined(__CUDACC__)
#define MF_CALLS_EITHER _Pragma("nv_exec_check_disable")
#else
#define MF_CALLS_EITHER
#endif

#if defined(__CUDACC__)
#define MF_FN __host__ __device__ inline
#define MF_KERNEL __device__
#elif defined(MF_ISA)
// A source compiled once per instruction set (kernels/cpu/loops/): its functions must stay its own,
// or the linker could hand the AVX-512 copy of a shared inline function to a processor without it.
#define MF_FN [[maybe_unused]] static inline
#define MF_KERNEL
#else
#define MF_FN inline
#define MF_KERNEL
#endif
