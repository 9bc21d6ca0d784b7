// Singular values on the CPU: matrices are copied column by column into scratch and rotated there;
// small ones a group at a time, each in a lane of vectors.
#include "kernels/singular_values.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>
#include <vector>

#include "kernels/common/jacobi.hpp"
#include "kernels/cpu/for_each.hpp"
#include "kernels/cpu/loops.hpp"
#include "kernels/cpu/operations.hpp"

namespace manyfold::kernels::cpu {
namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();

/// Largest of the elements of a row or column.
template <class T>
double largest_of(const T* a, std::int64_t count, std::int64_t step) {
  double largest = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    largest = std::max(largest, std::fabs(static_cast<double>(a[i * step])));
  }
  return largest;
}

/// Largest over smallest of the largest elements of the rows (outer_step = row stride, inner_step =
/// 1) or columns; zero ones are passed over.
template <class T>
double spread(const T* a, std::int64_t outer, std::int64_t outer_step, std::int64_t inner,
              std::int64_t inner_step) {
  double largest = 0;
  double smallest = std::numeric_limits<double>::infinity();
  for (std::int64_t i = 0; i < outer; ++i) {
    const double size = largest_of(a + i * outer_step, inner, inner_step);
    if (size == 0) continue;
    largest = std::max(largest, size);
    smallest = std::min(smallest, size);
  }
  return largest / smallest;
}

/// The matrix of one slot, and which of its sides is rotated: as few columns as possible; of a
/// square matrix the side that is graded, because errors are small relative to each column, not to
/// each row.
template <class T>
struct Source {
  const T* a;
  std::int64_t rows, cols, row_stride;
  bool finite;
  bool transposed;

  Source(const SingularValuesArgs<T>& args, std::int64_t slot)
      : a(args.a.slot(slot)),
        rows(args.a.rows),
        cols(args.a.cols),
        row_stride(args.a.row_stride),
        finite(true),
        transposed(rows < cols) {
    for (std::int64_t r = 0; r < rows; ++r) {
      for (std::int64_t c = 0; c < cols; ++c)
        finite = finite && std::isfinite(a[r * row_stride + c]);
    }
    if (finite && rows == cols) {
      transposed = spread(a, rows, row_stride, cols, 1) > spread(a, cols, 1, rows, row_stride);
    }
  }

  std::int64_t length() const { return std::max(rows, cols); }
  std::int64_t count() const { return std::min(rows, cols); }
  /// Elements of the columns that are rotated.
  const T* column(std::int64_t j) const { return a + j * (transposed ? row_stride : 1); }
  std::int64_t step() const { return transposed ? 1 : row_stride; }
};

/// Orthogonal columns, wherever they stand: column i is 2^exponent times `norm` times a vector of
/// length 1, and so is what it was rotated with.
struct Rotated {
  const double* columns;
  std::int64_t column_step, element_step;
  const double* right;  ///< null: not known
  std::int64_t right_step;
  const double* norms;
  const std::int32_t* exponents;
  const std::int32_t* places;  ///< of column i in memory; null: i
  std::int64_t number_step;    ///< of norms and exponents

  double value(std::int64_t i) const {
    return scale_by_power(norms[i * number_step], exponents[i * number_step]);
  }
  std::int64_t place(std::int64_t i) const { return places != nullptr ? places[i] : i; }
};

template <class T>
void write_missing(const SingularValuesArgs<T>& args, std::int64_t slot) {
  std::fill_n(args.values + slot * args.values_stride, args.values_count, nan);
  if (args.left != nullptr) std::fill_n(args.left + slot * args.left_stride, args.a.rows, nan);
  for (const MatrixBatch<double>& vectors : {args.u, args.v}) {
    for (std::int64_t r = 0; vectors.data != nullptr && r < vectors.rows; ++r) {
      std::fill_n(vectors.slot(slot) + r * vectors.row_stride, vectors.cols, nan);
    }
  }
  if (args.sweeps != nullptr) args.sweeps[slot] = 0;
}

/// The longest column at length 1, or A times it where the rows were rotated.
template <class T>
void write_left(const Source<T>& source, const Rotated& from, std::int64_t longest, double* left) {
  const double* column = from.columns + from.place(longest) * from.column_step;
  const double norm = from.norms[longest * from.number_step];
  if (!source.transposed) {
    for (std::int64_t r = 0; r < source.rows; ++r) left[r] = column[r * from.element_step] / norm;
    return;
  }
  const double value = from.value(longest);
  for (std::int64_t r = 0; r < source.rows; ++r) {
    double sum = 0;
    for (std::int64_t c = 0; c < source.cols; ++c) {
      sum += static_cast<double>(source.a[r * source.row_stride + c]) *
             (column[c * from.element_step] / norm);
    }
    left[r] = sum / value;
  }
}

template <class T>
void write(const SingularValuesArgs<T>& args, std::int64_t slot, const Source<T>& source,
           const Rotated& from, std::int32_t sweeps) {
  const std::int64_t count = source.count();
  std::int32_t order[1024];
  double value[1024];
  for (std::int64_t j = 0; j < count; ++j) {
    value[j] = from.value(j);
    std::int64_t at = j;
    for (; at > 0 && value[order[at - 1]] < value[j]; --at) order[at] = order[at - 1];
    order[at] = static_cast<std::int32_t>(j);
  }
  double* values = args.values + slot * args.values_stride;
  for (std::int64_t i = 0; i < args.values_count; ++i) {
    values[i] = i < count ? value[order[i]] : 0;
  }
  if (args.sweeps != nullptr) args.sweeps[slot] = sweeps;
  if (args.left != nullptr) {
    write_left(source, from, order[0], args.left + slot * args.left_stride);
  }
  const MatrixBatch<double>& columns = source.transposed ? args.v : args.u;
  const MatrixBatch<double>& rights = source.transposed ? args.u : args.v;
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int64_t j = order[i];
    const std::int64_t place = from.place(j);
    const bool none = value[j] == 0;
    const double norm = from.norms[j * from.number_step];
    const std::int32_t exponent = from.exponents[j * from.number_step];
    for (std::int64_t e = 0; columns.data != nullptr && e < source.length(); ++e) {
      const double element = from.columns[place * from.column_step + e * from.element_step];
      columns.slot(slot)[e * columns.row_stride + i] = none ? 0
                                                       : args.scaled
                                                           ? scale_by_power(element, exponent)
                                                           : element / norm;
    }
    for (std::int64_t e = 0; rights.data != nullptr && e < count; ++e) {
      rights.slot(slot)[e * rights.row_stride + i] =
          none ? 0
               : (args.scaled ? value[j] : 1) *
                     from.right[place * from.right_step + e * from.element_step];
    }
  }
}

template <class T>
bool wants_right(const SingularValuesArgs<T>& args) {
  return args.u.data != nullptr || args.v.data != nullptr;
}

template <class T>
void one_slot(const SingularValuesArgs<T>& args, std::int64_t slot, const Loops& loops) {
  const Source<T> source(args, slot);
  if (!source.finite) return write_missing(args, slot);
  const std::int64_t count = source.count();
  const std::int64_t length = source.length();
  const std::int64_t stride = loops.jacobi_stride(length);
  const std::int64_t right_stride = wants_right(args) ? loops.jacobi_stride(count) : 0;
  auto* columns = static_cast<double*>(thread_scratch(
      static_cast<std::size_t>((stride + right_stride) * count + 2 * count) * sizeof(double)));
  double* right = columns + stride * count;
  double* norms = right + right_stride * count;
  auto* exponents = reinterpret_cast<std::int32_t*>(norms + count);
  std::int32_t* places = exponents + count;
  for (std::int64_t j = 0; j < count; ++j) {
    const T* from = source.column(j);
    double* column = columns + j * stride;
    for (std::int64_t i = 0; i < length; ++i) {
      column[i] = static_cast<double>(from[i * source.step()]);
    }
    std::fill(column + length, column + stride, 0.0);
    if (right_stride == 0) continue;
    std::fill_n(right + j * right_stride, right_stride, 0.0);
    right[j * right_stride + j] = 1;
  }
  const std::int32_t sweeps =
      loops.jacobi(length, count, columns, right_stride > 0 ? right : nullptr, norms, exponents,
                   places, args.max_sweeps);
  write(args, slot, source,
        {columns, stride, 1, right_stride > 0 ? right : nullptr, right_stride, norms, exponents,
         places, 1},
        sweeps);
}

/// Slots first ... end - 1, as many as there are lanes or fewer.
template <class T>
void lane_slots(const SingularValuesArgs<T>& args, std::int64_t first, std::int64_t end,
                const Loops& loops) {
  const std::int64_t lanes = loops.jacobi_lanes;
  const std::int64_t count = std::min(args.a.rows, args.a.cols);
  const std::int64_t length = std::max(args.a.rows, args.a.cols);
  const std::int64_t right_size = wants_right(args) ? count * count : 0;
  const auto doubles = static_cast<std::size_t>((length * count + right_size + 2 * count) * lanes);
  auto* columns = static_cast<double*>(thread_scratch(doubles * sizeof(double)));
  double* right = columns + length * count * lanes;
  double* norms = right + right_size * lanes;
  auto* exponents = reinterpret_cast<std::int32_t*>(norms + count * lanes);
  std::fill_n(columns, doubles, 0.0);
  std::vector<Source<T>> sources;
  for (std::int64_t slot = first; slot < end; ++slot) {
    const Source<T>& source = sources.emplace_back(args, slot);
    if (!source.finite) continue;
    const std::int64_t lane = slot - first;
    std::int32_t order[lane_jacobi_columns];
    double size[lane_jacobi_columns];
    for (std::int64_t j = 0; j < count; ++j) {
      size[j] = largest_of(source.column(j), length, source.step());
      std::int64_t at = j;
      for (; at > 0 && size[order[at - 1]] < size[j]; --at) order[at] = order[at - 1];
      order[at] = static_cast<std::int32_t>(j);
    }
    for (std::int64_t j = 0; j < count; ++j) {
      const T* from = source.column(order[j]);
      double* to = columns + j * length * lanes + lane;
      for (std::int64_t i = 0; i < length; ++i) {
        to[i * lanes] = static_cast<double>(from[i * source.step()]);
      }
      if (right_size > 0) right[(j * count + order[j]) * lanes + lane] = 1;
    }
  }
  std::int32_t sweeps[16];
  loops.lane_jacobi({length, count, columns, norms, exponents, right_size > 0 ? right : nullptr,
                     args.max_sweeps, sweeps});
  for (std::int64_t slot = first; slot < end; ++slot) {
    const std::int64_t lane = slot - first;
    const Source<T>& source = sources[static_cast<std::size_t>(lane)];
    if (!source.finite) {
      write_missing(args, slot);
      continue;
    }
    write(args, slot, source,
          {columns + lane, length * lanes, lanes, right + lane, count * lanes, norms + lane,
           exponents + lane, nullptr, lanes},
          sweeps[lane]);
  }
}

/// Whether a group of matrices stays in a core's caches.
bool fits_lanes(std::int64_t rows, std::int64_t cols) {
  return std::min(rows, cols) <= lane_jacobi_columns &&
         rows * cols <= lane_jacobi_columns * lane_jacobi_columns;
}

}  // namespace

template <class T>
void singular_values(Executor& executor, const SingularValuesArgs<T>& args) {
  const Loops& loops = chosen_loops();
  const bool lanes = fits_lanes(args.a.rows, args.a.cols);
  cpu(executor).for_slots(args.a.slots, [args, &loops, lanes](SlotRange range) {
    const std::int64_t group = lanes ? loops.jacobi_lanes : 1;
    for (std::int64_t slot = range.begin; slot < range.end; slot += group) {
      if (lanes) {
        lane_slots(args, slot, std::min(range.end, slot + group), loops);
      } else {
        one_slot(args, slot, loops);
      }
    }
  });
}
template void singular_values(Executor&, const SingularValuesArgs<float>&);
template void singular_values(Executor&, const SingularValuesArgs<double>&);

}  // namespace manyfold::kernels::cpu
