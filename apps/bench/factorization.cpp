// manyfold bench factorization: member-steps per second of full-batch gradient descent on depth-3
// factorizations of 20x20 matrices, as a share of the peak that fused multiply-adds reach on the
// same threads in the same run.
//
// Operations of a step of one member, by the formula of models/factorization (Shape):
//   2 products forward and 4 backward of 2 n^3, and 3 n^2 for residual and loss.
// The update (2 operations a parameter) is not counted.
#include <chrono>

#include <fmt/format.h>

#include "apps/bench/bench.hpp"
#include "apps/bench/plain_loops.hpp"
#include "kernels/cpu/fma_peak.hpp"
#include "models/factorization/problem.hpp"
#include "models/training/ensemble.hpp"
#include "models/training/plan.hpp"

namespace manyfold::apps {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::int64_t size = 20;
constexpr int depth = 3;
/// GD of a stable step on a well-scaled target: loss falls and never becomes denormal.
constexpr double learning_rate = 1e-3;

std::string experiment_text(const std::string& precision, std::int64_t members,
                            std::int64_t steps) {
  return fmt::format(R"(
name = "bench factorization"
precision = "{}"
[model]
kind = "deep_linear"
depth = {}
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
)",
                     precision, depth, size, size, learning_rate, steps, members);
}

}  // namespace

std::vector<BenchRow> bench_factorization(Executor& executor, const BenchFlags& flags) {
  std::vector<BenchRow> rows;
  for (const std::string precision : {"f64", "f32"}) {
    const std::int64_t unbounded = 1'000'000'000'000;
    const Experiment experiment =
        Experiment::parse(experiment_text(precision, flags.members, unbounded),
                          "bench factorization", {}, experiment_spec());
    const Plan plan = make_plan(experiment, executor.device());
    const FamilyPlan& family = plan.families.front();
    std::vector<Settings> members;
    for (std::int64_t m = 0; m < family.slots; ++m) members.push_back(experiment.member(m));
    Ensemble ensemble(executor, members.front(), family, plan.probes, plan.check_every);
    ensemble.load(members);

    constexpr int checked_steps = 20;
    const std::vector<std::int64_t> elements(depth, size * size);
    const std::vector<Matrix> start = layers_of(ensemble.parameters(0), elements);
    ensemble.advance(0, checked_steps);
    const PlainFactorization plain{.size = size,
                                   .target = factorization::make_problem(members.front()).target,
                                   .learning_rate = learning_rate};
    require_agreement("bench factorization", precision, start,
                      plain_steps(plain, start, checked_steps),
                      layers_of(ensemble.parameters(0), elements));

    std::int64_t position = checked_steps;
    auto steps_for = [&](std::int64_t steps) {
      const auto began = Clock::now();
      ensemble.advance(position, position + steps);
      executor.synchronize();
      position += steps;
      return std::chrono::duration<double>(Clock::now() - began).count();
    };
    std::int64_t steps = plan.check_every;
    while (steps_for(steps) < flags.seconds / 4) steps *= 2;
    steps *= 4;

    const bool on_cpu = executor.device().kind == "cpu";
    const int threads = executor.device().compute_units;
    std::vector<double> rates;
    std::vector<double> peaks;
    for (int repeat = 0; repeat < flags.repeats; ++repeat) {  // interleaved: drift hits both alike
      // A GPU's peak is not measured here: its row stands beside the peers' large product.
      if (on_cpu) {
        peaks.push_back(precision == "f64"
                            ? kernels::cpu::measure_fma_peak<double>(flags.seconds, threads)
                            : kernels::cpu::measure_fma_peak<float>(flags.seconds, threads));
      }
      rates.push_back(static_cast<double>(steps * family.slots) / steps_for(steps));
    }
    BenchRow row;
    row.name = "greedy-3-gd-full";  // as the peers call it
    row.device = executor.device().kind;
    row.precision = precision;
    row.members = family.slots;
    row.value = median(rates);
    row.unit = "member-steps/s";
    row.median_of = flags.repeats;
    if (on_cpu) {
      row.peak = median(peaks) * 1e-9;
      row.peak_unit = "GFLOP/s";
      row.share_of_peak = row.value * family.footprint.flops_per_step / (row.peak * 1e9);
    }
    row.formula = fmt::format("6 products of 2 n^3 and 3 n^2 a member-step, n = {}: {:.0f}", size,
                              family.footprint.flops_per_step);
    row.checked = true;
    rows.push_back(row);
  }
  return rows;
}

}  // namespace manyfold::apps
