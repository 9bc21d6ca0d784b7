// Sums of squares on the CPU.
#include "kernels/norms.hpp"

#include <cstdint>
#include <numeric>
#include <vector>

#include "kernels/cpu/for_each.hpp"
#include "kernels/cpu/loops.hpp"
#include "kernels/cpu/operations.hpp"

namespace manyfold::kernels::cpu {

template <class T>
void sum_of_squares(Executor& executor, const SumOfSquaresArgs<T>& args) {
  const TypedLoops<T>& loops = chosen_loops().*LoopsOf<T>::member;
  cpu(executor).for_slots(args.x.slots, [args, &loops,
                                         threads = cpu(executor).threads()](SlotRange range) {
    for (std::int64_t slot = range.begin; slot < range.end; ++slot) {
      const T* x = args.x.slot(slot);
      if (args.x.count <= element_piece) {
        args.out[slot * args.out_stride] = loops.sum_of_squares(x, args.x.count);
        continue;
      }
      std::vector<double> parts(
          static_cast<std::size_t>((args.x.count + element_piece - 1) / element_piece));
      in_pieces(threads, args.x.count, element_piece, [&](std::int64_t begin, std::int64_t end) {
        parts[static_cast<std::size_t>(begin / element_piece)] =
            loops.sum_of_squares(x + begin, end - begin);
      });
      args.out[slot * args.out_stride] = std::accumulate(parts.begin(), parts.end(), 0.0);
    }
  });
}
template void sum_of_squares(Executor&, const SumOfSquaresArgs<float>&);
template void sum_of_squares(Executor&, const SumOfSquaresArgs<double>&);

}  // namespace manyfold::kernels::cpu
