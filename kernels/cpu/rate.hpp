// How often a second all threads at once can do something: what measured floors are made of.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <thread>
#include <vector>

namespace manyfold::kernels::cpu {

/// Sum over `threads` threads of what `body(repeat)` returns on each. repeat(once) calls `once`, to
/// warm up, and then again and again for about `seconds`; it returns the calls a second.
template <class Body>
double rate_of_all(int threads, double seconds, const Body& body) {
  using Clock = std::chrono::steady_clock;
  const auto repeat = [seconds](const auto& once) {
    once();
    const auto start = Clock::now();
    std::int64_t calls = 0;
    double elapsed = 0;
    while (elapsed < seconds) {
      once();
      ++calls;
      elapsed = std::chrono::duration<double>(Clock::now() - start).count();
    }
    return static_cast<double>(calls) / elapsed;
  };
  std::vector<double> rates(static_cast<std::size_t>(threads));
  {
    std::vector<std::jthread> team;
    for (double& rate : rates) team.emplace_back([&] { rate = body(repeat); });
  }
  return std::accumulate(rates.begin(), rates.end(), 0.0);
}

}  // namespace manyfold::kernels::cpu
