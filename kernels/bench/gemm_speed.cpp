// Speed of the CPU's batched products, beside a loop over OpenBLAS and as shares of the
// multiply-add peak measured in the same run:
//
//   gemm_speed [SECONDS] [THREADS] [M N K]
//
// Rounds of every contender and of the peak are interleaved, and the best round of each counts:
// what else runs on a machine only slows.
#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <random>
#include <vector>

#include <cblas.h>

#include "core/executor/cpu_executor.hpp"
#include "core/executor/memory.hpp"
#include "kernels/backends.hpp"
#include "kernels/cpu/fma_peak.hpp"
#include "kernels/cpu/table.hpp"
#include "kernels/gemm.hpp"

namespace {

using manyfold::Buffer;
using manyfold::Executor;
using manyfold::kernels::Transpose;

double seconds_of(const auto& body) {
  const auto start = std::chrono::steady_clock::now();
  body();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

double best(const std::vector<double>& values) {
  return *std::max_element(values.begin(), values.end());
}

void blas(CBLAS_TRANSPOSE ta, CBLAS_TRANSPOSE tb, int m, int n, int k, const double* a,
          const double* b, double* c) {
  cblas_dgemm(CblasRowMajor, ta, tb, m, n, k, 1, a, ta == CblasNoTrans ? k : m, b,
              tb == CblasNoTrans ? n : k, 0, c, n);
}
void blas(CBLAS_TRANSPOSE ta, CBLAS_TRANSPOSE tb, int m, int n, int k, const float* a,
          const float* b, float* c) {
  cblas_sgemm(CblasRowMajor, ta, tb, m, n, k, 1, a, ta == CblasNoTrans ? k : m, b,
              tb == CblasNoTrans ? n : k, 0, c, n);
}

template <class T>
void measure(Executor& executor, int threads, double seconds, int m, int n, int k) {
  const std::int64_t a_size = std::int64_t{m} * k;
  const std::int64_t b_size = std::int64_t{k} * n;
  const std::int64_t c_size = std::int64_t{m} * n;
  // A tile of slots in L2, as a recorded program has it.
  const std::int64_t slots = std::max<std::int64_t>(
      1, 512 * 1024 / static_cast<std::int64_t>(sizeof(T)) / (a_size + b_size + c_size));
  std::mt19937_64 random(1);
  std::uniform_real_distribution<T> uniform(-1, 1);
  std::vector<T> host(static_cast<std::size_t>(slots * threads * std::max(a_size, b_size)));
  for (T& x : host) x = uniform(random);
  const Buffer<T> a(executor, slots * threads * a_size);
  const Buffer<T> b(executor, slots * threads * b_size);
  const Buffer<T> c(executor, slots * threads * c_size);
  a.upload(std::span<const T>(host).first(static_cast<std::size_t>(a.size())));
  b.upload(std::span<const T>(host).first(static_cast<std::size_t>(b.size())));

  const double flops = 2.0 * m * n * k * static_cast<double>(slots * threads);
  const std::array<const char*, 4> names = {"NN", "TN", "NT", "TT"};
  std::array<std::vector<double>, 4> ours;
  std::vector<double> theirs;
  std::vector<double> peak;
  constexpr double slice = 0.002;  // shorter than what a scheduler gives a process
  const int rounds = std::max(1, static_cast<int>(seconds / 6 / slice));
  for (int round = 0; round < rounds; ++round) {
    peak.push_back(manyfold::kernels::cpu::measure_fma_peak<T>(slice, threads));
    for (int which = 0; which < 5; ++which) {
      const bool ta = which % 2 == 1;
      const bool tb = which % 4 / 2 == 1;
      const manyfold::kernels::GemmArgs<T> args{
          ta ? Transpose::yes : Transpose::no,
          tb ? Transpose::yes : Transpose::no,
          1,
          {a.data(), slots * threads, ta ? k : m, ta ? m : k, a_size, ta ? m : k},
          {b.data(), slots * threads, tb ? n : k, tb ? k : n, b_size, tb ? k : n},
          0,
          {c.data(), slots * threads, m, n, c_size, n}};
      const auto once = [&] {
        if (which < 4) {
          manyfold::kernels::gemm(executor, args);
        } else {
          for (std::int64_t s = 0; s < slots; ++s) {
            blas(CblasNoTrans, CblasNoTrans, m, n, k, a.data() + s * a_size, b.data() + s * b_size,
                 c.data() + s * c_size);
          }
        }
      };
      once();
      double elapsed = 0;
      std::int64_t repeats = 0;
      while (elapsed < slice) {
        elapsed += seconds_of(once);
        ++repeats;
      }
      const double rate = flops * static_cast<double>(repeats) / elapsed;
      if (which < 4) {
        ours[static_cast<std::size_t>(which)].push_back(rate);
      } else {
        theirs.push_back(rate / threads);  // one thread did the slots of one
      }
    }
  }
  const double top = best(peak);
  std::printf("%s %4d %4d %4d  peak %6.1f ", sizeof(T) == 8 ? "f64" : "f32", m, n, k, top * 1e-9);
  for (std::size_t which = 0; which < 4; ++which) {
    const double rate = best(ours[which]);
    std::printf(" | %s %6.1f %3.0f%%", names[which], rate * 1e-9, 100 * rate / top);
  }
  std::printf(" | OpenBLAS NN, one thread %6.1f GFLOP/s\n", best(theirs) * 1e-9);
}

}  // namespace

int main(int argc, char** argv) {
  const double seconds = argc > 1 ? std::atof(argv[1]) : 1;
  const int threads = argc > 2 ? std::atoi(argv[2]) : 1;
  const auto executor = manyfold::kernels::make_executor({.device = "cpu", .threads = threads});
  std::printf("%s, %s, %d threads; GFLOP/s and share of the measured peak\n",
              executor->device().name.c_str(), executor->device().instruction_set.c_str(), threads);
  std::vector<std::array<int, 3>> sizes;
  if (argc > 5) {
    sizes = {{std::atoi(argv[3]), std::atoi(argv[4]), std::atoi(argv[5])}};
  } else {
    for (const int n : {4, 8, 10, 16, 20, 24, 32, 50, 64, 100, 128, 160, 192}) {
      sizes.push_back({n, n, n});
    }
  }
  for (const auto& [m, n, k] : sizes) {
    measure<double>(*executor, threads, seconds, m, n, k);
    measure<float>(*executor, threads, seconds, m, n, k);
  }
}
