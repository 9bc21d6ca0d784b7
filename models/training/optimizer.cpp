// The registry of optimizers, and the keys that follow from it.
#include "models/training/optimizer.hpp"

#include <algorithm>
#include <stdexcept>
#include <utility>

namespace manyfold {
namespace {

/// Filled before main() by the optimizers' own files, in an order that only the linker knows: kept
/// by name.
std::vector<OptimizerKind>& registered() {
  static std::vector<OptimizerKind> kinds;
  return kinds;
}

}  // namespace

RegisterOptimizer::RegisterOptimizer(OptimizerKind kind) {
  auto& kinds = registered();
  const auto place = std::lower_bound(
      kinds.begin(), kinds.end(), kind,
      [](const OptimizerKind& a, const OptimizerKind& b) { return a.name < b.name; });
  kinds.insert(place, std::move(kind));
}

std::span<const OptimizerKind> optimizer_kinds() { return registered(); }

const OptimizerKind& optimizer_kind(const Settings& settings) {
  const std::string& name = settings.text("optimizer.kind");
  for (const OptimizerKind& kind : optimizer_kinds()) {
    if (kind.name == name) return kind;
  }
  throw std::logic_error("optimizer.kind passed validation but is not known: " + name);
}

std::string optimizer_family(const Settings& settings) {
  const OptimizerKind& kind = optimizer_kind(settings);
  const std::string more = kind.family == nullptr ? "" : kind.family(settings);
  return more.empty() ? kind.name : kind.name + " " + more;
}

void validate_optimizer(const Settings& settings) {
  const OptimizerKind& kind = optimizer_kind(settings);
  if (kind.validate != nullptr) kind.validate(settings);
}

void add_optimizer_keys(Spec& spec) {
  KeySpec kind{.path = "optimizer.kind", .type = Type::text, .doc = "", .required = true};
  for (const OptimizerKind& optimizer : optimizer_kinds()) {
    kind.choices.push_back(optimizer.name);
    kind.doc += (kind.doc.empty() ? "" : "; ") + optimizer.name + ": " + optimizer.doc;
  }
  kind.doc += ".";
  spec.add(kind);
  spec.add({.path = "optimizer.learning_rate",
            .type = Type::number,
            .doc = "Step size eta.",
            .required = true,
            .min = 0,
            .min_exclusive = true});
  // A key that several kinds share is legal with any of them.
  std::vector<KeySpec> keys;
  for (const OptimizerKind& optimizer : optimizer_kinds()) {
    for (KeySpec key : optimizer.keys) {
      key.path = "optimizer." + key.path;
      const auto known = std::find_if(keys.begin(), keys.end(),
                                      [&](const KeySpec& k) { return k.path == key.path; });
      if (known != keys.end()) {
        if (known->type != key.type || known->doc != key.doc ||
            known->default_value != key.default_value) {
          throw std::logic_error("optimizers disagree about their key " + key.path);
        }
        known->when.front().values.push_back(optimizer.name);
        continue;
      }
      key.when = {{"optimizer.kind", {optimizer.name}}};
      keys.push_back(std::move(key));
    }
  }
  for (KeySpec& key : keys) spec.add(std::move(key));
}

}  // namespace manyfold
