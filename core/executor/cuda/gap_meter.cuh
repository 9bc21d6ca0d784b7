// How long the device pauses between one replay of a graph and the next. A pause lies between the
// last kernel of a replay and the first of the one after it, so the events that measure it stand
// inside the graphs: events put into the stream around a launch would miss what the launch itself
// takes. A replay with events takes a few microseconds longer, so only a few carry them.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <memory>
#include <utility>
#include <vector>

#include "core/executor/cuda/handles.cuh"
#include "core/executor/executor.hpp"

namespace manyfold {

/// A graph with an event before its first node and one after its last.
class TimedGraph {
 public:
  /// `begin` and `end` stand in until a launch brings its own.
  TimedGraph(cudaGraph_t body, cudaEvent_t begin, cudaEvent_t end) {
    check(cudaGraphAddEventRecordNode(&begin_, graph_.get(), nullptr, 0, begin), "timing a graph");
    cudaGraphNode_t child = nullptr;
    check(cudaGraphAddChildGraphNode(&child, graph_.get(), &begin_, 1, body), "timing a graph");
    check(cudaGraphAddEventRecordNode(&end_, graph_.get(), &child, 1, end), "timing a graph");
    executable_ = std::make_unique<GraphExecutable>(graph_.get());
  }

  void launch(cudaStream_t stream, cudaEvent_t begin, cudaEvent_t end) const {
    // Launches that are queued keep the events they came with.
    const cudaGraphExec_t executable = executable_->get();
    check(cudaGraphExecEventRecordNodeSetEvent(executable, begin_, begin), "timing a graph");
    check(cudaGraphExecEventRecordNodeSetEvent(executable, end_, end), "timing a graph");
    check(cudaGraphLaunch(executable, stream), "launching a graph");
  }

 private:
  Graph graph_;  // lives as long as its nodes are named
  cudaGraphNode_t begin_ = nullptr;
  cudaGraphNode_t end_ = nullptr;
  std::unique_ptr<GraphExecutable> executable_;
};

/// Counts every gap and measures some: of those within a run and of those between two runs one each
/// in `every` replays. The second are rare and tell whether the host comes too late, so that they
/// must not depend on the luck of the first. Never waits for the device while it launches.
class GapMeter {
 public:
  explicit GapMeter(std::int64_t every) : every_(std::max<std::int64_t>(every, 1)) {}

  std::unique_ptr<TimedGraph> timed(cudaGraph_t body) const {
    return std::make_unique<TimedGraph>(body, spare_.begin.get(), spare_.end.get());
  }

  /// Launches a program, of which `timed` may be nullptr (recorded before measuring began); `last`
  /// says that it is the last of its run.
  void launch(cudaGraphExec_t plain, const TimedGraph* timed, cudaStream_t stream, bool last) {
    if (unbroken_) ++(first_ ? between_ : within_).gaps;
    Kind& next = last ? between_ : within_;
    std::unique_ptr<Gap> closing = std::move(open_);
    if (timed != nullptr && next.due <= replays_) open_ = fresh(next);
    if (timed != nullptr && (closing || open_)) {
      timed->launch(stream, (closing ? *closing : spare_).begin.get(),
                    (open_ ? *open_ : spare_).end.get());
      if (closing) {
        check(cudaEventRecord(closing->over.get(), stream), "timing a graph");
        flying_.push_back(std::move(closing));
      }
    } else {
      check(cudaGraphLaunch(plain, stream), "launching a graph");
      if (closing) idle_.push_back(std::move(closing));
    }
    if (open_) next.due = replays_ + every_;
    ++replays_;
    unbroken_ = true;
    first_ = last;
  }

  /// What comes next is no neighbour of the replay before: the host did something else on purpose.
  void interrupt() {
    unbroken_ = false;
    if (open_) idle_.push_back(std::move(open_));
  }

  /// Waits for the replays that are measured.
  ReplayGaps result() {
    while (!flying_.empty()) {
      check(cudaEventSynchronize(flying_.front()->over.get()), "waiting for a replay");
      read_oldest();
    }
    ReplayGaps gaps{.replays = replays_, .gaps = within_.gaps + between_.gaps};
    for (const Kind* kind : {&within_, &between_}) {
      gaps.measured += kind->measured;
      gaps.largest = std::max(gaps.largest, kind->largest);
      if (kind->measured > 0) {
        gaps.seconds +=
            kind->sum / static_cast<double>(kind->measured) * static_cast<double>(kind->gaps);
      }
    }
    return gaps;
  }

 private:
  struct Kind {
    std::int64_t gaps = 0;
    std::int64_t measured = 0;
    std::int64_t due = 0;  ///< number of the replay after which the next is measured
    double sum = 0;        ///< seconds of those measured
    double largest = 0;
  };
  struct Gap {
    Event end{cudaEventDefault};    ///< of the replay before it
    Event begin{cudaEventDefault};  ///< of the replay after it
    Event over;                     ///< in the stream behind both: they may be read
    Kind* kind = nullptr;
  };

  std::unique_ptr<Gap> fresh(Kind& kind) {
    // The host runs at most about a thousand launches ahead: that many gaps are never under way,
    // except where every gap is asked for.
    constexpr std::size_t most_flying = 1024;
    while (!flying_.empty() && is_over(*flying_.front())) read_oldest();
    if (flying_.size() >= most_flying) return nullptr;
    std::unique_ptr<Gap> gap;
    if (idle_.empty()) {
      gap = std::make_unique<Gap>();
    } else {
      gap = std::move(idle_.back());
      idle_.pop_back();
    }
    gap->kind = &kind;
    return gap;
  }
  static bool is_over(const Gap& gap) {
    const cudaError_t status = cudaEventQuery(gap.over.get());
    if (status == cudaErrorNotReady) {
      (void)cudaGetLastError();  // an answer, not an error that others should find
      return false;
    }
    check(status, "asking for a replay");
    return true;
  }
  void read_oldest() {
    std::unique_ptr<Gap> gap = std::move(flying_.front());
    flying_.pop_front();
    float milliseconds = 0;
    check(cudaEventElapsedTime(&milliseconds, gap->end.get(), gap->begin.get()),
          "reading the time between replays");
    const double seconds = 1e-3 * static_cast<double>(milliseconds);
    ++gap->kind->measured;
    gap->kind->sum += seconds;
    gap->kind->largest = std::max(gap->kind->largest, seconds);
    idle_.push_back(std::move(gap));
  }

  std::int64_t every_;
  std::int64_t replays_ = 0;
  bool unbroken_ = false;  ///< a replay came before, and nothing since that explains a pause
  bool first_ = true;      ///< the next replay begins a run
  Kind within_;
  Kind between_;
  Gap spare_;                  ///< takes the marks that nobody reads
  std::unique_ptr<Gap> open_;  ///< its replay before is launched, the one after it is not
  std::deque<std::unique_ptr<Gap>> flying_;
  std::vector<std::unique_ptr<Gap>> idle_;
};

}  // namespace manyfold
