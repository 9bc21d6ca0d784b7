// Element bodies on a GPU: each operation is its body run by ForEach.
#include "kernels/cuda/for_each.cuh"
#include "kernels/cuda/operations.cuh"
#include "kernels/elements/combine.hpp"
#include "kernels/elements/draws.hpp"
#include "kernels/elements/neurons.hpp"
#include "kernels/elements/random_fill.hpp"
#include "kernels/elements/reduce.hpp"
#include "kernels/elements/references.hpp"
#include "kernels/elements/scalar_orbits.hpp"
#include "kernels/elements/scaling.hpp"
#include "kernels/elements/schedule.hpp"
#include "kernels/elements/spectrum.hpp"
#include "kernels/elements/stepping.hpp"
#include "kernels/elements/teacher.hpp"
#include "kernels/elements/updates.hpp"
#include "kernels/elements/watch.hpp"
#include "kernels/elements/widen.hpp"

namespace manyfold::kernels::cuda {

void check_stop(Executor& executor, const StepControl& control) {
  elements::check_stop(ForEach(executor), control);
}
void constant_step(Executor& executor, const ConstantStepArgs& args) {
  elements::constant_step(ForEach(executor), args);
}
void rms_step(Executor& executor, const RmsStepArgs& args) {
  elements::rms_step(ForEach(executor), args);
}
void advance(Executor& executor, const StepControl& control) {
  elements::advance(ForEach(executor), control);
}
void running_extreme(Executor& executor, const ExtremeArgs& args) {
  elements::running_extreme(ForEach(executor), args);
}
void first_crossing(Executor& executor, const CrossingArgs& args) {
  elements::first_crossing(ForEach(executor), args);
}
void combine(Executor& executor, const CombineArgs& args) {
  elements::combine(ForEach(executor), args);
}
void accumulate(Executor& executor, const AccumulateArgs& args) {
  elements::accumulate(ForEach(executor), args);
}

template <class T>
void add_scaled(Executor& executor, const AddScaledArgs<T>& args) {
  elements::add_scaled(ForEach(executor), args);
}
template void add_scaled(Executor&, const AddScaledArgs<float>&);
template void add_scaled(Executor&, const AddScaledArgs<double>&);
void adam_step(Executor& executor, const AdamStepArgs& args) {
  elements::adam_step(ForEach(executor), args);
}
void scalar_orbits(Executor& executor, const ScalarOrbitsArgs& args) {
  elements::scalar_orbits(ForEach(executor), args);
}
void draw_terms(Executor& executor, const DrawTermsArgs& args) {
  elements::draw_terms(ForEach(executor), args);
}
void follow_schedule(Executor& executor, const FollowScheduleArgs& args) {
  elements::follow_schedule(ForEach(executor), args);
}
void spectrum(Executor& executor, const SpectrumArgs& args) {
  elements::spectrum(ForEach(executor), args);
}
void reduce(Executor& executor, const ReduceArgs& args) {
  elements::reduce(ForEach(executor), args);
}
void reference_alignments(Executor& executor, const ReferenceAlignmentsArgs& args) {
  elements::reference_alignments(ForEach(executor), args);
}

template <class T>
void neuron_terms(Executor& executor, const NeuronTermsArgs<T>& args) {
  elements::neuron_terms(ForEach(executor), args);
}
template void neuron_terms(Executor&, const NeuronTermsArgs<float>&);
template void neuron_terms(Executor&, const NeuronTermsArgs<double>&);

template <class T>
void reference_distances(Executor& executor, const ReferenceDistancesArgs<T>& args) {
  elements::reference_distances(ForEach(executor), args);
}
template void reference_distances(Executor&, const ReferenceDistancesArgs<float>&);
template void reference_distances(Executor&, const ReferenceDistancesArgs<double>&);

template <class T>
void widen(Executor& executor, const WidenArgs<T>& args) {
  elements::widen(ForEach(executor), args);
}
template void widen(Executor&, const WidenArgs<float>&);
template void widen(Executor&, const WidenArgs<double>&);

template <class T>
void random_fill(Executor& executor, const RandomFillArgs<T>& args) {
  elements::random_fill(ForEach(executor), args);
}
template void random_fill(Executor&, const RandomFillArgs<float>&);
template void random_fill(Executor&, const RandomFillArgs<double>&);

template <class T>
void descend(Executor& executor, const DescendArgs<T>& args) {
  elements::descend(ForEach(executor), args);
}
template void descend(Executor&, const DescendArgs<float>&);
template void descend(Executor&, const DescendArgs<double>&);

template <class T>
void heavy_ball(Executor& executor, const HeavyBallArgs<T>& args) {
  elements::heavy_ball(ForEach(executor), args);
}
template void heavy_ball(Executor&, const HeavyBallArgs<float>&);
template void heavy_ball(Executor&, const HeavyBallArgs<double>&);

template <class T>
void adam(Executor& executor, const AdamArgs<T>& args) {
  elements::adam(ForEach(executor), args);
}
template void adam(Executor&, const AdamArgs<float>&);
template void adam(Executor&, const AdamArgs<double>&);

template <class T>
void sign_descend(Executor& executor, const DescendArgs<T>& args) {
  elements::sign_descend(ForEach(executor), args);
}
template void sign_descend(Executor&, const DescendArgs<float>&);
template void sign_descend(Executor&, const DescendArgs<double>&);

template <class T>
void linear_combination(Executor& executor, const LinearCombinationArgs<T>& args) {
  elements::linear_combination(ForEach(executor), args);
}
template void linear_combination(Executor&, const LinearCombinationArgs<float>&);
template void linear_combination(Executor&, const LinearCombinationArgs<double>&);

template <class T>
void diffuse(Executor& executor, const DiffuseArgs<T>& args) {
  elements::diffuse(ForEach(executor), args);
}
template void diffuse(Executor&, const DiffuseArgs<float>&);
template void diffuse(Executor&, const DiffuseArgs<double>&);

template <class T>
void teacher_gradient(Executor& executor, const TeacherGradientArgs<T>& args) {
  elements::teacher_gradient(ForEach(executor), args);
}
template void teacher_gradient(Executor&, const TeacherGradientArgs<float>&);
template void teacher_gradient(Executor&, const TeacherGradientArgs<double>&);

template <class T>
void teacher_distance(Executor& executor, const TeacherDistanceArgs<T>& args) {
  elements::teacher_distance(ForEach(executor), args);
}
template void teacher_distance(Executor&, const TeacherDistanceArgs<float>&);
template void teacher_distance(Executor&, const TeacherDistanceArgs<double>&);

template <class T>
void teacher_check(Executor& executor, const TeacherCheckArgs<T>& args) {
  elements::teacher_check(ForEach(executor), args);
}
template void teacher_check(Executor&, const TeacherCheckArgs<float>&);
template void teacher_check(Executor&, const TeacherCheckArgs<double>&);

}  // namespace manyfold::kernels::cuda
