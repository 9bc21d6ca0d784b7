// Probes of networks against plain loops over the recorded weights, and what gradient flow
// conserves (Du, Hu, Lee 2018).
#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "core/error.hpp"
#include "models/data/data_set.hpp"
#include "tests/models/run.hpp"

namespace manyfold::testing {
namespace {

using Numbers = std::vector<double>;

/// Row-major.
struct Matrix {
  std::size_t rows = 0;
  std::size_t cols = 0;
  Numbers values;

  double at(std::size_t i, std::size_t j) const { return values[i * cols + j]; }
  double norm2() const {
    double sum = 0;
    for (const double x : values) sum += x * x;
    return sum;
  }
};

/// A net of 4-6-5-3 with ReLUs and every probe at its start and its end.
std::string fully_connected(const std::string& rows) {
  std::string text =
      "problem.seed = 2\nseed = 4\n[model]\nkind = \"fc\"\nhidden = [6, 5]\n"
      "[data]\nsource = \"gaussian\"\nshape = 4\ncount = 9\ntest_count = 5\n"
      "targets = \"random_normal\"\noutputs = 3\n[objective]\n" +
      rows +
      "\n[init]\nkind = \"gaussian\"\nstddev = 0.7\n"
      "[optimizer]\nkind = \"gd\"\nlearning_rate = 0.003\n"
      "[stop]\nsteps = 40\n[cadences]\nends = { every = 40 }\n[probes]\n"
      "margins = { every = \"ends\", set = \"test\" }\n";
  for (const char* probe : {"parameters", "test_loss", "accuracy", "test_accuracy", "least_margin",
                            "outputs", "layer_norm2", "layer_norm2_difference", "layer_norm2_ratio",
                            "neuron_balance", "neuron_balance_drift", "neuron_distance",
                            "weight_distance", "weight_movement", "changed_patterns"}) {
    text += std::string(probe) + " = { every = \"ends\" }\n";
  }
  return text;
}

/// Weights of the layers at a sample.
std::vector<Matrix> weights(const Results& results, std::int64_t sample) {
  std::vector<Matrix> all{{6, 4, {}}, {5, 6, {}}, {3, 5, {}}};
  for (std::size_t h = 0; h < all.size(); ++h) {
    all[h].values = results.at("W_" + std::to_string(h + 1), 0, sample);
    EXPECT_EQ(all[h].values.size(), all[h].rows * all[h].cols);
  }
  return all;
}

/// For one input: pre-activations of the hidden layers, then the outputs.
std::vector<Numbers> forward(const std::vector<Matrix>& weights, const double* x) {
  std::vector<Numbers> all;
  Numbers in(x, x + weights.front().cols);
  for (const Matrix& w : weights) {
    Numbers z(w.rows, 0.0);
    for (std::size_t i = 0; i < w.rows; ++i) {
      for (std::size_t j = 0; j < w.cols; ++j) z[i] += w.at(i, j) * in[j];
    }
    all.push_back(z);
    in = z;
    for (double& v : in) v = std::max(v, 0.0);
  }
  return all;
}

/// Of three outputs, the largest target being the label's.
double margin_of(const Numbers& f, const double* y) {
  const auto c = static_cast<std::size_t>(std::max_element(y, y + 3) - y);
  double best = -HUGE_VAL;
  for (std::size_t k = 0; k < 3; ++k) {
    if (k != c) best = std::max(best, f[k]);
  }
  return f[c] - best;
}

/// ||W_h[i,:]||^2 - ||W_{h+1}[:,i]||^2.
double gap(const std::vector<Matrix>& w, std::size_t h, std::size_t i) {
  double g = 0;
  for (std::size_t j = 0; j < w[h].cols; ++j) g += w[h].at(i, j) * w[h].at(i, j);
  for (std::size_t k = 0; k < w[h + 1].rows; ++k) g -= w[h + 1].at(k, i) * w[h + 1].at(k, i);
  return g;
}

/// Sums of a few dozen numbers of order 10, each rounded a few times.
constexpr double close = 1e-12;

/// What a probe recorded of member 0 at one sample.
class Sample {
 public:
  Sample(const Results& results, std::int64_t sample) : results_(results), sample_(sample) {}
  double operator()(const char* probe, std::size_t i = 0) const {
    const Numbers all = results_.at(probe, 0, sample_);
    EXPECT_LT(i, all.size()) << probe;
    return i < all.size() ? all[i] : std::nan("");
  }

 private:
  const Results& results_;
  std::int64_t sample_;
};

void expect_examples(const Sample& value, const Data& data, const std::vector<Matrix>& start,
                     const std::vector<Matrix>& now, bool at_start) {
  double right = 0;
  double least = HUGE_VAL;
  Numbers changed(2, 0.0);
  for (std::size_t e = 0; e < 9; ++e) {
    const auto values = forward(now, data.train.inputs.data() + 4 * e);
    const auto before = forward(start, data.train.inputs.data() + 4 * e);
    for (std::size_t k = 0; k < 3; ++k) {
      EXPECT_NEAR(value("outputs", 3 * e + k), values[2][k], close);
    }
    const double margin = margin_of(values[2], data.train.targets.data() + 3 * e);
    right += margin > 0 ? 1 : 0;
    least = std::min(least, margin);
    for (std::size_t h = 0; h < 2; ++h) {
      for (std::size_t i = 0; i < values[h].size(); ++i) {
        changed[h] += (values[h][i] > 0) != (before[h][i] > 0) ? 1 : 0;
      }
    }
  }
  EXPECT_DOUBLE_EQ(value("accuracy"), right / 9);
  EXPECT_NEAR(value("least_margin"), least, close);
  EXPECT_DOUBLE_EQ(value("changed_patterns", 0), changed[0] / (9 * 6));
  EXPECT_DOUBLE_EQ(value("changed_patterns", 1), changed[1] / (9 * 5));
  if (at_start) {
    EXPECT_EQ(changed[0] + changed[1], 0);
  } else {
    EXPECT_GT(changed[0] + changed[1], 0) << "a case in which nothing changes shows nothing";
  }
  double test_loss = 0;
  double test_right = 0;
  for (std::size_t e = 0; e < 5; ++e) {
    const auto values = forward(now, data.test.inputs.data() + 4 * e);
    const double* y = data.test.targets.data() + 3 * e;
    for (std::size_t k = 0; k < 3; ++k) {
      test_loss += (values[2][k] - y[k]) * (values[2][k] - y[k]) / 2;
    }
    EXPECT_NEAR(value("margins", e), margin_of(values[2], y), close);
    test_right += margin_of(values[2], y) > 0 ? 1 : 0;
  }
  EXPECT_NEAR(value("test_loss"), test_loss, close * test_loss);
  EXPECT_DOUBLE_EQ(value("test_accuracy"), test_right / 5);
}

void expect_weights(const Sample& value, const std::vector<Matrix>& start,
                    const std::vector<Matrix>& now) {
  for (std::size_t h = 0; h < 3; ++h) {
    EXPECT_NEAR(value("layer_norm2", h), now[h].norm2(), close * now[h].norm2());
    Matrix moved = now[h];
    double farthest = 0;
    for (std::size_t i = 0; i < moved.rows; ++i) {
      double square = 0;
      for (std::size_t j = 0; j < moved.cols; ++j) {
        double& entry = moved.values[i * moved.cols + j];
        entry -= start[h].at(i, j);
        square += entry * entry;
      }
      farthest = std::max(farthest, std::sqrt(square));
    }
    EXPECT_NEAR(value("weight_distance", h), std::sqrt(moved.norm2()), close);
    EXPECT_NEAR(value("weight_movement", h), std::sqrt(moved.norm2() / start[h].norm2()), close);
    EXPECT_NEAR(value("neuron_distance", h), farthest, close);
    if (h == 2) continue;
    EXPECT_NEAR(value("layer_norm2_difference", h), now[h + 1].norm2() - now[h].norm2(), close);
    EXPECT_NEAR(value("layer_norm2_ratio", h), now[h + 1].norm2() / now[h].norm2(), close);
    double largest = 0;
    double drift = 0;
    for (std::size_t i = 0; i < now[h].rows; ++i) {
      largest = std::max(largest, std::abs(gap(now, h, i)));
      drift = std::max(drift, std::abs(gap(now, h, i) - gap(start, h, i)));
    }
    EXPECT_NEAR(value("neuron_balance", h), largest, close);
    EXPECT_NEAR(value("neuron_balance_drift", h), drift, close);
  }
}

using NetworkProbes = OnDevice;

TEST_P(NetworkProbes, AreWhatPlainLoopsGive) {
  const auto device = executor();
  for (const std::string rows : {"", "rows = 2"}) {
    SCOPED_TRACE(rows.empty() ? "all examples at once" : rows);
    const std::string toml = fully_connected(rows);
    const Results results = run(toml, *device);
    const Data data =
        make_data(Experiment::parse(toml, "test.toml", {}, experiment_spec()).member(0));
    const std::vector<Matrix> start = weights(results, 0);
    for (const std::int64_t sample : {0, 1}) {
      const std::vector<Matrix> now = weights(results, sample);
      expect_examples({results, sample}, data, start, now, sample == 0);
      expect_weights({results, sample}, start, now);
    }
  }
}

/// Of outputs, by the labels.
struct Judged {
  double accuracy = 0;
  double least_margin = HUGE_VAL;
  double cross_entropy = 0;  ///< their mean
};
Judged judged(const Numbers& outputs, const DataSet& set) {
  Judged all;
  const auto count = static_cast<double>(set.labels.size());
  for (std::size_t e = 0; e < set.labels.size(); ++e) {
    const double own = outputs[2 * e + static_cast<std::size_t>(set.labels[e])];
    const double other = outputs[2 * e + static_cast<std::size_t>(1 - set.labels[e])];
    all.accuracy += own > other ? 1 / count : 0;
    all.least_margin = std::min(all.least_margin, own - other);
    all.cross_entropy += std::log1p(std::exp(other - own)) / count;
  }
  return all;
}

TEST_P(NetworkProbes, LabelsDecideWhatIsCorrect) {
  const auto device = executor();
  const std::string toml =
      "seed = 4\n[model]\nkind = \"cnn\"\nchannels = [3]\npool = 4\n"
      "[data]\nsource = \"digits\"\nclasses = [7, 1]\ncount = 40\ntest_count = 20\n"
      "[objective]\nloss = \"cross_entropy\"\nreduction = \"mean\"\n"
      "[init]\nkind = \"gaussian\"\nscaling = \"he\"\n"
      "[optimizer]\nkind = \"adam\"\nlearning_rate = 0.05\n[stop]\nsteps = 150\n[probes]\n"
      "accuracy = { every = 150 }\ntest_accuracy = { every = 150 }\ntest_loss = { every = 150 }\n"
      "train_loss = { every = 150 }\nleast_margin = { every = 150 }\noutputs = { every = 150 }\n"
      "test_outputs = { kind = \"outputs\", every = 150, set = \"test\" }\n";
  const Results results = run(toml, *device);
  const Data data =
      make_data(Experiment::parse(toml, "test.toml", {}, experiment_spec()).member(0));
  for (const std::int64_t sample : {0, 1}) {
    const Judged train = judged(results.at("outputs", 0, sample), data.train);
    const Judged test = judged(results.at("test_outputs", 0, sample), data.test);
    EXPECT_NEAR(results.scalar("accuracy", 0, sample), train.accuracy, close);
    EXPECT_NEAR(results.scalar("test_accuracy", 0, sample), test.accuracy, close);
    EXPECT_NEAR(results.scalar("least_margin", 0, sample), train.least_margin, close);
    EXPECT_NEAR(results.scalar("train_loss", 0, sample), train.cross_entropy, close);
    EXPECT_NEAR(results.scalar("test_loss", 0, sample), test.cross_entropy, close);
  }
  EXPECT_LT(results.scalar("accuracy", 0, 0), 0.9);
  EXPECT_EQ(results.scalar("accuracy", 0, 1), 1) << "sevens and ones can be learnt";
}

MANYFOLD_ON_ALL_DEVICES(NetworkProbes);

/// Drift of the balancedness of neurons at t = 0.4, reached in so many steps.
double drift_at(const std::string& layers, const std::string& shape, int steps) {
  const auto device = executor_on("cpu");
  const std::string all = std::to_string(steps);
  const Results results =
      run("problem.seed = 1\nseed = 3\n[model]\nkind = \"network\"\nlayers = " + layers +
              "\n[data]\nsource = \"gaussian\"\nshape = " + shape +
              "\ncount = 12\ntargets = \"random_normal\"\noutputs = 2\n"
              "[objective]\nreduction = \"mean\"\n[init]\nkind = \"gaussian\"\nstddev = 0.5\n"
              "[optimizer]\nkind = \"gd\"\nlearning_rate = " +
              std::to_string(0.4 / steps) + "\n[stop]\nsteps = " + all +
              "\n[probes]\nneuron_balance_drift = { every = " + all + " }\n",
          *device);
  const Numbers drift = results.at("neuron_balance_drift", 0, 1);
  return drift.empty() ? std::nan("") : *std::max_element(drift.begin(), drift.end());
}

TEST(NetworkBalance, HalvingTheStepHalvesTheDriftOfHomogeneousNets) {
  const std::vector<std::pair<std::string, std::string>> nets{
      {R"(["dense 8", "relu", "dense 6", "relu", "output"])", "5"},
      {R"(["dense 8", "leaky_relu 0.2", "dense 6", "linear", "output"])", "5"},
      // Channels with all taps of the next filter, then all places of the flattened image.
      {R"(["conv 3 3x3 padding 1", "relu", "conv 4 2x2 stride 2", "relu", "flatten", "output"])",
       "[2, 4, 4]"},
      {R"(["conv 3 3", "relu", "pool 2", "flatten", "dense 4", "relu", "output"])", "8"},
  };
  for (const auto& [layers, shape] : nets) {
    SCOPED_TRACE(layers);
    // First order in the step: a slope between .8 and 1.2 of log drift against log step.
    const double slope = std::log2(drift_at(layers, shape, 400) / drift_at(layers, shape, 800));
    EXPECT_GT(slope, 0.8);
    EXPECT_LT(slope, 1.2);
  }
  // Other activations conserve nothing of the kind: the drift is that of the flow.
  for (const std::string activation : {"softplus", "tanh"}) {
    SCOPED_TRACE(activation);
    const std::string layers =
        R"(["dense 8", ")" + activation + R"(", "dense 6", ")" + activation + R"(", "output"])";
    const double coarse = drift_at(layers, "5", 400);
    EXPECT_NEAR(coarse, drift_at(layers, "5", 800), 0.05 * coarse);
    EXPECT_GT(coarse, 1e-2);
  }
}

TEST(NetworkProbesRejected, WhereThereIsNothingToLookAt) {
  const auto device = executor_on("cpu");
  const auto reject = [&](const std::string& model, const std::string& probe,
                          const std::string& word) {
    SCOPED_TRACE(probe);
    try {
      (void)run("[model]\n" + model +
                    "\n[data]\nsource = \"gaussian\"\nshape = 4\ncount = 3\n"
                    "targets = \"random_normal\"\n[init]\nkind = \"gaussian\"\nstddev = 1\n"
                    "[optimizer]\nkind = \"gd\"\nlearning_rate = 0.1\n[stop]\nsteps = 1\n"
                    "[probes]\n" +
                    probe,
                *device);
      ADD_FAILURE() << "accepted";
    } catch (const InputError& error) {
      EXPECT_NE(std::string(error.what()).find(word), std::string::npos) << error.what();
    }
  };
  const std::string fc = "kind = \"fc\"\nhidden = 3";
  reject(fc, "test_loss = { every = 1 }", "probes.test_loss.every: found a probe of the test");
  reject(fc, "outputs = { every = 1, set = \"test\" }", "a probe of the test examples");
  reject(fc + "\nactivation = \"tanh\"", "changed_patterns = { every = 1 }", "a relu");
  reject(fc + "\nbias = true", "neuron_balance = { every = 1 }", "without blocks, biases");
  reject("kind = \"two_layer_relu\"\nhidden = 3", "layer_norm2_ratio = { every = 1 }",
         "at least two trained weights");
  reject(fc, "singular_values = { every = 1 }", "no probe of that name");
}

}  // namespace
}  // namespace manyfold::testing
