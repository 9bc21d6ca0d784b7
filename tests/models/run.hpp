// Runs an experiment written in a test and reads back what it recorded.
#pragma once

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <limits>
#include <map>
#include <memory>
#include <ostream>
#include <string>
#include <tuple>
#include <vector>

#include <gtest/gtest.h>

#include "core/record/sample_log.hpp"
#include "core/sweep/experiment.hpp"
#include "kernels/backends.hpp"
#include "models/training/plan.hpp"
#include "models/training/trainer.hpp"
#include "tests/same_bits.hpp"
#include "tests/scratch_folder.hpp"

namespace manyfold::testing {

using test::same_bits;

/// A device to test on, or the reason why there is none.
struct TestDevice {
  std::string name;
  std::string missing;
};
inline void PrintTo(const TestDevice& device, std::ostream* out) { *out << device.name; }
inline std::vector<TestDevice> test_devices() {
  std::vector<TestDevice> devices;
  for (const auto& status : kernels::backend_statuses()) {
    devices.push_back({status.device, status.usable ? "" : status.detail});
  }
  return devices;
}

inline std::unique_ptr<Executor> executor_on(const std::string& device, int threads = 2,
                                             std::size_t memory = std::size_t{1} << 30) {
  return kernels::make_executor({device, threads, memory});
}

/// A log in memory.
struct Results {
  RecordLayout layout;
  std::map<std::int64_t, MemberEnd> ends;
  /// (variable, member, sample) -> values.
  std::map<std::tuple<std::string, std::int64_t, std::int64_t>, std::vector<double>> values;
  RunSummary summary;
  Plan plan;

  std::vector<double> at(const std::string& variable, std::int64_t member,
                         std::int64_t sample) const {
    const auto found = values.find({variable, member, sample});
    return found == values.end() ? std::vector<double>{} : found->second;
  }
  double scalar(const std::string& variable, std::int64_t member, std::int64_t sample = 0) const {
    const auto all = at(variable, member, sample);
    return all.empty() ? std::numeric_limits<double>::quiet_NaN() : all.front();
  }
  /// Every value of a member, in order: what "bitwise the same" compares.
  std::vector<double> everything(std::int64_t member) const {
    std::vector<double> all;
    for (const auto& [key, numbers] : values) {
      if (std::get<1>(key) == member) all.insert(all.end(), numbers.begin(), numbers.end());
    }
    return all;
  }
};

inline Results run(const std::string& toml, Executor& executor,
                   const std::vector<std::string>& overrides = {}, bool stop_at_once = false,
                   const std::string& path = "auto") {
  const test::ScratchFolder folder;
  Results results;
  const Experiment experiment = Experiment::parse(toml, "test.toml", overrides, experiment_spec());
  results.plan = make_plan(experiment, executor.device());
  choose_paths(results.plan, experiment, executor, path);
  const auto file = folder.path() / "samples.log";
  {
    SampleLog log = SampleLog::create(file, results.plan.layout);
    Progress progress(stderr, true);
    EventLog events(true);
    const std::atomic<bool> stop{stop_at_once};
    results.summary =
        run_experiment(experiment, results.plan, {executor, log, progress, events, stop, false});
  }
  LogVisitor visitor;
  LogSummary summary;
  std::vector<std::pair<SampleBlock, std::vector<double>>> blocks;
  visitor.on_samples = [&](const SampleBlock& block) {
    const std::string& name =
        results.plan.layout.variables[static_cast<std::size_t>(block.variable)].name;
    const std::size_t width = block.values.size() / block.members.size();
    for (std::size_t i = 0; i < block.members.size(); ++i) {
      const auto from = block.values.begin() + static_cast<std::ptrdiff_t>(i * width);
      results.values[{name, block.members[i], block.sample}] =
          std::vector<double>(from, from + static_cast<std::ptrdiff_t>(width));
    }
  };
  visitor.on_end = [&](const MemberEnd& end) { results.ends[end.member] = end; };
  visitor.on_attribute = [](const std::string&, const Attribute&) {};
  summary = read_log(file, visitor);
  EXPECT_TRUE(summary.complete);
  results.layout = summary.layout;
  return results;
}

/// A test that runs once per device: TEST_P(Suite, Name) with GetParam() the device's name.
class OnDevice : public ::testing::TestWithParam<TestDevice> {
 protected:
  void SetUp() override {
    if (!GetParam().missing.empty()) {
      GTEST_SKIP() << "no device \"" << GetParam().name << "\": " << GetParam().missing;
    }
  }
  std::unique_ptr<Executor> executor(int threads = 2,
                                     std::size_t memory = std::size_t{1} << 30) const {
    return executor_on(GetParam().name, threads, memory);
  }
};

#define MANYFOLD_ON_ALL_DEVICES(suite)                                               \
  INSTANTIATE_TEST_SUITE_P(Devices, suite,                                           \
                           ::testing::ValuesIn(::manyfold::testing::test_devices()), \
                           [](const auto& one) { return one.param.name; })

}  // namespace manyfold::testing
