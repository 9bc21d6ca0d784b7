// Status codes of CUDA calls become exceptions; in destructors, where nothing may be thrown, a line
// on standard error.
#pragma once

#include <cstdio>
#include <string>

#include <cublas_v2.h>
#include <cuda_runtime.h>
#include <cusolverDn.h>

#include "core/error.hpp"

namespace manyfold {

/// Throws DeviceError (ResourceError when memory ran out) "WHAT: NAME: explanation".
inline void check(cudaError_t status, const char* what) {
  if (status == cudaSuccess) return;
  const std::string text =
      std::string(what) + ": " + cudaGetErrorName(status) + ": " + cudaGetErrorString(status);
  if (status == cudaErrorMemoryAllocation) {
    (void)cudaGetLastError();  // not sticky: the device goes on working
    throw ResourceError(text);
  }
  throw DeviceError(text);
}

inline void check(cublasStatus_t status, const char* what) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  throw DeviceError(std::string(what) + ": cuBLAS: " + cublasGetStatusString(status));
}

inline void check(cusolverStatus_t status, const char* what) {
  if (status == CUSOLVER_STATUS_SUCCESS) return;
  const std::string text =
      std::string(what) + ": cuSOLVER: status " + std::to_string(static_cast<int>(status));
  if (status == CUSOLVER_STATUS_ALLOC_FAILED) throw ResourceError(text);
  throw DeviceError(text);
}

inline void complain(cudaError_t status, const char* what) noexcept {
  if (status == cudaSuccess) return;
  std::fprintf(stderr, "manyfold: %s: %s\n", what, cudaGetErrorName(status));
}

}  // namespace manyfold
