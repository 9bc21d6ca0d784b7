// Singular values on a GPU: one block a slot (jacobi.cuh), with columns in shared memory where they
// fit, else in the caller's workspace; cuSOLVER for matrices with many columns, one after another.
#include <algorithm>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <utility>

#include <float.h>

#include "core/executor/memory.hpp"
#include "kernels/common/singular_methods.hpp"
#include "kernels/cuda/for_each.cuh"
#include "kernels/cuda/jacobi.cuh"
#include "kernels/cuda/operations.cuh"

namespace manyfold::kernels::cuda {

template <class T, int lanes>
__global__ void singular_values_kernel(SingularValuesArgs<T> args, bool columns_in_shared) {
  const std::int64_t slot = blockIdx.x;
  const std::int64_t rows = args.a.rows;
  const std::int64_t cols = args.a.cols;
  const std::int64_t n = rows < cols ? rows : cols;
  const bool vectors = args.u.data != nullptr || args.v.data != nullptr;
  const std::int64_t stride = args.workspace_stride > 0
                                  ? args.workspace_stride
                                  : singular_values_workspace(rows, cols, vectors);
  double* const workspace = args.workspace + slot * stride;
  auto* const shared = dynamic_shared<double>();
  rotate_slot<lanes>(args, slot,
                     JacobiMemory(shared, columns_in_shared ? shared + jacobi_header(n) : workspace,
                                  vectors ? workspace + rows * cols : nullptr, n));
}

// ---- cuSOLVER

/// One matrix with its longer side along the columns, all in device memory.
struct LibraryMatrix {
  std::int64_t slot;
  std::int64_t length, count;
  bool transposed;
  double* a;       // (count, length); zeros where an entry is not finite
  double* values;  // (count)
  double* left;    // (count, length), where vectors are wanted
  double* right;   // (count, count)
  int* info;       // cuSOLVER's
  int* bad;        // an entry is not finite
};

constexpr int library_threads = 256;

template <class T>
__global__ void find_not_finite_kernel(SingularValuesArgs<T> args, LibraryMatrix m) {
  const T* a = args.a.slot(m.slot);
  const std::int64_t entries = args.a.rows * args.a.cols;
  int bad = 0;
  for (std::int64_t i = threadIdx.x; i < entries; i += library_threads) {
    const double entry = a[i / args.a.cols * args.a.row_stride + i % args.a.cols];
    if (!(fabs(entry) <= DBL_MAX)) bad = 1;
  }
  bad = __syncthreads_or(bad);
  if (threadIdx.x == 0) *m.bad = bad;
}

/// A block has the j-th value and its vectors.
template <class T>
__global__ void give_values_kernel(SingularValuesArgs<T> args, LibraryMatrix m) {
  const std::int64_t j = blockIdx.x;
  const bool bad = *m.bad != 0;
  const double value = bad ? nan("") : m.values[j];
  double* values = args.values + m.slot * args.values_stride;
  if (threadIdx.x == 0 && j < args.values_count) values[j] = value;
  if (j == 0) {
    for (std::int64_t i = m.count + threadIdx.x; i < args.values_count; i += library_threads) {
      values[i] = bad ? nan("") : args.beyond;
    }
    if (threadIdx.x == 0 && args.sweeps != nullptr) {
      args.sweeps[m.slot] = bad ? 0 : *m.info != 0 ? -1 : 1;
    }
  }
  const double size = value == 0 || bad ? value : args.scaled ? value : 1;
  const double* long_one = m.left + j * m.length;
  const double* short_one = m.right + j * m.count;
  const MatrixBatch<double>& turned = m.transposed ? args.v : args.u;
  const MatrixBatch<double>& rotation = m.transposed ? args.u : args.v;
  for (std::int64_t i = threadIdx.x; turned.data != nullptr && i < m.length; i += library_threads) {
    turned.slot(m.slot)[i * turned.row_stride + j] = size * long_one[i];
  }
  for (std::int64_t i = threadIdx.x; rotation.data != nullptr && i < m.count;
       i += library_threads) {
    rotation.slot(m.slot)[i * rotation.row_stride + j] = size * short_one[i];
  }
  if (j > 0 || args.left == nullptr) return;
  const double* first = m.transposed ? short_one : long_one;
  for (std::int64_t i = threadIdx.x; i < args.a.rows; i += library_threads) {
    args.left[m.slot * args.left_stride + i] = value > 0 ? first[i] : nan("");
  }
}

/// What gesvdj is told: as accurate as it gets, in at most so many sweeps, the largest value first.
class GesvdjInfo {
 public:
  explicit GesvdjInfo(int max_sweeps) {
    check(cusolverDnCreateGesvdjInfo(&info_), "starting cuSOLVER");
    check(cusolverDnXgesvdjSetMaxSweeps(info_, max_sweeps), "starting cuSOLVER");
    check(cusolverDnXgesvdjSetSortEig(info_, 1), "starting cuSOLVER");
  }
  GesvdjInfo(const GesvdjInfo&) = delete;
  GesvdjInfo& operator=(const GesvdjInfo&) = delete;
  ~GesvdjInfo() { (void)cusolverDnDestroyGesvdjInfo(info_); }
  gesvdjInfo_t get() const { return info_; }

 private:
  gesvdjInfo_t info_ = nullptr;
};

template <class T>
void singular_values_by_library(CudaExecutor& device, const SingularValuesArgs<T>& args) {
  constexpr const char* name = "singular_values";
  cudaStreamCaptureStatus capturing = cudaStreamCaptureStatusNone;
  check(cudaStreamIsCapturing(device.stream(), &capturing), name);
  if (capturing != cudaStreamCaptureStatusNone) {
    throw std::logic_error("singular_values of matrices with more than " +
                           std::to_string(gpu_singular_columns) +
                           " rows and columns cannot be recorded on a GPU");
  }
  const std::int64_t count = std::min(args.a.rows, args.a.cols);
  const std::int64_t length = std::max(args.a.rows, args.a.cols);
  const bool vectors = args.u.data != nullptr || args.v.data != nullptr || args.left != nullptr;
  const cusolverEigMode_t mode = vectors ? CUSOLVER_EIG_MODE_VECTOR : CUSOLVER_EIG_MODE_NOVECTOR;
  const Buffer<double> a(device, length * count);
  const Buffer<double> values(device, count);
  const Buffer<double> left(device, vectors ? length * count : 1);
  const Buffer<double> right(device, vectors ? count * count : 1);
  const Buffer<int> marks(device, 2);
  LibraryMatrix m{
      0,           length,       count,        args.a.rows < args.a.cols, a.data(), values.data(),
      left.data(), right.data(), marks.data(), marks.data() + 1};
  const GesvdjInfo settings(args.max_sweeps);
  const int rows = static_cast<int>(length);
  const int cols = static_cast<int>(count);
  int work_size = 0;
  check(cusolverDnDgesvdj_bufferSize(device.cusolver(), mode, 1, rows, cols, m.a, rows, m.values,
                                     m.left, rows, m.right, cols, &work_size, settings.get()),
        name);
  const Buffer<double> work(device, work_size);
  const ForEach for_each(device);
  for (; m.slot < args.a.slots; ++m.slot) {
    launch(device, name, find_not_finite_kernel<T>, dim3(1), dim3(library_threads), 0, args, m);
    for_each(name, 1, length * count, [=] MF_KERNEL(std::int64_t, std::int64_t i) {
      const std::int64_t along = i % length;
      const std::int64_t column = i / length;
      const std::int64_t r = m.transposed ? column : along;
      const std::int64_t c = m.transposed ? along : column;
      const double entry = args.a.slot(m.slot)[r * args.a.row_stride + c];
      m.a[i] = *m.bad != 0 ? 0 : entry;
    });
    check(cusolverDnDgesvdj(device.cusolver(), mode, 1, rows, cols, m.a, rows, m.values, m.left,
                            rows, m.right, cols, work.data(), work_size, m.info, settings.get()),
          name);
    launch(device, name, give_values_kernel<T>, dim3(static_cast<unsigned int>(count)),
           dim3(library_threads), 0, args, m);
  }
  check(cudaStreamSynchronize(device.stream()), name);  // then memory goes back
}

template <class T>
void singular_values(Executor& executor, const SingularValuesArgs<T>& args) {
  CudaExecutor& device = cuda(executor);
  if (std::min(args.a.rows, args.a.cols) > gpu_singular_columns) {
    singular_values_by_library(device, args);
    return;
  }
  const std::int64_t n = std::min(args.a.rows, args.a.cols);
  const std::int64_t length = std::max(args.a.rows, args.a.cols);
  const auto header = static_cast<std::size_t>(jacobi_header(n)) * sizeof(double);
  const std::size_t whole = header + static_cast<std::size_t>(n * length) * sizeof(double);
  const bool in_shared = whole <= device.shared_memory();
  // Lanes a pair: about one per 4 elements; as many groups as a round has pairs, up to 256 threads.
  const int lanes = length <= 32 ? 8 : length <= 64 ? 16 : 32;
  const std::int64_t wanted = ((n + 1) / 2 * lanes + 31) / 32 * 32;
  const dim3 block(static_cast<unsigned int>(std::min<std::int64_t>(wanted, 256)));
  const dim3 grid(static_cast<unsigned int>(args.a.slots));
  const auto kernel = lanes == 8    ? singular_values_kernel<T, 8>
                      : lanes == 16 ? singular_values_kernel<T, 16>
                                    : singular_values_kernel<T, 32>;
  launch(device, "singular_values", kernel, grid, block, in_shared ? whole : header, args,
         in_shared);
}
template void singular_values(Executor&, const SingularValuesArgs<float>&);
template void singular_values(Executor&, const SingularValuesArgs<double>&);

}  // namespace manyfold::kernels::cuda
