// Sharpness of the train loss of networks.
#include "models/curvature/probes.hpp"
#include "models/network/probes.hpp"

namespace manyfold::network {
namespace {

const RegisterProbe sharpness(sharpness_probe<Observed>());
const RegisterProbe least_curvature(least_curvature_probe<Observed>());
const RegisterProbe gauss_newton_sharpness(
    gauss_newton_sharpness_probe<Observed>("the outputs for all train examples"));

}  // namespace
}  // namespace manyfold::network
