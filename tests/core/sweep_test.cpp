// From [sweep] to members: order, zips, seeds, overrides, and the resolved experiment.
#include <bit>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <map>
#include <optional>
#include <random>
#include <set>

#include <gtest/gtest.h>
#include <malloc.h>

#include "core/error.hpp"
#include "core/sweep/experiment.hpp"
#include "tests/sanitized.hpp"

namespace manyfold {
namespace {

using Texts = std::vector<std::string>;
using Integers = std::vector<std::int64_t>;
using Indices = std::vector<std::int32_t>;

const Spec& test_spec() {
  static const Spec spec = [] {
    Spec s;
    s.add({.path = "name", .type = Type::text, .default_value = "unnamed", .sweepable = false});
    s.add({.path = "precision",
           .type = Type::text,
           .default_value = "f64",
           .choices = {"f64", "f32"}});
    s.add({.path = "seed", .type = Type::integer, .default_value = 0, .min = 0});
    s.add({.path = "problem.seed", .type = Type::integer, .default_value = 0, .min = 0});
    s.add({.path = "init.seed", .type = Type::integer, .min = 0, .default_key = "seed"});
    s.add({.path = "init.end_norm", .type = Type::number, .min = 0, .min_exclusive = true});
    s.add({.path = "init.shift", .type = Type::number, .default_value = 0.0});
    s.add({.path = "model.kind",
           .type = Type::text,
           .default_value = "deep_linear",
           .choices = {"deep_linear", "symmetric"}});
    s.add({.path = "model.depth", .type = Type::integer, .default_value = 3, .min = 1, .max = 64});
    s.add({.path = "model.hidden", .type = Type::integer | Type::integers, .min = 1});
    s.add({.path = "model.sizes", .type = Type::integers, .min = 1});
    s.add({.path = "model.tied",
           .type = Type::boolean,
           .default_value = true,
           .when = {{"model.kind", {"symmetric"}}}});
    s.add({.path = "optimizer.kind",
           .type = Type::text,
           .default_value = "gd",
           .choices = {"gd", "rms_gd", "langevin"}});
    s.add({.path = "optimizer.learning_rate",
           .type = Type::number,
           .required = true,
           .min = 0,
           .min_exclusive = true});
    s.add({.path = "optimizer.epsilon",
           .type = Type::number,
           .default_value = 1e-8,
           .min = 0,
           .when = {{"optimizer.kind", {"rms_gd"}}}});
    s.add({.path = "optimizer.temperature",
           .type = Type::number,
           .required = true,
           .min = 0,
           .when = {{"optimizer.kind", {"langevin"}}}});
    s.add({.path = "data.label", .type = Type::text});
    s.add({.path = "data.file", .type = Type::text, .is_path = true});
    s.add({.path = "probes.*.every", .type = Type::integer, .default_value = 100, .min = 1});
    s.add({.path = "probes.*.count", .type = Type::integer, .min = 1});
    s.add({.path = "stop.steps", .type = Type::integer, .min = 1});
    s.let_offshoots_set({"optimizer", "stop"});
    return s;
  }();
  return spec;
}

const std::string rate = "optimizer.learning_rate = 0.5\n";

Experiment parse(const std::string& toml, const Texts& overrides = {}) {
  return Experiment::parse(toml, "first.toml", overrides, test_spec());
}

std::string error_of(const std::string& toml, const Texts& overrides = {}) {
  try {
    parse(toml, overrides);
  } catch (const InputError& error) {
    return error.what();
  }
  return "no error";
}

/// Every key of every member, as text: equal texts are equal bits.
std::map<std::string, std::string> values_of(const Settings& settings) {
  std::map<std::string, std::string> values;
  for (const char* path : {"name",
                           "precision",
                           "seed",
                           "problem.seed",
                           "init.seed",
                           "init.end_norm",
                           "init.shift",
                           "model.kind",
                           "model.depth",
                           "model.hidden",
                           "model.sizes",
                           "model.tied",
                           "optimizer.kind",
                           "optimizer.learning_rate",
                           "optimizer.epsilon",
                           "optimizer.temperature",
                           "data.label",
                           "data.file",
                           "probes.a.every",
                           "probes.a.count",
                           "probes.b.every",
                           "probes.b.count"}) {
    if (settings.has(path)) values[path] = to_toml(settings.value(path));
  }
  for (const std::string& probe : settings.children("probes")) values["probes"] += probe + " ";
  return values;
}

template <class T>
std::vector<T> over_members(const Experiment& experiment,
                            T (Settings::*get)(std::string_view) const, std::string_view path) {
  std::vector<T> values;
  for (std::int64_t i = 0; i < experiment.members(); ++i) {
    values.push_back((experiment.member(i).*get)(path));
  }
  return values;
}

std::vector<double> numbers(const Experiment& experiment, std::string_view path) {
  return over_members(experiment, &Settings::number, path);
}

Integers integers(const Experiment& experiment, std::string_view path) {
  return over_members(experiment, &Settings::integer, path);
}

/// The record's coordinates tell of each member what its settings tell.
void expect_coordinates_agree(const Experiment& experiment) {
  for (const SweptKey& key : experiment.swept()) {
    ASSERT_EQ(key.value_of_member.size(), static_cast<std::size_t>(experiment.members()));
    std::int32_t seen = 0;
    for (std::size_t i = 0; i < key.value_of_member.size(); ++i) {
      const Settings member = experiment.member(static_cast<std::int64_t>(i));
      const std::int32_t index = key.value_of_member[i];
      ASSERT_EQ(member.has(key.path), index >= 0) << key.path << " of " << i;
      if (index < 0) continue;
      ASSERT_LE(index, seen) << "values are in order of first appearance";
      if (index == seen) ++seen;
      ASSERT_TRUE(same_bits(member.value(key.path), key.values[static_cast<std::size_t>(index)]));
    }
    EXPECT_EQ(static_cast<std::size_t>(seen), key.values.size()) << "no value that nobody has";
  }
}

void expect_same_when_resolved(const Experiment& experiment) {
  const std::string resolved = experiment.resolved_toml();
  const Experiment again = Experiment::parse(resolved, "resolved.toml", {}, test_spec());
  ASSERT_EQ(again.members(), experiment.members()) << resolved;
  for (std::int64_t i = 0; i < experiment.members(); ++i) {
    ASSERT_EQ(values_of(again.member(i)), values_of(experiment.member(i))) << i << resolved;
  }
  ASSERT_EQ(again.swept().size(), experiment.swept().size());
  for (std::size_t k = 0; k < again.swept().size(); ++k) {
    EXPECT_EQ(again.swept()[k].path, experiment.swept()[k].path);
    EXPECT_EQ(again.swept()[k].value_of_member, experiment.swept()[k].value_of_member);
  }
  EXPECT_EQ(again.resolved_toml(), resolved) << "a fixed point";
}

// The product.

TEST(Sweep, WrittenOrderLastFactorFastest) {
  const Experiment experiment = parse(rate + R"(
[sweep]
"seed" = [5, 3]
"init.end_norm" = [0.1, 0.2, 0.3]
"model.depth" = [7, 2]
)");
  ASSERT_EQ(experiment.members(), 12);
  EXPECT_EQ(integers(experiment, "seed"), (Integers{5, 5, 5, 5, 5, 5, 3, 3, 3, 3, 3, 3}));
  EXPECT_EQ(integers(experiment, "model.depth"), (Integers{7, 2, 7, 2, 7, 2, 7, 2, 7, 2, 7, 2}));
  EXPECT_EQ(numbers(experiment, "init.end_norm"),
            (std::vector<double>{.1, .1, .2, .2, .3, .3, .1, .1, .2, .2, .3, .3}));
  ASSERT_EQ(experiment.swept().size(), 3U);
  EXPECT_EQ(experiment.swept()[0].path, "seed");
  EXPECT_EQ(experiment.swept()[1].path, "init.end_norm");
  EXPECT_EQ(experiment.swept()[2].path, "model.depth");
  EXPECT_EQ(experiment.swept()[0].values.size(), 2U);
  EXPECT_EQ(experiment.swept()[1].value_of_member, (Indices{0, 0, 1, 1, 2, 2, 0, 0, 1, 1, 2, 2}));
  expect_coordinates_agree(experiment);
  expect_same_when_resolved(experiment);
}

TEST(Sweep, OrderIsThatOfTheFileWhateverTheSpelling) {
  // Alphabetical order, quoted or not, tables or not, would all give another order.
  const Experiment experiment = parse(rate + R"(
[sweep]
"seed" = [1, 2]
init.shift = [0.5]
zip = [ { model.depth = 2 } ]
precision = ["f32"]
init.end_norm = { values = [1, 2] }
[sweep.problem]
seed = { range = [2] }
[sweep."init.seed"]
range = [3]
)");
  Texts paths;
  for (const SweptKey& key : experiment.swept()) paths.push_back(key.path);
  EXPECT_EQ(paths, (Texts{"seed", "init.shift", "model.depth", "precision", "init.end_norm",
                          "problem.seed", "init.seed"}));
  EXPECT_EQ(experiment.members(), 24);
  expect_coordinates_agree(experiment);
  expect_same_when_resolved(experiment);
}

TEST(Sweep, WithoutSweepThereIsOneMember) {
  const Experiment experiment = parse(rate);
  EXPECT_EQ(experiment.members(), 1);
  EXPECT_TRUE(experiment.swept().empty());
  expect_same_when_resolved(experiment);
}

TEST(Sweep, Generators) {
  const auto values = [](const std::string& entry) {
    const Experiment e = parse(rate + "[sweep]\n\"init.shift\" = " + entry);
    expect_same_when_resolved(e);
    return numbers(e, "init.shift");
  };
  using List = std::vector<double>;
  EXPECT_EQ(values("{ values = [1, 2.5] }"), (List{1, 2.5}));
  EXPECT_EQ(values("{ linspace = [0, 1, 5] }"), (List{0, 0.25, 0.5, 0.75, 1}));
  EXPECT_EQ(values("{ linspace = [3, -3, 3] }"), (List{3, 0, -3}));
  EXPECT_EQ(values("{ linspace = [2, 7, 1] }"), (List{2}));
  EXPECT_EQ(values("{ linspace = [-1.7e308, 1.7e308, 3] }"), (List{-1.7e308, 0, 1.7e308}));
  EXPECT_EQ(values("{ geomspace = [1e-6, 1e0, 7] }"),
            (List{1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1e0}));
  EXPECT_EQ(values("{ geomspace = [-1, -100, 3] }"), (List{-1, -10, -100}));
  EXPECT_EQ(values("{ geomspace = [1e-300, 1e-300, 1] }"), (List{1e-300}));
  EXPECT_EQ(values("{ range = [3] }"), (List{0, 1, 2}));
  EXPECT_EQ(values("{ range = [2, 5] }"), (List{2, 3, 4}));
  EXPECT_EQ(values("{ range = [0, 10, 4] }"), (List{0, 4, 8}));
  EXPECT_EQ(values("{ range = [0, 8, 4] }"), (List{0, 4}));
  EXPECT_EQ(values("{ range = [5, -5, -4] }"), (List{5, 1, -3}));
  const Experiment wide = parse(
      rate + "[sweep]\nproblem.seed = { range = [0, 9223372036854775807, 4611686018427387904] }");
  EXPECT_EQ(integers(wide, "problem.seed"), (Integers{0, 4611686018427387904}));
}

TEST(Sweep, EndsOfSpacesAreExact) {
  std::mt19937 random(3);
  std::uniform_real_distribution<double> exponent(-300, 300);
  for (int i = 0; i < 200; ++i) {
    const double a = std::pow(10, exponent(random)), b = std::pow(10, exponent(random));
    for (const char* word : {"geomspace", "linspace"}) {
      const Experiment e = parse(rate + "[sweep]\ninit.shift = { " + word + " = [" + to_toml(a) +
                                 ", " + to_toml(b) + ", 4] }");
      const auto values = numbers(e, "init.shift");
      ASSERT_EQ(values.size(), 4U);
      EXPECT_EQ(values.front(), a);
      EXPECT_EQ(values.back(), b);
      for (int k = 1; k < 4; ++k) {
        EXPECT_EQ(values[std::size_t(k - 1)] < values[std::size_t(k)], a < b);
      }
    }
  }
}

TEST(Sweep, ListsTextsAndBooleans) {
  const Experiment experiment = parse(rate + R"(
model.kind = "symmetric"
[sweep]
model.hidden = [3, [4, 5], [6]]
model.sizes = [[1, 2], [3]]
model.tied = [true, false]
data.label = ["a", "b \"c\""]
)");
  EXPECT_EQ(experiment.members(), 3 * 2 * 2 * 2);
  EXPECT_EQ(experiment.member(0).integers("model.hidden"), Integers{3});
  EXPECT_EQ(experiment.member(8).integers("model.hidden"), (Integers{4, 5}));
  EXPECT_EQ(experiment.member(4).integers("model.sizes"), Integers{3});
  EXPECT_FALSE(experiment.member(2).boolean("model.tied"));
  EXPECT_EQ(experiment.member(1).text("data.label"), "b \"c\"");
  expect_coordinates_agree(experiment);
  expect_same_when_resolved(experiment);
}

TEST(Sweep, EqualValuesShareACoordinate) {
  const Experiment experiment =
      parse(rate + "[sweep]\nseed = [4, 4, 2]\ninit.shift = [0.0, -0.0, 0, 1]");
  EXPECT_EQ(experiment.members(), 12);
  EXPECT_EQ(experiment.swept()[0].value_of_member, (Indices{0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1}));
  EXPECT_EQ(experiment.swept()[1].values.size(), 3U) << "0.0 and -0.0 have different bits";
  EXPECT_TRUE(std::signbit(experiment.member(1).number("init.shift")));
  EXPECT_FALSE(std::signbit(experiment.member(2).number("init.shift")));
  expect_same_when_resolved(experiment);
}

TEST(Sweep, LocationsNameTheSweptValue) {
  const Experiment experiment = parse(rate + R"([sweep]
seed = [
  1,
  2,
]
zip = [
  { model.depth = 2 },
  { },
]
)",
                                      {"sweep.problem.seed=[3]"});
  EXPECT_EQ(experiment.member(0).location("seed").text(), "first.toml:4");
  EXPECT_EQ(experiment.member(2).location("seed").text(), "first.toml:5");
  EXPECT_EQ(experiment.member(0).location("model.depth").text(), "first.toml:8");
  EXPECT_EQ(experiment.member(1).location("model.depth").text(), "default");
  EXPECT_EQ(experiment.member(0).location("problem.seed").text(), "--set sweep.problem.seed=[3]");
  EXPECT_TRUE(experiment.member(0).is_written("model.depth"));
  EXPECT_FALSE(experiment.member(1).is_written("model.depth"));
}

// Zips.

TEST(Sweep, ZipTablesGoTogether) {
  const Experiment experiment = parse(R"(
model.depth = 9
[sweep]
zip = [
  { "model.depth" = 2, "optimizer.kind" = "gd", "optimizer.learning_rate" = 1e-3 },
  { optimizer = { kind = "rms_gd", epsilon = 1e-4 }, "optimizer.learning_rate" = 2e-5 },
  { model.depth = 4, optimizer.kind = "rms_gd", optimizer.learning_rate = 3e-4 },
]
seed = { range = [2] }
)");
  ASSERT_EQ(experiment.members(), 6);
  EXPECT_EQ(integers(experiment, "model.depth"), (Integers{2, 2, 9, 9, 4, 4})) << "base where left";
  EXPECT_EQ(numbers(experiment, "optimizer.learning_rate"),
            (std::vector<double>{1e-3, 1e-3, 2e-5, 2e-5, 3e-4, 3e-4}));
  EXPECT_FALSE(experiment.member(0).has("optimizer.epsilon"));
  EXPECT_EQ(experiment.member(2).number("optimizer.epsilon"), 1e-4);
  EXPECT_EQ(experiment.member(4).number("optimizer.epsilon"), 1e-8) << "the default where left";
  const auto& swept = experiment.swept();
  ASSERT_EQ(swept.size(), 5U);
  EXPECT_EQ(swept[0].path, "model.depth");
  EXPECT_EQ(swept[0].value_of_member, (Indices{0, 0, 1, 1, 2, 2}));
  EXPECT_EQ(std::get<std::int64_t>(swept[0].values[1]), 9);
  EXPECT_EQ(swept[3].path, "optimizer.epsilon") << "first appearance in the tables";
  EXPECT_EQ(swept[3].value_of_member, (Indices{-1, -1, 0, 0, 1, 1}));
  expect_coordinates_agree(experiment);
  expect_same_when_resolved(experiment);
}

TEST(Sweep, SeveralZipsAreSeveralFactors) {
  const Experiment experiment = parse(rate + R"(
[sweep]
precision = ["f64", "f32"]
zip = [
  [ { seed = 1, model.depth = 1 }, { seed = 2, model.depth = 2 } ],
  [ { problem.seed = 5 }, {}, { problem.seed = 7 } ],
]
)");
  ASSERT_EQ(experiment.members(), 12);
  EXPECT_EQ(integers(experiment, "seed"), (Integers{1, 1, 1, 2, 2, 2, 1, 1, 1, 2, 2, 2}));
  EXPECT_EQ(integers(experiment, "problem.seed"), (Integers{5, 0, 7, 5, 0, 7, 5, 0, 7, 5, 0, 7}));
  expect_coordinates_agree(experiment);
  expect_same_when_resolved(experiment);
  const Experiment tables = parse(rate + "[[sweep.zip]]\nseed = 1\n[[sweep.zip]]\nseed = 2\n");
  EXPECT_EQ(integers(tables, "seed"), (Integers{1, 2})) << "an array of tables is a list of tables";
}

TEST(Sweep, KeysThatApplyToSomeMembersOnly) {
  const Experiment experiment = parse(rate + R"(
optimizer.epsilon = 1e-3
[sweep]
optimizer.kind = ["gd", "rms_gd"]
model.kind = ["deep_linear", "symmetric"]
)");
  ASSERT_EQ(experiment.members(), 4);
  EXPECT_FALSE(experiment.member(0).has("optimizer.epsilon"));
  EXPECT_FALSE(experiment.member(0).is_written("optimizer.epsilon"));
  EXPECT_EQ(experiment.member(2).number("optimizer.epsilon"), 1e-3);
  EXPECT_FALSE(experiment.member(0).has("model.tied"));
  EXPECT_TRUE(experiment.member(1).boolean("model.tied"));
  EXPECT_EQ(experiment.base().number("optimizer.epsilon"), 1e-3);
  EXPECT_TRUE(experiment.base().boolean("model.tied")) << "a default that some member has";
  expect_same_when_resolved(experiment);

  const Experiment both = parse(rate + R"(
[sweep]
optimizer.kind = ["gd", "rms_gd"]
optimizer.epsilon = [1e-3, 1e-2]
)");
  EXPECT_EQ(both.swept()[1].value_of_member, (Indices{-1, -1, 0, 1}));
  expect_coordinates_agree(both);
  expect_same_when_resolved(both);
}

TEST(Sweep, NamesThatOnlySomeMembersHave) {
  const Experiment experiment = parse(rate + R"(
[probes.a]
[sweep]
zip = [ { probes.b.count = 3 }, {}, { probes.a.count = 2 } ]
)");
  ASSERT_EQ(experiment.members(), 3);
  EXPECT_EQ(experiment.member(0).children("probes"), (Texts{"a", "b"}));
  EXPECT_EQ(experiment.member(1).children("probes"), (Texts{"a"}));
  EXPECT_EQ(experiment.member(0).integer("probes.b.every"), 100);
  EXPECT_FALSE(experiment.member(1).has("probes.b.every"));
  EXPECT_EQ(experiment.member(2).integer("probes.a.count"), 2);
  expect_coordinates_agree(experiment);
  expect_same_when_resolved(experiment);
}

// Seeds.

TEST(Sweep, SeedsFollowOrAreSweptByThemselves) {
  const Experiment follow = parse(rate + "[sweep]\nseed = [3, 4]\n");
  EXPECT_EQ(integers(follow, "init.seed"), (Integers{3, 4}));
  EXPECT_EQ(integers(follow, "problem.seed"), (Integers{0, 0})) << "one problem for all members";
  EXPECT_FALSE(parse(follow.resolved_toml()).member(0).is_written("init.seed"))
      << "a seed that follows is not written out";
  expect_same_when_resolved(follow);

  const Experiment own = parse(rate + "[sweep]\nseed = [3, 4]\ninit.seed = [8, 9]");
  EXPECT_EQ(integers(own, "init.seed"), (Integers{8, 9, 8, 9}));
  expect_same_when_resolved(own);

  const Experiment fixed = parse(rate + "init.seed = 1\n[sweep]\nseed = [3, 4]");
  EXPECT_EQ(integers(fixed, "init.seed"), (Integers{1, 1}));

  const Experiment partly =
      parse(rate + "[sweep]\nseed = [3, 4]\nzip = [ { init.seed = 3 }, { model.depth = 5 } ]");
  EXPECT_EQ(integers(partly, "init.seed"), (Integers{3, 3, 3, 4}));
  EXPECT_EQ(partly.swept()[1].value_of_member, (Indices{0, 0, 0, 1}));
  expect_coordinates_agree(partly);
  expect_same_when_resolved(partly);
}

TEST(Sweep, AddingAValueChangesNoOtherMember) {
  const Experiment few = parse(rate + "[sweep]\nseed = [3, 4]\ninit.shift = [1, 2]");
  const Experiment more = parse(rate + "[sweep]\nseed = [3, 9, 4]\ninit.shift = [1, 2]");
  EXPECT_EQ(values_of(few.member(1)), values_of(more.member(1)));
  EXPECT_EQ(values_of(few.member(3)), values_of(more.member(5)));
}

// Overrides.

TEST(Sweep, OverridesReplaceTheBase) {
  const std::string toml = rate + "name = \"a\"\n[sweep]\nseed = [1, 2]\n";
  const auto member = [&](const Texts& overrides) { return parse(toml, overrides).member(0); };
  EXPECT_EQ(member({"name=b"}).text("name"), "b") << "a bare word is a text";
  EXPECT_EQ(member({"name=\"b c\""}).text("name"), "b c");
  EXPECT_EQ(member({"name=a=b"}).text("name"), "a=b");
  EXPECT_EQ(member({"name="}).text("name"), "");
  EXPECT_EQ(member({"optimizer.learning_rate=2"}).number("optimizer.learning_rate"), 2.0);
  EXPECT_EQ(member({"optimizer.learning_rate = 2e-1"}).number("optimizer.learning_rate"), 0.2);
  EXPECT_EQ(member({"optimizer.kind=rms_gd"}).number("optimizer.epsilon"), 1e-8);
  EXPECT_EQ(member({"\"model\".'depth'=4"}).integer("model.depth"), 4);
  EXPECT_EQ(member({"\"model.depth\"=4"}).integer("model.depth"), 4);
  EXPECT_EQ(member({"model.depth=4", "model.depth=5"}).integer("model.depth"), 5) << "the last";
  EXPECT_EQ(member({"model={depth=4,hidden=[1,2]}"}).integer("model.depth"), 4);
  EXPECT_EQ(member({"probes.a={}"}).children("probes"), Texts{"a"});
  EXPECT_EQ(member({"name=b"}).location("name").text(), "--set name=b");
  expect_same_when_resolved(parse(toml, {"name=b", "model={depth=4}", "probes.a={}"}));
}

TEST(Sweep, OverridesOfTheSweep) {
  const std::string toml = rate + R"([sweep]
"seed" = [1, 2]
init.end_norm = { geomspace = [1, 100, 3] }
zip = [ { model.depth = 2 }, { model.depth = 3 } ]
)";
  const auto experiment = [&](const Texts& overrides) {
    Experiment e = parse(toml, overrides);
    expect_coordinates_agree(e);
    expect_same_when_resolved(e);
    return e;
  };
  for (const char* spelling :
       {"sweep.seed=[7]", "sweep.\"seed\"=[7]", "sweep.'seed' = [7]", "sweep.seed={values=[7]}",
        "sweep.seed.values=[7]", "sweep.seed.range=[7,8]", "sweep.\"seed\".range=[7,8]"}) {
    const Experiment e = experiment({spelling});
    EXPECT_EQ(e.members(), 6) << spelling;
    EXPECT_EQ(e.swept()[0].path, "seed") << "the factor keeps its place";
    EXPECT_EQ(e.member(0).integer("seed"), 7);
  }
  for (const char* spelling :
       {"sweep.init.end_norm=[5]", "sweep.\"init.end_norm\"=[5]",
        "sweep.init.end_norm.linspace=[5,6,1]", "sweep.init={end_norm=[5]}"}) {
    EXPECT_EQ(experiment({spelling}).members(), 4) << spelling;
    EXPECT_EQ(experiment({spelling}).member(0).number("init.end_norm"), 5.0);
  }
  const Experiment added = experiment({"sweep.problem.seed=[1,2,3]"});
  EXPECT_EQ(added.members(), 36);
  EXPECT_EQ(added.swept().back().path, "problem.seed") << "a new factor comes last";
  EXPECT_EQ(added.member(1).integer("problem.seed"), 2);
  EXPECT_EQ(experiment({"sweep.zip=[{model.depth=9}]"}).members(), 6);
  EXPECT_EQ(experiment({"sweep.zip=[[{model.depth=9}],[{init.shift=1},{}]]"}).members(), 12);
  EXPECT_EQ(experiment({"sweep.seed=[1]", "sweep.seed=[4,5,6]"}).members(), 18);
  EXPECT_EQ(parse(rate, {"sweep.seed=[1,2]"}).members(), 2);
}

// What is refused.

struct Bad {
  const char* toml;
  Texts overrides;
  const char* message;
};

const Bad bad_sweeps[] = {
    {"sweep = 3", {}, "first.toml:2: sweep: found 3, expected a table of keys to vary"},
    {"[[sweep]]\nseed = [1]",
     {},
     "first.toml:2: sweep: found a list of tables, expected a table of keys to vary"},
    {"\n[sweep]\n",
     {},
     "first.toml:3: sweep: found an empty table, expected at least one key to vary"},
    {"[sweep]\nseed = []",
     {},
     "first.toml:3: sweep.\"seed\": found [], expected at least one value"},
    {"[sweep]\nseed = 3",
     {},
     "first.toml:3: sweep.\"seed\": found 3, expected a list of values, or a table with values, "
     "linspace, geomspace, range"},
    {"[sweep]\nseed = \"3\"",
     {},
     "first.toml:3: sweep.\"seed\": found \"3\", expected a list of values, or a table with "
     "values, linspace, geomspace, range"},
    {"[sweep]\n\"seed\" = {}",
     {},
     "first.toml:3: sweep.\"seed\": found an empty table, expected one of values, linspace, "
     "geomspace, range"},
    {"[sweep]\nseed = { rnage = [3] }",
     {},
     "first.toml:3: sweep.\"seed\": found rnage, expected one of values, linspace, geomspace, "
     "range; did you mean range?"},
    {"[sweep]\nseed = { range = [3], values = [1] }",
     {},
     "first.toml:3: sweep.\"seed\": found range and values, expected one of values, linspace, "
     "geomspace, range"},
    {"[sweep]\nseed = { values = 3 }",
     {},
     "first.toml:3: sweep.\"seed\": found values = 3, expected a list of values"},
    {"[sweep]\nseed = { values = [] }",
     {},
     "first.toml:3: sweep.\"seed\": found [], expected at least one value"},
    {"[sweep]\nseed = { range = [] }",
     {},
     "first.toml:3: sweep.\"seed\": found range = [], expected [stop], [start, stop] or [start, "
     "stop, step], all integers"},
    {"[sweep]\nseed = { range = 20 }",
     {},
     "first.toml:3: sweep.\"seed\": found range = 20, expected [stop], [start, stop] or [start, "
     "stop, step], all integers"},
    {"[sweep]\nseed = { range = [0] }",
     {},
     "first.toml:3: sweep.\"seed\": found range = [0], which is empty, expected at least one value "
     "(the stop is excluded)"},
    {"[sweep]\nseed = { range = [-3] }",
     {},
     "first.toml:3: sweep.\"seed\": found range = [-3], which is empty, expected at least one "
     "value (the stop is excluded)"},
    {"[sweep]\nseed = { range = [5, 5] }",
     {},
     "first.toml:3: sweep.\"seed\": found range = [5, 5], which is empty, expected at least one "
     "value (the stop is excluded)"},
    {"[sweep]\nseed = { range = [1, 5, 0] }",
     {},
     "first.toml:3: sweep.\"seed\": found a step of 0, expected a step up or down"},
    {"[sweep]\nseed = { range = [1, 5, -1] }",
     {},
     "first.toml:3: sweep.\"seed\": found range = [1, 5, -1], which is empty, expected at least "
     "one value (the stop is excluded)"},
    {"[sweep]\nseed = { range = [1, 2, 3, 4] }",
     {},
     "first.toml:3: sweep.\"seed\": found range = [1, 2, 3, 4], expected [stop], [start, stop] or "
     "[start, stop, step], all integers"},
    {"[sweep]\nseed = { range = [0.5] }",
     {},
     "first.toml:3: sweep.\"seed\": found range = [0.5], expected [stop], [start, stop] or [start, "
     "stop, step], all integers"},
    {"[sweep]\nseed = { range = [-2, 2] }",
     {},
     "first.toml:3: seed: found -2, expected an integer >= 0"},
    {"[sweep]\nmodel.depth = { range = [1, 100] }",
     {},
     "first.toml:3: model.depth: found 99, expected an integer >= 1 and <= 64"},
    {"[sweep]\nseed = { range = [100000001] }",
     {},
     "first.toml:3: sweep.\"seed\": found more than 100000000 values, expected at most 100000000 "
     "members"},
    {"[sweep]\nproblem.seed = { range = [-9223372036854775808, 9223372036854775807] }",
     {},
     "first.toml:3: sweep.\"problem.seed\": found more than 100000000 values, expected at most "
     "100000000 members"},
    {"[sweep]\nseed = { range = [100000] }\nproblem.seed = { range = [100000] }",
     {},
     "first.toml:4: sweep.\"problem.seed\": found 100000 values times 100000 members, expected at "
     "most 100000000 members"},
    {"[sweep]\nseed = { linspace = [0, 1, 5] }",
     {},
     "first.toml:3: sweep.\"seed\": found linspace, expected an integer >= 0: use values or range"},
    {"[sweep]\nprecision = { range = [3] }",
     {},
     "first.toml:3: precision: found 0, expected one of \"f64\", \"f32\""},
    {"[sweep]\ninit.shift = { linspace = [0, 1] }",
     {},
     "first.toml:3: sweep.\"init.shift\": found linspace = [0, 1], expected [first, last, count]"},
    {"[sweep]\ninit.shift = { linspace = [0, 1, 0] }",
     {},
     "first.toml:3: sweep.\"init.shift\": found linspace of 0 values, expected at least one value"},
    {"[sweep]\ninit.shift = { linspace = [0, 1, 2.5] }",
     {},
     "first.toml:3: sweep.\"init.shift\": found linspace = [0, 1, 2.5], expected [first, last, "
     "count]"},
    {"[sweep]\ninit.shift = { linspace = [0, inf, 3] }",
     {},
     "first.toml:3: sweep.\"init.shift\": found linspace = [0, inf, 3], expected finite ends"},
    {"[sweep]\ninit.shift = { linspace = [0, 1, 1000000000000] }",
     {},
     "first.toml:3: sweep.\"init.shift\": found more than 100000000 values, expected at most "
     "100000000 members"},
    {"[sweep]\ninit.shift = { geomspace = [-1, 1, 3] }",
     {},
     "first.toml:3: sweep.\"init.shift\": found geomspace = [-1, 1, 3], expected ends of one sign, "
     "neither of them zero"},
    {"[sweep]\ninit.shift = { geomspace = [0, 1, 3] }",
     {},
     "first.toml:3: sweep.\"init.shift\": found geomspace = [0, 1, 3], expected ends of one sign, "
     "neither of them zero"},
    {"[sweep]\ninit.end_norm = { geomspace = [-1, -2, 3] }",
     {},
     "first.toml:3: init.end_norm: found -1.0, expected a number > 0"},
    {"[sweep]\ninit.end_norm = [\n  1,\n  2,\n  -3,\n]",
     {},
     "first.toml:6: init.end_norm: found -3, expected a number > 0"},
    {"[sweep]\ninit.end_norm = [1, nan]",
     {},
     "first.toml:3: init.end_norm: found nan, expected a finite number > 0"},
    {"[sweep]\nseed = [1, \"2\"]", {}, "first.toml:3: seed: found \"2\", expected an integer >= 0"},
    {"[sweep]\nseed = [1, [2]]", {}, "first.toml:3: seed: found [2], expected an integer >= 0"},
    {"[sweep]\nseed = [1, {}]", {}, "first.toml:3: seed: found a table, expected an integer >= 0"},
    {"[sweep]\nmodel.sizes = [1, 2]",
     {},
     "first.toml:3: model.sizes: found 1, expected a list of integers >= 1"},
    {"[sweep]\nmodel.sizes = [[1, 2], []]",
     {},
     "first.toml:3: model.sizes: found [], expected a list of integers >= 1 that is not empty"},
    {"[sweep]\nprecision = [\"f64\", \"f23\"]",
     {},
     "first.toml:3: precision: found \"f23\", expected one of \"f64\", \"f32\"; did you mean "
     "\"f32\"?"},
    {"[sweep]\nname = [\"a\", \"b\"]",
     {},
     "first.toml:3: sweep.\"name\": cannot be varied: one value holds for all members"},
    {"[sweep]\nsede = [1]", {}, "first.toml:3: sweep.\"sede\": unknown key; did you mean seed?"},
    {"[sweep]\n\"init.end_nrom\" = { values = [1] }",
     {},
     "first.toml:3: sweep.\"init.end_nrom\": unknown key; did you mean init.end_norm?"},
    {"[sweep]\nfoo = { bar = { baz = [1] } }",
     {},
     "first.toml:3: sweep.\"foo.bar.baz\": unknown key; known at the top: name, precision, seed, "
     "problem, init, model, optimizer, data, probes, stop"},
    {"[sweep]\nmodel = [1]",
     {},
     "first.toml:3: sweep.\"model\": found a table of keys, expected one of its keys: kind, depth, "
     "hidden, sizes, tied"},
    {"[sweep]\nmodel = {}",
     {},
     "first.toml:3: sweep.\"model\": found a table of keys, expected one of its keys: kind, depth, "
     "hidden, sizes, tied"},
    {"[sweep]\nmodel = { values = [1] }",
     {},
     "first.toml:3: sweep.\"model\": found a table of keys, expected one of its keys: kind, depth, "
     "hidden, sizes, tied"},
    {"[sweep]\n\"init.seed\" = [1]\ninit.seed = [2]",
     {},
     "first.toml:4: sweep.\"init.seed\": written twice, first in first.toml:3"},
    {"[sweep]\nseed = [1]\nzip = [ { seed = 1 } ]",
     {},
     "first.toml:4: sweep.\"seed\": varied twice, first in first.toml:3"},
    {"[sweep]\nzip = [ [ { seed = 1 } ], [ { seed = 2 } ] ]",
     {},
     "first.toml:3: sweep.\"seed\": varied twice, first in first.toml:3"},
    {"[sweep]\nzip = 3",
     {},
     "first.toml:3: sweep.zip: found 3, expected a list of tables, or a list of such lists"},
    {"[sweep]\nzip = []",
     {},
     "first.toml:3: sweep.zip: found [], expected a list of tables, or a list of such lists"},
    {"[sweep]\nzip = {}",
     {},
     "first.toml:3: sweep.zip: found a table, expected a list of tables, or a list of such lists"},
    {"[sweep]\nzip = [ {}, {} ]",
     {},
     "first.toml:3: sweep.zip: found empty tables, expected at least one key"},
    {"[sweep]\nzip = [ [], [ {} ] ]",
     {},
     "first.toml:3: sweep.zip: found [], expected a list of tables, or a list of such lists"},
    {"[sweep]\nzip = [ { seed = 1 }, 3 ]",
     {},
     "first.toml:3: sweep.zip: found 3, expected a list of tables, or a list of "
     "such lists"},
    {"[sweep]\nzip = [ { seed = 1 },\n [ { init.seed = 1 } ] ]",
     {},
     "first.toml:4: sweep.zip: found a list beside tables, expected a list of tables, or a list of "
     "such lists"},
    {"[sweep]\nzip = [ { seed = 1 },\n { seed = [2, 3] } ]",
     {},
     "first.toml:4: seed: found [2, 3], expected an integer >= 0"},
    {"[sweep]\nzip = [ { seed = 1 },\n { seed = { range = [3] } } ]",
     {},
     "first.toml:4: seed: found a table, expected an integer >= 0"},
    {"[sweep]\nzip = [ { seed = 1 },\n { sede = 2 } ]",
     {},
     "first.toml:4: sede: unknown key; did you mean seed?"},
    {"[sweep]\nzip = [ { seed = 1 },\n { name = \"a\" } ]",
     {},
     "first.toml:4: name: cannot be varied: one value holds for all members"},
    {"[sweep]\nzip = [ { \"init.seed\" = 1, init.seed = 2 } ]",
     {},
     "first.toml:3: init.seed: written twice, first in first.toml:3"},
    {"[sweep]\noptimizer.epsilon = [\n 1, 2]",
     {},
     "first.toml:4: optimizer.epsilon: belongs to optimizer.kind = \"rms_gd\", but here "
     "optimizer.kind is \"gd\""},
    {"[sweep]\nzip = [\n { optimizer.kind = \"rms_gd\", optimizer.epsilon = 1 },\n"
     " { optimizer.kind = \"gd\", optimizer.epsilon = 1 } ]",
     {},
     "first.toml:5: optimizer.epsilon: belongs to optimizer.kind = \"rms_gd\", but here "
     "optimizer.kind is \"gd\""},
    {"model.tied = true\n[sweep]\noptimizer.kind = [\"gd\", \"rms_gd\"]",
     {},
     "first.toml:2: model.tied: belongs to model.kind = \"symmetric\", but here model.kind is "
     "\"deep_linear\""},
    {"[sweep]\noptimizer.kind = [\"gd\",\n \"langevin\"]",
     {},
     "first.toml:4: optimizer.temperature is missing where optimizer.kind = \"langevin\": expected "
     "a number >= 0"},
    {"[sweep]\nzip = [\n { optimizer.kind = \"langevin\", optimizer.temperature = 1 },\n"
     " { optimizer.kind = \"langevin\" } ]",
     {},
     "first.toml:5: optimizer.temperature is missing where optimizer.kind = \"langevin\": expected "
     "a number >= 0"},
    {"", {"name"}, "--set name: found no '=', expected KEY=VALUE"},
    {"", {"=3"}, "--set =3: found no key, expected KEY=VALUE"},
    {"", {" = 3"}, "--set  = 3: found no key, expected KEY=VALUE"},
    {"", {""}, "--set : found no '=', expected KEY=VALUE"},
    {"", {"a..b=3"}, "--set a..b=3: found a..b, expected a key such as optimizer.kind"},
    {"", {".a=3"}, "--set .a=3: found .a, expected a key such as optimizer.kind"},
    {"", {"a b=3"}, "--set a b=3: found a b, expected a key such as optimizer.kind"},
    {"", {"\"\"=3"}, "--set \"\"=3: found \"\", expected a key such as optimizer.kind"},
    {"",
     {"optimizer.learnin_rate=3"},
     "--set optimizer.learnin_rate=3: optimizer.learnin_rate: unknown key; did you mean "
     "optimizer.learning_rate?"},
    {"",
     {"optimizer.learning_rate=-3"},
     "--set optimizer.learning_rate=-3: optimizer.learning_rate: found -3, expected a number > 0"},
    {"",
     {"optimizer.kind=gdd"},
     "--set optimizer.kind=gdd: optimizer.kind: found \"gdd\", expected one of \"gd\", \"rms_gd\", "
     "\"langevin\"; did you mean \"gd\"?"},
    {"",
     {"model.depth=[1,2"},
     "--set model.depth=[1,2: model.depth: found \"[1,2\", expected an integer >= 1 and <= 64"},
    {"",
     {"model.depth=1\nseed=2"},
     "--set model.depth=1\nseed=2: model.depth: found \"1\\nseed=2\", expected an integer >= 1 and "
     "<= 64"},
    {"",
     {"model=3"},
     "--set model=3: model: found 3, expected a table with kind, depth, hidden, sizes, tied"},
    {"",
     {"model.depth.x=3"},
     "--set model.depth.x=3: model.depth: found a table, expected an integer >= 1 and <= 64"},
    {"",
     {"sweep=3"},
     "--set sweep=3: found the whole sweep, expected one entry of it: sweep.\"seed\"=[0, 1]"},
    {"",
     {"sweep={seed=[1]}"},
     "--set sweep={seed=[1]}: found the whole sweep, expected one entry of it: sweep.\"seed\"=[0, "
     "1]"},
    {"",
     {"sweep.seed=3"},
     "--set sweep.seed=3: sweep.\"seed\": found 3, expected a list of values, or a table with "
     "values, linspace, geomspace, range"},
    {"",
     {"sweep.sede=[3]"},
     "--set sweep.sede=[3]: sweep.\"sede\": unknown key; did you mean seed?"},
    {"",
     {"sweep.name=[a]"},
     "--set sweep.name=[a]: sweep.\"name\": cannot be varied: one value holds for all members"},
    {"", {"sweep.seed=[-1]"}, "--set sweep.seed=[-1]: seed: found -1, expected an integer >= 0"},
    {"",
     {"sweep.init={}"},
     "--set sweep.init={}: sweep.\"init\": found a table of keys, expected one of its keys: seed, "
     "end_norm, shift"},
    {"", {"name=\xff"}, "--set:1: not a text file: found byte 0xff at offset 5, expected UTF-8"},
    {"[sweep]\nseed = [1, 2]",
     {"seed=3"},
     "--set seed=3: seed is varied by the sweep (first.toml:3); override its entry there: --set "
     "'sweep.\"seed\"=[3]'"},
    {"[sweep]\ninit.seed = [1, 2]",
     {"init.seed=3"},
     "--set init.seed=3: init.seed is varied by the sweep (first.toml:3); override its entry "
     "there: --set 'sweep.\"init.seed\"=[3]'"},
    {"[sweep]\nzip = [ { seed = 1 } ]",
     {"seed=3"},
     "--set seed=3: seed is varied by the sweep (first.toml:3); override its entry there: --set "
     "'sweep.zip=[{...}, ...]'"},
    {"",
     {"sweep.seed=[1]", "seed=3"},
     "--set seed=3: seed is varied by the sweep (--set sweep.seed=[1]); override its entry there: "
     "--set 'sweep.\"seed\"=[3]'"},
    {"[sweep]\nzip = [ { seed = 1 } ]",
     {"sweep.seed=[3]"},
     "--set sweep.seed=[3]: sweep.\"seed\": varied twice, first in first.toml:3 by sweep.zip; "
     "write "
     "that anew"},
    {"optimizer.kind = \"rms_gd\"\noptimizer.epsilon = 1",
     {"optimizer.kind=gd"},
     "first.toml:3: optimizer.epsilon: belongs to optimizer.kind = \"rms_gd\", but here "
     "optimizer.kind is \"gd\" (--set optimizer.kind=gd)"},
};

TEST(Sweep, BadSweepsAreNamedWithPlaceKeyFoundAndExpected) {
  for (const Bad& bad : bad_sweeps) {
    EXPECT_EQ(error_of(rate + bad.toml, bad.overrides), bad.message) << bad.toml;
  }
}

// The resolved experiment.

TEST(Sweep, ResolvedTomlWritesEverythingOut) {
  const Experiment experiment = parse(R"(
name = "x"
probes = { b = {}, a = { count = 3 } }
optimizer.learning_rate = 2e-5
[sweep]
init.end_norm = { geomspace = [1e-2, 1, 3] }
seed = { range = [1, 4] }
zip = [ { model.depth = 2, optimizer.kind = "rms_gd" }, {} ]
)",
                                      {"init.shift=-0.0"});
  EXPECT_EQ(experiment.resolved_toml(), R"(name = "x"
precision = "f64"

[probes]

[probes.b]
every = 100

[probes.a]
count = 3
every = 100

[optimizer]
learning_rate = 2e-05
kind = "gd"
epsilon = 1e-08

[init]
shift = -0.0

[model]
depth = 3
kind = "deep_linear"

[problem]
seed = 0

[sweep]
"init.end_norm" = [0.01, 0.1, 1.0]
"seed" = { range = [1, 4, 1] }
zip = [
  { "model.depth" = 2, "optimizer.kind" = "rms_gd" },
  {},
]
)");
  expect_same_when_resolved(experiment);
}

TEST(Sweep, ResolvedTomlWritesDefaultsThatSomeRowTakes) {
  // To the conditions the last two rows are alike; only the last takes the defaults.
  const Experiment experiment = parse(rate + R"([sweep]
zip = [
  { optimizer.kind = "gd", model.depth = 2 },
  { optimizer.kind = "rms_gd", model.depth = 2, optimizer.epsilon = 1 },
  { optimizer.kind = "rms_gd" },
]
)");
  const std::string resolved = experiment.resolved_toml();
  EXPECT_NE(resolved.find("\ndepth = 3\n"), std::string::npos) << resolved;
  EXPECT_NE(resolved.find("\nepsilon = 1e-08\n"), std::string::npos) << resolved;
  EXPECT_EQ(resolved.find("\nkind = \"gd\"\n"), std::string::npos) << "no row takes it\n"
                                                                   << resolved;
  expect_same_when_resolved(experiment);
}

TEST(Sweep, ResolvedTomlKeepsEveryBit) {
  for (const char* value :
       {"1e-300", "5e-324", "2.2250738585072014e-308", "1.7976931348623157e308", "-0.0", "0.1",
        "123456789012345678", "1e22", "0.30000000000000004", "-1e-5"}) {
    expect_same_when_resolved(parse(rate + "init.shift = " + value));
    expect_same_when_resolved(parse(rate + "[sweep]\ninit.shift = [1, " + value + "]"));
  }
  for (const char* value :
       {R"("a \"quoted\" \\ one")", R"("line\nbreak\ttab\r\u0000\u007f")", R"('''it's "so"''')",
        R"("é € 😀 \U0001F600")", R"("")", R"("[sweep]")"}) {
    expect_same_when_resolved(parse(rate + "data.label = " + value));
    expect_same_when_resolved(parse(rate + "[sweep]\ndata.label = [" + value + ", \"x\"]"));
    expect_same_when_resolved(parse(rate + "[sweep]\nzip = [ { data.label = " + value + " } ]"));
  }
  expect_same_when_resolved(parse(rate + "probes.\"a name\".every = 3"));
  expect_same_when_resolved(parse(rate + "seed = 9223372036854775807"));
  expect_same_when_resolved(parse(rate + "data.file = \"x/é.npy\"\n[sweep]\nseed = [1]"));
  expect_same_when_resolved(parse(rate + "[sweep]\ndata.file = [\"x\", \"../y\"]"));
  std::mt19937_64 random(5);
  for (int i = 0; i < 300; ++i) {
    const auto value = std::bit_cast<double>(random());
    if (!std::isfinite(value)) continue;
    expect_same_when_resolved(parse(rate + "[sweep]\ninit.shift = [" + to_toml(value) + "]"));
  }
}

// Against the definition: each member evaluated by itself, key by key.

struct RandomCase {
  std::map<std::string, std::string> base;
  std::vector<std::vector<std::map<std::string, std::string>>> factors;
};

/// TOML text of a random value of a key.
std::string random_value(const std::string& key, std::mt19937& random) {
  const auto pick = [&](const Texts& words) { return words[random() % words.size()]; };
  if (key == "optimizer.kind") return pick({"\"gd\"", "\"rms_gd\"", "\"langevin\""});
  if (key == "model.kind") return pick({"\"deep_linear\"", "\"symmetric\""});
  if (key == "model.tied") return pick({"true", "false"});
  if (key == "seed" || key == "init.seed" || key == "model.depth") return pick({"1", "2", "3"});
  return pick({"0.5", "0.25", "1e-3"});
}

using Assignment = std::map<std::string, std::string>;

/// The values of one member by the definitions; nullopt where a required key is missing.
std::optional<Assignment> by_definition(const Assignment& written, Assignment* inapplicable) {
  const auto of = [&](const std::string& key, const std::string& otherwise) {
    const auto it = written.find(key);
    return it == written.end() ? otherwise : it->second;
  };
  Assignment all = {{"name", "\"unnamed\""},
                    {"precision", "\"f64\""},
                    {"seed", of("seed", "0")},
                    {"problem.seed", "0"},
                    {"init.seed", of("init.seed", of("seed", "0"))},
                    {"init.shift", of("init.shift", "0.0")},
                    {"model.kind", of("model.kind", "\"deep_linear\"")},
                    {"model.depth", of("model.depth", "3")},
                    {"optimizer.kind", of("optimizer.kind", "\"gd\"")}};
  if (!written.contains("optimizer.learning_rate")) return std::nullopt;
  all["optimizer.learning_rate"] = written.at("optimizer.learning_rate");
  const auto conditional = [&](const std::string& key, bool applies, const std::string& otherwise) {
    if (applies) all[key] = of(key, otherwise);
    if (!applies && written.contains(key)) (*inapplicable)[key] = written.at(key);
  };
  conditional("model.tied", all["model.kind"] == "\"symmetric\"", "true");
  conditional("optimizer.epsilon", all["optimizer.kind"] == "\"rms_gd\"", "1e-08");
  const bool langevin = all["optimizer.kind"] == "\"langevin\"";
  if (langevin && !written.contains("optimizer.temperature")) return std::nullopt;
  conditional("optimizer.temperature", langevin, "");
  for (auto& [key, value] : all) {
    if (value == "1e-3") value = "0.001";
  }
  return all;
}

TEST(Sweep, AgreesWithTheDefinition) {
  const Texts keys = {"seed",
                      "init.seed",
                      "init.shift",
                      "model.kind",
                      "model.depth",
                      "model.tied",
                      "optimizer.kind",
                      "optimizer.learning_rate",
                      "optimizer.epsilon",
                      "optimizer.temperature"};
  std::mt19937 random(17);
  int good = 0, bad = 0;
  for (int i = 0; i < 3000; ++i) {
    RandomCase c;
    Texts shuffled = keys;
    std::shuffle(shuffled.begin(), shuffled.end(), random);
    std::string toml;
    for (const std::string& key : keys) {
      if (random() % 3 != 0 && (key != "optimizer.learning_rate" || i % 2 == 0)) continue;
      c.base[key] = random_value(key, random);
      toml += key + " = " + c.base[key] + "\n";
    }
    toml += "[sweep]\n";
    std::string zip;
    std::size_t next = 0;
    const std::size_t factors = 1 + random() % 3;
    for (std::size_t f = 0; f < factors; ++f) {
      const bool is_zip = f == 0;
      std::vector<Assignment> rows(1 + random() % 3);
      const std::size_t width = is_zip ? 1 + random() % 4 : 1;
      for (std::size_t k = 0; k < width; ++k) {
        const std::string& key = shuffled[next++];
        for (Assignment& row : rows) {
          if (!is_zip || &row == &rows.front() || random() % 3 != 0) {
            row[key] = random_value(key, random);
          }
        }
        if (is_zip) continue;
        toml += "\"" + key + "\" = [";
        for (const Assignment& row : rows) toml += row.at(key) + ", ";
        toml += "]\n";
      }
      if (is_zip) {
        toml += "zip = [\n";
        for (const Assignment& row : rows) {
          std::string cells;
          for (const auto& [key, value] : row) {
            cells += (cells.empty() ? "" : ", ") + key + " = " + value;
          }
          toml += "  { " + cells + " },\n";
        }
        toml += "]\n";
      }
      c.factors.push_back(rows);
    }
    // Every member by the definition; what is written must apply to some member that has it.
    std::vector<Assignment> members;
    std::int64_t count = 1;
    for (const auto& factor : c.factors) count *= static_cast<std::int64_t>(factor.size());
    bool legal = true;
    std::set<std::string> used;  // "base key" and "factor row key"
    for (std::int64_t m = 0; m < count && legal; ++m) {
      Assignment written = c.base;
      std::map<std::string, std::string> owner;
      for (const auto& [key, value] : c.base) owner[key] = "base";
      std::int64_t rest = m;
      for (std::size_t f = c.factors.size(); f > 0; --f) {
        const auto rows = static_cast<std::int64_t>(c.factors[f - 1].size());
        const auto row = static_cast<std::size_t>(rest % rows);
        rest /= rows;
        for (const auto& [key, value] : c.factors[f - 1][row]) {
          written[key] = value;
          owner[key] = std::to_string(f - 1) + " " + std::to_string(row);
        }
      }
      Assignment inapplicable;
      const auto values = by_definition(written, &inapplicable);
      legal = values.has_value();
      if (!legal) break;
      members.push_back(*values);
      for (const auto& [key, source] : owner) {
        if (inapplicable.contains(key)) continue;
        used.insert(source + " " + key);
        used.insert("base " + key);  // a base value under a sweep applies where the key does
      }
    }
    for (const auto& [key, value] : c.base) legal = legal && used.contains("base " + key);
    for (std::size_t f = 0; f < c.factors.size(); ++f) {
      for (std::size_t row = 0; row < c.factors[f].size(); ++row) {
        for (const auto& [key, value] : c.factors[f][row]) {
          legal = legal && used.contains(std::to_string(f) + " " + std::to_string(row) + " " + key);
        }
      }
    }
    const std::string error = error_of(toml);
    ASSERT_EQ(error == "no error", legal) << toml << error;
    if (!legal) {
      ++bad;
      continue;
    }
    ++good;
    const Experiment experiment = parse(toml);
    ASSERT_EQ(experiment.members(), count) << toml;
    for (std::int64_t m = 0; m < count; ++m) {
      ASSERT_EQ(values_of(experiment.member(m)), members[static_cast<std::size_t>(m)]) << toml << m;
    }
    expect_coordinates_agree(experiment);
    expect_same_when_resolved(experiment);
  }
  EXPECT_GT(good, 300);
  EXPECT_GT(bad, 300);
}

// Size.

TEST(Sweep, AMillionMembersAreCheap) {
  const auto bytes = [] { return mallinfo2().uordblks + mallinfo2().hblkhd; };
  const std::size_t before = bytes();
  const auto start = std::chrono::steady_clock::now();
  const Experiment experiment = parse(rate + R"(
[sweep]
init.end_norm = { geomspace = [1e-6, 1e0, 7] }
zip = [
  { model.depth = 2, optimizer.kind = "gd" },
  { model.depth = 3, optimizer.kind = "rms_gd", optimizer.epsilon = 1e-4 },
  { model.depth = 4, optimizer.kind = "rms_gd" },
]
seed = { range = [0, 50000] }
)");
  ASSERT_EQ(experiment.members(), 1'050'000);
  std::int64_t depths = 0, seeds = 0;
  double epsilons = 0;
  for (std::int64_t i = 0; i < experiment.members(); ++i) {
    const Settings member = experiment.member(i);
    depths += member.integer("model.depth");
    seeds += member.integer("init.seed");
    if (member.has("optimizer.epsilon")) epsilons += member.number("optimizer.epsilon");
  }
  EXPECT_EQ(depths, 350'000 * (2 + 3 + 4));
  EXPECT_EQ(seeds, 21LL * 50'000 * 49'999 / 2);
  EXPECT_NEAR(epsilons, 350'000 * (1e-4 + 1e-8), 1e-6);
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  if (!test::is_sanitized()) {
    EXPECT_LT(took.count(), 10) << "about half a second";
  }
  // Five swept keys of four bytes a member, and the seeds themselves.
  const std::size_t used = bytes() - before;
  EXPECT_LT(used, 1'050'000U * 5 * 4 + 50'000U * 2 * 80 + 2'000'000U);
  EXPECT_EQ(experiment.swept()[4].value_of_member.back(), 49'999);
}

// Offshoots

const std::string with_offshoots = R"(
stop.steps = 100
optimizer.learning_rate = 0.5
[sweep]
"seed" = [7, 8]
"optimizer.learning_rate" = [0.5, 0.25, 0.125]
[offshoots.late]
at = { geomspace = [1, 100, 3] }
steps = 5
"optimizer.learning_rate" = 0.25
[offshoots.rms]
at = [30, 0]
optimizer.kind = "rms_gd"
optimizer.epsilon = 0.5
)";

TEST(Offshoots, StandAfterTheProductTableByTableAndStepByStep) {
  const Experiment experiment = parse(with_offshoots);
  EXPECT_EQ(experiment.product(), 6);
  ASSERT_EQ(experiment.members(), 6 * (1 + 3 + 2));
  const Integers at{1, 10, 100, 30, 0};
  for (std::int64_t m = 0; m < experiment.members(); ++m) {
    const auto branch = experiment.branch(m);
    const Settings settings = experiment.member(m);
    const std::int64_t parent = m % 6;
    EXPECT_EQ(settings.integer("seed"), 7 + parent / 3);
    const double rate_of_parent = 0.5 / static_cast<double>(1 << (parent % 3));
    if (m < 6) {
      EXPECT_FALSE(branch);
      EXPECT_EQ(settings.number("optimizer.learning_rate"), rate_of_parent);
      EXPECT_EQ(settings.integer("stop.steps"), 100);
      EXPECT_FALSE(settings.has("optimizer.epsilon"));
      continue;
    }
    ASSERT_TRUE(branch);
    const std::int64_t step = at[static_cast<std::size_t>(m / 6 - 1)];
    EXPECT_EQ(branch->parent, parent);
    EXPECT_EQ(branch->step, step);
    const bool late = m < 24;
    EXPECT_EQ(branch->offshoot, late ? "late" : "rms");
    EXPECT_EQ(branch->place.text(), late ? "first.toml:8" : "first.toml:12");
    // What the offshoot sets holds, swept or not.
    EXPECT_EQ(settings.number("optimizer.learning_rate"), late ? 0.25 : rate_of_parent);
    EXPECT_EQ(settings.integer("stop.steps"), late ? step + 5 : 100);
    EXPECT_EQ(settings.text("optimizer.kind"), late ? "gd" : "rms_gd");
    EXPECT_EQ(settings.has("optimizer.epsilon"), !late);
  }
}

TEST(Offshoots, CoordinatesHaveTheirValues) {
  const Experiment experiment = parse(with_offshoots);
  std::map<std::string, SweptKey> swept;
  Texts order;
  for (const SweptKey& key : experiment.swept()) {
    swept[key.path] = key;
    order.push_back(key.path);
  }
  EXPECT_EQ(order, (Texts{"seed", "optimizer.learning_rate", "stop.steps", "optimizer.kind",
                          "optimizer.epsilon"}));
  for (const auto& [path, key] : swept) {
    for (std::int64_t m = 0; m < experiment.members(); ++m) {
      const std::int32_t index = key.value_of_member[static_cast<std::size_t>(m)];
      const Settings settings = experiment.member(m);
      ASSERT_EQ(index >= 0, settings.has(path)) << path << " of " << m;
      if (index < 0) continue;
      EXPECT_TRUE(same_bits(key.values[static_cast<std::size_t>(index)], settings.value(path)))
          << path << " of " << m;
    }
  }
}

TEST(Offshoots, ResolvedTomlGivesTheSameMembers) {
  const Experiment first =
      parse(with_offshoots, {"offshoots.rms.steps=9", "offshoots.more.at=[3]"});
  const Experiment again = parse(first.resolved_toml());
  ASSERT_EQ(first.members(), 6 * 7);
  ASSERT_EQ(again.members(), first.members());
  EXPECT_EQ(again.resolved_toml(), first.resolved_toml());
  for (std::int64_t m = 0; m < first.members(); ++m) {
    EXPECT_EQ(values_of(first.member(m)), values_of(again.member(m)));
    EXPECT_EQ(first.identity(m), again.identity(m));
    const auto a = first.branch(m), b = again.branch(m);
    ASSERT_EQ(a.has_value(), b.has_value());
    if (!a) continue;
    EXPECT_EQ(a->parent, b->parent);
    EXPECT_EQ(a->step, b->step);
    EXPECT_EQ(a->offshoot, b->offshoot);
  }
}

TEST(Offshoots, OneMemberIsAnExperimentOfItsOwn) {
  const Experiment whole = parse(with_offshoots + "[probes.a]\nevery = 3\n");
  for (std::int64_t m = 0; m < whole.members(); ++m) {
    const std::int64_t last = whole.member(m).integer("stop.steps");
    const Experiment one = parse(whole.member_toml(m, last));
    ASSERT_EQ(one.members(), m < 6 ? 1 : 2);
    const Settings settings = one.member(one.members() - 1);
    EXPECT_EQ(values_of(settings), values_of(whole.member(m))) << m;
    EXPECT_EQ(settings.integer("stop.steps"), last);
    EXPECT_EQ(one.identity(one.members() - 1), whole.identity(m));
    EXPECT_EQ(whole.member_toml(m, last, false).find("probes"), std::string::npos);
    if (m < 6) continue;
    const std::int64_t at = whole.branch(m)->step;
    EXPECT_EQ(one.member(0).integer("stop.steps"), std::max<std::int64_t>(1, at));
    // Cut short at the branch itself.
    const Experiment cut = parse(whole.member_toml(m, at));
    EXPECT_EQ(cut.member(1).integer("stop.steps"), std::max<std::int64_t>(1, at));
  }
}

TEST(Offshoots, IdentitiesTellMembersApartButNotTheirLengths) {
  const Experiment experiment = parse(with_offshoots);
  std::set<std::string> identities;
  for (std::int64_t m = 0; m < experiment.members(); ++m) identities.insert(experiment.identity(m));
  EXPECT_EQ(identities.size(), 36U);
  const Experiment longer = parse(with_offshoots, {"stop.steps=200", "offshoots.late.steps=50"});
  for (std::int64_t m = 0; m < experiment.members(); ++m) {
    EXPECT_EQ(experiment.identity(m), longer.identity(m));
  }
  EXPECT_NE(parse(with_offshoots, {"problem.seed=3"}).identity(0), experiment.identity(0));
}

TEST(Offshoots, OverridesReplaceTheirKeys) {
  const Experiment experiment =
      parse(with_offshoots, {"offshoots.late.at=[4]", "offshoots.late.\"optimizer.kind\"=rms_gd",
                             "offshoots.rms.at={range=[2]}"});
  ASSERT_EQ(experiment.members(), 6 * 4);
  EXPECT_EQ(experiment.branch(6)->step, 4);
  EXPECT_EQ(experiment.member(6).text("optimizer.kind"), "rms_gd");
  EXPECT_EQ(experiment.member(6).number("optimizer.learning_rate"), 0.25);
  EXPECT_EQ(experiment.member(6).location("optimizer.kind").text(),
            "--set offshoots.late.\"optimizer.kind\"=rms_gd");
}

TEST(Offshoots, AMillionMembersAreCheap) {
  const Experiment experiment =
      parse(rate + "[sweep]\nseed.range = [1000]\n[offshoots.a]\nat.range = [1000]\nsteps = 3\n");
  EXPECT_EQ(experiment.members(), 1'001'000);
  EXPECT_EQ(experiment.member(1'000'999).integer("stop.steps"), 1002);
}

TEST(Sweep, MembersOutliveTheirExperiment) {
  std::optional<Settings> member, base;
  {
    const Experiment experiment = parse(rate + "[sweep]\ndata.label = [\"a long enough label\"]");
    member = experiment.member(0);
    base = experiment.base();
  }
  EXPECT_EQ(member->text("data.label"), "a long enough label");
  EXPECT_EQ(base->number("optimizer.learning_rate"), 0.5);
}

}  // namespace
}  // namespace manyfold
