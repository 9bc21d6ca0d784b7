// manyfold bench factorization: member-steps per second of full-batch gradient descent on depth-3
// factorizations of 20x20 matrices, as a share of the peak that fused multiply-adds reach on the
// same threads in the same run.
//
// Operations of a step of one member, by the formula of models/factorization (Shape):
//   2 products forward and 4 backward of 2 n^3, and 3 n^2 for residual and loss.
// The update (2 operations a parameter) is not counted.
#include <fmt/format.h>

#include "apps/bench/bench.hpp"
#include "apps/bench/plain_loops.hpp"
#include "apps/bench/stepping.hpp"
#include "models/factorization/problem.hpp"

namespace manyfold::apps {
namespace {

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
    Work work;
    work.bench = "factorization";
    work.name = "greedy-3-gd-full";  // as the peers call it
    work.experiment = experiment_text(precision, flags.members, unbounded_steps);
    work.path = "batched";
    constexpr auto n = static_cast<double>(size);
    work.products = 6 * 2 * n * n * n;
    work.operations = work.products + 3 * n * n;
    work.formula = fmt::format("6 products of 2 n^3 and 3 n^2 a member-step, n = {}: {:.0f}", size,
                               work.operations);
    work.elements.assign(depth, size * size);
    work.plain = [](const Settings& member, const std::vector<Matrix>& start) {
      return plain_steps(PlainFactorization{.size = size,
                                            .target = factorization::make_problem(member).target,
                                            .learning_rate = learning_rate},
                         start, checked_steps);
    };
    rows.push_back(measure_stepping(executor, flags, precision, work));
  }
  return rows;
}

}  // namespace manyfold::apps
