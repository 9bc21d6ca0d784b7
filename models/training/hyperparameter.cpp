// Uploads members' numbers and keeps them at their schedules.
#include "models/training/hyperparameter.hpp"

#include <algorithm>
#include <utility>
#include <vector>

#include "models/training/schedule.hpp"

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

Hyperparameter::Hyperparameter(Executor& executor, std::int64_t slots, const Settings& example,
                               std::string key, double idle)
    : executor_(executor),
      key_(std::move(key)),
      idle_(idle),
      capacity_(schedule_capacity(example, key_)),
      values_(executor, slots, idle),
      schedules_(executor, capacity_ == 0 ? 0 : slots),
      starts_(executor, slots * capacity_),
      pieces_(executor, slots * capacity_) {
  load({});
}

void Hyperparameter::load(std::span<const Settings> members) {
  values_.load(members, key_);
  if (capacity_ == 0) return;
  const auto slots = static_cast<std::size_t>(schedules_.size());
  const auto capacity = static_cast<std::size_t>(capacity_);
  std::vector<kernels::Schedule> schedules(slots, {.base = idle_});
  std::vector<std::int64_t> starts(slots * capacity, 0);
  std::vector<double> pieces(slots * capacity, 0.0);
  for (std::size_t slot = 0; slot < members.size(); ++slot) {
    const MemberSchedule member = schedule_of(members[slot], key_, idle_);
    schedules[slot] = member.schedule;
    const auto first = static_cast<std::ptrdiff_t>(slot * capacity);
    std::copy(member.starts.begin(), member.starts.end(), starts.begin() + first);
    std::copy(member.values.begin(), member.values.end(), pieces.begin() + first);
  }
  schedules_.upload(schedules);
  starts_.upload(starts);
  pieces_.upload(pieces);
}

void Hyperparameter::update(const kernels::StepControl& control) {
  if (capacity_ == 0) return;
  kernels::follow_schedule(executor_, {.slots = control.slots,
                                       .step = control.step,
                                       .schedules = schedules_.data(),
                                       .capacity = capacity_,
                                       .starts = starts_.data(),
                                       .pieces = pieces_.data(),
                                       .values = values_.data()});
}

std::size_t Hyperparameter::bytes_per_slot(const Settings& settings, std::string_view key) {
  const auto capacity = static_cast<std::size_t>(schedule_capacity(settings, key));
  if (capacity == 0) return sizeof(double);
  return sizeof(double) + sizeof(kernels::Schedule) +
         capacity * (sizeof(std::int64_t) + sizeof(double));
}

}  // namespace manyfold
