// What `info` and `bench` tell: devices, the plan of an experiment that is not run, throughput.
#include <algorithm>
#include <cstdint>
#include <string>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/apps/netcdf_file.hpp"
#include "tests/apps/program.hpp"

namespace manyfold::testing {
namespace {

TEST(Info, ListsDevices) {
  const Scratch scratch;
  const Outcome outcome = run_program(scratch.path(), {"info"});
  EXPECT_EQ(outcome.exit_code, 0) << outcome;
  EXPECT_TRUE(outcome.out.starts_with("manyfold ")) << outcome;
  EXPECT_TRUE(contains(outcome.out, "\ncpu ")) << outcome;
  EXPECT_TRUE(contains(outcome.out, "\ncuda ")) << outcome;
  EXPECT_EQ(outcome.err, "");

  const Outcome json = run_program(scratch.path(), {"info", "--json"});
  EXPECT_EQ(json.exit_code, 0) << json;
  const auto found = json.json();
  EXPECT_FALSE(found.at("version").get<std::string>().empty());
  const auto& devices = found.at("devices");
  const auto cpu = std::find_if(devices.begin(), devices.end(),
                                [](const auto& one) { return one.at("device") == "cpu"; });
  ASSERT_NE(cpu, devices.end());
  EXPECT_EQ(cpu->at("usable"), true);
  for (const auto& device : devices) {
    EXPECT_FALSE(device.at("detail").get<std::string>().empty()) << device;
  }
  EXPECT_TRUE(fs::is_empty(scratch.path()));
}

TEST(Info, VersionAndHelp) {
  EXPECT_TRUE(run_program(Launch{.arguments = {"--version"}}).out.starts_with("manyfold "));
  for (const Arguments& arguments : {Arguments{"--help"}, Arguments{"run", "--help"},
                                     Arguments{"info", "--help"}, Arguments{"bench", "--help"}}) {
    const Outcome outcome = run_program(Launch{.arguments = arguments});
    EXPECT_EQ(outcome.exit_code, 0) << outcome;
    EXPECT_TRUE(contains(outcome.out, "--help")) << outcome;
    EXPECT_EQ(outcome.err, "");
  }
}

/// Two depths, so two families, of three seeds each.
std::string two_families() {
  std::string text(small_experiment);
  const std::string depth = "depth = 2\n";
  text.erase(text.find(depth), depth.size());
  text.resize(text.find("[sweep]"));
  return text + "[sweep]\n\"model.depth\" = [2, 3]\n\"seed\" = { range = [0, 3] }\n";
}

TEST(Info, PlansAnExperimentWithoutRunningIt) {
  const Scratch scratch;
  write_file(scratch / "two.toml", two_families());
  const auto before = contents_of(scratch.path());
  const Outcome outcome =
      run_program(scratch.path(), {"info", "two.toml", "--json", "--device", "cpu"});
  EXPECT_EQ(outcome.exit_code, 0) << outcome;
  const auto plan = outcome.json();
  EXPECT_EQ(plan.at("device"), "cpu");
  EXPECT_EQ(plan.at("members"), 6);
  EXPECT_EQ(plan.at("member_steps"), 6 * 50);
  ASSERT_EQ(plan.at("families").size(), 2U);
  std::int64_t largest = 0;
  double flops = 0;
  for (std::size_t f = 0; f < 2; ++f) {
    const auto& family = plan.at("families").at(f);
    const std::int64_t layers = f == 0 ? 2 : 3;
    EXPECT_EQ(family.at("members"), 3);
    EXPECT_EQ(family.at("slots"), 3);
    EXPECT_EQ(family.at("waves"), 1);
    EXPECT_EQ(family.at("parameters"), layers * 16);
    EXPECT_EQ(family.at("shared_problem"), true);
    EXPECT_EQ(family.at("member_steps"), 150);
    // Per layer beyond the first 6 n^3 (forward, two backward), and 3 n^2 of residual and loss.
    const double per_step = static_cast<double>((layers - 1) * 6 * 64 + 3 * 16);
    EXPECT_EQ(family.at("flops_per_step"), per_step);
    flops += 150 * per_step;
    // At least the parameters and their gradient, in double.
    const auto each = family.at("bytes_per_member").get<std::int64_t>();
    EXPECT_GE(each, 2 * 8 * layers * 16);
    EXPECT_GE(family.at("bytes").get<std::int64_t>(), 3 * each);
    largest = std::max(largest, family.at("bytes").get<std::int64_t>());
  }
  EXPECT_EQ(plan.at("peak_bytes"), largest);
  EXPECT_EQ(plan.at("flops"), flops);
  EXPECT_LT(plan.at("peak_bytes").get<std::int64_t>(),
            plan.at("memory_budget").get<std::int64_t>());
  EXPECT_GT(plan.at("seconds").get<double>(), 0);
  EXPECT_EQ(changes(before, contents_of(scratch.path())), no_changes);

  const Outcome text = run_program(scratch.path(), {"info", "two.toml", "--device", "cpu"});
  EXPECT_EQ(text.exit_code, 0) << text;
  EXPECT_TRUE(contains(text.out, "6 in 2 families")) << text;
  EXPECT_TRUE(contains(text.out, "3 slots in 1 wave,")) << text;
  EXPECT_TRUE(contains(text.out, "300 member-steps")) << text;
}

TEST(Info, MemoryBudgetCutsIntoWaves) {
  const Scratch scratch;
  write_file(scratch / "two.toml", two_families());
  const auto roomy = run_program(scratch.path(), {"info", "two.toml", "--json"}).json();
  const auto peak = roomy.at("peak_bytes").get<std::int64_t>();
  const auto tight = run_program(scratch.path(), {"info", "two.toml", "--json", "--memory",
                                                  std::to_string(peak - 1)})
                         .json();
  EXPECT_EQ(tight.at("memory_budget"), peak - 1);
  EXPECT_LT(tight.at("peak_bytes").get<std::int64_t>(), peak);
  EXPECT_EQ(tight.at("families").at(0).at("waves"), 1);
  EXPECT_EQ(tight.at("families").at(1).at("waves"), 2);
  EXPECT_EQ(tight.at("families").at(1).at("slots"), 2);
}

/// What a record holds uncompressed: numbers as stored, texts with the length that they have.
std::int64_t uncompressed_bytes(const NetcdfFile& record) {
  std::size_t bytes = 0;
  for (const auto& [name, variable] : record.variables) {
    bytes += variable.bytes.size();
    for (const std::string& text : variable.texts) bytes += text.size();
  }
  return static_cast<std::int64_t>(bytes);
}

TEST(Info, RecordIsNotLargerThanPlanned) {
  const Scratch scratch;
  write_file(scratch / "two.toml", two_families());
  const Arguments larger{"--set", "sweep.seed={range=[0,200]}", "--set", "stop.steps=2000"};
  Arguments info{"info", "two.toml", "--json"};
  info.insert(info.end(), larger.begin(), larger.end());
  Arguments run{"run", "two.toml", "--out", "out", "--quiet"};
  run.insert(run.end(), larger.begin(), larger.end());
  const auto planned =
      run_program(scratch.path(), info).json().at("record_bytes").get<std::int64_t>();
  const Outcome outcome = run_program(scratch.path(), run);
  ASSERT_EQ(outcome.exit_code, 0) << outcome;
  const NetcdfFile record = read_record(scratch / "out/record.nc");
  const std::int64_t held = uncompressed_bytes(record);
  EXPECT_LE(held, planned);
  EXPECT_GE(held, planned / 2) << "the plan is of no use";
  // The file adds its own structure, tens of kilobytes whatever is in it, and compresses.
  EXPECT_LE(fs::file_size(scratch / "out/record.nc"), static_cast<std::uintmax_t>(planned) + 65536);
}

TEST(Bench, FactorizationIsCheckedAndComplete) {
  const Scratch scratch;
  const Outcome outcome = run_program(
      scratch.path(), {"bench", "factorization", "--json", "--seconds", "0.05", "--repeats", "1",
                       "--members", "32", "--device", "cpu", "--threads", "1"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome;
  const auto found = outcome.json();
  EXPECT_TRUE(found.at("host").is_object());
  EXPECT_EQ(found.at("host").at("compute_units"), 1);
  const auto& rows = found.at("rows");
  ASSERT_GE(rows.size(), 2U);
  std::string precisions;
  for (const auto& row : rows) {
    for (const char* key : {"name", "device", "precision", "members", "value", "unit", "median_of",
                            "peak", "peak_unit", "share_of_peak", "peers", "checked"}) {
      EXPECT_TRUE(row.contains(key)) << key;
    }
    EXPECT_EQ(row.at("device"), "cpu");
    EXPECT_EQ(row.at("members"), 32);
    EXPECT_EQ(row.at("unit"), "member-steps/s");
    EXPECT_EQ(row.at("median_of"), 1);
    EXPECT_EQ(row.at("checked"), true);
    EXPECT_TRUE(row.at("peers").is_array());
    EXPECT_GT(row.at("value").get<double>(), 0);
    EXPECT_GT(row.at("peak").get<double>(), 0);
    // 6 products of 2 n^3 and 3 n^2, n = 20, a member-step.
    const double share =
        row.at("value").get<double>() * 97200 / (row.at("peak").get<double>() * 1e9);
    EXPECT_NEAR(row.at("share_of_peak").get<double>(), share, 1e-6 * share);
    precisions += row.at("precision").get<std::string>() + " ";
  }
  EXPECT_EQ(precisions, "f64 f32 ");
  EXPECT_TRUE(fs::is_empty(scratch.path()));
}

TEST(Bench, TableNamesItsFormula) {
  const Scratch scratch;
  const Outcome outcome = run_program(scratch.path(), {"bench", "factorization", "--seconds",
                                                       "0.02", "--repeats", "1", "--members", "8"});
  EXPECT_EQ(outcome.exit_code, 0) << outcome;
  EXPECT_TRUE(contains(outcome.out, "operations: 6 products of 2 n^3")) << outcome;
}

}  // namespace
}  // namespace manyfold::testing
