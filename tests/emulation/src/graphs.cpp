// Captures and graphs.
#include <algorithm>
#include <unordered_set>

#include "runtime.hpp"

namespace emulation::detail {
namespace {

// What the captured operations of `tips` depend on, themselves included.
std::unordered_set<const CUgraphNode_st*> ancestors(const std::vector<CUgraphNode_st*>& tips) {
  std::unordered_set<const CUgraphNode_st*> found(tips.begin(), tips.end());
  std::vector<const CUgraphNode_st*> open(tips.begin(), tips.end());
  while (!open.empty()) {
    const CUgraphNode_st* node = open.back();
    open.pop_back();
    for (const CUgraphNode_st* dependency : node->dependencies) {
      if (found.insert(dependency).second) open.push_back(dependency);
    }
  }
  return found;
}

bool all_joined(const Capture& capture) {
  const auto joined = ancestors(capture.origin->tips);
  for (const CUstream_st* stream : capture.streams) {
    for (const CUgraphNode_st* tip : stream->tips) {
      if (!joined.contains(tip)) return false;
    }
  }
  return true;
}

std::shared_ptr<const Plan> make_plan(const CUgraph_st& graph) {
  auto plan = std::make_shared<Plan>();
  plan->successors.resize(graph.nodes.size());
  for (const auto& node : graph.nodes) {
    plan->tasks.push_back(node->task);
    plan->dependencies.push_back(node->dependencies.size());
    for (const CUgraphNode_st* dependency : node->dependencies) {
      plan->successors[dependency->index].push_back(node->index);
    }
  }
  return plan;
}

// The nodes of a graph become nodes of another, behind `before`; gives its last ones. (CUDA makes
// one child node of them.)
std::vector<CUgraphNode_st*> inline_plan(Runtime& runtime, CUgraph_st& graph, const Plan& plan,
                                         const std::vector<CUgraphNode_st*>& before) {
  std::vector<CUgraphNode_st*> nodes;
  for (const Task& task : plan.tasks) nodes.push_back(runtime.add_node(graph, task, {}));
  std::vector<CUgraphNode_st*> sinks;
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    if (plan.dependencies[i] == 0) nodes[i]->dependencies = before;
    for (const std::size_t next : plan.successors[i]) nodes[next]->dependencies.push_back(nodes[i]);
    if (plan.successors[i].empty()) sinks.push_back(nodes[i]);
  }
  return sinks.empty() ? before : sinks;
}

cudaGraphExecUpdateResult compare(const Plan& old_plan, const CUgraph_st& graph,
                                  std::size_t& where) {
  const std::shared_ptr<const Plan> fresh = make_plan(graph);
  where = 0;
  if (old_plan.tasks.size() != fresh->tasks.size()) {
    return cudaGraphExecUpdateErrorTopologyChanged;
  }
  for (std::size_t i = 0; i < fresh->tasks.size(); ++i) {
    where = i;
    const Task& before = old_plan.tasks[i];
    const Task& after = fresh->tasks[i];
    if (before.kind != after.kind) return cudaGraphExecUpdateErrorNodeTypeChanged;
    if (before.kind == Task::Kind::kernel && before.kernel->function != after.kernel->function) {
      return cudaGraphExecUpdateErrorFunctionChanged;
    }
    if (before.kind == Task::Kind::library && before.name != after.name) {
      return cudaGraphExecUpdateErrorFunctionChanged;
    }
    if (before.kind == Task::Kind::copy && before.bytes != after.bytes) {
      return cudaGraphExecUpdateErrorParametersChanged;
    }
    auto old_successors = old_plan.successors[i];
    auto new_successors = fresh->successors[i];
    std::sort(old_successors.begin(), old_successors.end());
    std::sort(new_successors.begin(), new_successors.end());
    if (old_successors != new_successors) return cudaGraphExecUpdateErrorTopologyChanged;
  }
  return cudaGraphExecUpdateSuccess;
}

// The protocol of CUDA's list getters: a null list asks for the count; a longer list than needed is
// padded with nulls.
template <typename T>
void give_list(const std::vector<T>& items, T* list, std::size_t* count) {
  if (list != nullptr) {
    for (std::size_t i = 0; i < *count; ++i) list[i] = i < items.size() ? items[i] : T{};
    *count = std::min(*count, items.size());
  } else {
    *count = items.size();
  }
}

// Whether the graph exists and the dependencies are nodes of it.
bool is_fit(const Runtime& runtime, const CUgraph_st* graph, const cudaGraphNode_t* dependencies,
            std::size_t count) {
  return owns(runtime.graphs_, graph) && (dependencies != nullptr || count == 0) &&
         std::all_of(dependencies, dependencies + count, [&](const CUgraphNode_st* node) {
           return node != nullptr && node->graph == graph;
         });
}

}  // namespace
}  // namespace emulation::detail

using namespace emulation::detail;

extern "C" {

cudaError_t cudaStreamBeginCapture(cudaStream_t handle, cudaStreamCaptureMode mode) {
  return Runtime::instance().call(
      During::capture_allowed, [&](Runtime& runtime, Lock&) -> cudaError_t {
        CUstream_st* stream = runtime.stream_of(handle);
        if (stream == nullptr) return cudaErrorInvalidResourceHandle;
        if (mode < cudaStreamCaptureModeGlobal || mode > cudaStreamCaptureModeRelaxed) {
          return cudaErrorInvalidValue;
        }
        if (stream == &runtime.legacy_) return cudaErrorStreamCaptureUnsupported;
        if (stream->capture) return cudaErrorIllegalState;
        auto capture = std::make_shared<Capture>();
        capture->id = runtime.next_id_++;
        capture->graph = std::make_unique<CUgraph_st>();
        capture->origin = stream;
        capture->mode = mode;
        capture->thread = std::this_thread::get_id();
        capture->streams.push_back(stream);
        stream->capture = capture;
        stream->tips.clear();
        runtime.captures_.push_back(std::move(capture));
        return cudaSuccess;
      });
}

cudaError_t cudaStreamEndCapture(cudaStream_t handle, cudaGraph_t* pGraph) {
  return Runtime::instance().call(During::capture_allowed,
                                  [&](Runtime& runtime, Lock&) -> cudaError_t {
                                    CUstream_st* stream = runtime.stream_of(handle);
                                    if (stream == nullptr) return cudaErrorInvalidResourceHandle;
                                    if (pGraph != nullptr) *pGraph = nullptr;
                                    if (!stream->capture) return cudaErrorIllegalState;
                                    const std::shared_ptr<Capture> capture = stream->capture;
                                    if (capture->origin != stream) {
                                      runtime.invalidate(*capture);
                                      return cudaErrorStreamCaptureUnmatched;
                                    }
                                    if (capture->mode != cudaStreamCaptureModeRelaxed &&
                                        capture->thread != std::this_thread::get_id()) {
                                      return cudaErrorStreamCaptureWrongThread;
                                    }
                                    const bool joined = all_joined(*capture);
                                    const bool invalid = capture->invalid;
                                    runtime.forget_capture(*capture);
                                    if (invalid) return cudaErrorStreamCaptureInvalidated;
                                    if (!joined) return cudaErrorStreamCaptureUnjoined;
                                    if (pGraph == nullptr) return cudaErrorInvalidValue;
                                    *pGraph = capture->graph.get();
                                    runtime.graphs_.push_back(std::move(capture->graph));
                                    return cudaSuccess;
                                  });
}

cudaError_t cudaStreamGetCaptureInfo(cudaStream_t handle, cudaStreamCaptureStatus* status,
                                     unsigned long long* id, cudaGraph_t* graph,
                                     const cudaGraphNode_t** dependencies,
                                     const cudaGraphEdgeData** edgeData, size_t* numDependencies) {
  return Runtime::instance().call(During::capture_allowed,
                                  [&](Runtime& runtime, Lock&) -> cudaError_t {
                                    CUstream_st* stream = runtime.stream_of(handle);
                                    if (stream == nullptr) return cudaErrorInvalidResourceHandle;
                                    if (status == nullptr) return cudaErrorInvalidValue;
                                    if (stream == &runtime.legacy_ && !runtime.captures_.empty()) {
                                      const cudaError_t usable = runtime.check_usable(*stream);
                                      if (usable != cudaSuccess) return usable;
                                    }
                                    if (!stream->capture) {
                                      *status = cudaStreamCaptureStatusNone;
                                      return cudaSuccess;
                                    }
                                    if (stream->capture->invalid) {
                                      *status = cudaStreamCaptureStatusInvalidated;
                                      return cudaSuccess;
                                    }
                                    *status = cudaStreamCaptureStatusActive;
                                    if (id != nullptr) *id = stream->capture->id;
                                    if (graph != nullptr) *graph = stream->capture->graph.get();
                                    if (dependencies != nullptr)
                                      *dependencies = stream->tips.data();
                                    if (edgeData != nullptr) *edgeData = nullptr;
                                    if (numDependencies != nullptr)
                                      *numDependencies = stream->tips.size();
                                    return cudaSuccess;
                                  });
}

cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status) {
  return cudaStreamGetCaptureInfo(stream, status, nullptr, nullptr, nullptr, nullptr, nullptr);
}

cudaError_t cudaGraphCreate(cudaGraph_t* pGraph, unsigned int flags) {
  return Runtime::instance().call(During::capture_allowed,
                                  [&](Runtime& runtime, Lock&) -> cudaError_t {
                                    if (pGraph == nullptr || flags != 0)
                                      return cudaErrorInvalidValue;
                                    runtime.graphs_.push_back(std::make_unique<CUgraph_st>());
                                    *pGraph = runtime.graphs_.back().get();
                                    return cudaSuccess;
                                  });
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  return Runtime::instance().release_call(
      During::capture_allowed, [&](Runtime& runtime, Lock&) -> cudaError_t {
        return erase_owned(runtime.graphs_, static_cast<const CUgraph_st*>(graph))
                   ? cudaSuccess
                   : cudaErrorInvalidValue;
      });
}

cudaError_t cudaGraphAddEventRecordNode(cudaGraphNode_t* pGraphNode, cudaGraph_t graph,
                                        const cudaGraphNode_t* pDependencies,
                                        size_t numDependencies, cudaEvent_t event) {
  return Runtime::instance().call(
      During::capture_allowed, [&](Runtime& runtime, Lock&) -> cudaError_t {
        if (pGraphNode == nullptr || !runtime.is_event(event) ||
            !is_fit(runtime, graph, pDependencies, numDependencies)) {
          return cudaErrorInvalidValue;
        }
        Task task;
        task.kind = Task::Kind::mark;
        task.name = "record";
        task.event = event;
        *pGraphNode = runtime.add_node(*graph, std::move(task),
                                       {pDependencies, pDependencies + numDependencies});
        return cudaSuccess;
      });
}

// The node that is given back stands behind the child's, which are nodes of the graph themselves.
cudaError_t cudaGraphAddChildGraphNode(cudaGraphNode_t* pGraphNode, cudaGraph_t graph,
                                       const cudaGraphNode_t* pDependencies, size_t numDependencies,
                                       cudaGraph_t childGraph) {
  return Runtime::instance().call(
      During::capture_allowed, [&](Runtime& runtime, Lock&) -> cudaError_t {
        if (pGraphNode == nullptr || graph == childGraph ||
            !owns(runtime.graphs_, static_cast<const CUgraph_st*>(childGraph)) ||
            !is_fit(runtime, graph, pDependencies, numDependencies)) {
          return cudaErrorInvalidValue;
        }
        Task join;
        join.name = "child";
        *pGraphNode =
            runtime.add_node(*graph, std::move(join),
                             inline_plan(runtime, *graph, *make_plan(*childGraph),
                                         {pDependencies, pDependencies + numDependencies}));
        return cudaSuccess;
      });
}

// As CUDA has it: launches that are queued keep the event they came with.
cudaError_t cudaGraphExecEventRecordNodeSetEvent(cudaGraphExec_t hGraphExec, cudaGraphNode_t hNode,
                                                 cudaEvent_t event) {
  return Runtime::instance().call(
      During::capture_allowed, [&](Runtime& runtime, Lock&) -> cudaError_t {
        if (!owns(runtime.executables_, static_cast<const CUgraphExec_st*>(hGraphExec)) ||
            hNode == nullptr ||
            !owns(runtime.graphs_, static_cast<const CUgraph_st*>(hNode->graph)) ||
            hNode->index >= hGraphExec->plan->tasks.size() ||
            hGraphExec->plan->tasks[hNode->index].kind != Task::Kind::mark ||
            !runtime.is_event(event)) {
          return cudaErrorInvalidValue;
        }
        auto changed = std::make_shared<Plan>(*hGraphExec->plan);
        changed->tasks[hNode->index].event = event;
        hGraphExec->plan = std::move(changed);
        return cudaSuccess;
      });
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* pGraphExec, cudaGraph_t graph,
                                 unsigned long long) {
  return Runtime::instance().call(
      During::capture_allowed, [&](Runtime& runtime, Lock&) -> cudaError_t {
        if (pGraphExec == nullptr ||
            !owns(runtime.graphs_, static_cast<const CUgraph_st*>(graph))) {
          return cudaErrorInvalidValue;
        }
        auto executable = std::make_unique<CUgraphExec_st>();
        executable->plan = make_plan(*graph);
        *pGraphExec = executable.get();
        runtime.executables_.push_back(std::move(executable));
        return cudaSuccess;
      });
}

cudaError_t cudaGraphInstantiateWithFlags(cudaGraphExec_t* pGraphExec, cudaGraph_t graph,
                                          unsigned long long flags) {
  return cudaGraphInstantiate(pGraphExec, graph, flags);
}

cudaError_t cudaGraphExecUpdate(cudaGraphExec_t exec, cudaGraph_t graph,
                                cudaGraphExecUpdateResultInfo* resultInfo) {
  return Runtime::instance().call(
      During::capture_allowed, [&](Runtime& runtime, Lock&) -> cudaError_t {
        if (resultInfo == nullptr ||
            !owns(runtime.executables_, static_cast<const CUgraphExec_st*>(exec)) ||
            !owns(runtime.graphs_, static_cast<const CUgraph_st*>(graph))) {
          return cudaErrorInvalidValue;
        }
        *resultInfo = cudaGraphExecUpdateResultInfo{};
        std::size_t where = 0;
        resultInfo->result = compare(*exec->plan, *graph, where);
        if (resultInfo->result != cudaGraphExecUpdateSuccess) {
          if (where < graph->nodes.size()) resultInfo->errorNode = graph->nodes[where].get();
          return cudaErrorGraphExecUpdateFailure;
        }
        exec->plan = make_plan(*graph);  // launches that are queued keep the old one
        return cudaSuccess;
      });
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t graphExec) {
  return Runtime::instance().release_call(
      During::capture_allowed, [&](Runtime& runtime, Lock&) -> cudaError_t {
        return erase_owned(runtime.executables_, static_cast<const CUgraphExec_st*>(graphExec))
                   ? cudaSuccess
                   : cudaErrorInvalidValue;
      });
}

cudaError_t cudaGraphUpload(cudaGraphExec_t graphExec, cudaStream_t stream) {
  return Runtime::instance().call(
      During::capture_allowed, [&](Runtime& runtime, Lock&) -> cudaError_t {
        if (!owns(runtime.executables_, static_cast<const CUgraphExec_st*>(graphExec))) {
          return cudaErrorInvalidValue;
        }
        return runtime.stream_of(stream) != nullptr ? cudaSuccess : cudaErrorInvalidResourceHandle;
      });
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t graphExec, cudaStream_t handle) {
  return Runtime::instance().call(
      During::capture_allowed, [&](Runtime& runtime, Lock& lock) -> cudaError_t {
        CUstream_st* stream = runtime.stream_of(handle);
        if (stream == nullptr) return cudaErrorInvalidResourceHandle;
        if (!owns(runtime.executables_, static_cast<const CUgraphExec_st*>(graphExec))) {
          return cudaErrorInvalidValue;
        }
        const cudaError_t usable = runtime.check_usable(*stream);
        if (usable != cudaSuccess) return usable;
        if (stream->capture) {
          stream->tips =
              inline_plan(runtime, *stream->capture->graph, *graphExec->plan, stream->tips);
          return cudaSuccess;
        }
        Operation operation;
        operation.graph = std::make_unique<GraphRun>();
        GraphRun& run = *operation.graph;
        run.plan = graphExec->plan;
        run.missing = run.plan->dependencies;
        for (std::size_t node = 0; node < run.missing.size(); ++node) {
          if (run.missing[node] == 0) run.ready.push_back(node);
          const Task& task = run.plan->tasks[node];
          if (task.kind == Task::Kind::mark) {
            if (!runtime.is_event(task.event)) return cudaErrorInvalidValue;
            run.marks[node] = std::make_shared<Point>();
            run.marks[node]->stream = stream;
          }
          if (task.kind != Task::Kind::kernel) continue;
          const cudaError_t planted = runtime.planted_launch_failure();
          if (planted == cudaSuccess) continue;
          if (!is_sticky(planted)) return planted;
          operation.planted = planted;
          run.failing_node = node;
        }
        for (const auto& [node, point] : run.marks) {
          CUevent_st& event = *run.plan->tasks[node].event;
          event.capture = nullptr;
          event.tips.clear();
          event.point = point;
        }
        if (graphExec->last && !graphExec->last->reached) {
          operation.after.push_back(graphExec->last);
        }
        ++runtime.counters_.graph_launches;
        PointRef done;
        const cudaError_t error =
            runtime.enqueue_operation(*stream, std::move(operation), &done, lock);
        graphExec->last = done;
        return error;
      });
}

cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t* nodes, size_t* numNodes) {
  return Runtime::instance().call(During::capture_allowed, [&](Runtime&, Lock&) -> cudaError_t {
    if (graph == nullptr || numNodes == nullptr) return cudaErrorInvalidValue;
    std::vector<cudaGraphNode_t> all;
    for (const auto& node : graph->nodes) all.push_back(node.get());
    give_list(all, nodes, numNodes);
    return cudaSuccess;
  });
}

cudaError_t cudaGraphGetRootNodes(cudaGraph_t graph, cudaGraphNode_t* nodes, size_t* numNodes) {
  return Runtime::instance().call(During::capture_allowed, [&](Runtime&, Lock&) -> cudaError_t {
    if (graph == nullptr || numNodes == nullptr) return cudaErrorInvalidValue;
    std::vector<cudaGraphNode_t> roots;
    for (const auto& node : graph->nodes) {
      if (node->dependencies.empty()) roots.push_back(node.get());
    }
    give_list(roots, nodes, numNodes);
    return cudaSuccess;
  });
}

cudaError_t cudaGraphGetEdges(cudaGraph_t graph, cudaGraphNode_t* from, cudaGraphNode_t* to,
                              cudaGraphEdgeData* edgeData, size_t* numEdges) {
  return Runtime::instance().call(During::capture_allowed, [&](Runtime&, Lock&) -> cudaError_t {
    if (graph == nullptr || numEdges == nullptr || (from == nullptr) != (to == nullptr)) {
      return cudaErrorInvalidValue;
    }
    std::vector<cudaGraphNode_t> sources;
    std::vector<cudaGraphNode_t> targets;
    for (const auto& node : graph->nodes) {
      for (CUgraphNode_st* dependency : node->dependencies) {
        sources.push_back(dependency);
        targets.push_back(node.get());
      }
    }
    if (edgeData != nullptr) {
      std::fill(edgeData, edgeData + std::min(*numEdges, sources.size()), cudaGraphEdgeData{});
    }
    std::size_t count = *numEdges;
    give_list(sources, from, numEdges);
    give_list(targets, to, &count);
    return cudaSuccess;
  });
}

cudaError_t cudaGraphNodeGetType(cudaGraphNode_t node, cudaGraphNodeType* pType) {
  return Runtime::instance().call(During::capture_allowed, [&](Runtime&, Lock&) -> cudaError_t {
    if (node == nullptr || pType == nullptr) return cudaErrorInvalidValue;
    switch (node->task.kind) {
      case Task::Kind::empty:
        *pType = cudaGraphNodeTypeEmpty;
        break;
      case Task::Kind::copy:
        *pType = cudaGraphNodeTypeMemcpy;
        break;
      case Task::Kind::fill:
        *pType = cudaGraphNodeTypeMemset;
        break;
      case Task::Kind::host:
        *pType = cudaGraphNodeTypeHost;
        break;
      case Task::Kind::mark:
        *pType = cudaGraphNodeTypeEventRecord;
        break;
      case Task::Kind::kernel:
      case Task::Kind::library:
        *pType = cudaGraphNodeTypeKernel;
        break;
    }
    return cudaSuccess;
  });
}

cudaError_t cudaGraphNodeGetDependencies(cudaGraphNode_t node, cudaGraphNode_t* pDependencies,
                                         cudaGraphEdgeData* edgeData, size_t* pNumDependencies) {
  return Runtime::instance().call(During::capture_allowed, [&](Runtime&, Lock&) -> cudaError_t {
    if (node == nullptr || pNumDependencies == nullptr) return cudaErrorInvalidValue;
    if (edgeData != nullptr) {
      std::fill(edgeData, edgeData + std::min(*pNumDependencies, node->dependencies.size()),
                cudaGraphEdgeData{});
    }
    give_list(node->dependencies, pDependencies, pNumDependencies);
    return cudaSuccess;
  });
}

}  // extern "C"
