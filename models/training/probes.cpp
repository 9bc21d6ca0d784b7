// From [cadences] and [probes] to what is sampled when.
#include "models/training/probes.hpp"

#include <algorithm>
#include <array>
#include <variant>

#include <fmt/format.h>

#include "core/config/validate.hpp"

namespace manyfold {
namespace {

std::string path(const std::string& probe, const std::string& key) {
  return "probes." + probe + "." + key;
}

/// Keys that say when, under `table` ("probes.balance", "cadences.*").
void add_cadence_keys(Spec& spec, const std::string& table, bool may_name_a_cadence) {
  spec.add({.path = table + ".every",
            .type = Type::integer | Type::text,
            .doc = may_name_a_cadence
                       ? "Steps between samples, or \"geometric\", or the name of a cadence."
                       : "Steps between samples, or \"geometric\".",
            .min = 1,
            .max = 1e15,
            .sweepable = false});
  spec.add({.path = table + ".per_decade",
            .type = Type::integer,
            .doc = "Samples per factor of ten in steps, for every = \"geometric\".",
            .min = 1,
            .max = 100000,
            .sweepable = false});
  spec.add({.path = table + ".steps",
            .type = Type::integers,
            .doc = "The sampled steps, listed; step 0 and the end are sampled besides.",
            .min = 0,
            .sweepable = false});
}

/// The cadence written under `table`, unnamed.
Cadence inline_cadence(const Settings& settings, const std::string& table) {
  Cadence cadence;
  const std::string every = table + ".every";
  const std::string per_decade = table + ".per_decade";
  const std::string steps = table + ".steps";
  if (settings.has(steps)) {
    if (settings.has(every)) {
      settings.reject(every, "a value beside " + steps, "one of the two");
    }
    cadence.kind = Cadence::Kind::listed;
    cadence.listed = settings.integers(steps);
    cadence.name = "listed";
    return cadence;
  }
  if (!settings.has(every)) settings.reject(every, "nothing", "steps between samples");
  const Value& value = settings.value(every);
  if (const auto* text = std::get_if<std::string>(&value)) {
    if (*text != "geometric") {
      settings.reject(every, "\"" + *text + "\"",
                      "an integer, \"geometric\", or the name of a table under [cadences]");
    }
    cadence.kind = Cadence::Kind::geometric;
    if (settings.has(per_decade)) cadence.per_decade = settings.integer(per_decade);
    cadence.name = fmt::format("geometric_{}", cadence.per_decade);
    return cadence;
  }
  cadence.kind = Cadence::Kind::every;
  cadence.every = std::get<std::int64_t>(value);
  cadence.name = fmt::format("every_{}", cadence.every);
  return cadence;
}

bool same_steps(const Cadence& a, const Cadence& b) {
  return a.kind == b.kind && a.every == b.every && a.per_decade == b.per_decade &&
         a.listed == b.listed;
}

class PlanBuilder {
 public:
  explicit PlanBuilder(const Settings& settings) : settings_(settings) {
    for (const std::string& name : settings.children("cadences")) {
      Cadence cadence = inline_cadence(settings, "cadences." + name);
      cadence.name = name;
      named_.push_back(cadence);
    }
  }

  /// `name`: the table under [probes].
  void add(const ProbeKind& registered, const std::string& name) {
    ProbeRequest request;
    request.of = registered.name;
    request.kind = registered;
    request.kind.name = name;
    const ProbeKind& kind = request.kind;
    for (const KeySpec& key : registered.keys) {
      const std::string key_path = path(name, key.path);
      if (settings_.has(key_path)) {
        request.kind.comment +=
            fmt::format("; {} = {}", key.path, to_toml(settings_.value(key_path)));
      } else if (key.required) {
        settings_.reject(key_path, "nothing", expected_text(key));
      }
    }
    for (const auto& [word, watch] :
         {std::pair{"max", Watch::Kind::maximum}, std::pair{"min", Watch::Kind::minimum}}) {
      const std::string key = path(kind.name, "running");
      if (settings_.has(key) && settings_.text(key) == word) {
        request.watches.push_back({watch, 0, fmt::format("{}_{}", word, kind.name)});
      }
    }
    for (const auto& [word, watch] : {std::pair{"below", Watch::Kind::first_below},
                                      std::pair{"above", Watch::Kind::first_above}}) {
      const std::string key = path(kind.name, fmt::format("first_{}", word));
      if (!settings_.has(key)) continue;
      const double threshold = settings_.number(key);
      request.watches.push_back(
          {watch, threshold, fmt::format("first_step_{}_{}_{}", kind.name, word, threshold)});
    }
    if (registered.is_parameters && !request.watches.empty()) {
      settings_.reject("probes." + name, "an extreme or an event of every parameter",
                       "a cadence alone");
    }
    if (settings_.has(path(kind.name, "every")) || settings_.has(path(kind.name, "steps"))) {
      request.cadence = cadence_of(kind.name);
    } else if (request.watches.empty()) {
      settings_.reject(path(kind.name, "every"), "nothing",
                       "steps between samples (or running, first_below, first_above)");
    }
    plan_.probes.push_back(request);
  }

  ProbePlan take() {
    if (!plan_.cadences.empty()) plan_.cadences.front().name.clear();
    return std::move(plan_);
  }

 private:
  int cadence_of(const std::string& probe) {
    Cadence cadence;
    const std::string every = path(probe, "every");
    bool named = false;
    if (settings_.has(every)) {
      if (const auto* text = std::get_if<std::string>(&settings_.value(every))) {
        for (const Cadence& candidate : named_) {
          if (candidate.name == *text) {
            cadence = candidate;
            named = true;
          }
        }
      }
    }
    if (!named) cadence = inline_cadence(settings_, "probes." + probe);
    int lists = 0;
    for (std::size_t i = 0; i < plan_.cadences.size(); ++i) {
      const Cadence& known = plan_.cadences[i];
      if (same_steps(known, cadence)) return static_cast<int>(i);
      if (known.kind == Cadence::Kind::listed) ++lists;
    }
    if (cadence.name == "listed" && lists > 0) cadence.name = fmt::format("listed_{}", lists + 1);
    plan_.cadences.push_back(cadence);
    return static_cast<int>(plan_.cadences.size()) - 1;
  }

  const Settings& settings_;
  std::vector<Cadence> named_;
  ProbePlan plan_;
};

/// Names of the user's become variables of the record.
void check_own_name(const Settings& settings, const std::string& name, bool is_a_probe) {
  const std::string key = path(name, "kind");
  if (is_a_probe) {
    settings.reject(key, "\"" + settings.text(key) + "\" under the name of another probe",
                    "a name of your own for the table");
  }
  const auto plain = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
  };
  if (!std::all_of(name.begin(), name.end(), plain) || (name[0] >= '0' && name[0] <= '9')) {
    settings.reject("probes." + name, "the name \"" + name + "\"",
                    "letters, digits and underscores, a letter first");
  }
}

[[noreturn]] void reject_unknown(const Settings& settings, const std::string& name,
                                 const std::string& of, std::span<const ProbeKind> general,
                                 std::span<const ProbeKind> special) {
  std::vector<std::string> known;
  for (const std::span<const ProbeKind> kinds : {general, special}) {
    for (const ProbeKind& kind : kinds) known.push_back(kind.name);
  }
  const auto nearest = nearest_word(of, known);
  settings.reject("probes." + name, "no probe of that name",
                  nearest ? "a probe; did you mean " + *nearest + "?"
                          : fmt::format("one of {}, or a `kind` that is", fmt::join(known, ", ")));
}

}  // namespace

std::span<const ProbeKind> general_probes() {
  static const std::array kinds{
      ProbeKind{.name = "train_loss",
                .extents = {},
                .units = "1",
                .long_name = "train loss",
                .comment = "the objective f at the current parameters",
                .keys = {}},
      ProbeKind{.name = "grad_norm",
                .extents = {},
                .units = "1",
                .long_name = "gradient norm",
                .comment = "Euclidean norm of the gradient of all parameters",
                .keys = {}},
      ProbeKind{.name = "time",
                .extents = {},
                .units = "1",
                .long_name = "continuous time",
                .comment = "sum of the step sizes taken",
                .keys = {}},
  };
  return kinds;
}

void add_probe_keys(Spec& spec) {
  add_cadence_keys(spec, "cadences.*", false);
  add_cadence_keys(spec, "probes.*", true);
  spec.add({.path = "probes.*.running",
            .type = Type::text,
            .doc = "Keeps the running maximum or minimum, looked at every stop.check_every steps: "
                   "the record's max_NAME or min_NAME.",
            .choices = {"max", "min"},
            .sweepable = false});
  for (const char* word : {"below", "above"}) {
    spec.add({.path = fmt::format("probes.*.first_{}", word),
              .type = Type::number,
              .doc = fmt::format("Records the first step, looked at every stop.check_every steps, "
                                 "at which the value (each value, of a probe with several) is {} "
                                 "this one.",
                                 word),
              .sweepable = false});
  }

  KeySpec kind_key{.path = "probes.*.kind",
                   .type = Type::text,
                   .doc =
                       "What a probe under a name of your own observes: a probe may be asked for "
                       "several times, with other keys each. The record's variable has the name "
                       "of the table.",
                   .sweepable = false};
  std::vector<KeySpec> keys;  // of probes under names of the user's; equal paths are one key
  for (const ModelKind& model : model_kinds()) {
    for (const ProbeKind& kind : model.probes()) {
      if (kind.is_parameters) continue;
      // Models that share a name mean the same by it.
      auto& choices = kind_key.choices;
      if (std::find(choices.begin(), choices.end(), kind.name) == choices.end()) {
        choices.push_back(kind.name);
      }
      for (const KeySpec& key : kind.keys) {
        const std::string pattern = "probes.*." + key.path;
        const auto known = std::find_if(keys.begin(), keys.end(),
                                        [&](const KeySpec& k) { return k.path == pattern; });
        if (known != keys.end()) {
          auto& kinds = known->when.front().values;
          if (std::find(kinds.begin(), kinds.end(), kind.name) == kinds.end()) {
            kinds.push_back(kind.name);
          }
          continue;
        }
        KeySpec named = key;
        named.path = pattern;
        named.required = false;  // of some of the kinds perhaps: probe_plan looks
        named.when = {{"probes.*.kind", {kind.name}}};
        keys.push_back(std::move(named));
      }
    }
  }
  spec.add(kind_key);
  std::vector<KeySpec> own;  // of probes under their own names, for every model that has them
  for (const ModelKind& model : model_kinds()) {
    for (const ProbeKind& kind : model.probes()) {
      for (KeySpec key : kind.keys) {
        key.path = path(kind.name, key.path);
        const auto known = std::find_if(own.begin(), own.end(),
                                        [&](const KeySpec& k) { return k.path == key.path; });
        if (known != own.end()) {
          auto& models = known->when.front().values;
          models.insert(models.end(), model.names.begin(), model.names.end());
          continue;
        }
        key.when = {{"model.kind", model.names}};
        key.with_table = true;
        own.push_back(std::move(key));
      }
    }
  }
  for (const KeySpec& key : own) spec.add(key);
  for (const KeySpec& key : keys) spec.add(key);
}

std::string probe_kind_name(const Settings& settings, const std::string& name) {
  const std::string key = path(name, "kind");
  return settings.has(key) ? settings.text(key) : name;
}

void reject_probe(const Settings& settings, const std::string& name, const std::string& found,
                  const std::string& expected) {
  for (const char* word : {"every", "steps", "running", "first_below", "first_above"}) {
    if (settings.has(path(name, word))) settings.reject(path(name, word), found, expected);
  }
  settings.reject("probes." + name, found, expected);
}

ProbePlan probe_plan(const Settings& settings) {
  PlanBuilder builder(settings);
  const std::vector<std::string> written = settings.children("probes");
  if (written.empty()) {
    settings.reject("probes", "no probe", "at least one, or nothing would be recorded");
  }
  const std::span<const ProbeKind> general = general_probes();
  const std::span<const ProbeKind> special = model_kind(settings).probes();
  auto find_in = [](std::span<const ProbeKind> kinds, const std::string& name) {
    const auto found = std::find_if(kinds.begin(), kinds.end(),
                                    [&](const ProbeKind& kind) { return kind.name == name; });
    return found == kinds.end() ? nullptr : &*found;
  };
  auto find = [&](const std::string& name) {
    const ProbeKind* kind = find_in(general, name);
    return kind != nullptr ? kind : find_in(special, name);
  };
  for (const std::string& name : written) {
    const std::string of = probe_kind_name(settings, name);
    if (const ProbeKind* kind = find(of)) {
      if (of != name) check_own_name(settings, name, find(name) != nullptr);
      builder.add(*kind, name);
    } else {
      reject_unknown(settings, name, of, general, special);
    }
  }
  return builder.take();
}

}  // namespace manyfold
