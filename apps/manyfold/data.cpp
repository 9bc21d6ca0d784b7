// manyfold data: looks into arrays and records, converts arrays between formats, and writes out
// what an experiment draws.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include "apps/manyfold/command.hpp"
#include "apps/manyfold/weights.hpp"
#include "core/data/array_archive.hpp"
#include "core/data/array_file.hpp"
#include "core/data/array_summary.hpp"
#include "core/data/netcdf_reader.hpp"
#include "core/error.hpp"
#include "core/sweep/experiment.hpp"
#include "core/version.hpp"
#include "models/training/model.hpp"

namespace manyfold::apps {
namespace {

namespace fs = std::filesystem;

// ---- inspect

struct InspectFlags {
  std::string file;
  std::string variable;
  bool json = false;
};

nlohmann::json or_null(const std::optional<double>& value) {
  return value ? nlohmann::json(*value) : nlohmann::json(nullptr);
}

void print_line(std::string_view name, std::string_view text) {
  fmt::print("{:<12}{}\n", name, text);
}

int inspect_array(const fs::path& file, const InspectFlags& flags) {
  const Array array = read_array(file, flags.variable);
  const ArraySummary summary = summarize(array);
  if (flags.json) {
    nlohmann::json json{{"file", file.string()},
                        {"shape", array.shape},
                        {"type", array.type},
                        {"elements", summary.elements},
                        {"not_finite", summary.not_finite},
                        {"min", or_null(summary.min)},
                        {"max", or_null(summary.max)},
                        {"mean", or_null(summary.mean)},
                        {"norm", or_null(summary.norm)}};
    if (!flags.variable.empty()) json["variable"] = flags.variable;
    if (summary.rank) {
      json["rank"] = *summary.rank;
      json["singular_values"] = summary.singular_values;
    }
    fmt::print("{}\n", json.dump());
    return exit_done;
  }
  print_line("file", file.string());
  if (!flags.variable.empty()) print_line("variable", flags.variable);
  print_line("shape", array.shape_text());
  print_line("type", array.type);
  print_line("elements", fmt::format("{}{}", summary.elements,
                                     summary.not_finite == 0
                                         ? std::string()
                                         : fmt::format(", {} of them not finite (left out below)",
                                                       summary.not_finite)));
  for (const auto& [name, value] :
       {std::pair{"min", summary.min}, std::pair{"max", summary.max},
        std::pair{"mean", summary.mean}, std::pair{"norm", summary.norm}}) {
    if (value) print_line(name, fmt::format("{}", *value));
  }
  if (summary.rank) {
    print_line("rank", std::to_string(*summary.rank));
    constexpr std::size_t most = 8;
    std::string largest;
    for (std::size_t i = 0; i < std::min(most, summary.singular_values.size()); ++i) {
      largest += fmt::format("{}{:.8g}", i == 0 ? "" : ", ", summary.singular_values[i]);
    }
    print_line("singular", largest + (summary.singular_values.size() > most ? ", ..." : ""));
  }
  return exit_done;
}

/// How many members ended in which way, where the file is a record.
std::map<std::string, std::int64_t> members_by_status(const NetcdfReader& reader) {
  std::map<std::string, std::int64_t> members;
  const auto* status = reader.find("status");
  if (status == nullptr || status->type != "text" || status->dimensions.size() != 1) return members;
  for (const std::string& word : reader.texts(*status)) ++members[word];
  return members;
}

/// "member, sample" with their sizes: "(member 4, sample 11)".
std::string dimensions_text(const NetcdfReader::Variable& variable) {
  std::string text;
  for (std::size_t i = 0; i < variable.shape.size(); ++i) {
    text += fmt::format("{}{} {}", i == 0 ? "" : ", ", variable.dimensions[i], variable.shape[i]);
  }
  return "(" + text + ")";
}

/// What an archive has, a line for each array; of the only one, or of --variable, all about it.
int inspect_archive(const fs::path& file, InspectFlags flags) {
  const std::vector<NamedArray> arrays = read_arrays(file);
  if (flags.variable.empty() && arrays.size() == 1) flags.variable = arrays.front().name;
  if (!flags.variable.empty()) return inspect_array(file, flags);
  if (flags.json) {
    nlohmann::json listed = nlohmann::json::array();
    for (const NamedArray& one : arrays) {
      listed.push_back({{"name", one.name},
                        {"type", one.array.type},
                        {"shape", one.array.shape},
                        {"norm", or_null(summarize(one.array).norm)}});
    }
    fmt::print("{}\n", nlohmann::json{{"file", file.string()}, {"arrays", listed}}.dump());
    return exit_done;
  }
  print_line("file", file.string());
  std::size_t width = 0;
  for (const NamedArray& one : arrays) width = std::max(width, one.name.size());
  for (std::size_t i = 0; i < arrays.size(); ++i) {
    const std::optional<double> norm = summarize(arrays[i].array).norm;
    print_line(i == 0 ? "arrays" : "",
               fmt::format("{:{}}  {}  {}{}", arrays[i].name, width, arrays[i].array.type,
                           arrays[i].array.shape_text(),
                           norm ? fmt::format(", norm {:.6g}", *norm) : std::string()));
  }
  return exit_done;
}

int inspect_record(const NetcdfReader& reader, bool as_json) {
  const auto members = members_by_status(reader);
  if (as_json) {
    nlohmann::json dimensions = nlohmann::json::object();
    for (const auto& dimension : reader.dimensions()) dimensions[dimension.path] = dimension.size;
    nlohmann::json variables = nlohmann::json::array();
    for (const auto& variable : reader.variables()) {
      variables.push_back({{"name", variable.path},
                           {"type", variable.type},
                           {"dimensions", variable.dimensions},
                           {"shape", variable.shape}});
    }
    nlohmann::json json{
        {"file", reader.file().string()}, {"dimensions", dimensions}, {"variables", variables}};
    if (!members.empty()) json["members"] = members;
    if (const auto name = reader.attribute("name")) json["name"] = *name;
    fmt::print("{}\n", json.dump());
    return exit_done;
  }
  print_line("file", reader.file().string());
  if (const auto name = reader.attribute("name")) print_line("name", *name);
  if (const auto version = reader.attribute("program_version")) {
    print_line("made by",
               fmt::format("{} {}", reader.attribute("program").value_or("?"), *version));
  }
  if (!members.empty()) {
    std::string text;
    for (const auto& [word, count] : members) {
      text += fmt::format("{}{} {}", text.empty() ? "" : ", ", count, word);
    }
    print_line("members", text);
  }
  std::string dimensions;
  for (const auto& dimension : reader.dimensions()) {
    dimensions +=
        fmt::format("{}{} {}", dimensions.empty() ? "" : ", ", dimension.path, dimension.size);
  }
  print_line("dimensions", dimensions);
  std::size_t width = 0;
  for (const auto& variable : reader.variables()) width = std::max(width, variable.path.size());
  for (const auto& variable : reader.variables()) {
    print_line(&variable == &reader.variables().front() ? "variables" : "",
               fmt::format("{:<{}}  {:<5} {}", variable.path, width, variable.type,
                           dimensions_text(variable)));
  }
  return exit_done;
}

int inspect(const InspectFlags& flags) {
  fs::path file = flags.file;
  std::error_code ignored;
  if (fs::is_directory(file, ignored)) {
    file /= "record.nc";
    if (!fs::exists(file, ignored)) {
      throw InputError(
          fmt::format("{}: found a folder without record.nc, expected a file or the "
                      "folder of a run",
                      flags.file));
    }
  }
  if (is_archive(file)) return inspect_archive(file, flags);
  if (file.extension() != ".nc" || !flags.variable.empty()) return inspect_array(file, flags);
  const NetcdfReader reader(file);
  return inspect_record(reader, flags.json);
}

// ---- convert

struct ConvertFlags {
  std::string from;
  std::string to;
  std::string variable;
  bool overwrite = false;
};

int convert(const ConvertFlags& flags) {
  std::error_code ignored;
  if (fs::exists(flags.to, ignored) && !flags.overwrite) {
    throw InputError(fmt::format("{} exists; --overwrite replaces it", flags.to));
  }
  const Array array = read_array(flags.from, flags.variable);
  const std::string name = flags.variable.substr(flags.variable.rfind('/') + 1);
  write_array(flags.to, array, name.empty() ? "array" : name);
  fmt::print("{}: {} numbers of shape {}\n", flags.to, array.values.size(), array.shape_text());
  return exit_done;
}

// ---- weights

struct WeightsFlags {
  std::string record;
  std::string to;
  std::int64_t member = 0;
  std::optional<std::int64_t> sample;
  bool single = false;
  bool overwrite = false;
};

int weights(const WeightsFlags& flags) {
  std::error_code ignored;
  if (fs::exists(flags.to, ignored) && !flags.overwrite) {
    throw InputError(fmt::format("{} exists; --overwrite replaces it", flags.to));
  }
  const fs::path record = fs::is_directory(flags.record, ignored)
                              ? fs::path(flags.record) / "record.nc"
                              : fs::path(flags.record);
  const std::vector<NamedArray> arrays =
      recorded_parameters(NetcdfReader(record), flags.member, flags.sample);
  write_arrays(flags.to, arrays, flags.single);
  for (const auto& [name, array] : arrays) {
    fmt::print("{}: {} of shape {}\n", flags.to, name, array.shape_text());
  }
  return exit_done;
}

// ---- generate

struct GenerateFlags {
  std::string file;
  std::string out;
  std::vector<std::string> overrides;
  std::int64_t member = 0;
  bool overwrite = false;
};

constexpr const char* manifest_name = "data.json";

/// A folder under way: gone with what is in it unless it was put in place.
class PartialFolder {
 public:
  explicit PartialFolder(const fs::path& folder)
      : path_((folder.has_filename() ? folder : folder.parent_path()).string() +
              fmt::format(".{}.partial", ::getpid())) {
    std::error_code failed;
    fs::create_directories(path_, failed);
    if (failed) {
      throw InputError(fmt::format("{}: cannot be made: {}", folder.string(), failed.message()));
    }
  }
  PartialFolder(const PartialFolder&) = delete;
  PartialFolder& operator=(const PartialFolder&) = delete;
  ~PartialFolder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

void rename_or_throw(const fs::path& from, const fs::path& to) {
  std::error_code failed;
  fs::rename(from, to, failed);
  if (failed) {
    throw InputError(fmt::format("{}: cannot be put in place: {}", to.string(), failed.message()));
  }
}

/// Files that an earlier `data generate` left in a folder, by its manifest.
std::set<std::string> files_of_manifest(const fs::path& folder) {
  std::set<std::string> names;
  std::ifstream in(folder / manifest_name, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  const auto manifest = nlohmann::json::parse(text, nullptr, false);
  if (!manifest.is_object() || !manifest.contains("arrays")) return names;
  for (const auto& array : manifest["arrays"]) {
    if (!array.is_object() || !array.contains("file") || !array["file"].is_string()) continue;
    const fs::path name = array["file"].get<std::string>();
    if (name == name.filename()) names.insert(name.string());  // nothing outside the folder
  }
  return names;
}

/// Moves the files of `partial` into `folder`, where nothing else of that name may stand without
/// `overwrite`.
void put_in_place(const PartialFolder& partial, const fs::path& folder,
                  const std::set<std::string>& names) {
  std::error_code ignored;
  if (!fs::exists(folder, ignored)) return rename_or_throw(partial.path(), folder);
  for (const std::string& old : files_of_manifest(folder)) {
    if (!names.contains(old)) fs::remove(folder / old, ignored);
  }
  for (const std::string& name : names) {
    if (name != manifest_name) rename_or_throw(partial.path() / name, folder / name);
  }
  rename_or_throw(partial.path() / manifest_name, folder / manifest_name);
}

void refuse_existing(const fs::path& folder, const std::set<std::string>& names, bool overwrite) {
  std::error_code ignored;
  if (!fs::exists(folder, ignored)) return;
  if (!fs::is_directory(folder, ignored)) {
    throw InputError(
        fmt::format("{}: found a file, expected a folder to write to", folder.string()));
  }
  if (overwrite) return;
  std::set<std::string> taken = files_of_manifest(folder);
  taken.insert(names.begin(), names.end());
  for (const std::string& name : taken) {
    if (!fs::exists(folder / name, ignored)) continue;
    throw InputError(fmt::format("{} exists; --overwrite replaces it", (folder / name).string()));
  }
}

int generate(const GenerateFlags& flags) {
  const Experiment experiment = Experiment::read(flags.file, flags.overrides, experiment_spec());
  if (flags.member >= experiment.members()) {
    throw InputError(fmt::format("--member: found {}, expected 0 to {}: {} has {} member{}",
                                 flags.member, experiment.members() - 1, flags.file,
                                 experiment.members(), experiment.members() == 1 ? "" : "s"));
  }
  // As a run does: starts come from products and decompositions whose bits depend on how many
  // threads the BLAS has.
  const auto executor = kernels::make_executor({"cpu", 1, 0});
  const Settings settings = experiment.member(flags.member);
  const ModelKind& kind = model_kind(settings);
  kind.validate(settings);
  std::vector<DrawnArray> arrays = kind.drawn(settings);
  const std::string& precision = settings.text("precision");
  if (precision != "f64") {  // what the model loads
    for (DrawnArray& drawn : arrays) {
      for (double& x : drawn.array.values) x = static_cast<double>(static_cast<float>(x));
    }
  }

  const fs::path folder = flags.out;
  nlohmann::json list = nlohmann::json::array();
  std::set<std::string> names{manifest_name};
  for (const DrawnArray& drawn : arrays) {
    const std::string name = drawn.name + ".npy";
    names.insert(name);
    list.push_back({{"file", name}, {"shape", drawn.array.shape}, {"content", drawn.doc}});
  }
  refuse_existing(folder, names, flags.overwrite);
  const nlohmann::json manifest{{"experiment", settings.text("name")},
                                {"member", flags.member},
                                {"problem_seed", settings.integer("problem.seed")},
                                {"init_seed", seed_of(settings, "init.seed")},
                                {"precision", precision},
                                {"program_version", version()},
                                {"arrays", list}};
  const PartialFolder partial(folder);
  for (const DrawnArray& drawn : arrays) {
    write_array(partial.path() / (drawn.name + ".npy"), drawn.array);
  }
  std::ofstream out(partial.path() / manifest_name, std::ios::binary);
  out << manifest.dump(2) << '\n';
  out.close();
  if (!out) {
    throw ResourceError(fmt::format("{}: cannot be written", (folder / manifest_name).string()));
  }
  put_in_place(partial, folder, names);
  for (const DrawnArray& drawn : arrays) {
    fmt::print("{:<28}{:<20}{}\n", (folder / (drawn.name + ".npy")).string(),
               drawn.array.shape_text(), drawn.doc);
  }
  return exit_done;
}

}  // namespace

Action add_data(CLI::App& program) {
  CLI::App& command = *program.add_subcommand(
      "data", "Inspect and convert arrays, and write out what an experiment draws.");
  command.require_subcommand(1);

  const auto seen = std::make_shared<InspectFlags>();
  CLI::App& inspecting = *command.add_subcommand(
      "inspect", "What is in a .npy, .npz, .safetensors, .csv, .nc or IDX file, or in a record.");
  inspecting.add_option("file", seen->file, "array file, record, or folder of a run")->required();
  inspecting.add_option("--variable", seen->variable,
                        "variable of a .nc file, as family_0/W_1, or array of an archive");
  inspecting.add_flag("--json", seen->json, "print JSON");

  const auto converted = std::make_shared<ConvertFlags>();
  CLI::App& converting =
      *command.add_subcommand("convert", "Copy an array to another format, by the ending.");
  converting.add_option("in", converted->from, "array file: .npy, .csv, .nc, or IDX (.gz too)")
      ->required();
  converting.add_option("out", converted->to, "array file: .npy, .csv, .nc or .idx")->required();
  converting.add_option("--variable", converted->variable, "variable of a .nc file: family_0/W_1");
  converting.add_flag("--overwrite", converted->overwrite, "replace a file that is there already");

  const auto taken = std::make_shared<WeightsFlags>();
  CLI::App& taking = *command.add_subcommand(
      "weights", "A member's parameters out of a record, as .npz or .safetensors.");
  taking.add_option("record", taken->record, "record, or folder of a run")->required();
  taking.add_option("out", taken->to, "file that ends in .npz or .safetensors")->required();
  taking.add_option("--member", taken->member, "which member's (default: 0, the first)")
      ->check(CLI::NonNegativeNumber);
  taking
      .add_option("--sample", taken->sample,
                  "which of the recorded samples, from 0 (default: the last)")
      ->check(CLI::NonNegativeNumber);
  taking.add_flag("--single", taken->single, "in single precision");
  taking.add_flag("--overwrite", taken->overwrite, "replace a file that is there already");

  const auto drawn = std::make_shared<GenerateFlags>();
  CLI::App& generating = *command.add_subcommand(
      "generate", "Write the problem and the start of a member as .npy files.");
  generating.add_option("file", drawn->file, "experiment file (TOML)")->required();
  generating.add_option("out", drawn->out, "folder for the files")->required();
  generating
      .add_option("--set", drawn->overrides,
                  "KEY=VALUE: replaces a key of the file; may be repeated")
      ->allow_extra_args(false);
  generating.add_option("--member", drawn->member, "which member's (default: 0, the first)")
      ->check(CLI::NonNegativeNumber);
  generating.add_flag("--overwrite", drawn->overwrite, "replace files that are there already");

  return [&inspecting, &converting, &taking, seen, converted, taken, drawn] {
    if (inspecting.parsed()) return inspect(*seen);
    if (converting.parsed()) return convert(*converted);
    if (taking.parsed()) return weights(*taken);
    return generate(*drawn);
  };
}

}  // namespace manyfold::apps
