// The teacher of a one-hidden-layer convolutional student: its filter w* and its output weights a*
// (Du 2019, thesis, chapter 5).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/config/settings.hpp"
#include "core/config/spec.hpp"

namespace manyfold::teacher {

/// Value of model.kind.
inline constexpr const char* model_name = "teacher";

struct Shape {
  std::int64_t filter = 0;   ///< p, entries of v and w*
  std::int64_t patches = 0;  ///< k, entries of a and a*

  std::int64_t parameters() const { return filter + patches; }
};

/// On the host, in double precision; ||w*|| = ||a*|| = 1.
struct Problem {
  std::vector<double> w;
  std::vector<double> a;
  double sum = 0;  ///< 1.a*
};

void add_problem_keys(Spec& spec);
Shape shape_of(const Settings& settings);
/// Throws InputError: a ratio that no unit vector of so many entries has.
void validate_problem(const Settings& settings);

/// The teacher of a member: a pure function of problem.seed and the keys of [teacher]. w* is
/// uniform on the sphere; a* = sqrt(ratio / k) 1 / sqrt(k) + sqrt(1 - ratio / k) d with a unit
/// vector d orthogonal to 1.
Problem make_problem(const Settings& settings);

/// Members with equal keys have the same teacher.
std::string problem_key(const Settings& settings);

/// The a of the spurious end point, (1 1^T + (pi - 1) I)^-1 (1 1^T - I) a* (lemma 5.1).
std::vector<double> spurious_end(const Problem& problem);

}  // namespace manyfold::teacher
