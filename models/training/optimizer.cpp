// The list of optimizers, and what they share.
#include "models/training/optimizer.hpp"

#include <array>
#include <stdexcept>

namespace manyfold {

extern const OptimizerKind gd_kind;
extern const OptimizerKind rms_gd_kind;

std::span<const OptimizerKind> optimizer_kinds() {
  static const std::array kinds{gd_kind, rms_gd_kind};
  return kinds;
}

const OptimizerKind& optimizer_kind(const Settings& settings) {
  const std::string& name = settings.text("optimizer.kind");
  for (const OptimizerKind& kind : optimizer_kinds()) {
    if (kind.name == name) return kind;
  }
  throw std::logic_error("optimizer.kind passed validation but is not known: " + name);
}

PerSlot::PerSlot(Executor& executor, std::int64_t slots, double initial)
    : values_(executor, slots), initial_(initial) {
  fill(initial);
}

void PerSlot::load(std::span<const Settings> members, std::string_view key) {
  std::vector<double> host(static_cast<std::size_t>(values_.size()), initial_);
  for (std::size_t i = 0; i < members.size(); ++i) host[i] = members[i].number(key);
  values_.upload(host);
}

void PerSlot::fill(double value) {
  values_.upload(std::vector<double>(static_cast<std::size_t>(values_.size()), value));
}

}  // namespace manyfold
