// Streams and events: a right program is right in every order, a wrong one wrong in some.
#include <atomic>
#include <thread>

#include "kernels.cuh"
#include "support.hpp"

namespace emulation_tests {
namespace {

using StreamTest = EmulatorTest;

constexpr int count = 64;

struct Streams {
  cudaStream_t stream[2] = {};
  cudaEvent_t event = nullptr;
  explicit Streams(unsigned int flags = cudaStreamNonBlocking) {
    for (cudaStream_t& s : stream) EXPECT_EQ(cudaStreamCreateWithFlags(&s, flags), cudaSuccess);
    EXPECT_EQ(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), cudaSuccess);
  }
  ~Streams() {
    for (cudaStream_t s : stream) EXPECT_EQ(cudaStreamDestroy(s), cudaSuccess);
    EXPECT_EQ(cudaEventDestroy(event), cudaSuccess);
  }
  Streams(const Streams&) = delete;
  Streams& operator=(const Streams&) = delete;
};

// One stream writes, the other reads; right only if the second waits for the first.
float produce_and_consume(bool with_dependency) {
  const Streams streams;
  const DeviceArray<float> source(std::vector<float>(count, 1.0F));
  const DeviceArray<float> sum(std::vector<float>(count, 0.0F));
  EXPECT_EQ(launch(fill, 1, count, 0, streams.stream[0], source.data(), 5.0F, count), cudaSuccess);
  EXPECT_EQ(cudaEventRecord(streams.event, streams.stream[0]), cudaSuccess);
  if (with_dependency) {
    EXPECT_EQ(cudaStreamWaitEvent(streams.stream[1], streams.event, 0), cudaSuccess);
  }
  EXPECT_EQ(launch(add, 1, count, 0, streams.stream[1], sum.data(),
                   static_cast<const float*>(source.data()), 1.0F, count),
            cudaSuccess);
  EXPECT_EQ(cudaStreamSynchronize(streams.stream[1]), cudaSuccess);
  return sum.get()[0];
}

TEST_F(StreamTest, EventsOrderStreamsForEverySeed) {
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    emulation::set_seed(seed);
    EXPECT_EQ(produce_and_consume(true), 5.0F) << "seed " << seed;
  }
}

TEST_F(StreamTest, AMissingDependencyGivesTheWrongResultForSomeSeed) {
  int wrong = 0;
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    emulation::set_seed(seed);
    wrong += produce_and_consume(false) != 5.0F;
  }
  EXPECT_GE(wrong, 5);
  EXPECT_LT(wrong, 20);  // other orders happen too
}

// A pinned buffer refilled before the copy out of it has happened.
float reuse_buffer(bool wait) {
  const Streams streams;
  float* pinned = nullptr;
  EXPECT_EQ(cudaMallocHost(&pinned, sizeof(float)), cudaSuccess);
  const DeviceArray<float> device(1);
  *pinned = 1.0F;
  EXPECT_EQ(cudaMemcpyAsync(device.data(), pinned, sizeof(float), cudaMemcpyHostToDevice,
                            streams.stream[0]),
            cudaSuccess);
  EXPECT_EQ(cudaEventRecord(streams.event, streams.stream[0]), cudaSuccess);
  if (wait) {
    EXPECT_EQ(cudaEventSynchronize(streams.event), cudaSuccess);
  }
  *pinned = 2.0F;
  EXPECT_EQ(cudaStreamSynchronize(streams.stream[0]), cudaSuccess);
  EXPECT_EQ(cudaFreeHost(pinned), cudaSuccess);
  return device.get()[0];
}

TEST_F(StreamTest, EarlyReuseOfAPinnedBufferIsSeen) {
  int wrong = 0;
  for (std::uint64_t seed = 0; seed < 10; ++seed) {
    emulation::set_seed(seed);
    EXPECT_EQ(reuse_buffer(true), 1.0F);
    emulation::set_seed(seed);
    wrong += reuse_buffer(false) != 1.0F;
  }
  EXPECT_GE(wrong, 5);
}

// The opposite mistake: a buffer filled only after the copy was queued works if the device is slow.
TEST_F(StreamTest, LateFillOfAPinnedBufferIsSeen) {
  float* pinned = nullptr;
  CUDA_OK(cudaMallocHost(&pinned, sizeof(float)));
  const Streams streams;
  const DeviceArray<float> device(1);
  int wrong = 0;
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    emulation::set_seed(seed);
    *pinned = 1.0F;
    CUDA_OK(cudaMemcpyAsync(device.data(), pinned, sizeof(float), cudaMemcpyHostToDevice,
                            streams.stream[0]));
    *pinned = 2.0F;
    CUDA_OK(cudaStreamSynchronize(streams.stream[0]));
    wrong += device.get()[0] != 2.0F;
  }
  EXPECT_GE(wrong, 1);
  CUDA_OK(cudaFreeHost(pinned));
}

TEST_F(StreamTest, PageableSourcesAreReadByTheCall) {
  const Streams streams;
  const DeviceArray<float> device(1);
  float value = 1.0F;
  CUDA_OK(cudaMemcpyAsync(device.data(), &value, sizeof value, cudaMemcpyHostToDevice,
                          streams.stream[0]));
  value = 2.0F;
  CUDA_OK(cudaStreamSynchronize(streams.stream[0]));
  EXPECT_EQ(device.get()[0], 1.0F);
  // And into pageable memory the call waits.
  CUDA_OK(cudaMemcpyAsync(&value, device.data(), sizeof value, cudaMemcpyDeviceToHost,
                          streams.stream[0]));
  EXPECT_EQ(value, 1.0F);
}

TEST_F(StreamTest, TheLegacyStreamWaitsForBlockingStreams) {
  for (std::uint64_t seed = 0; seed < 30; ++seed) {
    emulation::set_seed(seed);
    const Streams streams(cudaStreamDefault);
    const DeviceArray<float> values(std::vector<float>(count, 0.0F));
    const DeviceArray<float> copy(std::vector<float>(count, 0.0F));
    CUDA_OK(launch(fill, 1, count, 0, streams.stream[0], values.data(), 3.0F, count));
    CUDA_OK(launch(add, 1, count, 0, nullptr, copy.data(), static_cast<const float*>(values.data()),
                   2.0F, count));
    CUDA_OK(launch(add, 1, count, 0, streams.stream[1], values.data(),
                   static_cast<const float*>(copy.data()), 1.0F, count));
    CUDA_OK(cudaStreamSynchronize(streams.stream[1]));
    EXPECT_EQ(values.get()[0], 9.0F) << "seed " << seed;
  }
}

TEST_F(StreamTest, NonBlockingStreamsDoNotWaitForTheLegacyStream) {
  int wrong = 0;
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    emulation::set_seed(seed);
    const Streams streams;
    const DeviceArray<float> values(std::vector<float>(count, 0.0F));
    const DeviceArray<float> copy(std::vector<float>(count, 0.0F));
    CUDA_OK(cudaDeviceSynchronize());
    CUDA_OK(launch(fill, 1, count, 0, nullptr, values.data(), 3.0F, count));
    CUDA_OK(launch(add, 1, count, 0, streams.stream[0], copy.data(),
                   static_cast<const float*>(values.data()), 1.0F, count));
    CUDA_OK(cudaStreamSynchronize(streams.stream[0]));
    wrong += copy.get()[0] != 3.0F;
  }
  EXPECT_GE(wrong, 1);
}

TEST_F(StreamTest, QueriesMakeProgress) {
  emulation::set_eagerness(0.0);
  const Streams streams;
  const DeviceArray<float> values(count);
  EXPECT_EQ(cudaStreamQuery(streams.stream[0]), cudaSuccess);
  EXPECT_EQ(cudaEventQuery(streams.event), cudaSuccess);  // never recorded
  for (int i = 0; i < 20; ++i) {
    CUDA_OK(launch(fill, 1, count, 0, streams.stream[0], values.data(), 3.0F, count));
  }
  CUDA_OK(cudaEventRecord(streams.event, streams.stream[0]));
  EXPECT_EQ(cudaEventQuery(streams.event), cudaErrorNotReady);
  int polls = 0;
  while (cudaEventQuery(streams.event) == cudaErrorNotReady) ASSERT_LT(++polls, 1000);
  EXPECT_EQ(cudaStreamQuery(streams.stream[0]), cudaSuccess);
  static_cast<void>(cudaGetLastError());
}

TEST_F(StreamTest, HostFunctionsRunInOrderAndMayNotCallCuda) {
  struct Seen {
    std::vector<int> order;
    cudaError_t error = cudaSuccess;
  } seen;
  const Streams streams;
  CUDA_OK(cudaLaunchHostFunc(
      streams.stream[0],
      [](void* data) {
        auto* s = static_cast<Seen*>(data);
        s->order.push_back(1);
        s->error = cudaDeviceSynchronize();
      },
      &seen));
  CUDA_OK(cudaEventRecord(streams.event, streams.stream[0]));
  CUDA_OK(cudaStreamWaitEvent(streams.stream[1], streams.event, 0));
  CUDA_OK(cudaLaunchHostFunc(
      streams.stream[1], [](void* data) { static_cast<Seen*>(data)->order.push_back(2); }, &seen));
  CUDA_OK(cudaStreamSynchronize(streams.stream[1]));
  EXPECT_EQ(seen.order, (std::vector<int>{1, 2}));
  EXPECT_EQ(seen.error, cudaErrorNotPermitted);
  static_cast<void>(cudaGetLastError());
}

TEST_F(StreamTest, SeveralHostThreads) {
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&wrong, t] {
      for (int i = 0; i < 20; ++i) {
        const Streams streams;
        const DeviceArray<float> values(count);
        const float value = static_cast<float>(t * 100 + i);
        if (launch(fill, 2, 32, 0, streams.stream[0], values.data(), value, count) != cudaSuccess ||
            cudaStreamSynchronize(streams.stream[0]) != cudaSuccess ||
            values.get() != std::vector<float>(count, value)) {
          ++wrong;
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

TEST_F(StreamTest, StreamOrderedAllocation) {
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    emulation::set_seed(seed);
    const Streams streams;
    float* memory = nullptr;
    CUDA_OK(cudaMallocAsync(&memory, count * sizeof(float), streams.stream[0]));
    CUDA_OK(launch(fill, 1, count, 0, streams.stream[0], memory, 2.0F, count));
    std::vector<float> values(count);
    CUDA_OK(cudaMemcpyAsync(values.data(), memory, count * sizeof(float), cudaMemcpyDeviceToHost,
                            streams.stream[0]));
    CUDA_OK(cudaFreeAsync(memory, streams.stream[0]));
    EXPECT_EQ(cudaFreeAsync(memory, streams.stream[0]), cudaErrorInvalidValue);
    static_cast<void>(cudaGetLastError());
    EXPECT_EQ(values, std::vector<float>(count, 2.0F));
    CUDA_OK(cudaStreamSynchronize(streams.stream[0]));
    EXPECT_EQ(emulation::counters().live_allocations, 0U);
  }
}

TEST_F(StreamTest, EventTimes) {
  cudaEvent_t begin = nullptr;
  cudaEvent_t end = nullptr;
  CUDA_OK(cudaEventCreate(&begin));
  CUDA_OK(cudaEventCreate(&end));
  float milliseconds = -1.0F;
  EXPECT_EQ(cudaEventElapsedTime(&milliseconds, begin, end), cudaErrorInvalidResourceHandle);
  emulation::set_eagerness(0.0);
  CUDA_OK(cudaEventRecord(begin));
  CUDA_OK(cudaEventRecord(end));
  EXPECT_EQ(cudaEventElapsedTime(&milliseconds, begin, end), cudaErrorNotReady);
  CUDA_OK(cudaEventSynchronize(end));
  CUDA_OK(cudaEventElapsedTime(&milliseconds, begin, end));
  EXPECT_GE(milliseconds, 0.0F);
  CUDA_OK(cudaEventDestroy(begin));
  CUDA_OK(cudaEventDestroy(end));
  static_cast<void>(cudaGetLastError());
}

TEST_F(StreamTest, CountersSeeTheWork) {
  emulation::set_eagerness(0.0);
  const Streams streams;
  const DeviceArray<float> values(count);
  for (int i = 0; i < 5; ++i) {
    CUDA_OK(launch(fill, 1, count, 0, streams.stream[i % 2], values.data(), 3.0F, count));
  }
  CUDA_OK(cudaDeviceSynchronize());
  std::vector<float> host(count);
  CUDA_OK(cudaMemcpy(host.data(), values.data(), values.bytes(), cudaMemcpyDeviceToHost));
  const emulation::Counters counters = emulation::counters();
  EXPECT_EQ(counters.launches, 5U);
  EXPECT_EQ(counters.copies, 1U);
  EXPECT_EQ(counters.bytes, values.bytes());
  EXPECT_EQ(counters.live_streams, 2U);
  EXPECT_EQ(counters.live_events, 1U);
  EXPECT_EQ(counters.live_allocations, 1U);
  EXPECT_EQ(counters.live_bytes, values.bytes());
  EXPECT_EQ(counters.max_in_flight, 5U);
  EXPECT_EQ(counters.max_busy_streams, 2U);
}

}  // namespace
}  // namespace emulation_tests
