// The CPU's operations, as its table lists them. Contracts: the headers in kernels/.
#pragma once

#include "kernels/table.hpp"

namespace manyfold::kernels::cpu {

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
void inner_product(Executor& executor, const InnerProductArgs<T>& args);
template <class T>
void add_scaled(Executor& executor, const AddScaledArgs<T>& args);
template <class T>
void drawn_residual(Executor& executor, const DrawnResidualArgs<T>& args);
template <class T>
void heavy_ball(Executor& executor, const HeavyBallArgs<T>& args);
template <class T>
void adam(Executor& executor, const AdamArgs<T>& args);
template <class T>
void sign_descend(Executor& executor, const DescendArgs<T>& args);
template <class T>
void linear_combination(Executor& executor, const LinearCombinationArgs<T>& args);
template <class T>
void diffuse(Executor& executor, const DiffuseArgs<T>& args);
template <class T>
void perturb(Executor& executor, const PerturbArgs<T>& args);

void check_stop(Executor& executor, const StepControl& control);
void constant_step(Executor& executor, const ConstantStepArgs& args);
void rms_step(Executor& executor, const RmsStepArgs& args);
void advance(Executor& executor, const StepControl& control);
void running_extreme(Executor& executor, const ExtremeArgs& args);
void first_crossing(Executor& executor, const CrossingArgs& args);
void combine(Executor& executor, const CombineArgs& args);
void accumulate(Executor& executor, const AccumulateArgs& args);
void adam_step(Executor& executor, const AdamStepArgs& args);
void draw_terms(Executor& executor, const DrawTermsArgs& args);
void follow_schedule(Executor& executor, const FollowScheduleArgs& args);

}  // namespace manyfold::kernels::cpu
