// Shared by the tests: launching in one line, device arrays, and a fixture that starts from a fresh
// device and checks that nothing is left over.
#pragma once

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "emulation/control.hpp"
#include <cuda_runtime.h>
#include <gtest/gtest.h>

#define CUDA_OK(call) ASSERT_EQ(call, cudaSuccess)

namespace emulation_tests {

#if defined(__SANITIZE_ADDRESS__)
inline constexpr bool under_asan = true;
#else
inline constexpr bool under_asan = false;
#endif

template <typename... Parameters, typename... Arguments>
cudaError_t launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, std::size_t shared_bytes,
                   cudaStream_t stream, Arguments&&... arguments) {
  cudaLaunchConfig_t config{grid, block, shared_bytes, stream, nullptr, 0};
  return cudaLaunchKernelEx(&config, kernel, std::forward<Arguments>(arguments)...);
}

template <typename T>
class DeviceArray {
 public:
  explicit DeviceArray(std::size_t count) : count_(count) {
    EXPECT_EQ(cudaMalloc(&data_, count * sizeof(T)), cudaSuccess);
  }
  explicit DeviceArray(const std::vector<T>& values) : DeviceArray(values.size()) { put(values); }
  ~DeviceArray() { static_cast<void>(cudaFree(data_)); }
  DeviceArray(const DeviceArray&) = delete;
  DeviceArray& operator=(const DeviceArray&) = delete;

  T* data() const { return data_; }
  std::size_t bytes() const { return count_ * sizeof(T); }
  void put(const std::vector<T>& values) const {
    EXPECT_EQ(cudaMemcpy(data_, values.data(), bytes(), cudaMemcpyHostToDevice), cudaSuccess);
  }
  std::vector<T> get() const {
    std::vector<T> values(count_);
    EXPECT_EQ(cudaMemcpy(values.data(), data_, bytes(), cudaMemcpyDeviceToHost), cudaSuccess);
    return values;
  }

 private:
  T* data_ = nullptr;
  std::size_t count_;
};

class EmulatorTest : public testing::Test {
 protected:
  void SetUp() override { emulation::reset(); }
  void TearDown() override {
    const emulation::Counters counters = emulation::counters();
    EXPECT_EQ(counters.live_allocations, 0U);
    EXPECT_EQ(counters.live_streams, 0U);
    EXPECT_EQ(counters.live_events, 0U);
    EXPECT_EQ(counters.live_graphs, 0U);
    EXPECT_EQ(counters.live_handles, 0U);
    emulation::reset();
  }
};

}  // namespace emulation_tests
