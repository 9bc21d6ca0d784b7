// How fast the emulator is: prints the processor time (of all its threads, so that other load on
// the machine hardly matters) per block of a barrier-heavy kernel, of one that reduces by shuffles,
// and of one without barriers, and per launch. The best of several repetitions; the README quotes
// its output.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <functional>
#include <limits>

#include "emulation/control.hpp"
#include "kernels.cuh"

namespace {

using emulation_tests::fill;
using emulation_tests::multiply_tiled;
using emulation_tests::sum_chunks;

void check(cudaError_t error) {
  if (error != cudaSuccess) {
    std::fprintf(stderr, "%s\n", cudaGetErrorString(error));
    std::exit(1);
  }
}

double best_seconds(int repetitions, const std::function<void()>& work) {
  double best = std::numeric_limits<double>::infinity();
  for (int i = 0; i < repetitions; ++i) {
    const std::clock_t begin = std::clock();
    work();
    check(cudaDeviceSynchronize());
    best = std::min(best, static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC);
  }
  return best;
}

template <typename... Parameters, typename... Arguments>
void launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, Arguments... arguments) {
  const cudaLaunchConfig_t config{grid, block, 0, nullptr, nullptr, 0};
  check(cudaLaunchKernelEx(&config, kernel, arguments...));
}

float* allocate(std::size_t count) {
  float* data = nullptr;
  check(cudaMalloc(&data, count * sizeof(float)));
  check(cudaMemset(data, 0, count * sizeof(float)));
  return data;
}

}  // namespace

int main() {
  emulation::set_eagerness(0.0);
  const int n = 64;
  const int matrices = 50;
  const std::size_t count = static_cast<std::size_t>(n) * n * matrices;
  float* a = allocate(count);
  float* b = allocate(count);
  float* c = allocate(count);

  const double products = best_seconds(7, [&] {
    launch(multiply_tiled<true, true>, dim3(4, 4, matrices), dim3(16, 16), a, b, c, n);
  });
  const double product_blocks = 16.0 * matrices;
  std::printf(
      "tiled product, 8 barriers:            %7.1f us per block of 256 threads, %5.1f ns per "
      "thread and barrier\n",
      products / product_blocks * 1e6, products / product_blocks / 256 / 8 * 1e9);

  const int blocks = 400;
  const double sums = best_seconds(
      7, [&] { launch(sum_chunks<float>, blocks, 256, a, c, static_cast<int>(count)); });
  std::printf("block sum, 1 barrier and 5-10 shuffles: %5.1f us per block of 256 threads\n",
              sums / blocks * 1e6);

  const int large = 1 << 20;
  float* d = allocate(large);
  const double fills = best_seconds(7, [&] { launch(fill, large / 256, 256, d, 1.0F, large); });
  std::printf(
      "no barrier:                           %7.1f us per block of 256 threads, %5.1f ns per "
      "thread\n",
      fills / (large / 256.0) * 1e6, fills / large * 1e9);

  const int launches = 1000;
  const double small = best_seconds(7, [&] {
    for (int i = 0; i < launches; ++i) launch(fill, 1, 32, d, 1.0F, 32);
  });
  std::printf("launch of one small block:            %7.1f us\n", small / launches * 1e6);

  const double waits = best_seconds(7, [&] {
    for (int i = 0; i < launches; ++i) {
      launch(fill, 1, 32, d, 1.0F, 32);
      check(cudaStreamSynchronize(nullptr));
    }
  });
  std::printf("launch and wait:                      %7.1f us\n", waits / launches * 1e6);
  check(cudaDeviceReset());
}
