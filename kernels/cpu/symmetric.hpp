// What the CPU's methods for symmetric eigenvalues share: a slot as they see it, and what they
// find.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "kernels/symmetric_eigenvalues.hpp"

namespace manyfold::kernels::cpu {

/// A slot's matrix in double precision, scaled so that its largest entry lies in [1/2, 1).
struct SymmetricSlot {
  std::int64_t n = 0;
  double norm = 0;  ///< largest sum of a row's absolute values
  /// Entries 0 to row of a row.
  std::function<void(std::int64_t row, double* out)> load_row;

  double bound() const { return eigen_bound(n, norm); }
};

/// A - shift I as LAPACK's upper triangle by columns, which a lower one by rows is.
void fill_upper(const SymmetricSlot& slot, double shift, double* a);

struct RayleighQuotient {
  double value = 0;     ///< v.Av
  double residual = 0;  ///< |A v - value v|
};
/// Of v of length 1. row and product: n doubles each.
RayleighQuotient rayleigh_quotient(const SymmetricSlot& slot, const double* v, double* row,
                                   double* product);
/// |A v - value v|.
double eigen_residual(const SymmetricSlot& slot, const double* v, double value, double* row,
                      double* product);

/// The least eigenvalue by Cholesky and Lanczos on the inverse.
struct LeastEigenvalue {
  bool certain = false;  ///< else the rest says nothing: another method has to find it
  double value = 0;
  double bound = 0;
};
/// Doubles that find_least_eigenvalue works in.
std::int64_t least_eigenvalue_scratch(std::int64_t n);
/// vector (n; may be null) receives the eigenvector where the result is certain.
LeastEigenvalue find_least_eigenvalue(const SymmetricSlot& slot, double* vector, double* scratch);

}  // namespace manyfold::kernels::cpu
