// What probes of ranks and norms share: functions of the singular values of W or of each layer, and
// their keys.
#pragma once

#include <algorithm>

#include "kernels/spectrum.hpp"
#include "models/factorization/probes.hpp"

namespace manyfold::factorization {

/// `describe` fills function, parameter and scale in.
template <kernels::SpectrumArgs (*describe)(const ProbeSettings&)>
struct OfSpectrum {
  template <class T>
  class Kind final : public Observer<T> {
   public:
    explicit Kind(const ObserverContext& context) : args_(describe(context.probe)) {}
    void observe(Scene<T>& scene, double* out, std::int64_t stride) override {
      kernels::SpectrumArgs args = args_;
      args.slots = scene.slots();
      args.count = scene.rank_limit();
      args.values = scene.singular_values();
      args.values_stride = scene.rank_limit();
      args.out = out;
      args.out_stride = stride;
      kernels::spectrum(scene.executor(), args);
    }

   private:
    kernels::SpectrumArgs args_;
  };
};

/// sum_i f_alpha(s_i(W_h)^2) of every layer, (slot, layer), slots `stride` apart.
template <class T>
void layer_f_alpha_ranks(Scene<T>& scene, double alpha, double* out, std::int64_t stride) {
  const Shape& shape = scene.shape();
  for (std::int64_t h = 1; h <= shape.layers(); ++h) {
    kernels::spectrum(scene.executor(),
                      {.slots = scene.slots(),
                       .count = std::min(shape.layer_rows(h), shape.layer_cols(h)),
                       .values = scene.layer_singular_values(h),
                       .values_stride = scene.layer_spectra_stride(),
                       .function = kernels::SpectrumFunction::f_alpha_rank,
                       .parameter = alpha,
                       .out = out + (h - 1),
                       .out_stride = stride});
  }
}

inline KeySpec rank_key(bool required) {
  return {.path = "rank",
          .type = Type::integer,
          .doc = "The rank r that is asked about.",
          .required = required,
          .min = 0,
          .sweepable = false};
}
inline KeySpec alpha_key() {
  return {.path = "alpha",
          .type = Type::number,
          .doc = "Squared singular values above alpha count as one each, smaller ones for less.",
          .required = true,
          .min = 0,
          .min_exclusive = true,
          .sweepable = false};
}

}  // namespace manyfold::factorization
