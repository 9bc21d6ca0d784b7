// Times independent multiply-adds on all threads at once.
#include "kernels/cpu/fma_peak.hpp"

#include <cstdint>

#include "kernels/cpu/loops.hpp"
#include "kernels/cpu/rate.hpp"

namespace manyfold::kernels::cpu {

template <class T>
double measure_fma_peak(double seconds, int threads) {
  const TypedLoops<T>& loops = chosen_loops().*LoopsOf<T>::member;
  constexpr std::int64_t batch = 20000;  // well under a millisecond
  return rate_of_all(threads, seconds, [&](const auto& repeat) {
    T sink = 0;
    return repeat([&] { loops.fma_rounds(batch, &sink); }) *
           static_cast<double>(batch * loops.fma_flops_per_round);
  });
}
template double measure_fma_peak<float>(double, int);
template double measure_fma_peak<double>(double, int);

}  // namespace manyfold::kernels::cpu
