// Targets from classes, from draws, and from a teacher net.
#include "models/data/targets.hpp"

#include <algorithm>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "core/random/philox.hpp"
#include "models/data/keys.hpp"

namespace manyfold {
namespace {

constexpr std::uint64_t stream_labels = random_stream("data/random_labels");
constexpr std::uint64_t stream_targets = random_stream("data/targets");
constexpr std::uint64_t stream_test_targets = random_stream("data/test/targets");

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

std::uint64_t seed_of_problem(const Settings& settings) {
  return static_cast<std::uint64_t>(settings.integer("problem.seed"));
}

/// The target of each class, where it is one number.
std::vector<double> class_values(const Settings& settings, std::int64_t classes) {
  const std::string& kind = settings.text("data.targets");
  std::vector<double> values;
  if (kind == "index") {
    for (std::int64_t c = 0; c < classes; ++c) values.push_back(static_cast<double>(c));
  }
  if (kind == "sign") {
    values = {-1, 1};
    if (classes != 2) {
      settings.reject("data.targets", fmt::format("\"sign\" for {} classes", classes),
                      "two classes: data.classes picks them");
    }
  }
  if (kind == "map") {
    values = settings.numbers("data.label_map");
    if (static_cast<std::int64_t>(values.size()) != classes) {
      settings.reject("data.label_map", fmt::format("{} values", values.size()),
                      fmt::format("{}, one for each class", classes));
    }
  }
  return values;
}

void targets_of_classes(const Settings& settings, DataSet& set) {
  if (settings.text("data.targets") == "one_hot") {
    const std::size_t classes = at(set.classes);
    set.targets.assign(set.labels.size() * classes, 0.0);
    for (std::size_t i = 0; i < set.labels.size(); ++i) {
      set.targets[i * classes + at(set.labels[i])] = 1;
    }
    return;
  }
  const std::vector<double> values = class_values(settings, set.classes);
  for (const std::int32_t label : set.labels) set.targets.push_back(values[at(label)]);
}

void random_targets(const Settings& settings, std::uint64_t stream, DataSet& set) {
  const std::uint64_t seed = seed_of_problem(settings);
  const bool signs = settings.text("data.targets") == "random_sign";
  set.targets.resize(at(set.count() * set.outputs));
  for (std::size_t i = 0; i < set.targets.size(); ++i) {
    set.targets[i] =
        signs ? (uniform_double(seed, stream, i) < 0.5 ? -1 : 1) : normal_double(seed, stream, i);
  }
}

/// f(x) = W_L a(... a(W_1 x)) with Gaussian weights, entry (i, j) of W_h being draw i * cols + j.
class Teacher {
 public:
  Teacher(const Settings& settings, std::int64_t inputs, std::int64_t outputs)
      : relu_(settings.text("data.teacher.activation") == "relu"), sizes_{inputs} {
    if (settings.has("data.teacher.hidden")) {
      for (const std::int64_t width : settings.integers("data.teacher.hidden")) {
        sizes_.push_back(width);
      }
    }
    sizes_.push_back(outputs);
    const std::vector<double> stddev = settings.numbers("data.teacher.stddev");
    const std::uint64_t seed = seed_of_problem(settings);
    for (std::size_t h = 1; h < sizes_.size(); ++h) {
      const std::uint64_t stream = random_stream("data/teacher/W/" + std::to_string(h));
      const std::int64_t rows = sizes_[h];
      const std::int64_t cols = sizes_[h - 1];
      std::vector<double>& transposed = weights_.emplace_back(at(rows * cols));
      for (std::int64_t i = 0; i < rows; ++i) {
        for (std::int64_t j = 0; j < cols; ++j) {
          transposed[at(j * rows + i)] =
              stddev[stddev.size() == 1 ? 0 : h - 1] *
              normal_double(seed, stream, static_cast<std::uint64_t>(i * cols + j));
        }
      }
    }
  }

  /// Every sum in one order, so that it has the same bits on every machine: no BLAS.
  std::vector<double> of(const double* input) const {
    std::vector<double> x(input, input + sizes_.front());
    for (std::size_t h = 1; h < sizes_.size(); ++h) {
      std::vector<double> y(at(sizes_[h]), 0.0);
      const double* row = weights_[h - 1].data();
      for (const double entry : x) {
        for (double& sum : y) sum += entry * *row++;
      }
      if (relu_ && h + 1 < sizes_.size()) {
        for (double& z : y) z = std::max(z, 0.0);
      }
      x = std::move(y);
    }
    return x;
  }

 private:
  bool relu_;
  std::vector<std::int64_t> sizes_;
  std::vector<std::vector<double>> weights_;  ///< W_h^T
};

}  // namespace

std::int64_t output_count(const Settings& settings, std::int64_t classes, std::int64_t columns) {
  const std::string& kind = settings.text("data.targets");
  if (kind == "one_hot") return classes;
  if (kind == "values") return columns;
  return has_classes(settings) ? 1 : settings.integer("data.outputs");
}

void randomize_labels(const Settings& settings, DataSet& set) {
  const double share = settings.number("data.random_labels");
  const std::uint64_t seed = seed_of_problem(settings);
  for (std::size_t i = 0; i < set.labels.size(); ++i) {  // two draws each: whether, and which
    if (uniform_double(seed, stream_labels, 2 * i) >= share) continue;
    const double u = uniform_double(seed, stream_labels, 2 * i + 1);
    set.labels[i] = static_cast<std::int32_t>(
        std::min(set.classes - 1, static_cast<std::int64_t>(u * static_cast<double>(set.classes))));
  }
}

void add_targets(const Settings& settings, Data& data) {
  const std::string& kind = settings.text("data.targets");
  if (has_classes(settings)) {
    targets_of_classes(settings, data.train);
    targets_of_classes(settings, data.test);
  } else if (kind == "teacher") {
    const Teacher teacher(settings, data.train.size(), data.train.outputs);
    for (DataSet* set : {&data.train, &data.test}) {
      for (std::int64_t i = 0; i < set->count(); ++i) {
        const std::vector<double> y = teacher.of(set->inputs.data() + i * set->size());
        set->targets.insert(set->targets.end(), y.begin(), y.end());
      }
    }
  } else if (kind != "values") {
    random_targets(settings, stream_targets, data.train);
    random_targets(settings, stream_test_targets, data.test);
  }
}

}  // namespace manyfold
