// Networks: gradients of every layer, activation, loss and preset against central differences of
// their own loss, outputs against plain loops, minibatches, members beside a diverging one, and
// layers that do not fit.
#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "core/error.hpp"
#include "models/network/layer.hpp"
#include "models/network/problem.hpp"
#include "models/network/start.hpp"
#include "models/training/optimizer.hpp"
#include "tests/kernels/devices.hpp"
#include "tests/models/bench.hpp"
#include "tests/models/curvature.hpp"
#include "tests/models/network_cases.hpp"

namespace manyfold::testing {
namespace {

using NetworkOnDevice = OnDevice;

void expect_central_differences(Executor& device, const std::vector<NetworkCase>& cases) {
  for (const NetworkCase& one : cases) {
    SCOPED_TRACE(one.name);
    const CentralDifferences found = central_differences(device, one.toml);
    ASSERT_GT(found.norm2, 0);
    EXPECT_LT(found.distance, 1e-7);
    EXPECT_NEAR(found.reported_norm2, found.norm2, 1e-13 * found.norm2);
  }
}

TEST_P(NetworkOnDevice, GradientsOfLayersEqualCentralDifferences) {
  expect_central_differences(*executor(), layer_cases());
}

TEST_P(NetworkOnDevice, GradientsOfPresetsEqualCentralDifferences) {
  expect_central_differences(*executor(), preset_cases());
}

TEST_P(NetworkOnDevice, GradientsOfLossesEqualCentralDifferences) {
  expect_central_differences(*executor(), loss_cases());
}

void expect_exact_curvatures(Executor& device, const std::vector<NetworkCase>& cases) {
  for (const NetworkCase& one : cases) {
    SCOPED_TRACE(one.name);
    expect_exact_curvature(device, one.toml);
  }
}

TEST_P(NetworkOnDevice, CurvatureOfLayersEqualsDenseHessians) {
  expect_exact_curvatures(*executor(), layer_cases());
}

TEST_P(NetworkOnDevice, CurvatureOfPresetsEqualsDenseHessians) {
  expect_exact_curvatures(*executor(), preset_cases());
}

TEST_P(NetworkOnDevice, CurvatureOfLossesEqualsDenseHessians) {
  expect_exact_curvatures(*executor(), loss_cases());
}

/// J^T (d^2 L / dF^2) J + lambda, J by central differences of the outputs.
TEST_P(NetworkOnDevice, GaussNewtonMatricesAreThoseOfTheOutputs) {
  const auto device = executor();
  std::vector<NetworkCase> cases = loss_cases();
  const std::vector<std::size_t> outputs{3, 3, 1, 3, 3, 1, 3};
  ASSERT_EQ(cases.size(), outputs.size());
  for (std::size_t c = 0; c < cases.size(); ++c) {
    SCOPED_TRACE(cases[c].name);
    const std::string toml = with_curvature(cases[c].toml) + "outputs = { every = 5 }\n";
    const std::size_t k = outputs[c];
    const auto values = static_cast<std::int64_t>(5 * k);
    std::vector<double> all;  // of every slot of the bench that is looked at, once
    const auto of = [&](Bench& bench, std::int64_t slot) {
      const auto slots = bench.slots();
      if (slot == 0) all = observed(*device, bench, "outputs", slots, values);
      const auto from = all.begin() + slot * values;
      return std::vector<double>(from, from + values);
    };
    Bench bench(*device, toml, 1);
    bench.evaluate();
    const std::vector<double> f = of(bench, 0);
    const std::vector<double> jacobian = differences(*device, toml, of);
    const Dense found = products(*device, toml, CurvatureMatrix::gauss_newton);
    const std::size_t n = found.n;
    const double weight = cases[c].name.ends_with("mean") ? 0.2 : 1;
    const bool cross_entropy = cases[c].name.starts_with("cross");
    const bool logistic = cases[c].name.starts_with("logistic");
    std::vector<double> expected(n * n);
    for (std::size_t e = 0; e < 5; ++e) {
      double sum = 0;
      for (std::size_t a = 0; a < k; ++a) sum += std::exp(f[e * k + a]);
      for (std::size_t a = 0; a < k; ++a) {
        for (std::size_t b = 0; b < k; ++b) {
          double second = a == b ? 1 : 0;
          const double pa = std::exp(f[e * k + a]) / sum;
          const double pb = std::exp(f[e * k + b]) / sum;
          if (cross_entropy) second = (a == b ? pa : 0) - pa * pb;
          if (logistic) second = 1 / (2 + std::exp(f[e]) + std::exp(-f[e]));
          for (std::size_t i = 0; i < n; ++i) {
            for (std::size_t j = 0; j < n; ++j) {
              expected[i * n + j] +=
                  weight * second * jacobian[(e * k + a) * n + i] * jacobian[(e * k + b) * n + j];
            }
          }
        }
      }
    }
    if (cases[c].name == "weight decay") {
      for (std::size_t i = 0; i < n; ++i) expected[i * n + i] += 0.3;
    }
    EXPECT_LT(distance(found.values, expected), 1e-7 * norm_of(expected));
  }
}

/// Passes over a few rows add up to one over all, and leave everything as it was.
TEST_P(NetworkOnDevice, CurvatureInPassesIsCurvatureAtOnce) {
  const auto device = executor();
  const auto toml = [](const std::string& rows) {
    return with_curvature(
        experiment(list({"conv 2 2x2 bias", "tanh", "pool 2 stride 1", "flatten", "output"}),
                   data("[2, 4, 4]", 2) + "[objective]\n" + rows));
  };
  for (const auto matrix : {CurvatureMatrix::hessian, CurvatureMatrix::gauss_newton}) {
    const Dense whole = products(*device, toml(""), matrix);
    for (const std::string rows : {"rows = 1\n", "rows = 2\n", "rows = 4\n"}) {
      const Dense parts = products(*device, toml(rows), matrix);
      EXPECT_LT(distance(parts.values, whole.values), 1e-14 * whole.norm());
    }
  }
}

TEST_P(NetworkOnDevice, WeightDecayCountsWhatIsTrained) {
  const auto device = executor();
  const auto toml = [](const std::string& objective, const std::string& optimizer) {
    return experiment(list({"dense 4 bias", "relu", "dense 3 frozen", "output"}),
                      data("[3]", 2) + "[objective]\n" + objective, "stddev = 0.5", optimizer);
  };
  for (const std::string optimizer : {"kind = \"gd\"\nlearning_rate = 0.1\n",
                                      "kind = \"sgd_entries\"\nlearning_rate = 0.1\nbatch = 2\n"}) {
    Bench plain(*device, toml("", optimizer), 2);
    Bench decayed(*device, toml("l2 = 0.3\n", optimizer), 2);
    plain.evaluate();
    decayed.evaluate();
    const std::vector<double> theta = decayed.parameters(1);
    ASSERT_EQ(theta, plain.parameters(1));
    EXPECT_NEAR(decayed.loss(1), plain.loss(1) + 0.15 * norm_of(theta) * norm_of(theta),
                1e-14 * decayed.loss(1));
    const auto terms = test::to_device(*device, std::vector<std::int32_t>{3, 0, 4, 1});
    for (const bool drawn : {false, true}) {
      if (drawn && optimizer.find("batch") == std::string::npos) continue;
      if (drawn) {
        plain.evaluate_stochastic({.terms = terms.data(), .batch = 2});
        decayed.evaluate_stochastic({.terms = terms.data(), .batch = 2});
      }
      std::vector<double> expected = plain.gradient(1);
      for (std::size_t i = 0; i < expected.size(); ++i) expected[i] += 0.3 * theta[i];
      EXPECT_LT(distance(decayed.gradient(1), expected), 1e-14 * norm_of(expected));
    }
  }
}

TEST_P(NetworkOnDevice, MinibatchesAreTheMeansOfTheirTerms) {
  const auto device = executor();
  for (const bool mean : {false, true}) {
    const std::string toml =
        experiment(list({"conv 2 3 bias", "tanh", "flatten", "output"}),
                   data("[6]", 2) + (mean ? "[objective]\nreduction = \"mean\"\n" : ""),
                   "stddev = 0.5", "kind = \"sgd_entries\"\nlearning_rate = 0.1\nbatch = 5\n");
    Bench bench(*device, toml, 3);
    EXPECT_EQ(bench.terms(0), 5);
    bench.evaluate();
    const std::vector<double> full = bench.gradient(0);
    // Slot 0 draws every example once in some order, slot 1 one of them only, slot 2 another.
    const std::vector<std::int32_t> drawn{3, 0, 4, 1, 2, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2};
    const auto terms = test::to_device(*device, drawn);
    bench.evaluate_stochastic({.terms = terms.data(), .batch = 5});
    EXPECT_LT(distance(bench.gradient(0), full), 1e-14 * norm_of(full));
    std::vector<double> sum(full.size(), 0.0);
    for (std::int32_t j = 0; j < 5; ++j) {
      const auto one = test::to_device(*device, std::vector<std::int32_t>(3, j));
      bench.evaluate_stochastic({.terms = one.data(), .batch = 1});
      const std::vector<double> gradient = bench.gradient(0);
      for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += gradient[i] / 5;
      if (j == 1) {
        bench.evaluate_stochastic({.terms = terms.data(), .batch = 5});
        EXPECT_LT(distance(bench.gradient(1), gradient), 1e-14 * norm_of(gradient));
      }
    }
    EXPECT_LT(distance(sum, full), 1e-14 * norm_of(full));
    // Without noise, all terms are the objective's own gradient.
    bench.evaluate_stochastic({});
    EXPECT_LT(distance(bench.gradient(2), full), 1e-14 * norm_of(full));
  }
}

TEST_P(NetworkOnDevice, PassesOverSomeRowsAddUp) {
  const auto device = executor();
  const auto toml = [](const std::string& rows, const std::string& optimizer) {
    return experiment(list({"conv 2 2x2 bias", "relu", "pool 2 stride 1", "flatten", "output"}),
                      data("[2, 4, 4]", 2) + "[objective]\n" + rows, "stddev = 0.5", optimizer);
  };
  const std::string gd = "kind = \"gd\"\nlearning_rate = 0.1\n";
  Bench whole(*device, toml("", gd), 2);
  whole.evaluate();
  for (const std::string rows : {"rows = 1\n", "rows = 2\n", "rows = 4\n"}) {
    Bench parts(*device, toml(rows, gd), 2);
    parts.evaluate();
    EXPECT_LT(distance(parts.gradient(0), whole.gradient(0)), 1e-14 * norm_of(whole.gradient(0)));
    EXPECT_NEAR(parts.loss(1), whole.loss(1), 1e-14 * whole.loss(1));
    EXPECT_EQ(parts.allocated(),
              parts.footprint().shared_bytes + 2 * parts.footprint().bytes_per_slot);
    Bench drawn(*device, toml(rows, "kind = \"sgd_entries\"\nlearning_rate = 0.1\nbatch = 5\n"), 1);
    const auto terms = test::to_device(*device, std::vector<std::int32_t>{3, 0, 4, 1, 2});
    drawn.evaluate_stochastic({.terms = terms.data(), .batch = 5});
    EXPECT_LT(distance(drawn.gradient(0), whole.gradient(0)), 1e-14 * norm_of(whole.gradient(0)));
  }
}

TEST_P(NetworkOnDevice, MemoryIsWhatTheFootprintSays) {
  const auto device = executor();
  for (const auto& cases : {layer_cases(), preset_cases(), loss_cases()}) {
    for (const NetworkCase& one : cases) {
      SCOPED_TRACE(one.name);
      const Experiment parsed = Experiment::parse(one.toml, "test.toml", {}, experiment_spec());
      for (const bool shared : {true, false}) {
        Bench bench(*device, parsed, 3, shared);
        EXPECT_EQ(bench.allocated(),
                  bench.footprint().shared_bytes + 3 * bench.footprint().bytes_per_slot);
      }
    }
  }
}

TEST_P(NetworkOnDevice, ADivergingMemberTouchesNoOther) {
  const auto device = executor();
  // A ReLU may die of such a step, and its member with it, quietly.
  const std::string toml = experiment(
      list({"conv 3 3", "leaky_relu 0.5", "flatten", "dense 4", "leaky_relu 0.5", "output"}),
      data("[8]", 2));
  const auto run_with = [&](const std::string& rates) {
    return run(toml, *device,
               {"stop.steps=60", "probes.grad_norm.every=5",
                "sweep.\"optimizer.learning_rate\"=[1e-3, " + rates + ", 2e-3]"});
  };
  const Results calm = run_with("3e-3");
  const Results wild = run_with("1e6");
  EXPECT_EQ(wild.ends.at(1).status, MemberStatus::diverged);
  for (const std::int64_t member : {0, 2}) {
    EXPECT_TRUE(same_bits(calm.everything(member), wild.everything(member))) << member;
  }
  EXPECT_FALSE(same_bits(calm.everything(1), wild.everything(1)));
}

TEST_P(NetworkOnDevice, EveryOptimizerLowersTheLoss) {
  const auto device = executor();
  const std::string model = list({"dense 6", "tanh", "output"});
  for (const OptimizerKind& kind : optimizer_kinds()) {
    SCOPED_TRACE(kind.name);
    std::string optimizer = "kind = \"" + kind.name + "\"\nlearning_rate = 0.01\n";
    for (const KeySpec& key : kind.keys) {
      if (key.path == "label_noise") optimizer += "label_noise = 0.01\n";
      if (key.path == "epsilon" && kind.name == "rms_gd") optimizer += "epsilon = 1e-3\n";
      if (key.path == "momentum") optimizer += "momentum = 0.5\n";
      if (key.path == "temperature") optimizer += "temperature = 1e-6\n";
      if (key.path == "grad_threshold") optimizer += "grad_threshold = 1e-6\n";
      if (key.path == "radius") optimizer += "radius = 1e-6\n";
    }
    const Results results = run(experiment(model, data("[4]", 2), "stddev = 0.5", optimizer),
                                *device, {"stop.steps=50", "probes.train_loss.every=50"});
    EXPECT_LT(results.scalar("train_loss", 0, 1), results.scalar("train_loss", 0, 0));
  }
}

/// f of one example by plain loops over (channel, y, x), from a member's weights as the program
/// keeps them.
TEST_P(NetworkOnDevice, OutputsAreThoseOfPlainLoops) {
  const auto device = executor();
  const std::string toml = experiment(list({"conv 3 3x2 stride 2x1 padding 1x0 bias", "relu",
                                            "pool 1x2", "flatten", "output bias"}),
                                      data("[2, 5, 4]", 2));
  const Results results = run(toml, *device, {"probes.outputs={every=1,set=\"test\"}"});
  const Settings settings = Experiment::parse(toml, "test.toml", {}, experiment_spec()).member(0);
  const DataSet test = make_data(settings).test;
  const std::vector<double> p =
      network::start(settings, network::description_of(settings)).parameters;
  const std::vector<double> found = results.at("outputs", 0, 0);
  ASSERT_EQ(p.size(), 36U + 3 + 2 * 9 + 2);
  ASSERT_EQ(found.size(), 6U);
  for (int e = 0; e < 3; ++e) {
    // Places of the convolution: 3 x 3; of the pool: 3 x 1.
    std::vector<double> pooled;  // (y, channel)
    for (int y = 0; y < 3; ++y) {
      for (int c = 0; c < 3; ++c) {
        double mean = 0;
        for (int x = 0; x < 2; ++x) {
          double z = p[static_cast<std::size_t>(36 + c)];
          for (int dy = 0; dy < 3; ++dy) {
            for (int dx = 0; dx < 2; ++dx) {
              for (int in = 0; in < 2; ++in) {
                const int row = 2 * y - 1 + dy;
                if (row < 0 || row >= 5) continue;
                z += p[static_cast<std::size_t>(c * 12 + (dy * 2 + dx) * 2 + in)] *
                     test.inputs[static_cast<std::size_t>(e * 40 + in * 20 + row * 4 + x + dx)];
              }
            }
          }
          mean += std::max(z, 0.0) / 2;
        }
        pooled.push_back(mean);
      }
    }
    for (int k = 0; k < 2; ++k) {
      double f = p[static_cast<std::size_t>(36 + 3 + 18 + k)];
      for (int i = 0; i < 9; ++i) {
        f += p[static_cast<std::size_t>(39 + k * 9 + i)] * pooled[static_cast<std::size_t>(i)];
      }
      EXPECT_NEAR(found[static_cast<std::size_t>(2 * e + k)], f, 1e-13 * (1 + std::abs(f)));
    }
  }
}

MANYFOLD_ON_ALL_DEVICES(NetworkOnDevice);

TEST(Network, DevicesAgree) {
  const auto devices = test_devices();
  for (const NetworkCase& one : preset_cases()) {
    SCOPED_TRACE(one.name);
    std::vector<std::vector<double>> ends;
    for (const TestDevice& device : devices) {
      if (!device.missing.empty()) continue;
      const auto executor = executor_on(device.name);
      const Results results =
          run(one.toml, *executor, {"probes.outputs.every=20", "optimizer.learning_rate=1e-3"});
      ends.push_back(results.at("outputs", 0, 1));
      ASSERT_EQ(ends.back().size(), 5U);
    }
    for (const auto& end : ends) {
      // Twenty contracting steps, each of which rounds sums of at most a hundred terms.
      EXPECT_LE(distance(end, ends.front()), 1e-12 * norm_of(ends.front()));
    }
  }
}

TEST(Network, FloatGradientsAreThoseOfDoubleUpToRounding) {
  const auto device = executor_on("cpu");
  for (const NetworkCase& one : preset_cases()) {
    SCOPED_TRACE(one.name);
    Bench wide(*device, one.toml, 1);
    Bench narrow(*device, "precision = \"f32\"\n" + one.toml, 1);
    wide.evaluate();
    narrow.evaluate();
    EXPECT_LT(distance(wide.gradient(0), narrow.gradient(0)), 3e-5 * norm_of(wide.gradient(0)));
    EXPECT_NEAR(narrow.loss(0), wide.loss(0), 1e-5 * wide.loss(0));
  }
}

struct BadCase {
  std::string model;
  std::string data;
  std::vector<std::string> words;
};

TEST(Network, LayersThatDoNotFitAreNamedWithBothShapes) {
  const std::string images = data("[2, 5, 4]", 2);
  const std::vector<BadCase> cases{
      {list({"dense 3", "output 4"}),
       data("[4]", 2),
       {"model.layers", "\"output 4\" as layer 2", "in place of \"4\""}},
      {list({"dense three"}), data("[4]", 2), {"\"dense three\" as layer 1", "number of outputs"}},
      {list({"dnse 3"}), data("[4]", 2), {"\"dnse 3\" as layer 1", "did you mean dense?"}},
      {list({"leaky_relu"}), data("[4]", 2), {"layer 1", "SLOPE"}},
      {list({"relu 3", "output"}), data("[4]", 2), {"layer 1", "scale"}},
      {list({"conv 3"}), data("[4]", 2), {"layer 1", "size of the kernel"}},
      {list({"conv 3 2x2x2"}), images, {"layer 1", "3 or 3x5"}},
      {list({"dense 3 bias bias"}), data("[4]", 2), {"layer 1", "in place of \"bias\""}},
      {list({"flatten 3"}), data("[4]", 2), {"layer 1", "nothing after \"flatten\""}},
      {list({"dense 3", "dense 7"}),
       data("[4]", 2),
       {"layer 2, \"dense 7\"", "gives 7", "expected 2, the outputs of the data"}},
      {list({"output"}), images, {"layer 1, \"output\"", "on 2x5x4", "\"flatten\""}},
      {list({"conv 3 6x2", "flatten", "output"}),
       images,
       {"layer 1, \"conv 3 6x2\"", "on 2x5x4", "no larger than the 5x4"}},
      {list({"pool 3", "conv 3 2", "flatten", "output"}),
       images,
       {"layer 2, \"conv 3 2\"", "on 2x1x1", "no larger than the 1x1"}},
      {list({"conv 3 2x2", "flatten", "output"}),
       data("[4]", 2),
       {"layer 1", "on 4", "one number as its kernel"}},
      {list({"dense 3", "residual", "dense 4", "end", "output"}),
       data("[4]", 2),
       {"layer 4, \"end\"", "began with 3 and gives 4", "equal shapes"}},
      {list({"residual", "dense 4", "output"}),
       data("[4]", 2),
       {"layer 1, \"residual\"", "no \"end\" closes"}},
      {list({"dense 4", "end", "output"}), data("[4]", 2), {"layer 2, \"end\"", "closes no block"}},
      {list({"residual", "end", "output"}), data("[4]", 2), {"layer 2, \"end\"", "empty block"}},
      {list({"conv 1 1", "residual", "flatten", "end", "output"}),
       data("[4]", 2),
       {"layer 3, \"flatten\"", "inside a block"}},
      {list({"output frozen"}), data("[4]", 2), {"model.layers", "no trained weight"}},
      {"kind = \"fc\"\nhidden = [3, 4]\ndepth = 4",
       data("[4]", 2),
       {"model.hidden", "2 widths [3, 4]", "3 for depth 4"}},
      {"kind = \"fc\"", data("[4]", 2), {"model.hidden", "nothing"}},
      {"kind = \"two_layer_relu\"\nhidden = [3, 4]", data("[4]", 1), {"model.hidden", "[3, 4]"}},
      {"kind = \"resnet\"\nhidden = 3\ndepth = 1", data("[4]", 1), {"model.depth", "at least 2"}},
      {"kind = \"conv_resnet\"\nchannels = 3\ndepth = 2\nkernel = 2",
       data("[4]", 1),
       {"model.kernel", "an odd number"}},
      {"kind = \"cnn\"\nchannels = [2, 2]\npool = 3",
       data("[1, 4, 4]", 1),
       {"model.kind", "\"cnn\" with layer 6, \"pool 3\"", "on 2x1x1", "no larger than the 1x1"}},
      {list({"dense 3", "relu", "output"}),
       data("[4]", 2) + "[objective]\nloss = \"cross_entropy\"\n",
       {"objective.loss", "\"cross_entropy\" with data that have no labels"}},
      {list({"dense 3", "relu", "output"}),
       data("[4]", 2) + "[objective]\nloss = \"logistic\"\n",
       {"objective.loss", "\"logistic\" with 2 outputs"}},
      {list({"dense 3", "relu", "output"}),
       data("[4]", 1) + "[objective]\nloss = \"logistic\"\n",
       {"objective.loss", "\"logistic\" with a target of", "targets of 1 and -1"}},
      {"kind = \"cnn\"\nchannels = [2]\nparametrization = \"thesis\"",
       data("[4]", 1),
       {"model.parametrization", "\"thesis\" with model.kind = \"cnn\""}},
  };
  for (const BadCase& one : cases) {
    SCOPED_TRACE(one.model);
    try {
      const auto device = executor_on("cpu");
      (void)run(experiment(one.model, one.data), *device);
      ADD_FAILURE() << "accepted";
    } catch (const InputError& error) {
      const std::string message = error.what();
      for (const std::string& word : one.words) {
        EXPECT_NE(message.find(word), std::string::npos) << word << " is not in: " << message;
      }
      EXPECT_EQ(message.find("test.toml:"), 0U) << message;
    }
  }
}

TEST(Network, StartsThatDoNotFitAreRejected) {
  const std::string model = list({"dense 3", "relu", "output signs"});
  const auto reject = [&](const std::string& init, const std::string& word) {
    SCOPED_TRACE(init);
    try {
      const auto device = executor_on("cpu");
      (void)run(experiment(model, data("[4]", 2), init), *device);
      ADD_FAILURE() << "accepted";
    } catch (const InputError& error) {
      EXPECT_NE(std::string(error.what()).find(word), std::string::npos) << error.what();
    }
  };
  reject("", "init.stddev: found nothing");
  reject("stddev = [1.0, 2.0]",
         "init.stddev: found 2 values, expected one, or one for each of the 1");
  reject("stddev = 1\nvariance = 1", "init.variance: found a value beside init.stddev");
}

TEST(Network, WeightsStartAsTheirKeysSay) {
  const auto start_of = [](const std::string& model, const std::string& init) {
    const Experiment parsed = Experiment::parse(experiment(model, data("[400]", 1), init),
                                                "test.toml", {}, experiment_spec());
    const Settings settings = parsed.member(0);
    return network::start(settings, network::description_of(settings));
  };
  const auto variance = [](const std::vector<double>& x, std::size_t first, std::size_t count) {
    double sum = 0;
    for (std::size_t i = first; i < first + count; ++i) sum += x[i] * x[i];
    return sum / static_cast<double>(count);
  };
  const std::string two = "kind = \"fc\"\nhidden = 100";
  // 40,000 entries: the mean of squares has a relative deviation of sqrt(2 / 40,000) = 0.7 %.
  const auto he = start_of(two, "scaling = \"he\"");
  EXPECT_NEAR(variance(he.parameters, 0, 40'000), 2.0 / 400, 0.035 * 2.0 / 400);
  const auto listed = start_of(two, "variance = [4.0, 9.0]");
  EXPECT_NEAR(variance(listed.parameters, 0, 40'000), 4, 0.14);
  EXPECT_NEAR(variance(listed.parameters, 40'000, 100), 9, 9 * 0.7);  // five deviations of 0.14
  // A scale multiplies the same draw.
  for (std::size_t i = 0; i < 40'100; ++i) {
    EXPECT_NEAR(he.parameters[i] * (i < 40'000 ? std::sqrt(200.0) : std::sqrt(50.0)),
                listed.parameters[i] / (i < 40'000 ? 2 : 3), 1e-13);
  }
  const auto relu = start_of("kind = \"two_layer_relu\"\nhidden = 100", "");
  EXPECT_EQ(relu.parameters.size(), 40'000U);
  EXPECT_NEAR(variance(relu.parameters, 0, 40'000), 1, 0.035);
  ASSERT_EQ(relu.frozen.size(), 100U);
  double sum = 0;
  for (const double a : relu.frozen) {
    EXPECT_EQ(std::abs(a), 1);
    sum += a;
  }
  EXPECT_LT(std::abs(sum), 50) << "five deviations";
}

TEST(Network, MeanSquaresOfActivations) {
  using kernels::Activation;
  const std::vector<std::pair<Activation, double>> kinds{
      {Activation::linear, 0},   {Activation::relu, 0}, {Activation::leaky_relu, 0.3},
      {Activation::softplus, 0}, {Activation::tanh, 0}, {Activation::sigmoid, 0},
      {Activation::erf, 0}};
  const auto s = [](Activation kind, double slope, double z) {
    switch (kind) {
      case Activation::relu:
        return std::max(z, 0.0);
      case Activation::leaky_relu:
        return z > 0 ? z : slope * z;
      case Activation::softplus:
        return std::log1p(std::exp(z));
      case Activation::tanh:
        return std::tanh(z);
      case Activation::sigmoid:
        return 1 / (1 + std::exp(-z));
      case Activation::erf:
        return std::erf(z);
      case Activation::linear:
        break;
    }
    return z;
  };
  for (const auto& [kind, slope] : kinds) {
    // Simpson's rule on [-12, 12] with 24,000 steps: an error below 1e-12 away from kinks, which
    // lie on a node.
    constexpr int steps = 24'000;
    double sum = 0;
    for (int i = 0; i <= steps; ++i) {
      const double z = -12 + 24.0 * i / steps;
      const double weight = i == 0 || i == steps ? 1 : i % 2 == 1 ? 4 : 2;
      const double value = s(kind, slope, z);
      sum += weight * value * value * std::exp(-z * z / 2);
    }
    const double expected = sum * 24 / steps / 3 / std::sqrt(2 * std::acos(-1.0));
    EXPECT_NEAR(network::mean_square(kind, slope), expected, 1e-11) << static_cast<int>(kind);
  }
}

}  // namespace
}  // namespace manyfold::testing
