// Activations on the CPU, by the loops of this instruction set, a slot at a time.
#include "kernels/cpu/activation.hpp"

#include <cstdint>

#include "kernels/cpu/for_each.hpp"
#include "kernels/cpu/loops.hpp"
#include "kernels/cpu/operations.hpp"

namespace manyfold::kernels::cpu {
namespace {

static_assert(static_cast<int>(Activation::erf) + 1 == activations);

template <class T>
const TypedLoops<T>& loops() {
  return chosen_loops().*LoopsOf<T>::member;
}

}  // namespace

template <class T>
void activate_piece(const ActivateArgs<T>& args, T* y, const T* z, std::int64_t count) {
  loops<T>().activate[static_cast<int>(args.kind)](y, z, static_cast<T>(args.scale),
                                                   static_cast<T>(args.slope), count);
}
template void activate_piece(const ActivateArgs<float>&, float*, const float*, std::int64_t);
template void activate_piece(const ActivateArgs<double>&, double*, const double*, std::int64_t);

template <class T>
void activation_slope_piece(const ActivationSlopeArgs<T>& args, T* dz, const T* state, const T* dy,
                            std::int64_t count) {
  const double scale = slope_follows_from_output(args.kind) ? 1.0 : args.scale;
  loops<T>().activation_slope[static_cast<int>(args.kind)](
      dz, state, dy, static_cast<T>(scale), static_cast<T>(args.slope), static_cast<T>(args.factor),
      args.add, count);
}
template void activation_slope_piece(const ActivationSlopeArgs<float>&, float*, const float*,
                                     const float*, std::int64_t);
template void activation_slope_piece(const ActivationSlopeArgs<double>&, double*, const double*,
                                     const double*, std::int64_t);

template <class T>
void finish_row(const GemmArgs<T>& args, T* c, const T* state, std::int64_t count) {
  const auto kind = static_cast<int>(args.below == 0 ? Activation::relu : Activation::leaky_relu);
  if (args.finish == Finish::rectify) loops<T>().activate[kind](c, c, args.by, args.below, count);
  if (args.finish == Finish::rectified_slope) {
    loops<T>().activation_slope[kind](c, state, c, T(1), args.below, args.by, false, count);
  }
}
template void finish_row(const GemmArgs<float>&, float*, const float*, std::int64_t);
template void finish_row(const GemmArgs<double>&, double*, const double*, std::int64_t);

template <class T>
void activate(Executor& executor, const ActivateArgs<T>& args) {
  for_pieces(executor, args.y.slots, args.y.count,
             [args](std::int64_t slot, std::int64_t first, std::int64_t count) {
               activate_piece(args, args.y.slot(slot) + first, args.z.slot(slot) + first, count);
             });
}
template void activate(Executor&, const ActivateArgs<float>&);
template void activate(Executor&, const ActivateArgs<double>&);

template <class T>
void activation_slope(Executor& executor, const ActivationSlopeArgs<T>& args) {
  for_pieces(executor, args.dz.slots, args.dz.count,
             [args](std::int64_t slot, std::int64_t first, std::int64_t count) {
               activation_slope_piece(args, args.dz.slot(slot) + first,
                                      args.state.slot(slot) + first, args.dy.slot(slot) + first,
                                      count);
             });
}
template void activation_slope(Executor&, const ActivationSlopeArgs<float>&);
template void activation_slope(Executor&, const ActivationSlopeArgs<double>&);

}  // namespace manyfold::kernels::cpu
