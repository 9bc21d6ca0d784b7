// What each operation reads and writes of a slot's member, operand by operand: all that resident
// stepping has to know of an operation beside its arithmetic. An operation has a resident form when
// there is an `each_operand` for its arguments here, and a case for it in both interpreters
// (cpu/resident.cpp, cuda/resident.cu).
//
// A visitor has
//   matrix(MatrixBatch<U>&, Access), vector(VectorBatch<U>&, Access): one a slot, or one for all
//     (slot_stride 0), or absent (no data);
//   numbers(U*& first, count, stride, Access): `count` adjacent elements a slot, slots `stride`
//     elements apart; shared where stride is 0, absent where first is null;
//   resting(U*& first, stride): read here and there, never written: it stays where it is in device
//     memory, slots `stride` elements apart.
#pragma once

#include <cstdint>

#include "core/portable.hpp"
#include "kernels/resident/fused.hpp"
#include "kernels/table.hpp"

namespace manyfold::kernels::resident {

enum class Access {
  read,
  write,
  update,  ///< read, or written in part only
  pass,    ///< read, if at all, only after it was written in the same step
};

template <class T, class Visitor>
MF_FN void each_operand(GemmArgs<T>& args, Visitor&& visit) {
  visit.matrix(args.a, Access::read);
  visit.matrix(args.b, Access::read);
  visit.matrix(args.state, Access::read);
  visit.matrix(args.c, args.beta != T(0) ? Access::update : Access::write);
}

template <class T, class Visitor>
MF_FN void each_operand(ResidualArgs<T>& args, Visitor&& visit) {
  visit.matrix(args.w, Access::read);
  visit.matrix(args.target, Access::read);
  visit.matrix(args.mask, Access::read);
  visit.matrix(args.residual, Access::write);
  visit.numbers(args.half_square, 1, 1, Access::write);
}

template <class Visitor>
MF_FN void each_operand_of_terms(DrawnTerms& args, Visitor&& visit) {
  visit.resting(args.entries, args.entries_stride);
  visit.numbers(args.count, 1, 1, Access::read);
  visit.numbers(args.drawn, args.batch, args.batch, Access::read);
  visit.numbers(args.weight, 1, 1, Access::read);
  visit.numbers(args.noise, 1, 1, Access::read);
  visit.numbers(args.seeds, 1, 1, Access::read);
  visit.numbers(args.step, 1, 1, Access::read);
}

template <class T, class Visitor>
MF_FN void each_operand(DrawnResidualArgs<T>& args, Visitor&& visit) {
  visit.matrix(args.w, Access::read);
  visit.matrix(args.target, Access::read);
  each_operand_of_terms(args, visit);
  visit.matrix(args.residual, Access::write);
}

template <class T, class Visitor>
MF_FN void each_operand(SumOfSquaresArgs<T>& args, Visitor&& visit) {
  visit.vector(args.x, Access::read);
  visit.numbers(args.out, 1, args.out_stride, Access::write);
}

template <class T, class Visitor>
MF_FN void each_operand(InnerProductArgs<T>& args, Visitor&& visit) {
  visit.vector(args.x, Access::read);
  visit.vector(args.y, Access::read);
  visit.numbers(args.out, 1, args.out_stride, Access::write);
}

template <class T, class Visitor>
MF_FN void each_operand(SingularValuesArgs<T>& args, Visitor&& visit) {
  visit.matrix(args.a, Access::read);
  visit.numbers(args.values, args.values_count, args.values_stride, Access::write);
  visit.numbers(args.sweeps, 1, 1, Access::write);
  const bool vectors = args.u.data != nullptr || args.v.data != nullptr;
  const std::int64_t work = singular_values_workspace(args.a.rows, args.a.cols, vectors);
  visit.numbers(args.workspace, work, args.workspace_stride > 0 ? args.workspace_stride : work,
                Access::pass);
  visit.numbers(args.left, args.a.rows, args.left_stride, Access::write);
  visit.matrix(args.u, Access::write);
  visit.matrix(args.v, Access::write);
}

template <class Visitor>
MF_FN void each_operand(SpectrumArgs& args, Visitor&& visit) {
  visit.numbers(args.values, args.count, args.values_stride, Access::read);
  visit.numbers(args.out, 1, args.out_stride, Access::write);
}

template <class T, class Visitor>
MF_FN void each_operand(AddScaledArgs<T>& args, Visitor&& visit) {
  visit.vector(args.x, Access::read);
  visit.numbers(args.coefficient, 1, 1, Access::read);
  visit.vector(args.y, args.add ? Access::update : Access::write);
}

template <class T, class Visitor>
MF_FN void each_operand(DescendArgs<T>& args, Visitor&& visit) {
  visit.numbers(args.control.active, 1, 1, Access::read);
  visit.numbers(args.control.step_size, 1, 1, Access::read);
  visit.vector(args.params, Access::update);
  visit.vector(args.grad, Access::read);
}

template <class T, class Visitor>
MF_FN void each_operand(HeavyBallArgs<T>& args, Visitor&& visit) {
  visit.numbers(args.control.active, 1, 1, Access::read);
  visit.numbers(args.control.step_size, 1, 1, Access::read);
  visit.vector(args.params, Access::update);
  visit.vector(args.grad, Access::read);
  visit.vector(args.velocity, Access::update);
  visit.numbers(args.momentum, 1, 1, Access::read);
}

template <class T, class Visitor>
MF_FN void each_operand(AdamArgs<T>& args, Visitor&& visit) {
  visit.numbers(args.control.active, 1, 1, Access::read);
  visit.vector(args.params, Access::update);
  visit.vector(args.grad, Access::read);
  visit.vector(args.m, Access::update);
  visit.vector(args.v, Access::update);
  visit.numbers(args.beta1, 1, 1, Access::read);
  visit.numbers(args.beta2, 1, 1, Access::read);
  visit.numbers(args.epsilon, 1, 1, Access::read);
  visit.numbers(args.scaled_step, 1, 1, Access::read);
  visit.numbers(args.root_scale, 1, 1, Access::read);
}

template <class T, class Visitor>
MF_FN void each_operand(LinearCombinationArgs<T>& args, Visitor&& visit) {
  visit.numbers(args.control.active, 1, 1, Access::read);
  visit.vector(args.x, Access::update);
  visit.vector(args.y, Access::read);
  visit.numbers(args.a, 1, 1, Access::read);
  visit.numbers(args.b, 1, 1, Access::read);
}

template <class T, class Visitor>
MF_FN void each_operand(DiffuseArgs<T>& args, Visitor&& visit) {
  visit.numbers(args.control.active, 1, 1, Access::read);
  visit.numbers(args.control.step_size, 1, 1, Access::read);
  visit.numbers(args.control.step, 1, 1, Access::read);
  visit.vector(args.params, Access::update);
  visit.numbers(args.temperature, 1, 1, Access::read);
  visit.numbers(args.seeds, 1, 1, Access::read);
}

template <class T, class Visitor>
MF_FN void each_operand(PerturbArgs<T>& args, Visitor&& visit) {
  visit.numbers(args.control.active, 1, 1, Access::read);
  visit.numbers(args.control.grad_norm2, 1, 1, Access::read);
  visit.numbers(args.control.step, 1, 1, Access::read);
  visit.vector(args.params, Access::update);
  visit.numbers(args.grad_threshold, 1, 1, Access::read);
  visit.numbers(args.radius, 1, 1, Access::read);
  visit.numbers(args.min_steps, 1, 1, Access::read);
  visit.numbers(args.last_noise, 1, 1, Access::update);
  visit.numbers(args.seeds, 1, 1, Access::read);
}

/// check_stop and advance take the same arguments, and each reads some of them.
template <class Visitor>
MF_FN void each_operand(StepControl& control, Visitor&& visit) {
  visit.numbers(control.active, 1, 1, Access::update);
  visit.numbers(control.reason, 1, 1, Access::update);
  visit.numbers(control.step, 1, 1, Access::update);
  visit.numbers(control.time, 1, 1, Access::update);
  visit.numbers(control.train_loss, 1, 1, Access::pass);
  visit.numbers(control.grad_norm2, 1, 1, Access::pass);
  visit.numbers(control.step_size, 1, 1, Access::pass);
  visit.numbers(control.finite_step, 1, 1, Access::update);
  visit.numbers(control.finite_train_loss, 1, 1, Access::update);
  visit.numbers(control.finite_grad_norm, 1, 1, Access::update);
  visit.numbers(control.max_steps, 1, 1, Access::read);
  visit.numbers(control.stop_train_loss, 1, 1, Access::read);
  visit.numbers(control.stop_grad_norm, 1, 1, Access::read);
  visit.numbers(control.stop_divergence, 1, 1, Access::read);
}

template <class Visitor>
MF_FN void each_operand(ConstantStepArgs& args, Visitor&& visit) {
  visit.numbers(args.control.active, 1, 1, Access::read);
  visit.numbers(args.control.step_size, 1, 1, Access::write);
  visit.numbers(args.learning_rate, 1, 1, Access::read);
}

template <class Visitor>
MF_FN void each_operand(RmsStepArgs& args, Visitor&& visit) {
  visit.numbers(args.control.active, 1, 1, Access::read);
  visit.numbers(args.control.grad_norm2, 1, 1, Access::read);
  visit.numbers(args.control.step_size, 1, 1, Access::write);
  visit.numbers(args.learning_rate, 1, 1, Access::read);
  visit.numbers(args.epsilon, 1, 1, Access::read);
  visit.numbers(args.decay, 1, 1, Access::read);
  visit.numbers(args.v, 1, 1, Access::update);
  visit.numbers(args.decay_power, 1, 1, Access::update);
}

template <class Visitor>
MF_FN void each_operand(AdamStepArgs& args, Visitor&& visit) {
  visit.numbers(args.control.active, 1, 1, Access::read);
  visit.numbers(args.control.step_size, 1, 1, Access::write);
  visit.numbers(args.learning_rate, 1, 1, Access::read);
  visit.numbers(args.beta1, 1, 1, Access::read);
  visit.numbers(args.beta2, 1, 1, Access::read);
  visit.numbers(args.power1, 1, 1, Access::update);
  visit.numbers(args.power2, 1, 1, Access::update);
  visit.numbers(args.scaled_step, 1, 1, Access::write);
  visit.numbers(args.root_scale, 1, 1, Access::write);
}

template <class Visitor>
MF_FN void each_operand(DrawTermsArgs& args, Visitor&& visit) {
  visit.numbers(args.control.active, 1, 1, Access::read);
  visit.numbers(args.control.step, 1, 1, Access::read);
  visit.numbers(args.terms, 1, 1, Access::read);
  visit.numbers(args.seeds, 1, 1, Access::read);
  visit.numbers(args.out, args.batch, args.batch, Access::write);
}

template <class Visitor>
MF_FN void each_operand(FollowScheduleArgs& args, Visitor&& visit) {
  visit.numbers(args.step, 1, 1, Access::read);
  visit.resting(args.schedules, 1);
  visit.resting(args.starts, args.capacity);
  visit.resting(args.pieces, args.capacity);
  visit.numbers(args.values, 1, 1, Access::write);
}

template <class Visitor>
MF_FN void each_operand(AccumulateArgs& args, Visitor&& visit) {
  visit.numbers(args.a, 1, 1, Access::read);
  visit.numbers(args.b, 1, 1, Access::read);
  visit.numbers(args.out, 1, 1, args.add ? Access::update : Access::write);
}

template <class Visitor>
MF_FN void each_operand(CombineArgs& args, Visitor&& visit) {
  visit.numbers(args.numerator, args.count, args.numerator_stride, Access::read);
  visit.numbers(args.denominator, args.count, args.denominator_stride, Access::read);
  visit.numbers(args.minus, args.count, args.minus_stride, Access::read);
  visit.numbers(args.out, args.count, args.out_stride, Access::write);
}

template <class Visitor>
MF_FN void each_operand(ReduceArgs& args, Visitor&& visit) {
  visit.numbers(args.x, args.count, args.x_stride, Access::read);
  visit.numbers(args.y, args.count, args.y_stride, Access::read);
  visit.numbers(args.out, 1, args.out_stride, Access::write);
}

template <class Visitor>
MF_FN void each_operand(ExtremeArgs& args, Visitor&& visit) {
  visit.numbers(args.values, args.count, args.values_stride, Access::read);
  visit.numbers(args.extremes, args.count, args.extremes_stride, Access::update);
}

template <class Visitor>
MF_FN void each_operand(CrossingArgs& args, Visitor&& visit) {
  visit.numbers(args.values, args.count, args.values_stride, Access::read);
  visit.numbers(args.step, 1, 1, Access::read);
  visit.numbers(args.first, args.count, args.first_stride, Access::update);
}

template <class T, class Visitor>
MF_FN void each_operand_of_pair(Students<T>& student, Teachers<T>& teacher, Visitor&& visit) {
  visit.vector(student.v, Access::read);
  visit.vector(student.a, Access::read);
  visit.vector(teacher.w, Access::read);
  visit.vector(teacher.a, Access::read);
  visit.numbers(teacher.sum, 1, 1, Access::read);
}

template <class T, class Visitor>
MF_FN void each_operand(TeacherGradientArgs<T>& args, Visitor&& visit) {
  each_operand_of_pair(args.student, args.teacher, visit);
  visit.vector(args.grad_v, Access::write);
  visit.vector(args.grad_a, Access::write);
  visit.numbers(args.loss, 1, 1, Access::write);
}

template <class T, class Visitor>
MF_FN void each_operand(TeacherDistanceArgs<T>& args, Visitor&& visit) {
  each_operand_of_pair(args.student, args.teacher, visit);
  visit.numbers(args.out, 1, args.out_stride, Access::write);
}

template <class T, class Visitor>
MF_FN void each_operand(TeacherCheckArgs<T>& args, Visitor&& visit) {
  visit.numbers(args.control.active, 1, 1, Access::update);
  visit.numbers(args.control.reason, 1, 1, Access::update);
  each_operand_of_pair(args.student, args.teacher, visit);
  visit.numbers(args.global_a, 1, 1, Access::read);
  visit.numbers(args.global_angle, 1, 1, Access::read);
  visit.numbers(args.spurious_a, 1, 1, Access::read);
  visit.numbers(args.spurious_angle, 1, 1, Access::read);
}

template <class T, class Visitor>
MF_FN void each_operand(ActivateArgs<T>& args, Visitor&& visit) {
  visit.vector(args.z, Access::read);
  visit.vector(args.y, Access::write);
}

template <class T, class Visitor>
MF_FN void each_operand(ActivationSlopeArgs<T>& args, Visitor&& visit) {
  visit.vector(args.state, Access::read);
  visit.vector(args.dy, Access::read);
  visit.vector(args.dz, args.add ? Access::update : Access::write);
}

template <class T, class Visitor>
MF_FN void each_operand(ExampleTermsArgs<T>& args, Visitor&& visit) {
  visit.matrix(args.f, Access::read);
  visit.matrix(args.targets, Access::read);
  visit.vector(args.labels, Access::read);
  visit.numbers(args.rows, args.f.rows, args.rows_stride, Access::read);
  visit.numbers(args.noise, 1, 1, Access::read);
  visit.numbers(args.seeds, 1, 1, Access::read);
  visit.numbers(args.step, 1, 1, Access::read);
  visit.numbers(args.out, args.f.rows, args.out_stride, Access::write);
  visit.matrix(args.slope, Access::write);
}

template <class T, class Visitor>
MF_FN void each_operand(GatherRowsArgs<T>& args, Visitor&& visit) {
  visit.matrix(args.x, Access::read);
  visit.numbers(args.rows, args.out.rows, args.rows_stride, Access::read);
  visit.matrix(args.out, Access::write);
}

template <class T, class Visitor>
MF_FN void each_operand(SampledProductArgs<T>& args, Visitor&& visit) {
  visit.matrix(args.a, Access::read);
  visit.matrix(args.b, Access::read);
  visit.matrix(args.target, Access::read);
  visit.matrix(args.residual, Access::write);
  visit.numbers(args.half_square, 1, 1, Access::write);
}

template <class T, class Visitor>
MF_FN void each_operand(SparseProductArgs<T>& args, Visitor&& visit) {
  visit.matrix(args.s, Access::read);
  visit.matrix(args.x, Access::read);
  visit.matrix(args.c, args.beta != T(0) ? Access::update : Access::write);
}

template <class T, class Visitor>
MF_FN void each_operand(SparseTopLayerArgs<T>& args, Visitor&& visit) {
  visit.matrix(args.w, Access::update);
  visit.matrix(args.p, args.moves_p ? Access::update : Access::read);
  visit.matrix(args.target, Access::read);
  visit.matrix(args.s, Access::write);
  visit.matrix(args.slope, Access::write);
  visit.numbers(args.coefficient, 1, 1, Access::read);
  visit.numbers(args.learning_rate, 1, 1, Access::read);
}

template <class T, class Visitor>
MF_FN void each_operand(DrawnDescentArgs<T>& args, Visitor&& visit) {
  visit.vector(args.params, Access::update);
  visit.vector(args.scratch, Access::write);
  visit.matrix(args.target, Access::read);
  each_operand_of_terms(args, visit);
  visit.numbers(args.decay, 1, 1, Access::read);
  visit.numbers(args.step_size, 1, 1, Access::read);
}

/// Whether an operation with these arguments has a resident form.
template <class Args>
concept has_resident_form = requires(Args& args) {
  each_operand(args, 0);
};

}  // namespace manyfold::kernels::resident
