// Trajectories: closed forms, what one member may do to another, what packing and threads may do,
// and the promises of the record about ends and samples.
#include <algorithm>
#include <cmath>
#include <numeric>

#include <fmt/format.h>

#include "models/training/ensemble.hpp"
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
[probes]
train_loss = { every = 50, first_below = 1.0 }
test_error = { every = "geometric", per_decade = 4 }
balance = { every = 50, running = "max" }
singular_values = { steps = [10, 77, 200] }
layer_norm2 = { every = 50 }
grad_norm = { every = 50 }
end_norm = { every = 50, running = "max" }
)";

using TrajectoryOnDevice = OnDevice;

// Li, Luo, Lyu 2021, section 4: from W(0) = alpha I on full observation every singular value grows
// logistically, s_i(t) = alpha mu_i / (alpha + (mu_i - alpha) exp(-2 mu_i t)). Gradient descent is
// Euler's method for that flow: its distance is O(eta), so half the step halves it.
TEST_P(TrajectoryOnDevice, WarmUpFollowsTheLogisticCurves) {
  const auto device = executor();
  const std::vector<double> mu{3.0, 2.0, 1.0};
  constexpr double alpha = 1e-4;
  auto largest_distance = [&](double eta) {
    const auto steps = static_cast<std::int64_t>(std::lround(8.0 / eta));
    const std::string toml = fmt::format(R"(
[model]
kind = "symmetric"
depth = 2
hidden = 6
[objective]
kind = "full"
symmetric = true
target = {{ kind = "low_rank", size = 6, singular_values = [3.0, 2.0, 1.0] }}
[init]
kind = "identity"
alpha = {}
[optimizer]
kind = "gd"
learning_rate = {}
[stop]
steps = {}
[probes]
singular_values = {{ every = {} }}
time = {{ every = {} }}
)",
                                         alpha, eta, steps, steps / 80, steps / 80);
    const Results results = run(toml, *device);
    double distance = 0;
    for (std::int64_t sample = 0; sample <= 80; ++sample) {
      const double t = results.scalar("time", 0, sample);
      EXPECT_NEAR(t, 8.0 * static_cast<double>(sample) / 80, 1e-9);
      const std::vector<double> s = results.at("singular_values", 0, sample);
      EXPECT_EQ(s.size(), 6U);
      if (s.size() != 6U) return distance;
      for (std::size_t i = 0; i < 6; ++i) {
        const double m = i < 3 ? mu[i] : 0.0;
        const double expected = m > 0 ? alpha * m / (alpha + (m - alpha) * std::exp(-2 * m * t))
                                      : alpha / (1 + 2 * alpha * t);
        distance = std::max(distance, std::abs(s[i] - expected));
      }
    }
    return distance;
  };
  const double coarse = largest_distance(4e-3);
  const double fine = largest_distance(2e-3);
  EXPECT_LT(coarse,
            30 * 4e-3);  // Euler's constant here: mu^2 t log(1/alpha) / 2 at the steepest point
  EXPECT_NEAR(coarse / fine, 2.0, 0.2);
  EXPECT_GT(fine, 0.0);
}

TEST_P(TrajectoryOnDevice, RepeatsBitwise) {
  const auto device = executor();
  const std::vector<std::string> sweep{"sweep.seed={range=[0,6]}"};
  const Results once = run(completion, *device, sweep);
  const Results again = run(completion, *device, sweep);
  for (std::int64_t m = 0; m < 6; ++m) {
    EXPECT_FALSE(once.everything(m).empty());
    EXPECT_TRUE(same_bits(once.everything(m), again.everything(m))) << "member " << m;
  }
}

TEST_P(TrajectoryOnDevice, OneDivergingMemberTouchesNoOther) {
  const auto device = executor();
  const Results with =
      run(completion, *device,
          {"sweep.\"optimizer.learning_rate\"=[1e-2, 0.7, 2e-2, 1e-3]", "stop.check_every=2"});
  // As many slots, so that a batched product takes the same path.
  const Results without =
      run(completion, *device,
          {"sweep.\"optimizer.learning_rate\"=[1e-2, 1e-2, 2e-2, 1e-3]", "stop.check_every=2"});
  for (const std::int64_t m : {0, 2, 3}) {
    EXPECT_TRUE(same_bits(with.everything(m), without.everything(m))) << "member " << m;
    EXPECT_EQ(with.ends.at(m).status, MemberStatus::finished);
    EXPECT_EQ(with.ends.at(m).end_step, 300);
  }
  const MemberEnd& end = with.ends.at(1);
  EXPECT_EQ(end.status, MemberStatus::diverged);
  EXPECT_EQ(end.end_reason, "not finite");
  EXPECT_GT(end.end_step, 0);
  EXPECT_LT(end.end_step, 300);
  EXPECT_EQ(end.end_step % 2, 0);
  const double finite_step = with.scalar("last_finite_step", 1);
  EXPECT_EQ(finite_step, static_cast<double>(end.end_step - 2));
  EXPECT_TRUE(std::isfinite(with.scalar("last_finite_train_loss", 1)));
  EXPECT_TRUE(std::isfinite(with.scalar("last_finite_grad_norm", 1)));
  EXPECT_GT(with.scalar("last_finite_train_loss", 1), with.scalar("train_loss", 1, 0));
  EXPECT_EQ(with.summary.members.at(MemberStatus::diverged), 1);
}

TEST_P(TrajectoryOnDevice, AMemberStopsWhereItsConditionHolds) {
  const auto device = executor();
  const Results dense =
      run(completion, *device, {"probes.train_loss.every=1", "probes.grad_norm.every=1"});
  const Results stopped =
      run(completion, *device,
          {"probes.train_loss.every=1", "stop.train_loss=0.5", "stop.check_every=1"});
  std::int64_t expected = -1;
  for (std::int64_t t = 0; t <= 300 && expected < 0; ++t) {
    if (dense.scalar("train_loss", 0, t) <= 0.5) expected = t;
  }
  ASSERT_GT(expected, 0);
  EXPECT_EQ(stopped.ends.at(0).status, MemberStatus::converged);
  EXPECT_EQ(stopped.ends.at(0).end_reason, "train_loss");
  EXPECT_EQ(stopped.ends.at(0).end_step, expected);
  // Its last sample is its last state; nothing follows.
  EXPECT_EQ(stopped.scalar("train_loss", 0, expected), dense.scalar("train_loss", 0, expected));
  EXPECT_TRUE(std::isnan(stopped.scalar("train_loss", 0, expected + 1)));
  // A slower cadence shows the last state at its next sample.
  const std::int64_t next = (expected + 49) / 50;
  EXPECT_TRUE(std::isfinite(stopped.scalar("end_norm", 0, next)));
  EXPECT_TRUE(std::isnan(stopped.scalar("end_norm", 0, next + 1)));

  const double norm = dense.scalar("grad_norm", 0, 120);
  const Results flat = run(completion, *device,
                           {fmt::format("stop.grad_norm={:.17g}", norm), "stop.check_every=1",
                            "probes.grad_norm.every=1"});
  std::int64_t first = 0;
  while (dense.scalar("grad_norm", 0, first) > norm) ++first;
  EXPECT_EQ(flat.ends.at(0).end_step, first);
  EXPECT_EQ(flat.ends.at(0).end_reason, "grad_norm");

  const Results high =
      run(completion, *device, {"stop.divergence=1.0", "optimizer.learning_rate=0.01"});
  EXPECT_EQ(high.ends.at(0).status, MemberStatus::diverged);
  EXPECT_EQ(high.ends.at(0).end_reason, "above stop.divergence");
  EXPECT_EQ(high.ends.at(0).end_step, 0);
}

TEST_P(TrajectoryOnDevice, MembersOfOneWaveEndAtDifferentSteps) {
  const auto device = executor();
  const Results results =
      run(completion, *device, {"sweep.\"stop.steps\"=[1, 49, 50, 51, 120, 300]"});
  const Results alone = run(completion, *device, {"stop.steps=120"});
  for (std::int64_t m = 0; m < 6; ++m) {
    const std::vector<std::int64_t> steps{1, 49, 50, 51, 120, 300};
    EXPECT_EQ(results.ends.at(m).end_step, steps[static_cast<std::size_t>(m)]);
    EXPECT_EQ(results.ends.at(m).status, MemberStatus::finished);
  }
  // The cadence holds every member's own end.
  const auto& cadence = results.layout.cadences.front().steps;
  for (const std::int64_t end : {1, 49, 51, 120}) {
    EXPECT_NE(std::find(cadence.begin(), cadence.end(), end), cadence.end());
  }
  const auto sample = std::find(cadence.begin(), cadence.end(), 120) - cadence.begin();
  const auto& alone_cadence = alone.layout.cadences.front().steps;
  const auto alone_sample =
      std::find(alone_cadence.begin(), alone_cadence.end(), 120) - alone_cadence.begin();
  EXPECT_NEAR(results.scalar("train_loss", 4, sample), alone.scalar("train_loss", 0, alone_sample),
              1e-12);
  EXPECT_TRUE(std::isnan(results.scalar("train_loss", 4, sample + 1)));
  EXPECT_EQ(results.summary.member_steps, 1 + 49 + 50 + 51 + 120 + 300);
}

/// `tolerance`: of a value, relative.
void expect_watches_see_samples(Executor& device, const std::string& path, double tolerance) {
  SCOPED_TRACE(path);
  const Results results =
      run(completion, device,
          {"probes.train_loss.every=1", "probes.balance.every=1", "probes.end_norm.every=1",
           "stop.check_every=1", "sweep.seed=[0,1,2]"},
          false, path);
  for (std::int64_t m = 0; m < 3; ++m) {
    double first = -1;
    std::vector<double> most(2, 0.0);
    double norm = 0;
    for (std::int64_t t = 0; t <= 300; ++t) {
      if (first < 0 && results.scalar("train_loss", m, t) < 1.0) first = static_cast<double>(t);
      for (std::size_t i = 0; i < 2; ++i) {
        most[i] = std::max(most[i], results.at("balance", m, t)[i]);
      }
      norm = std::max(norm, results.scalar("end_norm", m, t));
    }
    EXPECT_EQ(results.scalar("first_step_train_loss_below_1", m), first);
    const std::vector<double> watched = results.at("max_balance", m, 0);
    ASSERT_EQ(watched.size(), most.size());
    for (std::size_t i = 0; i < 2; ++i) EXPECT_NEAR(watched[i], most[i], tolerance * most[i]);
    EXPECT_NEAR(results.scalar("max_end_norm", m), norm, tolerance * norm);
  }
}

// Samples are taken by the batched operations, watches by those of the path: on the batched one
// they are the same numbers, on the resident one sums that are added in another order.
TEST_P(TrajectoryOnDevice, WatchesSeeWhatDenseSamplesSee) {
  const auto device = executor();
  expect_watches_see_samples(*device, "batched", 0);
  expect_watches_see_samples(*device, "resident", 1e-13);
}

TEST_P(TrajectoryOnDevice, ProbesAgreeWithEachOther) {
  const auto device = executor();
  const Results results =
      run(completion, *device,
          {"probes.singular_values.steps=[0, 50, 100, 300]", "probes.end_norm.every=50"});
  const auto& listed = results.layout.cadences[2].steps;
  ASSERT_EQ(listed, (std::vector<std::int64_t>{0, 50, 100, 300}));
  for (const auto& [sample, every_sample] : {std::pair{0, 0}, {1, 1}, {2, 2}, {3, 6}}) {
    const auto s = results.at("singular_values", 0, sample);
    ASSERT_EQ(s.size(), 8U);
    double square = 0;
    for (const double value : s) square += value * value;
    EXPECT_NEAR(std::sqrt(square), results.scalar("end_norm", 0, every_sample), 1e-12 * s[0]);
    EXPECT_TRUE(std::is_sorted(s.rbegin(), s.rend()));
  }
  // The start has the norm that was asked for and is balanced.
  EXPECT_NEAR(results.scalar("end_norm", 0, 0), 0.1, 1e-14);
  for (const double pair : results.at("balance", 0, 0)) EXPECT_LT(pair, 1e-14);
}

TEST_P(TrajectoryOnDevice, RmsScaledStepsFollowTheirFormula) {
  const auto device = executor();
  const Results results =
      run(completion, *device,
          {"optimizer.kind=rms_gd", "optimizer.epsilon=1e-3", "optimizer.decay=0.9",
           "probes.time.every=1", "probes.grad_norm.every=1", "stop.steps=40"});
  double v = 0;
  double time = 0;
  for (std::int64_t t = 0; t < 40; ++t) {
    const double g = results.scalar("grad_norm", 0, t);
    v = 0.9 * v + 0.1 * g * g;
    time += 1e-2 / (std::sqrt(v / (1 - std::pow(0.9, static_cast<double>(t + 1)))) + 1e-3);
    EXPECT_NEAR(results.scalar("time", 0, t + 1), time, 1e-12 * time);
  }
}

TEST_P(TrajectoryOnDevice, InterruptionKeepsWhatWasSampled) {
  const auto device = executor();
  const Results results = run(completion, *device, {"sweep.seed=[0,1]"}, true);
  EXPECT_TRUE(results.summary.interrupted);
  EXPECT_EQ(results.summary.members.at(MemberStatus::pending), 2);
}

TEST_P(TrajectoryOnDevice, SinglePrecisionStaysNearDouble) {
  const auto device = executor();
  const Results exact = run(completion, *device, {"stop.steps=50"});
  const Results single = run(completion, *device, {"stop.steps=50", "precision=f32"});
  const double e = exact.scalar("train_loss", 0, 1);
  const double s = single.scalar("train_loss", 0, 1);
  EXPECT_NEAR(s / e, 1.0, 1e-4);
  EXPECT_NE(s, e);
}

MANYFOLD_ON_ALL_DEVICES(TrajectoryOnDevice);

// DESIGN promises this of paths without a BLAS, and the CPU's batched path has none below its
// crossover: a member's values are bitwise the same alone, among 500, in waves, and on any number
// of threads.
TEST(TrajectoryOnCpu, PackingAndThreadsChangeNoBit) {
  const std::string many = "sweep.seed={range=[0,500]}";
  const std::string short_run = "stop.steps=60";
  const auto two = executor_on("cpu", 2);
  const auto one = executor_on("cpu", 1);
  const Results among = run(completion, *two, {many, short_run});
  const Results single_thread = run(completion, *one, {many, short_run});
  // A budget for a handful of members at once.
  const std::size_t few = among.plan.families.front().footprint.shared_bytes +
                          7 * among.plan.families.front().footprint.bytes_per_slot + 100'000;
  const auto narrow = executor_on("cpu", 2, few);
  const Results waves = run(completion, *narrow, {"sweep.seed={range=[0,40]}", short_run});
  EXPECT_GT(waves.plan.families.front().waves, 1);
  for (const std::int64_t m : {0, 1, 37, 255, 499}) {
    const Results alone = run(completion, *two, {fmt::format("seed={}", m), short_run});
    EXPECT_TRUE(same_bits(alone.everything(0), among.everything(m))) << "member " << m;
    EXPECT_TRUE(same_bits(alone.everything(0), single_thread.everything(m))) << "member " << m;
    if (m < 40) {
      EXPECT_TRUE(same_bits(alone.everything(0), waves.everything(m))) << "member " << m;
    }
  }
}

/// The parameters that a member starts from on a device.
std::vector<double> start_on(Executor& executor, std::int64_t seed) {
  const Experiment experiment =
      Experiment::parse(completion, "test.toml", {fmt::format("seed={}", seed)}, experiment_spec());
  const Plan plan = make_plan(experiment, executor.device());
  const std::vector<Settings> members{experiment.member(0)};
  Ensemble ensemble(executor, members.front(), plan.families.front(), plan.probes,
                    plan.check_every);
  ensemble.load(members);
  return ensemble.parameters(0);
}

// One step from equal states: starts are drawn on the host, so they are equal bitwise; a step then
// differs by the rounding of differently ordered sums, c n eps.
TEST(TrajectoryAcrossDevices, OneStepAgrees) {
  const auto cpu = executor_on("cpu");
  bool compared = false;
  for (const TestDevice& device : test_devices()) {
    if (device.name == "cpu" || !device.missing.empty()) continue;
    compared = true;
    const auto other = executor_on(device.name);
    const std::vector<std::string> overrides{"stop.steps=1", "probes.end_norm.every=1",
                                             "probes.layer_norm2.every=1", "sweep.seed=[0,1,2,3]"};
    const Results a = run(completion, *cpu, overrides);
    const Results b = run(completion, *other, overrides);
    for (std::int64_t m = 0; m < 4; ++m) {
      EXPECT_TRUE(same_bits(start_on(*cpu, m), start_on(*other, m))) << "member " << m;
      const double start = a.scalar("end_norm", m, 0);
      EXPECT_NEAR(b.scalar("end_norm", m, 0), start, 64 * 0x1p-53 * start);
      const double after = a.scalar("end_norm", m, 1);
      EXPECT_NEAR(b.scalar("end_norm", m, 1), after, 64 * 0x1p-53 * after);
    }
  }
  if (!compared) GTEST_SKIP() << "no device besides the CPU";
}

TEST(TrajectoryStarts, AScaleMultipliesTheSameDraw) {
  const auto cpu = executor_on("cpu");
  const Results results = run(completion, *cpu,
                              {"stop.steps=1", "sweep.\"init.end_norm\"=[1e-3, 1e-1, 8e-1]",
                               "probes.singular_values.steps=[0]"});
  const auto reference = results.at("singular_values", 0, 0);
  for (std::int64_t m = 1; m < 3; ++m) {
    const auto s = results.at("singular_values", m, 0);
    for (std::size_t i = 0; i < 7; ++i) {
      EXPECT_NEAR(s[i] / s[0], reference[i] / reference[0], 1e-12);
    }
  }
}

TEST(TrajectorySeeds, AddingAValueChangesNoOtherMember) {
  const auto cpu = executor_on("cpu");
  const Results few = run(completion, *cpu, {"stop.steps=20", "sweep.seed=[3, 4]"});
  const Results more = run(completion, *cpu, {"stop.steps=20", "sweep.seed=[9, 3, 4, 5]"});
  EXPECT_TRUE(same_bits(few.everything(0), more.everything(1)));
  EXPECT_TRUE(same_bits(few.everything(1), more.everything(2)));
  EXPECT_FALSE(same_bits(few.everything(0), few.everything(1)));
}

TEST(Plan, CountsTheMemoryThatIsTaken) {
  for (const char* precision : {"f64", "f32"}) {
    const auto cpu = executor_on("cpu");
    for (const char* model : {"deep_linear", "symmetric"}) {
      const Experiment experiment = Experiment::parse(
          completion, "test.toml",
          {fmt::format("precision={}", precision), fmt::format("model.kind={}", model),
           "model.depth=4", "objective.target.rows=8", "sweep.problem.seed=[1,2,3,4,5]"},
          experiment_spec());
      const Plan plan = make_plan(experiment, cpu->device());
      ASSERT_EQ(plan.families.size(), 1U);
      const FamilyPlan& family = plan.families.front();
      EXPECT_FALSE(family.shared_problem);
      const Ensemble ensemble(*cpu, experiment.member(0), family, plan.probes, plan.check_every);
      EXPECT_EQ(cpu->allocated(), family.bytes()) << precision << " " << model;
    }
  }
}

}  // namespace
}  // namespace manyfold::testing
