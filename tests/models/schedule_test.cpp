// Schedules from the file to the step: the probe `time` is the sum of the step sizes taken, so its
// differences are the learning rates that members stepped with.
#include "models/training/schedule.hpp"

#include <cmath>
#include <functional>
#include <numbers>

#include "tests/models/run.hpp"

namespace manyfold::testing {
namespace {

std::string experiment(const std::string& rest) {
  return "problem.seed = 3\nseed = 5\n[model]\nkind = \"deep_linear\"\nsizes = [3, 2, 3]\n"
         "[objective]\nkind = \"full\"\ntarget = { kind = \"gaussian\", size = 3 }\n"
         "[init]\nkind = \"gaussian\"\nstddev = 0.3\n[stop]\nsteps = 24\n"
         "[probes]\ntime = { every = 1 }\ntrain_loss = { every = 1 }\n"
         "[optimizer]\nlearning_rate = 0.01\n" +
         rest;
}

/// Times are sums of up to 24 rates of at most `largest`: each sum rounds once.
void expect_rates(const Results& results, std::int64_t member, double largest,
                  const std::function<double(double)>& rate) {
  double time = 0;
  for (int t = 0; t < 24; ++t) {
    const double taken = results.scalar("time", member, t + 1) - results.scalar("time", member, t);
    EXPECT_NEAR(taken, rate(t), 1e-13 * std::fabs(rate(t)) + 24 * largest * 3e-16)
        << "member " << member << ", step " << t;
    time += taken;
  }
  EXPECT_GT(time, 0);
}

using ScheduleOnDevice = OnDevice;

/// All kinds side by side in one family, a schedule a member.
TEST_P(ScheduleOnDevice, EveryKindFollowsItsFormulaInOneFamily) {
  const auto device = executor();
  const std::string s = "\"schedule.learning_rate.";
  const Results results =
      run(experiment(
              "kind = \"gd\"\n[sweep]\nzip = [\n"
              "{ " +
              s + "kind\" = \"piecewise\", " + s + "at\" = [0, 5, 11], " + s +
              "values\" = [0.02, 0.5e-2, 0.03] },\n"
              "{ " +
              s + "kind\" = \"piecewise\", " + s + "at\" = [7], " + s + "values\" = [0.04], " + s +
              "warmup\" = 10 },\n"
              "{ " +
              s + "kind\" = \"periodic\", " + s + "lengths\" = [2, 3], " + s +
              "values\" = [0.02, 0.03] },\n"
              "{ " +
              s + "kind\" = \"power\", " + s +
              "exponent\" = 0.55 },\n"
              "{ " +
              s + "kind\" = \"cosine\", " + s + "final\" = 0, " + s +
              "steps\" = 20 },\n"
              "{ " +
              s + "kind\" = \"linear\", " + s + "final\" = 0.05, " + s +
              "steps\" = 16 },\n"
              "{ " +
              s + "kind\" = \"exponential\", " + s + "final\" = 1e-5, " + s + "steps\" = 20, " + s +
              "warmup\" = 4 },\n"
              "{ " +
              s + "kind\" = \"constant\", " + s + "warmup\" = 8 },\n]\n"),
          *device);
  ASSERT_EQ(results.plan.families.size(), 1u);
  EXPECT_NE(results.plan.families[0].description.find("learning_rate scheduled in up to 4 pieces"),
            std::string::npos);
  const double pi = std::numbers::pi;
  expect_rates(results, 0, 0.03, [](double t) { return t < 5 ? 0.02 : t < 11 ? 0.005 : 0.03; });
  expect_rates(results, 1, 0.04,
               [](double t) { return (t < 7 ? 0.01 : 0.04) * (t < 10 ? t / 10 : 1); });
  expect_rates(results, 2, 0.03, [](double t) { return std::fmod(t, 5) < 2 ? 0.02 : 0.03; });
  expect_rates(results, 3, 0.01, [](double t) { return 0.01 * std::pow(t + 1, -0.55); });
  expect_rates(results, 4, 0.01,
               [=](double t) { return t < 20 ? 0.005 * (1 + std::cos(pi * t / 20)) : 0; });
  expect_rates(results, 5, 0.05, [](double t) { return t < 16 ? 0.01 + 0.04 * t / 16 : 0.05; });
  expect_rates(results, 6, 0.01, [](double t) {
    return (t < 20 ? 0.01 * std::pow(1e-3, t / 20) : 1e-5) * (t < 4 ? t / 4 : 1);
  });
  expect_rates(results, 7, 0.01, [](double t) { return t < 8 ? 0.01 * t / 8 : 0.01; });
}

/// Lists are swept like any value; the schedule changes what members do.
TEST_P(ScheduleOnDevice, ListsAreSwept) {
  const auto device = executor();
  const Results results =
      run(experiment("kind = \"gd\"\n[schedule.learning_rate]\nkind = \"piecewise\"\n"
                     "at = [0, 12]\n[sweep]\n"
                     "\"schedule.learning_rate.values\" = [[0.01, 0.02], [0.01, 0.05]]\n"),
          *device);
  ASSERT_EQ(results.layout.members, 2);
  expect_rates(results, 0, 0.02, [](double t) { return t < 12 ? 0.01 : 0.02; });
  expect_rates(results, 1, 0.05, [](double t) { return t < 12 ? 0.01 : 0.05; });
  EXPECT_EQ(results.scalar("train_loss", 0, 12), results.scalar("train_loss", 1, 12));
  EXPECT_NE(results.scalar("train_loss", 0, 14), results.scalar("train_loss", 1, 14));
}

/// A schedule that says what the plain key says gives the bits of a run without one.
TEST_P(ScheduleOnDevice, AConstantScheduleChangesNoBit) {
  const auto device = executor();
  for (const std::string optimizer :
       {"kind = \"gd\"\n", "kind = \"rms_gd\"\n", "kind = \"momentum\"\n", "kind = \"adam\"\n",
        "kind = \"sign\"\n", "kind = \"langevin\"\ntemperature = 0.1\n", "kind = \"sgd_entries\"\n",
        "kind = \"label_noise\"\nlabel_noise = 0.1\n",
        "kind = \"perturbed_gd\"\nradius = 0.1\ngrad_threshold = 1\n"}) {
    SCOPED_TRACE(optimizer);
    const Results plain = run(experiment(optimizer), *device);
    const Results scheduled =
        run(experiment(optimizer + "[schedule.learning_rate]\nkind = \"piecewise\"\nat = [0]\n"
                                   "values = [0.01]\n"),
            *device);
    EXPECT_TRUE(same_bits(plain.everything(0), scheduled.everything(0)));
    const Results other =
        run(experiment(optimizer + "[schedule.learning_rate]\nkind = \"piecewise\"\nat = [4]\n"
                                   "values = [0.011]\n"),
            *device);
    EXPECT_FALSE(same_bits(plain.everything(0), other.everything(0)));
  }
}

/// Other hyperparameters follow theirs: each run equals one without a schedule up to the step at
/// which the schedule turns, and differs after it.
TEST_P(ScheduleOnDevice, EveryHyperparameterFollowsItsOwn) {
  const auto device = executor();
  struct Case {
    std::string optimizer, key, name, base, other;
  };
  for (const Case& one : std::vector<Case>{
           {"kind = \"momentum\"\n", "optimizer.momentum", "momentum", "0.5", "0.9"},
           {"kind = \"nesterov\"\n", "optimizer.momentum", "momentum", "0.5", "0.9"},
           {"kind = \"langevin\"\n", "optimizer.temperature", "temperature", "0.01", "0.5"},
           {"kind = \"label_noise\"\n", "optimizer.label_noise", "label_noise", "0.01", "0.5"},
           {"kind = \"sgd_entries\"\n", "optimizer.label_noise", "label_noise", "0.01", "0.5"},
           {"kind = \"gd\"\n", "objective.l2", "l2", "0.01", "0.5"}}) {
    SCOPED_TRACE(one.key + " of " + one.optimizer);
    const std::vector<std::string> base{one.key + "=" + one.base};
    const Results plain = run(experiment(one.optimizer), *device, base);
    const Results turned =
        run(experiment(one.optimizer + "[schedule." + one.name +
                       "]\nkind = \"piecewise\"\nat = [10]\nvalues = [" + one.other + "]\n"),
            *device, base);
    // Penalties are in the loss at the step itself, everything else moves the step after it.
    const int same_until = one.name == "l2" ? 9 : 10;
    for (int t = 0; t <= same_until; ++t) {
      EXPECT_EQ(plain.scalar("train_loss", 0, t), turned.scalar("train_loss", 0, t)) << t;
    }
    EXPECT_NE(plain.scalar("train_loss", 0, same_until + 1),
              turned.scalar("train_loss", 0, same_until + 1));
  }
}

MANYFOLD_ON_ALL_DEVICES(ScheduleOnDevice);

std::vector<FamilyPlan> families(const std::string& rest) {
  const auto device = executor_on("cpu");
  const Experiment parsed = Experiment::parse(experiment(rest), "test.toml", {}, experiment_spec());
  return make_plan(parsed, device->device()).families;
}

TEST(ScheduleFamilies, MembersWithAndWithoutAScheduleAreApart) {
  const auto two = families(
      "kind = \"gd\"\n[schedule.learning_rate]\nfinal = 0\nsteps = 10\n[sweep]\n"
      "\"schedule.learning_rate.kind\" = [\"constant\", \"cosine\", \"linear\"]\n");
  ASSERT_EQ(two.size(), 2u);
  EXPECT_EQ(two[0].description.find("scheduled"), std::string::npos);
  EXPECT_NE(two[1].description.find("scheduled"), std::string::npos);
  EXPECT_EQ(two[1].members.size(), 2u);
}

TEST(ScheduleFamilies, RoomForPiecesComesInPowersOfTwo) {
  const auto found = families(
      "kind = \"gd\"\n[sweep]\nzip = [\n"
      "{ \"schedule.learning_rate.kind\" = \"piecewise\", \"schedule.learning_rate.at\" = [1],"
      " \"schedule.learning_rate.values\" = [1] },\n"
      "{ \"schedule.learning_rate.kind\" = \"piecewise\", \"schedule.learning_rate.at\" = [1, 2,"
      " 3, 4, 5], \"schedule.learning_rate.values\" = [1, 2, 3, 4, 5] },\n]\n");
  ASSERT_EQ(found.size(), 2u);
  EXPECT_NE(found[0].description.find("up to 4 pieces"), std::string::npos);
  EXPECT_NE(found[1].description.find("up to 8 pieces"), std::string::npos);
}

/// A schedule of another optimizer's key is legal where a sweep has that optimizer too.
TEST(ScheduleFamilies, AScheduleAppliesToTheOptimizersThatHaveItsKey) {
  const auto found = families(
      "[schedule.momentum]\nkind = \"linear\"\nfinal = 0.9\nsteps = 10\n[sweep]\n"
      "\"optimizer.kind\" = [\"gd\", \"momentum\"]\n");
  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(found[0].description.find("scheduled"), std::string::npos);
  EXPECT_NE(found[1].description.find("momentum scheduled"), std::string::npos);
}

}  // namespace
}  // namespace manyfold::testing
