// Sums of squares on the CPU.
#include "kernels/norms.hpp"

#include <cstdint>

#include "kernels/cpu/for_each.hpp"
#include "kernels/cpu/loops.hpp"
#include "kernels/cpu/operations.hpp"

namespace manyfold::kernels::cpu {

template <class T>
void sum_of_squares(Executor& executor, const SumOfSquaresArgs<T>& args) {
  const TypedLoops<T>& loops = chosen_loops().*LoopsOf<T>::member;
  cpu(executor).for_slots(args.x.slots, [args, &loops](SlotRange range) {
    for (std::int64_t slot = range.begin; slot < range.end; ++slot) {
      args.out[slot * args.out_stride] = loops.sum_of_squares(args.x.slot(slot), args.x.count);
    }
  });
}
template void sum_of_squares(Executor&, const SumOfSquaresArgs<float>&);
template void sum_of_squares(Executor&, const SumOfSquaresArgs<double>&);

}  // namespace manyfold::kernels::cpu
