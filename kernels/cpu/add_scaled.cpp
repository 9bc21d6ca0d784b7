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
  for_pieces(executor, args.y.slots, args.y.count,
             [args, &loops](std::int64_t slot, std::int64_t first, std::int64_t count) {
               const T c = elements::scale_of(args, slot);
               const T* x = args.x.slot(slot) + first;
               T* y = args.y.slot(slot) + first;
               if (args.add) {
                 loops.descend(y, x, -c, count);
               } else {
                 for (std::int64_t i = 0; i < count; ++i) y[i] = c * x[i];
               }
             });
}
template void add_scaled(Executor&, const AddScaledArgs<float>&);
template void add_scaled(Executor&, const AddScaledArgs<double>&);

}  // namespace manyfold::kernels::cpu
