// Fills the CUDA backend's table, and exports what kernels/backends.cpp looks for after loading it.
#include "core/executor/cuda/cuda_executor.cuh"
#include "kernels/backends.hpp"
#include "kernels/cuda/operations.cuh"
#include "kernels/table.hpp"

namespace manyfold::kernels::cuda {
namespace {

template <class T>
TypedTable<T> typed_table() {
  return {
      gemm<T>,    residual<T>,      sum_of_squares<T>,     random_fill<T>,    singular_values<T>,
      descend<T>, inner_product<T>, add_scaled<T>,         drawn_residual<T>, heavy_ball<T>,
      adam<T>,    sign_descend<T>,  linear_combination<T>, diffuse<T>,        perturb<T>};
}

}  // namespace

const KernelTables& cuda_tables() {
  static const KernelTables tables{
      typed_table<float>(), typed_table<double>(), check_stop, constant_step, rms_step,  advance,
      running_extreme,      first_crossing,        combine,    accumulate,    adam_step, draw_terms,
      follow_schedule};
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
