// Bodies of running_extreme and first_crossing (contract: kernels/watch.hpp).
#pragma once

#include <cstdint>

#include "core/portable.hpp"
#include "kernels/watch.hpp"

namespace manyfold::kernels::elements {

MF_CALLS_EITHER template <class Launcher>
MF_FN void running_extreme(const Launcher& for_each, const ExtremeArgs& args) {
  for_each(
      "running_extreme", args.slots, args.count, [=] MF_KERNEL(std::int64_t slot, std::int64_t i) {
        const double value = args.values[slot * args.values_stride + i];
        double& extreme = args.extremes[slot * args.extremes_stride + i];
        const bool nothing_yet = extreme != extreme;
        // Comparisons with a NaN value are false; "nothing yet" must not let one in either.
        if (value == value && (nothing_yet || (args.maximum ? value > extreme : value < extreme))) {
          extreme = value;
        }
      });
}

MF_CALLS_EITHER template <class Launcher>
MF_FN void first_crossing(const Launcher& for_each, const CrossingArgs& args) {
  for_each("first_crossing", args.slots, args.count,
           [=] MF_KERNEL(std::int64_t slot, std::int64_t i) {
             double& first = args.first[slot * args.first_stride + i];
             if (first == first) return;  // not NaN any more
             const double value = args.values[slot * args.values_stride + i];
             if (args.below ? value < args.threshold : value > args.threshold) {
               first = static_cast<double>(args.step[slot]);
             }
           });
}

}  // namespace manyfold::kernels::elements
