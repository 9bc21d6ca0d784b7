// Body of reduce (contract: kernels/reduce.hpp).
#pragma once

#include <cstdint>

#include <math.h>

#include "core/portable.hpp"
#include "kernels/reduce.hpp"

namespace manyfold::kernels::elements {

template <class Launcher>
void reduce(const Launcher& for_each, const ReduceArgs& args) {
  for_each("reduce", args.slots, 1, [=] MF_KERNEL(std::int64_t slot, std::int64_t) {
    const double* x = args.x + slot * args.x_stride;
    const double* y = args.y != nullptr ? args.y + slot * args.y_stride : nullptr;
    double sum = 0;
    double largest = 0;
    double least = x[0];
    std::int64_t place = 0;
    bool all = true;
    bool missing = false;
    for (std::int64_t i = 0; i < args.count; ++i) {
      const double difference = y != nullptr ? x[i] - y[i] : x[i];
      missing = missing || difference != difference;
      sum += x[i];
      if (fabs(difference) > largest) largest = fabs(difference);
      if (x[i] < least) {
        least = x[i];
        place = i;
      }
      all = all && x[i] <= args.threshold;
    }
    double value = sum;
    if (args.reduction == Reduction::largest_difference) value = largest;
    if (args.reduction == Reduction::least) value = least;
    if (args.reduction == Reduction::least_place) value = static_cast<double>(place);
    if (args.reduction == Reduction::all_at_most) value = all ? 1 : 0;
    args.out[slot * args.out_stride] = missing ? NAN : value;
  });
}

}  // namespace manyfold::kernels::elements
