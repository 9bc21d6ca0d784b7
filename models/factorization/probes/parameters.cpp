// Every entry of every layer.
#include "models/factorization/probes.hpp"

namespace manyfold::factorization {
namespace {

const RegisterProbe parameters(parameters_probe<Observed>(
    "W = W_L ... W_1 of a deep_linear model, W = P P^T with P = W_k ... W_1 of a symmetric one",
    [](const ProbeSettings& probe) -> std::vector<std::int64_t> {
      return {probe.shape.parameters()};
    }));

}  // namespace
}  // namespace manyfold::factorization
