// The record of the first experiment as its users meet it: in Python, through xarray, and as the
// figure that first_look.py makes of it.
#include <string>

#include <gtest/gtest.h>
#include <unistd.h>

#include "tests/apps/program.hpp"

namespace manyfold::testing {
namespace {

const std::string python = "/usr/bin/python3";
const fs::path source = MANYFOLD_SOURCE_DIR;

class PythonTest : public ::testing::Test {
 protected:
  /// Whether Debian's Python has these modules; without, the test is skipped.
  static bool has(const std::string& modules) {
    return ::access(python.c_str(), X_OK) == 0 &&
           run_program(Launch{.arguments = {"-c", "import " + modules}, .program = python})
                   .exit_code == 0;
  }
  void run_first_experiment() const {
    const std::string zip =
        "sweep.zip=["
        "{ \"model.depth\" = 2, \"optimizer.kind\" = \"gd\", \"optimizer.learning_rate\" = 0.03, "
        "\"stop.steps\" = 60 }, "
        "{ \"model.depth\" = 3, \"optimizer.kind\" = \"rms_gd\", \"optimizer.learning_rate\" = "
        "0.02, "
        "\"optimizer.epsilon\" = 1.0, \"stop.steps\" = 40 }]";
    const Outcome outcome =
        run_program(scratch_.path(),
                    {"run", (source / "apps/experiments/first.toml").string(), "--out", "first",
                     "--quiet", "--device", "cpu", "--set", zip, "--set",
                     "sweep.\"init.end_norm\"=[0.05, 2.0]", "--set", "sweep.seed={range=[0, 2]}"});
    ASSERT_EQ(outcome.exit_code, 0) << outcome;
  }
  Outcome run_python(const fs::path& script, const std::string& argument) const {
    return run_program(Launch{.arguments = {script.string(), argument},
                              .folder = scratch_.path(),
                              .environment = {{"MPLCONFIGDIR", scratch_.path().string()},
                                              {"PYTHONDONTWRITEBYTECODE", "1"}},
                              .program = python});
  }

  Scratch scratch_;
};

TEST_F(PythonTest, RecordOpensInXarray) {
  if (!has("xarray, netCDF4")) GTEST_SKIP() << "SKIPPED: " << python << " has no xarray or netCDF4";
  run_first_experiment();
  const Outcome outcome = run_python(source / "tests/apps/record_opens.py", "first/record.nc");
  if (outcome.exit_code == 77) GTEST_SKIP() << "SKIPPED: " << outcome.out;
  EXPECT_EQ(outcome.exit_code, 0) << outcome;
}

TEST_F(PythonTest, ParametersOpenInXarray) {
  if (!has("xarray, netCDF4")) GTEST_SKIP() << "SKIPPED: " << python << " has no xarray or netCDF4";
  write_file(scratch_ / "small.toml", small_experiment);
  const Outcome outcome = run_program(
      scratch_.path(), {"run", "small.toml", "--out", "out", "--quiet", "--device", "cpu", "--set",
                        "probes.parameters.every=25", "--set", "probes.singular_values.every=25",
                        "--set", "sweep.\"model.depth\"=[2, 3]"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome;
  const Outcome checked = run_python(source / "tests/apps/parameters_open.py", "out/record.nc");
  if (checked.exit_code == 77) GTEST_SKIP() << "SKIPPED: " << checked.out;
  EXPECT_EQ(checked.exit_code, 0) << checked;
}

TEST_F(PythonTest, FirstLookMakesATableAndAFigure) {
  if (!has("xarray, netCDF4, matplotlib")) {
    GTEST_SKIP() << "SKIPPED: " << python << " has no xarray, netCDF4 or matplotlib";
  }
  run_first_experiment();
  const Outcome outcome = run_python(source / "apps/experiments/first_look.py", "first");
  ASSERT_EQ(outcome.exit_code, 0) << outcome;
  EXPECT_TRUE(contains(outcome.out, "Members: 8 finished")) << outcome;
  EXPECT_TRUE(contains(outcome.out, "first/record.nc")) << outcome;
  const std::string figure = read_file(scratch_ / "first/first.png");
  EXPECT_TRUE(figure.starts_with("\x89PNG\r\n\x1a\n"));
  EXPECT_GT(figure.size(), 10000U);
}

TEST_F(PythonTest, FirstLookSaysWhatIsMissing) {
  if (!has("xarray, netCDF4, matplotlib")) {
    GTEST_SKIP() << "SKIPPED: " << python << " has no xarray, netCDF4 or matplotlib";
  }
  const Outcome outcome = run_python(source / "apps/experiments/first_look.py", "nowhere");
  EXPECT_EQ(outcome.exit_code, 1) << outcome;
  EXPECT_TRUE(contains(outcome.err, "there is no record nowhere/record.nc")) << outcome;
}

}  // namespace
}  // namespace manyfold::testing
