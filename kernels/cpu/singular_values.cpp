// Singular values on the CPU: matrices are copied column by column into scratch and rotated there;
// small ones a group at a time, each in a lane of vectors, very large ones by LAPACK.
#include "kernels/singular_values.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <stdexcept>
#include <vector>

#include <lapacke.h>

#include "kernels/common/jacobi.hpp"
#include "kernels/common/singular_methods.hpp"
#include "kernels/cpu/for_each.hpp"
#include "kernels/cpu/loops.hpp"
#include "kernels/cpu/operations.hpp"
#include "kernels/cpu/scratch.hpp"
#include "kernels/cpu/singular_values.hpp"

namespace manyfold::kernels::cpu {
namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();

/// A matrix that is written, element (r, c) at data[r * row_step + c * col_step]; perhaps none.
struct Output {
  double* data = nullptr;
  std::int64_t rows = 0, cols = 0, row_step = 0, col_step = 0;

  double& at(std::int64_t r, std::int64_t c) const { return data[r * row_step + c * col_step]; }
};

/// Where the operands of one slot stand: one after another in the batch, or `step` apart in a lane
/// of resident members.
template <class T>
struct Place {
  const T* a;
  std::int64_t rows, cols, row_step, col_step;
  Output values, left;  ///< one row, one column
  Output u, v;
  std::int32_t* sweeps;

  static Place of_slot(const SingularValuesArgs<T>& args, std::int64_t slot) {
    return {args,
            1,
            args.a.slot(slot),
            args.values + slot * args.values_stride,
            args.left != nullptr ? args.left + slot * args.left_stride : nullptr,
            args.u.data != nullptr ? args.u.slot(slot) : nullptr,
            args.v.data != nullptr ? args.v.slot(slot) : nullptr,
            args.sweeps != nullptr ? args.sweeps + slot : nullptr};
  }
  static Place of_lane(const SingularValuesArgs<T>& args, std::int64_t lane, std::int64_t lanes) {
    const auto in_lane = [lane](auto* first) { return first != nullptr ? first + lane : nullptr; };
    return {args,
            lanes,
            in_lane(args.a.data),
            in_lane(args.values),
            in_lane(args.left),
            in_lane(args.u.data),
            in_lane(args.v.data),
            in_lane(args.sweeps)};
  }

 private:
  Place(const SingularValuesArgs<T>& args, std::int64_t step, const T* a_at, double* values_at,
        double* left_at, double* u_at, double* v_at, std::int32_t* sweeps_at)
      : a(a_at),
        rows(args.a.rows),
        cols(args.a.cols),
        row_step(args.a.row_stride * step),
        col_step(step),
        values{values_at, 1, args.values_count, 0, step},
        left{left_at, rows, 1, step, 0},
        u{u_at, args.u.rows, args.u.cols, args.u.row_stride * step, step},
        v{v_at, args.v.rows, args.v.cols, args.v.row_stride * step, step},
        sweeps(sweeps_at) {}
};

/// What of a call is the same for all slots.
struct Wanted {
  bool right;   ///< the rotations
  bool scaled;  ///< u and v receive U S and V S
  int max_sweeps;
  double beyond;  ///< what values beyond min(m, n) are

  template <class T>
  explicit Wanted(const SingularValuesArgs<T>& args)
      : right(args.u.data != nullptr || args.v.data != nullptr),
        scaled(args.scaled),
        max_sweeps(args.max_sweeps),
        beyond(args.beyond) {}
};

/// Largest over smallest of some sizes; zeros are passed over.
double spread(std::span<const double> sizes) {
  double largest = 0;
  double smallest = std::numeric_limits<double>::infinity();
  for (const double size : sizes) {
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
  std::int64_t rows, cols, row_step, col_step;
  bool finite;
  bool transposed;

  explicit Source(const Place<T>& place)
      : a(place.a),
        rows(place.rows),
        cols(place.cols),
        row_step(place.row_step),
        col_step(place.col_step),
        finite(true),
        transposed(rows < cols),
        largest_(static_cast<std::size_t>(rows + cols), 0.0) {
    double* const of_col = largest_.data() + rows;
    bool comparable = true;
    for (std::int64_t r = 0; r < rows; ++r) {
      double of_row = 0;
      for (std::int64_t c = 0; c < cols; ++c) {
        const double size = std::fabs(static_cast<double>(a[r * row_step + c * col_step]));
        comparable &= size <= std::numeric_limits<double>::max();
        of_row = std::max(of_row, size);
        of_col[c] = std::max(of_col[c], size);
      }
      largest_[static_cast<std::size_t>(r)] = of_row;
    }
    finite = comparable;
    if (finite && rows == cols) transposed = spread(row_sizes()) > spread(col_sizes());
  }

  std::int64_t length() const { return std::max(rows, cols); }
  std::int64_t count() const { return std::min(rows, cols); }
  /// Elements of the columns that are rotated.
  const T* column(std::int64_t j) const { return a + j * (transposed ? row_step : col_step); }
  std::int64_t step() const { return transposed ? col_step : row_step; }
  /// The largest element of each.
  std::span<const double> sizes() const { return transposed ? row_sizes() : col_sizes(); }

 private:
  std::vector<double> largest_;  // of the rows, then of the columns

  std::span<const double> row_sizes() const {
    return std::span(largest_).first(static_cast<std::size_t>(rows));
  }
  std::span<const double> col_sizes() const {
    return std::span(largest_).subspan(static_cast<std::size_t>(rows));
  }
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
void write_missing(const Place<T>& place) {
  for (const Output& out : {place.values, place.left, place.u, place.v}) {
    for (std::int64_t r = 0; out.data != nullptr && r < out.rows; ++r) {
      for (std::int64_t c = 0; c < out.cols; ++c) out.at(r, c) = nan;
    }
  }
  if (place.sweeps != nullptr) *place.sweeps = 0;
}

/// The longest column at length 1, or A times it where the rows were rotated.
template <class T>
void write_left(const Source<T>& source, const Rotated& from, std::int64_t longest,
                const Output& left) {
  const double* column = from.columns + from.place(longest) * from.column_step;
  const double norm = from.norms[longest * from.number_step];
  if (!source.transposed) {
    for (std::int64_t r = 0; r < source.rows; ++r) {
      left.at(r, 0) = column[r * from.element_step] / norm;
    }
    return;
  }
  const double value = from.value(longest);
  for (std::int64_t r = 0; r < source.rows; ++r) {
    double sum = 0;
    for (std::int64_t c = 0; c < source.cols; ++c) {
      sum += static_cast<double>(source.a[r * source.row_step + c * source.col_step]) *
             (column[c * from.element_step] / norm);
    }
    left.at(r, 0) = sum / value;
  }
}

template <class T>
void write(const Place<T>& place, const Wanted& wanted, const Source<T>& source,
           const Rotated& from, std::int32_t sweeps) {
  const std::int64_t count = source.count();
  std::array<double, cpu_singular_columns> few_values;
  std::array<std::int32_t, cpu_singular_columns> few_places;
  std::vector<double> many_values;
  std::vector<std::int32_t> many_places;
  double* value = few_values.data();
  std::int32_t* order = few_places.data();
  if (count > cpu_singular_columns) {
    many_values.resize(static_cast<std::size_t>(count));
    many_places.resize(static_cast<std::size_t>(count));
    value = many_values.data();
    order = many_places.data();
  }
  for (std::int64_t j = 0; j < count; ++j) {
    value[j] = from.value(j);
    std::int64_t at = j;
    for (; at > 0 && value[order[at - 1]] < value[j]; --at) order[at] = order[at - 1];
    order[at] = static_cast<std::int32_t>(j);
  }
  for (std::int64_t i = 0; i < place.values.cols; ++i) {
    place.values.at(0, i) = i < count ? value[order[i]] : wanted.beyond;
  }
  if (place.sweeps != nullptr) *place.sweeps = sweeps;
  if (place.left.data != nullptr) write_left(source, from, order[0], place.left);
  const Output& columns = source.transposed ? place.v : place.u;
  const Output& rights = source.transposed ? place.u : place.v;
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int64_t j = order[i];
    const std::int64_t at = from.place(j);
    const bool none = value[j] == 0;
    const double norm = from.norms[j * from.number_step];
    const std::int32_t exponent = from.exponents[j * from.number_step];
    for (std::int64_t e = 0; columns.data != nullptr && e < source.length(); ++e) {
      const double element = from.columns[at * from.column_step + e * from.element_step];
      columns.at(e, i) = none            ? 0
                         : wanted.scaled ? scale_by_power(element, exponent)
                                         : element / norm;
    }
    for (std::int64_t e = 0; rights.data != nullptr && e < count; ++e) {
      const double element = from.right[at * from.right_step + e * from.element_step];
      rights.at(e, i) = none ? 0 : (wanted.scaled ? value[j] : 1) * element;
    }
  }
}

template <class T>
void one_slot(const Place<T>& place, const Wanted& wanted, const Loops& loops) {
  const Source<T> source(place);
  if (!source.finite) return write_missing(place);
  const std::int64_t count = source.count();
  const std::int64_t length = source.length();
  const std::int64_t stride = loops.jacobi_stride(length);
  const std::int64_t right_stride = wanted.right ? loops.jacobi_stride(count) : 0;
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
                   places, wanted.max_sweeps);
  write(place, wanted, source,
        {columns, stride, 1, right_stride > 0 ? right : nullptr, right_stride, norms, exponents,
         places, 1},
        sweeps);
}

/// By LAPACK's preconditioned Jacobi. It gives columns of length 1: here they get their norms, so
/// that they are written as those of the rotations are.
template <class T>
void one_slot_by_lapack(const Place<T>& place, const Wanted& wanted) {
  const Source<T> source(place);
  if (!source.finite) return write_missing(place);
  const std::int64_t count = source.count();
  const std::int64_t length = source.length();
  const bool vectors = wanted.right || place.left.data != nullptr;
  const std::int64_t work = std::max(2 * length + count, 4 * count + count * count) +
                            2 * count * count + 128 * count + 6 * length;
  const Scratch scratch(length * count * (vectors ? 2 : 1) + (vectors ? count * count : 0) + work +
                        count);
  double* a = scratch.data();
  double* columns = vectors ? a + length * count : a;
  double* right = columns + length * count;
  double* norms = vectors ? right + count * count : right;
  for (std::int64_t j = 0; j < count; ++j) {
    const T* from = source.column(j);
    for (std::int64_t i = 0; i < length; ++i) {
      a[j * length + i] = static_cast<double>(from[i * source.step()]);
    }
  }
  std::vector<lapack_int> integers(static_cast<std::size_t>(length + 3 * count));
  std::vector<std::int32_t> exponents(static_cast<std::size_t>(count), 0);
  double* numbers = norms + count;
  const auto m = static_cast<lapack_int>(length);
  const auto n = static_cast<lapack_int>(count);
  const lapack_int info = LAPACKE_dgejsv_work(
      LAPACK_COL_MAJOR, 'C', vectors ? 'U' : 'N', vectors ? 'V' : 'N', 'N', 'N', 'N', m, n, a, m,
      norms, vectors ? columns : nullptr, m, vectors ? right : nullptr, n, numbers,
      static_cast<lapack_int>(work), integers.data());
  const double scale = numbers[0] / numbers[1];
  for (std::int64_t j = 0; j < count; ++j) {
    norms[j] *= scale;
    for (std::int64_t i = 0; vectors && i < length; ++i) columns[j * length + i] *= norms[j];
  }
  write(place, wanted, source,
        {columns, length, 1, vectors ? right : nullptr, count, norms, exponents.data(), nullptr, 1},
        info == 0 ? 1 : -1);
}

/// As many slots as there are lanes, or fewer.
template <class T>
void lane_slots(std::span<const Place<T>> slots, const Wanted& wanted, const Loops& loops) {
  const std::int64_t lanes = loops.jacobi_lanes;
  const std::int64_t count = std::min(slots.front().rows, slots.front().cols);
  const std::int64_t length = std::max(slots.front().rows, slots.front().cols);
  const std::int64_t right_size = wanted.right ? count * count : 0;
  const auto doubles = static_cast<std::size_t>((length * count + right_size + 2 * count) * lanes);
  auto* columns = static_cast<double*>(thread_scratch(doubles * sizeof(double)));
  double* right = columns + length * count * lanes;
  double* norms = right + right_size * lanes;
  auto* exponents = reinterpret_cast<std::int32_t*>(norms + count * lanes);
  // Lanes without a matrix are zero, and what rotations begin with is the identity.
  const bool full = std::ssize(slots) == lanes;
  if (!full) std::fill_n(columns, length * count * lanes, 0.0);
  std::fill_n(right, right_size * lanes, 0.0);
  std::vector<Source<T>> sources;
  sources.reserve(slots.size());
  std::int64_t lane = -1;
  for (const Place<T>& place : slots) {
    ++lane;
    const Source<T>& source = sources.emplace_back(place);
    if (!source.finite) {
      for (std::int64_t e = 0; e < length * count; ++e) columns[e * lanes + lane] = 0;
      continue;
    }
    std::int32_t order[lane_jacobi_columns];
    const double* const size = source.sizes().data();
    for (std::int64_t j = 0; j < count; ++j) {
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
                     wanted.max_sweeps, sweeps});
  lane = -1;
  for (const Place<T>& place : slots) {
    ++lane;
    const Source<T>& source = sources[static_cast<std::size_t>(lane)];
    if (!source.finite) {
      write_missing(place);
      continue;
    }
    write(place, wanted, source,
          {columns + lane, length * lanes, lanes, right + lane, count * lanes, norms + lane,
           exponents + lane, nullptr, lanes},
          sweeps[lane]);
  }
}

/// Slots of one shape, whose places place(0), ..., place(count - 1) are.
template <class T, class PlaceOf>
void some_slots(std::int64_t count, const PlaceOf& place, const Wanted& wanted,
                const Loops& loops) {
  constexpr std::int64_t most_lanes = 8;
  std::vector<Place<T>> group;
  group.reserve(most_lanes);
  for (std::int64_t i = 0; i < count; ++i) {
    const Place<T> next = place(i);
    const std::int64_t least = std::min(next.rows, next.cols);
    // Groups of such matrices stay in a core's caches.
    const bool in_lanes = least <= lane_jacobi_columns &&
                          next.rows * next.cols <= lane_jacobi_columns * lane_jacobi_columns;
    if (least > cpu_singular_columns) {
      one_slot_by_lapack(next, wanted);
    } else if (!in_lanes) {
      one_slot(next, wanted, loops);
    } else {
      group.push_back(next);
      if (std::ssize(group) < loops.jacobi_lanes && i + 1 < count) continue;
      lane_slots<T>(group, wanted, loops);
      group.clear();
    }
  }
}

}  // namespace

template <class T>
void singular_values_in_lanes(const SingularValuesArgs<T>& args, const bool* wanted_lanes,
                              std::int64_t lanes) {
  if (args.a.slot_stride == 0)
    throw std::logic_error("singular values of one matrix for all lanes");
  std::array<std::int64_t, 16> of{};
  std::int64_t count = 0;
  for (std::int64_t lane = 0; lane < lanes; ++lane) {
    if (wanted_lanes[lane]) of[static_cast<std::size_t>(count++)] = lane;
  }
  some_slots<T>(
      count,
      [&](std::int64_t i) {
        return Place<T>::of_lane(args, of[static_cast<std::size_t>(i)], lanes);
      },
      Wanted(args), chosen_loops());
}
template void singular_values_in_lanes(const SingularValuesArgs<float>&, const bool*, std::int64_t);
template void singular_values_in_lanes(const SingularValuesArgs<double>&, const bool*,
                                       std::int64_t);

template <class T>
void singular_values(Executor& executor, const SingularValuesArgs<T>& args) {
  const bool large = std::min(args.a.rows, args.a.cols) > cpu_singular_columns;
  cpu(executor).for_slots(
      args.a.slots, [args, large, threads = cpu(executor).threads()](SlotRange range) {
        std::optional<BlasThreads> blas;
        if (large) blas.emplace(args.a.slots == 1 ? threads : 1);
        some_slots<T>(
            range.end - range.begin,
            [&](std::int64_t i) { return Place<T>::of_slot(args, range.begin + i); }, Wanted(args),
            chosen_loops());
      });
}
template void singular_values(Executor&, const SingularValuesArgs<float>&);
template void singular_values(Executor&, const SingularValuesArgs<double>&);

}  // namespace manyfold::kernels::cpu
