// Parameters out of a record, through NumPy and PyTorch, and back in as a start.
#include <string>

#include <gtest/gtest.h>

#include "tests/apps/program.hpp"

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

}  // namespace
}  // namespace manyfold::testing
