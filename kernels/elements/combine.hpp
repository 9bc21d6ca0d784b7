// Body of combine (contract: kernels/combine.hpp).
#pragma once

#include <cstdint>

#include <math.h>

#include "core/portable.hpp"
#include "kernels/combine.hpp"

namespace manyfold::kernels::elements {

MF_CALLS_EITHER template <class Launcher>
MF_FN void combine(const Launcher& for_each, const CombineArgs& args) {
  for_each("combine", args.slots, args.count, [=] MF_KERNEL(std::int64_t slot, std::int64_t i) {
    double value = args.numerator[slot * args.numerator_stride + i];
    if (args.minus != nullptr) value -= args.minus[slot * args.minus_stride + i];
    if (args.denominator != nullptr) {
      value /= args.denominator[slot * args.denominator_stride + i];
    }
    if (args.square_root) value = sqrt(value);
    args.out[slot * args.out_stride + i] = args.scale * value;
  });
}

}  // namespace manyfold::kernels::elements
