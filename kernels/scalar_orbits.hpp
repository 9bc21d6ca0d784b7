// Whole orbits of gradient descent on 1/2 (mu - x.y)^2, x, y in R^d, d = 1 ... 4, one a member
// (Wang, Chen, Zhao, Tao 2022, the scalar problem): with r = mu - x.y,
//   x <- x + h r y,  y <- y + h r x, both from the old pair.
// Members live in registers from their start to their end, and one that ends makes room for the
// next.
//
// Every product that enters a sum is fused into it (r: d of them, from component 0 on; x, y: one
// each), so an orbit has the same bits on every device, in any company and order. What is not a
// number at the end is the one positive quiet NaN: processors differ in its sign.
#pragma once

#include <cstdint>

#include "core/executor/executor.hpp"

namespace manyfold::kernels {

enum class OrbitFate : std::int32_t {
  bounded = 0,    ///< neither of the two at max_steps
  converged = 1,  ///< |r| < close
  diverged = 2,   ///< ||x||^2 + ||y||^2 >= far, or not a number; this is asked first
};

/// A member is looked at after every check_every steps, never at its start.
struct ScalarOrbitsArgs {
  std::int64_t members = 0;
  int dimension = 1;          ///< d
  const double* x = nullptr;  ///< (member, d): the start
  const double* y = nullptr;  ///< (member, d)
  const double* h = nullptr;  ///< (member): the step size
  double mu = 1;
  double far = 0;
  double close = 0;
  std::int64_t check_every = 1;
  std::int64_t max_steps = 0;  ///< a multiple of check_every, at least one
  // Where each member ended. x and y may be the starts' own memory.
  double* end_x = nullptr;           ///< (member, d)
  double* end_y = nullptr;           ///< (member, d)
  std::int64_t* end_step = nullptr;  ///< (member)
  std::int32_t* fate = nullptr;      ///< (member), an OrbitFate
};
/// Throws std::invalid_argument: a dimension outside 1 ... 4, max_steps that checks do not meet.
void scalar_orbits(Executor& executor, const ScalarOrbitsArgs& args);

}  // namespace manyfold::kernels
