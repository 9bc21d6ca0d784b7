// The block scheduler (see block.hpp) and the points of the kernel language that enter it.
#include "block.hpp"

#include <algorithm>
#include <bit>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <new>

#include "red_zone.hpp"
#include "sanitizer.hpp"
#include "settings.hpp"
#include "symbols.hpp"
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

// A switch leaves the processor's stack of return addresses off by one, so that every return after
// it is mispredicted: the way from a kernel's barrier to the switch is one function deep.
#define EMULATION_HOT inline __attribute__((always_inline))

#define EMULATION_THREAD_STATE_DEFINITION \
  __attribute__((tls_model("initial-exec"))) constinit thread_local
EMULATION_THREAD_STATE_DEFINITION uint3 threadIdx{};
EMULATION_THREAD_STATE_DEFINITION uint3 blockIdx{};
EMULATION_THREAD_STATE_DEFINITION dim3 blockDim{};
EMULATION_THREAD_STATE_DEFINITION dim3 gridDim{};
extern const int warpSize = 32;

namespace emulation::detail {

EMULATION_THREAD_STATE_DEFINITION unsigned char* dynamic_shared_memory = nullptr;
EMULATION_THREAD_STATE_DEFINITION unsigned int lane_index = 0;

namespace {

namespace context = boost::context::detail;

constexpr std::uint64_t garbage_value = ~std::uint64_t{0};
constexpr std::size_t lane_order_count = 64;

EMULATION_THREAD_STATE_DEFINITION BlockRunner* active_runner = nullptr;

std::atomic<std::size_t> configured_stack_bytes{0};

bool same_line(const Location& a, const Location& b) {
  return a.line() == b.line() && a.column() == b.column() &&
         (a.file_name() == b.file_name() || std::strcmp(a.file_name(), b.file_name()) == 0);
}

std::string describe(const Location& where) {
  const std::string file = where.file_name();
  const std::size_t slash = file.rfind('/');
  return (slash == std::string::npos ? file : file.substr(slash + 1)) + ":" +
         std::to_string(where.line());
}

std::string describe(const dim3& d) {
  return "(" + std::to_string(d.x) + "," + std::to_string(d.y) + "," + std::to_string(d.z) + ")";
}

std::string hexadecimal(std::uint32_t value) {
  char text[16];
  std::snprintf(text, sizeof text, "0x%08x", value);
  return text;
}

std::size_t page_bytes() {
  static const std::size_t bytes = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  return bytes;
}

const char* name_of(WarpOperation operation) {
  switch (operation) {
    case WarpOperation::sync:
      return "__syncwarp";
    case WarpOperation::shuffle_index:
      return "__shfl_sync";
    case WarpOperation::shuffle_up:
      return "__shfl_up_sync";
    case WarpOperation::shuffle_down:
      return "__shfl_down_sync";
    case WarpOperation::shuffle_xor:
      return "__shfl_xor_sync";
    case WarpOperation::ballot:
      return "__ballot_sync";
    case WarpOperation::all:
      return "__all_sync";
    case WarpOperation::any:
      return "__any_sync";
    case WarpOperation::match_any:
      return "__match_any_sync";
    case WarpOperation::add:
      return "__reduce_add_sync";
    case WarpOperation::min_signed:
    case WarpOperation::min_unsigned:
      return "__reduce_min_sync";
    case WarpOperation::max_signed:
    case WarpOperation::max_unsigned:
      return "__reduce_max_sync";
    case WarpOperation::bit_and:
      return "__reduce_and_sync";
    case WarpOperation::bit_or:
      return "__reduce_or_sync";
    case WarpOperation::bit_xor:
      return "__reduce_xor_sync";
  }
  return "a warp operation";
}

std::uint32_t combine(WarpOperation operation, std::uint32_t a, std::uint32_t b) {
  switch (operation) {
    case WarpOperation::add:
      return a + b;
    case WarpOperation::min_signed:
      return static_cast<std::int32_t>(b) < static_cast<std::int32_t>(a) ? b : a;
    case WarpOperation::max_signed:
      return static_cast<std::int32_t>(a) < static_cast<std::int32_t>(b) ? b : a;
    case WarpOperation::min_unsigned:
      return std::min(a, b);
    case WarpOperation::max_unsigned:
      return std::max(a, b);
    case WarpOperation::bit_and:
      return a & b;
    case WarpOperation::bit_or:
      return a | b;
    default:
      return a ^ b;
  }
}

// Mapped memory whose lowest page is a guard.
unsigned char* map_stack(std::size_t bytes) {
  void* mapped = mmap(nullptr, bytes + page_bytes(), PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapped == MAP_FAILED) throw std::bad_alloc();
  mprotect(mapped, page_bytes(), PROT_NONE);
  return static_cast<unsigned char*>(mapped) + page_bytes();
}

void unmap_stack(unsigned char* stack, std::size_t bytes) {
  unpoison(stack, bytes);
  munmap(stack - page_bytes(), bytes + page_bytes());
}

}  // namespace

void set_fiber_stack_bytes(std::size_t bytes) { configured_stack_bytes = bytes; }

void Grid::fail(cudaError_t code, std::string message) {
  const std::lock_guard lock(mutex);
  if (error == cudaSuccess) {
    error = code;
    report = std::move(message);
  }
  failed = true;
}

BlockRunner& BlockRunner::mine() {
  static thread_local std::unique_ptr<BlockRunner> runner;
  if (!runner) runner = std::make_unique<BlockRunner>();
  return *runner;
}

BlockRunner* BlockRunner::running() { return active_runner; }

BlockRunner::BlockRunner() {
  std::size_t wanted = configured_stack_bytes;
  if (wanted == 0) {
    wanted = static_cast<std::size_t>(
        environment_number("EMULATION_STACK_BYTES", under_asan ? 256 * 1024 : 64 * 1024));
  }
  stack_bytes_ = (std::max<std::size_t>(wanted, 16 * 1024) + 2 * page_bytes() - 1) / page_bytes() *
                 page_bytes();
  emergency_stack_ = map_stack(64 * 1024);
  // Room in front of the red zone for the alignment of the beginning.
  shared_.resize(max_shared_bytes + 2 * red_zone_bytes + 128);
  const auto address = reinterpret_cast<std::uintptr_t>(shared_.data()) + red_zone_bytes;
  shared_begin_ = shared_.data() + red_zone_bytes + (128 - address % 128) % 128;
  shared_bytes_ = ~std::size_t{0};

  // A fault on an overflown fiber stack needs another stack to be handled on. AddressSanitizer
  // gives its threads one; keep any that exists.
  stack_t present{};
  if (sigaltstack(nullptr, &present) == 0 && (present.ss_flags & SS_DISABLE) != 0) {
    signal_stack_.resize(64 * 1024);
    stack_t own{};
    own.ss_sp = signal_stack_.data();
    own.ss_size = signal_stack_.size();
    sigaltstack(&own, nullptr);
  }
  Random random(0);  // a fixed pool; the block's seed picks from it
  lane_orders_.resize(lane_order_count);
  for (auto& order : lane_orders_) {
    for (std::uint32_t i = 0; i < 32; ++i) {
      const std::uint32_t j = random.below(i + 1);
      order[i] = order[j];
      order[j] = static_cast<std::uint8_t>(i);
    }
  }
}

BlockRunner::~BlockRunner() {
  for (const auto& fiber : fibers_) unmap_stack(fiber->stack, fiber->bytes);
  unmap_stack(emergency_stack_, 64 * 1024);
  unpoison(shared_.data(), shared_.size());
  if (!signal_stack_.empty()) {
    stack_t none{};
    none.ss_flags = SS_DISABLE;
    sigaltstack(&none, nullptr);
  }
}

void BlockRunner::make_context(Fiber& fiber) {
  unpoison(fiber.stack, fiber.bytes);
  // The tops of the stacks get different offsets in their pages: at equal ones the lines in use
  // would compete for the same few sets of the cache, which was measured to cost a factor of four.
  const std::size_t color = fiber.number * 5 % 64 * 64;
  fiber.context = context::make_fcontext(fiber.stack + fiber.bytes - color, fiber.bytes - color,
                                         &BlockRunner::enter);
  fiber.fake_stack = nullptr;
}

void BlockRunner::add_fiber() {
  auto fiber = std::make_unique<Fiber>();
  fiber->number = fibers_.size();
  fiber->bytes = stack_bytes_;
  fiber->stack = map_stack(stack_bytes_);
  fiber->thread_sanitizer = thread_sanitizer_fiber();
  make_context(*fiber);
  idle_.push_back(fiber.get());
  fibers_.push_back(std::move(fiber));
}

Fiber& BlockRunner::idle_fiber() {
  if (idle_.empty()) add_fiber();
  Fiber* fiber = idle_.back();
  idle_.pop_back();
  return *fiber;
}

EMULATION_HOT void BlockRunner::switch_to(Fiber& target) {
  Fiber& self = *running_;
  running_ = &target;
  start_switch(&self.fake_stack, target.stack, target.bytes);
  thread_sanitizer_switch(target.thread_sanitizer);
  const context::transfer_t from = context::jump_fcontext(target.context, &self);
  Fiber& previous = *static_cast<Fiber*>(from.data);
  previous.context = from.fctx;
  finish_switch(self.fake_stack, nullptr, nullptr);
}

void BlockRunner::enter(context::transfer_t from) {
  BlockRunner& runner = *active_runner;
  Fiber& previous = *static_cast<Fiber*>(from.data);
  previous.context = from.fctx;
  const void* bottom = nullptr;
  std::size_t bytes = 0;
  finish_switch(nullptr, &bottom, &bytes);
  if (&previous == &runner.main_) {
    runner.main_.stack = static_cast<unsigned char*>(const_cast<void*>(bottom));
    runner.main_.bytes = bytes;
  }
  runner.carry_threads();
}

EMULATION_HOT void BlockRunner::make_current(unsigned int thread) {
  current_ = thread;
  threadIdx = coordinates_[thread];
  lane_index = thread % 32;
}

// The life of a fiber: run the current thread to its end, then whichever is next. A fresh one runs
// right here; for one that waits on another fiber this fiber steps aside until it is needed.
void BlockRunner::carry_threads() {
  for (;;) {
    (*grid_->call)();
    state_[current_] = State::done;
    ++done_;
    unsigned int next = 0;
    if (!pop(next)) {
      if (done_ != threads_) abandon(cudaErrorLaunchFailure, describe_stuck());
      idle_.push_back(running_);
      switch_to(main_);
    } else {
      make_current(next);
      if (fiber_of_[next] == nullptr) {
        fiber_of_[next] = running_;
      } else {
        idle_.push_back(running_);
        switch_to(*fiber_of_[next]);
      }
    }
  }
}

// Runs other threads until the current one is ready again.
EMULATION_HOT void BlockRunner::wait() {
  const unsigned int self = current_;
  unsigned int next = 0;
  if (!pop(next)) abandon(cudaErrorLaunchFailure, describe_stuck());
  if (next != self) hand_over(next);
  state_[self] = State::running;
}

EMULATION_HOT void BlockRunner::hand_over(unsigned int thread) {
  make_current(thread);
  if (fiber_of_[thread] == nullptr) fiber_of_[thread] = &idle_fiber();
  switch_to(*fiber_of_[thread]);
}

EMULATION_HOT void BlockRunner::push_back(unsigned int thread) {
  ready_[(ready_head_ + ready_count_) & ready_mask_] = static_cast<std::uint16_t>(thread);
  ++ready_count_;
}

EMULATION_HOT void BlockRunner::push_front(unsigned int thread) {
  ready_head_ = (ready_head_ - 1) & ready_mask_;
  ready_[ready_head_] = static_cast<std::uint16_t>(thread);
  ++ready_count_;
}

// Every switch lands on a stack that was last used some hundred switches ago: fetching the stacks
// of the threads after the next hides most of the misses.
EMULATION_HOT void BlockRunner::fetch_ahead() const {
  constexpr std::uint32_t far = 4;
  constexpr std::uint32_t near = 2;
  if (ready_count_ <= far) return;
  if (const Fiber* fiber = fiber_of_[ready_[(ready_head_ + far) & ready_mask_]]) {
    __builtin_prefetch(fiber);
  }
  if (const Fiber* fiber = fiber_of_[ready_[(ready_head_ + near) & ready_mask_]]) {
    const auto* top = static_cast<const unsigned char*>(fiber->context);
    for (std::size_t line = 0; line < 5; ++line) __builtin_prefetch(top + line * 64);
  }
}

EMULATION_HOT bool BlockRunner::pop(unsigned int& thread) {
  if (ready_count_ == 0) return false;
  thread = ready_[ready_head_];
  ready_head_ = (ready_head_ + 1) & ready_mask_;
  --ready_count_;
  fetch_ahead();
  return true;
}

// All threads, in random order (inside-out Fisher-Yates).
void BlockRunner::shuffle_all() {
  ready_head_ = 0;
  ready_count_ = threads_;
  for (std::uint32_t i = 0; i < threads_; ++i) {
    const std::uint32_t j = random_.below(i + 1);
    ready_[i] = ready_[j];
    ready_[j] = static_cast<std::uint16_t>(i);
  }
}

void BlockRunner::prepare(const Grid& grid) {
  const dim3& b = grid.block;
  if (prepared_block_.x == b.x && prepared_block_.y == b.y && prepared_block_.z == b.z) return;
  prepared_block_ = b;
  threads_ = b.x * b.y * b.z;
  coordinates_.clear();
  for (unsigned int z = 0; z < b.z; ++z)
    for (unsigned int y = 0; y < b.y; ++y)
      for (unsigned int x = 0; x < b.x; ++x) coordinates_.push_back(uint3{x, y, z});
  state_.resize(threads_);
  location_.resize(threads_);
  ready_mask_ = std::bit_ceil(threads_) - 1;
  ready_.resize(ready_mask_ + 1);
  warps_.assign((threads_ + 31) / 32, Warp{});
  for (unsigned int t = 0; t < threads_; ++t) warps_[t / 32].present |= 1U << (t % 32);
}

// What the block before has left in shared memory is gone, as it is on a GPU.
void BlockRunner::prepare_shared(const Grid& grid) {
  const std::size_t bytes = grid.shared_bytes;
  if (bytes != shared_bytes_) {
    unpoison(shared_.data(), shared_.size());
    std::memset(shared_.data(), red_zone_pattern,
                static_cast<std::size_t>(shared_begin_ - shared_.data()));
    std::memset(shared_begin_ + bytes, red_zone_pattern, red_zone_bytes);
    poison(shared_.data(), static_cast<std::size_t>(shared_begin_ - shared_.data()));
    poison(shared_begin_ + bytes,
           static_cast<std::size_t>(shared_.data() + shared_.size() - (shared_begin_ + bytes)));
    shared_bytes_ = bytes;
  }
  std::memset(shared_begin_, garbage_pattern, bytes);
  if (shared_owner_ != grid.function) {
    shared_owner_ = grid.function;
    shared_variables_.clear();
    for (const SharedVariable& variable : grid.info->shared) {
      shared_variables_.emplace_back(address_of(grid.info->module, variable), variable.bytes);
    }
  }
  for (const auto& [address, size] : shared_variables_) {
    std::memset(address, garbage_pattern, size);
  }
}

void BlockRunner::check_shared(const Grid& grid) {
  const std::size_t damaged =
      first_change(shared_begin_ + shared_bytes_, red_zone_bytes, red_zone_pattern);
  const std::size_t before =
      first_change(shared_begin_ - red_zone_bytes, red_zone_bytes, red_zone_pattern);
  if (damaged == red_zone_bytes && before == red_zone_bytes) return;
  const std::string place =
      damaged != red_zone_bytes
          ? std::to_string(damaged) + " bytes past the end"
          : std::to_string(red_zone_bytes - before) + " bytes before the beginning";
  grid_->fail(cudaErrorIllegalAddress,
              "a write outside dynamic shared memory by kernel " + kernel_name(grid.function) +
                  ", block " + describe(dim3(blockIdx)) + " of grid " + describe(grid.grid) + ": " +
                  place + " of its " + std::to_string(shared_bytes_) + " bytes");
  shared_bytes_ = ~std::size_t{0};  // restore the pattern before the next block
}

void BlockRunner::run(Grid& grid, const uint3& block) {
  grid_ = &grid;
  prepare(grid);
  const std::uint64_t linear =
      block.x + static_cast<std::uint64_t>(grid.grid.x) *
                    (block.y + static_cast<std::uint64_t>(grid.grid.y) * block.z);
  random_ = Random(mix(grid.seed ^ mix(grid.launch)) + linear);
  prepare_shared(grid);
  fiber_of_.assign(threads_, nullptr);
  barrier_arrived_ = 0;
  vote_count_ = 0;
  done_ = 0;
  abandoned_ = false;
  blockIdx = block;
  blockDim = grid.block;
  gridDim = grid.grid;
  dynamic_shared_memory = shared_begin_;
  shuffle_all();

  active_runner = this;
  main_.thread_sanitizer = thread_sanitizer_current();
  running_ = &main_;
  unsigned int first = 0;
  pop(first);
  hand_over(first);
  active_runner = nullptr;

  if (abandoned_) {
    // The waiting threads never go on: their fibers start afresh.
    idle_.clear();
    for (const auto& fiber : fibers_) {
      make_context(*fiber);
      idle_.push_back(fiber.get());
    }
    for (Warp& warp : warps_) warp.arrived = 0;
  }
  check_shared(grid);
}

EMULATION_HOT int BlockRunner::barrier(Vote vote, int predicate, Location where) {
  if (barrier_arrived_ == 0) {
    barrier_location_ = where;
  } else if (!same_line(barrier_location_, where)) {
    abandon(cudaErrorLaunchFailure, describe_second_barrier(where));
  }
  state_[current_] = State::at_barrier;
  location_[current_] = where;
  vote_count_ += predicate != 0;
  if (++barrier_arrived_ == threads_) {
    barrier_arrived_ = 0;
    switch (vote) {
      case Vote::none:
        vote_result_ = 0;
        break;
      case Vote::count:
        vote_result_ = vote_count_;
        break;
      case Vote::all:
        vote_result_ = vote_count_ == static_cast<int>(threads_);
        break;
      case Vote::any:
        vote_result_ = vote_count_ != 0;
        break;
    }
    vote_count_ = 0;
    shuffle_all();
  }
  wait();
  return vote_result_;
}

EMULATION_HOT std::uint64_t BlockRunner::collective(WarpOperation operation, std::uint32_t mask,
                                                    std::uint64_t value, std::uint32_t source,
                                                    Location where) {
  const unsigned int self = current_;
  const unsigned int lane = self % 32;
  Warp& warp = warps_[self / 32];
  if ((mask >> lane & 1U) == 0) {
    abandon(cudaErrorLaunchFailure, describe_foreign_mask(operation, mask, where));
  }
  warp.mask[lane] = mask;
  warp.operation[lane] = operation;
  warp.value[lane] = value;
  warp.source[lane] = source;
  warp.arrived |= 1U << lane;

  const std::uint32_t need = mask & warp.present;
  bool complete = (warp.arrived & need) == need;
  for (std::uint32_t rest = need; complete && rest != 0; rest &= rest - 1) {
    const auto other = static_cast<unsigned int>(std::countr_zero(rest));
    complete = warp.mask[other] == mask && warp.operation[other] == operation;
  }
  if (complete) {
    resolve(operation, warp, need);
    warp.arrived &= ~need;
    const auto& order = lane_orders_[random_.below(lane_order_count)];
    const bool at_once = (random_.next() >> 63) != 0;
    const unsigned int base = self - lane;
    for (const std::uint8_t other : order) {
      if (other == lane || (need >> other & 1U) == 0) continue;
      if (at_once) {
        push_front(base + other);
      } else {
        push_back(base + other);
      }
    }
  } else {
    state_[self] = State::in_warp;
    location_[self] = where;
    wait();
  }
  return warp.result[lane];
}

void BlockRunner::resolve(WarpOperation operation, Warp& warp, std::uint32_t need) {
  const auto each = [need](auto&& visit) {
    for (std::uint32_t rest = need; rest != 0; rest &= rest - 1) {
      visit(static_cast<unsigned int>(std::countr_zero(rest)));
    }
  };
  switch (operation) {
    case WarpOperation::sync:
      return;
    case WarpOperation::shuffle_index:
    case WarpOperation::shuffle_up:
    case WarpOperation::shuffle_down:
    case WarpOperation::shuffle_xor:
      // The value of a lane that takes no part is undefined: a NaN makes its use visible.
      each([&](unsigned int lane) {
        const std::uint32_t source = warp.source[lane] % 32;
        warp.result[lane] = (need >> source & 1U) != 0 ? warp.value[source] : garbage_value;
      });
      return;
    case WarpOperation::ballot:
    case WarpOperation::all:
    case WarpOperation::any: {
      std::uint32_t votes = 0;
      each([&](unsigned int lane) { votes |= (warp.value[lane] != 0 ? 1U : 0U) << lane; });
      const std::uint64_t result = operation == WarpOperation::ballot ? votes
                                   : operation == WarpOperation::all
                                       ? static_cast<std::uint64_t>(votes == need)
                                       : static_cast<std::uint64_t>(votes != 0);
      each([&](unsigned int lane) { warp.result[lane] = result; });
      return;
    }
    case WarpOperation::match_any:
      each([&](unsigned int lane) {
        std::uint64_t equal = 0;
        each([&](unsigned int other) {
          if (warp.value[other] == warp.value[lane]) equal |= std::uint64_t{1} << other;
        });
        warp.result[lane] = equal;
      });
      return;
    default: {
      bool first = true;
      std::uint32_t total = 0;
      each([&](unsigned int lane) {
        const auto value = static_cast<std::uint32_t>(warp.value[lane]);
        total = first ? value : combine(operation, total, value);
        first = false;
      });
      each([&](unsigned int lane) { warp.result[lane] = total; });
      return;
    }
  }
}

void BlockRunner::yield() {
  state_[current_] = State::yielded;
  push_back(current_);
  wait();
}

void BlockRunner::abandon(cudaError_t code, std::string message) {
  grid_->fail(code, std::move(message));
  std::string().swap(message);  // nothing on this stack will be destroyed
  leave_abandoned();
}

void BlockRunner::leave_abandoned() {
  abandoned_ = true;
  // A null fake stack tells AddressSanitizer that this fiber is gone.
  Fiber& self = *running_;
  running_ = &main_;
  start_switch(nullptr, main_.stack, main_.bytes);
  thread_sanitizer_switch(main_.thread_sanitizer);
  context::jump_fcontext(main_.context, &self);
  std::abort();  // nothing switches to a dead fiber
}

bool BlockRunner::is_stack_guard(const void* address) const {
  if (running_ == nullptr || running_ == &main_) return false;
  const auto* byte = static_cast<const unsigned char*>(address);
  return byte >= running_->stack - page_bytes() && byte < running_->stack;
}

void* BlockRunner::emergency_stack_top() const { return emergency_stack_ + 64 * 1024; }

std::string BlockRunner::describe_thread() const {
  return "thread " + describe(dim3(threadIdx)) + " of block " + describe(dim3(blockIdx)) +
         " of grid " + describe(grid_->grid) + " (seed " + std::to_string(grid_->seed) +
         ", launch " + std::to_string(grid_->launch) + ")";
}

std::string BlockRunner::describe_second_barrier(Location where) const {
  return "divergent barrier in kernel " + kernel_name(grid_->function) + ", " + describe_thread() +
         ": " + std::to_string(barrier_arrived_) + " of " + std::to_string(threads_) +
         " threads wait at __syncthreads in " + describe(barrier_location_) +
         " while this one arrives at another, in " + describe(where);
}

std::string BlockRunner::describe_foreign_mask(WarpOperation operation, std::uint32_t mask,
                                               Location where) const {
  return std::string(name_of(operation)) + " in " + describe(where) + ": the mask " +
         hexadecimal(mask) + " does not name the calling lane " + std::to_string(current_ % 32) +
         "; kernel " + kernel_name(grid_->function) + ", " + describe_thread();
}

std::string BlockRunner::describe_trap(Location where) const {
  return "__trap in " + describe(where) + ", kernel " + kernel_name(grid_->function) + ", " +
         describe_thread();
}

std::string BlockRunner::describe_stuck() const {
  unsigned int at_barrier = 0;
  unsigned int in_warp = 0;
  unsigned int exited = 0;
  std::map<std::string, unsigned int> places;
  for (unsigned int t = 0; t < threads_; ++t) {
    switch (state_[t]) {
      case State::at_barrier:
        ++at_barrier;
        ++places["__syncthreads in " + describe(location_[t])];
        break;
      case State::in_warp: {
        ++in_warp;
        const Warp& warp = warps_[t / 32];
        ++places[std::string(name_of(warp.operation[t % 32])) + " with mask " +
                 hexadecimal(warp.mask[t % 32]) + " in " + describe(location_[t])];
        break;
      }
      default:
        ++exited;
        break;
    }
  }
  std::string text = at_barrier != 0 ? "divergent barrier" : "incomplete warp operation";
  text += " in kernel " + kernel_name(grid_->function) + ", block " + describe(dim3(blockIdx)) +
          " of grid " + describe(grid_->grid) + ": of " + std::to_string(threads_) + " threads";
  for (const auto& [place, count] : places) {
    text += " " + std::to_string(count) + " wait at " + place + ",";
  }
  text += " " + std::to_string(exited) + " exited (seed " + std::to_string(grid_->seed) +
          ", launch " + std::to_string(grid_->launch) + ")";
  return text;
}

int block_barrier(Vote vote, int predicate, Location where) {
  return active_runner->barrier(vote, predicate, where);
}

std::uint64_t warp_collective(WarpOperation operation, std::uint32_t mask, std::uint64_t value,
                              std::uint32_t source, Location where) {
  return active_runner->collective(operation, mask, value, source, where);
}

void yield() { active_runner->yield(); }

void trap(Location where) {
  active_runner->abandon(cudaErrorLaunchFailure, active_runner->describe_trap(where));
}

long long clock_ticks() { return std::chrono::steady_clock::now().time_since_epoch().count(); }

}  // namespace emulation::detail
