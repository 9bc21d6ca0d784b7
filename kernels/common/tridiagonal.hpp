// Eigenvalues of a symmetric tridiagonal matrix by implicitly shifted QL (Dubrulle, Martin and
// Wilkinson 1968; Parlett 1998, 8.11), with one row of its eigenvectors: the formulas that both
// backends share.
#pragma once

#include <math.h>

#include "core/portable.hpp"

namespace manyfold::kernels {

/// sqrt(a^2 + b^2) without overflow on the way.
MF_FN double length_of(double a, double b) {
  const double x = fabs(a);
  const double y = fabs(b);
  const double larger = x > y ? x : y;
  const double smaller = x > y ? y : x;
  if (larger == 0) return 0;
  const double ratio = smaller / larger;
  return larger * sqrt(1 + ratio * ratio);
}

/// d (n): the diagonal, then the eigenvalues in no order. e (n): e_i couples i and i + 1, e_{n-1}
/// is not read; destroyed. row (n): any row v, then v V, V the eigenvectors as columns in the order
/// of d. All finite. False where a value took more than 60 turns (then d are the best known).
MF_FN bool tridiagonal_ql(double* d, double* e, double* row, int n) {
  constexpr double rounding = 0x1p-53;
  constexpr int most_turns = 60;
  e[n - 1] = 0;
  for (int l = 0; l < n; ++l) {
    for (int turn = 0;; ++turn) {
      // The block that begins at l ends at m.
      int m = l;
      while (m + 1 < n && fabs(e[m]) > rounding * (fabs(d[m]) + fabs(d[m + 1]))) ++m;
      if (m == l) break;
      if (turn == most_turns) return false;
      // Wilkinson's shift: the eigenvalue of the upper 2 x 2 matrix that is nearer to d_l.
      const double half = (d[l + 1] - d[l]) / (2 * e[l]);
      const double root = length_of(half, 1);
      double g = d[m] - d[l] + e[l] / (half + (half < 0 ? -root : root));
      double sine = 1;
      double cosine = 1;
      double shift = 0;
      int i = m - 1;
      for (; i >= l; --i) {
        const double f = sine * e[i];
        const double b = cosine * e[i];
        const double r = length_of(f, g);
        e[i + 1] = r;
        if (r == 0) {  // the block falls apart
          d[i + 1] -= shift;
          e[m] = 0;
          break;
        }
        sine = f / r;
        cosine = g / r;
        g = d[i + 1] - shift;
        const double t = (d[i] - g) * sine + 2 * cosine * b;
        shift = sine * t;
        d[i + 1] = g + shift;
        g = cosine * t - b;
        const double upper = row[i + 1];
        row[i + 1] = sine * row[i] + cosine * upper;
        row[i] = cosine * row[i] - sine * upper;
      }
      if (i >= l) continue;
      d[l] -= shift;
      e[l] = g;
      e[m] = 0;
    }
  }
  return true;
}

}  // namespace manyfold::kernels
