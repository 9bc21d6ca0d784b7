// manyfold bench resident: members that are stepped on the chip, beside the floors of their work.
//
// Rows are named as the peers' workloads (apps/bench/peers/workloads), with their problems, sizes
// and operations: see "Floors of the workloads" in kernels/README.md. A further row is one more
// entry of `resident_rows`.
#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "apps/bench/bench.hpp"
#include "apps/bench/floors.hpp"
#include "apps/bench/named_rows.hpp"
#include "apps/bench/plain_loops.hpp"
#include "apps/bench/record_run.hpp"
#include "apps/bench/resident_rows.hpp"
#include "apps/bench/stepping.hpp"
#include "apps/manyfold/summary.hpp"
#include "core/error.hpp"
#include "core/random/philox.hpp"
#include "kernels/common/draws.hpp"
#include "models/factorization/problem.hpp"
#include "models/training/ensemble.hpp"
#include "models/training/plan.hpp"

namespace manyfold::apps {
namespace {

constexpr const char* both[] = {"f64", "f32"};

// Factorizations of 20x20 matrices: apps/bench/peers/workloads/factorization.py.

struct Greedy {
  const char* name;
  int depth;
  bool masked;
  bool rms;
};

constexpr std::int64_t greedy_size = 20;
constexpr double greedy_rms_epsilon = 1e-4;

std::vector<BenchRow> greedy(Executor& executor, const BenchFlags& flags, const Greedy& kind) {
  const double learning_rate = kind.rms ? 2e-5 : 1e-3;
  std::vector<BenchRow> rows;
  for (const char* precision : both) {
    Work work;
    work.bench = "resident";
    work.name = kind.name;
    work.path = flags.device.path;
    work.experiment = fmt::format(
        R"(
name = "bench {}"
precision = "{}"
problem.seed = 7
[model]
kind = "deep_linear"
depth = {}
hidden = {}
[objective]
kind = "{}"
symmetric = true
{}
target = {{ kind = "low_rank", size = {}, singular_values = [17.41, 8.85, 4.31] }}
[init]
kind = "orthogonal"
end_norm = 1e-3
[optimizer]
kind = "{}"
learning_rate = {}
{}
[stop]
steps = {}
[probes]
train_loss  = {{ steps = [0] }}
grad_norm   = {{ steps = [0] }}
layer_norm2 = {{ steps = [0] }}
balance     = {{ steps = [0] }}
[sweep]
"seed" = {{ range = [0, {}] }}
)",
        kind.name, precision, kind.depth, greedy_size, kind.masked ? "completion" : "full",
        kind.masked ? "observed = 0.3" : "", greedy_size, kind.rms ? "rms_gd" : "gd", learning_rate,
        kind.rms ? fmt::format("epsilon = {}", greedy_rms_epsilon) : "", unbounded_steps,
        flags.members_of(256, 4096));
    const int entrywise = 1 + (kind.masked ? 1 : 0) + (kind.rms ? 4 : 2) * kind.depth;
    const auto n = static_cast<double>(greedy_size);
    work.products = 6 * (kind.depth - 1) * n * n * n;
    work.operations = work.products + entrywise * n * n;
    work.formula =
        fmt::format("{}: {} products of 2 n^3 and {} n^2 a member-step, n = {}: {:.0f}", kind.name,
                    3 * (kind.depth - 1), entrywise, greedy_size, work.operations);
    work.elements.assign(static_cast<std::size_t>(kind.depth), greedy_size * greedy_size);
    work.plain = [&](const Settings& member, const std::vector<Matrix>& start) {
      factorization::Problem problem = factorization::make_problem(member);
      const auto seen = std::count_if(problem.mask.begin(), problem.mask.end(),
                                      [](std::uint8_t one) { return one != 0; });
      if (kind.masked) work.observed = static_cast<double>(seen) / (n * n);
      return plain_steps(PlainFactorization{.size = greedy_size,
                                            .target = std::move(problem.target),
                                            .mask = std::move(problem.mask),
                                            .learning_rate = learning_rate,
                                            .rms = kind.rms,
                                            .epsilon = greedy_rms_epsilon},
                         start, checked_steps);
    };
    rows.push_back(measure_stepping(executor, flags, precision, work));
  }
  return rows;
}

std::vector<BenchRow> greedy_2_full(Executor& executor, const BenchFlags& flags) {
  return greedy(executor, flags, {"greedy-2-full", 2, false, false});
}
std::vector<BenchRow> greedy_2_masked(Executor& executor, const BenchFlags& flags) {
  return greedy(executor, flags, {"greedy-2-masked", 2, true, false});
}
std::vector<BenchRow> greedy_3_gd_full(Executor& executor, const BenchFlags& flags) {
  return greedy(executor, flags, {"greedy-3-gd-full", 3, false, false});
}
std::vector<BenchRow> greedy_3_rms_full(Executor& executor, const BenchFlags& flags) {
  return greedy(executor, flags, {"greedy-3-rms-full", 3, false, true});
}

// Nets 2-100-100-2 under SGD on one entry a step: apps/bench/peers/workloads/entries_sgd.py.
std::vector<BenchRow> jumps_3(Executor& executor, const BenchFlags& flags) {
  constexpr std::int64_t size = 2;
  constexpr std::int64_t width = 100;
  constexpr double learning_rate = 0.03;
  constexpr double l2 = 0.1;
  std::vector<BenchRow> rows;
  for (const std::string precision : both) {
    Work work;
    work.bench = "resident";
    work.name = "jumps-3";
    work.path = flags.device.path;
    // The entry that is not observed has a value, too: 4 makes the target one of rank one.
    // Inspected as often as apps/experiments/jumps.toml is.
    work.experiment = fmt::format(
        R"(
name = "bench jumps-3"
precision = "{}"
[model]
kind = "deep_linear"
depth = 3
hidden = {}
[objective]
kind = "completion"
convention = "weight-decay"
l2 = {}
target = {{ kind = "values", size = {}, values = [1.0, 4.0, 0.25, 1.0] }}
mask = {{ kind = "entries", rows = [0, 1, 1], cols = [0, 0, 1] }}
[init]
kind = "gaussian"
stddev = 0.1
[optimizer]
kind = "sgd_entries"
learning_rate = {}
[stop]
steps = {}
check_every = 50
[probes]
train_loss = {{ steps = [0] }}
[sweep]
"seed" = {{ range = [0, {}] }}
)",
        precision, width, l2, size, learning_rate, unbounded_steps, flags.members_of(64, 1024));
    work.operations = 7.0 * width * width + (2 + 3 * 2 + 2 * size) * width;
    work.bytes = 2.0 * (width * width + 2 * size * width) * (precision == "f64" ? 8 : 4);
    work.formula = fmt::format(
        "jumps-3: 7 w^2 + (8 + 2 n) w a member-step, w = {}, n = {}: {:.0f}; bytes: w^2 + 2 n w "
        "parameters read and written",
        width, size, work.operations);
    work.elements = {width * size, width * width, size * width};
    work.plain = [&](const Settings& member, const std::vector<Matrix>& start) {
      const factorization::Problem problem = factorization::make_problem(member);
      std::vector<std::int64_t> entries;
      for (std::size_t e = 0; e < problem.mask.size(); ++e) {
        if (problem.mask[e] != 0) entries.push_back(static_cast<std::int64_t>(e));
      }
      const std::uint64_t seed = seed_of(member, "sgd.seed");
      const std::uint64_t terms = entries.size();
      return plain_steps(
          PlainEntries{.size = size,
                       .width = width,
                       .target = problem.target,
                       .entries = entries,
                       .learning_rate = learning_rate,
                       .l2 = l2,
                       .draw =
                           [=](std::int64_t step) {
                             const std::uint64_t bits =
                                 random_bits(seed, random_stream("sgd/entries"),
                                             static_cast<std::uint64_t>(step));
                             return static_cast<std::int64_t>(kernels::scaled_bits(bits, terms));
                           }},
          start, checked_steps);
    };
    rows.push_back(measure_stepping(executor, flags, precision, work));
  }
  return rows;
}

// Members whose numbers of steps are log-uniform over three decades, through the trainer.

std::vector<BenchRow> mixed(Executor& executor, const BenchFlags& flags) {
  constexpr std::int64_t size = 8;
  constexpr double learning_rate = 1e-3;
  const std::int64_t wanted = flags.members_of(2000, 100'000);
  const std::int64_t distinct = std::min<std::int64_t>(wanted, 1000);
  const std::int64_t seeds = wanted / distinct;  // beyond 1000 members, whole thousands
  // Quantiles of the log-uniform law, in an order of their own: neighbours differ.
  const double shortest = flags.full ? 30 : 10;
  const double decades = flags.full ? 3 : 2;
  std::vector<std::int64_t> lengths;
  std::int64_t expected_steps = 0;
  for (std::int64_t i = 0; i < distinct; ++i) {
    const std::uint64_t place =
        kernels::shuffled(7, random_stream("bench/mixed"), static_cast<std::uint64_t>(distinct), 0,
                          static_cast<std::uint64_t>(i));
    const double quantile = (static_cast<double>(place) + 0.5) / static_cast<double>(distinct);
    lengths.push_back(std::llround(shortest * std::pow(10.0, decades * quantile)));
    expected_steps += lengths.back() * seeds;
  }
  const auto text = [&](const std::string& steps, const std::string& sweep) {
    return fmt::format(R"(
name = "bench mixed"
[model]
kind = "deep_linear"
depth = 2
hidden = {}
[objective]
kind = "full"
target = {{ kind = "gaussian", size = {}, norm = 4.0 }}
[init]
kind = "gaussian"
stddev = 0.2
[optimizer]
kind = "gd"
learning_rate = {}
[stop]
steps = {}
[probes]
train_loss = {{ steps = [0] }}
[sweep]
"seed" = {{ range = [0, {}] }}
{}
)",
                       size, size, learning_rate, steps, seeds, sweep);
  };
  {
    const Experiment one = Experiment::parse(text(std::to_string(unbounded_steps), ""),
                                             "bench resident mixed", {}, experiment_spec());
    Plan plan = make_plan(one, executor.device());
    choose_paths(plan, one, executor, flags.device.path);
    FamilyPlan family = plan.families.front();
    family.slots = std::min<std::int64_t>(family.slots, 8);
    const std::vector<Settings> members{one.member(0)};
    Ensemble ensemble(executor, members.front(), family, plan.probes, plan.check_every);
    ensemble.load(members);
    const std::vector<std::int64_t> elements(2, size * size);
    const std::vector<Matrix> start = layers_of(ensemble.parameters(0), elements);
    ensemble.advance(0, checked_steps);
    require_agreement(
        "bench resident mixed", "f64", start,
        plain_steps(
            PlainFactorization{.size = size,
                               .target = factorization::make_problem(members.front()).target,
                               .learning_rate = learning_rate},
            start, checked_steps),
        layers_of(ensemble.parameters(0), elements));
  }

  const Experiment experiment =
      Experiment::parse(text("1", fmt::format("\"stop.steps\" = [{}]", fmt::join(lengths, ", "))),
                        "bench resident mixed", {}, experiment_spec());
  Plan plan = make_plan(experiment, executor.device());
  choose_paths(plan, experiment, executor, flags.device.path);
  Floors floors(executor, "f64", false, flags.seconds / 4);
  const int repeats = flags.full ? 1 : flags.repeats;  // one takes long enough
  std::vector<double> rates;
  RunSummary summary;
  for (int repeat = 0; repeat < repeats; ++repeat) {
    floors.measure();
    const TemporaryFolder folder;
    summary = run_quietly(experiment, plan, executor, folder.path() / "samples.log");
    rates.push_back(static_cast<double>(summary.member_steps) / summary.seconds);
    if (summary.member_steps != expected_steps) {
      throw DeviceError(
          fmt::format("bench resident mixed: the members took {} steps; expected {}, each its own "
                      "number",
                      summary.member_steps, expected_steps));
    }
  }
  BenchRow row;
  row.name = "mixed";
  row.device = executor.device().kind;
  row.precision = "f64";
  row.members = plan.layout.members;
  row.value = median(rates);
  row.unit = "member-steps/s";
  row.median_of = repeats;
  row.path = paths_text(plan);
  const auto n = static_cast<double>(size);
  const double operations = 6 * n * n * n + 5 * n * n;
  row.formula = fmt::format(
      "mixed: 3 products of 2 n^3 and 5 n^2 a member-step, n = {}: {:.0f}; {:.0f} to {:.0f} steps, "
      "starts and record included",
      size, operations, shortest, shortest * std::pow(10.0, decades));
  row.checked = true;
  state_utilization(row, summary);
  floors.state_shares(row, operations);
  return {row};
}

constexpr NamedRow resident_rows[] = {
    {"greedy-2-full", "depth 2, 20x20, GD", greedy_2_full, true},
    {"greedy-2-masked", "the same with 30 % of the entries observed", greedy_2_masked, true},
    {"greedy-3-gd-full", "depth 3, 20x20, GD", greedy_3_gd_full, true},
    {"greedy-3-rms-full", "depth 3, 20x20, RMS-scaled GD", greedy_3_rms_full, true},
    {"jumps-3", "widths 2-100-100-2, SGD on one entry, L2", jumps_3, true},
    {"mixed", "many 8x8 nets with log-uniform numbers of steps", mixed, false},
    {"scalar-map", "orbits of a scalar problem over a grid of starts and steps",
     [](Executor& executor, const BenchFlags& flags) {
       return bench_scalar_map(executor, flags.full, flags.repeats);
     },
     true},
    {"theorem-3.1", "random starts in four dimensions at 99.9 % of a bound on the step",
     [](Executor& executor, const BenchFlags& flags) {
       return bench_theorem_3_1(executor, flags.full, flags.repeats);
     },
     false},
    {"table", "students of convolutional teachers to one of two end points",
     [](Executor& executor, const BenchFlags& flags) {
       return bench_table(executor, flags.full, flags.device.path);
     },
     true},
};

}  // namespace

std::string resident_rows_text() { return rows_text(resident_rows); }

std::vector<BenchRow> bench_resident(Executor& executor, const BenchFlags& flags) {
  return run_rows(resident_rows, executor, flags);
}

}  // namespace manyfold::apps
