// What the kernel language needs from the block scheduler: the coordinates of the running thread,
// the shared memory of its block, and the points at which a thread waits for others. Included by
// cuda_runtime.h; kernels never name anything in here except emulation::dynamic_shared().
#pragma once

#include <cstdint>
#include <cstring>
#include <source_location>

#include "../vector_types.h"

// Initial-exec storage and constinit keep an access at one instruction: the coordinates are read by
// every thread of every block.
#define EMULATION_THREAD_STATE \
  extern constinit thread_local __attribute__((tls_model("initial-exec")))
EMULATION_THREAD_STATE uint3 threadIdx;
EMULATION_THREAD_STATE uint3 blockIdx;
EMULATION_THREAD_STATE dim3 blockDim;
EMULATION_THREAD_STATE dim3 gridDim;
extern const int warpSize;

namespace emulation {
namespace detail {

EMULATION_THREAD_STATE unsigned char* dynamic_shared_memory;
EMULATION_THREAD_STATE unsigned int lane_index;

using Location = std::source_location;

enum class Vote : std::uint8_t { none, count, all, any };

// What the lanes of a warp do together. Two lanes meet only if they name the same operation and
// mask.
enum class WarpOperation : std::uint8_t {
  sync,
  shuffle_index,
  shuffle_up,
  shuffle_down,
  shuffle_xor,
  ballot,
  all,
  any,
  match_any,
  add,
  min_signed,
  max_signed,
  min_unsigned,
  max_unsigned,
  bit_and,
  bit_or,
  bit_xor,
};

// Waits until every thread of the block has arrived at the same source line, then returns the vote.
int block_barrier(Vote vote, int predicate, Location where);

// Waits for the lanes in `mask`; `value` is what this lane contributes and `source` the lane it
// reads (for shuffles). Returns the value for this lane.
std::uint64_t warp_collective(WarpOperation operation, std::uint32_t mask, std::uint64_t value,
                              std::uint32_t source, Location where);

// Lets the other threads of the block run: for spin loops that sleep.
void yield();

// Ends the kernel with an error, as a trap instruction does.
[[noreturn]] void trap(Location where);

template <typename T>
std::uint64_t to_bits(T value) {
  static_assert(sizeof(T) <= 8);
  std::uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof value);
  return bits;
}

template <typename T>
T from_bits(std::uint64_t bits) {
  static_assert(sizeof(T) <= 8);
  T value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

// The lane that a shuffle reads, as PTX defines it for segments of `width` lanes.
inline std::uint32_t segment_begin(int width) {
  return lane_index & ~(static_cast<std::uint32_t>(width) - 1U);
}
inline std::uint32_t segment_last(int width) {
  return segment_begin(width) + static_cast<std::uint32_t>(width) - 1U;
}

template <typename T>
T shuffle(WarpOperation operation, std::uint32_t mask, T value, std::uint32_t source,
          Location where) {
  return from_bits<T>(warp_collective(operation, mask, to_bits(value), source, where));
}

template <typename T>
T shuffle_index(std::uint32_t mask, T value, int lane, int width, Location where) {
  const std::uint32_t source = segment_begin(width) | (static_cast<std::uint32_t>(lane) &
                                                       (static_cast<std::uint32_t>(width) - 1U));
  return shuffle(WarpOperation::shuffle_index, mask, value, source, where);
}

template <typename T>
T shuffle_up(std::uint32_t mask, T value, unsigned int delta, int width, Location where) {
  const std::uint32_t source =
      lane_index >= segment_begin(width) + delta ? lane_index - delta : lane_index;
  return shuffle(WarpOperation::shuffle_up, mask, value, source, where);
}

template <typename T>
T shuffle_down(std::uint32_t mask, T value, unsigned int delta, int width, Location where) {
  const std::uint32_t source =
      lane_index + delta <= segment_last(width) ? lane_index + delta : lane_index;
  return shuffle(WarpOperation::shuffle_down, mask, value, source, where);
}

template <typename T>
T shuffle_xor(std::uint32_t mask, T value, int lane_mask, int width, Location where) {
  const std::uint32_t other = lane_index ^ static_cast<std::uint32_t>(lane_mask);
  const std::uint32_t source = other <= segment_last(width) ? other : lane_index;
  return shuffle(WarpOperation::shuffle_xor, mask, value, source, where);
}

template <typename T>
T warp_reduce(WarpOperation operation, std::uint32_t mask, T value, Location where) {
  return from_bits<T>(warp_collective(operation, mask, to_bits(value), lane_index, where));
}

}  // namespace detail

// The block's dynamic shared memory, 16-byte aligned: what `extern __shared__` names under nvcc.
inline unsigned char* dynamic_shared() { return detail::dynamic_shared_memory; }

}  // namespace emulation
