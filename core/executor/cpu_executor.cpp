// The CPU executor. Programs run tile by tile: a thread takes a few slots whose state fits its L2
// cache and carries them through a whole burst of steps before it takes the next. Slots never look
// at each other, so tiles need no order and results do not depend on them.
#include "core/executor/cpu_executor.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <fstream>
#include <mutex>
#include <new>
#include <stdexcept>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include <omp.h>
#include <unistd.h>

#include "core/error.hpp"

extern "C" void openblas_set_num_threads(int threads);

namespace manyfold {
namespace {

constexpr std::size_t alignment = 256;
/// What a tile of slots may touch: half of a common L2, so that two tiles' traces can coexist.
constexpr std::size_t tile_bytes = 512 * 1024;

/// MemAvailable of /proc/meminfo, or the physical memory where that is absent.
std::size_t available_memory() {
  std::ifstream meminfo("/proc/meminfo");
  std::string key;
  std::size_t kilobytes = 0;
  std::string unit;
  while (meminfo >> key >> kilobytes >> unit) {
    if (key == "MemAvailable:") return kilobytes * 1024;
  }
  return static_cast<std::size_t>(sysconf(_SC_PHYS_PAGES)) *
         static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
}

std::string processor_name() {
  std::ifstream cpuinfo("/proc/cpuinfo");
  std::string line;
  while (std::getline(cpuinfo, line)) {
    if (line.rfind("model name", 0) == 0) {
      const auto colon = line.find(": ");
      if (colon != std::string::npos) return line.substr(colon + 2);
    }
  }
  return "unknown processor";
}

/// Runs `body(i)` for i in [0, count) on `threads` threads and passes the first exception on.
/// ThreadSanitizer does not see the synchronization inside libgomp, so its builds use plain
/// threads.
template <class Body>
void parallel_for(int threads, std::int64_t count, const Body& body) {
  if (threads == 1 || count <= 1) {
    for (std::int64_t i = 0; i < count; ++i) body(i);
    return;
  }
  std::exception_ptr failure;
  std::mutex failure_mutex;
  auto guarded = [&](std::int64_t i) {
    try {
      body(i);
    } catch (...) {
      const std::lock_guard lock(failure_mutex);
      if (!failure) failure = std::current_exception();
    }
  };
#if defined(__SANITIZE_THREAD__)
  std::atomic<std::int64_t> next{0};
  std::vector<std::jthread> team;
  for (int t = 0; t < threads; ++t) {
    team.emplace_back([&] {
      for (std::int64_t i = next++; i < count; i = next++) guarded(i);
    });
  }
  team.clear();
#else
#pragma omp parallel for schedule(dynamic, 1) num_threads(threads)
  for (std::int64_t i = 0; i < count; ++i) guarded(i);
#endif
  if (failure) std::rethrow_exception(failure);
}

struct RecordedOperation {
  std::int64_t slots = 0;
  SlotOperation operation;
};

class CpuProgram : public Program {
 public:
  ActiveSlots active;
  std::size_t bytes_per_slot = 0;
  std::int64_t slots = 0;
  std::vector<RecordedOperation> operations;

  void run(SlotRange range) const {
    for (const auto& recorded : operations) recorded.operation(range);
  }
};

class CpuExecutorImpl final : public CpuExecutor {
 public:
  CpuExecutorImpl(const CpuOptions& options, const kernels::KernelTables& tables,
                  std::string_view instruction_set)
      : tables_(tables), threads_(options.threads > 0 ? options.threads : omp_get_num_procs()) {
    openblas_set_num_threads(1);
    device_.kind = "cpu";
    device_.name = processor_name();
    device_.instruction_set = instruction_set;
    device_.compute_units = threads_;
    device_.cache = l2_bytes();
    device_.memory_budget =
        options.memory_budget > 0 ? options.memory_budget : available_memory() / 4 * 3;
  }

  const DeviceDescription& device() const override { return device_; }
  const kernels::KernelTables& kernels() const override { return tables_; }
  int threads() const override { return threads_; }

  void* allocate(std::size_t bytes) override {
    if (bytes > device_.memory_budget || allocated_ > device_.memory_budget - bytes) {
      throw ResourceError("memory budget of " + std::to_string(device_.memory_budget) +
                          " bytes exceeded: " + std::to_string(allocated_) +
                          " bytes are in use and " + std::to_string(bytes) +
                          " more were asked for");
    }
    void* memory = std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
    if (memory == nullptr) {
      throw ResourceError("out of memory: could not allocate " + std::to_string(bytes) + " bytes");
    }
    sizes_[memory] = bytes;
    allocated_ += bytes;
    return memory;
  }
  void release(void* memory) noexcept override {
    const auto found = sizes_.find(memory);
    if (found == sizes_.end()) return;
    allocated_ -= found->second;
    sizes_.erase(found);
    std::free(memory);
  }
  std::size_t allocated() const override { return allocated_; }
  void* allocate_pinned(std::size_t bytes) override { return ::operator new(bytes); }
  void release_pinned(void* memory) noexcept override { ::operator delete(memory); }

  void copy_in(void* device, const void* host, std::size_t bytes) override {
    refuse_while_recording("copy_in");
    std::memcpy(device, host, bytes);
  }
  void copy_out(void* host, const void* device, std::size_t bytes) override {
    refuse_while_recording("copy_out");
    std::memcpy(host, device, bytes);
  }
  void copy_within(void* to, const void* from, std::size_t bytes) override {
    refuse_while_recording("copy_within");
    std::memmove(to, from, bytes);
  }
  void clear(void* device, std::size_t bytes) override {
    refuse_while_recording("clear");
    std::memset(device, 0, bytes);
  }
  Ticket stage_out(void* pinned, const void* device, std::size_t bytes) override {
    copy_out(pinned, device, bytes);
    return {};
  }
  void wait(Ticket) override {}
  void hold_for(Ticket) override {}
  void synchronize() override {}
  Moment moment() override {
    const auto now = std::chrono::steady_clock::now().time_since_epoch();
    return {static_cast<std::uint64_t>(
        std::chrono::duration_cast<std::chrono::nanoseconds>(now).count())};
  }
  double seconds_between(Moment from, Moment to) override {
    return 1e-9 * static_cast<double>(to.number - from.number);
  }
  void measure_gaps(std::int64_t) override {}
  ReplayGaps gaps() override { return {}; }
  void push_range(const char*) override {}
  void pop_range() noexcept override {}

  void for_slots(std::int64_t slots, SlotOperation operation) override {
    if (slots <= 0) return;
    if (recording_ != nullptr) {
      if (recording_->slots == 0) recording_->slots = slots;
      if (recording_->slots != slots) {
        throw std::logic_error("a program's operations must all have the same number of slots");
      }
      recording_->operations.push_back({slots, std::move(operation)});
      return;
    }
    // Enough pieces that threads finish together, few enough that a piece is worth its call.
    const std::int64_t pieces = std::min<std::int64_t>(slots, std::int64_t{8} * threads_);
    parallel_for(threads_, pieces, [&](std::int64_t i) {
      operation({slots * i / pieces, slots * (i + 1) / pieces});
    });
  }

  std::unique_ptr<Program> record(ActiveSlots active, std::size_t bytes_per_slot,
                                  const std::function<void()>& body, bool) override {
    refuse_while_recording("record");
    auto program = std::make_unique<CpuProgram>();
    program->active = active;
    program->bytes_per_slot = bytes_per_slot;
    program->slots = active.slots;
    recording_ = program.get();
    try {
      body();
    } catch (...) {
      recording_ = nullptr;
      throw;
    }
    recording_ = nullptr;
    return program;
  }

  void run(std::span<const Burst> bursts) override {
    refuse_while_recording("run");
    if (bursts.empty()) return;
    const auto& first = static_cast<const CpuProgram&>(*bursts.front().program);
    std::size_t bytes = 1;
    for (const Burst& burst : bursts) {
      const auto& program = static_cast<const CpuProgram&>(*burst.program);
      if (program.slots != first.slots) {
        throw std::logic_error("bursts of one run must have the same number of slots");
      }
      bytes = std::max(bytes, program.bytes_per_slot);
    }
    const std::int64_t slots = first.slots;
    if (slots <= 0) return;
    const std::int64_t fits =
        std::max<std::int64_t>(1, static_cast<std::int64_t>(tile_bytes / bytes));
    // At least four tiles a thread, so that members that ended early do not leave threads idle.
    const std::int64_t share = std::max<std::int64_t>(1, slots / (std::int64_t{4} * threads_));
    const std::int64_t tile = std::min(fits, share);
    const std::int64_t tiles = (slots + tile - 1) / tile;
    parallel_for(threads_, tiles, [&](std::int64_t i) {
      run_tile(bursts, {i * tile, std::min(slots, (i + 1) * tile)});
    });
  }

 private:
  static void run_tile(std::span<const Burst> bursts, SlotRange tile) {
    for (const Burst& burst : bursts) {
      const auto& program = static_cast<const CpuProgram&>(*burst.program);
      const std::int32_t* active = program.active.flags;
      for (std::int64_t repeat = 0; repeat < burst.repeats; ++repeat) {
        bool any = false;
        std::int64_t begin = tile.begin;
        while (begin < tile.end) {  // maximal runs of active slots
          if (active != nullptr && active[begin] == 0) {
            ++begin;
            continue;
          }
          std::int64_t end = begin + 1;
          while (end < tile.end && (active == nullptr || active[end] != 0)) ++end;
          program.run({begin, end});
          any = true;
          begin = end;
        }
        if (!any) break;
      }
    }
  }

  void refuse_while_recording(const char* what) const {
    if (recording_ != nullptr) {
      throw std::logic_error(std::string(what) + " inside Executor::record: only kernels may be");
    }
  }

  const kernels::KernelTables& tables_;
  int threads_;
  DeviceDescription device_;
  CpuProgram* recording_ = nullptr;
  std::unordered_map<void*, std::size_t> sizes_;
  std::size_t allocated_ = 0;
};

}  // namespace

std::unique_ptr<CpuExecutor> make_cpu_executor(const CpuOptions& options,
                                               const kernels::KernelTables& tables,
                                               std::string_view instruction_set) {
  return std::make_unique<CpuExecutorImpl>(options, tables, instruction_set);
}

void in_several_pieces(int threads, std::int64_t count, std::int64_t piece,
                       const std::function<void(std::int64_t, std::int64_t)>& body) {
  const std::int64_t pieces = (count + piece - 1) / piece;
  const bool alone = omp_in_parallel() == 0;
  parallel_for(alone ? threads : 1, pieces,
               [&](std::int64_t i) { body(i * piece, std::min(count, (i + 1) * piece)); });
}

BlasThreads::BlasThreads(int threads) : given_(threads > 1 && omp_in_parallel() == 0) {
  if (given_) openblas_set_num_threads(threads);
}
BlasThreads::~BlasThreads() {
  if (given_) openblas_set_num_threads(1);
}

std::size_t l2_bytes() {
#ifdef _SC_LEVEL2_CACHE_SIZE
  const long known = sysconf(_SC_LEVEL2_CACHE_SIZE);
  if (known > 0) return static_cast<std::size_t>(known);
#endif
  return std::size_t{1} << 20;
}

void* thread_scratch(std::size_t bytes) {
  struct Aligned {
    void* memory = nullptr;
    std::size_t size = 0;
    ~Aligned() { std::free(memory); }
  };
  thread_local Aligned scratch;
  if (scratch.size < bytes) {
    std::free(scratch.memory);
    scratch.size = (bytes + 4095) / 4096 * 4096;
    scratch.memory = std::aligned_alloc(64, scratch.size);
    if (scratch.memory == nullptr) {
      scratch.size = 0;
      throw ResourceError("out of memory: could not allocate " + std::to_string(bytes) + " bytes");
    }
  }
  return scratch.memory;
}

}  // namespace manyfold
