// Two-sided Jacobi on a symmetric matrix (Jacobi 1846; Golub and Van Loan, 8.5): the formulas that
// both backends share. Matrices are scaled so that their largest entry lies in [1/2, 1).
//
// A rotation of rows and columns p and q makes a_pq zero; what is left outside the diagonal falls
// quadratically in the end. One rotation is the closed form of a 2 x 2 matrix, without its
// cancellation; of 3 x 3 ones it takes a few sweeps, where the trigonometric form would lose digits
// of values that lie close together (Kopp 2008).
#pragma once

#include <cstdint>

#include <math.h>

#include "core/portable.hpp"
#include "kernels/common/jacobi.hpp"

namespace manyfold::kernels {

/// row_p <- cosine row_p - sine row_q, row_q <- sine row_p + cosine row_q, columns alike;
/// a_pp loses shift, a_qq gains it.
struct SymmetricRotation {
  double cosine = 1, sine = 0, shift = 0;
};

/// Off-diagonal entries that size count as none: they move an eigenvalue by less than its rounding.
inline constexpr double symmetric_jacobi_rounding = 0x1p-53;

/// Whether a_pq is worth a rotation: relative to the diagonal, so that the small values of
/// positive definite matrices that are graded keep their digits (Demmel and Veselic 1992).
MF_FN bool couples(double app, double aqq, double apq) {
  constexpr double nothing = 0x1p-120;
  const double size = fabs(apq);
  return size > nothing && size > symmetric_jacobi_rounding * sqrt(fabs(app)) * sqrt(fabs(aqq));
}

/// The smaller of the two rotations that make a_pq zero (Rutishauser 1966); apq is not 0.
MF_FN SymmetricRotation symmetric_rotation(double app, double aqq, double apq) {
  const double theta = (aqq - app) / (2 * apq);
  const double size = 1 / (fabs(theta) + sqrt(1 + theta * theta));
  const double tangent = theta < 0 ? -size : size;
  const double cosine = 1 / sqrt(1 + tangent * tangent);
  return {cosine, tangent * cosine, tangent * apq};
}

MF_FN void rotate_pair(const SymmetricRotation& rotation, double& p, double& q) {
  const double old_p = p;
  const double old_q = q;
  p = rotation.cosine * old_p - rotation.sine * old_q;
  q = rotation.sine * old_p + rotation.cosine * old_q;
}

/// Sweeps over a full matrix (n, n) until nothing couples; its diagonal is then the eigenvalues, in
/// no order. vectors (n, n; may be null) receives them as rows. False where the last of max_sweeps
/// still met entries above rounding.
MF_FN bool symmetric_jacobi(double* a, int n, double* vectors, int max_sweeps) {
  if (vectors != nullptr) {
    for (int i = 0; i < n * n; ++i) vectors[i] = i % (n + 1) == 0 ? 1 : 0;
  }
  double largest = 0;
  for (int sweep = 0; sweep < max_sweeps; ++sweep) {
    largest = 0;
    for (int p = 0; p + 1 < n; ++p) {
      for (int q = p + 1; q < n; ++q) {
        double* row_p = a + p * n;
        double* row_q = a + q * n;
        const double apq = row_p[q];
        if (!couples(row_p[p], row_q[q], apq)) continue;
        largest = fmax(largest, fabs(apq));
        const SymmetricRotation rotation = symmetric_rotation(row_p[p], row_q[q], apq);
        row_p[p] -= rotation.shift;
        row_q[q] += rotation.shift;
        row_p[q] = 0;
        row_q[p] = 0;
        for (int k = 0; k < n; ++k) {
          if (k == p || k == q) continue;
          rotate_pair(rotation, row_p[k], row_q[k]);
          a[k * n + p] = row_p[k];
          a[k * n + q] = row_q[k];
        }
        for (int k = 0; vectors != nullptr && k < n; ++k) {
          rotate_pair(rotation, vectors[p * n + k], vectors[q * n + k]);
        }
      }
    }
    if (largest == 0) return true;
  }
  return n == 1 || largest <= symmetric_jacobi_rounding;
}

/// Frobenius norm of what is left outside the diagonal: no eigenvalue is further from its place in
/// the diagonal (Weyl).
MF_FN double outside_diagonal(const double* a, int n) {
  double sum = 0;
  for (int i = 0; i < n; ++i) {
    for (int j = 0; j < n; ++j) sum += i == j ? 0 : a[i * n + j] * a[i * n + j];
  }
  return sqrt(sum);
}

}  // namespace manyfold::kernels
