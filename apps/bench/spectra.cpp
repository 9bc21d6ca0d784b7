// manyfold bench spectra: eigenvalues at the sizes of kernel matrices, beside the peak of
// multiply-adds measured in the same run.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "apps/bench/floors.hpp"
#include "apps/bench/named_rows.hpp"
#include "core/error.hpp"
#include "core/executor/memory.hpp"
#include "core/random/philox.hpp"
#include "kernels/gemm.hpp"
#include "kernels/random_fill.hpp"
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

std::vector<BenchRow> least_eigenvalue(Executor& executor, const BenchFlags& flags) {
  using Clock = std::chrono::steady_clock;
  const std::int64_t count = flags.members_of(8, 64);
  const std::int64_t n = flags.full ? 1000 : 200;
  const Buffer<double> memory = gram_matrices(executor, count, n);
  const MatrixBatch<const double> matrices{memory.data(), count, n, n, n * n, n};
  check(executor, matrices);
  const Buffer<double> values(executor, count);
  const auto seconds_of = [&](int times) {
    const auto began = Clock::now();
    for (int i = 0; i < times; ++i) {
      kernels::symmetric_eigenvalues<double>(executor, {.a = matrices,
                                                        .which = Eigenvalues::least,
                                                        .values = values.data(),
                                                        .values_stride = 1});
    }
    executor.synchronize();
    return std::chrono::duration<double>(Clock::now() - began).count();
  };
  int times = 1;
  for (double took = seconds_of(times); took < flags.seconds; took = seconds_of(times)) times *= 2;

  Floors floors(executor, "f64", false, flags.seconds / 4);
  std::vector<double> rates;
  for (int repeat = 0; repeat < flags.repeats; ++repeat) {  // interleaved: drift hits both alike
    floors.measure();
    rates.push_back(static_cast<double>(times * count) / seconds_of(times));
  }
  BenchRow row;
  row.name = "least-eigenvalue";
  row.device = executor.device().kind;
  row.precision = "f64";
  row.members = count;
  row.value = median(rates);
  row.unit = "matrices/s";
  row.median_of = flags.repeats;
  row.checked = true;
  const double operations = 4.0 / 3 * std::pow(static_cast<double>(n), 3);
  row.formula = fmt::format(
      "least-eigenvalue: 4/3 n^3 a matrix, a reduction to tridiagonal form, n = {}: {:.4g}; "
      "Cholesky takes n^3 / 3",
      n, operations);
  floors.state_shares(row, operations);
  return {row};
}

constexpr NamedRow spectra_rows[] = {
    {"least-eigenvalue", "the least eigenvalue of 64 Gram matrices of 1000x1000", least_eigenvalue,
     true},
};

}  // namespace

std::string spectra_rows_text() { return rows_text(spectra_rows); }

std::vector<BenchRow> bench_spectra(Executor& executor, const BenchFlags& flags) {
  return run_rows(spectra_rows, executor, flags);
}

}  // namespace manyfold::apps
