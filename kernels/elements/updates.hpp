// Bodies of the updates of optimizers (contract: kernels/updates.hpp), for launchers whose element
// loop is as good as a hand-written one; the CPU has its own loops for most.
#pragma once

#include <cstdint>

#include <math.h>

#include "core/portable.hpp"
#include "core/random/exact.hpp"
#include "kernels/common/updates.hpp"
#include "kernels/updates.hpp"

namespace manyfold::kernels::elements {

MF_CALLS_EITHER template <class T, class Launcher>
MF_FN void heavy_ball(const Launcher& for_each, const HeavyBallArgs<T>& args) {
  for_each("heavy_ball", args.params.slots, args.params.count,
           [=] MF_KERNEL(std::int64_t slot, std::int64_t i) {
             if (args.control.active[slot] == 0) return;
             heavy_ball_element(args.params.slot(slot)[i], args.grad.slot(slot)[i],
                                args.velocity.slot(slot)[i], static_cast<T>(args.momentum[slot]),
                                static_cast<T>(args.control.step_size[slot]), args.nesterov);
           });
}

MF_CALLS_EITHER template <class Launcher>
MF_FN void adam_step(const Launcher& for_each, const AdamStepArgs& args) {
  for_each("adam_step", args.control.slots, 1, [=] MF_KERNEL(std::int64_t slot, std::int64_t) {
    if (args.control.active[slot] == 0) return;
    const double power1 = exact::times(args.beta1[slot], args.power1[slot]);
    const double power2 = exact::times(args.beta2[slot], args.power2[slot]);
    args.power1[slot] = power1;
    args.power2[slot] = power2;
    args.control.step_size[slot] = args.learning_rate[slot];
    args.scaled_step[slot] = args.learning_rate[slot] / (1 - power1);
    args.root_scale[slot] = 1 / sqrt(1 - power2);
  });
}

/// The numbers of one slot, rounded to T.
template <class T>
MF_FN AdamNumbers<T> adam_numbers(const AdamArgs<T>& args, std::int64_t slot) {
  const double beta1 = args.beta1[slot];
  const double beta2 = args.beta2[slot];
  return {static_cast<T>(beta1),
          static_cast<T>(1 - beta1),
          static_cast<T>(beta2),
          static_cast<T>(1 - beta2),
          static_cast<T>(args.epsilon[slot]),
          static_cast<T>(args.scaled_step[slot]),
          static_cast<T>(args.root_scale[slot])};
}

MF_CALLS_EITHER template <class T, class Launcher>
MF_FN void adam(const Launcher& for_each, const AdamArgs<T>& args) {
  for_each("adam", args.params.slots, args.params.count,
           [=] MF_KERNEL(std::int64_t slot, std::int64_t i) {
             if (args.control.active[slot] == 0) return;
             adam_element(args.params.slot(slot)[i], args.grad.slot(slot)[i], args.m.slot(slot)[i],
                          args.v.slot(slot)[i], adam_numbers(args, slot));
           });
}

MF_CALLS_EITHER template <class T, class Launcher>
MF_FN void sign_descend(const Launcher& for_each, const DescendArgs<T>& args) {
  for_each("sign_descend", args.params.slots, args.params.count,
           [=] MF_KERNEL(std::int64_t slot, std::int64_t i) {
             if (args.control.active[slot] == 0) return;
             T& parameter = args.params.slot(slot)[i];
             parameter = fused(-static_cast<T>(args.control.step_size[slot]),
                               sign_of(args.grad.slot(slot)[i]), parameter);
           });
}

MF_CALLS_EITHER template <class T, class Launcher>
MF_FN void linear_combination(const Launcher& for_each, const LinearCombinationArgs<T>& args) {
  for_each("linear_combination", args.x.slots, args.x.count,
           [=] MF_KERNEL(std::int64_t slot, std::int64_t i) {
             if (args.control.active[slot] == 0) return;
             const T a = args.a == nullptr ? T(1) : static_cast<T>(args.a[slot]);
             const T b = args.b == nullptr ? T(1) : static_cast<T>(args.b[slot]);
             T& x = args.x.slot(slot)[i];
             x = fused(a, x, b * args.y.slot(slot)[i]);
           });
}

}  // namespace manyfold::kernels::elements
