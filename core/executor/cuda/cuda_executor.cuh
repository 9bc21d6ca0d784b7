// A CUDA device: one stream for work, one for copies out, cuBLAS and cuSOLVER made
// when first asked for. For .cu files only; compiled a second time by the host compiler against the
// emulation.
#pragma once

#include <memory>
#include <string>

#include <cublas_v2.h>
#include <cuda_runtime.h>
#include <cusolverDn.h>

#include "core/executor/executor.hpp"

namespace manyfold {

class CudaExecutor : public Executor {
 public:
  /// The stream that kernels go to (the capturing one while a program is recorded).
  virtual cudaStream_t stream() const = 0;
  /// cuBLAS on that stream with a workspace of its own (set after the stream, so that results are
  /// repeatable) and default math: full precision unless a call asks for TF32.
  virtual cublasHandle_t cublas() = 0;
  /// cuSOLVER on that stream; made when first asked for, which a recording must not.
  virtual cusolverDnHandle_t cusolver() = 0;
  virtual int multiprocessors() const = 0;
  /// Largest dynamic shared memory of a block, in bytes.
  virtual std::size_t shared_memory() const = 0;
};

/// Devices that answer; 0 with the reason when none does.
int cuda_device_count(std::string* why_none);

/// `memory_budget` 0: nine tenths of the memory that is free now.
std::unique_ptr<CudaExecutor> make_cuda_executor(int device, std::size_t memory_budget,
                                                 const kernels::KernelTables& tables);

}  // namespace manyfold
