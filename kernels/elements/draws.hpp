// Bodies of draw_terms and diffuse (contract: kernels/draws.hpp).
#pragma once

#include <cstdint>

#include <math.h>

#include "core/portable.hpp"
#include "core/random/exact.hpp"
#include "kernels/common/draws.hpp"
#include "kernels/draws.hpp"

namespace manyfold::kernels::elements {

/// Element b of a slot's draws at its step.
MF_FN std::int32_t drawn_term(const DrawTermsArgs& args, std::int64_t slot, std::int64_t b) {
  const auto terms = static_cast<std::uint64_t>(args.terms[slot]);
  const std::uint64_t draw = static_cast<std::uint64_t>(args.control.step[slot]) *
                                 static_cast<std::uint64_t>(args.batch) +
                             static_cast<std::uint64_t>(b);
  const std::uint64_t seed = args.seeds[slot];
  const std::uint64_t term =
      args.replacement ? scaled_bits(random_bits(seed, args.stream, draw), terms)
                       : shuffled(seed, args.stream, terms, draw / terms, draw % terms);
  return static_cast<std::int32_t>(term);
}

template <class Launcher>
void draw_terms(const Launcher& for_each, const DrawTermsArgs& args) {
  for_each("draw_terms", args.control.slots, args.batch,
           [=] MF_KERNEL(std::int64_t slot, std::int64_t b) {
             if (args.control.active[slot] == 0) return;
             args.out[slot * args.batch + b] = drawn_term(args, slot, b);
           });
}

/// Standard deviation of the noise of a slot's step.
template <class T>
MF_FN double diffusion_scale(const DiffuseArgs<T>& args, std::int64_t slot) {
  return sqrt(exact::times(2 * args.control.step_size[slot], args.temperature[slot]));
}
/// The noise of element i.
template <class T>
MF_FN T diffusion(const DiffuseArgs<T>& args, std::int64_t slot, std::int64_t i, double scale) {
  const auto draw =
      static_cast<std::uint64_t>(args.control.step[slot]) *
          static_cast<std::uint64_t>(args.params.count) +
      static_cast<std::uint64_t>(i);
  return static_cast<T>(
      exact::times(scale, normal_double(args.seeds[slot], args.stream, draw)));
}

template <class T, class Launcher>
void diffuse(const Launcher& for_each, const DiffuseArgs<T>& args) {
  for_each("diffuse", args.params.slots, args.params.count,
           [=] MF_KERNEL(std::int64_t slot, std::int64_t i) {
             if (args.control.active[slot] == 0) return;
             args.params.slot(slot)[i] += diffusion(args, slot, i, diffusion_scale(args, slot));
           });
}

}  // namespace manyfold::kernels::elements
