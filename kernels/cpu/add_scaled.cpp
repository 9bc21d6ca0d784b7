// Scaled vectors on the CPU. Adding one is the loop of gradient descent with the sign turned.
#include "kernels/add_scaled.hpp"

#include <cstdint>

#include "kernels/cpu/for_each.hpp"
#include "kernels/cpu/loops.hpp"
#include "kernels/cpu/operations.hpp"
#include "kernels/elements/scaling.hpp"

namespace manyfold::kernels::cpu {

template <class T>
void add_scaled(Executor& executor, const AddScaledArgs<T>& args) {
  const TypedLoops<T>& loops = chosen_loops().*LoopsOf<T>::member;
  cpu(executor).for_slots(args.y.slots, [args, &loops,
                                         threads = cpu(executor).threads()](SlotRange range) {
    for (std::int64_t slot = range.begin; slot < range.end; ++slot) {
      const T c = elements::scale_of(args, slot);
      const T* x = args.x.slot(slot);
      T* y = args.y.slot(slot);
      in_pieces(threads, args.y.count, element_piece, [&](std::int64_t begin, std::int64_t end) {
        if (args.add) {
          loops.descend(y + begin, x + begin, -c, end - begin);
        } else {
          for (std::int64_t i = begin; i < end; ++i) y[i] = c * x[i];
        }
      });
    }
  });
}
template void add_scaled(Executor&, const AddScaledArgs<float>&);
template void add_scaled(Executor&, const AddScaledArgs<double>&);

}  // namespace manyfold::kernels::cpu
