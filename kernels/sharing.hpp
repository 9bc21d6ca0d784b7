// Matrices whose entries are free parameters in places that a pattern names, or 0: weights that are
// shared, and weights that are absent (Du, Hu, Lee 2018, section 2.2: convolutions and any
// pattern).
#pragma once

#include <cstdint>

#include "core/executor/executor.hpp"
#include "core/view.hpp"

namespace manyfold::kernels {

/// w_s,i = v_s,k with k = numbers[i] - 1, or 0 where numbers[i] is 0; i counts the entries of w row
/// by row. v: (slot, parameter); w: (slot, row, col); numbers: as many as w has entries, shared by
/// all slots, each from 0 to v.count.
template <class T>
struct SpreadWeightsArgs {
  VectorBatch<const T> v;
  const std::int32_t* numbers = nullptr;
  MatrixBatch<T> w;
};
template <class T>
void spread_weights(Executor& executor, const SpreadWeightsArgs<T>& args);

/// The adjoint of spread_weights: v_s,k = the sum of w_s,i over the places i of parameter k, which
/// are places[begins[k]] to places[begins[k + 1] - 1], or what is there plus that where `add`. Sums
/// are in double precision, in that order, and rounded once. begins: v.count + 1 numbers; both
/// shared by all slots; w may be, too.
template <class T>
struct CollectWeightsArgs {
  MatrixBatch<const T> w;
  const std::int32_t* begins = nullptr;
  const std::int32_t* places = nullptr;
  bool add = false;
  VectorBatch<T> v;
};
template <class T>
void collect_weights(Executor& executor, const CollectWeightsArgs<T>& args);

}  // namespace manyfold::kernels
