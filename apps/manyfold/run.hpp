// What `run` and `replay` share: from a plan and an open log to a record.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "core/checkpoint/state_log.hpp"
#include "core/record/sample_log.hpp"
#include "models/training/trainer.hpp"

namespace manyfold::apps {

/// Files of a run's folder.
inline std::filesystem::path log_of(const std::filesystem::path& folder) {
  return folder / "samples.log";
}
inline std::filesystem::path states_of(const std::filesystem::path& folder) {
  return folder / "states.log";
}
inline std::filesystem::path record_of(const std::filesystem::path& folder) {
  return folder / "record.nc";
}

/// Adds what is known at the start: the experiment, the program, the device.
void add_attributes(RecordLayout& layout, const Experiment& experiment, const Plan& plan,
                    const Executor& executor);

/// Makes the folder and its log; nothing is removed before everything else has been checked.
SampleLog open_log(const std::filesystem::path& folder, bool overwrite, const RecordLayout& layout);

struct Job {
  const Experiment& experiment;
  const Plan& plan;
  Executor& executor;
  std::filesystem::path folder;
  std::string file;  ///< for events: where the experiment comes from
  SampleLog& log;
  StateLog* states = nullptr;
  const Continuation* continuation = nullptr;
  bool quiet = false;
  bool profile = false;
};

/// Runs it, until a signal asks for an end, and writes the record. What was sampled stays in the
/// log and in the record when a device fails.
RunSummary carry_out(const Job& job);

/// An experiment from its beginning: plans it, makes the folder, carries it out. Throws InputError
/// where there is a record and `overwrite` is not set.
struct NewRun {
  const Experiment& experiment;
  Executor& executor;
  std::string path = "auto";  ///< of models/training/plan.hpp
  std::filesystem::path folder;
  std::string file;
  bool overwrite = false;
  bool quiet = false;
  bool profile = false;
};
RunSummary carry_out(const NewRun& run);

}  // namespace manyfold::apps
