// run --extend: whatever was run before, and however it ended, the record is bit by bit that of
// running everything at once; and what cannot be gone on with is refused before anything changes.
#include <algorithm>
#include <csignal>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "core/record/sample_log.hpp"
#include "tests/apps/netcdf_file.hpp"
#include "tests/apps/program.hpp"

namespace manyfold::testing {
namespace {

using Names = std::vector<std::string>;
const Names none;

Arguments set(const std::vector<std::string>& overrides) {
  Arguments flags;
  for (const std::string& override : overrides) {
    flags.emplace_back("--set");
    flags.push_back(override);
  }
  return flags;
}

class ExtendTest : public ::testing::Test {
 protected:
  ExtendTest() {
    write_file(scratch_ / "small.toml", small_experiment);
    write_file(scratch_ / "mixed.toml", mixed);
  }

  Outcome run(const std::string& out, const Arguments& more, const std::string& file) const {
    Arguments arguments{"run", file, "--out", out, "--quiet", "--json"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run_program(scratch_.path(), arguments);
  }
  nlohmann::json run_well(const std::string& out, const Arguments& more = {},
                          const std::string& file = "small.toml") const {
    const Outcome outcome = run(out, more, file);
    EXPECT_EQ(outcome.exit_code, 0) << outcome;
    return outcome.json();
  }
  nlohmann::json extend(const std::string& out, Arguments more = {},
                        const std::string& file = "small.toml") const {
    more.emplace_back("--extend");
    auto json = run_well(out, more, file);
    for (const char* left :
         {"samples.log.extending", "states.log.extending", "record.nc.partial"}) {
      EXPECT_FALSE(fs::exists(scratch_ / out / left)) << left;
    }
    return json;
  }
  NetcdfFile record(const std::string& out) const {
    return read_record(scratch_ / out / "record.nc");
  }

  /// What is refused changes nothing.
  void expect_refusal(const Arguments& more, const std::string& message,
                      const std::string& file = "small.toml") const {
    const auto before = contents_of(scratch_.path());
    Arguments arguments = more;
    arguments.emplace_back("--extend");
    const Outcome outcome = run("out", arguments, file);
    EXPECT_EQ(outcome.exit_code, 2) << outcome;
    EXPECT_TRUE(contains(outcome.err, message)) << message << "\n" << outcome;
    EXPECT_EQ(changes(before, contents_of(scratch_.path())), no_changes);
  }

  /// Families, cadences, events, and members that converge or diverge.
  static constexpr std::string_view mixed = R"(
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
time = { every = "fast" }
parameters = { every = "fast" }
[cadences]
fast.every = 4
[sweep]
"init.seed" = [3, 1]
zip = [
  { "model.depth" = 2, "optimizer.kind" = "gd", "optimizer.learning_rate" = 0.1 },
  { "model.depth" = 3, "optimizer.kind" = "gd", "optimizer.learning_rate" = 0.05 },
  { "model.depth" = 2, "optimizer.kind" = "gd", "optimizer.learning_rate" = 9.0 },
  { "model.depth" = 2, "optimizer.kind" = "rms_gd", "optimizer.learning_rate" = 0.01, "optimizer.epsilon" = 1.0 },
]
)";

  Scratch scratch_;
};

TEST_F(ExtendTest, MoreStepsAndMembers) {
  run_well("out");
  // 57 is no multiple of any cadence: its samples must not stay behind.
  const auto steps = extend("out", set({"stop.steps=57"}));
  EXPECT_EQ(steps.at("member_steps"), 4 * 7);
  EXPECT_EQ(steps.at("members"), nlohmann::json({{"finished", 4}}));
  run_well("steps", set({"stop.steps=57"}));
  EXPECT_EQ(differences(record("out"), record("steps")), none);

  const auto both = set({"stop.steps=95", "sweep.seed=[9, 0, 1, 2, 3, 4]"});
  EXPECT_EQ(extend("out", both).at("member_steps"), 4 * (95 - 57) + 2 * 95);
  run_well("both", both);
  EXPECT_EQ(differences(record("out"), record("both")), none);
  EXPECT_NE(differences(record("out"), record("steps")), none) << "the comparison is blind";

  const auto again = extend("out", both);
  EXPECT_EQ(again.at("member_steps"), 0);
  EXPECT_EQ(again.at("kept"), 6);
  EXPECT_EQ(differences(record("out"), record("both")), none);
}

TEST_F(ExtendTest, MembersThatEndedByThemselvesAreDone) {
  run_well("out", {}, "mixed.toml");
  const auto status = record("out").at("status").texts;
  for (const char* one : {"finished", "diverged"}) {
    EXPECT_NE(std::find(status.begin(), status.end(), one), status.end()) << one;
  }
  for (const std::string steps : {"41", "133"}) {
    const auto more = set({"stop.steps=" + steps, "sweep.\"init.seed\"=[3, 1, 8]"});
    extend("out", more, "mixed.toml");
    run_well("once" + steps, more, "mixed.toml");
    EXPECT_EQ(differences(record("out"), record("once" + steps)), none) << steps;
  }
  const auto later = record("out").at("status").texts;
  EXPECT_NE(std::find(later.begin(), later.end(), "converged"), later.end());
}

// The last state of a member that converged stood at the end of the earlier run, which is no sample
// of the new one.
TEST_F(ExtendTest, LastStatesMoveToTheNextSample) {
  run_well("losses", set({"probes.train_loss.every=10"}));
  const auto losses = record("losses").at("train_loss").doubles();
  const Arguments rare =
      set({fmt::format("stop.train_loss={}", losses[4]), "probes.train_loss.every=1000",
           "probes.layer_norm2.every=1000", "probes.singular_values.every=1000"});
  run_well("out", rare);
  const NetcdfFile before = record("out");
  EXPECT_EQ(before.at("status").texts[0], "converged");
  EXPECT_EQ(before.at("end_step").integers()[0], 40);
  EXPECT_EQ(before.at("step").integers(), (std::vector<std::int64_t>{0, 50}));
  Arguments more = rare;
  const auto steps = set({"stop.steps=95"});
  more.insert(more.end(), steps.begin(), steps.end());
  extend("out", more);
  run_well("once", more);
  EXPECT_EQ(record("out").at("step").integers(), (std::vector<std::int64_t>{0, 95}));
  EXPECT_EQ(differences(record("out"), record("once")), none);
}

// A member whose end falls between samples of the members that were there: those lack a sample, and
// are run again.
TEST_F(ExtendTest, MembersThatLackASampleAreRunAgain) {
  run_well("out");
  const auto more = set({"sweep.\"stop.steps\"=[50, 33]"});
  EXPECT_EQ(extend("out", more).at("member_steps"), 4 * 50 + 4 * 33);
  run_well("once", more);
  EXPECT_EQ(differences(record("out"), record("once")), none);
}

TEST_F(ExtendTest, OffshootsOfWhatIsThere) {
  run_well("out");
  // At the last step the state is at hand; at 0 and 10 the samples are, but not the states.
  const auto last = set(
      {"offshoots.a.at=[50]", "offshoots.a.steps=25", "offshoots.a.optimizer.learning_rate=0.01"});
  EXPECT_EQ(extend("out", last).at("member_steps"), 4 * 25);
  run_well("last", last);
  EXPECT_EQ(differences(record("out"), record("last")), none);

  Arguments more = last;
  const auto earlier = set({"offshoots.b.at=[0, 10]", "stop.steps=60", "offshoots.a.steps=30"});
  more.insert(more.end(), earlier.begin(), earlier.end());
  extend("out", more);
  run_well("more", more);
  EXPECT_EQ(differences(record("out"), record("more")), none);
}

TEST_F(ExtendTest, WavesDoNotMatter) {
  const auto info = run_program(scratch_.path(), {"info", "small.toml", "--json"}).json();
  const auto family = info.at("families").at(0);
  const auto each = family.at("bytes_per_member").get<std::int64_t>();
  const auto shared = family.at("bytes").get<std::int64_t>() - 4 * each;
  const Arguments memory{"--memory", std::to_string(shared + 2 * each)};
  run_well("out", memory);
  Arguments more =
      set({"stop.steps=95", "sweep.seed={range=[0,7]}", "offshoots.a.at=[60, 70, 80]"});
  run_well("once", more);
  more.insert(more.end(), memory.begin(), memory.end());
  extend("out", more);
  EXPECT_EQ(differences(record("out"), record("once")), none);
}

TEST_F(ExtendTest, OnAnEmulatedDevice) {
  const auto devices = run_program(scratch_.path(), {"info", "--json"}).json().at("devices");
  const bool usable = std::any_of(devices.begin(), devices.end(), [](const auto& device) {
    return device.at("device") == "emulated" && device.at("usable").template get<bool>();
  });
  if (!usable) GTEST_SKIP() << "SKIPPED: libmanyfold_emulated.so is not beside the library";
  const Arguments device{"--device", "emulated"};
  run_well("out", device);
  Arguments more = set({"stop.steps=73"});
  more.insert(more.end(), device.begin(), device.end());
  extend("out", more);
  run_well("once", more);
  EXPECT_EQ(differences(record("out"), record("once")), none);
}

// Interruptions

class ExtendInterruptedTest : public ExtendTest {
 protected:
  ExtendInterruptedTest() {
    std::string text(small_experiment);
    const std::string all = "every = 10";
    for (std::size_t at = 0; (at = text.find(all)) != std::string::npos;) {
      text.replace(at, all.size(), "every = \"geometric\"");
    }
    write_file(scratch_ / "long.toml", text);
  }

  /// Starts a run that takes seconds, and sends it a signal once `word` stands in its events and
  /// samples have followed.
  Outcome interrupt(int signal, const std::string& word, const Arguments& more) const {
    Arguments arguments{"run", "long.toml", "--out", "out", "--quiet"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    Process process(Launch{.arguments = arguments, .folder = scratch_.path()});
    const auto log = scratch_ / "out/samples.log";
    std::uintmax_t size = 0;
    EXPECT_TRUE(eventually([&] {
      if (!process.running()) return true;
      if (!contains(read_file(scratch_ / "out/log.jsonl"), word)) return false;
      if (size == 0) size = fs::file_size(log);
      return fs::file_size(log) > size + 1000;
    }));
    EXPECT_TRUE(process.running()) << "too short";
    process.send(signal);
    return process.wait();
  }
  const std::string starters = "\"offshoots\":false";
  const std::string offshoots = "\"offshoots\":true";
};

TEST_F(ExtendInterruptedTest, GoesOnWhereItWasInterrupted) {
  const auto steps = set({"stop.steps=700000"});
  EXPECT_EQ(interrupt(SIGINT, starters, steps).exit_code, 130);
  const NetcdfFile stopped = record("out");
  EXPECT_EQ(stopped.at("status").texts, Names(4, "interrupted"));
  const auto reached = stopped.at("end_step").integers()[0];
  EXPECT_GT(reached, 0);
  EXPECT_EQ(extend("out", steps, "long.toml").at("member_steps"), 4 * (700000 - reached));
  run_well("once", steps, "long.toml");
  EXPECT_EQ(differences(record("out"), record("once")), none);
}

TEST_F(ExtendInterruptedTest, AKilledRunIsRunAgainWhereNothingElseIsLeft) {
  const auto steps = set({"stop.steps=700000"});
  EXPECT_EQ(interrupt(SIGKILL, starters, steps).signal, SIGKILL);
  const auto fewer = set({"stop.steps=1000"});
  extend("out", fewer, "long.toml");
  run_well("once", fewer, "long.toml");
  EXPECT_EQ(differences(record("out"), record("once")), none);
}

TEST_F(ExtendInterruptedTest, AKilledExtensionLosesNothingThatWasThere) {
  run_well("out", set({"stop.steps=1000"}), "long.toml");
  const auto steps = set({"stop.steps=700000"});
  Arguments more = steps;
  more.emplace_back("--extend");
  EXPECT_EQ(interrupt(SIGKILL, starters, more).signal, SIGKILL);
  EXPECT_EQ(extend("out", steps, "long.toml").at("member_steps"), 4 * (700000 - 1000));
  run_well("once", steps, "long.toml");
  EXPECT_EQ(differences(record("out"), record("once")), none);
}

TEST_F(ExtendInterruptedTest, AnInterruptedWaveOfOffshoots) {
  const auto settings =
      set({"sweep.seed=[5]", "stop.steps=900000", "offshoots.a.at=[1000, 1500, 900000]",
           "offshoots.a.steps=900000", "offshoots.a.optimizer.learning_rate=0.01"});
  EXPECT_EQ(interrupt(SIGINT, offshoots, settings).exit_code, 130);
  EXPECT_EQ(record("out").at("status").texts,
            (Names{"finished", "interrupted", "interrupted", "pending"}));
  // The parent is done, and its state at step 900000 was kept.
  const auto summary = extend("out", settings, "long.toml");
  EXPECT_EQ(summary.at("kept"), 1);
  run_well("once", settings, "long.toml");
  EXPECT_EQ(differences(record("out"), record("once")), none);
}

// Refusals

TEST_F(ExtendTest, WhatCannotBeExtendedIsRefused) {
  expect_refusal({}, "out/samples.log: is not there; --extend goes on with the run of a folder");
  run_well("out");
  expect_refusal(set({"probes.train_loss.every=5"}),
                 "--set probes.train_loss.every=5: probes.train_loss.every: found 5, expected 10, "
                 "as in out/samples.log: --extend adds members and steps only");
  expect_refusal(set({"probes.balance.every=5"}),
                 "probes.balance.every: found 5, expected nothing");
  expect_refusal(set({"stop.check_every=1"}), "stop.check_every: found 1, expected 10");
  expect_refusal(set({"sweep.seed=[0, 1, 2]"}),
                 "seed: found 0, expected also 3, which member 3 of out/samples.log has: --extend "
                 "removes no members");
  expect_refusal(set({"optimizer.learning_rate=0.1"}),
                 "optimizer.learning_rate: found 0.1, expected also 0.05, which member 0");
  expect_refusal({"--overwrite"}, "expected one of them");
}

TEST_F(ExtendTest, WithoutStatesNoMemberGoesOn) {
  run_well("out", set({"record.states=false"}));
  EXPECT_FALSE(fs::exists(scratch_ / "out/states.log"));
  expect_refusal(set({"stop.steps=60"}), "kept no states (record.states = false)");
  // More members need none.
  extend("out", set({"sweep.seed={range=[0, 5]}"}));
  run_well("once", set({"sweep.seed={range=[0, 5]}"}));
  EXPECT_EQ(differences(record("out"), record("once")), none);
}

TEST_F(ExtendTest, ADamagedLogOfStatesCostsTimeOnly) {
  run_well("out");
  std::string bytes = read_file(scratch_ / "out/states.log");
  bytes[bytes.size() - 100] = static_cast<char>(bytes[bytes.size() - 100] ^ 1);
  write_file(scratch_ / "out/states.log", bytes);
  EXPECT_EQ(extend("out", set({"stop.steps=60"})).at("member_steps"), 4 * 60);
  run_well("once", set({"stop.steps=60"}));
  EXPECT_EQ(differences(record("out"), record("once")), none);
}

}  // namespace
}  // namespace manyfold::testing
