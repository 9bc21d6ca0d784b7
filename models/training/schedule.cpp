// Keys and checks of schedules, and their translation for the device.
#include "models/training/schedule.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <stdexcept>

#include <fmt/format.h>

#include "models/training/model.hpp"
#include "models/training/optimizer.hpp"

namespace manyfold {
namespace {

using kernels::ScheduleKind;

/// A key that schedules may vary, and the optimizers that have it (none: any).
struct Schedulable {
  std::string key;
  std::vector<std::string> optimizers;
};

/// In order of their keys' appearance over the optimizers by name.
const std::vector<Schedulable>& schedulables() {
  static const std::vector<Schedulable> all = [] {
    std::vector<Schedulable> found{
        {"optimizer.learning_rate", {}}, {"objective.l2", {}}, {"objective.balance_penalty", {}}};
    for (const OptimizerKind& kind : optimizer_kinds()) {
      for (const std::string& name : kind.scheduled) {
        const std::string key = "optimizer." + name;
        auto place = std::find_if(found.begin(), found.end(),
                                  [&](const Schedulable& one) { return one.key == key; });
        if (place == found.end()) place = found.insert(found.end(), {key, {}});
        place->optimizers.push_back(kind.name);
      }
    }
    return found;
  }();
  return all;
}

std::string table_of(std::string_view key) {
  return "schedule." + std::string(key.substr(key.rfind('.') + 1));
}

struct KindName {
  const char* name;
  ScheduleKind kind;
};
constexpr std::array kind_names{KindName{"constant", ScheduleKind::constant},
                                KindName{"piecewise", ScheduleKind::piecewise},
                                KindName{"periodic", ScheduleKind::periodic},
                                KindName{"power", ScheduleKind::power},
                                KindName{"cosine", ScheduleKind::cosine},
                                KindName{"linear", ScheduleKind::linear},
                                KindName{"exponential", ScheduleKind::exponential}};

ScheduleKind kind_of(const Settings& settings, const std::string& table) {
  const std::string& name = settings.text(table + ".kind");
  for (const KindName& one : kind_names) {
    if (name == one.name) return one.kind;
  }
  throw std::logic_error(table + ".kind passed validation but is not known: " + name);
}

bool is_scheduled(const Settings& settings, const std::string& table) {
  if (!settings.has(table + ".kind")) return false;
  return kind_of(settings, table) != ScheduleKind::constant ||
         settings.integer(table + ".warmup") > 0;
}

/// The lists' key that says where pieces begin or how long they are; "" for kinds without pieces.
std::string steps_key(ScheduleKind kind, const std::string& table) {
  if (kind == ScheduleKind::piecewise) return table + ".at";
  if (kind == ScheduleKind::periodic) return table + ".lengths";
  return "";
}

std::string list_text(const std::vector<std::int64_t>& list) {
  return fmt::format("[{}]", fmt::join(list, ", "));
}

std::string range_text(const KeySpec& key) {
  std::string text = "a value of " + key.path;
  if (key.min) text += fmt::format(" >= {}", *key.min);
  if (key.max) {
    text +=
        fmt::format("{} {} {}", key.min ? " and" : "", key.max_exclusive ? "<" : "<=", *key.max);
  }
  return text;
}

bool in_range(const KeySpec& key, double value) {
  if (key.min && value < *key.min) return false;
  return !(key.max && (key.max_exclusive ? value >= *key.max : value > *key.max));
}

void validate_pieces(const Settings& settings, const std::string& table, ScheduleKind kind,
                     const KeySpec& varied) {
  const std::string steps_path = steps_key(kind, table);
  const std::string values_path = table + ".values";
  const std::vector<std::int64_t> steps = settings.integers(steps_path);
  const std::vector<double> values = settings.numbers(values_path);
  if (steps.size() != values.size()) {
    settings.reject(
        values_path, fmt::format("a list of {}", values.size()),
        fmt::format("a list of {}, one value for each element of {}", steps.size(), steps_path));
  }
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (!in_range(varied, values[i])) {
      settings.reject(values_path, fmt::format("{} as element {}", values[i], i + 1),
                      range_text(varied));
    }
  }
  if (kind != ScheduleKind::piecewise) return;
  for (std::size_t i = 1; i < steps.size(); ++i) {
    if (steps[i] <= steps[i - 1]) {
      settings.reject(steps_path, list_text(steps), "steps in ascending order");
    }
  }
}

void validate_one(const Settings& settings, const Schedulable& one, const std::string& table) {
  const KeySpec* varied = experiment_spec().find(one.key);
  if (varied == nullptr || !settings.has(one.key)) {
    settings.reject(table + (settings.is_written(table + ".kind") ? ".kind" : ".warmup"),
                    "a schedule without " + one.key, "a value of it, which the schedule can vary");
  }
  const ScheduleKind kind = kind_of(settings, table);
  if (!steps_key(kind, table).empty()) validate_pieces(settings, table, kind, *varied);
  const std::string final_path = table + ".final";
  if (!settings.has(final_path)) return;
  const double base = settings.number(one.key);
  const double final = settings.number(final_path);
  if (!in_range(*varied, final)) {
    settings.reject(final_path, fmt::format("{}", final), range_text(*varied));
  }
  if (kind != ScheduleKind::exponential) return;
  constexpr double largest_ratio = 1e300;  // the ratio must be a normal number
  if (!(base > 0)) {
    settings.reject(one.key, fmt::format("{} with an exponential schedule", base), "a number > 0");
  }
  if (!(final > 0) || !(final / base <= largest_ratio) || !(base / final <= largest_ratio)) {
    settings.reject(final_path, fmt::format("{}", final),
                    fmt::format("a number > 0 within a factor 1e300 of {} = {}", one.key, base));
  }
}

}  // namespace

void add_schedule_keys(Spec& spec) {
  for (const Schedulable& one : schedulables()) {
    const std::string table = table_of(one.key);
    std::vector<Condition> when;
    if (!one.optimizers.empty()) when.push_back({"optimizer.kind", one.optimizers});
    const auto add = [&](KeySpec key, std::vector<std::string> kinds) {
      key.path = table + "." + key.path;
      key.when = when;
      if (!kinds.empty()) key.when.push_back({table + ".kind", std::move(kinds)});
      key.with_table = true;
      spec.add(std::move(key));
    };
    KeySpec kind{.path = "kind",
                 .type = Type::text,
                 .doc = fmt::format("How {} = v varies with the step t. constant: v; piecewise: "
                                    "values[i] from step at[i] on, v before at[0]; periodic: "
                                    "values[i] for lengths[i] steps, again and again; power: "
                                    "v (t + 1)^-exponent; cosine, linear, exponential: from v to "
                                    "final over steps.",
                                    one.key),
                 .default_value = std::string("constant")};
    for (const KindName& name : kind_names) kind.choices.emplace_back(name.name);
    add(std::move(kind), {});
    add({.path = "warmup",
         .type = Type::integer,
         .doc = "The value is multiplied by t / warmup before step warmup, whatever the kind.",
         .default_value = std::int64_t{0},
         .min = 0,
         .max = 1e15},
        {});
    add({.path = "at",
         .type = Type::integers,
         .doc = "Steps at which the values begin, ascending.",
         .required = true,
         .min = 0,
         .max = 1e15},
        {"piecewise"});
    add({.path = "lengths",
         .type = Type::integers,
         .doc = "Steps for which each value holds.",
         .required = true,
         .min = 1,
         .max = 1e12},
        {"periodic"});
    add({.path = "values",
         .type = Type::numbers,
         .doc = "One value for each element of at or lengths.",
         .required = true},
        {"piecewise", "periodic"});
    add({.path = "exponent",
         .type = Type::number,
         .doc = "Exponent of the decay.",
         .required = true,
         .min = 0,
         .max = 100},
        {"power"});
    add({.path = "final",
         .type = Type::number,
         .doc = "The value from step `steps` on.",
         .required = true},
        {"cosine", "linear", "exponential"});
    add({.path = "steps",
         .type = Type::integer,
         .doc = "Steps from the first value to the final one.",
         .required = true,
         .min = 1,
         .max = 1e15},
        {"cosine", "linear", "exponential"});
  }
}

void validate_schedules(const Settings& settings) {
  for (const Schedulable& one : schedulables()) {
    const std::string table = table_of(one.key);
    if (is_scheduled(settings, table)) validate_one(settings, one, table);
  }
}

std::int64_t schedule_capacity(const Settings& settings, std::string_view key) {
  const std::string table = table_of(key);
  if (!is_scheduled(settings, table)) return 0;
  const std::string lists = steps_key(kind_of(settings, table), table);
  const std::size_t pieces = lists.empty() ? 0 : settings.integers(lists).size();
  return static_cast<std::int64_t>(std::bit_ceil(std::max<std::size_t>(pieces, 4)));
}

std::string schedule_family(const Settings& settings) {
  std::string text;
  for (const Schedulable& one : schedulables()) {
    const std::int64_t capacity = schedule_capacity(settings, one.key);
    if (capacity == 0) continue;
    text += fmt::format(", {} scheduled in up to {} pieces",
                        std::string_view(one.key).substr(one.key.rfind('.') + 1), capacity);
  }
  return text;
}

MemberSchedule schedule_of(const Settings& settings, std::string_view key, double absent) {
  MemberSchedule member;
  kernels::Schedule& schedule = member.schedule;
  schedule.base = settings.has(key) ? settings.number(key) : absent;
  const std::string table = table_of(key);
  if (!is_scheduled(settings, table)) return member;
  schedule.kind = kind_of(settings, table);
  schedule.warmup = settings.integer(table + ".warmup");
  const auto number = [&](const char* name) { return settings.number(table + "." + name); };
  switch (schedule.kind) {
    case ScheduleKind::constant:
      break;
    case ScheduleKind::piecewise:
      member.starts = settings.integers(table + ".at");
      member.values = settings.numbers(table + ".values");
      break;
    case ScheduleKind::periodic:
      schedule.steps = 0;
      for (const std::int64_t length : settings.integers(table + ".lengths")) {
        member.starts.push_back(schedule.steps);
        schedule.steps += length;
      }
      member.values = settings.numbers(table + ".values");
      break;
    case ScheduleKind::power:
      schedule.parameter = number("exponent");
      break;
    case ScheduleKind::cosine:
    case ScheduleKind::linear:
    case ScheduleKind::exponential:
      schedule.parameter = number("final");
      schedule.steps = settings.integer(table + ".steps");
      break;
  }
  schedule.pieces = static_cast<std::int32_t>(member.starts.size());
  return member;
}

}  // namespace manyfold
