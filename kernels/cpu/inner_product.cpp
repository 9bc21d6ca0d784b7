// Inner products on the CPU, in eight sums that the compiler keeps in vectors: element i goes to
// sum i mod 8. Memory-bound, so one instruction set serves.
#include "kernels/inner_product.hpp"

#include <cstdint>

#include "kernels/cpu/for_each.hpp"
#include "kernels/cpu/operations.hpp"

namespace manyfold::kernels::cpu {
namespace {

template <class T>
double dot(const T* x, const T* y, std::int64_t count) {
  constexpr std::int64_t lanes = 8;
  double sum[lanes] = {};
  std::int64_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    for (std::int64_t k = 0; k < lanes; ++k) {
      sum[k] += static_cast<double>(x[i + k]) * static_cast<double>(y[i + k]);
    }
  }
  for (std::int64_t k = 0; i < count; ++k, ++i) {
    sum[k] += static_cast<double>(x[i]) * static_cast<double>(y[i]);
  }
  return ((sum[0] + sum[4]) + (sum[1] + sum[5])) + ((sum[2] + sum[6]) + (sum[3] + sum[7]));
}

}  // namespace

template <class T>
void inner_product(Executor& executor, const InnerProductArgs<T>& args) {
  cpu(executor).for_slots(args.x.slots, [args](SlotRange range) {
    for (std::int64_t slot = range.begin; slot < range.end; ++slot) {
      args.out[slot * args.out_stride] = dot(args.x.slot(slot), args.y.slot(slot), args.x.count);
    }
  });
}
template void inner_product(Executor&, const InnerProductArgs<float>&);
template void inner_product(Executor&, const InnerProductArgs<double>&);

template <class T>
void inner_products(Executor& executor, const InnerProductsArgs<T>& args) {
  cpu(executor).for_slots(args.x.slots, [args](SlotRange range) {
    for (std::int64_t slot = range.begin; slot < range.end; ++slot) {
      for (std::int64_t r = 0; r < args.x.rows; ++r) {
        args.out[slot * args.out_stride + r] =
            dot(args.x.slot(slot) + r * args.x.row_stride, args.y.slot(slot), args.y.count);
      }
    }
  });
}
template void inner_products(Executor&, const InnerProductsArgs<float>&);
template void inner_products(Executor&, const InnerProductsArgs<double>&);

}  // namespace manyfold::kernels::cpu
