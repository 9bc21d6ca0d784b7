// Students of every cell of table 5.1 against the peers' NumPy reference of it, on both paths
// (teacher_reference.py).
#include <string>

#include <gtest/gtest.h>

#include "tests/apps/program.hpp"

namespace manyfold::testing {
namespace {

TEST(TeacherReference, EveryCellEndsWhereNumPyEndsAtTheSameNumbers) {
  const fs::path script = fs::path(MANYFOLD_SOURCE_DIR) / "tests/apps/teacher_reference.py";
  for (const std::string path : {"resident", "batched"}) {
    const Scratch scratch;
    Process process(
        Launch{.arguments = {script.string(), program_file(), scratch.path().string(), path},
               .folder = scratch.path(),
               .environment = {{"PYTHONDONTWRITEBYTECODE", "1"}},
               .program = "/usr/bin/python3"});
    const Outcome outcome = process.wait(std::chrono::seconds(500));
    if (outcome.exit_code == 77) GTEST_SKIP() << "SKIPPED: " << outcome.out;
    EXPECT_EQ(outcome.exit_code, 0) << path << ": " << outcome;
    EXPECT_TRUE(contains(outcome.out, "agrees  72 students")) << outcome;
  }
}

}  // namespace
}  // namespace manyfold::testing
