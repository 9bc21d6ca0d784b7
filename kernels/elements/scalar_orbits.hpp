// Body of scalar_orbits (contract: kernels/scalar_orbits.hpp): one member, from start to end.
#pragma once

#include <cstdint>

#include <math.h>

#include "core/portable.hpp"
#include "kernels/common/updates.hpp"
#include "kernels/scalar_orbits.hpp"

namespace manyfold::kernels::elements {

template <int d>
MF_FN double orbit_residual(double mu, const double (&x)[d], const double (&y)[d]) {
  for (int c = 0; c < d; ++c) mu = fused(-x[c], y[c], mu);
  return mu;
}

template <int d>
MF_FN void scalar_orbit_of(const ScalarOrbitsArgs& args, std::int64_t member) {
  double x[d];
  double y[d];
  for (int c = 0; c < d; ++c) {
    x[c] = args.x[member * d + c];
    y[c] = args.y[member * d + c];
  }
  const double h = args.h[member];
  OrbitFate fate = OrbitFate::bounded;
  std::int64_t step = 0;
  while (step < args.max_steps && fate == OrbitFate::bounded) {
    for (std::int64_t s = 0; s < args.check_every; ++s) {
      const double move = h * orbit_residual(args.mu, x, y);
      for (int c = 0; c < d; ++c) {
        const double old = x[c];
        x[c] = fused(move, y[c], old);
        y[c] = fused(move, old, y[c]);
      }
    }
    step += args.check_every;
    double size = 0;
    for (int c = 0; c < d; ++c) size = fused(y[c], y[c], fused(x[c], x[c], size));
    const double r = orbit_residual(args.mu, x, y);
    if (!(size < args.far)) {
      fate = OrbitFate::diverged;
    } else if (r < args.close && -r < args.close) {
      fate = OrbitFate::converged;
    }
  }
  for (int c = 0; c < d; ++c) {
    args.end_x[member * d + c] = x[c] == x[c] ? x[c] : static_cast<double>(NAN);
    args.end_y[member * d + c] = y[c] == y[c] ? y[c] : static_cast<double>(NAN);
  }
  args.end_step[member] = step;
  args.fate[member] = static_cast<std::int32_t>(fate);
}

template <int d, class Launcher>
void scalar_orbits_in(const Launcher& for_each, const ScalarOrbitsArgs& args) {
  for_each("scalar_orbits", args.members, 1,
           [=] MF_KERNEL(std::int64_t member, std::int64_t) { scalar_orbit_of<d>(args, member); });
}

template <class Launcher>
void scalar_orbits(const Launcher& for_each, const ScalarOrbitsArgs& args) {
  switch (args.dimension) {
    case 1:
      return scalar_orbits_in<1>(for_each, args);
    case 2:
      return scalar_orbits_in<2>(for_each, args);
    case 3:
      return scalar_orbits_in<3>(for_each, args);
    default:
      return scalar_orbits_in<4>(for_each, args);
  }
}

}  // namespace manyfold::kernels::elements
