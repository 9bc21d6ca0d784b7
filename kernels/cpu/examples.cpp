// What outputs are worth, on the CPU: the squared loss by the loops of this instruction set, all
// else by the element bodies.
#include "kernels/examples.hpp"

#include <cstdint>

#include "kernels/cpu/for_each.hpp"
#include "kernels/cpu/loops.hpp"
#include "kernels/cpu/operations.hpp"
#include "kernels/elements/examples.hpp"

namespace manyfold::kernels::cpu {
namespace {

/// Rows first ... first + count - 1 of a slot.
template <class T>
void squared_rows(const ExampleTermsArgs<T>& args, std::int64_t slot, std::int64_t first,
                  std::int64_t count) {
  const TypedLoops<T>& loops = chosen_loops().*LoopsOf<T>::member;
  const std::int64_t outputs = args.f.cols;
  const auto take = [&](std::int64_t r, std::int64_t rows) {  // whose examples follow each other
    const elements::ExampleRow<T> row = elements::example_row(args, slot, r);
    if (args.out != nullptr) {
      loops.squared_losses(args.out + slot * args.out_stride + r, row.f, args.f.row_stride,
                           row.target_data, args.targets.row_stride, rows, outputs, args.scale,
                           args.weight);
    }
    if (args.slope.data == nullptr) return;
    if (args.f.dense() && args.targets.dense() && args.slope.dense()) {
      loops.squared_slopes(row.slope_data, row.f, row.target_data, args.scale, args.weight,
                           rows * outputs);
      return;
    }
    for (std::int64_t i = 0; i < rows; ++i) {
      loops.squared_slopes(
          row.slope_data + i * args.slope.row_stride, row.f + i * args.f.row_stride,
          row.target_data + i * args.targets.row_stride, args.scale, args.weight, outputs);
    }
  };
  if (args.rows == nullptr) return take(first, count);
  for (std::int64_t r = first; r < first + count; ++r) take(r, 1);
}

}  // namespace

template <class T>
void example_terms(Executor& executor, const ExampleTermsArgs<T>& args) {
  const bool squared = args.term == ExampleTerm::loss && args.loss == Loss::squared;
  if (!squared || args.noise != nullptr) return elements::example_terms(ForEach(executor), args);
  for_pieces(executor, args.f.slots, args.f.rows,
             [args](std::int64_t slot, std::int64_t first, std::int64_t count) {
               squared_rows(args, slot, first, count);
             });
}
template void example_terms(Executor&, const ExampleTermsArgs<float>&);
template void example_terms(Executor&, const ExampleTermsArgs<double>&);

}  // namespace manyfold::kernels::cpu
