// Offshoots: members that go on with a state of their parent. One that sets nothing must be its
// parent from the branch on, bit by bit, wherever and beside whatever it runs.
#include <cmath>

#include <fmt/format.h>

#include "models/training/ensemble.hpp"
#include "models/training/optimizer.hpp"
#include "tests/models/run.hpp"

namespace manyfold::testing {
namespace {

constexpr const char* completion = R"(
problem.seed = 2
[model]
kind = "deep_linear"
depth = 3
hidden = 7
[objective]
kind = "completion"
observed = 0.6
target = { kind = "low_rank", rows = 9, cols = 8, singular_values = [4.0, 2.0] }
[init]
kind = "orthogonal"
end_norm = 0.1
[optimizer]
kind = "gd"
learning_rate = 1e-2
[stop]
steps = 300
check_every = 7
[probes]
train_loss = { every = 50, first_below = 1.0 }
test_error = { every = "geometric", per_decade = 4 }
balance = { every = 50, running = "max" }
singular_values = { steps = [10, 77, 200] }
layer_norm2 = { every = 50 }
grad_norm = { every = 50 }
time = { every = 50 }
end_norm = { every = 50, running = "max" }
balance_drift = { every = 50 }
neuron_balance_drift = { every = 50, running = "max" }
parameters = { steps = [77, 200] }
)";

using Texts = std::vector<std::string>;

Texts with(Texts overrides, const Texts& more) {
  overrides.insert(overrides.end(), more.begin(), more.end());
  return overrides;
}

const CadenceLayout& cadence_of(const Results& results, const VariableLayout& variable) {
  return results.layout.cadences[static_cast<std::size_t>(variable.cadence)];
}

/// Compares what a member shows from step `from` on with another member, perhaps of another run;
/// nothing of it may stand before.
void expect_same_from(const Results& results, std::int64_t member, std::int64_t from,
                      const Results& others, std::int64_t other) {
  std::int64_t compared = 0;
  for (const VariableLayout& variable : results.layout.variables) {
    if (variable.cadence < 0) {
      EXPECT_TRUE(
          same_bits(results.at(variable.name, member, 0), others.at(variable.name, other, 0)))
          << variable.name << " of member " << member;
      continue;
    }
    const auto& steps = cadence_of(results, variable).steps;
    const auto& other_steps = cadence_of(others, variable).steps;
    for (std::size_t s = 0; s < steps.size(); ++s) {
      const auto values = results.at(variable.name, member, static_cast<std::int64_t>(s));
      if (steps[s] < from) {
        EXPECT_TRUE(values.empty())
            << variable.name << " of member " << member << " at " << steps[s];
        continue;
      }
      const auto o = std::find(other_steps.begin(), other_steps.end(), steps[s]);
      if (o == other_steps.end()) continue;
      EXPECT_TRUE(same_bits(values, others.at(variable.name, other, o - other_steps.begin())))
          << variable.name << " of member " << member << " at step " << steps[s];
      compared += values.empty() ? 0 : 1;
    }
  }
  EXPECT_GT(compared, 0) << "member " << member;
  EXPECT_EQ(results.ends.at(member).status, others.ends.at(other).status);
  EXPECT_EQ(results.ends.at(member).end_step, others.ends.at(other).end_step);
  EXPECT_EQ(results.ends.at(member).end_reason, others.ends.at(other).end_reason);
}

void expect_offshoots_equal_their_parents(const Results& results, std::int64_t product) {
  for (std::int64_t m = product; m < results.layout.members; ++m) {
    const auto& coordinates = results.layout.coordinates;
    const auto coordinate = [&](const std::string& name) {
      const auto found = std::find_if(coordinates.begin(), coordinates.end(),
                                      [&](const auto& c) { return c.name == name; });
      return std::get<std::vector<std::int64_t>>(found->values)[static_cast<std::size_t>(m)];
    };
    EXPECT_EQ(coordinate("parent"), m % product);
    expect_same_from(results, m, coordinate("branch_step"), results, m % product);
  }
}

using OffshootOnDevice = OnDevice;

TEST_P(OffshootOnDevice, OneThatSetsNothingIsItsParentFromTheBranchOn) {
  const auto device = executor();
  const std::vector<Texts> optimizers{
      {"optimizer.kind=gd"},
      {"optimizer.kind=gd", "schedule.learning_rate.kind=cosine",
       "schedule.learning_rate.steps=250", "schedule.learning_rate.final=1e-3",
       "schedule.learning_rate.warmup=20"},
      {"optimizer.kind=gd", "objective.l2=0.1", "schedule.l2.kind=periodic",
       "schedule.l2.lengths=[30, 20]", "schedule.l2.values=[0.1, 0.01]"},
      {"optimizer.kind=rms_gd"},
      {"optimizer.kind=momentum", "optimizer.momentum=0.9"},
      {"optimizer.kind=nesterov", "optimizer.momentum=0.9"},
      {"optimizer.kind=adam"},
      {"optimizer.kind=sign"},
      {"optimizer.kind=sgd_entries", "optimizer.learning_rate=1e-3", "optimizer.batch=3"},
      {"optimizer.kind=sgd_entries", "optimizer.learning_rate=1e-3", "optimizer.replacement=false"},
      {"optimizer.kind=label_noise", "optimizer.label_noise=0.1"},
      {"optimizer.kind=langevin", "optimizer.temperature=1e-4"},
      {"optimizer.kind=perturbed_gd", "optimizer.grad_threshold=1e9", "optimizer.radius=0.01",
       "optimizer.min_steps=20"},
  };
  // Every kind that there is: what one of them forgets to take along shows here.
  for (const OptimizerKind& kind : optimizer_kinds()) {
    if (kind.name == "normalized_gd") continue;  // of models/README.md, without state
    EXPECT_TRUE(std::any_of(optimizers.begin(), optimizers.end(), [&](const Texts& texts) {
      return texts.front() == "optimizer.kind=" + kind.name;
    })) << kind.name;
  }
  for (const Texts& optimizer : optimizers) {
    SCOPED_TRACE(optimizer.front());
    for (const char* precision : {"precision=f64", "precision=f32"}) {
      const Results results =
          run(completion, *device,
              with(optimizer, {precision, "sweep.seed={range=[0,3]}",
                               "offshoots.same.at=[0, 76, 77, 150, 299, 300]"}));
      ASSERT_EQ(results.layout.members, 3 + 18);
      EXPECT_EQ(results.summary.members.at(MemberStatus::finished), 21);
      EXPECT_EQ(results.summary.member_steps, results.plan.member_steps);
      expect_offshoots_equal_their_parents(results, 3);
    }
  }
}

// What the figures of Wang and Jacot do: the same path, and from a step on another learning rate
// and another penalty. A schedule that changes both at that step does the same.
TEST_P(OffshootOnDevice, OtherHyperparametersFromTheBranchOnAreAScheduleThatChangesThere) {
  const auto device = executor();
  const Texts noisy{"optimizer.kind=sgd_entries", "optimizer.learning_rate=1e-3",
                    "objective.l2=0.1"};
  const Results branched =
      run(completion, *device,
          with(noisy, {"offshoots.calm.at=[120]", "offshoots.calm.optimizer.learning_rate=5e-4",
                       "offshoots.calm.objective.l2=0.01"}));
  const Results scheduled =
      run(completion, *device,
          with(noisy, {"schedule.learning_rate.kind=piecewise", "schedule.learning_rate.at=[120]",
                       "schedule.learning_rate.values=[5e-4]", "schedule.l2.kind=piecewise",
                       "schedule.l2.at=[120]", "schedule.l2.values=[0.01]",
                       // As many slots, so that a batched product takes the same path.
                       "sweep.\"sgd.seed\"=[0, 1]"}));
  ASSERT_EQ(branched.layout.members, 2);
  EXPECT_EQ(branched.ends.at(1).end_step, 300);
  std::int64_t compared = 0;
  for (const VariableLayout& variable : branched.layout.variables) {
    if (variable.cadence < 0) continue;
    const auto& steps = cadence_of(branched, variable).steps;
    const auto& others = cadence_of(scheduled, variable).steps;
    for (std::size_t s = 0; s < steps.size(); ++s) {
      const auto o = std::find(others.begin(), others.end(), steps[s]);
      if (steps[s] <= 120 || o == others.end()) continue;
      EXPECT_TRUE(
          same_bits(branched.at(variable.name, 1, static_cast<std::int64_t>(s)),
                    scheduled.at(variable.name, 0, static_cast<std::int64_t>(o - others.begin()))))
          << variable.name << " at step " << steps[s];
      ++compared;
    }
  }
  EXPECT_GT(compared, 20);
}

TEST_P(OffshootOnDevice, ParentsAreWhatTheyAreWithoutOffshoots) {
  const auto device = executor();
  // As many slots, so that a batched product takes the same path.
  const Texts four{"sweep.seed={range=[0,4]}"};
  const Results without = run(completion, *device, four);
  const Results with_them = run(completion, *device,
                                with(four, {"offshoots.a.at=[120]", "offshoots.a.steps=33",
                                            "offshoots.a.optimizer.learning_rate=0.02"}));
  ASSERT_EQ(with_them.layout.members, 8);
  for (std::int64_t m = 0; m < 4; ++m) expect_same_from(with_them, m, 0, without, m);
}

TEST_P(OffshootOnDevice, WavesDoNotMatter) {
  const auto device = executor();
  const Texts settings{"sweep.seed={range=[0,4]}", "offshoots.a.at=[0, 40, 90]",
                       "offshoots.b.at=[90, 200]", "offshoots.b.optimizer.learning_rate=3e-2"};
  const Results together = run(completion, *device, settings);
  const FamilyPlan& family = together.plan.families.front();
  ASSERT_EQ(together.plan.families.size(), 1U);
  EXPECT_EQ(family.waves, 2);
  EXPECT_EQ(family.slots, 20);
  const auto small =
      executor(2, family.footprint.shared_bytes + 3 * family.footprint.bytes_per_slot + 100);
  const Results apart = run(completion, *small, settings);
  EXPECT_EQ(apart.plan.families.front().slots, 3);
  EXPECT_EQ(apart.plan.families.front().waves, 2 + 7);
  if (GetParam().name != "cpu") return;  // other batches may take another path there
  for (std::int64_t m = 0; m < 24; ++m) {
    EXPECT_TRUE(same_bits(together.everything(m), apart.everything(m))) << "member " << m;
  }
}

// At step 0 nothing has happened yet: an offshoot there is a member with other settings.
TEST_P(OffshootOnDevice, AnOffshootAtStepZeroIsAMemberWithItsSettings) {
  const auto device = executor();
  const Results offshoots =
      run(completion, *device,
          {"offshoots.fast.at=[0]", "offshoots.fast.optimizer.learning_rate=3e-2",
           "offshoots.rms.at=[0]", "offshoots.rms.optimizer.kind=rms_gd",
           "offshoots.rms.optimizer.epsilon=1.0", "offshoots.short.at=[0]",
           "offshoots.short.steps=123"});
  ASSERT_EQ(offshoots.layout.members, 4);
  ASSERT_EQ(offshoots.plan.families.size(), 2U);
  expect_same_from(offshoots, 1, 0, run(completion, *device, {"optimizer.learning_rate=3e-2"}), 0);
  expect_same_from(offshoots, 2, 0,
                   run(completion, *device, {"optimizer.kind=rms_gd", "optimizer.epsilon=1.0"}), 0);
  expect_same_from(offshoots, 3, 0, run(completion, *device, {"stop.steps=123"}), 0);
}

TEST_P(OffshootOnDevice, AnotherOptimizerGoesOnWithTheParameters) {
  const auto device = executor();
  const Results results =
      run(completion, *device, {"offshoots.rms.at=[100]", "offshoots.rms.optimizer.kind=rms_gd"});
  // Losses differ by the rounding of the batched path only where shapes of batches differ; here
  // both families have one slot.
  EXPECT_TRUE(same_bits(results.at("layer_norm2", 1, 2), results.at("layer_norm2", 0, 2)));
  EXPECT_TRUE(same_bits(results.at("time", 1, 2), results.at("time", 0, 2)));
  EXPECT_FALSE(same_bits(results.at("layer_norm2", 1, 3), results.at("layer_norm2", 0, 3)));
}

TEST_P(OffshootOnDevice, AMemberThatDivergesTouchesNoOffshootButItsOwn) {
  const auto device = executor();
  // Member 1 has values that are not finite from some step on; check_every finds them later.
  const std::int64_t every = GetParam().name == "emulated" ? 6 : 3;  // it is slow
  const std::int64_t members = 2 * (60 / every + 3);
  const Texts offshoots{fmt::format("offshoots.a.at={{range=[0, 61, {}]}}", every),
                        "offshoots.late.at=[290]"};
  const Results with_it =
      run(completion, *device, with({"sweep.\"optimizer.learning_rate\"=[1e-2, 0.7]"}, offshoots));
  const Results without =
      run(completion, *device, with({"sweep.\"optimizer.learning_rate\"=[1e-2, 1e-2]"}, offshoots));
  ASSERT_EQ(with_it.layout.members, members);
  const MemberEnd& parent = with_it.ends.at(1);
  ASSERT_EQ(parent.status, MemberStatus::diverged);
  ASSERT_LT(parent.end_step, 60);
  std::int64_t diverged = 0, pending = 0;
  for (std::int64_t m = 2; m < members; ++m) {
    if (m % 2 == 0) {
      EXPECT_TRUE(same_bits(with_it.everything(m), without.everything(m))) << "member " << m;
      continue;
    }
    const std::int64_t at = m == members - 1 ? 290 : every * (m / 2 - 1);
    const MemberEnd& end = with_it.ends.at(m);
    if (at <= parent.end_step) {
      ++diverged;
      EXPECT_EQ(end.status, MemberStatus::diverged) << "member " << m;
      EXPECT_EQ(end.end_step, parent.end_step) << "member " << m;
    } else {
      ++pending;
      EXPECT_EQ(end.status, MemberStatus::pending) << "member " << m;
      EXPECT_EQ(end.end_reason,
                fmt::format("member 1 ended at step {}, before the branch", parent.end_step));
      EXPECT_TRUE(with_it.everything(m).empty());
    }
  }
  EXPECT_GE(diverged, 2);
  EXPECT_GT(pending, 2);
  EXPECT_EQ(with_it.summary.members.at(MemberStatus::pending), pending);
}

TEST_P(OffshootOnDevice, AParentThatConvergedHasNoOffshootsBeyond) {
  const auto device = executor();
  const Results all = run(completion, *device);
  const double goal = all.scalar("train_loss", 0, 4);  // at step 200
  const Results results = run(completion, *device,
                              {fmt::format("stop.train_loss={}", goal), "stop.check_every=1",
                               "offshoots.a.at=[199, 200, 201]"});
  EXPECT_EQ(results.ends.at(0).status, MemberStatus::converged);
  EXPECT_EQ(results.ends.at(0).end_step, 200);
  EXPECT_EQ(results.ends.at(1).end_step, 200);
  EXPECT_EQ(results.ends.at(2).status, MemberStatus::converged);
  EXPECT_EQ(results.ends.at(2).end_step, 200);
  EXPECT_EQ(results.ends.at(3).status, MemberStatus::pending);
}

TEST_P(OffshootOnDevice, AThousandOffshootsOfOneParent) {
  const auto device = executor();
  // An emulated device takes a second for what others do in a millisecond.
  const std::int64_t many = GetParam().name == "emulated" ? 20 : 1000;
  const std::string small = R"(
[model]
kind = "deep_linear"
depth = 2
hidden = 3
[objective]
kind = "full"
target = { kind = "low_rank", size = 3, singular_values = [2.0] }
[init]
kind = "orthogonal"
end_norm = 0.1
[optimizer]
kind = "gd"
learning_rate = 0.01
[stop]
steps = 1000
[probes]
train_loss = { every = 250 }
[offshoots.each]
at = { range = [0, 1000] }
)";
  const Results results =
      run(small, *device,
          {fmt::format("stop.steps={}", many), fmt::format("probes.train_loss.every={}", many / 4),
           fmt::format("offshoots.each.at={{range=[0, {}]}}", many)});
  ASSERT_EQ(results.layout.members, many + 1);
  EXPECT_EQ(results.plan.families.size(), 1U);
  EXPECT_EQ(results.plan.families.front().waves, 2);
  EXPECT_EQ(results.plan.kept_bytes,
            static_cast<std::size_t>(many) * results.plan.families.front().state_bytes);
  expect_offshoots_equal_their_parents(results, 1);
}

/// The steps between members that ended and those that enter later are not walked through.
TEST_P(OffshootOnDevice, NothingIsSteppedWhereNobodyLives) {
  const auto device = executor();
  const Results results =
      run(completion, *device, {"offshoots.a.at=[20, 299]", "offshoots.a.steps=1"});
  EXPECT_EQ(results.ends.at(1).end_step, 21);
  EXPECT_EQ(results.ends.at(2).end_step, 300);
  expect_same_from(results, 2, 299, results, 0);
  // The last state of member 1 stands at the first sample at or after its end, and nowhere later.
  const auto& steps = results.layout.cadences.front().steps;
  for (std::size_t s = 0; s < steps.size(); ++s) {
    EXPECT_EQ(!results.at("train_loss", 1, static_cast<std::int64_t>(s)).empty(),
              steps[s] == 20 || steps[s] == 21)
        << steps[s];
  }
}

TEST_P(OffshootOnDevice, StatesAreSavedAndEnteredWhole) {
  const auto device = executor();
  const Experiment experiment =
      Experiment::parse(completion, "test.toml",
                        {"optimizer.kind=rms_gd", "sweep.seed={range=[0,3]}"}, experiment_spec());
  const Plan plan = make_plan(experiment, device->device());
  const std::vector<Settings> members{experiment.member(0), experiment.member(1),
                                      experiment.member(2)};
  Ensemble ensemble(*device, members.front(), plan.families.front(), plan.probes, plan.check_every);
  ensemble.load(members);
  ensemble.advance(0, 40);
  const std::vector<SlotState> states = ensemble.save(0, 3);
  const std::vector<double> at_40 = ensemble.parameters(1);
  EXPECT_EQ(states[1].step, 40);
  EXPECT_EQ(states[1].bytes(), ensemble.state_bytes());
  EXPECT_LE(states[1].bytes(), plan.families.front().state_bytes);
  ensemble.advance(40, 100);
  const std::vector<double> at_100 = ensemble.parameters(1);
  // Member 1 goes on in slot 2, members 0 and 2 stand still.
  ensemble.load(members, {true, true, true});
  const std::vector<double> start = ensemble.parameters(0);
  const std::array entries{Ensemble::Entry{2, &states[1]}};
  ensemble.enter(entries);
  EXPECT_TRUE(same_bits(ensemble.parameters(2), at_40));
  ensemble.advance(40, 100);
  EXPECT_TRUE(same_bits(ensemble.parameters(2), at_100));
  EXPECT_TRUE(same_bits(ensemble.parameters(0), start));
  EXPECT_FALSE(same_bits(at_40, at_100));
}

MANYFOLD_ON_ALL_DEVICES(OffshootOnDevice);

}  // namespace
}  // namespace manyfold::testing
