// The library stand-ins against naive loops, on the stream like kernels, with the real libraries'
// conventions for scalars, workspace and limits.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include "kernels.cuh"
#include "support.hpp"
#include <cublas_v2.h>
#include <cusolverDn.h>

#define BLAS_OK(call) ASSERT_EQ(call, CUBLAS_STATUS_SUCCESS)
#define SOLVER_OK(call) ASSERT_EQ(call, CUSOLVER_STATUS_SUCCESS)

namespace emulation_tests {
namespace {

// Column-major, leading dimension = rows.
template <typename T>
struct Matrix {
  int rows;
  int columns;
  std::vector<T> values;

  Matrix(int r, int c)
      : rows(r), columns(c), values(static_cast<std::size_t>(r) * static_cast<std::size_t>(c)) {}
  T& operator()(int i, int j) { return values[index(i, j)]; }
  const T& operator()(int i, int j) const { return values[index(i, j)]; }

 private:
  std::size_t index(int i, int j) const {
    return static_cast<std::size_t>(i) +
           static_cast<std::size_t>(j) * static_cast<std::size_t>(rows);
  }
};

template <typename T>
Matrix<T> random_matrix(int rows, int columns, unsigned int seed) {
  Matrix<T> matrix(rows, columns);
  std::uint32_t state = seed * 7919U + 1U;
  for (T& value : matrix.values) {
    state = state * 1664525U + 1013904223U;
    value = static_cast<T>(static_cast<double>(state) / 4294967296.0 - 0.5);
  }
  return matrix;
}

template <typename T>
Matrix<T> transposed(const Matrix<T>& a) {
  Matrix<T> t(a.columns, a.rows);
  for (int j = 0; j < a.columns; ++j) {
    for (int i = 0; i < a.rows; ++i) t(j, i) = a(i, j);
  }
  return t;
}

template <typename T>
Matrix<T> product(const Matrix<T>& a, const Matrix<T>& b) {
  Matrix<T> c(a.rows, b.columns);
  for (int j = 0; j < b.columns; ++j) {
    for (int i = 0; i < a.rows; ++i) {
      double sum = 0.0;
      for (int k = 0; k < a.columns; ++k) {
        sum += static_cast<double>(a(i, k)) * static_cast<double>(b(k, j));
      }
      c(i, j) = static_cast<T>(sum);
    }
  }
  return c;
}

template <typename T>
Matrix<T> symmetric(int n, unsigned int seed) {
  Matrix<T> a = random_matrix<T>(n, n, seed);
  for (int j = 0; j < n; ++j) {
    for (int i = 0; i < j; ++i) a(i, j) = a(j, i);
  }
  return a;
}

template <typename T>
double distance(const std::vector<T>& a, const std::vector<T>& b) {
  EXPECT_EQ(a.size(), b.size());
  double largest = 0.0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double difference = std::fabs(static_cast<double>(a[i]) - static_cast<double>(b[i]));
    if (!(difference <= largest)) largest = difference;  // keeps NaN
  }
  return largest;
}

// Entries are at most 1/2, sums have at most 64 terms: 64 eps bounds their rounding errors.
template <typename T>
constexpr double tolerance = 64.0 * static_cast<double>(std::numeric_limits<T>::epsilon());

class BlasTest : public EmulatorTest {
 protected:
  void SetUp() override {
    EmulatorTest::SetUp();
    ASSERT_EQ(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), cudaSuccess);
    ASSERT_EQ(cublasCreate(&blas_), CUBLAS_STATUS_SUCCESS);
    ASSERT_EQ(cublasSetStream(blas_, stream_), CUBLAS_STATUS_SUCCESS);
    ASSERT_EQ(cusolverDnCreate(&solver_), CUSOLVER_STATUS_SUCCESS);
    ASSERT_EQ(cusolverDnSetStream(solver_, stream_), CUSOLVER_STATUS_SUCCESS);
    ASSERT_EQ(cusolverDnCreateParams(&params_), CUSOLVER_STATUS_SUCCESS);
  }
  void TearDown() override {
    EXPECT_EQ(cusolverDnDestroyParams(params_), CUSOLVER_STATUS_SUCCESS);
    EXPECT_EQ(cusolverDnDestroy(solver_), CUSOLVER_STATUS_SUCCESS);
    EXPECT_EQ(cublasDestroy(blas_), CUBLAS_STATUS_SUCCESS);
    EXPECT_EQ(cudaStreamDestroy(stream_), cudaSuccess);
    EmulatorTest::TearDown();
  }

  // Results are fetched on the handle's stream.
  template <typename T>
  std::vector<T> fetch(const DeviceArray<T>& array) {
    EXPECT_EQ(cudaStreamSynchronize(stream_), cudaSuccess);
    return array.get();
  }

  cudaStream_t stream_ = nullptr;
  cublasHandle_t blas_ = nullptr;
  cusolverDnHandle_t solver_ = nullptr;
  cusolverDnParams_t params_ = nullptr;
};

TEST_F(BlasTest, Gemm) {
  const auto a = random_matrix<double>(13, 7, 1);
  const auto b = random_matrix<double>(5, 7, 2);
  const DeviceArray<double> da(a.values);
  const DeviceArray<double> db(b.values);
  const DeviceArray<double> dc(13 * 5);  // NaN: not to be read, as beta is zero
  double alpha = 2.0;
  double beta = 0.0;
  BLAS_OK(cublasDgemm(blas_, CUBLAS_OP_N, CUBLAS_OP_T, 13, 5, 7, &alpha, da.data(), 13, db.data(),
                      5, &beta, dc.data(), 13));
  alpha = beta = 100.0;  // read by the call
  auto expected = product(a, transposed(b));
  for (double& x : expected.values) x *= 2.0;
  EXPECT_LE(distance(fetch(dc), expected.values), tolerance<double>);
  EXPECT_EQ(cublasDgemm(blas_, CUBLAS_OP_N, CUBLAS_OP_T, 13, 5, 7, &alpha, da.data(), 12, db.data(),
                        5, &beta, dc.data(), 13),
            CUBLAS_STATUS_INVALID_VALUE);
}

TEST_F(BlasTest, StridedBatchesAndDeviceScalars) {
  const int n = 9;
  const int count = 6;
  std::vector<float> a;
  std::vector<float> b;
  std::vector<float> expected;
  for (unsigned int i = 0; i < count; ++i) {
    const auto ai = random_matrix<float>(n, n, 2 * i);
    const auto bi = random_matrix<float>(n, n, 2 * i + 1);
    const auto ci = product(transposed(ai), bi);
    a.insert(a.end(), ai.values.begin(), ai.values.end());
    b.insert(b.end(), bi.values.begin(), bi.values.end());
    expected.insert(expected.end(), ci.values.begin(), ci.values.end());
  }
  const DeviceArray<float> da(a);
  const DeviceArray<float> db(b);
  const DeviceArray<float> dc(a.size());
  const DeviceArray<float> scalars(std::vector<float>{1.0F, 0.0F});
  CUDA_OK(cudaDeviceSynchronize());
  BLAS_OK(cublasSetPointerMode(blas_, CUBLAS_POINTER_MODE_DEVICE));
  BLAS_OK(cublasSgemmStridedBatched(blas_, CUBLAS_OP_T, CUBLAS_OP_N, n, n, n, scalars.data(),
                                    da.data(), n, n * n, db.data(), n, n * n, scalars.data() + 1,
                                    dc.data(), n, n * n, count));
  EXPECT_LE(distance(fetch(dc), expected), tolerance<float>);
  BLAS_OK(cublasGemmStridedBatchedEx(blas_, CUBLAS_OP_T, CUBLAS_OP_N, n, n, n, scalars.data(),
                                     da.data(), CUDA_R_32F, n, n * n, db.data(), CUDA_R_32F, n,
                                     n * n, scalars.data() + 1, dc.data(), CUDA_R_32F, n, n * n,
                                     count, CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT));
  EXPECT_LE(distance(fetch(dc), expected), tolerance<float>);
  EXPECT_EQ(cublasGemmEx(blas_, CUBLAS_OP_T, CUBLAS_OP_N, n, n, n, scalars.data(), da.data(),
                         CUDA_R_32F, n, db.data(), CUDA_R_64F, n, scalars.data() + 1, dc.data(),
                         CUDA_R_32F, n, CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT),
            CUBLAS_STATUS_NOT_SUPPORTED);
}

TEST_F(BlasTest, Tf32RoundsTheFactors) {
  // 1 + 2^-11 is half way between neighbours of ten bits and rounds away from zero.
  const DeviceArray<float> a(std::vector<float>{1.0F + 0x1.0p-11F});
  const DeviceArray<float> b(std::vector<float>{1.0F + 0x1.0p-12F});
  const DeviceArray<float> c(1);
  CUDA_OK(cudaDeviceSynchronize());
  const float one = 1.0F;
  const float zero = 0.0F;
  const auto multiply = [&](cublasComputeType_t type) {
    EXPECT_EQ(cublasGemmEx(blas_, CUBLAS_OP_N, CUBLAS_OP_N, 1, 1, 1, &one, a.data(), CUDA_R_32F, 1,
                           b.data(), CUDA_R_32F, 1, &zero, c.data(), CUDA_R_32F, 1, type,
                           CUBLAS_GEMM_DEFAULT),
              CUBLAS_STATUS_SUCCESS);
    return fetch(c)[0];
  };
  EXPECT_EQ(multiply(CUBLAS_COMPUTE_32F_FAST_TF32), 1.0F + 0x1.0p-10F);
  EXPECT_EQ(multiply(CUBLAS_COMPUTE_32F), (1.0F + 0x1.0p-11F) * (1.0F + 0x1.0p-12F));
  BLAS_OK(cublasSetMathMode(blas_, CUBLAS_TF32_TENSOR_OP_MATH));
  EXPECT_EQ(multiply(CUBLAS_COMPUTE_32F), 1.0F + 0x1.0p-10F);
  EXPECT_EQ(multiply(CUBLAS_COMPUTE_32F_PEDANTIC), (1.0F + 0x1.0p-11F) * (1.0F + 0x1.0p-12F));
}

TEST_F(BlasTest, VectorOperations) {
  const auto x = random_matrix<double>(50, 1, 3);
  const auto y = random_matrix<double>(50, 1, 4);
  const DeviceArray<double> dx(x.values);
  const DeviceArray<double> dy(y.values);
  CUDA_OK(cudaDeviceSynchronize());
  double dot = 0.0;
  double norm = 0.0;
  int index = 0;
  BLAS_OK(cublasDdot(blas_, 50, dx.data(), 1, dy.data(), 1, &dot));  // waits
  BLAS_OK(cublasDnrm2(blas_, 50, dx.data(), 1, &norm));
  BLAS_OK(cublasIdamax(blas_, 50, dx.data(), 1, &index));
  double expected_dot = 0.0;
  double expected_square = 0.0;
  std::size_t largest = 0;
  for (std::size_t i = 0; i < 50; ++i) {
    expected_dot += x.values[i] * y.values[i];
    expected_square += x.values[i] * x.values[i];
    if (std::fabs(x.values[i]) > std::fabs(x.values[largest])) largest = i;
  }
  EXPECT_NEAR(dot, expected_dot, tolerance<double>);
  EXPECT_NEAR(norm, std::sqrt(expected_square), tolerance<double>);
  EXPECT_EQ(index, static_cast<int>(largest) + 1);
  const double alpha = 3.0;
  BLAS_OK(cublasDaxpy(blas_, 50, &alpha, dx.data(), 1, dy.data(), 1));
  BLAS_OK(cublasDscal(blas_, 25, &alpha, dy.data(), 2));
  const auto result = fetch(dy);
  EXPECT_NEAR(result[0], 3.0 * (y.values[0] + 3.0 * x.values[0]), tolerance<double>);
  EXPECT_NEAR(result[1], y.values[1] + 3.0 * x.values[1], tolerance<double>);
  // With a device pointer the result is written in order and the call does not wait.
  const DeviceArray<double> result_on_device(1);
  BLAS_OK(cublasSetPointerMode(blas_, CUBLAS_POINTER_MODE_DEVICE));
  BLAS_OK(cublasDdot(blas_, 50, dx.data(), 1, dx.data(), 1, result_on_device.data()));
  EXPECT_NEAR(fetch(result_on_device)[0], expected_square, tolerance<double>);
}

TEST_F(BlasTest, SyrkGeamTrsmGemv) {
  const int n = 8;
  const int k = 5;
  const double one = 1.0;
  const double minus = -2.0;
  const double zero = 0.0;
  const auto a = random_matrix<double>(n, k, 5);
  const DeviceArray<double> da(a.values);
  const DeviceArray<double> dc(static_cast<std::size_t>(n * n));
  CUDA_OK(cudaDeviceSynchronize());
  BLAS_OK(cublasDsyrk(blas_, CUBLAS_FILL_MODE_LOWER, CUBLAS_OP_N, n, k, &one, da.data(), n, &zero,
                      dc.data(), n));
  const auto gram = product(a, transposed(a));
  const auto c = fetch(dc);
  for (int j = 0; j < n; ++j) {
    for (int i = 0; i < n; ++i) {
      const double value = c[static_cast<std::size_t>(i + j * n)];
      if (i >= j) {
        EXPECT_NEAR(value, gram(i, j), tolerance<double>);
      } else {
        EXPECT_TRUE(std::isnan(value));  // the other triangle stays
      }
    }
  }

  const auto b = random_matrix<double>(k, n, 6);
  const DeviceArray<double> db(b.values);
  const DeviceArray<double> sum(static_cast<std::size_t>(n * k));
  CUDA_OK(cudaDeviceSynchronize());
  BLAS_OK(cublasDgeam(blas_, CUBLAS_OP_N, CUBLAS_OP_T, n, k, &one, da.data(), n, &minus, db.data(),
                      k, sum.data(), n));
  const auto s = fetch(sum);
  EXPECT_NEAR(s[3], a(3, 0) - 2.0 * b(0, 3), tolerance<double>);

  Matrix<double> lower = random_matrix<double>(n, n, 7);
  for (int i = 0; i < n; ++i) lower(i, i) += 4.0;
  const auto solution = random_matrix<double>(n, 3, 8);
  Matrix<double> only_lower = lower;
  for (int j = 0; j < n; ++j) {
    for (int i = 0; i < j; ++i) only_lower(i, j) = 0.0;
  }
  const DeviceArray<double> dl(lower.values);
  const DeviceArray<double> rhs(product(only_lower, solution).values);
  CUDA_OK(cudaDeviceSynchronize());
  BLAS_OK(cublasDtrsm(blas_, CUBLAS_SIDE_LEFT, CUBLAS_FILL_MODE_LOWER, CUBLAS_OP_N,
                      CUBLAS_DIAG_NON_UNIT, n, 3, &one, dl.data(), n, rhs.data(), n));
  EXPECT_LE(distance(fetch(rhs), solution.values), tolerance<double>);

  // The batched form takes lists of pointers in device memory.
  const DeviceArray<double> rhs2(product(only_lower, solution).values);
  const DeviceArray<double*> matrices(std::vector<double*>{dl.data()});
  const DeviceArray<double*> sides(std::vector<double*>{rhs2.data()});
  CUDA_OK(cudaDeviceSynchronize());
  BLAS_OK(cublasDtrsmBatched(blas_, CUBLAS_SIDE_LEFT, CUBLAS_FILL_MODE_LOWER, CUBLAS_OP_N,
                             CUBLAS_DIAG_NON_UNIT, n, 3, &one, matrices.data(), n, sides.data(), n,
                             1));
  EXPECT_LE(distance(fetch(rhs2), solution.values), tolerance<double>);

  const auto x = random_matrix<double>(k, 1, 9);
  const DeviceArray<double> dx(x.values);
  const DeviceArray<double> dy(static_cast<std::size_t>(n));
  CUDA_OK(cudaDeviceSynchronize());
  BLAS_OK(
      cublasDgemv(blas_, CUBLAS_OP_N, n, k, &one, da.data(), n, dx.data(), 1, &zero, dy.data(), 1));
  EXPECT_LE(distance(fetch(dy), product(a, x).values), tolerance<double>);
}

TEST_F(BlasTest, CallsAreOrderedAndCapturable) {
  const int n = 4;
  const DeviceArray<float> a(std::vector<float>(16, 1.0F));
  const DeviceArray<float> c(16);
  const float one = 1.0F;
  const float zero = 0.0F;
  CUDA_OK(cudaDeviceSynchronize());
  CUDA_OK(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeGlobal));
  CUDA_OK(launch(fill, 1, 32, 0, stream_, a.data(), 2.0F, 16));
  BLAS_OK(cublasSgemm(blas_, CUBLAS_OP_N, CUBLAS_OP_N, n, n, n, &one, a.data(), n, a.data(), n,
                      &zero, c.data(), n));
  CUDA_OK(launch(add, 1, 32, 0, stream_, c.data(), static_cast<const float*>(a.data()), 1.0F, 16));
  cudaGraph_t graph = nullptr;
  CUDA_OK(cudaStreamEndCapture(stream_, &graph));
  cudaGraphExec_t executable = nullptr;
  CUDA_OK(cudaGraphInstantiate(&executable, graph));
  for (int i = 0; i < 3; ++i) {
    CUDA_OK(cudaGraphLaunch(executable, stream_));
    EXPECT_EQ(fetch(c), std::vector<float>(16, 18.0F));
  }
  CUDA_OK(cudaGraphExecDestroy(executable));
  CUDA_OK(cudaGraphDestroy(graph));

  // A result in host memory would have to wait.
  CUDA_OK(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeGlobal));
  float norm = 0.0F;
  EXPECT_EQ(cublasSnrm2(blas_, 16, a.data(), 1, &norm), CUBLAS_STATUS_EXECUTION_FAILED);
  EXPECT_EQ(cudaStreamEndCapture(stream_, &graph), cudaErrorStreamCaptureInvalidated);
  static_cast<void>(cudaGetLastError());
}

TEST_F(BlasTest, OperandsInHostMemoryBreakTheDevice) {
  std::vector<float> host(16);
  const float one = 1.0F;
  EXPECT_EQ(cublasSscal(blas_, 16, &one, host.data(), 1), CUBLAS_STATUS_EXECUTION_FAILED);
  EXPECT_EQ(cudaGetLastError(), cudaErrorIllegalAddress);
  EXPECT_NE(emulation::last_report().find("cublas scal is given a pointer to host memory"),
            std::string::npos);
  CUDA_OK(cudaDeviceReset());
  CUDA_OK(cudaStreamCreate(&stream_));
}

TEST_F(BlasTest, WithoutADriverNoHandle) {
  emulation::set_device_count(0);
  cublasHandle_t blas = nullptr;
  cusolverDnHandle_t solver = nullptr;
  EXPECT_EQ(cublasCreate(&blas), CUBLAS_STATUS_NOT_INITIALIZED);
  EXPECT_EQ(cusolverDnCreate(&solver), CUSOLVER_STATUS_NOT_INITIALIZED);
  emulation::set_device_count(1);
  static_cast<void>(cudaGetLastError());
}

// ||A V - V diag(w)|| and orthonormality.
template <typename T>
void expect_eigenpairs(const Matrix<T>& a, const std::vector<T>& w, const Matrix<T>& v) {
  const auto av = product(a, v);
  for (int j = 0; j < v.columns; ++j) {
    for (int i = 0; i < a.rows; ++i) {
      EXPECT_NEAR(av(i, j), w[static_cast<std::size_t>(j)] * v(i, j), 8 * tolerance<T>);
    }
    if (j > 0) {
      EXPECT_LE(w[static_cast<std::size_t>(j - 1)], w[static_cast<std::size_t>(j)]);
    }
  }
  const auto vv = product(transposed(v), v);
  for (int j = 0; j < v.columns; ++j) {
    for (int i = 0; i < v.columns; ++i) {
      EXPECT_NEAR(vv(i, j), i == j ? 1.0 : 0.0, 8 * tolerance<T>);
    }
  }
}

TEST_F(BlasTest, BatchedSymmetricEigenproblems) {
  const int n = 12;
  const int count = 3;
  std::vector<double> all;
  std::vector<Matrix<double>> matrices;
  for (unsigned int i = 0; i < count; ++i) {
    matrices.push_back(symmetric<double>(n, 20 + i));
    all.insert(all.end(), matrices.back().values.begin(), matrices.back().values.end());
  }
  const DeviceArray<double> a(all);
  const DeviceArray<double> w(n * count);
  const DeviceArray<int> info(count);
  CUDA_OK(cudaDeviceSynchronize());
  std::size_t device_bytes = 0;
  std::size_t host_bytes = 0;
  SOLVER_OK(cusolverDnXsyevBatched_bufferSize(
      solver_, params_, CUSOLVER_EIG_MODE_VECTOR, CUBLAS_FILL_MODE_LOWER, n, CUDA_R_64F, a.data(),
      n, CUDA_R_64F, w.data(), CUDA_R_64F, &device_bytes, &host_bytes, count));
  const DeviceArray<char> work(device_bytes);
  SOLVER_OK(cusolverDnXsyevBatched(solver_, params_, CUSOLVER_EIG_MODE_VECTOR,
                                   CUBLAS_FILL_MODE_LOWER, n, CUDA_R_64F, a.data(), n, CUDA_R_64F,
                                   w.data(), CUDA_R_64F, work.data(), device_bytes, nullptr,
                                   host_bytes, info.data(), count));
  const auto vectors = fetch(a);
  const auto values = fetch(w);
  EXPECT_EQ(fetch(info), std::vector<int>(count, 0));
  for (std::size_t i = 0; i < count; ++i) {
    Matrix<double> v(n, n);
    std::copy_n(vectors.begin() + static_cast<std::ptrdiff_t>(i * n * n), n * n, v.values.begin());
    expect_eigenpairs(
        matrices[i],
        std::vector<double>(values.begin() + static_cast<std::ptrdiff_t>(i * n),
                            values.begin() + static_cast<std::ptrdiff_t>((i + 1) * n)),
        v);
  }
  // Less workspace than asked for is refused.
  EXPECT_EQ(
      cusolverDnXsyevBatched(solver_, params_, CUSOLVER_EIG_MODE_VECTOR, CUBLAS_FILL_MODE_LOWER, n,
                             CUDA_R_64F, a.data(), n, CUDA_R_64F, w.data(), CUDA_R_64F, work.data(),
                             device_bytes - 1, nullptr, host_bytes, info.data(), count),
      CUSOLVER_STATUS_INVALID_VALUE);
}

TEST_F(BlasTest, EndsOfASpectrum) {
  const int n = 15;
  const auto matrix = symmetric<double>(n, 30);
  const DeviceArray<double> full(matrix.values);
  const DeviceArray<double> a(matrix.values);
  const DeviceArray<double> w(n);
  const DeviceArray<double> w_all(n);
  const DeviceArray<int> info(1);
  CUDA_OK(cudaDeviceSynchronize());
  std::size_t device_bytes = 0;
  std::size_t host_bytes = 0;
  std::int64_t found = 0;
  SOLVER_OK(cusolverDnXsyevdx_bufferSize(
      solver_, params_, CUSOLVER_EIG_MODE_VECTOR, CUSOLVER_EIG_RANGE_I, CUBLAS_FILL_MODE_UPPER, n,
      CUDA_R_64F, a.data(), n, nullptr, nullptr, 1, 3, &found, CUDA_R_64F, w.data(), CUDA_R_64F,
      &device_bytes, &host_bytes));
  const DeviceArray<char> work(device_bytes);
  SOLVER_OK(cusolverDnXsyevdx(solver_, params_, CUSOLVER_EIG_MODE_VECTOR, CUSOLVER_EIG_RANGE_I,
                              CUBLAS_FILL_MODE_UPPER, n, CUDA_R_64F, a.data(), n, nullptr, nullptr,
                              1, 3, &found, CUDA_R_64F, w.data(), CUDA_R_64F, work.data(),
                              device_bytes, nullptr, host_bytes, info.data()));
  EXPECT_EQ(found, 3);
  SOLVER_OK(cusolverDnXsyevd(solver_, params_, CUSOLVER_EIG_MODE_NOVECTOR, CUBLAS_FILL_MODE_UPPER,
                             n, CUDA_R_64F, full.data(), n, CUDA_R_64F, w_all.data(), CUDA_R_64F,
                             work.data(), device_bytes, nullptr, host_bytes, info.data()));
  Matrix<double> v(n, 3);
  const auto vectors = fetch(a);
  std::copy_n(vectors.begin(), 3 * n, v.values.begin());
  auto values = fetch(w);
  values.resize(3);
  expect_eigenpairs(matrix, values, v);
  const auto all = fetch(w_all);
  for (std::size_t i = 0; i < 3; ++i) EXPECT_NEAR(values[i], all[i], 8 * tolerance<double>);
}

TEST_F(BlasTest, SingularValues) {
  const int m = 10;
  const int n = 6;
  const auto matrix = random_matrix<float>(m, n, 40);
  const DeviceArray<float> a(matrix.values);
  const DeviceArray<float> s(n);
  const DeviceArray<float> u(m * m);
  const DeviceArray<float> v(n * n);
  const DeviceArray<int> info(1);
  CUDA_OK(cudaDeviceSynchronize());
  gesvdjInfo_t jacobi = nullptr;
  SOLVER_OK(cusolverDnCreateGesvdjInfo(&jacobi));
  int lwork = 0;
  SOLVER_OK(cusolverDnSgesvdjBatched_bufferSize(solver_, CUSOLVER_EIG_MODE_VECTOR, m, n, a.data(),
                                                m, s.data(), u.data(), m, v.data(), n, &lwork,
                                                jacobi, 1));
  const DeviceArray<float> work(static_cast<std::size_t>(lwork));
  SOLVER_OK(cusolverDnSgesvdjBatched(solver_, CUSOLVER_EIG_MODE_VECTOR, m, n, a.data(), m, s.data(),
                                     u.data(), m, v.data(), n, work.data(), lwork, info.data(),
                                     jacobi, 1));
  EXPECT_EQ(fetch(info)[0], 0);
  const auto values = fetch(s);
  Matrix<float> left(m, m);
  Matrix<float> right(n, n);  // V itself, not its transpose
  left.values = fetch(u);
  right.values = fetch(v);
  Matrix<float> scaled(m, n);
  for (int j = 0; j < n; ++j) {
    for (int i = 0; i < m; ++i) scaled(i, j) = left(i, j) * values[static_cast<std::size_t>(j)];
  }
  EXPECT_LE(distance(product(scaled, transposed(right)).values, matrix.values),
            4 * tolerance<float>);
  EXPECT_TRUE(std::is_sorted(values.rbegin(), values.rend()));
  // Beyond 32 the real function does not go.
  EXPECT_EQ(
      cusolverDnSgesvdjBatched_bufferSize(solver_, CUSOLVER_EIG_MODE_VECTOR, 33, n, a.data(), 33,
                                          s.data(), u.data(), 33, v.data(), n, &lwork, jacobi, 1),
      CUSOLVER_STATUS_INVALID_VALUE);
  SOLVER_OK(cusolverDnDestroyGesvdjInfo(jacobi));

  // The same values from the QR-based function, which takes no wide matrices.
  const DeviceArray<float> again(matrix.values);
  const DeviceArray<float> s2(n);
  CUDA_OK(cudaDeviceSynchronize());
  std::size_t device_bytes = 0;
  std::size_t host_bytes = 0;
  SOLVER_OK(cusolverDnXgesvd_bufferSize(
      solver_, params_, 'N', 'N', m, n, CUDA_R_32F, again.data(), m, CUDA_R_32F, s2.data(),
      CUDA_R_32F, nullptr, 1, CUDA_R_32F, nullptr, 1, CUDA_R_32F, &device_bytes, &host_bytes));
  const DeviceArray<char> bytes(device_bytes);
  SOLVER_OK(cusolverDnXgesvd(solver_, params_, 'N', 'N', m, n, CUDA_R_32F, again.data(), m,
                             CUDA_R_32F, s2.data(), CUDA_R_32F, nullptr, 1, CUDA_R_32F, nullptr, 1,
                             CUDA_R_32F, bytes.data(), device_bytes, nullptr, host_bytes,
                             info.data()));
  EXPECT_LE(distance(fetch(s2), values), 4 * tolerance<float>);
  EXPECT_EQ(
      cusolverDnXgesvd_bufferSize(solver_, params_, 'N', 'N', n, m, CUDA_R_32F, again.data(), n,
                                  CUDA_R_32F, s2.data(), CUDA_R_32F, nullptr, 1, CUDA_R_32F,
                                  nullptr, 1, CUDA_R_32F, &device_bytes, &host_bytes),
      CUSOLVER_STATUS_INVALID_VALUE);
}

TEST_F(BlasTest, CholeskyAndQr) {
  const int n = 9;
  const auto root = random_matrix<double>(n, n, 50);
  auto spd = product(root, transposed(root));
  for (int i = 0; i < n; ++i) spd(i, i) += 1.0;
  const DeviceArray<double> a(spd.values);
  const DeviceArray<int> info(1);
  CUDA_OK(cudaDeviceSynchronize());
  int lwork = 0;
  SOLVER_OK(cusolverDnDpotrf_bufferSize(solver_, CUBLAS_FILL_MODE_LOWER, n, a.data(), n, &lwork));
  const DeviceArray<double> work(static_cast<std::size_t>(lwork));
  SOLVER_OK(cusolverDnDpotrf(solver_, CUBLAS_FILL_MODE_LOWER, n, a.data(), n, work.data(), lwork,
                             info.data()));
  Matrix<double> lower(n, n);
  lower.values = fetch(a);
  EXPECT_EQ(fetch(info)[0], 0);
  for (int j = 0; j < n; ++j) {
    for (int i = 0; i < j; ++i) lower(i, j) = 0.0;
  }
  EXPECT_LE(distance(product(lower, transposed(lower)).values, spd.values), 8 * tolerance<double>);
  const auto x = random_matrix<double>(n, 2, 51);
  const DeviceArray<double> b(product(spd, x).values);
  CUDA_OK(cudaDeviceSynchronize());
  SOLVER_OK(cusolverDnDpotrs(solver_, CUBLAS_FILL_MODE_LOWER, n, 2, a.data(), n, b.data(), n,
                             info.data()));
  EXPECT_LE(distance(fetch(b), x.values), 64 * tolerance<double>);
  // A matrix that is not positive definite names the minor.
  Matrix<double> indefinite(2, 2);
  indefinite(0, 0) = 1.0;
  indefinite(1, 1) = -1.0;
  const DeviceArray<double> d(indefinite.values);
  CUDA_OK(cudaDeviceSynchronize());
  SOLVER_OK(cusolverDnDpotrf(solver_, CUBLAS_FILL_MODE_LOWER, 2, d.data(), 2, work.data(), lwork,
                             info.data()));
  EXPECT_EQ(fetch(info)[0], 2);

  const int m = 12;
  const auto tall = random_matrix<double>(m, n, 52);
  const DeviceArray<double> q(tall.values);
  const DeviceArray<double> tau(n);
  CUDA_OK(cudaDeviceSynchronize());
  SOLVER_OK(cusolverDnDgeqrf_bufferSize(solver_, m, n, q.data(), m, &lwork));
  const DeviceArray<double> qr_work(static_cast<std::size_t>(lwork));
  SOLVER_OK(
      cusolverDnDgeqrf(solver_, m, n, q.data(), m, tau.data(), qr_work.data(), lwork, info.data()));
  Matrix<double> factor(m, n);
  factor.values = fetch(q);
  Matrix<double> upper(n, n);
  for (int j = 0; j < n; ++j) {
    for (int i = 0; i <= j; ++i) upper(i, j) = factor(i, j);
  }
  SOLVER_OK(cusolverDnDorgqr(solver_, m, n, n, q.data(), m, tau.data(), qr_work.data(), lwork,
                             info.data()));
  Matrix<double> orthogonal(m, n);
  orthogonal.values = fetch(q);
  EXPECT_LE(distance(product(orthogonal, upper).values, tall.values), 8 * tolerance<double>);
}

}  // namespace
}  // namespace emulation_tests
