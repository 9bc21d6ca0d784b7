// What a test may ask of the emulated device beyond the CUDA API: the seed of its random order,
// planted faults, reports of what went wrong, and counters for leaks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include <cuda_runtime_api.h>

namespace emulation {

// Back to a fresh device with the settings of the environment: memory, streams, events and graphs
// are destroyed, planted faults, errors, reports and counters forgotten. No other host thread may
// be inside a CUDA call.
void reset();

// Everything random follows from this seed: the order of threads, blocks, streams and graph nodes.
// The default is EMULATION_SEED, or 1. Setting it also restarts the count of launches.
void set_seed(std::uint64_t seed);
std::uint64_t seed();

// Operating-system threads that run blocks; the default is EMULATION_THREADS, or the number of
// processors. With one thread a program with one host thread repeats exactly.
void set_threads(unsigned int count);

// The probability that queueing an operation makes the device carry out some waiting one at once;
// the default is EMULATION_EAGERNESS, or 0.1. With 0 work happens in synchronizing calls only.
void set_eagerness(double probability);

// Bytes of stack of each kernel thread; the default is EMULATION_STACK_BYTES, or 64 KiB (256 KiB
// under AddressSanitizer). Takes effect in threads that have not run a block yet.
void set_stack_bytes(std::size_t bytes);

// With 0 devices every call answers cudaErrorInsufficientDriver, as on a machine without a driver.
void set_device_count(int count);
// Of the device; at most 64 GiB. Allocations beyond it fail with cudaErrorMemoryAllocation.
void set_total_memory(std::size_t bytes);
// Streaming multiprocessors of the device (132 unless set).
void set_multiprocessors(int count);

// The n-th allocation from now on (1 is the next), of device or of pinned memory, fails with
// cudaErrorMemoryAllocation; 0 cancels.
void fail_allocation(std::uint64_t n);

// The n-th kernel launch from now on (1 is the next; kernels inside a graph launch count one each)
// fails: errors that break a CUDA context strike when the kernel would run and stay, the others are
// returned by the launching call. 0 cancels.
void fail_launch(std::uint64_t n, cudaError_t error);

// What the emulator found wrong last, in words, or nothing. Every report goes to stderr too, unless
// EMULATION_QUIET is set.
std::string last_report();

struct Counters {
  std::uint64_t launches = 0;        // kernels launched into streams
  std::uint64_t graph_launches = 0;  // graphs launched into streams
  std::uint64_t graph_kernels = 0;   // kernels run as nodes of graphs
  std::uint64_t library_calls = 0;   // cuBLAS and cuSOLVER operations queued
  std::uint64_t copies = 0;          // copies carried out, between any two memories
  std::uint64_t bytes = 0;           // bytes they moved
  std::uint64_t allocations = 0;     // successful, of device and of pinned memory
  std::uint64_t live_allocations = 0;
  std::uint64_t live_bytes = 0;  // of device memory
  std::uint64_t peak_bytes = 0;  // of device memory
  std::uint64_t live_streams = 0;
  std::uint64_t live_events = 0;
  std::uint64_t live_graphs = 0;       // graphs and executable graphs
  std::uint64_t live_handles = 0;      // of cuBLAS and cuSOLVER
  std::uint64_t max_in_flight = 0;     // most operations queued at one time
  std::uint64_t max_busy_streams = 0;  // most streams with queued operations at one time
};
Counters counters();

// NVTX ranges, in the order they were opened.
struct Range {
  std::string name;
  int depth = 0;      // of nesting on its host thread, 0 for the outermost
  bool open = false;  // not popped yet
};
struct Ranges {
  std::vector<Range> ranges;
  std::uint64_t pushes = 0;
  std::uint64_t pops = 0;  // including pops without a push
  std::vector<std::string> marks;
};
Ranges ranges();
void clear_ranges();

}  // namespace emulation

// For a program that finds them in the loaded library by name (dlsym): linked against it, a program
// would take its CUDA for the machine's.
extern "C" {
void emulation_reset();
void emulation_fail_launch(std::uint64_t n, int error);
}
