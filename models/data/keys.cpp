// The keys data.*, and what they show without any data.
#include "models/data/keys.hpp"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "models/data/array_keys.hpp"
#include "models/data/data_set.hpp"
#include "models/data/recent.hpp"

namespace manyfold {
namespace {

using Conditions = std::vector<Condition>;

constexpr double most_examples = 1e9;
constexpr double largest_size = 1e6;

const std::vector<std::string> drawn_sources{"sphere", "gaussian"};
const std::vector<std::string> given_sources{"file", "digits", "mnist", "fashion_mnist"};
const std::vector<std::string> of_classes{"one_hot", "index", "sign", "map"};
const std::vector<std::string> of_no_classes{"values", "teacher", "random_normal", "random_sign"};

std::vector<std::string> joined(std::vector<std::string> first,
                                const std::vector<std::string>& second) {
  first.insert(first.end(), second.begin(), second.end());
  return first;
}

bool is_among(const std::vector<std::string>& words, const std::string& word) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

/// Adds keys under conditions of their own beside those of all.
class Keys {
 public:
  Keys(Spec& spec, const Conditions& when) : spec_(spec), when_(when) {}

  Conditions when(const std::string& key, std::vector<std::string> values) const {
    Conditions all = when_;
    all.push_back({key, std::move(values)});
    return all;
  }
  void add(KeySpec key, const std::string& of = "", std::vector<std::string> values = {}) {
    key.when = of.empty() ? when_ : when(of, std::move(values));
    spec_.add(std::move(key));
  }
  void add_file(const std::string& table, const std::string& what, bool required) {
    add_array_keys(spec_, table, what, when("data.source", {"file"}), required);
  }

 private:
  Spec& spec_;
  const Conditions& when_;
};

void add_source_keys(Keys& keys) {
  keys.add({.path = "data.source",
            .type = Type::text,
            .doc = "sphere: inputs uniform on the unit sphere; gaussian: N(0, 1) entries; digits: "
                   "1797 real images of handwritten digits, 8x8, which the program has; "
                   "fashion_mnist: 60,000 and 10,000 images of clothes, 28x28, of Debian's package "
                   "dataset-fashion-mnist; mnist: four files as MNIST's in a folder; file: your "
                   "own. Grey values of the images are from 0 to 1.",
            .required = true,
            .choices = joined(given_sources, drawn_sources)});
  keys.add({.path = "data.shape",
            .type = Type::integer | Type::integers,
            .doc = "Shape of one input: its length, [channels, length] or [channels, height, "
                   "width]. Needed where inputs are drawn. For a file by default what it has "
                   "beside the examples, which come first; (height, width) is one channel.",
            .min = 1,
            .max = largest_size},
           "data.source", joined({"file"}, drawn_sources));
  keys.add({.path = "data.angle",
            .type = Type::number,
            .doc = "Angle, in radians, of the second training input from the first: it is turned "
                   "toward or away from it in their plane. Least eigenvalues of Gram matrices "
                   "depend on the closest pair.",
            .min = 0,
            .max = 3.14159265358979,
            .min_exclusive = true},
           "data.source", {"sphere"});
  keys.add_file("data.inputs", "the inputs, one example after another", true);
  keys.add_file("data.labels", "a label for each input, or its targets (data.targets = \"values\")",
                false);
  keys.add_file("data.test_inputs", "inputs to test on", false);
  keys.add_file("data.test_labels", "their labels", false);
  keys.add({.path = "data.path",
            .type = Type::text,
            .doc = "Folder with train-images-idx3-ubyte, train-labels-idx1-ubyte, "
                   "t10k-images-idx3-ubyte, t10k-labels-idx1-ubyte, or the same with .gz. For "
                   "fashion_mnist by default that of Debian's package.",
            .is_path = true},
           "data.source", {"mnist", "fashion_mnist"});
}

void add_choice_keys(Keys& keys) {
  keys.add({.path = "data.count",
            .type = Type::integer,
            .doc = "Examples to train on. Needed where inputs are drawn; else by default all.",
            .min = 1,
            .max = most_examples});
  keys.add({.path = "data.test_count",
            .type = Type::integer,
            .doc = "Examples to test on. By default all of the files for tests; where there are "
                   "none, 0: more are taken from the end of the others, or drawn.",
            .min = 0,
            .max = most_examples});
  keys.add({.path = "data.subset",
            .type = Type::text,
            .doc = "first: examples in the order of their files; random: in an order drawn by "
                   "problem.seed.",
            .default_value = std::string("first"),
            .choices = {"first", "random"}},
           "data.source", given_sources);
  keys.add({.path = "data.classes",
            .type = Type::integer | Type::integers,
            .doc = "Keeps the examples of these classes only; the first becomes class 0. By "
                   "default all classes, ascending.",
            .min = -2147483648.0,
            .max = 2147483647.0},
           "data.source", given_sources);
  keys.add({.path = "data.normalize",
            .type = Type::text,
            .doc = "What becomes of inputs. unit_norm: each is divided by its norm; standardize: "
                   "each entry has mean 0 and variance 1 over the training set (test inputs are "
                   "shifted and scaled alike; entries that never vary become 0); bytes: divided "
                   "by 255, for files.",
            .default_value = std::string("none"),
            .choices = {"none", "unit_norm", "standardize", "bytes"}});
}

void add_target_keys(Keys& keys) {
  keys.add({.path = "data.targets",
            .type = Type::text,
            .doc = "one_hot: 1 for the class of an example, 0 for the others; index: the class as "
                   "a number from 0; sign: -1 and 1, for two classes; map: data.label_map; "
                   "values: what the file of labels has; teacher: what a random net makes of the "
                   "input; random_normal: N(0, 1); random_sign: -1 or 1.",
            .default_value = std::string("one_hot"),
            .choices = joined(of_classes, of_no_classes)});
  keys.add({.path = "data.label_map",
            .type = Type::number | Type::numbers,
            .doc = "The target of each class.",
            .required = true},
           "data.targets", {"map"});
  keys.add({.path = "data.random_labels",
            .type = Type::number,
            .doc = "Probability with which the label of a training example is replaced by one "
                   "drawn from all classes.",
            .default_value = 0.0,
            .min = 0,
            .max = 1},
           "data.targets", of_classes);
  keys.add({.path = "data.outputs",
            .type = Type::integer,
            .doc = "Targets of an example.",
            .default_value = std::int64_t{1},
            .min = 1,
            .max = largest_size},
           "data.targets", {"teacher", "random_normal", "random_sign"});
  keys.add({.path = "data.teacher.hidden",
            .type = Type::integer | Type::integers,
            .doc = "Widths of the teacher's hidden layers, from the input. By default it has none.",
            .min = 1,
            .max = largest_size},
           "data.targets", {"teacher"});
  keys.add({.path = "data.teacher.activation",
            .type = Type::text,
            .doc = "Activation of the teacher's hidden layers.",
            .default_value = std::string("relu"),
            .choices = {"relu", "linear"}},
           "data.targets", {"teacher"});
  keys.add({.path = "data.teacher.stddev",
            .type = Type::number | Type::numbers,
            .doc = "Standard deviation of the teacher's weights, which are Gaussian: one for all "
                   "layers, or one each, from the input.",
            .required = true,
            .min = 0,
            .min_exclusive = true},
           "data.targets", {"teacher"});
}

/// The keys in a spec of their own.
const Spec& own_spec() {
  static const Spec spec = [] {
    Spec all;
    add_data_keys(all);
    return all;
  }();
  return spec;
}

std::string quoted(const std::string& word) { return '"' + word + '"'; }

void require(const Settings& settings, const char* key, const std::string& expected) {
  if (!settings.has(key)) settings.reject(key, "nothing", expected);
}

void validate_drawn(const Settings& settings) {
  const std::string& source = settings.text("data.source");
  require(settings, "data.shape", "the shape of one input, as inputs are drawn");
  require(settings, "data.count", "how many examples are to be drawn");
  if (settings.has("data.angle")) {
    const char* pair = "data.count of at least 2, and inputs of at least 2 numbers";
    std::int64_t size = 1;
    for (const std::int64_t one : settings.integers("data.shape")) size *= one;
    if (settings.integer("data.count") < 2 || size < 2) {
      settings.reject("data.angle", "a value without two inputs in a plane", pair);
    }
  }
  const std::string& targets = settings.text("data.targets");
  if (targets == "values" || is_among(of_classes, targets)) {
    settings.reject("data.targets",
                    quoted(targets) + " with source = " + quoted(source) + ", which has no labels",
                    "one of \"teacher\", \"random_normal\", \"random_sign\"");
  }
}

void validate_file(const Settings& settings) {
  for (const std::string table : {"data.labels", "data.test_inputs", "data.test_labels"}) {
    if (settings.has(table + ".variable") && !settings.has(table + ".path")) {
      settings.reject(table + ".variable", quoted(settings.text(table + ".variable")),
                      "a " + table + ".path beside it");
    }
  }
  const bool tests = settings.has("data.test_inputs.path");
  if (uses_labels(settings)) {
    const std::string& targets = settings.text("data.targets");
    require(settings, "data.labels.path",
            "a file of labels, as " +
                (has_classes(settings) || targets == "values" ? "data.targets = " + quoted(targets)
                                                              : std::string("data.classes")) +
                " needs them");
    if (tests) require(settings, "data.test_labels.path", "the labels of data.test_inputs");
  }
  if (settings.has("data.test_labels.path") && !tests) {
    require(settings, "data.test_inputs.path", "the inputs of data.test_labels");
  }
}

void validate_targets(const Settings& settings) {
  const std::string& targets = settings.text("data.targets");
  if (targets == "values" && settings.text("data.source") != "file") {
    settings.reject("data.targets",
                    "\"values\" with source = " + quoted(settings.text("data.source")),
                    "another kind: only a file has values of its own");
  }
  if (targets == "values" && settings.has("data.classes")) {
    settings.reject("data.classes", "classes with targets = \"values\"",
                    "none: the labels are values");
  }
  if (targets != "teacher") return;
  const std::size_t layers =
      settings.has("data.teacher.hidden") ? settings.integers("data.teacher.hidden").size() + 1 : 1;
  const std::size_t given = settings.numbers("data.teacher.stddev").size();
  if (given != 1 && given != layers) {
    settings.reject("data.teacher.stddev", std::to_string(given) + " values",
                    "one, or " + std::to_string(layers) + ": one for each layer");
  }
}

void validate_shape(const Settings& settings) {
  if (!settings.has("data.shape")) return;
  const auto shape = settings.integers("data.shape");
  if (shape.size() > 3) {
    settings.reject("data.shape", std::to_string(shape.size()) + " sizes",
                    "one (a length), two (channels, length) or three (channels, height, width)");
  }
  double numbers =
      settings.has("data.count") ? static_cast<double>(settings.integer("data.count")) : 1.0;
  for (const std::int64_t size : shape) numbers *= static_cast<double>(size);
  constexpr double most = 1e12;  // what memory there is shows when it is asked for
  if (numbers > most) {
    settings.reject(
        "data.shape",
        to_toml(settings.value("data.shape")) + ", " + to_toml(numbers) + " numbers in all",
        "at most " + to_toml(most));
  }
}

void validate_classes(const Settings& settings) {
  if (!settings.has("data.classes")) return;
  auto classes = settings.integers("data.classes");
  std::sort(classes.begin(), classes.end());
  const auto twice = std::adjacent_find(classes.begin(), classes.end());
  if (twice != classes.end()) {
    settings.reject("data.classes", std::to_string(*twice) + " twice", "each class once");
  }
}

}  // namespace

bool has_classes(const Settings& settings) {
  return is_among(of_classes, settings.text("data.targets"));
}

bool uses_labels(const Settings& settings) {
  return has_classes(settings) || settings.text("data.targets") == "values" ||
         settings.has("data.classes");
}

bool is_drawn(const Settings& settings) {
  return is_among(drawn_sources, settings.text("data.source"));
}

void add_data_keys(Spec& spec, const std::vector<Condition>& when) {
  Keys keys(spec, when);
  add_source_keys(keys);
  add_choice_keys(keys);
  add_target_keys(keys);
}

void validate_data(const Settings& settings) {
  const std::string& source = settings.text("data.source");
  if (is_drawn(settings)) validate_drawn(settings);
  if (source == "file") validate_file(settings);
  if (source == "mnist") require(settings, "data.path", "the folder of the four files");
  if (settings.text("data.normalize") == "bytes" && source != "file") {
    settings.reject("data.normalize", "\"bytes\" with source = " + quoted(source),
                    "another one: these inputs are no bytes");
  }
  validate_targets(settings);
  validate_shape(settings);
  validate_classes(settings);
}

std::string data_key(const Settings& settings) {
  std::string key = to_toml(settings.value("problem.seed"));
  for (const KeySpec& one : own_spec().keys()) {
    key += '|';
    if (settings.has(one.path)) key += to_toml(settings.value(one.path));
  }
  return key;
}

std::string data_files_key(const Settings& settings) {
  std::string key;
  for (const KeySpec& one : own_spec().keys()) {
    key += '|';
    if (!settings.has(one.path)) continue;
    key += one.is_path ? identity_of(settings.text(one.path)) : to_toml(settings.value(one.path));
  }
  return key;
}

}  // namespace manyfold
