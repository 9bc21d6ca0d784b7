// scalar_orbits on the CPU: each thread has its vectors of members and takes the next few when some
// ended, until there are none.
#include "kernels/scalar_orbits.hpp"

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>

#include "kernels/cpu/for_each.hpp"
#include "kernels/cpu/lanes.hpp"
#include "kernels/cpu/operations.hpp"

namespace manyfold::kernels::cpu {
namespace {

/// Members that no thread has taken yet. The last thread to leave puts it back to the start: a
/// recorded call is carried out many times.
struct Queue {
  std::atomic<std::int64_t> next{0};
  std::atomic<std::int64_t> left{0};
  std::int64_t members = 0;
};

std::int64_t take(void* queue, std::int64_t* first) {
  constexpr std::int64_t few = 32;
  auto& q = *static_cast<Queue*>(queue);
  const std::int64_t from = q.next.fetch_add(few, std::memory_order_relaxed);
  *first = from;
  return std::max<std::int64_t>(std::min(few, q.members - from), 0);
}

}  // namespace

void scalar_orbits(Executor& executor, const ScalarOrbitsArgs& args) {
  const std::int64_t threads = cpu(executor).threads();
  const auto queue = std::make_shared<Queue>();
  queue->members = args.members;
  const auto orbits = chosen_lane_loops().orbits[args.dimension - 1];
  cpu(executor).for_slots(threads, [=](SlotRange range) {
    for (std::int64_t i = range.begin; i < range.end; ++i) {
      orbits({args.x, args.y, args.h, args.mu, args.far, args.close, args.check_every,
              args.max_steps, args.end_x, args.end_y, args.end_step, args.fate, take, queue.get()});
      if (queue->left.fetch_add(1) + 1 < threads) continue;
      queue->left = 0;
      queue->next = 0;
    }
  });
}

}  // namespace manyfold::kernels::cpu
