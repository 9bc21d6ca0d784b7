// Bodies of activate and activation_slope (contract: kernels/activation.hpp): one for each
// function, so that no thread chooses among them. The CPU has loops of its own.
#pragma once

#include <cstdint>
#include <type_traits>

#include "core/portable.hpp"
#include "kernels/activation.hpp"
#include "kernels/common/activation.hpp"
#include "kernels/common/updates.hpp"

namespace manyfold::kernels::elements {

MF_CALLS_EITHER template <Activation kind, class T, class Launcher>
MF_FN void activate_as(const Launcher& for_each, const ActivateArgs<T>& args) {
  const auto scale = static_cast<T>(args.scale);
  const auto slope = static_cast<T>(args.slope);
  for_each("activate", args.y.slots, args.y.count,
           [=] MF_KERNEL(std::int64_t slot, std::int64_t i) {
             args.y.slot(slot)[i] = activation_of<kind>(scale * args.z.slot(slot)[i], slope);
           });
}

MF_CALLS_EITHER template <Activation kind, class T, class Launcher>
MF_FN void activation_slope_as(const Launcher& for_each, const ActivationSlopeArgs<T>& args) {
  const bool of_z = !slope_follows_from_output(kind);
  const auto scale = static_cast<T>(of_z ? args.scale : 1.0);
  const auto slope = static_cast<T>(args.slope);
  const auto factor = static_cast<T>(args.factor);
  for_each("activation_slope", args.dz.slots, args.dz.count,
           [=] MF_KERNEL(std::int64_t slot, std::int64_t i) {
             const T s = slope_of<kind>(scale * args.state.slot(slot)[i], slope);
             const T along = s * args.dy.slot(slot)[i];
             T& dz = args.dz.slot(slot)[i];
             dz = args.add ? fused(factor, along, dz) : factor * along;
           });
}

MF_CALLS_EITHER template <Activation kind, class T, class Launcher>
MF_FN void activation_curvature_as(const Launcher& for_each,
                                   const ActivationCurvatureArgs<T>& args) {
  const auto scale = static_cast<T>(slope_follows_from_output(kind) ? 1.0 : args.scale);
  const auto factor = static_cast<T>(args.factor);
  for_each("activation_curvature", args.dz.slots, args.dz.count,
           [=] MF_KERNEL(std::int64_t slot, std::int64_t i) {
             const T r = relative_curvature_of<kind>(scale * args.state.slot(slot)[i]);
             const T along = r * args.tangent.slot(slot)[i] * args.dy.slot(slot)[i];
             T& dz = args.dz.slot(slot)[i];
             dz = fused(factor, along, dz);
           });
}

/// f(the function's own type): std::integral_constant<Activation, kind>.
MF_CALLS_EITHER template <class F>
MF_FN void with_activation(Activation kind, const F& f) {
  using std::integral_constant;
  switch (kind) {
    case Activation::linear:
      return f(integral_constant<Activation, Activation::linear>());
    case Activation::relu:
      return f(integral_constant<Activation, Activation::relu>());
    case Activation::leaky_relu:
      return f(integral_constant<Activation, Activation::leaky_relu>());
    case Activation::softplus:
      return f(integral_constant<Activation, Activation::softplus>());
    case Activation::tanh:
      return f(integral_constant<Activation, Activation::tanh>());
    case Activation::sigmoid:
      return f(integral_constant<Activation, Activation::sigmoid>());
    case Activation::erf:
      return f(integral_constant<Activation, Activation::erf>());
  }
}

MF_CALLS_EITHER template <class T, class Launcher>
MF_FN void activate(const Launcher& for_each, const ActivateArgs<T>& args) {
  with_activation(args.kind, [&](auto kind) { activate_as<kind.value>(for_each, args); });
}

MF_CALLS_EITHER template <class T, class Launcher>
MF_FN void activation_slope(const Launcher& for_each, const ActivationSlopeArgs<T>& args) {
  with_activation(args.kind, [&](auto kind) { activation_slope_as<kind.value>(for_each, args); });
}

MF_CALLS_EITHER template <class T, class Launcher>
MF_FN void activation_curvature(const Launcher& for_each, const ActivationCurvatureArgs<T>& args) {
  with_activation(args.kind,
                  [&](auto kind) { activation_curvature_as<kind.value>(for_each, args); });
}

}  // namespace manyfold::kernels::elements
