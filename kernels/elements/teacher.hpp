// Bodies of teacher_gradient, teacher_distance and teacher_check (contract: kernels/teacher.hpp):
// one a slot, which goes through the few elements of its student.
#pragma once

#include <cstdint>

#include <math.h>

#include "core/portable.hpp"
#include "core/random/exact.hpp"
#include "kernels/common/teacher.hpp"
#include "kernels/elements/stepping.hpp"
#include "kernels/teacher.hpp"

namespace manyfold::kernels::elements {

/// One slot's student and teacher: elements of v and a stand `step` apart, those of w* and a* as
/// their own steps say.
template <class T>
struct TeacherPlace {
  const T* v;
  const T* a;
  std::int64_t step;
  const T* w;
  std::int64_t w_step;
  const T* a_star;
  std::int64_t a_star_step;
};
template <class T>
MF_FN TeacherPlace<T> place_of(const Students<T>& student, const Teachers<T>& teacher,
                               std::int64_t slot) {
  return {student.v.slot(slot),
          student.a.slot(slot),
          1,
          teacher.w.slot(slot),
          1,
          teacher.a.slot(slot),
          1};
}

template <class T>
MF_FN TeacherAngle angle_of(const TeacherPlace<T>& at, std::int64_t count) {
  return teacher_angle(at.v, at.step, at.w, at.w_step, count);
}

template <class T>
MF_FN void teacher_gradient_of(const TeacherGradientArgs<T>& args, std::int64_t slot) {
  const T* a = args.student.a.slot(slot);
  const T* a_star = args.teacher.a.slot(slot);
  const TeacherSums sums = teacher_sums(a, a_star, args.student.a.count);
  const double sum = sums.sum - args.teacher.sum[slot];
  const double product = sums.product;
  const TeacherAngle angle =
      angle_of(place_of(args.student, args.teacher, slot), args.student.v.count);
  const TeacherCoefficients c = teacher_coefficients(angle, sum, product);
  const T* v = args.student.v.slot(slot);
  const T* w = args.teacher.w.slot(slot);
  T* grad_v = args.grad_v.slot(slot);
  for (std::int64_t i = 0; i < args.student.v.count; ++i) {
    grad_v[i] = static_cast<T>(exact::times(c.stay, v[i]) - exact::times(c.pull, w[i]));
  }
  T* grad_a = args.grad_a.slot(slot);
  for (std::int64_t i = 0; i < args.student.a.count; ++i) {
    grad_a[i] =
        static_cast<T>((exact::times(c.own, a[i]) - exact::times(c.lean, a_star[i])) + c.shift);
  }
  if (args.loss == nullptr) return;
  double norm2 = 0;
  for (std::int64_t i = 0; i < args.student.a.count; ++i) {
    const double e = static_cast<double>(a[i]) - a_star[i];
    norm2 += exact::times(e, e);
  }
  args.loss[slot] = teacher_loss(sum, norm2, product, teacher_gap(angle));
}

MF_CALLS_EITHER template <class T, class Launcher>
MF_FN void teacher_gradient(const Launcher& for_each, const TeacherGradientArgs<T>& args) {
  for_each("teacher_gradient", args.student.a.slots, 1,
           [=] MF_KERNEL(std::int64_t slot, std::int64_t) { teacher_gradient_of(args, slot); });
}

template <class T>
MF_FN double teacher_distance_of(const TeacherDistanceArgs<T>& args, const TeacherPlace<T>& at,
                                 std::int64_t slot) {
  if (args.what == TeacherDistance::angle) return angle_of(at, args.student.v.count).phi;
  double sum = 0;
  for (std::int64_t i = 0; i < args.student.a.count; ++i) {
    const double a = at.a[i * at.step];
    const double e = a - at.a_star[i * at.a_star_step];
    sum += args.what == TeacherDistance::a ? exact::times(e, e) : a;
  }
  return args.what == TeacherDistance::a ? sqrt(sum) : fabs(sum - args.teacher.sum[slot]);
}

MF_CALLS_EITHER template <class T, class Launcher>
MF_FN void teacher_distance(const Launcher& for_each, const TeacherDistanceArgs<T>& args) {
  for_each("teacher_distance", args.student.a.slots, 1,
           [=] MF_KERNEL(std::int64_t slot, std::int64_t) {
             args.out[slot * args.out_stride] =
                 teacher_distance_of(args, place_of(args.student, args.teacher, slot), slot);
           });
}

/// max_i |a_i - (level - slope a*_i)| < tolerance.
template <class T>
MF_FN bool all_near(const TeacherPlace<T>& at, std::int64_t count, double level, double slope,
                    double tolerance) {
  for (std::int64_t i = 0; i < count; ++i) {
    const double end = level - exact::times(slope, at.a_star[i * at.a_star_step]);
    if (!(fabs(at.a[i * at.step] - end) < tolerance)) return false;
  }
  return true;
}

template <class T>
MF_FN void teacher_check_of(const TeacherCheckArgs<T>& args, const TeacherPlace<T>& at,
                            std::int64_t slot) {
  if (args.control.active[slot] == 0) return;
  const TeacherAngle angle = angle_of(at, args.student.v.count);
  const std::int64_t count = args.student.a.count;
  if (angle.phi < args.global_angle[slot] && all_near(at, count, 0, -1, args.global_a[slot])) {
    end_member(args.control, slot, StopReason::global_minimum);
  } else if (angle.rest < args.spurious_angle[slot] &&
             all_near(at, count, spurious_level(args.teacher.sum[slot], count), spurious_slope,
                      args.spurious_a[slot])) {
    end_member(args.control, slot, StopReason::spurious);
  }
}

MF_CALLS_EITHER template <class T, class Launcher>
MF_FN void teacher_check(const Launcher& for_each, const TeacherCheckArgs<T>& args) {
  for_each("teacher_check", args.student.a.slots, 1,
           [=] MF_KERNEL(std::int64_t slot, std::int64_t) {
             teacher_check_of(args, place_of(args.student, args.teacher, slot), slot);
           });
}

}  // namespace manyfold::kernels::elements
