// Streams, events and graphs with an owner. For .cu files only.
#pragma once

#include <cuda_runtime.h>

#include "core/executor/cuda/check.cuh"

namespace manyfold {

class Stream {
 public:
  Stream() {
    check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "creating a stream");
  }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  ~Stream() { complain(cudaStreamDestroy(stream_), "destroying a stream"); }
  cudaStream_t get() const { return stream_; }

 private:
  cudaStream_t stream_ = nullptr;
};

class Event {
 public:
  explicit Event(unsigned flags = cudaEventDisableTiming) {
    check(cudaEventCreateWithFlags(&event_, flags), "creating an event");
  }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  ~Event() { complain(cudaEventDestroy(event_), "destroying an event"); }
  cudaEvent_t get() const { return event_; }

 private:
  cudaEvent_t event_ = nullptr;
};

class Graph {
 public:
  Graph() { check(cudaGraphCreate(&graph_, 0), "making a graph"); }
  /// Takes a captured one.
  explicit Graph(cudaGraph_t graph) : graph_(graph) {}
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;
  ~Graph() { complain(cudaGraphDestroy(graph_), "destroying a graph"); }
  cudaGraph_t get() const { return graph_; }

 private:
  cudaGraph_t graph_ = nullptr;
};

/// What a graph is launched as; stands on its own when the graph is gone.
class GraphExecutable {
 public:
  explicit GraphExecutable(cudaGraph_t graph) {
    check(cudaGraphInstantiate(&executable_, graph, 0), "instantiating a graph");
  }
  GraphExecutable(const GraphExecutable&) = delete;
  GraphExecutable& operator=(const GraphExecutable&) = delete;
  ~GraphExecutable() { complain(cudaGraphExecDestroy(executable_), "destroying a graph"); }
  cudaGraphExec_t get() const { return executable_; }

 private:
  cudaGraphExec_t executable_ = nullptr;
};

}  // namespace manyfold
