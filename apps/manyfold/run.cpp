// manyfold run: one experiment file in, one record out.
#include "apps/manyfold/run.hpp"

#include <atomic>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <optional>

#include <CLI/CLI.hpp>
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "apps/manyfold/command.hpp"
#include "apps/manyfold/extend.hpp"
#include "core/error.hpp"
#include "core/record/record_file.hpp"
#include "core/version.hpp"
#include "models/training/model.hpp"
#include "models/training/trainer.hpp"

namespace manyfold::apps {
namespace {

namespace fs = std::filesystem;

std::atomic<bool> stop_requested{false};
static_assert(std::atomic<bool>::is_always_lock_free, "set from a signal handler");

/// The first signal asks for an orderly end; a second one kills.
void request_stop(int signal) {
  stop_requested.store(true, std::memory_order_relaxed);
  std::signal(signal, SIG_DFL);
}

struct RunFlags {
  std::string file;
  std::vector<std::string> overrides;
  DeviceFlags device;
  std::string out;
  bool overwrite = false;
  bool extend = false;
  bool quiet = false;
  bool profile = false;
  bool json = false;
};

/// Seconds a gap, and the share of the time of steps and probes that gaps are.
double mean_gap(const ReplayGaps& gaps) {
  return gaps.seconds / static_cast<double>(std::max<std::int64_t>(gaps.gaps, 1));
}
double share_of_gaps(const Profile& profile) {
  return profile.gaps.seconds / std::max(profile.step + profile.probes, 1e-9);
}

nlohmann::json gaps_json(const Profile& profile) {
  const ReplayGaps& gaps = profile.gaps;
  if (gaps.replays == 0) return nullptr;
  return {{"replays", gaps.replays},        {"gaps", gaps.gaps},      {"measured", gaps.measured},
          {"seconds", gaps.seconds},        {"mean", mean_gap(gaps)}, {"largest", gaps.largest},
          {"share", share_of_gaps(profile)}};
}

nlohmann::json summary_json(const RunSummary& summary, const fs::path& record) {
  nlohmann::json members = nlohmann::json::object();
  for (const auto& [status, count] : summary.members) members[std::string(word(status))] = count;
  nlohmann::json json{{"record", record.string()},  {"members", members},
                      {"kept", summary.kept},       {"member_steps", summary.member_steps},
                      {"seconds", summary.seconds}, {"interrupted", summary.interrupted}};
  if (summary.usage.place_steps > 0) {
    json["utilization"] = {{"total", summary.utilization()},
                           {"before_drain", summary.utilization_before_drain()},
                           {"member_steps", summary.usage.member_steps},
                           {"place_steps", summary.usage.place_steps},
                           {"drain_member_steps", summary.usage.drain_member_steps},
                           {"drain_place_steps", summary.usage.drain_place_steps}};
  }
  if (summary.profile) {
    json["profile"] = {{"load", summary.profile->load},     {"step", summary.profile->step},
                       {"probes", summary.profile->probes}, {"record", summary.profile->record},
                       {"idle", summary.profile->idle},     {"gaps", gaps_json(*summary.profile)}};
  }
  return json;
}

void print_summary(const RunSummary& summary, const fs::path& record) {
  std::string members;
  for (const auto& [status, count] : summary.members) {
    members += fmt::format("{}{} {}", members.empty() ? "" : ", ", count, word(status));
  }
  if (summary.kept > 0) {
    members +=
        fmt::format("{}{} of the record that was there", members.empty() ? "" : ", ", summary.kept);
  }
  fmt::print("members   {}\nsteps     {} member-steps in {} ({:.3g} per second)\nrecord    {}\n",
             members, summary.member_steps, human_seconds(summary.seconds),
             static_cast<double>(summary.member_steps) / std::max(summary.seconds, 1e-9),
             record.string());
  if (summary.usage.place_steps > 0) {
    fmt::print(
        "places    {:.1f} % of their steps taken by members; {:.1f} % but for the drains, when "
        "no member is left to enter\n",
        100 * summary.utilization(), 100 * summary.utilization_before_drain());
  }
  if (!summary.profile) return;
  const Profile& profile = *summary.profile;
  for (const auto& [what, seconds] :
       {std::pair{"load", profile.load}, std::pair{"step", profile.step},
        std::pair{"probes", profile.probes}, std::pair{"record", profile.record},
        std::pair{"idle", profile.idle}}) {
    fmt::print("{:<10}{:>10.3f} s {:>6.1f} %\n", what, seconds, 100 * seconds / summary.seconds);
  }
  const ReplayGaps& gaps = profile.gaps;
  if (gaps.replays == 0) {
    fmt::print("gaps      none: nothing is replayed on a CPU\n");
    return;
  }
  fmt::print(
      "gaps      {:>10.3f} s {:>6.1f} % of step and probes; between two replays {:.2f} us, at most "
      "{:.1f} us ({} of {} measured)\n",
      gaps.seconds, 100 * share_of_gaps(profile), 1e6 * mean_gap(gaps), 1e6 * gaps.largest,
      gaps.measured, gaps.gaps);
}

/// A device that failed half-way takes none of the samples that are in the log with it.
void keep_what_was_recorded(const fs::path& folder, const ResourceError& error) {
  try {
    write_record(folder / "samples.log", folder / "record.nc");
    fmt::print(stderr, "manyfold: the run failed; what was sampled before is in {}\n",
               (folder / "record.nc").string());
  } catch (const std::exception& second) {
    fmt::print(stderr, "manyfold: the run failed ({}); what was sampled before is in {}: {}\n",
               error.what(), (folder / "samples.log").string(), second.what());
  }
}

int report(const RunSummary& summary, const fs::path& folder, bool json) {
  if (json) {
    fmt::print("{}\n", summary_json(summary, record_of(folder)).dump());
  } else {
    print_summary(summary, record_of(folder));
  }
  if (summary.interrupted) {
    fmt::print(stderr, "manyfold: interrupted; what was sampled is in the record\n");
    return exit_interrupted;
  }
  return exit_done;
}

int run(const RunFlags& flags) {
  if (flags.extend && flags.overwrite) {
    throw InputError(
        "--extend goes on with a record, --overwrite replaces it: expected one of them");
  }
  const Experiment experiment = Experiment::read(flags.file, flags.overrides, experiment_spec());
  const auto executor = kernels::make_executor(flags.device.request());
  const fs::path folder =
      flags.out.empty() ? fs::path("results") / fs::path(flags.file).stem() : fs::path(flags.out);
  if (flags.extend) {
    Extension extension(folder, experiment, *executor, flags.device.path);
    if (!flags.quiet) fmt::print(stderr, "{}\n", extension.text());
    return report(carry_out(Job{.experiment = experiment,
                                .plan = extension.plan(),
                                .executor = *executor,
                                .folder = folder,
                                .file = flags.file,
                                .log = extension.log(),
                                .states = extension.states(),
                                .continuation = &extension.continuation(),
                                .quiet = flags.quiet,
                                .profile = flags.profile}),
                  folder, flags.json);
  }
  return report(carry_out(NewRun{.experiment = experiment,
                                 .executor = *executor,
                                 .path = flags.device.path,
                                 .folder = folder,
                                 .file = flags.file,
                                 .overwrite = flags.overwrite,
                                 .quiet = flags.quiet,
                                 .profile = flags.profile}),
                folder, flags.json);
}

}  // namespace

SampleLog open_log(const fs::path& folder, bool overwrite, const RecordLayout& layout) {
  std::error_code failed;
  fs::create_directories(folder, failed);
  if (failed) {
    throw InputError(
        fmt::format("--out {}: cannot be made: {}", folder.string(), failed.message()));
  }
  const fs::path log = log_of(folder);
  for (const fs::path& existing :
       {record_of(folder), log, folder / "log.jsonl", states_of(folder)}) {
    if (!fs::exists(existing, failed)) continue;
    if (!overwrite) {
      throw InputError(fmt::format("{} exists; --overwrite replaces it, --out names another folder",
                                   existing.string()));
    }
    fs::remove(existing, failed);
    if (failed) {
      throw InputError(
          fmt::format("{}: cannot be replaced: {}", existing.string(), failed.message()));
    }
  }
  return SampleLog::create(log, layout);
}

void add_attributes(RecordLayout& layout, const Experiment& experiment, const Plan& plan,
                    const Executor& executor) {
  const DeviceDescription& device = executor.device();
  std::string slots;
  for (const FamilyPlan& family : plan.families) {
    slots += fmt::format("{}{}", slots.empty() ? "" : ", ", family.slots);
  }
  const Settings& base = experiment.base();
  bool precision_swept = false;
  for (const SweptKey& key : experiment.swept()) {
    precision_swept = precision_swept || key.path == "precision";
  }
  const std::string precision =
      precision_swept ? std::string("swept: see the coordinate") : base.text("precision");
  layout.attributes = {
      {"name", base.text("name")},
      {"experiment", experiment.resolved_toml()},
      {"program", std::string("manyfold")},
      {"program_version", std::string(version())},
      {"program_commit", std::string(commit())},
      {"trajectory_version", trajectory_version},
      {"device", device.kind},
      {"device_name", device.name},
      {"driver", device.driver.empty() ? std::string("none") : device.driver},
      {"instruction_set", device.instruction_set},
      {"compute_units", std::int64_t{device.compute_units}},
      {"precision", precision},
      {"math_mode", precision},
      {"path", paths_text(plan)},
      {"slots", slots},
      {"check_every", plan.check_every},
      {"sampling",
       std::string("a member's last sample shows its last state, reached at its end_step; "
                   "later samples are NaN")},
      {"created",
       fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::chrono::system_clock::to_time_t(
                                                std::chrono::system_clock::now())))},
  };
}

RunSummary carry_out(const Job& job) {
  EventLog events(job.quiet);
  events.open(job.folder / "log.jsonl");
  const DeviceDescription& device = job.executor.device();
  events.info(
      "started",
      fmt::format("{} members in {} famil{} on {} ({}, {}), {} path", job.plan.layout.members,
                  job.plan.families.size(), job.plan.families.size() == 1 ? "y" : "ies",
                  device.kind, device.name, device.instruction_set, paths_text(job.plan)),
      {{"members", job.plan.layout.members}, {"device", device.kind}, {"file", job.file}});

  std::signal(SIGINT, request_stop);
  std::signal(SIGTERM, request_stop);
  Progress progress(stderr, job.quiet);
  RunSummary summary = [&] {
    try {
      return run_experiment(job.experiment, job.plan,
                            {.executor = job.executor,
                             .log = job.log,
                             .progress = progress,
                             .events = events,
                             .stop = stop_requested,
                             .profile = job.profile,
                             .states = job.states,
                             .continuation = job.continuation});
    } catch (const ResourceError& error) {
      keep_what_was_recorded(job.folder, error);
      throw;
    }
  }();
  const std::vector<std::pair<std::string, Attribute>> closing{
      {"wall_time_seconds", summary.seconds},
      {"member_steps", summary.member_steps},
      {"utilization", summary.utilization()},
      {"utilization_before_drain", summary.utilization_before_drain()},
      {"interrupted", std::int64_t{summary.interrupted ? 1 : 0}}};
  job.log.append(closing);
  write_record(log_of(job.folder), record_of(job.folder));
  events.info("record_written", fmt::format("wrote {}", record_of(job.folder).string()),
              {{"record", record_of(job.folder).string()}});
  return summary;
}

RunSummary carry_out(const NewRun& run) {
  Plan plan = make_plan(run.experiment, run.executor.device());
  choose_paths(plan, run.experiment, run.executor, run.path);
  add_attributes(plan.layout, run.experiment, plan, run.executor);
  SampleLog log = open_log(run.folder, run.overwrite, plan.layout);
  std::optional<StateLog> states;
  if (run.experiment.base().boolean("record.states")) {
    states = StateLog::create(states_of(run.folder), plan.layout.members,
                              run.experiment.resolved_toml());
  }
  return carry_out(Job{.experiment = run.experiment,
                       .plan = plan,
                       .executor = run.executor,
                       .folder = run.folder,
                       .file = run.file,
                       .log = log,
                       .states = states ? &*states : nullptr,
                       .quiet = run.quiet,
                       .profile = run.profile});
}

Action add_run(CLI::App& program) {
  const auto flags = std::make_shared<RunFlags>();
  CLI::App& command = *program.add_subcommand("run", "Run an experiment and write its record.");
  command.add_option("file", flags->file, "experiment file (TOML)")->required();
  command
      .add_option("--set", flags->overrides,
                  "KEY=VALUE: replaces a key of the file; may be repeated")
      ->allow_extra_args(false);
  flags->device.add_to(command);
  add_out(command, flags->out, "folder of the record (default: results/NAME-OF-FILE)");
  command.add_flag("--overwrite", flags->overwrite, "replace a record that is there already");
  command.add_flag("--extend", flags->extend,
                   "go on with the record that is there: more members, more steps, or what an "
                   "interruption left undone");
  command.add_flag("--profile", flags->profile,
                   "print where the time went: load, step, probes, record, idle; gaps on a GPU");
  command.add_flag("--quiet", flags->quiet, "no progress, only warnings and errors");
  command.add_flag("--json", flags->json, "print the summary as JSON");
  return [flags] { return run(*flags); };
}

}  // namespace manyfold::apps
