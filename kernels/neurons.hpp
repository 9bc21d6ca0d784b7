// Hidden units of two neighbouring layers: what comes in is a row of the lower layer, what goes out
// a column of the upper one.
#pragma once

#include <cstdint>

#include "core/executor/executor.hpp"
#include "core/view.hpp"

namespace manyfold::kernels {

/// With a_i the i-th row of a and b_i the i-th column of b:
///   norm2_difference  |a_i|^2 - |b_i|^2   (Du, Hu, Lee 2018, theorem 2.1: conserved by the flow)
///   distance2         |a_i - b_i|^2
///   inner             a_i . b_i
enum class NeuronTerm { norm2_difference, distance2, inner };

/// a: (slot, n, p), b: (slot, q, n); p = q unless the term is norm2_difference. out: (slot, n),
/// slots out_stride apart, added up in double precision from the first element on whatever T is.
template <class T>
struct NeuronTermsArgs {
  MatrixBatch<const T> a;
  MatrixBatch<const T> b;
  NeuronTerm term = NeuronTerm::norm2_difference;
  double* out = nullptr;
  std::int64_t out_stride = 0;
};

/// Throws std::invalid_argument when shapes do not fit, naming them.
template <class T>
void neuron_terms(Executor& executor, const NeuronTermsArgs<T>& args);

}  // namespace manyfold::kernels
