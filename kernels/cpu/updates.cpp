// Updates of optimizers on the CPU, a slot at a time through the loops of this instruction set.
#include "kernels/updates.hpp"

#include <cstdint>

#include "kernels/cpu/for_each.hpp"
#include "kernels/cpu/loops.hpp"
#include "kernels/cpu/operations.hpp"
#include "kernels/elements/updates.hpp"

namespace manyfold::kernels::cpu {
namespace {

/// body(slot) for each active slot.
template <class Body>
void for_active(Executor& executor, const StepControl& control, const Body& body) {
  cpu(executor).for_slots(control.slots, [=, active = control.active](SlotRange range) {
    for (std::int64_t slot = range.begin; slot < range.end; ++slot) {
      if (active[slot] != 0) body(slot);
    }
  });
}

}  // namespace

template <class T>
void descend(Executor& executor, const DescendArgs<T>& args) {
  const TypedLoops<T>& loops = chosen_loops().*LoopsOf<T>::member;
  for_active(executor, args.control, [args, &loops](std::int64_t slot) {
    loops.descend(args.params.slot(slot), args.grad.slot(slot),
                  static_cast<T>(args.control.step_size[slot]), args.params.count);
  });
}
template void descend(Executor&, const DescendArgs<float>&);
template void descend(Executor&, const DescendArgs<double>&);

template <class T>
void heavy_ball(Executor& executor, const HeavyBallArgs<T>& args) {
  const TypedLoops<T>& loops = chosen_loops().*LoopsOf<T>::member;
  for_active(executor, args.control, [args, &loops](std::int64_t slot) {
    loops.heavy_ball(args.params.slot(slot), args.grad.slot(slot), args.velocity.slot(slot),
                     static_cast<T>(args.momentum[slot]),
                     static_cast<T>(args.control.step_size[slot]), args.nesterov,
                     args.params.count);
  });
}
template void heavy_ball(Executor&, const HeavyBallArgs<float>&);
template void heavy_ball(Executor&, const HeavyBallArgs<double>&);

template <class T>
void adam(Executor& executor, const AdamArgs<T>& args) {
  const TypedLoops<T>& loops = chosen_loops().*LoopsOf<T>::member;
  for_active(executor, args.control, [args, &loops](std::int64_t slot) {
    loops.adam(args.params.slot(slot), args.grad.slot(slot), args.m.slot(slot), args.v.slot(slot),
               elements::adam_numbers(args, slot), args.params.count);
  });
}
template void adam(Executor&, const AdamArgs<float>&);
template void adam(Executor&, const AdamArgs<double>&);

template <class T>
void sign_descend(Executor& executor, const DescendArgs<T>& args) {
  const TypedLoops<T>& loops = chosen_loops().*LoopsOf<T>::member;
  for_active(executor, args.control, [args, &loops](std::int64_t slot) {
    loops.sign_descend(args.params.slot(slot), args.grad.slot(slot),
                       static_cast<T>(args.control.step_size[slot]), args.params.count);
  });
}
template void sign_descend(Executor&, const DescendArgs<float>&);
template void sign_descend(Executor&, const DescendArgs<double>&);

}  // namespace manyfold::kernels::cpu
