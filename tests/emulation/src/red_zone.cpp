#include "red_zone.hpp"

#include <cstdint>

namespace emulation::detail {

__attribute__((no_sanitize("address"))) std::size_t first_change(const unsigned char* begin,
                                                                 std::size_t bytes,
                                                                 unsigned char pattern) {
  // Whole words first: red zones are checked after every kernel.
  const std::uint64_t word = 0x0101010101010101ULL * pattern;
  std::size_t i = 0;
  while (i < bytes && reinterpret_cast<std::uintptr_t>(begin + i) % 8 != 0) {
    if (begin[i] != pattern) return i;
    ++i;
  }
  while (i + 8 <= bytes && *reinterpret_cast<const std::uint64_t*>(begin + i) == word) i += 8;
  while (i < bytes && begin[i] == pattern) ++i;
  return i;
}

}  // namespace emulation::detail
