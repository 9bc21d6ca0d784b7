// Every entry of every trained weight, of a pattern every free parameter.
#include "models/network/probes.hpp"

namespace manyfold::network {
namespace {

const RegisterProbe parameters(parameters_probe<Observed>(
    "trained weights W_h, (out, in), of a convolution (channels out, tap rows x tap columns x "
    "channels in), of a pattern its free parameters (1, K), and biases b_h, from the input",
    [](const ProbeSettings& probe) -> std::vector<std::int64_t> {
      return {probe.description.parameters};
    }));

}  // namespace
}  // namespace manyfold::network
