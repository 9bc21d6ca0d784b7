// Runs without a terminal, into folders that go.
#include "apps/bench/record_run.hpp"

#include <atomic>
#include <cmath>
#include <cstdlib>
#include <string>
#include <system_error>

#include "core/error.hpp"

namespace manyfold::apps {

namespace fs = std::filesystem;

TemporaryFolder::TemporaryFolder() {
  std::string pattern = (fs::temp_directory_path() / "manyfold_bench_XXXXXX").string();
  if (::mkdtemp(pattern.data()) == nullptr) {
    throw ResourceError("bench: cannot make a folder in " + fs::temp_directory_path().string());
  }
  path_ = pattern;
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

RunSummary run_quietly(const Experiment& experiment, const Plan& plan, Executor& executor,
                       const fs::path& file, bool profile) {
  SampleLog log = SampleLog::create(file, plan.layout);
  EventLog events(true);
  Progress progress(stderr, true);
  const std::atomic<bool> stop{false};
  return run_experiment(experiment, plan,
                        {.executor = executor,
                         .log = log,
                         .progress = progress,
                         .events = events,
                         .stop = stop,
                         .profile = profile});
}

void state_utilization(BenchRow& row, const RunSummary& summary) {
  if (summary.usage.place_steps == 0) return;
  row.utilization = summary.utilization();
  const double before = summary.utilization_before_drain();
  if (std::isfinite(before)) row.utilization_before_drain = before;
}

}  // namespace manyfold::apps
