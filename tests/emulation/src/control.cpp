// The test hooks (see emulation/control.hpp).
#include "emulation/control.hpp"

#include <algorithm>

#include "block.hpp"
#include "runtime.hpp"

namespace emulation {

using detail::Lock;
using detail::Runtime;

void reset() {
  Runtime& runtime = Runtime::instance();
  const Lock lock(runtime.mutex_);
  runtime.reset_everything();
}

void set_seed(std::uint64_t seed) {
  Runtime& runtime = Runtime::instance();
  const Lock lock(runtime.mutex_);
  runtime.seed_ = seed;
  runtime.random_ = detail::Random(seed);
  runtime.launch_number_ = 0;
}

std::uint64_t seed() {
  Runtime& runtime = Runtime::instance();
  const Lock lock(runtime.mutex_);
  return runtime.seed_;
}

void set_threads(unsigned int count) {
  Runtime& runtime = Runtime::instance();
  const Lock lock(runtime.mutex_);
  detail::set_grid_threads(std::max(count, 1U));
}

void set_eagerness(double probability) {
  Runtime& runtime = Runtime::instance();
  const Lock lock(runtime.mutex_);
  runtime.eagerness_ = std::clamp(probability, 0.0, 1.0);
}

void set_stack_bytes(std::size_t bytes) { detail::set_fiber_stack_bytes(bytes); }

void set_device_count(int count) {
  Runtime& runtime = Runtime::instance();
  const Lock lock(runtime.mutex_);
  runtime.device_count_ = std::max(count, 0);
}

void set_total_memory(std::size_t bytes) {
  Runtime& runtime = Runtime::instance();
  const Lock lock(runtime.mutex_);
  runtime.memory_.set_capacity(bytes);
}

void set_multiprocessors(int count) {
  Runtime& runtime = Runtime::instance();
  const Lock lock(runtime.mutex_);
  runtime.multiprocessors_ = std::max(count, 1);
}

void fail_allocation(std::uint64_t n) {
  Runtime& runtime = Runtime::instance();
  const Lock lock(runtime.mutex_);
  runtime.failing_allocation_ = n;
}

void fail_launch(std::uint64_t n, cudaError_t error) {
  Runtime& runtime = Runtime::instance();
  const Lock lock(runtime.mutex_);
  runtime.failing_launch_ = n;
  runtime.launch_failure_ = error;
}

std::string last_report() {
  Runtime& runtime = Runtime::instance();
  const Lock lock(runtime.mutex_);
  return runtime.report_;
}

Counters counters() {
  Runtime& runtime = Runtime::instance();
  const Lock lock(runtime.mutex_);
  return runtime.count();
}

}  // namespace emulation

extern "C" void emulation_reset() { emulation::reset(); }
extern "C" void emulation_fail_launch(std::uint64_t n, int error) {
  emulation::fail_launch(n, static_cast<cudaError_t>(error));
}
