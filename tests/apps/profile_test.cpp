// `run --profile`: where the time of a run went, in words and as JSON, and that it changes nothing.
#include <string>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "kernels/backends.hpp"
#include "tests/apps/program.hpp"

namespace manyfold::testing {
namespace {

class ProfileOnDevice : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    write_file(scratch_ / "small.toml", small_experiment);
    for (const auto& status : kernels::backend_statuses()) {
      if (status.device != GetParam() || status.usable) continue;
      GTEST_SKIP() << "no " << GetParam() << " device: " << status.detail;
    }
  }
  Outcome run(const Arguments& arguments) const { return run_program(scratch_.path(), arguments); }
  Outcome profiled(const std::string& out, const Arguments& more = {}) const {
    Arguments arguments{"run", "small.toml", "--quiet",  "--overwrite", "--out",
                        out,   "--device",   GetParam(), "--profile"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    Outcome outcome = run(arguments);
    EXPECT_EQ(outcome.exit_code, 0) << outcome;
    return outcome;
  }
  static bool on_cpu() { return std::string(GetParam()) == "cpu"; }

  Scratch scratch_;
};

TEST_P(ProfileOnDevice, TellsWhereTheTimeWent) {
  const Outcome text = profiled("out");
  for (const char* line : {"load ", "step ", "probes ", "record ", "idle ", "gaps "}) {
    EXPECT_NE(text.out.find(std::string("\n") + line), std::string::npos) << line << text.out;
  }
  EXPECT_EQ(text.out.find("nothing is replayed on a CPU") != std::string::npos, on_cpu())
      << text.out;
  EXPECT_EQ(text.out.find("between two replays") != std::string::npos, !on_cpu()) << text.out;
}

TEST_P(ProfileOnDevice, GivesGapsBetweenReplaysAsJson) {
  const auto json = profiled("out", {"--json"}).json();
  const auto& profile = json.at("profile");
  double sum = 0;
  for (const char* part : {"load", "step", "probes", "idle"}) sum += profile.at(part).get<double>();
  EXPECT_LE(sum, json.at("seconds").get<double>() * 1.001 + 1e-3);
  const auto& gaps = profile.at("gaps");
  if (on_cpu()) {
    EXPECT_TRUE(gaps.is_null());
    return;
  }
  EXPECT_GT(gaps.at("replays").get<int>(), 1);
  EXPECT_GT(gaps.at("gaps").get<int>(), 0);
  EXPECT_LT(gaps.at("gaps").get<int>(), gaps.at("replays").get<int>());
  EXPECT_GT(gaps.at("measured").get<int>(), 0);
  EXPECT_LE(gaps.at("measured").get<int>(), gaps.at("gaps").get<int>());
  EXPECT_GE(gaps.at("largest").get<double>(), gaps.at("mean").get<double>() * 0.999);
  EXPECT_GE(gaps.at("share").get<double>(), 0);
  EXPECT_LE(gaps.at("seconds").get<double>(), json.at("seconds").get<double>());
}

INSTANTIATE_TEST_SUITE_P(Devices, ProfileOnDevice, ::testing::Values("cpu", "emulated", "cuda"),
                         [](const auto& device) { return std::string(device.param); });

}  // namespace
}  // namespace manyfold::testing
