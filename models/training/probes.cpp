// From [cadences] and [probes] to what is sampled when.
#include "models/training/probes.hpp"

#include <algorithm>
#include <array>
#include <variant>

#include <fmt/format.h>

namespace manyfold {
namespace {

std::string path(const std::string& probe, const char* key) {
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

  void add(const ProbeKind& kind) {
    ProbeRequest request;
    request.kind = kind;
    for (const auto& [word, watch] :
         {std::pair{"max", Watch::Kind::maximum}, std::pair{"min", Watch::Kind::minimum}}) {
      const std::string key = path(kind.name, "running");
      if (settings_.has(key) && settings_.text(key) == word) {
        request.watches.push_back({watch, 0, fmt::format("{}_{}", word, kind.name)});
      }
    }
    for (const auto& [word, watch] : {std::pair{"below", Watch::Kind::first_below},
                                      std::pair{"above", Watch::Kind::first_above}}) {
      const std::string key = path(kind.name, fmt::format("first_{}", word).c_str());
      if (!settings_.has(key)) continue;
      if (!kind.extents.empty()) {
        settings_.reject(key, "an event of a probe with several values a member",
                         "a probe with one value");
      }
      const double threshold = settings_.number(key);
      request.watches.push_back(
          {watch, threshold, fmt::format("first_step_{}_{}_{}", kind.name, word, threshold)});
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
  auto add_kind = [&](const ProbeKind& kind, const std::vector<Condition>& when) {
    const std::string table = "probes." + kind.name;
    add_cadence_keys(spec, table, true);
    spec.add(
        {.path = table + ".running",
         .type = Type::text,
         .doc = "Keeps the running maximum or minimum, looked at every stop.check_every steps: "
                "the record's max_" +
                kind.name + " or min_" + kind.name + ".",
         .choices = {"max", "min"},
         .sweepable = false});
    for (const char* word : {"below", "above"}) {
      spec.add(
          {.path = table + ".first_" + word,
           .type = Type::number,
           .doc = fmt::format("Records the first step, looked at every stop.check_every steps, "
                              "at which the value is {} this one.",
                              word),
           .sweepable = false});
    }
    for (KeySpec key : kind.keys) {
      key.path = table + "." + key.path;
      key.when = when;
      spec.add(key);
    }
  };
  for (const ProbeKind& kind : general_probes()) add_kind(kind, {});
  for (const ModelKind& model : model_kinds()) {
    for (const ProbeKind& kind : model.probes()) add_kind(kind, {{"model.kind", model.names}});
  }
}

ProbePlan probe_plan(const Settings& settings) {
  PlanBuilder builder(settings);
  const std::vector<std::string> written = settings.children("probes");
  if (written.empty()) {
    settings.reject("probes", "no probe", "at least one, or nothing would be recorded");
  }
  for (const std::string& name : written) {
    auto find_in = [&](std::span<const ProbeKind> kinds) {
      const auto found = std::find_if(kinds.begin(), kinds.end(),
                                      [&](const ProbeKind& kind) { return kind.name == name; });
      if (found != kinds.end()) builder.add(*found);
      return found != kinds.end();
    };
    if (!find_in(general_probes()) && !find_in(model_kind(settings).probes())) {
      settings.reject("probes." + name, "a probe of another kind of model",
                      "a probe of model.kind = \"" + settings.text("model.kind") + "\"");
    }
  }
  return builder.take();
}

}  // namespace manyfold
