// Times large products.
#include "apps/bench/product_rate.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <vector>

#include <cblas.h>

#include "core/executor/cpu_executor.hpp"
#include "core/executor/memory.hpp"
#include "kernels/gemm.hpp"

extern "C" void openblas_set_num_threads(int threads);  // no header declares it

namespace manyfold::apps {
namespace {

/// Sides of the products; a BLAS may be at its best with either.
constexpr std::int64_t sides[] = {1536, 3072};

void blas_product(int n, const float* a, const float* b, float* c) {
  cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, n, n, n, 1, a, n, b, n, 0, c, n);
}
void blas_product(int n, const double* a, const double* b, double* c) {
  cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasTrans, n, n, n, 1, a, n, b, n, 0, c, n);
}

/// Calls per second.
template <class Call>
double calls_per_second(double seconds, const Call& call) {
  using Clock = std::chrono::steady_clock;
  call();
  const auto began = Clock::now();
  double took = 0;
  int times = 0;
  for (; took < seconds; ++times) {
    call();
    took = std::chrono::duration<double>(Clock::now() - began).count();
  }
  return times / took;
}

}  // namespace

template <class T>
double product_rate(Executor& executor, double seconds) {
  double best = 0;
  for (const std::int64_t n : sides) {
    Buffer<T> a(executor, n * n);
    Buffer<T> b(executor, n * n);
    Buffer<T> c(executor, n * n);
    std::vector<T> numbers(static_cast<std::size_t>(n * n));
    for (std::size_t i = 0; i < numbers.size(); ++i) {
      numbers[i] = static_cast<T>(static_cast<int>(i % 17) - 8) / T(8);
    }
    a.upload(numbers);
    b.upload(numbers);
    const auto view = [&](const Buffer<T>& m) {
      return MatrixBatch<T>{m.data(), 1, n, n, n * n, n};
    };
    const double operations = 2 * std::pow(static_cast<double>(n), 3);
    best = std::max(best, operations * calls_per_second(seconds, [&] {
                            kernels::gemm<T>(executor,
                                             {kernels::Transpose::no, kernels::Transpose::yes, T(1),
                                              view(a), view(b), T(0), view(c)});
                            executor.synchronize();
                          }));
    if (const auto* cpu = dynamic_cast<const CpuExecutor*>(&executor)) {
      openblas_set_num_threads(cpu->threads());
      best = std::max(best, operations * calls_per_second(seconds, [&] {
                              blas_product(static_cast<int>(n), a.data(), b.data(), c.data());
                            }));
      openblas_set_num_threads(1);
    }
  }
  return best;
}
template double product_rate<float>(Executor&, double);
template double product_rate<double>(Executor&, double);

}  // namespace manyfold::apps
