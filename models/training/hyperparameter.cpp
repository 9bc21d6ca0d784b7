// Uploads members' numbers and keeps them at their schedules.
#include "models/training/hyperparameter.hpp"

#include <utility>
#include <vector>

namespace manyfold {

PerSlot::PerSlot(Executor& executor, std::int64_t slots, double idle)
    : values_(executor, slots), idle_(idle) {
  fill(idle);
}

void PerSlot::load(std::span<const Settings> members, std::string_view key) {
  std::vector<double> host(static_cast<std::size_t>(values_.size()), idle_);
  for (std::size_t i = 0; i < members.size(); ++i) {
    if (members[i].has(key)) host[i] = members[i].number(key);
  }
  values_.upload(host);
}

void PerSlot::fill(double value) {
  values_.upload(std::vector<double>(static_cast<std::size_t>(values_.size()), value));
}

Hyperparameter::Hyperparameter(Executor& executor, std::int64_t slots, const Settings&,
                               std::string key, double idle)
    : executor_(executor), key_(std::move(key)), idle_(idle), values_(executor, slots, idle) {}

void Hyperparameter::load(std::span<const Settings> members) { values_.load(members, key_); }

void Hyperparameter::update(const kernels::StepControl&) {
  (void)executor_;
  (void)idle_;
}

std::size_t Hyperparameter::bytes_per_slot(const Settings&, std::string_view) {
  return sizeof(double);
}

}  // namespace manyfold
