// Networks as a kind of model: net, objective and observers of a family put together.
#include "models/network/network.hpp"

#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "core/executor/memory.hpp"
#include "kernels/norms.hpp"
#include "models/curvature/ends.hpp"
#include "models/curvature/probes.hpp"
#include "models/data/drawn_arrays.hpp"
#include "models/network/curvature.hpp"
#include "models/network/description.hpp"
#include "models/network/net.hpp"
#include "models/network/objective.hpp"
#include "models/network/probes.hpp"
#include "models/network/problem.hpp"
#include "models/network/start.hpp"
#include "models/training/weight_decay.hpp"

namespace manyfold {
namespace network {
namespace {

using kernels::MathMode;

template <class T>
class NetworkModel final : public Model {
 public:
  NetworkModel(Executor& executor, const Settings& example, std::int64_t slots, bool shared_problem,
               kernels::WorkSlots& work)
      : NetworkModel(executor, example, description_of(example), slots, shared_problem, work) {}

  void load(std::span<const Settings> members) override {
    objective_.load(members);
    decay_.load(members);
    // Slots without a member compute too: on weights of 0.
    std::vector<T> values(static_cast<std::size_t>(net_.values().size()), T{0});
    std::vector<T> frozen(static_cast<std::size_t>(net_.frozen().size()), T{0});
    for (std::size_t slot = 0; slot < members.size(); ++slot) {
      const Start begin = start(members[slot], net_.description());
      put(begin.parameters, values, slot * static_cast<std::size_t>(net_.stride()));
      put(begin.frozen, frozen, slot * static_cast<std::size_t>(net_.frozen_stride()));
    }
    net_.values().upload(values);
    if (!frozen.empty()) net_.frozen().upload(frozen);
    gram_set_.load(objective_);
    observers_.load(members);
    if (curvature_) curvature_->load(members);
    Scene<T> scene{net_, objective_, gram_set_, curvature_.get()};
    observers_.remember(scene);
    gram_set_.forget();
  }

  AnyParameters parameters() override { return net_.parameters(); }

  void evaluate(const kernels::StepControl& control, Wanted wanted) override {
    gram_set_.forget();
    double* loss = wanted.train_loss ? control.train_loss : nullptr;
    if (curvature_) curvature_->evaluated();
    objective_.gradient(loss);
    decay_.add(control, net_.parameters(), loss);
    if (wanted.grad_norm2) {
      kernels::sum_of_squares<T>(executor_, {net_.parameters().gradient, control.grad_norm2, 1});
    }
  }

  void evaluate_stochastic(const kernels::StepControl& control,
                           const StochasticGradient& what) override {
    objective_.stochastic_gradient(control, what);
    decay_.add(control, net_.parameters(), nullptr);
  }

  const std::int64_t* terms() override { return objective_.terms(); }

  void observe(const std::string& probe, double* out, std::int64_t stride) override {
    Scene<T> scene{net_, objective_, gram_set_, curvature_.get()};
    observers_.observe(scene, probe, out, stride);
  }

  AnyCurvature curvature() override {
    return curvature_ ? &curvature_->product() : static_cast<CurvatureProduct<T>*>(nullptr);
  }

  std::vector<StateArray> state() override { return observers_.state(); }

 private:
  NetworkModel(Executor& executor, const Settings& example, const Description& description,
               std::int64_t slots, bool shared_problem, kernels::WorkSlots& work)
      : executor_(executor),
        net_(executor, description, slots, Objective<T>::rows(example, description),
             example.text("precision") == "tf32" ? MathMode::tf32 : MathMode::full),
        objective_(executor, example, net_, slots, shared_problem),
        decay_(executor, example, slots),
        gram_set_(executor, description, gram_requests(example, description, data_size(example)),
                  slots, net_.rows(), shared_problem),
        curvature_(make_curvature(example, work)),
        observers_(
            executor, example,
            [&, data = data_size(example)](const std::string& name) {
              return ProbeSettings{{example, name}, net_.description(), data};
            },
            slots) {}

  std::unique_ptr<CurvatureEnds<T>> make_curvature(const Settings& example,
                                                   kernels::WorkSlots& work) {
    std::vector<CurvatureRequest> requests =
        curvature_requests<Observed>(example, net_.description().parameters);
    if (requests.empty()) return nullptr;
    return std::make_unique<CurvatureEnds<T>>(
        executor_, net_.parameters().values, std::move(requests),
        std::make_unique<NetCurvature<T>>(net_, objective_, decay_), work);
  }

  static void put(const std::vector<double>& from, std::vector<T>& to, std::size_t first) {
    for (std::size_t i = 0; i < from.size(); ++i) to[first + i] = static_cast<T>(from[i]);
  }

  Executor& executor_;
  Net<T> net_;
  Objective<T> objective_;
  WeightDecay<T> decay_;
  GramSet<T> gram_set_;
  std::unique_ptr<CurvatureEnds<T>> curvature_;  ///< null where no probe asks for it
  ObserversOf<Observed, T> observers_;
};

void add_keys(Spec& spec) {
  add_description_keys(spec);
  add_problem_keys(spec);
  add_start_keys(spec);
}

void validate(const Settings& settings) {
  validate_problem(settings);
  const Description description = description_of(settings);
  if (description.parameters == 0) {
    settings.reject("model.layers", "no trained weight", "a layer that is not frozen");
  }
  validate_start(settings, description);
  const char* noise = "optimizer.label_noise";
  if (settings.has(noise) && loss_of(settings) != kernels::Loss::squared) {
    settings.reject(
        noise, fmt::format("a value with objective.loss = \"{}\"", settings.text("objective.loss")),
        "no value: noise is added to the targets of the squared loss");
  }
  for (const auto& [probe, name] : Probes::requested(settings)) {
    if (probe->validate == nullptr) continue;
    probe->validate({{settings, name}, description, data_size(settings)});
  }
}

std::string shape_key(const Settings& settings) {
  const DataSize size = data_size(settings);
  const Description description = description_of(settings);
  std::string patterns;
  for (std::size_t h = 0; h < description.weights.size(); ++h) {
    const auto& pattern = description.weights[h].pattern;
    if (pattern) patterns += fmt::format(", W_{}: {}", h + 1, pattern->text());
  }
  return fmt::format(
      "{}: {}{}, {}{} of {} examples{}, {} for tests", settings.text("model.kind"),
      description.text(), patterns, objective_text(settings), weight_decay_text(settings),
      size.train, size.classes > 0 ? fmt::format(" of {} classes", size.classes) : "", size.test);
}

template <class T>
Footprint footprint_in(const Settings& settings, bool shared_problem) {
  const Description description = description_of(settings);
  const std::int64_t rows = Objective<T>::rows(settings, description);
  Footprint footprint = Objective<T>::footprint(settings, description, shared_problem);
  footprint.bytes_per_slot +=
      Net<T>::bytes_per_slot(description, rows) + WeightDecay<T>::bytes_per_slot(settings);
  footprint.shared_bytes += Net<T>::shared_bytes(description, rows);
  for (const GramRequest& request : gram_requests(settings, description, data_size(settings))) {
    footprint.bytes_per_slot +=
        Grams<T>::bytes_per_slot(description, request, rows, shared_problem);
    footprint.shared_bytes += Grams<T>::shared_bytes(description, request, rows, shared_problem);
  }
  const std::vector<CurvatureRequest> curvature =
      curvature_requests<Observed>(settings, description.parameters);
  if (!curvature.empty()) {
    footprint.bytes_per_slot += NetTangent<T>::bytes_per_slot(description, rows) +
                                CurvatureEnds<T>::bytes_per_slot(description.parameters, curvature);
  }
  Probes::add_bytes(
      settings,
      [&](const std::string& name) {
        return ProbeSettings{{settings, name}, description, data_size(settings)};
      },
      footprint);
  footprint.parameters = description.parameters;
  footprint.rows = rows;
  footprint.flops_per_step += weight_decay_flops(settings, description.parameters);
  return footprint;
}

Footprint footprint(const Settings& settings, bool shared_problem) {
  return settings.text("precision") == "f64" ? footprint_in<double>(settings, shared_problem)
                                             : footprint_in<float>(settings, shared_problem);
}

std::vector<std::int64_t> extents(const Settings& settings, const ProbeKind& kind) {
  const Description description = description_of(settings);
  return Probes::extents(settings, kind, [&](const std::string& name) {
    return ProbeSettings{{settings, name}, description, data_size(settings)};
  });
}

std::vector<ParameterArray> arrays(const Settings& settings) {
  const Description description = description_of(settings);
  std::vector<ParameterArray> all;
  for (std::size_t h = 0; h < description.weights.size(); ++h) {
    const Weight& w = description.weights[h];
    const std::string number = std::to_string(h + 1);
    if (!w.frozen) all.push_back({"W_" + number, {w.array_rows(), w.array_cols()}});
    if (w.bias) all.push_back({"b_" + number, {1, w.rows}});
  }
  return all;
}

std::span<const ProbeKind> probe_kinds() {
  static const std::vector<ProbeKind> kinds = Probes::kinds();
  return kinds;
}

std::vector<DrawnArray> drawn(const Settings& settings) {
  std::vector<DrawnArray> arrays = drawn_arrays(*data_of(settings));
  const Description description = description_of(settings);
  const Start begin = start(settings, description);
  for (std::size_t h = 0; h < description.weights.size(); ++h) {
    const Weight& w = description.weights[h];
    const auto from = (w.frozen ? begin.frozen : begin.parameters).begin() + w.offset;
    arrays.push_back({"W_" + std::to_string(h + 1),
                      fmt::format("{}{}", w.pattern ? "free parameters of " : "",
                                  w.frozen ? "a weight that is not trained" : "the initial weight"),
                      {.shape = {w.array_rows(), w.array_cols()},
                       .values = {from, from + w.size()},
                       .type = "f8"}});
  }
  arrays.push_back({"start",
                    "all initial parameters, W_1 first, each b_h after its W_h",
                    {.shape = {description.parameters}, .values = begin.parameters, .type = "f8"}});
  return arrays;
}

std::unique_ptr<Model> make(Executor& executor, const Settings& example, std::int64_t slots,
                            bool shared_problem, kernels::WorkSlots& work) {
  return make_model<NetworkModel>(executor, example, slots, shared_problem, work);
}

}  // namespace
}  // namespace network

const ModelKind& network_kind() {
  static const ModelKind kind{.names = network::model_names(),
                              .decays = true,
                              .add_keys = network::add_keys,
                              .probes = network::probe_kinds,
                              .validate = network::validate,
                              .shape_key = network::shape_key,
                              .problem_key = network::problem_key,
                              .check_problem = network::check_problem,
                              .footprint = network::footprint,
                              .extents = network::extents,
                              .make = network::make,
                              .arrays = network::arrays,
                              .drawn = network::drawn};
  return kind;
}

}  // namespace manyfold
