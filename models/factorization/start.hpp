// Initial parameters of a factorization.
#pragma once

#include <vector>

#include "core/config/settings.hpp"
#include "core/config/spec.hpp"
#include "models/factorization/shape.hpp"

namespace manyfold::factorization {

void add_start_keys(Spec& spec);

/// All layers of one member, one after another, each (n_h, n_{h-1}) row-major, in double precision.
/// A pure function of init.seed, init.kind and the shape, times the scale that the keys ask for:
///   gaussian    entries N(0, stddev^2), or all layers times one factor so that ||W(0)||_F =
///   end_norm orthogonal  W_h = V_h D^(1/depth) V_{h-1}^T, V_h Haar frames, D diagonal with entries
///   drawn
///               uniformly from (0, 1) and scaled so that ||W(0)||_F = end_norm: balanced
///               (Li, Luo, Lyu 2021, appendix B, which leaves the law of D open). With
///               objective.symmetric, V_0 = V_L, so that W(0) is symmetric and positive
///               semidefinite.
///   identity    W(0) = alpha I, every layer alpha^(1/depth) I: square layers only
std::vector<double> start(const Settings& settings, const Shape& shape);

/// Rejects starts that the shape does not allow. Throws InputError.
void validate_start(const Settings& settings, const Shape& shape);

}  // namespace manyfold::factorization
