// Residuals of drawn terms on the CPU, a slot at a time.
#include "kernels/drawn_residual.hpp"

#include <algorithm>
#include <cstdint>

#include "kernels/cpu/for_each.hpp"
#include "kernels/cpu/operations.hpp"
#include "kernels/elements/drawn_residual.hpp"

namespace manyfold::kernels::cpu {

template <class T>
void drawn_residual(Executor& executor, const DrawnResidualArgs<T>& args) {
  cpu(executor).for_slots(args.w.slots, [args](SlotRange range) {
    for (std::int64_t slot = range.begin; slot < range.end; ++slot) {
      for (std::int64_t row = 0; row < args.residual.rows; ++row) {
        std::fill_n(args.residual.slot(slot) + row * args.residual.row_stride, args.residual.cols,
                    T{0});
      }
      const T weight = elements::term_weight<T>(args, slot);
      const std::int64_t terms = args.drawn != nullptr ? args.batch : args.count[slot];
      for (std::int64_t b = 0; b < terms; ++b) {
        const std::int64_t j = args.drawn != nullptr ? args.drawn[slot * args.batch + b] : b;
        elements::add_term(args, slot, weight, j, elements::entry_of(args, slot, j));
      }
    }
  });
}
template void drawn_residual(Executor&, const DrawnResidualArgs<float>&);
template void drawn_residual(Executor&, const DrawnResidualArgs<double>&);

}  // namespace manyfold::kernels::cpu
