// Norms of layers and of the end-to-end matrix.
#include "kernels/norms.hpp"

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

const RegisterProbe layer_norm2(layer_norm2_probe<Observed>(
    "||W_h||_F^2, h = 1 ... L from the input (Du, Hu, Lee 2018, eq. 4)"));

const RegisterProbe layer_norm2_difference(layer_norm2_difference_probe<Observed>(
    "||W_{h+1}||_F^2 - ||W_h||_F^2, h = 1 ... L-1 (Du, Hu, Lee 2018, corollary 2.1)"));

const RegisterProbe layer_norm2_ratio(layer_norm2_ratio_probe<Observed>(
    "||W_{h+1}||_F^2 / ||W_h||_F^2, h = 1 ... L-1 (Du, Hu, Lee 2018, figure 2)"));

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
