// Probes of the ends of curvature spectra, one implementation for every kind of model. Beside what
// observers.hpp asks of a kind they need
//   Needs::curvature             std::optional<CurvatureMatrix>
//   Scene::curvature_ends(r)     CurvatureEnds::ends of what curvature_requests names
// and, by the kind's namespace, parameter_count(ProbeSettings).
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "kernels/combine.hpp"
#include "models/curvature/ends.hpp"
#include "models/training/observers.hpp"

namespace manyfold {

inline constexpr std::int64_t default_lanczos_steps = 30;

inline std::int64_t lanczos_steps(const AskedProbe& probe, std::int64_t parameters) {
  const std::int64_t asked =
      probe.has("lanczos_steps") ? probe.integer("lanczos_steps") : default_lanczos_steps;
  return std::min(asked, parameters);
}

/// Everything that the experiment's probes ask of a CurvatureEnds, each once.
template <class Observed>
std::vector<CurvatureRequest> curvature_requests(const Settings& settings,
                                                 std::int64_t parameters) {
  std::vector<CurvatureRequest> requests;
  for (const auto& [probe, name] : ProbeRegistry<Observed>::requested(settings)) {
    if (!probe->needs.curvature) continue;
    const CurvatureRequest request{*probe->needs.curvature,
                                   lanczos_steps({settings, name}, parameters)};
    if (std::find(requests.begin(), requests.end(), request) == requests.end()) {
      requests.push_back(request);
    }
  }
  return requests;
}

template <class Observed, CurvatureMatrix matrix, bool least>
struct CurvatureObserver {
  /// The eigenvalue and its bound.
  template <class T>
  class End final : public ObserverOf<typename Observed::template Scene<T>> {
   public:
    explicit End(const ObserverContextOf<Observed>& context)
        : request_{matrix, lanczos_steps(context.probe, parameter_count(context.probe))} {}

    void observe(typename Observed::template Scene<T>& scene, double* out,
                 std::int64_t stride) override {
      kernels::combine(scene.executor(),
                       {.slots = scene.slots(),
                        .count = 2,
                        .numerator = scene.curvature_ends(request_) + (least ? 0 : 2),
                        .numerator_stride = 4,
                        .out = out,
                        .out_stride = stride});
    }

   private:
    CurvatureRequest request_;
  };
};

template <class Observed, CurvatureMatrix matrix, bool least>
ProbeOf<Observed> curvature_probe(const std::string& name, const std::string& long_name,
                                  const std::string& comment) {
  return {
      .kind = {.name = name,
               .extents = {"value_and_bound"},
               .units = "1",
               .long_name = long_name,
               .comment =
                   comment +
                   ", of what is descended, penalties included, over all train examples, by "
                   "Lanczos with full reorthogonalization on exact products. First the value, "
                   "then its bound |A v - value v|, v of length 1: but for roundings an "
                   "eigenvalue lies that near, and where the bound is not small the steps were "
                   "too few; NaN for members that are not finite",
               .keys = {{.path = "lanczos_steps",
                         .type = Type::integer,
                         .doc = "Steps of Lanczos' method, at most as many as there are "
                                "parameters; 30 by default. Each takes a few times as long as "
                                "a gradient and keeps a vector as long as the parameters.",
                         .min = 1,
                         .max = 10000,
                         .sweepable = false}}},
      .extents = [](const typename Observed::Settings&) -> std::vector<std::int64_t> {
        return {2};
      },
      .needs = {.curvature = matrix},
      .make =
          observer_maker_of<Observed, CurvatureObserver<Observed, matrix, least>::template End>()};
}

/// The largest eigenvalue of the Hessian.
template <class Observed>
ProbeOf<Observed> sharpness_probe() {
  return curvature_probe<Observed, CurvatureMatrix::hessian, false>(
      "sharpness", "largest eigenvalue of the Hessian",
      "largest eigenvalue of A = d^2 f/d theta^2");
}
/// The least, which is negative where the loss bends down.
template <class Observed>
ProbeOf<Observed> least_curvature_probe() {
  return curvature_probe<Observed, CurvatureMatrix::hessian, true>(
      "least_curvature", "least eigenvalue of the Hessian",
      "least eigenvalue of A = d^2 f/d theta^2");
}
/// The largest eigenvalue of the Gauss-Newton matrix.
template <class Observed>
ProbeOf<Observed> gauss_newton_sharpness_probe(const std::string& outputs) {
  return curvature_probe<Observed, CurvatureMatrix::gauss_newton, false>(
      "gauss_newton_sharpness", "largest eigenvalue of the Gauss-Newton matrix",
      "largest eigenvalue of A = J^T (d^2 L/dF^2) J, J = dF/d theta, F " + outputs);
}

}  // namespace manyfold
