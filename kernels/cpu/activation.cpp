// Activations on the CPU: those of two straight pieces a slot at a time through the loops of this
// instruction set, the others by their element bodies.
#include "kernels/activation.hpp"

#include <cstdint>

#include "kernels/cpu/for_each.hpp"
#include "kernels/cpu/loops.hpp"
#include "kernels/cpu/operations.hpp"
#include "kernels/elements/activation.hpp"

namespace manyfold::kernels::cpu {
namespace {

bool is_rectifier(Activation kind) {
  return kind == Activation::relu || kind == Activation::leaky_relu;
}

template <class T>
T slope_below_zero(Activation kind, double slope) {
  return kind == Activation::relu ? T(0) : static_cast<T>(slope);
}

}  // namespace

template <class T>
void activate(Executor& executor, const ActivateArgs<T>& args) {
  if (!is_rectifier(args.kind)) return elements::activate(ForEach(executor), args);
  const TypedLoops<T>& loops = chosen_loops().*LoopsOf<T>::member;
  for_pieces(executor, args.y.slots, args.y.count,
             [args, &loops](std::int64_t slot, std::int64_t first, std::int64_t count) {
               loops.rectify(args.y.slot(slot) + first, args.z.slot(slot) + first,
                             static_cast<T>(args.scale), slope_below_zero<T>(args.kind, args.slope),
                             count);
             });
}
template void activate(Executor&, const ActivateArgs<float>&);
template void activate(Executor&, const ActivateArgs<double>&);

template <class T>
void activation_slope(Executor& executor, const ActivationSlopeArgs<T>& args) {
  if (!is_rectifier(args.kind)) return elements::activation_slope(ForEach(executor), args);
  const TypedLoops<T>& loops = chosen_loops().*LoopsOf<T>::member;
  for_pieces(executor, args.dz.slots, args.dz.count,
             [args, &loops](std::int64_t slot, std::int64_t first, std::int64_t count) {
               loops.rectified_slope(args.dz.slot(slot) + first, args.state.slot(slot) + first,
                                     args.dy.slot(slot) + first,
                                     slope_below_zero<T>(args.kind, args.slope),
                                     static_cast<T>(args.factor), args.add, count);
             });
}
template void activation_slope(Executor&, const ActivationSlopeArgs<float>&);
template void activation_slope(Executor&, const ActivationSlopeArgs<double>&);

}  // namespace manyfold::kernels::cpu
