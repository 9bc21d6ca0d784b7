// Eigenvalues of symmetric matrices on a GPU: cyclic Jacobi of small ones, a thread or a warp a
// slot; cuSOLVER for larger ones, in chunks of slots that fit the memory.
// kernels/common/eigen_methods.hpp says which is which, kernels/common/symmetric_jacobi.hpp has the
// formulas.
#include <algorithm>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include <float.h>

#include "core/executor/memory.hpp"
#include "kernels/common/eigen_methods.hpp"
#include "kernels/common/symmetric_jacobi.hpp"
#include "kernels/cuda/for_each.cuh"
#include "kernels/cuda/operations.cuh"
#include "kernels/cuda/reduce.cuh"

namespace manyfold::kernels::cuda {

/// Entry (r, c) of a slot, by its lower triangle.
template <class T>
__device__ inline double symmetric_entry(const T* a, std::int64_t row_stride, std::int64_t r,
                                         std::int64_t c) {
  return r >= c ? a[r * row_stride + c] : a[c * row_stride + r];
}

/// Where a slot's values go: the place in `values` of the i-th of all, ascending; -1: nowhere.
template <class T>
__device__ inline std::int64_t eigen_place(const SymmetricEigenvaluesArgs<T>& args,
                                           std::int64_t i) {
  const std::int64_t n = args.a.rows;
  if (args.which == Eigenvalues::all) return i;
  if (args.which == Eigenvalues::least) return i == 0 ? 0 : -1;
  if (i < args.count) return i;
  return i >= n - args.count ? i - n + 2 * args.count : -1;
}

template <class T>
__device__ inline void give_status(const SymmetricEigenvaluesArgs<T>& args, std::int64_t slot,
                                   EigenStatus status, double bound) {
  if (args.status != nullptr) args.status[slot] = static_cast<std::int32_t>(status);
  if (args.bounds != nullptr) args.bounds[slot] = bound;
}

// ---- A thread a slot

template <class T>
__device__ void tiny_eigenvalues(const SymmetricEigenvaluesArgs<T>& args, std::int64_t slot) {
  constexpr int largest_n = eigen_thread_rows - 1;
  const int n = static_cast<int>(args.a.rows);
  const T* entries = args.a.slot(slot);
  double* values = args.values + slot * args.values_stride;
  double* vector =
      args.least_vector != nullptr ? args.least_vector + slot * args.least_vector_stride : nullptr;
  double a[largest_n * largest_n];
  double vectors[largest_n * largest_n];
  double largest = 0;
  bool finite = true;
  for (int i = 0; i < n * n; ++i) {
    a[i] = symmetric_entry(entries, args.a.row_stride, i / n, i % n);
    finite = finite && fabs(a[i]) <= DBL_MAX;
    largest = fmax(largest, fabs(a[i]));
  }
  if (!finite) {
    const std::int64_t kept = eigenvalues_kept(args.which, n, args.count);
    for (std::int64_t i = 0; i < kept; ++i) values[i] = nan("");
    for (int i = 0; vector != nullptr && i < n; ++i) vector[i] = nan("");
    give_status(args, slot, EigenStatus::not_finite, nan(""));
    return;
  }
  const int exponent = largest > 0 ? exponent_of(largest) : 0;
  double norm = 0;
  for (int r = 0; r < n; ++r) {
    double sum = 0;
    for (int c = 0; c < n; ++c) {
      a[r * n + c] = scale_by_power(a[r * n + c], -exponent);
      sum += fabs(a[r * n + c]);
    }
    norm = fmax(norm, sum);
  }
  double bound = eigen_bound(n, norm);
  EigenStatus status = EigenStatus::fine;
  if (!symmetric_jacobi(a, n, vector != nullptr ? vectors : nullptr, args.max_sweeps)) {
    status = EigenStatus::not_converged;
    bound += outside_diagonal(a, n);
  }
  for (int j = 0; j < n; ++j) {
    const double value = a[j * n + j];
    int rank = 0;
    for (int i = 0; i < n; ++i) {
      const double other = a[i * n + i];
      if (other < value || (other == value && i < j)) ++rank;
    }
    const std::int64_t place = eigen_place(args, rank);
    if (place >= 0) values[place] = scale_by_power(value, exponent);
    if (rank > 0 || vector == nullptr) continue;
    double squares = 0;
    for (int r = 0; r < n; ++r) {
      double sum = -value * vectors[j * n + r];
      for (int c = 0; c < n; ++c) {
        const double entry = symmetric_entry(entries, args.a.row_stride, r, c);
        sum += scale_by_power(entry, -exponent) * vectors[j * n + c];
      }
      squares += sum * sum;
      vector[r] = vectors[j * n + r];
    }
    bound = fmax(bound, sqrt(squares));
  }
  give_status(args, slot, status, scale_by_power(bound, exponent));
}

// ---- A warp a slot

/// Shared memory of a warp.
struct WarpJacobi {
  double* a;                    // (n, n)
  double* vectors;              // (n, n), rows, where one is wanted
  SymmetricRotation* rotation;  // one a pair
};

__host__ __device__ constexpr std::int64_t warp_jacobi_bytes(std::int64_t n, bool vectors) {
  return (vectors ? 2 : 1) * n * n * static_cast<std::int64_t>(sizeof(double)) +
         n / 2 * static_cast<std::int64_t>(sizeof(SymmetricRotation));
}

/// One round of pairs, which share no row or column: all rotations at once. The largest entry that
/// was worth one, 0 for none; in the lane of its pair.
__device__ inline double rotate_round(const WarpJacobi& shared, int n, int round) {
  const int lane = static_cast<int>(threadIdx.x);
  const JacobiPair own = jacobi_pair(n, round, lane);
  double app = 0;
  double aqq = 0;
  double apq = 0;
  bool rotates = false;
  if (own.present) {
    app = shared.a[own.p * n + own.p];
    aqq = shared.a[own.q * n + own.q];
    apq = shared.a[own.p * n + own.q];
    rotates = couples(app, aqq, apq);
    shared.rotation[lane] = rotates ? symmetric_rotation(app, aqq, apq) : SymmetricRotation{};
  }
  const unsigned int wanted = __ballot_sync(0xffffffffu, rotates);
  if (wanted == 0) return 0;
  // A lane has a column of A and of the vectors, then a row of A.
  for (int pair = 0; lane < n && pair < n / 2; ++pair) {
    if ((wanted >> pair & 1u) == 0) continue;
    const JacobiPair it = jacobi_pair(n, round, pair);
    rotate_pair(shared.rotation[pair], shared.a[it.p * n + lane], shared.a[it.q * n + lane]);
    if (shared.vectors == nullptr) continue;
    rotate_pair(shared.rotation[pair], shared.vectors[it.p * n + lane],
                shared.vectors[it.q * n + lane]);
  }
  __syncwarp();
  for (int pair = 0; lane < n && pair < n / 2; ++pair) {
    if ((wanted >> pair & 1u) == 0) continue;
    const JacobiPair it = jacobi_pair(n, round, pair);
    rotate_pair(shared.rotation[pair], shared.a[lane * n + it.p], shared.a[lane * n + it.q]);
  }
  __syncwarp();
  if (rotates) {
    const double shift = shared.rotation[lane].shift;
    shared.a[own.p * n + own.p] = app - shift;
    shared.a[own.q * n + own.q] = aqq + shift;
    shared.a[own.p * n + own.q] = 0;
    shared.a[own.q * n + own.p] = 0;
  }
  __syncwarp();
  return rotates ? fabs(apq) : 0;
}

template <class T>
__global__ void warp_eigenvalues_kernel(SymmetricEigenvaluesArgs<T> args) {
  const std::int64_t slot = blockIdx.x;
  const int n = static_cast<int>(args.a.rows);
  const int lane = static_cast<int>(threadIdx.x);
  const T* entries = args.a.slot(slot);
  double* values = args.values + slot * args.values_stride;
  double* vector =
      args.least_vector != nullptr ? args.least_vector + slot * args.least_vector_stride : nullptr;
  WarpJacobi shared;
  shared.a = dynamic_shared<double>();
  shared.vectors = vector != nullptr ? shared.a + n * n : nullptr;
  shared.rotation =
      reinterpret_cast<SymmetricRotation*>(shared.a + (vector != nullptr ? 2 : 1) * n * n);

  double largest = 0;
  bool finite = true;
  for (int i = lane; i < n * n; i += 32) {
    const double entry = symmetric_entry(entries, args.a.row_stride, i / n, i % n);
    finite = finite && fabs(entry) <= DBL_MAX;
    largest = fmax(largest, fabs(entry));
  }
  if (__any_sync(0xffffffffu, finite ? 0 : 1) != 0) {
    const std::int64_t kept = eigenvalues_kept(args.which, n, args.count);
    for (std::int64_t i = lane; i < kept; i += 32) values[i] = nan("");
    if (vector != nullptr && lane < n) vector[lane] = nan("");
    if (lane == 0) give_status(args, slot, EigenStatus::not_finite, nan(""));
    return;
  }
  largest = group_max<32>(largest);
  const int exponent = largest > 0 ? exponent_of(largest) : 0;
  for (int i = lane; i < n * n; i += 32) {
    const double entry = symmetric_entry(entries, args.a.row_stride, i / n, i % n);
    shared.a[i] = scale_by_power(entry, -exponent);
    if (shared.vectors != nullptr) shared.vectors[i] = i % (n + 1) == 0 ? 1 : 0;
  }
  __syncwarp();
  double sum = 0;
  for (int c = 0; lane < n && c < n; ++c) sum += fabs(shared.a[c * n + lane]);
  double bound = eigen_bound(n, group_max<32>(sum));

  double met = 1;
  for (int sweep = 0; met > 0 && sweep < args.max_sweeps; ++sweep) {
    double mine = 0;
    for (int round = 0; round < n; ++round) mine = fmax(mine, rotate_round(shared, n, round));
    met = group_max<32>(mine);
  }
  const bool converged = met <= symmetric_jacobi_rounding;
  if (!converged) {
    double squares = 0;
    for (int c = 0; lane < n && c < n; ++c) {
      if (c != lane) squares += shared.a[lane * n + c] * shared.a[lane * n + c];
    }
    bound += sqrt(group_sum<32>(squares));
  }

  int rank = -1;
  double value = 0;
  if (lane < n) {
    value = shared.a[lane * n + lane];
    rank = 0;
    for (int i = 0; i < n; ++i) {
      const double other = shared.a[i * n + i];
      if (other < value || (other == value && i < lane)) ++rank;
    }
    const std::int64_t place = eigen_place(args, rank);
    if (place >= 0) values[place] = scale_by_power(value, exponent);
  }
  if (vector != nullptr) {
    const int least = __ffs(static_cast<int>(__ballot_sync(0xffffffffu, rank == 0))) - 1;
    const double* v = shared.vectors + least * n;
    double rest = 0;
    if (lane < n) {
      rest = -shared.a[least * n + least] * v[lane];
      for (int c = 0; c < n; ++c) {
        const double entry = symmetric_entry(entries, args.a.row_stride, lane, c);
        rest += scale_by_power(entry, -exponent) * v[c];
      }
      vector[lane] = v[lane];
    }
    bound = fmax(bound, sqrt(group_sum<32>(rest * rest)));
  }
  if (lane == 0) {
    give_status(args, slot, converged ? EigenStatus::fine : EigenStatus::not_converged,
                scale_by_power(bound, exponent));
  }
}

// ---- cuSOLVER

constexpr int row_threads = 128;
constexpr int not_finite_exponent = INT32_MAX;
/// cusolverDnXsyevBatched fails above some 32 thousand matrices; and their entries are counted by
/// an int.
constexpr std::int64_t largest_batch = 16'384;
constexpr std::int64_t most_entries = INT32_MAX;

/// What is known of the slots of a chunk, and the matrices that cuSOLVER works on.
struct EigenChunk {
  std::int64_t first = 0;  ///< slot
  std::int64_t slots = 0;
  std::int64_t n = 0;
  double* matrices = nullptr;  ///< (slot, n, n): scaled, then vectors
  double* values = nullptr;    ///< (slot, n)
  double* rows = nullptr;      ///< (slot, n): one number a row
  double* norms = nullptr;     ///< (slot)
  int* exponents = nullptr;    ///< (slot); not_finite_exponent: of no use
  int* infos = nullptr;        ///< (slot): cuSOLVER's
};

/// Largest of a block's numbers, NaN where one is not finite, in thread 0. All threads call, once.
__device__ inline double block_largest(double value, bool finite) {
  __shared__ double partial[row_threads / 32];
  const int bad = __syncthreads_or(finite ? 0 : 1);
  value = group_max<32>(finite ? value : 0);
  if (threadIdx.x % 32 == 0) partial[threadIdx.x / 32] = value;
  __syncthreads();
  double largest = 0;
  for (int w = 0; w < row_threads / 32; ++w) largest = fmax(largest, partial[w]);
  return bad != 0 ? nan("") : largest;
}

/// rows <- the largest entry of each row of the lower triangle, NaN where one is not finite.
template <class T>
__global__ void row_maxima_kernel(SymmetricEigenvaluesArgs<T> args, EigenChunk chunk) {
  const std::int64_t slot = blockIdx.x / chunk.n;
  const std::int64_t r = blockIdx.x % chunk.n;
  const T* row = args.a.slot(chunk.first + slot) + r * args.a.row_stride;
  double largest = 0;
  bool finite = true;
  for (std::int64_t c = threadIdx.x; c <= r; c += row_threads) {
    const double size = fabs(static_cast<double>(row[c]));
    finite = finite && size <= DBL_MAX;
    largest = fmax(largest, size);
  }
  largest = block_largest(largest, finite);
  if (threadIdx.x == 0) chunk.rows[blockIdx.x] = largest;
}

/// norms <- the largest of each slot's rows.
__global__ void slot_maxima_kernel(EigenChunk chunk) {
  const std::int64_t slot = blockIdx.x;
  double largest = 0;
  bool finite = true;
  for (std::int64_t r = threadIdx.x; r < chunk.n; r += row_threads) {
    const double size = chunk.rows[slot * chunk.n + r];
    finite = finite && size <= DBL_MAX;
    largest = fmax(largest, size);
  }
  largest = block_largest(largest, finite);
  if (threadIdx.x == 0) chunk.norms[slot] = largest;
}

/// rows <- sums of absolute values of the rows of the scaled matrices.
__global__ void row_sums_kernel(EigenChunk chunk) {
  const std::int64_t slot = blockIdx.x / chunk.n;
  const std::int64_t r = blockIdx.x % chunk.n;
  const double* a = chunk.matrices + slot * chunk.n * chunk.n;
  double sum = 0;
  for (std::int64_t c = threadIdx.x; c < chunk.n; c += row_threads) {
    sum += fabs(symmetric_entry(a, chunk.n, r, c));
  }
  sum = block_sum<row_threads>(sum);
  if (threadIdx.x == 0) chunk.rows[blockIdx.x] = sum;
}

/// rows <- entries of A v - l v, of the scaled A and its first vector.
template <class T>
__global__ void row_residuals_kernel(SymmetricEigenvaluesArgs<T> args, EigenChunk chunk) {
  const std::int64_t slot = blockIdx.x / chunk.n;
  const std::int64_t r = blockIdx.x % chunk.n;
  const T* a = args.a.slot(chunk.first + slot);
  const double* v = chunk.matrices + slot * chunk.n * chunk.n;
  double sum = 0;
  for (std::int64_t c = threadIdx.x; c < chunk.n; c += row_threads) {
    const double entry = symmetric_entry(a, args.a.row_stride, r, c);
    sum += scale_by_power(entry, -chunk.exponents[slot]) * v[c];
  }
  sum = block_sum<row_threads>(sum);
  if (threadIdx.x == 0) {
    chunk.rows[blockIdx.x] = sum - chunk.values[slot * chunk.n] * v[r];
  }
}

template <class T>
__global__ void give_results_kernel(SymmetricEigenvaluesArgs<T> args, EigenChunk chunk) {
  const std::int64_t at = blockIdx.x;
  const std::int64_t slot = chunk.first + at;
  const std::int64_t n = chunk.n;
  double* values = args.values + slot * args.values_stride;
  const double norm = chunk.norms[at];
  const bool finite = norm <= DBL_MAX;
  const int exponent = chunk.exponents[at];
  for (std::int64_t i = threadIdx.x; i < n; i += row_threads) {
    const std::int64_t place = eigen_place(args, i);
    if (place < 0) continue;
    values[place] = finite ? scale_by_power(chunk.values[at * n + i], exponent) : nan("");
  }
  double squares = 0;
  if (args.least_vector != nullptr) {
    for (std::int64_t i = threadIdx.x; i < n; i += row_threads) {
      args.least_vector[slot * args.least_vector_stride + i] =
          finite ? chunk.matrices[at * n * n + i] : nan("");
      squares += chunk.rows[at * n + i] * chunk.rows[at * n + i];
    }
  }
  squares = block_sum<row_threads>(squares);
  if (threadIdx.x != 0) return;
  const EigenStatus status = !finite                ? EigenStatus::not_finite
                             : chunk.infos[at] != 0 ? EigenStatus::not_converged
                                                    : EigenStatus::fine;
  double bound = fmax(eigen_bound(n, norm), sqrt(squares));
  if (status == EigenStatus::not_converged) bound = fmax(bound, norm);
  give_status(args, slot, status, finite ? scale_by_power(bound, exponent) : nan(""));
}

/// Scaled copies of a chunk's matrices, zeros for those that are not finite, and their norms.
template <class T>
void load_chunk(CudaExecutor& device, const SymmetricEigenvaluesArgs<T>& args,
                const EigenChunk& chunk) {
  const auto rows = static_cast<unsigned int>(chunk.slots * chunk.n);
  const auto slots = static_cast<unsigned int>(chunk.slots);
  const ForEach for_each(device);
  launch(device, "symmetric_eigenvalues", row_maxima_kernel<T>, dim3(rows), dim3(row_threads), 0,
         args, chunk);
  launch(device, "symmetric_eigenvalues", slot_maxima_kernel, dim3(slots), dim3(row_threads), 0,
         chunk);
  for_each("symmetric_eigenvalues", chunk.slots, 1, [=] MF_KERNEL(std::int64_t slot, std::int64_t) {
    const double largest = chunk.norms[slot];
    chunk.exponents[slot] = !(largest <= DBL_MAX) ? not_finite_exponent
                            : largest > 0         ? exponent_of(largest)
                                                  : 0;
  });
  for_each("symmetric_eigenvalues", chunk.slots, chunk.n * chunk.n,
           [=] MF_KERNEL(std::int64_t slot, std::int64_t i) {
             const std::int64_t r = i / chunk.n;
             const std::int64_t c = i % chunk.n;
             const int exponent = chunk.exponents[slot];
             double& out = chunk.matrices[slot * chunk.n * chunk.n + i];
             out = 0;
             if (c > r || exponent == not_finite_exponent) return;
             const T* a = args.a.slot(chunk.first + slot);
             out = scale_by_power(static_cast<double>(a[r * args.a.row_stride + c]), -exponent);
           });
  launch(device, "symmetric_eigenvalues", row_sums_kernel, dim3(rows), dim3(row_threads), 0, chunk);
  launch(device, "symmetric_eigenvalues", slot_maxima_kernel, dim3(slots), dim3(row_threads), 0,
         chunk);
  for_each("symmetric_eigenvalues", chunk.slots, 1, [=] MF_KERNEL(std::int64_t slot, std::int64_t) {
    if (chunk.exponents[slot] == not_finite_exponent) chunk.norms[slot] = HUGE_VAL;
  });
}

class SolverParams {
 public:
  SolverParams() { check(cusolverDnCreateParams(&params_), "starting cuSOLVER"); }
  SolverParams(const SolverParams&) = delete;
  SolverParams& operator=(const SolverParams&) = delete;
  ~SolverParams() { (void)cusolverDnDestroyParams(params_); }
  cusolverDnParams_t get() const { return params_; }

 private:
  cusolverDnParams_t params_ = nullptr;
};

/// What cuSOLVER asked to work in; goes back when the device is done with it.
class SolverWorkspace {
 public:
  SolverWorkspace(CudaExecutor& device, std::size_t on_device, std::size_t on_host)
      : executor_(device), device_(device, static_cast<std::int64_t>(on_device)), host_(on_host) {}
  SolverWorkspace(const SolverWorkspace&) = delete;
  SolverWorkspace& operator=(const SolverWorkspace&) = delete;
  ~SolverWorkspace() {
    complain(cudaStreamSynchronize(executor_.stream()), "waiting for cuSOLVER");
  }
  void* on_device() const { return device_.data(); }
  std::size_t device_bytes() const { return device_.bytes(); }
  void* on_host() { return host_.data(); }
  std::size_t host_bytes() const { return host_.size(); }

 private:
  CudaExecutor& executor_;
  Buffer<unsigned char> device_;
  std::vector<unsigned char> host_;
};

constexpr cublasFillMode_t stored = CUBLAS_FILL_MODE_UPPER;  // a lower triangle by rows, by columns

void solve_batched(CudaExecutor& device, const EigenChunk& chunk, cusolverEigMode_t mode) {
  const SolverParams params;
  const std::int64_t n = chunk.n;
  std::size_t on_device = 0;
  std::size_t on_host = 0;
  check(cusolverDnXsyevBatched_bufferSize(device.cusolver(), params.get(), mode, stored, n,
                                          CUDA_R_64F, chunk.matrices, n, CUDA_R_64F, chunk.values,
                                          CUDA_R_64F, &on_device, &on_host, chunk.slots),
        "symmetric_eigenvalues");
  SolverWorkspace work(device, on_device, on_host);
  check(cusolverDnXsyevBatched(device.cusolver(), params.get(), mode, stored, n, CUDA_R_64F,
                               chunk.matrices, n, CUDA_R_64F, chunk.values, CUDA_R_64F,
                               work.on_device(), work.device_bytes(), work.on_host(),
                               work.host_bytes(), chunk.infos, chunk.slots),
        "symmetric_eigenvalues");
}

/// All values of one matrix, or the least.
void solve_single(CudaExecutor& device, const EigenChunk& chunk, cusolverEigMode_t mode,
                  Eigenvalues which) {
  const SolverParams params;
  const std::int64_t n = chunk.n;
  const cusolverEigRange_t range =
      which == Eigenvalues::least ? CUSOLVER_EIG_RANGE_I : CUSOLVER_EIG_RANGE_ALL;
  const std::int64_t last = which == Eigenvalues::least ? 1 : n;
  double unused[2] = {0, 0};  // bounds of a range by values
  std::int64_t found = 0;
  std::size_t on_device = 0;
  std::size_t on_host = 0;
  check(cusolverDnXsyevdx_bufferSize(device.cusolver(), params.get(), mode, range, stored, n,
                                     CUDA_R_64F, chunk.matrices, n, unused, unused + 1, 1, last,
                                     &found, CUDA_R_64F, chunk.values, CUDA_R_64F, &on_device,
                                     &on_host),
        "symmetric_eigenvalues");
  SolverWorkspace work(device, on_device, on_host);
  check(cusolverDnXsyevdx(device.cusolver(), params.get(), mode, range, stored, n, CUDA_R_64F,
                          chunk.matrices, n, unused, unused + 1, 1, last, &found, CUDA_R_64F,
                          chunk.values, CUDA_R_64F, work.on_device(), work.device_bytes(),
                          work.on_host(), work.host_bytes(), chunk.infos),
        "symmetric_eigenvalues");
}

template <class T>
void by_library(CudaExecutor& device, const SymmetricEigenvaluesArgs<T>& args, bool batched) {
  cudaStreamCaptureStatus capturing = cudaStreamCaptureStatusNone;
  check(cudaStreamIsCapturing(device.stream(), &capturing), "symmetric_eigenvalues");
  if (capturing != cudaStreamCaptureStatusNone) {
    throw std::logic_error("symmetric_eigenvalues of matrices with more than " +
                           std::to_string(eigen_jacobi_rows) + " rows cannot be recorded on a GPU");
  }
  const std::int64_t n = args.a.rows;
  const std::size_t left = device.device().memory_budget - device.allocated();
  const auto fitting = static_cast<std::int64_t>(left / 4 / sizeof(double)) / (n * n);
  const std::int64_t longest =
      batched ? std::max<std::int64_t>(
                    1, std::min({args.a.slots, largest_batch, most_entries / (n * n), fitting}))
              : 1;
  const Buffer<double> matrices(device, longest * n * n);
  const Buffer<double> values(device, longest * n);
  const Buffer<double> rows(device, longest * n);
  const Buffer<double> norms(device, longest);
  const Buffer<int> exponents(device, longest);
  const Buffer<int> infos(device, longest);
  const cusolverEigMode_t mode =
      args.least_vector != nullptr ? CUSOLVER_EIG_MODE_VECTOR : CUSOLVER_EIG_MODE_NOVECTOR;
  EigenChunk chunk{0,
                   0,
                   n,
                   matrices.data(),
                   values.data(),
                   rows.data(),
                   norms.data(),
                   exponents.data(),
                   infos.data()};
  for (; chunk.first < args.a.slots; chunk.first += longest) {
    chunk.slots = std::min(longest, args.a.slots - chunk.first);
    load_chunk(device, args, chunk);
    if (batched) {
      solve_batched(device, chunk, mode);
    } else {
      solve_single(device, chunk, mode, args.which);
    }
    if (args.least_vector != nullptr) {
      launch(device, "symmetric_eigenvalues", row_residuals_kernel<T>,
             dim3(static_cast<unsigned int>(chunk.slots * n)), dim3(row_threads), 0, args, chunk);
    }
    launch(device, "symmetric_eigenvalues", give_results_kernel<T>,
           dim3(static_cast<unsigned int>(chunk.slots)), dim3(row_threads), 0, args, chunk);
  }
  check(cudaStreamSynchronize(device.stream()), "symmetric_eigenvalues");  // then memory goes back
}

template <class T>
void symmetric_eigenvalues(Executor& executor, const SymmetricEigenvaluesArgs<T>& args) {
  CudaExecutor& device = cuda(executor);
  const std::int64_t n = args.a.rows;
  const EigenMethod method = eigen_method(gpu_eigen_choices, args.which, n);
  if (method != EigenMethod::jacobi) {
    by_library(device, args, method == EigenMethod::batched && args.a.slots > 1);
  } else if (n < eigen_thread_rows) {
    const ForEach for_each(executor);
    for_each("symmetric_eigenvalues", args.a.slots, 1,
             [=] MF_KERNEL(std::int64_t slot, std::int64_t) { tiny_eigenvalues(args, slot); });
  } else {
    const auto shared =
        static_cast<std::size_t>(warp_jacobi_bytes(n, args.least_vector != nullptr));
    launch(device, "symmetric_eigenvalues", warp_eigenvalues_kernel<T>,
           dim3(static_cast<unsigned int>(args.a.slots)), dim3(32), shared, args);
  }
}
template void symmetric_eigenvalues(Executor&, const SymmetricEigenvaluesArgs<float>&);
template void symmetric_eigenvalues(Executor&, const SymmetricEigenvaluesArgs<double>&);

}  // namespace manyfold::kernels::cuda
