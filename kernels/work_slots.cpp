// Windows of slots.
#include "kernels/work_slots.hpp"

#include <algorithm>

namespace manyfold::kernels {

void WorkSlots::in_window(std::int64_t w, const std::function<void()>& body) {
  if (windows() <= 1) return body();
  first_ = w * in_window_;
  count_ = std::min(in_window_, slots_ - first_);
  executor_.look_through(this);
  try {
    body();
  } catch (...) {
    executor_.look_through(nullptr);
    throw;
  }
  executor_.look_through(nullptr);
}

void WorkSlots::in_each_window(const std::function<void()>& body) {
  for (std::int64_t w = 0; w < windows(); ++w) in_window(w, body);
}

bool WorkSlots::holds(const void* address) const {
  const auto at = reinterpret_cast<std::uintptr_t>(address);
  return std::any_of(ranges_.begin(), ranges_.end(),
                     [&](const Range& range) { return range.begin <= at && at < range.end; });
}

void WorkSlots::keep(const void* data, std::size_t bytes) {
  if (bytes == 0) return;
  const auto begin = reinterpret_cast<std::uintptr_t>(data);
  ranges_.push_back({begin, begin + bytes});
}

}  // namespace manyfold::kernels
