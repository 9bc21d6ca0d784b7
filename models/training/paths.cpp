// Which families are stepped resident, found by compiling a step of one slot.
#include <algorithm>

#include <fmt/format.h>

#include "core/error.hpp"
#include "kernels/resident/choice.hpp"
#include "models/training/ensemble.hpp"
#include "models/training/plan.hpp"

namespace manyfold {

namespace {

constexpr const char* no_memory = "the memory budget leaves no room for its program";

/// Makes the family resident if it can be; returns the reason either way.
std::string try_resident(FamilyPlan& family, const Plan& plan, const Experiment& experiment,
                         Executor& executor) {
  FamilyPlan trial = family;
  trial.slots = 1;
  trial.path = Path::resident;
  try {
    const Ensemble ensemble(executor, experiment.member(family.example), trial, plan.probes,
                            plan.check_every);
    if (ensemble.resident() == nullptr) return ensemble.why_not_resident();
    FamilyPlan larger = family;
    larger.path = Path::resident;
    larger.footprint.shared_bytes += ensemble.resident_bytes();
    if (!larger.fit(executor.device().memory_budget)) return no_memory;
    family = std::move(larger);
    const kernels::resident::Program& program = *ensemble.resident();
    return fmt::format("{} bytes a member on the chip, {} of them side by side",
                       program.arena_bytes(),
                       kernels::resident::lanes(executor.device(), program.host.element_bytes));
  } catch (const ResourceError&) {
    return no_memory;
  }
}

}  // namespace

const char* word(Path path) { return path == Path::resident ? "resident" : "batched"; }

void choose_paths(Plan& plan, const Experiment& experiment, Executor& executor,
                  const std::string& wanted) {
  if (wanted != "auto" && wanted != "resident" && wanted != "batched") {
    throw InputError(fmt::format("--path {}: expected one of auto, resident, batched", wanted));
  }
  for (FamilyPlan& family : plan.families) {
    family.path = Path::batched;
    if (wanted == "batched") {
      family.path_reason = "asked for";
      continue;
    }
    if (wanted == "auto") {
      family.path_reason =
          kernels::resident::why_rather_batched(executor.device(), family.footprint.rows);
      if (!family.path_reason.empty()) continue;
    }
    std::string reason = try_resident(family, plan, experiment, executor);
    if (wanted == "resident" && family.path != Path::resident) {
      throw InputError(fmt::format("--path resident: {}: {}", family.description, reason));
    }
    family.path_reason = std::move(reason);
  }
}

std::string path_of_record(const std::string& recorded, const std::string& wanted) {
  const bool one = recorded == word(Path::resident) || recorded == word(Path::batched);
  return wanted == "auto" && one ? recorded : wanted;
}

std::string paths_text(const Plan& plan) {
  std::string text;
  bool alike = true;
  for (const FamilyPlan& family : plan.families) {
    alike = alike && family.path == plan.families.front().path;
    text += fmt::format("{}{}", text.empty() ? "" : ", ", word(family.path));
  }
  return alike && !plan.families.empty() ? word(plan.families.front().path) : text;
}

}  // namespace manyfold
