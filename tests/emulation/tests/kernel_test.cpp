// The kernel language: what blocks compute, in whatever order their threads run.
#include <cmath>
#include <cstdint>
#include <cstring>
#include <numeric>

#include "kernels.cuh"
#include "support.hpp"

namespace emulation_tests {
namespace {

using KernelTest = EmulatorTest;

// Small integers, so that sums are exact in any order.
std::vector<float> small_integers(std::size_t count, unsigned int seed) {
  std::vector<float> values(count);
  std::uint32_t state = seed;
  for (float& value : values) {
    state = state * 1664525U + 1013904223U;
    value = static_cast<float>(static_cast<int>(state >> 28) - 8);
  }
  return values;
}

std::vector<float> product(const std::vector<float>& a, const std::vector<float>& b, int n,
                           int count) {
  std::vector<float> c(a.size(), 0.0F);
  const auto size = static_cast<std::size_t>(n);
  for (std::size_t batch = 0; batch < static_cast<std::size_t>(count); ++batch) {
    const std::size_t offset = batch * size * size;
    for (std::size_t i = 0; i < size; ++i) {
      for (std::size_t k = 0; k < size; ++k) {
        for (std::size_t j = 0; j < size; ++j) {
          c[offset + i * size + j] += a[offset + i * size + k] * b[offset + k * size + j];
        }
      }
    }
  }
  return c;
}

template <bool after_load, bool after_use>
std::vector<float> run_product(const std::vector<float>& a, const std::vector<float>& b, int n,
                               int count) {
  const DeviceArray<float> da(a);
  const DeviceArray<float> db(b);
  const DeviceArray<float> dc(a.size());
  const unsigned int tiles = static_cast<unsigned int>((n + tile - 1) / tile);
  EXPECT_EQ(launch(multiply_tiled<after_load, after_use>,
                   dim3(tiles, tiles, static_cast<unsigned int>(count)), dim3(tile, tile), 0,
                   nullptr, da.data(), db.data(), dc.data(), n),
            cudaSuccess);
  EXPECT_EQ(cudaDeviceSynchronize(), cudaSuccess);
  return dc.get();
}

TEST_F(KernelTest, TiledProductIsRightForManySeeds) {
  const int n = 37;
  const int count = 3;
  const auto a = small_integers(static_cast<std::size_t>(n) * n * count, 1);
  const auto b = small_integers(static_cast<std::size_t>(n) * n * count, 2);
  const auto expected = product(a, b, n, count);
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    emulation::set_seed(seed);
    EXPECT_EQ((run_product<true, true>(a, b, n, count)), expected) << "seed " << seed;
  }
}

template <bool after_load, bool after_use>
void expect_race_found() {
  const int n = 37;
  const auto a = small_integers(static_cast<std::size_t>(n) * n, 3);
  const auto b = small_integers(static_cast<std::size_t>(n) * n, 4);
  const auto expected = product(a, b, n, 1);
  int wrong = 0;
  for (std::uint64_t seed = 0; seed < 5; ++seed) {
    emulation::set_seed(seed);
    wrong += run_product<after_load, after_use>(a, b, n, 1) != expected;
  }
  EXPECT_GE(wrong, 4);  // of 5 seeds: nearly every order shows it
}

TEST_F(KernelTest, BarrierMissingAfterTheLoadChangesTheResult) { expect_race_found<false, true>(); }

TEST_F(KernelTest, BarrierMissingAfterTheUseChangesTheResult) { expect_race_found<true, false>(); }

TEST_F(KernelTest, BarrierMissingInABlockSumChangesTheResult) {
  const DeviceArray<float> values(std::vector<float>(1024, 1.0F));
  const DeviceArray<float> sums(4);
  int wrong = 0;
  for (std::uint64_t seed = 0; seed < 5; ++seed) {
    emulation::set_seed(seed);
    CUDA_OK(launch(broken_missing_barrier, 4, 256, 0, nullptr, values.data(), sums.data()));
    wrong += sums.get() != std::vector<float>(4, 256.0F);
  }
  EXPECT_GE(wrong, 1);
}

TEST_F(KernelTest, BlockSumsByShuffles) {
  std::vector<double> values(10000);
  std::iota(values.begin(), values.end(), 1.0);
  const DeviceArray<double> in(values);
  const DeviceArray<double> out(7);
  for (std::uint64_t seed = 0; seed < 5; ++seed) {
    emulation::set_seed(seed);
    CUDA_OK(launch(sum_chunks<double>, 7, 256, 0, nullptr, in.data(), out.data(), 10000));
    const auto sums = out.get();
    EXPECT_EQ(std::accumulate(sums.begin(), sums.end(), 0.0), 10000.0 * 10001.0 / 2.0);
  }
}

TEST_F(KernelTest, HistogramInDynamicSharedMemory) {
  std::vector<int> values(5000);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<int>(i % 10);
  const DeviceArray<int> in(values);
  const DeviceArray<unsigned int> bins(std::vector<unsigned int>(10, 0U));
  CUDA_OK(launch(histogram, 6, 128, 10 * sizeof(unsigned int), nullptr, in.data(), bins.data(), 10,
                 5000));
  EXPECT_EQ(bins.get(), std::vector<unsigned int>(10, 500U));
}

TEST_F(KernelTest, AtomicsAreAtomicAcrossBlocks) {
  emulation::set_threads(4);
  AtomicResults start{};
  start.claimed = -1;
  const DeviceArray<AtomicResults> results(std::vector<AtomicResults>{start});
  CUDA_OK(launch(use_atomics, 64, 256, 0, nullptr, results.data()));
  const AtomicResults end = results.get()[0];
  const int threads = 64 * 256;
  EXPECT_EQ(end.sum, threads / 2 * (threads - 1));
  EXPECT_EQ(end.maximum, static_cast<unsigned int>(threads - 1));
  EXPECT_EQ(end.minimum, -(threads - 1));
  EXPECT_EQ(end.bits, 0xffffffffU);
  EXPECT_EQ(end.wide, static_cast<unsigned long long>(threads) << 33);
  EXPECT_EQ(end.total, 0.5F * static_cast<float>(threads));
  EXPECT_EQ(end.precise, 0.25 * threads);
  EXPECT_EQ(end.winners, 1);
}

TEST_F(KernelTest, WarpOperations) {
  const int threads = 96;
  const DeviceArray<int> out(static_cast<std::size_t>(16 * threads));
  for (std::uint64_t seed = 0; seed < 10; ++seed) {
    emulation::set_seed(seed);
    CUDA_OK(launch(use_warp_operations, 1, threads, 0, nullptr, out.data()));
    const auto results = out.get();
    unsigned int thirds = 0;
    for (unsigned int lane = 0; lane < 32; lane += 3) thirds |= 1U << lane;
    for (int thread = 0; thread < threads; ++thread) {
      const int lane = thread % 32;
      const std::vector<int> expected = {static_cast<int>(thirds),
                                         1,
                                         0,
                                         50,
                                         (lane / 8 * 8 + 5) * 10,
                                         lane < 3 ? lane : lane - 3,
                                         lane % 16 + 3 < 16 ? lane + 3 : lane,
                                         lane ^ 6,
                                         31 * 32 / 2,
                                         -5,
                                         31,
                                         static_cast<int>(0xfU << (lane / 4 * 4)),
                                         lane < 16 ? lane ^ 1 : lane ^ 2,
                                         threads / 2,
                                         1,
                                         1};
      for (int op = 0; op < 16; ++op) {
        EXPECT_EQ(results[static_cast<std::size_t>(op * threads + thread)],
                  expected[static_cast<std::size_t>(op)])
            << "operation " << op << ", thread " << thread << ", seed " << seed;
      }
    }
  }
}

TEST_F(KernelTest, CooperativeGroups) {
  const DeviceArray<int> sums(64);
  const DeviceArray<double> passed(64);
  int* sums_data = sums.data();
  double* passed_data = passed.data();
  void* arguments[] = {&sums_data, &passed_data};
  CUDA_OK(cudaLaunchCooperativeKernel(use_groups, dim3(1), dim3(64), arguments));
  const auto result = sums.get();
  const auto other = passed.get();
  for (int rank = 0; rank < 64; ++rank) {
    const int first = rank / 8 * 8;
    EXPECT_EQ(result[static_cast<std::size_t>(rank)],
              8 * first + 28 + 1000 * (first + 7) + 1000000 * 3);
    EXPECT_EQ(other[static_cast<std::size_t>(rank)], first + 3 + 0.75 + 2 * (first + 3));
  }
  // Blocks here cannot wait for each other.
  EXPECT_EQ(cudaLaunchCooperativeKernel(use_groups, dim3(2), dim3(64), arguments),
            cudaErrorCooperativeLaunchTooLarge);
  static_cast<void>(cudaGetLastError());
}

TEST_F(KernelTest, CoordinatesInThreeDimensions) {
  const DeviceArray<int> out(2 * 3 * 4 * 2 * 3 * 5);
  CUDA_OK(launch(write_coordinates, dim3(2, 3, 4), dim3(2, 3, 5), 0, nullptr, out.data()));
  const auto values = out.get();
  for (int block = 0; block < 24; ++block) {
    for (int thread = 0; thread < 30; ++thread) {
      EXPECT_EQ(values[static_cast<std::size_t>(block * 30 + thread)], block * 1000 + thread);
    }
  }
}

TEST_F(KernelTest, Intrinsics) {
  const DeviceArray<double> out(21);
  CUDA_OK(launch(intrinsics, 1, 1, 0, nullptr, out.data()));
  const std::vector<double> expected = {8,    8,    31,
                                        4,    1,    3,
                                        3,    10,   0.1 * 0.1 + 1.0,
                                        1.5,  2.5,  1,
                                        0.5,  0.25, 3 + 4 + 1.5 + 2,
                                        1.0,  0.0,  0.0,
                                        -1.0, 10.0, 32.0};
  const auto results = out.get();
  for (std::size_t i = 0; i < expected.size(); ++i) {
    EXPECT_DOUBLE_EQ(results[i], expected[i]) << "intrinsic " << i;
  }
}

TEST_F(KernelTest, ConstantMemory) {
  const std::vector<float> factors = {1.0F, 2.0F, 3.0F, 4.0F};
  CUDA_OK(cudaMemcpyToSymbol(scale_factors, factors.data(), 4 * sizeof(float)));
  const DeviceArray<float> values(std::vector<float>(8, 2.0F));
  CUDA_OK(launch(scale_by_constant, 1, 32, 0, nullptr, values.data(), 8));
  EXPECT_EQ(values.get(), (std::vector<float>{2, 4, 6, 8, 2, 4, 6, 8}));
  std::vector<float> back(2);
  CUDA_OK(cudaMemcpyFromSymbol(back.data(), scale_factors, 2 * sizeof(float), 2 * sizeof(float)));
  EXPECT_EQ(back, (std::vector<float>{3.0F, 4.0F}));
}

TEST_F(KernelTest, ParametersAreCopiedForEveryThread) {
  const DeviceArray<float> in(std::vector<float>(100, 3.0F));
  const DeviceArray<float> out(100);
  CUDA_OK(launch(apply_affine, 4, 32, 0, nullptr, Affine{in.data(), out.data(), 2.0F, 1.0F}, 100));
  const auto values = out.get();
  for (std::size_t i = 0; i < 100; ++i) EXPECT_EQ(values[i], 7.0F + static_cast<float>(i));
}

TEST_F(KernelTest, PointersToArgumentsLaunchTheSameKernel) {
  const DeviceArray<float> values(10);
  float* data = values.data();
  float value = 4.0F;
  int count = 10;
  void* arguments[] = {&data, &value, &count};
  CUDA_OK(cudaLaunchKernel(fill, dim3(1), dim3(32), arguments));
  EXPECT_EQ(values.get(), std::vector<float>(10, 4.0F));
}

TEST_F(KernelTest, BlocksRunInDifferentOrders) {
  emulation::set_threads(1);
  const DeviceArray<int> last(1);
  std::vector<int> seen;
  for (std::uint64_t seed = 0; seed < 10; ++seed) {
    emulation::set_seed(seed);
    CUDA_OK(launch(broken_order_of_blocks, 50, 1, 0, nullptr, last.data()));
    seen.push_back(last.get()[0]);
  }
  EXPECT_NE(seen, std::vector<int>(10, seen[0]));
}

TEST_F(KernelTest, OneSeedOneOrder) {
  emulation::set_threads(1);
  const DeviceArray<float> values(std::vector<float>(1024, 1.0F));
  const DeviceArray<float> sums(4);
  std::vector<std::vector<float>> results;
  for (int repetition = 0; repetition < 3; ++repetition) {
    emulation::set_seed(5);
    CUDA_OK(launch(broken_missing_barrier, 4, 256, 0, nullptr, values.data(), sums.data()));
    results.push_back(sums.get());
  }
  EXPECT_EQ(std::memcmp(results[0].data(), results[1].data(), 16), 0);
  EXPECT_EQ(std::memcmp(results[0].data(), results[2].data(), 16), 0);
}

TEST_F(KernelTest, StaticSharedMemoryIsGarbageAtTheStartOfABlock) {
  // The race of broken_missing_barrier reads NaN, whatever ran before.
  const DeviceArray<float> values(std::vector<float>(256, 1.0F));
  const DeviceArray<float> sums(1);
  int nan = 0;
  for (std::uint64_t seed = 0; seed < 5; ++seed) {
    emulation::set_seed(seed);
    CUDA_OK(launch(broken_missing_barrier, 1, 256, 0, nullptr, values.data(), sums.data()));
    nan += std::isnan(sums.get()[0]);
  }
  EXPECT_GE(nan, 4);
  cudaFuncAttributes attributes{};
  CUDA_OK(cudaFuncGetAttributes(&attributes, broken_missing_barrier));
  EXPECT_EQ(attributes.sharedSizeBytes, 256 * sizeof(float));
  EXPECT_EQ(attributes.maxDynamicSharedSizeBytes, 47 * 1024);
}

TEST_F(KernelTest, LargestBlockWithMuchSharedMemory) {
  const DeviceArray<float> out(1024);
  CUDA_OK(cudaFuncSetAttribute(broken_write_past_shared,
                               cudaFuncAttributeMaxDynamicSharedMemorySize, 232448));
  // Not broken with an index inside.
  CUDA_OK(launch(broken_write_past_shared, 3, 1024, 232448, nullptr, out.data(), 58111));
  EXPECT_EQ(out.get()[1023], 1023.0F);
}

}  // namespace
}  // namespace emulation_tests
