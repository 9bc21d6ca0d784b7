// Stand-in for the part of cooperative groups that kernels here may use: the block, tiles of a
// warp, and a grid (of one block: see the README). Built on the same barriers and warp operations
// as the intrinsics, so that the same faults are found.
#pragma once

#include <cstddef>
#include <cstring>
#include <type_traits>

#include "cuda_runtime.h"

namespace cooperative_groups {

class thread_block {
 public:
  static void sync(EMULATION_HERE) {
    emulation::detail::block_barrier(emulation::detail::Vote::none, 0, where);
  }
  static unsigned int thread_rank() {
    return threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
  }
  static unsigned int num_threads() { return blockDim.x * blockDim.y * blockDim.z; }
  static unsigned int size() { return num_threads(); }
  static dim3 group_index() { return dim3(blockIdx); }
  static dim3 thread_index() { return dim3(threadIdx); }
  static dim3 group_dim() { return blockDim; }
  static dim3 dim_threads() { return blockDim; }
};

inline thread_block this_thread_block() { return {}; }

class grid_group {
 public:
  bool is_valid() const { return num_blocks() == 1; }
  // A launch of several blocks as a cooperative one is refused, so that the block is the grid.
  void sync(EMULATION_HERE) const {
    if (!is_valid()) emulation::detail::trap(where);
    thread_block::sync(where);
  }
  unsigned long long num_blocks() const {
    return static_cast<unsigned long long>(gridDim.x) * gridDim.y * gridDim.z;
  }
  unsigned long long block_rank() const {
    return blockIdx.x + static_cast<unsigned long long>(gridDim.x) *
                            (blockIdx.y + static_cast<unsigned long long>(gridDim.y) * blockIdx.z);
  }
  unsigned long long num_threads() const { return num_blocks() * thread_block::num_threads(); }
  unsigned long long size() const { return num_threads(); }
  unsigned long long thread_rank() const {
    return block_rank() * thread_block::num_threads() + thread_block::thread_rank();
  }
  dim3 block_index() const { return dim3(blockIdx); }
  dim3 group_dim() const { return gridDim; }
};

inline grid_group this_grid() { return {}; }

template <unsigned int Size, typename Parent = void>
class thread_block_tile {
  static_assert(Size != 0 && Size <= 32 && (Size & (Size - 1)) == 0, "a power of two up to a warp");

 public:
  unsigned int thread_rank() const { return emulation::detail::lane_index & (Size - 1); }
  static constexpr unsigned int num_threads() { return Size; }
  static constexpr unsigned int size() { return Size; }
  unsigned int meta_group_rank() const { return thread_block::thread_rank() / Size; }
  unsigned int meta_group_size() const { return (thread_block::num_threads() + Size - 1) / Size; }

  void sync(EMULATION_HERE) const { __syncwarp(mask(), where); }
  int any(int predicate, EMULATION_HERE) const { return __any_sync(mask(), predicate, where); }
  int all(int predicate, EMULATION_HERE) const { return __all_sync(mask(), predicate, where); }
  unsigned int ballot(int predicate, EMULATION_HERE) const {
    return __ballot_sync(mask(), predicate, where) >> first_lane() & low_bits();
  }

  template <typename T>
  T shfl(T value, unsigned int source, EMULATION_HERE) const {
    return each_word(value, [&](std::uint64_t word) {
      return emulation::detail::shuffle_index(mask(), word, static_cast<int>(source), Size, where);
    });
  }
  template <typename T>
  T shfl_up(T value, unsigned int delta, EMULATION_HERE) const {
    return each_word(value, [&](std::uint64_t word) {
      return emulation::detail::shuffle_up(mask(), word, delta, Size, where);
    });
  }
  template <typename T>
  T shfl_down(T value, unsigned int delta, EMULATION_HERE) const {
    return each_word(value, [&](std::uint64_t word) {
      return emulation::detail::shuffle_down(mask(), word, delta, Size, where);
    });
  }
  template <typename T>
  T shfl_xor(T value, unsigned int lane_mask, EMULATION_HERE) const {
    return each_word(value, [&](std::uint64_t word) {
      return emulation::detail::shuffle_xor(mask(), word, static_cast<int>(lane_mask), Size, where);
    });
  }

 private:
  static constexpr unsigned int low_bits() {
    return Size == 32 ? 0xffffffffU : (1U << (Size % 32)) - 1U;
  }
  static unsigned int first_lane() { return emulation::detail::lane_index & ~(Size - 1); }
  static unsigned int mask() { return low_bits() << first_lane(); }

  // As in CUDA, values of up to 32 bytes are exchanged.
  template <typename T, typename Exchange>
  static T each_word(const T& value, Exchange exchange) {
    static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= 32);
    T result;
    for (std::size_t begin = 0; begin < sizeof(T); begin += sizeof(std::uint64_t)) {
      std::uint64_t word = 0;
      const std::size_t bytes = sizeof(T) - begin < 8 ? sizeof(T) - begin : 8;
      std::memcpy(&word, reinterpret_cast<const unsigned char*>(&value) + begin, bytes);
      word = exchange(word);
      std::memcpy(reinterpret_cast<unsigned char*>(&result) + begin, &word, bytes);
    }
    return result;
  }
};

template <unsigned int Size, typename Parent>
thread_block_tile<Size, Parent> tiled_partition(const Parent&) {
  return {};
}

template <typename Group>
void sync(const Group& group, EMULATION_HERE) {
  group.sync(where);
}

}  // namespace cooperative_groups
