// Memory that a family needs only while it is evaluated for a look: for a few slots instead of all,
// and looks that go through the slots a window at a time. Families that are stepped resident keep
// their products, slopes and gradients on the chip; their slots are looked at through windows.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include "core/executor/executor.hpp"
#include "core/executor/memory.hpp"

namespace manyfold::kernels {

/// Buffers for `in_window` of a family's `slots`, and the window that operations see. Outlives what
/// was allocated through it. Where a window has all slots nothing is different from plain buffers.
class WorkSlots {
 public:
  WorkSlots(Executor& executor, std::int64_t slots, std::int64_t in_window)
      : executor_(executor), slots_(slots), in_window_(in_window < slots ? in_window : slots) {}
  WorkSlots(const WorkSlots&) = delete;
  WorkSlots& operator=(const WorkSlots&) = delete;

  /// (slot in the window, elements). Operations are given it as if it had all slots.
  template <class T>
  Buffer<T> buffer(std::int64_t elements) {
    Buffer<T> made(executor_, in_window_ * elements);
    keep(made.data(), made.bytes());
    return made;
  }

  std::int64_t slots_in_window() const { return in_window_; }
  std::int64_t windows() const {
    return in_window_ == 0 ? 0 : (slots_ + in_window_ - 1) / in_window_;
  }
  /// Calls body with window w open: operations that it calls for all slots touch those of the
  /// window alone, and in work buffers the first ones. std::logic_error where one has no window
  /// (kernels/slot_operands.hpp).
  void in_window(std::int64_t w, const std::function<void()>& body);
  /// The same for every window.
  void in_each_window(const std::function<void()>& body);

  /// Of the open window.
  std::int64_t first() const { return first_; }
  std::int64_t count() const { return count_; }
  bool holds(const void* address) const;

 private:
  void keep(const void* data, std::size_t bytes);

  struct Range {
    std::uintptr_t begin = 0;
    std::uintptr_t end = 0;
  };
  Executor& executor_;
  std::int64_t slots_;
  std::int64_t in_window_;
  std::int64_t first_ = 0;
  std::int64_t count_ = 0;
  std::vector<Range> ranges_;
};

}  // namespace manyfold::kernels
