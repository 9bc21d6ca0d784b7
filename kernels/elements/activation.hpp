// Bodies of activate and activation_slope (contract: kernels/activation.hpp): one for each
// function, so that no thread chooses among them.
#pragma once

#include <cstdint>

#include "core/portable.hpp"
#include "kernels/activation.hpp"
#include "kernels/common/activation.hpp"
#include "kernels/common/updates.hpp"

namespace manyfold::kernels::elements {

template <Activation kind, class T, class Launcher>
void activate_as(const Launcher& for_each, const ActivateArgs<T>& args) {
  const auto scale = static_cast<T>(args.scale);
  const auto slope = static_cast<T>(args.slope);
  for_each("activate", args.y.slots, args.y.count,
           [=] MF_KERNEL(std::int64_t slot, std::int64_t i) {
             args.y.slot(slot)[i] = activation_of<kind>(scale * args.z.slot(slot)[i], slope);
           });
}

template <Activation kind, class T, class Launcher>
void activation_slope_as(const Launcher& for_each, const ActivationSlopeArgs<T>& args) {
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

template <class T, class Launcher>
void activate(const Launcher& for_each, const ActivateArgs<T>& args) {
  switch (args.kind) {
    case Activation::linear:
      return activate_as<Activation::linear>(for_each, args);
    case Activation::relu:
      return activate_as<Activation::relu>(for_each, args);
    case Activation::leaky_relu:
      return activate_as<Activation::leaky_relu>(for_each, args);
    case Activation::softplus:
      return activate_as<Activation::softplus>(for_each, args);
    case Activation::tanh:
      return activate_as<Activation::tanh>(for_each, args);
    case Activation::sigmoid:
      return activate_as<Activation::sigmoid>(for_each, args);
    case Activation::erf:
      return activate_as<Activation::erf>(for_each, args);
  }
}

template <class T, class Launcher>
void activation_slope(const Launcher& for_each, const ActivationSlopeArgs<T>& args) {
  switch (args.kind) {
    case Activation::linear:
      return activation_slope_as<Activation::linear>(for_each, args);
    case Activation::relu:
      return activation_slope_as<Activation::relu>(for_each, args);
    case Activation::leaky_relu:
      return activation_slope_as<Activation::leaky_relu>(for_each, args);
    case Activation::softplus:
      return activation_slope_as<Activation::softplus>(for_each, args);
    case Activation::tanh:
      return activation_slope_as<Activation::tanh>(for_each, args);
    case Activation::sigmoid:
      return activation_slope_as<Activation::sigmoid>(for_each, args);
    case Activation::erf:
      return activation_slope_as<Activation::erf>(for_each, args);
  }
}

}  // namespace manyfold::kernels::elements
