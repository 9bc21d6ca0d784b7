// Puts a data set together: inputs, what becomes of them, labels, targets.
#include "models/data/data_set.hpp"

#include <cmath>
#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <numeric>
#include <span>

#include <fmt/format.h>

#include "core/random/philox.hpp"
#include "models/data/examples.hpp"
#include "models/data/keys.hpp"
#include "models/data/normalize.hpp"
#include "models/data/recent.hpp"
#include "models/data/targets.hpp"

namespace manyfold {
namespace {

constexpr std::uint64_t stream_inputs = random_stream("data/inputs");
constexpr std::uint64_t stream_test_inputs = random_stream("data/test/inputs");

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

std::int64_t product(const std::vector<std::int64_t>& shape) {
  return std::accumulate(shape.begin(), shape.end(), std::int64_t{1}, std::multiplies<>());
}

std::int64_t test_count(const Settings& settings) {
  return settings.has("data.test_count") ? settings.integer("data.test_count") : 0;
}

// ---- drawn inputs

/// Entry j of input i is draw i * size + j.
std::vector<double> draw_inputs(const Settings& settings, std::int64_t count, std::int64_t size,
                                std::uint64_t stream) {
  const auto seed = static_cast<std::uint64_t>(settings.integer("problem.seed"));
  std::vector<double> inputs(at(count * size));
  for (std::size_t i = 0; i < inputs.size(); ++i) inputs[i] = normal_double(seed, stream, i);
  if (settings.text("data.source") == "gaussian") return inputs;
  for (std::int64_t i = 0; i < count; ++i) {  // no draw is 0, so no input is
    to_unit_norm(std::span(inputs).subspan(at(i * size), at(size)));
  }
  return inputs;
}

/// Turns the second of unit vectors to an angle from the first, in the plane of both.
void turn_second(std::vector<double>& inputs, std::size_t size, double angle) {
  const std::span<double> all(inputs);
  const std::span<const double> x = all.subspan(0, size);
  const std::span<double> y = all.subspan(size, size);
  double along = 0;
  for (std::size_t j = 0; j < size; ++j) along += x[j] * y[j];
  for (std::size_t j = 0; j < size; ++j) y[j] -= along * x[j];
  to_unit_norm(y);
  for (std::size_t j = 0; j < size; ++j) y[j] = std::cos(angle) * x[j] + std::sin(angle) * y[j];
}

Data drawn(const Settings& settings) {
  const std::int64_t outputs = settings.integer("data.outputs");
  Data data;
  for (DataSet* set : {&data.train, &data.test}) {
    set->shape = settings.integers("data.shape");
    set->outputs = outputs;
  }
  const std::int64_t size = data.train.size();
  data.train.inputs = draw_inputs(settings, settings.integer("data.count"), size, stream_inputs);
  if (settings.has("data.angle")) {
    turn_second(data.train.inputs, at(size), settings.number("data.angle"));
  }
  data.test.inputs = draw_inputs(settings, test_count(settings), size, stream_test_inputs);
  return data;
}

// ---- given inputs

void expect_finite(const Settings& settings, const std::string& key, const std::string& name,
                   const double* values, std::int64_t row, std::int64_t size) {
  for (std::int64_t j = 0; j < size; ++j) {
    if (std::isfinite(values[j])) continue;
    settings.reject(
        key,
        fmt::format("{} in {}, example {}, entry {} (counted from 0)", values[j], name, row, j),
        "finite numbers");
  }
}

/// Copies the rows out of a file's examples.
DataSet gathered(const Settings& settings, const Chosen& chosen, const Examples& examples,
                 const Rows& rows) {
  DataSet set;
  set.shape = examples.shape;
  if (has_classes(settings)) set.classes = static_cast<std::int64_t>(chosen.classes.size());
  set.outputs = output_count(settings, set.classes, examples.columns);
  const std::int64_t size = set.size();
  set.inputs.reserve(rows.size() * at(size));
  std::map<std::int64_t, std::int32_t> class_of;
  for (const std::int64_t label : chosen.classes) {
    class_of.emplace(label, static_cast<std::int32_t>(class_of.size()));
  }
  for (const std::int64_t row : rows) {
    const double* const x = examples.inputs + row * size;
    expect_finite(settings, examples.input_key, examples.name, x, row, size);
    for (std::int64_t j = 0; j < size; ++j) set.inputs.push_back(x[j] / examples.unit);
    const double* const label = examples.labels.data() + row * examples.columns;
    if (has_classes(settings)) {
      set.labels.push_back(class_of.at(static_cast<std::int64_t>(*label)));
    }
    if (settings.text("data.targets") == "values") {
      expect_finite(settings, examples.label_key, examples.label_name, label, row,
                    examples.columns);
      set.targets.insert(set.targets.end(), label, label + examples.columns);
    }
  }
  return set;
}

Data given(const Settings& settings) {
  const Chosen chosen = choose_examples(settings);
  Data data{.train = gathered(settings, chosen, chosen.train, chosen.train_rows),
            .test = gathered(settings, chosen, chosen.tests(), chosen.test_rows)};
  if (has_classes(settings)) randomize_labels(settings, data.train);
  return data;
}

DataShape shape_of_given(const Settings& settings) {
  const Chosen chosen = choose_examples(settings);
  const auto classes = has_classes(settings) ? static_cast<std::int64_t>(chosen.classes.size()) : 0;
  return {.input = chosen.train.shape,
          .outputs = output_count(settings, classes, chosen.train.columns),
          .classes = classes,
          .train = static_cast<std::int64_t>(chosen.train_rows.size()),
          .test = static_cast<std::int64_t>(chosen.test_rows.size())};
}

}  // namespace

std::int64_t DataSet::size() const { return product(shape); }

std::int64_t DataSet::count() const { return static_cast<std::int64_t>(inputs.size()) / size(); }

DataShape data_shape(const Settings& settings) {
  if (is_drawn(settings)) {
    return {.input = settings.integers("data.shape"),
            .outputs = settings.integer("data.outputs"),
            .classes = 0,
            .train = settings.integer("data.count"),
            .test = test_count(settings)};
  }
  static std::mutex mutex;
  static Recent<DataShape, 256> recent;
  const std::lock_guard lock(mutex);
  return *recent.get(data_files_key(settings),
                     [&] { return std::make_shared<const DataShape>(shape_of_given(settings)); });
}

Data make_data(const Settings& settings) {
  Data data = is_drawn(settings) ? drawn(settings) : given(settings);
  normalize(settings, data);
  add_targets(settings, data);
  return data;
}

}  // namespace manyfold
