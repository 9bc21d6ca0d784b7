// The ranges that profilers show of a run: written down by a tool that NVTX's own library loads, as
// it would load one of a profiler. The emulated backend makes the calls, compiled against the
// toolkit's real headers.
#include <algorithm>
#include <filesystem>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/apps/program.hpp"

namespace manyfold::testing {
namespace {

/// A pushed range: its name after those of the ranges around it.
using Path = std::vector<std::string>;

struct Ranges {
  std::vector<Path> pushed;
  std::size_t threads = 0;
  std::size_t open = 0;      ///< never popped
  std::size_t too_many = 0;  ///< pops without a push

  bool has(const Path& path) const {
    return std::find(pushed.begin(), pushed.end(), path) != pushed.end();
  }
};

Ranges read_ranges(const fs::path& file) {
  Ranges ranges;
  std::map<int, Path> open;
  std::istringstream lines(read_file(file));
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    int thread = 0;
    std::string what;
    words >> thread >> what;
    Path& path = open[thread];
    if (what == "push") {
      path.push_back(line.substr(line.find("push") + 5));
      ranges.pushed.push_back(path);
    } else if (path.empty()) {
      ++ranges.too_many;
    } else {
      path.pop_back();
    }
  }
  ranges.threads = open.size();
  for (const auto& [thread, path] : open) ranges.open += path.size();
  return ranges;
}

fs::path injection() {
  return fs::path(program_file()).parent_path().parent_path() / "lib" / "libnvtx_injection.so";
}

class NvtxRanges : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!fs::exists(injection())) {
      GTEST_SKIP() << "no " << injection().string()
                   << ": it is built where a CUDA toolkit has NVTX's headers";
    }
  }

  Ranges ranges_of(const Arguments& more) {
    write_file(scratch_ / "small.toml", small_experiment);
    Arguments arguments{"run", "small.toml", "--device", "emulated", "--quiet", "--out", "out"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const fs::path file = scratch_ / "ranges.txt";
    const Outcome outcome =
        run_program(Launch{.arguments = arguments,
                           .folder = scratch_.path(),
                           .environment = {{"NVTX_INJECTION64_PATH", injection().string()},
                                           {"NVTX_INJECTION_FILE", file.string()},
                                           {"EMULATION_QUIET", "1"}}});
    EXPECT_EQ(outcome.exit_code, 0) << outcome;
    EXPECT_TRUE(fs::exists(file)) << "NVTX did not load the tool";
    return read_ranges(file);
  }

  Scratch scratch_;
};

TEST_F(NvtxRanges, NestExperimentFamilyAndPhase) {
  const Ranges ranges = ranges_of({});
  ASSERT_FALSE(ranges.pushed.empty());
  EXPECT_EQ(ranges.pushed.front(), Path{"small"}) << "the experiment's name comes first";
  std::set<std::string> families;
  for (const Path& path : ranges.pushed) {
    ASSERT_LE(path.size(), 3U);
    EXPECT_EQ(path.front(), "small");
    if (path.size() == 2) families.insert(path.back());
  }
  ASSERT_EQ(families.size(), 1U);
  for (const char* phase : {"load", "probe", "step", "record"}) {
    EXPECT_TRUE(ranges.has({"small", *families.begin(), phase})) << phase;
  }
}

TEST_F(NvtxRanges, AreBalancedOnOneThread) {
  const Ranges ranges = ranges_of({});
  EXPECT_EQ(ranges.open, 0U);
  EXPECT_EQ(ranges.too_many, 0U);
  EXPECT_EQ(ranges.threads, 1U);
}

TEST_F(NvtxRanges, NameEveryFamily) {
  const Ranges ranges = ranges_of({"--set", "sweep.\"model.depth\"=[2,3]"});
  std::set<std::string> families;
  for (const Path& path : ranges.pushed) {
    if (path.size() == 2) families.insert(path.back());
  }
  EXPECT_EQ(families.size(), 2U);
  for (const std::string& family : families) {
    EXPECT_TRUE(ranges.has({"small", family, "load"})) << family;
    EXPECT_TRUE(ranges.has({"small", family, "step"})) << family;
  }
}

/// A run that ends early pops what it pushed: a profiler's rows stay in place.
TEST_F(NvtxRanges, AreBalancedWhenAMemberDiverges) {
  const Ranges ranges = ranges_of({"--set", "optimizer.learning_rate=1e6"});
  EXPECT_EQ(ranges.open, 0U);
  EXPECT_EQ(ranges.too_many, 0U);
}

}  // namespace
}  // namespace manyfold::testing
