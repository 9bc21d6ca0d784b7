// Fills the CUDA backend's table, and exports what kernels/backends.cpp looks for after loading it.
#include "core/executor/cuda/cuda_executor.cuh"
#include "kernels/backends.hpp"
#include "kernels/cuda/operations.cuh"
#include "kernels/table.hpp"

namespace manyfold::kernels::cuda {
namespace {

template <class T>
TypedTable<T> typed_table() {
  TypedTable<T> table;
#define MF_TYPED(name, Args) table.name = name<T>;
#define MF_PLAIN(name, Args)
#include "kernels/operations.inc"
  return table;
}

KernelTables all_tables() {
  KernelTables tables;
  tables.f32 = typed_table<float>();
  tables.f64 = typed_table<double>();
#define MF_TYPED(name, Args)
#define MF_PLAIN(name, Args) tables.name = name;
#include "kernels/operations.inc"
  return tables;
}

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
