// Probes of curvature: closed forms, members that do not touch each other, steps that do not
// suffice, watches, and looks through windows. Dense Hessians are in network_test.cpp and
// gradient_test.cpp, with the models that they belong to.
#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "core/error.hpp"
#include "tests/models/curvature.hpp"

namespace manyfold::testing {
namespace {

using SharpnessOnDevice = OnDevice;

const std::vector<std::string> probes{"sharpness", "least_curvature", "gauss_newton_sharpness"};

std::string end(const std::string& every = "5") {
  return "[optimizer]\nkind = \"gd\"\nlearning_rate = 0.02\n[stop]\nsteps = 20\n[probes]\n"
         "train_loss = { every = " +
         every + " }\n";
}

std::string scalar(int dimension, double mu) {
  return fmt::format(
             "problem.seed = 3\nseed = 5\n[model]\nkind = \"scalar\"\ndimension = {}\n[objective]\n"
             "kind = \"full\"\ntarget = {{ kind = \"values\", values = [{}] }}\n"
             "[init]\nkind = \"gaussian\"\nstddev = 1.0\n",
             dimension, mu) +
         end();
}

std::string chain() {
  return "problem.seed = 3\nseed = 5\n[model]\nkind = \"deep_linear\"\nsizes = [6, 5, 5, 7]\n"
         "[objective]\nkind = \"full\"\ntarget = { kind = \"gaussian\", rows = 7, cols = 6 }\n"
         "[init]\nkind = \"gaussian\"\nstddev = 0.5\n" +
         end();
}

std::string net() {
  return "problem.seed = 3\nseed = 5\n[model]\nkind = \"fc\"\nhidden = [6, 5]\n"
         "activation = \"tanh\"\n[data]\nsource = \"gaussian\"\nshape = 4\ncount = 9\n"
         "targets = \"random_normal\"\noutputs = 3\n[init]\nkind = \"gaussian\"\nstddev = 0.7\n" +
         end();
}

/// The three probes of every slot, one after the other.
std::vector<std::vector<double>> look(Executor& device, Bench& bench) {
  bench.evaluate();
  std::vector<std::vector<double>> slots(static_cast<std::size_t>(bench.slots()));
  for (const std::string& probe : probes) {
    const std::vector<double> all = observed(device, bench, probe, bench.slots(), 2);
    for (std::size_t s = 0; s < slots.size(); ++s) {
      slots[s].insert(slots[s].end(), {all[2 * s], all[2 * s + 1]});
    }
  }
  return slots;
}

/// Eigenvalues of 1/2 (mu - x.y)^2: +-(mu - x.y), d - 1 times each, and 1/2 (s +- sqrt(s^2 + 4 r^2
/// - 8 r x.y)) with s = ||x||^2 + ||y||^2, r = mu - x.y (Wang, Chen, Zhao, Tao 2022, theorem F.2).
TEST_P(SharpnessOnDevice, EqualsTheClosedFormOfTheScalarProblem) {
  const auto device = executor();
  std::mt19937_64 random(7);
  for (const int d : {1, 2, 10}) {
    constexpr double mu = 1.3;
    constexpr std::int64_t starts = 12;
    Bench bench(*device, with_curvature(scalar(d, mu), 30), starts);
    std::vector<std::array<double, 3>> expected;
    for (std::int64_t slot = 0; slot < starts; ++slot) {
      std::normal_distribution<double> normal(0, 0.1 * std::pow(2.0, slot));
      std::vector<double> theta(static_cast<std::size_t>(2 * d));
      for (double& one : theta) one = normal(random);
      bench.set_parameters(slot, theta);
      double s = 0;
      double xy = 0;
      for (std::size_t i = 0; i < theta.size() / 2; ++i) {
        const double y = theta[i];
        const double x = theta[theta.size() / 2 + i];
        s += x * x + y * y;
        xy += x * y;
      }
      const double r = mu - xy;
      const double root = std::sqrt(s * s + 4 * r * r - 8 * r * xy);
      const double flat = d > 1 ? std::abs(r) : -std::numeric_limits<double>::infinity();
      expected.push_back({std::max((s + root) / 2, flat), std::min((s - root) / 2, -flat), s});
    }
    const auto found = look(*device, bench);
    for (std::size_t slot = 0; slot < expected.size(); ++slot) {
      for (std::size_t p = 0; p < 3; ++p) {
        EXPECT_NEAR(found[slot][2 * p], expected[slot][p], 1e-8 * expected[slot][0])
            << probes[p] << " d = " << d << ", slot " << slot;
        EXPECT_LT(found[slot][2 * p + 1], 1e-8 * expected[slot][0]);
      }
    }
  }
}

/// At a minimum of the scalar problem the Hessian is the Gauss-Newton matrix.
TEST_P(SharpnessOnDevice, IsThatOfGaussNewtonWhereTheResidualIsZero) {
  const auto device = executor();
  Bench bench(*device, with_curvature(scalar(2, 1.5), 30), 1);
  bench.set_parameters(0, {1, 0.5, 1.25, 0.5});  // x.y = 1.5, ||x||^2 + ||y||^2 = 3.0625
  const auto found = look(*device, bench).front();
  EXPECT_NEAR(found[0], 3.0625, 1e-13);
  EXPECT_NEAR(found[4], 3.0625, 1e-13);
}

/// What a member shows depends on its parameters and seed, and on no slot.
TEST_P(SharpnessOnDevice, AMemberIsTheSameInEverySlot) {
  const auto device = executor();
  const bool exact = GetParam().name == "cpu";
  for (const std::string& toml : {chain(), net()}) {
    for (const int steps : {5, 25}) {
      Bench one(*device, with_curvature(toml, steps), 1);
      const std::vector<double> alone = look(*device, one).front();
      Bench many(*device, with_curvature(toml, steps), 5);
      for (std::int64_t slot = 0; slot < 5; ++slot) {
        if (slot == 3) continue;
        std::vector<double> other = one.parameters(0);
        for (double& x : other) x *= 0.5 + 0.3 * static_cast<double>(slot);
        many.set_parameters(slot, other);
      }
      const auto among = look(*device, many);
      if (exact) {
        EXPECT_TRUE(same_bits(among[3], alone));
      }
      for (const std::size_t i : {0, 2, 4}) {
        EXPECT_NEAR(among[3][i], alone[i], 1e-11 * std::abs(alone[0]));
        EXPECT_GT(std::abs(among[4][i] - alone[i]), 1e-3 * std::abs(alone[0]));
      }
    }
  }
}

TEST_P(SharpnessOnDevice, WhatIsNotFiniteIsFlaggedForThatMemberAlone) {
  const auto device = executor();
  const std::string single =
      "problem.seed = 3\nseed = 5\n[model]\nkind = \"deep_linear\"\nsizes = [4, 3]\n[objective]\n"
      "kind = \"full\"\ntarget = { kind = \"gaussian\", rows = 3, cols = 4 }\n"
      "[init]\nkind = \"gaussian\"\nstddev = 0.5\n" +
      end();
  for (const std::string& toml : {chain(), net(), single}) {
    Bench bench(*device, with_curvature(toml, 8), 4);
    const auto before = look(*device, bench);
    std::vector<double> bad = bench.parameters(0);
    bad[2] = std::nan("");
    bench.set_parameters(1, bad);
    bad[2] = -std::numeric_limits<double>::infinity();
    bench.set_parameters(2, bad);
    const auto after = look(*device, bench);
    for (const std::size_t slot : {0, 3}) EXPECT_TRUE(same_bits(after[slot], before[slot]));
    for (const std::size_t slot : {1, 2}) {
      for (const double x : after[slot]) EXPECT_TRUE(std::isnan(x)) << slot;
    }
  }
}

/// Values beyond what the precision holds are not finite either.
TEST_P(SharpnessOnDevice, AnOverflowIsFlagged) {
  const auto device = executor();
  Bench bench(*device, with_curvature(chain(), 8), 2);
  std::vector<double> large = bench.parameters(0);
  for (double& x : large) x *= 1e120;
  bench.set_parameters(1, large);
  const auto found = look(*device, bench);
  for (const double x : found[0]) EXPECT_TRUE(std::isfinite(x));
  for (const double x : found[1]) EXPECT_TRUE(std::isnan(x));
}

/// Few steps leave a bound that tells: an eigenvalue lies within it, and it is not small.
TEST_P(SharpnessOnDevice, TooFewStepsAreReported) {
  const auto device = executor();
  for (const std::string& toml : {chain(), net()}) {
    const std::vector<double> all =
        eigenvalues(products(*device, with_curvature(toml), CurvatureMatrix::hessian));
    double last = std::numeric_limits<double>::infinity();
    for (const int steps : {1, 3, 6, 400}) {
      Bench bench(*device, with_curvature(toml, steps), 1);
      const std::vector<double> found = look(*device, bench).front();
      for (const std::size_t p : {0, 1}) {
        double nearest = std::numeric_limits<double>::infinity();
        for (const double l : all) nearest = std::min(nearest, std::abs(l - found[2 * p]));
        EXPECT_LE(nearest, found[2 * p + 1] + 1e-12 * all.back());
      }
      const double miss = std::abs(found[0] - all.back());
      EXPECT_LE(miss, last);
      last = miss;
      if (steps == 1) {
        EXPECT_GT(found[1], 0.1 * miss);
      }
      if (steps <= 3) {
        EXPECT_GT(found[1], 1e-3 * all.back());
      }
      if (steps == 400) {
        EXPECT_LT(found[1], 1e-10 * all.back());
      }
    }
    EXPECT_LT(last, 1e-12 * all.back());
  }
}

/// Where nothing bends there is an answer, too: 0 with a bound of 0.
TEST_P(SharpnessOnDevice, OfALinearObjectiveOfOneLayerIsZero) {
  const auto device = executor();
  Bench bench(*device,
              with_curvature("problem.seed = 3\nseed = 5\n[model]\nkind = \"deep_linear\"\nsizes = "
                             "[4, 3]\n[objective]\nkind = \"linear\"\noffset = 0.7\ntarget = { "
                             "kind = \"gaussian\", rows = 3, cols = 4 }\n[init]\nkind = "
                             "\"gaussian\"\nstddev = 0.5\n" +
                             end()),
              2);
  for (const auto& slot : look(*device, bench)) EXPECT_EQ(slot, std::vector<double>(6, 0.0));
}

/// Single precision: sums in double, products of the matrix to 1e-6 of its norm.
TEST_P(SharpnessOnDevice, SinglePrecisionIsNearDouble) {
  const auto device = executor();
  for (const std::string& toml : {chain(), net()}) {
    Bench wide(*device, with_curvature(toml), 1);
    Bench narrow(*device, "precision = \"f32\"\n" + with_curvature(toml), 1);
    EXPECT_EQ(narrow.allocated(),
              narrow.footprint().shared_bytes + narrow.footprint().bytes_per_slot);
    const auto expected = look(*device, wide).front();
    const auto found = look(*device, narrow).front();
    for (const std::size_t i : {0, 2, 4}) {
      EXPECT_NEAR(found[i], expected[i], 1e-5 * expected[0]);
      EXPECT_LT(found[i + 1], 1e-4 * expected[0]);
    }
  }
}

/// The start vectors are those of the members' seeds, whatever the start of the weights.
TEST_P(SharpnessOnDevice, SeedsDrawTheStartVectors) {
  const auto device = executor();
  const auto few = [&](const std::string& seed) {
    std::string toml = with_curvature(chain(), 3);
    toml.replace(toml.find("seed = 5"), 8, "seed = " + seed);
    toml.replace(toml.find("stddev = 0.5"), 12, "stddev = 0.5\nseed = 9");  // the same weights
    Bench bench(*device, toml, 1);
    return look(*device, bench).front();
  };
  const auto five = few("5");
  EXPECT_TRUE(same_bits(five, few("5")));
  EXPECT_NE(five, few("6"));
}

/// A watch looks between a gradient and the step that takes it.
TEST_P(SharpnessOnDevice, WatchesLeaveTheTrajectoryAsItIs) {
  const auto device = executor();
  for (const std::string& toml : {chain(), net()}) {
    const std::string with =
        toml + "parameters = { every = 5 }\nsharpness = { every = 5, running = \"max\" }\n";
    const std::string without = toml + "parameters = { every = 5 }\n";
    const Results watched = run(with, *device, {"stop.check_every=1"}, false, "batched");
    const Results plain = run(without, *device, {"stop.check_every=1"}, false, "batched");
    double largest = 0;
    for (std::int64_t sample = 0; sample <= 4; ++sample) {
      for (const char* array : {"W_1", "W_2", "W_3"}) {
        ASSERT_FALSE(plain.at(array, 0, sample).empty());
        EXPECT_TRUE(same_bits(watched.at(array, 0, sample), plain.at(array, 0, sample)));
      }
      ASSERT_EQ(watched.at("sharpness", 0, sample).size(), 2U);
      largest = std::max(largest, watched.at("sharpness", 0, sample)[0]);
    }
    EXPECT_GE(watched.at("max_sharpness", 0, 0)[0], largest);
  }
}

/// Resident members are looked at through windows, the last of which is not full; each has the
/// value that it has by itself.
TEST_P(SharpnessOnDevice, LooksThroughWindowsSeeWhatOneLookSees) {
  const auto device = executor();
  const auto of = [](int members) {
    return with_curvature(chain(), 5) +
           fmt::format("[sweep]\nseed = {{ range = [0, {}] }}\n", members);
  };
  constexpr int members = 70;
  const Results windows = run(of(members), *device, {"stop.steps=5"}, false, "resident");
  ASSERT_EQ(windows.plan.families.front().slots_in_window(), 64);
  const Results whole = run(of(members), *device, {"stop.steps=5"}, false, "batched");
  const Results few = run(of(3), *device, {"stop.steps=5"}, false, "resident");
  for (std::int64_t m = 0; m < members; ++m) {
    for (const std::string& probe : probes) {
      for (std::int64_t sample = 0; sample <= 1; ++sample) {
        const auto a = windows.at(probe, m, sample);
        const auto b = whole.at(probe, m, sample);
        ASSERT_EQ(a.size(), 2U);
        EXPECT_NEAR(a[0], b[0], 1e-8 * std::abs(b[0])) << probe << " " << m;
        if (m < 3 && GetParam().name == "cpu") {
          EXPECT_TRUE(same_bits(a, few.at(probe, m, sample)));
        }
      }
    }
  }
}

/// Gradient descent on the scalar problem ends where the sharpness is at most 2 / h.
TEST_P(SharpnessOnDevice, OfALimitIsAtMostTwoOverTheStep) {
  const auto device = executor();
  const std::string toml = with_curvature(scalar(3, 1.0), 6);
  const Results results = run(toml, *device,
                              {"optimizer.learning_rate=0.3", "stop.steps=200", "init.stddev=0.9",
                               "sweep.seed={range=[0,8]}"});
  for (std::int64_t m = 0; m < 8; ++m) {
    const auto last = results.at("sharpness", m, 40);
    ASSERT_EQ(last.size(), 2U) << m;
    EXPECT_LE(last[0], 2 / 0.3 + 1e-9);
    EXPECT_GE(last[0], 2.0 - 1e-9);  // ||x||^2 + ||y||^2 >= 2 mu
  }
}

MANYFOLD_ON_ALL_DEVICES(SharpnessOnDevice);

}  // namespace
}  // namespace manyfold::testing
