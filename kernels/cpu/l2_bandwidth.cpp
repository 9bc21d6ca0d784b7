// Times copies within the L2 cache on all threads at once.
#include "kernels/cpu/l2_bandwidth.hpp"

#include <chrono>
#include <cstdint>
#include <thread>
#include <vector>

#include <unistd.h>

#include "kernels/cpu/loops.hpp"

namespace manyfold::kernels::cpu {

std::size_t l2_bytes() {
#ifdef _SC_LEVEL2_CACHE_SIZE
  const long known = ::sysconf(_SC_LEVEL2_CACHE_SIZE);
  if (known > 0) return static_cast<std::size_t>(known);
#endif
  return std::size_t{1} << 20;
}

double measure_l2_bandwidth(double seconds, int threads) {
  using Clock = std::chrono::steady_clock;
  const Loops& loops = chosen_loops();
  const auto doubles = static_cast<std::int64_t>(l2_bytes() / 2 / sizeof(double));
  const std::int64_t count = doubles / 2 / copy_block * copy_block;
  constexpr std::int64_t batch = 10;  // well under a millisecond
  std::vector<double> rates(static_cast<std::size_t>(threads));
  {
    std::vector<std::jthread> team;
    for (std::size_t t = 0; t < rates.size(); ++t) {
      team.emplace_back([&, t] {
        // Of this thread's own making, so that they are near it; a cache line beyond the end lets
        // both begin on one.
        constexpr std::size_t line = 64 / sizeof(double);
        std::vector<double> memory(2 * static_cast<std::size_t>(count) + line, 1.0);
        const auto address = reinterpret_cast<std::uintptr_t>(memory.data());
        double* const to = memory.data() + (64 - address % 64) % 64 / sizeof(double);
        const double* const from = to + count;
        loops.copy_rounds(batch, to, from, count);
        const auto start = Clock::now();
        std::int64_t rounds = 0;
        double elapsed = 0;
        while (elapsed < seconds) {
          loops.copy_rounds(batch, to, from, count);
          rounds += batch;
          elapsed = std::chrono::duration<double>(Clock::now() - start).count();
        }
        rates[t] = 2.0 * static_cast<double>(rounds * count) * sizeof(double) / elapsed;
      });
    }
  }
  double sum = 0;
  for (const double rate : rates) sum += rate;
  return sum;
}

}  // namespace manyfold::kernels::cpu
