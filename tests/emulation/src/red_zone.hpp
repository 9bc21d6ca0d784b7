// Looking for changed bytes in a red zone.
#pragma once

#include <cstddef>

namespace emulation::detail {

// Index of the first byte that differs from `pattern`, or `bytes` when none does. Reads memory that
// AddressSanitizer holds poisoned.
std::size_t first_change(const unsigned char* begin, std::size_t bytes, unsigned char pattern);

}  // namespace emulation::detail
