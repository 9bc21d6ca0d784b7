// Stream capture, replay and update of graphs, and what a capture forbids.
#include <algorithm>
#include <thread>

#include "kernels.cuh"
#include "support.hpp"

namespace emulation_tests {
namespace {

constexpr int count = 64;

class GraphTest : public EmulatorTest {
 protected:
  void SetUp() override {
    EmulatorTest::SetUp();
    for (cudaStream_t& s : stream_) {
      ASSERT_EQ(cudaStreamCreateWithFlags(&s, cudaStreamNonBlocking), cudaSuccess);
    }
    for (cudaEvent_t& e : event_) ASSERT_EQ(cudaEventCreate(&e), cudaSuccess);
  }
  void TearDown() override {
    for (cudaStream_t s : stream_) EXPECT_EQ(cudaStreamDestroy(s), cudaSuccess);
    for (cudaEvent_t e : event_) EXPECT_EQ(cudaEventDestroy(e), cudaSuccess);
    EmulatorTest::TearDown();
  }

  cudaStreamCaptureStatus status(cudaStream_t s) {
    cudaStreamCaptureStatus result = cudaStreamCaptureStatusNone;
    EXPECT_EQ(cudaStreamIsCapturing(s, &result), cudaSuccess);
    return result;
  }

  // Ends a capture that must have failed, with this error.
  void expect_failed_capture(cudaError_t error) {
    cudaGraph_t graph = nullptr;
    EXPECT_EQ(cudaStreamEndCapture(stream_[0], &graph), error);
    EXPECT_EQ(graph, nullptr);
    EXPECT_EQ(status(stream_[0]), cudaStreamCaptureStatusNone);
    static_cast<void>(cudaGetLastError());
  }

  // left = a, right = b, on two streams, then left += right.
  cudaGraph_t capture_fork_and_join(float* left, float* right, float a, float b) {
    EXPECT_EQ(cudaStreamBeginCapture(stream_[0], cudaStreamCaptureModeGlobal), cudaSuccess);
    EXPECT_EQ(cudaEventRecord(event_[0], stream_[0]), cudaSuccess);
    EXPECT_EQ(cudaStreamWaitEvent(stream_[1], event_[0], 0), cudaSuccess);
    EXPECT_EQ(launch(fill, 1, count, 0, stream_[0], left, a, count), cudaSuccess);
    EXPECT_EQ(launch(fill, 1, count, 0, stream_[1], right, b, count), cudaSuccess);
    EXPECT_EQ(status(stream_[1]), cudaStreamCaptureStatusActive);
    EXPECT_EQ(cudaEventRecord(event_[1], stream_[1]), cudaSuccess);
    EXPECT_EQ(cudaStreamWaitEvent(stream_[0], event_[1], 0), cudaSuccess);
    EXPECT_EQ(
        launch(add, 1, count, 0, stream_[0], left, static_cast<const float*>(right), 1.0F, count),
        cudaSuccess);
    cudaGraph_t graph = nullptr;
    EXPECT_EQ(cudaStreamEndCapture(stream_[0], &graph), cudaSuccess);
    return graph;
  }

  cudaStream_t stream_[3] = {};
  cudaEvent_t event_[3] = {};
};

TEST_F(GraphTest, ForkAndJoin) {
  const DeviceArray<float> left(std::vector<float>(count, 0.0F));
  const DeviceArray<float> right(std::vector<float>(count, 0.0F));
  const cudaGraph_t graph = capture_fork_and_join(left.data(), right.data(), 1.0F, 2.0F);
  EXPECT_EQ(left.get()[0], 0.0F);  // captured, not run
  EXPECT_EQ(status(stream_[0]), cudaStreamCaptureStatusNone);
  EXPECT_EQ(status(stream_[1]), cudaStreamCaptureStatusNone);

  std::size_t nodes = 0;
  CUDA_OK(cudaGraphGetNodes(graph, nullptr, &nodes));
  EXPECT_EQ(nodes, 3U);
  std::size_t roots = 0;
  CUDA_OK(cudaGraphGetRootNodes(graph, nullptr, &roots));
  EXPECT_EQ(roots, 2U);
  std::size_t edges = 0;
  CUDA_OK(cudaGraphGetEdges(graph, nullptr, nullptr, nullptr, &edges));
  EXPECT_EQ(edges, 2U);
  std::vector<cudaGraphNode_t> list(5);
  nodes = list.size();
  CUDA_OK(cudaGraphGetNodes(graph, list.data(), &nodes));
  EXPECT_EQ(nodes, 3U);
  EXPECT_EQ(list[3], nullptr);
  cudaGraphNodeType type = cudaGraphNodeTypeEmpty;
  CUDA_OK(cudaGraphNodeGetType(list[0], &type));
  EXPECT_EQ(type, cudaGraphNodeTypeKernel);

  cudaGraphExec_t executable = nullptr;
  CUDA_OK(cudaGraphInstantiate(&executable, graph));
  CUDA_OK(cudaGraphDestroy(graph));  // the executable graph stands on its own
  for (std::uint64_t seed = 0; seed < 30; ++seed) {
    emulation::set_seed(seed);
    CUDA_OK(cudaGraphLaunch(executable, stream_[2]));
    CUDA_OK(cudaStreamSynchronize(stream_[2]));
    EXPECT_EQ(left.get(), std::vector<float>(count, 3.0F));
  }
  EXPECT_EQ(emulation::counters().graph_launches, 30U);
  EXPECT_EQ(emulation::counters().graph_kernels, 90U);
  EXPECT_EQ(emulation::counters().launches, 0U);
  CUDA_OK(cudaGraphExecDestroy(executable));
}

/// A graph around another, with an event before and after it, of which each launch brings its own.
TEST_F(GraphTest, EventNodesMarkEachLaunch) {
  const DeviceArray<float> left(std::vector<float>(count, 0.0F));
  const DeviceArray<float> right(std::vector<float>(count, 0.0F));
  const cudaGraph_t body = capture_fork_and_join(left.data(), right.data(), 1.0F, 2.0F);
  cudaGraph_t timed = nullptr;
  CUDA_OK(cudaGraphCreate(&timed, 0));
  cudaGraphNode_t begin = nullptr;
  cudaGraphNode_t child = nullptr;
  cudaGraphNode_t end = nullptr;
  CUDA_OK(cudaGraphAddEventRecordNode(&begin, timed, nullptr, 0, event_[0]));
  CUDA_OK(cudaGraphAddChildGraphNode(&child, timed, &begin, 1, body));
  CUDA_OK(cudaGraphAddEventRecordNode(&end, timed, &child, 1, event_[1]));
  EXPECT_EQ(cudaGraphAddEventRecordNode(&end, body, &begin, 1, event_[1]), cudaErrorInvalidValue)
      << "a node of another graph";
  cudaGraphNodeType type = cudaGraphNodeTypeEmpty;
  CUDA_OK(cudaGraphNodeGetType(begin, &type));
  EXPECT_EQ(type, cudaGraphNodeTypeEventRecord);
  CUDA_OK(cudaGraphDestroy(body));
  cudaGraphExec_t executable = nullptr;
  CUDA_OK(cudaGraphInstantiate(&executable, timed));
  EXPECT_EQ(cudaGraphExecEventRecordNodeSetEvent(executable, child, event_[2]),
            cudaErrorInvalidValue)
      << "no event node";
  emulation::set_eagerness(0);
  for (std::uint64_t seed = 0; seed < 10; ++seed) {
    emulation::set_seed(seed);
    CUDA_OK(cudaGraphExecEventRecordNodeSetEvent(executable, end, event_[1]));
    CUDA_OK(cudaGraphLaunch(executable, stream_[0]));
    CUDA_OK(cudaGraphExecEventRecordNodeSetEvent(executable, end, event_[2]));
    CUDA_OK(cudaGraphLaunch(executable, stream_[0]));
    float milliseconds = -1;
    EXPECT_EQ(cudaEventElapsedTime(&milliseconds, event_[1], event_[0]), cudaErrorNotReady);
    CUDA_OK(cudaEventSynchronize(event_[1]));  // the first launch's: it kept its event
    EXPECT_EQ(left.get(), std::vector<float>(count, 3.0F));
    CUDA_OK(cudaEventSynchronize(event_[2]));
    CUDA_OK(cudaEventElapsedTime(&milliseconds, event_[1], event_[0]));  // end, next begin
    EXPECT_GE(milliseconds, 0);
    CUDA_OK(cudaEventElapsedTime(&milliseconds, event_[0], event_[2]));  // the second launch
    EXPECT_GT(milliseconds, 0);
  }
  CUDA_OK(cudaGraphExecDestroy(executable));
  CUDA_OK(cudaGraphDestroy(timed));
}

TEST_F(GraphTest, AMissingEdgeIsSeen) {
  const DeviceArray<float> left(std::vector<float>(count, 0.0F));
  const DeviceArray<float> right(std::vector<float>(count, 0.0F));
  CUDA_OK(cudaStreamBeginCapture(stream_[0], cudaStreamCaptureModeGlobal));
  CUDA_OK(cudaEventRecord(event_[0], stream_[0]));
  CUDA_OK(cudaStreamWaitEvent(stream_[1], event_[0], 0));
  CUDA_OK(launch(fill, 1, count, 0, stream_[1], right.data(), 2.0F, count));
  CUDA_OK(launch(add, 1, count, 0, stream_[0], left.data(), static_cast<const float*>(right.data()),
                 1.0F, count));  // does not wait
  CUDA_OK(cudaEventRecord(event_[1], stream_[1]));
  CUDA_OK(cudaStreamWaitEvent(stream_[0], event_[1], 0));
  cudaGraph_t graph = nullptr;
  CUDA_OK(cudaStreamEndCapture(stream_[0], &graph));
  cudaGraphExec_t executable = nullptr;
  CUDA_OK(cudaGraphInstantiate(&executable, graph));
  int wrong = 0;
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    emulation::set_seed(seed);
    left.put(std::vector<float>(count, 0.0F));
    right.put(std::vector<float>(count, 0.0F));
    CUDA_OK(cudaDeviceSynchronize());
    CUDA_OK(cudaGraphLaunch(executable, stream_[0]));
    CUDA_OK(cudaStreamSynchronize(stream_[0]));
    wrong += left.get()[0] != 2.0F;
  }
  EXPECT_GE(wrong, 3);
  EXPECT_LE(wrong, 17);
  CUDA_OK(cudaGraphExecDestroy(executable));
  CUDA_OK(cudaGraphDestroy(graph));
}

TEST_F(GraphTest, Update) {
  const DeviceArray<float> left(std::vector<float>(count, 0.0F));
  const DeviceArray<float> right(std::vector<float>(count, 0.0F));
  cudaGraph_t graph = capture_fork_and_join(left.data(), right.data(), 1.0F, 2.0F);
  cudaGraphExec_t executable = nullptr;
  CUDA_OK(cudaGraphInstantiate(&executable, graph));
  CUDA_OK(cudaGraphDestroy(graph));

  graph = capture_fork_and_join(left.data(), right.data(), 10.0F, 20.0F);
  CUDA_OK(cudaGraphLaunch(executable, stream_[0]));  // still the old one
  cudaGraphExecUpdateResultInfo result{};
  CUDA_OK(cudaGraphExecUpdate(executable, graph, &result));
  EXPECT_EQ(result.result, cudaGraphExecUpdateSuccess);
  CUDA_OK(cudaGraphDestroy(graph));
  CUDA_OK(cudaStreamSynchronize(stream_[0]));
  EXPECT_EQ(left.get()[0], 3.0F);
  CUDA_OK(cudaGraphLaunch(executable, stream_[0]));
  CUDA_OK(cudaStreamSynchronize(stream_[0]));
  EXPECT_EQ(left.get()[0], 30.0F);

  // Another shape does not fit, and changes nothing.
  CUDA_OK(cudaStreamBeginCapture(stream_[0], cudaStreamCaptureModeGlobal));
  CUDA_OK(launch(fill, 1, count, 0, stream_[0], left.data(), 7.0F, count));
  CUDA_OK(cudaStreamEndCapture(stream_[0], &graph));
  EXPECT_EQ(cudaGraphExecUpdate(executable, graph, &result), cudaErrorGraphExecUpdateFailure);
  EXPECT_EQ(result.result, cudaGraphExecUpdateErrorTopologyChanged);
  static_cast<void>(cudaGetLastError());
  CUDA_OK(cudaGraphDestroy(graph));
  CUDA_OK(cudaGraphLaunch(executable, stream_[0]));
  CUDA_OK(cudaStreamSynchronize(stream_[0]));
  EXPECT_EQ(left.get()[0], 30.0F);
  CUDA_OK(cudaGraphExecDestroy(executable));
}

TEST_F(GraphTest, CopiesFillsAndHostFunctionsAreNodes) {
  const DeviceArray<float> values(count);
  std::vector<float> host(count, 4.0F);
  int calls = 0;
  CUDA_OK(cudaStreamBeginCapture(stream_[0], cudaStreamCaptureModeGlobal));
  CUDA_OK(cudaMemsetAsync(values.data(), 0, values.bytes(), stream_[0]));
  CUDA_OK(cudaMemcpyAsync(values.data(), host.data(), 2 * sizeof(float), cudaMemcpyHostToDevice,
                          stream_[0]));
  CUDA_OK(cudaLaunchHostFunc(
      stream_[0], [](void* n) { ++*static_cast<int*>(n); }, &calls));
  CUDA_OK(launch(fill, 1, 1, 0, stream_[0], values.data(), 9.0F, 1));
  cudaGraph_t graph = nullptr;
  CUDA_OK(cudaStreamEndCapture(stream_[0], &graph));
  cudaGraphExec_t executable = nullptr;
  CUDA_OK(cudaGraphInstantiate(&executable, graph));
  host[1] = 5.0F;  // a captured copy reads its source when the graph runs
  CUDA_OK(cudaGraphLaunch(executable, stream_[0]));
  CUDA_OK(cudaGraphLaunch(executable, stream_[0]));
  CUDA_OK(cudaStreamSynchronize(stream_[0]));
  EXPECT_EQ(calls, 2);
  const auto result = values.get();
  EXPECT_EQ(result[0], 9.0F);
  EXPECT_EQ(result[1], 5.0F);
  EXPECT_EQ(result[2], 0.0F);
  CUDA_OK(cudaGraphExecDestroy(executable));
  CUDA_OK(cudaGraphDestroy(graph));
}

TEST_F(GraphTest, LaunchesOfOneExecutableFollowEachOther) {
  const DeviceArray<float> sum(std::vector<float>(count, 0.0F));
  const DeviceArray<float> one(std::vector<float>(count, 1.0F));
  CUDA_OK(cudaStreamBeginCapture(stream_[0], cudaStreamCaptureModeRelaxed));
  CUDA_OK(launch(add, 1, count, 0, stream_[0], sum.data(), static_cast<const float*>(one.data()),
                 1.0F, count));
  cudaGraph_t graph = nullptr;
  CUDA_OK(cudaStreamEndCapture(stream_[0], &graph));
  cudaGraphExec_t executable = nullptr;
  CUDA_OK(cudaGraphInstantiate(&executable, graph));
  for (int i = 0; i < 9; ++i) CUDA_OK(cudaGraphLaunch(executable, stream_[i % 3]));
  CUDA_OK(cudaDeviceSynchronize());
  EXPECT_EQ(sum.get()[0], 9.0F);
  CUDA_OK(cudaGraphExecDestroy(executable));
  CUDA_OK(cudaGraphDestroy(graph));
}

TEST_F(GraphTest, AGraphLaunchedInACaptureBecomesPartOfIt) {
  const DeviceArray<float> left(std::vector<float>(count, 0.0F));
  const DeviceArray<float> right(std::vector<float>(count, 0.0F));
  const cudaGraph_t inner = capture_fork_and_join(left.data(), right.data(), 1.0F, 2.0F);
  cudaGraphExec_t inner_executable = nullptr;
  CUDA_OK(cudaGraphInstantiate(&inner_executable, inner));
  CUDA_OK(cudaStreamBeginCapture(stream_[0], cudaStreamCaptureModeGlobal));
  CUDA_OK(cudaGraphLaunch(inner_executable, stream_[0]));
  CUDA_OK(launch(add, 1, count, 0, stream_[0], left.data(), static_cast<const float*>(right.data()),
                 10.0F, count));
  cudaGraph_t outer = nullptr;
  CUDA_OK(cudaStreamEndCapture(stream_[0], &outer));
  cudaGraphExec_t executable = nullptr;
  CUDA_OK(cudaGraphInstantiate(&executable, outer));
  for (std::uint64_t seed = 0; seed < 10; ++seed) {
    emulation::set_seed(seed);
    CUDA_OK(cudaGraphLaunch(executable, stream_[0]));
    CUDA_OK(cudaStreamSynchronize(stream_[0]));
    EXPECT_EQ(left.get()[0], 23.0F);
  }
  CUDA_OK(cudaGraphExecDestroy(executable));
  CUDA_OK(cudaGraphExecDestroy(inner_executable));
  CUDA_OK(cudaGraphDestroy(outer));
  CUDA_OK(cudaGraphDestroy(inner));
}

TEST_F(GraphTest, APlantedFailureInsideAGraph) {
  float* left = nullptr;
  float* right = nullptr;
  CUDA_OK(cudaMalloc(&left, count * sizeof(float)));
  CUDA_OK(cudaMalloc(&right, count * sizeof(float)));
  const cudaGraph_t graph = capture_fork_and_join(left, right, 1.0F, 2.0F);
  cudaGraphExec_t executable = nullptr;
  CUDA_OK(cudaGraphInstantiate(&executable, graph));
  emulation::set_eagerness(0.0);
  emulation::fail_launch(5, cudaErrorLaunchFailure);  // the second node of the second launch
  CUDA_OK(cudaGraphLaunch(executable, stream_[0]));
  CUDA_OK(cudaStreamSynchronize(stream_[0]));
  CUDA_OK(cudaGraphLaunch(executable, stream_[0]));
  EXPECT_EQ(cudaStreamSynchronize(stream_[0]), cudaErrorLaunchFailure);
  // Everything can still be given back.
  EXPECT_EQ(cudaGraphExecDestroy(executable), cudaErrorLaunchFailure);
  EXPECT_EQ(cudaGraphDestroy(graph), cudaErrorLaunchFailure);
  EXPECT_EQ(cudaFree(left), cudaErrorLaunchFailure);
  EXPECT_EQ(cudaFree(right), cudaErrorLaunchFailure);
  EXPECT_EQ(emulation::counters().live_graphs, 0U);
  CUDA_OK(cudaDeviceReset());
  for (cudaStream_t& s : stream_) CUDA_OK(cudaStreamCreate(&s));
  for (cudaEvent_t& e : event_) CUDA_OK(cudaEventCreate(&e));
}

TEST_F(GraphTest, SynchronizingACapturedStreamSpoilsTheCapture) {
  CUDA_OK(cudaStreamBeginCapture(stream_[0], cudaStreamCaptureModeRelaxed));
  EXPECT_EQ(cudaStreamSynchronize(stream_[0]), cudaErrorStreamCaptureUnsupported);
  EXPECT_EQ(status(stream_[0]), cudaStreamCaptureStatusInvalidated);
  EXPECT_EQ(cudaMemsetAsync(nullptr, 0, 0, stream_[0]), cudaSuccess);
  EXPECT_EQ(launch(stop_here, 1, 1, 0, stream_[0]), cudaErrorStreamCaptureInvalidated);
  expect_failed_capture(cudaErrorStreamCaptureInvalidated);
  CUDA_OK(cudaStreamSynchronize(stream_[0]));
}

TEST_F(GraphTest, QueryingACapturedStreamSpoilsTheCapture) {
  CUDA_OK(cudaStreamBeginCapture(stream_[0], cudaStreamCaptureModeThreadLocal));
  EXPECT_EQ(cudaStreamQuery(stream_[0]), cudaErrorStreamCaptureUnsupported);
  expect_failed_capture(cudaErrorStreamCaptureInvalidated);
}

TEST_F(GraphTest, UnsafeCallsDependOnTheMode) {
  void* memory = nullptr;
  CUDA_OK(cudaStreamBeginCapture(stream_[0], cudaStreamCaptureModeGlobal));
  EXPECT_EQ(cudaMalloc(&memory, 16), cudaErrorStreamCaptureUnsupported);
  expect_failed_capture(cudaErrorStreamCaptureInvalidated);

  CUDA_OK(cudaStreamBeginCapture(stream_[0], cudaStreamCaptureModeRelaxed));
  CUDA_OK(cudaMalloc(&memory, 16));
  cudaGraph_t graph = nullptr;
  CUDA_OK(cudaStreamEndCapture(stream_[0], &graph));
  CUDA_OK(cudaGraphDestroy(graph));
  CUDA_OK(cudaFree(memory));

  // Global: other threads are concerned as well. Thread-local: they are not.
  for (const auto mode : {cudaStreamCaptureModeGlobal, cudaStreamCaptureModeThreadLocal}) {
    CUDA_OK(cudaStreamBeginCapture(stream_[0], mode));
    cudaError_t other = cudaSuccess;
    std::thread([&] {
      void* own = nullptr;
      other = cudaMalloc(&own, 16);
      if (other == cudaSuccess) static_cast<void>(cudaFree(own));
    }).join();
    if (mode == cudaStreamCaptureModeGlobal) {
      EXPECT_EQ(other, cudaErrorStreamCaptureUnsupported);
      expect_failed_capture(cudaErrorStreamCaptureInvalidated);
    } else {
      EXPECT_EQ(other, cudaSuccess);
      CUDA_OK(cudaStreamEndCapture(stream_[0], &graph));
      CUDA_OK(cudaGraphDestroy(graph));
    }
  }

  // A thread may exempt itself.
  CUDA_OK(cudaStreamBeginCapture(stream_[0], cudaStreamCaptureModeGlobal));
  cudaStreamCaptureMode mode = cudaStreamCaptureModeRelaxed;
  CUDA_OK(cudaThreadExchangeStreamCaptureMode(&mode));
  EXPECT_EQ(mode, cudaStreamCaptureModeGlobal);
  CUDA_OK(cudaMalloc(&memory, 16));
  CUDA_OK(cudaThreadExchangeStreamCaptureMode(&mode));
  CUDA_OK(cudaStreamEndCapture(stream_[0], &graph));
  CUDA_OK(cudaGraphDestroy(graph));
  CUDA_OK(cudaFree(memory));
}

TEST_F(GraphTest, TheLegacyStreamMayNotBeUsedBesideABlockingCapture) {
  cudaStream_t blocking = nullptr;
  CUDA_OK(cudaStreamCreate(&blocking));
  CUDA_OK(cudaStreamBeginCapture(blocking, cudaStreamCaptureModeRelaxed));
  EXPECT_EQ(launch(stop_here, 1, 1, 0, nullptr), cudaErrorStreamCaptureImplicit);
  cudaGraph_t graph = nullptr;
  EXPECT_EQ(cudaStreamEndCapture(blocking, &graph), cudaErrorStreamCaptureInvalidated);
  CUDA_OK(cudaStreamDestroy(blocking));
  EXPECT_EQ(cudaStreamBeginCapture(nullptr, cudaStreamCaptureModeGlobal),
            cudaErrorStreamCaptureUnsupported);
  static_cast<void>(cudaGetLastError());
}

TEST_F(GraphTest, AForkedStreamMustJoin) {
  const DeviceArray<float> values(count);
  CUDA_OK(cudaStreamBeginCapture(stream_[0], cudaStreamCaptureModeGlobal));
  CUDA_OK(cudaEventRecord(event_[0], stream_[0]));
  CUDA_OK(cudaStreamWaitEvent(stream_[1], event_[0], 0));
  CUDA_OK(launch(fill, 1, count, 0, stream_[1], values.data(), 1.0F, count));
  expect_failed_capture(cudaErrorStreamCaptureUnjoined);
  EXPECT_EQ(status(stream_[1]), cudaStreamCaptureStatusNone);
}

TEST_F(GraphTest, OnlyTheOriginEndsACapture) {
  CUDA_OK(cudaStreamBeginCapture(stream_[0], cudaStreamCaptureModeGlobal));
  CUDA_OK(cudaEventRecord(event_[0], stream_[0]));
  CUDA_OK(cudaStreamWaitEvent(stream_[1], event_[0], 0));
  cudaGraph_t graph = nullptr;
  EXPECT_EQ(cudaStreamEndCapture(stream_[1], &graph), cudaErrorStreamCaptureUnmatched);
  expect_failed_capture(cudaErrorStreamCaptureInvalidated);
  EXPECT_EQ(cudaStreamEndCapture(stream_[0], &graph), cudaErrorIllegalState);
  static_cast<void>(cudaGetLastError());
}

TEST_F(GraphTest, ACaptureIsEndedByTheThreadThatBeganIt) {
  CUDA_OK(cudaStreamBeginCapture(stream_[0], cudaStreamCaptureModeGlobal));
  cudaGraph_t graph = nullptr;
  cudaError_t other = cudaSuccess;
  std::thread([&] { other = cudaStreamEndCapture(stream_[0], &graph); }).join();
  EXPECT_EQ(other, cudaErrorStreamCaptureWrongThread);
  CUDA_OK(cudaStreamEndCapture(stream_[0], &graph));
  CUDA_OK(cudaGraphDestroy(graph));
}

TEST_F(GraphTest, WorkOutsideIsIsolatedFromACapture) {
  const DeviceArray<float> values(count);
  CUDA_OK(launch(fill, 1, count, 0, stream_[1], values.data(), 1.0F, count));
  CUDA_OK(cudaEventRecord(event_[1], stream_[1]));
  CUDA_OK(cudaStreamBeginCapture(stream_[0], cudaStreamCaptureModeGlobal));
  EXPECT_EQ(cudaStreamWaitEvent(stream_[0], event_[1], 0), cudaErrorStreamCaptureIsolation);
  expect_failed_capture(cudaErrorStreamCaptureInvalidated);

  CUDA_OK(cudaStreamBeginCapture(stream_[0], cudaStreamCaptureModeGlobal));
  CUDA_OK(cudaEventRecord(event_[0], stream_[0]));
  EXPECT_EQ(cudaEventQuery(event_[0]), cudaErrorCapturedEvent);
  expect_failed_capture(cudaErrorStreamCaptureInvalidated);
  EXPECT_EQ(cudaEventSynchronize(event_[0]), cudaErrorCapturedEvent);
  static_cast<void>(cudaGetLastError());
}

TEST_F(GraphTest, TwoCapturesDoNotMerge) {
  CUDA_OK(cudaStreamBeginCapture(stream_[0], cudaStreamCaptureModeGlobal));
  CUDA_OK(cudaStreamBeginCapture(stream_[1], cudaStreamCaptureModeGlobal));
  CUDA_OK(cudaEventRecord(event_[1], stream_[1]));
  EXPECT_EQ(cudaStreamWaitEvent(stream_[0], event_[1], 0), cudaErrorStreamCaptureMerge);
  expect_failed_capture(cudaErrorStreamCaptureInvalidated);
  cudaGraph_t graph = nullptr;
  EXPECT_EQ(cudaStreamEndCapture(stream_[1], &graph), cudaErrorStreamCaptureInvalidated);
  static_cast<void>(cudaGetLastError());
}

}  // namespace
}  // namespace emulation_tests
