// Ranks of the end-to-end matrix and of the layers: exact ones have no use beside rounding, so each
// is a function of the singular values.
#include "kernels/combine.hpp"
#include "models/factorization/probes.hpp"
#include "models/factorization/probes/of_spectrum.hpp"

namespace manyfold::factorization {
namespace {

using kernels::SpectrumArgs;
using kernels::SpectrumFunction;

SpectrumArgs effective(const ProbeSettings&) {
  return {.function = SpectrumFunction::effective_rank};
}
SpectrumArgs stable(const ProbeSettings&) { return {.function = SpectrumFunction::stable_rank}; }
SpectrumArgs numerical(const ProbeSettings& probe) {
  return {.function = SpectrumFunction::numerical_rank, .parameter = probe.number("tolerance")};
}
SpectrumArgs tail(const ProbeSettings& probe) {
  return {.function = SpectrumFunction::tail_norm,
          .parameter = static_cast<double>(probe.integer("rank"))};
}

/// Neighbouring singular values, counted from 1: s_{index + 1} / s_index.
template <class T>
class RankRatio final : public Observer<T> {
 public:
  explicit RankRatio(const ObserverContext& context) : index_(context.probe.integer("index")) {}
  void observe(Scene<T>& scene, double* out, std::int64_t stride) override {
    const double* values = scene.singular_values();
    kernels::combine(scene.executor(), {.slots = scene.slots(),
                                        .numerator = values + index_,
                                        .numerator_stride = scene.rank_limit(),
                                        .denominator = values + index_ - 1,
                                        .denominator_stride = scene.rank_limit(),
                                        .out = out,
                                        .out_stride = stride});
  }

 private:
  std::int64_t index_;
};

template <class T>
class LayerFAlphaRank final : public Observer<T> {
 public:
  explicit LayerFAlphaRank(const ObserverContext& context)
      : alpha_(context.probe.number("alpha")) {}
  void observe(Scene<T>& scene, double* out, std::int64_t stride) override {
    layer_f_alpha_ranks(scene, alpha_, out, stride);
  }

 private:
  double alpha_;
};

void validate_ratio(const ProbeSettings& probe) {
  const std::int64_t limit = rank_limit(probe.shape);
  if (probe.integer("index") < limit) return;
  probe.reject(
      "index", std::to_string(probe.integer("index")),
      "an index below min(rows, cols) = " + std::to_string(limit) + ": s_{index + 1} / s_index");
}

void validate_tail(const ProbeSettings& probe) {
  const std::int64_t limit = rank_limit(probe.shape);
  if (probe.integer("rank") < limit) return;
  probe.reject("rank", std::to_string(probe.integer("rank")),
               "a rank below min(rows, cols) = " + std::to_string(limit));
}

const RegisterProbe effective_rank({
    .kind = {.name = "effective_rank",
             .extents = {},
             .units = "1",
             .long_name = "effective rank of the end-to-end matrix",
             .comment = "exp of the entropy of p_i = s_i / sum_j s_j (Roy and Vetterli 2007); 0 of "
                        "a zero matrix",
             .keys = {}},
    .needs = {.singular_values = true},
    .make = observer_maker<OfSpectrum<effective>::Kind>(),
});

const RegisterProbe stable_rank({
    .kind = {.name = "stable_rank",
             .extents = {},
             .units = "1",
             .long_name = "stable rank of the end-to-end matrix",
             .comment = "||W||_F^2 / s_1(W)^2; 0 of a zero matrix",
             .keys = {}},
    .needs = {.singular_values = true},
    .make = observer_maker<OfSpectrum<stable>::Kind>(),
});

const RegisterProbe numerical_rank({
    .kind = {.name = "numerical_rank",
             .extents = {},
             .units = "1",
             .long_name = "numerical rank of the end-to-end matrix",
             .comment = "number of s_i(W) > tolerance s_1(W)",
             .keys = {{.path = "tolerance",
                       .type = Type::number,
                       .doc = "Singular values above this share of the largest count.",
                       .default_value = 1e-8,
                       .min = 0,
                       .max = 1,
                       .max_exclusive = true,
                       .sweepable = false}}},
    .needs = {.singular_values = true},
    .make = observer_maker<OfSpectrum<numerical>::Kind>(),
});

const RegisterProbe rank_ratio({
    .kind = {.name = "rank_ratio",
             .extents = {},
             .units = "1",
             .long_name = "ratio of neighbouring singular values of the end-to-end matrix",
             .comment = "s_{index+1}(W) / s_index(W), small where W has rank index (Wang and Jacot "
                        "2023, figure 1); NaN where both are 0",
             .keys = {{.path = "index",
                       .type = Type::integer,
                       .doc = "i of s_{i+1} / s_i, from 1.",
                       .default_value = std::int64_t{1},
                       .min = 1,
                       .sweepable = false}}},
    .validate = validate_ratio,
    .needs = {.singular_values = true},
    .make = observer_maker<RankRatio>(),
});

const RegisterProbe low_rankness({
    .kind = {.name = "low_rankness",
             .extents = {},
             .units = "1",
             .long_name = "distance of the end-to-end matrix from rank r",
             .comment = "sqrt(sum_{i > r} s_i(W)^2), the distance to the closest matrix of rank r "
                        "(Li, Luo, Lyu 2021, figure 2 with r + 1)",
             .keys = {rank_key(true)}},
    .validate = validate_tail,
    .needs = {.singular_values = true},
    .make = observer_maker<OfSpectrum<tail>::Kind>(),
});

const RegisterProbe f_alpha_rank({
    .kind = {.name = "f_alpha_rank",
             .extents = {"layer"},
             .units = "1",
             .long_name = "smooth rank of each layer",
             .comment = "sum_i f_alpha(s_i(W_h)^2), f_alpha(x) = x (2 alpha - x) / alpha^2 up to "
                        "alpha, 1 beyond (Wang and Jacot 2023, section 3.2)",
             .keys = {alpha_key()}},
    .extents = each_layer,
    .needs = {.layer_singular_values = true},
    .make = observer_maker<LayerFAlphaRank>(),
});

}  // namespace
}  // namespace manyfold::factorization
