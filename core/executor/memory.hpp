// Device and pinned memory with an owner.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "core/executor/executor.hpp"

namespace manyfold {

/// `count` elements of memory from one executor, which must outlive their owner. Moving hands them
/// on; they go back when the owner goes.
template <class T, void* (Executor::*allocate)(std::size_t), void (Executor::*release)(void*)>
class Memory {
 public:
  Memory() = default;
  Memory(Executor& executor, std::int64_t count) : executor_(&executor), count_(count) {
    if (count > 0) data_ = static_cast<T*>((executor.*allocate)(bytes()));
  }
  Memory(Memory&& other) noexcept
      : executor_(other.executor_),
        count_(std::exchange(other.count_, 0)),
        data_(std::exchange(other.data_, nullptr)) {}
  Memory& operator=(Memory&& other) noexcept {
    Memory taken(std::move(other));
    std::swap(executor_, taken.executor_);
    std::swap(count_, taken.count_);
    std::swap(data_, taken.data_);
    return *this;
  }
  ~Memory() {
    if (data_ != nullptr) (executor_->*release)(data_);
  }

  T* data() const { return data_; }
  std::int64_t size() const { return count_; }
  std::size_t bytes() const { return static_cast<std::size_t>(count_) * sizeof(T); }

 protected:
  Executor& executor() const { return *executor_; }

 private:
  Executor* executor_ = nullptr;
  std::int64_t count_ = 0;
  T* data_ = nullptr;
};

/// Device memory.
template <class T>
class Buffer : public Memory<T, &Executor::allocate, &Executor::release> {
 public:
  using Memory<T, &Executor::allocate, &Executor::release>::Memory;

  /// Copies `host` to the elements from `offset` on.
  void upload(std::span<const T> host, std::int64_t offset = 0) const {
    this->executor().copy_in(this->data() + offset, host.data(), host.size_bytes());
  }
  std::vector<T> download() const {
    std::vector<T> host(static_cast<std::size_t>(this->size()));
    if (!host.empty()) this->executor().copy_out(host.data(), this->data(), this->bytes());
    return host;
  }
  void clear() const {
    if (this->size() > 0) this->executor().clear(this->data(), this->bytes());
  }
};

/// Host memory that a device copies into while the host does something else.
template <class T>
class PinnedBuffer : public Memory<T, &Executor::allocate_pinned, &Executor::release_pinned> {
 public:
  using Memory<T, &Executor::allocate_pinned, &Executor::release_pinned>::Memory;

  std::span<T> span() const { return {this->data(), static_cast<std::size_t>(this->size())}; }
};

}  // namespace manyfold
