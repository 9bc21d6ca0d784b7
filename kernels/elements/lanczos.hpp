// Bodies of subtract_rows, lanczos_step and ritz_ends (contract: kernels/lanczos.hpp).
#pragma once

#include <cstdint>

#include <math.h>

#include "core/portable.hpp"
#include "core/random/exact.hpp"
#include "kernels/common/tridiagonal.hpp"
#include "kernels/elements/stepping.hpp"
#include "kernels/lanczos.hpp"

namespace manyfold::kernels::elements {

/// For launchers whose element loop is as good as a hand-written one; the CPU has its own loop.
MF_CALLS_EITHER template <class T, class Launcher>
MF_FN void subtract_rows(const Launcher& for_each, const SubtractRowsArgs<T>& args) {
  for_each("subtract_rows", args.y.slots, args.y.count,
           [=] MF_KERNEL(std::int64_t slot, std::int64_t i) {
             const T* x = args.x.slot(slot) + i;
             const double* c = args.c + slot * args.c_stride;
             T& y = args.y.slot(slot)[i];
             auto left = static_cast<double>(y);
             for (std::int64_t r = 0; r < args.x.rows; ++r) {
               left -= exact::times(c[r], static_cast<double>(x[r * args.x.row_stride]));
             }
             y = static_cast<T>(left);
           });
}

MF_FN void lanczos_step_of(const LanczosStepArgs& args, std::int64_t slot) {
  const double beta = sqrt(args.norm2[slot]);
  if (args.step < 0) {
    args.length[slot] = 0;
    args.ended[slot] = 0;
    args.scale[slot] = 1 / beta;
    return;
  }
  if (args.ended[slot] != 0) {
    args.scale[slot] = 0;
    return;
  }
  const double* c = args.projections + slot * 2 * args.steps + args.step;
  double* alphas = args.alpha + slot * args.steps;
  double* betas = args.beta + slot * args.steps;
  alphas[args.step] = c[0] + c[args.steps];
  betas[args.step] = beta;
  args.length[slot] = static_cast<std::int32_t>(args.step + 1);
  double largest = 0;
  for (std::int64_t i = 0; i <= args.step; ++i) {
    const double size = fabs(alphas[i]) + betas[i];
    if (size > largest) largest = size;
  }
  const bool goes_on = beta > args.negligible * largest;  // false for what is not a number
  args.ended[slot] = goes_on ? 0 : 1;
  args.scale[slot] = goes_on ? 1 / beta : 0;
}

MF_CALLS_EITHER template <class Launcher>
MF_FN void lanczos_step(const Launcher& for_each, const LanczosStepArgs& args) {
  for_each("lanczos_step", args.slots, 1,
           [=] MF_KERNEL(std::int64_t slot, std::int64_t) { lanczos_step_of(args, slot); });
}

MF_FN void ritz_ends_of(const RitzEndsArgs& args, std::int64_t slot) {
  const double* alpha = args.alpha + slot * args.steps;
  const double* beta = args.beta + slot * args.steps;
  const auto n = static_cast<int>(args.length[slot]);
  double* d = args.scratch + slot * 3 * args.steps;
  double* e = d + args.steps;
  double* row = e + args.steps;
  double* out = args.out + slot * args.out_stride;
  bool finite = n > 0 && (args.finite == nullptr || is_finite(args.finite[slot]));
  for (int i = 0; i < n; ++i) {
    d[i] = alpha[i];
    e[i] = beta[i];
    row[i] = i == n - 1 ? 1 : 0;
    finite = finite && is_finite(alpha[i]) && is_finite(beta[i]);
  }
  if (!finite) {
    for (int i = 0; i < 4; ++i) out[i] = NAN;
    return;
  }
  const bool found = tridiagonal_ql(d, e, row, n);
  int least = 0;
  int largest = 0;
  for (int i = 1; i < n; ++i) {
    if (d[i] < d[least]) least = i;
    if (d[i] > d[largest]) largest = i;
  }
  const double left = beta[n - 1];
  out[0] = d[least];
  out[1] = found ? left * fabs(row[least]) : HUGE_VAL;
  out[2] = d[largest];
  out[3] = found ? left * fabs(row[largest]) : HUGE_VAL;
}

MF_CALLS_EITHER template <class Launcher>
MF_FN void ritz_ends(const Launcher& for_each, const RitzEndsArgs& args) {
  for_each("ritz_ends", args.slots, 1,
           [=] MF_KERNEL(std::int64_t slot, std::int64_t) { ritz_ends_of(args, slot); });
}

}  // namespace manyfold::kernels::elements
