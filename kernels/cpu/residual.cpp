// Masked residuals on the CPU, a slot at a time through the loops of this instruction set.
#include "kernels/residual.hpp"

#include <cstdint>

#include "kernels/cpu/for_each.hpp"
#include "kernels/cpu/loops.hpp"
#include "kernels/cpu/operations.hpp"

namespace manyfold::kernels::cpu {

template <class T>
void residual(Executor& executor, const ResidualArgs<T>& args) {
  const TypedLoops<T>& loops = chosen_loops().*LoopsOf<T>::member;
  cpu(executor).for_slots(args.w.slots, [args, &loops](SlotRange range) {
    for (std::int64_t slot = range.begin; slot < range.end; ++slot) {
      const bool masked = args.mask.data != nullptr;
      const bool stored = args.residual.data != nullptr;
      const double sum = loops.residual(
          {args.w.rows, args.w.cols,                        //
           args.w.slot(slot), args.w.row_stride,            //
           args.target.slot(slot), args.target.row_stride,  //
           masked ? args.mask.slot(slot) : nullptr, args.mask.row_stride, args.observed,
           stored ? args.residual.slot(slot) : nullptr, args.residual.row_stride});
      if (args.half_square != nullptr) args.half_square[slot] = 0.5 * sum;
    }
  });
}
template void residual(Executor&, const ResidualArgs<float>&);
template void residual(Executor&, const ResidualArgs<double>&);

}  // namespace manyfold::kernels::cpu
