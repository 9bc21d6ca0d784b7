// Body of random_fill (contract: kernels/random_fill.hpp).
#pragma once

#include <cstdint>

#include "core/portable.hpp"
#include "core/random/philox.hpp"
#include "kernels/random_fill.hpp"

namespace manyfold::kernels::elements {

template <class T, class Launcher>
void random_fill(const Launcher& for_each, const RandomFillArgs<T>& args) {
  for_each("random_fill", args.out.slots, args.out.count,
           [=] MF_KERNEL(std::int64_t slot, std::int64_t i) {
             const std::uint64_t seed = args.seeds[slot];
             const auto index = static_cast<std::uint64_t>(i);
             const double draw = args.distribution == Distribution::normal
                                     ? normal_double(seed, args.stream, index)
                                     : 2 * uniform_double(seed, args.stream, index) - 1;
             args.out.slot(slot)[i] = static_cast<T>(args.scales[slot] * draw);
           });
}

}  // namespace manyfold::kernels::elements
