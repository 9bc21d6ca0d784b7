// manyfold gram: Gram matrices of networks as they start, over a sweep, without training. The
// experiment file is one that `run` takes; it may lack what only training needs, and probes.
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "apps/manyfold/command.hpp"
#include "apps/manyfold/run.hpp"
#include "apps/manyfold/summary.hpp"
#include "core/config/document.hpp"
#include "core/error.hpp"
#include "models/network/description.hpp"
#include "models/network/limits.hpp"
#include "models/network/problem.hpp"
#include "models/training/model.hpp"

namespace manyfold::apps {
namespace {

namespace fs = std::filesystem;

struct GramFlags {
  std::string file;
  std::vector<std::string> overrides;
  DeviceFlags device;
  std::string out;
  bool overwrite = false;
  bool quiet = false;
  bool json = false;
};

/// Names of the tables and dotted keys at the top of a file; nothing where it cannot be read, which
/// Experiment::read will say better.
std::vector<std::string> tables_of(const std::string& file) {
  std::ifstream in(file, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  std::vector<std::string> names;
  if (!in) return names;
  const TomlNode root = read_toml(text, file);
  for (const TomlEntry& entry : *root.table()) names.push_back(entry.key);
  return names;
}

constexpr const char* all_matrices[] = {"tangent_kernel_eigenvalues", "tangent_kernel_bound",
                                        "gram_eigenvalues", "gram_bound"};
constexpr const char* of_limits[] = {"tangent_kernel_limit_distance",
                                     "tangent_kernel_limit_eigenvalues", "last_gram_limit_distance",
                                     "last_gram_limit_eigenvalues"};

std::string at_the_start(const char* probe) { return fmt::format("probes.{}.steps=[0]", probe); }

/// The experiment without training, and with probes where the file has none.
Experiment gram_experiment(const GramFlags& flags) {
  const std::vector<std::string> tables = tables_of(flags.file);
  const auto has = [&](const std::string& table) {
    const bool set =
        std::any_of(flags.overrides.begin(), flags.overrides.end(),
                    [&](const std::string& text) { return text.rfind(table + ".", 0) == 0; });
    return set || std::find(tables.begin(), tables.end(), table) != tables.end();
  };
  std::vector<std::string> more{"stop.steps=0", "record.states=false"};
  if (!has("optimizer")) {
    more.insert(more.end(), {"optimizer.kind=gd", "optimizer.learning_rate=1.0"});
  }
  more.insert(more.end(), flags.overrides.begin(), flags.overrides.end());
  if (has("probes")) return Experiment::read(flags.file, more, experiment_spec());
  for (const char* probe : all_matrices) more.push_back(at_the_start(probe));
  Experiment experiment = Experiment::read(flags.file, more, experiment_spec());
  const Settings first = experiment.member(0);
  const std::vector<std::string>& networks = network::model_names();
  const std::string& kind = first.text("model.kind");
  if (std::find(networks.begin(), networks.end(), kind) == networks.end()) {
    first.reject("model.kind", fmt::format("\"{}\"", kind),
                 fmt::format("a network, one of {}", fmt::join(networks, ", ")));
  }
  if (!network::why_no_limit(first, network::description_of(first)).found.empty()) {
    return experiment;
  }
  for (const char* probe : of_limits) more.push_back(at_the_start(probe));
  return Experiment::read(flags.file, more, experiment_spec());
}

/// One number of a member's first sample; nothing where the record does not have it.
std::optional<double> number(const Samples& samples, std::int64_t member, const char* name,
                             bool last = false) {
  const std::vector<double>* values = samples.find(member, name);
  if (values == nullptr || values->empty()) return std::nullopt;
  return last ? values->back() : values->front();
}

/// What the table shows of a member.
struct Column {
  const char* title;
  const char* key;  ///< in JSON
  std::optional<double> (*of)(const Samples&, std::int64_t member);
};
const std::vector<Column>& columns() {
  using Value = std::optional<double>;
  static const std::vector<Column> all{
      {"least", "least",
       [](const Samples& s, std::int64_t m) -> Value {
         return number(s, m, "tangent_kernel_eigenvalues");
       }},
      {"largest", "largest",
       [](const Samples& s, std::int64_t m) -> Value {
         return number(s, m, "tangent_kernel_eigenvalues", true);
       }},
      {"bound", "bound",
       [](const Samples& s, std::int64_t m) -> Value {
         return number(s, m, "tangent_kernel_bound");
       }},
      {"limit's least", "limit_least",
       [](const Samples& s, std::int64_t m) -> Value {
         return number(s, m, "tangent_kernel_limit_eigenvalues");
       }},
      {"to limit", "limit_distance",
       [](const Samples& s, std::int64_t m) -> Value {
         return number(s, m, "tangent_kernel_limit_distance");
       }},
      {"last layer's", "last_layer_limit_distance",
       [](const Samples& s, std::int64_t m) -> Value {
         return number(s, m, "last_gram_limit_distance");
       }},
  };
  return all;
}

void print_table(const Experiment& experiment, const Samples& samples, bool json) {
  nlohmann::json rows = nlohmann::json::array();
  std::vector<std::vector<std::string>> lines;
  for (const MemberGroup& group : groups_but_for_seeds(experiment)) {
    nlohmann::json row{{"settings", group.values}, {"members", group.members.size()}};
    std::vector<std::string> line{group.text, std::to_string(group.members.size())};
    for (const Column& column : columns()) {
      std::vector<double> values;
      for (const std::int64_t member : group.members) {
        const auto value = column.of(samples, member);
        if (value && !std::isnan(*value)) values.push_back(*value);
      }
      std::optional<double> middle;
      if (!values.empty()) middle = median(std::move(values));
      if (middle) row[column.key] = *middle;
      line.push_back(middle ? fmt::format("{:.6g}", *middle) : "");
    }
    rows.push_back(std::move(row));
    lines.push_back(std::move(line));
  }
  if (json) {
    fmt::print("{}\n", nlohmann::json{{"rows", rows}}.dump());
    return;
  }
  std::vector<std::string> head{"medians over members", "members"};
  for (const Column& column : columns()) head.emplace_back(column.title);
  lines.insert(lines.begin(), head);
  for (std::size_t c = 0; c < head.size(); ++c) {
    const bool used = std::any_of(lines.begin() + 1, lines.end(),
                                  [&](const auto& line) { return !line[c].empty(); });
    std::size_t width = 0;
    for (const auto& line : lines) width = std::max(width, line[c].size());
    for (auto& line : lines) {
      line[c] = !used    ? std::string()
                : c == 0 ? fmt::format("{:<{}}", line[c], width)
                         : fmt::format("  {:>{}}", line[c], width);
    }
  }
  for (const auto& line : lines) fmt::print("{}\n", fmt::join(line, ""));
}

int gram(const GramFlags& flags) {
  const Experiment experiment = gram_experiment(flags);
  const fs::path folder =
      flags.out.empty() ? fs::path("results") / (fs::path(flags.file).stem().string() + "-gram")
                        : fs::path(flags.out);
  const auto executor = kernels::make_executor(flags.device.request());
  const RunSummary summary = carry_out(NewRun{.experiment = experiment,
                                              .executor = *executor,
                                              .path = flags.device.path,
                                              .folder = folder,
                                              .file = flags.file,
                                              .overwrite = flags.overwrite,
                                              .quiet = flags.quiet});
  if (summary.interrupted) {
    fmt::print(stderr, "manyfold: interrupted; what was sampled is in the record\n");
    return exit_interrupted;
  }
  print_table(experiment, Samples(log_of(folder)), flags.json);
  if (!flags.json) fmt::print("record    {}\n", record_of(folder).string());
  return exit_done;
}

}  // namespace

Action add_gram(CLI::App& program) {
  const auto flags = std::make_shared<GramFlags>();
  CLI::App& command = *program.add_subcommand(
      "gram", "Gram matrices of networks as they start, and their limits of infinite width.");
  command
      .add_option("file", flags->file,
                  "experiment file (TOML); [optimizer], [stop] and [probes] "
                  "may be left out")
      ->required();
  command
      .add_option("--set", flags->overrides,
                  "KEY=VALUE: replaces a key of the file; may be repeated")
      ->allow_extra_args(false);
  flags->device.add_to(command);
  add_out(command, flags->out, "folder of the record (default: results/NAME-OF-FILE-gram)");
  command.add_flag("--overwrite", flags->overwrite, "replace a record that is there already");
  command.add_flag("--quiet", flags->quiet, "no progress, only warnings and errors");
  command.add_flag("--json", flags->json, "print the table as JSON");
  return [flags] { return gram(*flags); };
}

}  // namespace manyfold::apps
