// Objectives: values worked out by hand, stochastic gradients against the full ones, targets and
// masks as the keys say them, what packing may do, and closed forms of the literature.
#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <span>

#include <fmt/format.h>
#include <lapacke.h>

#include "core/data/array_file.hpp"
#include "core/error.hpp"
#include "core/random/philox.hpp"
#include "models/factorization/best_rank.hpp"
#include "models/factorization/problem.hpp"
#include "models/factorization/shape.hpp"
#include "models/factorization/start.hpp"
#include "tests/models/bench.hpp"
#include "tests/scratch_folder.hpp"

namespace manyfold::testing {
namespace {

using factorization::make_problem;
using factorization::Problem;

constexpr double eps = 0x1p-52;

/// An experiment around [model] and [objective].
std::string experiment(const std::string& model, const std::string& objective,
                       const std::string& more = "") {
  return "problem.seed = 3\nseed = 5\n" + more + "[model]\n" + model + "\n[objective]\n" +
         objective +
         "\n[init]\nkind = \"gaussian\"\nstddev = 0.6\n"
         "[optimizer]\nkind = \"gd\"\nlearning_rate = 0.1\n"
         "[stop]\nsteps = 1\n[probes]\ntrain_loss = { every = 1 }\n";
}

Experiment parsed(const std::string& toml, const std::vector<std::string>& overrides = {}) {
  return Experiment::parse(toml, "test.toml", overrides, experiment_spec());
}

Problem problem_of(const std::string& objective, const std::vector<std::string>& overrides = {}) {
  return make_problem(
      parsed(experiment("kind = \"deep_linear\"\ndepth = 1", objective), overrides).member(0));
}

/// One layer: the parameters are W itself.
const std::string matrix = "kind = \"deep_linear\"\ndepth = 1";

std::vector<std::string> objectives_of_3x4() {
  const std::string target = "target = { kind = \"gaussian\", rows = 3, cols = 4 }\n";
  return {"kind = \"full\"\n" + target,
          "kind = \"completion\"\nmask = { kind = \"count\", count = 7 }\n" + target,
          "kind = \"sensing\"\nmeasurements.count = 5\n" + target,
          "kind = \"linear\"\noffset = 2.0\n" + target};
}

const std::vector<std::string>& conventions() {
  static const std::vector<std::string> all{"sum", "paper", "weight-decay"};
  return all;
}

std::vector<std::int32_t> counting(std::int64_t count) {
  std::vector<std::int32_t> all(static_cast<std::size_t>(count));
  std::iota(all.begin(), all.end(), 0);
  return all;
}

template <class T>
Buffer<T> on_device(Executor& executor, const std::vector<T>& host) {
  Buffer<T> buffer(executor, static_cast<std::int64_t>(host.size()));
  buffer.upload(host);
  return buffer;
}

using ObjectiveOnDevice = OnDevice;

// Every term once is the whole; the mean over each term alone is too. Both add the same numbers in
// another order, a few roundings of each.
TEST_P(ObjectiveOnDevice, StochasticGradientsHaveTheGradientAsTheirMean) {
  const auto device = executor();
  for (const std::string& objective : objectives_of_3x4()) {
    for (const std::string& convention : conventions()) {
      SCOPED_TRACE(objective + convention);
      const std::string toml =
          experiment("kind = \"deep_linear\"\nsizes = [4, 2, 3]",
                     fmt::format("convention = \"{}\"\nl2 = 0.2\n{}", convention, objective));
      const std::int64_t terms = Bench(*device, toml, 1).terms(0);
      Bench bench(*device, toml, terms);
      bench.evaluate();
      const std::vector<double> full = bench.gradient(0);
      const double bound = 8 * static_cast<double>(terms) * eps * norm_of(full);

      std::vector<std::int32_t> draws;
      for (std::int64_t slot = 0; slot < terms; ++slot) {
        for (const std::int32_t j : counting(terms)) draws.push_back(j);
      }
      const auto all = on_device(*device, draws);
      bench.evaluate_stochastic({.terms = all.data(), .batch = terms});
      EXPECT_LE(distance(bench.gradient(terms - 1), full), bound);

      const auto single = on_device(*device, counting(terms));
      bench.evaluate_stochastic({.terms = single.data(), .batch = 1});
      std::vector<double> mean(full.size(), 0.0);
      for (std::int64_t slot = 0; slot < terms; ++slot) {
        const std::vector<double> one = bench.gradient(slot);
        for (std::size_t i = 0; i < mean.size(); ++i) {
          mean[i] += one[i] / static_cast<double>(terms);
        }
        if (terms > 1) {
          EXPECT_GT(distance(one, full), 1e-3);
        }
      }
      // Single terms are larger than their mean: they cancel. 40 covers the largest seen to be
      // possible, |r_j| <= sqrt(N) ||r||, for N <= 12.
      EXPECT_LE(distance(mean, full), 40 * bound);
    }
  }
}

TEST_P(ObjectiveOnDevice, ATermDrawnTwiceCountsTwice) {
  const auto device = executor();
  for (const std::string& objective : objectives_of_3x4()) {
    SCOPED_TRACE(objective);
    const std::string toml = experiment("kind = \"deep_linear\"\nsizes = [4, 2, 3]", objective);
    Bench bench(*device, toml, 2);
    const auto once = on_device<std::int32_t>(*device, {0, 0});
    bench.evaluate_stochastic({.terms = once.data(), .batch = 1});
    const std::vector<double> expected = bench.gradient(0);
    const auto twice = on_device<std::int32_t>(*device, {0, 0, 0, 0});
    bench.evaluate_stochastic({.terms = twice.data(), .batch = 2});
    // Halves of a double are exact, and so is their sum.
    EXPECT_TRUE(same_bits(bench.gradient(0), expected));
    EXPECT_TRUE(same_bits(bench.gradient(1), expected));
  }
}

// The printed updates: (1 - 2 eta lambda) theta - eta/2 grad r^2 and (1 - eta lambda) theta -
// eta grad r^2 for one drawn entry. With W = U V^T, grad r^2 is 2 r V_j in U_i, 2 r U_i in V_j and
// 0 elsewhere.
TEST_P(ObjectiveOnDevice, OneDrawnEntryGivesThePrintedUpdates) {
  const auto device = executor();
  constexpr double eta = 0.05;
  constexpr double lambda = 0.3;
  for (const std::string convention : {"paper", "weight-decay"}) {
    SCOPED_TRACE(convention);
    const bool paper = convention == "paper";
    Bench bench(*device,
                experiment("kind = \"asymmetric\"\nrank = 2",
                           fmt::format("kind = \"completion\"\nconvention = \"{}\"\nl2 = {}\n"
                                       "mask = {{ kind = \"entries\", rows = [1, 0, 1], cols = "
                                       "[1, 0, 0] }}\ntarget = {{ kind = \"values\", size = 2, "
                                       "values = [1.0, 4.0, 0.25, 1.0] }}",
                                       convention, lambda)),
                3);
    EXPECT_EQ(bench.terms(0), 3);
    const auto drawn = on_device<std::int32_t>(*device, {0, 1, 2});
    bench.evaluate_stochastic({.terms = drawn.data(), .batch = 1});
    // Terms in row-major order, whatever the list's: (0, 0), (1, 0), (1, 1).
    const std::array<std::array<std::size_t, 2>, 3> place{{{0, 0}, {1, 0}, {1, 1}}};
    const std::array<double, 3> label{1.0, 0.25, 1.0};
    for (std::int64_t slot = 0; slot < 3; ++slot) {
      const std::size_t i = place[static_cast<std::size_t>(slot)][0];
      const std::size_t j = place[static_cast<std::size_t>(slot)][1];
      const std::vector<double> theta = bench.parameters(slot);  // V^T (r, cols), then U (rows, r)
      const auto v = [&](std::size_t r) { return r * 2 + j; };
      const auto u = [&](std::size_t r) { return 4 + i * 2 + r; };
      double residual = -label[static_cast<std::size_t>(slot)];
      for (std::size_t r = 0; r < 2; ++r) residual += theta[u(r)] * theta[v(r)];
      std::vector<double> square_gradient(8, 0.0);  // of r^2
      for (std::size_t r = 0; r < 2; ++r) {
        square_gradient[u(r)] = 2 * residual * theta[v(r)];
        square_gradient[v(r)] = 2 * residual * theta[u(r)];
      }
      const std::vector<double> gradient = bench.gradient(slot);
      for (std::size_t k = 0; k < 8; ++k) {
        const double expected =
            paper ? (1 - 2 * eta * lambda) * theta[k] - eta / 2 * square_gradient[k]
                  : (1 - eta * lambda) * theta[k] - eta * square_gradient[k];
        EXPECT_NEAR(theta[k] - eta * gradient[k], expected, 8 * eps) << slot << " " << k;
      }
    }
  }
}

// With one layer the gradient of entry e is c (W_e - M_e - sigma xi), xi the draw that the contract
// names.
TEST_P(ObjectiveOnDevice, LabelNoiseIsTheNamedDraw) {
  const auto device = executor();
  constexpr std::uint64_t stream = random_stream("sgd/label_noise");
  const std::string toml =
      experiment(matrix,
                 "kind = \"completion\"\nmask = { kind = \"count\", count = 7 }\n"
                 "target = { kind = \"gaussian\", rows = 3, cols = 4 }");
  Bench bench(*device, toml, 2);
  bench.set_step(0, 4);
  bench.set_step(1, 9);
  bench.evaluate();
  const std::vector<double> clean = bench.gradient(0);
  const auto sigma = on_device<double>(*device, {0.5, 2.0});
  const auto seeds = on_device<std::uint64_t>(*device, {17, 18});
  bench.evaluate_stochastic({.label_noise = sigma.data(), .seeds = seeds.data()});
  const Problem problem = make_problem(bench.settings());
  const auto expect_noise = [&](std::int64_t slot, std::int64_t term, double weight) {
    const std::vector<double> noisy = bench.gradient(slot);
    std::int64_t j = 0;
    for (std::size_t e = 0; e < 12; ++e) {
      if (problem.mask[e] == 0) {
        EXPECT_EQ(noisy[e], 0.0);
        continue;
      }
      const double xi = normal_double(slot == 0 ? 17 : 18, stream,
                                      static_cast<std::uint64_t>((slot == 0 ? 4 : 9) * 7 + j));
      const bool counts = term < 0 || term == j;
      const double expected = counts ? weight * (clean[e] - (slot == 0 ? 0.5 : 2.0) * xi) : 0.0;
      EXPECT_NEAR(noisy[e], expected, 4 * eps * (std::abs(expected) + 2 * weight)) << j;
      ++j;
    }
  };
  expect_noise(0, -1, 1);
  expect_noise(1, -1, 1);
  const auto drawn = on_device<std::int32_t>(*device, {3, 6});
  bench.evaluate_stochastic(
      {.terms = drawn.data(), .batch = 1, .label_noise = sigma.data(), .seeds = seeds.data()});
  expect_noise(0, 3, 7);
  expect_noise(1, 6, 7);
}

TEST_P(ObjectiveOnDevice, SensingEqualsAValueWorkedOutByHand) {
  // A_1 = (1, 0; 2, 0), A_2 = (0, 1; 0, -1), b = (3, 1), W = (1, 2; 3, 4): <A_1, W> = 7,
  // <A_2, W> = -2, residuals 4 and -3, 1/2 (16 + 9) = 12.5, G = 4 A_1 - 3 A_2.
  const test::ScratchFolder folder;
  write_array(folder / "a.npy", {{2, 2, 2}, {1, 0, 2, 0, 0, 1, 0, -1}});
  write_array(folder / "b.npy", {{2}, {3, 1}});
  const auto device = executor();
  const std::array<double, 3> factor{1, 0.5, 1};  // 2c = 1, 1/N, 2/N
  for (std::size_t c = 0; c < 3; ++c) {
    const std::string objective = fmt::format(
        "kind = \"sensing\"\nconvention = \"{}\"\n"
        "measurements = {{ kind = \"file\", path = \"{}\" }}\n"
        "values = {{ kind = \"file\", path = \"{}\" }}\n"
        "target = {{ kind = \"zero\", size = 2 }}",
        conventions()[c], (folder / "a.npy").string(), (folder / "b.npy").string());
    Bench bench(*device, experiment(matrix, objective), 2);
    bench.set_parameters(1, {1, 2, 3, 4});
    bench.evaluate();
    EXPECT_EQ(bench.terms(1), 2);
    EXPECT_EQ(bench.loss(1), factor[c] * 12.5);
    EXPECT_EQ(bench.gradient(1),
              (std::vector<double>{4 * factor[c], -3 * factor[c], 8 * factor[c], 3 * factor[c]}));
  }
}

TEST_P(ObjectiveOnDevice, LinearEqualsAValueWorkedOutByHand) {
  // Q = (1, 2; 3, 4), W = (2, 0; 1, -1): <W, Q> = 2 + 3 - 4 = 1, f = 5 - 1 = 4, G = -Q.
  const auto device = executor();
  Bench bench(*device,
              experiment(matrix,
                         "kind = \"linear\"\noffset = 5.0\n"
                         "target = { kind = \"values\", size = 2, values = [1, 2, 3, 4] }"),
              2);
  bench.set_parameters(0, {2, 0, 1, -1});
  bench.evaluate();
  EXPECT_EQ(bench.loss(0), 4.0);
  EXPECT_EQ(bench.gradient(0), (std::vector<double>{-1, -2, -3, -4}));
  EXPECT_EQ(bench.terms(0), 1);
}

TEST_P(ObjectiveOnDevice, ShiftTakesTheBestRankOff) {
  // M = diag(3, 2, 1) at rank 1 leaves 1/2 (4 + 1) = 2.5, which W = diag(3, 0, 0) reaches.
  const auto device = executor();
  const std::array<double, 3> factor{1, 1.0 / 9, 2.0 / 9};
  for (std::size_t c = 0; c < 3; ++c) {
    Bench bench(*device,
                experiment("kind = \"rank_one\"",
                           fmt::format("kind = \"full\"\nshift = \"best_rank\"\nconvention = "
                                       "\"{}\"\ntarget = {{ kind = \"values\", size = 3, values = "
                                       "[3, 0, 0, 0, 2, 0, 0, 0, 1] }}",
                                       conventions()[c])),
                2);
    bench.set_parameters(0, {3, 0, 0, 1, 0, 0});
    bench.set_parameters(1, {0, 0, 0, 0, 0, 0});
    bench.evaluate();
    EXPECT_NEAR(bench.loss(0), 0.0, 16 * eps);
    EXPECT_NEAR(bench.loss(1), factor[c] * 4.5, 16 * eps);
    EXPECT_EQ(norm_of(bench.gradient(0)), 0.0);
  }
}

TEST_P(ObjectiveOnDevice, PenaltiesEqualValuesWorkedOutByHand) {
  // U = (1; 2), V = (3; 0; 1): U^T U - V^T V = 5 - 10 = -5, ||theta||^2 = 15. M = U V^T: f = 0.
  const auto device = executor();
  for (const std::string& convention : conventions()) {
    Bench bench(*device,
                experiment("kind = \"asymmetric\"\nrank = 1",
                           fmt::format("kind = \"full\"\nconvention = \"{}\"\nl2 = 0.25\n"
                                       "balance_penalty = 0.125\ntarget = {{ kind = \"values\", "
                                       "rows = 2, cols = 3, values = [3, 0, 1, 6, 0, 2] }}",
                                       convention)),
                1);
    bench.set_parameters(0, {3, 0, 1, 1, 2});
    bench.evaluate();
    const double l2 = convention == "paper" ? 0.25 : 0.125;
    EXPECT_EQ(bench.loss(0), 15 * l2 + 25.0 / 8);
    // 2 l2 theta, -5/2 U into dU, 5/2 V into dV: balance.md's 1/2 U D and -1/2 V D.
    std::vector<double> expected;
    for (const double v : {3.0, 0.0, 1.0}) expected.push_back((2 * l2 + 2.5) * v);
    for (const double u : {1.0, 2.0}) expected.push_back((2 * l2 - 2.5) * u);
    EXPECT_EQ(bench.gradient(0), expected);
  }
}

/// Objectives whose problems differ with problem.seed.
std::vector<std::string> every_objective() {
  std::vector<std::string> all;
  for (const std::string& objective : objectives_of_3x4()) {
    for (const std::string& convention : conventions()) {
      all.push_back(fmt::format("convention = \"{}\"\nl2 = 0.1\nbalance_penalty = 0.2\n{}",
                                convention, objective));
    }
    all.push_back(objective);
  }
  all.emplace_back(
      "kind = \"full\"\nshift = \"best_rank\"\n"
      "target = { kind = \"gaussian\", rows = 3, cols = 4 }");
  return all;
}

TEST_P(ObjectiveOnDevice, SharedAndOwnProblemsAreBitwiseTheSame) {
  const auto device = executor();
  for (const std::string& objective : every_objective()) {
    SCOPED_TRACE(objective);
    const Experiment one = parsed(experiment("kind = \"asymmetric\"\nrank = 2", objective));
    Bench shared(*device, one, 3, true);
    Bench own(*device, one, 3, false);
    const auto drawn = on_device<std::int32_t>(*device, {0, 0, 0});
    for (Bench* bench : {&shared, &own}) bench->evaluate();
    for (std::int64_t slot = 0; slot < 3; ++slot) {
      EXPECT_EQ(shared.loss(slot), own.loss(slot));
      EXPECT_TRUE(same_bits(shared.gradient(slot), own.gradient(slot)));
    }
    for (Bench* bench : {&shared, &own}) {
      bench->evaluate_stochastic({.terms = drawn.data(), .batch = 1});
    }
    for (std::int64_t slot = 0; slot < 3; ++slot) {
      EXPECT_TRUE(same_bits(shared.gradient(slot), own.gradient(slot)));
    }
  }
}

TEST_P(ObjectiveOnDevice, FloatAgreesWithDouble) {
  const auto device = executor();
  for (const std::string& objective : every_objective()) {
    SCOPED_TRACE(objective);
    const std::string model = "kind = \"asymmetric\"\nrank = 2";
    Bench wide(*device, experiment(model, objective), 1);
    Bench narrow(*device, experiment(model, objective, "precision = \"f32\"\n"), 1);
    wide.evaluate();
    narrow.evaluate();
    // Sums of at most 12 products of three numbers of order 1, each rounded to 2^-24, next to terms
    // up to ten times the result: 12 * 4 * 10 roundings.
    constexpr double bound = 480 * 0x1p-24;
    const std::vector<double> gradient = wide.gradient(0);
    EXPECT_LT(distance(narrow.gradient(0), gradient), bound * (1 + norm_of(gradient)));
    EXPECT_NEAR(narrow.loss(0), wide.loss(0), bound * (1 + std::abs(wide.loss(0))));
    EXPECT_GT(distance(narrow.gradient(0), gradient), 0.0);
  }
}

// A problem that is not finite in one slot touches no other.
TEST_P(ObjectiveOnDevice, NanStaysInItsSlot) {
  const auto device = executor();
  for (const std::string& objective : every_objective()) {
    SCOPED_TRACE(objective);
    const std::string toml = experiment("kind = \"asymmetric\"\nrank = 2", objective);
    Bench bench(*device, toml, 3);
    bench.evaluate();
    const double loss = bench.loss(2);
    const std::vector<double> gradient = bench.gradient(2);
    bench.set_parameters(1, std::vector<double>(gradient.size(), std::nan("")));
    bench.evaluate();
    EXPECT_TRUE(std::isnan(bench.loss(1)));
    for (const std::int64_t slot : {0, 2}) {
      EXPECT_EQ(bench.loss(slot), loss);
      EXPECT_TRUE(same_bits(bench.gradient(slot), gradient));
    }
  }
}

MANYFOLD_ON_ALL_DEVICES(ObjectiveOnDevice);

TEST(ObjectiveMemory, IsWhatThePlanCounts) {
  const auto cpu = executor_on("cpu");
  for (const std::string& objective : every_objective()) {
    for (const char* precision : {"f64", "f32", "tf32"}) {
      for (const bool shared : {true, false}) {
        SCOPED_TRACE(objective + precision);
        const Experiment one = parsed(experiment("kind = \"asymmetric\"\nrank = 2", objective,
                                                 fmt::format("precision = \"{}\"\n", precision)));
        const Bench bench(*cpu, one, 7, shared);
        EXPECT_EQ(bench.allocated(),
                  bench.footprint().shared_bytes + 7 * bench.footprint().bytes_per_slot);
        EXPECT_EQ(bench.footprint().shared_bytes > 0, shared);
        EXPECT_GT(bench.footprint().flops_per_step, 0);
      }
    }
  }
}

TEST(ObjectiveMemory, FlopsCountMeasurementsAndPenalties) {
  const auto cpu = executor_on("cpu");
  const auto flops = [&](const std::string& objective) {
    return Bench(*cpu, experiment("kind = \"asymmetric\"\nrank = 2", objective), 1)
        .footprint()
        .flops_per_step;
  };
  const std::string target = "target = { kind = \"gaussian\", rows = 3, cols = 4 }";
  // Three an entry, and 2 m n k for each of U V^T, G V and G^T U.
  const double full = flops("kind = \"full\"\n" + target);
  EXPECT_EQ(full, 3 * 12 + 3 * 2 * 3 * 4 * 2);
  EXPECT_EQ(flops("kind = \"full\"\nl2 = 0.1\n" + target), full + 2 * 14);
  EXPECT_EQ(flops("kind = \"full\"\nbalance_penalty = 0.1\n" + target),
            full + 2 * (2 * 2 * 2 * 7) + 4);
  EXPECT_EQ(flops("kind = \"sensing\"\nmeasurements.count = 5\n" + target), full + 4 * 5 * 12);
}

// CPU: a member's values are bitwise the same alone and among others, whatever its objective, with
// a problem that they share and with one each.
TEST(ObjectiveOnCpu, PackingChangesNoBit) {
  const auto cpu = executor_on("cpu");
  const auto drawn = on_device<std::int32_t>(*cpu, std::vector<std::int32_t>(9, 0));
  for (const std::string& objective : every_objective()) {
    for (const std::string seed : {"seed", "problem.seed"}) {
      SCOPED_TRACE(objective + seed);
      const std::string toml = experiment("kind = \"asymmetric\"\nrank = 2", objective);
      const bool shared = seed == "seed";
      Bench among(*cpu, parsed(toml, {"sweep." + seed + "={range=[0,9]}"}), 9, shared);
      among.evaluate();
      std::vector<std::vector<double>> gradients;
      for (std::int64_t m = 0; m < 9; ++m) gradients.push_back(among.gradient(m));
      among.evaluate_stochastic({.terms = drawn.data(), .batch = 1});
      EXPECT_NE(among.loss(0), among.loss(5));
      for (const std::int64_t member : {0, 5, 8}) {
        Bench alone(*cpu, parsed(toml, {fmt::format("{}={}", seed, member)}), 1, true);
        alone.evaluate();
        EXPECT_EQ(alone.loss(0), among.loss(member));
        EXPECT_EQ(alone.gradient_norm2(0), among.gradient_norm2(member));
        EXPECT_TRUE(same_bits(alone.gradient(0), gradients[static_cast<std::size_t>(member)]));
        alone.evaluate_stochastic({.terms = drawn.data(), .batch = 1});
        EXPECT_TRUE(same_bits(alone.gradient(0), among.gradient(member)));
      }
    }
  }
}

TEST(Targets, AreWhatTheKeysSay) {
  const test::ScratchFolder folder;
  const std::vector<double> values{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
  write_array(folder / "three.npy", {{2, 2, 3}, values});
  write_array(folder / "two.csv", {{3, 4}, values});
  EXPECT_EQ(problem_of("kind=\"full\"\ntarget={kind=\"identity\",rows=2,cols=3,scale=2.5}").target,
            (std::vector<double>{2.5, 0, 0, 0, 2.5, 0}));
  EXPECT_EQ(problem_of("kind=\"full\"\ntarget={kind=\"zero\",size=2}").target,
            (std::vector<double>{0, 0, 0, 0}));
  EXPECT_EQ(
      problem_of("kind=\"full\"\ntarget={kind=\"values\",rows=1,cols=2,values=[3,-0.5]}").target,
      (std::vector<double>{3, -0.5}));
  const Problem file = problem_of(fmt::format("kind=\"full\"\ntarget={{kind=\"file\",path=\"{}\"}}",
                                              (folder / "two.csv").string()));
  EXPECT_EQ(file.rows, 3);
  EXPECT_EQ(file.cols, 4);
  EXPECT_EQ(file.target, values);
  // An index may be swept: every member has a problem of its own.
  const Experiment swept = parsed(
      experiment(matrix, fmt::format("kind=\"full\"\ntarget={{kind=\"file\",path=\"{}\",index=0}}",
                                     (folder / "three.npy").string())),
      {"sweep.\"objective.target.index\"=[0,1]"});
  const auto cpu = executor_on("cpu");
  const Plan plan = make_plan(swept, cpu->device());
  ASSERT_EQ(plan.families.size(), 1U);
  EXPECT_FALSE(plan.families.front().shared_problem);
  Bench bench(*cpu, swept, 2, false);
  for (std::int64_t member = 0; member < 2; ++member) {
    bench.set_parameters(member, std::vector<double>(6, 0.0));
    bench.evaluate();
    const auto first = values.begin() + static_cast<std::ptrdiff_t>(6 * member);
    std::vector<double> expected(first, first + 6);
    for (double& x : expected) x = -x;
    EXPECT_EQ(bench.gradient(member), expected);
  }
}

// A file that changes between two experiments of one process is read again.
TEST(Targets, FollowTheirFile) {
  const test::ScratchFolder folder;
  const auto path = folder / "target.npy";
  const std::string objective =
      fmt::format("kind=\"full\"\ntarget={{kind=\"file\",path=\"{}\"}}", path.string());
  write_array(path, {{1, 2}, {1, 2}});
  EXPECT_EQ(problem_of(objective).target, (std::vector<double>{1, 2}));
  write_array(path, {{1, 3}, {4, 5, 6}});
  EXPECT_EQ(problem_of(objective).target, (std::vector<double>{4, 5, 6}));
}

TEST(Targets, CutToARankKeepTheLargestSingularValues) {
  const std::string digits = "kind=\"full\"\ntarget={kind=\"digits\",rows=20}";
  const Problem whole = problem_of(digits);
  const Problem cut = problem_of(digits, {"objective.target.rank=5"});
  const auto s = factorization::spectrum(whole.target, 20, 64);
  const auto t = factorization::spectrum(cut.target, 20, 64);
  double tail = 0;
  for (std::size_t i = 0; i < 20; ++i) {
    EXPECT_NEAR(t[i], i < 5 ? s[i] : 0.0, 64 * eps * s[0]) << i;
    if (i >= 5) tail += s[i] * s[i];
  }
  EXPECT_GT(s[5], 1.0);
  EXPECT_NEAR(distance(whole.target, cut.target), std::sqrt(tail), 64 * eps * s[0]);
}

TEST(Targets, NoiseIsOnWhatIsObserved) {
  const std::string objective =
      "kind=\"completion\"\nobserved=0.5\ntarget={kind=\"gaussian\",size=60,noise=0.0}";
  for (const bool symmetric : {false, true}) {
    const std::string mirror = fmt::format("objective.symmetric={}", symmetric);
    const Problem base = problem_of(objective, {mirror});
    const Problem noisy = problem_of(objective, {mirror, "objective.target.noise=0.3"});
    double square = 0;
    std::int64_t count = 0;
    for (std::size_t i = 0; i < base.target.size(); ++i) {
      const double noise = noisy.target[i] - base.target[i];
      if (base.mask[i] == 0) {
        EXPECT_EQ(noise, 0.0);
        continue;
      }
      square += noise * noise;
      ++count;
      if (symmetric) {
        EXPECT_EQ(noisy.target[i], noisy.target[i % 60 * 60 + i / 60]);
      }
    }
    // The sum of n squares has the relative deviation sqrt(2/n), twice the variance where each
    // stands twice: five of them.
    const double deviation = std::sqrt((symmetric ? 4.0 : 2.0) / static_cast<double>(count));
    EXPECT_NEAR(square / (0.09 * static_cast<double>(count)), 1.0, 5 * deviation);
  }
  const std::string sensing =
      "kind=\"sensing\"\nmeasurements.count=400\ntarget={kind=\"gaussian\",size=3}";
  const Problem quiet = problem_of(sensing);
  const Problem loud = problem_of(sensing, {"objective.target.noise=0.3"});
  EXPECT_EQ(quiet.target, loud.target);
  EXPECT_NEAR(distance(quiet.values, loud.values) / (0.3 * 20), 1.0, 5 * std::sqrt(0.5 / 400));
}

TEST(Masks, AreWhatTheKeysSay) {
  const std::string target = "target={kind=\"gaussian\",size=4}\n";
  const auto count = [](const Problem& problem) {
    return std::count(problem.mask.begin(), problem.mask.end(), std::uint8_t{1});
  };
  const std::string counted = "kind=\"completion\"\n" + target;
  for (const int n : {1, 7, 16}) {
    const Problem problem =
        problem_of(counted + fmt::format("mask={{kind=\"count\",count={}}}", n));
    EXPECT_EQ(count(problem), n);
    EXPECT_EQ(problem.terms(), n);
  }
  // Pairs: n of them, the diagonal among the ten there are.
  for (const int n : {1, 6, 10}) {
    const Problem problem =
        problem_of(counted + fmt::format("symmetric=true\nmask={{kind=\"count\",count={}}}", n));
    std::int64_t pairs = 0;
    for (std::size_t i = 0; i < 4; ++i) {
      for (std::size_t j = 0; j <= i; ++j) {
        EXPECT_EQ(problem.mask[i * 4 + j], problem.mask[j * 4 + i]);
        pairs += problem.mask[i * 4 + j];
      }
    }
    EXPECT_EQ(pairs, n);
  }
  const Problem listed = problem_of("kind=\"completion\"\nsymmetric=true\n" + target +
                                    "mask={kind=\"entries\",rows=[0,0,1],cols=[2,3,2]}");
  EXPECT_EQ(listed.mask,
            (std::vector<std::uint8_t>{0, 0, 1, 1, 0, 0, 1, 0, 1, 1, 0, 0, 1, 0, 0, 0}));
  const test::ScratchFolder folder;
  write_array(folder / "mask.npy", {{2, 2, 2}, {1, 0, 0, 0, 0, 1, 1, 0}});
  const Problem file =
      problem_of(fmt::format("kind=\"completion\"\ntarget={{kind=\"gaussian\",size=2}}\n"
                             "mask={{kind=\"file\",path=\"{}\",index=1}}",
                             (folder / "mask.npy").string()));
  EXPECT_EQ(file.mask, (std::vector<std::uint8_t>{0, 1, 1, 0}));
}

// Each of the 36 subsets of two out of nine entries comes as often: chi-square with 35 degrees of
// freedom is above 80 with probability 2e-5, and the draws are fixed.
TEST(Masks, OfACountAreUniform) {
  std::array<int, 81> seen{};
  constexpr int draws = 3600;
  const Experiment sweep = parsed(experiment(matrix,
                                             "kind=\"completion\"\nmask={kind=\"count\",count=2}\n"
                                             "target={kind=\"zero\",size=3}"),
                                  {fmt::format("sweep.\"problem.seed\"={{range=[0,{}]}}", draws)});
  for (int m = 0; m < draws; ++m) {
    const Problem problem = make_problem(sweep.member(m));
    std::vector<std::size_t> places;
    for (std::size_t i = 0; i < 9; ++i) {
      if (problem.mask[i] != 0) places.push_back(i);
    }
    ASSERT_EQ(places.size(), 2U);
    ++seen[places[0] * 9 + places[1]];
  }
  double chi2 = 0;
  for (std::size_t a = 0; a < 9; ++a) {
    for (std::size_t b = a + 1; b < 9; ++b) {
      const double excess = seen[a * 9 + b] - draws / 36.0;
      chi2 += excess * excess / (draws / 36.0);
    }
  }
  EXPECT_LT(chi2, 80);
}

struct BadFile {
  const char* name;
  std::string objective;
  std::vector<std::string> message;
};

// Files whose contents do not fit: the message begins with the key's place, and shows both shapes.
TEST(ObjectiveFiles, ThatDoNotFitAreRefused) {
  const test::ScratchFolder folder;
  const auto file = [&](const char* name, const Array& array) {
    write_array(folder / name, array);
    return "path = \"" + (folder / name).string() + "\"";
  };
  const double nan = std::nan("");
  const std::string one = file("one.npy", {{2, 2}, {1, 2, 3, 4}});
  const std::string two = file("two.npy", {{2, 2, 2}, {1, 0, 0, 0, 0, 0, 0, 0}});
  const std::string line = file("line.npy", {{4}, {1, 2, 3, 4}});
  const std::string hole = file("hole.npy", {{2, 2}, {1, nan, 3, 4}});
  const std::string wide = file("wide.npy", {{2, 3}, {0, 0, 0, 1, 1, 1}});
  const std::string holes = file("holes.npy", {{2, 2}, {1, 1, 0, 0}});
  const std::string full = "kind = \"full\"\ntarget = { kind = \"file\", ";
  const std::string square = "target = { kind = \"gaussian\", size = 2 }\n";
  const std::string masked = "kind = \"completion\"\n" + square + "mask = { kind = \"file\", ";
  const std::string sensed = "kind = \"sensing\"\n" + square;
  const std::vector<BadFile> files{
      {"index of one matrix",
       full + one + ", index = 0 }",
       {"objective.target.index: found 0 for an array of shape (2, 2), expected no index"}},
      {"several without an index",
       full + two + " }",
       {"objective.target.index: found nothing for an array of shape (2, 2, 2), expected which of "
        "the 2 matrices"}},
      {"index beyond the last",
       full + two + ", index = 2 }",
       {"objective.target.index: found 2 for an array of shape (2, 2, 2), expected at most 1"}},
      {"one dimension",
       full + line + " }",
       {"objective.target.path: found an array of shape (4,), expected a matrix"}},
      {"a target that is not finite",
       full + hole + " }",
       {"objective.target.kind: found nan at entry (0, 1), expected finite numbers"}},
      {"a mask of another shape",
       masked + wide + " }",
       {"objective.mask.path: found a mask of 2x3, expected the target's shape 2x2"}},
      {"a mask of other numbers",
       masked + one + " }",
       {"objective.mask.path: found 2.0 at entry (0, 1), expected 0 or 1"}},
      {"a mask that observes nothing",
       masked + two + ", index = 1 }",
       {"objective.mask.path: found a mask that observes no entry, expected at least one 1"}},
      {"a mask that is not symmetric",
       "symmetric = true\n" + masked + holes + " }",
       {"objective.symmetric: found true with a mask whose entries (1, 0) and (0, 1) differ"}},
      {"measurements of another shape",
       sensed + "measurements = { kind = \"file\", " + wide + " }",
       {"objective.measurements.path: found an array of shape (2, 3), expected (count, 2, 2)"}},
      {"values of another number",
       sensed + "measurements = { kind = \"file\", " + two + " }\nvalues = { kind = \"file\", " +
           line + " }",
       {"objective.values.path: found an array of shape (4,), expected 2 numbers"}},
  };
  for (const BadFile& bad : files) {
    SCOPED_TRACE(bad.name);
    try {
      const Settings settings = parsed(experiment(matrix, bad.objective)).member(0);
      const ModelKind& kind = model_kind(settings);
      kind.validate(settings);
      kind.check_problem(settings);
      ADD_FAILURE() << "accepted";
    } catch (const InputError& error) {
      const std::string text = error.what();
      EXPECT_EQ(text.substr(0, 10), "test.toml:") << text;
      for (const std::string& part : bad.message) {
        EXPECT_NE(text.find(part), std::string::npos) << text;
      }
    }
  }
  // What is not observed may be unknown.
  const Problem problem =
      problem_of("kind = \"completion\"\ntarget = { kind = \"file\", " + hole +
                 " }\nmask = { kind = \"entries\", rows = [0, 1], cols = [0, 1] "
                 "}");
  EXPECT_TRUE(std::isnan(problem.target[1]));
}

TEST(GradientAtZero, IsTheGradientThatTheDeviceFinds) {
  const auto cpu = executor_on("cpu");
  for (const std::string& objective : objectives_of_3x4()) {
    SCOPED_TRACE(objective);
    Bench bench(*cpu, experiment(matrix, objective), 1);
    bench.set_parameters(0, std::vector<double>(12, 0.0));
    bench.evaluate();
    const auto expected = factorization::gradient_at_zero(make_problem(bench.settings()));
    EXPECT_LE(distance(bench.gradient(0), expected), 16 * eps * norm_of(expected));
    EXPECT_GT(norm_of(expected), 0);
  }
}

/// Eigenvalues of a symmetric (n, n), ascending; `vectors`, where given, receives them as columns.
std::vector<double> eigenvalues(std::vector<double> a, int n,
                                std::vector<double>* vectors = nullptr) {
  std::vector<double> values(static_cast<std::size_t>(n));
  EXPECT_EQ(LAPACKE_dsyev(LAPACK_ROW_MAJOR, vectors == nullptr ? 'N' : 'V', 'U', n, a.data(), n,
                          values.data()),
            0);
  if (vectors != nullptr) *vectors = std::move(a);
  return values;
}

// Under f = f_0 - <W, Q> the symmetric model of depth 2 has dU/dt = Q U: U(t) = exp(Q t) U(0). With
// step eta gradient descent is Euler's method, whose distance at a fixed time is O(eta).
TEST_P(ObjectiveOnDevice, LinearObjectiveGrowsExponentially) {
  const auto device = executor();
  constexpr int n = 4;
  const std::string toml =
      experiment("kind = \"symmetric\"\nsizes = [3, 4]",
                 "kind = \"linear\"\nsymmetric = true\ntarget = { kind = \"gaussian\", size = 4 }");
  Bench bench(*device, toml, 1);
  const std::vector<double> start = bench.parameters(0);
  const Problem problem = make_problem(bench.settings());
  std::vector<double> v;
  const std::vector<double> q = eigenvalues(problem.target, n, &v);
  std::vector<double> expected(start.size(), 0.0);  // V exp(q) V^T U(0)
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t c = 0; c < 3; ++c) {
      for (std::size_t k = 0; k < n; ++k) {
        double projected = 0;
        for (std::size_t j = 0; j < n; ++j) projected += v[j * n + k] * start[j * 3 + c];
        expected[i * 3 + c] += v[i * n + k] * std::exp(q[k]) * projected;
      }
    }
  }
  const auto error = [&](int steps) {
    bench.set_parameters(0, start);
    for (int t = 0; t < steps; ++t) {
      bench.evaluate();
      std::vector<double> u = bench.parameters(0);
      const std::vector<double> g = bench.gradient(0);
      for (std::size_t i = 0; i < u.size(); ++i) u[i] -= g[i] / steps;
      bench.set_parameters(0, u);
    }
    return distance(bench.parameters(0), expected);
  };
  const double coarse = error(100);
  const double fine = error(200);
  // (1 + q/n)^n = exp(q - q^2/(2n) + ...): the error is q^2 exp(q) |u| / (2n) at most.
  const double largest = std::max(std::abs(q.front()), std::abs(q.back()));
  EXPECT_LT(coarse, largest * largest * std::exp(largest) * norm_of(start) / 200);
  EXPECT_NEAR(coarse / fine, 2.0, 0.1);
}

// Wang, Chen, Zhao, Tao 2022, theorem F.2: the Hessian of 1/2 (mu - x.y)^2 has the eigenvalues
// +-(mu - x.y), d-1 times each, and 1/2 (s +- sqrt(s^2 + 4 (mu - x.y)^2 - 8 (mu - x.y) x.y)),
// s = ||x||^2 + ||y||^2. Along a coordinate the gradient is a polynomial of degree 2, so its
// central difference is exact at any step: what is left is rounding, eps/step times the numbers of
// order (1 + |theta|)^3 in it.
TEST_P(ObjectiveOnDevice, ScalarHessianHasItsClosedForm) {
  const auto device = executor();
  constexpr int d = 3;
  constexpr int n = 2 * d;
  constexpr double mu = 1.25;
  constexpr double step = 0.125;
  const int starts = GetParam().name == "cpu" ? 10'000 : 50;
  const int chunk = std::min(starts, 1000);
  const std::string toml = experiment(
      fmt::format("kind = \"scalar\"\ndimension = {}", d),
      fmt::format("kind = \"full\"\ntarget = {{ kind = \"identity\", scale = {} }}", mu));
  Bench bench(*device, toml, std::int64_t{2 * n} * chunk);
  double worst = 0;
  for (int first = 0; first < starts; first += chunk) {
    std::vector<std::vector<double>> points;
    for (int i = 0; i < chunk; ++i) {
      std::vector<double> theta(n);
      for (std::size_t k = 0; k < n; ++k) {
        theta[k] = 1.5 * normal_double(11, random_stream("test/hessian"),
                                       static_cast<std::uint64_t>(first + i) * n + k);
      }
      for (int k = 0; k < n; ++k) {
        for (int side = 0; side < 2; ++side) {
          std::vector<double> moved = theta;
          moved[static_cast<std::size_t>(k)] += side == 0 ? -step : step;
          bench.set_parameters((std::int64_t{i} * n + k) * 2 + side, moved);
        }
      }
      points.push_back(std::move(theta));
    }
    bench.evaluate();
    for (int i = 0; i < chunk; ++i) {
      std::vector<double> hessian(n * n);
      for (int k = 0; k < n; ++k) {
        const std::vector<double> below = bench.gradient((std::int64_t{i} * n + k) * 2);
        const std::vector<double> above = bench.gradient((std::int64_t{i} * n + k) * 2 + 1);
        for (std::size_t j = 0; j < n; ++j) {
          hessian[j * n + static_cast<std::size_t>(k)] = (above[j] - below[j]) / (2 * step);
        }
      }
      const std::vector<double> found = eigenvalues(hessian, n);
      const std::vector<double>& theta = points[static_cast<std::size_t>(i)];
      double s = 0;
      double product = 0;
      for (std::size_t k = 0; k < n; ++k) s += theta[k] * theta[k];
      for (std::size_t k = 0; k < d; ++k) product += theta[k] * theta[d + k];
      const double r = mu - product;
      const double root = std::sqrt(s * s + 4 * r * r - 8 * r * product);
      std::vector<double> expected{(s - root) / 2, (s + root) / 2};
      for (int k = 1; k < d; ++k) {
        expected.push_back(r);
        expected.push_back(-r);
      }
      std::sort(expected.begin(), expected.end());
      const double size = std::pow(1 + std::sqrt(s), 3);
      for (std::size_t k = 0; k < n; ++k) {
        const double off = std::abs(found[k] - expected[k]);
        worst = std::max(worst, off / size);
        ASSERT_LE(off, 64 * eps / step * size) << "start " << first + i << ", eigenvalue " << k;
      }
    }
  }
  RecordProperty("worst_relative", fmt::format("{:.3g}", worst));
}

// Wang, Chen, Zhao, Tao 2022: with h at most min(4 / (||x_0||^2 + ||y_0||^2 + 4 mu), 1 / (3 mu))
// (theorem 3.1) gradient descent converges, and its limit has ||x||^2 + ||y||^2 <= 2/h and
// ||x - y||^2 <= 2/h - 2 mu (theorem 3.2). h stands at 99.9 % of the bound, mu = 1/2, 1 or 2.
TEST_P(ObjectiveOnDevice, ScalarLimitsObeyTheirBounds) {
  const auto device = executor();
  constexpr int d = 5;
  const bool cpu = GetParam().name == "cpu";
  const int starts = cpu ? 10'000 : 24;
  const int steps = cpu ? 2000 : 150;
  const std::string toml = fmt::format(R"(
[model]
kind = "scalar"
dimension = {}
[objective]
kind = "full"
target = {{ kind = "identity" }}
[init]
kind = "gaussian"
stddev = 1.0
[optimizer]
kind = "gd"
learning_rate = 0.1
[stop]
steps = {}
train_loss = 1e-20
[probes]
layer_norm2 = {{ every = {} }}
)",
                                       d, steps, steps);
  const Experiment base = parsed(toml, {fmt::format("sweep.seed={{range=[0,{}]}}", starts)});
  std::string zip = "sweep.zip=[";
  std::vector<double> rate;
  for (int m = 0; m < starts; ++m) {
    const Settings settings = base.member(m);
    std::vector<double> theta = factorization::start(settings, factorization::shape_of(settings));
    const double stddev = 0.25 * (1 + m % 12);
    const double mu = 0.5 * (1 << (m / 12 % 3));
    double s = 0;
    for (const double x : theta) s += stddev * stddev * x * x;
    rate.push_back(0.999 * std::min(4 / (s + 4 * mu), 1 / (3 * mu)));
    zip += fmt::format(
        "{}{{\"seed\"={},\"init.stddev\"={},\"objective.target.scale\"={},"
        "\"optimizer.learning_rate\"={:.17g}}}",
        m == 0 ? "" : ",", m, stddev, mu, rate.back());
  }
  zip += "]";
  const Results results = run(toml, *device, {zip});
  int converged = 0;
  double largest = 0;
  for (int m = 0; m < starts; ++m) {
    const MemberEnd& end = results.ends.at(m);
    ASSERT_NE(end.status, MemberStatus::diverged) << m;
    if (end.status != MemberStatus::converged) continue;
    ++converged;
    // Its last state is the second sample. What is left to go: steps of at most 4 h mu r in the
    // squared norm with r <= sqrt(2e-20), in a geometric series that fell by 1e10 within `steps`
    // steps: less than 1e-7 of 2/h. At the limit x.y = mu, so that both bounds are this one:
    // ||x - y||^2 = ||x||^2 + ||y||^2 - 2 mu.
    const std::vector<double> norm2 = results.at("layer_norm2", m, 1);
    ASSERT_EQ(norm2.size(), 2U);
    const double bound = 2 / rate[static_cast<std::size_t>(m)];
    ASSERT_LE(norm2[0] + norm2[1], bound * (1 + 1e-7)) << m;
    largest = std::max(largest, (norm2[0] + norm2[1]) / bound);
  }
  RecordProperty("converged", converged);
  RecordProperty("largest_share_of_the_bound", fmt::format("{:.4g}", largest));
  EXPECT_GT(largest, 0.9) << "no limit is near its bound: the test compares nothing";
  EXPECT_GT(converged, cpu ? starts * 95 / 100 : starts / 2);
}

}  // namespace
}  // namespace manyfold::testing
