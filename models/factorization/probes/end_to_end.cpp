// The end-to-end matrix itself.
#include "kernels/widen.hpp"
#include "models/factorization/probes.hpp"

namespace manyfold::factorization {
namespace {

template <class T>
class EndToEnd final : public Observer<T> {
 public:
  explicit EndToEnd(const ObserverContext&) {}
  void observe(Scene<T>& scene, double* out, std::int64_t stride) override {
    const MatrixBatch<const T> end = scene.chain().end();
    kernels::widen<T>(scene.executor(), {flatten(end), out, stride});
  }
};

const RegisterProbe end_to_end({
    .kind = {.name = "end_to_end",
             .extents = {"row", "col"},
             .units = "1",
             .long_name = "end-to-end matrix",
             .comment = "W, (row, col)",
             .keys = {}},
    .extents = [](const ProbeSettings& probe) -> std::vector<std::int64_t> {
      return {probe.shape.rows(), probe.shape.cols()};
    },
    .make = observer_maker<EndToEnd>(),
});

}  // namespace
}  // namespace manyfold::factorization
