// A run from its file to its record: what is printed, what stands in the record, and that the same
// experiment gives the same record, bit by bit, however it was cut into threads and waves.
#include <algorithm>
#include <cmath>
#include <csignal>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "core/record/sample_log.hpp"
#include "tests/apps/netcdf_file.hpp"
#include "tests/apps/program.hpp"

namespace manyfold::testing {
namespace {

using Names = std::vector<std::string>;
const Names none;

class RunTest : public ::testing::Test {
 protected:
  RunTest() { write_file(scratch_ / "small.toml", small_experiment); }

  /// `run small.toml --out OUT --quiet MORE...`, which must succeed; the record.
  NetcdfFile record_of(const std::string& out, const Arguments& more = {},
                       const std::string& file = "small.toml") const {
    Arguments arguments{"run", file, "--out", out, "--quiet"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const Outcome outcome = run_program(scratch_.path(), arguments);
    EXPECT_EQ(outcome.exit_code, 0) << outcome;
    EXPECT_EQ(outcome.err, "");
    return read_record(scratch_ / out / "record.nc");
  }
  nlohmann::json info(const Arguments& more = {}) const {
    Arguments arguments{"info", "small.toml", "--json"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const Outcome outcome = run_program(scratch_.path(), arguments);
    EXPECT_EQ(outcome.exit_code, 0) << outcome;
    return outcome.json();
  }
  /// What --memory must be for `slots` members of the only family at once.
  std::string memory_for(std::int64_t slots, const Arguments& more = {}) const {
    const auto family = info(more).at("families").at(0);
    const auto each = family.at("bytes_per_member").get<std::int64_t>();
    const auto shared =
        family.at("bytes").get<std::int64_t>() - each * family.at("slots").get<std::int64_t>();
    return std::to_string(shared + each * slots);
  }

  Scratch scratch_;
};

TEST_F(RunTest, QuietRunPrintsItsSummaryOnly) {
  const Outcome outcome =
      run_program(scratch_.path(), {"run", "small.toml", "--out", "out", "--quiet"});
  EXPECT_EQ(outcome.exit_code, 0) << outcome;
  EXPECT_EQ(outcome.err, "");
  EXPECT_TRUE(contains(outcome.out, "4 finished")) << outcome;
  EXPECT_TRUE(contains(outcome.out, "200 member-steps")) << outcome;
  EXPECT_TRUE(contains(outcome.out, "out/record.nc")) << outcome;
  EXPECT_TRUE(fs::exists(scratch_ / "out/record.nc"));
  EXPECT_TRUE(fs::exists(scratch_ / "out/samples.log"));
  EXPECT_FALSE(fs::exists(scratch_ / "out/record.nc.partial"));
}

TEST_F(RunTest, SaysOnStandardErrorWhatItDoes) {
  const Outcome outcome = run_program(scratch_.path(), {"run", "small.toml", "--out", "out"});
  EXPECT_EQ(outcome.exit_code, 0) << outcome;
  EXPECT_TRUE(contains(outcome.err, "4 members in 1 family on ")) << outcome;
  EXPECT_TRUE(contains(outcome.err, "4 of 4 members, 100 %")) << outcome;
}

TEST_F(RunTest, JsonSummary) {
  const Outcome outcome =
      run_program(scratch_.path(), {"run", "small.toml", "--out", "out", "--quiet", "--json"});
  EXPECT_EQ(outcome.exit_code, 0) << outcome;
  const auto summary = outcome.json();
  EXPECT_EQ(summary.at("record"), "out/record.nc");
  EXPECT_EQ(summary.at("members"), nlohmann::json({{"finished", 4}}));
  EXPECT_EQ(summary.at("member_steps"), 200);
  EXPECT_EQ(summary.at("interrupted"), false);
  EXPECT_GT(summary.at("seconds").get<double>(), 0);
}

TEST_F(RunTest, RecordGoesToResultsWhereNoFolderIsNamed) {
  const Outcome outcome = run_program(scratch_.path(), {"run", "small.toml", "--quiet"});
  EXPECT_EQ(outcome.exit_code, 0) << outcome;
  EXPECT_TRUE(fs::exists(scratch_ / "results/small/record.nc"));
}

TEST_F(RunTest, RecordHoldsWhatTheExperimentAsksFor) {
  const NetcdfFile record = record_of("out");
  EXPECT_EQ(record.at("step").integers(), (std::vector<std::int64_t>{0, 10, 20, 30, 40, 50}));
  EXPECT_EQ(record.at("step_geometric_3").integers(),
            (std::vector<std::int64_t>{0, 1, 2, 5, 10, 22, 46, 50}));
  EXPECT_EQ(record.at("seed").integers(), (std::vector<std::int64_t>{0, 1, 2, 3}));
  EXPECT_EQ(record.at("status").texts, Names(4, "finished"));
  EXPECT_EQ(record.at("end_step").integers(), std::vector<std::int64_t>(4, 50));
  EXPECT_EQ(record.at("end_reason").texts, Names(4, "steps"));
  EXPECT_EQ(record.at("train_loss").sizes, (std::vector<std::size_t>{4, 6}));
  EXPECT_EQ(record.at("singular_values").sizes, (std::vector<std::size_t>{4, 6, 3}));
  EXPECT_EQ(record.at("layer_norm2").sizes, (std::vector<std::size_t>{4, 6, 2}));
  EXPECT_EQ(record.at("min_test_loss").sizes, (std::vector<std::size_t>{4}));
  // Layers are numbered from the input, from 1.
  EXPECT_EQ(record.at("layer").integers(), (std::vector<std::int64_t>{1, 2}));
  for (const char* name : {"train_loss", "test_loss", "singular_values", "layer_norm2"}) {
    const auto values = record.at(name).doubles();
    EXPECT_TRUE(std::all_of(values.begin(), values.end(), [](double x) { return x >= 0; })) << name;
  }
  const auto loss = record.at("train_loss").doubles();
  for (std::size_t m = 0; m < 4; ++m) {
    for (std::size_t s = 1; s < 6; ++s) EXPECT_LT(loss[m * 6 + s], loss[m * 6 + s - 1]);
  }
}

TEST_F(RunTest, OverwriteReplacesTheRecord) {
  record_of("out", {"--set", "stop.steps=30"});
  const NetcdfFile replaced = record_of("out", {"--overwrite"});
  EXPECT_EQ(differences(replaced, record_of("fresh")), none);
}

// Same data

TEST_F(RunTest, ResolvedExperimentGivesTheSameRecord) {
  const NetcdfFile first = record_of("first", {"--set", "optimizer.learning_rate=0.07"});
  fs::create_directory(scratch_ / "elsewhere");
  write_file(scratch_ / "elsewhere/again.toml", first.texts.at("experiment"));
  const NetcdfFile second = record_of("second", {}, "elsewhere/again.toml");
  EXPECT_EQ(differences(first, second), none);
  EXPECT_EQ(first.texts.at("experiment"), second.texts.at("experiment"));
  EXPECT_NE(differences(first, record_of("third")), none) << "the comparison sees no difference";
}

/// Three families (depths and optimizers differ), ragged depths, all kinds of cadence, an event.
constexpr std::string_view mixed_experiment = R"(
name = "mixed"
[model]
kind = "deep_linear"
[objective]
kind = "completion"
target = { kind = "low_rank", rows = 6, cols = 5, singular_values = [3.0, 1.0] }
observed = 0.6
test_on = "all"
[init]
kind = "gaussian"
end_norm = 0.5
[stop]
steps = 40
train_loss = 0.05
check_every = 5
[probes]
train_loss = { every = "fast", first_below = 1.0 }
test_error = { steps = [3, 30] }
balance = { every = "geometric", per_decade = 4, running = "max" }
grad_norm = { every = "fast" }
[cadences]
fast.every = 4
[sweep]
"init.seed" = [3, 1]
zip = [
  { "model.depth" = 2, "optimizer.kind" = "gd", "optimizer.learning_rate" = 0.1 },
  { "model.depth" = 3, "optimizer.kind" = "gd", "optimizer.learning_rate" = 0.05 },
  { "model.depth" = 2, "optimizer.kind" = "rms_gd", "optimizer.learning_rate" = 0.1, "optimizer.epsilon" = 1.0 },
]
"precision" = ["f64", "f32"]
)";

TEST_F(RunTest, ResolvedExperimentOfManyFamiliesGivesTheSameRecord) {
  write_file(scratch_ / "mixed.toml", mixed_experiment);
  const NetcdfFile first = record_of("first", {}, "mixed.toml");
  write_file(scratch_ / "again.toml", first.texts.at("experiment"));
  const NetcdfFile second = record_of("second", {}, "again.toml");
  EXPECT_EQ(first.at("status").texts.size(), 12U);
  EXPECT_EQ(differences(first, second), none);
  EXPECT_EQ(first.texts.at("experiment"), second.texts.at("experiment"));
}

TEST_F(RunTest, ThreadsDoNotMatter) {
  write_file(scratch_ / "mixed.toml", mixed_experiment);
  const NetcdfFile one = record_of("one", {"--threads", "1"}, "mixed.toml");
  const NetcdfFile two = record_of("two", {"--threads", "2"}, "mixed.toml");
  EXPECT_EQ(differences(one, two), none);
}

TEST_F(RunTest, WavesDoNotMatter) {
  const Arguments seven{"--set", "sweep.seed={range=[0,7]}"};
  Arguments small = seven;
  small.insert(small.end(), {"--memory", memory_for(2, seven)});
  const auto family = info(small).at("families").at(0);
  ASSERT_EQ(family.at("waves"), 4);
  ASSERT_EQ(family.at("slots"), 2);
  EXPECT_EQ(differences(record_of("at_once", seven), record_of("in_waves", small)), none);
}

TEST_F(RunTest, DivergedMemberIsAResultAndLeavesTheOthersAlone) {
  const Arguments alone{"--set", "sweep.\"optimizer.learning_rate\"=[0.05]",
                        "--set", "sweep.seed=[0, 1]",
                        "--set", "stop.steps=2000"};
  Arguments with = alone;
  with[1] = "sweep.\"optimizer.learning_rate\"=[0.05, 50.0]";
  const NetcdfFile calm = record_of("alone", alone);
  const NetcdfFile both = record_of("with", with);

  // Seeds stand first: members 0 and 2 have the small learning rate.
  EXPECT_EQ(both.at("status").texts, (Names{"finished", "diverged", "finished", "diverged"}));
  EXPECT_EQ(both.at("end_reason").texts[1], "not finite");
  const auto ends = both.at("end_step").integers();
  EXPECT_EQ(ends[0], 2000);
  EXPECT_LT(ends[1], 2000);
  const auto last_finite = both.at("last_finite_step").doubles();
  EXPECT_GE(last_finite[1], 0);
  EXPECT_LT(last_finite[1], static_cast<double>(ends[1]));
  EXPECT_TRUE(std::isfinite(both.at("last_finite_train_loss").doubles()[1]));

  for (const char* name : {"train_loss", "test_loss", "layer_norm2", "singular_values",
                           "min_test_loss", "last_finite_grad_norm"}) {
    const NetcdfVariable& a = calm.at(name);
    const NetcdfVariable& b = both.at(name);
    const std::size_t bytes = a.bytes.size() / 2;
    for (std::size_t m = 0; m < 2; ++m) {
      EXPECT_TRUE(std::equal(a.bytes.begin() + static_cast<std::ptrdiff_t>(m * bytes),
                             a.bytes.begin() + static_cast<std::ptrdiff_t>((m + 1) * bytes),
                             b.bytes.begin() + static_cast<std::ptrdiff_t>(2 * m * bytes)))
          << name << " of member " << m;
    }
  }
}

TEST_F(RunTest, EmulatedDeviceStartsWhereTheCpuDoes) {
  const auto devices = run_program(scratch_.path(), {"info", "--json"}).json().at("devices");
  const bool usable = std::any_of(devices.begin(), devices.end(), [](const auto& device) {
    return device.at("device") == "emulated" && device.at("usable").template get<bool>();
  });
  if (!usable) GTEST_SKIP() << "SKIPPED: libmanyfold_emulated.so is not beside the library";
  const NetcdfFile cpu = record_of("cpu", {"--device", "cpu"});
  const NetcdfFile emulated = record_of("emulated", {"--device", "emulated"});
  EXPECT_EQ(emulated.texts.at("device"), "emulated");
  EXPECT_EQ(emulated.at("status").texts, Names(4, "finished"));
  // Both start from the same bits: sums of 16 squares of one layer, and a product of two 4x4
  // layers, differ by the rounding of their summation, n eps relative to the sum of absolute
  // values.
  const double eps = std::numeric_limits<double>::epsilon();
  const auto norms =
      std::pair{cpu.at("layer_norm2").doubles(), emulated.at("layer_norm2").doubles()};
  const auto values =
      std::pair{cpu.at("singular_values").doubles(), emulated.at("singular_values").doubles()};
  for (std::size_t m = 0; m < 4; ++m) {
    for (std::size_t i = 0; i < 2; ++i) {
      const std::size_t at = m * 6 * 2 + i;
      EXPECT_NEAR(norms.second[at], norms.first[at], 16 * eps * norms.first[at]);
    }
    const double largest = values.first[m * 6 * 3];
    EXPECT_GT(largest, 0);
    for (std::size_t i = 0; i < 3; ++i) {
      const std::size_t at = m * 6 * 3 + i;
      // Rounding of W moves its singular values by at most ||dW|| <= 4 * 4 eps ||W_2|| ||W_1||, and
      // ||W_2|| ||W_1|| = s_1 of the balanced start; as much again for the values themselves.
      EXPECT_NEAR(values.second[at], values.first[at], 32 * eps * largest);
    }
  }
}

// Interruption

/// Members 0 and 1 end soon, 2 and 3 go on practically for ever, 4 and 5 wait for a slot: with
/// memory for two, in three waves.
constexpr std::string_view endless_sweep = R"("stop.steps" = [100, 1000000000000, 1000000000001]
"seed" = [0, 1]
)";

class InterruptionTest : public RunTest {
 protected:
  InterruptionTest() {
    std::string text(small_experiment);
    const std::string all = "every = 10";
    for (std::size_t at = 0; (at = text.find(all)) != std::string::npos;) {
      text.replace(at, all.size(), "every = \"geometric\"");
    }
    text.resize(text.find("[sweep]"));
    write_file(scratch_ / "small.toml", text + "[sweep]\n" + std::string(endless_sweep));
    memory_ = memory_for(2);
  }
  Launch launch() const {
    return {.arguments = {"run", "small.toml", "--out", "out", "--quiet", "--json", "--memory",
                          memory_},
            .folder = scratch_.path()};
  }
  /// Whether the second wave, of the endless members, has begun to leave samples.
  bool under_way() const {
    const std::string log = read_file(scratch_ / "out/log.jsonl");
    return contains(log, "\"wave\":1") && fs::file_size(scratch_ / "out/samples.log") > size_then_;
  }
  void wait_until_under_way(Process& process) {
    ASSERT_TRUE(eventually([&] {
      return !process.running() || contains(read_file(scratch_ / "out/log.jsonl"), "\"wave\":1");
    }));
    ASSERT_TRUE(process.running());
    size_then_ = fs::file_size(scratch_ / "out/samples.log");
    ASSERT_TRUE(eventually([&] { return !process.running() || under_way(); }));
    ASSERT_TRUE(process.running());
  }

  std::string memory_;
  std::uintmax_t size_then_ = 0;
};

class SignalTest : public InterruptionTest, public ::testing::WithParamInterface<int> {};

TEST_P(SignalTest, EndsWithACompleteRecord) {
  Process process(launch());
  wait_until_under_way(process);
  process.send(GetParam());
  const Outcome outcome = process.wait();
  EXPECT_EQ(outcome.exit_code, 130) << outcome;
  EXPECT_TRUE(contains(outcome.err, "interrupted")) << outcome;
  EXPECT_EQ(outcome.json().at("interrupted"), true);
  EXPECT_EQ(outcome.json().at("members"),
            nlohmann::json({{"finished", 2}, {"interrupted", 2}, {"pending", 2}}));

  const NetcdfFile record = read_record(scratch_ / "out/record.nc");
  EXPECT_EQ(record.at("status").texts,
            (Names{"finished", "finished", "interrupted", "interrupted", "pending", "pending"}));
  const auto ends = record.at("end_step").integers();
  EXPECT_EQ(ends[0], 100);
  EXPECT_GT(ends[2], 0);
  EXPECT_EQ(ends[2], ends[3]);
  EXPECT_EQ(ends[4], 0);

  // Every sample up to a member's end is there; the next one may show its last state; none follow.
  for (const auto& [name, step_name] :
       {std::pair{"train_loss", "step"}, std::pair{"singular_values", "step"},
        std::pair{"test_loss", "step_geometric_3"}}) {
    const auto steps = record.at(step_name).integers();
    const NetcdfVariable& variable = record.at(name);
    const auto values = variable.doubles();
    const std::size_t width = variable.sizes.size() > 2 ? variable.sizes[2] : 1;
    std::size_t shown = 0;
    for (std::size_t m = 0; m < 6; ++m) {
      const bool pending = m >= 4;
      for (std::size_t s = 0; s < steps.size(); ++s) {
        const double value = values[(m * steps.size() + s) * width];
        const bool due = !pending && steps[s] <= ends[m];
        const bool over = pending || (s > 0 && steps[s - 1] >= ends[m]);
        if (due || over) {
          EXPECT_EQ(std::isfinite(value), due)
              << name << " of member " << m << ", ended at " << ends[m] << ", at " << steps[s];
        }
        shown += due ? 1 : 0;
      }
    }
    EXPECT_GT(shown, 10U);
  }
  const auto least = record.at("min_test_loss").doubles();
  EXPECT_TRUE(std::isfinite(least[2]));
  EXPECT_TRUE(std::isnan(least[4]));
  EXPECT_FALSE(fs::exists(scratch_ / "out/record.nc.partial"));
}

INSTANTIATE_TEST_SUITE_P(Signals, SignalTest, ::testing::Values(SIGINT, SIGTERM),
                         [](const auto& one) { return one.param == SIGINT ? "INT" : "TERM"; });

/// Whether a process has a handler of its own for a signal (Linux).
bool handles(pid_t process, int signal) {
  const std::string status = read_file("/proc/" + std::to_string(process) + "/status");
  const std::size_t at = status.find("SigCgt:");
  if (at == std::string::npos) return false;
  const auto caught = std::stoull(status.substr(at + 7), nullptr, 16);
  return ((caught >> (signal - 1)) & 1U) != 0;
}

TEST_F(InterruptionTest, SecondSignalKills) {
  if (!fs::exists("/proc/self/status")) GTEST_SKIP() << "SKIPPED: there is no /proc";
  // Steps between two looks at the signal, so that the first does not end the run at once.
  Launch slow = launch();
  slow.arguments.insert(slow.arguments.end(), {"--set", "stop.check_every=1000000000"});
  Process process(slow);
  ASSERT_TRUE(eventually([&] { return !process.running() || handles(process.id(), SIGINT); }));
  ASSERT_TRUE(process.running());
  process.send(SIGINT);
  ASSERT_TRUE(eventually([&] { return !handles(process.id(), SIGINT); }));
  process.send(SIGINT);
  const Outcome outcome = process.wait();
  EXPECT_EQ(outcome.signal, SIGINT) << outcome;
  EXPECT_FALSE(fs::exists(scratch_ / "out/record.nc"));
  EXPECT_TRUE(read_log(scratch_ / "out/samples.log", {}).complete);
}

TEST_F(InterruptionTest, KilledRunLeavesItsSamples) {
  Process process(launch());
  wait_until_under_way(process);
  process.send(SIGKILL);
  EXPECT_EQ(process.wait().signal, SIGKILL);
  EXPECT_FALSE(fs::exists(scratch_ / "out/record.nc"));
  std::vector<std::string> ends;
  std::int64_t samples_of_second_wave = 0;
  LogVisitor visitor;
  visitor.on_end = [&](const MemberEnd& end) { ends.emplace_back(word(end.status)); };
  visitor.on_samples = [&](const SampleBlock& block) {
    if (block.members.front() >= 2) ++samples_of_second_wave;
  };
  const LogSummary summary = read_log(scratch_ / "out/samples.log", visitor);
  EXPECT_EQ(ends, Names(2, "finished"));
  EXPECT_GT(samples_of_second_wave, 0);
  EXPECT_EQ(summary.layout.members, 6);
}

}  // namespace
}  // namespace manyfold::testing
