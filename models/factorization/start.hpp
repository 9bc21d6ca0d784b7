// Initial parameters of a factorization.
#pragma once

#include <vector>

#include "core/config/settings.hpp"
#include "core/config/spec.hpp"
#include "models/factorization/shape.hpp"

namespace manyfold::factorization {

void add_start_keys(Spec& spec);

/// All layers of one member, one after another, each (n_h, n_{h-1}) row-major, in double precision.
/// A pure function of init.kind, the keys below and the shape; where something is drawn, also of
/// init.seed, from which equal kinds and shapes have one draw that the keys only scale:
///   gaussian    entries N(0, stddev^2), or all layers times one factor so that ||W(0)||_F =
///               end_norm. init.scaling divides layer h beforehand: by sqrt(n_{h-1}) (fan_in), by
///               sqrt(n_{h-1} / 2) (he), or
///               every layer by sqrt(w), w the largest hidden width (width: N(0, 1/w), Wang, Jacot
///               2023); stddev is then 1 by default.
///   orthogonal  W_h = V_h D^(1/depth) V_{h-1}^T, V_h Haar frames, D diagonal with entries drawn
///               uniformly from (0, 1) and scaled so that ||W(0)||_F = end_norm: balanced
///               (Li, Luo, Lyu 2021, appendix B, which leaves the law of D open). With
///               objective.symmetric, V_0 = V_L, so that W(0) is symmetric and positive
///               semidefinite.
///   identity    W(0) = alpha I, every layer alpha^(1/depth) I: square layers only
///   sphere      W_h uniform on the sphere ||W_h||_F = norms[h] (Wang, Chen, Zhao, Tao 2022): the
///               direction of the gaussian start of that seed
///   ball        W_h uniform in the ball ||W_h||_F <= norms[h]: the sphere's point times
///               U^(1/size), U uniform on (0, 1)
///   rank_one    W(0) = end_norm u v^T along the steepest descent of f from W = 0
///               (steepest_descent.hpp): u = v = v_1, the top eigenvector of -grad f(0), for the
///               symmetric model and with objective.symmetric (Li, Luo, Lyu 2021, section 5), else
///               its top singular pair. Balanced: every layer has rank one and norm
///               end_norm^(1/depth), W_L = u e_1^T, W_h = e_1 e_1^T, W_1 = e_1 v^T times that.
///               Nothing is drawn: with e_1 the rank stays one in every bit, where rounding along
///               drawn hidden vectors would seed the directions that grow next.
///   file        init.path: one .npy or .csv with all parameters in this order, or a list of one
///               file for each layer, or a .nc with variables W_1, ..., W_L
///   record      the parameters that another record has of init.member at init.sample
///               (models/training/given_start.hpp)
/// Throws InputError for what validate_start rejects.
std::vector<double> start(const Settings& settings, const Shape& shape);

/// Rejects starts that the shape does not allow or that cannot be read. Throws InputError.
void validate_start(const Settings& settings, const Shape& shape);

}  // namespace manyfold::factorization
