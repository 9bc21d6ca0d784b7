// Sharpness of the train loss of factorizations.
#include "models/curvature/probes.hpp"
#include "models/factorization/probes.hpp"

namespace manyfold::factorization {
namespace {

const RegisterProbe sharpness(sharpness_probe<Observed>());
const RegisterProbe least_curvature(least_curvature_probe<Observed>());
const RegisterProbe gauss_newton_sharpness(
    gauss_newton_sharpness_probe<Observed>("the end-to-end matrix"));

}  // namespace
}  // namespace manyfold::factorization
