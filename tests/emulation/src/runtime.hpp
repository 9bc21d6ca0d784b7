// The device as the host sees it: streams, events, graphs, errors, and the order of execution.
//
// Work is queued. It executes inside calls that wait for it (and, with a small probability, when
// more is queued), one operation at a time, in a random order among those that a GPU might choose:
// of the streams whose next operation is free to run, mostly those that the awaited point needs,
// sometimes others. A stream that should have waited for another therefore runs ahead of it for
// some seeds.
//
// One lock guards everything. It is released only around host functions.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include "cuda_runtime.h"
#include "device_memory.hpp"
#include "emulation/control.hpp"
#include "random.hpp"

namespace emulation::detail {

// The completion of one operation.
struct Point {
  CUstream_st* stream = nullptr;
  bool reached = false;
  std::chrono::steady_clock::time_point when;
};
using PointRef = std::shared_ptr<Point>;

struct KernelLaunch {
  const void* function = nullptr;
  std::shared_ptr<const KernelCall> call;
  dim3 grid;
  dim3 block;
  std::size_t shared_bytes = 0;
};

// What an operation of a stream or a node of a graph does.
struct Task {
  enum class Kind { empty, kernel, copy, fill, host, library, mark };
  Kind kind = Kind::empty;
  std::string name;
  std::shared_ptr<const KernelLaunch> kernel;
  std::function<void()> work;   // copy, fill, library: with the device memory accessible
  std::function<void()> host;   // without it, and without the lock
  std::size_t bytes = 0;        // of a copy
  cudaEvent_t event = nullptr;  // mark: recorded by each launch of its graph
};

// An executable graph: tasks and, for each, who comes after it.
struct Plan {
  std::vector<Task> tasks;
  std::vector<std::vector<std::size_t>> successors;
  std::vector<std::size_t> dependencies;  // counts
};

struct GraphRun {
  std::shared_ptr<const Plan> plan;
  std::vector<std::size_t> missing;  // dependencies of each node that have not completed
  std::vector<std::size_t> ready;
  std::map<std::size_t, PointRef> marks;  // by node
  std::size_t completed = 0;
  std::size_t failing_node = ~std::size_t{0};  // planted
};

struct Operation {
  Task task;
  std::unique_ptr<GraphRun> graph;  // instead of the task
  std::vector<PointRef> after;      // besides the stream's earlier operations
  PointRef done;
  cudaError_t planted = cudaSuccess;
  bool running = false;  // a host function, on some thread
};

struct Capture;

}  // namespace emulation::detail

struct CUstream_st {
  unsigned long long id = 0;
  unsigned int flags = 0;
  int priority = 0;
  int device = 0;
  std::deque<emulation::detail::Operation> queue;
  emulation::detail::PointRef last;
  std::shared_ptr<emulation::detail::Capture> capture;
  std::vector<CUgraphNode_st*> tips;  // what the next captured node depends on
};

struct CUevent_st {
  unsigned int flags = 0;
  emulation::detail::PointRef point;  // of the latest record
  std::shared_ptr<emulation::detail::Capture> capture;
  std::vector<CUgraphNode_st*> tips;
};

struct CUgraphNode_st {
  CUgraph_st* graph = nullptr;
  std::size_t index = 0;
  emulation::detail::Task task;
  std::vector<CUgraphNode_st*> dependencies;
};

struct CUgraph_st {
  std::vector<std::unique_ptr<CUgraphNode_st>> nodes;
};

struct CUgraphExec_st {
  std::shared_ptr<const emulation::detail::Plan> plan;
  emulation::detail::PointRef last;  // launches of one executable graph follow each other
};

struct CUmemPoolHandle_st {
  std::uint64_t release_threshold = 0;
};

namespace emulation::detail {

struct Capture {
  unsigned long long id = 0;
  std::unique_ptr<CUgraph_st> graph;
  CUstream_st* origin = nullptr;
  cudaStreamCaptureMode mode = cudaStreamCaptureModeGlobal;
  std::thread::id thread;
  bool invalid = false;
  bool ended = false;
  std::vector<CUstream_st*> streams;
};

struct FunctionState {
  int static_shared = 0;
  int max_dynamic_shared = 0;
  int carveout = -1;
};

struct PinnedMemory {
  std::size_t bytes = 0;
  unsigned int flags = 0;
  bool owned = false;  // allocated here, not registered
};

// Whether a call could make the device wait, which CUDA forbids while a stream is captured.
enum class During { capture_allowed, capture_unsafe };

using Lock = std::unique_lock<std::mutex>;

class Runtime {
 public:
  static Runtime& instance();

  // Runs `body(runtime, lock)` under the lock after the checks common to all calls, and remembers
  // its error for cudaGetLastError.
  template <typename Body>
  cudaError_t call(During during, Body&& body) {
    if (in_host_function()) return remember(cudaErrorNotPermitted);
    Lock lock(mutex_);
    if (device_count_ == 0) return remember(cudaErrorInsufficientDriver);
    if (sticky_ != cudaSuccess) return remember(sticky_);
    if (during == During::capture_unsafe) {
      const cudaError_t error = refuse_during_capture();
      if (error != cudaSuccess) return remember(error);
    }
    const cudaError_t error = body(*this, lock);
    return remember(error != cudaSuccess ? error : cudaSuccess);
  }

  // As above for calls that give something back: after a sticky error they still do.
  template <typename Body>
  cudaError_t release_call(During during, Body&& body) {
    if (in_host_function()) return remember(cudaErrorNotPermitted);
    Lock lock(mutex_);
    if (device_count_ == 0) return remember(cudaErrorInsufficientDriver);
    if (during == During::capture_unsafe && sticky_ == cudaSuccess) {
      const cudaError_t error = refuse_during_capture();
      if (error != cudaSuccess) return remember(error);
    }
    const cudaError_t error = body(*this, lock);
    return remember(sticky_ != cudaSuccess ? sticky_ : error);
  }

  static cudaError_t remember(cudaError_t error);
  static bool& in_host_function();

  // ---- Queueing
  // Null for a handle that names no stream.
  CUstream_st* stream_of(cudaStream_t handle);
  bool is_event(cudaEvent_t event) const;
  // Appends to the stream, or to the graph it is captured into. A stream that may not be used
  // during a capture gives the error of that.
  cudaError_t enqueue(CUstream_st& stream, Task task, PointRef* done, Lock& lock,
                      std::vector<PointRef> after = {});
  cudaError_t enqueue_operation(CUstream_st& stream, Operation operation, PointRef* done,
                                Lock& lock);
  cudaError_t launch(const cudaLaunchConfig_t& config, const void* function,
                     std::shared_ptr<const KernelCall> call,
                     const std::vector<const void*>& pointers, Lock& lock);
  cudaError_t copy(void* to, std::size_t to_pitch, const void* from, std::size_t from_pitch,
                   std::size_t width, std::size_t height, cudaMemcpyKind kind, CUstream_st& stream,
                   bool blocking, Lock& lock);
  cudaError_t fill(void* to, std::size_t pitch, int value, std::size_t width, std::size_t height,
                   CUstream_st& stream, Lock& lock);

  // ---- Executing
  cudaError_t run_until(const std::vector<PointRef>& targets, Lock& lock);
  cudaError_t run_all(Lock& lock);
  void run_some(const std::vector<PointRef>& targets, Lock& lock);
  // Breaks the context, with a report, if one of the pointers is to ordinary host memory.
  cudaError_t refuse_host_pointers(const std::vector<const void*>& pointers, const void* kernel,
                                   const char* function);
  void fail_device(cudaError_t error, const std::string& report);
  void report(const std::string& text);

  // ---- Captures
  CUgraphNode_st* add_node(CUgraph_st& graph, Task task, std::vector<CUgraphNode_st*> dependencies);
  cudaError_t refuse_during_capture();
  void invalidate(Capture& capture) { capture.invalid = true; }
  cudaError_t check_usable(CUstream_st& stream);
  void forget_capture(Capture& capture);

  // ---- Memory
  cudaError_t allocate(void** pointer, std::size_t bytes, CUstream_st* stream, Lock& lock);
  bool planted_allocation_failure();
  const std::pair<const std::uintptr_t, PinnedMemory>* pinned(const void* address) const;
  bool is_device(const void* address) const;
  bool valid_range(const void* address, std::size_t bytes) const;
  FunctionState& state_of(const void* function);
  // The planted error of the launch about to be made, if this is the one.
  cudaError_t planted_launch_failure();

  void reset_device();
  void reset_everything();
  Counters count() const;

  std::mutex mutex_;
  std::condition_variable host_function_done_;
  DeviceMemory memory_;
  Random random_{1};
  std::uint64_t seed_ = 1;
  std::uint64_t launch_number_ = 0;
  double eagerness_ = 0;
  int device_count_ = 1;
  int multiprocessors_ = 132;
  cudaError_t sticky_ = cudaSuccess;
  std::string report_;
  std::uint64_t failing_allocation_ = 0;
  std::uint64_t failing_launch_ = 0;
  cudaError_t launch_failure_ = cudaSuccess;
  Counters counters_;
  unsigned long long next_id_ = 10;

  CUstream_st legacy_;
  std::map<std::thread::id, std::unique_ptr<CUstream_st>> per_thread_;
  std::vector<std::unique_ptr<CUstream_st>> streams_;  // in order of creation
  std::vector<std::unique_ptr<CUevent_st>> events_;
  std::vector<std::unique_ptr<CUgraph_st>> graphs_;
  std::vector<std::unique_ptr<CUgraphExec_st>> executables_;
  std::vector<std::shared_ptr<Capture>> captures_;  // under way
  std::map<std::uintptr_t, PinnedMemory> pinned_;
  std::map<std::uintptr_t, std::size_t> symbols_;
  std::unordered_map<const void*, FunctionState> functions_;
  CUmemPoolHandle_st pool_;
  std::uint64_t live_handles_ = 0;
  std::uint64_t generation_ = 0;  // of resets, so that library handles notice

 private:
  Runtime();

  std::vector<CUstream_st*> all_streams();
  bool free_to_run(const CUstream_st& stream) const;
  void collect_needed(CUstream_st& stream, std::vector<CUstream_st*>& visited,
                      std::vector<CUstream_st*>& needed);
  bool step(const std::vector<PointRef>& targets, double wander, bool host_functions, Lock& lock);
  void execute_head(CUstream_st& stream, Lock& lock);
  void execute(const Task& task, cudaError_t planted, Lock& lock);
  void run_kernel(const KernelLaunch& kernel);
  void drop_queues();
  void close_memory();
  void track_depth();
};

// Whether an error breaks the context: it then stays until the device is reset.
bool is_sticky(cudaError_t error);

// For cuBLAS and cuSOLVER: queues work on a stream. `pointers` are the operands, which must not lie
// in ordinary host memory; with `wait` the call returns when the work is done.
cudaError_t enqueue_library(cudaStream_t stream, const char* name,
                            const std::vector<const void*>& pointers, std::function<void()> work,
                            bool wait = false);

template <typename T>
bool erase_owned(std::vector<std::unique_ptr<T>>& items, const T* item) {
  for (auto i = items.begin(); i != items.end(); ++i) {
    if (i->get() == item) {
      items.erase(i);
      return true;
    }
  }
  return false;
}

template <typename T>
bool owns(const std::vector<std::unique_ptr<T>>& items, const T* item) {
  for (const auto& i : items) {
    if (i.get() == item) return true;
  }
  return false;
}

}  // namespace emulation::detail
