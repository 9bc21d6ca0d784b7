// Optimizers against scalar re-implementations of their formulas.
//
// A trajectory amplifies roundings by factors that depend on the landscape, so steps are compared
// one by one: the reference starts each step from the parameters and the gradient that the device
// shows, keeps momenta of its own in extended precision, and must predict the next parameters. What
// it may be off by is then a few roundings of the terms of one sum. Gradients have tests of their
// own (gradient_test.cpp).
#include "models/training/optimizer.hpp"

#include <cmath>
#include <functional>
#include <numeric>
#include <set>

#include "core/random/philox.hpp"
#include "kernels/common/draws.hpp"
#include "models/training/control_block.hpp"
#include "models/training/model.hpp"
#include "tests/models/run.hpp"

namespace manyfold::testing {
namespace {

constexpr double eps = std::numeric_limits<double>::epsilon();

/// A small non-convex problem: 24 parameters, 12 observed entries or so of 4x4.
std::string problem(const std::string& optimizer, const std::string& rest = "") {
  return "problem.seed = 3\nseed = 5\n[model]\nkind = \"deep_linear\"\nsizes = [4, 3, 4]\n"
         "[objective]\nkind = \"completion\"\nobserved = 0.7\n"
         "target = { kind = \"gaussian\", size = 4 }\n"
         "[init]\nkind = \"gaussian\"\nstddev = 0.6\n[stop]\nsteps = 1000\n"
         "[probes]\ntrain_loss = { every = 1 }\n[optimizer]\n" +
         optimizer + "\n" + rest;
}

/// The members of an experiment in one ensemble, stepped by hand.
class Training {
 public:
  Training(Executor& executor, const std::string& toml)
      : executor_(executor),
        experiment_(Experiment::parse(toml, "test.toml", {}, experiment_spec())),
        slots_(experiment_.members()),
        control_(executor, slots_),
        work_(executor, slots_, slots_),
        model_(model_kind(member(0)).make(executor, member(0), slots_, true, work_)),
        optimizer_(optimizer_kind(member(0)).make({executor, *model_, member(0), slots_})) {
    std::vector<Settings> members;
    for (std::int64_t m = 0; m < slots_; ++m) members.push_back(member(m));
    control_.load(members);
    model_->load(members);
    optimizer_->load(members);
  }

  Settings member(std::int64_t m) const { return experiment_.member(m); }
  std::int64_t slots() const { return slots_; }
  Optimizer& optimizer() { return *optimizer_; }
  std::vector<double> parameters(std::int64_t slot) { return read(typed().values, slot); }
  std::vector<double> gradient(std::int64_t slot) { return read(typed().gradient, slot); }
  double time(std::int64_t slot) { return one(control_.control().time + slot); }
  double step_size(std::int64_t slot) { return one(control_.control().step_size + slot); }
  double grad_norm2(std::int64_t slot) { return one(control_.control().grad_norm2 + slot); }
  void evaluate() { model_->evaluate(control_.control(), {true, true}); }
  void move() {
    optimizer_->step(control_.control());
    kernels::advance(executor_, control_.control());
  }

 private:
  Parameters<double> typed() { return std::get<Parameters<double>>(model_->parameters()); }
  std::vector<double> read(const VectorBatch<double>& vectors, std::int64_t slot) {
    std::vector<double> host(static_cast<std::size_t>(vectors.count));
    executor_.copy_out(host.data(), vectors.slot(slot), host.size() * sizeof(double));
    return host;
  }
  double one(const double* from) {
    double value = 0;
    executor_.copy_out(&value, from, sizeof value);
    return value;
  }

  Executor& executor_;
  Experiment experiment_;
  std::int64_t slots_;
  ControlBlock control_;
  kernels::WorkSlots work_;
  std::unique_ptr<Model> model_;
  std::unique_ptr<Optimizer> optimizer_;
};

/// One member's optimizer in extended precision.
class Reference {
 public:
  virtual ~Reference() = default;
  /// The parameters after step t from x with gradient g.
  virtual std::vector<long double> step(std::int64_t t, const std::vector<double>& x,
                                        const std::vector<double>& g) = 0;
};

/// The kind that moves each parameter by itself.
class PerParameter : public Reference {
 public:
  using Move = std::function<long double(std::int64_t t, std::size_t i, long double g)>;
  explicit PerParameter(Move move) : move_(std::move(move)) {}
  std::vector<long double> step(std::int64_t t, const std::vector<double>& x,
                                const std::vector<double>& g) override {
    std::vector<long double> next;
    for (std::size_t i = 0; i < x.size(); ++i) next.push_back(x[i] - move_(t, i, g[i]));
    return next;
  }

 private:
  Move move_;
};

/// Steps every slot `steps` times and compares; `roundings` bounds the error of a move in units of
/// eps times the largest move or parameter.
void compare(Training& training, const std::vector<std::unique_ptr<Reference>>& references,
             int steps, double roundings) {
  double moved = 0;
  for (int t = 0; t < steps; ++t) {
    std::vector<std::vector<double>> before, slope;
    training.evaluate();
    for (std::int64_t s = 0; s < training.slots(); ++s) {
      before.push_back(training.parameters(s));
      slope.push_back(training.gradient(s));
    }
    training.move();
    for (std::int64_t s = 0; s < training.slots(); ++s) {
      const auto slot = static_cast<std::size_t>(s);
      const auto expected = references[slot]->step(t, before[slot], slope[slot]);
      const auto after = training.parameters(s);
      double scale = 0;
      for (std::size_t i = 0; i < after.size(); ++i) {
        scale = std::max({scale, std::fabs(before[slot][i]), std::fabs(after[i])});
        moved = std::max(moved, std::fabs(after[i] - before[slot][i]));
      }
      for (std::size_t i = 0; i < after.size(); ++i) {
        ASSERT_NEAR(after[i], static_cast<double>(expected[i]), roundings * eps * scale)
            << "slot " << s << ", step " << t << ", parameter " << i;
      }
    }
  }
  EXPECT_GT(moved, 1e-3);
}

using OptimizerOnDevice = OnDevice;

/// References for one optimizer a member, made from the member's settings.
template <class Make>
std::vector<std::unique_ptr<Reference>> references(const Training& training, Make make) {
  std::vector<std::unique_ptr<Reference>> all;
  for (std::int64_t m = 0; m < training.slots(); ++m) all.push_back(make(training.member(m)));
  return all;
}

TEST_P(OptimizerOnDevice, MomentumAndNesterovFollowTheirFormulas) {
  const auto device = executor();
  for (const bool nesterov : {false, true}) {
    Training training(
        *device, problem(std::string("kind = \"") + (nesterov ? "nesterov" : "momentum") + "\"",
                         "[sweep]\n\"optimizer.momentum\" = [0.0, 0.5, 0.95]\n"
                         "\"optimizer.learning_rate\" = [0.05, 0.01]\n"));
    const auto all = references(training, [&](const Settings& member) {
      auto v = std::make_shared<std::vector<long double>>(24, 0.0L);
      const long double eta = member.number("optimizer.learning_rate");
      const long double mu = member.number("optimizer.momentum");
      return std::make_unique<PerParameter>([=](std::int64_t, std::size_t i, long double g) {
        (*v)[i] = mu * (*v)[i] + g;
        return eta * (nesterov ? g + mu * (*v)[i] : (*v)[i]);
      });
    });
    // The velocity's roundings add up to eps / (1 - mu) = 20 eps of itself, times eta < 1.
    compare(training, all, 200, 32);
    EXPECT_NEAR(training.time(0), 200 * 0.05, 200 * eps * 10);
    ASSERT_EQ(training.optimizer().state().size(), 1u);
    EXPECT_EQ(training.optimizer().state()[0].bytes, 24 * sizeof(double));
  }
}

TEST_P(OptimizerOnDevice, AdamFollowsItsFormula) {
  const auto device = executor();
  Training training(*device, problem("kind = \"adam\"\nlearning_rate = 0.01\nepsilon = 1e-4",
                                     "[sweep]\n\"optimizer.beta1\" = [0.0, 0.9]\n"
                                     "\"optimizer.beta2\" = [0.5, 0.999]\n"));
  const auto all = references(training, [](const Settings& member) {
    auto m = std::make_shared<std::vector<long double>>(24, 0.0L);
    auto v = std::make_shared<std::vector<long double>>(24, 0.0L);
    const long double b1 = member.number("optimizer.beta1");
    const long double b2 = member.number("optimizer.beta2");
    const long double epsilon = member.number("optimizer.epsilon");
    return std::make_unique<PerParameter>([=](std::int64_t t, std::size_t i, long double g) {
      (*m)[i] = b1 * (*m)[i] + (1 - b1) * g;
      (*v)[i] = b2 * (*v)[i] + (1 - b2) * g * g;
      const long double mean = (*m)[i] / (1 - std::pow(b1, static_cast<long double>(t + 1)));
      const long double square = (*v)[i] / (1 - std::pow(b2, static_cast<long double>(t + 1)));
      return 0.01L * mean / (std::sqrt(square) + epsilon);
    });
  });
  // The squares' roundings add up to eps / (1 - beta2) = 1000 eps, and so do those of the power in
  // the correction; the root halves both; a move is at most 0.01 / sqrt(1 - beta2) of its sum.
  compare(training, all, 200, 400);
  EXPECT_NEAR(training.time(3), 200 * 0.01, 200 * eps * 2);
  std::set<std::string> names;
  for (const StateArray& array : training.optimizer().state()) names.insert(array.name);
  EXPECT_EQ(names, (std::set<std::string>{"m", "v", "power1", "power2"}));
}

TEST_P(OptimizerOnDevice, SignFollowsItsFormula) {
  const auto device = executor();
  Training training(*device, problem("kind = \"sign\"",
                                     "[sweep]\n\"optimizer.learning_rate\" = [0.003, 0.01]\n"));
  const auto all = references(training, [](const Settings& member) {
    const long double eta = member.number("optimizer.learning_rate");
    return std::make_unique<PerParameter>([=](std::int64_t, std::size_t, long double g) {
      return g > 0 ? eta : g < 0 ? -eta : 0.0L;
    });
  });
  compare(training, all, 200, 1);
}

TEST_P(OptimizerOnDevice, LangevinAddsNoiseOfItsVarianceToADescent) {
  const auto device = executor();
  Training training(*device, problem("kind = \"langevin\"\nlearning_rate = 0.01",
                                     "[sweep]\n\"sgd.seed\" = [1, 2]\n"
                                     "\"optimizer.temperature\" = [0.0, 0.03]\n"));
  std::vector<double> squares(4, 0.0);
  const auto all = references(training, [&, m = 0](const Settings& member) mutable {
    const auto seed = static_cast<std::uint64_t>(member.integer("sgd.seed"));
    const double temperature = member.number("optimizer.temperature");
    double* square = &squares[static_cast<std::size_t>(m++)];
    return std::make_unique<PerParameter>([=](std::int64_t t, std::size_t i, long double g) {
      const std::uint64_t draw = static_cast<std::uint64_t>(t) * 24 + i;
      const long double noise = std::sqrt(2 * 0.01L * temperature) *
                                normal_double(seed, random_stream("sgd/langevin"), draw);
      *square += static_cast<double>(noise * noise);
      return 0.01L * g - noise;
    });
  });
  compare(training, all, 200, 4);
  const double draws = 200 * 24;
  const double variance = 2 * 0.01 * 0.03;
  for (const std::size_t s : {1u, 3u}) {
    EXPECT_NEAR(squares[s] / draws, variance, 6 * variance * std::sqrt(2 / draws));
  }
  EXPECT_NE(squares[1], squares[3]);
}

/// On f = 1/2 (w - M)^2 a step is d <- (1 - eta) d + sqrt(2 eta T) z for d = w - M, whose
/// stationary variance is T / (1 - eta / 2); 500 steps leave (1 - eta)^1000 = 2e-9 of the start.
/// Over 2000 members.
TEST_P(OptimizerOnDevice, LangevinReachesItsTemperature) {
  if (GetParam().name != "cpu") GTEST_SKIP() << "the law is the same bits on every device";
  const auto device = executor();
  Training training(
      *device,
      "problem.seed = 3\n[model]\nkind = \"deep_linear\"\nsizes = [1, 1]\n"
      "[objective]\nkind = \"full\"\ntarget = { kind = \"gaussian\", size = 1 }\n"
      "[init]\nkind = \"gaussian\"\nstddev = 0.5\n[stop]\nsteps = 100000\n"
      "[probes]\ntrain_loss = { every = 1 }\n[optimizer]\nkind = \"langevin\"\n"
      "learning_rate = 0.02\ntemperature = 0.25\n[sweep]\nseed = { range = [0, 2000] }\n");
  for (int t = 0; t < 500; ++t) {
    training.evaluate();
    training.move();
  }
  training.evaluate();
  double sum = 0;
  double sum2 = 0;
  for (std::int64_t s = 0; s < training.slots(); ++s) {
    const double distance = training.gradient(s).front();  // w - M
    sum += distance;
    sum2 += distance * distance;
  }
  const double n = static_cast<double>(training.slots());
  const double variance = 0.25 / (1 - 0.02 / 2);
  EXPECT_NEAR(sum2 / n, variance, 6 * variance * std::sqrt(2 / n));
  EXPECT_NEAR(sum / n, 0, 6 * std::sqrt(variance / n));
}

/// Three members: noise now and then, at every step, never.
TEST_P(OptimizerOnDevice, PerturbedDescentAddsNoiseExactlyWhenItShould) {
  const auto device = executor();
  const std::string toml =
      problem("kind = \"perturbed_gd\"\nlearning_rate = 0.05\nradius = 0.02",
              "[sweep]\nzip = [\n"
              "{ \"optimizer.grad_threshold\" = 0.3, \"optimizer.min_steps\" = 7 },\n"
              "{ \"optimizer.grad_threshold\" = 1e9, \"optimizer.min_steps\" = 0 },\n"
              "{ \"optimizer.grad_threshold\" = 0.0, \"optimizer.min_steps\" = 0 },\n]\n");
  Training training(*device, toml);
  Training plain(*device, problem("kind = \"gd\"\nlearning_rate = 0.05"));
  std::vector<std::int64_t> last(3, -1'000'000'000);
  std::vector<int> added(3, 0);
  for (std::int64_t t = 0; t < 300; ++t) {
    training.evaluate();
    std::vector<double> norm2;
    std::vector<std::vector<double>> before;
    for (std::int64_t s = 0; s < 3; ++s) {
      norm2.push_back(training.grad_norm2(s));
      before.push_back(training.parameters(s));
    }
    training.move();
    for (std::int64_t s = 0; s < 3; ++s) {
      const auto slot = static_cast<std::size_t>(s);
      const Settings member = training.member(s);
      const bool due = std::sqrt(norm2[slot]) <= member.number("optimizer.grad_threshold") &&
                       t - last[slot] > member.integer("optimizer.min_steps");
      // What was subtracted is 0.05 times the gradient that the slot shows now, which is that at
      // the perturbed point; the rest is the noise.
      const auto after = training.parameters(s);
      const auto slope = training.gradient(s);
      double noise2 = 0;
      for (std::size_t i = 0; i < after.size(); ++i) {
        const double noise = after[i] + 0.05 * slope[i] - before[slot][i];
        noise2 += noise * noise;
      }
      const double noise = std::sqrt(noise2);
      if (due) {
        last[slot] = t;
        ++added[slot];
        EXPECT_GT(noise, 1e-4) << "slot " << s << ", step " << t;
        EXPECT_LE(noise, 0.02 + 100 * eps);
      } else {
        EXPECT_LE(noise, 100 * eps) << "slot " << s << ", step " << t;
      }
    }
  }
  EXPECT_GT(added[0], 10);
  EXPECT_LT(added[0], 38);
  EXPECT_EQ(added[1], 300);
  EXPECT_EQ(added[2], 0);
  // Without noise it is gradient descent, bit for bit.
  for (int t = 0; t < 300; ++t) {
    plain.evaluate();
    plain.move();
  }
  EXPECT_TRUE(same_bits(plain.parameters(0), training.parameters(2)));
}

/// A model of one layer, whose gradient is that in W: the residuals on the observed entries.
std::string one_layer(const std::string& optimizer, const std::string& rest) {
  return "problem.seed = 3\n[model]\nkind = \"deep_linear\"\nsizes = [4, 5]\n"
         "[objective]\nkind = \"completion\"\nobserved = 0.5\n"
         "target = { kind = \"gaussian\", rows = 5, cols = 4 }\n"
         "[init]\nkind = \"gaussian\"\nstddev = 0.6\n[stop]\nsteps = 1000\n"
         "[probes]\ntrain_loss = { every = 1 }\n[optimizer]\nlearning_rate = 0.001\n" +
         optimizer + "\n" + rest;
}

/// Each step moves along terms / batch times the residuals of the entries that its draws name.
TEST_P(OptimizerOnDevice, EntriesAreDrawnAsTheStreamSays) {
  const auto device = executor();
  for (const bool replacement : {true, false}) {
    for (const std::int64_t batch : {1, 3}) {
      Training training(*device,
                        one_layer("kind = \"sgd_entries\"\nbatch = " + std::to_string(batch) +
                                      "\nreplacement = " + (replacement ? "true" : "false"),
                                  "[sweep]\n\"sgd.seed\" = [7, 8, 7]\n"));
      // Terms are the entries that full-batch descent moves, in row-major order.
      training.evaluate();
      const auto whole = training.gradient(0);
      std::vector<std::size_t> entry;
      for (std::size_t i = 0; i < whole.size(); ++i) {
        if (whole[i] != 0) entry.push_back(i);
      }
      const std::uint64_t terms = entry.size();
      ASSERT_GT(terms, 4u);
      bool other_seed_differed = false;
      for (std::int64_t t = 0; t < 60; ++t) {
        std::vector<std::vector<double>> before, residual;
        training.evaluate();
        for (std::int64_t s = 0; s < 3; ++s) {
          before.push_back(training.parameters(s));
          residual.push_back(training.gradient(s));
        }
        training.move();
        other_seed_differed =
            other_seed_differed || !same_bits(training.parameters(0), training.parameters(1));
        for (std::int64_t s = 0; s < 3; ++s) {
          const auto slot = static_cast<std::size_t>(s);
          const std::uint64_t seed = s == 1 ? 8 : 7;
          const std::uint64_t stream = random_stream("sgd/entries");
          std::vector<double> expected = before[slot];
          const double weight = static_cast<double>(terms) / static_cast<double>(batch);
          for (std::int64_t b = 0; b < batch; ++b) {
            const auto q = static_cast<std::uint64_t>(t * batch + b);
            const std::uint64_t term =
                replacement ? kernels::scaled_bits(random_bits(seed, stream, q), terms)
                            : kernels::shuffled(seed, stream, terms, q / terms, q % terms);
            expected[entry[term]] -= 0.001 * weight * residual[slot][entry[term]];
          }
          const auto after = training.parameters(s);
          for (std::size_t i = 0; i < after.size(); ++i) {
            ASSERT_NEAR(after[i], expected[i], 8 * eps * (1 + std::fabs(expected[i])))
                << "slot " << s << ", step " << t << ", entry " << i;
          }
        }
      }
      EXPECT_TRUE(same_bits(training.parameters(0), training.parameters(2)));
      // Whole epochs bring each entry equally far in any order: differences show within them.
      EXPECT_TRUE(other_seed_differed);
    }
  }
}

/// Noise on the labels: the gradient of one layer is W - M - sigma xi on the observed entries.
TEST_P(OptimizerOnDevice, LabelNoiseHasItsVarianceAndIsFresh) {
  const auto device = executor();
  Training training(*device, one_layer("kind = \"label_noise\"",
                                       "[sweep]\n\"optimizer.label_noise\" = [0.0, 0.4]\n"));
  double sum = 0;
  double squares = 0;
  double lagged = 0;
  std::vector<double> last(20, 0.0);
  constexpr int steps = 400;
  double terms = 0;
  for (int t = 0; t < steps; ++t) {
    training.evaluate();
    const auto quiet = training.gradient(0);
    const auto clean = training.gradient(1);
    training.move();
    EXPECT_TRUE(same_bits(training.gradient(0), quiet)) << "noise of deviation 0";
    const auto noisy = training.gradient(1);
    terms = 0;
    for (std::size_t i = 0; i < noisy.size(); ++i) {
      if (clean[i] == 0) {
        EXPECT_EQ(noisy[i], 0) << "an entry that is not observed";
        continue;
      }
      ++terms;
      const double noise = noisy[i] - clean[i];
      sum += noise;
      squares += noise * noise;
      lagged += noise * last[i];
      last[i] = noise;
    }
  }
  const double draws = steps * terms;
  EXPECT_NEAR(sum / draws, 0, 6 * 0.4 / std::sqrt(draws));
  EXPECT_NEAR(squares / draws, 0.16, 6 * 0.16 * std::sqrt(2 / draws));
  EXPECT_NEAR(lagged / draws, 0, 6 * 0.16 / std::sqrt(draws));
}

MANYFOLD_ON_ALL_DEVICES(OptimizerOnDevice);

struct Kind {
  const char* name;
  const char* keys;
};
const std::vector<Kind> kinds = {
    {"momentum", "kind = \"momentum\"\nlearning_rate = 0.02"},
    {"nesterov", "kind = \"nesterov\"\nlearning_rate = 0.02"},
    {"adam", "kind = \"adam\"\nlearning_rate = 0.01"},
    {"sign", "kind = \"sign\"\nlearning_rate = 0.01"},
    {"entries",
     "kind = \"sgd_entries\"\nlearning_rate = 0.01\nbatch = 2\nreplacement = false\n"
     "label_noise = 0.1"},
    {"label_noise", "kind = \"label_noise\"\nlearning_rate = 0.02\nlabel_noise = 0.3"},
    {"langevin", "kind = \"langevin\"\nlearning_rate = 0.02\ntemperature = 0.01"},
    {"perturbed_gd",
     "kind = \"perturbed_gd\"\nlearning_rate = 0.02\ngrad_threshold = 0.5\n"
     "radius = 0.1\nmin_steps = 3"},
};

/// A member alone, among others, in waves, and with other threads: the same bits, for every kind;
/// and one that diverges leaves the others as they are.
TEST(OptimizerPacking, AMemberIsTheSameInAnyCompany) {
  for (const Kind& kind : kinds) {
    SCOPED_TRACE(kind.name);
    const std::string seeds = "[sweep]\nseed = { range = [0, 9] }\n";
    const std::string toml = problem(kind.keys);
    const std::vector<std::string> short_run{"stop.steps=60"};
    const auto whole = run(problem(kind.keys, seeds), *executor_on("cpu", 3), short_run);
    EXPECT_EQ(whole.plan.families.size(), 1u);
    const std::size_t one = whole.plan.families[0].footprint.bytes_per_slot;
    const auto waves =
        run(problem(kind.keys, seeds), *executor_on("cpu", 1, 2 * one + 100'000), short_run);
    const auto alone = run(toml, *executor_on("cpu", 1), {"stop.steps=60", "seed=4"});
    EXPECT_TRUE(same_bits(whole.everything(4), alone.everything(0)));
    for (std::int64_t m = 0; m < 9; ++m) {
      EXPECT_TRUE(same_bits(whole.everything(m), waves.everything(m))) << m;
    }
    const auto beside =
        run(problem(kind.keys, "[sweep]\n\"optimizer.learning_rate\" = [1e200, 0.02, 0.01]\n"),
            *executor_on("cpu", 2), {"stop.steps=60", "seed=4"});
    const bool first = std::string(kind.keys).find("learning_rate = 0.02") != std::string::npos;
    EXPECT_TRUE(same_bits(beside.everything(first ? 1 : 2), alone.everything(0)));
  }
}

/// What an ensemble allocates for a slot is at most what its plan counts.
TEST(OptimizerMemory, IsCounted) {
  const auto device = executor_on("cpu");
  for (const Kind& kind : kinds) {
    for (const char* schedule : {"",
                                 "[schedule.learning_rate]\nkind = \"linear\"\nfinal = 0\n"
                                 "steps = 5\n"}) {
      SCOPED_TRACE(kind.name);
      const Experiment experiment =
          Experiment::parse(problem(kind.keys, schedule), "test.toml", {}, experiment_spec());
      const Settings member = experiment.member(0);
      kernels::WorkSlots work(*device, 100, 100);
      const auto model = model_kind(member).make(*device, member, 100, true, work);
      const std::size_t before = device->allocated();
      const auto optimizer = optimizer_kind(member).make({*device, *model, member, 100});
      const std::size_t counted =
          100 * optimizer_kind(member).bytes_per_slot(member, 24, sizeof(double));
      // A buffer's size may be rounded up to a multiple of 256 bytes.
      EXPECT_LE(device->allocated() - before, counted + 16 * 256);
      EXPECT_GE(device->allocated() - before, 100 * sizeof(double));
    }
  }
}

/// Families: what memory or kernels depend on sets members apart, and nothing else does.
TEST(OptimizerFamilies, DifferByBatchAndSchedule) {
  const auto device = executor_on("cpu");
  const auto families = [&](const std::string& optimizer, const std::string& sweep) {
    const Experiment experiment = Experiment::parse(problem(optimizer, "[sweep]\n" + sweep),
                                                    "test.toml", {}, experiment_spec());
    return make_plan(experiment, device->device()).families;
  };
  const std::string entries = "kind = \"sgd_entries\"\nlearning_rate = 0.1";
  const auto batches = families(entries, "\"optimizer.batch\" = [1, 4]\n");
  ASSERT_EQ(batches.size(), 2u);
  EXPECT_NE(batches[0].description.find("sgd_entries batch 1, f64"), std::string::npos)
      << batches[0].description;
  EXPECT_EQ(families(entries, "\"optimizer.replacement\" = [true, false]\n").size(), 2u);
  EXPECT_EQ(families(entries, "\"optimizer.label_noise\" = [0.0, 0.5]\n").size(), 1u);
  EXPECT_EQ(families("kind = \"momentum\"\nlearning_rate = 0.1",
                     "\"optimizer.momentum\" = [0.5, 0.9]\n\"optimizer.learning_rate\" = [1, 2]\n")
                .size(),
            1u);
}

}  // namespace
}  // namespace manyfold::testing
