// Activations and their slopes over arrays on the CPU: what the batched path does with a slot's
// elements and resident stepping with those of all its lanes.
#pragma once

#include <cstdint>

#include "kernels/activation.hpp"
#include "kernels/cpu/loops.hpp"
#include "kernels/gemm.hpp"

namespace manyfold::kernels::cpu {

/// y = s(scale z) for `count` elements; y may be z.
template <class T>
void activate_piece(const ActivateArgs<T>& args, T* y, const T* z, std::int64_t count);

/// dz = factor s' dy, added where args.add, for `count` elements.
template <class T>
void activation_slope_piece(const ActivationSlopeArgs<T>& args, T* dz, const T* state, const T* dy,
                            std::int64_t count);

/// As the loops call it.
constexpr LoopFinish loop_finish(Finish finish) {
  static_assert(static_cast<int>(Finish::rectified_slope) ==
                static_cast<int>(LoopFinish::rectified_slope));
  return static_cast<LoopFinish>(finish);
}

/// What a product finishes with, where it was not done on the way: `count` elements of a row of C
/// and of `state`.
template <class T>
void finish_row(const GemmArgs<T>& args, T* c, const T* state, std::int64_t count);

}  // namespace manyfold::kernels::cpu
