// Kernels for the tests of the emulator, in plain CUDA C++: nvcc compiles this file as well, which
// is what makes results on the emulated device say something about a real one. The kernels whose
// names begin with `broken` carry one planted fault each.
#pragma once

#include <cooperative_groups.h>
#include <cooperative_groups/reduce.h>
#include <cuda_runtime.h>

namespace emulation_tests {

#ifdef __CUDACC__
__device__ inline unsigned char* block_memory() {
  extern __shared__ __align__(16) unsigned char bytes[];
  return bytes;
}
#else
inline unsigned char* block_memory() { return emulation::dynamic_shared(); }
#endif

constexpr int tile = 16;

// C = A B for n x n row-major matrices, one product per blockIdx.z. Leaving out one of the two
// barriers is the classical race; the arguments do so.
template <bool barrier_after_load, bool barrier_after_use>
[[maybe_unused]] static __global__ void multiply_tiled(const float* a, const float* b, float* c,
                                                       int n) {
  __shared__ float left[tile][tile + 1];
  __shared__ float right[tile][tile + 1];
  const long offset = static_cast<long>(blockIdx.z) * n * n;
  const int tx = static_cast<int>(threadIdx.x);
  const int ty = static_cast<int>(threadIdx.y);
  const int row = static_cast<int>(blockIdx.y) * tile + ty;
  const int column = static_cast<int>(blockIdx.x) * tile + tx;
  float sum = 0.0F;
  for (int begin = 0; begin < n; begin += tile) {
    left[ty][tx] = row < n && begin + tx < n ? a[offset + row * n + begin + tx] : 0.0F;
    right[ty][tx] = begin + ty < n && column < n ? b[offset + (begin + ty) * n + column] : 0.0F;
    if (barrier_after_load) __syncthreads();
#pragma unroll
    for (int k = 0; k < tile; ++k) sum += left[ty][k] * right[k][tx];
    if (barrier_after_use) __syncthreads();
  }
  if (row < n && column < n) c[offset + row * n + column] = sum;
}

template <typename T>
__device__ __forceinline__ T warp_sum(T value) {
  for (int distance = 16; distance > 0; distance /= 2) {
    value += __shfl_down_sync(0xffffffffU, value, static_cast<unsigned int>(distance));
  }
  return value;
}

// sums[b] = sum of block b's chunk, by shuffles and then shared memory.
template <typename T>
[[maybe_unused]] static __global__ void sum_chunks(const T* values, T* sums, int count) {
  __shared__ T partial[32];
  const int thread = static_cast<int>(threadIdx.x);
  T sum = T(0);
  for (int i = static_cast<int>(blockIdx.x * blockDim.x) + thread; i < count;
       i += static_cast<int>(gridDim.x * blockDim.x)) {
    sum += values[i];
  }
  sum = warp_sum(sum);
  if (thread % warpSize == 0) partial[thread / warpSize] = sum;
  __syncthreads();
  if (thread < warpSize) {
    const int warps = static_cast<int>(blockDim.x) / warpSize;
    sum = warp_sum(thread < warps ? partial[thread] : T(0));
    if (thread == 0) sums[blockIdx.x] = sum;
  }
}

[[maybe_unused]] static __global__ void histogram(const int* values, unsigned int* bins,
                                                  int bin_count, int count) {
  unsigned int* local = reinterpret_cast<unsigned int*>(block_memory());
  for (int i = static_cast<int>(threadIdx.x); i < bin_count; i += static_cast<int>(blockDim.x)) {
    local[i] = 0;
  }
  __syncthreads();
  for (int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x); i < count;
       i += static_cast<int>(gridDim.x * blockDim.x)) {
    atomicAdd(&local[values[i]], 1U);
  }
  __syncthreads();
  for (int i = static_cast<int>(threadIdx.x); i < bin_count; i += static_cast<int>(blockDim.x)) {
    atomicAdd(&bins[i], local[i]);
  }
}

struct AtomicResults {
  int sum;
  unsigned int maximum;
  int minimum;
  unsigned int bits;
  unsigned long long wide;
  float total;
  double precise;
  int claimed;  // by exactly one thread
  int winners;
};

[[maybe_unused]] static __global__ void use_atomics(AtomicResults* results) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  atomicAdd(&results->sum, i);
  atomicMax(&results->maximum, static_cast<unsigned int>(i));
  atomicMin(&results->minimum, -i);
  atomicOr(&results->bits, 1U << (i % 32));
  atomicAdd(&results->wide, 1ULL << 33);
  atomicAdd(&results->total, 0.5F);
  atomicAdd(&results->precise, 0.25);
  if (atomicCAS(&results->claimed, -1, i) == -1) atomicAdd(&results->winners, 1);
}

// Every warp operation once; results[op * blockDim.x + thread].
[[maybe_unused]] static __global__ void use_warp_operations(int* results) {
  const int thread = static_cast<int>(threadIdx.x);
  const int threads = static_cast<int>(blockDim.x);
  const int lane = thread % warpSize;
  const unsigned int all = 0xffffffffU;
  int op = 0;
  const auto put = [&](int value) { results[op++ * threads + thread] = value; };
  put(static_cast<int>(__ballot_sync(all, lane % 3 == 0)));
  put(__any_sync(all, lane == 7));
  put(__all_sync(all, lane != 7));
  put(__shfl_sync(all, lane * 10, 5));
  put(__shfl_sync(all, lane * 10, 5, 8));
  put(__shfl_up_sync(all, lane, 3));
  put(__shfl_down_sync(all, lane, 3, 16));
  put(__shfl_xor_sync(all, lane, 6));
  put(__reduce_add_sync(all, lane));
  put(__reduce_min_sync(all, lane - 5));
  put(static_cast<int>(__reduce_max_sync(all, static_cast<unsigned int>(lane))));
  put(static_cast<int>(__match_any_sync(all, lane / 4)));
  // Half warps on their own: the halves need not meet.
  const unsigned int half = lane < 16 ? 0x0000ffffU : 0xffff0000U;
  if (lane < 16) {
    put(__shfl_xor_sync(half, lane, 1));
  } else {
    put(__shfl_xor_sync(half, lane, 2));
  }
  put(__syncthreads_count(thread % 2));
  put(__syncthreads_and(thread < threads));
  put(__syncthreads_or(thread == 3));
}

struct Triple {
  double a;
  float b;
  int c;
};

// Sums over tiles of eight, and a structure passed around a tile; the grid is one block.
[[maybe_unused]] static __global__ void use_groups(int* sums, double* passed) {
  const auto block = cooperative_groups::this_thread_block();
  const auto octet = cooperative_groups::tiled_partition<8>(block);
  const int rank = static_cast<int>(block.thread_rank());
  int sum = rank;
  for (unsigned int distance = 4; distance > 0; distance /= 2) sum += octet.shfl_xor(sum, distance);
  sum += 1000 * cooperative_groups::reduce(octet, rank, cooperative_groups::greater<int>());
  sum += 1000000 * static_cast<int>(octet.ballot(octet.thread_rank() < 2));
  sums[rank] = sum;
  const Triple mine{rank + 0.5, 0.25F, 2 * rank};
  const Triple other = octet.shfl(mine, 3);
  passed[rank] = other.a + static_cast<double>(other.b) + other.c;
  cooperative_groups::this_grid().sync();
  octet.sync();
  block.sync();
}

// Coordinates of every thread of a 3D grid of 3D blocks.
[[maybe_unused]] static __global__ void write_coordinates(int* out) {
  const unsigned int thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
  const unsigned int block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
  const unsigned int threads = blockDim.x * blockDim.y * blockDim.z;
  out[block * threads + thread] = static_cast<int>(block * 1000 + thread);
}

[[maybe_unused]] static __global__ void intrinsics(double* out) {
  int i = 0;
  const auto put = [&](double value) { out[i++] = value; };
  put(__popc(0xf0f0U));
  put(__popcll(0xffULL << 40));
  put(__clz(1));
  put(__ffs(8));
  put(__brev(1U) == 0x80000000U);
  put(__umulhi(0x80000000U, 6U));
  put(static_cast<double>(__umul64hi(1ULL << 63, 6ULL)));
  put(__fma_rn(2.0, 3.0, 4.0));
  put(__dadd_rn(__dmul_rn(0.1, 0.1), 1.0));
  put(__longlong_as_double(__double_as_longlong(1.5)));
  put(__int_as_float(__float_as_int(2.5F)));
  put(__double2hiint(1.0) == 0x3ff00000);
  put(rsqrt(4.0));
  put(static_cast<double>(rsqrtf(16.0F)));
  put(min(3, 4) + max(3U, 4U) + min(1.5, 2.5) + static_cast<double>(max(1.0F, 2.0F)));
  double sine = 0.0;
  double cosine = 0.0;
  sincospi(0.5, &sine, &cosine);
  put(sine);
  put(cosine);
  sincospi(1.0, &sine, &cosine);
  put(sine);
  put(cosine);
  const float4 four = make_float4(1.0F, 2.0F, 3.0F, 4.0F);
  put(static_cast<double>(four.x + four.y + four.z + four.w));
  put(static_cast<double>(sizeof(double2)) + static_cast<double>(alignof(float4)));
}

static __constant__ float scale_factors[4];

[[maybe_unused]] static __global__ void scale_by_constant(float* values, int count) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < count) values[i] *= scale_factors[i % 4];
}

[[maybe_unused]] static __global__ void fill(float* values, float value, int count) {
  for (int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x); i < count;
       i += static_cast<int>(gridDim.x * blockDim.x)) {
    values[i] = value;
  }
}

[[maybe_unused]] static __global__ void add(float* to, const float* from, float factor, int count) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < count) to[i] += factor * from[i];
}

struct Affine {
  const float* in;
  float* out;
  float slope;
  float offset;
};

// A structure passed by value, changed by the threads: each has its own copy.
[[maybe_unused]] static __global__ void apply_affine(Affine f, int count) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  f.offset += static_cast<float>(i);
  if (i < count) f.out[i] = f.slope * f.in[i] + f.offset;
}

// The threads below `limit` meet at a barrier that the others never reach.
[[maybe_unused]] static __global__ void broken_divergent_barrier(float* out, int limit) {
  if (static_cast<int>(threadIdx.x) < limit) __syncthreads();
  out[threadIdx.x] = 1.0F;
}

// Half of the block waits at one barrier, half at another.
[[maybe_unused]] static __global__ void broken_two_barriers(float* out) {
  if (threadIdx.x < blockDim.x / 2) {
    __syncthreads();
  } else {
    __syncthreads();
  }
  out[threadIdx.x] = 1.0F;
}

[[maybe_unused]] static __global__ void broken_shuffle_mask(int* out) {
  int value = static_cast<int>(threadIdx.x);
  if (threadIdx.x % 32 < 16) value = __shfl_down_sync(0xffffffffU, value, 1);
  out[threadIdx.x] = value;
}

[[maybe_unused]] static __global__ void broken_shuffle_outside_mask(int* out) {
  out[threadIdx.x] = __shfl_sync(0x0000ffffU, static_cast<int>(threadIdx.x), 0);
}

[[maybe_unused]] static __global__ void broken_write_at(float* values, int index) {
  if (blockIdx.x == 0 && threadIdx.x == 0) values[index] = 1.0F;
}

// Copies dynamic shared memory that nobody wrote.
[[maybe_unused]] static __global__ void broken_read_of_unwritten_shared(float* out) {
  const float* words = reinterpret_cast<const float*>(block_memory());
  out[threadIdx.x] = words[threadIdx.x];
}

[[maybe_unused]] static __global__ void broken_write_past_shared(float* out, int index) {
  float* words = reinterpret_cast<float*>(block_memory());
  words[threadIdx.x] = static_cast<float>(threadIdx.x);
  __syncthreads();
  if (threadIdx.x == 0) words[index] = 1.0F;
  __syncthreads();
  out[threadIdx.x] = words[threadIdx.x];
}

// A block sum in which the threads read the others' parts without a barrier.
[[maybe_unused]] static __global__ void broken_missing_barrier(const float* values, float* sums) {
  __shared__ float parts[256];
  const int thread = static_cast<int>(threadIdx.x);
  parts[thread] = values[blockIdx.x * blockDim.x + threadIdx.x];
  if (thread == 0) {
    float sum = 0.0F;
    for (int i = 0; i < static_cast<int>(blockDim.x); ++i) sum += parts[i];
    sums[blockIdx.x] = sum;
  }
}

// Blocks that pass a value on without an atomic: works only in one order of blocks.
[[maybe_unused]] static __global__ void broken_order_of_blocks(int* last) {
  *last = static_cast<int>(blockIdx.x);
}

[[maybe_unused]] static __global__ void broken_null_write(int* never) {
  if (threadIdx.x == 3) *never = 1;
}

// volatile, so that no compiler turns the recursion into a loop.
[[maybe_unused]] static __device__ __noinline__ int deep(int n) {
  volatile char frame[1024];
  frame[n % 1024] = static_cast<char>(n);
  return n <= 0 ? frame[0] : deep(n - 1) + frame[n % 1024];
}

[[maybe_unused]] static __global__ void broken_stack_overflow(int* out, int depth) {
  *out = deep(depth);
}

[[maybe_unused]] static __global__ void stop_here() { __trap(); }

}  // namespace emulation_tests
