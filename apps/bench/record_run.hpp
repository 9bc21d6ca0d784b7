// Benchmarks that go the whole way of `manyfold run`, record included, and leave nothing behind.
#pragma once

#include <filesystem>

#include "apps/bench/bench.hpp"
#include "core/sweep/experiment.hpp"
#include "models/training/plan.hpp"
#include "models/training/trainer.hpp"

namespace manyfold::apps {

/// A folder of its own, gone with this.
class TemporaryFolder {
 public:
  /// Throws ResourceError.
  TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  ~TemporaryFolder();
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

/// Carries the plan out, its samples into the log `file`.
RunSummary run_quietly(const Experiment& experiment, const Plan& plan, Executor& executor,
                       const std::filesystem::path& file, bool profile = false);

/// A run's utilization, where it was stepped resident.
void state_utilization(BenchRow& row, const RunSummary& summary);

}  // namespace manyfold::apps
