// Reading experiment files: values, keys, conditions, defaults, and what is said about bad input.
#include <bit>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <limits>
#include <random>
#include <stdexcept>

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "core/config/reference.hpp"
#include "core/config/settings.hpp"
#include "core/config/spec.hpp"
#include "core/config/value.hpp"
#include "core/error.hpp"
#include "core/sweep/experiment.hpp"
#include "tests/scratch_folder.hpp"

namespace manyfold {
namespace {

using Texts = std::vector<std::string>;

const Spec& test_spec() {
  static const Spec spec = [] {
    Spec s;
    s.add({.path = "name",
           .type = Type::text,
           .doc = "What the experiment is called.",
           .default_value = "unnamed",
           .sweepable = false});
    s.add({.path = "precision",
           .type = Type::text,
           .default_value = "f64",
           .choices = {"f64", "f32", "tf32"}});
    s.add({.path = "seed", .type = Type::integer, .default_value = 0, .min = 0});
    s.add({.path = "model.kind",
           .type = Type::text,
           .doc = "What is trained.",
           .required = true,
           .choices = {"deep_linear", "symmetric"}});
    s.add({.path = "model.depth",
           .type = Type::integer,
           .doc = "Number of layers.",
           .default_value = 3,
           .min = 1,
           .max = 1024});
    s.add({.path = "model.hidden", .type = Type::integer | Type::integers, .min = 1, .max = 65536});
    s.add(
        {.path = "objective.target.kind", .type = Type::text, .choices = {"low_rank", "gaussian"}});
    s.add({.path = "objective.target.singular_values",
           .type = Type::number | Type::numbers,
           .required = true,
           .min = 0,
           .min_exclusive = true,
           .when = {{"objective.target.kind", {"low_rank"}}}});
    s.add({.path = "objective.symmetric", .type = Type::boolean, .default_value = false});
    s.add({.path = "objective.observed",
           .type = Type::number,
           .min = 0,
           .max = 1,
           .min_exclusive = true});
    s.add({.path = "init.seed", .type = Type::integer, .min = 0, .default_key = "seed"});
    s.add({.path = "init.offsets", .type = Type::numbers, .unit = "m"});
    s.add({.path = "init.shift", .type = Type::number});
    s.add({.path = "optimizer.kind", .type = Type::text, .choices = {"gd", "rms_gd", "langevin"}});
    s.add({.path = "optimizer.learning_rate",
           .type = Type::number,
           .doc = "Step size | eta.",
           .unit = "s",
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
           .when = {{"optimizer.kind", {"langevin"}}, {"objective.symmetric", {"false"}}}});
    s.add({.path = "optimizer.memory",
           .type = Type::number,
           .when = {{"optimizer.epsilon", {"0.0"}}}});
    s.add({.path = "data.file", .type = Type::text, .is_path = true});
    s.add({.path = "data.parts", .type = Type::texts, .is_path = true});
    s.add({.path = "data.labels", .type = Type::texts, .choices = {"cat", "dog"}});
    s.add({.path = "cadences.*.every", .type = Type::integer | Type::text, .min = 1});
    s.add({.path = "cadences.*.per_decade",
           .type = Type::integer,
           .default_value = 10,
           .when = {{"cadences.*.every", {"geometric"}}}});
    s.add({.path = "probes.*.every",
           .type = Type::integer,
           .default_value = 100,
           .min = 1,
           .names = {"train_loss", "test_loss", "balance"}});
    s.add({.path = "report.figures.size",
           .type = Type::integer,
           .default_value = 4,
           .with_table = true});
    return s;
  }();
  return spec;
}

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

const std::string model = "model.kind = \"deep_linear\"\n";

// Values.

TEST(Config, DoublesReadBackToTheSameBits) {
  std::mt19937_64 random(7);
  std::vector<double> values = {0.0,
                                -0.0,
                                1.0,
                                -1e22,
                                1e-300,
                                0.1,
                                123456789.0,
                                std::numeric_limits<double>::denorm_min(),
                                std::numeric_limits<double>::min(),
                                std::numeric_limits<double>::max(),
                                std::numeric_limits<double>::epsilon()};
  while (values.size() < 3000) {
    const auto value = std::bit_cast<double>(random());
    if (std::isfinite(value)) values.push_back(value);
  }
  std::string list;
  for (const double value : values) list += (list.empty() ? "" : ", ") + to_toml(value);
  const auto read = parse(model + "init.offsets = [" + list + "]").base().numbers("init.offsets");
  ASSERT_EQ(read.size(), values.size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    EXPECT_EQ(std::bit_cast<std::uint64_t>(read[i]), std::bit_cast<std::uint64_t>(values[i]))
        << to_toml(values[i]);
  }
}

TEST(Config, ValuesAsTomlWritesThem) {
  EXPECT_EQ(to_toml(true), "true");
  EXPECT_EQ(to_toml(std::int64_t{-7}), "-7");
  EXPECT_EQ(to_toml(100.0), "100.0");
  EXPECT_EQ(to_toml(-0.0), "-0.0");
  EXPECT_EQ(to_toml(2e-5), "2e-05");
  EXPECT_EQ(to_toml(std::numeric_limits<double>::infinity()), "inf");
  EXPECT_EQ(to_toml(std::string("a \"b\"\\\n\x01 \xc3\xa9")), R"("a \"b\"\\\n\u0001 é")");
  EXPECT_EQ(to_toml(std::vector<std::int64_t>{1, 2}), "[1, 2]");
  EXPECT_EQ(to_toml(std::vector<double>{1, 0.5}), "[1.0, 0.5]");
  EXPECT_EQ(to_toml(std::vector<std::string>{"a", "b"}), R"(["a", "b"])");
  EXPECT_EQ(toml_key("learning_rate"), "learning_rate");
  EXPECT_EQ(toml_key("a b"), "\"a b\"");
  EXPECT_EQ(toml_key(""), "\"\"");
  EXPECT_EQ(type_name(Value(2.0)), "a number");
  EXPECT_EQ(type_name(Value(std::vector<std::string>{})), "a list of strings");
  EXPECT_EQ((Location{"first.toml", 12}.text()), "first.toml:12");
  EXPECT_EQ((Location{"--set a=1", 0}.text()), "--set a=1");
  EXPECT_EQ(Location{}.text(), "default");
  EXPECT_FALSE(same_bits(Value(0.0), Value(-0.0)));
  EXPECT_TRUE(same_bits(Value(std::nan("")), Value(std::nan(""))));
  EXPECT_FALSE(same_bits(Value(1.0), Value(std::int64_t{1})));
}

// Keys.

TEST(Config, SpecRefusesMistakesOfTheProgram) {
  Spec spec;
  spec.add({.path = "a.b", .type = Type::integer});
  EXPECT_THROW(spec.add({.path = "a.b"}), std::logic_error);
  EXPECT_THROW(spec.add({.path = "a"}), std::logic_error);
  EXPECT_THROW(spec.add({.path = "a.b.c"}), std::logic_error);
  EXPECT_THROW(spec.add({.path = ""}), std::logic_error);
  EXPECT_THROW(spec.add({.path = "c..d"}), std::logic_error);
  EXPECT_THROW(spec.add({.path = "c", .default_value = "text"}), std::logic_error);
  EXPECT_THROW(spec.add({.path = "c", .default_value = -1.0, .min = 0}), std::logic_error);
  EXPECT_THROW(spec.add({.path = "c", .type = Type::text, .default_value = "x", .choices = {"y"}}),
               std::logic_error);
  EXPECT_THROW(spec.add({.path = "c", .default_value = 1, .default_key = "a.b"}), std::logic_error);
  spec.add({.path = "d", .default_value = 1});
  EXPECT_EQ(std::get<double>(*spec.find("d")->default_value), 1.0);

  Spec unknown;
  unknown.add({.path = "a", .when = {{"b", {"x"}}}});
  EXPECT_THROW(unknown.check(), std::logic_error);
  EXPECT_THROW(Experiment::parse("a = 1", "f", {}, unknown), std::logic_error);
  Spec circle;
  circle.add({.path = "a", .when = {{"b", {"x"}}}});
  circle.add({.path = "b", .default_key = "a"});
  EXPECT_THROW(circle.check(), std::logic_error);
}

TEST(Config, SpecFindsKeysAndNames) {
  Spec spec;
  spec.add({.path = "probes.*.every"});
  spec.add({.path = "probes.loss.every", .type = Type::text});
  spec.add({.path = "a.*.b.*.c", .names = {"x", "y"}});
  EXPECT_EQ(spec.find("probes.any.every")->path, "probes.*.every");
  EXPECT_EQ(spec.find("probes.loss.every")->path, "probes.loss.every");
  EXPECT_EQ(spec.find("probes.every"), nullptr);
  EXPECT_EQ(spec.find("probes..every"), nullptr);
  EXPECT_EQ(spec.find("a.1.b.x.c")->path, "a.*.b.*.c");
  EXPECT_EQ(spec.find("a.1.b.z.c"), nullptr);
  EXPECT_TRUE(spec.is_table("probes.any"));
  EXPECT_TRUE(spec.is_table("a.q.b.y"));
  EXPECT_FALSE(spec.is_table("a.q.b.z"));
  EXPECT_FALSE(spec.is_table("probes.any.every"));
  EXPECT_EQ(spec.children(""), (Texts{"probes", "a"}));
  EXPECT_EQ(spec.children("probes"), (Texts{"*", "loss"}));
  EXPECT_EQ(spec.children("a.1.b"), (Texts{"x", "y"}));
  EXPECT_EQ(bind_stars("a.*.k", "a.*.b.*.c", "a.1.b.x.c"), "a.1.k");
}

TEST(Config, NearestKey) {
  const Spec& spec = test_spec();
  EXPECT_EQ(spec.nearest("optimizer.learnin_rate"), "optimizer.learning_rate");
  EXPECT_EQ(spec.nearest("optimizer.learning-rate"), "optimizer.learning_rate");
  EXPECT_EQ(spec.nearest("optimizer.learning"), "optimizer.learning_rate");
  EXPECT_EQ(spec.nearest("optimiser.kind"), "optimizer.kind");
  EXPECT_EQ(spec.nearest("modle.depth"), "model.depth");
  EXPECT_EQ(spec.nearest("learning_rate"), "optimizer.learning_rate");
  EXPECT_EQ(spec.nearest("model.learning_rate"), "optimizer.learning_rate");
  EXPECT_EQ(spec.nearest("modeldepth"), "model.depth");
  EXPECT_EQ(spec.nearest("probes.tset_loss.evry"), "probes.test_loss.every");
  EXPECT_EQ(spec.nearest("cadences.mine.evry"), "cadences.mine.every");
  EXPECT_EQ(spec.nearest("quite.different"), std::nullopt);
  EXPECT_EQ(spec.nearest("foo.kind"), std::nullopt);  // many a table has a kind
  EXPECT_EQ(spec.nearest(""), std::nullopt);
  EXPECT_EQ(spec.nearest(std::string(100000, 'x')), std::nullopt);
}

// What is read.

TEST(Config, ReadsEveryTypeDottedInlineAndDefault) {
  const Experiment experiment = parse(R"(# a comment
name = "one"
objective.target = { kind = "low_rank", singular_values = [17, 8.5] }
objective.symmetric = true
[model]
kind = "symmetric"
hidden = [1, 2]
[init]
shift = 3
[data]
labels = ["cat", "dog"]
)");
  EXPECT_EQ(experiment.members(), 1);
  EXPECT_TRUE(experiment.swept().empty());
  const Settings s = experiment.member(0);
  EXPECT_EQ(s.text("name"), "one");
  EXPECT_EQ(s.text("objective.target.kind"), "low_rank");
  EXPECT_EQ(s.numbers("objective.target.singular_values"), (std::vector<double>{17, 8.5}));
  EXPECT_TRUE(s.boolean("objective.symmetric"));
  EXPECT_EQ(s.integers("model.hidden"), (std::vector<std::int64_t>{1, 2}));
  EXPECT_EQ(s.integers("model.depth"), (std::vector<std::int64_t>{3}));
  EXPECT_EQ(s.number("init.shift"), 3.0);
  EXPECT_EQ(s.value("init.shift").index(), 2U) << "an integer where numbers are asked is a number";
  EXPECT_EQ(s.texts("data.labels"), (Texts{"cat", "dog"}));
  EXPECT_EQ(s.texts("name"), (Texts{"one"}));
  EXPECT_EQ(s.numbers("model.hidden"), (std::vector<double>{1, 2}));

  EXPECT_TRUE(s.has("model.depth"));
  EXPECT_FALSE(s.is_written("model.depth"));
  EXPECT_TRUE(s.is_written("name"));
  EXPECT_FALSE(s.has("optimizer.learning_rate"));
  EXPECT_FALSE(s.has("no.such.key"));
  EXPECT_THROW(s.value("optimizer.learning_rate"), std::logic_error);
  EXPECT_THROW(s.integer("name"), std::logic_error);
  EXPECT_THROW(s.text("model.depth"), std::logic_error);
  EXPECT_THROW(s.boolean("name"), std::logic_error);
  EXPECT_THROW(s.integers("name"), std::logic_error);
  EXPECT_THROW(s.numbers("name"), std::logic_error);
  EXPECT_THROW(s.texts("model.depth"), std::logic_error);
  EXPECT_THROW(s.number("name"), std::logic_error);
  EXPECT_THROW(experiment.member(1), std::out_of_range);
  EXPECT_THROW(experiment.member(-1), std::out_of_range);
  EXPECT_FALSE(Settings().has("name"));
}

TEST(Config, LocationsAndRejection) {
  const Experiment experiment = parse(
      "model.kind = \"symmetric\"\n\n[objective]\nobserved = 0.5\n\n[probes.balance]\nevery = 3\n",
      {"seed=4"});
  const Settings s = experiment.member(0);
  EXPECT_EQ(s.location("objective.observed").text(), "first.toml:4");
  EXPECT_EQ(s.location("seed").text(), "--set seed=4");
  EXPECT_EQ(s.location("model.depth").text(), "default");
  EXPECT_EQ(s.location("objective").text(), "first.toml:3");
  EXPECT_EQ(s.location("probes.balance").text(), "first.toml:6");
  EXPECT_EQ(s.location("objective.target.kind").text(), "first.toml:3") << "the table around it";
  EXPECT_EQ(s.location("data.file").text(), "first.toml");
  const auto rejected = [&](std::string_view path) -> std::string {
    try {
      s.reject(path, "this", "that");
    } catch (const InputError& error) {
      return error.what();
    }
  };
  EXPECT_EQ(rejected("objective.observed"),
            "first.toml:4: objective.observed: found this, expected that");
  EXPECT_EQ(rejected("seed"), "--set seed=4: seed: found this, expected that");
  EXPECT_EQ(rejected("model.depth"),
            "first.toml: model.depth: found this (the default), expected that");
}

TEST(Config, ChildrenInWrittenOrder) {
  const Experiment experiment = parse(R"(
model.kind = "symmetric"
probes.test_loss.every = 5
cadences.slow = { every = "geometric", per_decade = 3 }
probes.balance = {}
[probes.train_loss]
[cadences.fast]
every = 1
)");
  const Settings s = experiment.member(0);
  EXPECT_EQ(s.children("probes"), (Texts{"test_loss", "balance", "train_loss"}));
  EXPECT_EQ(s.children("cadences"), (Texts{"slow", "fast"}));
  EXPECT_EQ(s.children("cadences.slow"), (Texts{"every", "per_decade"}));
  EXPECT_EQ(s.children(""), (Texts{"model", "probes", "cadences"}));
  EXPECT_EQ(s.children("model"), Texts{"kind"}) << "not the default of model.depth";
  EXPECT_EQ(s.children("report"), Texts{});
  EXPECT_EQ(experiment.base().children("probes"), s.children("probes"));
  EXPECT_EQ(s.integer("probes.test_loss.every"), 5);
  EXPECT_EQ(s.integer("probes.balance.every"), 100);
  EXPECT_FALSE(s.has("probes.nothing.every"));
  EXPECT_EQ(s.integer("cadences.slow.per_decade"), 3);
  EXPECT_FALSE(s.has("cadences.fast.per_decade")) << "the condition is bound to the same name";
  EXPECT_FALSE(s.has("report.figures.size")) << "its table is not written";
  EXPECT_EQ(parse(model + "[report.figures]").base().integer("report.figures.size"), 4);
}

TEST(Config, ConditionsDecideDefaults) {
  const Settings gd = parse(model + "optimizer.kind = \"gd\"").member(0);
  EXPECT_FALSE(gd.has("optimizer.epsilon"));
  const Settings rms = parse(model + "optimizer.kind = \"rms_gd\"").member(0);
  EXPECT_EQ(rms.number("optimizer.epsilon"), 1e-8);
  // A chain: memory asks for epsilon, which asks for the kind; values compare as TOML writes them.
  const Settings chain =
      parse(model + "optimizer = { kind = \"rms_gd\", epsilon = 0, memory = 1 }").member(0);
  EXPECT_EQ(chain.number("optimizer.memory"), 1.0);
}

TEST(Config, DefaultKeyFollowsItsKey) {
  EXPECT_EQ(parse(model + "seed = 5").member(0).integer("init.seed"), 5);
  EXPECT_EQ(parse(model).member(0).integer("init.seed"), 0);
  EXPECT_EQ(parse(model + "seed = 5\ninit.seed = 6").member(0).integer("init.seed"), 6);
  EXPECT_FALSE(parse(model + "seed = 5").member(0).is_written("init.seed"));
}

// What is refused: the message is the contract.

struct Bad {
  const char* toml;
  const char* message;
};

const Bad bad_files[] = {
    {"", "first.toml: the file is empty, expected an experiment"},
    {" \n\t\r\n", "first.toml: the file is empty, expected an experiment"},
    {"# nothing\n", "first.toml: the file sets no key, expected an experiment"},
    {"model.kind = \n", "first.toml:1:14: not TOML: key-value pair: expected value, saw '\\n'"},
    {"model.kind = \"deep_linear\"\nseed = 1\nseed = 2",
     "first.toml:3:8: not TOML: key-value pair: cannot redefine existing integer 'seed'"},
    {"[model\nkind = 1", "first.toml:1:7: not TOML: table header: expected ']', saw '\\n'"},
    {"seed = 99999999999999999999",
     "first.toml:1:28: not TOML: decimal integer: '99999999999999999999' is not representable in "
     "64 bits"},
    {"init.shift = 1e999",
     "first.toml:1:19: not TOML: floating-point: '1e999' is not representable in 64 bits"},
    {"init.shift = 1e-400",
     "first.toml:1:20: not TOML: floating-point: '1e-400' is not representable in 64 bits"},
    {"model.kind =\n", "first.toml:1:13: not TOML: key-value pair: expected value, saw '\\n'"},
    {"a = 1\nseed = [1.5, }", "first.toml:2:14: not TOML: unexpected '}'"},
    {"name = \xe2\x80\x9c"
     "abc\xe2\x80\x9d",
     "first.toml:1:8: not TOML: a character outside ASCII that is not in quotes"},
    {"name = \"\\\xc3\xa9\"",
     "first.toml:1:10: not TOML: a backslash before a character outside ASCII"},
    {"name = \"\"\"a\\\n  \xc3\xa9\"\"\"",
     "first.toml:2:3: a character outside ASCII after a backslash that ends a line: write it as an "
     "escape (\\u00e9)"},
    {"a = { b = , }", "first.toml:1:11: not TOML: key-value pair: expected value, saw ','"},
    {"name = \"a\xff\"",
     "first.toml:1: not a text file: found byte 0xff at offset 9, expected UTF-8"},
    {"[model]\nkind = \"symmetric\"\n[optimizer]\nlearnin_rate = 1e-3",
     "first.toml:4: optimizer.learnin_rate: unknown key; did you mean optimizer.learning_rate?"},
    {"[optimizer]\nfoo = 1",
     "first.toml:2: optimizer.foo: unknown key; known in optimizer: kind, learning_rate, epsilon, "
     "temperature, memory"},
    {"foo = 1",
     "first.toml:1: foo: unknown key; known at the top: name, precision, seed, model, objective, "
     "init, optimizer, data, cadences, probes, report"},
    {"foo.bar.baz = 1",
     "first.toml:1: foo.bar.baz: unknown key; known at the top: name, precision, seed, model, "
     "objective, init, optimizer, data, cadences, probes, report"},
    {"[modle]\nkind = \"symmetric\"",
     "first.toml:2: modle.kind: unknown key; did you mean model.kind?"},
    {"[modle]", "first.toml:1: modle: unknown key; did you mean model?"},
    {"[nothing]",
     "first.toml:1: nothing: unknown key; known at the top: name, precision, seed, model, "
     "objective, init, optimizer, data, cadences, probes, report"},
    {"learning_rate = 1",
     "first.toml:1: learning_rate: unknown key; did you mean optimizer.learning_rate?"},
    {"\n\nmodel = 3", "first.toml:3: model: found 3, expected a table with kind, depth, hidden"},
    {"model = []", "first.toml:1: model: found [], expected a table with kind, depth, hidden"},
    {"[[model]]\nkind = \"symmetric\"",
     "first.toml:1: model: found a list of tables, expected a table with kind, depth, hidden"},
    {"[model.depth]\nkind = 3",
     "first.toml:1: model.depth: found a table, expected an integer >= 1 and <= 1024"},
    {"model.depth = {}",
     "first.toml:1: model.depth: found a table, expected an integer >= 1 and <= 1024"},
    {"\"model.kind\" = \"symmetric\"",
     "first.toml:1: \"model.kind\": found a quoted key, expected parts without dots"},
    {"model.\"\" = 1", "first.toml:1: model.\"\": found a quoted key, expected parts without dots"},
    {"model.depth = \"3\"",
     "first.toml:1: model.depth: found \"3\", expected an integer >= 1 and <= 1024"},
    {"model.depth = 3.0",
     "first.toml:1: model.depth: found 3.0, expected an integer >= 1 and <= 1024 (write 3)"},
    {"model.depth = 3.5",
     "first.toml:1: model.depth: found 3.5, expected an integer >= 1 and <= 1024"},
    {"model.depth = true",
     "first.toml:1: model.depth: found true, expected an integer >= 1 and <= 1024"},
    {"model.depth = 1979-05-27",
     "first.toml:1: model.depth: found a date or time, expected an integer >= 1 and <= 1024"},
    {"model.depth = [3]",
     "first.toml:1: model.depth: found [3], expected an integer >= 1 and <= 1024"},
    {"model.depth = 0", "first.toml:1: model.depth: found 0, expected an integer >= 1 and <= 1024"},
    {"model.depth = -5",
     "first.toml:1: model.depth: found -5, expected an integer >= 1 and <= 1024"},
    {"model.depth = 1_000_000",
     "first.toml:1: model.depth: found 1000000, expected an integer >= 1 and <= 1024"},
    {"model.hidden = [20, 0]",
     "first.toml:1: model.hidden: found 0 as element 2, expected an integer >= 1 and <= 65536 or a "
     "list of integers >= 1 and <= 65536"},
    {"model.hidden = [20, 3.5]",
     "first.toml:1: model.hidden: found 3.5 as element 2, expected an integer >= 1 and <= 65536 or "
     "a list of integers >= 1 and <= 65536"},
    {"model.hidden = [20, \"a\"]",
     "first.toml:1: model.hidden: found \"a\" as element 2, expected an integer >= 1 and <= 65536 "
     "or a list of integers >= 1 and <= 65536"},
    {"model.hidden = []",
     "first.toml:1: model.hidden: found [], expected an integer >= 1 and <= 65536 or a list of "
     "integers >= 1 and <= 65536 that is not empty"},
    {"model.hidden = [[1]]",
     "first.toml:1: model.hidden: found [1] as element 1, expected an integer >= 1 and <= 65536 or "
     "a list of integers >= 1 and <= 65536"},
    {"model.kind = \"deep_liner\"",
     "first.toml:1: model.kind: found \"deep_liner\", expected one of \"deep_linear\", "
     "\"symmetric\"; did you mean \"deep_linear\"?"},
    {"model.kind = \"x\"",
     "first.toml:1: model.kind: found \"x\", expected one of \"deep_linear\", \"symmetric\""},
    {"model.kind = 3",
     "first.toml:1: model.kind: found 3, expected one of \"deep_linear\", \"symmetric\""},
    {"model.kind = [\"symmetric\"]",
     "first.toml:1: model.kind: found [\"symmetric\"], expected one of \"deep_linear\", "
     "\"symmetric\""},
    {"[optimizer]\n\nlearning_rate = -0.1",
     "first.toml:3: optimizer.learning_rate: found -0.1, expected a number > 0"},
    {"optimizer.learning_rate = 0",
     "first.toml:1: optimizer.learning_rate: found 0, expected a number > 0"},
    {"optimizer.learning_rate = nan",
     "first.toml:1: optimizer.learning_rate: found nan, expected a finite number > 0"},
    {"optimizer.learning_rate = inf",
     "first.toml:1: optimizer.learning_rate: found inf, expected a finite number > 0"},
    {"init.shift = -inf", "first.toml:1: init.shift: found -inf, expected a finite number"},
    {"init.shift = \"far\"", "first.toml:1: init.shift: found \"far\", expected a number"},
    {"init.offsets = [1, nan]",
     "first.toml:1: init.offsets: found nan as element 2, expected a list of finite numbers"},
    {"init.offsets = 1", "first.toml:1: init.offsets: found 1, expected a list of numbers"},
    {"init.offsets = [\n  1,\n  true,\n]",
     "first.toml:3: init.offsets: found true as element 2, expected a list of numbers"},
    {"init.offsets = [{}, 1]",
     "first.toml:1: init.offsets: found a table as element 1, expected a list of numbers"},
    {"objective.observed = 1.5",
     "first.toml:1: objective.observed: found 1.5, expected a number > 0 and <= 1"},
    {"objective.symmetric = 1",
     "first.toml:1: objective.symmetric: found 1, expected true or false"},
    {"objective.symmetric = \"true\"",
     "first.toml:1: objective.symmetric: found \"true\", expected true or false"},
    {"data.file = \"\"", "first.toml:1: data.file: found \"\", expected a path"},
    {"data.file = \"a\\u0000b\"", "first.toml:1: data.file: found \"a\\u0000b\", expected a path"},
    {"data.labels = [\"cat\", \"dgo\"]",
     "first.toml:1: data.labels: found \"dgo\" as element 2, expected a list of words from "
     "\"cat\", \"dog\"; did you mean \"dog\"?"},
    {"data.labels = \"cat\"",
     "first.toml:1: data.labels: found \"cat\", expected a list of words from \"cat\", \"dog\""},
    {"data.labels = [\"cat\", 1]",
     "first.toml:1: data.labels: found 1 as element 2, expected a list of words from \"cat\", "
     "\"dog\""},
    {"probes.tset_loss.every = 3",
     "first.toml:1: probes.tset_loss.every: unknown key; did you mean probes.test_loss.every?"},
    {"probes.loss = {}",
     "first.toml:1: probes.loss: unknown key; known in probes: train_loss, test_loss, balance"},
    {"probes.test_loss = { evry = 3 }",
     "first.toml:1: probes.test_loss.evry: unknown key; did you mean probes.test_loss.every?"},
    {"probes.test_loss = 3",
     "first.toml:1: probes.test_loss: found 3, expected a table with every"},
    {"cadences.a.b.every = 3",
     "first.toml:1: cadences.a.b.every: unknown key; known in cadences.a: every, per_decade"},
    {"seed = 1",
     "first.toml: model.kind is missing: expected one of \"deep_linear\", \"symmetric\""},
    {"seed = 1\n\n[model]\ndepth = 2",
     "first.toml:3: model.kind is missing: expected one of \"deep_linear\", \"symmetric\""},
    {"model.depth = 2",
     "first.toml:1: model.kind is missing: expected one of \"deep_linear\", \"symmetric\""},
    {"model.kind = \"symmetric\"\nobjective.target.kind = \"low_rank\"",
     "first.toml:2: objective.target.singular_values is missing where objective.target.kind = "
     "\"low_rank\": expected a number > 0 or a list of numbers > 0"},
    {"model.kind = \"symmetric\"\n[optimizer]\nkind = \"langevin\"",
     "first.toml:2: optimizer.temperature is missing where optimizer.kind = \"langevin\" and "
     "objective.symmetric = false: expected a number >= 0"},
    {"model.kind = \"symmetric\"\n[optimizer]\nkind = \"gd\"\nepsilon = 1e-4",
     "first.toml:4: optimizer.epsilon: belongs to optimizer.kind = \"rms_gd\", but here "
     "optimizer.kind is \"gd\""},
    {"model.kind = \"symmetric\"\n[optimizer]\nepsilon = 1e-4",
     "first.toml:3: optimizer.epsilon: belongs to optimizer.kind = \"rms_gd\", but here "
     "optimizer.kind is not set"},
    {"model.kind = \"symmetric\"\noptimizer.kind = \"rms_gd\"\noptimizer.memory = 1",
     "first.toml:3: optimizer.memory: belongs to optimizer.epsilon = 0.0, but here "
     "optimizer.epsilon is 1e-08"},
    {"model.kind = \"symmetric\"\noptimizer.memory = 1",
     "first.toml:2: optimizer.memory: belongs to optimizer.epsilon = 0.0, but here "
     "optimizer.epsilon is not set"},
    {"model.kind = \"symmetric\"\nobjective.symmetric = true\n[optimizer]\nkind = \"langevin\"\n"
     "temperature = 1",
     "first.toml:5: optimizer.temperature: belongs to objective.symmetric = false, but here "
     "objective.symmetric is true"},
    {"model.kind = \"symmetric\"\n[cadences.a]\nevery = 3\nper_decade = 5",
     "first.toml:4: cadences.a.per_decade: belongs to cadences.a.every = \"geometric\", but here "
     "cadences.a.every is 3"},
};

TEST(Config, BadFilesAreNamedWithPlaceKeyFoundAndExpected) {
  for (const Bad& bad : bad_files) EXPECT_EQ(error_of(bad.toml), bad.message) << bad.toml;
}

TEST(Config, LongFindingsAreShortened) {
  const std::string message = error_of("init.shift = \"" + std::string(5000, 'x') + "\"");
  EXPECT_LT(message.size(), 150U);
  std::string list;
  for (int i = 0; i < 1000; ++i) list += "1, ";
  EXPECT_EQ(error_of("init.shift = [" + list + "]"),
            "first.toml:1: init.shift: found a list of 1000 values, expected a number");
}

TEST(Config, NestingIsBounded) {
  const auto repeated = [](const std::string& text, int times) {
    std::string all;
    for (int i = 0; i < times; ++i) all += text;
    return all;
  };
  EXPECT_EQ(error_of("a = " + repeated("[", 1'000'000)),
            "first.toml:1:69: nested deeper than 64 levels");
  EXPECT_EQ(error_of(repeated("a.", 1'000'000) + "a = 1"),
            "first.toml:1:64: a key of more than 32 parts");
  EXPECT_EQ(error_of("\n[" + repeated("a . ", 1'000'000) + "a]"),
            "first.toml:2:128: a key of more than 32 parts");
  // Dots and brackets in strings, comments and lists of numbers are none.
  const std::string dots(1000, '.'), brackets(1000, '[');
  std::string numbers;
  for (int i = 0; i < 1000; ++i) numbers += "1.5, ";
  EXPECT_EQ(error_of(model + "name = \"" + dots + "\\\"" + brackets + "\" # " + brackets +
                     "\ninit.offsets = [" + numbers + "]\n"),
            "no error");
  EXPECT_EQ(error_of(model + "name = '''" + dots + "'" + brackets + "'''''\n"), "no error");
  EXPECT_EQ(error_of(model + "name = \"\"\"" + dots + "\\\"\"\"" + brackets + "\"\"\"\n"),
            "no error");
  // The deepest that is let through is far from any stack's end.
  std::string deepest = "x = 1";
  for (int i = 0; i < 60; ++i) deepest = fmt::format("{}a = {{{}}}", repeated("a.", 31), deepest);
  EXPECT_NE(error_of(deepest), "no error");
}

// Files.

std::string file_error(const std::filesystem::path& file) {
  try {
    Experiment::read(file, {}, test_spec());
  } catch (const InputError& error) {
    return error.what();
  }
  return "no error";
}

TEST(Config, FilesThatCannotBeRead) {
  const test::ScratchFolder folder;
  const std::string place = folder.path().string() + "/";
  EXPECT_EQ(file_error(folder.path() / "absent.toml"),
            place + "absent.toml: no such file, expected an experiment file");
  EXPECT_EQ(file_error(folder.write("f", "") / "absent.toml"),
            place + "f/absent.toml: no such file, expected an experiment file");
  EXPECT_EQ(file_error(folder.path()),
            folder.path().string() + ": found a directory, expected an experiment file");
  EXPECT_EQ(file_error(folder.write("empty.toml", "")),
            place + "empty.toml: the file is empty, expected an experiment");
  constexpr std::string_view elf("\x7f\x45LF\0\1", 6);
  EXPECT_EQ(file_error(folder.write("binary.toml", elf)),
            place + "binary.toml:1: not a text file: found a NUL byte at offset 4, expected TOML");
  EXPECT_EQ(file_error(folder.write("image.toml", "\x89PNG\r\n\x1a\n")),
            place + "image.toml:1: not a text file: found byte 0x89 at offset 0, expected UTF-8");
  EXPECT_EQ(file_error(folder.write("large.toml", std::string((16 << 20) + 1, '#'))),
            place + "large.toml: found a file of more than 16 MiB, expected an experiment file");
  EXPECT_EQ(file_error("/dev/zero"),
            "/dev/zero: found a file of more than 16 MiB, expected an experiment file");
  EXPECT_EQ(file_error(folder.write("full.toml", model + std::string((16 << 20) - 40, '#'))),
            "no error");
}

/// Root may read every file: as root, become nobody for a while.
class Nobody {
 public:
  Nobody() {
    if (geteuid() == 0 && seteuid(65534) != 0) throw std::runtime_error("seteuid");
  }
  ~Nobody() {
    if (getuid() == 0 && seteuid(0) != 0) std::abort();
  }
  Nobody(const Nobody&) = delete;
  Nobody& operator=(const Nobody&) = delete;
};

TEST(Config, FilesWithoutPermission) {
  const test::ScratchFolder folder;
  const auto file = folder.write("secret.toml", model);
  std::filesystem::permissions(file, std::filesystem::perms::none);
  std::string of_file, of_folder;
  {
    std::filesystem::permissions(folder.path(), std::filesystem::perms(0755));
    const Nobody nobody;
    of_file = file_error(file);
  }
  {
    std::filesystem::permissions(folder.path(), std::filesystem::perms::none);
    const Nobody nobody;
    of_folder = file_error(file);
  }
  std::filesystem::permissions(folder.path(), std::filesystem::perms::owner_all);
  EXPECT_EQ(of_file, file.string() + ": cannot be read: Permission denied");
  EXPECT_EQ(of_folder, file.string() + ": cannot be read: Permission denied");
}

TEST(Config, InvalidUtf8IsRefused) {
  const test::ScratchFolder folder;
  for (const char* bad : {"\xc0\xaf", "\xe0\x80\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80",
                          "\xf8\x88", "\xe2\x82", "\x80", "\xff"}) {
    EXPECT_NE(file_error(folder.write("bad.toml", "name = '" + std::string(bad) + "'"))
                  .find("expected UTF-8"),
              std::string::npos);
  }
  const auto good = folder.write("good.toml", model + "name = 'é€😀\xed\x9f\xbf'");
  EXPECT_EQ(file_error(good), "no error");
  EXPECT_EQ(file_error(folder.write("bom.toml", "\xef\xbb\xbf" + model)), "no error");
}

TEST(Config, PathsAreRelativeToTheFile) {
  const test::ScratchFolder folder;
  std::filesystem::create_directory(folder.path() / "sub");
  const auto file = folder.write(
      "sub/first.toml", model + "[data]\nfile = \"../a/b.npy\"\nparts = [\"c\", \"/d\"]\n");
  const Experiment experiment = Experiment::read(file, {}, test_spec());
  EXPECT_EQ(experiment.folder(), folder.path() / "sub");
  EXPECT_EQ(experiment.base().text("data.file"), (folder.path() / "a/b.npy").string());
  EXPECT_EQ(experiment.base().texts("data.parts"),
            (Texts{(folder.path() / "sub/c").string(), "/d"}));
  const auto here = std::filesystem::current_path();
  const Experiment overridden = Experiment::read(file, {"data.file=x/y.npy"}, test_spec());
  EXPECT_EQ(overridden.base().text("data.file"), (here / "x/y.npy").string());
  EXPECT_EQ(parse(model).folder(), here);
  EXPECT_NE(experiment.resolved_toml().find(to_toml((folder.path() / "a/b.npy").string())),
            std::string::npos);
}

// Whatever the bytes: an experiment or an InputError.

TEST(Config, RandomBytesNeverCrash) {
  const std::string good = R"(
name = "depth \u00e9 \"x\""
model = { kind = "symmetric", hidden = [20, 0x1f] }
objective.target = { kind = "low_rank", singular_values = [1.5, 2e3] }
[optimizer]
kind = "rms_gd"
epsilon = 1e-4
[probes]
test_loss = { every = 3 }
balance = {}
[sweep]
"optimizer.learning_rate" = { geomspace = [1e-6, 1e0, 7] }
zip = [ { "model.depth" = 2, seed = 1 }, { model.depth = 3 } ]
init.seed = { range = [0, 20] }
)";
  ASSERT_EQ(error_of(good), "no error");
  std::mt19937 random(11);
  const std::string alphabet = "[]{}=.,\"'#\n\\ \t-+_0123456789eExnaif\xc3\xa9\xff";
  int accepted = 0;
  for (int i = 0; i < 12000; ++i) {
    std::string text = i % 3 == 0 ? std::string() : good;
    if (text.empty()) {
      for (auto length = random() % 60; length > 0; --length) {
        text +=
            i % 2 == 0 ? static_cast<char>(random() % 256) : alphabet[random() % alphabet.size()];
      }
    } else {
      for (auto change = 1 + random() % 4; change > 0; --change) {
        const std::size_t at = random() % text.size();
        const std::size_t other = random() % text.size();
        switch (random() % 4) {
          case 0:
            text[at] = static_cast<char>(random() % 256);
            break;
          case 1:
            text.insert(at, 1, alphabet[random() % alphabet.size()]);
            break;
          case 2:
            text.erase(at, 1 + random() % 5);
            break;
          default:
            text.insert(at, text.substr(other, random() % 30));
            break;
        }
      }
    }
    try {
      const Experiment experiment = parse(text);
      ++accepted;
      if (experiment.members() <= 1000) {
        EXPECT_EQ(parse(experiment.resolved_toml()).members(), experiment.members()) << text;
      }
    } catch (const InputError& error) {
      EXPECT_TRUE(std::string_view(error.what()).starts_with("first.toml")) << error.what();
    }
  }
  EXPECT_GT(accepted, 50);
}

// Documentation.

TEST(Config, ReferenceTellsEveryKey) {
  const std::string page = reference_markdown(test_spec());
  for (const KeySpec& key : test_spec().keys()) {
    EXPECT_NE(page.find("| `" + key.path + "` |"), std::string::npos) << key.path;
  }
  for (const char* piece :
       {"## At the top\n",
        "\n## `[optimizer]`\n\n| key | accepts | unit | default | where | meaning |\n",
        "| `optimizer.learning_rate` | a number > 0 | s | none |  | Step size \\| eta. |\n",
        "| `optimizer.epsilon` | a number >= 0 | 1 | `1e-08` | `optimizer.kind = \"rms_gd\"` |  "
        "|\n"}) {
    EXPECT_NE(page.find(piece), std::string::npos) << piece << "is not in\n" << page;
  }
  EXPECT_EQ(reference_text(test_spec(), "optimizer.temperature"),
            "optimizer.temperature\n"
            "    accepts: a number >= 0\n"
            "    default: required\n"
            "    where: optimizer.kind = \"langevin\" and objective.symmetric = false\n");
  EXPECT_EQ(reference_text(test_spec(), "init.seed"),
            "init.seed\n    accepts: an integer >= 0\n    default: that of seed\n");
  EXPECT_NE(reference_text(test_spec(), "probes.balance.every").find("probes.*.every"),
            std::string::npos);
  EXPECT_NE(reference_text(test_spec(), "init").find("init.offsets"), std::string::npos);
  EXPECT_EQ(reference_text(test_spec(), "init").find("optimizer"), std::string::npos);
  EXPECT_THROW(reference_text(test_spec(), "optimizer.foo"), InputError);
}

}  // namespace
}  // namespace manyfold
