// Bodies of the stepping operations (contract: kernels/stepping.hpp). A launcher runs a body for
// every (slot, element): a loop over slots on the CPU, a grid of threads on a GPU.
#pragma once

#include <cstdint>

#include <float.h>
#include <math.h>

#include "core/portable.hpp"
#include "core/random/exact.hpp"
#include "kernels/common/updates.hpp"
#include "kernels/stepping.hpp"

namespace manyfold::kernels::elements {

MF_FN bool is_finite(double x) { return fabs(x) <= DBL_MAX; }

MF_FN void end_member(const StepControl& control, std::int64_t slot, StopReason reason) {
  control.active[slot] = 0;
  control.reason[slot] = static_cast<std::int32_t>(reason);
}

MF_CALLS_EITHER template <class Launcher>
MF_FN void check_stop(const Launcher& for_each, const StepControl& control) {
  for_each("check_stop", control.slots, 1, [=] MF_KERNEL(std::int64_t slot, std::int64_t) {
    if (control.active[slot] == 0) return;
    const double loss = control.train_loss[slot];
    const double norm = sqrt(control.grad_norm2[slot]);
    if (!is_finite(loss) || !is_finite(norm)) {
      end_member(control, slot, StopReason::non_finite);
      return;
    }
    control.finite_step[slot] = control.step[slot];
    control.finite_train_loss[slot] = loss;
    control.finite_grad_norm[slot] = norm;
    const double loss_goal = control.stop_train_loss[slot];
    const double norm_goal = control.stop_grad_norm[slot];
    if (loss > control.stop_divergence[slot]) {
      end_member(control, slot, StopReason::divergence);
    } else if (loss_goal >= 0 && loss <= loss_goal) {
      end_member(control, slot, StopReason::train_loss);
    } else if (norm_goal >= 0 && norm <= norm_goal) {
      end_member(control, slot, StopReason::grad_norm);
    }
  });
}

MF_CALLS_EITHER template <class Launcher>
MF_FN void constant_step(const Launcher& for_each, const ConstantStepArgs& args) {
  for_each("constant_step", args.control.slots, 1, [=] MF_KERNEL(std::int64_t slot, std::int64_t) {
    if (args.control.active[slot] == 0) return;
    args.control.step_size[slot] = args.learning_rate[slot];
  });
}

MF_CALLS_EITHER template <class Launcher>
MF_FN void rms_step(const Launcher& for_each, const RmsStepArgs& args) {
  for_each("rms_step", args.control.slots, 1, [=] MF_KERNEL(std::int64_t slot, std::int64_t) {
    if (args.control.active[slot] == 0) return;
    const double decay = args.decay[slot];
    // Rounded product by product, so that a CPU and a GPU take the same step from the same norm.
    const double v =
        exact::times(decay, args.v[slot]) + exact::times(1 - decay, args.control.grad_norm2[slot]);
    const double power = exact::times(decay, args.decay_power[slot]);
    args.v[slot] = v;
    args.decay_power[slot] = power;
    args.control.step_size[slot] =
        args.learning_rate[slot] / (sqrt(v / (1 - power)) + args.epsilon[slot]);
  });
}

MF_CALLS_EITHER template <class Launcher>
MF_FN void advance(const Launcher& for_each, const StepControl& control) {
  for_each("advance", control.slots, 1, [=] MF_KERNEL(std::int64_t slot, std::int64_t) {
    if (control.active[slot] == 0) return;
    control.step[slot] += 1;
    control.time[slot] += control.step_size[slot];
    if (control.step[slot] >= control.max_steps[slot]) {
      end_member(control, slot, StopReason::steps);
    }
  });
}

/// For launchers whose element loop is as good as a hand-written one; the CPU has its own loop.
MF_CALLS_EITHER template <class T, class Launcher>
MF_FN void descend(const Launcher& for_each, const DescendArgs<T>& args) {
  for_each("descend", args.params.slots, args.params.count,
           [=] MF_KERNEL(std::int64_t slot, std::int64_t i) {
             if (args.control.active[slot] == 0) return;
             T& parameter = args.params.slot(slot)[i];
             parameter = fused(-static_cast<T>(args.control.step_size[slot]),
                               args.grad.slot(slot)[i], parameter);
           });
}

}  // namespace manyfold::kernels::elements
