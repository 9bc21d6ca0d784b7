// The CPU backend's operations.
#pragma once

#include <string_view>

#include "kernels/table.hpp"

namespace manyfold::kernels::cpu {

/// Throws InputError when MANYFOLD_ISA asks for what this processor cannot do.
const KernelTables& cpu_tables();

/// "avx512", "avx2" or "portable": what the hot loops use, because this processor has it or because
/// the environment variable MANYFOLD_ISA says so. Throws as cpu_tables.
std::string_view instruction_set();

}  // namespace manyfold::kernels::cpu
