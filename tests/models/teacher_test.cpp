// Students and their teachers (models/teacher): the gradient against central differences of the
// model's own loss, the two end points, where runs of the table end, resident against batched
// stepping, and experiments that are refused.
#include <cmath>
#include <cstddef>
#include <map>
#include <numbers>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include <fmt/format.h>

#include "core/error.hpp"
#include "models/teacher/problem.hpp"
#include "tests/models/bench.hpp"

namespace manyfold::testing {
namespace {

std::string students(int filter, int patches, double ratio, const std::string& more = "") {
  return fmt::format(
      "problem.seed = 3\nseed = 5\n[model]\nkind = \"teacher\"\nfilter = {}\npatches = {}\n"
      "[teacher]\nratio = {}\n[optimizer]\nkind = \"gd\"\nlearning_rate = 0.1\n"
      "[stop]\nsteps = 40000\nat_global = 1e-6\nat_spurious = [1e-6, 0.02]\ncheck_every = 10\n"
      "[probes]\nparameters = {{ every = 100 }}\n"
      "low = {{ kind = \"phi\", running = \"min\" }}\n"
      "high = {{ kind = \"phi\", running = \"max\" }}\n{}",
      filter, patches, ratio, more);
}

using TeacherOnDevice = OnDevice;

TEST_P(TeacherOnDevice, GradientIsThatOfTheLoss) {
  const auto device = executor();
  for (const auto& [filter, patches, ratio] :
       std::vector<std::tuple<int, int, double>>{{2, 1, 1}, {2, 3, 0.5}, {6, 25, 4}, {5, 9, 9}}) {
    const CentralDifferences found = central_differences(*device, students(filter, patches, ratio));
    ASSERT_GT(found.norm2, 0);
    EXPECT_LT(found.distance, 1e-7) << filter << ", " << patches;
  }
}

/// v, then a.
std::vector<double> student(const std::vector<double>& v, double sign, std::vector<double> a) {
  std::vector<double> both;
  for (const double x : v) both.push_back(sign * x);
  both.insert(both.end(), a.begin(), a.end());
  return both;
}

TEST_P(TeacherOnDevice, EndPointsAreStationaryAndTheLossVanishesAtTheTeacherAlone) {
  const auto device = executor();
  Bench bench(*device, students(6, 25, 4), 3);
  const teacher::Problem problem = teacher::make_problem(bench.settings());
  bench.set_parameters(0, student(problem.w, 2.5, problem.a));
  bench.set_parameters(1, student(problem.w, -2.5, teacher::spurious_end(problem)));
  std::vector<double> off = problem.a;
  off[3] += 1e-3;
  bench.set_parameters(2, student(problem.w, 2.5, off));
  bench.evaluate();
  EXPECT_LT(std::sqrt(bench.gradient_norm2(0)), 1e-15);
  EXPECT_LT(std::sqrt(bench.gradient_norm2(1)), 1e-15);
  EXPECT_GT(std::sqrt(bench.gradient_norm2(2)), 1e-4);
  EXPECT_NEAR(bench.loss(0), 0, 1e-16);
  EXPECT_GT(bench.loss(1), 1e-2);
  EXPECT_GT(bench.loss(2), 1e-8);
}

TEST_P(TeacherOnDevice, EveryRunOfASmallTableEndsAtOneOfTheTwoPoints) {
  const auto device = executor();
  const bool small = GetParam().name == "emulated";
  const Results results = run(students(6, 9, 1,
                                       fmt::format("[sweep]\n\"teacher.ratio\" = [0, 1, 9]\n"
                                                   "\"seed\" = {{ range = [0, {}] }}\n",
                                                   small ? 2 : 20)),
                              *device);
  std::map<std::string, int> ends;
  for (const auto& [member, end] : results.ends) {
    ++ends[end.end_reason];
    if (end.end_reason == "global") {
      EXPECT_LT(results.scalar("min_low", member), 1e-6);
    } else {
      EXPECT_LT(std::numbers::pi - results.scalar("max_high", member), 0.02);
    }
  }
  EXPECT_EQ(static_cast<std::size_t>(ends["global"] + ends["spurious"]), results.ends.size());
  if (small) return;
  EXPECT_GT(ends["global"], 20);
  EXPECT_GT(ends["spurious"], 5);
}

MANYFOLD_ON_ALL_DEVICES(TeacherOnDevice);

/// What differs of a member's values: bits, but for norms of gradients, whose squares the paths add
/// in another order: 1e-12 of them.
std::string difference(const Results& a, const Results& b, std::int64_t member) {
  std::string text;
  for (const auto& [key, values] : a.values) {
    if (std::get<1>(key) != member) continue;
    const auto found = b.values.find(key);
    if (found == b.values.end() || found->second.size() != values.size()) {
      text += fmt::format("{} {} is missing; ", std::get<0>(key), std::get<2>(key));
      continue;
    }
    for (std::size_t i = 0; i < values.size(); ++i) {
      const double other = found->second[i];
      if (same_bits({values[i]}, {other})) continue;
      if (std::get<0>(key) == "last_finite_grad_norm" &&
          std::abs(values[i] - other) <= 1e-12 * std::abs(other)) {
        continue;
      }
      text += fmt::format("{} {} [{}]: {:.17g}, {:.17g}; ", std::get<0>(key), std::get<2>(key), i,
                          values[i], other);
      break;
    }
  }
  return text;
}

/// Both paths round every step alike, so members end at the same steps and at the same bits.
TEST(TeacherResident, HasTheBitsOfTheBatchedPathInAnyCompany) {
  const auto device = executor_on("cpu");
  for (const std::string precision : {"f64", "f32"}) {
    const std::string toml = students(6, 26, 4, "[sweep]\n\"seed\" = { range = [0, 37] }\n");
    const std::vector<std::string> sets{"stop.steps=700", "precision=" + precision,
                                        "stop.at_global=1e-3", "stop.at_spurious=[1e-3, 0.3]"};
    const Results resident = run(toml, *device, sets, false, "resident");
    const Results batched = run(toml, *device, sets, false, "batched");
    ASSERT_EQ(resident.plan.families.front().path, Path::resident);
    ASSERT_EQ(batched.plan.families.front().path, Path::batched);
    std::set<std::int64_t> steps;
    for (std::int64_t m = 0; m < 37; ++m) {
      EXPECT_EQ(difference(resident, batched, m), "") << precision << " member " << m;
      EXPECT_EQ(resident.ends.at(m).end_step, batched.ends.at(m).end_step);
      EXPECT_EQ(resident.ends.at(m).end_reason, batched.ends.at(m).end_reason);
      steps.insert(resident.ends.at(m).end_step);
    }
    EXPECT_GT(steps.size(), 5u) << "members that end at different steps make lanes refill";
    const auto one = executor_on("cpu", 1);
    const Results single = run(toml, *one, sets, false, "resident");
    for (const std::int64_t m : {0, 5, 36}) {
      std::vector<std::string> alone_sets = sets;
      alone_sets.push_back(fmt::format("sweep.seed=[{}]", m));
      const Results alone = run(toml, *device, alone_sets, false, "resident");
      EXPECT_TRUE(same_bits(alone.everything(0), resident.everything(m))) << m;
      EXPECT_TRUE(same_bits(single.everything(m), resident.everything(m))) << m;
    }
  }
}

TEST(TeacherInput, RefusesWhatNoTeacherHas) {
  struct Case {
    std::vector<std::string> sets;
    std::string message;
  };
  const auto device = executor_on("cpu");
  for (const Case& one : std::vector<Case>{{{"teacher.ratio=26"}, "at most 25"},
                                           {{"model.patches=1", "teacher.ratio=0.5"}, "one patch"},
                                           {{"stop.at_global=[1e-6, 1e-6, 1e-6]"}, "3 numbers"},
                                           {{"stop.at_global=0"}, "stop.at_global"},
                                           {{"init.signs=\"+\""}, "init.signs"},
                                           {{"optimizer.kind=\"sgd\""}, "optimizer"},
                                           {{"model.filter=0"}, "model.filter"}}) {
    try {
      run(students(6, 25, 4), *device, one.sets);
      ADD_FAILURE() << one.sets.front() << " was accepted";
    } catch (const InputError& error) {
      EXPECT_NE(std::string(error.what()).find(one.message), std::string::npos) << error.what();
    }
  }
}

}  // namespace
}  // namespace manyfold::testing
