// Which families are stepped resident, found by compiling a step of one slot.
#include <algorithm>

#include <fmt/format.h>

#include "core/error.hpp"
#include "kernels/resident/choice.hpp"
#include "models/training/ensemble.hpp"
#include "models/training/plan.hpp"

namespace manyfold {

const char* word(Path path) { return path == Path::resident ? "resident" : "batched"; }

void choose_paths(Plan& plan, const Experiment& experiment, Executor& executor,
                  const std::string& wanted) {
  if (wanted != "auto" && wanted != "resident" && wanted != "batched") {
    throw InputError(
        fmt::format("--path {}: expected one of auto, resident, batched", wanted));
  }
  for (FamilyPlan& family : plan.families) {
    family.path = Path::batched;
    if (wanted == "batched") {
      family.path_reason = "asked for";
      continue;
    }
    FamilyPlan trial = family;
    trial.slots = 1;
    trial.path = Path::resident;
    const Settings example = experiment.member(family.example);
    const Ensemble ensemble(executor, example, trial, plan.probes, plan.check_every);
    if (ensemble.resident() != nullptr) {
      const kernels::resident::Program& program = *ensemble.resident();
      family.path = Path::resident;
      family.path_reason = fmt::format(
          "{} bytes a member on the chip, {} to a place", program.arena_bytes(),
          kernels::resident::lanes(executor.device(), program.host.element_bytes));
    } else if (wanted == "resident") {
      throw InputError(fmt::format("--path resident: {}: {}", family.description,
                                   ensemble.why_not_resident()));
    } else {
      family.path_reason = ensemble.why_not_resident();
    }
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
