// replay: one member of a record again, alone, with the same bits; a difference is found and named.
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "core/record/sample_log.hpp"
#include "tests/apps/netcdf_file.hpp"
#include "tests/apps/program.hpp"

namespace manyfold::testing {
namespace {

class ReplayTest : public ::testing::Test {
 protected:
  ReplayTest() { write_file(scratch_ / "small.toml", small_experiment); }

  Outcome program(const Arguments& arguments) const {
    return run_program(scratch_.path(), arguments);
  }
  void run(const Arguments& more = {}) const {
    Arguments arguments{"run", "small.toml", "--out", "out", "--quiet"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const Outcome outcome = program(arguments);
    ASSERT_EQ(outcome.exit_code, 0) << outcome;
  }
  nlohmann::json replay(int member, const Arguments& more = {}) const {
    Arguments arguments{"replay", "out", "--member", std::to_string(member), "--quiet", "--json"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const Outcome outcome = program(arguments);
    EXPECT_EQ(outcome.exit_code, 0) << outcome;
    EXPECT_EQ(outcome.err, "");
    return outcome.json();
  }

  Scratch scratch_;
};

TEST_F(ReplayTest, AMemberHasTheSameBitsAlone) {
  run();
  const auto summary = replay(2);
  // 6 samples of 3 probes, 8 of one, its minimum, and three last finite values.
  EXPECT_EQ(summary.at("compared"), 6 * 3 + 8 + 1 + 3);
  EXPECT_EQ(summary.at("different"), 0);
  const NetcdfFile record = read_record(scratch_ / "out/replay-2/record.nc");
  EXPECT_EQ(record.at("seed").integers(), (std::vector<std::int64_t>{2}));
  const Outcome said = program({"replay", "out", "--member", "2", "--overwrite", "--quiet"});
  EXPECT_TRUE(contains(said.out, "30 recorded samples compared: all bitwise equal")) << said;
}

TEST_F(ReplayTest, EveryKindOfMember) {
  run({"--set", "sweep.\"optimizer.learning_rate\"=[0.05, 50.0]", "--set", "sweep.seed=[0, 1]",
       "--set", "stop.steps=333", "--set", "offshoots.a.at=[0, 7, 333]", "--set",
       "offshoots.b.at=[200]", "--set", "offshoots.b.steps=55", "--set",
       "offshoots.b.optimizer.kind=rms_gd"});
  const NetcdfFile record = read_record(scratch_ / "out/record.nc");
  const auto& status = record.at("status").texts;
  ASSERT_EQ(status.size(), 4U * 5U);
  int replayed = 0;
  for (int m = 0; m < 20; ++m) {
    if (status[static_cast<std::size_t>(m)] == "pending") continue;
    ++replayed;
    const auto summary = replay(m);
    EXPECT_EQ(summary.at("different"), 0) << m;
    EXPECT_GT(summary.at("compared").get<int>(), 4) << m;
  }
  EXPECT_GT(replayed, 12);
  EXPECT_LT(replayed, 20) << "no parent diverged before a branch";
}

TEST_F(ReplayTest, OtherProbes) {
  run();
  write_file(scratch_ / "dense.toml",
             "probes.train_loss = { every = \"fine\" }\n[cadences]\nfine.every = 5\n");
  const auto summary = replay(1, {"--probes", "dense.toml", "--out", "dense"});
  EXPECT_EQ(summary.at("compared"), 6 + 3);
  EXPECT_EQ(summary.at("different"), 0);
  const NetcdfFile dense = read_record(scratch_ / "dense/record.nc");
  EXPECT_EQ(dense.at("train_loss").doubles().size(), 11U);
  EXPECT_FALSE(dense.variables.contains("singular_values"));
}

TEST_F(ReplayTest, ADifferenceIsFoundAndNamed) {
  run();
  // A copy of the log in which one value of member 1 has another last bit.
  const fs::path log = scratch_ / "out/samples.log";
  const RecordLayout layout = read_log(log, {}).layout;
  fs::rename(log, scratch_ / "old.log");
  {
    SampleLog copy = SampleLog::create(log, layout);
    LogVisitor visitor;
    visitor.on_end = [&](const MemberEnd& end) { copy.append(std::span(&end, 1)); };
    visitor.on_samples = [&](const SampleBlock& block) {
      std::vector<double> values(block.values.begin(), block.values.end());
      SampleBlock changed = block;
      changed.values = values;
      const auto& variable = layout.variables[static_cast<std::size_t>(block.variable)];
      if (variable.name == "layer_norm2" && block.sample == 3) {
        values[3] = std::nextafter(values[3], 0.0);  // member 1, layer 2
      }
      copy.append(changed);
    };
    read_log(scratch_ / "old.log", visitor);
  }
  const Outcome outcome = program({"replay", "out", "--member", "1", "--quiet"});
  EXPECT_EQ(outcome.exit_code, 1) << outcome;
  EXPECT_TRUE(contains(outcome.out, "30 recorded samples compared: 1 differ")) << outcome;
  EXPECT_TRUE(contains(outcome.err, "first difference: layer_norm2 at step 30, value 2: recorded "))
      << outcome;
  EXPECT_EQ(program({"replay", "out", "--member", "0", "--quiet"}).exit_code, 0);
}

TEST_F(ReplayTest, AnotherInstructionSetIsSaid) {
  Launch launch{.arguments = {"run", "small.toml", "--out", "out", "--quiet"},
                .folder = scratch_.path()};
  launch.environment["MANYFOLD_ISA"] = "portable";
  ASSERT_EQ(run_program(launch).exit_code, 0);
  const auto outcome = program({"replay", "out", "--member", "0", "--quiet"});
  if (contains(outcome.err, "instruction_set is portable")) GTEST_SKIP() << "SKIPPED: the only one";
  if (outcome.err.empty()) GTEST_SKIP() << "SKIPPED: this processor has the portable one only";
  EXPECT_TRUE(contains(outcome.err, "the record's is portable: bits may differ")) << outcome;
}

TEST_F(ReplayTest, BadInput) {
  run({"--set", "stop.steps=20"});
  write_file(scratch_ / "other.toml", "[probes]\ntrain_loss.every = 1\n[stop]\nsteps = 3\n");
  write_file(scratch_ / "none.toml", "[cadences]\nfast.every = 1\n");
  write_file(scratch_ / "wrong.toml", "[probes]\ntrain_loss.every = 0\n");
  write_file(scratch_ / "unknown.toml", "[probes]\n\nentropy.every = 1\n");
  write_file(scratch_ / "broken.toml", "[probes\n");
  fs::create_directory(scratch_ / "empty");
  const auto before = contents_of(scratch_.path());
  const auto refused = [&](const Arguments& arguments, const std::string& message) {
    const Outcome outcome = program(arguments);
    EXPECT_EQ(outcome.exit_code, 2) << outcome;
    EXPECT_TRUE(contains(outcome.err, message)) << message << "\n" << outcome;
    EXPECT_EQ(changes(before, contents_of(scratch_.path())), no_changes);
  };
  const auto with = [](const char* file) {
    return Arguments{"replay", "out", "--member", "0", "--probes", file};
  };
  refused({"replay", "empty", "--member", "0"},
          "empty/samples.log: is not there; expected the folder of a run");
  refused({"replay", "out"}, "--member");
  refused({"replay", "out", "--member", "4"},
          "--member: found 4, expected a member of out/samples.log: 0 to 3");
  refused({"replay", "out", "--member", "-1"}, "--member: found -1, expected a member");
  refused({"replay", "out", "--member", "two"}, "two");
  refused(with("missing.toml"), "--probes missing.toml: cannot be read");
  refused(with("empty"), "--probes empty: cannot be read");
  refused(with("other.toml"),
          "other.toml:3: stop: found a table, expected [probes] and [cadences] only");
  refused(with("none.toml"), "none.toml: found no [probes], expected some");
  refused(with("wrong.toml"), "wrong.toml:2: probes.train_loss.every: found 0, expected");
  refused(with("unknown.toml"), "unknown.toml:3: probes.entropy: found no probe of that name");
  refused(with("broken.toml"), "broken.toml:1");
}

TEST_F(ReplayTest, AMemberThatNeverRanHasNothingToReplay) {
  run({"--set", "optimizer.learning_rate=50", "--set", "stop.steps=2000", "--set",
       "offshoots.a.at=[1999]"});
  const Outcome outcome = program({"replay", "out", "--member", "4"});
  EXPECT_EQ(outcome.exit_code, 2) << outcome;
  EXPECT_TRUE(contains(outcome.err, "holds no samples of it, expected a member that ran"))
      << outcome;
}

}  // namespace
}  // namespace manyfold::testing
