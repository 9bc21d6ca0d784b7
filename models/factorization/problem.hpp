// Targets and masks: the matrix M that a factorization learns and which of its entries it sees.
#pragma once

#include <cstdint>
#include <vector>

#include "core/config/settings.hpp"
#include "core/config/spec.hpp"

namespace manyfold::factorization {

/// Row-major, on the host, in double precision. An empty mask means that every entry is observed.
struct Problem {
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  std::vector<double> target;
  std::vector<std::uint8_t> mask;
};

void add_problem_keys(Spec& spec);

/// Draws or loads the problem of a member: a pure function of problem.seed and the objective's
/// keys. Throws InputError: data that cannot be read, more images than there are, a mask with no
/// entry.
Problem make_problem(const Settings& settings);

/// Everything that `make_problem` reads, as one text: members with equal keys share a problem.
std::string problem_key(const Settings& settings);

}  // namespace manyfold::factorization
