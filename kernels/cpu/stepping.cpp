// The update of gradient descent on the CPU; the other stepping operations are element bodies
// (elements.cpp).
#include "kernels/stepping.hpp"

#include <cstdint>

#include "kernels/cpu/for_each.hpp"
#include "kernels/cpu/loops.hpp"
#include "kernels/cpu/operations.hpp"

namespace manyfold::kernels::cpu {

template <class T>
void descend(Executor& executor, const DescendArgs<T>& args) {
  const TypedLoops<T>& loops = chosen_loops().*LoopsOf<T>::member;
  cpu(executor).for_slots(args.params.slots, [args, &loops](SlotRange range) {
    for (std::int64_t slot = range.begin; slot < range.end; ++slot) {
      if (args.control.active[slot] == 0) continue;
      loops.descend(args.params.slot(slot), args.grad.slot(slot),
                    static_cast<T>(args.control.step_size[slot]), args.params.count);
    }
  });
}
template void descend(Executor&, const DescendArgs<float>&);
template void descend(Executor&, const DescendArgs<double>&);

}  // namespace manyfold::kernels::cpu
