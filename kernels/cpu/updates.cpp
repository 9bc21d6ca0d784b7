// Updates of optimizers on the CPU, a slot at a time through the loops of this instruction set.
#include "kernels/updates.hpp"

#include <cstdint>

#include "kernels/cpu/for_each.hpp"
#include "kernels/cpu/loops.hpp"
#include "kernels/cpu/operations.hpp"
#include "kernels/elements/updates.hpp"

namespace manyfold::kernels::cpu {
namespace {

/// body(slot, first, count) for pieces of each active slot's elements.
template <class Body>
void for_active(Executor& executor, const StepControl& control, std::int64_t count,
                const Body& body) {
  for_pieces(
      executor, control.slots, count,
      [body, active = control.active](std::int64_t slot, std::int64_t first, std::int64_t some) {
        if (active[slot] != 0) body(slot, first, some);
      });
}

}  // namespace

template <class T>
void descend(Executor& executor, const DescendArgs<T>& args) {
  const TypedLoops<T>& loops = chosen_loops().*LoopsOf<T>::member;
  for_active(executor, args.control, args.params.count,
             [args, &loops](std::int64_t slot, std::int64_t first, std::int64_t count) {
               loops.descend(args.params.slot(slot) + first, args.grad.slot(slot) + first,
                             static_cast<T>(args.control.step_size[slot]), count);
             });
}
template void descend(Executor&, const DescendArgs<float>&);
template void descend(Executor&, const DescendArgs<double>&);

template <class T>
void heavy_ball(Executor& executor, const HeavyBallArgs<T>& args) {
  const TypedLoops<T>& loops = chosen_loops().*LoopsOf<T>::member;
  for_active(executor, args.control, args.params.count,
             [args, &loops](std::int64_t slot, std::int64_t first, std::int64_t count) {
               loops.heavy_ball(args.params.slot(slot) + first, args.grad.slot(slot) + first,
                                args.velocity.slot(slot) + first,
                                static_cast<T>(args.momentum[slot]),
                                static_cast<T>(args.control.step_size[slot]), args.nesterov, count);
             });
}
template void heavy_ball(Executor&, const HeavyBallArgs<float>&);
template void heavy_ball(Executor&, const HeavyBallArgs<double>&);

template <class T>
void adam(Executor& executor, const AdamArgs<T>& args) {
  const TypedLoops<T>& loops = chosen_loops().*LoopsOf<T>::member;
  for_active(executor, args.control, args.params.count,
             [args, &loops](std::int64_t slot, std::int64_t first, std::int64_t count) {
               loops.adam(args.params.slot(slot) + first, args.grad.slot(slot) + first,
                          args.m.slot(slot) + first, args.v.slot(slot) + first,
                          elements::adam_numbers(args, slot), count);
             });
}
template void adam(Executor&, const AdamArgs<float>&);
template void adam(Executor&, const AdamArgs<double>&);

template <class T>
void sign_descend(Executor& executor, const DescendArgs<T>& args) {
  const TypedLoops<T>& loops = chosen_loops().*LoopsOf<T>::member;
  for_active(executor, args.control, args.params.count,
             [args, &loops](std::int64_t slot, std::int64_t first, std::int64_t count) {
               loops.sign_descend(args.params.slot(slot) + first, args.grad.slot(slot) + first,
                                  static_cast<T>(args.control.step_size[slot]), count);
             });
}
template void sign_descend(Executor&, const DescendArgs<float>&);
template void sign_descend(Executor&, const DescendArgs<double>&);

}  // namespace manyfold::kernels::cpu
