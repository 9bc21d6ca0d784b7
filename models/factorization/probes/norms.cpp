// Norms of layers and of the end-to-end matrix.
#include "kernels/norms.hpp"

#include "models/factorization/probes.hpp"

namespace manyfold::factorization {
namespace {

template <class T>
class EndNorm final : public Observer<T> {
 public:
  explicit EndNorm(const ObserverContext&) {}
  void observe(Scene<T>& scene, double* out, std::int64_t stride) override {
    const MatrixBatch<const T> end = scene.chain().end();
    kernels::sum_of_squares<T>(scene.executor(), {flatten(end), out, stride});
    scene.root(1, out, stride);
  }
};

template <class T>
class LayerNorm2 final : public Observer<T> {
 public:
  explicit LayerNorm2(const ObserverContext&) {}
  void observe(Scene<T>& scene, double* out, std::int64_t stride) override {
    for (std::int64_t h = 1; h <= scene.shape().layers(); ++h) {
      const MatrixBatch<const T> weight = scene.chain().weight(h);
      kernels::sum_of_squares<T>(scene.executor(), {flatten(weight), out + (h - 1), stride});
    }
  }
};

const RegisterProbe end_norm({
    .kind = {.name = "end_norm",
             .extents = {},
             .units = "1",
             .long_name = "norm of the end-to-end matrix",
             .comment = "||W||_F",
             .keys = {}},
    .make = observer_maker<EndNorm>(),
});

const RegisterProbe layer_norm2({
    .kind = {.name = "layer_norm2",
             .extents = {"layer"},
             .units = "1",
             .long_name = "squared norm of each layer",
             .comment = "||W_h||_F^2, h = 1 ... L from the input (Du, Hu, Lee 2018, eq. 4)",
             .keys = {}},
    .extents = [](const Settings&, const Shape& shape) { return std::vector{shape.layers()}; },
    .make = observer_maker<LayerNorm2>(),
});

}  // namespace
}  // namespace manyfold::factorization
