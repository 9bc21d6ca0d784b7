// Whether a program's arena fits the fast memory of a device.
#pragma once

#include <string>

#include "core/executor/executor.hpp"
#include "kernels/resident/program.hpp"

namespace manyfold::kernels::resident {

/// Bytes that one member may have: a CPU keeps what steps touch of the arenas of all lanes of a
/// thread in three quarters of a core's L2, a GPU one arena and the program in the shared memory of
/// a block.
std::int64_t room(const DeviceDescription& device, std::int32_t element_bytes);

/// Members side by side in a thread's lanes; 1 on a GPU.
std::int64_t lanes(const DeviceDescription& device, std::int32_t element_bytes);

/// On a CPU, batches are as fast as lanes where products have 16 examples as rows, and faster where
/// they have 64 (kernels/README.md, "Networks"); not tuned in between.
inline constexpr std::int64_t cpu_batched_rows = 32;

/// Why members should rather be stepped in batches, though they could be resident; empty: they
/// should not. `rows`: examples that the products of a step have as rows, 0 where none have.
std::string why_rather_batched(const DeviceDescription& device, std::int64_t rows);

/// Empty when the program's members fit; else why they do not, with both sizes.
std::string why_not_resident(const DeviceDescription& device, const Program& program);

}  // namespace manyfold::kernels::resident
