// manyfold reproduce: runs experiments of papers and holds their records against the claims.
#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "apps/manyfold/command.hpp"
#include "apps/manyfold/run.hpp"
#include "apps/reproduce/reproduction.hpp"
#include "core/error.hpp"
#include "models/training/model.hpp"

namespace manyfold::apps {
namespace {

namespace fs = std::filesystem;

struct ReproduceFlags {
  std::vector<std::string> ids;
  bool all = false;
  bool list = false;
  std::string scale = "quick";
  DeviceFlags device;
  std::string out = "results/reproduce";
  bool overwrite = false;
  bool quiet = false;
  bool json = false;
};

/// "overparam.fig1", or "overparam.*" for all that begin so.
bool is_named(const std::string& id, const std::string& pattern) {
  if (!pattern.ends_with('*')) return id == pattern;
  return id.starts_with(pattern.substr(0, pattern.size() - 1));
}

std::vector<const Reproduction*> chosen(const ReproduceFlags& flags) {
  std::vector<const Reproduction*> all;
  std::string known;
  for (const Reproduction& one : reproductions()) {
    known += fmt::format("{}{}", known.empty() ? "" : ", ", one.id);
  }
  for (const std::string& pattern : flags.ids) {
    const auto before = all.size();
    for (const Reproduction& one : reproductions()) {
      const bool is_new = std::find(all.begin(), all.end(), &one) == all.end();
      if (is_named(one.id, pattern) && is_new) all.push_back(&one);
    }
    if (all.size() == before) {
      throw InputError(fmt::format(
          "found \"{}\", expected one of {}, or a beginning with * after it", pattern, known));
    }
  }
  if (flags.all) {
    all.clear();
    for (const Reproduction& one : reproductions()) all.push_back(&one);
  }
  if (all.empty()) {
    throw InputError(
        fmt::format("found no experiment to reproduce, expected --all or some of {}", known));
  }
  return all;
}

nlohmann::json claims_json(const std::vector<Claim>& claims) {
  nlohmann::json list = nlohmann::json::array();
  for (const Claim& claim : claims) {
    list.push_back({{"id", claim.id},
                    {"statement", claim.statement},
                    {"source", claim.source},
                    {"measured", claim.measured},
                    {"bound", claim.bound},
                    {"holds", claim.holds}});
  }
  return list;
}

void print_claims(const Reproduction& one, const std::vector<Claim>& claims) {
  fmt::print("{}  {}\n", one.id, one.title);
  for (const Claim& claim : claims) {
    const char* verdict = claim.bound.empty() ? "report" : claim.holds ? "holds " : "FAILS ";
    fmt::print("  {}  {}: {} ({})\n", verdict, claim.id, claim.statement, claim.source);
    fmt::print("          measured {}{}{}\n", claim.measured, claim.bound.empty() ? "" : "; bound ",
               claim.bound);
  }
}

int list() {
  for (const Reproduction& one : reproductions()) fmt::print("{:<28}{}\n", one.id, one.title);
  return exit_done;
}

int reproduce(const ReproduceFlags& flags) {
  if (flags.list) return list();
  const std::vector<const Reproduction*> experiments = chosen(flags);
  const Scale scale = flags.scale == "paper" ? Scale::paper : Scale::quick;
  const auto executor = kernels::make_executor(flags.device.request());
  bool all_hold = true;
  for (const Reproduction* one : experiments) {
    const fs::path folder = fs::path(flags.out) / one->id;
    FinishedParts finished;
    nlohmann::json records = nlohmann::json::array();
    for (const Part& part : one->parts(scale)) {
      const std::string name = fmt::format("{} ({})", one->id, part.name);
      Experiment experiment = Experiment::parse(part.toml, name, {}, experiment_spec());
      const fs::path there = folder / part.name;
      const RunSummary summary = carry_out(NewRun{.experiment = experiment,
                                                  .executor = *executor,
                                                  .path = flags.device.path,
                                                  .folder = there,
                                                  .file = name,
                                                  .overwrite = flags.overwrite,
                                                  .quiet = flags.quiet});
      if (summary.interrupted) {
        fmt::print(stderr, "manyfold: interrupted; what was sampled is in the record\n");
        return exit_interrupted;
      }
      records.push_back(record_of(there).string());
      finished.emplace(part.name, FinishedPart{std::move(experiment), Samples(log_of(there))});
    }
    const std::vector<Claim> claims = one->claims(finished);
    for (const Claim& claim : claims) all_hold = all_hold && claim.holds;
    if (flags.json) {
      fmt::print("{}\n", nlohmann::json{{"experiment", one->id},
                                        {"scale", flags.scale},
                                        {"device", executor->device().kind},
                                        {"claims", claims_json(claims)},
                                        {"records", records},
                                        {"figures", nlohmann::json::array()}}
                             .dump());
    } else {
      print_claims(*one, claims);
    }
  }
  return all_hold ? exit_done : exit_claim_failed;
}

}  // namespace

Action add_reproduce(CLI::App& program) {
  const auto flags = std::make_shared<ReproduceFlags>();
  CLI::App& command = *program.add_subcommand(
      "reproduce", "Run experiments of papers and hold their records against the papers' claims.");
  command.add_option("experiments", flags->ids,
                     "names, as --list has them; \"overparam.*\": all of these");
  command.add_flag("--all", flags->all, "every experiment");
  command.add_flag("--list", flags->list, "names and titles");
  command.add_option("--scale", flags->scale, "quick: minutes; paper: the sizes of the paper")
      ->check(CLI::IsMember({"quick", "paper"}));
  flags->device.add_to(command);
  add_out(command, flags->out,
          "folder of the records, one folder each in it (default: results/reproduce)");
  command.add_flag("--overwrite", flags->overwrite, "replace records that are there already");
  command.add_flag("--quiet", flags->quiet, "no progress, only warnings and errors");
  command.add_flag("--json", flags->json, "print one line of JSON an experiment");
  return [flags] { return reproduce(*flags); };
}

}  // namespace manyfold::apps
