// The CUDA backend's operations, as its table lists them. Contracts: the headers in kernels/.
#pragma once

#include "kernels/table.hpp"

namespace manyfold::kernels::cuda {

template <class T>
void gemm(Executor& executor, const GemmArgs<T>& args);
template <class T>
void residual(Executor& executor, const ResidualArgs<T>& args);
template <class T>
void sum_of_squares(Executor& executor, const SumOfSquaresArgs<T>& args);
template <class T>
void random_fill(Executor& executor, const RandomFillArgs<T>& args);
template <class T>
void singular_values(Executor& executor, const SingularValuesArgs<T>& args);
template <class T>
void descend(Executor& executor, const DescendArgs<T>& args);
template <class T>
void neuron_terms(Executor& executor, const NeuronTermsArgs<T>& args);
template <class T>
void reference_distances(Executor& executor, const ReferenceDistancesArgs<T>& args);
template <class T>
void widen(Executor& executor, const WidenArgs<T>& args);

void check_stop(Executor& executor, const StepControl& control);
void constant_step(Executor& executor, const ConstantStepArgs& args);
void rms_step(Executor& executor, const RmsStepArgs& args);
void advance(Executor& executor, const StepControl& control);
void running_extreme(Executor& executor, const ExtremeArgs& args);
void first_crossing(Executor& executor, const CrossingArgs& args);
void combine(Executor& executor, const CombineArgs& args);
void spectrum(Executor& executor, const SpectrumArgs& args);
void reduce(Executor& executor, const ReduceArgs& args);
void reference_alignments(Executor& executor, const ReferenceAlignmentsArgs& args);

}  // namespace manyfold::kernels::cuda
