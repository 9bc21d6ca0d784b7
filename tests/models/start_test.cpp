// Starts against their definitions: norms, balance, directions by independent LAPACK routines, laws
// of what is drawn, and bits of what is given.
#include "models/factorization/start.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <netcdf.h>

#include "core/data/array_file.hpp"
#include "core/error.hpp"
#include "core/random/philox.hpp"
#include "models/factorization/problem.hpp"
#include "models/factorization/steepest_descent.hpp"
#include "models/training/ensemble.hpp"
#include "tests/models/run.hpp"
#include "tests/scratch_folder.hpp"

// Not the routines that starts are made with (dsyevr, dgesdd).
extern "C" {
void dsyev_(const char* jobz, const char* uplo, const int* n, double* a, const int* lda, double* w,
            double* work, const int* lwork, int* info);
void dgesvd_(const char* jobu, const char* jobvt, const int* m, const int* n, double* a,
             const int* lda, double* s, double* u, const int* ldu, double* vt, const int* ldvt,
             double* work, const int* lwork, int* info);
}

namespace manyfold::testing {
namespace {

namespace fs = std::filesystem;
using factorization::Problem;
using factorization::Shape;
using Numbers = std::vector<double>;
using Texts = std::vector<std::string>;

constexpr double eps = std::numeric_limits<double>::epsilon();

/// An experiment whose model, objective and start are given, the rest being of no matter.
std::string experiment_with(const std::string& model, const std::string& objective,
                            const std::string& init) {
  return "model = { " + model + " }\nobjective = { " + objective + " }\ninit = { " + init +
         " }\noptimizer = { kind = \"gd\", learning_rate = 1e-3 }\nstop.steps = 200\n"
         "probes.train_loss.every = 100\n";
}
const std::string completion =
    R"(kind = "completion", observed = 0.5, target = { kind = "gaussian", rows = 5, cols = 7 })";
const std::string square =
    R"(kind = "completion", observed = 0.5, target = { kind = "gaussian", size = 6 })";
const std::string symmetric =
    R"(kind = "completion", observed = 0.5, symmetric = true, target = { kind = "gaussian", size = 6 })";
const std::string deep3 = R"(kind = "deep_linear", depth = 3, hidden = [4, 6])";

class Start {
 public:
  explicit Start(const std::string& toml, const Texts& overrides = {}, std::int64_t member = 0)
      : Start(Experiment::parse(toml, "test.toml", overrides, experiment_spec()), member) {}
  Start(const Experiment& experiment, std::int64_t member)
      : settings(experiment.member(member)),
        shape(factorization::shape_of(settings)),
        layers(factorization::start(settings, shape)) {}

  Numbers layer(std::int64_t h) const {
    const auto from = layers.begin() + shape.layer_offset(h);
    return {from, from + shape.layer_size(h)};
  }

  Settings settings;
  Shape shape;
  Numbers layers;
};

double norm(const Numbers& x) {
  double sum = 0;
  for (const double v : x) sum += v * v;
  return std::sqrt(sum);
}

/// (m, k) times (k, n).
Numbers product(const Numbers& a, const Numbers& b, std::int64_t m, std::int64_t k,
                std::int64_t n) {
  Numbers c(static_cast<std::size_t>(m * n), 0.0);
  for (std::int64_t i = 0; i < m; ++i) {
    for (std::int64_t l = 0; l < k; ++l) {
      for (std::int64_t j = 0; j < n; ++j) {
        c[static_cast<std::size_t>(i * n + j)] +=
            a[static_cast<std::size_t>(i * k + l)] * b[static_cast<std::size_t>(l * n + j)];
      }
    }
  }
  return c;
}

Numbers transposed(const Numbers& a, std::int64_t m, std::int64_t n) {
  Numbers t(a.size());
  for (std::int64_t i = 0; i < m; ++i) {
    for (std::int64_t j = 0; j < n; ++j) {
      t[static_cast<std::size_t>(j * m + i)] = a[static_cast<std::size_t>(i * n + j)];
    }
  }
  return t;
}

Numbers end_to_end(const Start& start) {
  Numbers p = start.layer(1);
  const Shape& shape = start.shape;
  const std::int64_t n0 = shape.sizes.front();
  for (std::int64_t h = 2; h <= shape.layers(); ++h) {
    p = product(start.layer(h), p, shape.layer_rows(h), shape.layer_cols(h), n0);
  }
  if (shape.symmetric_model) {
    p = product(p, transposed(p, shape.rows(), n0), shape.rows(), n0, shape.rows());
  }
  return p;
}

/// max_h ||W_h W_h^T - W_{h+1}^T W_{h+1}||_F
double imbalance(const Start& start) {
  double largest = 0;
  const Shape& shape = start.shape;
  for (std::int64_t h = 1; h < shape.layers(); ++h) {
    const std::int64_t n = shape.layer_rows(h);
    const Numbers below = start.layer(h);
    const Numbers above = start.layer(h + 1);
    Numbers difference =
        product(below, transposed(below, n, shape.layer_cols(h)), n, shape.layer_cols(h), n);
    const Numbers other = product(transposed(above, shape.layer_rows(h + 1), n), above, n,
                                  shape.layer_rows(h + 1), n);
    for (std::size_t i = 0; i < difference.size(); ++i) difference[i] -= other[i];
    largest = std::max(largest, norm(difference));
  }
  return largest;
}

std::string refusal(const std::string& toml, const Texts& overrides = {}) {
  try {
    const Experiment experiment =
        Experiment::parse(toml, "test.toml", overrides, experiment_spec());
    const Settings settings = experiment.member(0);
    factorization::validate_start(settings, factorization::shape_of(settings));
  } catch (const InputError& error) {
    return error.what();
  }
  ADD_FAILURE() << "was accepted";
  return "";
}

#define EXPECT_REFUSAL(toml, overrides, part)                                 \
  do {                                                                        \
    const std::string text = refusal(toml, overrides);                        \
    EXPECT_NE(text.find(part), std::string::npos) << "the message: " << text; \
  } while (false)

// ---- drawn

TEST(GaussianStart, HasTheStreamsDrawsTimesItsScale) {
  const std::string toml =
      experiment_with(deep3, completion, "kind = \"gaussian\", stddev = [0.5, 2.0, 3.0], seed = 9");
  const Start start(toml);
  const double stddev[] = {0.5, 2.0, 3.0};
  for (std::int64_t h = 1; h <= 3; ++h) {
    const Numbers layer = start.layer(h);
    const std::uint64_t stream = random_stream("init/W/" + std::to_string(h));
    for (std::size_t i = 0; i < layer.size(); ++i) {
      EXPECT_EQ(layer[i], normal_double(9, stream, i) * stddev[h - 1]);
    }
  }
}

TEST(GaussianStart, ScalesByFanInOrByWidth) {
  const Start plain(experiment_with(deep3, completion, "kind = \"gaussian\", stddev = 1.0"));
  const Start fan_in(
      experiment_with(deep3, completion, "kind = \"gaussian\", scaling = \"fan_in\""));
  const Start width(
      experiment_with(deep3, completion, "kind = \"gaussian\", scaling = \"width\", stddev = 2.0"));
  const double columns[] = {7, 4, 6};  // 5x6 . 6x4 . 4x7
  for (std::int64_t h = 1; h <= 3; ++h) {
    for (std::size_t i = 0; i < plain.layer(h).size(); ++i) {
      const double x = plain.layer(h)[i];
      EXPECT_NEAR(fan_in.layer(h)[i], x / std::sqrt(columns[h - 1]), 4 * eps * std::abs(x));
      EXPECT_NEAR(width.layer(h)[i], 2 * x / std::sqrt(6.0), 4 * eps * std::abs(x));
    }
  }
  // With an end norm the scaling is what the layers' sizes are to each other.
  const Start scaled(experiment_with(deep3, completion,
                                     "kind = \"gaussian\", scaling = \"fan_in\", end_norm = 1e-3"));
  EXPECT_NEAR(norm(end_to_end(scaled)), 1e-3, 1e-3 * 100 * eps);
  const double factor = scaled.layers[0] / fan_in.layers[0];
  for (std::size_t i = 0; i < scaled.layers.size(); ++i) {
    EXPECT_NEAR(scaled.layers[i] / fan_in.layers[i], factor, 8 * eps * factor);
  }
  // The symmetric model's input side is a hidden width.
  const std::string wide = R"(kind = "symmetric", depth = 2, hidden = 16)";
  const Start one(experiment_with(wide, square, "kind = \"gaussian\", stddev = 1.0"));
  const Start by_width(experiment_with(wide, square, "kind = \"gaussian\", scaling = \"width\""));
  EXPECT_EQ(by_width.layers[5], one.layers[5] / 4);
}

/// Kolmogorov and Smirnov: sup |F_n - x| of values that should be uniform on (0, 1). Beyond
/// 2.69 / sqrt(n) with probability 2 exp(-2 2.69^2) = 1e-6; the seeds are fixed.
double distance_from_uniform(Numbers values) {
  std::sort(values.begin(), values.end());
  double distance = 0;
  const auto n = static_cast<double>(values.size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    const auto below = static_cast<double>(i);
    distance = std::max({distance, (below + 1) / n - values[i], values[i] - below / n});
  }
  return distance;
}

constexpr std::int64_t draws = 2000;
const double ks_bound = 2.69 / std::sqrt(static_cast<double>(draws));

/// Layers 1x3 and 3x2.
std::string round_starts(const std::string& kind) {
  return experiment_with(R"(kind = "deep_linear", sizes = [2, 3, 1])",
                         R"(kind = "full", target = { kind = "gaussian", rows = 1, cols = 2 })",
                         "kind = \"" + kind + "\", norms = [9.0, 0.25]") +
         "sweep.seed = { range = [0, " + std::to_string(draws) + "] }\n";
}

TEST(SphereStart, HasTheNormsAndNoPreferredDirection) {
  const auto experiment =
      Experiment::parse(round_starts("sphere"), "test.toml", {}, experiment_spec());
  // A coordinate of a uniform point of the sphere in three dimensions is uniform (Archimedes).
  std::vector<Numbers> coordinates(3);
  for (std::int64_t member = 0; member < draws; ++member) {
    const Start start(experiment, member);
    EXPECT_NEAR(norm(start.layer(1)), 9, 9 * 8 * eps);
    EXPECT_NEAR(norm(start.layer(2)), 0.25, 0.25 * 8 * eps);
    for (std::size_t i = 0; i < 3; ++i) {
      coordinates[i].push_back((start.layer(2)[i] / 0.25 + 1) / 2);
    }
  }
  for (const Numbers& coordinate : coordinates) {
    EXPECT_LT(distance_from_uniform(coordinate), ks_bound);
  }
}

TEST(BallStart, HasTheVolumeBelowEachRadius) {
  const auto experiment =
      Experiment::parse(round_starts("ball"), "test.toml", {}, experiment_spec());
  Numbers share_1;  // (r / R)^size is uniform
  Numbers share_2;
  Numbers coordinate;
  double correlation = 0;
  for (std::int64_t member = 0; member < draws; ++member) {
    const Start start(experiment, member);
    share_1.push_back(std::pow(norm(start.layer(1)) / 9, 6));
    share_2.push_back(std::pow(norm(start.layer(2)) / 0.25, 3));
    coordinate.push_back((start.layer(2)[0] / norm(start.layer(2)) + 1) / 2);
    correlation += 12 * (share_1.back() - 0.5) * (share_2.back() - 0.5);
    EXPECT_LE(norm(start.layer(1)), 9 * (1 + 8 * eps));
  }
  EXPECT_LT(distance_from_uniform(share_1), ks_bound);
  EXPECT_LT(distance_from_uniform(share_2), ks_bound);
  EXPECT_LT(distance_from_uniform(coordinate), ks_bound);
  // A sum of independent terms of mean 0 and variance 1, when the radii are independent.
  EXPECT_LT(std::abs(correlation), 5 * std::sqrt(static_cast<double>(draws)));
}

TEST(Starts, AScaleMultipliesTheSameDraw) {
  for (const auto& [init, key] : std::vector<std::pair<std::string, std::string>>{
           {"kind = \"gaussian\", stddev = 0.5", "init.stddev=1.0"},
           {"kind = \"gaussian\", scaling = \"width\", stddev = 0.5", "init.stddev=1.0"},
           {"kind = \"sphere\", norms = 0.5", "init.norms=1.0"},
           {"kind = \"ball\", norms = 0.5", "init.norms=1.0"},
           {"kind = \"gaussian\", end_norm = 0.5", "init.end_norm=4.0"},
           {"kind = \"orthogonal\", end_norm = 0.5", "init.end_norm=4.0"},
           {"kind = \"rank_one\", end_norm = 0.5", "init.end_norm=4.0"}}) {
    const std::string toml = experiment_with(deep3, completion, init + ", seed = 4");
    const Start one(toml);
    // Whatever else differs: the optimizer, and the seed that init.seed stands before.
    const Start two(toml, {key, "optimizer.learning_rate=0.7", "seed=33", "stop.steps=5"});
    for (std::size_t i = 0; i < one.layers.size(); ++i) {
      EXPECT_NEAR(two.layers[i], 2 * one.layers[i], 16 * eps * std::abs(one.layers[i])) << init;
    }
    if (init.find("rank_one") != std::string::npos) continue;
    const Start other(toml, {"init.seed=5"});
    EXPECT_NE(one.layers[3], other.layers[3]) << init;
  }
}

TEST(OrthogonalStart, IsBalancedAndHasTheNorm) {
  for (const auto& [model, objective] : std::vector<std::pair<std::string, std::string>>{
           {deep3, completion},
           {R"(kind = "deep_linear", depth = 4, hidden = 6)", symmetric},
           {R"(kind = "symmetric", depth = 4, hidden = 3)", symmetric}}) {
    const Start start(experiment_with(model, objective, "kind = \"orthogonal\", end_norm = 0.125"));
    EXPECT_NEAR(norm(end_to_end(start)), 0.125, 0.125 * 200 * eps);
    EXPECT_LE(imbalance(start), 200 * eps);
    if (objective != symmetric) continue;
    Numbers w = end_to_end(start);
    const Numbers t = transposed(w, 6, 6);
    for (std::size_t i = 0; i < w.size(); ++i) EXPECT_NEAR(w[i], t[i], 100 * eps * 0.125);
    const int n = 6;
    const int work_size = 256;
    int info = 0;
    Numbers values(6);
    Numbers work(256);
    dsyev_("N", "U", &n, w.data(), &n, values.data(), work.data(), &work_size, &info);
    ASSERT_EQ(info, 0);
    EXPECT_GE(values.front(), -100 * eps * 0.125);
  }
}

// ---- rank one

/// The eigenpairs of P_O(M), ascending; row i of `vectors` belongs to value i.
struct Spectrum {
  Numbers values;
  Numbers vectors;
};
Spectrum spectrum_of(const Problem& problem) {
  const int n = static_cast<int>(problem.rows);
  Spectrum spectrum{Numbers(problem.target.size() / static_cast<std::size_t>(n)), problem.target};
  for (std::size_t i = 0; i < problem.mask.size(); ++i) spectrum.vectors[i] *= problem.mask[i];
  const int work_size = 64 * n;
  Numbers work(static_cast<std::size_t>(work_size));
  int info = 0;
  dsyev_("V", "U", &n, spectrum.vectors.data(), &n, spectrum.values.data(), work.data(), &work_size,
         &info);
  EXPECT_EQ(info, 0);
  return spectrum;
}

TEST(RankOneStart, PointsAlongTheTopEigenvectorAndIsBalanced) {
  int dominated_from_below = 0;
  for (int seed = 0; seed < 8; ++seed) {
    for (const auto& [model, depth] : std::vector<std::pair<std::string, int>>{
             {R"(kind = "symmetric", depth = 2)", 2},
             {R"(kind = "symmetric", depth = 6, hidden = [3, 4, 6])", 6},
             {R"(kind = "deep_linear", depth = 1)", 1},
             {R"(kind = "deep_linear", depth = 2, hidden = 2)", 2},
             {R"(kind = "deep_linear", depth = 5)", 5}}) {
      const Start start(experiment_with(model, symmetric, "kind = \"rank_one\", end_norm = 1e-6"),
                        {"problem.seed=" + std::to_string(seed)});
      const Problem problem = factorization::make_problem(start.settings);
      const Spectrum spectrum = spectrum_of(problem);
      const std::size_t n = 6;
      const double top = spectrum.values[n - 1];
      const double gap = top - spectrum.values[n - 2];
      ASSERT_GT(top, 0);
      dominated_from_below += -spectrum.values[0] > top ? 1 : 0;
      // Both routines are backward stable: each vector is off by at most about n eps ||A|| / gap.
      const double scale = std::max(top, -spectrum.values[0]);
      const double bound = 1e-6 * 4 * n * eps * scale / gap;
      const double* v = spectrum.vectors.data() + (n - 1) * n;
      const Numbers w = end_to_end(start);
      for (std::size_t i = 0; i < n; ++i) {
        for (std::size_t j = 0; j < n; ++j) {
          EXPECT_NEAR(w[i * n + j], 1e-6 * v[i] * v[j], bound + 1e-6 * 16 * eps);
        }
      }
      const double each = std::pow(1e-6, 1.0 / depth);
      for (std::int64_t h = 1; h <= start.shape.layers(); ++h) {
        EXPECT_NEAR(norm(start.layer(h)), each, each * 16 * eps) << model << " " << h;
      }
      EXPECT_LE(imbalance(start), 16 * eps * each * each);
    }
  }
  // Else the eigenvector of the largest modulus would have passed too.
  EXPECT_GE(dominated_from_below, 5);
}

/// -grad f(0) by differences: f is at most quadratic in W, so (f(-d E) - f(d E)) / 2d is exact but
/// for rounding.
double objective_at(const Problem& problem, const Numbers& w) {
  double f = 0;
  if (problem.kind == factorization::ObjectiveKind::sensing) {
    for (std::size_t m = 0; m < problem.values.size(); ++m) {
      double inner = 0;
      for (std::size_t i = 0; i < w.size(); ++i)
        inner += problem.measurements[m * w.size() + i] * w[i];
      f += std::pow(inner - problem.values[m], 2) / 2;
    }
    return f;
  }
  for (std::size_t i = 0; i < w.size(); ++i) {
    if (problem.kind == factorization::ObjectiveKind::linear) {
      f -= w[i] * problem.target[i];
    } else if (problem.mask.empty() || problem.mask[i] != 0) {
      f += std::pow(w[i] - problem.target[i], 2) / 2;
    }
  }
  return f;
}

TEST(RankOneStart, PointsAlongTheTopSingularPairOtherwise) {
  const std::string target = ", target = { kind = \"gaussian\", rows = 5, cols = 7 }";
  for (const std::string& objective :
       {completion, "kind = \"full\"" + target, "kind = \"linear\"" + target,
        "kind = \"sensing\", measurements = { kind = \"gaussian\", count = 9 }" + target}) {
    const Start start(experiment_with(deep3, objective, "kind = \"rank_one\", end_norm = 0.5"));
    const Problem problem = factorization::make_problem(start.settings);
    const int m = 5;
    const int n = 7;
    const int k = 5;
    Numbers fall(35);
    double size = 0;
    for (std::size_t i = 0; i < fall.size(); ++i) {
      Numbers plus(35, 0.0);
      Numbers minus(35, 0.0);
      plus[i] = 0.5;
      minus[i] = -0.5;
      fall[i] = objective_at(problem, minus) - objective_at(problem, plus);
      size = std::max(size, objective_at(problem, plus));
    }
    Numbers a = transposed(fall, m, n);  // LAPACK's order
    Numbers s(static_cast<std::size_t>(k));
    Numbers u(static_cast<std::size_t>(m * k));
    Numbers vt(static_cast<std::size_t>(k * n));
    Numbers work(1024);
    const int work_size = 1024;
    int info = 0;
    dgesvd_("S", "S", &m, &n, a.data(), &m, s.data(), u.data(), &m, vt.data(), &k, work.data(),
            &work_size, &info);
    ASSERT_EQ(info, 0);
    // Each entry of `fall` is off by at most the rounding of two sums of at most 64 terms that are
    // about `size`, so the matrix by 35^(1/2) of that; the vectors by that over the gap.
    const double error = 6 * 2 * 64 * eps * std::max(size, s[0]);
    const double bound = 0.5 * (4 * error / (s[0] - s[1]) + 16 * eps);
    const Numbers w = end_to_end(start);
    for (int i = 0; i < m; ++i) {
      for (int j = 0; j < n; ++j) {
        EXPECT_NEAR(w[static_cast<std::size_t>(i * n + j)],
                    0.5 * u[static_cast<std::size_t>(i)] * vt[static_cast<std::size_t>(j * k)],
                    bound)
            << objective;
      }
    }
    EXPECT_LE(imbalance(start), 16 * eps);
    const auto descent = factorization::steepest_descent_at_zero(problem, false);
    EXPECT_NEAR(descent.slope, s[0], error) << objective;
  }
}

TEST(Starts, ServeEveryModel) {
  const Start scalar(experiment_with(R"(kind = "scalar", dimension = 10)",
                                     R"(kind = "full", target = { kind = "identity", size = 1 })",
                                     "kind = \"sphere\", norms = [0.09, 18.0]"));
  EXPECT_NEAR(norm(scalar.layer(1)), 0.09, 8 * eps * 0.09);  // y
  EXPECT_NEAR(norm(scalar.layer(2)), 18, 8 * eps * 18);      // x
  const Start pair(experiment_with(R"(kind = "asymmetric", rank = 3)", completion,
                                   "kind = \"rank_one\", end_norm = 0.25"));
  EXPECT_EQ(pair.layers.size(), 3U * (5 + 7));
  EXPECT_NEAR(norm(pair.layer(1)), 0.5, 8 * eps);
  EXPECT_NEAR(norm(pair.layer(2)), 0.5, 8 * eps);
  const Start ball(
      experiment_with(R"(kind = "rank_one")", completion, "kind = \"ball\", norms = 2.0"));
  EXPECT_LT(norm(ball.layer(1)), 2);
}

/// In every bit: hidden directions other than e_1 never move.
TEST(RankOneStart, KeepsItsRankThroughTraining) {
  const auto executor = executor_on("cpu", 1);
  for (const std::string model :
       {R"(kind = "symmetric", depth = 2)", R"(kind = "deep_linear", depth = 3)"}) {
    const auto experiment =
        Experiment::parse(experiment_with(model, symmetric, "kind = \"rank_one\", end_norm = 1e-3"),
                          "test.toml", {"optimizer.learning_rate=0.02"}, experiment_spec());
    const Plan plan = make_plan(experiment, executor->device());
    const Settings member = experiment.member(0);
    Ensemble ensemble(*executor, member, plan.families.at(0), plan.probes, plan.check_every);
    ensemble.load(std::vector<Settings>{member});
    ensemble.advance(0, 200);
    const Numbers after = ensemble.parameters(0);
    const Numbers before = factorization::start(member, factorization::shape_of(member));
    ASSERT_EQ(after.size(), before.size());
    int moved = 0;
    for (std::size_t i = 0; i < after.size(); ++i) {
      if (before[i] == 0) {
        EXPECT_EQ(after[i], 0) << i;
      } else {
        moved += after[i] != before[i] ? 1 : 0;
      }
    }
    EXPECT_GE(moved, 6);
  }
}

TEST(RankOneStart, NeedsAnObjectiveThatFalls) {
  const std::string init = "kind = \"rank_one\", end_norm = 1.0";
  const std::string deep = R"(kind = "deep_linear", depth = 2)";
  // One pair observed, off the diagonal: eigenvalues +-m, so f falls; a negative diagonal: it does
  // not. Seeds that draw these are looked for.
  const std::string one =
      R"(kind = "full", symmetric = true, target = { kind = "gaussian", size = 1 })";
  int refused = 0;
  for (int seed = 0; seed < 10; ++seed) {
    const Texts overrides{"problem.seed=" + std::to_string(seed)};
    const auto experiment = Experiment::parse(experiment_with(deep, one, init), "test.toml",
                                              overrides, experiment_spec());
    const Settings settings = experiment.member(0);
    if (factorization::make_problem(settings).target[0] > 0) {
      EXPECT_NO_THROW(factorization::validate_start(settings, factorization::shape_of(settings)));
      continue;
    }
    ++refused;
    EXPECT_REFUSAL(experiment_with(deep, one, init), overrides,
                   "test.toml:3: init.kind: found \"rank_one\" where -grad f(0) has no positive "
                   "eigenvalue, expected an objective that falls from W = 0");
  }
  EXPECT_GE(refused, 1);
  EXPECT_REFUSAL(experiment_with(deep, square, "kind = \"rank_one\""), {},
                 "init.end_norm: found nothing, expected ||W(0)||_F of a rank-one start");
}

// ---- given

class GivenStart : public ::testing::Test {
 protected:
  fs::path file(const std::string& name) const { return folder_.path() / name; }
  /// deep3 on `completion`: 5x6 . 6x4 . 4x7, 82 parameters.
  std::string with(const std::string& init) const {
    return experiment_with(deep3, completion, init);
  }
  std::string path(const std::string& name) const {
    return "kind = \"file\", path = \"" + file(name).string() + "\"";
  }
  std::string record(const std::string& rest) const {
    return "kind = \"record\", record = \"" + folder_.path().string() + "\", " + rest;
  }
  static Array layer(std::int64_t rows, std::int64_t cols, double first) {
    Array array{.shape = {rows, cols}};
    for (std::int64_t i = 0; i < rows * cols; ++i) {
      array.values.push_back(first + std::sqrt(static_cast<double>(i)));
    }
    return array;
  }
  static std::vector<Array> three_layers() {
    return {layer(4, 7, 0.1), layer(6, 4, -2), layer(5, 6, 1e-9)};
  }
  static Numbers flat(const std::vector<Array>& layers) {
    Numbers all;
    for (const Array& one : layers) all.insert(all.end(), one.values.begin(), one.values.end());
    return all;
  }

  test::ScratchFolder folder_;
};

TEST_F(GivenStart, ComesFromFilesInEachForm) {
  const std::vector<Array> layers = three_layers();
  const Numbers all = flat(layers);
  write_array(file("flat.npy"), {.shape = {82}, .values = all});
  write_array(file("flat.csv"), {.shape = {82}, .values = all});
  write_array(file("row.csv"), {.shape = {1, 82}, .values = all});
  std::string list;
  for (std::size_t h = 0; h < 3; ++h) {
    const std::string name = "W" + std::to_string(h + 1) + (h == 1 ? ".csv" : ".npy");
    write_array(file(name), layers[h]);
    list += (h == 0 ? "" : ", ") + ("\"" + file(name).string() + "\"");
  }
  for (const std::string& init : {path("flat.npy"), path("flat.csv"), path("row.csv"),
                                  "kind = \"file\", path = [" + list + "]"}) {
    EXPECT_TRUE(same_bits(Start(with(init)).layers, all)) << init;
  }
  // The only layer may be its own file, as a matrix.
  write_array(file("only.npy"), layer(5, 7, 3));
  const Start only(
      experiment_with(R"(kind = "deep_linear", depth = 1)", completion, path("only.npy")));
  EXPECT_TRUE(same_bits(only.layers, layer(5, 7, 3).values));
  // A file that changes is read again.
  write_array(file("flat.npy"), {.shape = {82}, .values = Numbers(82, 2.5)});
  EXPECT_EQ(Start(with(path("flat.npy"))).layers, Numbers(82, 2.5));
}

TEST_F(GivenStart, WrongFilesAreNamedWithBothShapes) {
  const std::string place = "test.toml:3: init.path: ";
  EXPECT_REFUSAL(with(path("absent.npy")), {},
                 place + file("absent.npy").string() + ": no such file");
  write_array(file("short.npy"), {.shape = {81}, .values = Numbers(81, 1.0)});
  EXPECT_REFUSAL(with(path("short.npy")), {},
                 place + "found " + file("short.npy").string() +
                     " with an array of shape (81,), expected (82,): the layers 5x6 . 6x4 . 4x7, "
                     "W_1 first, each row by row, or a list of one file for each layer");
  write_array(file("table.npy"), {.shape = {2, 41}, .values = Numbers(82, 1.0)});
  EXPECT_REFUSAL(with(path("table.npy")), {}, "of shape (2, 41), expected (82,)");
  for (int h = 1; h <= 3; ++h) {
    write_array(file("W" + std::to_string(h) + ".npy"),
                three_layers()[static_cast<std::size_t>(h - 1)]);
  }
  const auto list = [&](const Texts& names) {
    std::string text;
    for (const auto& name : names)
      text += (text.empty() ? "\"" : ", \"") + file(name).string() + "\"";
    return with("kind = \"file\", path = [" + text + "]");
  };
  EXPECT_REFUSAL(list({"W1.npy", "W2.npy"}), {},
                 place + "found 2 files, expected one for each of the 3 layers 5x6 . 6x4 . 4x7");
  EXPECT_REFUSAL(
      list({"W1.npy", "W3.npy", "W2.npy"}), {},
      place + "found " + file("W3.npy").string() +
          " with W_2 of shape (5, 6), expected (6, 4), as in the layers 5x6 . 6x4 . 4x7");
  Numbers bad = flat(three_layers());
  bad[28 + 5] = std::numeric_limits<double>::infinity();
  write_array(file("inf.npy"), {.shape = {82}, .values = bad});
  EXPECT_REFUSAL(with(path("inf.npy")), {},
                 "inf.npy with inf in row 1, column 1 of W_2 (counted from 0), expected finite");
  Array second = three_layers()[1];
  second.values[5] = std::numeric_limits<double>::infinity();
  write_array(file("inf_2.npy"), second);
  EXPECT_REFUSAL(list({"W1.npy", "inf_2.npy", "W3.npy"}), {},
                 place + "found " + file("inf_2.npy").string() + " with inf in row 1, column 1");
}

void require_netcdf(int status) {
  if (status != NC_NOERR) throw std::runtime_error(nc_strerror(status));
}

/// What the probe `parameters` leaves: in each group `member` and W_h (member, sample, row, col).
class Record {
 public:
  Record(const fs::path& file, std::size_t samples) {
    require_netcdf(nc_create(file.c_str(), NC_NETCDF4, &id_));
    require_netcdf(nc_def_dim(id_, "sample", samples, &sample_));
  }
  ~Record() { nc_close(id_); }
  Record(const Record&) = delete;
  Record& operator=(const Record&) = delete;

  void group(const std::string& name, const std::vector<std::int64_t>& members) {
    require_netcdf(nc_def_grp(id_, name.c_str(), &group_));
    require_netcdf(nc_def_dim(group_, "member", members.size(), &member_));
    int variable = 0;
    require_netcdf(nc_def_var(group_, "member", NC_INT64, 1, &member_, &variable));
    std::vector<long long> numbers(members.begin(), members.end());
    require_netcdf(nc_put_var_longlong(group_, variable, numbers.data()));
  }
  void layer(const std::string& name, std::size_t rows, std::size_t cols, const Numbers& values) {
    int dimensions[4] = {member_, sample_, 0, 0};
    require_netcdf(nc_def_dim(group_, (name + "_row").c_str(), rows, &dimensions[2]));
    require_netcdf(nc_def_dim(group_, (name + "_col").c_str(), cols, &dimensions[3]));
    int variable = 0;
    require_netcdf(nc_def_var(group_, name.c_str(), NC_DOUBLE, 4, dimensions, &variable));
    const double fill = std::numeric_limits<double>::quiet_NaN();
    require_netcdf(nc_def_var_fill(group_, variable, NC_FILL, &fill));
    require_netcdf(nc_put_var_double(group_, variable, values.data()));
  }

 private:
  int id_ = -1;
  int sample_ = 0;
  int group_ = -1;
  int member_ = 0;
};

/// Three samples. family_0: members 1 and 4 of 5x6 . 6x4 . 4x7; member 4 diverged after sample 0: a
/// number of W_3 is not finite at sample 1, nothing is recorded at sample 2. family_1: member 2, of
/// one layer, with no sample at all.
void write_parameters(const fs::path& file) {
  Record record(file, 3);
  record.group("family_0", {1, 4});
  const std::size_t sizes[3][2] = {{4, 7}, {6, 4}, {5, 6}};
  const double nan = std::numeric_limits<double>::quiet_NaN();
  for (std::size_t h = 0; h < 3; ++h) {
    const std::size_t size = sizes[h][0] * sizes[h][1];
    Numbers values;
    for (std::size_t i = 0; i < 2 * 3 * size; ++i) {
      values.push_back(std::exp(-0.01 * static_cast<double>(i)) + static_cast<double>(h));
    }
    std::fill(values.begin() + static_cast<std::ptrdiff_t>(5 * size), values.end(), nan);
    if (h == 2) values[4 * size + 7] = std::numeric_limits<double>::infinity();
    record.layer("W_" + std::to_string(h + 1), sizes[h][0], sizes[h][1], values);
  }
  record.group("family_1", {2});
  record.layer("W_1", 5, 7, Numbers(3 * 35, nan));
  record.group("other", {77});
}

/// Sample `sample` of entry `which` of family_0's members, as `write_parameters` has it.
Numbers recorded(std::size_t which, std::size_t sample) {
  const std::size_t sizes[3] = {28, 24, 30};
  Numbers all;
  for (std::size_t h = 0; h < 3; ++h) {
    for (std::size_t i = 0; i < sizes[h]; ++i) {
      const auto at = static_cast<double>((which * 3 + sample) * sizes[h] + i);
      all.push_back(std::exp(-0.01 * at) + static_cast<double>(h));
    }
  }
  return all;
}

TEST_F(GivenStart, ComesFromARecordBitwise) {
  write_parameters(file("record.nc"));
  EXPECT_TRUE(same_bits(Start(with(record("member = 1"))).layers, recorded(0, 2)));
  EXPECT_TRUE(same_bits(Start(with(record("member = 1, sample = 0"))).layers, recorded(0, 0)));
  EXPECT_TRUE(same_bits(Start(with(record("member = 1, sample = 1"))).layers, recorded(0, 1)));
  EXPECT_TRUE(same_bits(Start(with(record("member = 4"))).layers, recorded(1, 0)))
      << "the last sample that is finite in every layer";
  const std::string named = "kind = \"record\", record = \"" + file("record.nc").string() + "\"";
  EXPECT_TRUE(same_bits(Start(with(named + ", member = 1")).layers, recorded(0, 2)));
  // A sweep over members.
  const auto experiment =
      Experiment::parse(with(record("member = 0")) + "sweep.\"init.member\" = [4, 1]\n",
                        "test.toml", {}, experiment_spec());
  EXPECT_TRUE(same_bits(Start(experiment, 0).layers, recorded(1, 0)));
  EXPECT_TRUE(same_bits(Start(experiment, 1).layers, recorded(0, 2)));
}

TEST_F(GivenStart, WrongRecordsAreNamed) {
  EXPECT_REFUSAL(with(record("member = 1")), {},
                 "test.toml:3: init.record: " + file("record.nc").string() + ": no such file");
  write_array(file("record.nc"), {.shape = {2}, .values = {1, 2}}, "train_loss");
  EXPECT_REFUSAL(with(record("member = 1")), {},
                 "record.nc without parameters, expected a record of an experiment that has "
                 "[probes] parameters");
  fs::remove(file("record.nc"));
  write_parameters(file("record.nc"));
  EXPECT_REFUSAL(with(record("member = 3")), {},
                 "init.member: found 3, expected one of the members that " +
                     file("record.nc").string() + " has parameters of: 1, 2, 4");
  EXPECT_REFUSAL(with(record("member = 77")), {}, "init.member: found 77, expected one of");
  EXPECT_REFUSAL(with(record("member = 1, sample = 3")), {},
                 "init.sample: found 3, expected one of the 3 samples of");
  EXPECT_REFUSAL(with(record("member = 4, sample = 1")), {},
                 "init.sample: found 1, where member 4 of " + file("record.nc").string() +
                     " has no finite parameters");
  EXPECT_REFUSAL(with(record("member = 2")), {},
                 "whose member 2 has W_1 of shape (5, 7), expected (4, 7), as in the layers 5x6 . "
                 "6x4 . 4x7");
  const auto of_depth = [&](int depth, const std::string& rest) {
    return experiment_with("kind = \"deep_linear\", hidden = 4, depth = " + std::to_string(depth),
                           completion, record(rest));
  };
  EXPECT_REFUSAL(of_depth(1, "member = 2"), {},
                 "whose member 2 has no sample whose parameters are all finite");
  EXPECT_REFUSAL(of_depth(2, "member = 1"), {},
                 "whose member 1 has W_2 of shape (6, 4), expected (5, 4)");
  const std::string deeper = R"(kind = "deep_linear", sizes = [7, 4, 6, 5, 5])";
  EXPECT_REFUSAL(experiment_with(deeper, completion, record("member = 1")), {},
                 "whose member 1 has only 3 layers, expected the 4 layers");
  const std::string shallower = R"(kind = "deep_linear", sizes = [7, 4, 6])";
  EXPECT_REFUSAL(
      experiment_with(shallower,
                      R"(kind = "full", target = { kind = "gaussian", rows = 6, cols = 7 })",
                      record("member = 1")),
      {}, "whose member 1 has a layer W_3, expected the 2 layers 6x4 . 4x7");
}

TEST(Starts, WrongListsAndScalingsAreRefused) {
  EXPECT_REFUSAL(experiment_with(deep3, completion, "kind = \"sphere\", norms = [1.0, 2.0]"), {},
                 "test.toml:3: init.norms: found 2 values, expected one, or one for each of the 3 "
                 "layers");
  EXPECT_REFUSAL(experiment_with(deep3, completion, "kind = \"gaussian\", stddev = [1.0, 2.0]"), {},
                 "init.stddev: found 2 values, expected one, or one for each of the 3 layers");
  EXPECT_REFUSAL(experiment_with(R"(kind = "deep_linear", depth = 1)", completion,
                                 "kind = \"gaussian\", scaling = \"width\""),
                 {}, "init.scaling: found \"width\" with the one layer 5x7, expected a hidden");
}

}  // namespace
}  // namespace manyfold::testing
