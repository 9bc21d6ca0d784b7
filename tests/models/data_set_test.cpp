// Data sets against their definitions: laws of what is drawn, hand computations, files written byte
// by byte, and what is said about files that do not fit.
#include "models/data/data_set.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <numeric>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "core/data/array_file.hpp"
#include "core/data/digits.hpp"
#include "core/error.hpp"
#include "core/random/philox.hpp"
#include "core/sweep/experiment.hpp"
#include "models/data/drawn_arrays.hpp"
#include "tests/scratch_folder.hpp"

namespace manyfold::testing {
namespace {

namespace fs = std::filesystem;
using namespace std::string_literals;
using Sizes = std::vector<std::int64_t>;
using Numbers = std::vector<double>;
using Labels = std::vector<std::int32_t>;
using Texts = std::vector<std::string>;

const Spec& test_spec() {
  static const Spec spec = [] {
    Spec s;
    s.add({.path = "problem.seed", .type = Type::integer, .default_value = std::int64_t{0}});
    add_data_keys(s);
    return s;
  }();
  return spec;
}

Settings settings_of(const std::string& data, const Texts& overrides = {}) {
  return Experiment::parse("[data]\n" + data + "\n", "test.toml", overrides, test_spec()).member(0);
}

Data make(const Settings& settings) {
  validate_data(settings);
  Data data = make_data(settings);
  const DataShape shape = data_shape(settings);
  EXPECT_EQ(shape.input, data.train.shape);
  EXPECT_EQ(shape.train, data.train.count());
  EXPECT_EQ(shape.test, data.test.count());
  for (const DataSet* set : {&data.train, &data.test}) {
    EXPECT_EQ(set->shape, shape.input);
    EXPECT_EQ(set->outputs, shape.outputs);
    EXPECT_EQ(set->classes, shape.classes);
    EXPECT_EQ(static_cast<std::int64_t>(set->inputs.size()), set->count() * set->size());
    EXPECT_EQ(static_cast<std::int64_t>(set->targets.size()), set->count() * set->outputs);
    EXPECT_EQ(static_cast<std::int64_t>(set->labels.size()), shape.classes == 0 ? 0 : set->count());
  }
  return data;
}
Data make(const std::string& data, const Texts& overrides = {}) {
  return make(settings_of(data, overrides));
}

std::string refusal(const std::string& data, const Texts& overrides = {}) {
  try {
    const Settings settings = settings_of(data, overrides);
    validate_data(settings);
    (void)make_data(settings);
  } catch (const InputError& error) {
    return error.what();
  }
  return "nothing was refused";
}

#define EXPECT_REFUSAL(toml, part)                                            \
  do {                                                                        \
    const std::string text = refusal(toml);                                   \
    EXPECT_NE(text.find(part), std::string::npos) << "the message: " << text; \
  } while (false)

Numbers first(const Numbers& numbers, std::size_t count) {
  return {numbers.begin(), numbers.begin() + static_cast<std::ptrdiff_t>(count)};
}

double dot(const double* a, const double* b, std::int64_t count) {
  return std::inner_product(a, a + count, b, 0.0);
}

Numbers example(const DataSet& set, std::int64_t i) {
  const auto from = set.inputs.begin() + i * set.size();
  return {from, from + set.size()};
}

/// The mean of `power` of the numbers lies within 5 standard errors of what it should be.
void expect_mean(const Numbers& numbers, int power, double mean, double stddev) {
  double sum = 0;
  for (const double x : numbers) sum += std::pow(x, power);
  const auto count = static_cast<double>(numbers.size());
  EXPECT_NEAR(sum / count, mean, 5 * stddev / std::sqrt(count)) << "power " << power;
}

// ---- drawn

const std::string gaussian =
    R"(source = "gaussian", shape = 20, count = 500, test_count = 30, targets = "random_normal")";

std::string lines(std::string inline_table) {
  std::size_t depth = 0;
  for (char& c : inline_table) {
    if (c == '[' || c == '{') ++depth;
    if (c == ']' || c == '}') --depth;
    if (c == ',' && depth == 0) c = '\n';
  }
  return inline_table;
}

TEST(DrawnData, GaussianHasItsMomentsAndStreams) {
  const Data data = make(lines(gaussian), {"problem.seed=3"});
  EXPECT_EQ(data.train.shape, Sizes{20});
  EXPECT_EQ(data.train.count(), 500);
  EXPECT_EQ(data.test.count(), 30);
  expect_mean(data.train.inputs, 1, 0, 1);
  expect_mean(data.train.inputs, 2, 1, std::sqrt(2.0));
  expect_mean(data.train.inputs, 4, 3, std::sqrt(96.0));  // E x^8 - 9 = 105 - 9
  expect_mean(data.train.targets, 1, 0, 1);
  expect_mean(data.train.targets, 2, 1, std::sqrt(2.0));
  for (std::size_t i = 0; i < 600; ++i) {
    EXPECT_EQ(data.train.inputs[i], normal_double(3, random_stream("data/inputs"), i));
    EXPECT_EQ(data.test.inputs[i], normal_double(3, random_stream("data/test/inputs"), i));
  }
  EXPECT_EQ(data.train.targets[7], normal_double(3, random_stream("data/targets"), 7));
  EXPECT_EQ(data.test.targets[7], normal_double(3, random_stream("data/test/targets"), 7));
  EXPECT_NE(make(lines(gaussian), {"problem.seed=4"}).train.inputs, data.train.inputs);
}

TEST(DrawnData, SphereIsUniform) {
  const std::int64_t d = 12;
  const Data data = make(lines(R"(source = "sphere", shape = 12, count = 4000, test_count = 10,)"
                               R"(targets = "random_sign", outputs = 2)"));
  for (const DataSet* set : {&data.train, &data.test}) {
    for (std::int64_t i = 0; i < set->count(); ++i) {
      const Numbers x = example(*set, i);
      // The sum of d squares and the quotients are each rounded: (d + 4) / 2 eps at most.
      EXPECT_NEAR(std::sqrt(dot(x.data(), x.data(), d)), 1, 16 * 0x1p-53);
    }
  }
  // E x^2 = 1/d, E x^4 = 3 / (d (d + 2)), E x^8 = 105 / (d (d+2) (d+4) (d+6)).
  const Numbers coordinate = [&] {
    Numbers all;
    for (std::int64_t i = 0; i < data.train.count(); ++i) all.push_back(example(data.train, i)[5]);
    return all;
  }();
  const double second = 1 / 12.0;
  const double fourth = 3 / (12.0 * 14);
  const double eighth = 105 / (12.0 * 14 * 16 * 18);
  expect_mean(coordinate, 1, 0, std::sqrt(second));
  expect_mean(coordinate, 2, second, std::sqrt(fourth - second * second));
  expect_mean(coordinate, 4, fourth, std::sqrt(eighth - fourth * fourth));
  // Pairs of points are orthogonal on average.
  Numbers products;
  for (std::int64_t i = 0; i + 1 < data.train.count(); i += 2) {
    products.push_back(dot(example(data.train, i).data(), example(data.train, i + 1).data(), d));
  }
  expect_mean(products, 1, 0, std::sqrt(second));
  EXPECT_EQ(data.train.outputs, 2);
  expect_mean(data.train.targets, 1, 0, 1);
  for (const double y : data.train.targets) EXPECT_EQ(std::abs(y), 1);
}

TEST(DrawnData, MoreExamplesBeginWithTheSame) {
  for (const std::string source : {"sphere", "gaussian"}) {
    for (const std::string targets : {"random_normal", "random_sign", "teacher"}) {
      std::string toml = "source = \"" + source + "\"\ntargets = \"" + targets +
                         "\"\nshape = [2, 3, 4]\noutputs = 3\ntest_count = 5\n";
      if (targets == "teacher") toml += "teacher = { hidden = [6, 5], stddev = 0.3 }\n";
      const Data few = make(toml + "count = 7");
      const Data many = make(toml + "count = 40");
      EXPECT_EQ(first(many.train.inputs, 7 * 24), few.train.inputs) << targets;
      EXPECT_EQ(first(many.train.targets, 7 * 3), few.train.targets) << targets;
      EXPECT_EQ(many.test.inputs, few.test.inputs);
      EXPECT_EQ(many.test.targets, few.test.targets);
      EXPECT_NE(first(many.train.inputs, 5 * 24), few.test.inputs);
      EXPECT_NE(first(many.train.targets, 5 * 3), few.test.targets);
    }
  }
}

/// W_h of the teacher by its definition.
Numbers teacher_layer(int h, std::size_t entries, double stddev) {
  Numbers w;
  const std::uint64_t stream = random_stream("data/teacher/W/" + std::to_string(h));
  for (std::size_t i = 0; i < entries; ++i) w.push_back(stddev * normal_double(0, stream, i));
  return w;
}

TEST(TeacherTargets, AreWhatTheNetMakesOfTheInputs) {
  const std::string common =
      "source = \"gaussian\"\nshape = 3\ncount = 20\ntest_count = 4\ntargets = \"teacher\"\n"
      "outputs = 2\n";
  const Data deep =
      make(common + "teacher = { hidden = 4, stddev = [0.5, 2.0], activation = \"relu\" }");
  const Data linear =
      make(common + "teacher = { hidden = 4, stddev = [0.5, 2.0], activation = \"linear\" }");
  const Data shallow = make(common + "teacher.stddev = 0.5");
  const Numbers w1 = teacher_layer(1, 12, 0.5);
  const Numbers w2 = teacher_layer(2, 8, 2.0);
  const Numbers only = teacher_layer(1, 6, 0.5);
  int negative = 0;
  for (const auto set : {&Data::train, &Data::test}) {
    for (std::int64_t i = 0; i < (deep.*set).count(); ++i) {
      const Numbers x = example(deep.*set, i);
      Numbers z;
      for (int r = 0; r < 4; ++r) z.push_back(dot(w1.data() + 3 * r, x.data(), 3));
      Numbers a = z;
      for (double& entry : a) {
        negative += entry < 0 ? 1 : 0;
        entry = std::max(entry, 0.0);
      }
      for (int k = 0; k < 2; ++k) {
        const auto at = static_cast<std::size_t>(2 * i + k);
        // Sums of at most 4 and 3 products, terms of order 1.
        EXPECT_NEAR((deep.*set).targets[at], dot(w2.data() + 4 * k, a.data(), 4), 1e-14);
        EXPECT_NEAR((linear.*set).targets[at], dot(w2.data() + 4 * k, z.data(), 4), 1e-14);
        EXPECT_NEAR((shallow.*set).targets[at], dot(only.data() + 3 * k, x.data(), 3), 1e-14);
      }
    }
  }
  EXPECT_GT(negative, 10);
  // Homogeneous in each layer: powers of two pass through without rounding.
  const Data scaled = make(common + "teacher = { hidden = 4, stddev = [1.0, 8.0] }");
  for (std::size_t i = 0; i < 40; ++i) {
    EXPECT_EQ(scaled.train.targets[i], 8 * deep.train.targets[i]);
  }
}

TEST(TeacherTargets, SeeNormalizedInputs) {
  const std::string common =
      "source = \"gaussian\"\nshape = 3\ncount = 20\ntargets = \"teacher\"\nteacher.stddev = 1.0\n";
  const Data plain = make(common);
  const Data normalized = make(common + "normalize = \"unit_norm\"");
  for (std::int64_t i = 0; i < 20; ++i) {
    const Numbers x = example(plain.train, i);
    const double norm = std::sqrt(dot(x.data(), x.data(), 3));
    const auto at = static_cast<std::size_t>(i);
    EXPECT_NEAR(normalized.train.targets[at], plain.train.targets[at] / norm, 1e-14);
  }
}

// ---- the program's digits

TEST(DigitData, AreTheProgramsImages) {
  const Data data = make("source = \"digits\"");
  EXPECT_EQ(data.train.shape, (Sizes{1, 8, 8}));
  EXPECT_EQ(data.train.count(), 1797);
  EXPECT_EQ(data.test.count(), 0);
  EXPECT_EQ(data.train.inputs, digits().images);
  EXPECT_EQ(data.train.outputs, 10);
  for (std::size_t i = 0; i < 1797; ++i) {
    EXPECT_EQ(data.train.labels[i], digits().labels[i]);
    for (std::int32_t k = 0; k < 10; ++k) {
      EXPECT_EQ(data.train.targets[10 * i + static_cast<std::size_t>(k)],
                k == data.train.labels[i] ? 1 : 0);
    }
  }
}

TEST(DigitData, OfSomeClassesWithTargetsOfEachKind) {
  const std::string common = "source = \"digits\"\nclasses = [8, 3]\n";
  const Data index = make(common + "targets = \"index\"");
  const Data sign = make(common + "targets = \"sign\"");
  const Data map = make(common + "targets = \"map\"\nlabel_map = [2.5, -7]");
  const Data one_hot = make(common + "targets = \"one_hot\"");
  std::size_t i = 0;
  for (std::size_t image = 0; image < 1797; ++image) {
    const std::int64_t label = digits().labels[image];
    if (label != 3 && label != 8) continue;
    ASSERT_LT(i, index.train.labels.size());
    EXPECT_EQ(index.train.labels[i], label == 8 ? 0 : 1);
    EXPECT_EQ(index.train.targets[i], label == 8 ? 0 : 1);
    EXPECT_EQ(sign.train.targets[i], label == 8 ? -1 : 1);
    EXPECT_EQ(map.train.targets[i], label == 8 ? 2.5 : -7);
    EXPECT_EQ(one_hot.train.targets[2 * i], label == 8 ? 1 : 0);
    EXPECT_EQ(one_hot.train.targets[2 * i + 1], label == 8 ? 0 : 1);
    EXPECT_EQ(index.train.inputs[64 * i + 20], digits().images[64 * image + 20]);
    ++i;
  }
  EXPECT_EQ(index.train.count(), static_cast<std::int64_t>(i));
  EXPECT_EQ(sign.train.classes, 2);
}

TEST(DigitData, SubsetsAreTheFirstOrDrawnAndTestsTheLast) {
  const std::string common = "source = \"digits\"\ntargets = \"index\"\n";
  const Data ordered = make(common + "count = 100\ntest_count = 50");
  EXPECT_EQ(ordered.train.inputs, first(digits().images, 6400));
  EXPECT_EQ(ordered.test.inputs, Numbers(digits().images.end() - 3200, digits().images.end()));

  const std::string random = common + "subset = \"random\"\n";
  const Data few = make(random + "count = 100\ntest_count = 50", {"problem.seed=5"});
  const Data many = make(random + "count = 1747\ntest_count = 50", {"problem.seed=5"});
  EXPECT_EQ(first(many.train.inputs, 6400), few.train.inputs);
  EXPECT_EQ(many.test.inputs, few.test.inputs);
  EXPECT_NE(make(random + "count = 100", {"problem.seed=6"}).train.inputs, few.train.inputs);
  // Every image once, with its own label.
  std::multiset<std::pair<Numbers, std::int32_t>> all;
  std::multiset<std::pair<Numbers, std::int32_t>> there;
  for (const DataSet* set : {&many.train, &many.test}) {
    for (std::int64_t i = 0; i < set->count(); ++i) {
      there.emplace(example(*set, i), set->labels[static_cast<std::size_t>(i)]);
    }
  }
  const Data whole = make(common);
  for (std::int64_t i = 0; i < 1797; ++i) {
    all.emplace(example(whole.train, i), whole.train.labels[static_cast<std::size_t>(i)]);
  }
  EXPECT_EQ(there, all);
  EXPECT_REFUSAL(common + "count = 1798", "data.count: found 1798, expected at most the 1797 ");
  EXPECT_REFUSAL(common + "count = 1700\ntest_count = 98",
                 "data.count: found 1700, expected at most the 1699 examples that there are beside "
                 "those to test on");
  EXPECT_REFUSAL(common + "test_count = 1797",
                 "data.test_count: found 1797, expected less than the 1797 examples");
  EXPECT_REFUSAL("source = \"digits\"\nclasses = [3, 11, 4]",
                 "test.toml:3: data.classes: found 11, expected classes of the digits: 0, 1, 2, 3, "
                 "4, 5, 6, 7, 8, 9");
  EXPECT_REFUSAL("source = \"digits\"\ntargets = \"sign\"",
                 "data.targets: found \"sign\" for 10 classes, expected two classes");
  EXPECT_REFUSAL("source = \"digits\"\ntargets = \"map\"\nlabel_map = [1, 2]",
                 "data.label_map: found 2 values, expected 10, one for each class");
}

TEST(RandomLabels, ReplaceAShareUniformly) {
  const std::string common = "source = \"digits\"\ntest_count = 97\n";
  const Data real = make(common);
  const Data all = make(common + "random_labels = 1.0");
  const Data half = make(common + "random_labels = 0.5");
  Numbers count(10, 0.0);
  int changed = 0;
  for (std::size_t i = 0; i < 1700; ++i) {
    ++count[static_cast<std::size_t>(all.train.labels[i])];
    changed += half.train.labels[i] != real.train.labels[i] ? 1 : 0;
    EXPECT_EQ(all.train.targets[10 * i + static_cast<std::size_t>(all.train.labels[i])], 1);
    // The same draws: what a share replaces, a larger one replaces likewise.
    if (half.train.labels[i] != real.train.labels[i]) {
      EXPECT_EQ(half.train.labels[i], all.train.labels[i]);
    }
  }
  // Binomial, 5 standard deviations: 1700 x 0.1, and 1700 x 0.5 x 0.9.
  for (const double c : count) EXPECT_NEAR(c, 170, 5 * std::sqrt(170 * 0.9));
  EXPECT_NEAR(changed, 765, 5 * std::sqrt(765 * 0.55));
  EXPECT_EQ(all.test.labels, real.test.labels);
  EXPECT_EQ(all.train.inputs, real.train.inputs);
  EXPECT_EQ(make(common + "random_labels = 0.0").train.labels, real.train.labels);
}

TEST(DrawnArrays, AreTheDataSet) {
  const Data data = make("source = \"digits\"\nclasses = [3, 8]\ncount = 5\ntest_count = 2");
  const auto arrays = drawn_arrays(data);
  Texts names;
  for (const DrawnArray& one : arrays) names.push_back(one.name);
  EXPECT_EQ(names,
            (Texts{"inputs", "targets", "labels", "test_inputs", "test_targets", "test_labels"}));
  EXPECT_EQ(arrays[0].array.shape, (Sizes{5, 1, 8, 8}));
  EXPECT_EQ(arrays[0].array.values, data.train.inputs);
  EXPECT_EQ(arrays[1].array.shape, (Sizes{5, 2}));
  EXPECT_EQ(arrays[4].array.values, data.test.targets);
  EXPECT_EQ(arrays[5].array.shape, Sizes{2});
  EXPECT_EQ(drawn_arrays(make(lines(gaussian), {"data.test_count=0"})).size(), 2U);
}

// ---- files

std::string big_endian(std::uint64_t value, int bytes) {
  std::string text;
  for (int i = bytes; i-- > 0;) text += static_cast<char>(value >> (8 * i) & 255);
  return text;
}

std::string idx(const Sizes& shape, const std::string& bytes) {
  std::string text = "\0\0\x08"s + static_cast<char>(shape.size());
  for (const std::int64_t size : shape) text += big_endian(static_cast<std::uint64_t>(size), 4);
  return text + bytes;
}

class FileData : public ::testing::Test {
 protected:
  std::string path(const std::string& name) const { return '"' + (folder_ / name).string() + '"'; }
  std::string source(const std::string& more) const { return "source = \"file\"\n" + more; }
  void write(const std::string& name, const Sizes& shape, const Numbers& values,
             const std::string& variable = "array") const {
    write_array(folder_ / name, {.shape = shape, .values = values}, variable);
  }
  /// A data set like MNIST: 6 and 3 images of 2 x 2.
  void write_folder() const {
    std::string bytes;
    for (int i = 0; i < 24; ++i) bytes += static_cast<char>(10 * i);
    folder_.write("train-images-idx3-ubyte", idx({6, 2, 2}, bytes));
    folder_.write("train-labels-idx1-ubyte", idx({6}, "\2\0\1\2\1\0"s));
    folder_.write("t10k-images.idx3-ubyte", idx({3, 2, 2}, bytes.substr(12)));
    folder_.write("t10k-labels.idx1-ubyte", idx({3}, "\1\1\2"s));
  }
  std::string folder(const std::string& more = "") const {
    return "source = \"mnist\"\npath = \"" + folder_.path().string() + "\"\n" + more;
  }

  const test::ScratchFolder folder_;
};

TEST_F(FileData, EveryFormat) {
  const Numbers inputs{1, 2, 3, 4, 5, 6};
  write("x.npy", {3, 2}, inputs);
  write("x.csv", {3, 2}, inputs);
  write("x.idx", {3, 2}, inputs);
  write("both.nc", {3, 2}, inputs, "x");
  write("y.npy", {3}, {4, -1, 4});
  write("y.csv", {3, 1}, {4, -1, 4});
  for (const std::string x : {"x.npy", "x.csv", "x.idx", "both.nc"}) {
    for (const std::string y : {"y.npy", "y.csv"}) {
      const std::string variable = x == "both.nc" ? ", variable = \"x\"" : "";
      const Data data = make(source("inputs = { path = " + path(x) + variable +
                                    " }\nlabels.path = " + path(y) + "\ntargets = \"index\""));
      EXPECT_EQ(data.train.shape, Sizes{2});
      EXPECT_EQ(data.train.inputs, inputs);
      EXPECT_EQ(data.train.labels, (Labels{1, 0, 1}));
      EXPECT_EQ(data.train.targets, (Numbers{1, 0, 1}));
    }
  }
}

TEST_F(FileData, ShapesOfInputs) {
  write("flat.csv", {2, 12}, Numbers(24, 0.5));
  write("images.npy", {2, 3, 4}, Numbers(24, 0.5));
  write("colours.npy", {2, 3, 2, 2}, Numbers(24, 0.5));
  write("scalars.npy", {24}, Numbers(24, 0.5));
  write("five.npy", {2, 3, 2, 1, 2}, Numbers(24, 0.5));
  write("none.npy", {0, 3}, {});
  const auto shape_of = [&](const std::string& name, const std::string& more = "") {
    return make(source("targets = \"random_normal\"\ninputs.path = " + path(name) + "\n" + more))
        .train.shape;
  };
  EXPECT_EQ(shape_of("flat.csv"), Sizes{12});
  EXPECT_EQ(shape_of("flat.csv", "shape = [3, 2, 2]"), (Sizes{3, 2, 2}));
  EXPECT_EQ(shape_of("flat.csv", "shape = [2, 6]"), (Sizes{2, 6}));
  EXPECT_EQ(shape_of("images.npy"), (Sizes{1, 3, 4}));
  EXPECT_EQ(shape_of("images.npy", "shape = 12"), Sizes{12});
  EXPECT_EQ(shape_of("colours.npy"), (Sizes{3, 2, 2}));
  EXPECT_EQ(shape_of("scalars.npy"), Sizes{1});
  EXPECT_EQ(shape_of("five.npy", "shape = [3, 2, 2]"), (Sizes{3, 2, 2}));
  const auto refused = [&](const std::string& name, const std::string& more = "") {
    return source("targets = \"random_normal\"\ninputs.path = " + path(name) + "\n" + more);
  };
  EXPECT_REFUSAL(refused("flat.csv", "shape = [3, 2, 3]"),
                 "test.toml:5: data.shape: found (3, 2, 3) for an array of shape (2, 12), expected "
                 "a shape of 12 numbers");
  EXPECT_REFUSAL(refused("five.npy"),
                 "data.inputs.path: found an array of shape (2, 3, 2, 1, 2), expected");
  EXPECT_REFUSAL(refused("none.npy"),
                 "data.inputs.path: found an array of shape (0, 3), expected at least one example");
}

TEST_F(FileData, ValuesAreTargetsAsTheyStand) {
  write("x.npy", {3, 1}, {1, 2, 3});
  write("y.npy", {3, 2}, {0.5, -1, 1e300, 4, 5, 6});
  write("tx.npy", {2, 1}, {7, 8});
  write("ty.npy", {2, 2}, {9, 10, 11, 12});
  const std::string common = source("targets = \"values\"\ninputs.path = " + path("x.npy") +
                                    "\nlabels.path = " + path("y.npy") + "\n");
  const Data data = make(common + "test_inputs.path = " + path("tx.npy") +
                         "\ntest_labels.path = " + path("ty.npy"));
  EXPECT_EQ(data.train.outputs, 2);
  EXPECT_EQ(data.train.targets, (Numbers{0.5, -1, 1e300, 4, 5, 6}));
  EXPECT_EQ(data.test.inputs, (Numbers{7, 8}));
  EXPECT_EQ(data.test.targets, (Numbers{9, 10, 11, 12}));
  const Data split = make(common + "count = 1\ntest_count = 1");
  EXPECT_EQ(split.train.targets, (Numbers{0.5, -1}));
  EXPECT_EQ(split.test.targets, (Numbers{5, 6}));
  write("one.npy", {2, 1}, {9, 10});
  EXPECT_REFUSAL(
      common + "test_inputs.path = " + path("tx.npy") + "\ntest_labels.path = " + path("one.npy"),
      "data.test_labels.path: found 1 values an example, expected 2 as for training");
  write("wide.npy", {2, 3}, Numbers(6, 1.0));
  EXPECT_REFUSAL(
      common + "test_inputs.path = " + path("wide.npy") + "\ntest_labels.path = " + path("ty.npy"),
      "with inputs of shape (3,), expected (1,) as in");
}

TEST_F(FileData, NormalizationByHand) {
  // Three training examples and a test; the second entry never varies, and 0.1 + 0.1 + 0.1 is not
  // 3 x 0.1.
  write("x.npy", {3, 2}, {1, 0.1, 2, 0.1, 6, 0.1});
  write("tx.npy", {1, 2}, {5, 0.7});
  const std::string common = source("targets = \"random_normal\"\ninputs.path = " + path("x.npy") +
                                    "\ntest_inputs.path = " + path("tx.npy") + "\n");
  const Data standard = make(common + "normalize = \"standardize\"");
  const double stddev = std::sqrt(14.0 / 3);  // of 1, 2, 6, whose mean is 3
  const Numbers wanted{-2 / stddev, 0, -1 / stddev, 0, 3 / stddev, 0};
  for (std::size_t i = 0; i < 6; ++i) EXPECT_DOUBLE_EQ(standard.train.inputs[i], wanted[i]) << i;
  EXPECT_EQ(standard.train.inputs[1], 0);
  EXPECT_DOUBLE_EQ(standard.test.inputs[0], 2 / stddev);
  EXPECT_DOUBLE_EQ(standard.test.inputs[1], 0.7 - 0.1);

  write("x.npy", {3, 2}, {3, 4, -5, 12, 0, 255});
  const Data unit = make(common + "normalize = \"unit_norm\"");
  EXPECT_EQ(unit.train.inputs, (Numbers{3.0 / 5, 4.0 / 5, -5.0 / 13, 12.0 / 13, 0, 1}));
  EXPECT_EQ(make(common + "normalize = \"bytes\"").train.inputs,
            (Numbers{3.0 / 255, 4.0 / 255, -5.0 / 255, 12.0 / 255, 0, 1}));
  EXPECT_EQ(make(common).train.inputs, (Numbers{3, 4, -5, 12, 0, 255}));

  write("x.npy", {3, 2}, {3, 4, 0, 0, 0, 255});
  EXPECT_REFUSAL(common + "normalize = \"unit_norm\"",
                 "data.normalize: found \"unit_norm\" with training example 1 (counted from 0) "
                 "zero, expected inputs that are not zero");
}

TEST_F(FileData, WhatDoesNotFitIsNamed) {
  write("x.npy", {4, 2}, {1, 2, 3, 4, 5, 6, 7, 8});
  write("y.npy", {3}, {0, 1, 0});
  write("whole.npy", {4}, {0, 1, 0, 1});
  write("broken.npy", {4}, {0, 1, 0.5, 1});
  write("matrix.npy", {2, 2}, {0, 1, 0, 1});
  write("nan.npy", {2, 2}, {0, 1, std::nan(""), 1});
  const auto with = [&](const std::string& x, const std::string& y, const std::string& more = "") {
    return source("inputs.path = " + path(x) + "\nlabels.path = " + path(y) + "\n" + more);
  };
  const std::string place = "test.toml:4: data.labels.path: found ";
  const auto file = [&](const std::string& name) { return (folder_ / name).string(); };
  EXPECT_REFUSAL(with("x.npy", "y.npy"), place + "3 labels in " + file("y.npy") +
                                             ", expected 4, one for each input of " +
                                             file("x.npy"));
  EXPECT_REFUSAL(with("x.npy", "y.npy", "targets = \"values\""), place + "3 labels in ");
  EXPECT_REFUSAL(with("x.npy", "broken.npy"),
                 place + "the label 0.5 of example 2 (counted from 0), expected whole numbers");
  EXPECT_REFUSAL(with("x.npy", "matrix.npy"),
                 place + file("matrix.npy") + " with an array of shape (2, 2), expected 4 labels");
  EXPECT_REFUSAL(with("x.npy", "absent.npy"),
                 "test.toml:4: data.labels.path: " + file("absent.npy") + ": no such file");
  EXPECT_REFUSAL(with("nan.npy", "y.npy", "targets = \"random_sign\""),
                 "test.toml:3: data.inputs.path: found nan in " + file("nan.npy") +
                     ", example 1, entry 0 (counted from 0), expected finite numbers");
  EXPECT_REFUSAL(source("inputs.path = " + path("x.npy")),
                 "data.labels.path: found nothing, expected a file of labels, as data.targets = "
                 "\"one_hot\" needs them");
  EXPECT_REFUSAL(
      source("targets = \"random_sign\"\nclasses = [1]\ninputs.path = " + path("x.npy")),
      "data.labels.path: found nothing, expected a file of labels, as data.classes needs them");
  EXPECT_REFUSAL(with("x.npy", "whole.npy", "test_inputs.path = " + path("x.npy")),
                 "data.test_labels.path: found nothing, expected the labels of data.test_inputs");
  EXPECT_REFUSAL(with("x.npy", "whole.npy", "test_labels.path = " + path("y.npy")),
                 "data.test_inputs.path: found nothing, expected the inputs of data.test_labels");
  EXPECT_REFUSAL(with("x.npy", "whole.npy", "test_labels.variable = \"v\""),
                 "data.test_labels.variable: found \"v\", expected a data.test_labels.path");
  write("other.npy", {4}, {0, 1, 2, 1});
  const std::string tests =
      "test_inputs.path = " + path("x.npy") + "\ntest_labels.path = " + path("other.npy") + "\n";
  EXPECT_REFUSAL(with("x.npy", "whole.npy", tests),
                 "data.test_labels.path: found the label 2 of example 2 (counted from 0), expected "
                 "labels of training examples only: 0, 1");
  const Data left_out = make(with("x.npy", "whole.npy", tests + "classes = [1, 0]"));
  EXPECT_EQ(left_out.test.labels, (Labels{1, 0, 0}));
  EXPECT_EQ(left_out.test.inputs, (Numbers{1, 2, 3, 4, 7, 8}));
}

TEST_F(FileData, IsReadAgainWhereItChanges) {
  write("x.npy", {2, 2}, {1, 2, 3, 4});
  const std::string toml =
      source("targets = \"random_normal\"\ninputs.path = " + path("x.npy") + "\n");
  EXPECT_EQ(make(toml).train.inputs, (Numbers{1, 2, 3, 4}));
  write("x.npy", {3, 3}, {1, 2, 3, 4, 5, 6, 7, 8, 9});
  EXPECT_EQ(make(toml).train.count(), 3);  // compared with data_shape there
}

// ---- folders of IDX files

TEST_F(FileData, AFolderLikeMnist) {
  write_folder();
  const Data data = make(folder("targets = \"index\""));
  EXPECT_EQ(data.train.shape, (Sizes{1, 2, 2}));
  EXPECT_EQ(data.train.labels, (Labels{2, 0, 1, 2, 1, 0}));
  EXPECT_EQ(data.train.classes, 3);
  EXPECT_EQ(data.test.labels, (Labels{1, 1, 2}));
  for (std::size_t i = 0; i < 24; ++i) {
    EXPECT_EQ(data.train.inputs[i], 10 * static_cast<double>(i) / 255);
  }
  EXPECT_EQ(data.test.inputs[0], 120.0 / 255);
  // Classes are those of the whole file, and tests those of theirs, whatever is taken.
  const Data part = make(folder("targets = \"one_hot\"\ncount = 1\ntest_count = 2"));
  EXPECT_EQ(part.train.targets, (Numbers{0, 0, 1}));
  EXPECT_EQ(part.test.labels, (Labels{1, 1}));
  const Data two = make(folder("targets = \"sign\"\nclasses = [1, 2]\nsubset = \"random\""));
  EXPECT_EQ(two.train.count(), 4);
  EXPECT_EQ(two.test.count(), 3);
  EXPECT_EQ(make(folder("test_count = 0")).test.count(), 0);
  EXPECT_REFUSAL(folder("classes = [1, 2]\ncount = 5"),
                 "data.count: found 5, expected at most the 4 examples that there are");
  EXPECT_REFUSAL(folder("test_count = 4"),
                 "data.test_count: found 4, expected at most the 3 examples that there are");
}

TEST_F(FileData, AFolderWithABadFile) {
  const std::string place = "test.toml:3: data.path: ";
  const std::string where = folder_.path().string();
  EXPECT_REFUSAL(folder(), place +
                               "found no train-images-idx3-ubyte or "
                               "train-images-idx3-ubyte.gz in " +
                               where + ", expected a folder with the four files of the data set");
  write_folder();
  fs::remove(folder_ / "train-labels-idx1-ubyte");
  EXPECT_REFUSAL(folder(), place + "found no train-labels-idx1-ubyte or ");
  folder_.write("train-labels-idx1-ubyte", idx({5}, "\2\0\1\2\1"s));
  EXPECT_REFUSAL(folder(), place + "found 5 labels in " + where +
                               "/train-labels-idx1-ubyte, expected 6, one for each input of " +
                               where + "/train-images-idx3-ubyte");
  folder_.write("train-labels-idx1-ubyte", idx({6}, "\2\0\1\2"s));
  EXPECT_REFUSAL(folder(), place + where +
                               "/train-labels-idx1-ubyte: cut short: found 4 bytes of numbers, "
                               "expected 6 for the shape (6,)");
  folder_.write("train-labels-idx1-ubyte", idx({6, 2, 2}, std::string(24, '\1')));
  EXPECT_REFUSAL(folder(), "with an array of shape (6, 2, 2), expected 6 labels, one for each");
  folder_.write("train-labels-idx1-ubyte", "label\n1\n");
  EXPECT_REFUSAL(folder(), place + where +
                               "/train-labels-idx1-ubyte: not an IDX file: found the "
                               "first bytes 6c 61 62 65");
  // What is not looked at need not be right.
  EXPECT_EQ(make(folder("targets = \"random_sign\"\ntest_count = 0")).train.count(), 6);
}

TEST(FashionMnist, IsReadFromItsPackage) {
  const std::string common = "source = \"fashion_mnist\"\n";
  if (!fs::exists("/usr/share/datasets/fashion-mnist")) {
    EXPECT_REFUSAL(common,
                   "in /usr/share/datasets/fashion-mnist, expected Debian's package "
                   "dataset-fashion-mnist (apt-get install dataset-fashion-mnist), or data.path");
    GTEST_SKIP() << "NOT CHECKED: the images of Fashion-MNIST (dataset-fashion-mnist)";
  }
  const Settings settings = settings_of(common);
  const DataShape shape = data_shape(settings);
  EXPECT_EQ(shape.input, (Sizes{1, 28, 28}));
  EXPECT_EQ(shape.outputs, 10);
  EXPECT_EQ(shape.classes, 10);
  EXPECT_EQ(shape.train, 60'000);
  EXPECT_EQ(shape.test, 10'000);
  const Data data = make(common + "count = 1000\ntest_count = 1000\ntargets = \"index\"");
  EXPECT_EQ((Labels{data.train.labels.begin(), data.train.labels.begin() + 10}),
            (Labels{9, 0, 0, 3, 0, 2, 7, 2, 5, 5}));
  const auto [low, high] = std::minmax_element(data.train.inputs.begin(), data.train.inputs.end());
  EXPECT_EQ(*low, 0);
  EXPECT_EQ(*high, 1);
  Numbers count(10, 0.0);
  for (const std::int32_t label : data.test.labels) ++count[static_cast<std::size_t>(label)];
  for (const double c : count) EXPECT_NEAR(c, 100, 5 * std::sqrt(100 * 0.9));
}

// ---- keys

TEST(DataKeys, SayWhatIsMissingOrContradicts) {
  const std::string sphere = "source = \"sphere\"\n";
  EXPECT_REFUSAL(sphere, "test.toml:1: data.shape: found nothing, expected the shape of one input");
  EXPECT_REFUSAL(sphere + "shape = 3", "data.count: found nothing, expected how many examples");
  EXPECT_REFUSAL(sphere + "shape = 3\ncount = 2",
                 "data.targets: found \"one_hot\" with source = \"sphere\", which has no labels "
                 "(the default), expected one of \"teacher\", \"random_normal\", \"random_sign\"");
  const std::string drawn = sphere + "count = 2\ntargets = \"teacher\"\n";
  EXPECT_REFUSAL(drawn + "shape = 3", "data.teacher.stddev");
  EXPECT_REFUSAL(drawn + "shape = 3\nteacher = { hidden = [4, 5], stddev = [1.0, 2.0] }",
                 "data.teacher.stddev: found 2 values, expected one, or 3: one for each layer");
  EXPECT_REFUSAL(drawn + "teacher.stddev = 1.0\nshape = [1, 2, 3, 4]",
                 "data.shape: found 4 sizes, expected one (a length)");
  EXPECT_REFUSAL(drawn + "teacher.stddev = 1.0\nshape = []", "data.shape: found []");
  EXPECT_REFUSAL(drawn + "teacher.stddev = 1.0\nshape = [1000000, 1000000, 1000000]",
                 "data.shape: found [1000000, 1000000, 1000000], 2e+18 numbers in all");
  EXPECT_REFUSAL(drawn + "teacher.stddev = 1.0\nshape = 3\nclasses = [1]", "data.classes");
  EXPECT_REFUSAL("source = \"mnist\"", "data.path: found nothing, expected the folder");
  const std::string digits = "source = \"digits\"\n";
  EXPECT_REFUSAL(digits + "targets = \"values\"",
                 "data.targets: found \"values\" with source = \"digits\"");
  EXPECT_REFUSAL(digits + "normalize = \"bytes\"",
                 "data.normalize: found \"bytes\" with source = \"digits\"");
  EXPECT_REFUSAL(digits + "classes = [1, 2, 1]",
                 "data.classes: found 1 twice, expected each class once");
  EXPECT_REFUSAL(digits + "classes = []", "data.classes: found []");
  EXPECT_REFUSAL(digits + "shape = 64", "data.shape");
  EXPECT_REFUSAL(digits + "random_labels = 1.5", "data.random_labels: found 1.5");
  EXPECT_REFUSAL(digits + "test_count = -1", "data.test_count: found -1");
}

TEST(DataKeys, ATextNamesTheData) {
  const std::string digits = "source = \"digits\"\n";
  const std::string key = data_key(settings_of(digits));
  EXPECT_EQ(data_key(settings_of(digits + "targets = \"one_hot\"")), key) << "the default";
  std::set<std::string> keys{key};
  for (const std::string more :
       {"count = 5", "test_count = 5", "classes = [1, 2]", "targets = \"index\"",
        "random_labels = 0.5", "normalize = \"unit_norm\"", "subset = \"random\"",
        "targets = \"random_sign\"", "targets = \"random_sign\"\noutputs = 2",
        "targets = \"map\"\nlabel_map = [1.0]", "targets = \"teacher\"\nteacher.stddev = 1.0",
        "targets = \"teacher\"\nteacher = { stddev = 1.0, hidden = 3 }"}) {
    EXPECT_TRUE(keys.insert(data_key(settings_of(digits + more))).second) << more;
  }
  EXPECT_TRUE(keys.insert(data_key(settings_of(digits, {"problem.seed=1"}))).second);
}

TEST(DataKeys, MayBeOfSomeModelsOnly) {
  Spec spec;
  spec.add({.path = "problem.seed", .type = Type::integer, .default_value = std::int64_t{0}});
  spec.add(
      {.path = "model.kind", .type = Type::text, .required = true, .choices = {"fc", "chain"}});
  add_data_keys(spec, {{"model.kind", {"fc"}}});
  spec.check();
  const auto member = [&](const std::string& toml) {
    return Experiment::parse(toml, "test.toml", {}, spec).member(0);
  };
  EXPECT_FALSE(member("model.kind = \"chain\"").has("data.targets"));
  EXPECT_TRUE(member("model.kind = \"fc\"\ndata.source = \"digits\"").has("data.targets"));
  EXPECT_THROW((void)member("model.kind = \"fc\""), InputError) << "data.source is required";
  EXPECT_THROW((void)member("model.kind = \"chain\"\ndata.source = \"digits\""), InputError);
}

TEST(DataSets, TheSecondInputStandsAtAnAngleFromTheFirst) {
  const auto inputs = [](const std::string& more) {
    const Experiment experiment = Experiment::parse(
        "[model]\nkind = \"two_layer_relu\"\nhidden = 2\n[data]\nsource = \"sphere\"\nshape = 5\n"
        "count = 4\ntargets = \"random_normal\"\n" +
            more +
            "\n[init]\nkind = \"gaussian\"\n"
            "[optimizer]\nkind = \"gd\"\nlearning_rate = 1.0\n[stop]\nsteps = 1\n[probes]\n"
            "train_loss = { every = 1 }\n",
        "test.toml", {}, experiment_spec());
    return make_data(experiment.member(0)).train.inputs;
  };
  const std::vector<double> drawn = inputs("");
  for (const double angle : {1e-7, 0.3, 3.0}) {
    const std::vector<double> turned = inputs(fmt::format("angle = {}", angle));
    double apart = 0;
    double norm = 0;
    for (std::size_t j = 0; j < 5; ++j) {
      apart += (turned[j] - turned[5 + j]) * (turned[j] - turned[5 + j]);
      norm += turned[5 + j] * turned[5 + j];
    }
    EXPECT_NEAR(norm, 1, 1e-14);
    EXPECT_NEAR(2 * std::asin(std::sqrt(apart) / 2), angle, 1e-15 + 1e-8 * angle);
    for (std::size_t j = 0; j < turned.size(); ++j) {
      if (j < 5 || j >= 10) {
        EXPECT_EQ(turned[j], drawn[j]);
      }
    }
  }
}

}  // namespace
}  // namespace manyfold::testing
