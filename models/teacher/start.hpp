// Where a student starts: theorem 5.4 of the thesis (Du 2019), with the four sign combinations.
#pragma once

#include <vector>

#include "core/config/settings.hpp"
#include "core/config/spec.hpp"
#include "models/teacher/problem.hpp"

namespace manyfold::teacher {

void add_start_keys(Spec& spec);

/// v, uniform on the unit sphere, then a, uniform in the ball of radius |1.a*| / sqrt(k), each
/// times the sign that init.signs gives it; in double precision, drawn by init.seed (by default
/// `seed`). Where teacher.ratio is 0 the radius is init.zero_sum_radius. Signs do not move the
/// draws: members that differ in them alone are the theorem's four trials.
std::vector<double> start(const Settings& settings, const Problem& problem);

}  // namespace manyfold::teacher
