// Places the arrays of StepControl one after another: eight-byte elements first, then four-byte
// ones.
#include "models/training/control_block.hpp"

#include <cstring>
#include <limits>
#include <vector>

namespace manyfold {
namespace {

enum Wide {
  step,
  time,
  train_loss,
  grad_norm2,
  step_size,
  finite_step,
  finite_train_loss,
  finite_grad_norm,
  max_steps,
  stop_train_loss,
  stop_grad_norm,
  stop_divergence,
  wides
};
enum Narrow { active, reason, narrows };

std::size_t wide_offset(Wide field, std::int64_t slots) {
  return static_cast<std::size_t>(field) * static_cast<std::size_t>(slots) * 8;
}
std::size_t narrow_offset(Narrow field, std::int64_t slots) {
  return wide_offset(wides, slots) +
         static_cast<std::size_t>(field) * static_cast<std::size_t>(slots) * 4;
}

template <class T>
T* place(std::byte* base, std::size_t offset) {
  return reinterpret_cast<T*>(base + offset);
}
template <class T>
const T* place(const std::byte* base, std::size_t offset) {
  return reinterpret_cast<const T*>(base + offset);
}

}  // namespace

std::size_t ControlBlock::bytes_per_slot() { return wides * 8 + narrows * 4; }

ControlBlock::ControlBlock(Executor& executor, std::int64_t slots)
    : slots_(slots), block_(executor, slots * static_cast<std::int64_t>(bytes_per_slot())) {}

void ControlBlock::load(std::span<const Settings> members, const std::vector<bool>& waiting) {
  std::vector<std::byte> host(block_.bytes());
  constexpr double nan = std::numeric_limits<double>::quiet_NaN();
  auto wide = [&]<class T>(Wide field, std::int64_t slot, T value) {
    static_assert(sizeof(T) == 8);
    std::memcpy(host.data() + wide_offset(field, slots_) + slot * 8, &value, 8);
  };
  auto narrow = [&](Narrow field, std::int64_t slot, std::int32_t value) {
    std::memcpy(host.data() + narrow_offset(field, slots_) + slot * 4, &value, 4);
  };
  for (std::int64_t slot = 0; slot < slots_; ++slot) {
    const bool taken = slot < static_cast<std::int64_t>(members.size());
    const bool waits = taken && !waiting.empty() && waiting[static_cast<std::size_t>(slot)];
    const std::int64_t steps =
        taken ? members[static_cast<std::size_t>(slot)].integer("stop.steps") : 0;
    const bool done = taken && !waits && steps == 0;  // a member that is only looked at
    narrow(active, slot, taken && !waits && !done ? 1 : 0);
    narrow(
        reason, slot,
        static_cast<std::int32_t>(done ? kernels::StopReason::steps : kernels::StopReason::none));
    wide(step, slot, std::int64_t{0});
    wide(time, slot, 0.0);
    wide(train_loss, slot, nan);
    wide(grad_norm2, slot, nan);
    wide(step_size, slot, 0.0);
    wide(finite_step, slot, std::int64_t{-1});
    wide(finite_train_loss, slot, nan);
    wide(finite_grad_norm, slot, nan);
    auto threshold = [&](const char* key, double never) {
      if (!taken) return never;
      const Settings& member = members[static_cast<std::size_t>(slot)];
      return member.has(key) ? member.number(key) : never;
    };
    wide(max_steps, slot, steps);
    wide(stop_train_loss, slot, threshold("stop.train_loss", -1.0));
    wide(stop_grad_norm, slot, threshold("stop.grad_norm", -1.0));
    wide(stop_divergence, slot,
         threshold("stop.divergence", std::numeric_limits<double>::infinity()));
  }
  block_.upload(host);
}

void ControlBlock::activate(std::span<const std::int64_t> slots) {
  std::vector<std::byte> host = block_.download();
  const auto wide = [&](Wide field, std::int64_t slot) {
    std::int64_t value = 0;
    std::memcpy(&value, host.data() + wide_offset(field, slots_) + slot * 8, 8);
    return value;
  };
  const auto narrow = [&](Narrow field, std::int64_t slot, std::int32_t value) {
    std::memcpy(host.data() + narrow_offset(field, slots_) + slot * 4, &value, 4);
  };
  for (const std::int64_t slot : slots) {
    const bool done = wide(step, slot) >= wide(max_steps, slot);
    narrow(active, slot, done ? 0 : 1);
    narrow(
        reason, slot,
        static_cast<std::int32_t>(done ? kernels::StopReason::steps : kernels::StopReason::none));
  }
  block_.upload(host);
}

std::vector<StateArray> ControlBlock::state() const {
  const kernels::StepControl c = control();
  const auto array = [](const char* name, auto* values) {
    return StateArray{name, reinterpret_cast<std::byte*>(values), sizeof *values, sizeof *values};
  };
  return {array("step", c.step), array("time", c.time), array("finite_step", c.finite_step),
          array("finite_train_loss", c.finite_train_loss),
          array("finite_grad_norm", c.finite_grad_norm)};
}

kernels::StepControl ControlBlock::control() const {
  std::byte* base = block_.data();
  auto number = [&](Wide field) { return place<double>(base, wide_offset(field, slots_)); };
  auto count = [&](Wide field) { return place<std::int64_t>(base, wide_offset(field, slots_)); };
  return {.slots = slots_,
          .active = place<std::int32_t>(base, narrow_offset(active, slots_)),
          .reason = place<std::int32_t>(base, narrow_offset(reason, slots_)),
          .step = count(step),
          .time = number(time),
          .train_loss = number(train_loss),
          .grad_norm2 = number(grad_norm2),
          .step_size = number(step_size),
          .finite_step = count(finite_step),
          .finite_train_loss = number(finite_train_loss),
          .finite_grad_norm = number(finite_grad_norm),
          .max_steps = count(max_steps),
          .stop_train_loss = number(stop_train_loss),
          .stop_grad_norm = number(stop_grad_norm),
          .stop_divergence = number(stop_divergence)};
}

ControlView ControlBlock::view(const std::byte* copy) const {
  return {.active = place<std::int32_t>(copy, narrow_offset(active, slots_)),
          .reason = place<std::int32_t>(copy, narrow_offset(reason, slots_)),
          .step = place<std::int64_t>(copy, wide_offset(step, slots_)),
          .finite_step = place<std::int64_t>(copy, wide_offset(finite_step, slots_)),
          .finite_train_loss = place<double>(copy, wide_offset(finite_train_loss, slots_)),
          .finite_grad_norm = place<double>(copy, wide_offset(finite_grad_norm, slots_))};
}

}  // namespace manyfold
