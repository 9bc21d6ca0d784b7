// Factorizations as a kind of model: chain, objective and observers of a family put together.
#include "models/factorization/factorization.hpp"

#include <algorithm>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "core/executor/memory.hpp"
#include "kernels/common/singular_methods.hpp"
#include "kernels/norms.hpp"
#include "models/curvature/ends.hpp"
#include "models/curvature/probes.hpp"
#include "models/factorization/chain.hpp"
#include "models/factorization/curvature.hpp"
#include "models/factorization/drawn_data.hpp"
#include "models/factorization/objective.hpp"
#include "models/factorization/penalty.hpp"
#include "models/factorization/probes.hpp"
#include "models/factorization/problem.hpp"
#include "models/factorization/shape.hpp"
#include "models/factorization/start.hpp"

namespace manyfold {
namespace factorization {
namespace {

using kernels::MathMode;

/// Probes that see singular values of matrices so large that a GPU's library finds them.
std::set<std::string> waiting_probes(const Settings& settings, const Shape& shape) {
  bool large = false;
  for (std::int64_t h = 1; h <= shape.layers(); ++h) {
    large |= kernels::singular_values_wait(shape.layer_rows(h), shape.layer_cols(h));
  }
  std::set<std::string> names;
  for (const auto& [probe, name] : Probes::requested(settings)) {
    const SceneNeeds& needs = probe->needs;
    const bool rotates =
        needs.singular_values || needs.top_left_vector || needs.layer_singular_values;
    if (large && rotates) names.insert(name);
  }
  return names;
}

template <class T>
class FactorizationModel final : public Model {
 public:
  FactorizationModel(Executor& executor, const Settings& example, std::int64_t slots,
                     bool shared_problem, kernels::WorkSlots& work)
      : executor_(executor),
        work_(work),
        chain_(executor, shape_of(example), slots,
               example.text("precision") == "tf32" ? MathMode::tf32 : MathMode::full, work),
        objective_(executor, example, chain_.shape(), slots, shared_problem),
        penalty_(executor, example, chain_.shape(), slots),
        curvature_(make_curvature(example, work)),
        scene_(executor, chain_, objective_, scene_needs(example), work, curvature_.get()),
        observers_(
            executor, example,
            [&](const std::string& name) {
              return ProbeSettings{{example, name}, chain_.shape(), shared_problem};
            },
            slots),
        waiting_(waiting_probes(example, chain_.shape())) {}

  void load(std::span<const Settings> members) override {
    objective_.load(members);
    penalty_.load(members);
    std::vector<T> host(static_cast<std::size_t>(chain_.slots() * chain_.stride()), T{0});
    for (std::size_t slot = 0; slot < members.size(); ++slot) {
      const std::vector<double> values = start(members[slot], chain_.shape());
      T* to = host.data() + static_cast<std::int64_t>(slot) * chain_.stride();
      for (std::size_t i = 0; i < values.size(); ++i) to[i] = static_cast<T>(values[i]);
    }
    chain_.values().upload(host);
    observers_.load(members);
    if (curvature_) curvature_->load(members);
    work_.in_each_window([&] {
      chain_.forward();
      scene_.evaluated();
      observers_.remember(scene_);
    });
  }

  AnyParameters parameters() override { return chain_.parameters(); }

  void evaluate(const kernels::StepControl& control, Wanted wanted) override {
    chain_.forward();
    scene_.evaluated();
    double* loss = wanted.train_loss ? control.train_loss : nullptr;
    objective_.gradient(chain_.end(), chain_.slope(), loss);
    chain_.backward();
    penalty_.add(control, chain_, loss);
    if (wanted.grad_norm2) {
      kernels::sum_of_squares<T>(executor_, {chain_.parameters().gradient, control.grad_norm2, 1});
    }
  }

  void evaluate_stochastic(const kernels::StepControl& control,
                           const StochasticGradient& what) override {
    chain_.forward();
    scene_.evaluated();
    objective_.stochastic_gradient(control, what, chain_.end(), chain_.slope());
    chain_.backward();
    penalty_.add(control, chain_, nullptr);
  }

  const std::int64_t* terms() override { return objective_.terms(); }

  void observe(const std::string& probe, double* out, std::int64_t stride) override {
    observers_.observe(scene_, probe, out, stride);
  }

  bool waits(const std::string& probe) override { return waiting_.count(probe) > 0; }

  AnyCurvature curvature() override {
    return curvature_ ? &curvature_->product() : static_cast<CurvatureProduct<T>*>(nullptr);
  }

  std::vector<StateArray> state() override { return observers_.state(); }

 private:
  std::unique_ptr<CurvatureEnds<T>> make_curvature(const Settings& example,
                                                   kernels::WorkSlots& work) {
    std::vector<CurvatureRequest> requests =
        curvature_requests<Observed>(example, chain_.shape().parameters());
    if (requests.empty()) return nullptr;
    return std::make_unique<CurvatureEnds<T>>(
        executor_, chain_.parameters().values, std::move(requests),
        std::make_unique<ChainCurvature<T>>(executor_, chain_, objective_, penalty_, work), work);
  }

  Executor& executor_;
  kernels::WorkSlots& work_;
  Chain<T> chain_;
  Objective<T> objective_;
  Penalty<T> penalty_;
  std::unique_ptr<CurvatureEnds<T>> curvature_;  ///< null where no probe asks for it
  Scene<T> scene_;
  ObserversOf<Observed, T> observers_;
  std::set<std::string> waiting_;
};

void add_keys(Spec& spec) {
  add_shape_keys(spec);
  add_problem_keys(spec);
  add_penalty_keys(spec);
  add_start_keys(spec);
}

void validate(const Settings& settings) {
  const Shape shape = shape_of(settings);
  validate_objective(settings, shape);
  validate_penalty(settings, shape);
  validate_start(settings, shape);
  for (const auto& [probe, name] : Probes::requested(settings)) {
    const ProbeSettings asked{{settings, name}, shape};
    if (probe->validate != nullptr) probe->validate(asked);
  }
}

std::string shape_key(const Settings& settings) {
  const Shape shape = shape_of(settings);
  return settings.text("model.kind") + " " + shape.text() + " " + objective_text(settings) +
         penalty_text(settings);
}

template <class T>
Footprint footprint_in(const Settings& settings, bool shared_problem) {
  const Shape shape = shape_of(settings);
  Footprint footprint = Objective<T>::footprint(settings, shape, shared_problem);
  const std::size_t scene = Scene<T>::bytes_per_slot(shape, scene_needs(settings));
  footprint.work_bytes = Chain<T>::work_bytes(shape) + scene;
  footprint.bytes_per_slot +=
      Chain<T>::bytes_per_slot(shape) + Penalty<T>::bytes_per_slot(settings, shape) + scene;
  const std::vector<CurvatureRequest> curvature =
      curvature_requests<Observed>(settings, shape.parameters());
  if (!curvature.empty()) {
    const std::size_t product = ChainCurvature<T>::bytes_per_slot(shape);
    footprint.work_bytes += product + CurvatureEnds<T>::work_bytes(shape.parameters(), curvature);
    footprint.bytes_per_slot +=
        product + CurvatureEnds<T>::bytes_per_slot(shape.parameters(), curvature);
    footprint.shared_bytes += ChainCurvature<T>::shared_bytes(settings, shape);
  }
  Probes::add_bytes(
      settings,
      [&](const std::string& name) {
        return ProbeSettings{{settings, name}, shape, shared_problem};
      },
      footprint);
  footprint.flops_per_step += shape.flops_per_gradient() + penalty_flops(settings, shape);
  footprint.parameters = shape.parameters();
  return footprint;
}

Footprint footprint(const Settings& settings, bool shared_problem) {
  return settings.text("precision") == "f64" ? footprint_in<double>(settings, shared_problem)
                                             : footprint_in<float>(settings, shared_problem);
}

std::vector<std::int64_t> extents(const Settings& settings, const ProbeKind& kind) {
  const Shape shape = shape_of(settings);
  return Probes::extents(settings, kind, [&](const std::string& name) {
    return ProbeSettings{{settings, name}, shape};
  });
}

std::vector<ParameterArray> arrays(const Settings& settings) {
  const Shape shape = shape_of(settings);
  std::vector<ParameterArray> all;
  for (std::int64_t h = 1; h <= shape.layers(); ++h) {
    all.push_back({"W_" + std::to_string(h), {shape.layer_rows(h), shape.layer_cols(h)}});
  }
  return all;
}

std::span<const ProbeKind> probe_kinds() {
  static const std::vector<ProbeKind> kinds = Probes::kinds();
  return kinds;
}

std::unique_ptr<Model> make(Executor& executor, const Settings& example, std::int64_t slots,
                            bool shared_problem, kernels::WorkSlots& work) {
  return make_model<FactorizationModel>(executor, example, slots, shared_problem, work);
}

}  // namespace
}  // namespace factorization

const ModelKind& factorization_kind() {
  static const ModelKind kind{
      .names = factorization::model_names(),
      .decays = true,
      .add_keys = factorization::add_keys,
      .probes = factorization::probe_kinds,
      .validate = factorization::validate,
      .shape_key = factorization::shape_key,
      .problem_key = factorization::problem_key,
      .check_problem = [](const Settings& s) { (void)factorization::make_problem(s); },
      .footprint = factorization::footprint,
      .extents = factorization::extents,
      .make = factorization::make,
      .arrays = factorization::arrays,
      .drawn = factorization::drawn_data};
  return kind;
}

}  // namespace manyfold
