// Times independent multiply-adds on all threads at once.
#include "kernels/cpu/fma_peak.hpp"

#include <chrono>
#include <cstdint>
#include <thread>
#include <vector>

#include "kernels/cpu/loops.hpp"

namespace manyfold::kernels::cpu {

template <class T>
double measure_fma_peak(double seconds, int threads) {
  using Clock = std::chrono::steady_clock;
  const TypedLoops<T>& loops = chosen_loops().*LoopsOf<T>::member;
  constexpr std::int64_t batch = 20000;  // well under a millisecond
  std::vector<double> rates(static_cast<std::size_t>(threads));
  std::vector<T> sinks(static_cast<std::size_t>(threads));
  {
    std::vector<std::jthread> team;
    for (std::size_t t = 0; t < rates.size(); ++t) {
      team.emplace_back([&, t] {
        T sink = 0;
        loops.fma_rounds(batch, &sink);  // the clock settles for wide vectors
        const auto start = Clock::now();
        std::int64_t rounds = 0;
        double elapsed = 0;
        while (elapsed < seconds) {
          loops.fma_rounds(batch, &sink);
          rounds += batch;
          elapsed = std::chrono::duration<double>(Clock::now() - start).count();
        }
        rates[t] = static_cast<double>(rounds * loops.fma_flops_per_round) / elapsed;
        sinks[t] = sink;
      });
    }
  }
  double sum = 0;
  for (const double rate : rates) sum += rate;
  return sum;
}
template double measure_fma_peak<float>(double, int);
template double measure_fma_peak<double>(double, int);

}  // namespace manyfold::kernels::cpu
