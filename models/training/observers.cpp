// A probe's own keys.
#include "models/training/observers.hpp"

namespace manyfold {

std::string AskedProbe::key(std::string_view word) const {
  return "probes." + name + "." + std::string(word);
}

void AskedProbe::reject(std::string_view word, const std::string& found,
                        const std::string& expected) const {
  settings.reject(key(word), found, expected);
}

void AskedProbe::reject(const std::string& found, const std::string& expected) const {
  reject_probe(settings, name, found, expected);
}

std::size_t element_bytes(const AskedProbe& probe, std::int64_t elements) {
  return static_cast<std::size_t>(elements) * element_bytes(probe.settings);
}

std::size_t padded_bytes(const AskedProbe& probe, std::int64_t elements) {
  const bool wide = element_bytes(probe.settings) == sizeof(double);
  return element_bytes(probe, wide ? padded<double>(elements) : padded<float>(elements));
}

}  // namespace manyfold
