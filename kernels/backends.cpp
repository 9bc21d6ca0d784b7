// Makes executors. Backend libraries are looked for beside the library or program that this code is
// in, in ../lib of it, and where the system looks; a library once loaded stays loaded, because
// executors and error objects live in it.
#include "kernels/backends.hpp"

#include <charconv>
#include <filesystem>
#include <string>
#include <string_view>

#include <dlfcn.h>

#include "core/error.hpp"
#include "core/executor/cpu_executor.hpp"
#include "kernels/cpu/table.hpp"

extern "C" void openblas_set_num_threads(int threads);  // no header declares it

namespace manyfold::kernels {
namespace {

struct BackendLibrary {
  const BackendEntry* entry = nullptr;
  std::string why_not;  ///< when there is no entry
  bool found = false;   ///< a file of that name exists beside the program
};

std::filesystem::path own_directory() {
  Dl_info info{};
  const auto self = reinterpret_cast<void*>(&own_directory);
  if (dladdr(self, &info) == 0 || info.dli_fname == nullptr) return {};
  std::error_code error;
  const auto path = std::filesystem::canonical(info.dli_fname, error);
  return error ? std::filesystem::path() : path.parent_path();
}

/// `what_builds` says how one comes to have the library.
BackendLibrary load(const std::string& name, const std::string& what_builds) {
  BackendLibrary library;
  const std::string file = "lib" + name + ".so";
  const std::filesystem::path directory = own_directory();
  std::string path = file;
  for (const auto& candidate : {directory / file, directory / ".." / "lib" / file}) {
    std::error_code error;
    if (!directory.empty() && std::filesystem::exists(candidate, error)) {
      path = candidate.string();
      library.found = true;
      break;
    }
  }
  void* handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) {
    const char* problem = dlerror();
    library.why_not = library.found
                          ? path + " cannot be loaded: " + (problem ? problem : "unknown reason")
                          : file + " is not beside the program: " + what_builds;
    return library;
  }
  library.found = true;
  using EntryFunction = const BackendEntry* (*)();
  const auto function = reinterpret_cast<EntryFunction>(dlsym(handle, "manyfold_backend"));
  const BackendEntry* entry = function != nullptr ? function() : nullptr;
  if (entry == nullptr || entry->interface_version != backend_interface_version) {
    library.why_not = path + " is of another build of manyfold: build both again";
    return library;
  }
  library.entry = entry;
  return library;
}

const BackendLibrary& cuda_library() {
  static const BackendLibrary library =
      load("manyfold_cuda",
           "this build has no CUDA backend (it is built where a CUDA toolkit is found)");
  return library;
}

const BackendLibrary& emulated_library() {
  static const BackendLibrary library =
      load("manyfold_emulated", "this build has no emulated device (tests build it)");
  return library;
}

/// Devices of a backend, or 0 and why.
int count_devices(const BackendLibrary& library, std::string* why_none) {
  if (library.entry == nullptr) {
    *why_none = library.why_not;
    return 0;
  }
  return library.entry->devices(why_none);
}

std::unique_ptr<Executor> make_from(const BackendLibrary& library, const std::string& kind,
                                    int index, std::size_t memory_budget) {
  std::string why_none;
  const int devices = count_devices(library, &why_none);
  if (devices == 0) throw ResourceError("no " + kind + " device: " + why_none);
  if (index >= devices) {
    throw ResourceError("no device " + kind + ":" + std::to_string(index) + ": there " +
                        (devices == 1 ? "is 1" : "are " + std::to_string(devices)) +
                        ", counted from 0");
  }
  return library.entry->make(index, memory_budget);
}

std::unique_ptr<Executor> make_cpu(const DeviceRequest& request) {
  return make_cpu_executor({request.threads, request.memory_budget}, cpu::cpu_tables(),
                           cpu::instruction_set());
}

/// I of "KIND:I", 0 of "KIND"; -1 when `device` is neither.
int index_of(std::string_view device, std::string_view kind) {
  if (device == kind) return 0;
  if (device.substr(0, kind.size()) != kind || device.size() <= kind.size() + 1 ||
      device[kind.size()] != ':') {
    return -1;
  }
  const std::string_view digits = device.substr(kind.size() + 1);
  int index = -1;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), index);
  return error == std::errc() && end == digits.data() + digits.size() ? index : -1;
}

}  // namespace

std::unique_ptr<Executor> make_executor(const DeviceRequest& request) {
  // The host draws problems and starts by products and decompositions, whose bits depend on the
  // number of threads of the BLAS: one, whatever the device.
  openblas_set_num_threads(1);
  if (request.threads < 0) {
    throw InputError("threads: " + std::to_string(request.threads) + " is negative");
  }
  if (request.device == "cpu") return make_cpu(request);
  if (request.device == "auto") {
    std::string why_none;
    if (count_devices(cuda_library(), &why_none) > 0) {
      return make_from(cuda_library(), "cuda", 0, request.memory_budget);
    }
    return make_cpu(request);
  }
  if (const int index = index_of(request.device, "cuda"); index >= 0) {
    return make_from(cuda_library(), "cuda", index, request.memory_budget);
  }
  if (const int index = index_of(request.device, "emulated"); index >= 0) {
    return make_from(emulated_library(), "emulated", index, request.memory_budget);
  }
  throw InputError("device: \"" + request.device +
                   "\" is none of auto, cpu, cuda, cuda:0, cuda:1, ...");
}

std::vector<BackendStatus> backend_statuses() {
  std::vector<BackendStatus> statuses;
  try {
    statuses.push_back({"cpu", true, "instruction set " + std::string(cpu::instruction_set())});
  } catch (const InputError& error) {
    statuses.push_back({"cpu", false, error.what()});
  }
  const auto add = [&](const char* device, const BackendLibrary& library) {
    std::string detail;
    const int devices = count_devices(library, &detail);
    if (devices > 0) detail = std::to_string(devices) + (devices == 1 ? " device" : " devices");
    statuses.push_back({device, devices > 0, detail});
  };
  add("cuda", cuda_library());
  if (emulated_library().found) add("emulated", emulated_library());
  return statuses;
}

}  // namespace manyfold::kernels
