// Fills the CUDA backend's table, and exports what kernels/backends.cpp looks for after loading it.
#include "core/executor/cuda/cuda_executor.cuh"
#include "kernels/backends.hpp"
#include "kernels/cuda/operations.cuh"
#include "kernels/table.hpp"

namespace manyfold::kernels::cuda {
namespace {

#include "kernels/fill_tables.inc"

}  // namespace

const KernelTables& cuda_tables() {
  static const KernelTables tables = all_tables();
  return tables;
}

namespace {

std::unique_ptr<Executor> make(int device, std::size_t memory_budget) {
  return make_cuda_executor(device, memory_budget, cuda_tables());
}

}  // namespace
}  // namespace manyfold::kernels::cuda

extern "C" const manyfold::kernels::BackendEntry* manyfold_backend() {
  static const manyfold::kernels::BackendEntry entry{manyfold::kernels::backend_interface_version,
                                                     manyfold::kernels::cuda::make,
                                                     manyfold::cuda_device_count};
  return &entry;
}
