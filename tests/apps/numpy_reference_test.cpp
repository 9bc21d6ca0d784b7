// Every model, objective, penalty, optimizer and schedule against an independent implementation in
// NumPy, over 1000 steps from the same start and with the same draws (numpy_reference.py).
#include <string>

#include <gtest/gtest.h>

#include "tests/apps/program.hpp"

namespace manyfold::testing {
namespace {

TEST(NumpyReference, AgreesOverAThousandSteps) {
  const Scratch scratch;
  const fs::path script = fs::path(MANYFOLD_SOURCE_DIR) / "tests/apps/numpy_reference.py";
  Process process(Launch{.arguments = {script.string(), program_file(), scratch.path().string()},
                         .folder = scratch.path(),
                         .environment = {{"PYTHONDONTWRITEBYTECODE", "1"}},
                         .program = "/usr/bin/python3"});
  const Outcome outcome = process.wait(std::chrono::seconds(500));
  if (outcome.exit_code == 77) GTEST_SKIP() << "SKIPPED: " << outcome.out;
  EXPECT_EQ(outcome.exit_code, 0) << outcome;
  EXPECT_TRUE(contains(outcome.out, "agrees")) << outcome;
  EXPECT_FALSE(contains(outcome.out, "DIFFERS")) << outcome;
}

}  // namespace
}  // namespace manyfold::testing
