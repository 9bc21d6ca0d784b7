// Bodies of teacher_gradient, teacher_distance and teacher_check (contract: kernels/teacher.hpp): one
// a slot, which goes through the few elements of its student.
#pragma once

#include <cstdint>

#include <math.h>

#include "core/portable.hpp"
#include "core/random/exact.hpp"
#include "kernels/common/teacher.hpp"
#include "kernels/elements/stepping.hpp"
#include "kernels/teacher.hpp"

namespace manyfold::kernels::elements {

template <class T>
MF_FN TeacherAngle angle_of(const Students<T>& student, const Teachers<T>& teacher,
                            std::int64_t slot) {
  return teacher_angle(student.v.slot(slot), teacher.w.slot(slot), student.v.count);
}

template <class T>
MF_FN void teacher_gradient_of(const TeacherGradientArgs<T>& args, std::int64_t slot) {
  const T* a = args.student.a.slot(slot);
  const T* a_star = args.teacher.a.slot(slot);
  double sum = 0;
  double product = 0;
  for (std::int64_t i = 0; i < args.student.a.count; ++i) {
    sum += a[i];
    product += exact::times(a[i], a_star[i]);
  }
  sum -= args.teacher.sum[slot];
  const TeacherAngle angle = angle_of(args.student, args.teacher, slot);
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

template <class T, class Launcher>
void teacher_gradient(const Launcher& for_each, const TeacherGradientArgs<T>& args) {
  for_each("teacher_gradient", args.student.a.slots, 1,
           [=] MF_KERNEL(std::int64_t slot, std::int64_t) { teacher_gradient_of(args, slot); });
}

template <class T>
MF_FN double teacher_distance_of(const TeacherDistanceArgs<T>& args, std::int64_t slot) {
  if (args.what == TeacherDistance::angle) return angle_of(args.student, args.teacher, slot).phi;
  const T* a = args.student.a.slot(slot);
  const T* a_star = args.teacher.a.slot(slot);
  double sum = 0;
  for (std::int64_t i = 0; i < args.student.a.count; ++i) {
    const double e = static_cast<double>(a[i]) - a_star[i];
    sum += args.what == TeacherDistance::a ? exact::times(e, e) : static_cast<double>(a[i]);
  }
  return args.what == TeacherDistance::a ? sqrt(sum) : fabs(sum - args.teacher.sum[slot]);
}

template <class T, class Launcher>
void teacher_distance(const Launcher& for_each, const TeacherDistanceArgs<T>& args) {
  for_each("teacher_distance", args.student.a.slots, 1,
           [=] MF_KERNEL(std::int64_t slot, std::int64_t) {
             args.out[slot * args.out_stride] = teacher_distance_of(args, slot);
           });
}

/// max_i |a_i - (level - slope a*_i)| < tolerance.
template <class T>
MF_FN bool all_near(const T* a, const T* a_star, std::int64_t count, double level, double slope,
                    double tolerance) {
  for (std::int64_t i = 0; i < count; ++i) {
    const double end = level - exact::times(slope, a_star[i]);
    if (!(fabs(a[i] - end) < tolerance)) return false;
  }
  return true;
}

template <class T>
MF_FN void teacher_check_of(const TeacherCheckArgs<T>& args, std::int64_t slot) {
  if (args.control.active[slot] == 0) return;
  const TeacherAngle angle = angle_of(args.student, args.teacher, slot);
  const T* a = args.student.a.slot(slot);
  const T* a_star = args.teacher.a.slot(slot);
  const std::int64_t count = args.student.a.count;
  if (angle.phi < args.global_angle[slot] &&
      all_near(a, a_star, count, 0, -1, args.global_a[slot])) {
    end_member(args.control, slot, StopReason::global_minimum);
  } else if (angle.rest < args.spurious_angle[slot] &&
             all_near(a, a_star, count, spurious_level(args.teacher.sum[slot], count),
                      spurious_slope, args.spurious_a[slot])) {
    end_member(args.control, slot, StopReason::spurious);
  }
}

template <class T, class Launcher>
void teacher_check(const Launcher& for_each, const TeacherCheckArgs<T>& args) {
  for_each("teacher_check", args.student.a.slots, 1,
           [=] MF_KERNEL(std::int64_t slot, std::int64_t) { teacher_check_of(args, slot); });
}

}  // namespace manyfold::kernels::elements
