// Device and pinned memory with an owner.
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "core/executor/executor.hpp"

namespace manyfold {

/// `count` elements of device memory of one executor, which must outlive the buffer.
template <class T>
class Buffer {
 public:
  Buffer() = default;
  Buffer(Executor& executor, std::int64_t count)
      : executor_(&executor),
        count_(count),
        data_(count == 0 ? nullptr
                         : static_cast<T*>(
                               executor.allocate(static_cast<std::size_t>(count) * sizeof(T)))) {}
  Buffer(Buffer&& other) noexcept { swap(other); }
  Buffer& operator=(Buffer&& other) noexcept {
    Buffer taken(std::move(other));
    swap(taken);
    return *this;
  }
  ~Buffer() {
    if (data_ != nullptr) executor_->release(data_);
  }

  T* data() const { return data_; }
  std::int64_t size() const { return count_; }
  std::size_t bytes() const { return static_cast<std::size_t>(count_) * sizeof(T); }

  /// Copies `host` to the elements from `offset` on.
  void upload(std::span<const T> host, std::int64_t offset = 0) const {
    executor_->copy_in(data_ + offset, host.data(), host.size_bytes());
  }
  std::vector<T> download() const {
    std::vector<T> host(static_cast<std::size_t>(count_));
    if (count_ > 0) executor_->copy_out(host.data(), data_, bytes());
    return host;
  }
  void clear() const {
    if (count_ > 0) executor_->clear(data_, bytes());
  }

 private:
  void swap(Buffer& other) noexcept {
    std::swap(executor_, other.executor_);
    std::swap(count_, other.count_);
    std::swap(data_, other.data_);
  }
  Executor* executor_ = nullptr;
  std::int64_t count_ = 0;
  T* data_ = nullptr;
};

/// Host memory that a device copies into while the host does something else.
template <class T>
class PinnedBuffer {
 public:
  PinnedBuffer() = default;
  PinnedBuffer(Executor& executor, std::int64_t count)
      : executor_(&executor),
        count_(count),
        data_(count == 0 ? nullptr
                         : static_cast<T*>(executor.allocate_pinned(
                               static_cast<std::size_t>(count) * sizeof(T)))) {}
  PinnedBuffer(PinnedBuffer&& other) noexcept { swap(other); }
  PinnedBuffer& operator=(PinnedBuffer&& other) noexcept {
    PinnedBuffer taken(std::move(other));
    swap(taken);
    return *this;
  }
  ~PinnedBuffer() {
    if (data_ != nullptr) executor_->release_pinned(data_);
  }
  T* data() const { return data_; }
  std::span<T> span() const { return {data_, static_cast<std::size_t>(count_)}; }
  std::size_t bytes() const { return static_cast<std::size_t>(count_) * sizeof(T); }

 private:
  void swap(PinnedBuffer& other) noexcept {
    std::swap(executor_, other.executor_);
    std::swap(count_, other.count_);
    std::swap(data_, other.data_);
  }
  Executor* executor_ = nullptr;
  std::int64_t count_ = 0;
  T* data_ = nullptr;
};

}  // namespace manyfold
