// A one-hidden-layer convolutional student and its teacher, for Gaussian input, in closed form (Du
// 2019, thesis, chapter 5): f(Z, v, a) = sum_i a_i relu(Z_i . v) / ||v|| over k patches that do not
// overlap, against the same function of w* and a*, ||w*|| = 1. With phi the angle between v and w*,
// g = (pi - phi) cos phi + sin phi and e = a - a*,
//   l     = 1/(4 pi) ((1.e)^2 + (pi - 1) ||e||^2 + 2 (pi - g) a.a*)
//   dl/dv = -(a.a*) (pi - phi) / (2 pi ||v||) (w* - v (v.w*) / ||v||^2)
//   dl/da = 1/(2 pi) ((1.e) 1 + (pi - 1) a - (g - 1) a*)
// The gradient is theorem 5.2's. The loss is the one whose gradient this is and that vanishes at
// the teacher: 1/2 E (f - f*)^2 expands to quadratic forms in a and a* (equations 5.5, 5.6),
// written here without the cancellation between them; the thesis's equation 5.3 has a slip in its
// last term.
//
// All sums are taken in double precision in an order that is fixed, all scalars are doubles, and
// only the gradient is rounded to T: results have the same bits on every device, batched or
// resident.
#pragma once

#include <cstdint>

#include "core/executor/executor.hpp"
#include "core/view.hpp"
#include "kernels/stepping.hpp"

namespace manyfold::kernels {

/// The teachers of all slots; a slot_stride of 0 shares one.
template <class T>
struct Teachers {
  VectorBatch<const T> w;       ///< w*, (slot, p), of length 1 up to rounding
  VectorBatch<const T> a;       ///< a*, (slot, k)
  const double* sum = nullptr;  ///< 1.a*, (slot)
};

/// The students of all slots.
template <class T>
struct Students {
  VectorBatch<const T> v;  ///< (slot, p)
  VectorBatch<const T> a;  ///< (slot, k)
};

/// Gradient and, where asked, loss. The gradient must not overlap what is read. Where v = 0 both
/// are NaN.
template <class T>
struct TeacherGradientArgs {
  Students<T> student;
  Teachers<T> teacher;
  VectorBatch<T> grad_v;   ///< (slot, p)
  VectorBatch<T> grad_a;   ///< (slot, k)
  double* loss = nullptr;  ///< (slot); null: not wanted
};
template <class T>
void teacher_gradient(Executor& executor, const TeacherGradientArgs<T>& args);

/// What is observed of a student.
enum class TeacherDistance {
  angle,  ///< phi, within a few units of the last place of both phi and pi - phi
  a,      ///< ||a - a*||
  sum,    ///< |1.a - 1.a*|
};
/// out: (slot), slots out_stride apart.
template <class T>
struct TeacherDistanceArgs {
  Students<T> student;
  Teachers<T> teacher;
  TeacherDistance what = TeacherDistance::angle;
  double* out = nullptr;
  std::int64_t out_stride = 1;
};
template <class T>
void teacher_distance(Executor& executor, const TeacherDistanceArgs<T>& args);

/// Ends active members that are at one of the two end points of lemma 5.1:
///   StopReason::global_minimum   phi < angle and max_i |a_i - a*_i| < a
///   StopReason::spurious         pi - phi < angle and max_i |a_i - s_i| < a, with
///     s = (1 1^T + (pi - 1) I)^-1 (1 1^T - I) a* = pi (1.a*) / ((pi - 1) (pi - 1 + k)) 1 - a* /
///     (pi - 1)
/// Tolerances (slot): negative means never.
template <class T>
struct TeacherCheckArgs {
  StepControl control;
  Students<T> student;
  Teachers<T> teacher;
  const double* global_a = nullptr;
  const double* global_angle = nullptr;
  const double* spurious_a = nullptr;
  const double* spurious_angle = nullptr;
};
template <class T>
void teacher_check(Executor& executor, const TeacherCheckArgs<T>& args);

}  // namespace manyfold::kernels
