// Body of reduce (contract: kernels/reduce.hpp).
#pragma once

#include <cstdint>

#include <math.h>

#include "core/portable.hpp"
#include "kernels/reduce.hpp"

namespace manyfold::kernels::elements {

/// Of x_0, x_1, ... and y (may be null), whose elements are `step` apart.
MF_FN double reduced(const ReduceArgs& args, const double* x, const double* y, std::int64_t step) {
  double sum = 0;
  double largest = 0;
  double least = x[0];
  std::int64_t place = 0;
  bool all = true;
  bool missing = false;
  for (std::int64_t i = 0; i < args.count; ++i) {
    const double here = x[i * step];
    const double difference = y != nullptr ? here - y[i * step] : here;
    missing = missing || difference != difference;
    sum += here;
    if (fabs(difference) > largest) largest = fabs(difference);
    if (here < least) {
      least = here;
      place = i;
    }
    all = all && here <= args.threshold;
  }
  if (missing) return NAN;
  switch (args.reduction) {
    case Reduction::largest_difference:
      return largest;
    case Reduction::least:
      return least;
    case Reduction::least_place:
      return static_cast<double>(place);
    case Reduction::all_at_most:
      return all ? 1 : 0;
    case Reduction::sum:
      break;
  }
  return sum;
}

MF_CALLS_EITHER template <class Launcher>
MF_FN void reduce(const Launcher& for_each, const ReduceArgs& args) {
  for_each("reduce", args.slots, 1, [=] MF_KERNEL(std::int64_t slot, std::int64_t) {
    args.out[slot * args.out_stride] =
        reduced(args, args.x + slot * args.x_stride,
                args.y != nullptr ? args.y + slot * args.y_stride : nullptr, 1);
  });
}

}  // namespace manyfold::kernels::elements
