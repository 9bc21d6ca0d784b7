// The CUDA executor. Work goes to one stream; copies out go to a second one behind events, so that
// stepping never waits for them. `record` captures the first stream into a graph.
#include <algorithm>
#include <array>
#include <memory>
#include <stdexcept>
#include <string>
#include <unordered_map>
#include <vector>

#include <nvtx3/nvToolsExt.h>

#include "core/executor/cuda/check.cuh"
#include "core/executor/cuda/cuda_executor.cuh"
#include "core/executor/cuda/gap_meter.cuh"
#include "core/executor/cuda/handles.cuh"

namespace manyfold {
namespace {

class DeviceMemory {
 public:
  explicit DeviceMemory(std::size_t bytes) {
    check(cudaMalloc(&memory_, bytes), "allocating a library workspace");
  }
  DeviceMemory(const DeviceMemory&) = delete;
  DeviceMemory& operator=(const DeviceMemory&) = delete;
  ~DeviceMemory() { complain(cudaFree(memory_), "releasing a library workspace"); }
  void* get() const { return memory_; }

 private:
  void* memory_ = nullptr;
};

/// cuBLAS keeps results repeatable only with a workspace that no other stream uses, and forgets it
/// at each change of stream: so one handle, one stream, one workspace, set in this order.
class Cublas {
 public:
  explicit Cublas(cudaStream_t stream) : workspace_(workspace_bytes) {
    check(cublasCreate(&handle_), "starting cuBLAS");
    check(cublasSetStream(handle_, stream), "giving cuBLAS its stream");
    check(cublasSetWorkspace(handle_, workspace_.get(), workspace_bytes),
          "giving cuBLAS its workspace");
    check(cublasSetMathMode(handle_, CUBLAS_DEFAULT_MATH), "setting cuBLAS's math mode");
  }
  Cublas(const Cublas&) = delete;
  Cublas& operator=(const Cublas&) = delete;
  ~Cublas() { (void)cublasDestroy(handle_); }
  cublasHandle_t get() const { return handle_; }

 private:
  static constexpr std::size_t workspace_bytes = std::size_t{32} << 20;  // what Hopper asks for
  DeviceMemory workspace_;
  cublasHandle_t handle_ = nullptr;
};

class Cusolver {
 public:
  explicit Cusolver(cudaStream_t stream) {
    check(cusolverDnCreate(&handle_), "starting cuSOLVER");
    check(cusolverDnSetStream(handle_, stream), "giving cuSOLVER its stream");
  }
  Cusolver(const Cusolver&) = delete;
  Cusolver& operator=(const Cusolver&) = delete;
  ~Cusolver() { (void)cusolverDnDestroy(handle_); }
  cusolverDnHandle_t get() const { return handle_; }

 private:
  cusolverDnHandle_t handle_ = nullptr;
};

class CudaProgram : public Program {
 public:
  /// `meter` nullptr: replays are not measured.
  CudaProgram(cudaGraph_t graph, const GapMeter* meter)
      : executable_(std::make_unique<GraphExecutable>(graph)),
        timed_(meter != nullptr ? meter->timed(graph) : nullptr) {}
  /// Of work that waits for the device.
  explicit CudaProgram(std::function<void()> body) : body_(std::move(body)) {}
  cudaGraphExec_t get() const { return executable_->get(); }
  const TimedGraph* timed() const { return timed_.get(); }
  const std::function<void()>& body() const { return body_; }

 private:
  std::unique_ptr<GraphExecutable> executable_;
  std::unique_ptr<TimedGraph> timed_;
  std::function<void()> body_;
};

class CudaExecutorImpl final : public CudaExecutor {
 public:
  CudaExecutorImpl(int device, std::size_t memory_budget, const kernels::KernelTables& tables)
      : tables_(tables),
        device_index_((check(cudaSetDevice(device), "choosing the device"), device)) {
    cudaDeviceProp properties{};
    check(cudaGetDeviceProperties(&properties, device), "asking for the device's properties");
    int driver = 0;
    int runtime = 0;
    check(cudaDriverGetVersion(&driver), "asking for the driver's version");
    check(cudaRuntimeGetVersion(&runtime), "asking for the runtime's version");
    std::size_t free_bytes = 0;
    std::size_t total_bytes = 0;
    check(cudaMemGetInfo(&free_bytes, &total_bytes), "asking for free memory");
    multiprocessors_ = properties.multiProcessorCount;
    shared_memory_ = properties.sharedMemPerBlockOptin;
#if defined(MANYFOLD_EMULATED)
    description_.kind = "emulated";
#else
    description_.kind = "cuda";
#endif
    description_.name = properties.name;
    description_.driver = "driver " + version_text(driver) + ", runtime " + version_text(runtime);
    description_.instruction_set =
        "sm_" + std::to_string(properties.major) + std::to_string(properties.minor);
    description_.compute_units = multiprocessors_;
    description_.shared_memory = shared_memory_;
    description_.memory_budget = memory_budget > 0 ? memory_budget : free_bytes / 10 * 9;
  }

  ~CudaExecutorImpl() override {
    // A sticky error shows here again; the call that met it has reported it already.
    (void)cudaStreamSynchronize(work_.get());
    (void)cudaStreamSynchronize(copies_.get());
  }

  const DeviceDescription& device() const override { return description_; }
  const kernels::KernelTables& kernels() const override { return tables_; }
  cudaStream_t stream() const override { return work_.get(); }
  int multiprocessors() const override { return multiprocessors_; }
  std::size_t shared_memory() const override { return shared_memory_; }
  cublasHandle_t cublas() override {
    if (!cublas_) cublas_ = std::make_unique<Cublas>(work_.get());
    return cublas_->get();
  }
  cusolverDnHandle_t cusolver() override {
    if (!cusolver_) cusolver_ = std::make_unique<Cusolver>(work_.get());
    return cusolver_->get();
  }

  void* allocate(std::size_t bytes) override {
    if (bytes > description_.memory_budget || allocated_ > description_.memory_budget - bytes) {
      throw ResourceError("memory budget of " + std::to_string(description_.memory_budget) +
                          " bytes exceeded: " + std::to_string(allocated_) +
                          " bytes are in use and " + std::to_string(bytes) +
                          " more were asked for");
    }
    void* memory = nullptr;
    check(cudaMalloc(&memory, bytes), "allocating device memory");
    sizes_[memory] = bytes;
    allocated_ += bytes;
    return memory;
  }
  void release(void* memory) noexcept override {
    const auto found = sizes_.find(memory);
    if (found == sizes_.end()) return;
    allocated_ -= found->second;
    sizes_.erase(found);
    complain(cudaFree(memory), "releasing device memory");
  }
  std::size_t allocated() const override { return allocated_; }
  void* allocate_pinned(std::size_t bytes) override {
    void* memory = nullptr;
    check(cudaMallocHost(&memory, bytes), "allocating pinned memory");
    return memory;
  }
  void release_pinned(void* memory) noexcept override {
    complain(cudaFreeHost(memory), "releasing pinned memory");
  }

  void copy_in(void* device, const void* host, std::size_t bytes) override {
    refuse_while_recording("copy_in");
    if (meter_) meter_->interrupt();
    check(cudaMemcpyAsync(device, host, bytes, cudaMemcpyHostToDevice, work_.get()), "copying in");
    // A pageable source may be reused at once, a pinned one only now.
    check(cudaStreamSynchronize(work_.get()), "copying in");
  }
  void copy_out(void* host, const void* device, std::size_t bytes) override {
    refuse_while_recording("copy_out");
    if (meter_) meter_->interrupt();
    check(cudaMemcpyAsync(host, device, bytes, cudaMemcpyDeviceToHost, work_.get()), "copying out");
    check(cudaStreamSynchronize(work_.get()), "copying out");
  }
  void copy_within(void* to, const void* from, std::size_t bytes) override {
    refuse_while_recording("copy_within");
    check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, work_.get()),
          "copying on the device");
  }
  void clear(void* device, std::size_t bytes) override {
    refuse_while_recording("clear");
    if (meter_) meter_->interrupt();
    check(cudaMemsetAsync(device, 0, bytes, work_.get()), "clearing device memory");
  }

  Ticket stage_out(void* pinned, const void* device, std::size_t bytes) override {
    refuse_while_recording("stage_out");
    const std::uint64_t number = next_ticket_++;
    Staging& staging = stagings_[number % stagings_.size()];
    if (staging.used) check(cudaEventSynchronize(staging.copied.get()), "waiting for a copy");
    staging.used = true;
    staging.number = number;
    check(cudaEventRecord(staging.ready.get(), work_.get()), "marking results as ready");
    check(cudaStreamWaitEvent(copies_.get(), staging.ready.get(), 0), "ordering a copy");
    check(cudaMemcpyAsync(pinned, device, bytes, cudaMemcpyDeviceToHost, copies_.get()),
          "copying results out");
    check(cudaEventRecord(staging.copied.get(), copies_.get()), "marking results as copied");
    return {number};
  }
  void wait(Ticket ticket) override {
    if (Staging* staging = find(ticket)) {
      check(cudaEventSynchronize(staging->copied.get()), "waiting for results");
    }
  }
  void hold_for(Ticket ticket) override {
    if (Staging* staging = find(ticket)) {
      check(cudaStreamWaitEvent(work_.get(), staging->copied.get(), 0),
            "ordering work after a copy");
    }
  }

  std::unique_ptr<Program> record(ActiveSlots, std::size_t, const std::function<void()>& body,
                                  bool waits) override {
    refuse_while_recording("record");
    if (waits) return std::make_unique<CudaProgram>(body);
    cublas();  // made now: its workspace cannot be allocated while a stream is captured
    check(cudaStreamBeginCapture(work_.get(), cudaStreamCaptureModeThreadLocal),
          "beginning a capture");
    recording_ = true;
    cudaGraph_t graph = nullptr;
    try {
      body();
    } catch (...) {
      recording_ = false;
      complain(cudaStreamEndCapture(work_.get(), &graph), "ending a failed capture");
      if (graph != nullptr) complain(cudaGraphDestroy(graph), "destroying a graph");
      throw;
    }
    recording_ = false;
    check(cudaStreamEndCapture(work_.get(), &graph), "ending a capture");
    const Graph captured(graph);
    return std::make_unique<CudaProgram>(captured.get(), meter_.get());
  }

  void run(std::span<const Burst> bursts) override {
    refuse_while_recording("run");
    std::int64_t left = 0;
    for (const Burst& burst : bursts) left += std::max<std::int64_t>(burst.repeats, 0);
    for (const Burst& burst : bursts) {
      const auto& program = static_cast<const CudaProgram&>(*burst.program);
      for (std::int64_t i = 0; i < burst.repeats; ++i) {
        --left;
        if (program.body()) {
          program.body()();
        } else if (meter_) {
          meter_->launch(program.get(), program.timed(), work_.get(), left == 0);
        } else {
          check(cudaGraphLaunch(program.get(), work_.get()), "launching a graph");
        }
      }
    }
  }

  void measure_gaps(std::int64_t every) override { meter_ = std::make_unique<GapMeter>(every); }
  ReplayGaps gaps() override { return meter_ ? meter_->result() : ReplayGaps{}; }

  Moment moment() override {
    const std::uint64_t number = next_moment_++;
    auto& event = moments_[number % moments_.size()];
    if (!event) event = std::make_unique<Event>(cudaEventDefault);
    check(cudaEventRecord(event->get(), work_.get()), "marking a moment");
    return {number};
  }
  double seconds_between(Moment from, Moment to) override {
    const cudaEvent_t first = moments_[from.number % moments_.size()]->get();
    const cudaEvent_t last = moments_[to.number % moments_.size()]->get();
    check(cudaEventSynchronize(first), "waiting for a moment");
    check(cudaEventSynchronize(last), "waiting for a moment");
    float milliseconds = 0;
    check(cudaEventElapsedTime(&milliseconds, first, last), "reading the time between moments");
    return 1e-3 * static_cast<double>(milliseconds);
  }
  void push_range(const char* name) override { nvtxRangePushA(name); }
  void pop_range() noexcept override { nvtxRangePop(); }

  void synchronize() override {
    if (meter_) meter_->interrupt();
    check(cudaStreamSynchronize(work_.get()), "waiting for the device");
    check(cudaStreamSynchronize(copies_.get()), "waiting for copies");
  }

 private:
  struct Staging {
    Event ready;
    Event copied;
    std::uint64_t number = 0;
    bool used = false;
  };

  static std::string version_text(int version) {
    return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
  }

  /// nullptr for tickets so old that their events serve a later copy: those copies are done,
  /// because stage_out waited for them.
  Staging* find(Ticket ticket) {
    Staging& staging = stagings_[ticket.number % stagings_.size()];
    return staging.used && staging.number == ticket.number ? &staging : nullptr;
  }

  void refuse_while_recording(const char* what) const {
    if (recording_) {
      throw std::logic_error(std::string(what) + " inside Executor::record: only kernels may be");
    }
  }

  const kernels::KernelTables& tables_;
  int device_index_;  // initialized first: what follows is created on that device
  DeviceDescription description_;
  int multiprocessors_ = 0;
  std::size_t shared_memory_ = 0;
  Stream work_;
  Stream copies_;
  std::unique_ptr<Cublas> cublas_;
  std::unique_ptr<Cusolver> cusolver_;
  std::unique_ptr<GapMeter> meter_;  ///< where gaps are measured
  std::vector<Staging> stagings_{8};
  std::uint64_t next_ticket_ = 1;
  std::array<std::unique_ptr<Event>, 64> moments_;
  std::uint64_t next_moment_ = 0;
  bool recording_ = false;
  std::unordered_map<void*, std::size_t> sizes_;
  std::size_t allocated_ = 0;
};

}  // namespace

int cuda_device_count(std::string* why_none) {
  int count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  if (status != cudaSuccess) {  // whatever it is, it means: no GPU here
    (void)cudaGetLastError();
    if (why_none != nullptr) {
      *why_none = std::string(cudaGetErrorName(status)) + ": " + cudaGetErrorString(status);
    }
    return 0;
  }
  if (count == 0 && why_none != nullptr) *why_none = "the driver reports no device";
  return count;
}

std::unique_ptr<CudaExecutor> make_cuda_executor(int device, std::size_t memory_budget,
                                                 const kernels::KernelTables& tables) {
  return std::make_unique<CudaExecutorImpl>(device, memory_budget, tables);
}

}  // namespace manyfold
