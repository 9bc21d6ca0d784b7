// Bodies of add_scaled and accumulate (contracts: kernels/add_scaled.hpp, kernels/accumulate.hpp).
#pragma once

#include <cstdint>

#include <math.h>

#include "core/portable.hpp"
#include "core/random/exact.hpp"
#include "kernels/accumulate.hpp"
#include "kernels/add_scaled.hpp"
#include "kernels/elements/stepping.hpp"

namespace manyfold::kernels::elements {

/// c_s of add_scaled.
template <class T>
MF_FN T scale_of(const AddScaledArgs<T>& args, std::int64_t slot) {
  const double coefficient = args.coefficient != nullptr ? args.coefficient[slot] : 1.0;
  return static_cast<T>(args.scale * coefficient);
}

/// For launchers whose element loop is as good as a hand-written one; the CPU has its own loop.
MF_CALLS_EITHER template <class T, class Launcher>
MF_FN void add_scaled(const Launcher& for_each, const AddScaledArgs<T>& args) {
  for_each("add_scaled", args.y.slots, args.y.count,
           [=] MF_KERNEL(std::int64_t slot, std::int64_t i) {
             const T c = scale_of(args, slot);
             const T x = args.x.slot(slot)[i];
             T& y = args.y.slot(slot)[i];
             y = args.add ? fused(c, x, y) : c * x;
           });
}

MF_CALLS_EITHER template <class Launcher>
MF_FN void accumulate(const Launcher& for_each, const AccumulateArgs& args) {
  for_each("accumulate", args.slots, 1, [=] MF_KERNEL(std::int64_t slot, std::int64_t) {
    double product = args.scale;
    if (args.a != nullptr) product = exact::times(product, args.a[slot]);
    if (args.b != nullptr) product = exact::times(product, args.b[slot]);
    args.out[slot] = args.add ? args.out[slot] + product : product;
  });
}

}  // namespace manyfold::kernels::elements
