// Every operation a backend provides. The contract headers beside this file are what callers
// include; each forwards to the executor's table (dispatch.cpp), and each backend fills one table
// (cpu/table.cpp, cuda/table.cu). A backend that is loaded at run time brings its own.
#pragma once

#include "kernels/combine.hpp"
#include "kernels/gemm.hpp"
#include "kernels/neurons.hpp"
#include "kernels/norms.hpp"
#include "kernels/random_fill.hpp"
#include "kernels/reduce.hpp"
#include "kernels/references.hpp"
#include "kernels/residual.hpp"
#include "kernels/singular_values.hpp"
#include "kernels/spectrum.hpp"
#include "kernels/stepping.hpp"
#include "kernels/watch.hpp"
#include "kernels/widen.hpp"

namespace manyfold::kernels {

template <class T>
struct TypedTable {
  void (*gemm)(Executor&, const GemmArgs<T>&) = nullptr;
  void (*residual)(Executor&, const ResidualArgs<T>&) = nullptr;
  void (*sum_of_squares)(Executor&, const SumOfSquaresArgs<T>&) = nullptr;
  void (*random_fill)(Executor&, const RandomFillArgs<T>&) = nullptr;
  void (*singular_values)(Executor&, const SingularValuesArgs<T>&) = nullptr;
  void (*descend)(Executor&, const DescendArgs<T>&) = nullptr;
  void (*neuron_terms)(Executor&, const NeuronTermsArgs<T>&) = nullptr;
  void (*reference_distances)(Executor&, const ReferenceDistancesArgs<T>&) = nullptr;
  void (*widen)(Executor&, const WidenArgs<T>&) = nullptr;
};

struct KernelTables {
  TypedTable<float> f32;
  TypedTable<double> f64;
  void (*check_stop)(Executor&, const StepControl&) = nullptr;
  void (*constant_step)(Executor&, const ConstantStepArgs&) = nullptr;
  void (*rms_step)(Executor&, const RmsStepArgs&) = nullptr;
  void (*advance)(Executor&, const StepControl&) = nullptr;
  void (*running_extreme)(Executor&, const ExtremeArgs&) = nullptr;
  void (*first_crossing)(Executor&, const CrossingArgs&) = nullptr;
  void (*combine)(Executor&, const CombineArgs&) = nullptr;
  void (*spectrum)(Executor&, const SpectrumArgs&) = nullptr;
  void (*reduce)(Executor&, const ReduceArgs&) = nullptr;
  void (*reference_alignments)(Executor&, const ReferenceAlignmentsArgs&) = nullptr;
};

}  // namespace manyfold::kernels
