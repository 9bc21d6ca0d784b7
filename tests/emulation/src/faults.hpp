// Faults on device memory and inside kernels, turned into words.
#pragma once

namespace emulation::detail {

class DeviceMemory;

// Installs the handler for SIGSEGV and SIGBUS, once. Host code that touches device memory ends the
// process with exit_code_of_host_access and a message; a kernel that touches what is no memory ends
// with a device error; any other fault goes to the handler that was installed before.
void install_fault_handler(const DeviceMemory& memory);

inline constexpr int exit_code_of_host_access = 86;

}  // namespace emulation::detail
