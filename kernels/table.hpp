// Every operation a backend provides. The contract headers beside this file are what callers
// include; each forwards to the executor's table (dispatch.cpp), and each backend fills one table
// (cpu/table.cpp, cuda/table.cu). A backend that is loaded at run time brings its own.
#pragma once

#include "kernels/accumulate.hpp"
#include "kernels/add_scaled.hpp"
#include "kernels/combine.hpp"
#include "kernels/drawn_residual.hpp"
#include "kernels/draws.hpp"
#include "kernels/gemm.hpp"
#include "kernels/inner_product.hpp"
#include "kernels/norms.hpp"
#include "kernels/random_fill.hpp"
#include "kernels/residual.hpp"
#include "kernels/schedule.hpp"
#include "kernels/singular_values.hpp"
#include "kernels/stepping.hpp"
#include "kernels/updates.hpp"
#include "kernels/watch.hpp"

namespace manyfold::kernels {

template <class T>
struct TypedTable {
  void (*gemm)(Executor&, const GemmArgs<T>&) = nullptr;
  void (*residual)(Executor&, const ResidualArgs<T>&) = nullptr;
  void (*sum_of_squares)(Executor&, const SumOfSquaresArgs<T>&) = nullptr;
  void (*random_fill)(Executor&, const RandomFillArgs<T>&) = nullptr;
  void (*singular_values)(Executor&, const SingularValuesArgs<T>&) = nullptr;
  void (*descend)(Executor&, const DescendArgs<T>&) = nullptr;
  void (*inner_product)(Executor&, const InnerProductArgs<T>&) = nullptr;
  void (*add_scaled)(Executor&, const AddScaledArgs<T>&) = nullptr;
  void (*drawn_residual)(Executor&, const DrawnResidualArgs<T>&) = nullptr;
  void (*heavy_ball)(Executor&, const HeavyBallArgs<T>&) = nullptr;
  void (*adam)(Executor&, const AdamArgs<T>&) = nullptr;
  void (*sign_descend)(Executor&, const DescendArgs<T>&) = nullptr;
  void (*linear_combination)(Executor&, const LinearCombinationArgs<T>&) = nullptr;
  void (*diffuse)(Executor&, const DiffuseArgs<T>&) = nullptr;
  void (*perturb)(Executor&, const PerturbArgs<T>&) = nullptr;
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
  void (*accumulate)(Executor&, const AccumulateArgs&) = nullptr;
  void (*adam_step)(Executor&, const AdamStepArgs&) = nullptr;
  void (*draw_terms)(Executor&, const DrawTermsArgs&) = nullptr;
  void (*follow_schedule)(Executor&, const FollowScheduleArgs&) = nullptr;
};

}  // namespace manyfold::kernels
