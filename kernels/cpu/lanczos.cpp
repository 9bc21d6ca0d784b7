// Rows taken off vectors on the CPU: a few elements at a time, so that their sums stay in the cache
// while the rows go by. To the bit what the element body computes.
#include "kernels/lanczos.hpp"

#include <algorithm>
#include <cstdint>

#include "core/random/exact.hpp"
#include "kernels/cpu/for_each.hpp"
#include "kernels/cpu/operations.hpp"

namespace manyfold::kernels::cpu {

template <class T>
void subtract_rows(Executor& executor, const SubtractRowsArgs<T>& args) {
  for_pieces(executor, args.y.slots, args.y.count,
             [args](std::int64_t slot, std::int64_t first, std::int64_t count) {
               constexpr std::int64_t most = 512;
               double left[most];
               const double* c = args.c + slot * args.c_stride;
               for (std::int64_t at = first; at < first + count; at += most) {
                 const std::int64_t some = std::min(most, first + count - at);
                 T* y = args.y.slot(slot) + at;
                 for (std::int64_t i = 0; i < some; ++i) left[i] = static_cast<double>(y[i]);
                 for (std::int64_t r = 0; r < args.x.rows; ++r) {
                   const T* x = args.x.slot(slot) + r * args.x.row_stride + at;
                   for (std::int64_t i = 0; i < some; ++i) {
                     left[i] -= exact::times(c[r], static_cast<double>(x[i]));
                   }
                 }
                 for (std::int64_t i = 0; i < some; ++i) y[i] = static_cast<T>(left[i]);
               }
             });
}
template void subtract_rows(Executor&, const SubtractRowsArgs<float>&);
template void subtract_rows(Executor&, const SubtractRowsArgs<double>&);

}  // namespace manyfold::kernels::cpu
