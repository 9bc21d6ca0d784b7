#include "device_memory.hpp"

#include <algorithm>
#include <cstring>
#include <new>

#include "block.hpp"
#include "red_zone.hpp"
#include "sanitizer.hpp"
#include "settings.hpp"
#include <sys/mman.h>

namespace emulation::detail {
namespace {

constexpr std::size_t alignment = 256;  // what cudaMalloc promises
constexpr std::size_t gibibyte = std::size_t{1} << 30;
constexpr std::size_t huge_page = std::size_t{2} << 20;
constexpr std::size_t default_capacity = 4 * gibibyte;

std::size_t round_up(std::size_t bytes, std::size_t to) { return (bytes + to - 1) / to * to; }

std::string describe(const Allocation& allocation) {
  return "allocation #" + std::to_string(allocation.number) + " of " +
         std::to_string(allocation.bytes) + " bytes";
}

}  // namespace

DeviceMemory::DeviceMemory() {
  // Address space only, so be generous; smaller where the process may not reserve that much. Red
  // zones come on top of what the device holds.
  for (reserved_ = 128 * gibibyte; reserved_ >= gibibyte; reserved_ /= 2) {
    void* mapped = mmap(nullptr, reserved_ + huge_page, PROT_NONE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mapped != MAP_FAILED) {
      const std::size_t address = round_up(reinterpret_cast<std::uintptr_t>(mapped), huge_page);
      base_ = static_cast<unsigned char*>(mapped) +
              (address - reinterpret_cast<std::uintptr_t>(mapped));
      break;
    }
  }
  if (base_ == nullptr) throw std::bad_alloc();
  // Opening and closing the range costs time per page: with large pages it is negligible.
  madvise(base_, reserved_, MADV_HUGEPAGE);
  top_ = base_;
  set_capacity(
      static_cast<std::size_t>(environment_integer("EMULATION_TOTAL_MEMORY", default_capacity)));
}

void DeviceMemory::set_capacity(std::size_t bytes) { capacity_ = std::min(bytes, reserved_ / 2); }

bool DeviceMemory::contains(const void* address) const {
  const auto* byte = static_cast<const unsigned char*>(address);
  return byte >= base_ && byte < base_ + reserved_;
}

void DeviceMemory::grow(const unsigned char* end) {
  if (end <= top_) return;
  const std::size_t bytes = round_up(static_cast<std::size_t>(end - base_), huge_page);
  unsigned char* new_top = base_ + bytes;
  poison(top_, static_cast<std::size_t>(new_top - top_));
  if (open_) mprotect(top_, static_cast<std::size_t>(new_top - top_), PROT_READ | PROT_WRITE);
  top_ = new_top;
}

void DeviceMemory::open() {
  if (open_ || top_ == base_) {
    open_ = true;
    return;
  }
  mprotect(base_, static_cast<std::size_t>(top_ - base_), PROT_READ | PROT_WRITE);
  open_ = true;
}

void DeviceMemory::close() {
  if (!open_) return;
  if (top_ != base_) mprotect(base_, static_cast<std::size_t>(top_ - base_), PROT_NONE);
  open_ = false;
}

Allocation* DeviceMemory::allocate(std::size_t bytes, int device) {
  const std::size_t payload = round_up(std::max<std::size_t>(bytes, 1), alignment);
  if (payload < bytes || payload > capacity_ - std::min(used_, capacity_)) return nullptr;

  // First fit among the gaps. The back red zone follows the last byte at once and reaches to the
  // next aligned address beyond its full length.
  const std::size_t block = red_zone_bytes + payload + red_zone_bytes;
  unsigned char* place = base_;
  for (const auto& [address, other] : allocations_) {
    if (static_cast<std::size_t>(other.begin - place) >= block) break;
    place = other.end;
  }
  if (block > reserved_ - static_cast<std::size_t>(place - base_)) return nullptr;

  Allocation allocation;
  allocation.number = ++count_;
  allocation.bytes = bytes;
  allocation.begin = place;
  allocation.data = place + red_zone_bytes;
  allocation.end = place + block;
  allocation.device = device;
  used_ += payload;
  payload_ += bytes;
  peak_ = std::max(peak_, payload_);

  const bool was_open = open_;
  grow(allocation.end);
  open();
  unpoison(allocation.begin, block);
  std::memset(allocation.begin, red_zone_pattern, red_zone_bytes);
  std::memset(allocation.data, garbage_pattern, bytes);
  std::memset(allocation.data + bytes, red_zone_pattern,
              static_cast<std::size_t>(allocation.end - (allocation.data + bytes)));
  poison(allocation.begin, red_zone_bytes);
  poison(allocation.data + bytes,
         static_cast<std::size_t>(allocation.end - (allocation.data + bytes)));
  if (!was_open) close();
  return &allocations_.emplace(reinterpret_cast<std::uintptr_t>(allocation.data), allocation)
              .first->second;
}

void DeviceMemory::release(Allocation* allocation) {
  const bool was_open = open_;
  open();
  std::memset(allocation->data, garbage_pattern, allocation->bytes);
  poison(allocation->begin, static_cast<std::size_t>(allocation->end - allocation->begin));
  if (!was_open) close();
  used_ -= round_up(std::max<std::size_t>(allocation->bytes, 1), alignment);
  payload_ -= allocation->bytes;
  allocations_.erase(reinterpret_cast<std::uintptr_t>(allocation->data));
}

void DeviceMemory::release_all() {
  allocations_.clear();
  used_ = payload_ = peak_ = 0;
  count_ = 0;
  if (top_ != base_) {
    const auto bytes = static_cast<std::size_t>(top_ - base_);
    unpoison(base_, bytes);
    // Give the pages back if they are many; tests reset often, and a fresh large page costs time
    // too.
    if (bytes > gibibyte / 4) madvise(base_, bytes, MADV_DONTNEED);
    open_ = true;
    close();
    top_ = base_;
  }
}

const Allocation* DeviceMemory::find(const void* address) const {
  const auto key = reinterpret_cast<std::uintptr_t>(address);
  auto after = allocations_.upper_bound(key);
  if (after == allocations_.begin()) return nullptr;
  const Allocation& candidate = std::prev(after)->second;
  return key - reinterpret_cast<std::uintptr_t>(candidate.data) <=
                 std::max<std::size_t>(candidate.bytes, 1)
             ? &candidate
             : nullptr;
}

Allocation* DeviceMemory::find_exact(const void* address) {
  const auto found = allocations_.find(reinterpret_cast<std::uintptr_t>(address));
  return found == allocations_.end() ? nullptr : &found->second;
}

const Allocation* DeviceMemory::nearest(const void* address) const {
  if (allocations_.empty()) return nullptr;
  auto after = allocations_.upper_bound(reinterpret_cast<std::uintptr_t>(address));
  return after == allocations_.begin() ? &after->second : &std::prev(after)->second;
}

std::string DeviceMemory::verify() {
  for (auto& [address, allocation] : allocations_) {
    const std::size_t front = first_change(allocation.begin, red_zone_bytes, red_zone_pattern);
    unsigned char* back_begin = allocation.data + allocation.bytes;
    const auto back_bytes = static_cast<std::size_t>(allocation.end - back_begin);
    const std::size_t back = first_change(back_begin, back_bytes, red_zone_pattern);
    if (front == red_zone_bytes && back == back_bytes) continue;
    unpoison(allocation.begin, static_cast<std::size_t>(allocation.end - allocation.begin));
    std::memset(allocation.begin, red_zone_pattern, red_zone_bytes);
    std::memset(back_begin, red_zone_pattern, back_bytes);
    poison(allocation.begin, red_zone_bytes);
    poison(back_begin, back_bytes);
    return back != back_bytes
               ? std::to_string(back) + " bytes past the end of " + describe(allocation)
               : std::to_string(red_zone_bytes - front) + " bytes before the beginning of " +
                     describe(allocation);
  }
  return {};
}

}  // namespace emulation::detail
