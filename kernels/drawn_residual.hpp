// Residuals of terms that were drawn, or of labels that are noisy: what stochastic gradients of
//   f(W) = 1/2 sum_j (W_{e_j} - M_{e_j})^2
// are made of. Term j is the squared residual of entry e_j.
#pragma once

#include <cstdint>

#include "core/executor/executor.hpp"
#include "core/view.hpp"

namespace manyfold::kernels {

/// Which terms a step looks at, and with which weight and label noise.
/// entries: e_j as row * cols + col for j = 0 ... count_s - 1, no entry twice, slots entries_stride
/// apart (0: shared); null: e_j = j. drawn: (slot, batch), each in [0, count_s).
struct DrawnTerms {
  const std::int32_t* entries = nullptr;
  std::int64_t entries_stride = 0;
  const std::int64_t* count = nullptr;  ///< (slot): number of terms
  const std::int32_t* drawn = nullptr;  ///< null: all terms
  std::int64_t batch = 0;
  const double* weight = nullptr;        ///< (slot); null: 1
  const double* noise = nullptr;         ///< (slot): standard deviations; null: none
  const std::uint64_t* seeds = nullptr;  ///< (slot), where there is noise
  const std::int64_t* step = nullptr;    ///< (slot), where there is noise
  std::uint64_t stream = 0;
};

/// residual <- 0, then for every drawn term j, in the order of the draws,
///   residual_{e_j} += weight_s / batch * ((W_{e_j} - M_{e_j}) - noise_s xi_j),
/// xi_j standard normal, draw step_s count_s + j of (seeds_s, stream). A term drawn twice counts
/// twice. Without draws every term counts once and batch is 1.
///
/// w, target, residual: (slot, row, col) of one shape; the target may be shared; residual overlaps
/// neither. Differences are taken in T and added with one rounding (fused): the same bits on every
/// device.
template <class T>
struct DrawnResidualArgs : DrawnTerms {
  MatrixBatch<const T> w;
  MatrixBatch<const T> target;
  MatrixBatch<T> residual;
};

template <class T>
void drawn_residual(Executor& executor, const DrawnResidualArgs<T>& args);

}  // namespace manyfold::kernels
