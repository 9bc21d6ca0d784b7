// Loads examples: your own files, the folder of an MNIST-like data set, the program's digits.
#include "models/data/examples.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <filesystem>
#include <functional>
#include <limits>
#include <memory>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "core/data/digits.hpp"
#include "core/error.hpp"
#include "core/random/shuffle.hpp"
#include "models/data/array_keys.hpp"
#include "models/data/keys.hpp"

namespace manyfold {
namespace {

namespace fs = std::filesystem;
using Sizes = std::vector<std::int64_t>;

constexpr const char* fashion_mnist_folder = "/usr/share/datasets/fashion-mnist";
constexpr const char* fashion_mnist_package = "dataset-fashion-mnist";
constexpr double brightest = 255;

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

std::int64_t product(const Sizes& shape) {
  return std::accumulate(shape.begin(), shape.end(), std::int64_t{1}, std::multiplies<>());
}

std::string shape_text(const Sizes& shape) { return Array{.shape = shape}.shape_text(); }

/// Shape of one input of an array of them.
Sizes input_shape(const Settings& settings, const std::string& key, const Array& array) {
  const std::string found = "an array of shape " + array.shape_text();
  if (array.shape.empty() || array.values.empty()) {
    settings.reject(key, found, "at least one example, counted by the first dimension");
  }
  Sizes shape(array.shape.begin() + 1, array.shape.end());
  if (settings.has("data.shape")) {
    Sizes wanted = settings.integers("data.shape");
    if (product(wanted) != product(shape)) {
      settings.reject("data.shape", shape_text(wanted) + " for " + found,
                      fmt::format("a shape of {} numbers", product(shape)));
    }
    return wanted;
  }
  if (shape.size() > 3) {
    settings.reject(key, found,
                    "(example, ...) with at most three dimensions beside, or data.shape");
  }
  if (shape.empty()) return {1};
  if (shape.size() == 2) shape.insert(shape.begin(), 1);  // (height, width): one channel
  return shape;
}

void add_inputs(const Settings& settings, const std::string& key,
                std::shared_ptr<const Array> array, Examples& examples) {
  examples.input_key = key;
  examples.shape = input_shape(settings, key, *array);
  examples.count = array->shape.front();
  examples.inputs = array->values.data();
  examples.held = std::move(array);
}

/// One label an example, or of values a row of them.
void add_labels(const Settings& settings, const std::string& key, const std::string& name,
                const Array& array, Examples& examples) {
  examples.label_name = name;
  examples.label_key = key;
  const auto long_ones =
      std::count_if(array.shape.begin(), array.shape.end(), [](auto n) { return n != 1; });
  const auto count = static_cast<std::int64_t>(array.values.size());
  const bool of_values = settings.text("data.targets") == "values" && array.shape.size() == 2;
  if (long_ones > 1 && !of_values) {
    settings.reject(
        key, name + " with an array of shape " + array.shape_text(),
        fmt::format("{} labels, one for each input of {}", examples.count, examples.name));
  }
  const std::int64_t rows = of_values && count > 0 ? array.shape.front() : count;
  if (rows != examples.count) {
    settings.reject(key, fmt::format("{} labels in {}", rows, name),
                    fmt::format("{}, one for each input of {}", examples.count, examples.name));
  }
  examples.labels = array.values;
  examples.columns = count / rows;
}

// ---- your own files

Examples from_files(const Settings& settings, const std::string& inputs,
                    const std::string& labels) {
  Examples examples;
  examples.name = settings.text(inputs + ".path");
  add_inputs(settings, inputs + ".path", array_of(settings, inputs), examples);
  if (settings.text("data.normalize") == "bytes") examples.unit = brightest;
  if (uses_labels(settings)) {
    add_labels(settings, labels + ".path", settings.text(labels + ".path"),
               *array_of(settings, labels), examples);
  }
  return examples;
}

// ---- data sets like MNIST

/// A file of the folder, under any of the names that it goes by.
fs::path file_of(const Settings& settings, const fs::path& folder, const std::string& name) {
  std::string dotted = name;  // train-images.idx3-ubyte
  dotted.replace(dotted.rfind("-idx"), 1, ".");
  for (const std::string& candidate : {name + ".gz", name, dotted, dotted + ".gz"}) {
    std::error_code ignored;
    if (fs::exists(folder / candidate, ignored)) return folder / candidate;
  }
  const std::string found = fmt::format("no {} or {}.gz in {}", name, name, folder.string());
  if (settings.has("data.path")) {
    settings.reject("data.path", found, "a folder with the four files of the data set");
  }
  settings.reject("data.source", "\"fashion_mnist\" with " + found,
                  fmt::format("Debian's package {0} (apt-get install {0}), or data.path with the "
                              "folder of its files",
                              fashion_mnist_package));
}

Examples from_folder(const Settings& settings, const std::string& part) {
  const std::string key = settings.has("data.path") ? "data.path" : "data.source";
  const fs::path folder =
      settings.has("data.path") ? settings.text("data.path") : fashion_mnist_folder;
  const auto read = [&](const fs::path& file) {
    try {
      return read_once(file.string());
    } catch (const InputError& error) {
      throw InputError(settings.location(key).text() + ": " + key + ": " + error.what());
    }
  };
  const fs::path inputs = file_of(settings, folder, part + "-images-idx3-ubyte");
  const fs::path labels = file_of(settings, folder, part + "-labels-idx1-ubyte");
  Examples examples{.name = inputs.string(), .unit = brightest};
  add_inputs(settings, key, read(inputs), examples);
  if (uses_labels(settings)) {
    add_labels(settings, key, labels.string(), *read(labels), examples);
  }
  return examples;
}

// ---- the program's digits

Examples from_digits() {
  const Digits& all = digits();
  return {.name = "the digits",
          .input_key = "data.source",
          .label_key = "data.source",
          .shape = {1, 8, 8},
          .count = all.count(),
          .inputs = all.images.data(),
          .labels = {all.labels.begin(), all.labels.end()},
          .columns = 1};
}

// ---- which of them

void expect_whole_labels(const Settings& settings, const Examples& examples) {
  constexpr double most = std::numeric_limits<std::int32_t>::max();
  for (std::size_t i = 0; i < examples.labels.size(); ++i) {
    const double label = examples.labels[i];
    if (label == std::floor(label) && std::abs(label) <= most) continue;
    settings.reject(examples.label_key,
                    fmt::format("the label {} of example {} (counted from 0)", label, i),
                    "whole numbers, one for each class");
  }
}

std::string listed(const Sizes& numbers) {
  constexpr std::size_t most = 20;
  std::string text;
  for (std::size_t i = 0; i < std::min(numbers.size(), most); ++i) {
    text += fmt::format("{}{}", i == 0 ? "" : ", ", numbers[i]);
  }
  return text + (numbers.size() > most ? ", ..." : "");
}

/// Labels of the training examples, ascending, or those of them that data.classes names.
Sizes choose_classes(const Settings& settings, const Examples& train) {
  Sizes all;
  for (const double label : train.labels) all.push_back(static_cast<std::int64_t>(label));
  std::sort(all.begin(), all.end());
  all.erase(std::unique(all.begin(), all.end()), all.end());
  if (!settings.has("data.classes")) return all;
  Sizes wanted = settings.integers("data.classes");
  for (const std::int64_t one : wanted) {
    if (std::binary_search(all.begin(), all.end(), one)) continue;
    settings.reject("data.classes", std::to_string(one),
                    "classes of " + train.name + ": " + listed(all));
  }
  return wanted;
}

/// Examples of these classes. Others may be there only where data.classes leaves them out.
Rows rows_of(const Settings& settings, const Examples& examples, const Sizes& classes) {
  Rows rows;
  Sizes sorted = classes;
  std::sort(sorted.begin(), sorted.end());
  for (std::int64_t i = 0; i < examples.count; ++i) {
    const bool taken =
        classes.empty() || std::binary_search(sorted.begin(), sorted.end(),
                                              static_cast<std::int64_t>(examples.labels[at(i)]));
    if (taken) {
      rows.push_back(i);
    } else if (!settings.has("data.classes")) {
      settings.reject(
          examples.label_key,
          fmt::format("the label {} of example {} (counted from 0)", examples.labels[at(i)], i),
          "labels of training examples only: " + listed(classes));
    }
  }
  return rows;
}

void put_in_order(const Settings& settings, const char* stream, Rows& rows) {
  if (settings.text("data.subset") != "random") return;
  const auto seed = static_cast<std::uint64_t>(settings.integer("problem.seed"));
  const auto count = static_cast<std::int64_t>(rows.size());
  Rows ordered;
  for (const std::int64_t i : shuffled(count, count, seed, random_stream(stream))) {
    ordered.push_back(rows[at(i)]);
  }
  rows = std::move(ordered);
}

/// The first `key` rows, at most and by default all.
void cut(const Settings& settings, const char* key, Rows& rows, const std::string& which = "") {
  const auto available = static_cast<std::int64_t>(rows.size());
  const std::int64_t count = settings.has(key) ? settings.integer(key) : available;
  if (count > available) {
    settings.reject(key, std::to_string(count),
                    fmt::format("at most the {} examples that there are{}", available, which));
  }
  rows.resize(at(count));
}

/// Tests out of the training examples: the last ones, which stay where data.count changes.
Rows split_off(const Settings& settings, Rows& rows) {
  const std::int64_t count =
      settings.has("data.test_count") ? settings.integer("data.test_count") : 0;
  const auto available = static_cast<std::int64_t>(rows.size());
  if (count >= available) {
    settings.reject("data.test_count", std::to_string(count),
                    fmt::format("less than the {} examples that there are in all", available));
  }
  Rows split(rows.end() - count, rows.end());
  rows.resize(at(available - count));
  return split;
}

void expect_alike(const Settings& settings, const Examples& train, const Examples& test) {
  if (test.shape != train.shape) {
    settings.reject(test.input_key, test.name + " with inputs of shape " + shape_text(test.shape),
                    shape_text(train.shape) + " as in " + train.name);
  }
  if (test.columns != train.columns) {
    settings.reject(test.label_key, fmt::format("{} values an example", test.columns),
                    fmt::format("{} as for training", train.columns));
  }
}

Chosen load(const Settings& settings) {
  const std::string& source = settings.text("data.source");
  const bool tests = !settings.has("data.test_count") || settings.integer("data.test_count") > 0;
  Chosen chosen;
  if (source == "digits") {
    chosen.train = from_digits();
  } else if (source == "file") {
    chosen.train = from_files(settings, "data.inputs", "data.labels");
    if (tests && settings.has("data.test_inputs.path")) {
      chosen.test = from_files(settings, "data.test_inputs", "data.test_labels");
    }
  } else {
    chosen.train = from_folder(settings, "train");
    if (tests) chosen.test = from_folder(settings, "t10k");
  }
  if (chosen.test) expect_alike(settings, chosen.train, *chosen.test);
  return chosen;
}

}  // namespace

Chosen choose_examples(const Settings& settings) {
  Chosen chosen = load(settings);
  if (has_classes(settings) || settings.has("data.classes")) {
    expect_whole_labels(settings, chosen.train);
    if (chosen.test) expect_whole_labels(settings, *chosen.test);
    chosen.classes = choose_classes(settings, chosen.train);
  }
  chosen.train_rows = rows_of(settings, chosen.train, chosen.classes);
  put_in_order(settings, "data/subset", chosen.train_rows);
  if (chosen.test) {
    chosen.test_rows = rows_of(settings, *chosen.test, chosen.classes);
    put_in_order(settings, "data/test/subset", chosen.test_rows);
    cut(settings, "data.test_count", chosen.test_rows);
  } else {
    chosen.test_rows = split_off(settings, chosen.train_rows);
  }
  cut(settings, "data.count", chosen.train_rows,
      chosen.test || chosen.test_rows.empty() ? "" : " beside those to test on");
  return chosen;
}

}  // namespace manyfold
