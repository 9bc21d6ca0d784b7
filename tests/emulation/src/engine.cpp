// The order of execution, errors and captures: the parts of Runtime that API calls share.
#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "block.hpp"
#include "faults.hpp"
#include "runtime.hpp"
#include "settings.hpp"
#include "symbols.hpp"

namespace emulation::detail {
namespace {

thread_local cudaError_t last_error = cudaSuccess;
thread_local cudaStreamCaptureMode capture_mode_of_thread = cudaStreamCaptureModeGlobal;

bool contains(const std::vector<CUstream_st*>& streams, const CUstream_st* stream) {
  return std::find(streams.begin(), streams.end(), stream) != streams.end();
}

bool all_reached(const std::vector<PointRef>& points) {
  return std::all_of(points.begin(), points.end(), [](const PointRef& p) { return p->reached; });
}

void reach(Point& point) {
  point.reached = true;
  point.when = std::chrono::steady_clock::now();
}

std::string describe(const dim3& d) {
  return "(" + std::to_string(d.x) + "," + std::to_string(d.y) + "," + std::to_string(d.z) + ")";
}

// Host functions run only when somebody waits for them: the caller of anything else may hold a lock
// that they take.
bool is_next_host(const Operation& operation) {
  if (!operation.graph) return operation.task.kind == Task::Kind::host;
  const GraphRun& run = *operation.graph;
  return std::any_of(run.ready.begin(), run.ready.end(), [&run](std::size_t node) {
    return run.plan->tasks[node].kind == Task::Kind::host;
  });
}

}  // namespace

bool is_sticky(cudaError_t error) {
  switch (error) {
    case cudaErrorECCUncorrectable:
    case cudaErrorNvlinkUncorrectable:
    case cudaErrorContained:
    case cudaErrorIllegalAddress:
    case cudaErrorLaunchTimeout:
    case cudaErrorAssert:
    case cudaErrorHardwareStackError:
    case cudaErrorIllegalInstruction:
    case cudaErrorMisalignedAddress:
    case cudaErrorInvalidAddressSpace:
    case cudaErrorInvalidPc:
    case cudaErrorLaunchFailure:
    case cudaErrorTensorMemoryLeak:
    case cudaErrorUnknown:
      return true;
    default:
      return false;
  }
}

// Never destroyed: static objects of the program may still free device memory when it ends.
Runtime& Runtime::instance() {
  static Runtime& runtime = *new Runtime;
  return runtime;
}

Runtime::Runtime() {
  install_fault_handler(memory_);
  reset_everything();
}

cudaError_t Runtime::remember(cudaError_t error) {
  if (error != cudaSuccess) last_error = error;
  return error;
}

bool& Runtime::in_host_function() {
  thread_local bool inside = false;
  return inside;
}

// ---- Queueing

CUstream_st* Runtime::stream_of(cudaStream_t handle) {
  if (handle == nullptr || handle == cudaStreamLegacy) return &legacy_;
  if (handle == cudaStreamPerThread) {
    auto& stream = per_thread_[std::this_thread::get_id()];
    if (!stream) {
      stream = std::make_unique<CUstream_st>();
      stream->id = next_id_++;
    }
    return stream.get();
  }
  return owns(streams_, static_cast<const CUstream_st*>(handle)) ? handle : nullptr;
}

bool Runtime::is_event(cudaEvent_t event) const {
  return owns(events_, static_cast<const CUevent_st*>(event));
}

cudaError_t Runtime::check_usable(CUstream_st& stream) {
  if (stream.capture && stream.capture->invalid) return cudaErrorStreamCaptureInvalidated;
  if (&stream != &legacy_) return cudaSuccess;
  // The legacy stream waits for every blocking stream, also for one that is being captured.
  cudaError_t error = cudaSuccess;
  for (const auto& capture : captures_) {
    for (const CUstream_st* captured : capture->streams) {
      if ((captured->flags & cudaStreamNonBlocking) == 0) {
        invalidate(*capture);
        error = cudaErrorStreamCaptureImplicit;
      }
    }
  }
  return error;
}

cudaError_t Runtime::enqueue(CUstream_st& stream, Task task, PointRef* done, Lock& lock,
                             std::vector<PointRef> after) {
  const cudaError_t error = check_usable(stream);
  if (error != cudaSuccess) return error;
  if (stream.capture) {
    stream.tips = {add_node(*stream.capture->graph, std::move(task), stream.tips)};
    return cudaSuccess;
  }
  Operation operation;
  operation.task = std::move(task);
  operation.after = std::move(after);
  return enqueue_operation(stream, std::move(operation), done, lock);
}

cudaError_t Runtime::enqueue_operation(CUstream_st& stream, Operation operation, PointRef* done,
                                       Lock& lock) {
  const auto wait_for = [&operation](const PointRef& point) {
    if (point && !point->reached) operation.after.push_back(point);
  };
  if (&stream == &legacy_) {
    for (CUstream_st* other : all_streams()) {
      if (other != &legacy_ && (other->flags & cudaStreamNonBlocking) == 0) wait_for(other->last);
    }
  } else if ((stream.flags & cudaStreamNonBlocking) == 0) {
    wait_for(legacy_.last);
  }
  operation.done = std::make_shared<Point>();
  operation.done->stream = &stream;
  stream.last = operation.done;
  if (done != nullptr) *done = operation.done;
  stream.queue.push_back(std::move(operation));
  track_depth();
  if (random_.chance(eagerness_)) {
    step({}, 1.0, false, lock);
    close_memory();
  }
  return cudaSuccess;  // what went wrong just now is for a later call to report
}

void Runtime::track_depth() {
  std::uint64_t operations = 0;
  std::uint64_t busy = 0;
  for (const CUstream_st* stream : all_streams()) {
    operations += stream->queue.size();
    busy += stream->queue.empty() ? 0 : 1;
  }
  counters_.max_in_flight = std::max(counters_.max_in_flight, operations);
  counters_.max_busy_streams = std::max(counters_.max_busy_streams, busy);
}

cudaError_t Runtime::launch(const cudaLaunchConfig_t& config, const void* function,
                            std::shared_ptr<const KernelCall> call,
                            const std::vector<const void*>& pointers, Lock& lock) {
  CUstream_st* stream = stream_of(config.stream);
  if (stream == nullptr) return cudaErrorInvalidResourceHandle;
  if (function == nullptr) return cudaErrorInvalidDeviceFunction;
  const dim3& grid = config.gridDim;
  const dim3& block = config.blockDim;
  const std::uint64_t threads = std::uint64_t{block.x} * block.y * block.z;
  if (threads == 0 || block.x > 1024 || block.y > 1024 || block.z > 64 ||
      threads > max_block_threads || grid.x == 0 || grid.y == 0 || grid.z == 0 ||
      grid.x > 0x7fffffffU || grid.y > 65535 || grid.z > 65535) {
    return cudaErrorInvalidConfiguration;
  }
  if (config.dynamicSmemBytes > static_cast<std::size_t>(state_of(function).max_dynamic_shared)) {
    return cudaErrorInvalidValue;
  }
  for (unsigned int i = 0; i < config.numAttrs; ++i) {
    const cudaLaunchAttribute& attribute = config.attrs[i];
    if (attribute.id == cudaLaunchAttributeCooperative && attribute.val.cooperative != 0) {
      // Blocks of one grid take turns on few threads, so that they cannot wait for each other.
      if (std::uint64_t{grid.x} * grid.y * grid.z != 1) return cudaErrorCooperativeLaunchTooLarge;
    } else if (attribute.id == cudaLaunchAttributeClusterDimension) {
      const auto& cluster = attribute.val.clusterDim;
      if (cluster.x * cluster.y * cluster.z != 1) return cudaErrorNotSupported;
    }
  }
  const cudaError_t foreign = refuse_host_pointers(pointers, function, nullptr);
  if (foreign != cudaSuccess) return foreign;

  Task task;
  task.kind = Task::Kind::kernel;
  task.name = "kernel";
  auto kernel = std::make_shared<KernelLaunch>();
  kernel->function = function;
  kernel->call = std::move(call);
  kernel->grid = grid;
  kernel->block = block;
  kernel->shared_bytes = config.dynamicSmemBytes;
  task.kernel = std::move(kernel);

  if (stream->capture) return enqueue(*stream, std::move(task), nullptr, lock);
  const cudaError_t error = check_usable(*stream);
  if (error != cudaSuccess) return error;
  Operation operation;
  operation.planted = planted_launch_failure();
  if (operation.planted != cudaSuccess && !is_sticky(operation.planted)) return operation.planted;
  operation.task = std::move(task);
  ++counters_.launches;
  return enqueue_operation(*stream, std::move(operation), nullptr, lock);
}

// Static and dynamic shared memory share the limit.
FunctionState& Runtime::state_of(const void* function) {
  const auto [entry, fresh] = functions_.try_emplace(function);
  if (fresh) {
    entry->second.static_shared = static_cast<int>(kernel_info(function).shared_bytes);
    entry->second.max_dynamic_shared = std::max(0, 48 * 1024 - entry->second.static_shared);
  }
  return entry->second;
}

cudaError_t Runtime::refuse_host_pointers(const std::vector<const void*>& pointers,
                                          const void* kernel, const char* function) {
  for (const void* pointer : pointers) {
    if (pointer == nullptr || is_device(pointer) || pinned(pointer) != nullptr) continue;
    fail_device(cudaErrorIllegalAddress,
                (kernel != nullptr ? "kernel " + kernel_name(kernel) : std::string(function)) +
                    " is given a pointer to host memory");
    return sticky_;
  }
  return cudaSuccess;
}

cudaError_t Runtime::planted_launch_failure() {
  if (failing_launch_ == 0 || --failing_launch_ != 0) return cudaSuccess;
  return launch_failure_;
}

bool Runtime::planted_allocation_failure() {
  return failing_allocation_ != 0 && --failing_allocation_ == 0;
}

bool Runtime::is_device(const void* address) const {
  if (memory_.contains(address)) return true;
  auto after = symbols_.upper_bound(reinterpret_cast<std::uintptr_t>(address));
  if (after == symbols_.begin()) return false;
  --after;
  return reinterpret_cast<std::uintptr_t>(address) - after->first <= after->second;
}

const std::pair<const std::uintptr_t, PinnedMemory>* Runtime::pinned(const void* address) const {
  auto after = pinned_.upper_bound(reinterpret_cast<std::uintptr_t>(address));
  if (after == pinned_.begin()) return nullptr;
  --after;
  return reinterpret_cast<std::uintptr_t>(address) - after->first <= after->second.bytes ? &*after
                                                                                         : nullptr;
}

// Whether [address, address + bytes) lies within one allocation; true for what is not of the
// device.
bool Runtime::valid_range(const void* address, std::size_t bytes) const {
  if (!memory_.contains(address)) return true;
  const Allocation* allocation = memory_.find(address);
  if (allocation == nullptr) return false;
  const auto offset =
      static_cast<std::size_t>(static_cast<const unsigned char*>(address) - allocation->data);
  return offset <= allocation->bytes && bytes <= allocation->bytes - offset;
}

cudaError_t Runtime::copy(void* to, std::size_t to_pitch, const void* from, std::size_t from_pitch,
                          std::size_t width, std::size_t height, cudaMemcpyKind kind,
                          CUstream_st& stream, bool blocking, Lock& lock) {
  if (height > 1 && (to_pitch < width || from_pitch < width)) return cudaErrorInvalidPitchValue;
  if (width == 0 || height == 0) return cudaSuccess;
  if (to == nullptr || from == nullptr) return cudaErrorInvalidValue;
  if (kind < cudaMemcpyHostToHost || kind > cudaMemcpyDefault) {
    return cudaErrorInvalidMemcpyDirection;
  }
  const bool to_device = is_device(to);
  const bool from_device = is_device(from);
  const bool says_to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
  const bool says_from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
  // Pinned memory is visible from both sides, so that either word fits it.
  const auto fits = [this](const void* address, bool on_device, bool said) {
    return on_device == said || (!on_device && pinned(address) != nullptr);
  };
  if (kind != cudaMemcpyDefault &&
      (!fits(to, to_device, says_to_device) || !fits(from, from_device, says_from_device))) {
    return cudaErrorInvalidValue;
  }
  if (!valid_range(to, (height - 1) * to_pitch + width) ||
      !valid_range(from, (height - 1) * from_pitch + width)) {
    return cudaErrorInvalidValue;
  }
  const cudaError_t usable = check_usable(stream);
  if (usable != cudaSuccess) return usable;

  const bool captured = stream.capture != nullptr;
  const bool to_pageable = !to_device && pinned(to) == nullptr;
  const bool from_pageable = !from_device && pinned(from) == nullptr;
  const bool wait = !captured && ((blocking && !(to_device && from_device)) || to_pageable);

  // Pageable memory is read by the call; pinned memory when the copy executes, which may be later.
  std::shared_ptr<std::vector<unsigned char>> staged;
  if (from_pageable && !wait && !captured) {
    staged = std::make_shared<std::vector<unsigned char>>(width * height);
    for (std::size_t row = 0; row < height; ++row) {
      std::memcpy(staged->data() + row * width,
                  static_cast<const unsigned char*>(from) + row * from_pitch, width);
    }
    from_pitch = width;
  }
  Task task;
  task.kind = Task::Kind::copy;
  task.name = "copy";
  task.bytes = width * height;
  task.work = [=] {
    const auto* source = static_cast<const unsigned char*>(staged ? staged->data() : from);
    for (std::size_t row = 0; row < height; ++row) {
      std::memcpy(static_cast<unsigned char*>(to) + row * to_pitch, source + row * from_pitch,
                  width);
    }
  };
  PointRef done;
  const cudaError_t error = enqueue(stream, std::move(task), &done, lock);
  return error == cudaSuccess && wait ? run_until({done}, lock) : error;
}

cudaError_t Runtime::fill(void* to, std::size_t pitch, int value, std::size_t width,
                          std::size_t height, CUstream_st& stream, Lock& lock) {
  if (height > 1 && pitch < width) return cudaErrorInvalidPitchValue;
  if (width == 0 || height == 0) return cudaSuccess;
  if (!is_device(to) && pinned(to) == nullptr) return cudaErrorInvalidValue;
  if (!valid_range(to, (height - 1) * pitch + width)) return cudaErrorInvalidValue;
  Task task;
  task.kind = Task::Kind::fill;
  task.name = "memset";
  task.work = [=] {
    for (std::size_t row = 0; row < height; ++row) {
      std::memset(static_cast<unsigned char*>(to) + row * pitch, value, width);
    }
  };
  return enqueue(stream, std::move(task), nullptr, lock);
}

// ---- Executing

std::vector<CUstream_st*> Runtime::all_streams() {
  std::vector<CUstream_st*> streams{&legacy_};
  for (const auto& [thread, stream] : per_thread_) streams.push_back(stream.get());
  for (const auto& stream : streams_) streams.push_back(stream.get());
  return streams;
}

bool Runtime::free_to_run(const CUstream_st& stream) const {
  return !stream.queue.empty() && !stream.queue.front().running &&
         all_reached(stream.queue.front().after);
}

// The streams that can run now and whose progress brings this one closer to running on.
void Runtime::collect_needed(CUstream_st& stream, std::vector<CUstream_st*>& visited,
                             std::vector<CUstream_st*>& needed) {
  if (stream.queue.empty() || contains(visited, &stream)) return;
  visited.push_back(&stream);
  if (free_to_run(stream)) {
    needed.push_back(&stream);
    return;
  }
  for (const PointRef& point : stream.queue.front().after) {
    if (!point->reached) collect_needed(*point->stream, visited, needed);
  }
}

// Executes one operation (or one node of a graph). With probability `wander` any that may run,
// otherwise one that the targets need. False when nothing could be executed.
bool Runtime::step(const std::vector<PointRef>& targets, double wander, bool host_functions,
                   Lock& lock) {
  std::vector<CUstream_st*> visited;
  std::vector<CUstream_st*> needed;
  for (const PointRef& target : targets) {
    if (!target->reached) collect_needed(*target->stream, visited, needed);
  }
  std::vector<CUstream_st*> candidates;
  if (needed.empty() || random_.chance(wander)) {
    for (CUstream_st* stream : all_streams()) {
      if (!free_to_run(*stream)) continue;
      const bool wanted = host_functions && contains(needed, stream);
      if (wanted || !is_next_host(stream->queue.front())) candidates.push_back(stream);
    }
  }
  if (candidates.empty()) candidates = needed;
  if (candidates.empty()) return false;
  execute_head(*candidates[random_.below(static_cast<std::uint32_t>(candidates.size()))], lock);
  return true;
}

void Runtime::execute_head(CUstream_st& stream, Lock& lock) {
  Operation& operation = stream.queue.front();
  operation.running = true;
  if (operation.graph) {
    GraphRun& run = *operation.graph;
    if (!run.ready.empty()) {
      const std::size_t pick = random_.below(static_cast<std::uint32_t>(run.ready.size()));
      const std::size_t node = run.ready[pick];
      run.ready.erase(run.ready.begin() + static_cast<std::ptrdiff_t>(pick));
      const Task& task = run.plan->tasks[node];
      if (task.kind == Task::Kind::kernel) ++counters_.graph_kernels;
      execute(task, node == run.failing_node ? operation.planted : cudaSuccess, lock);
      if (sticky_ != cudaSuccess) return drop_queues();
      if (task.kind == Task::Kind::mark) reach(*run.marks.at(node));
      ++run.completed;
      for (const std::size_t next : run.plan->successors[node]) {
        if (--run.missing[next] == 0) run.ready.push_back(next);
      }
    }
    operation.running = false;
    if (run.completed != run.plan->tasks.size()) return;
  } else {
    execute(operation.task, operation.planted, lock);
    if (sticky_ != cudaSuccess) return drop_queues();
  }
  reach(*operation.done);
  stream.queue.pop_front();
}

void Runtime::execute(const Task& task, cudaError_t planted, Lock& lock) {
  switch (task.kind) {
    case Task::Kind::empty:
    case Task::Kind::mark:
      return;
    case Task::Kind::kernel:
      if (planted != cudaSuccess) {
        return fail_device(planted,
                           "planted failure of kernel " + kernel_name(task.kernel->function));
      }
      return run_kernel(*task.kernel);
    case Task::Kind::host: {
      close_memory();
      const std::function<void()> function = task.host;  // the queue may be dropped meanwhile
      lock.unlock();
      in_host_function() = true;
      function();
      in_host_function() = false;
      lock.lock();
      host_function_done_.notify_all();
      return;
    }
    case Task::Kind::copy:
      ++counters_.copies;
      counters_.bytes += task.bytes;
      [[fallthrough]];
    case Task::Kind::fill:
    case Task::Kind::library:
      memory_.open();
      task.work();
      if (task.kind == Task::Kind::library) {
        const std::string damage = memory_.verify();
        if (!damage.empty()) {
          fail_device(cudaErrorIllegalAddress,
                      "a write outside of device memory by " + task.name + ": " + damage);
        }
      }
      return;
  }
}

void Runtime::run_kernel(const KernelLaunch& kernel) {
  Grid grid;
  grid.call = kernel.call.get();
  grid.function = kernel.function;
  grid.info = &kernel_info(kernel.function);
  grid.grid = kernel.grid;
  grid.block = kernel.block;
  grid.shared_bytes = kernel.shared_bytes;
  grid.seed = seed_;
  grid.launch = ++launch_number_;
  memory_.open();
  run_grid(grid);
  const std::string damage = memory_.verify();
  if (grid.failed) fail_device(grid.error, grid.report);
  if (!damage.empty()) {
    fail_device(cudaErrorIllegalAddress,
                "a write outside of device memory by kernel " + kernel_name(kernel.function) +
                    ", grid " + describe(kernel.grid) + " of blocks " + describe(kernel.block) +
                    ": " + damage + " (seed " + std::to_string(seed_) + ", launch " +
                    std::to_string(grid.launch) + ")");
  }
}

void Runtime::close_memory() { memory_.close(); }

// A broken context executes nothing more; whoever waits learns the error.
void Runtime::drop_queues() {
  for (CUstream_st* stream : all_streams()) {
    for (Operation& operation : stream->queue) {
      operation.done->reached = true;
      if (!operation.graph) continue;
      for (const auto& [node, point] : operation.graph->marks) point->reached = true;
    }
    stream->queue.clear();
  }
  host_function_done_.notify_all();
}

void Runtime::report(const std::string& text) {
  report_ = text;
  print_report(text.c_str());
}

void Runtime::fail_device(cudaError_t error, const std::string& text) {
  report(text);
  if (sticky_ == cudaSuccess) sticky_ = error;
}

cudaError_t Runtime::run_until(const std::vector<PointRef>& targets, Lock& lock) {
  // How far this wait strays from what it needs: half of all waits not at all.
  const double wander = random_.chance(0.5) ? 0.0 : static_cast<double>(random_.below(101)) / 100.0;
  while (sticky_ == cudaSuccess && !all_reached(targets)) {
    if (step(targets, wander, true, lock)) continue;
    // Only a host function on another thread can be in the way: points never wait in circles.
    host_function_done_.wait(lock);
  }
  close_memory();
  return sticky_;
}

cudaError_t Runtime::run_all(Lock& lock) {
  std::vector<PointRef> targets;
  for (const CUstream_st* stream : all_streams()) {
    if (stream->last) targets.push_back(stream->last);
  }
  return run_until(targets, lock);
}

// The progress that a query sees: none, or some.
void Runtime::run_some(const std::vector<PointRef>& targets, Lock& lock) {
  const std::uint32_t steps = random_.below(3);
  for (std::uint32_t i = 0; i < steps && sticky_ == cudaSuccess && !all_reached(targets); ++i) {
    if (!step(targets, 0.25, true, lock)) break;
  }
  close_memory();
}

// ---- Captures

CUgraphNode_st* Runtime::add_node(CUgraph_st& graph, Task task,
                                  std::vector<CUgraphNode_st*> dependencies) {
  auto node = std::make_unique<CUgraphNode_st>();
  node->graph = &graph;
  node->index = graph.nodes.size();
  node->task = std::move(task);
  node->dependencies = std::move(dependencies);
  graph.nodes.push_back(std::move(node));
  return graph.nodes.back().get();
}

// Forgets the capture in its streams; events keep it, as "recorded in a capture".
void Runtime::forget_capture(Capture& capture) {
  capture.ended = true;
  for (CUstream_st* stream : capture.streams) {
    stream->capture = nullptr;
    stream->tips.clear();
  }
  capture.streams.clear();
  std::erase_if(captures_, [&capture](const auto& c) { return c.get() == &capture; });
}

void Runtime::reset_device() {
  drop_queues();
  while (!captures_.empty()) forget_capture(*std::shared_ptr<Capture>(captures_.back()));
  streams_.clear();
  per_thread_.clear();
  legacy_ = CUstream_st{};
  legacy_.id = 1;
  events_.clear();
  graphs_.clear();
  executables_.clear();
  functions_.clear();
  symbols_.clear();
  for (const auto& [address, memory] : pinned_) {
    if (memory.owned) std::free(reinterpret_cast<void*>(address));
  }
  pinned_.clear();
  memory_.release_all();
  sticky_ = cudaSuccess;
  ++generation_;
}

void Runtime::reset_everything() {
  reset_device();
  seed_ = environment_integer("EMULATION_SEED", 1);
  random_ = Random(seed_);
  launch_number_ = 0;
  eagerness_ = environment_number("EMULATION_EAGERNESS", 0.1);
  device_count_ = 1;
  multiprocessors_ = 132;
  memory_.set_capacity(static_cast<std::size_t>(
      environment_integer("EMULATION_TOTAL_MEMORY", std::uint64_t{4} << 30)));
  report_.clear();
  failing_allocation_ = 0;
  failing_launch_ = 0;
  launch_failure_ = cudaSuccess;
  counters_ = Counters{};
  live_handles_ = 0;
  last_error = cudaSuccess;
  capture_mode_of_thread = cudaStreamCaptureModeGlobal;
  set_grid_threads(0);
}

Counters Runtime::count() const {
  Counters counters = counters_;
  counters.live_allocations = memory_.live();
  for (const auto& [address, memory] : pinned_) counters.live_allocations += memory.owned ? 1 : 0;
  counters.live_bytes = memory_.payload();
  counters.peak_bytes = memory_.peak();
  counters.live_streams = streams_.size();
  counters.live_events = events_.size();
  counters.live_graphs = graphs_.size() + executables_.size();
  counters.live_handles = live_handles_;
  return counters;
}

cudaError_t enqueue_library(cudaStream_t handle, const char* name,
                            const std::vector<const void*>& pointers, std::function<void()> work,
                            bool wait) {
  return Runtime::instance().call(
      During::capture_allowed, [&](Runtime& runtime, Lock& lock) -> cudaError_t {
        CUstream_st* stream = runtime.stream_of(handle);
        if (stream == nullptr) return cudaErrorInvalidResourceHandle;
        if (wait && stream->capture) {
          runtime.invalidate(*stream->capture);
          return cudaErrorStreamCaptureUnsupported;
        }
        const cudaError_t foreign = runtime.refuse_host_pointers(pointers, nullptr, name);
        if (foreign != cudaSuccess) return foreign;
        Task task;
        task.kind = Task::Kind::library;
        task.name = name;
        task.work = std::move(work);
        ++runtime.counters_.library_calls;
        PointRef done;
        const cudaError_t error = runtime.enqueue(*stream, std::move(task), &done, lock);
        return error == cudaSuccess && wait ? runtime.run_until({done}, lock) : error;
      });
}

cudaError_t Runtime::refuse_during_capture() {
  if (capture_mode_of_thread == cudaStreamCaptureModeRelaxed) return cudaSuccess;
  cudaError_t error = cudaSuccess;
  for (const auto& capture : captures_) {
    const bool own = capture->thread == std::this_thread::get_id();
    const bool concerns = own ? capture->mode != cudaStreamCaptureModeRelaxed
                              : capture->mode == cudaStreamCaptureModeGlobal &&
                                    capture_mode_of_thread == cudaStreamCaptureModeGlobal;
    if (concerns) {
      invalidate(*capture);
      error = cudaErrorStreamCaptureUnsupported;
    }
  }
  return error;
}

cudaError_t launch(const cudaLaunchConfig_t* config, const void* function,
                   std::shared_ptr<const KernelCall> call,
                   const std::vector<const void*>& pointers) {
  return Runtime::instance().call(
      During::capture_allowed, [&](Runtime& runtime, Lock& lock) -> cudaError_t {
        if (config == nullptr) return cudaErrorInvalidValue;
        return runtime.launch(*config, function, std::move(call), pointers, lock);
      });
}

}  // namespace emulation::detail

using emulation::detail::During;
using emulation::detail::Lock;
using emulation::detail::Runtime;

extern "C" {

cudaError_t cudaGetLastError() {
  Runtime& runtime = Runtime::instance();
  const Lock lock(runtime.mutex_);
  const cudaError_t error =
      runtime.sticky_ != cudaSuccess ? runtime.sticky_ : emulation::detail::last_error;
  emulation::detail::last_error = cudaSuccess;
  return error;
}

cudaError_t cudaPeekAtLastError() {
  Runtime& runtime = Runtime::instance();
  const Lock lock(runtime.mutex_);
  return runtime.sticky_ != cudaSuccess ? runtime.sticky_ : emulation::detail::last_error;
}

cudaError_t cudaThreadExchangeStreamCaptureMode(cudaStreamCaptureMode* mode) {
  return Runtime::instance().call(During::capture_allowed, [&](Runtime&, Lock&) {
    std::swap(*mode, emulation::detail::capture_mode_of_thread);
    return cudaSuccess;
  });
}

}  // extern "C"
