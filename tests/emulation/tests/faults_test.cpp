// Planted faults are found and reported: each test runs a wrong program.
#include <cmath>
#include <cstdlib>
#include <cstring>

#include "kernels.cuh"
#include "support.hpp"

namespace emulation_tests {
namespace {

using FaultTest = EmulatorTest;

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

#define EXPECT_REPORT(part) \
  EXPECT_TRUE(contains(emulation::last_report(), part)) << emulation::last_report()

// After a sticky error every call returns it until the device is reset.
void expect_broken(cudaError_t error) {
  EXPECT_EQ(cudaDeviceSynchronize(), error);
  EXPECT_EQ(cudaGetLastError(), error);
  EXPECT_EQ(cudaGetLastError(), error);
  void* memory = nullptr;
  EXPECT_EQ(cudaMalloc(&memory, 16), error);
  EXPECT_EQ(cudaDeviceReset(), cudaSuccess);
  EXPECT_EQ(cudaDeviceSynchronize(), cudaSuccess);
}

float* raw_array(std::size_t count) {
  float* data = nullptr;
  EXPECT_EQ(cudaMalloc(&data, count * sizeof(float)), cudaSuccess);
  return data;
}

TEST_F(FaultTest, DivergentBarrier) {
  float* out = raw_array(256);
  ASSERT_EQ(launch(broken_divergent_barrier, 3, 256, 0, nullptr, out, 100), cudaSuccess);
  EXPECT_EQ(cudaDeviceSynchronize(), cudaErrorLaunchFailure);
  EXPECT_REPORT("divergent barrier in kernel emulation_tests::broken_divergent_barrier, block (");
  EXPECT_REPORT("of 256 threads 100 wait at __syncthreads in kernels.cuh:");
  EXPECT_REPORT("156 exited");
  expect_broken(cudaErrorLaunchFailure);
}

TEST_F(FaultTest, TwoBarriersAtOnce) {
  float* out = raw_array(256);
  ASSERT_EQ(launch(broken_two_barriers, 1, 256, 0, nullptr, out), cudaSuccess);
  EXPECT_EQ(cudaDeviceSynchronize(), cudaErrorLaunchFailure);
  EXPECT_REPORT("while this one arrives at another");
  expect_broken(cudaErrorLaunchFailure);
}

TEST_F(FaultTest, ShuffleMaskThatNamesAbsentLanes) {
  float* out = raw_array(64);
  ASSERT_EQ(launch(broken_shuffle_mask, 1, 64, 0, nullptr, reinterpret_cast<int*>(out)),
            cudaSuccess);
  EXPECT_EQ(cudaDeviceSynchronize(), cudaErrorLaunchFailure);
  EXPECT_REPORT("incomplete warp operation in kernel emulation_tests::broken_shuffle_mask");
  EXPECT_REPORT("32 wait at __shfl_down_sync with mask 0xffffffff in kernels.cuh:");
  expect_broken(cudaErrorLaunchFailure);
}

TEST_F(FaultTest, ShuffleByALaneOutsideItsMask) {
  float* out = raw_array(32);
  ASSERT_EQ(launch(broken_shuffle_outside_mask, 1, 32, 0, nullptr, reinterpret_cast<int*>(out)),
            cudaSuccess);
  EXPECT_EQ(cudaDeviceSynchronize(), cudaErrorLaunchFailure);
  EXPECT_REPORT("does not name the calling lane");
  expect_broken(cudaErrorLaunchFailure);
}

TEST_F(FaultTest, TheDeviceWorksAgainAfterAReset) {
  for (int round = 0; round < 3; ++round) {
    float* out = raw_array(1024);
    ASSERT_EQ(launch(broken_divergent_barrier, 3, 1024, 0, nullptr, out, 7), cudaSuccess);
    EXPECT_EQ(cudaDeviceSynchronize(), cudaErrorLaunchFailure);
    ASSERT_EQ(cudaDeviceReset(), cudaSuccess);
    const DeviceArray<double> in(std::vector<double>(1000, 1.0));
    const DeviceArray<double> sums(1);
    ASSERT_EQ(launch(sum_chunks<double>, 1, 1024, 0, nullptr, in.data(), sums.data(), 1000),
              cudaSuccess);
    EXPECT_EQ(sums.get()[0], 1000.0);
  }
}

void write_at(int index) {
  float* first = raw_array(10);
  float* values = raw_array(25);
  static_cast<void>(first);
  ASSERT_EQ(launch(broken_write_at, 2, 32, 0, nullptr, values, index), cudaSuccess);
  EXPECT_EQ(cudaDeviceSynchronize(), cudaErrorIllegalAddress);
}

// AddressSanitizer names the line of the write and ends the process; without it the red zone does.
TEST_F(FaultTest, WritePastTheEndOfAnAllocation) {
  if (under_asan) {
    EXPECT_DEATH(write_at(25), "use-after-poison.*broken_write_at|broken_write_at");
    return;
  }
  write_at(25);
  EXPECT_REPORT("by kernel emulation_tests::broken_write_at, grid (2,1,1) of blocks (32,1,1)");
  EXPECT_REPORT("0 bytes past the end of allocation #2 of 100 bytes");
  expect_broken(cudaErrorIllegalAddress);
}

TEST_F(FaultTest, WriteBeforeTheBeginningOfAnAllocation) {
  if (under_asan) {
    EXPECT_DEATH(write_at(-2), "use-after-poison");
    return;
  }
  write_at(-2);
  EXPECT_REPORT("8 bytes before the beginning of allocation #2 of 100 bytes");
  expect_broken(cudaErrorIllegalAddress);
}

TEST_F(FaultTest, FreedMemoryReadsAsNan) {
  const DeviceArray<float> out(std::vector<float>(4, 0.0F));
  float* freed = raw_array(4);
  ASSERT_EQ(cudaMemset(freed, 0, 16), cudaSuccess);
  ASSERT_EQ(cudaFree(freed), cudaSuccess);
  const auto use = [&] {
    EXPECT_EQ(launch(add, 1, 4, 0, nullptr, out.data(), static_cast<const float*>(freed), 1.0F, 4),
              cudaSuccess);
    EXPECT_EQ(cudaDeviceSynchronize(), cudaSuccess);
  };
  if (under_asan) {
    EXPECT_DEATH(use(), "use-after-poison");
    return;
  }
  use();
  EXPECT_TRUE(std::isnan(out.get()[0]));
}

TEST_F(FaultTest, FreshMemoryReadsAsNan) {
  const DeviceArray<float> floats(8);
  const DeviceArray<double> doubles(8);
  for (const float value : floats.get()) EXPECT_TRUE(std::isnan(value));
  for (const double value : doubles.get()) EXPECT_TRUE(std::isnan(value));
}

TEST_F(FaultTest, UnwrittenSharedMemoryReadsAsNan) {
  const DeviceArray<float> out(64);
  // A kernel that leaves numbers behind comes first.
  ASSERT_EQ(launch(broken_write_past_shared, 8, 64, 256, nullptr, out.data(), 0), cudaSuccess);
  ASSERT_EQ(launch(broken_read_of_unwritten_shared, 1, 64, 256, nullptr, out.data()), cudaSuccess);
  for (const float value : out.get()) EXPECT_TRUE(std::isnan(value));
}

TEST_F(FaultTest, WritePastTheEndOfSharedMemory) {
  const auto run = [] {
    float* out = raw_array(64);
    ASSERT_EQ(launch(broken_write_past_shared, 2, 64, 256, nullptr, out, 66), cudaSuccess);
    EXPECT_EQ(cudaDeviceSynchronize(), cudaErrorIllegalAddress);
  };
  if (under_asan) {
    EXPECT_DEATH(run(), "use-after-poison");
    return;
  }
  run();
  EXPECT_REPORT(
      "outside dynamic shared memory by kernel emulation_tests::broken_write_past_shared");
  EXPECT_REPORT("8 bytes past the end of its 256 bytes");
  expect_broken(cudaErrorIllegalAddress);
}

TEST_F(FaultTest, KernelThatWritesThroughANullPointer) {
  if (under_asan) {
    EXPECT_DEATH(
        {
          static_cast<void>(launch(broken_null_write, 1, 32, 0, nullptr, nullptr));
          static_cast<void>(cudaDeviceSynchronize());
        },
        "broken_null_write|null pointer");
    return;
  }
  ASSERT_EQ(launch(broken_null_write, 1, 32, 0, nullptr, nullptr), cudaSuccess);
  EXPECT_EQ(cudaDeviceSynchronize(), cudaErrorIllegalAddress);
  EXPECT_REPORT("illegal address");
  EXPECT_REPORT("broken_null_write, thread (3,0,0) of block (0,0,0)");
  expect_broken(cudaErrorIllegalAddress);
}

TEST_F(FaultTest, KernelWithTooDeepAStack) {
  if (under_asan) GTEST_SKIP() << "AddressSanitizer reports stack overflows itself";
  float* out = raw_array(1);
  ASSERT_EQ(launch(broken_stack_overflow, 1, 1, 0, nullptr, reinterpret_cast<int*>(out), 1000),
            cudaSuccess);
  EXPECT_EQ(cudaDeviceSynchronize(), cudaErrorHardwareStackError);
  EXPECT_REPORT("overflowed its stack");
  expect_broken(cudaErrorHardwareStackError);
}

TEST_F(FaultTest, Trap) {
  ASSERT_EQ(launch(stop_here, 2, 64, 0, nullptr), cudaSuccess);
  EXPECT_EQ(cudaDeviceSynchronize(), cudaErrorLaunchFailure);
  EXPECT_REPORT("__trap in kernels.cuh:");
  expect_broken(cudaErrorLaunchFailure);
}

TEST_F(FaultTest, KernelGetsAPointerToHostMemory) {
  std::vector<float> host(10);
  EXPECT_EQ(launch(fill, 1, 32, 0, nullptr, host.data(), 1.0F, 10), cudaErrorIllegalAddress);
  EXPECT_REPORT("kernel emulation_tests::fill is given a pointer to host memory");
  expect_broken(cudaErrorIllegalAddress);
}

TEST_F(FaultTest, HostCodeThatTouchesDeviceMemoryDies) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        raw_array(3);
        float* values = raw_array(100);
        values[7] = 1.0F;
      },
      testing::ExitedWithCode(86),
      "host code touched device memory at allocation #2 of 400 bytes, offset 28");
  EXPECT_EXIT(
      {
        float* values = raw_array(100);
        static_cast<void>(launch(fill, 1, 32, 0, nullptr, values, 1.0F, 100));
        static_cast<void>(cudaDeviceSynchronize());  // memory is closed again afterwards
        std::exit(static_cast<int>(values[99]));
      },
      testing::ExitedWithCode(86), "at allocation #1 of 400 bytes, offset 396");
}

TEST_F(FaultTest, HostFunctionThatTouchesDeviceMemoryDies) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        float* values = raw_array(100);
        static_cast<void>(launch(fill, 1, 32, 0, nullptr, values, 1.0F, 100));
        static_cast<void>(cudaLaunchHostFunc(
            nullptr, [](void* data) { *static_cast<float*>(data) = 0.0F; }, values));
        static_cast<void>(cudaDeviceSynchronize());
      },
      testing::ExitedWithCode(86), "host code touched device memory");
}

TEST_F(FaultTest, FaultsElsewhereGoToTheEarlierHandler) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        raw_array(1);
        volatile int* nowhere = nullptr;
        *nowhere = 1;
      },
      "");
}

TEST_F(FaultTest, AllocationsFailAtTheNthCall) {
  emulation::fail_allocation(3);
  void* memory[5] = {};
  EXPECT_EQ(cudaMalloc(&memory[0], 16), cudaSuccess);
  EXPECT_EQ(cudaMallocHost(&memory[1], 16), cudaSuccess);
  EXPECT_EQ(cudaMalloc(&memory[2], 16), cudaErrorMemoryAllocation);
  EXPECT_EQ(memory[2], nullptr);
  EXPECT_EQ(cudaPeekAtLastError(), cudaErrorMemoryAllocation);
  EXPECT_EQ(cudaGetLastError(), cudaErrorMemoryAllocation);
  EXPECT_EQ(cudaGetLastError(), cudaSuccess);
  EXPECT_EQ(cudaMalloc(&memory[3], 16), cudaSuccess);
  EXPECT_EQ(cudaFree(memory[0]), cudaSuccess);
  EXPECT_EQ(cudaFreeHost(memory[1]), cudaSuccess);
  EXPECT_EQ(cudaFree(memory[3]), cudaSuccess);
}

TEST_F(FaultTest, LaunchesFailAtTheNthCall) {
  {
    const DeviceArray<float> values(10);
    emulation::fail_launch(3, cudaErrorLaunchOutOfResources);
    EXPECT_EQ(launch(fill, 1, 32, 0, nullptr, values.data(), 1.0F, 10), cudaSuccess);
    EXPECT_EQ(launch(fill, 1, 32, 0, nullptr, values.data(), 2.0F, 10), cudaSuccess);
    EXPECT_EQ(launch(fill, 1, 32, 0, nullptr, values.data(), 3.0F, 10),
              cudaErrorLaunchOutOfResources);
    EXPECT_EQ(cudaGetLastError(), cudaErrorLaunchOutOfResources);
    EXPECT_EQ(values.get()[0], 2.0F);
    EXPECT_EQ(emulation::counters().launches, 2U);
  }
  emulation::set_eagerness(0.0);
  float* values = raw_array(10);
  emulation::fail_launch(2, cudaErrorIllegalAddress);
  EXPECT_EQ(launch(fill, 1, 32, 0, nullptr, values, 1.0F, 10), cudaSuccess);
  EXPECT_EQ(launch(fill, 1, 32, 0, nullptr, values, 1.0F, 10), cudaSuccess);
  EXPECT_EQ(cudaGetLastError(), cudaSuccess);  // nothing has run yet
  EXPECT_EQ(cudaStreamSynchronize(nullptr), cudaErrorIllegalAddress);
  EXPECT_REPORT("planted failure of kernel emulation_tests::fill");
  // Freeing returns the error, and frees.
  EXPECT_EQ(cudaFree(values), cudaErrorIllegalAddress);
  EXPECT_EQ(emulation::counters().live_allocations, 0U);
  expect_broken(cudaErrorIllegalAddress);
}

TEST_F(FaultTest, MachineWithoutADriver) {
  emulation::set_device_count(0);
  int count = -7;
  EXPECT_EQ(cudaGetDeviceCount(&count), cudaErrorInsufficientDriver);
  EXPECT_EQ(static_cast<int>(cudaErrorInsufficientDriver), 35);
  EXPECT_EQ(count, -7);
  void* memory = nullptr;
  EXPECT_EQ(cudaMalloc(&memory, 16), cudaErrorInsufficientDriver);
  EXPECT_EQ(cudaSetDevice(0), cudaErrorInsufficientDriver);
  cudaStream_t stream = nullptr;
  EXPECT_EQ(cudaStreamCreate(&stream), cudaErrorInsufficientDriver);
  int version = -1;
  EXPECT_EQ(cudaDriverGetVersion(&version), cudaSuccess);
  EXPECT_EQ(version, 0);
  EXPECT_EQ(cudaGetLastError(), cudaErrorInsufficientDriver);
  EXPECT_EQ(cudaGetLastError(), cudaSuccess);
}

TEST_F(FaultTest, MemoryRunsOut) {
  emulation::set_total_memory(1 << 20);
  std::size_t free_bytes = 0;
  std::size_t total_bytes = 0;
  ASSERT_EQ(cudaMemGetInfo(&free_bytes, &total_bytes), cudaSuccess);
  EXPECT_EQ(total_bytes, std::size_t{1} << 20);
  EXPECT_EQ(free_bytes, total_bytes);
  void* half = nullptr;
  void* more = nullptr;
  ASSERT_EQ(cudaMalloc(&half, 600 << 10), cudaSuccess);
  EXPECT_EQ(cudaMalloc(&more, 600 << 10), cudaErrorMemoryAllocation);
  EXPECT_EQ(cudaGetLastError(), cudaErrorMemoryAllocation);
  ASSERT_EQ(cudaFree(half), cudaSuccess);
  ASSERT_EQ(cudaMalloc(&more, 600 << 10), cudaSuccess);
  ASSERT_EQ(cudaFree(more), cudaSuccess);
}

}  // namespace
}  // namespace emulation_tests
