// manyfold bench spectra: singular values of many small matrices, eigenvalues at the sizes of
// kernel matrices, and such matrices themselves, beside the peak of multiply-adds measured in the
// same run.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>
#include <string>
#include <thread>
#include <vector>

#include <fmt/format.h>
#include <lapacke.h>

#include "apps/bench/blas_version.hpp"
#include "apps/bench/gram_rows.hpp"
#include "apps/bench/measure_call.hpp"
#include "apps/bench/named_rows.hpp"
#include "core/error.hpp"
#include "core/executor/memory.hpp"
#include "core/random/philox.hpp"
#include "kernels/gemm.hpp"
#include "kernels/random_fill.hpp"
#include "kernels/singular_values.hpp"
#include "kernels/symmetric_eigenvalues.hpp"

namespace manyfold::apps {
namespace {

using kernels::EigenStatus;
using kernels::Eigenvalues;

/// Gram matrices X X^T / d of Gaussian X (n, d), d = 2 n:
/// apps/bench/peers/workloads/least_eigenvalue.py
Buffer<double> gram_matrices(Executor& executor, std::int64_t count, std::int64_t n) {
  const std::int64_t d = 2 * n;
  Buffer<double> matrices(executor, count * n * n);
  const Buffer<double> x(executor, n * d);
  const Buffer<std::uint64_t> seed(executor, 1);
  const Buffer<double> scale(executor, 1);
  scale.upload(std::vector<double>{1 / std::sqrt(static_cast<double>(d))});
  for (std::int64_t s = 0; s < count; ++s) {
    seed.upload(std::vector<std::uint64_t>{static_cast<std::uint64_t>(s)});
    kernels::random_fill<double>(executor, {.out = {x.data(), 1, n * d, n * d},
                                            .seeds = seed.data(),
                                            .stream = random_stream("bench spectra"),
                                            .scales = scale.data()});
    const MatrixBatch<const double> factor{x.data(), 1, n, d, n * d, d};
    kernels::gemm<double>(executor, {.transpose_b = kernels::Transpose::yes,
                                     .a = factor,
                                     .b = factor,
                                     .c = {matrices.data() + s * n * n, 1, n, n, n * n, n}});
  }
  executor.synchronize();
  return matrices;
}

struct Spectra {
  std::vector<double> values;
  std::vector<double> bounds;
};

Spectra eigenvalues_of(Executor& executor, const MatrixBatch<const double>& matrices,
                       Eigenvalues which) {
  const std::int64_t kept = kernels::eigenvalues_kept(which, matrices.rows, 0);
  const Buffer<double> values(executor, matrices.slots * kept);
  const Buffer<double> bounds(executor, matrices.slots);
  const Buffer<std::int32_t> status(executor, matrices.slots);
  kernels::symmetric_eigenvalues<double>(executor, {.a = matrices,
                                                    .which = which,
                                                    .values = values.data(),
                                                    .values_stride = kept,
                                                    .status = status.data(),
                                                    .bounds = bounds.data()});
  for (const std::int32_t found : status.download()) {
    if (found == static_cast<std::int32_t>(EigenStatus::fine)) continue;
    throw DeviceError(
        fmt::format("bench spectra least-eigenvalue: a matrix has status {}, expected 0", found));
  }
  return {values.download(), bounds.download()};
}

/// The least value by itself is that of all values, which are found another way.
void check(Executor& executor, MatrixBatch<const double> matrices) {
  matrices.slots = std::min<std::int64_t>(matrices.slots, 2);
  const Spectra least = eigenvalues_of(executor, matrices, Eigenvalues::least);
  const Spectra all = eigenvalues_of(executor, matrices, Eigenvalues::all);
  for (std::size_t s = 0; s < least.values.size(); ++s) {
    const double expected = all.values[s * static_cast<std::size_t>(matrices.rows)];
    if (std::fabs(least.values[s] - expected) <= least.bounds[s] + all.bounds[s]) continue;
    throw DeviceError(
        fmt::format("bench spectra least-eigenvalue: found {:.17g} for matrix {}, expected {:.17g} "
                    "within {:.3g}",
                    least.values[s], s, expected, least.bounds[s] + all.bounds[s]));
  }
}

/// The row that finds these values of every matrix, into `values`. `operations`: of one, as
/// `formula` has them.
std::vector<BenchRow> time_eigenvalues(Executor& executor, const BenchFlags& flags,
                                       const std::string& name, Eigenvalues which,
                                       const MatrixBatch<const double>& matrices,
                                       const Buffer<double>& values, double operations,
                                       const std::string& formula) {
  return {measure_call(
      executor, flags,
      {.name = name,
       .count = matrices.slots,
       .operations = operations,
       .formula = name + ": " + formula,
       .compute = [&] {
         kernels::symmetric_eigenvalues<double>(
             executor, {.a = matrices,
                        .which = which,
                        .values = values.data(),
                        .values_stride = kernels::eigenvalues_kept(which, matrices.rows, 0)});
       }})};
}

std::vector<BenchRow> least_eigenvalue(Executor& executor, const BenchFlags& flags) {
  const std::int64_t count = flags.members_of(8, 64);
  const std::int64_t n = flags.full ? 1000 : 200;
  const Buffer<double> memory = gram_matrices(executor, count, n);
  const MatrixBatch<const double> matrices{memory.data(), count, n, n, n * n, n};
  check(executor, matrices);
  const double operations = 4.0 / 3 * std::pow(static_cast<double>(n), 3);
  const Buffer<double> values(executor, count);
  return time_eigenvalues(
      executor, flags, "least-eigenvalue", Eigenvalues::least, matrices, values, operations,
      fmt::format("4/3 n^3 a matrix, a reduction to tridiagonal form, n = {}: {:.4g}; "
                  "Cholesky takes n^3 / 3",
                  n, operations));
}

/// Eigenvalues spaced as a Gram matrix's are at the lower end of their density, for d = 2 n.
std::vector<double> edge_spectrum(std::int64_t n) {
  std::vector<double> values(static_cast<std::size_t>(n));
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] =
        0.0858 + 2.8 * std::cbrt(std::pow(static_cast<double>(i) / static_cast<double>(n), 2));
  }
  return values;
}

/// (I - 2 v v^T) D (I - 2 v v^T) with v of length 1: a full matrix of known eigenvalues without n^3
/// operations.
std::vector<double> reflected(const std::vector<double>& d) {
  const std::size_t n = d.size();
  std::vector<double> v(n);
  double squares = 0;
  for (std::size_t i = 0; i < n; ++i) {
    v[i] = std::sin(static_cast<double>(i) * 1.7 + 1) + 0.3;
    squares += v[i] * v[i];
  }
  double middle = 0;
  for (std::size_t i = 0; i < n; ++i) {
    v[i] /= std::sqrt(squares);
    middle += d[i] * v[i] * v[i];
  }
  std::vector<double> a(n * n);
  for (std::size_t r = 0; r < n; ++r) {
    for (std::size_t c = 0; c < n; ++c) {
      a[r * n + c] = (4 * middle - 2 * d[r] - 2 * d[c]) * v[r] * v[c] + (r == c ? d[r] : 0);
    }
  }
  return a;
}

/// One large matrix of known eigenvalues, in ascending order.
struct LargeMatrix {
  std::int64_t n;
  std::vector<double> spectrum;
  Buffer<double> memory;
  MatrixBatch<const double> matrix;

  LargeMatrix(Executor& executor, const BenchFlags& flags)
      : n(flags.full ? 20000 : 2000),
        spectrum(edge_spectrum(n)),
        memory(executor, n * n),
        matrix{memory.data(), 1, n, n, n * n, n} {
    memory.upload(reflected(spectrum));
  }

  void check(const std::string& row, const std::vector<double>& found, double tolerance) const {
    for (std::size_t i = 0; i < found.size(); ++i) {
      if (std::fabs(found[i] - spectrum[i]) <= tolerance) continue;
      throw DeviceError(
          fmt::format("bench spectra {}: value {} is {:.17g}, expected {:.17g} within {:.3g}", row,
                      i, found[i], spectrum[i], tolerance));
    }
  }
};

std::vector<BenchRow> large_eigenvalue(Executor& executor, const BenchFlags& flags) {
  const LargeMatrix large(executor, flags);
  const Spectra found = eigenvalues_of(executor, large.matrix, Eigenvalues::least);
  large.check("large-eigenvalue", found.values, 2 * found.bounds.front());
  const Buffer<double> values(executor, 1);
  const double operations = std::pow(static_cast<double>(large.n), 3) / 3;
  return time_eigenvalues(
      executor, flags, "large-eigenvalue", Eigenvalues::least, large.matrix, values, operations,
      fmt::format("n^3 / 3, a Cholesky factorization in double, n = {}: {:.4g}; ours makes one in "
                  "single precision, too",
                  large.n, operations));
}

/// What was timed is checked, as finding so many values once more takes as long again. Errors of a
/// backward stable method are at most about n eps times the norm.
std::vector<BenchRow> large_spectrum(Executor& executor, const BenchFlags& flags) {
  const LargeMatrix large(executor, flags);
  const Buffer<double> values(executor, large.n);
  const double operations = 4.0 / 3 * std::pow(static_cast<double>(large.n), 3);
  std::vector<BenchRow> rows = time_eigenvalues(
      executor, flags, "large-spectrum", Eigenvalues::all, large.matrix, values, operations,
      fmt::format("4/3 n^3, a reduction to tridiagonal form, n = {}: {:.4g}; half of them wait for "
                  "memory",
                  large.n, operations));
  large.check("large-spectrum", values.download(),
              static_cast<double>(large.n) * std::numeric_limits<double>::epsilon() *
                  large.spectrum.back());
  return rows;
}

/// Random 20x20 matrices: apps/bench/peers/workloads/svd.py
class SmallMatrices {
 public:
  static constexpr std::int64_t n = 20;

  SmallMatrices(Executor& executor, std::int64_t count)
      : executor_(executor),
        count_(count),
        matrices_(executor, count * n * n),
        values_(executor, count * n),
        u_(executor, count * n * n),
        v_(executor, count * n * n),
        sweeps_(executor, count),
        workspace_(executor, count * kernels::singular_values_workspace(n, n, true)) {
    const Buffer<std::uint64_t> seeds(executor, count);
    const Buffer<double> scales(executor, count);
    std::vector<std::uint64_t> seed(static_cast<std::size_t>(count));
    std::iota(seed.begin(), seed.end(), std::uint64_t{0});
    seeds.upload(seed);
    scales.upload(std::vector<double>(static_cast<std::size_t>(count), 1.0));
    kernels::random_fill<double>(executor, {.out = {matrices_.data(), count, n * n, n * n},
                                            .seeds = seeds.data(),
                                            .stream = random_stream("bench spectra svd"),
                                            .scales = scales.data()});
  }

  void decompose(bool vectors) const {
    kernels::SingularValuesArgs<double> args{.a = {matrices_.data(), count_, n, n, n * n, n},
                                             .values = values_.data(),
                                             .values_count = n,
                                             .values_stride = n,
                                             .sweeps = sweeps_.data(),
                                             .workspace = workspace_.data()};
    if (vectors) {
      args.u = {u_.data(), count_, n, n, n * n, n};
      args.v = {v_.data(), count_, n, n, n * n, n};
    }
    kernels::singular_values<double>(executor_, args);
  }

  /// The same by LAPACK: a loop over dgesdd on each of `threads` threads, which the BLAS has one
  /// of.
  Rival dgesdd(bool vectors, int threads) const {
    return {.name = "dgesdd",
            .version = blas_version(),
            .compute = [a = matrices_.download(), vectors, threads, count = count_] {
              std::vector<std::thread> team;
              for (int t = 0; t < threads; ++t) {
                team.emplace_back(loop_over_dgesdd, a.data(), count * t / threads,
                                  count * (t + 1) / threads, vectors);
              }
              for (std::thread& one : team) one.join();
            }};
  }

  /// Whether every value was found, and U S V^T is the first matrices.
  void check(const std::string& name) const {
    decompose(true);
    for (const std::int32_t sweeps : sweeps_.download()) {
      if (sweeps < 0) throw DeviceError("bench spectra " + name + ": sweeps did not suffice");
    }
    const auto a = matrices_.download();
    const auto s = values_.download();
    const auto u = u_.download();
    const auto v = v_.download();
    for (std::int64_t at = 0; at < std::min<std::int64_t>(count_, 16) * n * n; ++at) {
      const std::int64_t first = at / (n * n) * n * n;
      const std::int64_t r = at % (n * n) / n;
      const std::int64_t c = at % n;
      double sum = 0;
      for (std::int64_t k = 0; k < n; ++k) {
        sum += u[index(first + r * n + k)] * s[index(first / n + k)] * v[index(first + c * n + k)];
      }
      if (std::fabs(sum - a[index(at)]) <= 1e-13 * s[index(first / n)]) continue;
      throw DeviceError(fmt::format("bench spectra {}: U S V^T has {:.17g}, expected {:.17g}", name,
                                    sum, a[index(at)]));
    }
  }

 private:
  static std::size_t index(std::int64_t i) { return static_cast<std::size_t>(i); }

  static void loop_over_dgesdd(const double* matrices, std::int64_t first, std::int64_t last,
                               bool vectors) {
    constexpr lapack_int m = n;
    const char job = vectors ? 'S' : 'N';
    std::vector<double> a(n * n), s(n), u(n * n), vt(n * n), work(64 * n * n);
    std::vector<lapack_int> integers(8 * n);
    for (std::int64_t at = first; at < last; ++at) {
      std::copy_n(matrices + at * n * n, n * n, a.data());
      LAPACKE_dgesdd_work(LAPACK_COL_MAJOR, job, m, m, a.data(), m, s.data(), u.data(), m,
                          vt.data(), m, work.data(), static_cast<lapack_int>(work.size()),
                          integers.data());
    }
  }

  Executor& executor_;
  std::int64_t count_;
  Buffer<double> matrices_, values_, u_, v_;
  Buffer<std::int32_t> sweeps_;
  Buffer<double> workspace_;
};

/// Operations of Golub and Van Loan, 8.6.4, as the peers' floors count them.
std::vector<BenchRow> svd(Executor& executor, const BenchFlags& flags, bool vectors) {
  const std::string name = vectors ? "svd-vectors" : "svd-values";
  const std::int64_t count = flags.members_of(1000, 10000);
  const SmallMatrices matrices(executor, count);
  matrices.check(name);
  const double cube = std::pow(static_cast<double>(SmallMatrices::n), 3);
  const double operations = vectors ? 21 * cube : 8.0 / 3 * cube;
  TimedCall what{.name = name,
                 .count = count,
                 .operations = operations,
                 .formula = fmt::format("{}: {} n^3 a matrix, n = {}: {:.4g}", name,
                                        vectors ? "21" : "8/3", SmallMatrices::n, operations),
                 .compute = [&] { matrices.decompose(vectors); }};
  if (executor.device().kind == "cpu") {
    what.rival = matrices.dgesdd(vectors, executor.device().compute_units);
  }
  return {measure_call(executor, flags, what)};
}
std::vector<BenchRow> svd_values(Executor& executor, const BenchFlags& flags) {
  return svd(executor, flags, false);
}
std::vector<BenchRow> svd_vectors(Executor& executor, const BenchFlags& flags) {
  return svd(executor, flags, true);
}

constexpr NamedRow spectra_rows[] = {
    {"svd-values", "singular values of 10,000 matrices of 20x20", svd_values, true},
    {"svd-vectors", "the same with all singular vectors", svd_vectors, true},
    {"least-eigenvalue", "the least eigenvalue of 64 Gram matrices of 1000x1000", least_eigenvalue,
     true},
    {"large-eigenvalue",
     "the least eigenvalue of one matrix of 20,000x20,000 (minutes, and memory for two such "
     "matrices)",
     large_eigenvalue, false},
    {"large-spectrum", "all eigenvalues of that matrix (some 20 minutes on two threads)",
     large_spectrum, false},
    {"pattern-gram", "S S^T of 0/1 patterns of 16,000 neurons on 1000 examples", pattern_gram,
     true},
    {"tangent-kernel", "the tangent kernel of a net of depth 4 and width 1024 on 1000 examples",
     tangent_kernel, true},
};

}  // namespace

std::string spectra_rows_text() { return rows_text(spectra_rows); }

std::vector<BenchRow> bench_spectra(Executor& executor, const BenchFlags& flags) {
  return run_rows(spectra_rows, executor, flags);
}

}  // namespace manyfold::apps
