// The bandwidth of this processor's L2 caches, measured: the floor of programs whose state passes
// through them once a step.
#pragma once

namespace manyfold::kernels::cpu {

/// Bytes read and written per second, together, of `threads` threads that copy within arrays of
/// their own, source and destination together half of l2_bytes(), for about `seconds`.
double measure_l2_bandwidth(double seconds, int threads);

}  // namespace manyfold::kernels::cpu
