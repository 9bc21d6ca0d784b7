// Flags and words that several subcommands use.
#include "apps/manyfold/command.hpp"

#include <array>
#include <cmath>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "core/error.hpp"

namespace manyfold::apps {
namespace {

/// "512MiB", "2GiB", "4096": bytes.
std::size_t parse_bytes(const std::string& text) {
  std::size_t used = 0;
  double value = -1;
  try {
    value = std::stod(text, &used);
  } catch (const std::exception&) {
    used = 0;
  }
  const std::string unit = text.substr(used);
  constexpr std::array units{std::pair{"", 1.0}, std::pair{"KiB", 1024.0},
                             std::pair{"MiB", 1048576.0}, std::pair{"GiB", 1073741824.0}};
  for (const auto& [name, factor] : units) {
    if (used > 0 && unit == name && std::isfinite(value) && value >= 1 && value * factor < 1e18) {
      return static_cast<std::size_t>(value * factor);
    }
  }
  throw InputError("--memory: found \"" + text + "\", expected a size such as 512MiB or 8GiB");
}

}  // namespace

void add_out(CLI::App& command, std::string& folder, const std::string& doc) {
  command.add_option("--out", folder, doc)->check([](const std::string& out) {
    return out.empty() ? std::string("expected a folder") : std::string();
  });
}

void DeviceFlags::add_to(CLI::App& command) {
  command.add_option("--device", device,
                     "auto, cpu, cuda or cuda:I; auto takes a GPU when one answers");
  command.add_option("--threads", threads, "CPU threads (default: one per core)")
      ->check(CLI::Range(1, 4096));
  command.add_option("--memory", memory,
                     "memory that members may take on the device, such as 8GiB (default: what it "
                     "has to spare)");
  command.add_option("--path", path,
                     "auto, resident or batched: how members are stepped (auto: resident where "
                     "their family's step has that form and a member fits the chip, but on a CPU "
                     "batched where it multiplies 32 examples or more)");
}

kernels::DeviceRequest DeviceFlags::request() const {
  return {device, threads, memory.empty() ? 0 : parse_bytes(memory)};
}

std::string human_bytes(double bytes) {
  constexpr std::array units{"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
  std::size_t unit = 0;
  while (bytes >= 1024 && unit + 1 < units.size()) {
    bytes /= 1024;
    ++unit;
  }
  return unit == 0 ? fmt::format("{:.0f} B", bytes) : fmt::format("{:.1f} {}", bytes, units[unit]);
}

std::string human_seconds(double seconds) {
  if (seconds < 60) return fmt::format("{:.1f} s", seconds);
  if (seconds < 3600)
    return fmt::format("{:.0f} min {:.0f} s", std::floor(seconds / 60), std::fmod(seconds, 60));
  if (seconds < 86400 * 2) {
    return fmt::format("{:.0f} h {:.0f} min", std::floor(seconds / 3600),
                       std::floor(std::fmod(seconds, 3600) / 60));
  }
  return fmt::format("{:.1f} days", seconds / 86400);
}

}  // namespace manyfold::apps
