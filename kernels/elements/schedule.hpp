// Body of follow_schedule (contract: kernels/schedule.hpp).
#pragma once

#include <cstdint>

#include "core/portable.hpp"
#include "kernels/common/schedule.hpp"
#include "kernels/schedule.hpp"

namespace manyfold::kernels::elements {

MF_CALLS_EITHER template <class Launcher>
MF_FN void follow_schedule(const Launcher& for_each, const FollowScheduleArgs& args) {
  for_each("follow_schedule", args.slots, 1, [=] MF_KERNEL(std::int64_t slot, std::int64_t) {
    const std::int64_t first = slot * args.capacity;
    args.values[slot] = schedule_value(args.schedules[slot], args.starts + first,
                                       args.pieces + first, args.step[slot]);
  });
}

}  // namespace manyfold::kernels::elements
