// The launcher of element bodies on the CPU: a loop over the elements of each slot, slots in
// parallel, kept when a program is recorded. Large slots are cut in pieces, for threads that a few
// slots leave idle.
#pragma once

#include <cstdint>

#include "core/executor/cpu_executor.hpp"

namespace manyfold::kernels::cpu {

/// An executor that came with the CPU's table is a CPU executor.
inline CpuExecutor& cpu(Executor& executor) { return static_cast<CpuExecutor&>(executor); }

class ForEach {
 public:
  explicit ForEach(Executor& executor) : executor_(&cpu(executor)) {}

  template <class Body>
  void operator()(const char*, std::int64_t slots, std::int64_t count, const Body& body) const {
    executor_->for_slots(slots, [=, threads = executor_->threads()](SlotRange range) {
      for (std::int64_t slot = range.begin; slot < range.end; ++slot) {
        const auto some = [&](std::int64_t begin, std::int64_t end) {
          for (std::int64_t i = begin; i < end; ++i) body(slot, i);
        };
        in_pieces(threads, count, element_piece, some);
      }
    });
  }

 private:
  CpuExecutor* executor_;
};

}  // namespace manyfold::kernels::cpu
