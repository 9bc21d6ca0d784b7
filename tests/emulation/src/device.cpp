// Devices, their properties, kernels' attributes and occupancy.
#include <algorithm>
#include <cstdio>
#include <cstring>

#include "block.hpp"
#include "runtime.hpp"
#include "symbols.hpp"

namespace emulation::detail {
namespace {

thread_local int current_device = 0;
thread_local unsigned int device_flags = 0;

// The numbers of a device of compute capability 9.0.
constexpr int threads_per_multiprocessor = 2048;
constexpr int blocks_per_multiprocessor = 32;
constexpr int shared_per_multiprocessor = 233472;
constexpr int shared_per_block = 48 * 1024;
constexpr int reserved_shared_per_block = 1024;
constexpr int registers = 65536;

int active_blocks(int block_size, std::size_t dynamic_shared) {
  const int warps = (block_size + 31) / 32;
  const auto shared = static_cast<long long>(dynamic_shared) + reserved_shared_per_block;
  const long long by_shared = shared_per_multiprocessor / shared;
  return static_cast<int>(std::min<long long>(
      {by_shared, blocks_per_multiprocessor, threads_per_multiprocessor / 32 / warps}));
}

}  // namespace

int device_of_thread() { return current_device; }

}  // namespace emulation::detail

using namespace emulation::detail;

extern "C" {

cudaError_t cudaGetDeviceCount(int* count) {
  return Runtime::instance().call(During::capture_allowed, [&](Runtime& runtime, Lock&) {
    if (count == nullptr) return cudaErrorInvalidValue;
    *count = runtime.device_count_;
    return cudaSuccess;
  });
}

cudaError_t cudaGetDevice(int* device) {
  return Runtime::instance().call(During::capture_allowed, [&](Runtime&, Lock&) {
    if (device == nullptr) return cudaErrorInvalidValue;
    *device = current_device;
    return cudaSuccess;
  });
}

cudaError_t cudaSetDevice(int device) {
  return Runtime::instance().call(During::capture_allowed, [&](Runtime& runtime, Lock&) {
    if (device < 0 || device >= runtime.device_count_) return cudaErrorInvalidDevice;
    current_device = device;
    return cudaSuccess;
  });
}

cudaError_t cudaInitDevice(int device, unsigned int flags, unsigned int) {
  return Runtime::instance().call(During::capture_allowed, [&](Runtime& runtime, Lock&) {
    if (device < 0 || device >= runtime.device_count_) return cudaErrorInvalidDevice;
    device_flags = flags;
    return cudaSuccess;
  });
}

cudaError_t cudaSetDeviceFlags(unsigned int flags) {
  return Runtime::instance().call(During::capture_allowed, [&](Runtime&, Lock&) {
    device_flags = flags;
    return cudaSuccess;
  });
}

cudaError_t cudaGetDeviceFlags(unsigned int* flags) {
  return Runtime::instance().call(During::capture_allowed, [&](Runtime&, Lock&) {
    if (flags == nullptr) return cudaErrorInvalidValue;
    *flags = device_flags;
    return cudaSuccess;
  });
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* prop, int device) {
  return Runtime::instance().call(During::capture_allowed, [&](Runtime& runtime, Lock&) {
    if (prop == nullptr) return cudaErrorInvalidValue;
    if (device < 0 || device >= runtime.device_count_) return cudaErrorInvalidDevice;
    *prop = cudaDeviceProp{};
    std::snprintf(prop->name, sizeof prop->name, "emulated");
    prop->uuid.bytes[15] = static_cast<char>(device + 1);
    prop->totalGlobalMem = runtime.memory_.capacity();
    prop->sharedMemPerBlock = shared_per_block;
    prop->regsPerBlock = registers;
    prop->warpSize = 32;
    prop->memPitch = 0x7fffffff;
    prop->maxThreadsPerBlock = 1024;
    prop->maxThreadsDim[0] = prop->maxThreadsDim[1] = 1024;
    prop->maxThreadsDim[2] = 64;
    prop->maxGridSize[0] = 0x7fffffff;
    prop->maxGridSize[1] = prop->maxGridSize[2] = 65535;
    prop->totalConstMem = 65536;
    prop->major = 9;
    prop->minor = 0;
    prop->multiProcessorCount = runtime.multiprocessors_;
    prop->canMapHostMemory = 1;
    prop->concurrentKernels = 1;
    prop->pciBusID = device;
    prop->asyncEngineCount = 3;
    prop->unifiedAddressing = 1;
    prop->memoryBusWidth = 5120;
    prop->l2CacheSize = 50 * 1024 * 1024;
    prop->maxThreadsPerMultiProcessor = threads_per_multiprocessor;
    prop->streamPrioritiesSupported = 1;
    prop->globalL1CacheSupported = 1;
    prop->localL1CacheSupported = 1;
    prop->sharedMemPerMultiprocessor = shared_per_multiprocessor;
    prop->regsPerMultiprocessor = registers;
    prop->cooperativeLaunch = 1;
    prop->sharedMemPerBlockOptin = max_shared_bytes;
    prop->maxBlocksPerMultiProcessor = blocks_per_multiprocessor;
    prop->reservedSharedMemPerBlock = reserved_shared_per_block;
    prop->hostRegisterSupported = 1;
    prop->memoryPoolsSupported = 1;
    return cudaSuccess;
  });
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attr, int device) {
  return Runtime::instance().call(During::capture_allowed,
                                  [&](Runtime& runtime, Lock&) -> cudaError_t {
                                    if (value == nullptr) return cudaErrorInvalidValue;
                                    if (device < 0 || device >= runtime.device_count_)
                                      return cudaErrorInvalidDevice;
                                    switch (attr) {
                                      case cudaDevAttrMaxThreadsPerBlock:
                                      case cudaDevAttrMaxBlockDimX:
                                      case cudaDevAttrMaxBlockDimY:
                                        *value = 1024;
                                        break;
                                      case cudaDevAttrMaxBlockDimZ:
                                        *value = 64;
                                        break;
                                      case cudaDevAttrMaxGridDimX:
                                        *value = 0x7fffffff;
                                        break;
                                      case cudaDevAttrMaxGridDimY:
                                      case cudaDevAttrMaxGridDimZ:
                                        *value = 65535;
                                        break;
                                      case cudaDevAttrMaxSharedMemoryPerBlock:
                                        *value = shared_per_block;
                                        break;
                                      case cudaDevAttrTotalConstantMemory:
                                        *value = 65536;
                                        break;
                                      case cudaDevAttrWarpSize:
                                        *value = 32;
                                        break;
                                      case cudaDevAttrMaxPitch:
                                        *value = 0x7fffffff;
                                        break;
                                      case cudaDevAttrMaxRegistersPerBlock:
                                      case cudaDevAttrMaxRegistersPerMultiprocessor:
                                        *value = registers;
                                        break;
                                      case cudaDevAttrClockRate:
                                        *value = 1755000;
                                        break;
                                      case cudaDevAttrMultiProcessorCount:
                                        *value = runtime.multiprocessors_;
                                        break;
                                      case cudaDevAttrMemoryClockRate:
                                        *value = 2619000;
                                        break;
                                      case cudaDevAttrGlobalMemoryBusWidth:
                                        *value = 5120;
                                        break;
                                      case cudaDevAttrL2CacheSize:
                                        *value = 50 * 1024 * 1024;
                                        break;
                                      case cudaDevAttrMaxThreadsPerMultiProcessor:
                                        *value = threads_per_multiprocessor;
                                        break;
                                      case cudaDevAttrAsyncEngineCount:
                                        *value = 3;
                                        break;
                                      case cudaDevAttrComputeCapabilityMajor:
                                        *value = 9;
                                        break;
                                      case cudaDevAttrMaxSharedMemoryPerMultiprocessor:
                                        *value = shared_per_multiprocessor;
                                        break;
                                      case cudaDevAttrMaxSharedMemoryPerBlockOptin:
                                        *value = static_cast<int>(max_shared_bytes);
                                        break;
                                      case cudaDevAttrMaxBlocksPerMultiprocessor:
                                        *value = blocks_per_multiprocessor;
                                        break;
                                      case cudaDevAttrReservedSharedMemoryPerBlock:
                                        *value = reserved_shared_per_block;
                                        break;
                                      case cudaDevAttrSingleToDoublePrecisionPerfRatio:
                                        *value = 2;
                                        break;
                                      case cudaDevAttrCanMapHostMemory:
                                      case cudaDevAttrConcurrentKernels:
                                      case cudaDevAttrUnifiedAddressing:
                                      case cudaDevAttrStreamPrioritiesSupported:
                                      case cudaDevAttrGlobalL1CacheSupported:
                                      case cudaDevAttrLocalL1CacheSupported:
                                      case cudaDevAttrCooperativeLaunch:
                                      case cudaDevAttrHostRegisterSupported:
                                      case cudaDevAttrMemoryPoolsSupported:
                                        *value = 1;
                                        break;
                                      case cudaDevAttrComputeCapabilityMinor:
                                      case cudaDevAttrKernelExecTimeout:
                                      case cudaDevAttrIntegrated:
                                      case cudaDevAttrComputeMode:
                                      case cudaDevAttrEccEnabled:
                                      case cudaDevAttrPciBusId:
                                      case cudaDevAttrPciDeviceId:
                                      case cudaDevAttrPciDomainId:
                                      case cudaDevAttrManagedMemory:
                                      case cudaDevAttrIsMultiGpuBoard:
                                      case cudaDevAttrPageableMemoryAccess:
                                      case cudaDevAttrConcurrentManagedAccess:
                                      case cudaDevAttrClusterLaunch:
                                        *value = 0;
                                        break;
                                      default:
                                        return cudaErrorInvalidValue;
                                    }
                                    return cudaSuccess;
                                  });
}

cudaError_t cudaDeviceGetPCIBusId(char* pciBusId, int len, int device) {
  return Runtime::instance().call(During::capture_allowed, [&](Runtime& runtime, Lock&) {
    if (pciBusId == nullptr || len < 13) return cudaErrorInvalidValue;
    if (device < 0 || device >= runtime.device_count_) return cudaErrorInvalidDevice;
    std::snprintf(pciBusId, static_cast<std::size_t>(len), "0000:%02x:00.0",
                  static_cast<unsigned int>(device) & 0xffU);
    return cudaSuccess;
  });
}

cudaError_t cudaDeviceCanAccessPeer(int* canAccessPeer, int, int) {
  return Runtime::instance().call(During::capture_allowed, [&](Runtime&, Lock&) {
    *canAccessPeer = 0;
    return cudaSuccess;
  });
}

cudaError_t cudaDeviceGetStreamPriorityRange(int* leastPriority, int* greatestPriority) {
  return Runtime::instance().call(During::capture_allowed, [&](Runtime&, Lock&) {
    if (leastPriority != nullptr) *leastPriority = 0;
    if (greatestPriority != nullptr) *greatestPriority = -5;
    return cudaSuccess;
  });
}

cudaError_t cudaDeviceSetLimit(cudaLimit, size_t) {
  return Runtime::instance().call(During::capture_allowed,
                                  [&](Runtime&, Lock&) { return cudaSuccess; });
}

cudaError_t cudaDeviceGetLimit(size_t* pValue, cudaLimit) {
  return Runtime::instance().call(During::capture_allowed, [&](Runtime&, Lock&) {
    *pValue = 1024;
    return cudaSuccess;
  });
}

cudaError_t cudaDeviceSynchronize() {
  return Runtime::instance().call(
      During::capture_unsafe, [&](Runtime& runtime, Lock& lock) { return runtime.run_all(lock); });
}

cudaError_t cudaDeviceReset() {
  return Runtime::instance().release_call(During::capture_allowed, [&](Runtime& runtime, Lock&) {
    runtime.reset_device();
    return cudaSuccess;
  });
}

// As with the real library: the version 0 says that there is no driver, without an error.
cudaError_t cudaDriverGetVersion(int* driverVersion) {
  if (driverVersion == nullptr) return Runtime::remember(cudaErrorInvalidValue);
  Runtime& runtime = Runtime::instance();
  const Lock lock(runtime.mutex_);
  *driverVersion = runtime.device_count_ == 0 ? 0 : CUDART_VERSION;
  return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int* runtimeVersion) {
  if (runtimeVersion == nullptr) return Runtime::remember(cudaErrorInvalidValue);
  *runtimeVersion = CUDART_VERSION;
  return cudaSuccess;
}

cudaError_t cudaProfilerStart() { return cudaSuccess; }
cudaError_t cudaProfilerStop() { return cudaSuccess; }

cudaError_t cudaFuncSetAttribute(const void* func, cudaFuncAttribute attr, int value) {
  return Runtime::instance().call(
      During::capture_allowed, [&](Runtime& runtime, Lock&) -> cudaError_t {
        if (func == nullptr) return cudaErrorInvalidDeviceFunction;
        FunctionState& state = runtime.state_of(func);
        switch (attr) {
          case cudaFuncAttributeMaxDynamicSharedMemorySize:
            if (value < 0 || value > static_cast<int>(max_shared_bytes) - state.static_shared) {
              return cudaErrorInvalidValue;
            }
            state.max_dynamic_shared = value;
            return cudaSuccess;
          case cudaFuncAttributePreferredSharedMemoryCarveout:
            if (value < -1 || value > 100) return cudaErrorInvalidValue;
            state.carveout = value;
            return cudaSuccess;
          default:
            return cudaErrorInvalidValue;
        }
      });
}

cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attr, const void* func) {
  return Runtime::instance().call(
      During::capture_allowed, [&](Runtime& runtime, Lock&) -> cudaError_t {
        if (attr == nullptr) return cudaErrorInvalidValue;
        if (func == nullptr) return cudaErrorInvalidDeviceFunction;
        const FunctionState& state = runtime.state_of(func);
        *attr = cudaFuncAttributes{};
        attr->maxThreadsPerBlock = 1024;
        attr->numRegs = 32;
        attr->ptxVersion = 90;
        attr->binaryVersion = 90;
        attr->sharedSizeBytes = static_cast<std::size_t>(state.static_shared);
        attr->maxDynamicSharedSizeBytes = state.max_dynamic_shared;
        attr->preferredShmemCarveout = state.carveout;
        return cudaSuccess;
      });
}

cudaError_t cudaFuncSetCacheConfig(const void*, cudaFuncCache) {
  return Runtime::instance().call(During::capture_allowed,
                                  [&](Runtime&, Lock&) { return cudaSuccess; });
}

cudaError_t cudaFuncGetName(const char** name, const void* func) {
  return Runtime::instance().call(During::capture_allowed, [&](Runtime&, Lock&) {
    *name = kernel_name(func).c_str();
    return cudaSuccess;
  });
}

cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int* numBlocks, const void* func,
                                                                   int blockSize,
                                                                   size_t dynamicSMemSize,
                                                                   unsigned int) {
  return Runtime::instance().call(
      During::capture_allowed, [&](Runtime& runtime, Lock&) -> cudaError_t {
        if (numBlocks == nullptr || blockSize <= 0) return cudaErrorInvalidValue;
        if (func == nullptr) return cudaErrorInvalidDeviceFunction;
        const FunctionState& state = runtime.state_of(func);
        const auto fixed = static_cast<std::size_t>(state.static_shared);
        *numBlocks =
            blockSize > 1024 || dynamicSMemSize > static_cast<std::size_t>(state.max_dynamic_shared)
                ? 0
                : active_blocks(blockSize, fixed + dynamicSMemSize);
        return cudaSuccess;
      });
}

cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* numBlocks, const void* func,
                                                          int blockSize, size_t dynamicSMemSize) {
  return cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(numBlocks, func, blockSize,
                                                                dynamicSMemSize, 0);
}

cudaError_t cudaOccupancyAvailableDynamicSMemPerBlock(size_t* dynamicSmemSize, const void* func,
                                                      int numBlocks, int blockSize) {
  return Runtime::instance().call(
      During::capture_allowed, [&](Runtime& runtime, Lock&) -> cudaError_t {
        if (dynamicSmemSize == nullptr || numBlocks <= 0 || blockSize <= 0) {
          return cudaErrorInvalidValue;
        }
        if (func == nullptr) return cudaErrorInvalidDeviceFunction;
        const int fixed = runtime.state_of(func).static_shared;
        const int each = shared_per_multiprocessor / numBlocks - reserved_shared_per_block - fixed;
        *dynamicSmemSize = static_cast<std::size_t>(
            std::clamp(each, 0, static_cast<int>(max_shared_bytes) - fixed));
        return cudaSuccess;
      });
}

}  // extern "C"
