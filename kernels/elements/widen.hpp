// Body of widen (contract: kernels/widen.hpp).
#pragma once

#include <cstdint>

#include "core/portable.hpp"
#include "kernels/widen.hpp"

namespace manyfold::kernels::elements {

template <class T, class Launcher>
void widen(const Launcher& for_each, const WidenArgs<T>& args) {
  for_each("widen", args.x.slots, args.x.count, [=] MF_KERNEL(std::int64_t slot, std::int64_t i) {
    args.out[slot * args.out_stride + i] = static_cast<double>(args.x.slot(slot)[i]);
  });
}

}  // namespace manyfold::kernels::elements
