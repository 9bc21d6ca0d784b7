// Row table of manyfold bench resident: table 5.1 of Du's thesis (2019) through the trainer, starts
// drawn by this program from the same distribution as the peers' (theorem 5.4), its record
// included.
//
// Operations of a member-step with k patches and a filter of p, as the peers count them: 7 (k + p)
// + 40.
#include <array>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "apps/bench/floors.hpp"
#include "apps/bench/record_run.hpp"
#include "apps/bench/resident_rows.hpp"
#include "core/error.hpp"
#include "models/training/plan.hpp"

namespace manyfold::apps {
namespace {

namespace fs = std::filesystem;

constexpr std::array patches{25, 36, 49, 64, 81, 100};
constexpr std::array ratios{0, 1, 4, 9, 16, 25};
constexpr int filter = 6;

/// The thesis's probabilities of the global minimum: rows k, columns the ratio.
constexpr double thesis[6][6] = {{.50, .55, .73, 1, 1, 1},       {.50, .53, .66, .89, 1, 1},
                                 {.50, .53, .61, .78, 1, 1},     {.50, .51, .59, .71, .89, 1},
                                 {.50, .53, .57, .66, .81, .97}, {.50, .50, .57, .63, .75, .90}};

std::string experiment_text(std::int64_t per_cell) {
  return fmt::format(R"(
name = "bench table"
problem.seed = 31
[model]
kind = "teacher"
filter = {}
[teacher]
direction = "alternating"
[optimizer]
kind = "gd"
learning_rate = 0.1
[stop]
steps = 40_000
at_global = 1e-6
at_spurious = [1e-6, 0.02]
check_every = 10
[probes]
train_loss = {{ steps = [0] }}
[sweep]
"model.patches" = [{}]
"teacher.ratio" = [{}]
"seed" = {{ range = [0, {}] }}
)",
                     filter, fmt::join(patches, ", "), fmt::join(ratios, ", "), per_cell);
}

}  // namespace

std::vector<BenchRow> bench_table(Executor& executor, bool full, const std::string& path) {
  const std::int64_t per_cell = full ? 5000 : 139;
  const Experiment experiment =
      Experiment::parse(experiment_text(per_cell), "bench resident table", {}, experiment_spec());
  Plan plan = make_plan(experiment, executor.device());
  choose_paths(plan, experiment, executor, path);
  const TemporaryFolder folder;
  const fs::path file = folder.path() / "samples.log";
  const RunSummary summary = run_quietly(experiment, plan, executor, file, /*profile=*/true);
  std::map<std::string, std::int64_t> ends;
  std::array<std::int64_t, 36> successes{};
  LogVisitor visitor;
  visitor.on_samples = [](const SampleBlock&) {};
  visitor.on_attribute = [](const std::string&, const Attribute&) {};
  visitor.on_end = [&](const MemberEnd& end) {
    ++ends[end.end_reason];
    if (end.end_reason != "global") return;
    ++successes[static_cast<std::size_t>(end.member / per_cell)];  // seeds vary fastest
  };
  (void)read_log(file, visitor);
  for (const auto& [reason, count] : ends) {
    if (reason == "global" || reason == "spurious" || reason == "steps") continue;
    throw DeviceError(fmt::format(
        "bench resident table: {} members end with \"{}\", expected global, spurious or steps",
        count, reason));
  }
  double worst = 0;
  for (std::size_t cell = 0; cell < successes.size(); ++cell) {
    const auto n = static_cast<double>(per_cell);
    const double share = static_cast<double>(successes[cell]) / n;
    const double expected = thesis[cell / ratios.size()][cell % ratios.size()];
    const double error = std::sqrt(share * (1 - share) / n);
    worst = std::max(worst, std::abs(share - expected));
    if (!full || std::abs(share - expected) <= 0.03 + 3 * error) continue;
    throw DeviceError(fmt::format(
        "bench resident table: k = {}, ratio {}: {:.4f} of the starts reach the teacher (standard "
        "error {:.4f}); the thesis has {:.2f}",
        patches[cell / ratios.size()], ratios[cell % ratios.size()], share, error, expected));
  }
  double operations = 40;
  for (const int k : patches)
    operations += 7.0 * (k + filter) / static_cast<double>(patches.size());
  BenchRow row;
  row.name = "table";
  row.device = executor.device().kind;
  row.precision = "f64";
  row.members = plan.layout.members;
  row.value = static_cast<double>(summary.member_steps) / summary.seconds;
  row.unit = "member-steps/s";
  row.median_of = 1;
  row.checked = true;
  row.formula = fmt::format(
      "table: 7 (k + p) + 40 a member-step, {:.0f} on average over k; {:.4g} member-steps in "
      "{:.3g} "
      "s, of which starts {:.3g} and steps {:.3g}; {} global, {} spurious, {} unfinished; largest "
      "distance of a cell from the thesis {:.3f}",
      operations, static_cast<double>(summary.member_steps), summary.seconds,
      summary.profile ? summary.profile->load : 0.0, summary.profile ? summary.profile->step : 0.0,
      ends["global"], ends["spurious"], ends["steps"], worst);
  row.path = paths_text(plan);
  state_utilization(row, summary);
  Floors floors(executor, row.precision, false, 0.25);
  floors.measure();
  floors.state_shares(row, operations);
  return {row};
}

}  // namespace manyfold::apps
