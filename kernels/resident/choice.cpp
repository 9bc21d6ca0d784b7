// Sizes of arenas against sizes of caches and shared memory.
#include "kernels/resident/choice.hpp"

#include <cstdint>

#include "kernels/cpu/lanes.hpp"

namespace manyfold::kernels::resident {
namespace {

std::string kib(std::int64_t bytes) { return std::to_string((bytes + 1023) / 1024) + " KiB"; }

}  // namespace

std::int64_t lanes(const DeviceDescription& device, std::int32_t element_bytes) {
  if (device.kind != "cpu") return 1;
  const cpu::LaneLoops& loops = cpu::chosen_lane_loops();
  return element_bytes == sizeof(float) ? loops.f32.lanes : loops.f64.lanes;
}

std::int64_t room(const DeviceDescription& device, std::int32_t element_bytes) {
  // What the block keeps for sums and the like.
  constexpr std::int64_t static_bytes = 1024;
  if (device.kind != "cpu") return static_cast<std::int64_t>(device.shared_memory) - static_bytes;
  return static_cast<std::int64_t>(device.cache) / 4 * 3 / lanes(device, element_bytes);
}

std::string why_rather_batched(const DeviceDescription& device, std::int64_t rows) {
  if (device.kind != "cpu" || rows < cpu_batched_rows) return {};
  return "products of " + std::to_string(rows) + " examples are as fast in batches";
}

std::string why_not_resident(const DeviceDescription& device, const Program& program) {
  const bool gpu = device.kind != "cpu";
  const std::int64_t most = room(device, program.host.element_bytes);
  const std::int64_t needed = gpu ? program.block_bytes() : program.touched_bytes;
  if (needed <= most) return {};
  return "a member needs " + kib(needed) + " on the chip, and there is room for " + kib(most);
}

}  // namespace manyfold::kernels::resident
