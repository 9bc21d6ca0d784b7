// From `--device` to an executor with its kernels. The CUDA backend is a library of its own, loaded
// when asked for: this program starts on machines that have no driver, toolkit or cuBLAS.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/executor/executor.hpp"

namespace manyfold::kernels {

struct DeviceRequest {
  std::string device = "auto";    ///< auto | cpu | cuda | cuda:I | emulated (test builds)
  int threads = 0;                ///< CPU threads; 0: one per core
  std::size_t memory_budget = 0;  ///< bytes; 0: what the device has to spare
};

/// Throws InputError for a malformed request, ResourceError saying what is missing when the device
/// cannot be had. `auto` takes a GPU when one answers, else the CPU.
std::unique_ptr<Executor> make_executor(const DeviceRequest& request);

/// One line per backend: what it is, or why it cannot be used here.
struct BackendStatus {
  std::string device;
  bool usable = false;
  std::string detail;
};
std::vector<BackendStatus> backend_statuses();

/// What a backend library exports as `manyfold_backend`.
struct BackendEntry {
  int interface_version;
  std::unique_ptr<Executor> (*make)(int device, std::size_t memory_budget);
  int (*devices)(std::string* why_none);
};
inline constexpr int backend_interface_version = 2;

}  // namespace manyfold::kernels
