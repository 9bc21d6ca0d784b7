// Resident stepping against the batched path, and its own promises: what a member becomes depends
// on nothing but itself.
#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

#include <dlfcn.h>
#include <fmt/format.h>

#include "core/error.hpp"
#include "core/executor/memory.hpp"
#include "models/training/ensemble.hpp"
#include "tests/models/run.hpp"

namespace manyfold::testing {
namespace {

using ResidentOnDevice = OnDevice;

/// An experiment of few members; `parts` replace the tables of the same name.
struct Parts {
  std::string top = "problem.seed = 3\n";
  std::string model = "kind = \"deep_linear\"\nsizes = [6, 5, 7]";
  std::string objective = "kind = \"full\"\ntarget = { kind = \"gaussian\", rows = 7, cols = 6 }";
  std::string optimizer = "kind = \"gd\"\nlearning_rate = 0.02";
  std::string rest;
  std::string init = "kind = \"gaussian\"\nstddev = 0.3";
  std::string stop = "steps = 60\ncheck_every = 7";
};

std::string text(const Parts& parts, int members = 5) {
  return fmt::format(
      "{}[model]\n{}\n[objective]\n{}\n[init]\n{}\n[optimizer]\n{}\n[stop]\n{}\n{}\n[probes]\n"
      "train_loss = {{ every = 20 }}\nparameters = {{ every = 30 }}\n[sweep]\n\"seed\" = {{ range "
      "= "
      "[0, {}] }}\n",
      parts.top, parts.model, parts.objective, parts.init, parts.optimizer, parts.stop, parts.rest,
      members);
}

/// The largest difference of two runs' samples over the largest sample of its kind.
double distance(const Results& a, const Results& b) {
  std::map<std::string, double> largest;
  std::map<std::string, double> difference;
  EXPECT_EQ(a.values.size(), b.values.size());
  for (const auto& [key, values] : a.values) {
    const auto found = b.values.find(key);
    if (found == b.values.end() || found->second.size() != values.size()) {
      ADD_FAILURE() << std::get<0>(key) << " is missing";
      return INFINITY;
    }
    for (std::size_t i = 0; i < values.size(); ++i) {
      if (std::isnan(values[i]) && std::isnan(found->second[i])) continue;
      double& most = difference[std::get<0>(key)];
      const double here = std::abs(values[i] - found->second[i]);
      most = here > most || std::isnan(here) ? here : most;
      largest[std::get<0>(key)] = std::max(largest[std::get<0>(key)], std::abs(values[i]));
    }
  }
  double worst = 0;
  for (const auto& [name, d] : difference) {
    worst = std::max(worst, d == 0 ? 0 : d / largest[name]);
  }
  return worst;
}

struct Case {
  std::string name;
  Parts parts;
  std::vector<std::string> overrides = {};
};

std::vector<Case> cases() {
  std::vector<Case> all;
  const auto optimizer = [&](const std::string& name, const std::string& lines,
                             const std::string& objective = "") {
    Parts parts;
    parts.optimizer = lines;
    if (!objective.empty()) parts.objective = objective;
    all.push_back({name, parts});
  };
  const std::string completion =
      "kind = \"completion\"\nobserved = 0.5\ntarget = { kind = \"gaussian\", rows = 7, cols = 6 }";
  optimizer("gd", "kind = \"gd\"\nlearning_rate = 0.02");
  optimizer("gd masked", "kind = \"gd\"\nlearning_rate = 0.02", completion);
  optimizer("gd masked paper", "kind = \"gd\"\nlearning_rate = 0.1",
            completion + "\nconvention = \"paper\"");
  optimizer("gd masked l2", "kind = \"gd\"\nlearning_rate = 0.02", completion + "\nl2 = 0.1");
  optimizer("rms_gd", "kind = \"rms_gd\"\nlearning_rate = 1e-3\nepsilon = 1e-4", completion);
  optimizer("momentum", "kind = \"momentum\"\nlearning_rate = 0.01");
  optimizer("nesterov", "kind = \"nesterov\"\nlearning_rate = 0.01");
  optimizer("adam", "kind = \"adam\"\nlearning_rate = 0.01", completion);
  optimizer("sign", "kind = \"sign\"\nlearning_rate = 1e-3");
  optimizer("langevin", "kind = \"langevin\"\nlearning_rate = 0.01\ntemperature = 1e-3");
  optimizer("perturbed_gd",
            "kind = \"perturbed_gd\"\nlearning_rate = 0.01\ngrad_threshold = 100.0\nradius = "
            "1e-3\nmin_steps = 5");
  optimizer("sgd_entries", "kind = \"sgd_entries\"\nlearning_rate = 0.001", completion);
  optimizer("sgd_entries batch",
            "kind = \"sgd_entries\"\nlearning_rate = 0.001\nbatch = 3\nreplacement = "
            "false\nlabel_noise = 0.1",
            completion);
  optimizer("label_noise", "kind = \"label_noise\"\nlearning_rate = 0.01\nlabel_noise = 0.1",
            completion);
  optimizer("sensing", "kind = \"gd\"\nlearning_rate = 0.01",
            "kind = \"sensing\"\nmeasurements = { kind = \"gaussian\", count = 9 }\ntarget = { "
            "kind = \"gaussian\", rows = 7, cols "
            "= 6 }");
  optimizer("linear", "kind = \"gd\"\nlearning_rate = 0.001",
            "kind = \"linear\"\ntarget = { kind = \"gaussian\", rows = 7, cols = 6 }");
  Parts schedule;
  schedule.objective = completion;
  schedule.rest =
      "[schedule.learning_rate]\nkind = \"piecewise\"\nat = [0, 20]\nvalues = [0.03, 0.01]";
  all.push_back({"schedule", schedule});
  Parts own;
  own.objective = completion;
  own.top = "";
  own.rest = "";
  all.push_back({"a problem each", own, {"sweep.\"problem.seed\"=[1,2]"}});
  // What rests in device memory is read by slot: entries and schedules that differ from the
  // first's.
  Parts entries = own;
  entries.optimizer = "kind = \"sgd_entries\"\nlearning_rate = 0.01";
  all.push_back({"entries each", entries, {"sweep.\"problem.seed\"=[1,2]"}});
  Parts own_schedule = schedule;
  all.push_back(
      {"a schedule each", own_schedule, {"sweep.\"schedule.learning_rate.warmup\"=[0, 25]"}});
  // One drawn entry a step has a resident form of its own (kernels/resident/fuse_drawn.cpp).
  Parts drawn = entries;
  drawn.model = "kind = \"deep_linear\"\nsizes = [6, 9, 5, 10, 7]";
  drawn.objective = completion + "\nconvention = \"weight-decay\"\nl2 = 0.1";
  drawn.optimizer = "kind = \"sgd_entries\"\nlearning_rate = 0.01\nlabel_noise = 0.1";
  drawn.rest =
      "[schedule.learning_rate]\nkind = \"piecewise\"\nat = [0, 20]\nvalues = [0.03, 0.01]";
  all.push_back({"a drawn entry of a deep chain", drawn, {"sweep.\"problem.seed\"=[1,2]"}});
  Parts undecayed = entries;
  undecayed.model = "kind = \"deep_linear\"\nsizes = [6, 9, 7]";
  undecayed.stop = "steps = 60\ncheck_every = 1";
  all.push_back({"a drawn entry of two layers", undecayed, {"sweep.\"problem.seed\"=[1,2]"}});
  Parts symmetric;
  symmetric.model = "kind = \"symmetric\"\ndepth = 2\nhidden = 5";
  symmetric.objective =
      "kind = \"full\"\ntarget = { kind = \"gaussian\", size = 5 }\nsymmetric = true";
  all.push_back({"symmetric", symmetric});
  Parts masked_symmetric = symmetric;
  masked_symmetric.objective =
      "kind = \"completion\"\nobserved = 0.4\ntarget = { kind = \"gaussian\", size = 5 "
      "}\nsymmetric "
      "= true";
  all.push_back({"symmetric masked", masked_symmetric});
  Parts asymmetric;
  asymmetric.model = "kind = \"asymmetric\"\nrank = 2";
  asymmetric.objective =
      "kind = \"full\"\nbalance_penalty = 0.125\ntarget = { kind = \"gaussian\", rows = 7, cols = "
      "6 }";
  all.push_back({"balance penalty", asymmetric});
  Parts wide;
  wide.model = "kind = \"deep_linear\"\nsizes = [33, 4, 65]";
  wide.objective =
      "kind = \"completion\"\nobserved = 0.3\ntarget = { kind = \"gaussian\", rows = 65, cols = 33 "
      "}";
  wide.optimizer = "kind = \"gd\"\nlearning_rate = 1e-3";
  all.push_back({"33x65", wide});
  Parts row;
  row.model = "kind = \"deep_linear\"\nsizes = [7, 1, 1]";
  row.objective = "kind = \"full\"\ntarget = { kind = \"gaussian\", rows = 1, cols = 7 }";
  all.push_back({"1x7", row});
  Parts scalar;
  scalar.model = "kind = \"deep_linear\"\nsizes = [1, 1, 1]";
  scalar.objective = "kind = \"full\"\ntarget = { kind = \"gaussian\", rows = 1, cols = 1 }";
  all.push_back({"1x1", scalar});
  Parts single;
  single.model = "kind = \"deep_linear\"\nsizes = [6, 7]";
  all.push_back({"depth 1", single});
  const std::string vectors =
      "source = \"gaussian\"\nshape = 4\noutputs = 2\ncount = 9\ntargets = \"random_normal\"";
  const auto net = [&](const std::string& name, const std::string& layers,
                       const std::string& lines = "kind = \"gd\"\nlearning_rate = 0.02",
                       const std::string& objective = "", const std::string& data = "") {
    Parts parts;
    parts.model = "kind = \"network\"\nlayers = [" + layers + "]";
    parts.objective = objective;
    parts.optimizer = lines;
    parts.rest = "[data]\n" + (data.empty() ? vectors : data);
    all.push_back({"net: " + name, parts});
  };
  net("relu", R"("dense 6", "relu", "dense 5", "relu", "output")");
  net("leaky_relu", R"("dense 6 bias", "leaky_relu 0.2 scale 0.5", "output bias")");
  net("tanh", R"("dense 6", "tanh", "output scale 2")");
  net("smooth", R"("dense 6", "softplus", "dense 5", "sigmoid", "dense 3", "erf", "output")");
  net("an activation first", R"("tanh", "dense 6", "relu", "output")");
  net("blocks", R"("dense 6", "residual", "dense 6", "relu", "end scale 0.3", "relu", "output")");
  net("frozen", R"("dense 6", "relu", "output frozen signs")");
  net("minibatch", R"("dense 6", "relu", "output")",
      "kind = \"sgd_entries\"\nlearning_rate = 0.02\nbatch = 4");
  net("label noise", R"("dense 6", "relu", "output")",
      "kind = \"label_noise\"\nlearning_rate = 0.02\nlabel_noise = 0.1");
  net("adam", R"("dense 6", "tanh", "output")", "kind = \"adam\"\nlearning_rate = 0.01");
  net("cross entropy", R"("flatten", "dense 6", "relu", "output")",
      "kind = \"gd\"\nlearning_rate = 0.2", "loss = \"cross_entropy\"\nreduction = \"mean\"",
      "source = \"digits\"\nclasses = [3, 1, 7]\ncount = 7");
  net("logistic", R"("flatten", "dense 3", "relu", "output")", "kind = \"gd\"\nlearning_rate = 0.2",
      "loss = \"logistic\"",
      "source = \"digits\"\nclasses = [3, 1]\ncount = 7\ntargets = \"sign\"");
  net("data each", R"("dense 6", "relu", "output")");
  Parts data_each = all.back().parts;
  data_each.top = "";
  all.back() = Case{"net: data each", data_each, {"sweep.\"problem.seed\"=[1,2]"}};
  Parts deep;
  deep.model = "kind = \"deep_linear\"\ndepth = 12\nhidden = 6";
  deep.objective =
      "kind = \"completion\"\nobserved = 0.5\ntarget = { kind = \"gaussian\", size = 6 }";
  deep.init = "kind = \"orthogonal\"\nend_norm = 1.0";
  deep.optimizer = "kind = \"gd\"\nlearning_rate = 1e-3";
  all.push_back({"depth 12", deep});
  return all;
}

// Both paths take the same steps; only sums that no product is part of (losses, norms) are added in
// another order. Roundings are amplified by what the landscape does to them in 60 small steps.
TEST_P(ResidentOnDevice, StepsAsTheBatchedPathDoes) {
  const auto device = executor();
  for (const Case& one : cases()) {
    SCOPED_TRACE(one.name);
    const std::vector<std::string>& problems = one.overrides;
    const Results batched = run(text(one.parts), *device, problems, false, "batched");
    const Results resident = run(text(one.parts), *device, problems, false, "resident");
    EXPECT_EQ(batched.summary.usage.place_steps, 0);
    EXPECT_EQ(resident.summary.usage.member_steps, resident.summary.member_steps);
    EXPECT_LT(distance(batched, resident), 1e-11);
    std::vector<std::string> narrow = problems;
    narrow.emplace_back("precision=\"f32\"");
    EXPECT_LT(distance(run(text(one.parts), *device, narrow, false, "batched"),
                       run(text(one.parts), *device, narrow, false, "resident")),
              one.name == "sign" ? 1e-2 : 2e-4);
  }
}

bool has(const kernels::resident::Program& program, kernels::resident::Operation operation) {
  return std::any_of(program.instructions.begin(), program.instructions.end(),
                     [&](const auto& one) { return one.operation == operation; });
}

// What the paths above are compared with are the rewritten steps, not the ones they stand for.
TEST_P(ResidentOnDevice, StepsAreRewrittenWhereThatIsLess) {
  using kernels::resident::Operation;
  const auto device = executor();
  const auto program_has = [&](const std::string& name, Operation operation) {
    for (const Case& one : cases()) {
      if (one.name != name) continue;
      const Experiment experiment =
          Experiment::parse(text(one.parts), "test.toml", {}, experiment_spec());
      Plan plan = make_plan(experiment, device->device());
      choose_paths(plan, experiment, *device, "resident");
      const std::vector<Settings> members{experiment.member(0)};
      Ensemble ensemble(*device, members.front(), plan.families.front(), plan.probes,
                        plan.check_every);
      ensemble.load(members);
      return has(*ensemble.resident(), operation);
    }
    ADD_FAILURE() << "no case " << name;
    return false;
  };
  EXPECT_TRUE(program_has("a drawn entry of a deep chain", Operation::drawn_descent));
  EXPECT_TRUE(program_has("a drawn entry of two layers", Operation::drawn_descent));
  EXPECT_FALSE(program_has("sgd_entries batch", Operation::drawn_descent));
  const bool cpu = GetParam().name == "cpu";  // the others carry masks out entry by entry
  EXPECT_EQ(program_has("gd masked", Operation::sparse_top_layer), cpu);
  EXPECT_EQ(program_has("33x65", Operation::sparse_top_layer), cpu);
}

/// Many members of a deep chain, and everything that a look may want.
std::string looked_at(int members) {
  Parts parts;
  parts.model = "kind = \"deep_linear\"\nsizes = [6, 5, 5, 7]";
  parts.stop = "steps = 12\ncheck_every = 4";
  parts.top = "";
  std::string toml = text(parts, members);
  const std::string probes = "[probes]\n";
  return toml.insert(toml.find(probes) + probes.size(),
                     "grad_norm = { every = 4 }\nbalance = { every = 4 }\n"
                     "balance_drift = { every = 4 }\nsingular_values = { every = 4, count = 3 }\n"
                     "layer_norm2 = { every = 4 }\n");
}

// Looks at many resident members go through windows: the last one is not full.
TEST_P(ResidentOnDevice, LooksThroughWindowsSeeWhatOneLookSees) {
  const auto device = executor();
  constexpr int members = 150;
  const Experiment experiment =
      Experiment::parse(looked_at(members), "test.toml", {}, experiment_spec());
  Plan plan = make_plan(experiment, device->device());
  choose_paths(plan, experiment, *device, "resident");
  ASSERT_EQ(plan.families.front().slots, members);
  ASSERT_EQ(plan.families.front().slots_in_window(), 64);
  const Results windows = run(looked_at(members), *device, {}, false, "resident");
  const Results whole = run(looked_at(members), *device, {}, false, "batched");
  EXPECT_LT(distance(windows, whole), 1e-10);
  const Results few = run(looked_at(5), *device, {}, false, "resident");
  for (std::int64_t m = 0; m < 5; ++m) {
    EXPECT_TRUE(same_bits(windows.everything(m), few.everything(m))) << "member " << m;
  }
}

// A resident member has no products, slopes or gradients of its own in device memory.
TEST_P(ResidentOnDevice, AMemberTakesLittleMoreThanItsParameters) {
  const auto device = executor();
  constexpr int members = 1024;
  constexpr std::int64_t size = 20;
  Parts parts;
  parts.model = "kind = \"deep_linear\"\ndepth = 3\nhidden = 20";
  parts.objective =
      "kind = \"completion\"\nobserved = 0.3\ntarget = { kind = \"gaussian\", size = 20 }";
  std::string toml = text(parts, members);
  toml.replace(toml.find("parameters = "), toml.find("[sweep]") - toml.find("parameters = "), "");
  const Experiment experiment = Experiment::parse(toml, "test.toml", {}, experiment_spec());
  Plan plan = make_plan(experiment, device->device());
  choose_paths(plan, experiment, *device, "resident");
  const FamilyPlan& family = plan.families.front();
  const std::size_t before = device->allocated();
  const Ensemble ensemble(*device, experiment.member(0), family, plan.probes, plan.check_every);
  const std::size_t each = (device->allocated() - before) / members;
  // Parameters and gradient, and one learning rate; one problem for all.
  const auto own = static_cast<std::size_t>(2 * 3 * size * size + 1) * sizeof(double);
  EXPECT_LT(each, own * 12 / 10);
  EXPECT_LE(device->allocated() - before, family.bytes());
  EXPECT_GT((device->allocated() - before) * 100, family.bytes() * 98);
}

/// Lengths, rates and ends of all kinds.
std::string mixed(int members) {
  Parts parts;
  parts.objective =
      "kind = \"completion\"\nobserved = 0.5\ntarget = { kind = \"gaussian\", rows = 7, cols = 6 }";
  parts.stop = "steps = 50\ncheck_every = 5\ntrain_loss = 2.0";
  std::string toml = text(parts, members);
  toml += "zip = [\n";
  for (int i = 0; i < 7; ++i) {
    toml += fmt::format("  {{ \"stop.steps\" = {}, \"optimizer.learning_rate\" = {} }},\n",
                        1 + 37 * i % 113, i == 4 ? 50.0 : 0.01 + 0.01 * i);
  }
  return toml + "]\n";
}

// Any company, order, number of threads: bitwise the same, diverging neighbours included.
TEST_P(ResidentOnDevice, AMemberDependsOnItselfAlone) {
  const auto device = executor(2);
  const Results together = run(mixed(5), *device, {}, false, "resident");
  std::int64_t diverged = 0;
  std::int64_t steps = 0;
  for (const auto& [member, end] : together.ends) {
    diverged += end.status == MemberStatus::diverged ? 1 : 0;
    steps += end.end_step;
  }
  EXPECT_EQ(static_cast<std::int64_t>(together.ends.size()), 35);
  EXPECT_EQ(diverged, 5);
  EXPECT_EQ(together.summary.usage.member_steps, steps);
  EXPECT_LE(together.summary.usage.member_steps, together.summary.usage.place_steps);
  for (const int threads : {1, 3}) {
    const auto other = executor(threads);
    const Results again = run(mixed(5), *other, {}, false, "resident");
    for (std::int64_t m = 0; m < 35; ++m) {
      EXPECT_TRUE(same_bits(together.everything(m), again.everything(m))) << "member " << m;
    }
  }
  for (const int seed : {0, 3}) {
    const Results alone =
        run(mixed(5), *device, {fmt::format("sweep.seed=[{}]", seed)}, false, "resident");
    for (std::int64_t i = 0; i < 7; ++i) {
      EXPECT_TRUE(same_bits(together.everything(seed * 7 + i), alone.everything(i)))
          << "seed " << seed << ", variant " << i;
    }
  }
}

// How far a launch goes makes no difference, nor do looks in between.
TEST_P(ResidentOnDevice, StopsOnTheWayChangeNothing) {
  const auto device = executor();
  const Experiment experiment = Experiment::parse(mixed(2), "test.toml", {}, experiment_spec());
  Plan plan = make_plan(experiment, device->device());
  choose_paths(plan, experiment, *device, "resident");
  std::vector<Settings> members;
  for (std::int64_t m = 0; m < experiment.members(); ++m) members.push_back(experiment.member(m));
  const auto reach = [&](const std::vector<std::int64_t>& stops) {
    Ensemble ensemble(*device, members.front(), plan.families.front(), plan.probes,
                      plan.check_every);
    EXPECT_NE(ensemble.resident(), nullptr);
    ensemble.load(members);
    std::int64_t at = 0;
    for (const std::int64_t stop : stops) {
      ensemble.advance(at, stop);
      at = stop;
      const auto look = ensemble.look(at, {0});
      ensemble.await(look);
    }
    std::vector<double> all;
    for (std::size_t m = 0; m < members.size(); ++m) {
      const auto one = ensemble.parameters(static_cast<std::int64_t>(m));
      all.insert(all.end(), one.begin(), one.end());
    }
    return all;
  };
  const auto at_once = reach({120});
  EXPECT_TRUE(same_bits(at_once, reach({1, 2, 3, 10, 11, 64, 120})));
}

// The order of the list, its cuts into launches and the company: the whole state of a member, the
// optimizer's memory included, has the bits that it has when the member is alone.
TEST_P(ResidentOnDevice, TheOrderOfTheListChangesNothing) {
  const auto device = executor();
  const std::string completion =
      "kind = \"completion\"\nobserved = 0.5\ntarget = { kind = \"gaussian\", rows = 7, cols = 6 }";
  const std::array optimizers{
      "kind = \"gd\"\nlearning_rate = 0.02",
      "kind = \"adam\"\nlearning_rate = 0.01",
      "kind = \"perturbed_gd\"\nlearning_rate = 0.01\ngrad_threshold = 100.0\nradius = "
      "1e-3\nmin_steps = 5",
      "kind = \"sgd_entries\"\nlearning_rate = 0.001\nbatch = 3\nreplacement = "
      "false\nlabel_noise = 0.1",
  };
  constexpr std::int64_t count = 13;
  constexpr std::int64_t end = 40;
  for (const char* const optimizer : optimizers) {
    for (const char* const precision : {"f64", "f32"}) {
      SCOPED_TRACE(fmt::format("{}, {}", optimizer, precision));
      Parts parts;
      parts.top = "";  // a problem each: entries are read where they rest, by slot
      parts.objective = completion;
      parts.optimizer = optimizer;
      parts.rest =
          "[schedule.learning_rate]\nkind = \"piecewise\"\nat = [0, 11]\nvalues = "
          "[0.01, 0.002]";
      const Experiment experiment = Experiment::parse(text(parts, 1), "test.toml",
                                                      {"sweep.\"problem.seed\"={ range = [0, 13] }",
                                                       fmt::format("precision=\"{}\"", precision)},
                                                      experiment_spec());
      ASSERT_EQ(experiment.members(), count);
      Plan plan = make_plan(experiment, device->device());
      choose_paths(plan, experiment, *device, "resident");
      ASSERT_EQ(plan.families.size(), 1U);
      ASSERT_FALSE(plan.families.front().shared_problem);
      std::vector<Settings> members;
      for (std::int64_t m = 0; m < count; ++m) members.push_back(experiment.member(m));
      // Lists of slots, each carried to a step: a launch a pair.
      using Launches = std::vector<std::pair<std::vector<std::int32_t>, std::int64_t>>;
      const auto reach = [&](const Launches& launches) {
        Ensemble ensemble(*device, members.front(), plan.families.front(), plan.probes,
                          plan.check_every);
        ensemble.load(members);
        for (const auto& [slots, until] : launches) {
          Buffer<std::int32_t> list(*device, static_cast<std::int64_t>(slots.size()));
          list.upload(slots);
          ensemble.advance_only(list.data(), list.size(), until);
        }
        return ensemble.save(0, count);
      };
      std::vector<std::int32_t> in_order(count);
      std::iota(in_order.begin(), in_order.end(), 0);
      std::vector<std::int32_t> mixed_up;
      for (std::int64_t i = 0; i < count; ++i) {
        mixed_up.push_back(static_cast<std::int32_t>((5 * i + 7) % count));
      }
      std::vector<std::int32_t> backwards(in_order.rbegin(), in_order.rend());
      Launches alone;
      for (const std::int32_t slot : backwards) alone.push_back({{slot}, end});

      const auto expected = reach({{in_order, end}});
      for (const Launches& launches :
           {Launches{{mixed_up, end}}, Launches{{backwards, 17}, {mixed_up, end}}, alone}) {
        const auto found = reach(launches);
        for (std::size_t m = 0; m < static_cast<std::size_t>(count); ++m) {
          EXPECT_EQ(expected[m].step, end);
          ASSERT_EQ(expected[m].arrays.size(), found[m].arrays.size());
          for (std::size_t a = 0; a < expected[m].arrays.size(); ++a) {
            EXPECT_EQ(expected[m].arrays[a].bytes, found[m].arrays[a].bytes)
                << "member " << m << ", " << expected[m].arrays[a].name;
          }
        }
      }
      EXPECT_NE(expected[0].arrays.front().bytes, expected[1].arrays.front().bytes);
    }
  }
}

/// Singular values inside a launch: what is watched of them there is what looks from outside see at
/// the same steps. Of the product and of each layer, of shapes where a layer has fewer than
/// another, of a single factor in single precision, and of matrices too large for a lane each.
TEST_P(ResidentOnDevice, SingularValuesAreFoundOnTheChip) {
  const auto device = executor();
  struct Shape {
    const char* sizes;
    const char* precision;
  };
  std::vector<Shape> shapes{{"[6, 5, 3, 7]", "f64"}, {"[6, 7]", "f32"}};
  if (device->device().kind == "cpu") shapes.push_back({"[37, 7]", "f64"});
  for (const auto& [sizes, precision] : shapes) {
    SCOPED_TRACE(sizes);
    Parts parts;
    parts.top = fmt::format("precision = \"{}\"\n", precision);
    parts.model = fmt::format("kind = \"deep_linear\"\nsizes = {}", sizes);
    const std::string cols = std::string(sizes).substr(1, std::string(sizes).find(',') - 1);
    parts.objective = fmt::format(
        "kind = \"full\"\ntarget = {{ kind = \"gaussian\", rows = 7, cols = {} }}", cols);
    parts.stop = "steps = 24\ncheck_every = 4";
    std::string toml = text(parts, 19);
    const std::string probes = "[probes]\n";
    toml.insert(toml.find(probes) + probes.size(),
                "singular_values = { every = 4, running = \"max\" }\n"
                "layer_singular_values = { every = 4, running = \"min\" }\n"
                "stable_rank = { every = 4, running = \"max\" }\n"
                "effective_rank = { every = 4, running = \"min\" }\n"
                "numerical_rank = { every = 4, tolerance = 0.1, running = \"min\" }\n"
                "nuclear_norm = { every = 4, running = \"max\" }\n");
    const Results found = run(toml, *device, {}, false, "resident");
    ASSERT_EQ(found.plan.families.front().path, Path::resident);
    for (std::int64_t m = 0; m < 20; ++m) {
      for (const auto& [name, word] : {std::pair{"singular_values", "max"},
                                       {"layer_singular_values", "min"},
                                       {"stable_rank", "max"},
                                       {"effective_rank", "min"},
                                       {"numerical_rank", "min"},
                                       {"nuclear_norm", "max"}}) {
        std::vector<double> extreme = found.at(name, m, 0);
        for (std::int64_t sample = 1; sample < 7; ++sample) {
          const std::vector<double> values = found.at(name, m, sample);
          ASSERT_EQ(values.size(), extreme.size()) << name;
          for (std::size_t i = 0; i < values.size(); ++i) {
            extreme[i] = std::string(word) == "max" ? std::max(extreme[i], values[i])
                                                    : std::min(extreme[i], values[i]);
          }
        }
        const std::vector<double> watched = found.at(fmt::format("{}_{}", word, name), m, 0);
        ASSERT_EQ(watched.size(), extreme.size()) << name;
        for (std::size_t i = 0; i < watched.size(); ++i) {
          if (std::isnan(extreme[i])) {
            EXPECT_TRUE(std::isnan(watched[i])) << name;
          } else {
            EXPECT_NEAR(watched[i], extreme[i], 1e-12 * std::max(1.0, extreme[i])) << name << i;
          }
        }
      }
    }
  }
}

/// A choice by shape: both ways can be forced.
TEST_P(ResidentOnDevice, IsNotChosenForProductsOfManyExamplesOnACpu) {
  const auto device = executor();
  const auto plan_of = [&](int examples, const std::string& wanted) {
    const std::string toml = fmt::format(R"(
name = "resident or not"
model = {{ kind = "fc", hidden = [4] }}
data = {{ source = "sphere", shape = 3, count = {}, targets = "random_normal" }}
init = {{ kind = "gaussian", scaling = "he" }}
optimizer = {{ kind = "gd", learning_rate = 0.01 }}
stop.steps = 1
probes.train_loss = {{ steps = [0] }}
)",
                                         examples);
    const Experiment experiment = Experiment::parse(toml, "test.toml", {}, experiment_spec());
    Plan plan = make_plan(experiment, device->device());
    choose_paths(plan, experiment, *device, wanted);
    return plan;
  };
  EXPECT_EQ(plan_of(31, "auto").families.front().path, Path::resident);
  EXPECT_EQ(plan_of(32, "resident").families.front().path, Path::resident);
  const FamilyPlan many = plan_of(32, "auto").families.front();
  if (device->device().kind == "cpu") {
    EXPECT_EQ(many.path, Path::batched);
    EXPECT_EQ(many.path_reason, "products of 32 examples are as fast in batches");
  } else {
    EXPECT_EQ(many.path, Path::resident);
  }
}

TEST_P(ResidentOnDevice, SaysWhyAFamilyIsNot) {
  const auto device = executor();
  Parts large;
  large.model = "kind = \"deep_linear\"\nsizes = [300, 300, 300]";
  large.objective = "kind = \"full\"\ntarget = { kind = \"gaussian\", size = 300 }";
  const auto plan_of = [&](const std::string& toml, const std::string& wanted) {
    const Experiment experiment = Experiment::parse(toml, "test.toml", {}, experiment_spec());
    Plan plan = make_plan(experiment, device->device());
    choose_paths(plan, experiment, *device, wanted);
    return plan;
  };
  const Plan plan = plan_of(text(large, 1), "auto");
  EXPECT_EQ(plan.families.front().path, Path::batched);
  EXPECT_NE(plan.families.front().path_reason.find("KiB on the chip"), std::string::npos)
      << plan.families.front().path_reason;
  EXPECT_THROW((void)plan_of(text(large, 1), "resident"), InputError);
  EXPECT_THROW((void)plan_of(text({}, 1), "resdent"), InputError);
  const std::string watched = text({}, 1) + "[probes.sharpness]\nevery = 10\nrunning = \"max\"\n";
  EXPECT_EQ(plan_of(watched, "auto").families.front().path_reason,
            "random_fill has no resident form");
  EXPECT_EQ(plan_of(text({}, 1), "auto").families.front().path, Path::resident);
  EXPECT_EQ(plan_of(text({}, 1), "batched").families.front().path_reason, "asked for");
}

/// Many more members than places on the chip, of lengths between 1 and 200.
struct Crowd {
  Experiment experiment;
  Plan plan;
  std::vector<Settings> members;

  Crowd(Executor& executor, std::int64_t count)
      : experiment(Experiment::parse(fmt::format(R"(
[model]
kind = "deep_linear"
sizes = [2, 1, 2]
[objective]
kind = "completion"
mask = {{ kind = "entries", rows = [0, 1, 1], cols = [0, 0, 1] }}
target = {{ kind = "values", size = 2, values = [1.0, 4.0, 0.25, 1.0] }}
[init]
kind = "gaussian"
stddev = 0.7
[optimizer]
kind = "gd"
learning_rate = 0.05
[stop]
steps = 10
[probes]
train_loss = {{ steps = [0] }}
[sweep]
"seed" = {{ range = [0, {}] }}
)",
                                                 count),
                                     "test.toml", {}, experiment_spec())),
        plan(make_plan(experiment, executor.device())) {
    choose_paths(plan, experiment, executor, "resident");
    for (std::int64_t m = 0; m < count; ++m) members.push_back(experiment.member(m));
  }
  static std::int64_t length(std::int64_t member) {
    const double share = static_cast<double>(member * 7919 % 10007) / 10007;
    return static_cast<std::int64_t>(std::exp(share * std::log(201.0)));
  }
};

/// The members of a crowd in an ensemble, each to end at its own length.
std::unique_ptr<Ensemble> enter(const Crowd& crowd, Executor& executor) {
  auto ensemble =
      std::make_unique<Ensemble>(executor, crowd.members.front(), crowd.plan.families.front(),
                                 crowd.plan.probes, crowd.plan.check_every);
  ensemble->load(crowd.members);
  std::vector<std::int64_t> lengths;
  for (std::size_t m = 0; m < crowd.members.size(); ++m) {
    lengths.push_back(Crowd::length(static_cast<std::int64_t>(m)));
  }
  ensemble->end_at(lengths);
  return ensemble;
}
std::vector<double> all_parameters(const Crowd& crowd, Ensemble& ensemble) {
  std::vector<double> all;
  for (std::size_t m = 0; m < crowd.members.size(); ++m) {
    const auto one = ensemble.parameters(static_cast<std::int64_t>(m));
    all.insert(all.end(), one.begin(), one.end());
  }
  return all;
}

// A list of members far longer than there are places: each is stepped once, to its own end, under
// its own index, and has the bits that it has when it is alone on the chip.
TEST_P(ResidentOnDevice, ACrowdGoesThroughFewPlaces) {
  const bool on_cpu = GetParam().name == "cpu";
  const auto device = executor(on_cpu ? 8 : 2);  // 8 threads of 8 lanes: 64 places
  const std::int64_t count = on_cpu ? 100'000 : 300;
  const Crowd crowd(*device, count);
  const auto together = enter(crowd, *device);
  together->advance(0, 1000);
  const auto look = together->look(0, {});
  together->await(look);
  const ControlView control = together->control(look);
  std::int64_t steps = 0;
  for (std::int64_t m = 0; m < count; ++m) {
    ASSERT_EQ(control.step[m], Crowd::length(m)) << "member " << m;
    ASSERT_EQ(control.active[m], 0) << "member " << m;
    steps += control.step[m];
  }
  EXPECT_EQ(together->usage().member_steps, steps);
  EXPECT_LE(steps, together->usage().place_steps);

  const auto lonely = executor(1);
  const auto alone = enter(crowd, *lonely);
  Buffer<std::int32_t> one(*lonely, 1);
  for (std::int64_t m = count - 1; m >= 0; --m) {
    one.upload(std::array{static_cast<std::int32_t>(m)});
    alone->advance_only(one.data(), 1, 1000);
  }
  EXPECT_TRUE(same_bits(all_parameters(crowd, *together), all_parameters(crowd, *alone)));
}

MANYFOLD_ON_ALL_DEVICES(ResidentOnDevice);

/// A function of the emulation, which the executor has loaded; its CUDA must not be linked here.
template <class Function>
Function* emulations(const char* name) {
  void* library = dlopen("libemulated_cuda.so", RTLD_NOW | RTLD_NOLOAD);
  EXPECT_NE(library, nullptr);
  return reinterpret_cast<Function*>(dlsym(library, name));
}
constexpr int launch_out_of_resources = 701;  // cudaErrorLaunchOutOfResources
constexpr int illegal_address = 700;          // cudaErrorIllegalAddress

// A launch that the device refuses leaves every member where it was; one that breaks the device is
// reported, and a fresh device does the work with the same bits.
TEST(ResidentOnFailingDevice, RefusesOrReportsAndGoesOnWithTheSameBits) {
  constexpr std::int64_t count = 300;
  std::vector<double> undisturbed;
  {
    const auto device = executor_on("emulated");
    const auto fail_launch = emulations<void(std::uint64_t, int)>("emulation_fail_launch");
    const Crowd crowd(*device, count);
    const auto ensemble = enter(crowd, *device);
    ensemble->advance(0, 1000);
    undisturbed = all_parameters(crowd, *ensemble);

    const auto again = enter(crowd, *device);
    again->advance(0, 20);
    const auto before = all_parameters(crowd, *again);
    fail_launch(1, launch_out_of_resources);
    EXPECT_THROW(again->advance(20, 1000), DeviceError);
    EXPECT_TRUE(same_bits(all_parameters(crowd, *again), before));
    again->advance(20, 1000);
    EXPECT_TRUE(same_bits(all_parameters(crowd, *again), undisturbed));

    fail_launch(1, illegal_address);
    EXPECT_THROW(
        {
          again->advance(0, 1000);
          device->synchronize();
        },
        DeviceError);
  }
  emulations<void()>("emulation_reset")();
  const auto device = executor_on("emulated");
  const Crowd crowd(*device, count);
  const auto ensemble = enter(crowd, *device);
  ensemble->advance(0, 1000);
  EXPECT_TRUE(same_bits(all_parameters(crowd, *ensemble), undisturbed));
}

}  // namespace
}  // namespace manyfold::testing
