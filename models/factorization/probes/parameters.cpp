// Every entry of every layer.
#include "kernels/widen.hpp"
#include "models/factorization/probes.hpp"

namespace manyfold::factorization {
namespace {

template <class T>
class EveryParameter final : public Observer<T> {
 public:
  explicit EveryParameter(const ObserverContext&) {}
  void observe(Scene<T>& scene, double* out, std::int64_t stride) override {
    kernels::widen<T>(scene.executor(), {scene.chain().parameters().values, out, stride});
  }
};

const RegisterProbe parameters({
    .kind = {.name = "parameters",
             .extents = {"parameter"},
             .units = "1",
             .long_name = "parameters",
             .comment = "W = W_L ... W_1 of a deep_linear model, W = P P^T with P = W_k ... W_1 of "
                        "a symmetric one",
             .keys = {},
             .is_parameters = true},
    .extents = [](const ProbeSettings& probe) -> std::vector<std::int64_t> {
      return {probe.shape.parameters()};
    },
    .make = observer_maker<EveryParameter>(),
});

}  // namespace
}  // namespace manyfold::factorization
