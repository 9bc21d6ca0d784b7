// One model with every slot's parameters in the test's hands.
#pragma once

#include <cmath>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "core/executor/memory.hpp"
#include "models/training/control_block.hpp"
#include "models/training/model.hpp"
#include "tests/models/run.hpp"

namespace manyfold::testing {

class Bench {
 public:
  /// `slots` copies of the experiment's first member, which share its problem.
  Bench(Executor& executor, const std::string& toml, std::int64_t slots)
      : Bench(executor, Experiment::parse(toml, "test.toml", {}, experiment_spec()), slots, true) {}
  /// Member i (the first, where there are fewer) in slot i.
  Bench(Executor& executor, const Experiment& experiment, std::int64_t slots, bool shared_problem)
      : executor_(executor),
        experiment_(experiment),
        slots_(slots),
        control_(executor, slots),
        work_(executor, slots, slots) {
    std::vector<Settings> members;
    for (std::int64_t slot = 0; slot < slots; ++slot) {
      members.push_back(experiment_.member(slot < experiment_.members() ? slot : 0));
    }
    const ModelKind& kind = model_kind(members.front());
    for (const Settings& member : members) kind.validate(member);
    footprint_ = kind.footprint(members.front(), shared_problem);
    const std::size_t before = executor.allocated();
    model_ = kind.make(executor, members.front(), slots, shared_problem, work_);
    allocated_ = executor.allocated() - before;
    control_.load(members);
    model_->load(members);
  }

  Model& model() { return *model_; }
  std::int64_t slots() const { return slots_; }
  kernels::StepControl control() const { return control_.control(); }
  Settings settings(std::int64_t member = 0) const { return experiment_.member(member); }
  const Footprint& footprint() const { return footprint_; }
  std::size_t allocated() const { return allocated_; }  ///< by the model

  std::vector<double> parameters(std::int64_t slot) {
    return std::visit([&](const auto& p) { return read(p.values, slot); }, model_->parameters());
  }
  std::vector<double> gradient(std::int64_t slot) {
    return std::visit([&](const auto& p) { return read(p.gradient, slot); }, model_->parameters());
  }
  void set_parameters(std::int64_t slot, const std::vector<double>& values) {
    std::visit(
        [&]<class T>(const Parameters<T>& p) {
          const std::vector<T> narrow(values.begin(), values.end());
          executor_.copy_in(p.values.slot(slot), narrow.data(), narrow.size() * sizeof(T));
        },
        model_->parameters());
  }
  void evaluate() { model_->evaluate(control(), {true, true}); }
  void evaluate_stochastic(const StochasticGradient& what) {
    model_->evaluate_stochastic(control(), what);
  }
  double loss(std::int64_t slot) { return one(control().train_loss + slot); }
  double gradient_norm2(std::int64_t slot) { return one(control().grad_norm2 + slot); }
  std::int64_t terms(std::int64_t slot) { return one(model_->terms() + slot); }
  void set_step(std::int64_t slot, std::int64_t step) {
    executor_.copy_in(control().step + slot, &step, sizeof step);
  }

 private:
  template <class T>
  std::vector<double> read(const VectorBatch<T>& vectors, std::int64_t slot) {
    std::vector<T> host(static_cast<std::size_t>(vectors.count));
    executor_.copy_out(host.data(), vectors.slot(slot), host.size() * sizeof(T));
    return {host.begin(), host.end()};
  }
  template <class T>
  T one(const T* from) {
    T value{};
    executor_.copy_out(&value, from, sizeof value);
    return value;
  }

  Executor& executor_;
  Experiment experiment_;
  std::int64_t slots_;
  ControlBlock control_;
  Footprint footprint_;
  std::size_t allocated_ = 0;
  kernels::WorkSlots work_;
  std::unique_ptr<Model> model_;
};

inline double norm_of(const std::vector<double>& x) {
  double square = 0;
  for (const double one : x) square += one * one;
  return std::sqrt(square);
}

inline double distance(const std::vector<double>& a, const std::vector<double>& b) {
  if (a.size() != b.size()) return std::numeric_limits<double>::infinity();
  double square = 0;
  for (std::size_t i = 0; i < a.size(); ++i) square += (a[i] - b[i]) * (a[i] - b[i]);
  return std::sqrt(square);
}

/// A gradient beside central differences of `factor` times the loss, of which it should be one.
struct CentralDifferences {
  double distance = 0;        ///< of the two, over the gradient's norm
  double norm2 = 0;           ///< squared norm of the gradient, added up here
  double reported_norm2 = 0;  ///< and as the model tells it
};
inline CentralDifferences central_differences(Executor& device, const std::string& toml,
                                              double factor = 1) {
  const auto count = static_cast<std::int64_t>(Bench(device, toml, 1).parameters(0).size());
  // Slot 0 holds the point itself, slots 2i+1 and 2i+2 its neighbours along parameter i.
  Bench bench(device, toml, 2 * count + 1);
  const std::vector<double> point = bench.parameters(0);
  constexpr double h = 1e-5;
  for (std::int64_t i = 0; i < count; ++i) {
    for (const int side : {-1, 1}) {
      std::vector<double> moved = point;
      moved[static_cast<std::size_t>(i)] += side * h;
      bench.set_parameters(2 * i + (side < 0 ? 1 : 2), moved);
    }
  }
  bench.evaluate();
  const std::vector<double> gradient = bench.gradient(0);
  CentralDifferences found;
  double difference2 = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    const double central = factor * (bench.loss(2 * i + 2) - bench.loss(2 * i + 1)) / (2 * h);
    const double g = gradient[static_cast<std::size_t>(i)];
    difference2 += (central - g) * (central - g);
    found.norm2 += g * g;
  }
  found.distance = std::sqrt(difference2 / found.norm2);
  found.reported_norm2 = bench.gradient_norm2(0);
  return found;
}

}  // namespace manyfold::testing
