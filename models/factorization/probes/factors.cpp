// The two factors of W = X Y^T beside each other (Wang, Chen, Zhao, Tao 2022): X = W_2, Y = W_1^T.
#include "core/executor/memory.hpp"
#include "kernels/combine.hpp"
#include "kernels/neurons.hpp"
#include "kernels/norms.hpp"
#include "kernels/reduce.hpp"
#include "models/factorization/probes.hpp"

namespace manyfold::factorization {
namespace {

/// out <- sum over rows of X and Y of the term, (slot). `terms`: (slot, n).
template <class T>
void compare_factors(const Scene<T>& scene, kernels::NeuronTerm term, double* terms, double* out,
                     std::int64_t stride) {
  const std::int64_t n = scene.shape().rows();
  kernels::neuron_terms<T>(scene.executor(), {.a = scene.chain().weight(2),
                                              .b = scene.chain().weight(1),
                                              .term = term,
                                              .out = terms,
                                              .out_stride = n});
  kernels::reduce(scene.executor(), {.slots = scene.slots(),
                                     .count = n,
                                     .reduction = kernels::Reduction::sum,
                                     .x = terms,
                                     .x_stride = n,
                                     .out = out,
                                     .out_stride = stride});
}

template <class T>
class FactorDistance final : public Observer<T> {
 public:
  explicit FactorDistance(const ObserverContext& context)
      : terms_(context.executor, context.slots * context.probe.shape.rows()) {}
  void observe(Scene<T>& scene, double* out, std::int64_t stride) override {
    compare_factors(scene, kernels::NeuronTerm::distance2, terms_.data(), out, stride);
    scene.root(1, out, stride);
  }

 private:
  Buffer<double> terms_;
};

template <class T>
class FactorCosine final : public Observer<T> {
 public:
  explicit FactorCosine(const ObserverContext& context)
      : terms_(context.executor, context.slots * context.probe.shape.rows()),
        norm_(context.executor, context.slots) {}
  void observe(Scene<T>& scene, double* out, std::int64_t stride) override {
    compare_factors(scene, kernels::NeuronTerm::inner, terms_.data(), out, stride);
    for (const std::int64_t h : {1, 2}) {
      const MatrixBatch<const T> factor = scene.chain().weight(h);
      kernels::sum_of_squares<T>(scene.executor(), {flatten(factor), norm_.data(), 1});
      scene.root(1, norm_.data(), 1);
      kernels::combine(scene.executor(), {.slots = scene.slots(),
                                          .numerator = out,
                                          .numerator_stride = stride,
                                          .denominator = norm_.data(),
                                          .out = out,
                                          .out_stride = stride});
    }
    kernels::reduce(scene.executor(), {.slots = scene.slots(),
                                       .reduction = kernels::Reduction::largest_difference,
                                       .x = out,
                                       .x_stride = stride,
                                       .out = out,
                                       .out_stride = stride});
  }

 private:
  Buffer<double> terms_;
  Buffer<double> norm_;
};

void validate_factors(const ProbeSettings& probe) {
  const Shape& shape = probe.shape;
  if (!shape.symmetric_model && shape.layers() == 2 && shape.rows() == shape.cols()) return;
  probe.reject("a comparison of the factors of " + shape.text(),
               "model.kind = \"deep_linear\" of depth 2 with a square target: W = X Y^T");
}

const RegisterProbe factor_distance({
    .kind = {.name = "factor_distance",
             .extents = {},
             .units = "1",
             .long_name = "distance of the two factors",
             .comment = "||X - Y||_F of W = X Y^T, X = W_2, Y = W_1^T (Wang, Chen, Zhao, Tao 2022, "
                        "theorem 3.2)",
             .keys = {}},
    .validate = validate_factors,
    .bytes =
        [](const ProbeSettings& probe) {
          return ObserverBytes{.per_slot = double_bytes(probe.shape.rows())};
        },
    .make = observer_maker<FactorDistance>(),
});

const RegisterProbe factor_cosine({
    .kind = {.name = "factor_cosine",
             .extents = {},
             .units = "1",
             .long_name = "alignment of the two factors",
             .comment =
                 "|<X, Y>| / (||X||_F ||Y||_F) of W = X Y^T, X = W_2, Y = W_1^T; of rank one "
                 "|cos(x, y)| (Wang, Chen, Zhao, Tao 2022, theorem 4.1)",
             .keys = {}},
    .validate = validate_factors,
    .bytes =
        [](const ProbeSettings& probe) {
          return ObserverBytes{.per_slot = double_bytes(probe.shape.rows() + 1)};
        },
    .make = observer_maker<FactorCosine>(),
});

}  // namespace
}  // namespace manyfold::factorization
