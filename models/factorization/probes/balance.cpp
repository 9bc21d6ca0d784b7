// Balancedness of neighbouring layers (Du, Hu, Lee 2018).
#include <algorithm>

#include "core/executor/memory.hpp"
#include "kernels/norms.hpp"
#include "models/factorization/probes.hpp"

namespace manyfold::factorization {
namespace {

using kernels::Transpose;

/// Elements of the largest W_h W_h^T with a layer above it.
std::int64_t largest_pair(const Shape& shape) {
  std::int64_t largest = 0;
  for (std::int64_t h = 1; h < shape.layers(); ++h) {
    largest = std::max(largest, shape.layer_rows(h) * shape.layer_rows(h));
  }
  return largest;
}

/// ||W_{h+1}^T W_{h+1} - W_h W_h^T||_F for h = 1 ... L-1.
template <class T>
class Balance final : public Observer<T> {
 public:
  explicit Balance(const ObserverContext& context)
      : stride_(padded<T>(largest_pair(context.shape))),
        difference_(context.executor, context.slots * stride_) {}

  void observe(Scene<T>& scene, double* out, std::int64_t stride) override {
    const Chain<T>& chain = scene.chain();
    const std::int64_t pairs = scene.shape().layers() - 1;
    for (std::int64_t h = 1; h <= pairs; ++h) {
      const std::int64_t n = scene.shape().layer_rows(h);
      const MatrixBatch<T> difference{difference_.data(), scene.slots(), n, n, stride_, n};
      chain.multiply(Transpose::yes, Transpose::no, chain.weight(h + 1), chain.weight(h + 1),
                     difference);
      chain.multiply(Transpose::no, Transpose::yes, chain.weight(h), chain.weight(h), difference,
                     T(-1), T(1));
      kernels::sum_of_squares<T>(
          scene.executor(), {flatten(MatrixBatch<const T>(difference)), out + (h - 1), stride});
    }
    scene.root(pairs, out, stride);
  }

 private:
  std::int64_t stride_;
  Buffer<T> difference_;
};

std::size_t balance_bytes(const Settings& settings, const Shape& shape) {
  const std::int64_t elements = largest_pair(shape);
  return settings.text("precision") == "f64"
             ? static_cast<std::size_t>(padded<double>(elements)) * sizeof(double)
             : static_cast<std::size_t>(padded<float>(elements)) * sizeof(float);
}

const RegisterProbe balance({
    .kind = {.name = "balance",
             .extents = {"pair"},
             .units = "1",
             .long_name = "balancedness of neighbouring layers",
             .comment = "||W_{h+1}^T W_{h+1} - W_h W_h^T||_F, h = 1 ... L-1 (Du, Hu, Lee 2018, "
                        "theorem 2.2)",
             .keys = {}},
    .extents = [](const Settings&, const Shape& shape) { return std::vector{shape.layers() - 1}; },
    .validate =
        [](const Settings& settings, const Shape& shape) {
          if (shape.layers() >= 2) return;
          settings.reject(probe_place(settings, "balance"),
                          "a probe of neighbouring layers of " + shape.text(),
                          "a model with at least two layers");
        },
    .bytes_per_slot = balance_bytes,
    .make = observer_maker<Balance>(),
});

}  // namespace
}  // namespace manyfold::factorization
