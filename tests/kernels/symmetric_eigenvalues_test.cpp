#include "kernels/symmetric_eigenvalues.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

#include <lapacke.h>

#include "kernels/common/eigen_methods.hpp"
#include "tests/kernels/devices.hpp"

namespace manyfold::kernels {
namespace {

using namespace manyfold::test;

struct Symmetric {
  std::int64_t n = 0;
  std::vector<double> entries;  // row-major, both triangles
  explicit Symmetric(std::int64_t size) : n(size), entries(static_cast<std::size_t>(size * size)) {}
  double& at(std::int64_t r, std::int64_t c) {
    return entries[static_cast<std::size_t>(r * n + c)];
  }
  double at(std::int64_t r, std::int64_t c) const {
    return entries[static_cast<std::size_t>(r * n + c)];
  }
  void set(std::int64_t r, std::int64_t c, double value) {
    at(r, c) = value;
    at(c, r) = value;
  }
};

Symmetric of(std::int64_t n, const std::vector<double>& lower) {
  Symmetric a(n);
  std::size_t i = 0;
  for (std::int64_t r = 0; r < n; ++r) {
    for (std::int64_t c = 0; c <= r; ++c) a.set(r, c, lower[i++]);
  }
  return a;
}

/// Largest sum of a row's absolute values.
double norm_of(const Symmetric& a) {
  double norm = 0;
  for (std::int64_t r = 0; r < a.n; ++r) {
    double sum = 0;
    for (std::int64_t c = 0; c < a.n; ++c) sum += std::fabs(a.at(r, c));
    norm = std::max(norm, sum);
  }
  return norm;
}

std::vector<double> lapack_values(const Symmetric& a) {
  std::vector<double> copy = a.entries;
  std::vector<double> values(static_cast<std::size_t>(a.n));
  const int n = static_cast<int>(a.n);
  EXPECT_EQ(LAPACKE_dsyev(LAPACK_COL_MAJOR, 'N', 'U', n, copy.data(), n, values.data()), 0);
  return values;
}

Symmetric random_symmetric(std::int64_t n, std::mt19937_64& random) {
  std::normal_distribution<double> normal;
  Symmetric a(n);
  for (std::int64_t r = 0; r < n; ++r) {
    for (std::int64_t c = 0; c <= r; ++c) a.set(r, c, normal(random));
  }
  return a;
}

/// Q diag(values) Q^T with Q a product of reflections: a matrix of that spectrum, but for rounding.
Symmetric with_spectrum(const std::vector<double>& values, std::mt19937_64& random) {
  const auto n = static_cast<std::int64_t>(values.size());
  Symmetric a(n);
  for (std::int64_t i = 0; i < n; ++i) a.at(i, i) = values[static_cast<std::size_t>(i)];
  for (int reflection = 0; reflection < 3; ++reflection) {
    const auto u = random_vector<double>(n, random);
    double length2 = 0;
    for (const double x : u) length2 += x * x;
    const auto reflect = [&](auto entry) {  // of each row, then of each column
      for (std::int64_t k = 0; k < n; ++k) {
        double product = 0;
        for (std::int64_t i = 0; i < n; ++i)
          product += u[static_cast<std::size_t>(i)] * entry(k, i);
        for (std::int64_t i = 0; i < n; ++i) {
          entry(k, i) -= 2 * product / length2 * u[static_cast<std::size_t>(i)];
        }
      }
    };
    reflect([&](std::int64_t k, std::int64_t i) -> double& { return a.at(k, i); });
    reflect([&](std::int64_t k, std::int64_t i) -> double& { return a.at(i, k); });
  }
  for (std::int64_t r = 0; r < n; ++r) {
    for (std::int64_t c = 0; c < r; ++c) a.set(r, c, (a.at(r, c) + a.at(c, r)) / 2);
  }
  return a;
}

/// X X^T / d of Gaussian X (n, d).
Symmetric gram(std::int64_t n, std::int64_t d, std::mt19937_64& random) {
  const auto x = random_vector<double>(n * d, random);
  Symmetric a(n);
  for (std::int64_t r = 0; r < n; ++r) {
    for (std::int64_t c = 0; c <= r; ++c) {
      double sum = 0;
      for (std::int64_t i = 0; i < d; ++i) {
        sum += x[static_cast<std::size_t>(r * d + i)] * x[static_cast<std::size_t>(c * d + i)];
      }
      a.set(r, c, sum / static_cast<double>(d));
    }
  }
  return a;
}

/// Matrices of every kind that a method may stumble over.
std::vector<Symmetric> all_kinds(std::int64_t n, std::mt19937_64& random) {
  const auto size = static_cast<std::size_t>(n);
  std::vector<Symmetric> kinds = {random_symmetric(n, random), gram(n, 2 * n, random)};
  std::vector<double> clustered(size, 1.0);
  std::vector<double> graded(size);
  std::vector<double> singular(size);
  std::vector<double> indefinite(size);
  for (std::size_t i = 0; i < size; ++i) {
    if (i % 3 == 0) clustered[i] = 1 + 1e-13 * static_cast<double>(i);
    graded[i] = std::pow(10.0, -12.0 * static_cast<double>(i) / static_cast<double>(size));
    singular[i] = i % 2 == 0 ? 0 : static_cast<double>(i);
    indefinite[i] = i % 2 == 0 ? -1 - static_cast<double>(i) : 1e-3;
  }
  for (const auto& spectrum : {clustered, graded, singular, indefinite}) {
    kinds.push_back(with_spectrum(spectrum, random));
  }
  Symmetric diagonal(n);
  for (std::int64_t i = 0; i < n; ++i) diagonal.at(i, i) = static_cast<double>(i * 7 % n) - 2;
  kinds.push_back(diagonal);
  Symmetric scaled(n);  // by rows and columns
  const Symmetric base = gram(n, n + 3, random);
  for (std::int64_t r = 0; r < n; ++r) {
    for (std::int64_t c = 0; c <= r; ++c) {
      scaled.set(r, c, base.at(r, c) * std::pow(10.0, -static_cast<double>((r + c) % 9)));
    }
  }
  kinds.push_back(scaled);
  kinds.emplace_back(n);  // zero
  return kinds;
}

struct Result {
  std::vector<std::vector<double>> values;  // per slot
  std::vector<std::vector<double>> vectors;
  std::vector<std::int32_t> status;
  std::vector<double> bounds;
};

class SymmetricEigenvalues : public DeviceTest {
 protected:
  struct Wish {
    Eigenvalues which = Eigenvalues::all;
    std::int64_t count = 0;
    bool vector = false;
    int max_sweeps = 40;
    bool recorded = false;
  };

  /// Matrices of one shape, with gaps between rows, slots, values and vectors that must stay
  /// untouched, and an upper triangle that must not be read.
  template <class T = double>
  Result compute(const std::vector<Symmetric>& matrices, const Wish& wish) {
    const std::int64_t n = matrices.front().n;
    const auto slots = static_cast<std::int64_t>(matrices.size());
    const std::int64_t kept = eigenvalues_kept(wish.which, n, wish.count);
    const std::int64_t row_stride = n + 2;
    const std::int64_t slot_stride = n * row_stride + 1;
    const std::int64_t values_stride = kept + 3;
    const std::int64_t vector_stride = n + 1;
    auto host = poisoned<T>(slots * slot_stride);
    for (std::int64_t s = 0; s < slots; ++s) {
      for (std::int64_t r = 0; r < n; ++r) {
        for (std::int64_t c = 0; c <= r; ++c) {
          host[static_cast<std::size_t>(s * slot_stride + r * row_stride + c)] =
              static_cast<T>(matrices[static_cast<std::size_t>(s)].at(r, c));
        }
      }
    }
    const auto untouched = [&](std::int64_t count) {
      return to_device(executor(), std::vector<double>(static_cast<std::size_t>(count), -7));
    };
    const auto a = to_device(executor(), host);
    const auto values = untouched(slots * values_stride);
    const auto vectors = untouched(slots * vector_stride);
    const auto bounds = untouched(slots);
    const auto status =
        to_device(executor(), std::vector<std::int32_t>(static_cast<std::size_t>(slots), -7));
    const SymmetricEigenvaluesArgs<T> args{.a = {a.data(), slots, n, n, slot_stride, row_stride},
                                           .which = wish.which,
                                           .count = wish.count,
                                           .values = values.data(),
                                           .values_stride = values_stride,
                                           .status = status.data(),
                                           .bounds = bounds.data(),
                                           .least_vector = wish.vector ? vectors.data() : nullptr,
                                           .least_vector_stride = vector_stride,
                                           .max_sweeps = wish.max_sweeps};
    if (wish.recorded) {
      const auto program = executor().record({.flags = nullptr, .slots = slots}, 1,
                                             [&] { symmetric_eigenvalues(executor(), args); });
      const Burst burst{program.get(), 2};
      executor().run({&burst, 1});
      executor().synchronize();
    } else {
      symmetric_eigenvalues(executor(), args);
    }
    EXPECT_TRUE(bits(a.download()) == bits(host)) << "the matrix was changed";
    Result result;
    const auto all_values = values.download();
    const auto all_vectors = vectors.download();
    for (std::int64_t s = 0; s < slots; ++s) {
      const auto value = all_values.begin() + s * values_stride;
      const auto vector = all_vectors.begin() + s * vector_stride;
      result.values.emplace_back(value, value + kept);
      result.vectors.emplace_back(vector, vector + n);
      for (std::int64_t i = kept; i < values_stride; ++i) EXPECT_EQ(value[i], -7);
      for (std::int64_t i = wish.vector ? n : 0; i < vector_stride; ++i) EXPECT_EQ(vector[i], -7);
    }
    result.status = status.download();
    result.bounds = bounds.download();
    return result;
  }
};

/// The values of the wish out of all, ascending.
std::vector<double> chosen(const std::vector<double>& all, Eigenvalues which, std::int64_t count) {
  if (which == Eigenvalues::all) return all;
  if (which == Eigenvalues::least) return {all.front()};
  std::vector<double> ends(all.begin(), all.begin() + count);
  ends.insert(ends.end(), all.end() - count, all.end());
  return ends;
}

/// Values within the bound, which is no larger than promised, and a vector as good as the bound
/// says.
void expect_right(const Symmetric& a, const Result& result, std::size_t s, Eigenvalues which,
                  std::int64_t count, bool vector, const std::string& what) {
  const double promised = eigen_bound(a.n, norm_of(a));
  EXPECT_EQ(result.status[s], static_cast<std::int32_t>(EigenStatus::fine)) << what;
  EXPECT_LE(result.bounds[s], promised * (1 + 1e-12)) << what;
  EXPECT_GE(result.bounds[s], promised * (1 - 1e-12)) << what;
  const auto expected = chosen(lapack_values(a), which, count);
  ASSERT_EQ(result.values[s].size(), expected.size()) << what;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    // LAPACK's own error may be as large as ours.
    EXPECT_NEAR(result.values[s][i], expected[i], result.bounds[s]) << what << ", value " << i;
  }
  if (!vector) return;
  double length2 = 0;
  double residual2 = 0;
  for (std::int64_t r = 0; r < a.n; ++r) {
    const auto& v = result.vectors[s];
    double rest = -result.values[s].front() * v[static_cast<std::size_t>(r)];
    for (std::int64_t c = 0; c < a.n; ++c) rest += a.at(r, c) * v[static_cast<std::size_t>(c)];
    length2 += v[static_cast<std::size_t>(r)] * v[static_cast<std::size_t>(r)];
    residual2 += rest * rest;
  }
  EXPECT_NEAR(length2, 1, 8 * static_cast<double>(a.n) * epsilon<double>()) << what;
  // The residual itself is computed with a rounding of n eps |A|.
  EXPECT_LE(std::sqrt(residual2), result.bounds[s] * 1.5) << what;
}

TEST_P(SymmetricEigenvalues, MatchLapack) {
  std::mt19937_64 random(test_seed());
  std::vector<std::int64_t> sizes = {1, 2, 3, 4, 5, 6, 7, 8, 20, 33, 100};
  if (!emulated()) sizes.insert(sizes.end(), {9, 32, 150, 151, 200, 300});
  for (const std::int64_t n : sizes) {
    const std::vector<Symmetric> matrices = all_kinds(n, random);
    for (const Eigenvalues which : {Eigenvalues::all, Eigenvalues::ends, Eigenvalues::least}) {
      const std::int64_t count = which == Eigenvalues::ends ? (n + 3) / 4 : 0;
      if (which == Eigenvalues::ends && n == 1) continue;
      for (const bool vector : {false, true}) {
        const Result result = compute(matrices, {.which = which, .count = count, .vector = vector});
        for (std::size_t s = 0; s < matrices.size(); ++s) {
          expect_right(matrices[s], result, s, which, count, vector,
                       "n = " + std::to_string(n) + ", kind " + std::to_string(s) + ", which " +
                           std::to_string(static_cast<int>(which)));
        }
      }
    }
  }
}

/// One matrix goes other ways than several: all threads of a CPU, other functions of cuSOLVER.
TEST_P(SymmetricEigenvalues, OfOneMatrix) {
  std::mt19937_64 random(test_seed());
  std::vector<std::int64_t> sizes = {40, 300};
  if (!emulated()) sizes.push_back(eigen_shared_rows + 61);
  for (const std::int64_t n : sizes) {
    for (const Symmetric& a : {gram(n, n + 20, random), random_symmetric(n, random)}) {
      for (const Eigenvalues which : {Eigenvalues::all, Eigenvalues::ends, Eigenvalues::least}) {
        const std::int64_t count = which == Eigenvalues::ends ? 3 : 0;
        const Result result = compute({a}, {.which = which, .count = count, .vector = true});
        expect_right(a, result, 0, which, count, true, "n = " + std::to_string(n));
      }
    }
  }
}

TEST_P(SymmetricEigenvalues, OfSlotsThatFillTheChip) {
  std::mt19937_64 random(test_seed());
  for (const std::int64_t n : {3, 20, 40}) {
    std::vector<Symmetric> matrices;
    const std::int64_t slots = enough_slots(70, n * n);
    for (std::int64_t s = 0; s < slots; ++s) matrices.push_back(random_symmetric(n, random));
    const Result result = compute(matrices, {.which = Eigenvalues::all, .vector = true});
    for (const std::int64_t s : some_slots(slots, random)) {
      const auto at = static_cast<std::size_t>(s);
      expect_right(matrices[at], result, at, Eigenvalues::all, 0, true,
                   "n = " + std::to_string(n) + ", slot " + std::to_string(s));
    }
  }
}

/// Where a formula by the characteristic polynomial loses half the digits, or all.
TEST_P(SymmetricEigenvalues, OfDegenerateSmallMatricesAreExactToRounding) {
  struct Case {
    Symmetric a;
    std::vector<double> expected;
  };
  const double tiny = 1e-9;
  const std::vector<Case> cases = {
      {of(1, {-3}), {-3}},
      {of(2, {2, 0, 2}), {2, 2}},
      {of(2, {1, 1, 1}), {0, 2}},
      {of(2, {0, 1, 0}), {-1, 1}},
      {of(2, {1, tiny, 1}), {1 - tiny, 1 + tiny}},
      {of(2, {1e8, 1, 1e-8}), {0, 1e8 + 1e-8}},
      {of(3, {5, 0, 5, 0, 0, 5}), {5, 5, 5}},
      {of(3, {1, 1, 1, 1, 1, 1}), {0, 0, 3}},
      {of(3, {0, 1, 0, 1, 1, 0}), {-1, -1, 2}},
      {of(3, {2, tiny, 2, 0, 0, 2}), {2 - tiny, 2, 2 + tiny}},
      {of(3, {2, -1, 2, 0, -1, 2}), {2 - std::sqrt(2), 2, 2 + std::sqrt(2)}},
      {of(3, {0, 0, 0, 0, 0, -1}), {-1, 0, 0}},
  };
  for (std::size_t i = 0; i < cases.size(); ++i) {
    const Result result = compute({cases[i].a}, {.which = Eigenvalues::all, .vector = true});
    const double scale = norm_of(cases[i].a);
    for (std::size_t k = 0; k < cases[i].expected.size(); ++k) {
      EXPECT_NEAR(result.values[0][k], cases[i].expected[k], 4 * epsilon<double>() * scale)
          << "case " << i << ", value " << k;
    }
    expect_right(cases[i].a, result, 0, Eigenvalues::all, 0, true, "case " + std::to_string(i));
  }
}

/// l_min = 1e-10 |A|: lost by a method that squares the condition number, kept to c n eps |A| here.
TEST_P(SymmetricEigenvalues, LeastOfAnAlmostSingularGramMatrix) {
  std::mt19937_64 random(test_seed());
  std::vector<std::int64_t> sizes = {3, 8, 20, 100};
  if (!emulated()) sizes.insert(sizes.end(), {250, 300});
  for (const std::int64_t n : sizes) {
    std::vector<double> spectrum(static_cast<std::size_t>(n));
    for (std::size_t i = 0; i < spectrum.size(); ++i) {
      spectrum[i] = 1 - 0.9 * static_cast<double>(i) / static_cast<double>(n);
    }
    spectrum.back() = 1e-10;
    const Symmetric a = with_spectrum(spectrum, random);
    const Result result =
        compute({a, a}, {.which = Eigenvalues::least, .count = 0, .vector = true});
    // with_spectrum rounds by 3 reflections of n terms each.
    EXPECT_NEAR(result.values[0].front(), 1e-10,
                result.bounds[0] + 8 * static_cast<double>(n) * epsilon<double>());
    expect_right(a, result, 0, Eigenvalues::least, 0, true, "n = " + std::to_string(n));
    EXPECT_EQ(result.values[0], result.values[1]);
  }
}

/// Orthogonal to the vector that Lanczos starts from on a CPU (least_eigenvalue.cpp), the least
/// eigenvector never comes up in double precision, which an indefinite matrix goes to: 0.5 is all
/// that the iteration sees. The certificate refuses it.
TEST_P(SymmetricEigenvalues, LeastThatLanczosDoesNotSee) {
  const std::int64_t n = 160;
  std::mt19937_64 random(static_cast<std::uint64_t>(n));
  std::vector<double> start(static_cast<std::size_t>(n));
  double length2 = 0;
  for (double& x : start) {
    x = static_cast<double>(random() >> 11) * 0x1p-52 - 1;
    length2 += x * x;
  }
  std::vector<double> u(start.size());  // the first unit vector, less its share of the start
  for (std::size_t i = 0; i < u.size(); ++i)
    u[i] = (i == 0 ? 1 : 0) - start[0] / length2 * start[i];
  double norm2 = 0;
  for (const double x : u) norm2 += x * x;
  for (const double diagonal : {2.0, 0.5}) {
    Symmetric a(n);
    for (std::int64_t r = 0; r < n; ++r) {
      for (std::int64_t c = 0; c <= r; ++c) {
        const double product = u[static_cast<std::size_t>(r)] * u[static_cast<std::size_t>(c)];
        a.set(r, c, (r == c ? diagonal : 0) - product / norm2);
      }
    }
    for (const bool vector : {false, true}) {
      const Result result =
          compute({a, a}, {.which = Eigenvalues::least, .count = 0, .vector = vector});
      EXPECT_NEAR(result.values[0].front(), diagonal - 1, result.bounds[0]);
      expect_right(a, result, 0, Eigenvalues::least, 0, vector, "orthogonal");
    }
  }
}

TEST_P(SymmetricEigenvalues, NeitherOverflowNorUnderflow) {
  std::mt19937_64 random(test_seed());
  for (const std::int64_t n : {2, 3, 12, 40}) {
    const Symmetric base = random_symmetric(n, random);
    const Result expected = compute({base}, {.vector = true});
    for (const int exponent : {-1000, -500, 500, 1000}) {
      Symmetric scaled = base;
      for (double& x : scaled.entries) x = std::ldexp(x, exponent);
      const Result result = compute({scaled}, {.vector = true});
      EXPECT_EQ(result.vectors, expected.vectors);
      for (std::size_t i = 0; i < expected.values[0].size(); ++i) {
        EXPECT_EQ(result.values[0][i], std::ldexp(expected.values[0][i], exponent));
      }
    }
  }
}

/// Floats are converted, not computed with: the values are those of the rounded matrix.
TEST_P(SymmetricEigenvalues, OfFloatsAreComputedInDouble) {
  std::mt19937_64 random(test_seed());
  for (const std::int64_t n : {1, 2, 3, 8, 20, 40, 220}) {
    if (emulated() && n > 40) continue;
    Symmetric a = gram(n, n + 2, random);
    for (double& x : a.entries) x = static_cast<double>(static_cast<float>(x));
    for (const Eigenvalues which : {Eigenvalues::all, Eigenvalues::least}) {
      const SymmetricEigenvalues::Wish wish{.which = which, .vector = true};
      const Result single = compute<float>({a, a}, wish);
      EXPECT_EQ(single.values, compute<double>({a, a}, wish).values);
      expect_right(a, single, 1, which, 0, true, "n = " + std::to_string(n));
    }
  }
}

TEST_P(SymmetricEigenvalues, NotFiniteSlotIsNanAndAlone) {
  std::mt19937_64 random(test_seed());
  for (const std::int64_t n : {1, 2, 3, 9, 20, 40, 220}) {
    if (emulated() && n > 40) continue;
    for (const Eigenvalues which : {Eigenvalues::all, Eigenvalues::least}) {
      std::vector<Symmetric> matrices;
      for (int s = 0; s < 5; ++s) matrices.push_back(gram(n, n + 2, random));
      const SymmetricEigenvalues::Wish wish{.which = which, .vector = true};
      const Result good = compute(matrices, wish);
      matrices[1].at(n - 1, 0) = std::numeric_limits<double>::quiet_NaN();
      matrices[2].at(n / 2, n / 2) = -std::numeric_limits<double>::infinity();
      const Result bad = compute(matrices, wish);
      for (const std::size_t s : {1u, 2u}) {
        for (const double value : bad.values[s]) EXPECT_TRUE(std::isnan(value));
        for (const double value : bad.vectors[s]) EXPECT_TRUE(std::isnan(value));
        EXPECT_TRUE(std::isnan(bad.bounds[s]));
        EXPECT_EQ(bad.status[s], static_cast<std::int32_t>(EigenStatus::not_finite));
      }
      for (const std::size_t s : {0u, 3u, 4u}) {
        EXPECT_EQ(bad.values[s], good.values[s]) << "n = " << n;
        EXPECT_EQ(bad.vectors[s], good.vectors[s]) << "n = " << n;
        EXPECT_EQ(bad.bounds[s], good.bounds[s]) << "n = " << n;
        EXPECT_EQ(bad.status[s], static_cast<std::int32_t>(EigenStatus::fine));
      }
    }
  }
}

/// Few sweeps leave a matrix that is not diagonal: said, with a bound that holds.
TEST_P(SymmetricEigenvalues, SayWhenSweepsDoNotSuffice) {
  std::mt19937_64 random(test_seed());
  for (const std::int64_t n : {3, 4, 7, 20}) {
    if (on_cpu() && n > cpu_eigen_choices[0].up_to) continue;  // LAPACK has no limit to set
    const Symmetric a = random_symmetric(n, random);
    const Result result =
        compute({a}, {.which = Eigenvalues::all, .vector = true, .max_sweeps = 1});
    EXPECT_EQ(result.status.front(), static_cast<std::int32_t>(EigenStatus::not_converged));
    const auto expected = lapack_values(a);
    EXPECT_GT(result.bounds[0], eigen_bound(n, norm_of(a)));
    for (std::size_t i = 0; i < expected.size(); ++i) {
      EXPECT_NEAR(result.values[0][i], expected[i], result.bounds[0]) << "n = " << n;
    }
    EXPECT_EQ(compute({a}, {}).status.front(), static_cast<std::int32_t>(EigenStatus::fine));
  }
}

TEST_P(SymmetricEigenvalues, DependOnTheirSlotAlone) {
  std::mt19937_64 random(test_seed());
  for (const std::int64_t n : {3, 12, 45, 230}) {
    if (emulated() && n > 45) continue;
    // On a GPU one matrix goes to other functions of cuSOLVER than several: pairs are compared.
    std::vector<Symmetric> matrices;
    for (int s = 0; s < 5; ++s) matrices.push_back(gram(n, n + 2, random));
    const Result together = compute(matrices, {.which = Eigenvalues::least, .vector = true});
    for (std::size_t s = 0; s + 1 < matrices.size(); ++s) {
      const Result pair =
          compute({matrices[s + 1], matrices[s]}, {.which = Eigenvalues::least, .vector = true});
      EXPECT_EQ(pair.values[1], together.values[s]) << "n = " << n;
      EXPECT_EQ(pair.vectors[1], together.vectors[s]) << "n = " << n;
    }
  }
}

TEST_P(SymmetricEigenvalues, RecordedEqualsDirect) {
  std::mt19937_64 random(test_seed());
  for (const std::int64_t n : {1, 3, 8, 20, 32, 60, 230}) {
    std::vector<Symmetric> matrices;
    for (int s = 0; s < 3; ++s) matrices.push_back(gram(n, n + 2, random));
    for (const Eigenvalues which : {Eigenvalues::all, Eigenvalues::least}) {
      const SymmetricEigenvalues::Wish wish{.which = which, .vector = true, .recorded = true};
      if (!on_cpu() && n > eigen_jacobi_rows) {  // cuSOLVER's workspace is not the graph's
        EXPECT_THROW(compute(matrices, wish), std::logic_error);
        continue;
      }
      const Result recorded = compute(matrices, wish);
      const Result direct = compute(matrices, {.which = which, .vector = true});
      EXPECT_EQ(recorded.values, direct.values) << "n = " << n;
      EXPECT_EQ(recorded.vectors, direct.vectors) << "n = " << n;
      EXPECT_EQ(recorded.bounds, direct.bounds) << "n = " << n;
    }
  }
}

TEST_P(SymmetricEigenvalues, OfASharedMatrix) {
  std::mt19937_64 random(test_seed());
  for (const std::int64_t n : {3, 20, 40}) {
    const Symmetric a = random_symmetric(n, random);
    const auto device = to_device(executor(), a.entries);
    const Buffer<double> values(executor(), 3 * n);
    symmetric_eigenvalues(
        executor(),
        SymmetricEigenvaluesArgs<double>{
            .a = {device.data(), 3, n, n, 0, n}, .values = values.data(), .values_stride = n});
    const auto all = values.download();
    for (std::int64_t i = 0; i < n; ++i) {
      EXPECT_EQ(all[static_cast<std::size_t>(i)], all[static_cast<std::size_t>(n + i)]);
      EXPECT_EQ(all[static_cast<std::size_t>(i)], all[static_cast<std::size_t>(2 * n + i)]);
    }
    EXPECT_NEAR(all.front(), lapack_values(a).front(), eigen_bound(n, norm_of(a)));
  }
}

TEST_P(SymmetricEigenvalues, RejectWhatIsNoSpectrum) {
  const Buffer<double> memory(executor(), 64);
  const auto rejected = [&](const std::function<void(SymmetricEigenvaluesArgs<double>&)>& change) {
    SymmetricEigenvaluesArgs<double> args{
        .a = {memory.data(), 2, 4, 4, 16, 4}, .values = memory.data() + 32, .values_stride = 4};
    change(args);
    EXPECT_THROW(symmetric_eigenvalues(executor(), args), std::invalid_argument);
  };
  rejected([](auto& args) { args.a.cols = 3; });
  rejected([](auto& args) { args.a.rows = 3; });
  rejected([](auto& args) { args.a.rows = args.a.cols = 0; });
  rejected([](auto& args) { args.a.rows = args.a.cols = args.a.row_stride = 46'341; });
  rejected([](auto& args) { args.a.row_stride = 3; });
  rejected([](auto& args) { args.values = nullptr; });
  rejected([](auto& args) { args.values_stride = 3; });
  rejected([](auto& args) { args.which = Eigenvalues::ends; });
  rejected([](auto& args) {
    args.which = Eigenvalues::ends;
    args.count = 3;
  });
  rejected([](auto& args) {
    args.least_vector = args.values;
    args.least_vector_stride = 3;
  });
  rejected([](auto& args) { args.max_sweeps = 0; });
  SymmetricEigenvaluesArgs<double> none{
      .a = {memory.data(), 0, 4, 4, 16, 4}, .values = memory.data(), .values_stride = 4};
  EXPECT_NO_THROW(symmetric_eigenvalues(executor(), none));
}

MANYFOLD_ON_EVERY_DEVICE(SymmetricEigenvalues);

}  // namespace
}  // namespace manyfold::kernels
