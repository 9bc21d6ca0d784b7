// Networks as a kind of model: net, objective and observers of a family put together.
#include "models/network/network.hpp"

#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "core/executor/memory.hpp"
#include "kernels/norms.hpp"
#include "models/data/drawn_arrays.hpp"
#include "models/network/description.hpp"
#include "models/network/net.hpp"
#include "models/network/objective.hpp"
#include "models/network/probes.hpp"
#include "models/network/problem.hpp"
#include "models/network/start.hpp"

namespace manyfold {
namespace network {
namespace {

using kernels::MathMode;

template <class T>
class NetworkModel final : public Model {
 public:
  NetworkModel(Executor& executor, const Settings& example, std::int64_t slots, bool shared_problem)
      : NetworkModel(executor, example, description_of(example), slots, shared_problem) {}

  void load(std::span<const Settings> members) override {
    objective_.load(members);
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
    Scene<T> scene{net_, objective_};
    for (const auto& [name, observer] : observers_) observer->load(members, scene);
  }

  AnyParameters parameters() override { return net_.parameters(); }

  void evaluate(const kernels::StepControl& control, Wanted wanted) override {
    objective_.gradient(wanted.train_loss ? control.train_loss : nullptr);
    if (wanted.grad_norm2) {
      kernels::sum_of_squares<T>(executor_, {net_.parameters().gradient, control.grad_norm2, 1});
    }
  }

  void evaluate_stochastic(const kernels::StepControl& control,
                           const StochasticGradient& what) override {
    objective_.stochastic_gradient(control, what);
  }

  const std::int64_t* terms() override { return objective_.terms(); }

  void observe(const std::string& probe, double* out, std::int64_t stride) override {
    Scene<T> scene{net_, objective_};
    for (const auto& [name, observer] : observers_) {
      if (name == probe) return observer->observe(scene, out, stride);
    }
    throw std::logic_error("not a probe of this network: " + probe);
  }

  std::vector<StateArray> state() override {
    std::vector<StateArray> all;
    for (const auto& [name, observer] : observers_) {
      for (StateArray array : observer->state()) {
        array.name = name + "/" + array.name;
        all.push_back(std::move(array));
      }
    }
    return all;
  }

 private:
  NetworkModel(Executor& executor, const Settings& example, const Description& description,
               std::int64_t slots, bool shared_problem)
      : executor_(executor),
        net_(executor, description, slots, Objective<T>::rows(example, description),
             example.text("precision") == "tf32" ? MathMode::tf32 : MathMode::full),
        objective_(executor, example, net_, slots, shared_problem) {
    for (const auto& [probe, name] : requested_probes(example)) {
      const ObserverContext context{
          executor, {example, net_.description(), data_size(example), name}, slots};
      observers_.push_back({name, make_observer(*probe, context)});
    }
  }

  static void put(const std::vector<double>& from, std::vector<T>& to, std::size_t first) {
    for (std::size_t i = 0; i < from.size(); ++i) to[first + i] = static_cast<T>(from[i]);
  }
  static std::unique_ptr<Observer<T>> make_observer(const Probe& probe,
                                                    const ObserverContext& context) {
    if constexpr (std::is_same_v<T, float>) {
      return probe.make.f32(context);
    } else {
      return probe.make.f64(context);
    }
  }

  struct Named {
    std::string name;
    std::unique_ptr<Observer<T>> observer;
  };

  Executor& executor_;
  Net<T> net_;
  Objective<T> objective_;
  std::vector<Named> observers_;
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
  for (const auto& [probe, name] : requested_probes(settings)) {
    if (probe->validate == nullptr) continue;
    probe->validate({settings, description, data_size(settings), name});
  }
}

std::string shape_key(const Settings& settings) {
  const DataSize size = data_size(settings);
  return fmt::format("{}: {}, {} of {} examples{}, {} for tests", settings.text("model.kind"),
                     description_of(settings).text(), objective_text(settings), size.train,
                     size.classes > 0 ? fmt::format(" of {} classes", size.classes) : "",
                     size.test);
}

template <class T>
Footprint footprint_in(const Settings& settings, bool shared_problem) {
  const Description description = description_of(settings);
  const std::int64_t rows = Objective<T>::rows(settings, description);
  Footprint footprint = Objective<T>::footprint(settings, description, shared_problem);
  footprint.bytes_per_slot += Net<T>::bytes_per_slot(description, rows);
  footprint.shared_bytes += Net<T>::shared_bytes(description, rows);
  for (const auto& [probe, name] : requested_probes(settings)) {
    if (probe->bytes == nullptr) continue;
    const ObserverBytes bytes = probe->bytes({settings, description, data_size(settings), name});
    footprint.bytes_per_slot += bytes.per_slot;
    footprint.remembered_bytes += bytes.remembered;
  }
  footprint.parameters = description.parameters;
  return footprint;
}

Footprint footprint(const Settings& settings, bool shared_problem) {
  return settings.text("precision") == "f64" ? footprint_in<double>(settings, shared_problem)
                                             : footprint_in<float>(settings, shared_problem);
}

std::vector<std::int64_t> extents(const Settings& settings, const ProbeKind& kind) {
  for (const auto& [probe, name] : requested_probes(settings)) {
    if (name != kind.name || probe->extents == nullptr) continue;
    const Description description = description_of(settings);
    return probe->extents({settings, description, data_size(settings), name});
  }
  return {};
}

std::vector<ParameterArray> arrays(const Settings& settings) {
  const Description description = description_of(settings);
  std::vector<ParameterArray> all;
  for (std::size_t h = 0; h < description.weights.size(); ++h) {
    const Weight& w = description.weights[h];
    const std::string number = std::to_string(h + 1);
    if (!w.frozen) all.push_back({"W_" + number, {w.rows, w.cols}});
    if (w.bias) all.push_back({"b_" + number, {1, w.rows}});
  }
  return all;
}

std::span<const ProbeKind> probe_kinds() {
  static const std::vector<ProbeKind> kinds = [] {
    std::vector<ProbeKind> all;
    for (const Probe& probe : probes()) all.push_back(probe.kind);
    return all;
  }();
  return kinds;
}

std::vector<DrawnArray> drawn(const Settings& settings) {
  std::vector<DrawnArray> arrays = drawn_arrays(*data_of(settings));
  const Description description = description_of(settings);
  const Start begin = start(settings, description);
  for (std::size_t h = 0; h < description.weights.size(); ++h) {
    const Weight& w = description.weights[h];
    const auto from = (w.frozen ? begin.frozen : begin.parameters).begin() + w.offset;
    arrays.push_back(
        {"W_" + std::to_string(h + 1),
         w.frozen ? "a weight that is not trained" : "the initial weight",
         {.shape = {w.rows, w.cols}, .values = {from, from + w.size()}, .type = "f8"}});
  }
  arrays.push_back({"start",
                    "all initial parameters, W_1 first, each b_h after its W_h",
                    {.shape = {description.parameters}, .values = begin.parameters, .type = "f8"}});
  return arrays;
}

std::unique_ptr<Model> make(Executor& executor, const Settings& example, std::int64_t slots,
                            bool shared_problem, kernels::WorkSlots&) {
  if (example.text("precision") == "f64") {
    return std::make_unique<NetworkModel<double>>(executor, example, slots, shared_problem);
  }
  return std::make_unique<NetworkModel<float>>(executor, example, slots, shared_problem);
}

}  // namespace
}  // namespace network

const ModelKind& network_kind() {
  static const ModelKind kind{.names = network::model_names(),
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
