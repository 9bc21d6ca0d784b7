// What a factorization learns: the matrix M, and what its objective sees of it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/config/settings.hpp"
#include "core/config/spec.hpp"

namespace manyfold::factorization {

enum class ObjectiveKind { full, completion, sensing, linear };
ObjectiveKind objective_kind(const Settings& settings);

/// Row-major, on the host, in double precision.
struct Problem {
  ObjectiveKind kind = ObjectiveKind::full;
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  /// M, (rows, cols); of a linear objective Q.
  std::vector<double> target;
  /// Completion: (rows, cols), not 0 where an entry is observed. Else empty: every entry is.
  std::vector<std::uint8_t> mask;
  /// Sensing: A_1 ... A_m, (m, rows, cols), and their values b_1 ... b_m.
  std::vector<double> measurements;
  std::vector<double> values;
  /// Linear: f_0.
  double offset = 0;

  /// N, the number of terms that the objective is a sum of: entries, observed entries,
  /// measurements; 1 for a linear one.
  std::int64_t terms() const;
};

void add_problem_keys(Spec& spec);

/// Draws or loads the problem of a member: a pure function of problem.seed, the objective's keys
/// and the files they name. Throws InputError: data that cannot be read or has another shape, more
/// images than there are, a mask with no entry.
Problem make_problem(const Settings& settings);

/// grad f(0), (rows, cols) row-major, of the objective as a plain sum of squares (or of its linear
/// form): objective.convention and penalties are not in it.
std::vector<double> gradient_at_zero(const Problem& problem);

/// problem.seed and the keys of the objective and its target, as one text: members with equal keys
/// share a problem.
std::string problem_key(const Settings& settings);

/// Number m of measurements of a sensing objective, without drawing them. Throws InputError where a
/// file has another shape than the target.
std::int64_t measurement_count(const Settings& settings);

}  // namespace manyfold::factorization
