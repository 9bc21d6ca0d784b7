// The multiply-add peak of this processor, measured: what shares of peak are shares of.
#pragma once

namespace manyfold::kernels::cpu {

/// Floating-point operations per second of `threads` threads that do nothing but independent fused
/// multiply-adds of T (two operations each) in the chosen instruction set, for about `seconds`.
template <class T>
double measure_fma_peak(double seconds, int threads);

}  // namespace manyfold::kernels::cpu
