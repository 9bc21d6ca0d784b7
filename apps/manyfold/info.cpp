// manyfold info: devices and build; or, of an experiment file, what running it would take.
#include <algorithm>
#include <array>
#include <chrono>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "apps/manyfold/command.hpp"
#include "core/version.hpp"
#include "models/training/ensemble.hpp"
#include "models/training/plan.hpp"

namespace manyfold::apps {
namespace {

struct InfoFlags {
  std::string file;
  std::vector<std::string> overrides;
  DeviceFlags device;
  bool json = false;
};

/// Seconds that one step of one member takes, measured on throw-away members: a short run of as
/// many slots as say something about the device.
double seconds_per_member_step(Executor& executor, const Experiment& experiment, const Plan& plan,
                               FamilyPlan family) {
  const std::int64_t enough = executor.device().kind == "cpu"
                                  ? std::int64_t{32} * executor.device().compute_units
                                  : family.slots;
  family.slots = std::min(family.slots, enough);
  std::vector<Settings> members;
  for (std::int64_t slot = 0; slot < family.slots; ++slot) {
    members.push_back(experiment.member(family.members[static_cast<std::size_t>(slot)]));
  }
  Ensemble ensemble(executor, members.front(), family, plan.probes, plan.check_every);
  ensemble.load(members);
  using Clock = std::chrono::steady_clock;
  std::int64_t steps = 1;  // of large members one says enough
  std::int64_t position = 0;
  for (;;) {
    executor.synchronize();
    const auto start = Clock::now();
    ensemble.advance(position, position + steps);
    executor.synchronize();
    const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
    position += steps;
    if (seconds > 0.05 || position > 1'000'000) {
      return seconds / static_cast<double>(steps * family.slots);
    }
    steps *= 2;
  }
}

/// What states.log comes to if every member ends with a state to go on with.
double states_bytes(const Experiment& experiment, const Plan& plan) {
  if (!experiment.base().boolean("record.states")) return 0;
  double bytes = static_cast<double>(plan.kept_bytes);
  for (const FamilyPlan& family : plan.families) {
    bytes += static_cast<double>(family.state_bytes) * static_cast<double>(family.members.size());
  }
  return bytes;
}

int describe_machine(const InfoFlags& flags) {
  const auto statuses = kernels::backend_statuses();
  if (flags.json) {
    nlohmann::json devices = nlohmann::json::array();
    for (const auto& status : statuses) {
      devices.push_back(
          {{"device", status.device}, {"usable", status.usable}, {"detail", status.detail}});
    }
    fmt::print(
        "{}\n",
        nlohmann::json{{"version", version()}, {"commit", commit()}, {"devices", devices}}.dump());
    return exit_done;
  }
  fmt::print("manyfold {} ({})\n", version(), commit());
  for (const auto& status : statuses) {
    fmt::print("{:<10}{:<12}{}\n", status.device, status.usable ? "usable" : "not usable",
               status.detail);
  }
  return exit_done;
}

int describe_experiment(const InfoFlags& flags) {
  const Experiment experiment = Experiment::read(flags.file, flags.overrides, experiment_spec());
  const auto executor = kernels::make_executor(flags.device.request());
  Plan plan = make_plan(experiment, executor->device());
  choose_paths(plan, experiment, *executor, flags.device.path);
  double seconds = 0;
  nlohmann::json families = nlohmann::json::array();
  for (const FamilyPlan& family : plan.families) {
    const double each = seconds_per_member_step(*executor, experiment, plan, family);
    seconds += each * static_cast<double>(family.member_steps);
    families.push_back({{"family", family.description},
                        {"members", family.members.size()},
                        {"parameters", family.footprint.parameters},
                        {"slots", family.slots},
                        {"waves", family.waves},
                        {"shared_problem", family.shared_problem},
                        {"bytes_per_member", family.bytes_per_member()},
                        {"bytes", family.bytes()},
                        {"state_bytes", family.state_bytes},
                        {"flops_per_step", family.footprint.flops_per_step},
                        {"member_steps", family.member_steps},
                        {"path", word(family.path)},
                        {"path_reason", family.path_reason}});
  }
  const DeviceDescription& device = executor->device();
  if (flags.json) {
    fmt::print("{}\n", nlohmann::json{{"device", device.kind},
                                      {"device_name", device.name},
                                      {"members", plan.layout.members},
                                      {"families", families},
                                      {"peak_bytes", plan.peak_bytes()},
                                      {"memory_budget", device.memory_budget},
                                      {"record_bytes", plan.layout.bytes()},
                                      {"states_bytes", states_bytes(experiment, plan)},
                                      {"kept_bytes", plan.kept_bytes},
                                      {"member_steps", plan.member_steps},
                                      {"flops", plan.flops()},
                                      {"seconds", seconds}}
                           .dump());
    return exit_done;
  }
  fmt::print("experiment  {}\ndevice      {} ({}, {})\nmembers     {} in {} famil{}\n",
             experiment.base().text("name"), device.kind, device.name, device.instruction_set,
             plan.layout.members, plan.families.size(), plan.families.size() == 1 ? "y" : "ies");
  for (const FamilyPlan& family : plan.families) {
    fmt::print(
        "  {}\n    {} members, {} parameters each, {} slots in {} wave{}, {} a member, {}\n    {} "
        "path: "
        "{}\n",
        family.description, family.members.size(), family.footprint.parameters, family.slots,
        family.waves, family.waves == 1 ? "" : "s",
        human_bytes(static_cast<double>(family.bytes_per_member())),
        family.shared_problem ? "one problem for all" : "a problem each", word(family.path),
        family.path_reason);
  }
  fmt::print("memory      {} of a budget of {}\n",
             human_bytes(static_cast<double>(plan.peak_bytes())),
             human_bytes(static_cast<double>(device.memory_budget)));
  fmt::print("record      at most {}\n", human_bytes(static_cast<double>(plan.layout.bytes())));
  fmt::print("states      {}\n", experiment.base().boolean("record.states")
                                     ? "about " + human_bytes(states_bytes(experiment, plan)) +
                                           " in states.log, for --extend"
                                     : std::string("none: record.states = false"));
  if (plan.kept_bytes > 0) {
    fmt::print("offshoots   wait for {} of their parents' states, on the host\n",
               human_bytes(static_cast<double>(plan.kept_bytes)));
  }
  fmt::print("steps       at most {} member-steps, {:.3g} floating-point operations\n",
             plan.member_steps, plan.flops());
  fmt::print("time        about {} if no member stops early\n", human_seconds(seconds));
  return exit_done;
}

}  // namespace

Action add_info(CLI::App& program) {
  const auto flags = std::make_shared<InfoFlags>();
  CLI::App& command = *program.add_subcommand(
      "info", "Devices and build; or members, memory, record size and time of an experiment.");
  command.add_option("file", flags->file, "experiment file (TOML)");
  command.add_option("--set", flags->overrides, "KEY=VALUE: replaces a key of the file")
      ->allow_extra_args(false);
  flags->device.add_to(command);
  command.add_flag("--json", flags->json, "print JSON");
  return [flags] {
    return flags->file.empty() ? describe_machine(*flags) : describe_experiment(*flags);
  };
}

}  // namespace manyfold::apps
