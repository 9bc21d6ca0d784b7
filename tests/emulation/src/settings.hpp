// Settings from the environment.
#pragma once

#include <cstdint>

namespace emulation::detail {

// The value of an environment variable as a number; `otherwise` when unset or not a number.
double environment_number(const char* name, double otherwise);

// As above for 64-bit integers, which a double would round.
std::uint64_t environment_integer(const char* name, std::uint64_t otherwise);

// Prints a report to stderr unless EMULATION_QUIET is set.
void print_report(const char* text);

}  // namespace emulation::detail
