// cuSOLVER's dense functions carried out by LAPACK, in the order of the handle's stream.
//
// Device workspace that a caller passes is overwritten with garbage, so that one which is too small
// or in use elsewhere shows. Limits of the real library that a caller may run into (32 x 32
// matrices in gesvdjBatched, m >= n in gesvd) are kept; its rounding errors are not.
#include <algorithm>
#include <cstring>

#include "block.hpp"
#include "cusolverDn.h"
#include "runtime.hpp"
#include <lapacke.h>

struct cusolverDnContext {
  cudaStream_t stream = nullptr;
  cusolverDeterministicMode_t mode = CUSOLVER_DETERMINISTIC_RESULTS;
};

struct cusolverDnParams {};

struct gesvdjInfo {
  double tolerance = 0.0;
  int max_sweeps = 100;
  int sort = 1;
};

struct syevjInfo {
  double tolerance = 0.0;
  int max_sweeps = 100;
  int sort = 1;
};

namespace emulation::detail {
namespace {

cusolverStatus_t status_of(cudaError_t error) {
  switch (error) {
    case cudaSuccess:
      return CUSOLVER_STATUS_SUCCESS;
    case cudaErrorMemoryAllocation:
      return CUSOLVER_STATUS_ALLOC_FAILED;
    case cudaErrorInsufficientDriver:
      return CUSOLVER_STATUS_NOT_INITIALIZED;
    default:
      return CUSOLVER_STATUS_EXECUTION_FAILED;
  }
}

// LAPACKE refuses matrices with NaN unless told not to look; the real library computes.
class WithoutNanCheck {
 public:
  WithoutNanCheck() : before_(LAPACKE_get_nancheck()) { LAPACKE_set_nancheck(0); }
  ~WithoutNanCheck() { LAPACKE_set_nancheck(before_); }
  WithoutNanCheck(const WithoutNanCheck&) = delete;
  WithoutNanCheck& operator=(const WithoutNanCheck&) = delete;

 private:
  int before_;
};

cusolverStatus_t queue(cusolverDnHandle_t handle, const char* name,
                       const std::vector<const void*>& pointers, std::function<void()> work,
                       bool wait = false) {
  return status_of(enqueue_library(
      handle->stream, name, pointers,
      [work = std::move(work)] {
        const WithoutNanCheck guard;
        work();
      },
      wait));
}

void scribble(void* workspace, std::size_t bytes) {
  if (workspace != nullptr) std::memset(workspace, garbage_pattern, bytes);
}

#define EMULATION_LAPACK(name)               \
  template <typename... Arguments>           \
  int name(float, Arguments... arguments) {  \
    return LAPACKE_s##name(arguments...);    \
  }                                          \
  template <typename... Arguments>           \
  int name(double, Arguments... arguments) { \
    return LAPACKE_d##name(arguments...);    \
  }
EMULATION_LAPACK(syevd)
EMULATION_LAPACK(syevr)
EMULATION_LAPACK(gesvd)
EMULATION_LAPACK(potrf)
EMULATION_LAPACK(potrs)
EMULATION_LAPACK(geqrf)
EMULATION_LAPACK(orgqr)
EMULATION_LAPACK(ormqr)
EMULATION_LAPACK(getrf)
EMULATION_LAPACK(getrs)
#undef EMULATION_LAPACK

char letter(cublasFillMode_t uplo) { return uplo == CUBLAS_FILL_MODE_LOWER ? 'L' : 'U'; }
char letter(cusolverEigMode_t mode) { return mode == CUSOLVER_EIG_MODE_VECTOR ? 'V' : 'N'; }
char letter(cublasOperation_t operation) { return operation == CUBLAS_OP_N ? 'N' : 'T'; }
char letter(cublasSideMode_t side) { return side == CUBLAS_SIDE_LEFT ? 'L' : 'R'; }

// A function object for each precision: calls it with a value of the type.
template <typename Call>
cusolverStatus_t with_type(cudaDataType type, Call&& call) {
  switch (type) {
    case CUDA_R_32F:
      return call(float{});
    case CUDA_R_64F:
      return call(double{});
    default:
      return CUSOLVER_STATUS_NOT_SUPPORTED;
  }
}

bool fits_int(std::int64_t value) { return value >= 0 && value <= 0x7fffffff; }

// ---- Workspace sizes: of the order of what the real library asks for.

std::size_t work_elements(std::int64_t rows, std::int64_t columns) {
  return static_cast<std::size_t>(std::max<std::int64_t>(1, 32 * (rows + columns)));
}

cusolverStatus_t give_elements(int* out, std::int64_t rows, std::int64_t columns) {
  if (out == nullptr || rows < 0 || columns < 0) return CUSOLVER_STATUS_INVALID_VALUE;
  *out = static_cast<int>(work_elements(rows, columns));
  return CUSOLVER_STATUS_SUCCESS;
}

std::size_t size_of(cudaDataType type) { return type == CUDA_R_32F ? 4 : 8; }

cusolverStatus_t give_bytes(cudaDataType type, std::size_t* device, std::size_t* host,
                            std::int64_t rows, std::int64_t columns, std::int64_t count = 1) {
  if (device == nullptr || host == nullptr || !fits_int(rows) || !fits_int(columns) || count < 0) {
    return CUSOLVER_STATUS_INVALID_VALUE;
  }
  if (type != CUDA_R_32F && type != CUDA_R_64F) return CUSOLVER_STATUS_NOT_SUPPORTED;
  *device = work_elements(rows, columns) * size_of(type) *
            static_cast<std::size_t>(std::max<std::int64_t>(count, 1));
  *host = 0;
  return CUSOLVER_STATUS_SUCCESS;
}

bool enough(const void* workspace, std::size_t given, std::size_t needed) {
  return workspace != nullptr && given >= needed;
}

// ---- Symmetric eigenproblems

template <typename T>
cusolverStatus_t eigen_of(cusolverDnHandle_t handle, const char* name, cusolverEigMode_t jobz,
                          cublasFillMode_t uplo, int n, T* a, int lda, T* w, void* workspace,
                          std::size_t workspace_bytes, int* info, std::int64_t count) {
  if (n < 0 || lda < std::max(1, n) || count < 0) return CUSOLVER_STATUS_INVALID_VALUE;
  if (n == 0 || count == 0) return CUSOLVER_STATUS_SUCCESS;
  return queue(handle, name, {a, w, workspace, info}, [=] {
    scribble(workspace, workspace_bytes);
    for (std::int64_t i = 0; i < count; ++i) {
      info[i] = syevd(T{}, LAPACK_COL_MAJOR, letter(jobz), letter(uplo), n, a + i * lda * n, lda,
                      w + i * n);
    }
  });
}

// The eigenvalues in a range; eigenvectors take the place of the first columns of A.
template <typename T>
int eigen_range(cusolverEigMode_t jobz, cusolverEigRange_t range, cublasFillMode_t uplo, int n,
                T* a, int lda, T lower, T upper, int first, int last, T* w, int* found) {
  std::vector<T> vectors(static_cast<std::size_t>(n) * static_cast<std::size_t>(n));
  std::vector<int> support(2 * static_cast<std::size_t>(n));
  std::vector<T> values(static_cast<std::size_t>(n));
  const char kind = range == CUSOLVER_EIG_RANGE_ALL ? 'A'
                    : range == CUSOLVER_EIG_RANGE_I ? 'I'
                                                    : 'V';
  const int info =
      syevr(T{}, LAPACK_COL_MAJOR, letter(jobz), kind, letter(uplo), n, a, lda, lower, upper, first,
            last, T{0}, found, values.data(), vectors.data(), n, support.data());
  std::copy_n(values.data(), *found, w);
  if (jobz == CUSOLVER_EIG_MODE_VECTOR) {
    for (int column = 0; column < *found; ++column) {
      std::copy_n(vectors.data() + static_cast<std::ptrdiff_t>(column) * n, n,
                  a + static_cast<std::ptrdiff_t>(column) * lda);
    }
  }
  return info;
}

// ---- Singular values

template <typename T>
cusolverStatus_t gesvdj_batched(cusolverDnHandle_t handle, cusolverEigMode_t jobz, int m, int n,
                                T* a, int lda, T* s, T* u, int ldu, T* v, int ldv, T* work,
                                int lwork, int* info, gesvdjInfo_t params, int count) {
  if (handle == nullptr) return CUSOLVER_STATUS_NOT_INITIALIZED;
  const bool vectors = jobz == CUSOLVER_EIG_MODE_VECTOR;
  if (m < 0 || n < 0 || m > 32 || n > 32 || lda < std::max(1, m) ||
      (vectors && (ldu < std::max(1, m) || ldv < std::max(1, n))) || count < 0 ||
      params == nullptr || work == nullptr || lwork < static_cast<int>(work_elements(m, n))) {
    return CUSOLVER_STATUS_INVALID_VALUE;
  }
  const bool sort = params->sort != 0;
  return queue(handle, "cusolver gesvdjBatched", {a, s, u, v, work, info}, [=] {
    scribble(work, static_cast<std::size_t>(lwork) * sizeof(T));
    const int least = std::min(m, n);
    std::vector<T> vt(static_cast<std::size_t>(n) * static_cast<std::size_t>(n));
    std::vector<T> unused(static_cast<std::size_t>(std::max(least, 1)));
    for (std::ptrdiff_t i = 0; i < count; ++i) {
      T* values = s + i * least;
      T* left = vectors ? u + i * ldu * m : nullptr;
      const char job = vectors ? 'A' : 'N';
      info[i] = gesvd(T{}, LAPACK_COL_MAJOR, job, job, m, n, a + i * lda * n, lda, values, left,
                      std::max(1, vectors ? ldu : m), vt.data(), std::max(1, n), unused.data());
      if (vectors) {
        T* right = v + i * ldv * n;
        for (std::ptrdiff_t row = 0; row < n; ++row) {
          for (std::ptrdiff_t column = 0; column < n; ++column) {
            right[row + column * ldv] = vt[static_cast<std::size_t>(column + row * n)];
          }
        }
      }
      // Unsorted results come in no promised order: reverse them, so that nobody relies on one.
      if (!sort && !vectors) std::reverse(values, values + least);
    }
  });
}

/// One matrix of any size; `econ` (min(m, n) vectors) is all that is carried out.
cusolverStatus_t gesvdj_of(cusolverDnHandle_t handle, cusolverEigMode_t jobz, int econ, int m,
                           int n, double* a, int lda, double* s, double* u, int ldu, double* v,
                           int ldv, double* work, int lwork, int* info, gesvdjInfo_t params) {
  if (handle == nullptr) return CUSOLVER_STATUS_NOT_INITIALIZED;
  const bool vectors = jobz == CUSOLVER_EIG_MODE_VECTOR;
  if (vectors && econ != 1) return CUSOLVER_STATUS_NOT_SUPPORTED;
  if (m < 0 || n < 0 || lda < std::max(1, m) ||
      (vectors && (ldu < std::max(1, m) || ldv < std::max(1, n))) || params == nullptr ||
      work == nullptr || lwork < static_cast<int>(work_elements(m, n))) {
    return CUSOLVER_STATUS_INVALID_VALUE;
  }
  return queue(handle, "cusolver gesvdj", {a, s, u, v, work, info}, [=] {
    scribble(work, static_cast<std::size_t>(lwork) * sizeof(double));
    const std::ptrdiff_t least = std::min(m, n);
    std::vector<double> vt(static_cast<std::size_t>(least * n));
    std::vector<double> unused(static_cast<std::size_t>(std::max<std::ptrdiff_t>(least, 1)));
    const char job = vectors ? 'S' : 'N';
    *info = gesvd(double{}, LAPACK_COL_MAJOR, job, job, m, n, a, lda, s, vectors ? u : nullptr,
                  std::max(1, vectors ? ldu : m), vt.data(),
                  static_cast<int>(std::max<std::ptrdiff_t>(1, least)), unused.data());
    for (std::ptrdiff_t row = 0; vectors && row < n; ++row) {
      for (std::ptrdiff_t column = 0; column < least; ++column) {
        v[row + column * ldv] = vt[static_cast<std::size_t>(column + row * least)];
      }
    }
  });
}

template <typename T>
cusolverStatus_t gesvd_of(cusolverDnHandle_t handle, signed char jobu, signed char jobvt, int m,
                          int n, T* a, int lda, T* s, T* u, int ldu, T* vt, int ldvt,
                          void* workspace, std::size_t workspace_bytes, int* info) {
  const auto valid_job = [](signed char job) {
    return job == 'A' || job == 'S' || job == 'O' || job == 'N';
  };
  const bool left = jobu == 'A' || jobu == 'S';
  const bool right = jobvt == 'A' || jobvt == 'S';
  if (!valid_job(jobu) || !valid_job(jobvt) || (jobu == 'O' && jobvt == 'O') || m < n || n < 0 ||
      lda < std::max(1, m) || (left && ldu < std::max(1, m)) || (right && ldvt < std::max(1, n)) ||
      !enough(workspace, workspace_bytes, work_elements(m, n) * sizeof(T))) {
    return CUSOLVER_STATUS_INVALID_VALUE;
  }
  return queue(handle, "cusolver gesvd", {a, s, u, vt, workspace, info}, [=] {
    scribble(workspace, workspace_bytes);
    std::vector<T> rest(static_cast<std::size_t>(std::max(n, 1)));
    *info = gesvd(T{}, LAPACK_COL_MAJOR, static_cast<char>(jobu), static_cast<char>(jobvt), m, n, a,
                  lda, s, left ? u : nullptr, std::max({1, m, ldu}), right ? vt : nullptr,
                  std::max({1, n, ldvt}), rest.data());
  });
}

// ---- Factorizations

template <typename T>
cusolverStatus_t potrf_of(cusolverDnHandle_t handle, cublasFillMode_t uplo, int n, T* a, int lda,
                          void* workspace, std::size_t workspace_bytes, int* info) {
  if (n < 0 || lda < std::max(1, n) ||
      !enough(workspace, workspace_bytes, work_elements(n, n) * sizeof(T))) {
    return CUSOLVER_STATUS_INVALID_VALUE;
  }
  return queue(handle, "cusolver potrf", {a, workspace, info}, [=] {
    scribble(workspace, workspace_bytes);
    *info = potrf(T{}, LAPACK_COL_MAJOR, letter(uplo), n, a, lda);
  });
}

template <typename T>
cusolverStatus_t potrf_batched(cusolverDnHandle_t handle, cublasFillMode_t uplo, int n, T** a,
                               int lda, int* info, int count) {
  if (handle == nullptr) return CUSOLVER_STATUS_NOT_INITIALIZED;
  if (n < 0 || lda < std::max(1, n) || count < 0) return CUSOLVER_STATUS_INVALID_VALUE;
  return queue(handle, "cusolver potrfBatched", {static_cast<const void*>(a), info}, [=] {
    for (int i = 0; i < count; ++i) {
      info[i] = potrf(T{}, LAPACK_COL_MAJOR, letter(uplo), n, a[i], lda);
    }
  });
}

template <typename T>
cusolverStatus_t potrs_of(cusolverDnHandle_t handle, cublasFillMode_t uplo, int n, int nrhs,
                          const T* a, int lda, T* b, int ldb, int* info) {
  if (n < 0 || nrhs < 0 || lda < std::max(1, n) || ldb < std::max(1, n)) {
    return CUSOLVER_STATUS_INVALID_VALUE;
  }
  return queue(handle, "cusolver potrs", {a, b, info}, [=] {
    *info = potrs(T{}, LAPACK_COL_MAJOR, letter(uplo), n, nrhs, a, lda, b, ldb);
  });
}

template <typename T>
cusolverStatus_t geqrf_of(cusolverDnHandle_t handle, int m, int n, T* a, int lda, T* tau,
                          void* workspace, std::size_t workspace_bytes, int* info) {
  if (m < 0 || n < 0 || lda < std::max(1, m) ||
      !enough(workspace, workspace_bytes, work_elements(m, n) * sizeof(T))) {
    return CUSOLVER_STATUS_INVALID_VALUE;
  }
  return queue(handle, "cusolver geqrf", {a, tau, workspace, info}, [=] {
    scribble(workspace, workspace_bytes);
    *info = geqrf(T{}, LAPACK_COL_MAJOR, m, n, a, lda, tau);
  });
}

template <typename T>
cusolverStatus_t orgqr_of(cusolverDnHandle_t handle, int m, int n, int k, T* a, int lda,
                          const T* tau, T* work, int lwork, int* info) {
  if (handle == nullptr) return CUSOLVER_STATUS_NOT_INITIALIZED;
  if (n < 0 || m < n || k < 0 || k > n || lda < std::max(1, m) || work == nullptr ||
      lwork < static_cast<int>(work_elements(m, n))) {
    return CUSOLVER_STATUS_INVALID_VALUE;
  }
  return queue(handle, "cusolver orgqr", {a, tau, work, info}, [=] {
    scribble(work, static_cast<std::size_t>(lwork) * sizeof(T));
    *info = orgqr(T{}, LAPACK_COL_MAJOR, m, n, k, a, lda, tau);
  });
}

template <typename T>
cusolverStatus_t ormqr_of(cusolverDnHandle_t handle, cublasSideMode_t side, cublasOperation_t trans,
                          int m, int n, int k, const T* a, int lda, const T* tau, T* c, int ldc,
                          T* work, int lwork, int* info) {
  if (handle == nullptr) return CUSOLVER_STATUS_NOT_INITIALIZED;
  const int order = side == CUBLAS_SIDE_LEFT ? m : n;
  if (m < 0 || n < 0 || k < 0 || k > order || lda < std::max(1, order) || ldc < std::max(1, m) ||
      work == nullptr || lwork < static_cast<int>(work_elements(m, n))) {
    return CUSOLVER_STATUS_INVALID_VALUE;
  }
  return queue(handle, "cusolver ormqr", {a, tau, c, work, info}, [=] {
    scribble(work, static_cast<std::size_t>(lwork) * sizeof(T));
    *info = ormqr(T{}, LAPACK_COL_MAJOR, letter(side), letter(trans), m, n, k, a, lda, tau, c, ldc);
  });
}

template <typename T>
cusolverStatus_t getrf_of(cusolverDnHandle_t handle, int m, int n, T* a, int lda, T* work,
                          int* pivots, int* info) {
  if (handle == nullptr) return CUSOLVER_STATUS_NOT_INITIALIZED;
  if (m < 0 || n < 0 || lda < std::max(1, m) || work == nullptr) {
    return CUSOLVER_STATUS_INVALID_VALUE;
  }
  return queue(handle, "cusolver getrf", {a, work, pivots, info}, [=] {
    scribble(work, work_elements(m, n) * sizeof(T));
    std::vector<int> own(static_cast<std::size_t>(std::max(1, std::min(m, n))));
    int* used = pivots != nullptr ? pivots : own.data();
    *info = getrf(T{}, LAPACK_COL_MAJOR, m, n, a, lda, used);
  });
}

template <typename T>
cusolverStatus_t getrs_of(cusolverDnHandle_t handle, cublasOperation_t trans, int n, int nrhs,
                          const T* a, int lda, const int* pivots, T* b, int ldb, int* info) {
  if (handle == nullptr) return CUSOLVER_STATUS_NOT_INITIALIZED;
  if (n < 0 || nrhs < 0 || lda < std::max(1, n) || ldb < std::max(1, n) || pivots == nullptr) {
    return CUSOLVER_STATUS_INVALID_VALUE;
  }
  return queue(handle, "cusolver getrs", {a, pivots, b, info}, [=] {
    *info = getrs(T{}, LAPACK_COL_MAJOR, letter(trans), n, nrhs, a, lda, pivots, b, ldb);
  });
}

}  // namespace
}  // namespace emulation::detail

using namespace emulation::detail;

extern "C" {

cusolverStatus_t cusolverDnCreate(cusolverDnHandle_t* handle) {
  if (handle == nullptr) return CUSOLVER_STATUS_INVALID_VALUE;
  return status_of(Runtime::instance().call(During::capture_allowed, [&](Runtime& runtime, Lock&) {
    *handle = new cusolverDnContext;
    ++runtime.live_handles_;
    return cudaSuccess;
  }));
}

cusolverStatus_t cusolverDnDestroy(cusolverDnHandle_t handle) {
  if (handle == nullptr) return CUSOLVER_STATUS_SUCCESS;
  {
    Runtime& runtime = Runtime::instance();
    const Lock lock(runtime.mutex_);
    if (runtime.live_handles_ != 0) --runtime.live_handles_;
  }
  delete handle;
  return CUSOLVER_STATUS_SUCCESS;
}

cusolverStatus_t cusolverDnSetStream(cusolverDnHandle_t handle, cudaStream_t streamId) {
  if (handle == nullptr) return CUSOLVER_STATUS_NOT_INITIALIZED;
  handle->stream = streamId;
  return CUSOLVER_STATUS_SUCCESS;
}

cusolverStatus_t cusolverDnGetStream(cusolverDnHandle_t handle, cudaStream_t* streamId) {
  if (handle == nullptr) return CUSOLVER_STATUS_NOT_INITIALIZED;
  *streamId = handle->stream;
  return CUSOLVER_STATUS_SUCCESS;
}

cusolverStatus_t cusolverDnCreateParams(cusolverDnParams_t* params) {
  *params = new cusolverDnParams;
  return CUSOLVER_STATUS_SUCCESS;
}

cusolverStatus_t cusolverDnDestroyParams(cusolverDnParams_t params) {
  delete params;
  return CUSOLVER_STATUS_SUCCESS;
}

cusolverStatus_t cusolverDnSetDeterministicMode(cusolverDnHandle_t handle,
                                                cusolverDeterministicMode_t mode) {
  if (handle == nullptr) return CUSOLVER_STATUS_NOT_INITIALIZED;
  handle->mode = mode;
  return CUSOLVER_STATUS_SUCCESS;
}

cusolverStatus_t cusolverDnGetDeterministicMode(cusolverDnHandle_t handle,
                                                cusolverDeterministicMode_t* mode) {
  if (handle == nullptr) return CUSOLVER_STATUS_NOT_INITIALIZED;
  *mode = handle->mode;
  return CUSOLVER_STATUS_SUCCESS;
}

cusolverStatus_t cusolverDnCreateGesvdjInfo(gesvdjInfo_t* info) {
  *info = new gesvdjInfo;
  return CUSOLVER_STATUS_SUCCESS;
}

cusolverStatus_t cusolverDnDestroyGesvdjInfo(gesvdjInfo_t info) {
  delete info;
  return CUSOLVER_STATUS_SUCCESS;
}

cusolverStatus_t cusolverDnXgesvdjSetTolerance(gesvdjInfo_t info, double tolerance) {
  info->tolerance = tolerance;
  return CUSOLVER_STATUS_SUCCESS;
}

cusolverStatus_t cusolverDnXgesvdjSetMaxSweeps(gesvdjInfo_t info, int max_sweeps) {
  info->max_sweeps = max_sweeps;
  return CUSOLVER_STATUS_SUCCESS;
}

cusolverStatus_t cusolverDnXgesvdjSetSortEig(gesvdjInfo_t info, int sort_svd) {
  info->sort = sort_svd;
  return CUSOLVER_STATUS_SUCCESS;
}

// The batched function does not report these in the real library either.
cusolverStatus_t cusolverDnXgesvdjGetResidual(cusolverDnHandle_t, gesvdjInfo_t, double*) {
  return CUSOLVER_STATUS_NOT_SUPPORTED;
}

cusolverStatus_t cusolverDnXgesvdjGetSweeps(cusolverDnHandle_t, gesvdjInfo_t, int*) {
  return CUSOLVER_STATUS_NOT_SUPPORTED;
}

cusolverStatus_t cusolverDnCreateSyevjInfo(syevjInfo_t* info) {
  *info = new syevjInfo;
  return CUSOLVER_STATUS_SUCCESS;
}

cusolverStatus_t cusolverDnDestroySyevjInfo(syevjInfo_t info) {
  delete info;
  return CUSOLVER_STATUS_SUCCESS;
}

cusolverStatus_t cusolverDnXsyevjSetTolerance(syevjInfo_t info, double tolerance) {
  info->tolerance = tolerance;
  return CUSOLVER_STATUS_SUCCESS;
}

cusolverStatus_t cusolverDnXsyevjSetMaxSweeps(syevjInfo_t info, int max_sweeps) {
  info->max_sweeps = max_sweeps;
  return CUSOLVER_STATUS_SUCCESS;
}

cusolverStatus_t cusolverDnXsyevjSetSortEig(syevjInfo_t info, int sort_eig) {
  info->sort = sort_eig;
  return CUSOLVER_STATUS_SUCCESS;
}

cusolverStatus_t cusolverDnXsyevBatched_bufferSize(
    cusolverDnHandle_t handle, cusolverDnParams_t, cusolverEigMode_t, cublasFillMode_t,
    std::int64_t n, cudaDataType dataTypeA, const void*, std::int64_t, cudaDataType, const void*,
    cudaDataType, size_t* workspaceInBytesOnDevice, size_t* workspaceInBytesOnHost,
    std::int64_t batchSize) {
  if (handle == nullptr) return CUSOLVER_STATUS_NOT_INITIALIZED;
  return give_bytes(dataTypeA, workspaceInBytesOnDevice, workspaceInBytesOnHost, n, n, batchSize);
}

cusolverStatus_t cusolverDnXsyevBatched(cusolverDnHandle_t handle, cusolverDnParams_t,
                                        cusolverEigMode_t jobz, cublasFillMode_t uplo,
                                        std::int64_t n, cudaDataType dataTypeA, void* A,
                                        std::int64_t lda, cudaDataType dataTypeW, void* W,
                                        cudaDataType computeType, void* bufferOnDevice,
                                        size_t workspaceInBytesOnDevice, void*, size_t, int* info,
                                        std::int64_t batchSize) {
  if (handle == nullptr) return CUSOLVER_STATUS_NOT_INITIALIZED;
  if (dataTypeA != dataTypeW || dataTypeA != computeType || !fits_int(n) || !fits_int(lda) ||
      batchSize < 0 ||
      !enough(bufferOnDevice, workspaceInBytesOnDevice,
              work_elements(n, n) * size_of(dataTypeA) *
                  static_cast<std::size_t>(std::max<std::int64_t>(batchSize, 1)))) {
    return CUSOLVER_STATUS_INVALID_VALUE;
  }
  return with_type(dataTypeA, [&](auto type) {
    using T = decltype(type);
    return eigen_of(handle, "cusolver syevBatched", jobz, uplo, static_cast<int>(n),
                    static_cast<T*>(A), static_cast<int>(lda), static_cast<T*>(W), bufferOnDevice,
                    workspaceInBytesOnDevice, info, batchSize);
  });
}

cusolverStatus_t cusolverDnXsyevd_bufferSize(cusolverDnHandle_t handle, cusolverDnParams_t,
                                             cusolverEigMode_t, cublasFillMode_t, std::int64_t n,
                                             cudaDataType dataTypeA, const void*, std::int64_t,
                                             cudaDataType, const void*, cudaDataType,
                                             size_t* workspaceInBytesOnDevice,
                                             size_t* workspaceInBytesOnHost) {
  if (handle == nullptr) return CUSOLVER_STATUS_NOT_INITIALIZED;
  return give_bytes(dataTypeA, workspaceInBytesOnDevice, workspaceInBytesOnHost, n, n);
}

cusolverStatus_t cusolverDnXsyevd(cusolverDnHandle_t handle, cusolverDnParams_t params,
                                  cusolverEigMode_t jobz, cublasFillMode_t uplo, std::int64_t n,
                                  cudaDataType dataTypeA, void* A, std::int64_t lda,
                                  cudaDataType dataTypeW, void* W, cudaDataType computeType,
                                  void* bufferOnDevice, size_t workspaceInBytesOnDevice,
                                  void* bufferOnHost, size_t workspaceInBytesOnHost, int* info) {
  return cusolverDnXsyevBatched(handle, params, jobz, uplo, n, dataTypeA, A, lda, dataTypeW, W,
                                computeType, bufferOnDevice, workspaceInBytesOnDevice, bufferOnHost,
                                workspaceInBytesOnHost, info, 1);
}

cusolverStatus_t cusolverDnXsyevdx_bufferSize(
    cusolverDnHandle_t handle, cusolverDnParams_t, cusolverEigMode_t, cusolverEigRange_t,
    cublasFillMode_t, std::int64_t n, cudaDataType dataTypeA, const void*, std::int64_t, void*,
    void*, std::int64_t, std::int64_t, std::int64_t*, cudaDataType, const void*, cudaDataType,
    size_t* workspaceInBytesOnDevice, size_t* workspaceInBytesOnHost) {
  if (handle == nullptr) return CUSOLVER_STATUS_NOT_INITIALIZED;
  return give_bytes(dataTypeA, workspaceInBytesOnDevice, workspaceInBytesOnHost, n, n);
}

// The count of eigenvalues goes to host memory, so that the call waits for the work.
cusolverStatus_t cusolverDnXsyevdx(cusolverDnHandle_t handle, cusolverDnParams_t,
                                   cusolverEigMode_t jobz, cusolverEigRange_t range,
                                   cublasFillMode_t uplo, std::int64_t n, cudaDataType dataTypeA,
                                   void* A, std::int64_t lda, void* vl, void* vu, std::int64_t il,
                                   std::int64_t iu, std::int64_t* meig64, cudaDataType dataTypeW,
                                   void* W, cudaDataType computeType, void* bufferOnDevice,
                                   size_t workspaceInBytesOnDevice, void*, size_t, int* info) {
  if (handle == nullptr) return CUSOLVER_STATUS_NOT_INITIALIZED;
  if (dataTypeA != dataTypeW || dataTypeA != computeType || !fits_int(n) || !fits_int(lda) ||
      lda < std::max<std::int64_t>(1, n) || meig64 == nullptr ||
      (range == CUSOLVER_EIG_RANGE_I && (il < 1 || iu < il || iu > n)) ||
      (range == CUSOLVER_EIG_RANGE_V && (vl == nullptr || vu == nullptr)) ||
      !enough(bufferOnDevice, workspaceInBytesOnDevice, work_elements(n, n) * size_of(dataTypeA))) {
    return CUSOLVER_STATUS_INVALID_VALUE;
  }
  return with_type(dataTypeA, [&](auto type) {
    using T = decltype(type);
    const bool by_value = range == CUSOLVER_EIG_RANGE_V;
    const T lower = by_value ? *static_cast<const T*>(vl) : T{0};
    const T upper = by_value ? *static_cast<const T*>(vu) : T{0};
    const int first = static_cast<int>(range == CUSOLVER_EIG_RANGE_I ? il : 1);
    const int last = static_cast<int>(range == CUSOLVER_EIG_RANGE_I ? iu : n);
    return queue(
        handle, "cusolver syevdx", {A, W, bufferOnDevice, info},
        [=] {
          scribble(bufferOnDevice, workspaceInBytesOnDevice);
          int found = 0;
          *info = eigen_range(jobz, range, uplo, static_cast<int>(n), static_cast<T*>(A),
                              static_cast<int>(lda), lower, upper, first, last, static_cast<T*>(W),
                              &found);
          *meig64 = found;
        },
        true);
  });
}

cusolverStatus_t cusolverDnXgesvd_bufferSize(
    cusolverDnHandle_t handle, cusolverDnParams_t, signed char, signed char, std::int64_t m,
    std::int64_t n, cudaDataType dataTypeA, const void*, std::int64_t, cudaDataType, const void*,
    cudaDataType, const void*, std::int64_t, cudaDataType, const void*, std::int64_t, cudaDataType,
    size_t* workspaceInBytesOnDevice, size_t* workspaceInBytesOnHost) {
  if (handle == nullptr) return CUSOLVER_STATUS_NOT_INITIALIZED;
  if (m < n) return CUSOLVER_STATUS_INVALID_VALUE;
  return give_bytes(dataTypeA, workspaceInBytesOnDevice, workspaceInBytesOnHost, m, n);
}

cusolverStatus_t cusolverDnXgesvd(cusolverDnHandle_t handle, cusolverDnParams_t, signed char jobu,
                                  signed char jobvt, std::int64_t m, std::int64_t n,
                                  cudaDataType dataTypeA, void* A, std::int64_t lda,
                                  cudaDataType dataTypeS, void* S, cudaDataType dataTypeU, void* U,
                                  std::int64_t ldu, cudaDataType dataTypeVT, void* VT,
                                  std::int64_t ldvt, cudaDataType computeType, void* bufferOnDevice,
                                  size_t workspaceInBytesOnDevice, void*, size_t, int* info) {
  if (handle == nullptr) return CUSOLVER_STATUS_NOT_INITIALIZED;
  if (dataTypeS != dataTypeA || dataTypeU != dataTypeA || dataTypeVT != dataTypeA ||
      computeType != dataTypeA || !fits_int(m) || !fits_int(n) || !fits_int(lda) ||
      !fits_int(ldu) || !fits_int(ldvt)) {
    return CUSOLVER_STATUS_INVALID_VALUE;
  }
  return with_type(dataTypeA, [&](auto type) {
    using T = decltype(type);
    return gesvd_of(handle, jobu, jobvt, static_cast<int>(m), static_cast<int>(n),
                    static_cast<T*>(A), static_cast<int>(lda), static_cast<T*>(S),
                    static_cast<T*>(U), static_cast<int>(ldu), static_cast<T*>(VT),
                    static_cast<int>(ldvt), bufferOnDevice, workspaceInBytesOnDevice, info);
  });
}

cusolverStatus_t cusolverDnXpotrf_bufferSize(cusolverDnHandle_t handle, cusolverDnParams_t,
                                             cublasFillMode_t, std::int64_t n,
                                             cudaDataType dataTypeA, const void*, std::int64_t,
                                             cudaDataType, size_t* workspaceInBytesOnDevice,
                                             size_t* workspaceInBytesOnHost) {
  if (handle == nullptr) return CUSOLVER_STATUS_NOT_INITIALIZED;
  return give_bytes(dataTypeA, workspaceInBytesOnDevice, workspaceInBytesOnHost, n, n);
}

cusolverStatus_t cusolverDnXpotrf(cusolverDnHandle_t handle, cusolverDnParams_t,
                                  cublasFillMode_t uplo, std::int64_t n, cudaDataType dataTypeA,
                                  void* A, std::int64_t lda, cudaDataType computeType,
                                  void* bufferOnDevice, size_t workspaceInBytesOnDevice, void*,
                                  size_t, int* info) {
  if (handle == nullptr) return CUSOLVER_STATUS_NOT_INITIALIZED;
  if (dataTypeA != computeType || !fits_int(n) || !fits_int(lda)) {
    return CUSOLVER_STATUS_INVALID_VALUE;
  }
  return with_type(dataTypeA, [&](auto type) {
    using T = decltype(type);
    return potrf_of(handle, uplo, static_cast<int>(n), static_cast<T*>(A), static_cast<int>(lda),
                    bufferOnDevice, workspaceInBytesOnDevice, info);
  });
}

cusolverStatus_t cusolverDnXpotrs(cusolverDnHandle_t handle, cusolverDnParams_t,
                                  cublasFillMode_t uplo, std::int64_t n, std::int64_t nrhs,
                                  cudaDataType dataTypeA, const void* A, std::int64_t lda,
                                  cudaDataType dataTypeB, void* B, std::int64_t ldb, int* info) {
  if (handle == nullptr) return CUSOLVER_STATUS_NOT_INITIALIZED;
  if (dataTypeA != dataTypeB || !fits_int(n) || !fits_int(nrhs) || !fits_int(lda) ||
      !fits_int(ldb)) {
    return CUSOLVER_STATUS_INVALID_VALUE;
  }
  return with_type(dataTypeA, [&](auto type) {
    using T = decltype(type);
    return potrs_of(handle, uplo, static_cast<int>(n), static_cast<int>(nrhs),
                    static_cast<const T*>(A), static_cast<int>(lda), static_cast<T*>(B),
                    static_cast<int>(ldb), info);
  });
}

cusolverStatus_t cusolverDnXgeqrf_bufferSize(cusolverDnHandle_t handle, cusolverDnParams_t,
                                             std::int64_t m, std::int64_t n, cudaDataType dataTypeA,
                                             const void*, std::int64_t, cudaDataType, const void*,
                                             cudaDataType, size_t* workspaceInBytesOnDevice,
                                             size_t* workspaceInBytesOnHost) {
  if (handle == nullptr) return CUSOLVER_STATUS_NOT_INITIALIZED;
  return give_bytes(dataTypeA, workspaceInBytesOnDevice, workspaceInBytesOnHost, m, n);
}

cusolverStatus_t cusolverDnXgeqrf(cusolverDnHandle_t handle, cusolverDnParams_t, std::int64_t m,
                                  std::int64_t n, cudaDataType dataTypeA, void* A, std::int64_t lda,
                                  cudaDataType dataTypeTau, void* tau, cudaDataType computeType,
                                  void* bufferOnDevice, size_t workspaceInBytesOnDevice, void*,
                                  size_t, int* info) {
  if (handle == nullptr) return CUSOLVER_STATUS_NOT_INITIALIZED;
  if (dataTypeA != dataTypeTau || dataTypeA != computeType || !fits_int(m) || !fits_int(n) ||
      !fits_int(lda)) {
    return CUSOLVER_STATUS_INVALID_VALUE;
  }
  return with_type(dataTypeA, [&](auto type) {
    using T = decltype(type);
    return geqrf_of(handle, static_cast<int>(m), static_cast<int>(n), static_cast<T*>(A),
                    static_cast<int>(lda), static_cast<T*>(tau), bufferOnDevice,
                    workspaceInBytesOnDevice, info);
  });
}

cusolverStatus_t cusolverDnDgesvdj_bufferSize(cusolverDnHandle_t handle, cusolverEigMode_t, int,
                                              int m, int n, const double*, int, const double*,
                                              const double*, int, const double*, int, int* lwork,
                                              gesvdjInfo_t) {
  if (handle == nullptr) return CUSOLVER_STATUS_NOT_INITIALIZED;
  return give_elements(lwork, m, n);
}

cusolverStatus_t cusolverDnDgesvdj(cusolverDnHandle_t handle, cusolverEigMode_t jobz, int econ,
                                   int m, int n, double* A, int lda, double* S, double* U, int ldu,
                                   double* V, int ldv, double* work, int lwork, int* info,
                                   gesvdjInfo_t params) {
  return gesvdj_of(handle, jobz, econ, m, n, A, lda, S, U, ldu, V, ldv, work, lwork, info, params);
}

#define EMULATION_SOLVERS(P, T)                                                                    \
  cusolverStatus_t cusolverDn##P##gesvdjBatched_bufferSize(                                        \
      cusolverDnHandle_t handle, cusolverEigMode_t, int m, int n, const T*, int, const T*,         \
      const T*, int, const T*, int, int* lwork, gesvdjInfo_t, int) {                               \
    if (handle == nullptr) return CUSOLVER_STATUS_NOT_INITIALIZED;                                 \
    if (m > 32 || n > 32) return CUSOLVER_STATUS_INVALID_VALUE;                                    \
    return give_elements(lwork, m, n);                                                             \
  }                                                                                                \
  cusolverStatus_t cusolverDn##P##gesvdjBatched(                                                   \
      cusolverDnHandle_t handle, cusolverEigMode_t jobz, int m, int n, T* A, int lda, T* S, T* U,  \
      int ldu, T* V, int ldv, T* work, int lwork, int* info, gesvdjInfo_t params, int batchSize) { \
    return gesvdj_batched(handle, jobz, m, n, A, lda, S, U, ldu, V, ldv, work, lwork, info,        \
                          params, batchSize);                                                      \
  }                                                                                                \
  cusolverStatus_t cusolverDn##P##syevjBatched_bufferSize(                                         \
      cusolverDnHandle_t handle, cusolverEigMode_t, cublasFillMode_t, int n, const T*, int,        \
      const T*, int* lwork, syevjInfo_t, int) {                                                    \
    if (handle == nullptr) return CUSOLVER_STATUS_NOT_INITIALIZED;                                 \
    return give_elements(lwork, n, n);                                                             \
  }                                                                                                \
  cusolverStatus_t cusolverDn##P##syevjBatched(                                                    \
      cusolverDnHandle_t handle, cusolverEigMode_t jobz, cublasFillMode_t uplo, int n, T* A,       \
      int lda, T* W, T* work, int lwork, int* info, syevjInfo_t params, int batchSize) {           \
    if (handle == nullptr) return CUSOLVER_STATUS_NOT_INITIALIZED;                                 \
    if (params == nullptr || work == nullptr || n < 0 ||                                           \
        lwork < static_cast<int>(work_elements(n, n))) {                                           \
      return CUSOLVER_STATUS_INVALID_VALUE;                                                        \
    }                                                                                              \
    return eigen_of(handle, "cusolver syevjBatched", jobz, uplo, n, A, lda, W, work,               \
                    static_cast<std::size_t>(lwork) * sizeof(T), info, batchSize);                 \
  }                                                                                                \
  cusolverStatus_t cusolverDn##P##syevd_bufferSize(cusolverDnHandle_t handle, cusolverEigMode_t,   \
                                                   cublasFillMode_t, int n, const T*, int,         \
                                                   const T*, int* lwork) {                         \
    if (handle == nullptr) return CUSOLVER_STATUS_NOT_INITIALIZED;                                 \
    return give_elements(lwork, n, n);                                                             \
  }                                                                                                \
  cusolverStatus_t cusolverDn##P##syevd(cusolverDnHandle_t handle, cusolverEigMode_t jobz,         \
                                        cublasFillMode_t uplo, int n, T* A, int lda, T* W,         \
                                        T* work, int lwork, int* info) {                           \
    if (handle == nullptr) return CUSOLVER_STATUS_NOT_INITIALIZED;                                 \
    if (work == nullptr || n < 0 || lwork < static_cast<int>(work_elements(n, n))) {               \
      return CUSOLVER_STATUS_INVALID_VALUE;                                                        \
    }                                                                                              \
    return eigen_of(handle, "cusolver syevd", jobz, uplo, n, A, lda, W, work,                      \
                    static_cast<std::size_t>(lwork) * sizeof(T), info, 1);                         \
  }                                                                                                \
  cusolverStatus_t cusolverDn##P##potrf_bufferSize(cusolverDnHandle_t handle, cublasFillMode_t,    \
                                                   int n, T*, int, int* Lwork) {                   \
    if (handle == nullptr) return CUSOLVER_STATUS_NOT_INITIALIZED;                                 \
    return give_elements(Lwork, n, n);                                                             \
  }                                                                                                \
  cusolverStatus_t cusolverDn##P##potrf(cusolverDnHandle_t handle, cublasFillMode_t uplo, int n,   \
                                        T* A, int lda, T* Workspace, int Lwork, int* devInfo) {    \
    if (handle == nullptr) return CUSOLVER_STATUS_NOT_INITIALIZED;                                 \
    if (Lwork < 0) return CUSOLVER_STATUS_INVALID_VALUE;                                           \
    return potrf_of(handle, uplo, n, A, lda, Workspace,                                            \
                    static_cast<std::size_t>(Lwork) * sizeof(T), devInfo);                         \
  }                                                                                                \
  cusolverStatus_t cusolverDn##P##potrfBatched(cusolverDnHandle_t handle, cublasFillMode_t uplo,   \
                                               int n, T* Aarray[], int lda, int* infoArray,        \
                                               int batchSize) {                                    \
    return potrf_batched(handle, uplo, n, Aarray, lda, infoArray, batchSize);                      \
  }                                                                                                \
  cusolverStatus_t cusolverDn##P##potrs(cusolverDnHandle_t handle, cublasFillMode_t uplo, int n,   \
                                        int nrhs, const T* A, int lda, T* B, int ldb,              \
                                        int* devInfo) {                                            \
    if (handle == nullptr) return CUSOLVER_STATUS_NOT_INITIALIZED;                                 \
    return potrs_of(handle, uplo, n, nrhs, A, lda, B, ldb, devInfo);                               \
  }                                                                                                \
  cusolverStatus_t cusolverDn##P##geqrf_bufferSize(cusolverDnHandle_t handle, int m, int n, T*,    \
                                                   int, int* lwork) {                              \
    if (handle == nullptr) return CUSOLVER_STATUS_NOT_INITIALIZED;                                 \
    return give_elements(lwork, m, n);                                                             \
  }                                                                                                \
  cusolverStatus_t cusolverDn##P##geqrf(cusolverDnHandle_t handle, int m, int n, T* A, int lda,    \
                                        T* TAU, T* Workspace, int Lwork, int* devInfo) {           \
    if (handle == nullptr) return CUSOLVER_STATUS_NOT_INITIALIZED;                                 \
    if (Lwork < 0) return CUSOLVER_STATUS_INVALID_VALUE;                                           \
    return geqrf_of(handle, m, n, A, lda, TAU, Workspace,                                          \
                    static_cast<std::size_t>(Lwork) * sizeof(T), devInfo);                         \
  }                                                                                                \
  cusolverStatus_t cusolverDn##P##orgqr_bufferSize(cusolverDnHandle_t handle, int m, int n, int,   \
                                                   const T*, int, const T*, int* lwork) {          \
    if (handle == nullptr) return CUSOLVER_STATUS_NOT_INITIALIZED;                                 \
    return give_elements(lwork, m, n);                                                             \
  }                                                                                                \
  cusolverStatus_t cusolverDn##P##orgqr(cusolverDnHandle_t handle, int m, int n, int k, T* A,      \
                                        int lda, const T* tau, T* work, int lwork, int* info) {    \
    return orgqr_of(handle, m, n, k, A, lda, tau, work, lwork, info);                              \
  }                                                                                                \
  cusolverStatus_t cusolverDn##P##ormqr_bufferSize(cusolverDnHandle_t handle, cublasSideMode_t,    \
                                                   cublasOperation_t, int m, int n, int, const T*, \
                                                   int, const T*, const T*, int, int* lwork) {     \
    if (handle == nullptr) return CUSOLVER_STATUS_NOT_INITIALIZED;                                 \
    return give_elements(lwork, m, n);                                                             \
  }                                                                                                \
  cusolverStatus_t cusolverDn##P##ormqr(                                                           \
      cusolverDnHandle_t handle, cublasSideMode_t side, cublasOperation_t trans, int m, int n,     \
      int k, const T* A, int lda, const T* tau, T* C, int ldc, T* work, int lwork, int* devInfo) { \
    return ormqr_of(handle, side, trans, m, n, k, A, lda, tau, C, ldc, work, lwork, devInfo);      \
  }                                                                                                \
  cusolverStatus_t cusolverDn##P##getrf_bufferSize(cusolverDnHandle_t handle, int m, int n, T*,    \
                                                   int, int* Lwork) {                              \
    if (handle == nullptr) return CUSOLVER_STATUS_NOT_INITIALIZED;                                 \
    return give_elements(Lwork, m, n);                                                             \
  }                                                                                                \
  cusolverStatus_t cusolverDn##P##getrf(cusolverDnHandle_t handle, int m, int n, T* A, int lda,    \
                                        T* Workspace, int* devIpiv, int* devInfo) {                \
    return getrf_of(handle, m, n, A, lda, Workspace, devIpiv, devInfo);                            \
  }                                                                                                \
  cusolverStatus_t cusolverDn##P##getrs(cusolverDnHandle_t handle, cublasOperation_t trans, int n, \
                                        int nrhs, const T* A, int lda, const int* devIpiv, T* B,   \
                                        int ldb, int* devInfo) {                                   \
    return getrs_of(handle, trans, n, nrhs, A, lda, devIpiv, B, ldb, devInfo);                     \
  }
EMULATION_SOLVERS(S, float)
EMULATION_SOLVERS(D, double)

}  // extern "C"
