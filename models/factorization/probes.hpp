// Probes of factorizations: what is observed of a member, on the device. To add one, write one file
// in probes/ that ends in a `RegisterProbe`; keys, validation, memory, cadences, running extremes,
// events and the record follow from what it says there.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/config/settings.hpp"
#include "models/curvature/ends.hpp"
#include "models/factorization/chain.hpp"
#include "models/factorization/objective.hpp"
#include "models/factorization/product_spectrum.hpp"
#include "models/factorization/shape.hpp"
#include "models/training/layer_observers.hpp"
#include "models/training/model.hpp"
#include "models/training/observers.hpp"

namespace manyfold::factorization {

/// A probe as an experiment asks for it, before anything is allocated.
struct ProbeSettings : AskedProbe {
  const Shape& shape;
  bool shared_problem = true;  ///< one target and mask for all members of the family
};

/// min(rows, cols) of W: how many singular values it has.
std::int64_t rank_limit(const Shape& shape);
/// The largest min(rows, cols) among the layers.
std::int64_t layer_rank_limit(const Shape& shape);

/// What a probe wants of the scene beyond the products.
struct SceneNeeds {
  bool singular_values = false;                ///< of W
  bool top_left_vector = false;                ///< of W; asks for singular values, too
  bool layer_singular_values = false;          ///< of every layer
  std::optional<CurvatureMatrix> curvature{};  ///< ends of whose spectrum one probe shows
};

/// What a probe may look at: the state that the model evaluated last, and helpers that several
/// probes share. Everything is recorded kernels on the family's executor.
template <class T>
class Scene {
 public:
  Scene(Executor& executor, const Chain<T>& chain, const Objective<T>& objective,
        const SceneNeeds& needs, kernels::WorkSlots& work, CurvatureEnds<T>* curvature);

  Executor& executor() const { return executor_; }
  const Chain<T>& chain() const { return chain_; }
  const Objective<T>& objective() const { return objective_; }
  const Shape& shape() const { return chain_.shape(); }
  std::int64_t slots() const { return chain_.slots(); }

  // What layer_observers.hpp looks at.
  std::vector<MatrixBatch<const T>> weights() const;
  std::vector<Neighbours<T>> neighbours() const;
  VectorBatch<const T> all_parameters() const { return chain_.parameters().values; }

  /// All singular values of W, from its factors (product_spectrum.hpp), (slot, rank_limit()),
  /// decreasing. Computed by the first probe that
  /// asks after an evaluation, and so is what follows.
  const double* singular_values();
  std::int64_t rank_limit() const;  ///< min(rows, cols)
  /// u_1 of W, (slot, rows), of length 1 and of either sign; NaN where W = 0.
  VectorBatch<const double> top_left_vector();
  /// All singular values of W_h, decreasing, then NaN up to layer_rank_limit(); slots
  /// layer_spectra_stride() apart, layers layer_rank_limit() apart.
  const double* layer_singular_values(std::int64_t h);
  std::int64_t layer_spectra_stride() const;
  const double* curvature_ends(const CurvatureRequest& request) {
    return curvature_->ends(request);
  }
  /// Told by the model when it evaluates: what was computed before is stale.
  void evaluated();

  /// x <- sqrt(x), (slot, count) with slots `stride` apart.
  void root(std::int64_t count, double* x, std::int64_t stride) const;
  /// to <- from, (slot, count).
  void copy(std::int64_t count, const double* from, std::int64_t from_stride, double* to,
            std::int64_t to_stride) const;

  static std::size_t bytes_per_slot(const Shape& shape, const SceneNeeds& needs);

 private:
  Executor& executor_;
  const Chain<T>& chain_;
  const Objective<T>& objective_;
  CurvatureEnds<T>* curvature_;  ///< null where no probe asks for it
  bool spectrum_is_fresh_ = false;
  std::vector<bool> layer_is_fresh_;
  Buffer<double> spectrum_;
  Buffer<double> top_left_;
  Buffer<double> layer_spectra_;
  Buffer<double> workspace_;
  std::int64_t workspace_size_ = 0;            ///< of a slot
  std::optional<ProductSpectrum<T>> product_;  ///< where singular values of W are asked for
  Buffer<std::int32_t> sweeps_;
};

/// What probes of factorizations know and see (models/training/observers.hpp).
struct Observed {
  using Settings = ProbeSettings;
  template <class T>
  using Scene = factorization::Scene<T>;
  using Needs = SceneNeeds;
};
template <class T>
using Observer = ObserverOf<Scene<T>>;
using ObserverContext = ObserverContextOf<Observed>;
using Probe = ProbeOf<Observed>;
using Probes = ProbeRegistry<Observed>;
using RegisterProbe = RegisterProbeOf<Observed>;
template <template <class> class Kind>
constexpr ObserverMakerOf<Observed> observer_maker() {
  return observer_maker_of<Observed, Kind>();
}

/// What they want of the scene together.
SceneNeeds scene_needs(const Settings& settings);

/// Extents that several probes have.
std::vector<std::int64_t> each_layer(const ProbeSettings& probe);
std::vector<std::int64_t> each_pair(const ProbeSettings& probe);
/// Rejects a probe of neighbouring layers of a model that has only one.
void validate_pairs(const ProbeSettings& probe);
/// Of a member.
std::int64_t parameter_count(const ProbeSettings& probe);
/// Hidden units of all pairs.
std::int64_t hidden_neurons(const ProbeSettings& probe);

}  // namespace manyfold::factorization

// One registry, in probes.cpp.
extern template class manyfold::ProbeRegistry<manyfold::factorization::Observed>;
