// Students and their teachers beside what teacher_test.cpp asks: the loss against its definition as
// an expectation, single precision, every optimizer, probes, and what draws teachers and starts.
#include <algorithm>
#include <cmath>
#include <map>
#include <random>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include <fmt/format.h>

#include "models/teacher/problem.hpp"
#include "models/teacher/start.hpp"
#include "tests/models/bench.hpp"

namespace manyfold::testing {
namespace {

std::string student(int filter, int patches, double ratio, const std::string& more = "",
                    const std::string& sections = "") {
  return fmt::format(R"(
problem.seed = 3
seed = 5
{}
[model]
kind = "teacher"
filter = {}
patches = {}
[teacher]
ratio = {}
[optimizer]
kind = "gd"
learning_rate = 0.1
[stop]
steps = 100_000
at_global = 1e-6
at_spurious = [1e-6, 0.02]
[probes]
train_loss = {{ steps = [0] }}
phi = {{ steps = [0] }}
a_error = {{ steps = [0] }}
sum_error = {{ steps = [0] }}
parameters = {{ steps = [0] }}
{}
)",
                     more, filter, patches, ratio, sections);
}

using TeacherDefinitionOnDevice = OnDevice;

TEST_P(TeacherDefinitionOnDevice, LossIsHalfTheMeanSquaredErrorOverGaussianInput) {
  const auto device = executor();
  const std::string toml = student(2, 3, 1.5);
  Bench bench(*device, toml, 1);
  bench.evaluate();
  const std::vector<double> x = bench.parameters(0);
  const teacher::Problem teacher = teacher::make_problem(bench.settings());
  std::mt19937_64 random(11);
  std::normal_distribution<double> normal;
  constexpr int samples = 200'000;
  double sum = 0;
  double square = 0;
  for (int sample = 0; sample < samples; ++sample) {
    double error = 0;
    for (std::size_t i = 0; i < 3; ++i) {
      const double z1 = normal(random);
      const double z2 = normal(random);
      const double ours = (z1 * x[0] + z2 * x[1]) / std::hypot(x[0], x[1]);
      error += x[2 + i] * std::max(0.0, ours) -
               teacher.a[i] * std::max(0.0, z1 * teacher.w[0] + z2 * teacher.w[1]);
    }
    sum += error * error / 2;
    square += error * error * error * error / 4;
  }
  const double mean = sum / samples;
  const double deviation = std::sqrt((square / samples - mean * mean) / samples);
  EXPECT_NEAR(bench.loss(0), mean, 4 * deviation);
  EXPECT_LT(deviation, 0.02 * mean);
}

TEST_P(TeacherDefinitionOnDevice, FootprintIsWhatIsAllocated) {
  const auto device = executor();
  for (const std::string precision : {"f64", "f32"}) {
    for (const bool shared : {false, true}) {
      const Experiment experiment =
          Experiment::parse(student(6, 25, 4, "precision = \"" + precision + "\""), "test.toml", {},
                            experiment_spec());
      const Bench bench(*device, experiment, 7, shared);
      EXPECT_EQ(bench.allocated(),
                bench.footprint().shared_bytes + 7 * bench.footprint().bytes_per_slot);
      EXPECT_EQ(bench.footprint().shared_bytes > 0, shared);
      EXPECT_EQ(bench.footprint().parameters, 31);
    }
  }
}

TEST_P(TeacherDefinitionOnDevice, OneOfTheFourSignsReachesTheTeacher) {
  // Theorem 5.4; and theorem 5.3's second part: another of them may end at the spurious point.
  if (GetParam().name == "emulated") GTEST_SKIP() << "16 runs of thousands of steps";
  const auto device = executor();
  const Results results = run(student(6, 16, 2, "",
                                      "[sweep]\n\"init.signs\" = [\"++\", \"+-\", \"-+\", \"--\"]\n"
                                      "\"seed\" = { range = [0, 4] }\n"),
                              *device);
  std::map<std::int64_t, std::set<std::string>> of_seed;
  for (const auto& [member, end] : results.ends) of_seed[member % 4].insert(end.end_reason);
  for (const auto& [seed, reasons] : of_seed) EXPECT_TRUE(reasons.contains("global")) << seed;
  EXPECT_TRUE(std::any_of(of_seed.begin(), of_seed.end(),
                          [](const auto& one) { return one.second.contains("spurious"); }));
}

TEST_P(TeacherDefinitionOnDevice, EveryOptimizerOfAWholeGradientRuns) {
  const auto device = executor();
  for (const std::string optimizer :
       {"kind = \"momentum\"\nmomentum = 0.5", "kind = \"nesterov\"\nmomentum = 0.5",
        "kind = \"adam\"", "kind = \"rms_gd\"\nepsilon = 1.0", "kind = \"sign\"",
        "kind = \"langevin\"\ntemperature = 1e-8",
        "kind = \"perturbed_gd\"\ngrad_threshold = 1e-9\nradius = 1e-9"}) {
    std::string toml = student(6, 9, 9);
    toml.replace(toml.find("kind = \"gd\""), 11, optimizer);
    toml.replace(toml.find("learning_rate = 0.1"), 19, "learning_rate = 0.01");
    toml.replace(toml.find("steps = 100_000"), 15, "steps = 50");
    const Results results = run(toml, *device);
    EXPECT_EQ(results.ends.at(0).status, MemberStatus::finished) << optimizer;
    EXPECT_LT(results.scalar("train_loss", 0, 1), results.scalar("train_loss", 0, 0)) << optimizer;
  }
}

TEST_P(TeacherDefinitionOnDevice, ProbesUnderOwnNamesAndWatches) {
  const auto device = executor();
  std::string toml = student(6, 25, 9);
  toml.replace(toml.find("phi = { steps = [0] }"), 21,
               "turned = { kind = \"phi\", every = 100, running = \"min\", first_below = 0.5 }\n"
               "sums = { kind = \"sum_error\", every = 100 }");
  const Results results = run(toml, *device);
  const double last = results.scalar("min_turned", 0);
  EXPECT_GE(last, 0);
  EXPECT_LE(last, results.scalar("turned", 0, 0));
  EXPECT_EQ(results.scalar("sums", 0, 0), results.scalar("sum_error", 0, 0));
}

TEST_P(TeacherDefinitionOnDevice, SinglePrecisionFollowsDoublePrecision) {
  const auto device = executor();
  std::string toml = student(6, 25, 9);
  toml.replace(toml.find("steps = 100_000"), 15, "steps = 200");
  const Results wide = run(toml, *device);
  const Results narrow = run(toml, *device, {"precision=\"f32\""});
  // 200 contracting steps, each with a rounding of 2^-24 of numbers below 1.
  EXPECT_LT(distance(wide.at("a", 0, 1), narrow.at("a", 0, 1)), 1e-5);
  EXPECT_NEAR(wide.scalar("phi", 0, 1), narrow.scalar("phi", 0, 1), 1e-5);
  EXPECT_NE(wide.at("a", 0, 1), narrow.at("a", 0, 1));
}

TEST_P(TeacherDefinitionOnDevice, MembersAreBitwiseTheSameAloneAndInWaves) {
  const auto device = executor();
  std::string toml = student(6, 9, 4, "", "[sweep]\nteacher.ratio = [1, 4, 9]\nseed = [1, 2, 3]\n");
  toml.erase(toml.find("ratio = 4\n"), 10);
  toml.replace(toml.find("steps = 100_000"), 15, "steps = 60");
  const Results together = run(toml, *device);
  EXPECT_EQ(together.plan.families.size(), 1U);
  EXPECT_FALSE(together.plan.families[0].shared_problem);
  const auto tight = executor(1, 2 * together.plan.families[0].footprint.bytes_per_slot + 100);
  const Results waves = run(toml, *tight);
  EXPECT_GT(waves.plan.families[0].waves, 3);
  for (std::int64_t m = 0; m < 9; ++m) {
    EXPECT_TRUE(same_bits(together.everything(m), waves.everything(m))) << m;
  }
}

MANYFOLD_ON_ALL_DEVICES(TeacherDefinitionOnDevice);

TEST(Teacher, IsOfLengthOneWithTheAskedRatio) {
  for (const std::string direction : {"alternating", "drawn"}) {
    for (const int patches : {2, 25, 36}) {
      for (const double ratio : {0.0, 1.0, 2.0}) {
        const Experiment experiment =
            Experiment::parse(student(6, patches, ratio), "test.toml",
                              {"teacher.direction=\"" + direction + "\""}, experiment_spec());
        const teacher::Problem problem = teacher::make_problem(experiment.member(0));
        EXPECT_NEAR(norm_of(problem.w), 1, 1e-15);
        EXPECT_NEAR(norm_of(problem.a), 1, 1e-14);
        EXPECT_NEAR(problem.sum * problem.sum, ratio, 1e-13);
      }
    }
  }
}

TEST(Teacher, IsDrawnByTheProblemsSeedAndTheStartByTheMembers) {
  const auto values = [](std::vector<std::string> overrides) {
    overrides.emplace_back("teacher.direction=\"drawn\"");
    const Experiment experiment =
        Experiment::parse(student(6, 25, 4), "test.toml", overrides, experiment_spec());
    const Settings settings = experiment.member(0);
    const teacher::Problem problem = teacher::make_problem(settings);
    return std::tuple{problem.w, problem.a, teacher::start(settings, problem)};
  };
  const auto [w, a, start] = values({});
  const auto [w2, a2, start2] = values({"problem.seed=4"});
  EXPECT_NE(w, w2);
  EXPECT_NE(a, a2);
  EXPECT_EQ(start, start2);
  const auto [w3, a3, start3] = values({"seed=6"});
  EXPECT_EQ(w, w3);
  EXPECT_EQ(a, a3);
  EXPECT_NE(start, start3);
}

TEST(Teacher, StartsAreUniformOnTheSphereAndInTheBall) {
  const Experiment experiment =
      Experiment::parse(student(3, 4, 1, "", "[sweep]\nseed = { range = [0, 4000] }\n"),
                        "test.toml", {}, experiment_spec());
  const double radius = 1 / std::sqrt(4.0);
  double first = 0;
  double inside = 0;
  std::vector<double> mean(7, 0.0);
  for (std::int64_t m = 0; m < 4000; ++m) {
    const Settings settings = experiment.member(m);
    const std::vector<double> x = teacher::start(settings, teacher::make_problem(settings));
    const std::vector<double> v(x.begin(), x.begin() + 3);
    const std::vector<double> a(x.begin() + 3, x.end());
    EXPECT_NEAR(norm_of(v), 1, 1e-15);
    EXPECT_LE(norm_of(a), radius);
    first += std::abs(v[0]) < 0.25;  // uniform on [-1, 1] in three dimensions (Archimedes)
    inside += norm_of(a) < radius / std::pow(2, 0.25);  // half of the ball's volume
    for (std::size_t i = 0; i < 7; ++i) mean[i] += x[i] / 4000;
  }
  // Five standard deviations of a binomial share, and of a mean.
  EXPECT_NEAR(first / 4000, 0.25, 5 * std::sqrt(0.25 * 0.75 / 4000));
  EXPECT_NEAR(inside / 4000, 0.5, 5 * std::sqrt(0.25 / 4000));
  for (const double one : mean) EXPECT_LT(std::abs(one), 5 * 0.6 / std::sqrt(4000));
}

TEST(Teacher, SignsTurnTheDraw) {
  const auto start = [](const std::string& signs, double ratio, double radius) {
    const Experiment experiment = Experiment::parse(
        student(2, 3, ratio,
                fmt::format("init.signs = \"{}\"\ninit.zero_sum_radius = {}", signs, radius)),
        "test.toml", {}, experiment_spec());
    const Settings settings = experiment.member(0);
    return teacher::start(settings, teacher::make_problem(settings));
  };
  const std::vector<double> plus = start("++", 2, 0);
  for (const auto& [signs, v, a] : std::vector<std::tuple<std::string, int, int>>{
           {"+-", 1, -1}, {"-+", -1, 1}, {"--", -1, -1}}) {
    const std::vector<double> x = start(signs, 2, 0);
    for (std::size_t i = 0; i < 5; ++i) EXPECT_EQ(x[i], (i < 2 ? v : a) * plus[i]) << signs;
  }
  const std::vector<double> zero = start("++", 0, 0);
  for (std::size_t i = 2; i < 5; ++i) EXPECT_EQ(zero[i], 0);
  const std::vector<double> small = start("++", 0, 1e-3);
  const double norm = norm_of({small.begin() + 2, small.end()});
  EXPECT_GT(norm, 0);
  EXPECT_LE(norm, 1e-3);
}

}  // namespace
}  // namespace manyfold::testing
