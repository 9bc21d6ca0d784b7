// Devices, attributes, limits of launches, memory and copies, NVTX.
#include <cstring>
#include <numeric>

#include "kernels.cuh"
#include "support.hpp"
#include <nvtx3/nvToolsExt.h>

namespace emulation_tests {
namespace {

using RuntimeTest = EmulatorTest;

TEST_F(RuntimeTest, DeviceProperties) {
  int count = 0;
  CUDA_OK(cudaGetDeviceCount(&count));
  EXPECT_EQ(count, 1);
  emulation::set_total_memory(std::size_t{3} << 30);
  cudaDeviceProp properties{};
  CUDA_OK(cudaGetDeviceProperties(&properties, 0));
  EXPECT_STREQ(properties.name, "emulated");
  EXPECT_EQ(properties.major, 9);
  EXPECT_EQ(properties.minor, 0);
  EXPECT_EQ(properties.warpSize, 32);
  EXPECT_EQ(properties.multiProcessorCount, 132);
  EXPECT_EQ(properties.sharedMemPerBlockOptin, 232448U);
  EXPECT_EQ(properties.totalGlobalMem, std::size_t{3} << 30);
  int value = 0;
  CUDA_OK(cudaDeviceGetAttribute(&value, cudaDevAttrMaxSharedMemoryPerBlockOptin, 0));
  EXPECT_EQ(value, 232448);
  EXPECT_EQ(cudaGetDeviceProperties(&properties, 1), cudaErrorInvalidDevice);
  EXPECT_EQ(cudaSetDevice(1), cudaErrorInvalidDevice);
  EXPECT_STREQ(cudaGetErrorName(cudaErrorInvalidDevice), "cudaErrorInvalidDevice");
  EXPECT_STREQ(cudaGetErrorString(cudaErrorInvalidDevice), "invalid device ordinal");
  EXPECT_STREQ(cudaGetErrorString(cudaErrorInvalidPitchValue), "invalid pitch value");
  static_cast<void>(cudaGetLastError());
  emulation::set_device_count(2);
  CUDA_OK(cudaSetDevice(1));
  CUDA_OK(cudaSetDevice(0));
}

TEST_F(RuntimeTest, LimitsOfLaunches) {
  const DeviceArray<float> out(1024);
  const auto bad = [&](dim3 grid, dim3 block, std::size_t shared) {
    return launch(broken_read_of_unwritten_shared, grid, block, shared, nullptr, out.data());
  };
  EXPECT_EQ(bad(1, 1025, 0), cudaErrorInvalidConfiguration);
  EXPECT_EQ(bad(1, dim3(1, 1, 65), 0), cudaErrorInvalidConfiguration);
  EXPECT_EQ(bad(0, 32, 0), cudaErrorInvalidConfiguration);
  EXPECT_EQ(bad(dim3(1, 65536), 32, 0), cudaErrorInvalidConfiguration);
  EXPECT_EQ(cudaGetLastError(), cudaErrorInvalidConfiguration);
  EXPECT_EQ(cudaGetLastError(), cudaSuccess);

  // More than 48 KiB of dynamic shared memory is for those who ask.
  EXPECT_EQ(bad(1, 1024, 49153), cudaErrorInvalidValue);
  EXPECT_EQ(bad(1, 1024, 49152), cudaSuccess);
  EXPECT_EQ(cudaFuncSetAttribute(broken_read_of_unwritten_shared,
                                 cudaFuncAttributeMaxDynamicSharedMemorySize, 232449),
            cudaErrorInvalidValue);
  CUDA_OK(cudaFuncSetAttribute(broken_read_of_unwritten_shared,
                               cudaFuncAttributeMaxDynamicSharedMemorySize, 100000));
  EXPECT_EQ(bad(1, 1024, 100000), cudaSuccess);
  EXPECT_EQ(bad(1, 1024, 100001), cudaErrorInvalidValue);
  static_cast<void>(cudaGetLastError());

  int blocks = 0;
  CUDA_OK(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, broken_read_of_unwritten_shared,
                                                        256, 0));
  EXPECT_EQ(blocks, 8);
  CUDA_OK(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, broken_read_of_unwritten_shared,
                                                        256, 100000));
  EXPECT_EQ(blocks, 2);
}

TEST_F(RuntimeTest, CopiesInTwoDimensions) {
  std::vector<int> matrix(6 * 8);
  std::iota(matrix.begin(), matrix.end(), 0);
  int* device = nullptr;
  std::size_t pitch = 0;
  CUDA_OK(cudaMallocPitch(&device, &pitch, 3 * sizeof(int), 4));
  // Rows 1 to 4, columns 2 to 4.
  CUDA_OK(cudaMemcpy2D(device, pitch, matrix.data() + 8 + 2, 8 * sizeof(int), 3 * sizeof(int), 4,
                       cudaMemcpyHostToDevice));
  std::vector<int> back(12);
  CUDA_OK(cudaMemcpy2D(back.data(), 3 * sizeof(int), device, pitch, 3 * sizeof(int), 4,
                       cudaMemcpyDefault));
  EXPECT_EQ(back, (std::vector<int>{10, 11, 12, 18, 19, 20, 26, 27, 28, 34, 35, 36}));
  EXPECT_EQ(cudaMemcpy2D(back.data(), 4, device, pitch, 12, 4, cudaMemcpyDeviceToHost),
            cudaErrorInvalidPitchValue);
  static_cast<void>(cudaGetLastError());
  CUDA_OK(cudaFree(device));
}

TEST_F(RuntimeTest, CopiesAreChecked) {
  const DeviceArray<float> values(std::vector<float>(10, 1.0F));
  std::vector<float> host(20);
  // Beyond the allocation, in the wrong direction, from nowhere.
  EXPECT_EQ(cudaMemcpy(host.data(), values.data(), 44, cudaMemcpyDeviceToHost),
            cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemcpy(host.data(), values.data(), 40, cudaMemcpyHostToDevice),
            cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemcpy(nullptr, values.data(), 40, cudaMemcpyDeviceToHost), cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemset(values.data() + 8, 0, 12), cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemcpy(host.data(), values.data(), 0, cudaMemcpyDeviceToHost), cudaSuccess);
  EXPECT_EQ(cudaFree(values.data() + 1), cudaErrorInvalidValue);
  static_cast<void>(cudaGetLastError());
  const DeviceArray<float> other(10);
  CUDA_OK(cudaMemcpy(other.data(), values.data(), 40, cudaMemcpyDeviceToDevice));
  EXPECT_EQ(other.get(), std::vector<float>(10, 1.0F));
  CUDA_OK(cudaMemset(other.data(), 0, 20));
  EXPECT_EQ(other.get()[4], 0.0F);
  EXPECT_EQ(other.get()[5], 1.0F);
}

TEST_F(RuntimeTest, PointerAttributes) {
  const DeviceArray<float> values(10);
  float* pinned = nullptr;
  CUDA_OK(cudaMallocHost(&pinned, 40));
  float local = 0.0F;
  cudaPointerAttributes attributes{};
  CUDA_OK(cudaPointerGetAttributes(&attributes, values.data() + 3));
  EXPECT_EQ(attributes.type, cudaMemoryTypeDevice);
  EXPECT_EQ(attributes.devicePointer, values.data() + 3);
  CUDA_OK(cudaPointerGetAttributes(&attributes, pinned));
  EXPECT_EQ(attributes.type, cudaMemoryTypeHost);
  CUDA_OK(cudaPointerGetAttributes(&attributes, &local));
  EXPECT_EQ(attributes.type, cudaMemoryTypeUnregistered);
  // Kernels may use pinned memory.
  CUDA_OK(launch(fill, 1, 32, 0, nullptr, pinned, 3.0F, 10));
  CUDA_OK(cudaDeviceSynchronize());
  EXPECT_EQ(pinned[9], 3.0F);
  CUDA_OK(cudaFreeHost(pinned));
  std::vector<float> registered(10);
  CUDA_OK(cudaHostRegister(registered.data(), 40, cudaHostRegisterDefault));
  CUDA_OK(launch(fill, 1, 32, 0, nullptr, registered.data(), 4.0F, 10));
  CUDA_OK(cudaHostUnregister(registered.data()));
  EXPECT_EQ(registered[0], 4.0F);
}

TEST_F(RuntimeTest, AllocationsAreAlignedAndReused) {
  std::vector<void*> memory(50);
  for (std::size_t i = 0; i < memory.size(); ++i) {
    CUDA_OK(cudaMalloc(&memory[i], i * 37 + 1));
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(memory[i]) % 256, 0U);
  }
  void* const third = memory[2];
  CUDA_OK(cudaFree(memory[2]));
  CUDA_OK(cudaMalloc(&memory[2], 70));
  EXPECT_EQ(memory[2], third);
  for (void* m : memory) CUDA_OK(cudaFree(m));
  std::size_t free_bytes = 0;
  std::size_t total = 0;
  CUDA_OK(cudaMemGetInfo(&free_bytes, &total));
  EXPECT_EQ(free_bytes, total);
  EXPECT_EQ(emulation::counters().allocations, 51U);
  CUDA_OK(cudaFree(nullptr));
}

TEST_F(RuntimeTest, InvalidHandles) {
  const auto bogus = reinterpret_cast<cudaStream_t>(std::uintptr_t{0x1230});
  EXPECT_EQ(cudaStreamSynchronize(bogus), cudaErrorInvalidResourceHandle);
  EXPECT_EQ(cudaEventRecord(nullptr), cudaErrorInvalidResourceHandle);
  cudaStream_t stream = nullptr;
  CUDA_OK(cudaStreamCreate(&stream));
  CUDA_OK(cudaStreamDestroy(stream));
  EXPECT_EQ(cudaStreamDestroy(stream), cudaErrorInvalidResourceHandle);
  static_cast<void>(cudaGetLastError());
}

TEST_F(RuntimeTest, RangesAreRecorded) {
  emulation::clear_ranges();
  nvtxRangePushA("step");
  nvtxRangePushA("forward");
  nvtxRangePop();
  nvtxMarkA("event");
  nvtxRangePop();
  nvtxRangePop();  // one too many
  nvtxRangePushA("left open");
  const emulation::Ranges ranges = emulation::ranges();
  ASSERT_EQ(ranges.ranges.size(), 3U);
  EXPECT_EQ(ranges.ranges[0].name, "step");
  EXPECT_EQ(ranges.ranges[1].name, "forward");
  EXPECT_EQ(ranges.ranges[1].depth, 1);
  EXPECT_FALSE(ranges.ranges[1].open);
  EXPECT_TRUE(ranges.ranges[2].open);
  EXPECT_EQ(ranges.pushes, 3U);
  EXPECT_EQ(ranges.pops, 3U);
  EXPECT_EQ(ranges.marks, std::vector<std::string>{"event"});
  emulation::clear_ranges();
}

}  // namespace
}  // namespace emulation_tests
