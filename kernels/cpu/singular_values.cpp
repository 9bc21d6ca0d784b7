// Singular values on the CPU: a slot is copied column by column into scratch, then rotated there.
#include "kernels/singular_values.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include "kernels/cpu/for_each.hpp"
#include "kernels/cpu/loops.hpp"
#include "kernels/cpu/operations.hpp"

namespace manyfold::kernels::cpu {
namespace {

/// Largest over smallest of the largest elements of the rows (outer_step = row stride, inner_step =
/// 1) or columns; zero ones are passed over.
template <class T>
double spread(const T* a, std::int64_t outer, std::int64_t outer_step, std::int64_t inner,
              std::int64_t inner_step) {
  double largest = 0;
  double smallest = std::numeric_limits<double>::infinity();
  for (std::int64_t i = 0; i < outer; ++i) {
    double size = 0;
    for (std::int64_t j = 0; j < inner; ++j) {
      size = std::max(size, std::fabs(static_cast<double>(a[i * outer_step + j * inner_step])));
    }
    if (size == 0) continue;
    largest = std::max(largest, size);
    smallest = std::min(smallest, size);
  }
  return largest / smallest;
}

template <class T>
void one_slot(const SingularValuesArgs<T>& args, std::int64_t slot, const Loops& loops) {
  const T* a = args.a.slot(slot);
  const std::int64_t rows = args.a.rows;
  const std::int64_t cols = args.a.cols;
  const std::int64_t count = std::min(rows, cols);
  const std::int64_t length = std::max(rows, cols);
  double* values = args.values + slot * args.values_stride;
  double* left = args.left != nullptr ? args.left + slot * args.left_stride : nullptr;
  for (std::int64_t r = 0; r < rows; ++r) {
    for (std::int64_t c = 0; c < cols; ++c) {
      if (!std::isfinite(a[r * args.a.row_stride + c])) {
        std::fill(values, values + args.values_count, std::numeric_limits<double>::quiet_NaN());
        if (left != nullptr) std::fill(left, left + rows, std::numeric_limits<double>::quiet_NaN());
        if (args.sweeps != nullptr) args.sweeps[slot] = 0;
        return;
      }
    }
  }
  // Rotate as few columns as possible; of a square matrix the side that is graded, because errors
  // are small relative to each column, not to each row.
  const std::int64_t row_stride = args.a.row_stride;
  const bool transposed = rows < cols || (rows == cols && spread(a, rows, row_stride, cols, 1) >
                                                              spread(a, cols, 1, rows, row_stride));
  const std::int64_t within = transposed ? 1 : row_stride;
  const std::int64_t across = transposed ? row_stride : 1;
  const std::int64_t stride = loops.jacobi_stride(length);
  auto* columns = static_cast<double*>(
      thread_scratch(static_cast<std::size_t>((stride + 1) * count + length) * sizeof(double)));
  double* all_values = columns + stride * count;
  double* direction = all_values + count;
  for (std::int64_t j = 0; j < count; ++j) {
    double* column = columns + j * stride;
    for (std::int64_t i = 0; i < length; ++i) {
      column[i] = static_cast<double>(a[i * within + j * across]);
    }
    std::fill(column + length, column + stride, 0.0);
  }
  const std::int32_t sweeps = loops.jacobi(length, count, columns, all_values,
                                           left != nullptr ? direction : nullptr, args.max_sweeps);
  if (left != nullptr && !transposed) std::copy(direction, direction + rows, left);
  if (left != nullptr && transposed) {
    for (std::int64_t r = 0; r < rows; ++r) {
      double sum = 0;
      for (std::int64_t c = 0; c < cols; ++c) {
        sum += static_cast<double>(a[r * row_stride + c]) * direction[c];
      }
      left[r] = sum / all_values[0];
    }
  }
  std::copy(all_values, all_values + args.values_count, values);
  if (args.sweeps != nullptr) args.sweeps[slot] = sweeps;
}

}  // namespace

template <class T>
void singular_values(Executor& executor, const SingularValuesArgs<T>& args) {
  const Loops& loops = chosen_loops();
  cpu(executor).for_slots(args.a.slots, [args, &loops](SlotRange range) {
    for (std::int64_t slot = range.begin; slot < range.end; ++slot) one_slot(args, slot, loops);
  });
}
template void singular_values(Executor&, const SingularValuesArgs<float>&);
template void singular_values(Executor&, const SingularValuesArgs<double>&);

}  // namespace manyfold::kernels::cpu
