// cuBLAS carried out by CBLAS, in the order of the handle's stream.
//
// As on a GPU, scalars in host memory are read by the call, scalars in device memory when the work
// executes; results in host memory make the call wait. With TF32 arithmetic the factors are rounded
// to ten bits of mantissa and the products summed in single precision.
#include <algorithm>
#include <bit>
#include <cstring>

#include "cublas_v2.h"
#include "runtime.hpp"
#include <cblas.h>

struct cublasContext {
  cudaStream_t stream = nullptr;
  void* workspace = nullptr;  // reset by cublasSetStream, as in the library
  std::size_t workspace_bytes = 0;
  cublasPointerMode_t pointer_mode = CUBLAS_POINTER_MODE_HOST;
  cublasAtomicsMode_t atomics_mode = CUBLAS_ATOMICS_NOT_ALLOWED;
  cublasMath_t math_mode = CUBLAS_DEFAULT_MATH;
};

namespace emulation::detail {
namespace {

cublasStatus_t status_of(cudaError_t error) {
  switch (error) {
    case cudaSuccess:
      return CUBLAS_STATUS_SUCCESS;
    case cudaErrorMemoryAllocation:
      return CUBLAS_STATUS_ALLOC_FAILED;
    case cudaErrorInsufficientDriver:
      return CUBLAS_STATUS_NOT_INITIALIZED;
    default:
      return CUBLAS_STATUS_EXECUTION_FAILED;
  }
}

cublasStatus_t queue(cublasHandle_t handle, const char* name,
                     const std::vector<const void*>& pointers, std::function<void()> work,
                     bool wait = false) {
  return status_of(enqueue_library(handle->stream, name, pointers, std::move(work), wait));
}

CBLAS_TRANSPOSE cblas(cublasOperation_t operation) {
  return operation == CUBLAS_OP_N ? CblasNoTrans : CblasTrans;
}
CBLAS_UPLO cblas(cublasFillMode_t uplo) {
  return uplo == CUBLAS_FILL_MODE_LOWER ? CblasLower : CblasUpper;
}
CBLAS_SIDE cblas(cublasSideMode_t side) {
  return side == CUBLAS_SIDE_LEFT ? CblasLeft : CblasRight;
}
CBLAS_DIAG cblas(cublasDiagType_t diagonal) {
  return diagonal == CUBLAS_DIAG_UNIT ? CblasUnit : CblasNonUnit;
}

bool valid(cublasOperation_t operation) {
  return operation == CUBLAS_OP_N || operation == CUBLAS_OP_T || operation == CUBLAS_OP_C;
}
bool valid(cublasFillMode_t uplo) {
  return uplo == CUBLAS_FILL_MODE_LOWER || uplo == CUBLAS_FILL_MODE_UPPER;
}

// A scalar argument, in host or in device memory.
template <typename T>
struct Scalar {
  T value{};
  const T* device = nullptr;

  Scalar(cublasHandle_t handle, const T* pointer) {
    if (handle->pointer_mode == CUBLAS_POINTER_MODE_DEVICE) {
      device = pointer;
    } else {
      value = *pointer;
    }
  }
  T operator()() const { return device != nullptr ? *device : value; }
};

// The two precisions of each CBLAS function under one name.
#define EMULATION_BLAS(name)                  \
  template <typename... Arguments>            \
  auto name(float, Arguments... arguments) {  \
    return cblas_s##name(arguments...);       \
  }                                           \
  template <typename... Arguments>            \
  auto name(double, Arguments... arguments) { \
    return cblas_d##name(arguments...);       \
  }
EMULATION_BLAS(nrm2)
EMULATION_BLAS(asum)
EMULATION_BLAS(dot)
EMULATION_BLAS(scal)
EMULATION_BLAS(axpy)
EMULATION_BLAS(copy)
EMULATION_BLAS(gemv)
EMULATION_BLAS(ger)
EMULATION_BLAS(gemm)
EMULATION_BLAS(syrk)
EMULATION_BLAS(symm)
EMULATION_BLAS(trsm)
EMULATION_BLAS(trmm)
#undef EMULATION_BLAS
int index_of_largest(float, int n, const float* x, int incx) {
  return static_cast<int>(cblas_isamax(n, x, incx));
}
int index_of_largest(double, int n, const double* x, int incx) {
  return static_cast<int>(cblas_idamax(n, x, incx));
}

// ---- Vectors

// Results go to host memory, where the caller waits for them, or to device memory.
template <typename R, typename Work>
cublasStatus_t reduce(cublasHandle_t handle, const char* name, std::vector<const void*> pointers,
                      R* result, Work work) {
  if (handle == nullptr) return CUBLAS_STATUS_NOT_INITIALIZED;
  if (result == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  const bool on_host = handle->pointer_mode == CUBLAS_POINTER_MODE_HOST;
  if (!on_host) pointers.push_back(result);
  return queue(
      handle, name, pointers, [=] { *result = work(); }, on_host);
}

template <typename T>
cublasStatus_t nrm2_of(cublasHandle_t handle, int n, const T* x, int incx, T* result) {
  return reduce(handle, "cublas nrm2", {x}, result,
                [=] { return n > 0 && incx > 0 ? nrm2(T{}, n, x, incx) : T{}; });
}

template <typename T>
cublasStatus_t asum_of(cublasHandle_t handle, int n, const T* x, int incx, T* result) {
  return reduce(handle, "cublas asum", {x}, result,
                [=] { return n > 0 && incx > 0 ? asum(T{}, n, x, incx) : T{}; });
}

template <typename T>
cublasStatus_t dot_of(cublasHandle_t handle, int n, const T* x, int incx, const T* y, int incy,
                      T* result) {
  return reduce(handle, "cublas dot", {x, y}, result,
                [=] { return n > 0 ? dot(T{}, n, x, incx, y, incy) : T{}; });
}

template <typename T>
cublasStatus_t amax_of(cublasHandle_t handle, int n, const T* x, int incx, int* result) {
  // Counted from one.
  return reduce(handle, "cublas amax", {x}, result,
                [=] { return n > 0 && incx > 0 ? index_of_largest(T{}, n, x, incx) + 1 : 0; });
}

template <typename T>
cublasStatus_t scal_of(cublasHandle_t handle, int n, const T* alpha, T* x, int incx) {
  if (handle == nullptr) return CUBLAS_STATUS_NOT_INITIALIZED;
  if (alpha == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  const Scalar<T> factor(handle, alpha);
  return queue(handle, "cublas scal", {x, factor.device}, [=] {
    if (n > 0 && incx > 0) scal(T{}, n, factor(), x, incx);
  });
}

template <typename T>
cublasStatus_t axpy_of(cublasHandle_t handle, int n, const T* alpha, const T* x, int incx, T* y,
                       int incy) {
  if (handle == nullptr) return CUBLAS_STATUS_NOT_INITIALIZED;
  if (alpha == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  const Scalar<T> factor(handle, alpha);
  return queue(handle, "cublas axpy", {x, y, factor.device}, [=] {
    if (n > 0) axpy(T{}, n, factor(), x, incx, y, incy);
  });
}

template <typename T>
cublasStatus_t copy_of(cublasHandle_t handle, int n, const T* x, int incx, T* y, int incy) {
  if (handle == nullptr) return CUBLAS_STATUS_NOT_INITIALIZED;
  return queue(handle, "cublas copy", {x, y}, [=] {
    if (n > 0) copy(T{}, n, x, incx, y, incy);
  });
}

// ---- Matrices and vectors

template <typename T>
cublasStatus_t gemv_of(cublasHandle_t handle, cublasOperation_t trans, int m, int n, const T* alpha,
                       const T* a, int lda, long long stride_a, const T* x, int incx,
                       long long stride_x, const T* beta, T* y, int incy, long long stride_y,
                       int count) {
  if (handle == nullptr) return CUBLAS_STATUS_NOT_INITIALIZED;
  if (!valid(trans) || m < 0 || n < 0 || lda < std::max(1, m) || incx == 0 || incy == 0 ||
      count < 0 || alpha == nullptr || beta == nullptr) {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  if (m == 0 || n == 0 || count == 0) return CUBLAS_STATUS_SUCCESS;
  const Scalar<T> factor(handle, alpha);
  const Scalar<T> keep(handle, beta);
  return queue(handle, "cublas gemv", {a, x, y, factor.device, keep.device}, [=] {
    for (int i = 0; i < count; ++i) {
      gemv(T{}, CblasColMajor, cblas(trans), m, n, factor(), a + i * stride_a, lda,
           x + i * stride_x, incx, keep(), y + i * stride_y, incy);
    }
  });
}

template <typename T>
cublasStatus_t ger_of(cublasHandle_t handle, int m, int n, const T* alpha, const T* x, int incx,
                      const T* y, int incy, T* a, int lda) {
  if (handle == nullptr) return CUBLAS_STATUS_NOT_INITIALIZED;
  if (m < 0 || n < 0 || lda < std::max(1, m) || incx == 0 || incy == 0 || alpha == nullptr) {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  if (m == 0 || n == 0) return CUBLAS_STATUS_SUCCESS;
  const Scalar<T> factor(handle, alpha);
  return queue(handle, "cublas ger", {x, y, a, factor.device},
               [=] { ger(T{}, CblasColMajor, m, n, factor(), x, incx, y, incy, a, lda); });
}

// ---- Products of matrices

// Round to nearest, ties away from zero: what a GPU does to factors of TF32 products.
float round_to_tf32(float x) {
  const auto bits = std::bit_cast<std::uint32_t>(x);
  if ((bits & 0x7f800000U) == 0x7f800000U) return x;  // infinity, NaN
  return std::bit_cast<float>((bits + 0x1000U) & ~0x1fffU);
}

std::vector<float> rounded(const float* a, int rows, int columns, int lda) {
  std::vector<float> copy(static_cast<std::size_t>(rows) * static_cast<std::size_t>(columns));
  std::size_t i = 0;
  for (int column = 0; column < columns; ++column) {
    for (int row = 0; row < rows; ++row) {
      copy[i++] = round_to_tf32(a[row + static_cast<std::ptrdiff_t>(column) * lda]);
    }
  }
  return copy;
}

template <typename T>
struct Product {
  cublasOperation_t op_a, op_b;
  int m, n, k;
  int lda, ldb, ldc;
  bool tf32;

  bool valid_shape() const {
    return valid(op_a) && valid(op_b) && m >= 0 && n >= 0 && k >= 0 &&
           lda >= std::max(1, op_a == CUBLAS_OP_N ? m : k) &&
           ldb >= std::max(1, op_b == CUBLAS_OP_N ? k : n) && ldc >= std::max(1, m);
  }

  void operator()(T alpha, const T* a, const T* b, T beta, T* c) const {
    if constexpr (std::is_same_v<T, float>) {
      if (tf32 && k > 0) {
        const bool flip_a = op_a != CUBLAS_OP_N;
        const bool flip_b = op_b != CUBLAS_OP_N;
        const auto ra = rounded(a, flip_a ? k : m, flip_a ? m : k, lda);
        const auto rb = rounded(b, flip_b ? n : k, flip_b ? k : n, ldb);
        gemm(T{}, CblasColMajor, cblas(op_a), cblas(op_b), m, n, k, alpha, ra.data(),
             flip_a ? k : m, rb.data(), flip_b ? n : k, beta, c, ldc);
        return;
      }
    }
    gemm(T{}, CblasColMajor, cblas(op_a), cblas(op_b), m, n, k, alpha, a, lda, b, ldb, beta, c,
         ldc);
  }
};

template <typename T>
cublasStatus_t strided_products(cublasHandle_t handle, const char* name, const Product<T>& product,
                                const T* alpha, const T* a, long long stride_a, const T* b,
                                long long stride_b, const T* beta, T* c, long long stride_c,
                                int count) {
  if (handle == nullptr) return CUBLAS_STATUS_NOT_INITIALIZED;
  if (!product.valid_shape() || count < 0 || alpha == nullptr || beta == nullptr) {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  if (product.m == 0 || product.n == 0 || count == 0) return CUBLAS_STATUS_SUCCESS;
  const Scalar<T> factor(handle, alpha);
  const Scalar<T> keep(handle, beta);
  return queue(handle, name, {a, b, c, factor.device, keep.device}, [=] {
    for (int i = 0; i < count; ++i) {
      product(factor(), a + i * stride_a, b + i * stride_b, keep(), c + i * stride_c);
    }
  });
}

template <typename T>
cublasStatus_t listed_products(cublasHandle_t handle, const Product<T>& product, const T* alpha,
                               const T* const* a, const T* const* b, const T* beta, T* const* c,
                               int count) {
  if (handle == nullptr) return CUBLAS_STATUS_NOT_INITIALIZED;
  if (!product.valid_shape() || count < 0 || alpha == nullptr || beta == nullptr) {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  if (product.m == 0 || product.n == 0 || count == 0) return CUBLAS_STATUS_SUCCESS;
  const Scalar<T> factor(handle, alpha);
  const Scalar<T> keep(handle, beta);
  return queue(handle, "cublas gemmBatched", {a, b, c, factor.device, keep.device}, [=] {
    for (int i = 0; i < count; ++i) product(factor(), a[i], b[i], keep(), c[i]);
  });
}

template <typename T>
bool uses_tf32(cublasHandle_t handle) {
  return std::is_same_v<T, float> && handle != nullptr &&
         (handle->math_mode & 0xf) == CUBLAS_TF32_TENSOR_OP_MATH;
}

// The precision of an "Ex" call: which type the scalars have, and whether factors are rounded.
struct Precision {
  bool known = false;
  bool is_double = false;
  bool tf32 = false;
};

Precision precision_of(cublasHandle_t handle, cudaDataType a, cudaDataType b, cudaDataType c,
                       cublasComputeType_t compute) {
  if (a == CUDA_R_32F && b == CUDA_R_32F && c == CUDA_R_32F) {
    if (compute == CUBLAS_COMPUTE_32F) return {true, false, uses_tf32<float>(handle)};
    if (compute == CUBLAS_COMPUTE_32F_PEDANTIC) return {true, false, false};
    if (compute == CUBLAS_COMPUTE_32F_FAST_TF32) return {true, false, true};
  }
  if (a == CUDA_R_64F && b == CUDA_R_64F && c == CUDA_R_64F &&
      (compute == CUBLAS_COMPUTE_64F || compute == CUBLAS_COMPUTE_64F_PEDANTIC)) {
    return {true, true, false};
  }
  return {};
}

// ---- The other matrix operations

template <typename T>
cublasStatus_t syrk_of(cublasHandle_t handle, cublasFillMode_t uplo, cublasOperation_t trans, int n,
                       int k, const T* alpha, const T* a, int lda, const T* beta, T* c, int ldc) {
  if (handle == nullptr) return CUBLAS_STATUS_NOT_INITIALIZED;
  if (!valid(uplo) || !valid(trans) || n < 0 || k < 0 ||
      lda < std::max(1, trans == CUBLAS_OP_N ? n : k) || ldc < std::max(1, n) || alpha == nullptr ||
      beta == nullptr) {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  if (n == 0) return CUBLAS_STATUS_SUCCESS;
  const Scalar<T> factor(handle, alpha);
  const Scalar<T> keep(handle, beta);
  return queue(handle, "cublas syrk", {a, c, factor.device, keep.device}, [=] {
    const T scale = keep();
    if (scale == T{0}) {
      // cuBLAS promises not to read C; some BLAS multiply it by zero, which keeps NaN.
      for (int column = 0; column < n; ++column) {
        const int first = uplo == CUBLAS_FILL_MODE_LOWER ? column : 0;
        const int last = uplo == CUBLAS_FILL_MODE_LOWER ? n : column + 1;
        std::fill(c + first + static_cast<std::ptrdiff_t>(column) * ldc,
                  c + last + static_cast<std::ptrdiff_t>(column) * ldc, T{0});
      }
    }
    syrk(T{}, CblasColMajor, cblas(uplo), cblas(trans), n, k, factor(), a, lda, scale, c, ldc);
  });
}

template <typename T>
cublasStatus_t symm_of(cublasHandle_t handle, cublasSideMode_t side, cublasFillMode_t uplo, int m,
                       int n, const T* alpha, const T* a, int lda, const T* b, int ldb,
                       const T* beta, T* c, int ldc) {
  if (handle == nullptr) return CUBLAS_STATUS_NOT_INITIALIZED;
  if (!valid(uplo) || m < 0 || n < 0 || lda < std::max(1, side == CUBLAS_SIDE_LEFT ? m : n) ||
      ldb < std::max(1, m) || ldc < std::max(1, m) || alpha == nullptr || beta == nullptr) {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  if (m == 0 || n == 0) return CUBLAS_STATUS_SUCCESS;
  const Scalar<T> factor(handle, alpha);
  const Scalar<T> keep(handle, beta);
  return queue(handle, "cublas symm", {a, b, c, factor.device, keep.device}, [=] {
    symm(T{}, CblasColMajor, cblas(side), cblas(uplo), m, n, factor(), a, lda, b, ldb, keep(), c,
         ldc);
  });
}

bool valid_triangular(cublasSideMode_t side, cublasFillMode_t uplo, cublasOperation_t trans, int m,
                      int n, int lda, int ldb) {
  return valid(uplo) && valid(trans) && m >= 0 && n >= 0 &&
         lda >= std::max(1, side == CUBLAS_SIDE_LEFT ? m : n) && ldb >= std::max(1, m);
}

template <typename T>
cublasStatus_t trsm_of(cublasHandle_t handle, cublasSideMode_t side, cublasFillMode_t uplo,
                       cublasOperation_t trans, cublasDiagType_t diag, int m, int n, const T* alpha,
                       const T* a, int lda, T* b, int ldb) {
  if (handle == nullptr) return CUBLAS_STATUS_NOT_INITIALIZED;
  if (!valid_triangular(side, uplo, trans, m, n, lda, ldb) || alpha == nullptr) {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  if (m == 0 || n == 0) return CUBLAS_STATUS_SUCCESS;
  const Scalar<T> factor(handle, alpha);
  return queue(handle, "cublas trsm", {a, b, factor.device}, [=] {
    trsm(T{}, CblasColMajor, cblas(side), cblas(uplo), cblas(trans), cblas(diag), m, n, factor(), a,
         lda, b, ldb);
  });
}

template <typename T>
cublasStatus_t trsm_batched(cublasHandle_t handle, cublasSideMode_t side, cublasFillMode_t uplo,
                            cublasOperation_t trans, cublasDiagType_t diag, int m, int n,
                            const T* alpha, const T* const* a, int lda, T* const* b, int ldb,
                            int count) {
  if (handle == nullptr) return CUBLAS_STATUS_NOT_INITIALIZED;
  if (!valid_triangular(side, uplo, trans, m, n, lda, ldb) || count < 0 || alpha == nullptr) {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  if (m == 0 || n == 0 || count == 0) return CUBLAS_STATUS_SUCCESS;
  const Scalar<T> factor(handle, alpha);
  return queue(handle, "cublas trsmBatched", {a, b, factor.device}, [=] {
    for (int i = 0; i < count; ++i) {
      trsm(T{}, CblasColMajor, cblas(side), cblas(uplo), cblas(trans), cblas(diag), m, n, factor(),
           a[i], lda, b[i], ldb);
    }
  });
}

// Out of place, unlike the BLAS function.
template <typename T>
cublasStatus_t trmm_of(cublasHandle_t handle, cublasSideMode_t side, cublasFillMode_t uplo,
                       cublasOperation_t trans, cublasDiagType_t diag, int m, int n, const T* alpha,
                       const T* a, int lda, const T* b, int ldb, T* c, int ldc) {
  if (handle == nullptr) return CUBLAS_STATUS_NOT_INITIALIZED;
  if (!valid_triangular(side, uplo, trans, m, n, lda, ldb) || ldc < std::max(1, m) ||
      alpha == nullptr) {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  if (m == 0 || n == 0) return CUBLAS_STATUS_SUCCESS;
  const Scalar<T> factor(handle, alpha);
  return queue(handle, "cublas trmm", {a, b, c, factor.device}, [=] {
    if (b != c) {
      for (int column = 0; column < n; ++column) {
        std::copy_n(b + static_cast<std::ptrdiff_t>(column) * ldb, m,
                    c + static_cast<std::ptrdiff_t>(column) * ldc);
      }
    }
    trmm(T{}, CblasColMajor, cblas(side), cblas(uplo), cblas(trans), cblas(diag), m, n, factor(), a,
         lda, c, ldc);
  });
}

template <typename T>
cublasStatus_t geam_of(cublasHandle_t handle, cublasOperation_t op_a, cublasOperation_t op_b, int m,
                       int n, const T* alpha, const T* a, int lda, const T* beta, const T* b,
                       int ldb, T* c, int ldc) {
  if (handle == nullptr) return CUBLAS_STATUS_NOT_INITIALIZED;
  const bool flip_a = op_a != CUBLAS_OP_N;
  const bool flip_b = op_b != CUBLAS_OP_N;
  // In place only without a transposition.
  if (!valid(op_a) || !valid(op_b) || m < 0 || n < 0 || lda < std::max(1, flip_a ? n : m) ||
      ldb < std::max(1, flip_b ? n : m) || ldc < std::max(1, m) || alpha == nullptr ||
      beta == nullptr || (a == c && (flip_a || lda != ldc)) || (b == c && (flip_b || ldb != ldc))) {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  if (m == 0 || n == 0) return CUBLAS_STATUS_SUCCESS;
  const Scalar<T> first(handle, alpha);
  const Scalar<T> second(handle, beta);
  return queue(handle, "cublas geam", {a, b, c, first.device, second.device}, [=] {
    const auto at = [](const T* matrix, int ld, bool flip, int row, int column) {
      return flip ? matrix[column + static_cast<std::ptrdiff_t>(row) * ld]
                  : matrix[row + static_cast<std::ptrdiff_t>(column) * ld];
    };
    const T factor_a = first();
    const T factor_b = second();
    for (int column = 0; column < n; ++column) {
      for (int row = 0; row < m; ++row) {
        T sum{0};  // a matrix whose factor is zero is not read
        if (factor_a != T{0}) sum += factor_a * at(a, lda, flip_a, row, column);
        if (factor_b != T{0}) sum += factor_b * at(b, ldb, flip_b, row, column);
        c[row + static_cast<std::ptrdiff_t>(column) * ldc] = sum;
      }
    }
  });
}

template <typename T>
cublasStatus_t dgmm_of(cublasHandle_t handle, cublasSideMode_t mode, int m, int n, const T* a,
                       int lda, const T* x, int incx, T* c, int ldc) {
  if (handle == nullptr) return CUBLAS_STATUS_NOT_INITIALIZED;
  if (m < 0 || n < 0 || lda < std::max(1, m) || ldc < std::max(1, m)) {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  if (m == 0 || n == 0) return CUBLAS_STATUS_SUCCESS;
  return queue(handle, "cublas dgmm", {a, x, c}, [=] {
    const std::ptrdiff_t count = mode == CUBLAS_SIDE_LEFT ? m : n;
    const std::ptrdiff_t origin = incx < 0 ? -(count - 1) * incx : 0;
    for (int column = 0; column < n; ++column) {
      for (int row = 0; row < m; ++row) {
        const std::ptrdiff_t i = mode == CUBLAS_SIDE_LEFT ? row : column;
        c[row + static_cast<std::ptrdiff_t>(column) * ldc] =
            a[row + static_cast<std::ptrdiff_t>(column) * lda] * x[origin + i * incx];
      }
    }
  });
}

}  // namespace
}  // namespace emulation::detail

using namespace emulation::detail;

extern "C" {

cublasStatus_t cublasCreate(cublasHandle_t* handle) {
  if (handle == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  return status_of(Runtime::instance().call(During::capture_allowed, [&](Runtime& runtime, Lock&) {
    *handle = new cublasContext;
    ++runtime.live_handles_;
    return cudaSuccess;
  }));
}

cublasStatus_t cublasDestroy(cublasHandle_t handle) {
  if (handle == nullptr) return CUBLAS_STATUS_NOT_INITIALIZED;
  {
    Runtime& runtime = Runtime::instance();
    const Lock lock(runtime.mutex_);
    if (runtime.live_handles_ != 0) --runtime.live_handles_;
  }
  delete handle;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasGetVersion(cublasHandle_t, int* version) {
  *version = CUBLAS_VERSION;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetStream(cublasHandle_t handle, cudaStream_t streamId) {
  if (handle == nullptr) return CUBLAS_STATUS_NOT_INITIALIZED;
  handle->stream = streamId;
  handle->workspace = nullptr;
  handle->workspace_bytes = 0;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasGetStream(cublasHandle_t handle, cudaStream_t* streamId) {
  if (handle == nullptr) return CUBLAS_STATUS_NOT_INITIALIZED;
  *streamId = handle->stream;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetWorkspace(cublasHandle_t handle, void* workspace,
                                  size_t workspaceSizeInBytes) {
  if (handle == nullptr) return CUBLAS_STATUS_NOT_INITIALIZED;
  if (reinterpret_cast<std::uintptr_t>(workspace) % 256 != 0) return CUBLAS_STATUS_INVALID_VALUE;
  handle->workspace = workspace;
  handle->workspace_bytes = workspaceSizeInBytes;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasGetPointerMode(cublasHandle_t handle, cublasPointerMode_t* mode) {
  if (handle == nullptr) return CUBLAS_STATUS_NOT_INITIALIZED;
  *mode = handle->pointer_mode;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetPointerMode(cublasHandle_t handle, cublasPointerMode_t mode) {
  if (handle == nullptr) return CUBLAS_STATUS_NOT_INITIALIZED;
  handle->pointer_mode = mode;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasGetAtomicsMode(cublasHandle_t handle, cublasAtomicsMode_t* mode) {
  if (handle == nullptr) return CUBLAS_STATUS_NOT_INITIALIZED;
  *mode = handle->atomics_mode;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetAtomicsMode(cublasHandle_t handle, cublasAtomicsMode_t mode) {
  if (handle == nullptr) return CUBLAS_STATUS_NOT_INITIALIZED;
  handle->atomics_mode = mode;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasGetMathMode(cublasHandle_t handle, cublasMath_t* mode) {
  if (handle == nullptr) return CUBLAS_STATUS_NOT_INITIALIZED;
  *mode = handle->math_mode;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetMathMode(cublasHandle_t handle, cublasMath_t mode) {
  if (handle == nullptr) return CUBLAS_STATUS_NOT_INITIALIZED;
  handle->math_mode = mode;
  return CUBLAS_STATUS_SUCCESS;
}

const char* cublasGetStatusName(cublasStatus_t status) {
  switch (status) {
    case CUBLAS_STATUS_SUCCESS:
      return "CUBLAS_STATUS_SUCCESS";
    case CUBLAS_STATUS_NOT_INITIALIZED:
      return "CUBLAS_STATUS_NOT_INITIALIZED";
    case CUBLAS_STATUS_ALLOC_FAILED:
      return "CUBLAS_STATUS_ALLOC_FAILED";
    case CUBLAS_STATUS_INVALID_VALUE:
      return "CUBLAS_STATUS_INVALID_VALUE";
    case CUBLAS_STATUS_ARCH_MISMATCH:
      return "CUBLAS_STATUS_ARCH_MISMATCH";
    case CUBLAS_STATUS_MAPPING_ERROR:
      return "CUBLAS_STATUS_MAPPING_ERROR";
    case CUBLAS_STATUS_EXECUTION_FAILED:
      return "CUBLAS_STATUS_EXECUTION_FAILED";
    case CUBLAS_STATUS_INTERNAL_ERROR:
      return "CUBLAS_STATUS_INTERNAL_ERROR";
    case CUBLAS_STATUS_NOT_SUPPORTED:
      return "CUBLAS_STATUS_NOT_SUPPORTED";
    case CUBLAS_STATUS_LICENSE_ERROR:
      return "CUBLAS_STATUS_LICENSE_ERROR";
  }
  return "unknown cuBLAS status";
}

const char* cublasGetStatusString(cublasStatus_t status) { return cublasGetStatusName(status); }

#define EMULATION_BOTH(F) F(S, float) F(D, double)

#define EMULATION_VECTORS(P, T)                                                                   \
  cublasStatus_t cublas##P##nrm2(cublasHandle_t handle, int n, const T* x, int incx, T* result) { \
    return nrm2_of(handle, n, x, incx, result);                                                   \
  }                                                                                               \
  cublasStatus_t cublas##P##asum(cublasHandle_t handle, int n, const T* x, int incx, T* result) { \
    return asum_of(handle, n, x, incx, result);                                                   \
  }                                                                                               \
  cublasStatus_t cublas##P##dot(cublasHandle_t handle, int n, const T* x, int incx, const T* y,   \
                                int incy, T* result) {                                            \
    return dot_of(handle, n, x, incx, y, incy, result);                                           \
  }                                                                                               \
  cublasStatus_t cublas##P##scal(cublasHandle_t handle, int n, const T* alpha, T* x, int incx) {  \
    return scal_of(handle, n, alpha, x, incx);                                                    \
  }                                                                                               \
  cublasStatus_t cublas##P##axpy(cublasHandle_t handle, int n, const T* alpha, const T* x,        \
                                 int incx, T* y, int incy) {                                      \
    return axpy_of(handle, n, alpha, x, incx, y, incy);                                           \
  }                                                                                               \
  cublasStatus_t cublas##P##copy(cublasHandle_t handle, int n, const T* x, int incx, T* y,        \
                                 int incy) {                                                      \
    return copy_of(handle, n, x, incx, y, incy);                                                  \
  }                                                                                               \
  cublasStatus_t cublas##P##gemv(cublasHandle_t handle, cublasOperation_t trans, int m, int n,    \
                                 const T* alpha, const T* A, int lda, const T* x, int incx,       \
                                 const T* beta, T* y, int incy) {                                 \
    return gemv_of(handle, trans, m, n, alpha, A, lda, 0, x, incx, 0, beta, y, incy, 0, 1);       \
  }                                                                                               \
  cublasStatus_t cublas##P##gemvStridedBatched(                                                   \
      cublasHandle_t handle, cublasOperation_t trans, int m, int n, const T* alpha, const T* A,   \
      int lda, long long int strideA, const T* x, int incx, long long int stridex, const T* beta, \
      T* y, int incy, long long int stridey, int batchCount) {                                    \
    return gemv_of(handle, trans, m, n, alpha, A, lda, strideA, x, incx, stridex, beta, y, incy,  \
                   stridey, batchCount);                                                          \
  }                                                                                               \
  cublasStatus_t cublas##P##ger(cublasHandle_t handle, int m, int n, const T* alpha, const T* x,  \
                                int incx, const T* y, int incy, T* A, int lda) {                  \
    return ger_of(handle, m, n, alpha, x, incx, y, incy, A, lda);                                 \
  }
EMULATION_BOTH(EMULATION_VECTORS)

cublasStatus_t cublasIsamax(cublasHandle_t handle, int n, const float* x, int incx, int* result) {
  return amax_of(handle, n, x, incx, result);
}
cublasStatus_t cublasIdamax(cublasHandle_t handle, int n, const double* x, int incx, int* result) {
  return amax_of(handle, n, x, incx, result);
}

#define EMULATION_PRODUCTS(P, T)                                                                   \
  cublasStatus_t cublas##P##gemm(cublasHandle_t handle, cublasOperation_t transa,                  \
                                 cublasOperation_t transb, int m, int n, int k, const T* alpha,    \
                                 const T* A, int lda, const T* B, int ldb, const T* beta, T* C,    \
                                 int ldc) {                                                        \
    return strided_products<T>(handle, "cublas gemm",                                              \
                               {transa, transb, m, n, k, lda, ldb, ldc, uses_tf32<T>(handle)},     \
                               alpha, A, 0, B, 0, beta, C, 0, 1);                                  \
  }                                                                                                \
  cublasStatus_t cublas##P##gemmStridedBatched(                                                    \
      cublasHandle_t handle, cublasOperation_t transa, cublasOperation_t transb, int m, int n,     \
      int k, const T* alpha, const T* A, int lda, long long int strideA, const T* B, int ldb,      \
      long long int strideB, const T* beta, T* C, int ldc, long long int strideC,                  \
      int batchCount) {                                                                            \
    return strided_products<T>(handle, "cublas gemmStridedBatched",                                \
                               {transa, transb, m, n, k, lda, ldb, ldc, uses_tf32<T>(handle)},     \
                               alpha, A, strideA, B, strideB, beta, C, strideC, batchCount);       \
  }                                                                                                \
  cublasStatus_t cublas##P##gemmBatched(                                                           \
      cublasHandle_t handle, cublasOperation_t transa, cublasOperation_t transb, int m, int n,     \
      int k, const T* alpha, const T* const Aarray[], int lda, const T* const Barray[], int ldb,   \
      const T* beta, T* const Carray[], int ldc, int batchCount) {                                 \
    return listed_products<T>(handle,                                                              \
                              {transa, transb, m, n, k, lda, ldb, ldc, uses_tf32<T>(handle)},      \
                              alpha, Aarray, Barray, beta, Carray, batchCount);                    \
  }                                                                                                \
  cublasStatus_t cublas##P##syrk(cublasHandle_t handle, cublasFillMode_t uplo,                     \
                                 cublasOperation_t trans, int n, int k, const T* alpha,            \
                                 const T* A, int lda, const T* beta, T* C, int ldc) {              \
    return syrk_of(handle, uplo, trans, n, k, alpha, A, lda, beta, C, ldc);                        \
  }                                                                                                \
  cublasStatus_t cublas##P##symm(cublasHandle_t handle, cublasSideMode_t side,                     \
                                 cublasFillMode_t uplo, int m, int n, const T* alpha, const T* A,  \
                                 int lda, const T* B, int ldb, const T* beta, T* C, int ldc) {     \
    return symm_of(handle, side, uplo, m, n, alpha, A, lda, B, ldb, beta, C, ldc);                 \
  }                                                                                                \
  cublasStatus_t cublas##P##trsm(cublasHandle_t handle, cublasSideMode_t side,                     \
                                 cublasFillMode_t uplo, cublasOperation_t trans,                   \
                                 cublasDiagType_t diag, int m, int n, const T* alpha, const T* A,  \
                                 int lda, T* B, int ldb) {                                         \
    return trsm_of(handle, side, uplo, trans, diag, m, n, alpha, A, lda, B, ldb);                  \
  }                                                                                                \
  cublasStatus_t cublas##P##trsmBatched(                                                           \
      cublasHandle_t handle, cublasSideMode_t side, cublasFillMode_t uplo,                         \
      cublasOperation_t trans, cublasDiagType_t diag, int m, int n, const T* alpha,                \
      const T* const A[], int lda, T* const B[], int ldb, int batchCount) {                        \
    return trsm_batched(handle, side, uplo, trans, diag, m, n, alpha, A, lda, B, ldb, batchCount); \
  }                                                                                                \
  cublasStatus_t cublas##P##trmm(cublasHandle_t handle, cublasSideMode_t side,                     \
                                 cublasFillMode_t uplo, cublasOperation_t trans,                   \
                                 cublasDiagType_t diag, int m, int n, const T* alpha, const T* A,  \
                                 int lda, const T* B, int ldb, T* C, int ldc) {                    \
    return trmm_of(handle, side, uplo, trans, diag, m, n, alpha, A, lda, B, ldb, C, ldc);          \
  }                                                                                                \
  cublasStatus_t cublas##P##geam(                                                                  \
      cublasHandle_t handle, cublasOperation_t transa, cublasOperation_t transb, int m, int n,     \
      const T* alpha, const T* A, int lda, const T* beta, const T* B, int ldb, T* C, int ldc) {    \
    return geam_of(handle, transa, transb, m, n, alpha, A, lda, beta, B, ldb, C, ldc);             \
  }                                                                                                \
  cublasStatus_t cublas##P##dgmm(cublasHandle_t handle, cublasSideMode_t mode, int m, int n,       \
                                 const T* A, int lda, const T* x, int incx, T* C, int ldc) {       \
    return dgmm_of(handle, mode, m, n, A, lda, x, incx, C, ldc);                                   \
  }
EMULATION_BOTH(EMULATION_PRODUCTS)

cublasStatus_t cublasGemmStridedBatchedEx(cublasHandle_t handle, cublasOperation_t transa,
                                          cublasOperation_t transb, int m, int n, int k,
                                          const void* alpha, const void* A, cudaDataType Atype,
                                          int lda, long long int strideA, const void* B,
                                          cudaDataType Btype, int ldb, long long int strideB,
                                          const void* beta, void* C, cudaDataType Ctype, int ldc,
                                          long long int strideC, int batchCount,
                                          cublasComputeType_t computeType, cublasGemmAlgo_t) {
  if (handle == nullptr) return CUBLAS_STATUS_NOT_INITIALIZED;
  const Precision precision = precision_of(handle, Atype, Btype, Ctype, computeType);
  if (!precision.known) return CUBLAS_STATUS_NOT_SUPPORTED;
  const auto run = [&](auto type) {
    using T = decltype(type);
    return strided_products<T>(
        handle, "cublas GemmEx", {transa, transb, m, n, k, lda, ldb, ldc, precision.tf32},
        static_cast<const T*>(alpha), static_cast<const T*>(A), strideA, static_cast<const T*>(B),
        strideB, static_cast<const T*>(beta), static_cast<T*>(C), strideC, batchCount);
  };
  return precision.is_double ? run(double{}) : run(float{});
}

cublasStatus_t cublasGemmEx(cublasHandle_t handle, cublasOperation_t transa,
                            cublasOperation_t transb, int m, int n, int k, const void* alpha,
                            const void* A, cudaDataType Atype, int lda, const void* B,
                            cudaDataType Btype, int ldb, const void* beta, void* C,
                            cudaDataType Ctype, int ldc, cublasComputeType_t computeType,
                            cublasGemmAlgo_t algo) {
  return cublasGemmStridedBatchedEx(handle, transa, transb, m, n, k, alpha, A, Atype, lda, 0, B,
                                    Btype, ldb, 0, beta, C, Ctype, ldc, 0, 1, computeType, algo);
}

cublasStatus_t cublasGemmBatchedEx(cublasHandle_t handle, cublasOperation_t transa,
                                   cublasOperation_t transb, int m, int n, int k, const void* alpha,
                                   const void* const Aarray[], cudaDataType Atype, int lda,
                                   const void* const Barray[], cudaDataType Btype, int ldb,
                                   const void* beta, void* const Carray[], cudaDataType Ctype,
                                   int ldc, int batchCount, cublasComputeType_t computeType,
                                   cublasGemmAlgo_t) {
  if (handle == nullptr) return CUBLAS_STATUS_NOT_INITIALIZED;
  const Precision precision = precision_of(handle, Atype, Btype, Ctype, computeType);
  if (!precision.known) return CUBLAS_STATUS_NOT_SUPPORTED;
  const auto run = [&](auto type) {
    using T = decltype(type);
    return listed_products<T>(
        handle, {transa, transb, m, n, k, lda, ldb, ldc, precision.tf32},
        static_cast<const T*>(alpha), reinterpret_cast<const T* const*>(Aarray),
        reinterpret_cast<const T* const*>(Barray), static_cast<const T*>(beta),
        reinterpret_cast<T* const*>(Carray), batchCount);
  };
  return precision.is_double ? run(double{}) : run(float{});
}

}  // extern "C"
