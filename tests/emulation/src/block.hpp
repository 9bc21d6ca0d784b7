// One block of a kernel, run by one operating-system thread.
//
// Each CUDA thread that has to wait gets a fiber; threads that never wait share one, because the
// fiber whose thread has finished takes the next fresh thread. A waiting thread hands over to the
// next ready one directly (one switch per wait, no scheduler in between). The order in which
// threads start, and in which they go on after a barrier, is drawn from the block's seed. When no
// thread is ready and some have not finished, they wait for something that cannot happen: the block
// is abandoned and reported.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "cuda_runtime.h"
#include "random.hpp"
#include "symbols.hpp"
#include <boost/context/detail/fcontext.hpp>

namespace emulation::detail {

// Bytes after (and before) every block of memory that must keep their pattern.
inline constexpr std::size_t red_zone_bytes = 256;
inline constexpr unsigned char red_zone_pattern = 0xc5;
// All ones is a NaN as float and double, -1 as an integer and no address as a pointer.
inline constexpr unsigned char garbage_pattern = 0xff;

inline constexpr std::size_t max_shared_bytes = 232448;
inline constexpr unsigned int max_block_threads = 1024;

// A launch being carried out; shared by the operating-system threads that run its blocks.
struct Grid {
  const KernelCall* call = nullptr;
  const void* function = nullptr;
  const KernelInfo* info = nullptr;
  dim3 grid;
  dim3 block;
  std::size_t shared_bytes = 0;
  std::uint64_t seed = 0;
  std::uint64_t launch = 0;  // number of the launch since the seed was set

  std::atomic<bool> failed{false};
  std::mutex mutex;  // guards the two below
  cudaError_t error = cudaSuccess;
  std::string report;

  void fail(cudaError_t code, std::string message);
};

struct alignas(64) Fiber {
  boost::context::detail::fcontext_t context = nullptr;
  unsigned char* stack = nullptr;  // lowest usable byte; a guard page lies below
  std::size_t bytes = 0;
  std::size_t number = 0;
  void* fake_stack = nullptr;  // AddressSanitizer's
  void* thread_sanitizer = nullptr;
};

class BlockRunner {
 public:
  // The runner of this operating-system thread, made at its first block.
  static BlockRunner& mine();
  // The same, or null when this thread is not inside a block.
  static BlockRunner* running();

  BlockRunner();
  ~BlockRunner();
  BlockRunner(const BlockRunner&) = delete;
  BlockRunner& operator=(const BlockRunner&) = delete;

  void run(Grid& grid, const uint3& block);

  int barrier(Vote vote, int predicate, Location where);
  std::uint64_t collective(WarpOperation operation, std::uint32_t mask, std::uint64_t value,
                           std::uint32_t source, Location where);
  void yield();

  // Reports and leaves the block for good; called on the fiber of the offending thread.
  [[noreturn]] void abandon(cudaError_t code, std::string message);

  // For the fault handler.
  bool is_stack_guard(const void* address) const;
  void* emergency_stack_top() const;
  std::string describe_thread() const;
  std::string describe_trap(Location where) const;
  const void* function() const { return grid_->function; }

 private:
  enum class State : std::uint8_t { running, at_barrier, in_warp, yielded, done };

  struct Warp {
    std::uint32_t present = 0;  // lanes that exist
    std::uint32_t arrived = 0;  // lanes that wait in a collective
    std::array<std::uint32_t, 32> mask{};
    std::array<WarpOperation, 32> operation{};
    std::array<std::uint64_t, 32> value{};
    std::array<std::uint32_t, 32> source{};
    std::array<std::uint64_t, 32> result{};
  };

  static void enter(boost::context::detail::transfer_t from);
  [[noreturn]] void carry_threads();
  void prepare(const Grid& grid);
  void shuffle_all();
  void push_back(unsigned int thread);
  void push_front(unsigned int thread);
  void fetch_ahead() const;
  bool pop(unsigned int& thread);
  void make_current(unsigned int thread);
  void wait();
  void hand_over(unsigned int thread);
  void switch_to(Fiber& target);
  Fiber& idle_fiber();
  void make_context(Fiber& fiber);
  void add_fiber();
  void resolve(WarpOperation operation, Warp& warp, std::uint32_t need);
  void prepare_shared(const Grid& grid);
  void check_shared(const Grid& grid);
  std::string describe_stuck() const;
  std::string describe_second_barrier(Location where) const;
  std::string describe_foreign_mask(WarpOperation operation, std::uint32_t mask,
                                    Location where) const;
  [[noreturn]] void leave_abandoned();

  Grid* grid_ = nullptr;
  Random random_{0};
  unsigned int threads_ = 0;
  unsigned int current_ = 0;
  unsigned int done_ = 0;
  bool abandoned_ = false;

  dim3 prepared_block_{0, 0, 0};
  std::vector<uint3> coordinates_;
  std::vector<Fiber*> fiber_of_;
  std::vector<State> state_;
  std::vector<Location> location_;
  std::vector<Warp> warps_;
  std::vector<std::array<std::uint8_t, 32>> lane_orders_;

  // Ready threads: a ring, so that a warp can go on at once or after the others.
  std::vector<std::uint16_t> ready_;
  std::uint32_t ready_mask_ = 0;
  std::uint32_t ready_head_ = 0;
  std::uint32_t ready_count_ = 0;

  unsigned int barrier_arrived_ = 0;
  Location barrier_location_;
  int vote_count_ = 0;
  int vote_result_ = 0;

  Fiber main_;
  Fiber* running_ = nullptr;
  std::vector<std::unique_ptr<Fiber>> fibers_;
  std::vector<Fiber*> idle_;
  std::size_t stack_bytes_ = 0;
  unsigned char* emergency_stack_ = nullptr;
  std::vector<unsigned char> signal_stack_;

  std::vector<unsigned char> shared_;  // dynamic shared memory between its red zones
  unsigned char* shared_begin_ = nullptr;
  std::size_t shared_bytes_ = 0;
  const void* shared_owner_ = nullptr;  // the kernel of the variables below
  std::vector<std::pair<unsigned char*, std::size_t>> shared_variables_;
};

// Runs every block of the grid; returns when all are done or one has failed.
void run_grid(Grid& grid);
void set_grid_threads(unsigned int count);  // 0 for the default
unsigned int grid_threads();
void set_fiber_stack_bytes(std::size_t bytes);

}  // namespace emulation::detail
