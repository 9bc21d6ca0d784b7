// Times an ensemble's steps, the machine's floors in between.
#include "apps/bench/stepping.hpp"

#include <chrono>
#include <memory>

#include "apps/bench/floors.hpp"
#include "apps/bench/peak_memory.hpp"
#include "apps/manyfold/summary.hpp"
#include "models/training/ensemble.hpp"
#include "models/training/plan.hpp"

namespace manyfold::apps {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point began) {
  return std::chrono::duration<double>(Clock::now() - began).count();
}

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

/// The members of a work on a device, at their starts.
struct Stage {
  Executor& executor;
  const std::string& precision;
  const Work& work;
  std::string label = "bench " + work.bench + " " + work.name;
  Experiment experiment = Experiment::parse(work.experiment, label, {}, experiment_spec());
  Plan plan = make_plan(experiment, executor.device());
  std::vector<Settings> members{};
  std::unique_ptr<Ensemble> ensemble{};
  std::int64_t position = 0;  ///< steps taken

  Stage(Executor& executor_, const std::string& precision_, const Work& work_)
      : executor(executor_), precision(precision_), work(work_) {
    choose_paths(plan, experiment, executor, work.path);
    const FamilyPlan& family = plan.families.front();
    for (std::int64_t m = 0; m < family.slots; ++m) members.push_back(experiment.member(m));
    ensemble = std::make_unique<Ensemble>(executor, members.front(), family, plan.probes,
                                          plan.check_every);
    ensemble->load(members);
  }

  void check() {
    const std::vector<Matrix> start = layers_of(ensemble->parameters(0), work.elements);
    ensemble->advance(0, checked_steps);
    position = checked_steps;
    require_agreement(label, precision, start, work.plain(members.front(), start),
                      layers_of(ensemble->parameters(0), work.elements));
  }
};

}  // namespace

void check_stepping(Executor& executor, const std::string& precision, const Work& work) {
  Stage(executor, precision, work).check();
}

BenchRow measure_stepping(Executor& executor, const BenchFlags& flags, const std::string& precision,
                          const Work& work) {
  Stage stage(executor, precision, work);
  if (work.plain) stage.check();
  const PeakMemory memory;
  Ensemble& ensemble = *stage.ensemble;
  const FamilyPlan& family = stage.plan.families.front();
  std::int64_t position = stage.position;
  const auto steps_for = [&](std::int64_t steps) {
    const auto began = Clock::now();
    ensemble.advance(position, position + steps);
    executor.synchronize();
    position += steps;
    return seconds_since(began);
  };
  std::int64_t steps = stage.plan.check_every;
  double took = steps_for(steps);
  for (; took < flags.seconds / 4; took = steps_for(steps)) steps *= 2;
  if (took < flags.seconds) steps *= 4;

  const auto look = [&] {
    executor.synchronize();
    const auto began = Clock::now();
    ensemble.await(ensemble.look(position, {0}));
    return seconds_since(began);
  };
  (void)look();  // the first one finds its memory new

  Floors floors(executor, precision, work.bytes > 0, flags.seconds / 4);
  std::vector<double> rates;
  std::vector<double> looks;
  for (int repeat = 0; repeat < flags.repeats; ++repeat) {  // interleaved: drift hits both alike
    floors.measure();
    rates.push_back(static_cast<double>(steps * family.slots) / steps_for(steps));
    looks.push_back(look());
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
  row.look_steps = median(looks) * row.value / static_cast<double>(family.slots);
  row.planned_bytes = static_cast<double>(family.bytes());
  if (row.device == "cpu") row.peak_rss_bytes = memory.bytes();
  row.executed_share = 1 - work.products / work.operations *
                               (1 - executed_products(ensemble.resident(), work.observed));
  floors.state_shares(row, work.operations, work.bytes);
  return row;
}

}  // namespace manyfold::apps
