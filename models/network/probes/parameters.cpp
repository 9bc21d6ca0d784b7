// Every entry of every trained weight.
#include "kernels/widen.hpp"
#include "models/network/probes.hpp"

namespace manyfold::network {
namespace {

template <class T>
class EveryParameter final : public Observer<T> {
 public:
  explicit EveryParameter(const ObserverContext&) {}
  void observe(Scene<T>& scene, double* out, std::int64_t stride) override {
    kernels::widen<T>(scene.executor(), {scene.net.parameters().values, out, stride});
  }
};

const RegisterProbe parameters({
    .kind = {.name = "parameters",
             .extents = {"parameter"},
             .units = "1",
             .long_name = "parameters",
             .comment = "trained weights W_h, (out, in), of a convolution (channels out, tap rows "
                        "x tap columns x channels in), and biases b_h, from the input",
             .keys = {},
             .is_parameters = true},
    .extents = [](const ProbeSettings& probe) -> std::vector<std::int64_t> {
      return {probe.description.parameters};
    },
    .make = observer_maker<EveryParameter>(),
});

}  // namespace
}  // namespace manyfold::network
