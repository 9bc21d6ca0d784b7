// Singular values of one matrix by the threads of a block: one-sided Jacobi with pairs of columns
// in parallel, for a batch (singular_values.cu) and for resident members (resident.cu).
//
// A sweep is n - 1 rounds of the circle method (all pairs of a round have no column in common), a
// barrier after each. A pair belongs to a group of lanes that fits the length of a column; lanes
// add up scalar products by shuffles. Of two columns the longer goes to the lower place, the
// parallel form of de Rijk's pivoting. Formulas: kernels/common/jacobi.hpp.
#pragma once

#include <cstdint>

#include <float.h>

#include "kernels/common/jacobi.hpp"
#include "kernels/cuda/for_each.cuh"
#include "kernels/cuda/reduce.cuh"
#include "kernels/singular_values.hpp"

namespace manyfold::kernels::cuda {

/// Doubles for what is known of each column.
__host__ __device__ constexpr std::int64_t jacobi_header(std::int64_t n) { return 3 * n; }

/// What the rotations of one slot work in.
struct JacobiMemory {
  double* norm2;    // of what is stored of a column
  double* scratch;  // one a column
  int* exponent;    // a column is 2^exponent times what is stored
  int* shrunk;      // jacobi_gone
  double* columns;
  double* right;  // columns of the rotations; null: not wanted

  __device__ JacobiMemory(double* header, double* columns_at, double* right_at, std::int64_t n)
      : norm2(header),
        scratch(norm2 + n),
        exponent(reinterpret_cast<int*>(scratch + n)),
        shrunk(exponent + n),
        columns(columns_at),
        right(right_at) {}
};

__device__ inline bool longer(double norm2_x, int exponent_x, double norm2_y, int exponent_y) {
  if (norm2_x == 0 || norm2_y == 0) return norm2_x > norm2_y;
  const double ratio = power_of_two(exponent_x - exponent_y);
  return norm2_x * ratio > norm2_y / ratio;
}

/// Largest over smallest of the values that are not zero.
__device__ inline double spread(const double* values, int count) {
  double largest = 0;
  double smallest = HUGE_VAL;
  for (int i = 0; i < count; ++i) {
    if (values[i] == 0) continue;
    largest = fmax(largest, values[i]);
    smallest = fmin(smallest, values[i]);
  }
  return largest / smallest;
}

/// Whether a square matrix is more graded along its rows than along its columns: errors are small
/// relative to each rotated column, so the graded side is the one to rotate. All threads call; uses
/// the first n places of `first` and `second`.
template <class T>
__device__ inline bool rows_more_graded(const T* a, std::int64_t row_stride, int n, double* first,
                                        double* second) {
  for (int i = static_cast<int>(threadIdx.x); i < n; i += static_cast<int>(blockDim.x)) {
    double row = 0;
    double col = 0;
    for (int j = 0; j < n; ++j) {
      row = fmax(row, fabs(static_cast<double>(a[i * row_stride + j])));
      col = fmax(col, fabs(static_cast<double>(a[j * row_stride + i])));
    }
    first[i] = row;
    second[i] = col;
  }
  __syncthreads();
  const int graded = threadIdx.x == 0 && spread(first, n) > spread(second, n) ? 1 : 0;
  return __syncthreads_or(graded) != 0;
}

/// Scales every column so that its largest element lies in [1/2, 1), and takes its norm.
template <int lanes>
__device__ inline void normalize(const JacobiMemory& shared, int length, int n, bool first_time) {
  const int lane = static_cast<int>(threadIdx.x) % lanes;
  const int groups = static_cast<int>(blockDim.x) / lanes;
  for (int first = 0; first < n; first += groups) {  // as often in every lane: shuffles need all
    const int j = first + static_cast<int>(threadIdx.x) / lanes;
    double* column = shared.columns + static_cast<std::int64_t>(j) * length;
    double largest = 0;
    if (j < n) {
      for (int i = lane; i < length; i += lanes) largest = fmax(largest, fabs(column[i]));
    }
    largest = group_max<lanes>(largest);
    const bool small = j < n && !first_time && shared.norm2[j] < jacobi_gone;
    const bool gone = small && shared.shrunk[j] != 0;
    if (gone) largest = 0;
    const int exponent = exponent_of(largest);
    double norm2 = 0;
    if (j < n) {
      for (int i = lane; i < length; i += lanes) {
        column[i] = gone ? 0 : scale_by_power(column[i], -exponent);
        norm2 = fma(column[i], column[i], norm2);
      }
    }
    norm2 = group_sum<lanes>(norm2);
    if (j < n && lane == 0) {
      shared.norm2[j] = norm2;
      shared.exponent[j] += exponent;
      if (small) shared.shrunk[j] = 1;
    }
  }
}

/// One round of pairs. True in lanes whose pair was rotated.
template <int lanes>
__device__ inline bool rotate_pairs(const JacobiMemory& shared, int length, int n, int round,
                                    double tolerance) {
  const int lane = static_cast<int>(threadIdx.x) % lanes;
  const int groups = static_cast<int>(blockDim.x) / lanes;
  bool rotated = false;
  for (int first = 0; first < n / 2; first += groups) {
    const int pair = first + static_cast<int>(threadIdx.x) / lanes;
    const auto [p, q, present] = jacobi_pair(n, round, pair);
    // x is the longer one.
    int from_x = p;
    int from_y = q;
    double a = 0;
    double b = 0;
    if (present) {
      if (longer(shared.norm2[q], shared.exponent[q], shared.norm2[p], shared.exponent[p])) {
        from_x = q;
        from_y = p;
      }
      a = shared.norm2[from_x];
      b = shared.norm2[from_y];
    }
    double* x = shared.columns + static_cast<std::int64_t>(from_x) * length;
    double* y = shared.columns + static_cast<std::int64_t>(from_y) * length;
    double product = 0;
    if (b > 0) {
      for (int i = lane; i < length; i += lanes) product = fma(x[i], y[i], product);
    }
    product = group_sum<lanes>(product);
    const bool oblique = b > 0 && fabs(product) > tolerance * (sqrt(a) * sqrt(b));
    const bool exchanged = from_x != p;
    double sum_x = 0;
    double sum_y = 0;
    int exponent_x = 0;
    int exponent_y = 0;
    JacobiRotation rotation{1, 0, 0, 0};
    if (oblique || exchanged) {
      exponent_x = shared.exponent[from_x];
      exponent_y = shared.exponent[from_y];
      if (oblique) {
        rotation = jacobi_rotation(a, b, product, power_of_two(exponent_y - exponent_x));
        rotated = true;
      }
      double* to_x = shared.columns + static_cast<std::int64_t>(p) * length;
      double* to_y = shared.columns + static_cast<std::int64_t>(q) * length;
      for (int i = lane; i < length; i += lanes) {
        const double old_x = x[i];
        const double old_y = y[i];
        const double new_x = fma(rotation.to_first, old_y, rotation.keep * old_x);
        const double new_y = fma(rotation.to_second, old_x, rotation.keep * old_y);
        to_x[i] = new_x;
        to_y[i] = new_y;
        sum_x = fma(new_x, new_x, sum_x);
        sum_y = fma(new_y, new_y, sum_y);
      }
    }
    if (shared.right != nullptr && (oblique || exchanged)) {
      const double* right_x = shared.right + static_cast<std::int64_t>(from_x) * n;
      const double* right_y = shared.right + static_cast<std::int64_t>(from_y) * n;
      double* to_x = shared.right + static_cast<std::int64_t>(p) * n;
      double* to_y = shared.right + static_cast<std::int64_t>(q) * n;
      for (int i = lane; i < n; i += lanes) {
        const double old_x = right_x[i];
        const double old_y = right_y[i];
        to_x[i] = fma(-rotation.sine, old_y, rotation.keep * old_x);
        to_y[i] = fma(rotation.sine, old_x, rotation.keep * old_y);
      }
    }
    sum_x = group_sum<lanes>(sum_x);  // after which all lanes have read norms and exponents
    sum_y = group_sum<lanes>(sum_y);
    if ((oblique || exchanged) && lane == 0) {
      shared.norm2[p] = sum_x;
      shared.norm2[q] = sum_y;
      shared.exponent[p] = exponent_x;
      shared.exponent[q] = exponent_y;
    }
  }
  return rotated;
}

/// Singular values of one slot by all threads of a block.
template <int lanes, class T>
__device__ inline void rotate_slot(const SingularValuesArgs<T>& args, std::int64_t slot,
                                   const JacobiMemory& shared) {
  const T* a = args.a.slot(slot);
  const int rows = static_cast<int>(args.a.rows);
  const int cols = static_cast<int>(args.a.cols);
  const std::int64_t row_stride = args.a.row_stride;
  const int n = rows < cols ? rows : cols;
  const int length = rows < cols ? cols : rows;
  const int thread = static_cast<int>(threadIdx.x);
  const int threads = static_cast<int>(blockDim.x);
  double* values = args.values + slot * args.values_stride;
  double* left = args.left != nullptr ? args.left + slot * args.left_stride : nullptr;
  const bool vectors = shared.right != nullptr;

  int bad = 0;
  for (int i = thread; i < rows * cols; i += threads) {
    const double entry = a[i / cols * row_stride + i % cols];
    if (!(fabs(entry) <= DBL_MAX)) bad = 1;
  }
  if (__syncthreads_or(bad) != 0) {
    for (std::int64_t i = thread; i < args.values_count; i += threads) values[i] = nan("");
    for (int r = thread; args.left != nullptr && r < rows; r += threads) left[r] = nan("");
    for (const MatrixBatch<double>& out : {args.u, args.v}) {
      if (out.data == nullptr) continue;
      for (int i = thread; i < out.size(); i += threads) {
        out.slot(slot)[i / out.cols * out.row_stride + i % out.cols] = nan("");
      }
    }
    if (thread == 0 && args.sweeps != nullptr) args.sweeps[slot] = 0;
    return;
  }

  bool transposed = rows < cols;
  if (rows == cols) transposed = rows_more_graded(a, row_stride, n, shared.norm2, shared.scratch);
  for (int i = thread; i < rows * cols; i += threads) {
    const int r = i / cols;
    const int c = i % cols;
    shared.columns[transposed ? r * length + c : c * length + r] = a[r * row_stride + c];
  }
  for (int j = thread; j < n; j += threads) {
    shared.exponent[j] = 0;
    shared.shrunk[j] = 0;
  }
  for (int i = thread; shared.right != nullptr && i < n * n; i += threads) {
    shared.right[i] = i / n == i % n ? 1 : 0;
  }
  __syncthreads();

  const double tolerance = jacobi_tolerance(length);
  int sweeps = 0;
  bool rotated = n > 1;
  normalize<lanes>(shared, length, n, true);
  __syncthreads();
  while (rotated && sweeps < args.max_sweeps) {
    bool mine = false;
    for (int round = 0; round < n; ++round) {
      mine |= rotate_pairs<lanes>(shared, length, n, round, tolerance);
      __syncthreads();
    }
    // Columns that lay almost along others are mostly gone: back to size 1.
    normalize<lanes>(shared, length, n, false);
    rotated = __syncthreads_or(mine ? 1 : 0) != 0;
    ++sweeps;
  }
  if (thread == 0 && args.sweeps != nullptr) args.sweeps[slot] = rotated ? -1 : sweeps;

  for (std::int64_t i = n + thread; i < args.values_count; i += threads) values[i] = args.beyond;
  for (int j = thread; j < n; j += threads) {
    shared.scratch[j] = scale_by_power(sqrt(shared.norm2[j]), shared.exponent[j]);
  }
  __syncthreads();
  for (int j = thread; j < n; j += threads) {
    const double value = shared.scratch[j];
    int place = 0;
    for (int i = 0; i < n; ++i) {
      const double other = shared.scratch[i];
      if (other > value || (other == value && i < j)) ++place;
    }
    if (place < args.values_count) values[place] = value;
    if (!vectors) continue;
    const MatrixBatch<double>& turned = transposed ? args.v : args.u;
    const MatrixBatch<double>& rotation = transposed ? args.u : args.v;
    const double norm = value == 0 ? HUGE_VAL : sqrt(shared.norm2[j]);
    const double size = value == 0 ? 0 : args.scaled ? value : 1;
    const int exponent = shared.exponent[j];
    for (int i = 0; turned.data != nullptr && i < length; ++i) {
      turned.slot(slot)[i * turned.row_stride + place] =
          args.scaled && value != 0
              ? scale_by_power(shared.columns[static_cast<std::int64_t>(j) * length + i], exponent)
              : shared.columns[static_cast<std::int64_t>(j) * length + i] / norm;
    }
    for (int i = 0; rotation.data != nullptr && i < n; ++i) {
      const double element = shared.right[static_cast<std::int64_t>(j) * n + i];
      rotation.slot(slot)[i * rotation.row_stride + place] = size * element;
    }
  }
  if (left == nullptr) return;
  int longest = 0;
  for (int j = 1; j < n; ++j) {
    if (shared.scratch[j] > shared.scratch[longest]) longest = j;
  }
  const double* direction = shared.columns + static_cast<std::int64_t>(longest) * length;
  const double norm = sqrt(shared.norm2[longest]);
  for (int r = thread; r < rows; r += threads) {
    if (!transposed) {
      left[r] = direction[r] / norm;
      continue;
    }
    double sum = 0;
    for (int c = 0; c < cols; ++c) {
      sum = fma(static_cast<double>(a[r * row_stride + c]), direction[c] / norm, sum);
    }
    left[r] = sum / shared.scratch[longest];
  }
}

}  // namespace manyfold::kernels::cuda
