// Allocation, copies and fills.
#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "block.hpp"
#include "runtime.hpp"

namespace emulation::detail {

int device_of_thread();

// Stream-ordered when `stream` is given: the garbage is then written when the stream gets there, so
// that use of the memory from a stream that does not wait for the allocation is overwritten.
cudaError_t Runtime::allocate(void** pointer, std::size_t bytes, CUstream_st* stream, Lock& lock) {
  if (pointer == nullptr) return cudaErrorInvalidValue;
  if (bytes == 0) {
    *pointer = nullptr;
    return cudaSuccess;
  }
  if (planted_allocation_failure()) return cudaErrorMemoryAllocation;
  Allocation* allocation = memory_.allocate(bytes, device_of_thread());
  if (allocation == nullptr) {
    // Memory that waits in a stream to be freed counts as free.
    const cudaError_t error = run_all(lock);
    if (error != cudaSuccess) return error;
    allocation = memory_.allocate(bytes, device_of_thread());
  }
  if (allocation == nullptr) return cudaErrorMemoryAllocation;
  ++counters_.allocations;
  *pointer = allocation->data;
  if (stream == nullptr) return cudaSuccess;
  allocation->stream_ordered = true;
  Task task;
  task.kind = Task::Kind::fill;
  task.name = "allocation";
  task.work = [data = allocation->data, bytes] { std::memset(data, garbage_pattern, bytes); };
  return enqueue(*stream, std::move(task), nullptr, lock);
}

namespace {

cudaError_t allocate_pinned(Runtime& runtime, void** pointer, std::size_t bytes,
                            unsigned int flags) {
  if (pointer == nullptr) return cudaErrorInvalidValue;
  if (bytes == 0) {
    *pointer = nullptr;
    return cudaSuccess;
  }
  if (runtime.planted_allocation_failure()) return cudaErrorMemoryAllocation;
  void* memory = nullptr;
  if (posix_memalign(&memory, 256, bytes) != 0) return cudaErrorMemoryAllocation;
  std::memset(memory, garbage_pattern, bytes);
  runtime.pinned_[reinterpret_cast<std::uintptr_t>(memory)] = PinnedMemory{bytes, flags, true};
  ++runtime.counters_.allocations;
  *pointer = memory;
  return cudaSuccess;
}

const void* symbol_address(const void* symbol, std::size_t offset) {
  return static_cast<const unsigned char*>(symbol) + offset;
}

// The emulator learns of a __constant__ or __device__ variable when it is first used; its size is
// not known, so that each use vouches for its own bytes.
void learn_symbol(Runtime& runtime, const void* symbol, std::size_t bytes) {
  std::size_t& known = runtime.symbols_[reinterpret_cast<std::uintptr_t>(symbol)];
  known = std::max(known, bytes);
}

}  // namespace
}  // namespace emulation::detail

using namespace emulation::detail;

extern "C" {

cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
  return Runtime::instance().call(During::capture_allowed, [&](Runtime& runtime, Lock&) {
    const std::size_t capacity = runtime.memory_.capacity();
    if (free != nullptr) *free = capacity - std::min(capacity, runtime.memory_.used());
    if (total != nullptr) *total = capacity;
    return cudaSuccess;
  });
}

cudaError_t cudaMalloc(void** devPtr, size_t size) {
  return Runtime::instance().call(During::capture_unsafe, [&](Runtime& runtime, Lock& lock) {
    return runtime.allocate(devPtr, size, nullptr, lock);
  });
}

cudaError_t cudaMallocPitch(void** devPtr, size_t* pitch, size_t width, size_t height) {
  return Runtime::instance().call(During::capture_unsafe,
                                  [&](Runtime& runtime, Lock& lock) -> cudaError_t {
                                    if (pitch == nullptr) return cudaErrorInvalidValue;
                                    *pitch = (width + 511) / 512 * 512;
                                    return runtime.allocate(devPtr, *pitch * height, nullptr, lock);
                                  });
}

cudaError_t cudaFree(void* devPtr) {
  return Runtime::instance().release_call(
      During::capture_unsafe, [&](Runtime& runtime, Lock& lock) -> cudaError_t {
        if (devPtr == nullptr) return cudaSuccess;
        const cudaError_t error = runtime.run_all(lock);
        Allocation* allocation = runtime.memory_.find_exact(devPtr);
        if (allocation == nullptr) return cudaErrorInvalidValue;
        runtime.memory_.release(allocation);
        return error;
      });
}

cudaError_t cudaMallocAsync(void** devPtr, size_t size, cudaStream_t hStream) {
  return Runtime::instance().call(During::capture_allowed,
                                  [&](Runtime& runtime, Lock& lock) -> cudaError_t {
                                    CUstream_st* stream = runtime.stream_of(hStream);
                                    if (stream == nullptr) return cudaErrorInvalidResourceHandle;
                                    // Allocations as nodes of a graph are not emulated.
                                    if (stream->capture) return cudaErrorNotSupported;
                                    return runtime.allocate(devPtr, size, stream, lock);
                                  });
}

cudaError_t cudaMallocFromPoolAsync(void** ptr, size_t size, cudaMemPool_t memPool,
                                    cudaStream_t stream) {
  if (memPool != &Runtime::instance().pool_) return Runtime::remember(cudaErrorInvalidValue);
  return cudaMallocAsync(ptr, size, stream);
}

cudaError_t cudaFreeAsync(void* devPtr, cudaStream_t hStream) {
  return Runtime::instance().release_call(
      During::capture_allowed, [&](Runtime& runtime, Lock& lock) -> cudaError_t {
        CUstream_st* stream = runtime.stream_of(hStream);
        if (stream == nullptr) return cudaErrorInvalidResourceHandle;
        if (devPtr == nullptr) return cudaSuccess;
        if (stream->capture) return cudaErrorNotSupported;
        Allocation* allocation = runtime.memory_.find_exact(devPtr);
        if (allocation == nullptr || allocation->freeing) return cudaErrorInvalidValue;
        if (runtime.sticky_ != cudaSuccess) {
          runtime.memory_.release(allocation);
          return cudaSuccess;
        }
        allocation->freeing = true;
        Task task;
        task.kind = Task::Kind::fill;
        task.name = "release";
        task.work = [&runtime, devPtr] {
          runtime.memory_.release(runtime.memory_.find_exact(devPtr));
        };
        return runtime.enqueue(*stream, std::move(task), nullptr, lock);
      });
}

cudaError_t cudaDeviceGetDefaultMemPool(cudaMemPool_t* memPool, int device) {
  return Runtime::instance().call(During::capture_allowed,
                                  [&](Runtime& runtime, Lock&) -> cudaError_t {
                                    if (device < 0 || device >= runtime.device_count_)
                                      return cudaErrorInvalidDevice;
                                    *memPool = &runtime.pool_;
                                    return cudaSuccess;
                                  });
}

cudaError_t cudaDeviceGetMemPool(cudaMemPool_t* memPool, int device) {
  return cudaDeviceGetDefaultMemPool(memPool, device);
}

cudaError_t cudaMemPoolSetAttribute(cudaMemPool_t memPool, cudaMemPoolAttr attr, void* value) {
  return Runtime::instance().call(
      During::capture_allowed, [&](Runtime& runtime, Lock&) -> cudaError_t {
        if (memPool != &runtime.pool_ || value == nullptr) return cudaErrorInvalidValue;
        if (attr == cudaMemPoolAttrReleaseThreshold) {
          runtime.pool_.release_threshold = *static_cast<std::uint64_t*>(value);
        }
        return cudaSuccess;
      });
}

cudaError_t cudaMemPoolGetAttribute(cudaMemPool_t memPool, cudaMemPoolAttr attr, void* value) {
  return Runtime::instance().call(
      During::capture_allowed, [&](Runtime& runtime, Lock&) -> cudaError_t {
        if (memPool != &runtime.pool_ || value == nullptr) return cudaErrorInvalidValue;
        switch (attr) {
          case cudaMemPoolAttrReleaseThreshold:
            *static_cast<std::uint64_t*>(value) = runtime.pool_.release_threshold;
            return cudaSuccess;
          case cudaMemPoolAttrReservedMemCurrent:
          case cudaMemPoolAttrUsedMemCurrent:
            *static_cast<std::uint64_t*>(value) = runtime.memory_.used();
            return cudaSuccess;
          case cudaMemPoolAttrReservedMemHigh:
          case cudaMemPoolAttrUsedMemHigh:
            *static_cast<std::uint64_t*>(value) = runtime.memory_.peak();
            return cudaSuccess;
          default:
            *static_cast<int*>(value) = 1;
            return cudaSuccess;
        }
      });
}

cudaError_t cudaMemPoolTrimTo(cudaMemPool_t, size_t) {
  return Runtime::instance().call(During::capture_allowed,
                                  [&](Runtime&, Lock&) { return cudaSuccess; });
}

cudaError_t cudaHostAlloc(void** pHost, size_t size, unsigned int flags) {
  return Runtime::instance().call(During::capture_unsafe, [&](Runtime& runtime, Lock&) {
    return allocate_pinned(runtime, pHost, size, flags);
  });
}

cudaError_t cudaMallocHost(void** ptr, size_t size) {
  return cudaHostAlloc(ptr, size, cudaHostAllocDefault);
}

cudaError_t cudaFreeHost(void* ptr) {
  return Runtime::instance().release_call(
      During::capture_unsafe, [&](Runtime& runtime, Lock& lock) -> cudaError_t {
        if (ptr == nullptr) return cudaSuccess;
        const cudaError_t error = runtime.run_all(lock);
        const auto found = runtime.pinned_.find(reinterpret_cast<std::uintptr_t>(ptr));
        if (found == runtime.pinned_.end() || !found->second.owned) return cudaErrorInvalidValue;
        runtime.pinned_.erase(found);
        std::free(ptr);
        return error;
      });
}

cudaError_t cudaHostRegister(void* ptr, size_t size, unsigned int flags) {
  return Runtime::instance().call(
      During::capture_unsafe, [&](Runtime& runtime, Lock&) -> cudaError_t {
        if (ptr == nullptr || size == 0) return cudaErrorInvalidValue;
        if (runtime.pinned(ptr) != nullptr) return cudaErrorHostMemoryAlreadyRegistered;
        runtime.pinned_[reinterpret_cast<std::uintptr_t>(ptr)] = PinnedMemory{size, flags, false};
        return cudaSuccess;
      });
}

cudaError_t cudaHostUnregister(void* ptr) {
  return Runtime::instance().release_call(
      During::capture_unsafe, [&](Runtime& runtime, Lock& lock) -> cudaError_t {
        const cudaError_t error = runtime.run_all(lock);
        const auto found = runtime.pinned_.find(reinterpret_cast<std::uintptr_t>(ptr));
        if (found == runtime.pinned_.end() || found->second.owned) {
          return cudaErrorHostMemoryNotRegistered;
        }
        runtime.pinned_.erase(found);
        return error;
      });
}

cudaError_t cudaHostGetDevicePointer(void** pDevice, void* pHost, unsigned int) {
  return Runtime::instance().call(During::capture_allowed,
                                  [&](Runtime& runtime, Lock&) -> cudaError_t {
                                    if (pDevice == nullptr || runtime.pinned(pHost) == nullptr)
                                      return cudaErrorInvalidValue;
                                    *pDevice = pHost;
                                    return cudaSuccess;
                                  });
}

cudaError_t cudaHostGetFlags(unsigned int* pFlags, void* pHost) {
  return Runtime::instance().call(During::capture_allowed,
                                  [&](Runtime& runtime, Lock&) -> cudaError_t {
                                    const auto* memory = runtime.pinned(pHost);
                                    if (pFlags == nullptr || memory == nullptr)
                                      return cudaErrorInvalidValue;
                                    *pFlags = memory->second.flags;
                                    return cudaSuccess;
                                  });
}

cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* ptr) {
  return Runtime::instance().call(During::capture_allowed,
                                  [&](Runtime& runtime, Lock&) -> cudaError_t {
                                    if (attributes == nullptr) return cudaErrorInvalidValue;
                                    *attributes = cudaPointerAttributes{};
                                    void* pointer = const_cast<void*>(ptr);
                                    if (const Allocation* allocation = runtime.memory_.find(ptr)) {
                                      attributes->type = cudaMemoryTypeDevice;
                                      attributes->device = allocation->device;
                                      attributes->devicePointer = pointer;
                                    } else if (runtime.pinned(ptr) != nullptr) {
                                      attributes->type = cudaMemoryTypeHost;
                                      attributes->device = device_of_thread();
                                      attributes->devicePointer = pointer;
                                      attributes->hostPointer = pointer;
                                    } else {
                                      attributes->type = cudaMemoryTypeUnregistered;
                                      attributes->device = -2;
                                      attributes->hostPointer = pointer;
                                    }
                                    return cudaSuccess;
                                  });
}

cudaError_t cudaMemcpy2DAsync(void* dst, size_t dpitch, const void* src, size_t spitch,
                              size_t width, size_t height, cudaMemcpyKind kind,
                              cudaStream_t stream) {
  return Runtime::instance().call(
      During::capture_allowed, [&](Runtime& runtime, Lock& lock) -> cudaError_t {
        CUstream_st* queue = runtime.stream_of(stream);
        if (queue == nullptr) return cudaErrorInvalidResourceHandle;
        return runtime.copy(dst, dpitch, src, spitch, width, height, kind, *queue, false, lock);
      });
}

cudaError_t cudaMemcpyAsync(void* dst, const void* src, size_t count, cudaMemcpyKind kind,
                            cudaStream_t stream) {
  return cudaMemcpy2DAsync(dst, count, src, count, count, 1, kind, stream);
}

cudaError_t cudaMemcpy2D(void* dst, size_t dpitch, const void* src, size_t spitch, size_t width,
                         size_t height, cudaMemcpyKind kind) {
  return Runtime::instance().call(During::capture_allowed,
                                  [&](Runtime& runtime, Lock& lock) -> cudaError_t {
                                    cudaError_t error = runtime.check_usable(runtime.legacy_);
                                    if (error == cudaSuccess)
                                      error = runtime.refuse_during_capture();
                                    if (error != cudaSuccess) return error;
                                    return runtime.copy(dst, dpitch, src, spitch, width, height,
                                                        kind, runtime.legacy_, true, lock);
                                  });
}

cudaError_t cudaMemcpy(void* dst, const void* src, size_t count, cudaMemcpyKind kind) {
  return cudaMemcpy2D(dst, count, src, count, count, 1, kind);
}

cudaError_t cudaMemset2DAsync(void* devPtr, size_t pitch, int value, size_t width, size_t height,
                              cudaStream_t stream) {
  return Runtime::instance().call(
      During::capture_allowed, [&](Runtime& runtime, Lock& lock) -> cudaError_t {
        CUstream_st* queue = runtime.stream_of(stream);
        if (queue == nullptr) return cudaErrorInvalidResourceHandle;
        return runtime.fill(devPtr, pitch, value, width, height, *queue, lock);
      });
}

cudaError_t cudaMemsetAsync(void* devPtr, int value, size_t count, cudaStream_t stream) {
  return cudaMemset2DAsync(devPtr, count, value, count, 1, stream);
}

cudaError_t cudaMemset2D(void* devPtr, size_t pitch, int value, size_t width, size_t height) {
  return cudaMemset2DAsync(devPtr, pitch, value, width, height, nullptr);
}

cudaError_t cudaMemset(void* devPtr, int value, size_t count) {
  return cudaMemset2DAsync(devPtr, count, value, count, 1, nullptr);
}

cudaError_t cudaGetSymbolAddress(void** devPtr, const void* symbol) {
  return Runtime::instance().call(During::capture_allowed,
                                  [&](Runtime& runtime, Lock&) -> cudaError_t {
                                    if (devPtr == nullptr) return cudaErrorInvalidValue;
                                    learn_symbol(runtime, symbol, 1);
                                    *devPtr = const_cast<void*>(symbol);
                                    return cudaSuccess;
                                  });
}

cudaError_t cudaMemcpyToSymbolAsync(const void* symbol, const void* src, size_t count,
                                    size_t offset, cudaMemcpyKind kind, cudaStream_t stream) {
  return Runtime::instance().call(
      During::capture_allowed, [&](Runtime& runtime, Lock& lock) -> cudaError_t {
        CUstream_st* queue = runtime.stream_of(stream);
        if (queue == nullptr) return cudaErrorInvalidResourceHandle;
        learn_symbol(runtime, symbol, offset + count);
        return runtime.copy(const_cast<void*>(symbol_address(symbol, offset)), count, src, count,
                            count, 1, kind, *queue, false, lock);
      });
}

cudaError_t cudaMemcpyToSymbol(const void* symbol, const void* src, size_t count, size_t offset,
                               cudaMemcpyKind kind) {
  return Runtime::instance().call(
      During::capture_unsafe, [&](Runtime& runtime, Lock& lock) -> cudaError_t {
        learn_symbol(runtime, symbol, offset + count);
        return runtime.copy(const_cast<void*>(symbol_address(symbol, offset)), count, src, count,
                            count, 1, kind, runtime.legacy_, true, lock);
      });
}

cudaError_t cudaMemcpyFromSymbolAsync(void* dst, const void* symbol, size_t count, size_t offset,
                                      cudaMemcpyKind kind, cudaStream_t stream) {
  return Runtime::instance().call(During::capture_allowed,
                                  [&](Runtime& runtime, Lock& lock) -> cudaError_t {
                                    CUstream_st* queue = runtime.stream_of(stream);
                                    if (queue == nullptr) return cudaErrorInvalidResourceHandle;
                                    learn_symbol(runtime, symbol, offset + count);
                                    return runtime.copy(dst, count, symbol_address(symbol, offset),
                                                        count, count, 1, kind, *queue, false, lock);
                                  });
}

cudaError_t cudaMemcpyFromSymbol(void* dst, const void* symbol, size_t count, size_t offset,
                                 cudaMemcpyKind kind) {
  return Runtime::instance().call(
      During::capture_unsafe, [&](Runtime& runtime, Lock& lock) -> cudaError_t {
        learn_symbol(runtime, symbol, offset + count);
        return runtime.copy(dst, count, symbol_address(symbol, offset), count, count, 1, kind,
                            runtime.legacy_, true, lock);
      });
}

}  // extern "C"
