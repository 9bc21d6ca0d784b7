// Norms of layers and of the end-to-end matrix.
#include "kernels/norms.hpp"

#include "core/executor/memory.hpp"
#include "kernels/combine.hpp"
#include "models/factorization/probes.hpp"
#include "models/factorization/probes/of_spectrum.hpp"

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
void layer_norms2(const Scene<T>& scene, double* out, std::int64_t stride) {
  for (std::int64_t h = 1; h <= scene.shape().layers(); ++h) {
    const MatrixBatch<const T> weight = scene.chain().weight(h);
    kernels::sum_of_squares<T>(scene.executor(), {flatten(weight), out + (h - 1), stride});
  }
}

template <class T>
class LayerNorm2 final : public Observer<T> {
 public:
  explicit LayerNorm2(const ObserverContext&) {}
  void observe(Scene<T>& scene, double* out, std::int64_t stride) override {
    layer_norms2(scene, out, stride);
  }
};

/// Of each layer and the one below it.
template <class T>
class NeighbourNorms : public Observer<T> {
 public:
  NeighbourNorms(const ObserverContext& context, bool ratio)
      : ratio_(ratio),
        layers_(context.shape().layers()),
        norms2_(context.executor, context.slots * layers_) {}
  void observe(Scene<T>& scene, double* out, std::int64_t stride) override {
    layer_norms2(scene, norms2_.data(), layers_);
    const double* below = norms2_.data();
    kernels::combine(scene.executor(), {.slots = scene.slots(),
                                        .count = layers_ - 1,
                                        .numerator = below + 1,
                                        .numerator_stride = layers_,
                                        .denominator = ratio_ ? below : nullptr,
                                        .denominator_stride = layers_,
                                        .out = out,
                                        .out_stride = stride,
                                        .minus = ratio_ ? nullptr : below,
                                        .minus_stride = layers_});
  }

 private:
  bool ratio_;
  std::int64_t layers_;
  Buffer<double> norms2_;
};
template <class T>
class NormDifference final : public NeighbourNorms<T> {
 public:
  explicit NormDifference(const ObserverContext& context) : NeighbourNorms<T>(context, false) {}
};
template <class T>
class NormRatio final : public NeighbourNorms<T> {
 public:
  explicit NormRatio(const ObserverContext& context) : NeighbourNorms<T>(context, true) {}
};

ObserverBytes layer_doubles(const ProbeSettings& probe) {
  return {.per_slot = double_bytes(probe.shape.layers())};
}

using kernels::SpectrumArgs;
using kernels::SpectrumFunction;

SpectrumArgs nuclear(const ProbeSettings&) {
  return {.function = SpectrumFunction::schatten_norm, .parameter = 1};
}
SpectrumArgs schatten(const ProbeSettings& probe) {
  return {.function = SpectrumFunction::schatten_norm, .parameter = probe.number("p")};
}
SpectrumArgs representation_cost_of(const ProbeSettings& probe) {
  const auto depth = static_cast<double>(probe.shape.depth());
  return {.function = SpectrumFunction::power_sum, .parameter = 2 / depth, .scale = depth};
}

template <class T>
class SpectralNorm final : public Observer<T> {
 public:
  explicit SpectralNorm(const ObserverContext&) {}
  void observe(Scene<T>& scene, double* out, std::int64_t stride) override {
    scene.copy(1, scene.singular_values(), scene.rank_limit(), out, stride);
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
    .extents = each_layer,
    .make = observer_maker<LayerNorm2>(),
});

const RegisterProbe layer_norm2_difference({
    .kind = {.name = "layer_norm2_difference",
             .extents = {"pair"},
             .units = "1",
             .long_name = "difference of the squared norms of neighbouring layers",
             .comment = "||W_{h+1}||_F^2 - ||W_h||_F^2, h = 1 ... L-1 (Du, Hu, Lee 2018, "
                        "corollary 2.1)",
             .keys = {}},
    .extents = each_pair,
    .validate = validate_pairs,
    .bytes = layer_doubles,
    .make = observer_maker<NormDifference>(),
});

const RegisterProbe layer_norm2_ratio({
    .kind = {.name = "layer_norm2_ratio",
             .extents = {"pair"},
             .units = "1",
             .long_name = "ratio of the squared norms of neighbouring layers",
             .comment = "||W_{h+1}||_F^2 / ||W_h||_F^2, h = 1 ... L-1 (Du, Hu, Lee 2018, figure 2)",
             .keys = {}},
    .extents = each_pair,
    .validate = validate_pairs,
    .bytes = layer_doubles,
    .make = observer_maker<NormRatio>(),
});

const RegisterProbe spectral_norm({
    .kind = {.name = "spectral_norm",
             .extents = {},
             .units = "1",
             .long_name = "spectral norm of the end-to-end matrix",
             .comment = "s_1(W)",
             .keys = {}},
    .needs = {.singular_values = true},
    .make = observer_maker<SpectralNorm>(),
});

const RegisterProbe nuclear_norm({
    .kind = {.name = "nuclear_norm",
             .extents = {},
             .units = "1",
             .long_name = "nuclear norm of the end-to-end matrix",
             .comment = "sum_i s_i(W)",
             .keys = {}},
    .needs = {.singular_values = true},
    .make = observer_maker<OfSpectrum<nuclear>::Kind>(),
});

const RegisterProbe schatten_norm({
    .kind = {.name = "schatten_norm",
             .extents = {},
             .units = "1",
             .long_name = "Schatten norm of the end-to-end matrix",
             .comment = "(sum_i s_i(W)^p)^(1/p), a quasi-norm for p < 1",
             .keys = {{.path = "p",
                       .type = Type::number,
                       .doc = "The exponent p of a Schatten norm.",
                       .required = true,
                       .min = 0,
                       .min_exclusive = true,
                       .sweepable = false}}},
    .needs = {.singular_values = true},
    .make = observer_maker<OfSpectrum<schatten>::Kind>(),
});

const RegisterProbe representation_cost({
    .kind = {.name = "representation_cost",
             .extents = {},
             .units = "1",
             .long_name = "representation cost of the end-to-end matrix",
             .comment = "L sum_i s_i(W)^(2/L) with L the number of factors of W: the least sum of "
                        "squares of parameters that makes W (Wang and Jacot 2023, section 2)",
             .keys = {}},
    .needs = {.singular_values = true},
    .make = observer_maker<OfSpectrum<representation_cost_of>::Kind>(),
});

}  // namespace
}  // namespace manyfold::factorization
