// Where work happens: a CPU or a CUDA device. An executor owns its device's memory, streams,
// library handles and workspaces, and is the first argument of every kernel.
//
// Kernels called on an executor are carried out in order. Between calls the host must not read or
// write device memory except through the copies below. What is called inside `record` is not
// carried out but kept as a program, to be run many times without the host: a CUDA graph there, a
// list of operations here that the CPU runs tile of slots by tile of slots, so that a tile's state
// stays in cache for a whole burst of steps.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>

namespace manyfold {

namespace kernels {
struct KernelTables;
class WorkSlots;
namespace resident {
class Capture;
}
}  // namespace kernels

struct DeviceDescription {
  std::string kind;               ///< "cpu", "cuda", "emulated"
  std::string name;               ///< processor or GPU name
  std::string driver;             ///< driver and runtime version; empty on a CPU
  std::string instruction_set;    ///< "avx512", "avx2", "portable"; "sm_90"
  int compute_units = 1;          ///< threads in use, or multiprocessors
  std::size_t memory_budget = 0;  ///< bytes that allocations may take in all
  std::size_t shared_memory = 0;  ///< bytes a block may have; 0 on a CPU
  std::size_t cache = 0;          ///< bytes of the L2 cache of a core; 0 on a GPU
};

/// Work kept by `Executor::record`. Valid as long as its executor and the memory it names.
class Program {
 public:
  virtual ~Program() = default;
};

struct Burst {
  const Program* program = nullptr;
  std::int64_t repeats = 1;
};

/// Which slots a program may leave alone: those whose flag is 0 when a burst begins. Skipping is
/// allowed, not promised; a program must therefore not change what a skipped slot shows.
struct ActiveSlots {
  const std::int32_t* flags = nullptr;  ///< device memory, one per slot; nullptr: all are active
  std::int64_t slots = 0;
};

/// Names a copy out that may still be under way.
struct Ticket {
  std::uint64_t number = 0;
};

/// A point in the order of a device's work.
struct Moment {
  std::uint64_t number = 0;
};

/// How long a device pauses between the end of one replay of a program and the beginning of the
/// next. Two replays are neighbours when the host asked for nothing but copies staged out and
/// copies within the device between them; what a copy in, a copy out, `clear` or `synchronize`
/// parts is not counted.
struct ReplayGaps {
  std::int64_t replays = 0;   ///< since measuring began
  std::int64_t gaps = 0;      ///< between neighbours
  std::int64_t measured = 0;  ///< of these
  double seconds = 0;         ///< of all gaps: the means of those measured, within and between runs
  double largest = 0;         ///< of those measured, in seconds
};

class Executor {
 public:
  Executor() = default;
  Executor(const Executor&) = delete;
  Executor& operator=(const Executor&) = delete;
  virtual ~Executor() = default;

  virtual const DeviceDescription& device() const = 0;
  virtual const kernels::KernelTables& kernels() const = 0;

  /// Who takes the operations that are called now instead of their being carried out
  /// (kernels/resident/capture.hpp); nullptr: nobody.
  kernels::resident::Capture* capture() const { return capture_; }
  void capture_by(kernels::resident::Capture* capture) { capture_ = capture; }

  /// The window of slots that operations are carried out for, in place of all of them
  /// (kernels/work_slots.hpp); nullptr: none.
  const kernels::WorkSlots* window() const { return window_; }
  void look_through(const kernels::WorkSlots* window) { window_ = window; }

  /// Device memory, 256-byte aligned, contents undefined. ResourceError when it does not fit the
  /// budget or the device. Use Buffer (memory.hpp), which releases by itself.
  virtual void* allocate(std::size_t bytes) = 0;
  virtual void release(void* memory) noexcept = 0;
  virtual std::size_t allocated() const = 0;
  /// Host memory from which copies need no staging.
  virtual void* allocate_pinned(std::size_t bytes) = 0;
  virtual void release_pinned(void* memory) noexcept = 0;

  /// In order with kernels; `host` may be reused when the call returns.
  virtual void copy_in(void* device, const void* host, std::size_t bytes) = 0;
  /// In order with kernels; returns when `host` is filled.
  virtual void copy_out(void* host, const void* device, std::size_t bytes) = 0;
  virtual void copy_within(void* to, const void* from, std::size_t bytes) = 0;
  virtual void clear(void* device, std::size_t bytes) = 0;

  /// Copies out beside the work that follows: `device` is read after all earlier work, without
  /// holding up later work. `wait` returns when `pinned` is filled; later work that overwrites
  /// `device` must first be told to `hold_for` the ticket.
  virtual Ticket stage_out(void* pinned, const void* device, std::size_t bytes) = 0;
  virtual void wait(Ticket ticket) = 0;
  virtual void hold_for(Ticket ticket) = 0;

  /// Calls `body` once, keeping the kernels it calls. Only kernels may be called inside: no copies,
  /// no allocation. `bytes_per_slot` is what one slot touches per run, for tiling on the CPU.
  /// `waits`: there are kernels among them that wait for a GPU, which cannot be kept there; it then
  /// keeps `body` itself and calls it whenever the program is run.
  virtual std::unique_ptr<Program> record(ActiveSlots active, std::size_t bytes_per_slot,
                                          const std::function<void()>& body,
                                          bool waits = false) = 0;
  /// Carries out bursts one after another, without waiting for them on the host.
  virtual void run(std::span<const Burst> bursts) = 0;

  /// Marks the point that the work so far reaches; `seconds_between` waits until both points are
  /// passed. At most 64 moments are kept: an older one must not be asked for.
  virtual Moment moment() = 0;
  virtual double seconds_between(Moment from, Moment to) = 0;

  /// Measures, in programs recorded from now on, one gap in `every` replays and as many of those
  /// between two calls of `run`; on a CPU, which replays nothing, none. Forgets earlier ones.
  virtual void measure_gaps(std::int64_t every) = 0;
  /// Of the replays so far; waits for them.
  virtual ReplayGaps gaps() = 0;

  /// Names the work that follows, for profilers: NVTX ranges of the calling thread on a GPU,
  /// nothing on a CPU. Use Range (range.hpp), which ends by itself.
  virtual void push_range(const char* name) = 0;
  virtual void pop_range() noexcept = 0;

  /// Waits for all work; DeviceError if any of it failed.
  virtual void synchronize() = 0;

 private:
  kernels::resident::Capture* capture_ = nullptr;
  const kernels::WorkSlots* window_ = nullptr;
};

}  // namespace manyfold
