// Gradients of factorizations against central differences of their own loss, and against a value
// worked out by hand.
#include <cmath>
#include <utility>

#include "tests/models/bench.hpp"
#include "tests/models/curvature.hpp"

namespace manyfold::testing {
namespace {

std::string factorization(const std::string& model, const std::string& objective) {
  return "problem.seed = 3\nseed = 5\n" + model + objective +
         "[init]\nkind = \"gaussian\"\nstddev = 0.6\n"
         "[optimizer]\nkind = \"gd\"\nlearning_rate = 0.1\n"
         "[stop]\nsteps = 1\n[probes]\ntrain_loss = { every = 1 }\n";
}

struct GradientCase {
  std::string name;
  std::string model;
  std::string objective;
  /// The model descends this multiple of the train loss.
  double factor;
};

std::vector<GradientCase> cases() {
  const std::vector<std::pair<std::string, std::string>> objectives{
      {"full",
       "[objective]\nkind = \"full\"\ntarget = { kind = \"gaussian\", rows = 5, cols = 4 }\n"},
      {"masked",
       "[objective]\nkind = \"completion\"\nobserved = 0.6\n"
       "target = { kind = \"gaussian\", rows = 5, cols = 4 }\n"}};
  const std::vector<std::pair<std::string, std::string>> square{
      {"full", "[objective]\nkind = \"full\"\ntarget = { kind = \"gaussian\", size = 5 }\n"},
      {"masked",
       "[objective]\nkind = \"completion\"\nobserved = 0.6\n"
       "target = { kind = \"gaussian\", size = 5 }\n"}};
  std::vector<GradientCase> all;
  for (const auto& [name, objective] : objectives) {
    for (int depth = 1; depth <= 5; ++depth) {
      std::string sizes = "4";
      for (int h = 1; h < depth; ++h) sizes += ", " + std::to_string(2 + (h * 3) % 5);
      all.push_back({"deep_linear_" + name + "_depth_" + std::to_string(depth),
                     "[model]\nkind = \"deep_linear\"\nsizes = [" + sizes + ", 5]\n", objective,
                     1});
    }
  }
  for (const auto& [name, objective] : square) {
    for (int depth = 2; depth <= 10; depth += 2) {
      std::string sizes;
      for (int h = 0; h < depth / 2; ++h) sizes += std::to_string(3 + h % 2) + ", ";
      all.push_back({"symmetric_" + name + "_depth_" + std::to_string(depth),
                     "[model]\nkind = \"symmetric\"\nsizes = [" + sizes + "5]\n", objective, 0.5});
    }
  }
  return all;
}

struct Words {
  std::string name;
  std::string toml;
};

/// Every model with every objective, convention and penalty.
std::vector<GradientCase> objective_cases() {
  const std::vector<Words> models{
      {"deep_linear", "[model]\nkind = \"deep_linear\"\nsizes = [2, 3, 2, 3]\n"},
      {"symmetric_2", "[model]\nkind = \"symmetric\"\nsizes = [2, 3]\n"},
      {"symmetric_4", "[model]\nkind = \"symmetric\"\nsizes = [2, 4, 3]\n"},
      {"asymmetric", "[model]\nkind = \"asymmetric\"\nrank = 4\n"},
      {"rank_one", "[model]\nkind = \"rank_one\"\n"},
      {"scalar", "[model]\nkind = \"scalar\"\ndimension = 3\n"}};
  const std::vector<Words> objectives{
      {"full", "kind = \"full\"\n"},
      {"masked", "kind = \"completion\"\nmask = { kind = \"count\", count = COUNT }\n"},
      {"sensing", "kind = \"sensing\"\nmeasurements.count = 5\nvalues.kind = \"uniform\"\n"},
      {"linear", "kind = \"linear\"\noffset = 0.7\n"}};
  std::vector<GradientCase> all;
  for (const Words& model : models) {
    const bool symmetric = model.name.starts_with("symmetric");
    const bool scalar = model.name == "scalar";
    const bool two_layers = scalar || model.name == "asymmetric" || model.name == "rank_one";
    const std::string target =
        std::string("target = { kind = \"gaussian\"") + (scalar      ? " }\n"
                                                         : symmetric ? ", size = 3 }\n"
                                                                     : ", rows = 3, cols = 2 }\n");
    for (const Words& objective : objectives) {
      std::string text = objective.toml;
      if (const auto place = text.find("COUNT"); place != std::string::npos) {
        text.replace(place, 5, scalar ? "1" : "4");
      }
      for (const Words& convention : {Words{"plain", ""},
                                      {"sum", "convention = \"sum\"\n"},
                                      {"paper", "convention = \"paper\"\n"},
                                      {"weight_decay", "convention = \"weight-decay\"\n"}}) {
        std::string penalties;
        if (convention.name != "plain") {
          penalties += "l2 = 0.3\n";
          if (two_layers) penalties += "balance_penalty = 0.2\n";
        }
        all.push_back({model.name + "_" + objective.name + "_" + convention.name, model.toml,
                       "[objective]\n" + text + convention.toml + penalties + target,
                       symmetric ? 0.5 : 1.0});
      }
    }
  }
  return all;
}

void expect_central_differences(Executor& device, const GradientCase& one) {
  SCOPED_TRACE(one.name);
  const std::string toml = factorization(one.model, one.objective);
  const CentralDifferences found = central_differences(device, toml, one.factor);
  ASSERT_GT(found.norm2, 0);
  EXPECT_LT(found.distance, 1e-7);
  EXPECT_NEAR(found.reported_norm2, found.norm2, 1e-13 * found.norm2);
}

using GradientOnDevice = OnDevice;

TEST_P(GradientOnDevice, EqualsCentralDifferences) {
  const auto device = executor();
  for (const GradientCase& one : cases()) expect_central_differences(*device, one);
}

TEST_P(GradientOnDevice, EqualsCentralDifferencesOfEveryObjective) {
  const auto device = executor();
  for (const GradientCase& one : objective_cases()) expect_central_differences(*device, one);
}

TEST_P(GradientOnDevice, CurvatureEqualsDenseHessians) {
  const auto device = executor();
  for (const auto& all : {cases(), objective_cases()}) {
    for (const GradientCase& one : all) {
      SCOPED_TRACE(one.name);
      expect_exact_curvature(*device, factorization(one.model, one.objective));
    }
  }
}

/// J^T H J, J by central differences of W and H the Hessian of the same objective in W, which is
/// that of a single layer.
TEST_P(GradientOnDevice, GaussNewtonMatricesAreThoseOfTheEndToEndMatrix) {
  const auto device = executor();
  int compared = 0;
  for (const GradientCase& one : objective_cases()) {
    if (!one.name.ends_with("plain")) continue;    // others have penalties
    if (one.name.starts_with("scalar")) continue;  // no single layer has its target
    SCOPED_TRACE(one.name);
    const bool symmetric = one.factor != 1;
    const std::string toml =
        with_curvature(factorization(one.model, one.objective)) + "end_to_end = { every = 5 }\n";
    const std::int64_t entries = symmetric ? 9 : 6;
    std::vector<double> all;
    const auto of = [&](Bench& bench, std::int64_t slot) {
      if (slot == 0) all = observed(*device, bench, "end_to_end", bench.slots(), entries);
      const auto from = all.begin() + slot * entries;
      return std::vector<double>(from, from + entries);
    };
    const std::vector<double> jacobian = differences(*device, toml, of);
    const std::string layer = std::string("[model]\nkind = \"deep_linear\"\nsizes = ") +
                              (symmetric ? "[3, 3]\n" : "[2, 3]\n");
    const Dense inner = products(*device, with_curvature(factorization(layer, one.objective)),
                                 CurvatureMatrix::hessian);
    const Dense found = products(*device, toml, CurvatureMatrix::gauss_newton);
    const std::size_t n = found.n;
    std::vector<double> expected(n * n);
    for (std::size_t a = 0; a < inner.n; ++a) {
      for (std::size_t b = 0; b < inner.n; ++b) {
        for (std::size_t i = 0; i < n; ++i) {
          for (std::size_t j = 0; j < n; ++j) {
            expected[i * n + j] +=
                one.factor * inner.at(a, b) * jacobian[a * n + i] * jacobian[b * n + j];
          }
        }
      }
    }
    EXPECT_LT(distance(found.values, expected), 1e-7 * std::max(norm_of(expected), 1e-3));
    ++compared;
  }
  EXPECT_EQ(compared, 20);
}

TEST_P(GradientOnDevice, EqualsAValueWorkedOutByHand) {
  // W_1 = (2, 0; 1, 1), W_2 = (1, 3), so W = W_2 W_1 = (5, 3). With M = (1, 1): G = (4, 2),
  // f = 1/2 (16 + 4) = 10, dW_2 = G W_1^T = (8, 6), dW_1 = W_2^T G = (4, 2; 12, 6).
  const auto device = executor();
  const std::string toml = factorization(
      "[model]\nkind = \"deep_linear\"\nsizes = [2, 2, 1]\n",
      "[objective]\nkind = \"full\"\ntarget = { kind = \"gaussian\", rows = 1, cols = 2 }\n");
  Bench bench(*device, toml, 2);
  // The target is drawn: find it from the residual of W = 0, whose gradient in W_2 = (1, 0), W_1 =
  // 0 is dW_1 = W_2^T (0 - M) = (-M; 0).
  bench.set_parameters(0, {0, 0, 0, 0, 1, 0});
  bench.evaluate();
  const double m1 = -bench.gradient(0)[0];
  const double m2 = -bench.gradient(0)[1];
  bench.set_parameters(1, {2, 0, 1, 1, 1, 3});
  bench.evaluate();
  const double g1 = 5 - m1;
  const double g2 = 3 - m2;
  const std::vector<double> expected{g1, g2, 3 * g1, 3 * g2, 2 * g1, g1 + g2};
  const std::vector<double> gradient = bench.gradient(1);
  for (std::size_t i = 0; i < expected.size(); ++i) EXPECT_NEAR(gradient[i], expected[i], 1e-13);
  EXPECT_NEAR(bench.loss(1), (g1 * g1 + g2 * g2) / 2, 1e-13);
}

MANYFOLD_ON_ALL_DEVICES(GradientOnDevice);

}  // namespace
}  // namespace manyfold::testing
