// Times copies within the L2 cache on all threads at once.
#include "kernels/cpu/l2_bandwidth.hpp"

#include <cstdint>
#include <vector>

#include "core/executor/cpu_executor.hpp"
#include "kernels/cpu/loops.hpp"
#include "kernels/cpu/rate.hpp"

namespace manyfold::kernels::cpu {

double measure_l2_bandwidth(double seconds, int threads) {
  const Loops& loops = chosen_loops();
  const auto doubles = static_cast<std::int64_t>(l2_bytes() / 2 / sizeof(double));
  const std::int64_t count = doubles / 2 / copy_block * copy_block;
  constexpr std::int64_t batch = 10;  // well under a millisecond
  return rate_of_all(threads, seconds, [&](const auto& repeat) {
    // Of this thread's own making, so that they are near it; a cache line beyond the end lets both
    // begin on one.
    constexpr std::size_t line = 64 / sizeof(double);
    std::vector<double> memory(2 * static_cast<std::size_t>(count) + line, 1.0);
    const auto address = reinterpret_cast<std::uintptr_t>(memory.data());
    double* const to = memory.data() + (64 - address % 64) % 64 / sizeof(double);
    const double* const from = to + count;
    return repeat([&] { loops.copy_rounds(batch, to, from, count); }) *
           (2.0 * static_cast<double>(batch * count) * sizeof(double));
  });
}

}  // namespace manyfold::kernels::cpu
