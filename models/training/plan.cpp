// Groups members into families, checks each, and lays the record out.
#include "models/training/plan.hpp"

#include <algorithm>
#include <limits>
#include <map>
#include <set>
#include <stdexcept>
#include <unordered_map>
#include <unordered_set>

#include <fmt/format.h>
#include <unistd.h>

#include "core/config/validate.hpp"
#include "core/error.hpp"
#include "core/record/shape.hpp"
#include "models/training/ensemble.hpp"
#include "models/training/optimizer.hpp"
#include "models/training/schedule.hpp"

namespace manyfold {
namespace {

std::string variable_name(const std::string& key) {
  std::string name = key;
  std::replace(name.begin(), name.end(), '.', '_');
  return name;
}

CoordinateLayout coordinate(const SweptKey& key, const Spec& spec) {
  CoordinateLayout layout;
  layout.name = variable_name(key.path);
  layout.long_name = key.path;
  if (const KeySpec* known = spec.find(key.path)) {
    layout.units = known->unit;
    layout.long_name += ": " + known->doc;
  }
  bool missing = false;
  for (const std::int32_t i : key.value_of_member) missing = missing || i < 0;
  auto all = [&](auto accepted) {
    return std::all_of(key.values.begin(), key.values.end(), accepted);
  };
  const bool integers =
      !missing && all([](const Value& v) { return std::holds_alternative<std::int64_t>(v); });
  const bool numbers = all([](const Value& v) {
    return std::holds_alternative<std::int64_t>(v) || std::holds_alternative<double>(v);
  });
  auto gather = [&]<class T>(T absent, auto convert) {
    std::vector<T> values;
    values.reserve(key.value_of_member.size());
    for (const std::int32_t i : key.value_of_member) {
      values.push_back(i < 0 ? absent : convert(key.values[static_cast<std::size_t>(i)]));
    }
    return values;
  };
  if (integers) {
    layout.values =
        gather(std::int64_t{0}, [](const Value& v) { return std::get<std::int64_t>(v); });
  } else if (numbers) {
    layout.values = gather(std::numeric_limits<double>::quiet_NaN(), [](const Value& v) {
      const auto* whole = std::get_if<std::int64_t>(&v);
      return whole != nullptr ? static_cast<double>(*whole) : std::get<double>(v);
    });
  } else {
    layout.values = gather(std::string(), [](const Value& v) {
      const auto* text = std::get_if<std::string>(&v);
      return text != nullptr ? *text : to_toml(v);
    });
  }
  return layout;
}

/// Groups members; the layout's extents are the largest over all families.
class Planner {
 public:
  Planner(const Experiment& experiment, const DeviceDescription& device,
          const Continuation* continuation)
      : experiment_(experiment), device_(device), continuation_(continuation) {}

  Plan make() {
    const Settings first = experiment_.member(0);
    plan_.probes = probe_plan(first);
    plan_.check_every = first.integer("stop.check_every");
    group_members();
    for (std::size_t f = 0; f < plan_.families.size(); ++f) size_family(f);
    count_kept_states();
    lay_out();
    return std::move(plan_);
  }

 private:
  void group_members() {
    std::unordered_map<std::string, std::size_t> family_of;
    std::vector<std::string> problems;
    const std::int64_t members = experiment_.members();
    constexpr std::int64_t most_members = 10'000'000;  // planning takes minutes beyond
    if (members > most_members) {
      experiment_.base().reject("sweep", fmt::format("{} members", members),
                                fmt::format("at most {}", most_members));
    }
    for (std::int64_t m = 0; m < members; ++m) {
      const Settings settings = experiment_.member(m);
      const ModelKind& kind = model_kind(settings);
      kind.validate(settings);
      validate_optimizer(settings);
      validate_schedules(settings);
      const std::string description =
          fmt::format("{}, {}, {}{}", kind.shape_key(settings), optimizer_family(settings),
                      settings.text("precision"), schedule_family(settings));
      const auto [found, is_new] = family_of.try_emplace(description, plan_.families.size());
      if (is_new) {
        FamilyPlan family;
        family.description = description;
        family.example = m;
        plan_.families.push_back(std::move(family));
        problems.push_back(kind.problem_key(settings));
      }
      FamilyPlan& family = plan_.families[found->second];
      family.numbers.push_back(m);
      const std::int64_t steps = settings.integer("stop.steps");
      family.member_steps += place(m, settings, found->second);
      ends_.insert(steps);
      if (family.shared_problem && kind.problem_key(settings) != problems[found->second]) {
        family.shared_problem = false;
      }
    }
    offshoots_.resize(plan_.families.size());
    for (std::size_t f = 0; f < plan_.families.size(); ++f) {
      FamilyPlan& family = plan_.families[f];
      plan_.member_steps += family.member_steps;
      family.starters = family.members.size();
      family.members.insert(family.members.end(), offshoots_[f].begin(), offshoots_[f].end());
      const auto middle = family.members.begin() + static_cast<std::ptrdiff_t>(family.starters);
      const auto earlier = [&](std::int64_t a, std::int64_t b) {
        return plan_.begin_of(a) < plan_.begin_of(b);
      };
      std::stable_sort(family.members.begin(), middle, earlier);
      std::stable_sort(middle, family.members.end(), earlier);
    }
  }

  /// Notes where a member begins; the steps that it has before it, at most.
  std::int64_t place(std::int64_t member, const Settings& settings, std::size_t family) {
    const std::optional<Branch> branch = experiment_.branch(member);
    const std::int64_t steps = settings.integer("stop.steps");
    if (branch) check_branch(*branch, settings);
    const std::int64_t position =
        continuation_ == nullptr ? 0 : continuation_->position[static_cast<std::size_t>(member)];
    if (position == Continuation::done) return 0;
    offshoots_.resize(std::max(offshoots_.size(), family + 1));
    const bool from_parent = branch && position == 0;
    const std::int64_t begin = from_parent ? branch->step : position;
    if (begin > 0) {
      plan_.begin.resize(static_cast<std::size_t>(experiment_.members()), 0);
      plan_.begin[static_cast<std::size_t>(member)] = begin;
    }
    if (from_parent) {
      ++plan_.branches[branch->parent][branch->step];
      offshoots_[family].push_back(member);
    } else {
      plan_.families[family].members.push_back(member);
    }
    return steps - begin;
  }

  /// Steps that no parent reaches, or that lie beyond the offshoot's own end.
  void check_branch(const Branch& branch, const Settings& settings) {
    const std::string key = fmt::format("offshoots.{}.at", branch.offshoot);
    const std::int64_t reached = experiment_.member(branch.parent).integer("stop.steps");
    const auto reject = [&](const std::string& expected) {
      throw InputError(
          found_text(branch.place.text(), key, fmt::format("{}", branch.step), expected));
    };
    if (branch.step > reached) {
      reject(fmt::format("at most {}, where stop.steps ends member {}", reached, branch.parent));
    }
    const std::int64_t last = settings.integer("stop.steps");
    if (branch.step > last) reject(fmt::format("at most {}, the offshoot's stop.steps", last));
    ends_.insert(branch.step);
  }

  /// States wait on the host from the parent's wave to that of the last offshoot.
  void count_kept_states() {
    std::unordered_map<std::int64_t, std::size_t> family_of;
    for (std::size_t f = 0; f < plan_.families.size(); ++f) {
      for (const std::int64_t m : plan_.families[f].members) {
        if (plan_.branches.contains(m)) family_of[m] = f;
      }
    }
    for (const auto& [parent, steps] : plan_.branches) {
      const auto family = family_of.find(parent);
      if (family == family_of.end()) continue;  // done: its states are in the log of states
      plan_.kept_bytes += plan_.families[family->second].state_bytes * steps.size();
    }
    const auto pages = static_cast<std::size_t>(std::max(0L, ::sysconf(_SC_PHYS_PAGES)));
    const auto page = static_cast<std::size_t>(std::max(0L, ::sysconf(_SC_PAGESIZE)));
    if (pages > 0 && plan_.kept_bytes > pages * page) {
      throw ResourceError(fmt::format(
          "the states that offshoots wait for need {} bytes of memory, and this machine has {}",
          plan_.kept_bytes, pages * page));
    }
  }

  void size_family(std::size_t index) {
    FamilyPlan& family = plan_.families[index];
    const Settings example = experiment_.member(family.example);
    const ModelKind& kind = model_kind(example);
    family.footprint = kind.footprint(example, family.shared_problem);
    family.footprint.bytes_per_slot +=
        Ensemble::bytes_per_slot(example, plan_.probes, family.footprint.parameters);
    const std::size_t budget = device_.memory_budget;
    const std::size_t one = family.footprint.bytes_per_slot;
    const std::size_t shared = family.footprint.shared_bytes;
    if (shared > budget || one > budget - shared) {
      throw ResourceError(
          fmt::format("one member of {} needs {} bytes of memory, and the budget on {} is {} bytes",
                      family.description, one + shared, device_.name, budget));
    }
    family.state_bytes = Ensemble::state_bytes(example, plan_.probes, family.footprint);
    check_problems(family);
    (void)family.fit(budget);
    for (const ProbeRequest& probe : plan_.probes.probes) {
      if (probe.kind.extents.empty()) continue;
      const std::vector<std::int64_t> extents = kind.extents(example, probe.kind);
      std::vector<std::int64_t>& largest = extents_[probe.kind.name];
      largest.resize(extents.size(), 0);
      for (std::size_t i = 0; i < extents.size(); ++i)
        largest[i] = std::max(largest[i], extents[i]);
    }
  }

  [[noreturn]] void reject_cadence(std::size_t cadence, std::int64_t samples,
                                   std::int64_t most) const {
    const Settings settings = experiment_.member(0);
    for (const ProbeRequest& probe : plan_.probes.probes) {
      if (probe.cadence != static_cast<int>(cadence)) continue;
      const std::string table = "probes." + probe.kind.name;
      const std::string key = settings.has(table + ".every") ? table + ".every" : table + ".steps";
      settings.reject(key, fmt::format("{} samples a member", samples),
                      fmt::format("at most {}", most));
    }
    throw std::logic_error("a cadence that no probe uses");
  }

  /// Every problem once, so that nothing of a run is written before all of them can be made.
  void check_problems(const FamilyPlan& family) const {
    std::unordered_set<std::string> checked;
    for (const std::int64_t m : family.members) {
      const Settings settings = experiment_.member(m);
      const ModelKind& kind = model_kind(settings);
      if (checked.insert(kind.problem_key(settings)).second) kind.check_problem(settings);
      if (family.shared_problem) return;
    }
  }

  void lay_out() {
    RecordLayout& layout = plan_.layout;
    layout.members = experiment_.members();
    const std::vector<std::int64_t> ends(ends_.begin(), ends_.end());
    for (const Cadence& cadence : plan_.probes.cadences) {
      constexpr std::int64_t most_samples = 10'000'000;
      const std::int64_t samples = cadence.count(ends);
      if (samples > most_samples) reject_cadence(layout.cadences.size(), samples, most_samples);
      layout.cadences.push_back({cadence.name, cadence.steps(ends)});
    }
    for (const ProbeRequest& probe : plan_.probes.probes) {
      if (probe.kind.is_parameters) continue;
      VariableLayout variable;
      variable.units = probe.kind.units;
      variable.comment = probe.kind.comment;
      for (std::size_t i = 0; i < probe.kind.extents.size(); ++i) {
        // Counted from 1: W_1, s_1.
        variable.extents.push_back({probe.kind.extents[i], extents_[probe.kind.name][i], 1});
      }
      if (probe.cadence >= 0) {
        variable.name = probe.kind.name;
        variable.long_name = probe.kind.long_name;
        variable.cadence = probe.cadence;
        layout.variables.push_back(variable);
      }
      variable.cadence = -1;
      for (const Watch& watch : probe.watches) {
        variable.name = watch.variable;
        const bool maximum = watch.kind == Watch::Kind::maximum;
        if (maximum || watch.kind == Watch::Kind::minimum) {
          variable.long_name = fmt::format("{} of {} over the run", maximum ? "maximum" : "minimum",
                                           probe.kind.long_name);
        } else {
          variable.long_name = fmt::format(
              "first step at which {} is {} {}", probe.kind.long_name,
              watch.kind == Watch::Kind::first_below ? "below" : "above", watch.threshold);
        }
        variable.comment = fmt::format("{}; looked at every {} steps and at the end",
                                       probe.kind.comment, plan_.check_every);
        layout.variables.push_back(variable);
      }
    }
    for (const auto& [name, long_name] :
         {std::pair{"last_finite_step", "last checked step with finite train loss and gradient"},
          std::pair{"last_finite_train_loss", "train loss at last_finite_step"},
          std::pair{"last_finite_grad_norm", "gradient norm at last_finite_step"}}) {
      VariableLayout variable;
      variable.name = name;
      variable.long_name = long_name;
      variable.comment = fmt::format("looked at every {} steps", plan_.check_every);
      layout.variables.push_back(variable);
    }
    for (const ProbeRequest& probe : plan_.probes.probes) {
      if (probe.kind.is_parameters) lay_out_parameters(probe);
    }
    for (const SweptKey& key : experiment_.swept()) {
      layout.coordinates.push_back(coordinate(key, experiment_spec()));
    }
    const auto members = static_cast<std::size_t>(layout.members);
    const bool seed_swept = std::any_of(layout.coordinates.begin(), layout.coordinates.end(),
                                        [](const CoordinateLayout& c) { return c.name == "seed"; });
    if (!seed_swept) {
      const std::int64_t seed = experiment_.member(0).integer("seed");
      layout.coordinates.push_back({"seed", "1", "seed", std::vector<std::int64_t>(members, seed)});
    }
    std::vector<std::int64_t> parent(members, -1), step(members, -1);
    std::vector<std::string> name(members);
    for (std::int64_t m = experiment_.product(); m < layout.members; ++m) {
      const Branch branch = *experiment_.branch(m);
      parent[static_cast<std::size_t>(m)] = branch.parent;
      step[static_cast<std::size_t>(m)] = branch.step;
      name[static_cast<std::size_t>(m)] = branch.offshoot;
    }
    layout.coordinates.push_back(
        {"parent", "1", "member that this one branched from; -1: none", std::move(parent)});
    layout.coordinates.push_back({"branch_step", "1",
                                  "step at which this member branched from its parent; -1: none",
                                  std::move(step)});
    if (experiment_.product() < layout.members) {
      layout.coordinates.push_back(
          {"offshoot", "1", "table of the experiment that describes the branch", std::move(name)});
    }
    refuse_names_that_are_taken();
  }

  /// A group per family: its arrays have shapes of their own.
  void lay_out_parameters(const ProbeRequest& probe) {
    RecordLayout& layout = plan_.layout;
    for (std::size_t f = 0; f < plan_.families.size(); ++f) {
      FamilyPlan& family = plan_.families[f];
      const Settings example = experiment_.member(family.example);
      family.arrays = model_kind(example).arrays(example);
      family.first_array = static_cast<int>(layout.variables.size());
      for (const ParameterArray& array : family.arrays) {
        VariableLayout variable;
        variable.name = array.name;
        variable.cadence = probe.cadence;
        variable.extents = {{array.name + "_row", array.shape[0], 0},
                            {array.name + "_col", array.shape[1], 0}};
        variable.units = probe.kind.units;
        variable.long_name = probe.kind.long_name + " " + array.name;
        variable.comment = probe.kind.comment;
        variable.group = static_cast<int>(layout.groups.size());
        layout.variables.push_back(variable);
      }
      layout.groups.push_back({fmt::format("family_{}", f), family.description, family.numbers});
    }
  }

  /// A probe under a name of the user's may have one that the record has for something else.
  void refuse_names_that_are_taken() const {
    const RecordLayout& layout = plan_.layout;
    std::map<std::string, int> uses{
        {"member", 1}, {"status", 1}, {"end_step", 1}, {"end_reason", 1}};
    for (const CoordinateLayout& coordinate : layout.coordinates) ++uses[coordinate.name];
    for (const CadenceLayout& cadence : layout.cadences) {
      ++uses[sample_dimension(cadence)];
      ++uses[step_coordinate(cadence)];
    }
    for (const Extent& extent : dimensions_beyond_samples(layout)) ++uses[extent.name];
    for (const GroupLayout& group : layout.groups) ++uses[group.name];
    for (const VariableLayout& variable : layout.variables) {
      if (variable.group < 0) ++uses[variable.name];
    }
    for (const ProbeRequest& probe : plan_.probes.probes) {
      const bool own_name = probe.of != probe.kind.name;
      bool taken = probe.cadence >= 0 && uses[probe.kind.name] > 1;
      for (const Watch& watch : probe.watches) taken = taken || uses[watch.variable] > 1;
      if (own_name && taken) {
        experiment_.member(0).reject("probes." + probe.kind.name,
                                     "a name that the record has for something else",
                                     "another name for the probe");
      }
    }
  }

  const Experiment& experiment_;
  const DeviceDescription& device_;
  const Continuation* continuation_;
  Plan plan_;
  std::vector<std::vector<std::int64_t>> offshoots_;  ///< by family
  std::set<std::int64_t> ends_;
  std::map<std::string, std::vector<std::int64_t>> extents_;
};

}  // namespace

std::size_t Plan::peak_bytes() const {
  std::size_t peak = 0;
  for (const FamilyPlan& family : families) peak = std::max(peak, family.bytes());
  return peak;
}

double Plan::flops() const {
  double flops = 0;
  for (const FamilyPlan& family : families) {
    flops += family.footprint.flops_per_step * static_cast<double>(family.member_steps);
  }
  return flops;
}

namespace {

/// Enough to fill a device, and a sixteenth of many.
std::int64_t window_of(std::int64_t slots) {
  constexpr std::int64_t fewest = 64;
  return std::min(slots, std::max(fewest, (slots + 15) / 16));
}

}  // namespace

std::int64_t FamilyPlan::slots_in_window() const { return in_windows() ? window_of(slots) : slots; }

bool FamilyPlan::in_windows() const { return path == Path::resident && footprint.work_bytes > 0; }

std::size_t FamilyPlan::bytes_of(std::int64_t count) const {
  const auto all = static_cast<std::size_t>(count);
  const auto seen = static_cast<std::size_t>(in_windows() ? window_of(count) : count);
  return footprint.shared_bytes + footprint.bytes_per_slot * all -
         footprint.work_bytes * (all - seen);
}

bool FamilyPlan::fit(std::size_t budget) {
  if (bytes_of(1) > budget) return false;
  // The most that fit: bytes_of grows with the number.
  const auto most = static_cast<std::int64_t>(std::max<std::size_t>(1, members.size()));
  std::int64_t fits = 1;
  std::int64_t beyond = most + 1;
  while (beyond - fits > 1) {
    const std::int64_t middle = fits + (beyond - fits) / 2;
    (bytes_of(middle) <= budget ? fits : beyond) = middle;
  }
  slots = 0;
  // Waves of equal size: the last is not a small remainder that leaves the device idle.
  for (const std::size_t count : {starters, members.size() - starters}) {
    if (count == 0) continue;
    const std::size_t cut =
        (count + static_cast<std::size_t>(fits) - 1) / static_cast<std::size_t>(fits);
    slots = std::max(slots, static_cast<std::int64_t>((count + cut - 1) / cut));
  }
  waves = static_cast<std::int64_t>(waves_of(false).size() + waves_of(true).size());
  return true;
}

std::vector<FamilyPlan::Wave> FamilyPlan::waves_of(bool offshoots) const {
  const std::size_t begin = offshoots ? starters : 0;
  const std::size_t end = offshoots ? members.size() : starters;
  const auto most = static_cast<std::size_t>(std::max<std::int64_t>(1, slots));
  const std::size_t count = (end - begin + most - 1) / most;
  std::vector<Wave> pieces;
  for (std::size_t wave = 0; wave < count; ++wave) {
    const std::size_t first = begin + wave * most;
    pieces.push_back({first, std::min(most, end - first)});
  }
  return pieces;
}

Plan make_plan(const Experiment& experiment, const DeviceDescription& device,
               const Continuation* continuation) {
  return Planner(experiment, device, continuation).make();
}

}  // namespace manyfold
