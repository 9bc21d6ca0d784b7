// Bodies of draw_terms and diffuse (contract: kernels/draws.hpp).
#pragma once

#include <cstdint>

#include <math.h>

#include "core/portable.hpp"
#include "core/random/exact.hpp"
#include "kernels/common/draws.hpp"
#include "kernels/draws.hpp"

namespace manyfold::kernels::elements {

template <class Launcher>
void draw_terms(const Launcher& for_each, const DrawTermsArgs& args) {
  for_each("draw_terms", args.control.slots, args.batch,
           [=] MF_KERNEL(std::int64_t slot, std::int64_t b) {
             if (args.control.active[slot] == 0) return;
             const auto terms = static_cast<std::uint64_t>(args.terms[slot]);
             const std::uint64_t draw = static_cast<std::uint64_t>(args.control.step[slot]) *
                                            static_cast<std::uint64_t>(args.batch) +
                                        static_cast<std::uint64_t>(b);
             const std::uint64_t seed = args.seeds[slot];
             const std::uint64_t term =
                 args.replacement ? scaled_bits(random_bits(seed, args.stream, draw), terms)
                                  : shuffled(seed, args.stream, terms, draw / terms, draw % terms);
             args.out[slot * args.batch + b] = static_cast<std::int32_t>(term);
           });
}

template <class T, class Launcher>
void diffuse(const Launcher& for_each, const DiffuseArgs<T>& args) {
  for_each("diffuse", args.params.slots, args.params.count,
           [=] MF_KERNEL(std::int64_t slot, std::int64_t i) {
             if (args.control.active[slot] == 0) return;
             const double scale =
                 sqrt(exact::times(2 * args.control.step_size[slot], args.temperature[slot]));
             const auto draw = static_cast<std::uint64_t>(args.control.step[slot]) *
                                   static_cast<std::uint64_t>(args.params.count) +
                               static_cast<std::uint64_t>(i);
             const double noise = normal_double(args.seeds[slot], args.stream, draw);
             args.params.slot(slot)[i] += static_cast<T>(exact::times(scale, noise));
           });
}

}  // namespace manyfold::kernels::elements
