// Probes of an experiment: what is sampled when, and what is watched between samples.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/config/settings.hpp"
#include "core/config/spec.hpp"
#include "core/schedule/cadence.hpp"
#include "models/training/model.hpp"

namespace manyfold {

/// The probes that every model has: train_loss, grad_norm, time.
std::span<const ProbeKind> general_probes();

/// The registered name of a probe: [probes.NAME] is a probe of its own name, or, where it has a
/// `kind`, of that kind under a name of the user's.
std::string probe_kind_name(const Settings& settings, const std::string& name);

/// Rejects a probe itself: the message names the key that asks for it. Throws InputError.
[[noreturn]] void reject_probe(const Settings& settings, const std::string& name,
                               const std::string& found, const std::string& expected);

/// A running extreme or an event of a probe: as many values a member as the probe has.
struct Watch {
  enum class Kind { maximum, minimum, first_below, first_above };
  Kind kind = Kind::maximum;
  double threshold = 0;
  std::string variable;  ///< "max_balance", "first_step_test_loss_below_0.001"
};

struct ProbeRequest {
  ProbeKind kind;    ///< with the name that the experiment gives it
  std::string of;    ///< its registered name
  int cadence = -1;  ///< index into ProbePlan::cadences; -1: watched only
  std::vector<Watch> watches;
};

struct ProbePlan {
  std::vector<Cadence> cadences;  ///< the first is the record's `sample`
  std::vector<ProbeRequest> probes;
};

void add_probe_keys(Spec& spec);

/// Reads [cadences] and [probes]; probes are not swept, so any member's settings will do. Throws
/// InputError: no probe at all, a probe without cadence or watch, a cadence that does not exist.
ProbePlan probe_plan(const Settings& settings);

}  // namespace manyfold
