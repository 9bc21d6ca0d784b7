// The launcher of element bodies on the CPU: a loop over the elements of each slot, slots in
// parallel, kept when a program is recorded. Large slots are cut in pieces, for threads that a few
// slots leave idle; loops of an instruction set take such pieces, too.
#pragma once

#include <cstdint>

#include "core/executor/cpu_executor.hpp"

namespace manyfold::kernels::cpu {

/// An executor that came with the CPU's table is a CPU executor.
inline CpuExecutor& cpu(Executor& executor) { return static_cast<CpuExecutor&>(executor); }

/// body(slot, first, count) for pieces of the elements of each slot, slots in parallel.
template <class Body>
void for_pieces(Executor& executor, std::int64_t slots, std::int64_t count, const Body& body) {
  cpu(executor).for_slots(slots, [=, threads = cpu(executor).threads()](SlotRange range) {
    for (std::int64_t slot = range.begin; slot < range.end; ++slot) {
      in_pieces(threads, count, element_piece,
                [&](std::int64_t begin, std::int64_t end) { body(slot, begin, end - begin); });
    }
  });
}

class ForEach {
 public:
  explicit ForEach(Executor& executor) : executor_(&executor) {}

  template <class Body>
  void operator()(const char*, std::int64_t slots, std::int64_t count, const Body& body) const {
    for_pieces(*executor_, slots, count,
               [body](std::int64_t slot, std::int64_t first, std::int64_t some) {
                 for (std::int64_t i = first; i < first + some; ++i) body(slot, i);
               });
  }

 private:
  Executor* executor_;
};

}  // namespace manyfold::kernels::cpu
