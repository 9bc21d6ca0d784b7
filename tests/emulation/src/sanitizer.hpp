// AddressSanitizer's hooks, empty in ordinary builds: poisoning of memory that kernels may not
// touch, and announcements of fiber switches, without which it takes another stack for an overflow.
#pragma once

#include <cstddef>

#if defined(__SANITIZE_ADDRESS__)
#define EMULATION_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define EMULATION_ASAN 1
#endif
#endif
#ifndef EMULATION_ASAN
#define EMULATION_ASAN 0
#endif

#if EMULATION_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

#if defined(__SANITIZE_THREAD__)
#define EMULATION_TSAN 1
#include <sanitizer/tsan_interface.h>
#else
#define EMULATION_TSAN 0
#endif

namespace emulation::detail {

inline constexpr bool under_asan = EMULATION_ASAN != 0;

inline void poison([[maybe_unused]] const void* begin, [[maybe_unused]] std::size_t bytes) {
#if EMULATION_ASAN
  __asan_poison_memory_region(begin, bytes);
#endif
}

inline void unpoison([[maybe_unused]] const void* begin, [[maybe_unused]] std::size_t bytes) {
#if EMULATION_ASAN
  __asan_unpoison_memory_region(begin, bytes);
#endif
}

inline void start_switch([[maybe_unused]] void** save, [[maybe_unused]] const void* bottom,
                         [[maybe_unused]] std::size_t bytes) {
#if EMULATION_ASAN
  __sanitizer_start_switch_fiber(save, bottom, bytes);
#endif
}

inline void finish_switch([[maybe_unused]] void* saved, [[maybe_unused]] const void** old_bottom,
                          [[maybe_unused]] std::size_t* old_bytes) {
#if EMULATION_ASAN
  __sanitizer_finish_switch_fiber(saved, old_bottom, old_bytes);
#endif
}

// ThreadSanitizer sees all threads of a block as one: it checks the emulator, not the kernels.
inline void* thread_sanitizer_fiber() {
#if EMULATION_TSAN
  return __tsan_create_fiber(0);
#else
  return nullptr;
#endif
}

inline void* thread_sanitizer_current() {
#if EMULATION_TSAN
  return __tsan_get_current_fiber();
#else
  return nullptr;
#endif
}

inline void thread_sanitizer_switch([[maybe_unused]] void* fiber) {
#if EMULATION_TSAN
  __tsan_switch_to_fiber(fiber, 0);
#endif
}

}  // namespace emulation::detail
