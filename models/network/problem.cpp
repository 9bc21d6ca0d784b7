// Data of networks, and the choice of their loss.
#include "models/network/problem.hpp"

#include <mutex>

#include <fmt/format.h>

#include "models/data/recent.hpp"

namespace manyfold::network {
namespace {

using kernels::Loss;

}  // namespace

void add_problem_keys(Spec& spec) {
  add_data_keys(spec, for_networks());
  spec.add({.path = "objective.loss",
            .type = Type::text,
            .doc = "Of an example with outputs f: squared: 1/2 ||f - y||^2; cross_entropy: "
                   "-log softmax(f)_label; logistic: log(1 + exp(-y f)) of one output, y = 1 for "
                   "label 1 and -1 for label 0.",
            .default_value = "squared",
            .choices = {"squared", "cross_entropy", "logistic"},
            .when = for_networks()});
  spec.add({.path = "objective.reduction",
            .type = Type::text,
            .doc = "The train loss is the sum of the examples' losses, or their mean.",
            .default_value = "sum",
            .choices = {"sum", "mean"},
            .when = for_networks()});
  spec.add({.path = "objective.rows",
            .type = Type::integer,
            .doc = "Examples that are evaluated at once; more of them take more memory. By default "
                   "as many as fit 256 MiB a member.",
            .min = 1,
            .max = 1e9,
            .when = for_networks()});
}

DataSize data_size(const Settings& settings) {
  const DataShape shape = data_shape(settings);
  const bool targets = loss_of(settings) == Loss::squared || shape.classes == 0;
  return {
      shape_of_data(shape.input), shape.outputs, shape.train, shape.test, shape.classes, targets};
}

std::shared_ptr<const Data> data_of(const Settings& settings) {
  static std::mutex mutex;
  static Recent<Data, 1> last;
  const std::lock_guard lock(mutex);
  return last.get(data_key(settings),
                  [&] { return std::make_shared<const Data>(make_data(settings)); });
}

std::string problem_key(const Settings& settings) { return data_key(settings); }

void validate_problem(const Settings& settings) {
  validate_data(settings);
  const DataSize size = data_size(settings);
  const Loss loss = loss_of(settings);
  const auto reject = [&](const std::string& data, const std::string& expected) {
    settings.reject("objective.loss",
                    fmt::format("\"{}\" with {}", settings.text("objective.loss"), data), expected);
  };
  if (loss == Loss::cross_entropy && size.classes == 0) {
    reject("data that have no labels", "data of classes");
  }
  if (loss == Loss::cross_entropy && size.classes > size.outputs) {
    reject(fmt::format("{} classes and {} outputs", size.classes, size.outputs),
           "an output for each class: data.targets = \"one_hot\"");
  }
  if (loss == Loss::logistic && size.outputs != 1) {
    reject(fmt::format("{} outputs", size.outputs), "data of one output: data.targets = \"sign\"");
  }
  if (loss == Loss::logistic && size.classes > 2) {
    reject(fmt::format("{} classes", size.classes), "two classes");
  }
}

void check_problem(const Settings& settings) {
  const std::shared_ptr<const Data> data = data_of(settings);
  if (loss_of(settings) != Loss::logistic || data->train.classes > 0) return;
  for (const DataSet* set : {&data->train, &data->test}) {
    for (const double y : set->targets) {
      if (y == 1 || y == -1) continue;
      settings.reject("objective.loss", fmt::format("\"logistic\" with a target of {}", y),
                      "targets of 1 and -1");
    }
  }
}

Description description_of(const Settings& settings) {
  const DataSize size = data_size(settings);
  return describe(settings, size.input, size.outputs);
}

Loss loss_of(const Settings& settings) {
  const std::string& loss = settings.text("objective.loss");
  if (loss == "cross_entropy") return Loss::cross_entropy;
  if (loss == "logistic") return Loss::logistic;
  return Loss::squared;
}

double term_weight(const Settings& settings, std::int64_t examples) {
  if (settings.text("objective.reduction") == "sum") return 1;
  return 1 / static_cast<double>(examples);
}

std::string objective_text(const Settings& settings) {
  std::string text = settings.text("objective.loss");
  if (settings.text("objective.reduction") == "mean") text += ", mean";
  if (settings.has("objective.rows")) {
    text += fmt::format(", {} at once", settings.integer("objective.rows"));
  }
  return text;
}

}  // namespace manyfold::network
