// manyfold bench resident: members that are stepped on the chip, beside the floors of their work.
//
// Rows are named as the peers' workloads (apps/bench/peers/workloads), with their problems, sizes
// and operations: see "Floors of the workloads" in kernels/README.md. A further row is one more
// entry of `resident_rows`.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <functional>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "apps/bench/bench.hpp"
#include "apps/bench/peers_run.hpp"
#include "apps/bench/plain_loops.hpp"
#include "apps/bench/resident_rows.hpp"
#include "core/error.hpp"
#include "core/random/philox.hpp"
#include "core/record/record_file.hpp"
#include "kernels/common/draws.hpp"
#include "kernels/cpu/fma_peak.hpp"
#include "kernels/cpu/l2_bandwidth.hpp"
#include "models/factorization/problem.hpp"
#include "models/training/ensemble.hpp"
#include "models/training/plan.hpp"
#include "models/training/trainer.hpp"

namespace manyfold::apps {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

constexpr int checked_steps = 20;
constexpr std::int64_t unbounded = 1'000'000'000'000;

double seconds_since(Clock::time_point began) {
  return std::chrono::duration<double>(Clock::now() - began).count();
}

/// The floors of this machine, measured in between what is measured against them; on a GPU none is
/// measured here.
class Floors {
 public:
  Floors(const Executor& executor, std::string precision, bool with_bandwidth, double seconds)
      : on_cpu_(executor.device().kind == "cpu"),
        with_bandwidth_(with_bandwidth),
        threads_(executor.device().compute_units),
        seconds_(seconds),
        precision_(std::move(precision)) {}

  void measure() {
    if (!on_cpu_) return;
    operations_.push_back(precision_ == "f64"
                              ? kernels::cpu::measure_fma_peak<double>(seconds_, threads_)
                              : kernels::cpu::measure_fma_peak<float>(seconds_, threads_));
    if (with_bandwidth_) {
      bytes_.push_back(kernels::cpu::measure_l2_bandwidth(seconds_, threads_));
    }
  }

  /// Shares of a row's value, by the operations and bytes of one unit.
  void state_shares(BenchRow& row, double operations, double bytes) const {
    if (!on_cpu_) return;
    const double peak = median(operations_);
    row.peak = peak * 1e-9;
    row.peak_unit = "GFLOP/s";
    row.share_of_peak = row.value * operations / peak;
    row.floor = "FMA";
    // What is not carried out does not count against the floor of what is.
    row.share_of_floor = row.share_of_peak * row.executed_share;
    if (!with_bandwidth_) return;
    const double bandwidth = median(bytes_);
    row.bandwidth = bandwidth * 1e-9;
    const double share = row.value * bytes / bandwidth;
    if (share > row.share_of_floor) {
      row.floor = "L2";
      row.share_of_floor = share;
    }
  }

 private:
  bool on_cpu_;
  bool with_bandwidth_;
  int threads_;
  double seconds_;
  std::string precision_;
  std::vector<double> operations_;
  std::vector<double> bytes_;
};

/// A row whose members step in full for as long as the clock wants.
struct Work {
  std::string name;
  std::string experiment;  ///< text of an experiment file
  double operations = 0;   ///< per member-step
  double bytes = 0;        ///< that pass through the L2 cache; 0: none to speak of
  double observed = 1;     ///< share of the entries that sparse products visit
  std::string formula;
  std::vector<std::int64_t> elements;  ///< of each layer
  /// Where plain loops come to from a start.
  std::function<std::vector<Matrix>(const Settings&, const std::vector<Matrix>& start)> plain;
};

/// Products of a step without a look at the loss that only visit observed entries, over all of them
/// weighed alike: all are of one size in a square factorization.
double executed_products(const kernels::resident::Program* program, double observed) {
  if (program == nullptr) return 1;
  using kernels::resident::Operation;
  double products = 0;
  double executed = 0;
  const std::int32_t* begin = program->host.begin;
  for (std::int32_t i = begin[kernels::resident::evaluate];
       i < begin[kernels::resident::evaluate + 1]; ++i) {
    const Operation operation = program->instructions[static_cast<std::size_t>(i)].operation;
    if (operation == Operation::gemm) {
      products += 1;
      executed += 1;
    } else if (operation == Operation::sampled_product || operation == Operation::sparse_product) {
      products += 1;
      executed += observed;
    } else if (operation == Operation::sparse_top_layer) {  // W P, S P^T and W^T S
      products += 3;
      executed += 3 * observed;
    }
  }
  return products > 0 ? executed / products : 1;
}

/// Checks and measures `work`. `products`: operations of its products among work.operations.
BenchRow measure(Executor& executor, const BenchFlags& flags, const std::string& precision,
                 const Work& work, double products) {
  const Experiment experiment =
      Experiment::parse(work.experiment, "bench resident " + work.name, {}, experiment_spec());
  Plan plan = make_plan(experiment, executor.device());
  choose_paths(plan, experiment, executor, flags.device.path);
  const FamilyPlan& family = plan.families.front();
  std::vector<Settings> members;
  for (std::int64_t m = 0; m < family.slots; ++m) members.push_back(experiment.member(m));
  Ensemble ensemble(executor, members.front(), family, plan.probes, plan.check_every);
  ensemble.load(members);

  const std::vector<Matrix> start = layers_of(ensemble.parameters(0), work.elements);
  ensemble.advance(0, checked_steps);
  require_agreement("bench resident " + work.name, precision, start,
                    work.plain(members.front(), start),
                    layers_of(ensemble.parameters(0), work.elements));

  std::int64_t position = checked_steps;
  const auto steps_for = [&](std::int64_t steps) {
    const auto began = Clock::now();
    ensemble.advance(position, position + steps);
    executor.synchronize();
    position += steps;
    return seconds_since(began);
  };
  std::int64_t steps = plan.check_every;
  while (steps_for(steps) < flags.seconds / 4) steps *= 2;
  steps *= 4;

  Floors floors(executor, precision, work.bytes > 0, flags.seconds / 4);
  std::vector<double> rates;
  for (int repeat = 0; repeat < flags.repeats; ++repeat) {  // interleaved: drift hits both alike
    floors.measure();
    rates.push_back(static_cast<double>(steps * family.slots) / steps_for(steps));
  }
  BenchRow row;
  row.name = work.name;
  row.device = executor.device().kind;
  row.precision = precision;
  row.members = family.slots;
  row.value = median(rates);
  row.unit = "member-steps/s";
  row.median_of = flags.repeats;
  row.path = word(family.path);
  row.formula = work.formula;
  row.checked = true;
  row.executed_share =
      1 - products / work.operations * (1 - executed_products(ensemble.resident(), work.observed));
  floors.state_shares(row, work.operations, work.bytes);
  return row;
}

std::int64_t members_of(const BenchFlags& flags, std::int64_t quick, std::int64_t full) {
  if (flags.members_given) return flags.members;
  return flags.full ? full : quick;
}

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
    work.name = kind.name;
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
train_loss = {{ steps = [0] }}
[sweep]
"seed" = {{ range = [0, {}] }}
)",
        kind.name, precision, kind.depth, greedy_size, kind.masked ? "completion" : "full",
        kind.masked ? "observed = 0.3" : "", greedy_size, kind.rms ? "rms_gd" : "gd", learning_rate,
        kind.rms ? fmt::format("epsilon = {}", greedy_rms_epsilon) : "", unbounded,
        members_of(flags, 256, 4096));
    const int entrywise = 1 + (kind.masked ? 1 : 0) + (kind.rms ? 4 : 2) * kind.depth;
    const auto n = static_cast<double>(greedy_size);
    const double products = 6 * (kind.depth - 1) * n * n * n;
    work.operations = products + entrywise * n * n;
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
    rows.push_back(measure(executor, flags, precision, work, products));
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
    work.name = "jumps-3";
    // The entry that is not observed has a value, too: 4 makes the target one of rank one.
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
[probes]
train_loss = {{ steps = [0] }}
[sweep]
"seed" = {{ range = [0, {}] }}
)",
        precision, width, l2, size, learning_rate, unbounded, members_of(flags, 64, 1024));
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
    rows.push_back(measure(executor, flags, precision, work, 0));
  }
  return rows;
}

// Members whose numbers of steps are log-uniform over three decades, through the trainer.

/// A folder for a record, gone with this.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string pattern = (fs::temp_directory_path() / "manyfold_bench_XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr) {
      throw ResourceError("bench resident: cannot make a folder in " +
                          fs::temp_directory_path().string());
    }
    path_ = pattern;
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  ~TemporaryFolder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

std::vector<BenchRow> mixed(Executor& executor, const BenchFlags& flags) {
  constexpr std::int64_t size = 8;
  constexpr double learning_rate = 1e-3;
  const std::int64_t wanted = members_of(flags, 2000, 100'000);
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
    const Experiment one = Experiment::parse(text(std::to_string(unbounded), ""),
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
    SampleLog log = SampleLog::create(folder.path() / "samples.log", plan.layout);
    EventLog events(true);
    Progress progress(stderr, true);
    const std::atomic<bool> stop{false};
    summary = run_experiment(
        experiment, plan,
        {.executor = executor, .log = log, .progress = progress, .events = events, .stop = stop});
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
  if (summary.usage.place_steps > 0) {
    row.utilization = summary.utilization();
    const double before = summary.utilization_before_drain();
    if (std::isfinite(before)) row.utilization_before_drain = before;
  }
  floors.state_shares(row, operations, 0);
  return {row};
}

struct ResidentRow {
  const char* name;
  const char* doc;
  std::vector<BenchRow> (*run)(Executor&, const BenchFlags&);
  bool has_peers;  ///< a workload of that name exists, with the members of the scale
};

constexpr ResidentRow resident_rows[] = {
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

std::string resident_rows_text() {
  std::string text;
  for (const ResidentRow& row : resident_rows) {
    text += fmt::format("{}{}: {}", text.empty() ? "" : "; ", row.name, row.doc);
  }
  return text;
}

std::vector<BenchRow> bench_resident(Executor& executor, const BenchFlags& flags) {
  for (const std::string& wanted : flags.rows) {
    std::string names;
    bool known = false;
    for (const ResidentRow& row : resident_rows) {
      known = known || wanted == row.name;
      names += fmt::format("{}{}", names.empty() ? "" : ", ", row.name);
    }
    if (!known) {
      throw InputError(fmt::format("--rows: found \"{}\", expected some of {}", wanted, names));
    }
  }
  if (flags.peers) {
    if (flags.members_given) {
      throw InputError(
          "--members goes with no --peers: expected the members of a scale, which the peers have");
    }
    require_peers();
  }
  std::vector<BenchRow> rows;
  std::vector<std::size_t> with_peers;
  for (const ResidentRow& row : resident_rows) {
    if (!flags.rows.empty() && std::ranges::find(flags.rows, row.name) == flags.rows.end())
      continue;
    for (BenchRow& measured : row.run(executor, flags)) {
      if (row.has_peers) with_peers.push_back(rows.size());
      rows.push_back(std::move(measured));
    }
  }
  if (flags.peers) {
    std::vector<PeerCase> cases;
    for (const std::size_t r : with_peers) {
      cases.push_back(
          {&rows[r], fmt::format("{}.m{}.{}", rows[r].name, rows[r].members, rows[r].precision)});
    }
    run_peers(cases, executor, flags);
  }
  return rows;
}

}  // namespace manyfold::apps
