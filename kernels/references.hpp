// A slot's vector beside reference vectors: distances and alignments.
#pragma once

#include <cstdint>

#include "core/executor/executor.hpp"
#include "core/view.hpp"

namespace manyfold::kernels {

/// out_si = |x_s - r_si|, the Euclidean norm. x: (slot, m); references: (slot, count, m), one set
/// for all slots where slot_stride is 0; out: (slot, count), slots out_stride apart. In double
/// precision whatever T is, added up from the first element on.
template <class T>
struct ReferenceDistancesArgs {
  VectorBatch<const T> x;
  MatrixBatch<const double> references;
  double* out = nullptr;
  std::int64_t out_stride = 0;
};
template <class T>
void reference_distances(Executor& executor, const ReferenceDistancesArgs<T>& args);

/// out_si = |<r_si, x_s>|, likewise.
struct ReferenceAlignmentsArgs {
  VectorBatch<const double> x;
  MatrixBatch<const double> references;
  double* out = nullptr;
  std::int64_t out_stride = 0;
};
void reference_alignments(Executor& executor, const ReferenceAlignmentsArgs& args);

}  // namespace manyfold::kernels
