// manyfold run --extend: goes on with the record of a folder. Members of the earlier run are found
// again by their settings (everything but stop.steps); those that are done keep their samples,
// those that stopped at their last step or by an interruption go on from states.log, all others are
// run from their starts. The result is what running everything at once would have given.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/checkpoint/state_log.hpp"
#include "core/executor/executor.hpp"
#include "core/record/sample_log.hpp"
#include "core/sweep/experiment.hpp"
#include "models/training/plan.hpp"

namespace manyfold::apps {

class Extension {
 public:
  /// Reads what is there, plans what is left to do, and puts a new log with the old samples (and
  /// one with the states) in place of the old ones, each by an atomic rename. Throws InputError,
  /// and nothing has changed then: no earlier run, one that is going on, probes or other keys that
  /// hold for all members changed, members that the experiment no longer has, states that were not
  /// kept. `path`: as for choose_paths; auto is the
  /// earlier run's.
  Extension(const std::filesystem::path& folder, const Experiment& experiment, Executor& executor,
            const std::string& path);
  Extension(const Extension&) = delete;
  Extension& operator=(const Extension&) = delete;
  ~Extension();

  const Plan& plan() const;
  const Continuation& continuation() const;
  SampleLog& log();
  StateLog* states();        ///< nullptr: record.states = false
  std::string text() const;  ///< "12 members: 4 done, 4 go on, 4 from their starts"

 private:
  class Work;
  std::unique_ptr<Work> work_;
};

}  // namespace manyfold::apps
