// Body of neuron_terms (contract: kernels/neurons.hpp).
#pragma once

#include <cstdint>

#include <math.h>

#include "core/portable.hpp"
#include "kernels/neurons.hpp"

namespace manyfold::kernels::elements {

template <class T>
MF_FN double neuron_term(const NeuronTermsArgs<T>& args, std::int64_t slot, std::int64_t i) {
  const T* row = args.a.slot(slot) + i * args.a.row_stride;
  const T* col = args.b.slot(slot) + i;
  double sum = 0;
  if (args.term == NeuronTerm::norm2_difference) {
    for (std::int64_t j = 0; j < args.a.cols; ++j) {
      const double x = row[j];
      sum = fma(x, x, sum);
    }
    double above = 0;
    for (std::int64_t j = 0; j < args.b.rows; ++j) {
      const double y = col[j * args.b.row_stride];
      above = fma(y, y, above);
    }
    return sum - above;
  }
  for (std::int64_t j = 0; j < args.a.cols; ++j) {
    const double x = row[j];
    const double y = col[j * args.b.row_stride];
    sum = args.term == NeuronTerm::inner ? fma(x, y, sum) : fma(x - y, x - y, sum);
  }
  return sum;
}

template <class T, class Launcher>
void neuron_terms(const Launcher& for_each, const NeuronTermsArgs<T>& args) {
  for_each("neuron_terms", args.a.slots, args.a.rows,
           [=] MF_KERNEL(std::int64_t slot, std::int64_t i) {
             args.out[slot * args.out_stride + i] = neuron_term(args, slot, i);
           });
}

}  // namespace manyfold::kernels::elements
