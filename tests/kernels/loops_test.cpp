// The CPU's loops of every instruction set that this processor has, not only of the chosen one,
// against each other: they differ by roundings, never by more.
#include "kernels/cpu/loops.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/kernels/devices.hpp"

namespace manyfold::kernels::cpu {
namespace {

using namespace manyfold::test;

std::vector<const Loops*> available_loops() {
  std::vector<const Loops*> all = {&portable::loops};
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) all.push_back(&avx2::loops);
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw")) {
    all.push_back(&avx512::loops);
  }
  return all;
}

TEST(Loops, ChosenOneIsTheBestOrTheOneAskedFor) {
  const char* asked = std::getenv("MANYFOLD_ISA");
  const auto all = available_loops();
  const bool chosen = asked != nullptr && *asked != '\0';
  EXPECT_EQ(std::string(chosen_loops().name), chosen ? asked : all.back()->name);
}

template <class T>
void check_gemm(const Loops& loops) {
  SCOPED_TRACE(loops.name);
  std::mt19937_64 random(test_seed());
  const TypedLoops<T>& typed = loops.*LoopsOf<T>::member;
  for (int m = 1; m <= 25; m += 3) {
    for (int n = 1; n <= 70; ++n) {
      const int k = (5 * m + n) % 19 + 1;
      const bool ta = (m + n) % 2 == 0;
      const bool tb = n % 3 == 0;
      const auto a = random_vector<T>(m * k, random);
      const auto b = random_vector<T>(k * n, random);
      auto c = poisoned<T>(m * n);
      const GemmBatch<T> batch{
          m,          n,        k,     ta,         tb,       T(2),  T(0), a.data(),         m * k,
          ta ? m : k, b.data(), k * n, tb ? k : n, c.data(), m * n, n,    LoopFinish::none, T(0),
          T(1),       nullptr,  0};
      std::vector<T> scratch(static_cast<std::size_t>(typed.gemm_scratch(batch)) + 1, T(NAN));
      typed.gemm(batch, 0, 1, scratch.data());
      EXPECT_TRUE(std::isnan(scratch.back())) << "wrote beyond its scratch";
      for (int i = 0; i < m; ++i) {
        for (int j = 0; j < n; ++j) {
          long double sum = 0;
          long double size = 0;
          for (int p = 0; p < k; ++p) {
            const long double x = a[static_cast<std::size_t>(ta ? p * m + i : i * k + p)];
            const long double y = b[static_cast<std::size_t>(tb ? j * k + p : p * n + j)];
            sum += x * y;
            size += std::fabs(x * y);
          }
          ASSERT_NEAR(c[static_cast<std::size_t>(i * n + j)], static_cast<double>(2 * sum),
                      static_cast<double>(2 * (k + 2) * size) * epsilon<T>())
              << m << "x" << n << "x" << k << " at " << i << ", " << j;
        }
      }
    }
  }
}

TEST(Loops, EverySetMultiplies) {
  for (const Loops* loops : available_loops()) {
    check_gemm<double>(*loops);
    check_gemm<float>(*loops);
  }
}

template <class T>
void check_vectors(const Loops& loops) {
  SCOPED_TRACE(loops.name);
  std::mt19937_64 random(test_seed());
  const TypedLoops<T>& typed = loops.*LoopsOf<T>::member;
  for (std::int64_t count = 0; count <= 140; ++count) {
    const auto x = random_vector<T>(count, random);
    const auto y = random_vector<T>(count, random);
    const auto at = [](std::int64_t i) { return static_cast<std::size_t>(i); };
    std::vector<std::uint8_t> mask;
    double squares = 0;
    double residuals = 0;
    std::vector<T> difference;
    std::vector<T> moved;
    for (std::int64_t i = 0; i < count; ++i) {
      mask.push_back(static_cast<std::uint8_t>(random() % 3));
      squares += static_cast<double>(x[at(i)]) * static_cast<double>(x[at(i)]);
      difference.push_back(mask.back() != 0 ? x[at(i)] - y[at(i)] : T(0));
      residuals += static_cast<double>(difference.back()) * static_cast<double>(difference.back());
      moved.push_back(std::fma(T(-0.3), y[at(i)], x[at(i)]));
    }
    const double bound = static_cast<double>(2 * count) * epsilon<double>();
    EXPECT_NEAR(typed.sum_of_squares(x.data(), count), squares, bound * squares) << count;
    auto out = poisoned<T>(count);
    const double sum = typed.residual(
        {1, count, x.data(), count, y.data(), count, mask.data(), count, true, out.data(), count});
    EXPECT_NEAR(sum, residuals, bound * residuals) << count;
    EXPECT_EQ(bits(out), bits(difference)) << count;
    auto params = x;
    typed.descend(params.data(), y.data(), T(0.3), count);
    EXPECT_EQ(bits(params), bits(moved)) << count;
  }
}

TEST(Loops, EverySetReducesAndDescends) {
  for (const Loops* loops : available_loops()) {
    check_vectors<double>(*loops);
    check_vectors<float>(*loops);
  }
}

/// diag(1, 1/2, ..., 1/n) rotated by two reflections has known singular values.
TEST(Loops, EverySetFindsSingularValues) {
  std::mt19937_64 random(test_seed());
  for (const Loops* loops : available_loops()) {
    SCOPED_TRACE(loops->name);
    for (const std::int64_t n : {1, 2, 5, 13, 20, 33}) {
      const std::int64_t stride = loops->jacobi_stride(n);
      auto left = random_vector<double>(n, random);
      auto right = random_vector<double>(n, random);
      for (auto* v : {&left, &right}) {
        double norm = 0;
        for (const double x : *v) norm += x * x;
        for (double& x : *v) x /= std::sqrt(norm);
      }
      const auto at = [](std::int64_t i) { return static_cast<std::size_t>(i); };
      double inner = 0;  // left^T D right
      for (std::int64_t i = 0; i < n; ++i) {
        inner += left[at(i)] * right[at(i)] / static_cast<double>(i + 1);
      }
      struct alignas(64) Line {
        double part[8];
      };
      std::vector<Line> memory(at((stride * n + 7) / 8));
      double* columns = memory.front().part;
      for (std::int64_t j = 0; j < n; ++j) {
        for (std::int64_t i = 0; i < n; ++i) {
          const double di = 1 / static_cast<double>(i + 1);
          const double dj = 1 / static_cast<double>(j + 1);
          // (I - 2 l l^T) D (I - 2 r r^T)
          columns[j * stride + i] = (i == j ? di : 0.0) - 2 * left[at(i)] * left[at(j)] * dj -
                                    2 * di * right[at(i)] * right[at(j)] +
                                    4 * left[at(i)] * inner * right[at(j)];
        }
      }
      // Of lane l the matrix times l + 1.
      const std::int64_t lanes = loops->jacobi_lanes;
      std::vector<double> in_lanes;
      for (std::int64_t j = 0; j < n; ++j) {
        for (std::int64_t i = 0; i < n; ++i) {
          for (std::int64_t l = 0; l < lanes; ++l) {
            in_lanes.push_back(columns[j * stride + i] * static_cast<double>(l + 1));
          }
        }
      }
      std::vector<double> norms(at(n * lanes));
      std::vector<std::int32_t> exponents(at(n * lanes));
      std::vector<std::int32_t> places(at(n));
      const auto expect_values = [&](std::int64_t step, std::int64_t lane) {
        std::vector<double> values;
        for (std::int64_t j = 0; j < n; ++j) {
          values.push_back(std::ldexp(norms[at(j * step + lane)], exponents[at(j * step + lane)]));
        }
        std::sort(values.begin(), values.end(), std::greater<>());
        const auto factor = static_cast<double>(lane + 1);
        for (std::int64_t i = 0; i < n; ++i) {
          EXPECT_NEAR(values[at(i)], factor / static_cast<double>(i + 1),
                      8 * factor * static_cast<double>(n) * epsilon<double>());
        }
      };
      EXPECT_GE(
          loops->jacobi(n, n, columns, nullptr, norms.data(), exponents.data(), places.data(), 30),
          0);
      expect_values(1, 0);
      std::vector<std::int32_t> sweeps(at(lanes));
      loops->lane_jacobi(
          {n, n, in_lanes.data(), norms.data(), exponents.data(), nullptr, 30, sweeps.data()});
      for (std::int64_t l = 0; l < lanes; ++l) {
        EXPECT_GE(sweeps[at(l)], 0);
        expect_values(lanes, l);
      }
    }
  }
}

}  // namespace
}  // namespace manyfold::kernels::cpu
