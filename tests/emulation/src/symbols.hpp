// What the symbol tables of the process say about kernels: their names, for reports, and the
// __shared__ variables declared in them, so that they can be counted and filled with garbage.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace emulation::detail {

// A thread-local variable: its place in the storage of its module.
struct SharedVariable {
  std::size_t offset = 0;
  std::size_t bytes = 0;
};

struct KernelInfo {
  std::string name;  // demangled, without parameters
  std::size_t module = 0;
  std::vector<SharedVariable> shared;
  std::size_t shared_bytes = 0;
};

// Remembered after the first call. Of a stripped module only the address is known.
const KernelInfo& kernel_info(const void* function);

inline const std::string& kernel_name(const void* function) { return kernel_info(function).name; }

// The calling thread's instance of a variable.
unsigned char* address_of(std::size_t module, const SharedVariable& variable);

}  // namespace emulation::detail
