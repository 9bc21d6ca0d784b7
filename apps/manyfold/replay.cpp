// manyfold replay: one member of a record again, by itself, perhaps with other probes; and whether
// it took the same steps, bit by bit.
#include <algorithm>
#include <bit>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "apps/manyfold/command.hpp"
#include "apps/manyfold/run.hpp"
#include "core/config/document.hpp"
#include "core/error.hpp"
#include "core/version.hpp"
#include "models/training/model.hpp"

namespace manyfold::apps {
namespace {

namespace fs = std::filesystem;

struct ReplayFlags {
  std::string folder;
  std::int64_t member = -1;
  std::string probes;
  std::string out;
  DeviceFlags device;
  bool overwrite = false;
  bool quiet = false;
  bool json = false;
};

std::string text_attribute(const RecordLayout& layout, std::string_view name) {
  for (const auto& [key, value] : layout.attributes) {
    if (key != name) continue;
    if (const auto* text = std::get_if<std::string>(&value)) return *text;
    if (const auto* number = std::get_if<std::int64_t>(&value)) return std::to_string(*number);
  }
  return "";
}

/// What a log holds of one member: values by variable and sample.
struct Recorded {
  RecordLayout layout;
  std::map<std::pair<std::string, std::int64_t>, std::vector<double>> values;
  std::optional<MemberEnd> end;
  std::int64_t last_sampled = -1;  ///< step

  Recorded(const fs::path& log, std::int64_t member) {
    LogVisitor visitor;
    // The layout is known only when everything is read: variables by number until then.
    std::map<std::pair<int, std::int64_t>, std::vector<double>> found;
    visitor.on_end = [&](const MemberEnd& one) {
      if (one.member == member) end = one;
    };
    visitor.on_samples = [&](const SampleBlock& block) {
      const auto at = std::find(block.members.begin(), block.members.end(), member);
      if (at == block.members.end()) return;
      const std::size_t width = block.values.size() / block.members.size();
      const auto mine =
          block.values.subspan(static_cast<std::size_t>(at - block.members.begin()) * width, width);
      found[{block.variable, block.sample}] = {mine.begin(), mine.end()};
    };
    layout = read_log(log, visitor).layout;
    for (auto& [place, numbers] : found) {
      const VariableLayout& variable = layout.variables[static_cast<std::size_t>(place.first)];
      if (const auto* steps = steps_of(variable)) {
        last_sampled = std::max(last_sampled, (*steps)[static_cast<std::size_t>(place.second)]);
      }
      values[{variable.name, place.second}] = std::move(numbers);
    }
  }

  /// nullptr: one value a member.
  const std::vector<std::int64_t>* steps_of(const VariableLayout& variable) const {
    if (variable.cadence < 0) return nullptr;
    return &layout.cadences[static_cast<std::size_t>(variable.cadence)].steps;
  }
};

/// Two recordings of one member, compared where both have a sample.
struct Comparison {
  std::int64_t compared = 0;
  std::int64_t different = 0;
  std::string first;  ///< difference, in words

  Comparison(const Recorded& before, const Recorded& now) {
    for (const VariableLayout& variable : before.layout.variables) {
      const auto same =
          std::find_if(now.layout.variables.begin(), now.layout.variables.end(),
                       [&](const VariableLayout& other) { return other.name == variable.name; });
      if (same == now.layout.variables.end()) continue;
      const auto* steps = before.steps_of(variable);
      const auto* others = now.steps_of(*same);
      if ((steps == nullptr) != (others == nullptr)) continue;
      const std::size_t samples = steps == nullptr ? 1 : steps->size();
      for (std::size_t s = 0; s < samples; ++s) {
        const auto recorded = before.values.find({variable.name, static_cast<std::int64_t>(s)});
        if (recorded == before.values.end()) continue;
        std::int64_t step = steps == nullptr ? 0 : (*steps)[s];
        // A last state stands at the first sample at or after the member's end, of either record.
        if (steps != nullptr && before.end && step > before.end->end_step) {
          step = before.end->end_step;
        }
        const auto at = steps == nullptr ? std::vector<std::int64_t>::const_iterator()
                                         : std::lower_bound(others->begin(), others->end(), step);
        if (steps != nullptr && at == others->end()) continue;
        const bool last = before.end && step == before.end->end_step;
        if (steps != nullptr && !last && *at != step) continue;
        const std::int64_t sample = steps == nullptr ? 0 : at - others->begin();
        const auto replayed = now.values.find({variable.name, sample});
        if (replayed == now.values.end()) continue;
        compare(variable.name, steps == nullptr ? "" : fmt::format(" at step {}", step),
                recorded->second, replayed->second);
      }
    }
    if (before.end && now.end && before.end->status != MemberStatus::interrupted &&
        before.end->end_step != now.end->end_step) {
      note(fmt::format("end: recorded step {}, replayed step {}", before.end->end_step,
                       now.end->end_step));
    }
  }

 private:
  void note(const std::string& what) {
    ++different;
    if (first.empty()) first = what;
  }

  static std::uint64_t bits(double x) { return std::bit_cast<std::uint64_t>(x); }

  void compare(const std::string& variable, const std::string& where,
               const std::vector<double>& recorded, const std::vector<double>& replayed) {
    ++compared;
    if (recorded.size() != replayed.size()) {
      return note(fmt::format("{}{}: recorded {} values, replayed {}", variable, where,
                              recorded.size(), replayed.size()));
    }
    for (std::size_t i = 0; i < recorded.size(); ++i) {
      if (bits(recorded[i]) == bits(replayed[i])) continue;
      const std::string element = recorded.size() > 1 ? fmt::format(", value {}", i + 1) : "";
      return note(fmt::format("{}{}{}: recorded {}, replayed {}", variable, where, element,
                              recorded[i], replayed[i]));
    }
  }
};

/// The [probes] and [cadences] of a file that has nothing else.
ExperimentOverlay read_probes(const fs::path& file) {
  std::error_code ignored;
  std::ifstream in(file, std::ios::binary);
  if (!in || fs::is_directory(file, ignored)) {
    throw InputError(
        fmt::format("--probes {}: cannot be read, expected a file with [probes]", file.string()));
  }
  ExperimentOverlay overlay;
  overlay.name = file.string();
  overlay.folder = fs::absolute(file, ignored).lexically_normal().parent_path();
  overlay.toml.assign(std::istreambuf_iterator<char>(in), {});
  const TomlNode root = read_toml(overlay.toml, overlay.name);
  bool any = false;
  for (const TomlEntry& entry : *root.table()) {
    any = any || entry.key == "probes";
    if (entry.key == "probes" || entry.key == "cadences") continue;
    throw InputError(fmt::format("{}:{}: {}: found {}, expected [probes] and [cadences] only",
                                 overlay.name, entry.line, toml_key(entry.key),
                                 describe(entry.node)));
  }
  if (!any) throw InputError(fmt::format("{}: found no [probes], expected some", overlay.name));
  return overlay;
}

/// What is different about this program and device, where that may change bits.
std::vector<std::string> warnings(const RecordLayout& before, const RecordLayout& now) {
  std::vector<std::string> all;
  for (const char* name : {"trajectory_version", "program_version", "program_commit", "device",
                           "device_name", "instruction_set", "math_mode"}) {
    const std::string recorded = text_attribute(before, name), here = text_attribute(now, name);
    // A member may be swept over precisions and have one.
    if (recorded == here || recorded.starts_with("swept")) continue;
    all.push_back(
        fmt::format("{} is {}, the record's is {}: bits may differ", name, here, recorded));
  }
  if (text_attribute(now, "device") != "cpu" &&
      text_attribute(before, "slots") != text_attribute(now, "slots")) {
    all.push_back(fmt::format("slots are {}, the record's are {}: bits may differ on a GPU",
                              text_attribute(now, "slots"), text_attribute(before, "slots")));
  }
  return all;
}

int replay(const ReplayFlags& flags) {
  const fs::path log = log_of(flags.folder);
  std::error_code ignored;
  if (!fs::exists(log, ignored)) {
    throw InputError(fmt::format("{}: is not there; expected the folder of a run", log.string()));
  }
  const Recorded before(log, flags.member);
  if (flags.member < 0 || flags.member >= before.layout.members) {
    throw InputError(fmt::format("--member: found {}, expected a member of {}: 0 to {}",
                                 flags.member, log.string(), before.layout.members - 1));
  }
  if (before.last_sampled < 0) {
    throw InputError(
        fmt::format("--member {}: {} holds no samples of it, expected a member that ran",
                    flags.member, log.string()));
  }
  const std::string name = fmt::format("member {} of {}", flags.member, log.string());
  std::vector<ExperimentOverlay> overlays;
  if (!flags.probes.empty()) overlays.push_back(read_probes(flags.probes));
  const Experiment whole =
      Experiment::parse(text_attribute(before.layout, "experiment"),
                        log.string() + " (its experiment)", {}, experiment_spec());
  // No farther than the record goes.
  std::int64_t last = whole.member(flags.member).integer("stop.steps");
  if (!before.end) {
    last = before.last_sampled;
  } else if (before.end->status == MemberStatus::interrupted) {
    last = std::max(before.end->end_step, before.last_sampled);
  }
  const Experiment experiment =
      Experiment::parse(whole.member_toml(flags.member, last, overlays.empty()), name, {},
                        experiment_spec(), overlays);
  const std::int64_t mine = experiment.members() - 1;

  const auto executor = kernels::make_executor(flags.device.request());
  Plan plan = make_plan(experiment, executor->device());
  choose_paths(plan, experiment, *executor,
               path_of_record(text_attribute(before.layout, "path"), flags.device.path));
  add_attributes(plan.layout, experiment, plan, *executor);
  plan.layout.attributes.emplace_back("replay_of_member", flags.member);
  const fs::path folder = flags.out.empty()
                              ? fs::path(flags.folder) / fmt::format("replay-{}", flags.member)
                              : fs::path(flags.out);
  RunSummary summary;
  {
    SampleLog samples = open_log(folder, flags.overwrite, plan.layout);
    for (const std::string& warning : warnings(before.layout, plan.layout)) {
      fmt::print(stderr, "manyfold: warning: {}\n", warning);
    }
    summary = carry_out({.experiment = experiment,
                         .plan = plan,
                         .executor = *executor,
                         .folder = folder,
                         .file = name,
                         .log = samples,
                         .quiet = flags.quiet});
  }
  const Comparison comparison(before, Recorded(log_of(folder), mine));
  if (flags.json) {
    nlohmann::json json{{"record", record_of(folder).string()},
                        {"member", flags.member},
                        {"compared", comparison.compared},
                        {"different", comparison.different},
                        {"interrupted", summary.interrupted}};
    if (comparison.different > 0) json["first_difference"] = comparison.first;
    fmt::print("{}\n", json.dump());
  } else {
    fmt::print("record    {}\n{} recorded samples compared: {}\n", record_of(folder).string(),
               comparison.compared,
               comparison.compared == 0    ? "the replay takes none of them"
               : comparison.different == 0 ? "all bitwise equal"
                                           : fmt::format("{} differ", comparison.different));
  }
  if (summary.interrupted) {
    fmt::print(stderr, "manyfold: interrupted; what was sampled is in the record\n");
    return exit_interrupted;
  }
  if (comparison.different == 0) return exit_done;
  fmt::print(stderr, "manyfold: first difference: {}\n", comparison.first);
  return exit_claim_failed;
}

}  // namespace

Action add_replay(CLI::App& program) {
  const auto flags = std::make_shared<ReplayFlags>();
  CLI::App& command = *program.add_subcommand(
      "replay", "Run one member of a record again, bitwise, perhaps with other probes.");
  command.add_option("folder", flags->folder, "folder of the run")->required();
  command.add_option("--member", flags->member, "number of the member in the record")->required();
  command.add_option("--probes", flags->probes,
                     "file with [probes] and [cadences] in place of the record's");
  flags->device.add_to(command);
  add_out(command, flags->out, "folder of the new record (default: DIR/replay-MEMBER)");
  command.add_flag("--overwrite", flags->overwrite, "replace a replay that is there already");
  command.add_flag("--quiet", flags->quiet, "no progress, only warnings and errors");
  command.add_flag("--json", flags->json, "print JSON");
  return [flags] { return replay(*flags); };
}

}  // namespace manyfold::apps
