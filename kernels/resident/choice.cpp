// Sizes of arenas against sizes of caches and shared memory.
#include "kernels/resident/choice.hpp"

#include <cstdint>

namespace manyfold::kernels::resident {
namespace {

std::string kib(std::int64_t bytes) { return std::to_string((bytes + 1023) / 1024) + " KiB"; }

}  // namespace

std::int64_t lanes(const DeviceDescription& device, std::int32_t element_bytes) {
  if (device.kind != "cpu") return 1;
  const std::int64_t vector_bytes = device.instruction_set == "avx512" ? 64
                                    : device.instruction_set == "avx2" ? 32
                                                                       : 16;
  return vector_bytes / element_bytes;
}

std::int64_t largest_arena(const DeviceDescription& device, std::int32_t element_bytes) {
  if (device.kind != "cpu") {
    return static_cast<std::int64_t>(device.shared_memory) - cuda_block_bytes;
  }
  return static_cast<std::int64_t>(device.cache) / 4 * 3 / lanes(device, element_bytes);
}

std::string why_not_resident(const DeviceDescription& device, const Program& program) {
  if (device.kind != "cpu") return "not on a GPU yet";
  const std::int64_t most = largest_arena(device, program.host.element_bytes);
  if (program.arena_bytes() <= most) return {};
  return "a member needs " + kib(program.arena_bytes()) + " on the chip, and there is room for " +
         kib(most);
}

}  // namespace manyfold::kernels::resident
