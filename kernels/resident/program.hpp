// A family's step as resident stepping carries it out: a list of operations whose operands stand in
// a member's own piece of fast memory, its *arena*, and the regions of device memory that fill the
// arena when a member enters and take its state back when it leaves.
//
// The operations are those of the batched path, with their own arguments: capture.hpp keeps what a
// step calls, compile.hpp says where each operand goes. An interpreter per backend runs them: on a
// CPU `lanes` members side by side in the lanes of vectors, their arena interleaved element by
// element and small enough for the L2 cache (cpu/resident.cpp); on a GPU one member a block, its
// arena in shared memory (cuda/resident.cu).
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <type_traits>
#include <vector>

#include "core/executor/memory.hpp"
#include "core/portable.hpp"
#include "kernels/table.hpp"

namespace manyfold::kernels::resident {

/// The operations by name, those of operations.inc in its order, then those of fused.hpp.
enum class Operation : std::int32_t {
#define MF_TYPED(name, Args) name,
#define MF_PLAIN(name, Args) name,
#include "kernels/operations.inc"
  sampled_product,
  sparse_product,
  sparse_top_layer,
  drawn_descent,
};
const char* name_of(Operation operation);

/// Pointers of an instruction's arguments that stand for the same byte of every arena carry a mark
/// that no address has; all others (shared problems, per-slot tables that rest in device memory)
/// are addresses.
constexpr std::uintptr_t arena_mark = std::uintptr_t{1} << 63;
template <class U>
MF_FN bool in_arena(const U* pointer) {
  return (reinterpret_cast<std::uintptr_t>(pointer) & arena_mark) != 0;
}
/// Bytes from the beginning of a member's arena.
template <class U>
MF_FN std::uintptr_t arena_offset(const U* pointer) {
  return reinterpret_cast<std::uintptr_t>(pointer) & ~arena_mark;
}

/// One operation with its arguments, bit for bit. Trivial to copy to a device.
struct Instruction {
  static constexpr std::size_t capacity = 352;

  Operation operation;
  std::int32_t element_bytes;  ///< of T in typed operations, 0 in others
  alignas(8) unsigned char args[capacity];

  template <class Args>
  MF_FN const Args& as() const {
    static_assert(sizeof(Args) <= capacity && std::is_trivially_copyable_v<Args>);
    return *reinterpret_cast<const Args*>(args);
  }
  template <class Args>
  MF_FN Args& as() {
    static_assert(sizeof(Args) <= capacity && std::is_trivially_copyable_v<Args>);
    return *reinterpret_cast<Args*>(args);
  }
};

/// Per-slot elements of device memory that have a place in the arena.
struct Region {
  std::byte* data;          ///< of slot 0
  std::int64_t slot_bytes;  ///< from one slot to the next
  std::int32_t element_bytes;
  std::int32_t count;   ///< elements a slot
  std::int32_t offset;  ///< bytes from the beginning of a member's arena, a multiple of 16
  std::int32_t load;    ///< 1: read before it is written, so a member brings it along
  std::int32_t store;   ///< 1: outlives the launch
};

/// A step is `evaluate`, then `move`; every check_every steps, from step 0 on, it is
/// `evaluate_checked`, `inspect`, `move_checked`, which come to the same and may stand in for any
/// step if `inspect` is left out. A member has ended when its `active` is 0, after `inspect` or
/// either move.
enum Section { evaluate_checked, inspect, move_checked, evaluate, move, sections };

/// What the blocks of a launch share, in device memory; all zero between launches.
struct Launch {
  unsigned long long next = 0;   ///< members taken from the list
  unsigned long long steps = 0;  ///< of all members
  unsigned long long most = 0;   ///< steps of one block
  unsigned long long done = 0;   ///< blocks that are
};

/// What an interpreter sees: plain data, of host memory on a CPU and of device memory on a GPU.
struct ProgramView {
  const Region* regions = nullptr;
  std::int32_t region_count = 0;
  const Instruction* instructions = nullptr;
  std::int32_t begin[sections + 1] = {};  ///< of each section's instructions; the end at last
  std::int64_t check_every = 1;
  std::int64_t arena_bytes = 0;  ///< of one member, a multiple of 16
  std::int32_t element_bytes = 0;
  /// Where they stand in the arena.
  std::int32_t active = 0;
  std::int32_t step = 0;
  Launch* launch = nullptr;  ///< on a GPU
  /// And in device memory, (slot): members that ended, or are there already, do not enter.
  const std::int32_t* active_of = nullptr;
  const std::int64_t* step_of = nullptr;
};

/// Owns what a view names, on the host and on the executor's device.
struct Program {
  std::vector<Region> regions;
  std::vector<Instruction> instructions;
  ProgramView host;
  std::deque<std::vector<std::int32_t>> patterns;  ///< what instructions of fused.hpp point to
  Buffer<std::byte> device_memory;
  ProgramView device;

  std::int64_t arena_bytes() const { return host.arena_bytes; }
  /// What of the arena a step without inspection touches; all of it where every few steps inspect.
  std::int64_t touched_bytes = 0;
  /// Shared memory of a block on a GPU: the arena and the instructions.
  std::int64_t block_bytes() const {
    return host.arena_bytes + static_cast<std::int64_t>(instructions.size() * sizeof(Instruction));
  }
};

}  // namespace manyfold::kernels::resident
