#include "settings.hpp"

#include <cstdio>
#include <cstdlib>

namespace emulation::detail {

double environment_number(const char* name, double otherwise) {
  const char* text = std::getenv(name);
  if (text == nullptr) return otherwise;
  char* end = nullptr;
  const double value = std::strtod(text, &end);
  return end != text && *end == '\0' ? value : otherwise;
}

std::uint64_t environment_integer(const char* name, std::uint64_t otherwise) {
  const char* text = std::getenv(name);
  if (text == nullptr) return otherwise;
  char* end = nullptr;
  const std::uint64_t value = std::strtoull(text, &end, 0);
  return end != text && *end == '\0' ? value : otherwise;
}

void print_report(const char* text) {
  if (std::getenv("EMULATION_QUIET") == nullptr) {
    std::fprintf(stderr, "emulated CUDA: %s\n", text);
  }
}

}  // namespace emulation::detail
