// The least eigenvalue of one symmetric matrix by Cholesky and Lanczos on the inverse (Golub and
// Van Loan, 10.1, 10.3): factorizations of n^3 / 3 operations in place of a reduction's 4/3 n^3,
// half of which waits for memory.
//
// First in single precision, where that suffices: a Rayleigh quotient errs by the square of what
// its vector does. Else in double: A - s I = R^T R with s below the spectrum, 0 where A is
// definite; where it is not, Lanczos on A says where its spectrum begins. Then Lanczos with full
// reorthogonalization finds the largest eigenvalue of the inverse, which stands further apart from
// its neighbours the closer s is.
//
// A Rayleigh quotient is never below the least eigenvalue, but may have missed it, or be too rough:
// a factorization of A - (l - d) I in double precision, with d a rounding of A, fails where an
// eigenvalue lies below l - d, and then it goes another way. So what is given is certain.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

#include <cblas.h>
#include <lapacke.h>

#include "kernels/cpu/symmetric.hpp"

namespace manyfold::kernels::cpu {
namespace {

/// Steps of one round of Lanczos: the basis is that many vectors, and one.
constexpr std::int64_t longest_basis = 96;
constexpr int rounds = 3;
/// Steps between looks at the tridiagonal matrix.
constexpr std::int64_t look_every = 3;

/// The largest eigenvalue of the operator at hand, as far as the basis knows it.
struct Ritz {
  double value = 0;
  double second = -HUGE_VAL;  ///< the next one
  double residual = 0;        ///< |B q - value q|
  std::int64_t steps = 0;
  std::vector<double> weights;  ///< of the basis, in its vector
};

/// The largest eigenvalue of a tridiagonal matrix, its vector of length 1, and the next value.
Ritz largest_of(const std::vector<double>& diagonal, const std::vector<double>& beside) {
  const auto k = static_cast<lapack_int>(diagonal.size());
  std::vector<double> d = diagonal;
  std::vector<double> e(beside.begin(), beside.begin() + k - 1);
  e.push_back(0);
  Ritz ritz;
  ritz.steps = k;
  LAPACKE_dsterf_work(k, d.data(), e.data());
  ritz.value = d.back();
  if (k > 1) ritz.second = d[static_cast<std::size_t>(k) - 2];
  // Inverse iteration with a shift just above: value I - T stays definite.
  const double unit = std::max(std::fabs(d.front()), std::fabs(d.back()));
  for (double above = 4e-16 * unit;; above *= 4) {
    for (std::size_t i = 0; i < diagonal.size(); ++i) d[i] = ritz.value + above - diagonal[i];
    for (std::size_t i = 0; i + 1 < diagonal.size(); ++i) e[i] = -beside[i];
    if (LAPACKE_dpttrf_work(k, d.data(), e.data()) == 0) break;
    if (!(above < unit)) return ritz;  // not numbers: no weights
  }
  ritz.weights.assign(diagonal.size(), 1.0);
  for (int iteration = 0; iteration < 3; ++iteration) {
    LAPACKE_dpttrs_work(LAPACK_COL_MAJOR, k, 1, d.data(), e.data(), ritz.weights.data(), k);
    cblas_dscal(k, 1 / cblas_dnrm2(k, ritz.weights.data(), 1), ritz.weights.data(), 1);
  }
  return ritz;
}

/// Lanczos for the largest eigenvalue of an operator: apply(x) replaces x by B x. basis: (steps +
/// 1) vectors, the first of length 1, the rest received. Ends when enough(ritz), or at a subspace
/// that the operator keeps, or after `steps`.
template <class Apply, class Enough>
Ritz lanczos(std::int64_t n, std::int64_t steps, double* basis, double* products,
             const Apply& apply, const Enough& enough) {
  const int rows = static_cast<int>(n);
  std::vector<double> diagonal;
  std::vector<double> beside;
  Ritz ritz;
  for (std::int64_t j = 0; j < steps; ++j) {
    const double* q = basis + j * n;
    double* w = basis + (j + 1) * n;
    std::copy(q, q + n, w);
    apply(w);
    const double size = cblas_dnrm2(rows, w, 1);
    const int columns = static_cast<int>(j + 1);
    double along = 0;
    for (int pass = 0; pass < 2; ++pass) {  // twice is enough (Kahan; Parlett 1980, 6.9)
      cblas_dgemv(CblasColMajor, CblasTrans, rows, columns, 1, basis, rows, w, 1, 0, products, 1);
      cblas_dgemv(CblasColMajor, CblasNoTrans, rows, columns, -1, basis, rows, products, 1, 1, w,
                  1);
      along += products[j];
    }
    diagonal.push_back(along);
    const double rest = cblas_dnrm2(rows, w, 1);
    beside.push_back(rest);
    const bool closed = !(rest > 1e-15 * size);
    if (closed || j + 1 == steps || (j + 1) % look_every == 0) {
      ritz = largest_of(diagonal, beside);
      if (ritz.weights.empty()) return ritz;
      ritz.residual = rest * std::fabs(ritz.weights.back());
      if (closed || enough(ritz)) return ritz;
    }
    cblas_dscal(rows, 1 / rest, w, 1);
  }
  return ritz;
}

void combine_basis(std::int64_t n, const double* basis, const Ritz& ritz, double* out) {
  const int rows = static_cast<int>(n);
  cblas_dgemv(CblasColMajor, CblasNoTrans, rows, static_cast<int>(ritz.steps), 1, basis, rows,
              ritz.weights.data(), 1, 0, out, 1);
  cblas_dscal(rows, 1 / cblas_dnrm2(rows, out, 1), out, 1);
}

/// A fixed direction that is none of anybody's.
void start_vector(std::int64_t n, double* v) {
  std::mt19937_64 random(static_cast<std::uint64_t>(n));
  for (std::int64_t i = 0; i < n; ++i) v[i] = static_cast<double>(random() >> 11) * 0x1p-52 - 1;
  const int rows = static_cast<int>(n);
  cblas_dscal(rows, 1 / cblas_dnrm2(rows, v, 1), v, 1);
}

/// The factor of A in single precision; row: n doubles.
bool factor_roughly(const SymmetricSlot& slot, float* a, double* row) {
  for (std::int64_t r = 0; r < slot.n; ++r) {
    slot.load_row(r, row);
    for (std::int64_t c = 0; c <= r; ++c) a[r * slot.n + c] = static_cast<float>(row[c]);
  }
  const auto n = static_cast<lapack_int>(slot.n);
  return LAPACKE_spotrf_work(LAPACK_COL_MAJOR, 'U', n, a, n) == 0;
}

void solve_roughly(std::int64_t n, const float* factor, double* x, float* rounded) {
  const int rows = static_cast<int>(n);
  const double size = cblas_dnrm2(rows, x, 1);
  for (std::int64_t i = 0; i < n; ++i) rounded[i] = static_cast<float>(x[i] / size);
  cblas_strsv(CblasColMajor, CblasUpper, CblasTrans, CblasNonUnit, rows, factor, rows, rounded, 1);
  cblas_strsv(CblasColMajor, CblasUpper, CblasNoTrans, CblasNonUnit, rows, factor, rows, rounded,
              1);
  for (std::int64_t i = 0; i < n; ++i) x[i] = size * static_cast<double>(rounded[i]);
}

bool factor(const SymmetricSlot& slot, double shift, double* a) {
  fill_upper(slot, shift, a);
  const auto n = static_cast<lapack_int>(slot.n);
  return LAPACKE_dpotrf_work(LAPACK_COL_MAJOR, 'U', n, a, n) == 0;
}

void solve(std::int64_t n, const double* factor, double* x) {
  const int rows = static_cast<int>(n);
  cblas_dtrsv(CblasColMajor, CblasUpper, CblasTrans, CblasNonUnit, rows, factor, rows, x, 1);
  cblas_dtrsv(CblasColMajor, CblasUpper, CblasNoTrans, CblasNonUnit, rows, factor, rows, x, 1);
}

/// Shifts below the spectrum, nearest first, until one is: true with its factorization in `a`.
bool factor_below(const SymmetricSlot& slot, double* a, double* basis, double* products,
                  double* shift) {
  *shift = 0;
  if (factor(slot, 0, a)) return true;
  *shift = -slot.bound();  // singular, but for rounding
  if (factor(slot, *shift, a)) return true;
  fill_upper(slot, 0, a);
  const int n = static_cast<int>(slot.n);
  start_vector(slot.n, basis);
  std::vector<double> image(static_cast<std::size_t>(n));
  const auto minus_a = [&](double* x) {
    cblas_dsymv(CblasColMajor, CblasUpper, n, -1, a, n, x, 1, 0, image.data(), 1);
    std::copy(image.begin(), image.end(), x);
  };
  const Ritz ritz = lanczos(
      slot.n, std::min<std::int64_t>(slot.n, 36), basis, products, minus_a, [&](const Ritz& found) {
        return found.residual < 1e-3 * (std::fabs(found.value) + slot.norm * 1e-3);
      });
  if (ritz.weights.empty()) return false;
  double below = std::max(2 * ritz.residual, slot.bound());
  for (int attempt = 0; attempt < 4; ++attempt, below *= 4) {
    *shift = -ritz.value - below;
    if (*shift < -slot.norm) break;
    if (factor(slot, *shift, a)) return true;
  }
  *shift = -slot.norm - slot.bound();  // Gershgorin
  return factor(slot, *shift, a);
}

}  // namespace

std::int64_t least_eigenvalue_scratch(std::int64_t n) {
  return n * n + (std::min(n, longest_basis) + 3) * n + longest_basis + 1;
}

namespace {

/// Memory of find_least_eigenvalue.
struct Workplace {
  double* a = nullptr;      ///< (n, n)
  double* basis = nullptr;  ///< (steps + 1) vectors
  std::int64_t steps = 0;
  double* v = nullptr;         ///< n
  double* row = nullptr;       ///< n
  double* products = nullptr;  ///< of the basis
};

/// v becomes the eigenvector of the inverse's largest eigenvalue, as `inverse` has it, above the
/// rounding of that operator; false where the iteration met no numbers.
template <class Inverse>
bool iterate(const SymmetricSlot& slot, const Workplace& place, const Inverse& inverse,
             double relative_rounding) {
  // What is left to err in l = shift + 1 / value: of second order in the residual (Temple 1928,
  // Kato 1949; the gap as the basis sees it).
  const double wanted = slot.bound() / 8;
  const auto enough = [&](const Ritz& ritz) {
    if (ritz.residual <= relative_rounding * ritz.value) return true;
    const double first = ritz.residual / (ritz.value * ritz.value);
    if (first <= wanted) return true;
    const double gap = ritz.value - ritz.second - ritz.residual;
    return gap > 0 && first * (ritz.residual / gap) <= wanted;
  };
  start_vector(slot.n, place.basis);
  for (int round = 0; round < rounds; ++round) {
    const Ritz ritz = lanczos(slot.n, place.steps, place.basis, place.products, inverse, enough);
    if (ritz.weights.empty() || !(ritz.value > 0)) return false;
    combine_basis(slot.n, place.basis, ritz, place.v);
    if (enough(ritz) || ritz.steps < place.steps) break;
    std::copy(place.v, place.v + slot.n, place.basis);
  }
  return true;
}

/// The value of v where no eigenvalue lies further below than rounding. The factorization that
/// shows it improves the vector by a step of inverse iteration, with a shift that is all but the
/// value.
LeastEigenvalue certify(const SymmetricSlot& slot, const Workplace& place, double* vector) {
  const int n = static_cast<int>(slot.n);
  const double bound = slot.bound();
  double* product = place.basis;
  const double first = rayleigh_quotient(slot, place.v, place.row, product).value;
  if (!std::isfinite(first) || !factor(slot, first - bound / 2, place.a)) return {};
  solve(slot.n, place.a, place.v);
  cblas_dscal(n, 1 / cblas_dnrm2(n, place.v, 1), place.v, 1);
  const RayleighQuotient quotient = rayleigh_quotient(slot, place.v, place.row, product);
  if (!(std::fabs(quotient.value - first) <= bound)) return {};
  LeastEigenvalue found{true, quotient.value, bound};
  if (vector != nullptr) {
    std::copy(place.v, place.v + slot.n, vector);
    found.bound = std::max(bound, quotient.residual);
  }
  return found;
}

}  // namespace

LeastEigenvalue find_least_eigenvalue(const SymmetricSlot& slot, double* vector, double* scratch) {
  const std::int64_t n = slot.n;
  Workplace place;
  place.steps = std::min(n, longest_basis);
  place.a = scratch;
  place.basis = place.a + n * n;
  place.v = place.basis + (place.steps + 1) * n;
  place.row = place.v + n;
  place.products = place.row + n;

  auto* rough = reinterpret_cast<float*>(place.a);
  float* rounded = rough + n * n;  // in the half that is free
  if (factor_roughly(slot, rough, place.row)) {
    const auto inverse = [&](double* x) { solve_roughly(n, rough, x, rounded); };
    if (iterate(slot, place, inverse, 1e-6)) {
      const LeastEigenvalue found = certify(slot, place, vector);
      if (found.certain) return found;
    }
  }
  double shift = 0;
  if (!factor_below(slot, place.a, place.basis, place.products, &shift)) return {};
  const auto inverse = [&](double* x) { solve(n, place.a, x); };
  if (!iterate(slot, place, inverse, 1e-15)) return {};
  return certify(slot, place, vector);
}

}  // namespace manyfold::kernels::cpu
