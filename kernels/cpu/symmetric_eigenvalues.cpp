// Eigenvalues of symmetric matrices on the CPU: Jacobi in scratch for small ones, LAPACK for larger
// ones, one thread a matrix; the least of a large one by least_eigenvalue.cpp. A single large
// matrix has the BLAS's own threads.
#include "kernels/symmetric_eigenvalues.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include <cblas.h>
#include <lapacke.h>

#include "kernels/common/eigen_methods.hpp"
#include "kernels/common/symmetric_jacobi.hpp"
#include "kernels/cpu/for_each.hpp"
#include "kernels/cpu/operations.hpp"
#include "kernels/cpu/scratch.hpp"
#include "kernels/cpu/symmetric.hpp"

namespace manyfold::kernels::cpu {

void fill_upper(const SymmetricSlot& slot, double shift, double* a) {
  for (std::int64_t r = 0; r < slot.n; ++r) {
    slot.load_row(r, a + r * slot.n);
    a[r * slot.n + r] -= shift;
  }
}

namespace {

void multiply(const SymmetricSlot& slot, const double* v, double* row, double* product) {
  for (std::int64_t r = 0; r < slot.n; ++r) {
    slot.load_row(r, row);
    const int left = static_cast<int>(r);
    product[r] = cblas_ddot(left, row, 1, v, 1) + row[r] * v[r];
    cblas_daxpy(left, v[r], row, 1, product, 1);
  }
}

double distance(std::int64_t n, const double* product, double value, const double* v) {
  double sum = 0;
  for (std::int64_t i = 0; i < n; ++i) {
    const double d = product[i] - value * v[i];
    sum += d * d;
  }
  return std::sqrt(sum);
}

}  // namespace

RayleighQuotient rayleigh_quotient(const SymmetricSlot& slot, const double* v, double* row,
                                   double* product) {
  multiply(slot, v, row, product);
  RayleighQuotient quotient;
  quotient.value = cblas_ddot(static_cast<int>(slot.n), v, 1, product, 1);
  quotient.residual = distance(slot.n, product, quotient.value, v);
  return quotient;
}

double eigen_residual(const SymmetricSlot& slot, const double* v, double value, double* row,
                      double* product) {
  multiply(slot, v, row, product);
  return distance(slot.n, product, value, v);
}

namespace {

/// Where a slot's results go, in the units of the scaled matrix until `scale_back`.
struct Results {
  Eigenvalues which = Eigenvalues::all;
  std::int64_t n = 0;
  std::int64_t count = 0;  ///< at each end
  int max_sweeps = 0;
  double* values = nullptr;
  double* vector = nullptr;
  EigenStatus status = EigenStatus::fine;
  double bound = 0;

  /// From all values, ascending.
  void take(const double* ascending) {
    const std::int64_t first = which == Eigenvalues::all    ? n
                               : which == Eigenvalues::ends ? count
                                                            : 1;
    std::copy(ascending, ascending + first, values);
    if (which == Eigenvalues::ends) std::copy(ascending + n - count, ascending + n, values + count);
  }
  void scale_back(int exponent) {
    const std::int64_t kept = eigenvalues_kept(which, n, count);
    for (std::int64_t i = 0; i < kept; ++i) values[i] = scale_by_power(values[i], exponent);
    bound = scale_by_power(bound, exponent);
  }
};

void by_jacobi(const SymmetricSlot& slot, Results& results) {
  const int n = static_cast<int>(slot.n);
  const bool with_vector = results.vector != nullptr;
  const Scratch scratch((with_vector ? 2 * n : n) * n + 3 * n);
  double* a = scratch.data();
  double* ascending = a + n * n;
  double* row = ascending + n;
  double* product = row + n;
  double* vectors = with_vector ? product + n : nullptr;
  fill_upper(slot, 0, a);
  for (int r = 0; r < n; ++r) {
    for (int c = 0; c < r; ++c) a[c * n + r] = a[r * n + c];
  }
  results.bound = slot.bound();
  if (!symmetric_jacobi(a, n, vectors, results.max_sweeps)) {
    results.status = EigenStatus::not_converged;
    results.bound += outside_diagonal(a, n);
  }
  int least = 0;
  for (int i = 0; i < n; ++i) {
    ascending[i] = a[i * n + i];
    if (ascending[i] < ascending[least]) least = i;
  }
  if (with_vector) {
    std::copy(vectors + least * n, vectors + (least + 1) * n, results.vector);
    results.bound = std::max(results.bound,
                             eigen_residual(slot, results.vector, ascending[least], row, product));
  }
  std::sort(ascending, ascending + n);
  results.take(ascending);
}

/// LAPACK's tridiagonal matrix of a slot, and what it takes to come back from it.
struct Tridiagonal {
  lapack_int n = 0;
  double* a = nullptr;  ///< reflectors
  double* diagonal = nullptr;
  double* beside = nullptr;
  double* tau = nullptr;
  double* work = nullptr;
  lapack_int work_size = 0;
};

/// The least eigenvalue, and what dstein wants to know of it.
struct LeastOfTridiagonal {
  double value = 0;
  std::vector<double> values;
  std::vector<lapack_int> blocks;
  std::vector<lapack_int> splits;
  bool found = false;
};

LeastOfTridiagonal least_of(const Tridiagonal& t) {
  const auto size = static_cast<std::size_t>(t.n);
  LeastOfTridiagonal least{0, std::vector<double>(size), std::vector<lapack_int>(size),
                           std::vector<lapack_int>(size), false};
  std::vector<lapack_int> integers(3 * size);
  lapack_int found = 0;
  lapack_int splits = 0;
  const double smallest = 2 * std::numeric_limits<double>::min();  // as accurate as it gets
  const lapack_int info = LAPACKE_dstebz_work(
      'I', 'B', t.n, 0, 0, 1, 1, smallest, t.diagonal, t.beside, &found, &splits,
      least.values.data(), least.blocks.data(), least.splits.data(), t.work, integers.data());
  least.value = least.values.front();
  least.found = info == 0 && found == 1;
  return least;
}

/// False where inverse iteration did not converge.
bool vector_of(const Tridiagonal& t, const LeastOfTridiagonal& least, double* vector) {
  std::vector<lapack_int> integers(static_cast<std::size_t>(t.n));
  lapack_int failed = 0;
  const lapack_int info = LAPACKE_dstein_work(
      LAPACK_COL_MAJOR, t.n, t.diagonal, t.beside, 1, least.values.data(), least.blocks.data(),
      least.splits.data(), vector, t.n, t.work, integers.data(), &failed);
  LAPACKE_dormtr_work(LAPACK_COL_MAJOR, 'L', 'U', 'N', t.n, 1, t.a, t.n, t.tau, vector, t.n, t.work,
                      t.work_size);
  return info == 0;
}

void by_tridiagonal(const SymmetricSlot& slot, Results& results) {
  const std::int64_t n = slot.n;
  constexpr std::int64_t block = 64;  // columns that LAPACK reduces at once, or fewer
  const Scratch scratch(n * n + (5 + block) * n);
  Tridiagonal t;
  t.n = static_cast<lapack_int>(n);
  t.a = scratch.data();
  t.diagonal = t.a + n * n;
  t.beside = t.diagonal + n;
  t.tau = t.beside + n;
  double* ascending = t.tau + n;
  double* spent = ascending + n;
  t.work = spent + n;
  t.work_size = static_cast<lapack_int>(block * n);
  fill_upper(slot, 0, t.a);
  LAPACKE_dsytrd_work(LAPACK_COL_MAJOR, 'U', t.n, t.a, t.n, t.diagonal, t.beside, t.tau, t.work,
                      t.work_size);
  results.bound = slot.bound();
  bool converged = true;
  LeastOfTridiagonal least;
  if (results.which == Eigenvalues::least || results.vector != nullptr) {
    least = least_of(t);
    converged = least.found;
  }
  if (results.which == Eigenvalues::least) {
    results.values[0] = least.value;
  } else {
    std::copy(t.diagonal, t.diagonal + n, ascending);
    std::copy(t.beside, t.beside + n, spent);
    if (LAPACKE_dsterf_work(t.n, ascending, spent) != 0) {
      converged = false;
      std::sort(ascending, ascending + n);
      // What couples the values that are left, each with two neighbours.
      results.bound +=
          2 * std::fabs(*std::max_element(spent, spent + n - 1, [](double x, double y) {
            return std::fabs(x) < std::fabs(y);
          }));
    }
    results.take(ascending);
  }
  if (results.vector != nullptr) {
    converged = vector_of(t, least, results.vector) && converged;
    results.bound = std::max(
        results.bound, eigen_residual(slot, results.vector, results.values[0], ascending, spent));
  }
  if (!converged) results.status = EigenStatus::not_converged;
}

void by_inverse(const SymmetricSlot& slot, Results& results) {
  LeastEigenvalue least;
  {
    const Scratch scratch(least_eigenvalue_scratch(slot.n));
    least = find_least_eigenvalue(slot, results.vector, scratch.data());
  }
  if (!least.certain) {
    by_tridiagonal(slot, results);
    return;
  }
  results.values[0] = least.value;
  results.bound = least.bound;
}

/// Largest absolute value of a lower triangle; infinity where an entry is not finite.
template <class T>
double largest_entry(const T* a, std::int64_t n, std::int64_t row_stride) {
  double largest = 0;
  for (std::int64_t r = 0; r < n; ++r) {
    for (std::int64_t c = 0; c <= r; ++c) {
      const double size = std::fabs(static_cast<double>(a[r * row_stride + c]));
      if (!(size <= std::numeric_limits<double>::max())) return HUGE_VAL;
      if (size > largest) largest = size;
    }
  }
  return largest;
}

double norm_of(const SymmetricSlot& slot) {
  std::vector<double> sums(static_cast<std::size_t>(slot.n));
  std::vector<double> row(static_cast<std::size_t>(slot.n));
  for (std::int64_t r = 0; r < slot.n; ++r) {
    slot.load_row(r, row.data());
    double own = 0;
    for (std::int64_t c = 0; c < r; ++c) {
      const double size = std::fabs(row[static_cast<std::size_t>(c)]);
      own += size;
      sums[static_cast<std::size_t>(c)] += size;
    }
    sums[static_cast<std::size_t>(r)] = own + std::fabs(row[static_cast<std::size_t>(r)]);
  }
  return *std::max_element(sums.begin(), sums.end());
}

template <class T>
void one_slot(const SymmetricEigenvaluesArgs<T>& args, std::int64_t at) {
  const T* a = args.a.slot(at);
  const std::int64_t n = args.a.rows;
  const std::int64_t row_stride = args.a.row_stride;
  Results results{.which = args.which,
                  .n = n,
                  .count = args.count,
                  .max_sweeps = args.max_sweeps,
                  .values = args.values + at * args.values_stride,
                  .vector = args.least_vector != nullptr
                                ? args.least_vector + at * args.least_vector_stride
                                : nullptr};
  const double largest = largest_entry(a, n, row_stride);
  if (!std::isfinite(largest)) {
    constexpr double nan = std::numeric_limits<double>::quiet_NaN();
    std::fill_n(results.values, eigenvalues_kept(args.which, n, args.count), nan);
    if (results.vector != nullptr) std::fill_n(results.vector, n, nan);
    results.status = EigenStatus::not_finite;
    results.bound = nan;
  } else {
    const int exponent = largest > 0 ? exponent_of(largest) : 0;
    SymmetricSlot slot;
    slot.n = n;
    slot.load_row = [=](std::int64_t r, double* out) {
      const T* from = a + r * row_stride;
      // Two factors: one alone may be out of range.
      const double half = power_of_two(-exponent / 2);
      const double rest = power_of_two(-exponent - -exponent / 2);
      for (std::int64_t c = 0; c <= r; ++c) out[c] = static_cast<double>(from[c]) * half * rest;
    };
    slot.norm = norm_of(slot);
    switch (eigen_method(cpu_eigen_choices, args.which, n)) {
      case EigenMethod::jacobi:
        by_jacobi(slot, results);
        break;
      case EigenMethod::inverse:
        by_inverse(slot, results);
        break;
      default:
        by_tridiagonal(slot, results);
    }
    results.scale_back(exponent);
  }
  if (args.status != nullptr) args.status[at] = static_cast<std::int32_t>(results.status);
  if (args.bounds != nullptr) args.bounds[at] = results.bound;
}

}  // namespace

template <class T>
void symmetric_eigenvalues(Executor& executor, const SymmetricEigenvaluesArgs<T>& args) {
  const bool shared = args.a.slots == 1 && args.a.rows > eigen_shared_rows;
  cpu(executor).for_slots(args.a.slots,
                          [args, shared, threads = cpu(executor).threads()](SlotRange range) {
                            const BlasThreads blas(shared ? threads : 1);
                            for (std::int64_t slot = range.begin; slot < range.end; ++slot)
                              one_slot(args, slot);
                          });
}
template void symmetric_eigenvalues(Executor&, const SymmetricEigenvaluesArgs<float>&);
template void symmetric_eigenvalues(Executor&, const SymmetricEigenvaluesArgs<double>&);

}  // namespace manyfold::kernels::cpu
