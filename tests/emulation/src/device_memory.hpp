// Device memory: one reserved range of addresses that host code cannot touch.
//
// The range is inaccessible except while queued work executes (Access), so that host code that
// dereferences a device pointer faults, as it would beside a real GPU. Every allocation lies
// between red zones whose pattern is checked after each kernel, and which AddressSanitizer holds
// poisoned. Fresh and freed memory is filled with garbage (NaN).
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>

namespace emulation::detail {

struct Allocation {
  std::uint64_t number = 0;  // counted from 1 since the last reset
  std::size_t bytes = 0;
  unsigned char* data = nullptr;
  unsigned char* begin = nullptr;  // of the front red zone
  unsigned char* end = nullptr;    // of the back red zone
  int device = 0;
  bool stream_ordered = false;
  bool freeing = false;  // by a cudaFreeAsync that waits in a stream
};

class DeviceMemory {
 public:
  DeviceMemory();

  // Null when the device is full.
  Allocation* allocate(std::size_t bytes, int device);
  void release(Allocation* allocation);
  void release_all();

  // The live allocation whose bytes include the address (or end at it, for a length of zero).
  const Allocation* find(const void* address) const;
  Allocation* find_exact(const void* address);
  const Allocation* nearest(const void* address) const;
  // Whether the address lies in the reserved range, allocated or not.
  bool contains(const void* address) const;

  void set_capacity(std::size_t bytes);
  std::size_t capacity() const { return capacity_; }
  std::size_t used() const { return used_; }
  std::size_t peak() const { return peak_; }
  std::size_t payload() const { return payload_; }
  std::size_t live() const { return allocations_.size(); }

  void open();
  void close();

  // A description of the first damaged red zone, which is repaired; empty when all are intact.
  std::string verify();

 private:
  void grow(const unsigned char* end);

  unsigned char* base_ = nullptr;
  std::size_t reserved_ = 0;
  unsigned char* top_ = nullptr;  // end of the part that has ever been used, a page boundary
  std::size_t capacity_ = 0;
  std::size_t used_ = 0;     // bytes of the device: payloads rounded up to the granularity
  std::size_t payload_ = 0;  // bytes asked for
  std::size_t peak_ = 0;
  std::uint64_t count_ = 0;
  bool open_ = false;
  std::map<std::uintptr_t, Allocation> allocations_;  // by address of the data
};

}  // namespace emulation::detail
