// manyfold data: what it says of arrays and records, what it converts, and that what it writes out
// of an experiment is what a run trains on.
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "core/data/array_file.hpp"
#include "tests/apps/netcdf_file.hpp"
#include "tests/apps/program.hpp"
#include "tests/same_bits.hpp"

namespace manyfold::testing {
namespace {

using Numbers = std::vector<double>;
using test::same_bits;

constexpr double nan = std::numeric_limits<double>::quiet_NaN();
const std::string python = "/usr/bin/python3";

/// Rank 2, with singular values 3 and 2.
const Array matrix{.shape = {2, 3}, .values = {0, 3, 0, 2, 0, 0}, .type = "f8"};

TEST(DataInspect, SaysWhatAnArrayIs) {
  const Scratch scratch;
  write_array(scratch / "a.npy", matrix);
  const Outcome text = run_program(scratch.path(), {"data", "inspect", "a.npy"});
  EXPECT_EQ(text.exit_code, 0) << text;
  for (const std::string line :
       {"shape       (2, 3)\n", "type        f8\n", "elements    6\n", "min         0\n",
        "max         3\n", "rank        2\n", "singular    3, 2\n"}) {
    EXPECT_TRUE(contains(text.out, line)) << line << text;
  }
  const auto json = run_program(scratch.path(), {"data", "inspect", "a.npy", "--json"}).json();
  EXPECT_EQ(json.at("shape"), (std::vector<int>{2, 3}));
  EXPECT_EQ(json.at("rank"), 2);
  EXPECT_NEAR(json.at("singular_values").at(0).get<double>(), 3, 1e-14);
  EXPECT_NEAR(json.at("singular_values").at(1).get<double>(), 2, 1e-14);
  EXPECT_EQ(json.at("mean"), 5.0 / 6);
  EXPECT_NEAR(json.at("norm").get<double>(), std::sqrt(13.0), 1e-15);
  EXPECT_EQ(json.at("not_finite"), 0);

  // What is not finite is counted and left out; sums of huge numbers do not overflow.
  write_array(scratch / "b.npy", {.shape = {5}, .values = {nan, 1e300, -HUGE_VAL, 1e300, 0}});
  const auto odd = run_program(scratch.path(), {"data", "inspect", "b.npy", "--json"}).json();
  EXPECT_EQ(odd.at("not_finite"), 2);
  EXPECT_NEAR(odd.at("norm").get<double>() / 1e300, std::sqrt(2.0), 1e-15);
  EXPECT_NEAR(odd.at("mean").get<double>() / 1e300, 2.0 / 3, 1e-15);
  EXPECT_FALSE(odd.contains("rank"));
  write_array(scratch / "c.npy", {.shape = {1, 1}, .values = {nan}});
  EXPECT_TRUE(run_program(scratch.path(), {"data", "inspect", "c.npy", "--json"})
                  .json()
                  .at("norm")
                  .is_null());
}

TEST(DataInspect, SaysWhatARecordHolds) {
  const Scratch scratch;
  write_file(scratch / "small.toml", small_experiment);
  ASSERT_EQ(run_program(scratch.path(), {"run", "small.toml", "--out", "out", "--quiet", "--device",
                                         "cpu", "--set", "stop.train_loss=1e-3"})
                .exit_code,
            0);
  for (const std::string name : {"out", "out/record.nc"}) {
    const Outcome text = run_program(scratch.path(), {"data", "inspect", name});
    EXPECT_EQ(text.exit_code, 0) << text;
    EXPECT_TRUE(contains(text.out, "name        small\n")) << text;
    EXPECT_TRUE(contains(text.out, "member 4")) << text;
    EXPECT_TRUE(contains(text.out, "train_loss ")) << text;
    const auto json = run_program(scratch.path(), {"data", "inspect", name, "--json"}).json();
    std::int64_t members = 0;
    for (const auto& [status, count] : json.at("members").items()) {
      EXPECT_TRUE(status == "finished" || status == "converged") << status;
      members += count.get<std::int64_t>();
    }
    EXPECT_EQ(members, 4);
    EXPECT_EQ(json.at("dimensions").at("member"), 4);
  }
  const NetcdfFile record = read_record(scratch / "out/record.nc");
  const auto json =
      run_program(scratch.path(), {"data", "inspect", "out", "--variable", "end_step", "--json"})
          .json();
  double largest = 0;
  for (const std::int64_t step : record.at("end_step").integers()) {
    largest = std::max(largest, static_cast<double>(step));
  }
  EXPECT_EQ(json.at("max"), largest);
}

TEST(DataConvert, KeepsTheBits) {
  const Scratch scratch;
  const Array array{.shape = {2, 2}, .values = {0.1, -0.0, 5e-324, nan}, .type = "f8"};
  write_array(scratch / "a.npy", array);
  for (const auto& [from, to] : std::vector<std::pair<std::string, std::string>>{
           {"a.npy", "b.csv"}, {"b.csv", "c.nc"}, {"c.nc", "d.npy"}}) {
    const Outcome outcome = run_program(scratch.path(), {"data", "convert", from, to});
    EXPECT_EQ(outcome.exit_code, 0) << outcome;
    EXPECT_EQ(outcome.out, to + ": 4 numbers of shape (2, 2)\n");
    EXPECT_TRUE(same_bits(read_array(scratch / to).values, array.values)) << to;
  }
  EXPECT_EQ(read_file(scratch / "a.npy"), read_file(scratch / "d.npy"));

  const auto before = contents_of(scratch.path());
  const Outcome exists = run_program(scratch.path(), {"data", "convert", "a.npy", "b.csv"});
  EXPECT_EQ(exists.exit_code, 2);
  EXPECT_TRUE(contains(exists.err, "b.csv exists; --overwrite replaces it")) << exists;
  EXPECT_EQ(changes(before, contents_of(scratch.path())), no_changes);
  write_array(scratch / "e.npy", matrix);
  EXPECT_EQ(
      run_program(scratch.path(), {"data", "convert", "e.npy", "b.csv", "--overwrite"}).exit_code,
      0);
  EXPECT_EQ(read_file(scratch / "b.csv"), "0,3,0\n2,0,0\n");
  // A named variable keeps its name.
  write_array(scratch / "f.nc", matrix, "group/target");
  ASSERT_EQ(
      run_program(scratch.path(), {"data", "convert", "f.nc", "g.nc", "--variable", "group/target"})
          .exit_code,
      0);
  EXPECT_EQ(read_array(scratch / "g.nc", "target").values, matrix.values);
}

TEST(DataInspectAndConvert, RefuseBadFiles) {
  const Scratch scratch;
  write_array(scratch / "a.npy", matrix);
  write_array(scratch / "a.nc", matrix, "v");
  write_array(scratch / "cube.npy", {.shape = {1, 1, 2}, .values = {1, 2}});
  write_file(scratch / "ragged.csv", "1,2\n3\n");
  fs::create_directory(scratch / "folder");
  const auto before = contents_of(scratch.path());
  struct Bad {
    Arguments arguments;
    std::string message;
  };
  for (const Bad& bad : std::vector<Bad>{
           {{"inspect", "absent.npy"}, "absent.npy: no such file\n"},
           {{"inspect", "folder"}, "folder: found a folder without record.nc"},
           {{"inspect", "ragged.csv"}, "ragged.csv:2: found 1 values, expected 2 as in line 1\n"},
           {{"inspect", "a.nc", "--variable", "w"}, "no variable \"w\"; those there are: v\n"},
           {{"inspect", "a.npy", "--variable", "w"}, "a file that ends in .npy has one array"},
           {{"inspect"}, "file is required"},
           {{}, "subcommand is required"},
           {{"convert", "a.npy"}, "out is required"},
           {{"convert", "a.npy", "b.xls"}, "b.xls: found the ending \".xls\", expected a file"},
           {{"convert", "a.npy", "nowhere/b.csv"}, "nowhere/b.csv: cannot be written: No such"},
           {{"convert", "a.npy", "folder", "--overwrite"}, "folder: found no ending"},
           {{"convert", "cube.npy", "b.csv"},
            "of shape (1, 1, 2), expected at most two dimensions"},
           {{"convert", "absent.npy", "b.csv"}, "absent.npy: no such file\n"}}) {
    Arguments arguments{"data"};
    arguments.insert(arguments.end(), bad.arguments.begin(), bad.arguments.end());
    const Outcome outcome = run_program(scratch.path(), arguments);
    EXPECT_EQ(outcome.exit_code, 2) << outcome;
    EXPECT_EQ(outcome.out, "");
    EXPECT_TRUE(contains(outcome.err, bad.message)) << bad.message << "\n" << outcome;
    EXPECT_EQ(changes(before, contents_of(scratch.path())), no_changes);
  }
}

double at(const Array& array, std::int64_t row, std::int64_t column) {
  return array.values.at(static_cast<std::size_t>(row * array.shape[1] + column));
}

/// Train loss and norms at step 0 of a run follow from the files alone.
TEST(DataGenerate, IsWhatARunTrainsOn) {
  const Scratch scratch;
  write_file(scratch / "small.toml", small_experiment);
  const Arguments swept{"--set", "sweep.\"problem.seed\"=[7, 8]"};
  Arguments run{"run", "small.toml", "--out", "out", "--quiet", "--device", "cpu"};
  run.insert(run.end(), swept.begin(), swept.end());
  ASSERT_EQ(run_program(scratch.path(), run).exit_code, 0);
  const NetcdfFile record = read_record(scratch / "out/record.nc");
  const auto& train_loss = record.at("train_loss");
  const auto& layer_norm2 = record.at("layer_norm2");
  for (const std::size_t member : {std::size_t{0}, std::size_t{5}}) {
    const std::string folder = "data" + std::to_string(member);
    Arguments generate{"data", "generate", "small.toml",
                       folder, "--member", std::to_string(member)};
    generate.insert(generate.end(), swept.begin(), swept.end());
    const Outcome outcome = run_program(scratch.path(), generate);
    ASSERT_EQ(outcome.exit_code, 0) << outcome;
    const Array target = read_array(scratch / folder / "target.npy");
    const Array mask = read_array(scratch / folder / "mask.npy");
    const Array first = read_array(scratch / folder / "W_1.npy");
    const Array second = read_array(scratch / folder / "W_2.npy");
    EXPECT_EQ(target.shape, (std::vector<std::int64_t>{4, 4}));
    EXPECT_EQ(mask.type, "b1");
    double loss = 0;
    for (std::int64_t i = 0; i < 4; ++i) {
      for (std::int64_t j = 0; j < 4; ++j) {
        double w = 0;
        for (std::int64_t k = 0; k < 4; ++k) w += at(second, i, k) * at(first, k, j);
        loss += at(mask, i, j) / 2 * std::pow(w - at(target, i, j), 2);
      }
    }
    const std::size_t samples = train_loss.sizes[1];
    EXPECT_NEAR(train_loss.doubles()[member * samples], loss, 1e-14 * loss);
    double norm2 = 0;
    for (const double x : first.values) norm2 += x * x;
    const std::size_t per_member = layer_norm2.count() / layer_norm2.sizes[0];
    EXPECT_NEAR(layer_norm2.doubles()[member * per_member], norm2, 1e-14 * norm2);
    Numbers both = first.values;
    both.insert(both.end(), second.values.begin(), second.values.end());
    EXPECT_TRUE(same_bits(read_array(scratch / folder / "start.npy").values, both));
    const auto manifest = nlohmann::json::parse(read_file(scratch / folder / "data.json"));
    EXPECT_EQ(manifest.at("problem_seed"), member == 0 ? 7 : 8);
    EXPECT_EQ(manifest.at("arrays").size(), 5U);
  }
  EXPECT_NE(read_file(scratch / "data0/mask.npy"), read_file(scratch / "data5/mask.npy"));
}

/// What is trained: everything but the marks of a run that say when it was.
NetcdfFile numbers_of(const fs::path& record) {
  NetcdfFile file = read_record(record);
  file.texts.clear();
  return file;
}

/// A start written out and read again gives the same run in every bit.
TEST(DataGenerate, GivesTheSameRunFromItsFiles) {
  const Scratch scratch;
  write_file(scratch / "small.toml", small_experiment);
  const Arguments common{"--quiet", "--device", "cpu", "--set", "sweep.seed=[3]"};
  const auto run = [&](Arguments arguments) {
    arguments.insert(arguments.end(), common.begin(), common.end());
    const Outcome outcome = run_program(scratch.path(), arguments);
    EXPECT_EQ(outcome.exit_code, 0) << outcome;
  };
  run({"run", "small.toml", "--out", "drawn"});
  for (const std::string precision : {"f64", "f32"}) {
    ASSERT_EQ(
        run_program(scratch.path(), {"data", "generate", "small.toml", "data_" + precision, "--set",
                                     "sweep.seed=[3]", "--set", "precision=" + precision})
            .exit_code,
        0);
  }
  std::string text(small_experiment);
  const std::string drawn = "kind = \"orthogonal\"\nend_norm = 0.1\n";
  text.replace(text.find(drawn), drawn.size(),
               "kind = \"file\"\npath = [\"data_f64/W_1.npy\", \"data_f64/W_2.npy\"]\n");
  write_file(scratch / "given.toml", text);
  run({"run", "given.toml", "--out", "given"});
  EXPECT_EQ(numbers_of(scratch / "drawn/record.nc").variables,
            numbers_of(scratch / "given/record.nc").variables);
  // In f32 the files hold what the model rounds to.
  const Numbers f64 = read_array(scratch / "data_f64/target.npy").values;
  const Numbers f32 = read_array(scratch / "data_f32/target.npy").values;
  int rounded = 0;
  for (std::size_t i = 0; i < f64.size(); ++i) {
    EXPECT_EQ(f32[i], static_cast<double>(static_cast<float>(f64[i])));
    rounded += f32[i] != f64[i] ? 1 : 0;
  }
  EXPECT_GT(rounded, 8);
}

/// Parameters of a member at the last sample of a record with one family.
Numbers last_parameters(const fs::path& record, std::int64_t member) {
  Numbers all;
  for (const std::string layer : {"family_0/W_1", "family_0/W_2"}) {
    const Array array = read_array(record, layer);
    const std::int64_t size = array.shape[2] * array.shape[3];
    const auto from = array.values.begin() + ((member + 1) * array.shape[1] - 1) * size;
    all.insert(all.end(), from, from + size);
  }
  return all;
}

/// Gradient descent remembers nothing but its parameters: going on from a record is as good as not
/// having stopped, in every bit.
TEST(StartFromARecord, GoesOnAsIfNothingHadHappened) {
  const Scratch scratch;
  std::string text(small_experiment);
  text.replace(text.find("train_loss ="), 0, "parameters = { every = 25 }\n");
  write_file(scratch / "small.toml", text);
  const auto run = [&](Arguments arguments) {
    for (const char* word : {"--quiet", "--device", "cpu"}) arguments.emplace_back(word);
    const Outcome outcome = run_program(scratch.path(), arguments);
    EXPECT_EQ(outcome.exit_code, 0) << outcome;
  };
  run({"run", "small.toml", "--out", "first"});
  run({"run", "small.toml", "--out", "at_once", "--set", "stop.steps=100"});
  const std::string drawn = "kind = \"orthogonal\"\nend_norm = 0.1\n";
  text.replace(text.find(drawn), drawn.size(),
               "kind = \"record\"\nrecord = \"first\"\nmember = 0\n");
  text.replace(text.find("\"seed\" = {"), 10, "\"init.member\" = {");
  write_file(scratch / "second.toml", text);
  run({"run", "second.toml", "--out", "second"});
  for (std::int64_t member = 0; member < 4; ++member) {
    const std::string folder = "data" + std::to_string(member);
    ASSERT_EQ(run_program(scratch.path(), {"data", "generate", "second.toml", folder, "--member",
                                           std::to_string(member)})
                  .exit_code,
              0);
    EXPECT_TRUE(same_bits(read_array(scratch / folder / "start.npy").values,
                          last_parameters(scratch / "first/record.nc", member)));
    const Numbers at_once = last_parameters(scratch / "at_once/record.nc", member);
    EXPECT_EQ(at_once.size(), 32U);
    EXPECT_TRUE(std::isfinite(at_once.front()));
    EXPECT_TRUE(same_bits(last_parameters(scratch / "second/record.nc", member), at_once));
  }
}

/// However many threads the machine gives a BLAS: large enough that it would use them.
TEST(DataGenerate, DoesNotDependOnThreads) {
  const Scratch scratch;
  std::string text(small_experiment);
  text.replace(text.find("size = 4"), 8, "size = 200");
  text.replace(text.find("hidden = 4"), 10, "hidden = 200");
  write_file(scratch / "large.toml", text);
  for (const std::string threads : {"1", "4"}) {
    const Outcome outcome = run_program(
        Launch{.arguments = {"data", "generate", "large.toml", "with" + threads},
               .folder = scratch.path(),
               .environment = {{"OMP_NUM_THREADS", threads}, {"OPENBLAS_NUM_THREADS", threads}}});
    ASSERT_EQ(outcome.exit_code, 0) << outcome;
  }
  EXPECT_EQ(changes(contents_of(scratch / "with1"), contents_of(scratch / "with4")), no_changes);
}

TEST(DataGenerate, ReplacesWhatItWroteAndNothingElse) {
  const Scratch scratch;
  write_file(scratch / "small.toml", small_experiment);
  const Arguments deep{"data", "generate", "small.toml", "data", "--set", "model.depth=3"};
  const Arguments shallow{"data", "generate", "small.toml", "data", "--overwrite"};
  ASSERT_EQ(run_program(scratch.path(), deep).exit_code, 0);
  EXPECT_TRUE(fs::exists(scratch / "data/W_3.npy"));
  write_file(scratch / "data/mine.npy", "mine");
  const auto before = contents_of(scratch.path());
  const Outcome again = run_program(scratch.path(), deep);
  EXPECT_EQ(again.exit_code, 2) << again;
  EXPECT_TRUE(contains(again.err, "exists; --overwrite replaces it")) << again;
  EXPECT_EQ(changes(before, contents_of(scratch.path())), no_changes);
  ASSERT_EQ(run_program(scratch.path(), shallow).exit_code, 0);
  EXPECT_FALSE(fs::exists(scratch / "data/W_3.npy")) << "left over";
  EXPECT_EQ(read_file(scratch / "data/mine.npy"), "mine");
  for (const auto& entry : fs::directory_iterator(scratch.path())) {
    EXPECT_FALSE(contains(entry.path().string(), ".partial")) << entry.path();
  }
}

TEST(DataGenerate, RefusesBadInput) {
  const Scratch scratch;
  write_file(scratch / "small.toml", small_experiment);
  write_file(scratch / "file", "a file");
  const auto before = contents_of(scratch.path());
  struct Bad {
    Arguments arguments;
    std::string message;
  };
  for (const Bad& bad : std::vector<Bad>{
           {{"small.toml", "d", "--member", "4"},
            "--member: found 4, expected 0 to 3: small.toml has 4 members\n"},
           {{"small.toml", "d", "--member", "-1"}, "--member"},
           {{"small.toml", "file"}, "file: found a file, expected a folder to write to\n"},
           {{"small.toml", "file/d"}, "file/d: cannot be made: Not a directory\n"},
           {{"absent.toml", "d"}, "absent.toml: no such file"},
           {{"small.toml"}, "out is required"},
           {{"small.toml", "d", "--set", "objective.observed=1e-9"},
            "objective.observed: found 1e-09, which observes no entry"},
           {{"small.toml", "d", "--set", "model.dept=3"}, "did you mean model.depth?"},
           {{"small.toml", "d", "--set", "probes.singular_values.count=99"}, "singular_values"}}) {
    Arguments arguments{"data", "generate"};
    arguments.insert(arguments.end(), bad.arguments.begin(), bad.arguments.end());
    const Outcome outcome = run_program(scratch.path(), arguments);
    EXPECT_EQ(outcome.exit_code, 2) << outcome;
    EXPECT_EQ(outcome.out, "");
    EXPECT_TRUE(contains(outcome.err, bad.message)) << bad.message << "\n" << outcome;
    EXPECT_EQ(changes(before, contents_of(scratch.path())), no_changes);
  }
}

TEST(DataGenerate, NumPyReadsIt) {
  if (!fs::exists(python) ||
      run_program(Launch{.arguments = {"-c", "import numpy"}, .program = python}).exit_code != 0) {
    GTEST_SKIP() << "SKIPPED: " << python << " has no numpy";
  }
  const Scratch scratch;
  write_file(scratch / "small.toml", small_experiment);
  ASSERT_EQ(run_program(scratch.path(), {"data", "generate", "small.toml", "data"}).exit_code, 0);
  const std::string script = R"(
import numpy as np
mask, start = np.load("data/mask.npy"), np.load("data/start.npy")
W = np.load("data/W_2.npy") @ np.load("data/W_1.npy")
assert mask.dtype == bool and mask.shape == (4, 4) and 0 < mask.sum() < 16
assert start.shape == (32,) and (start[16:].reshape(4, 4) == np.load("data/W_2.npy")).all()
assert abs(np.linalg.norm(np.load("data/target.npy")) - 2) < 1e-14
assert abs(np.linalg.norm(W) - 0.1) < 1e-14
)";
  const Outcome outcome =
      run_program(Launch{.arguments = {"-c", script}, .folder = scratch.path(), .program = python});
  EXPECT_EQ(outcome.exit_code, 0) << outcome;
}

}  // namespace
}  // namespace manyfold::testing
