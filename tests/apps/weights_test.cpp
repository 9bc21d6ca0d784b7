// Parameters out of a record, through NumPy and PyTorch, and back in as a start.
#include <algorithm>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "core/data/array_archive.hpp"
#include "core/data/array_file.hpp"
#include "tests/apps/program.hpp"
#include "tests/same_bits.hpp"

namespace manyfold::testing {
namespace {

constexpr const char* experiment = R"(
[model]
kind = "deep_linear"
sizes = [3, 4, 2]
[objective]
kind = "full"
target = { kind = "gaussian", rows = 2, cols = 3 }
[init]
kind = "gaussian"
stddev = 0.5
[optimizer]
kind = "gd"
learning_rate = 0.01
[stop]
steps = 20
[probes]
train_loss = { steps = [0, 20] }
parameters = { steps = [0, 20] }
[sweep]
"seed" = { range = [0, 3] }
)";

class Weights : public ::testing::Test {
 protected:
  void SetUp() override {
    write_file(scratch_ / "small.toml", experiment);
    const Outcome run = run_program(
        scratch_.path(), {"run", "small.toml", "--out", "run", "--quiet", "--device", "cpu"});
    ASSERT_EQ(run.exit_code, 0) << run;
  }
  Outcome weights(Arguments arguments) const {
    arguments.insert(arguments.begin(), {"data", "weights"});
    return run_program(scratch_.path(), arguments);
  }
  Scratch scratch_;
};

TEST_F(Weights, GoToPythonAndComeBackAsAStart) {
  EXPECT_EQ(weights({"run", "run/weights.npz", "--member", "1"}).exit_code, 0);
  EXPECT_EQ(weights({"run", "run/weights.safetensors", "--member", "1", "--single"}).exit_code, 0);
  const fs::path script = fs::path(MANYFOLD_SOURCE_DIR) / "tests/apps/weights_open.py";
  const Outcome python = run_program(Launch{.arguments = {script.string(), "run"},
                                            .folder = scratch_.path(),
                                            .program = "/usr/bin/python3"});
  if (python.exit_code == 77) GTEST_SKIP() << "SKIPPED: " << python.out;
  ASSERT_EQ(python.exit_code, 0) << python;
  // The end of member 1 is now everybody's start: the loss of the first run's last sample.
  for (const char* file : {"run/weights.npz", "run/back.npz"}) {
    std::string text = experiment;
    const std::string drawn = "kind = \"gaussian\"\nstddev = 0.5";
    text.replace(text.find(drawn), drawn.size(),
                 "kind = \"file\"\npath = \"" + std::string(file) + "\"");
    write_file(scratch_ / "again.toml", text);
    const Outcome again =
        run_program(scratch_.path(), {"run", "again.toml", "--out", "again", "--quiet", "--device",
                                      "cpu", "--overwrite", "--set", "sweep.seed=[1]"});
    ASSERT_EQ(again.exit_code, 0) << again;
    EXPECT_EQ(weights({"again", "again.npz", "--sample", "0", "--overwrite"}).exit_code, 0);
    EXPECT_EQ(read_file(scratch_ / "again.npz"), read_file(scratch_ / "run/weights.npz")) << file;
  }
}

TEST_F(Weights, SayWhatIsMissing) {
  const auto refused = [&](const Arguments& arguments, const std::string& part) {
    const Outcome outcome = weights(arguments);
    EXPECT_EQ(outcome.exit_code, 2) << outcome;
    EXPECT_TRUE(contains(outcome.err, part)) << outcome;
    EXPECT_FALSE(fs::exists(scratch_ / "w.npz"));
  };
  refused({"run", "w.npz", "--member", "3"}, "there is no member 3");
  refused({"run", "w.npz", "--sample", "2"}, "found sample 2 asked for, expected 0 to 1");
  refused({"run", "w.txt"}, "expected .npz or .safetensors");
  refused({"nowhere", "w.npz"}, "nowhere");
  write_file(scratch_ / "there.npz", "");
  refused({"run", "there.npz"}, "there.npz exists");
}

/// A convolutional net with biases and frozen signs; INIT stands for its start.
constexpr const char* network = R"(
[model]
kind = "network"
layers = ["conv 2 3x2 padding 1 bias", "tanh", "pool 2", "flatten", "dense 3 bias", "tanh", "output frozen signs"]
[data]
source = "gaussian"
shape = [3, 5, 4]
count = 4
outputs = 2
targets = "random_normal"
[init]
INIT
[optimizer]
kind = "gd"
learning_rate = 0.05
[stop]
steps = 20
[probes]
train_loss = { every = 10 }
parameters = { every = 10 }
)";

class NetworkWeights : public ::testing::Test {
 protected:
  Outcome run(const std::string& init, const std::string& to) const {
    std::string text = network;
    text.replace(text.find("INIT"), 4, init);
    write_file(scratch_ / "net.toml", text);
    return run_program(scratch_.path(), {"run", "net.toml", "--out", to, "--quiet", "--device",
                                         "cpu", "--overwrite"});
  }
  std::vector<NamedArray> weights(const std::string& record, int sample) const {
    const Outcome out = run_program(
        scratch_.path(),
        {"data", "weights", record, "w.npz", "--overwrite", "--sample", std::to_string(sample)});
    EXPECT_EQ(out.exit_code, 0) << out;
    return read_arrays(scratch_ / "w.npz");
  }
  void expect_equal(const std::vector<NamedArray>& a, const std::vector<NamedArray>& b) const {
    ASSERT_EQ(a.size(), b.size());
    for (std::size_t i = 0; i < a.size(); ++i) {
      EXPECT_EQ(a[i].name, b[i].name);
      EXPECT_TRUE(test::same_bits(a[i].array.values, b[i].array.values)) << a[i].name;
    }
  }
  Scratch scratch_;
};

TEST_F(NetworkWeights, GoOnWhereARecordOrAFileEnds) {
  ASSERT_EQ(run("kind = \"gaussian\"\nstddev = 0.5", "all").exit_code, 0);
  const std::vector<NamedArray> middle = weights("all", 1);
  const std::vector<NamedArray> end = weights("all", 2);
  write_arrays(scratch_ / "middle.npz", middle);
  for (const std::string init : {"kind = \"record\"\nrecord = \"all\"\nmember = 0\nsample = 1",
                                 "kind = \"file\"\npath = \"middle.npz\""}) {
    const Outcome half = run(init, "half");
    ASSERT_EQ(half.exit_code, 0) << half;
    expect_equal(weights("half", 0), middle);
    expect_equal(weights("half", 1), end);  // the signs are those of the same seed
  }
}

/// Free parameters take the place of the weight; the pattern's file stands beside the experiment's.
TEST_F(NetworkWeights, OfAPatternAreItsParameters) {
  fs::create_directory(scratch_ / "files");
  write_file(scratch_ / "files" / "ring.csv", "1,2,0,0\n0,1,2,0\n0,0,1,2\n2,0,0,1\n");
  const std::string text =
      "[model]\nkind = \"network\"\nlayers = [\"dense 4 pattern bias\", \"tanh\", \"output frozen "
      "pattern\"]\npatterns = [\"files/ring.csv\", \"files/ring.csv\"]\n[data]\nsource = "
      "\"gaussian\"\nshape = 4\ncount = 6\noutputs = 4\ntargets = \"random_normal\"\n[init]\nINIT\n"
      "[optimizer]\nkind = \"gd\"\nlearning_rate = 0.05\n[stop]\nsteps = 20\n[probes]\n"
      "train_loss = { every = 10 }\nparameters = { every = 10 }\n";
  const auto start_from = [&](const std::string& init, const std::string& to) {
    std::string whole = text;
    whole.replace(whole.find("INIT"), 4, init);
    write_file(scratch_ / "files.toml", whole);
    const Outcome outcome = run_program(
        scratch_.path(), {"run", "files.toml", "--out", to, "--quiet", "--device", "cpu"});
    EXPECT_EQ(outcome.exit_code, 0) << outcome;
  };
  start_from("kind = \"gaussian\"\nstddev = 0.5", "all");
  std::vector<NamedArray> middle = weights("all", 1);
  const std::vector<NamedArray> end = weights("all", 2);
  ASSERT_EQ(middle.size(), 2U);
  EXPECT_EQ(middle[0].array.shape, (std::vector<std::int64_t>{1, 2}));
  // What `data generate` says the start is: also of the frozen layer, which no record has.
  const Outcome generated =
      run_program(scratch_.path(), {"data", "generate", "files.toml", "generated"});
  ASSERT_EQ(generated.exit_code, 0) << generated;
  const Array frozen = read_array(scratch_ / "generated" / "W_2.npy");
  EXPECT_EQ(frozen.shape, (std::vector<std::int64_t>{1, 2}));
  EXPECT_EQ(read_array(scratch_ / "generated" / "W_1.npy").values,
            weights("all", 0)[0].array.values);
  std::vector<NamedArray> archive = middle;
  archive.push_back({"W_2", frozen});
  write_arrays(scratch_ / "middle.npz", archive);
  start_from("kind = \"file\"\npath = \"middle.npz\"", "half");
  expect_equal(weights("half", 0), middle);
  expect_equal(weights("half", 1), end);
  // The record says where the pattern is: a member runs again from any folder.
  fs::create_directory(scratch_ / "elsewhere");
  const Outcome again =
      run_program(scratch_ / "elsewhere", {"replay", "../all", "--member", "0", "--device", "cpu"});
  EXPECT_EQ(again.exit_code, 0) << again;
  EXPECT_TRUE(contains(again.out + again.err, "all bitwise equal")) << again;
}

TEST_F(NetworkWeights, ComeAsPyTorchNamesAndShapesThem) {
  ASSERT_EQ(run("kind = \"gaussian\"\nstddev = 0.5", "all").exit_code, 0);
  const std::vector<NamedArray> ours = weights("all", 2);
  std::vector<NamedArray> theirs = ours;
  ASSERT_EQ(theirs.size(), 4U);
  const char* names[] = {"0.weight", "0.bias", "4.weight", "4.bias"};
  for (std::size_t i = 0; i < 4; ++i) theirs[i].name = names[i];
  Array& filter = theirs[0].array;
  ASSERT_EQ(filter.shape, (std::vector<std::int64_t>{2, 18}));
  filter.shape = {2, 3, 3, 2};
  for (std::size_t out = 0; out < 2; ++out) {
    for (std::size_t channel = 0; channel < 3; ++channel) {
      for (std::size_t tap = 0; tap < 6; ++tap) {
        filter.values[(out * 3 + channel) * 6 + tap] =
            ours[0].array.values[out * 18 + tap * 3 + channel];
      }
    }
  }
  theirs[1].array.shape = {2};
  theirs[3].array.shape = {3};
  std::vector<double> signs{1, 1, -1, -1, 1, -1};
  theirs.push_back({"W_3", {.shape = {2, 3}, .values = signs, .type = "f8"}});
  write_arrays(scratch_ / "theirs.safetensors", theirs);
  const std::string path = "kind = \"file\"\npath = \"theirs.safetensors\"";
  ASSERT_EQ(run(path, "again").exit_code, 0);
  expect_equal(weights("again", 0), ours);
  const auto loss = [&] { return read_file(scratch_ / "again" / "record.nc"); };
  const std::string with_signs = loss();
  // Frozen weights of the file count: with others the run is another.
  for (double& sign : signs) sign = -sign;
  theirs.back().array.values = signs;
  write_arrays(scratch_ / "theirs.safetensors", theirs);
  ASSERT_EQ(run(path, "again").exit_code, 0);
  expect_equal(weights("again", 0), ours);
  EXPECT_NE(loss(), with_signs);
}

TEST_F(NetworkWeights, AreListedByInspect) {
  ASSERT_EQ(run("kind = \"gaussian\"\nstddev = 0.5", "all").exit_code, 0);
  (void)weights("all", 0);
  const auto inspect = [&](Arguments more) {
    more.insert(more.begin(), {"data", "inspect", "w.npz"});
    const Outcome outcome = run_program(scratch_.path(), more);
    EXPECT_EQ(outcome.exit_code, 0) << outcome;
    return outcome;
  };
  const Outcome listed = inspect({});
  for (const char* part : {"W_1  f8  (2, 18), norm ", "b_1  f8  (1, 2), norm 0", "W_2", "b_2"}) {
    EXPECT_TRUE(contains(listed.out, part)) << listed;
  }
  const auto arrays = inspect({"--json"}).json().at("arrays");
  ASSERT_EQ(arrays.size(), 4U);
  EXPECT_EQ(arrays[2].at("name"), "W_2");
  EXPECT_TRUE(contains(inspect({"--variable", "W_1"}).out, "elements"));
}

TEST_F(NetworkWeights, ThatDoNotFitAreNamed) {
  ASSERT_EQ(run("kind = \"gaussian\"\nstddev = 0.5", "all").exit_code, 0);
  std::vector<NamedArray> arrays = weights("all", 0);
  const auto refused = [&](const std::string& init, const std::string& part) {
    const Outcome outcome = run(init, "refused");
    EXPECT_EQ(outcome.exit_code, 2) << outcome;
    EXPECT_TRUE(contains(outcome.err, part)) << outcome;
    EXPECT_FALSE(fs::exists(scratch_ / "refused"));
  };
  const std::string path = "kind = \"file\"\npath = \"bad.npz\"";
  std::vector<NamedArray> less(arrays.begin(), arrays.end() - 1);
  write_arrays(scratch_ / "bad.npz", less);
  refused(path, "bad.npz with 3 arrays, expected one for each of the 4 arrays of conv");
  std::swap(arrays[0].array.shape[0], arrays[0].array.shape[1]);
  write_arrays(scratch_ / "bad.npz", arrays);
  refused(path, "W_1 of shape (18, 2), expected (2, 18) or (2, 3, 3, 2), as in the arrays of conv");
  refused("kind = \"orthogonal\"", "\"gaussian\", \"file\" or \"record\", the starts of a network");
  refused("kind = \"record\"\nrecord = \"all\"\nmember = 7", "init.member: found 7");
}

}  // namespace
}  // namespace manyfold::testing
