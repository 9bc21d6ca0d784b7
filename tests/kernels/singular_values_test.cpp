#include "kernels/singular_values.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <stdexcept>
#include <vector>

#include <lapacke.h>

#include "kernels/common/singular_methods.hpp"
#include "tests/kernels/devices.hpp"
#include "tests/same_bits.hpp"

namespace manyfold::kernels {
namespace {

using namespace manyfold::test;

struct Matrix {
  std::int64_t rows = 0, cols = 0;
  std::vector<double> entries;  // row-major
  double& at(std::int64_t r, std::int64_t c) {
    return entries[static_cast<std::size_t>(r * cols + c)];
  }
  double at(std::int64_t r, std::int64_t c) const {
    return entries[static_cast<std::size_t>(r * cols + c)];
  }
};

Matrix random_matrix(std::int64_t rows, std::int64_t cols, std::mt19937_64& random) {
  return {rows, cols, random_vector<double>(rows * cols, random)};
}

/// One-sided Jacobi in extended precision, columns of the given matrix as they are: 11 bits more
/// than what is tested, and the range to hold 1e+-4000.
std::vector<double> reference_values(const Matrix& a) {
  const bool transposed = a.rows < a.cols;
  const auto n = static_cast<std::size_t>(std::min(a.rows, a.cols));
  const auto m = static_cast<std::size_t>(std::max(a.rows, a.cols));
  std::vector<std::vector<long double>> x(n, std::vector<long double>(m));
  for (std::size_t j = 0; j < n; ++j) {
    for (std::size_t i = 0; i < m; ++i) {
      const auto r = static_cast<std::int64_t>(transposed ? j : i);
      const auto c = static_cast<std::int64_t>(transposed ? i : j);
      x[j][i] = a.at(r, c);
    }
  }
  const auto dot = [&](std::size_t p, std::size_t q) {
    long double sum = 0;
    for (std::size_t i = 0; i < m; ++i) sum += x[p][i] * x[q][i];
    return sum;
  };
  bool rotated = true;
  for (int sweep = 0; rotated && sweep < 100; ++sweep) {
    rotated = false;
    for (std::size_t p = 0; p + 1 < n; ++p) {
      for (std::size_t q = p + 1; q < n; ++q) {
        if (dot(q, q) > dot(p, p)) std::swap(x[p], x[q]);
        const long double app = dot(p, p);
        const long double aqq = dot(q, q);
        const long double apq = dot(p, q);
        if (std::fabs(apq) <= 1e-18L * std::sqrt(app) * std::sqrt(aqq)) continue;
        rotated = true;
        const long double tau = (aqq - app) / (2 * apq);
        const long double t =
            (tau < 0 ? -1.0L : 1.0L) / (std::fabs(tau) + std::sqrt(1 + tau * tau));
        const long double c = 1 / std::sqrt(1 + t * t);
        for (std::size_t i = 0; i < m; ++i) {
          const long double u = x[p][i];
          const long double v = x[q][i];
          x[p][i] = c * (u - t * v);
          x[q][i] = c * (v + t * u);
        }
      }
    }
  }
  std::vector<double> values(n);
  for (std::size_t j = 0; j < n; ++j) values[j] = static_cast<double>(std::sqrt(dot(j, j)));
  std::sort(values.begin(), values.end(), std::greater<>());
  return values;
}

std::vector<double> lapack_values(const Matrix& a) {
  std::vector<double> copy = a.entries;
  std::vector<double> values(static_cast<std::size_t>(std::min(a.rows, a.cols)));
  // What is stored by rows is the transpose stored by columns, which has the same singular values.
  const int status =
      LAPACKE_dgesdd(LAPACK_COL_MAJOR, 'N', static_cast<int>(a.cols), static_cast<int>(a.rows),
                     copy.data(), static_cast<int>(a.cols), values.data(), nullptr, 1, nullptr, 1);
  EXPECT_EQ(status, 0);
  return values;
}

class SingularValues : public DeviceTest {
 protected:
  struct Result {
    std::vector<std::vector<double>> values;  // per slot
    std::vector<std::int32_t> sweeps;
  };

  /// Matrices of one shape, with gaps between rows, slots and values that must stay untouched.
  template <class T = double>
  Result compute(const std::vector<Matrix>& matrices, std::int64_t count = -1,
                 int max_sweeps = 60) {
    const std::int64_t rows = matrices.front().rows;
    const std::int64_t cols = matrices.front().cols;
    const auto slots = static_cast<std::int64_t>(matrices.size());
    if (count < 0) count = std::min(rows, cols);
    const std::int64_t row_stride = cols + 2;
    const std::int64_t slot_stride = rows * row_stride + 1;
    const std::int64_t values_stride = count + 3;
    auto host = poisoned<T>(slots * slot_stride);
    for (std::int64_t s = 0; s < slots; ++s) {
      for (std::int64_t r = 0; r < rows; ++r) {
        for (std::int64_t c = 0; c < cols; ++c) {
          host[static_cast<std::size_t>(s * slot_stride + r * row_stride + c)] =
              static_cast<T>(matrices[static_cast<std::size_t>(s)].at(r, c));
        }
      }
    }
    const auto a = to_device(executor(), host);
    const auto values = to_device(
        executor(), std::vector<double>(static_cast<std::size_t>(slots * values_stride), -7));
    const auto sweeps =
        to_device(executor(), std::vector<std::int32_t>(static_cast<std::size_t>(slots), -7));
    const Buffer<double> workspace(executor(), slots * singular_values_workspace(rows, cols));
    singular_values(executor(),
                    SingularValuesArgs<T>{{a.data(), slots, rows, cols, slot_stride, row_stride},
                                          values.data(),
                                          count,
                                          values_stride,
                                          sweeps.data(),
                                          workspace.data(),
                                          max_sweeps});
    EXPECT_TRUE(bits(a.download()) == bits(host)) << "the matrix was changed";
    const auto all = values.download();
    Result result;
    for (std::int64_t s = 0; s < slots; ++s) {
      const auto begin = all.begin() + s * values_stride;
      result.values.emplace_back(begin, begin + count);
      for (std::int64_t i = count; i < values_stride; ++i) EXPECT_EQ(begin[i], -7);
    }
    result.sweeps = sweeps.download();
    return result;
  }

  /// Values and all vectors of one matrix, with gaps between rows and slots.
  struct Decomposition {
    std::vector<double> values;
    Matrix u, v;
  };
  std::vector<Decomposition> decompose(const std::vector<Matrix>& matrices) {
    const std::int64_t rows = matrices.front().rows;
    const std::int64_t cols = matrices.front().cols;
    const std::int64_t count = std::min(rows, cols);
    const auto slots = static_cast<std::int64_t>(matrices.size());
    std::vector<double> host;
    for (const Matrix& m : matrices) {
      for (std::int64_t r = 0; r < rows; ++r) {
        for (std::int64_t c = 0; c < cols; ++c) host.push_back(m.at(r, c));
      }
    }
    const auto a = to_device(executor(), host);
    const Buffer<double> values(executor(), slots * count);
    const auto filled = [&](std::int64_t side) {
      const auto size = static_cast<std::size_t>(slots * (side * (count + 1) + 2));
      return to_device(executor(), std::vector<double>(size, -7));
    };
    const auto u = filled(rows);
    const auto v = filled(cols);
    const Buffer<double> workspace(executor(), slots * singular_values_workspace(rows, cols, true));
    const auto batch = [&](const Buffer<double>& to, std::int64_t side) {
      return MatrixBatch<double>{to.data(), slots, side, count, side * (count + 1) + 2, count + 1};
    };
    singular_values(executor(), SingularValuesArgs<double>{
                                    .a = {a.data(), slots, rows, cols, rows * cols, cols},
                                    .values = values.data(),
                                    .values_count = count,
                                    .values_stride = count,
                                    .workspace = workspace.data(),
                                    .u = batch(u, rows),
                                    .v = batch(v, cols)});
    const auto all = values.download();
    const auto read = [&](const Buffer<double>& from, std::int64_t side, std::int64_t s) {
      const auto elements = from.download();
      Matrix m{side, count, std::vector<double>(static_cast<std::size_t>(side * count))};
      for (std::int64_t i = 0; i < side * (count + 1) + 2; ++i) {
        const double element = elements[static_cast<std::size_t>(s * (side * (count + 1) + 2) + i)];
        if (i < side * (count + 1) && i % (count + 1) < count) {
          m.at(i / (count + 1), i % (count + 1)) = element;
        } else {
          EXPECT_EQ(element, -7);
        }
      }
      return m;
    };
    std::vector<Decomposition> found;
    for (std::int64_t s = 0; s < slots; ++s) {
      const auto begin = all.begin() + s * count;
      found.push_back({{begin, begin + count}, read(u, rows, s), read(v, cols, s)});
    }
    return found;
  }

  std::vector<double> values_of(const Matrix& a) { return compute({a}).values.front(); }
};

void expect_relative(const std::vector<double>& values, const std::vector<double>& expected,
                     double tolerance) {
  ASSERT_EQ(values.size(), expected.size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    EXPECT_LE(std::fabs(values[i] - expected[i]), tolerance * expected[i])
        << "value " << i << ": " << values[i] << " for " << expected[i];
  }
}

/// Both algorithms are backward stable: each value within c max(m, n) eps of the largest.
TEST_P(SingularValues, MatchLapack) {
  std::mt19937_64 random(test_seed());
  std::vector<std::pair<int, int>> sizes = {{1, 1},   {1, 7},   {7, 1},   {2, 2},
                                            {3, 2},   {5, 4},   {20, 20}, {33, 65},
                                            {64, 33}, {8, 200}, {17, 9},  {31, 31}};
  if (!emulated()) sizes.insert(sizes.end(), {{64, 64}, {100, 100}, {130, 129}, {200, 200}});
  sizes.emplace_back(100, 64);
  for (const auto& [rows, cols] : sizes) {
    std::vector<Matrix> matrices;
    for (int s = 0; s < (emulated() ? 1 : 3); ++s) {
      matrices.push_back(random_matrix(rows, cols, random));
    }
    const Result result = compute(matrices);
    for (std::size_t s = 0; s < matrices.size(); ++s) {
      const auto expected = lapack_values(matrices[s]);
      const double bound = 8 * std::max(rows, cols) * epsilon<double>() * expected.front();
      for (std::size_t i = 0; i < expected.size(); ++i) {
        EXPECT_NEAR(result.values[s][i], expected[i], bound) << rows << "x" << cols << ", " << i;
      }
      EXPECT_TRUE(std::is_sorted(result.values[s].rbegin(), result.values[s].rend()));
      EXPECT_GE(result.sweeps[s], 0) << rows << "x" << cols;
      EXPECT_LE(result.sweeps[s], 12) << rows << "x" << cols;
    }
  }
}

/// Every kind of block: 8, 16 and 32 lanes a pair, and columns in the workspace.
TEST_P(SingularValues, MatchLapackWhereSlotsFillTheChip) {
  std::mt19937_64 random(test_seed());
  for (const auto& [rows, cols] : {std::pair{20, 20}, {33, 17}, {9, 70}, {1024, 30}}) {
    const int quick = emulated() && rows > 100 ? 1 : 5;
    std::vector<Matrix> matrices;
    const std::int64_t slots = enough_slots(quick, rows * cols);
    for (std::int64_t s = 0; s < slots; ++s) matrices.push_back(random_matrix(rows, cols, random));
    const Result result = compute(matrices);
    for (std::size_t s = 0; s < matrices.size(); ++s) {
      const auto expected = lapack_values(matrices[s]);
      const double bound = 8 * std::max(rows, cols) * epsilon<double>() * expected.front();
      for (std::size_t i = 0; i < expected.size(); ++i) {
        ASSERT_NEAR(result.values[s][i], expected[i], bound)
            << rows << "x" << cols << ", slot " << s << ", value " << i;
      }
      ASSERT_GE(result.sweeps[s], 0) << rows << "x" << cols << ", slot " << s;
    }
  }
}

/// Too large for a block's shared memory on a GPU: columns in the workspace.
TEST_P(SingularValues, OfTallMatrix) {
  std::mt19937_64 random(test_seed());
  const Matrix a = random_matrix(1024, 30, random);
  expect_relative(values_of(a), lapack_values(a), 1024 * epsilon<double>());
}

TEST_P(SingularValues, AreRelativelyAccurateOnGradedColumns) {
  std::mt19937_64 random(test_seed());
  for (const auto& [rows, cols] : {std::pair{20, 20}, {30, 12}, {12, 30}}) {
    Matrix a = random_matrix(rows, cols, random);
    const bool by_column = rows >= cols;
    const int count = std::min(rows, cols);
    for (int r = 0; r < rows; ++r) {
      for (int c = 0; c < cols; ++c) {
        // Neither ascending nor descending: the grading is not the order.
        const int place = ((by_column ? c : r) * 7 + 3) % count;
        a.at(r, c) *= std::pow(10.0, -30.0 * place / (count - 1));
      }
    }
    const auto expected = reference_values(a);
    EXPECT_LT(expected.back(), 1e-28);
    expect_relative(values_of(a), expected, 1e-12);
  }
}

/// A square matrix graded along its rows is rotated along its rows.
TEST_P(SingularValues, AreRelativelyAccurateOnGradedRows) {
  std::mt19937_64 random(test_seed());
  const int n = 20;
  Matrix a = random_matrix(n, n, random);
  Matrix flipped = a;
  for (int r = 0; r < n; ++r) {
    for (int c = 0; c < n; ++c) {
      a.at(r, c) *= std::pow(10.0, -30.0 * r / (n - 1));
      flipped.at(c, r) = a.at(r, c);
    }
  }
  expect_relative(values_of(a), reference_values(flipped), 1e-12);
}

TEST_P(SingularValues, NeitherOverflowNorUnderflow) {
  std::mt19937_64 random(test_seed());
  const Matrix a = random_matrix(20, 12, random);
  const auto base = reference_values(a);
  for (const double scale : {1e-200, 1e200, 1e-290, 1e300}) {
    Matrix scaled = a;
    for (double& x : scaled.entries) x *= scale;
    auto expected = base;
    for (double& x : expected) x *= scale;
    expect_relative(values_of(scaled), expected, 1e-13);
  }
  Matrix spread = a;  // both ends in one matrix
  for (int r = 0; r < 20; ++r) {
    for (int c = 0; c < 12; ++c) spread.at(r, c) *= std::pow(10.0, 200 - 400.0 * c / 11);
  }
  expect_relative(values_of(spread), reference_values(spread), 1e-12);
}

TEST_P(SingularValues, OfSubnormalEntries) {
  const Matrix a{2, 1, {3 * std::numeric_limits<double>::denorm_min(), 0}};
  EXPECT_EQ(values_of(a).front(), 3 * std::numeric_limits<double>::denorm_min());
}

TEST_P(SingularValues, OfZeroColumnsAreExactlyZero) {
  std::mt19937_64 random(test_seed());
  EXPECT_EQ(values_of({4, 3, std::vector<double>(12)}), std::vector<double>(3));
  EXPECT_EQ(values_of({1, 1, {0}}), std::vector<double>(1));
  Matrix a = random_matrix(9, 6, random);
  Matrix kept{9, 4, {}};
  for (int r = 0; r < 9; ++r) {
    a.at(r, 1) = 0;
    a.at(r, 4) = 0;
    for (const int c : {0, 2, 3, 5}) kept.entries.push_back(a.at(r, c));
  }
  const auto values = values_of(a);
  EXPECT_EQ(values[4], 0);
  EXPECT_EQ(values[5], 0);
  expect_relative({values.begin(), values.begin() + 4}, reference_values(kept), 1e-13);
}

TEST_P(SingularValues, OfOneRowColumnOrEntry) {
  EXPECT_EQ(values_of({1, 1, {-3}}), std::vector<double>{3});
  EXPECT_EQ(values_of({1, 2, {3, -4}}), std::vector<double>{5});
  EXPECT_EQ(values_of({2, 1, {-3, 4}}), std::vector<double>{5});
}

TEST_P(SingularValues, BeyondTheRankAreRounding) {
  std::mt19937_64 random(test_seed());
  const int n = 24;
  const int rank = 3;
  const Matrix u = random_matrix(n, rank, random);
  const Matrix v = random_matrix(rank, n, random);
  Matrix a{n, n, std::vector<double>(n * n)};
  for (int r = 0; r < n; ++r) {
    for (int c = 0; c < n; ++c) {
      for (int i = 0; i < rank; ++i) a.at(r, c) += u.at(r, i) * v.at(i, c);
    }
  }
  const Result result = compute({a});
  const auto& values = result.values.front();
  EXPECT_GE(result.sweeps.front(), 0);
  for (int i = rank; i < n; ++i) {
    EXPECT_LE(values[static_cast<std::size_t>(i)], n * epsilon<double>() * values.front());
  }
  const auto expected = lapack_values(a);
  expect_relative({values.begin(), values.begin() + rank},
                  {expected.begin(), expected.begin() + rank}, 100 * n * epsilon<double>());
}

TEST_P(SingularValues, OfEqualColumns) {
  const Matrix a{3, 3, {1, 1, 1, 2, 2, 2, 2, 2, 2}};
  const auto values = values_of(a);
  EXPECT_NEAR(values[0], std::sqrt(27.0), 8 * epsilon<double>() * std::sqrt(27.0));
  EXPECT_LE(values[1], 3 * epsilon<double>() * values[0]);
}

TEST_P(SingularValues, OfOrthogonalColumnsNeedNoRotation) {
  Matrix a{4, 4, std::vector<double>(16)};
  for (int i = 0; i < 4; ++i)
    a.at(i, (i + 1) % 4) = std::array{2.0, -8.0, 0.5, 4.0}[static_cast<std::size_t>(i)];
  const Result result = compute({a});
  EXPECT_EQ(result.values.front(), (std::vector<double>{8, 4, 2, 0.5}));
  EXPECT_EQ(result.sweeps.front(), 1);
}

/// Angles that are wrong by a little still lead to the right values, but late.
TEST_P(SingularValues, TakeFewSweeps) {
  std::mt19937_64 random(17);
  std::vector<Matrix> matrices;
  for (int i = 0; i < 16; ++i) matrices.push_back(random_matrix(20, 20, random));
  for (const std::int32_t sweeps : compute(matrices).sweeps) EXPECT_LE(sweeps, 10);
  // Of rank 5: what is left of the other columns is rounding.
  for (Matrix& matrix : matrices) {
    const Matrix left = random_matrix(20, 5, random);
    const Matrix right = random_matrix(5, 20, random);
    for (std::int64_t r = 0; r < 20; ++r) {
      for (std::int64_t c = 0; c < 20; ++c) {
        matrix.at(r, c) = 0;
        for (std::int64_t k = 0; k < 5; ++k) matrix.at(r, c) += left.at(r, k) * right.at(k, c);
      }
    }
  }
  for (const std::int32_t sweeps : compute(matrices).sweeps) {
    EXPECT_GT(sweeps, 0);
    EXPECT_LE(sweeps, 20);
  }
}

/// Floats are converted, not computed with: the values are those of the rounded matrix.
TEST_P(SingularValues, OfFloatsAreComputedInDouble) {
  std::mt19937_64 random(test_seed());
  Matrix a = random_matrix(20, 20, random);
  for (double& x : a.entries) x = static_cast<double>(static_cast<float>(x));
  const Matrix b = random_matrix(1, 1, random);
  EXPECT_EQ(compute<float>({a}).values, compute<double>({a}).values);
}

TEST_P(SingularValues, NotFiniteSlotIsNanAndAlone) {
  std::mt19937_64 random(test_seed());
  std::vector<Matrix> matrices;
  for (int s = 0; s < 4; ++s) matrices.push_back(random_matrix(9, 12, random));
  const Result good = compute(matrices);
  matrices[1].at(8, 11) = std::numeric_limits<double>::quiet_NaN();
  matrices[2].at(0, 0) = -std::numeric_limits<double>::infinity();
  const Result bad = compute(matrices);
  for (const std::size_t s : {1u, 2u}) {
    for (const double value : bad.values[s]) EXPECT_TRUE(std::isnan(value));
    EXPECT_EQ(bad.sweeps[s], 0);
  }
  EXPECT_EQ(bad.values[0], good.values[0]);
  EXPECT_EQ(bad.values[3], good.values[3]);
}

// Neighbours that are graded, deficient or done sooner: not a bit of values or vectors.
TEST_P(SingularValues, DependOnTheirSlotAlone) {
  std::mt19937_64 random(test_seed());
  for (const int size : {12, 20}) {
    std::vector<Matrix> matrices;
    for (int s = 0; s < (emulated() ? 5 : 41); ++s) {
      matrices.push_back(random_matrix(size, size, random));
      Matrix& m = matrices.back();
      for (std::int64_t r = 0; r < size; ++r) {
        for (std::int64_t c = 0; c < size; ++c) {
          if (s % 7 == 3) m.at(r, c) *= std::pow(10.0, -static_cast<double>(2 * c));
          if (s % 7 == 4 && c > 2) m.at(r, c) = m.at(r, c % 3);
          if (s % 7 == 5 && (r + c) % 2 == 0) m.at(r, c) = -0.0;
          if (s % 7 == 6) m.at(r, c) = r == c ? 1.0 + static_cast<double>(r) : 0.0;
        }
      }
    }
    const auto together = decompose(matrices);
    for (std::size_t s = 0; s < matrices.size(); ++s) {
      SCOPED_TRACE("matrix " + std::to_string(s));
      const auto alone = decompose({matrices[s]}).front();
      EXPECT_TRUE(same_bits(alone.values, together[s].values));
      EXPECT_TRUE(same_bits(alone.u.entries, together[s].u.entries));
      EXPECT_TRUE(same_bits(alone.v.entries, together[s].v.entries));
    }
  }
}

TEST_P(SingularValues, FirstFewAreThoseOfAll) {
  std::mt19937_64 random(test_seed());
  const std::vector<Matrix> matrices = {random_matrix(10, 14, random),
                                        random_matrix(10, 14, random)};
  const Result all = compute(matrices);
  const Result few = compute(matrices, 3);
  for (std::size_t s = 0; s < 2; ++s) {
    EXPECT_EQ(few.values[s], std::vector<double>(all.values[s].begin(), all.values[s].begin() + 3));
  }
}

TEST_P(SingularValues, SayWhenSweepsDoNotSuffice) {
  std::mt19937_64 random(test_seed());
  const Matrix a = random_matrix(20, 20, random);
  const Result result = compute({a}, -1, 1);
  EXPECT_EQ(result.sweeps.front(), -1);
  // Rotations keep the sum of squares, converged or not.
  double squares = 0;
  double norm2 = 0;
  for (const double value : result.values.front()) squares += value * value;
  for (const double x : a.entries) norm2 += x * x;
  EXPECT_NEAR(squares, norm2, 400 * epsilon<double>() * norm2);
}

/// A A^T u = s_1^2 u at either orientation, also where the matrix is graded or tiny.
TEST_P(SingularValues, HaveTheFirstLeftVector) {
  std::mt19937_64 random(test_seed());
  std::vector<std::pair<int, int>> sizes = {{1, 1},   {1, 7},   {7, 1},   {3, 2},  {2, 3},
                                            {20, 20}, {33, 12}, {12, 33}, {9, 70}, {70, 9}};
  if (!emulated()) sizes.emplace_back(130, 129);
  for (const auto& [rows, cols] : sizes) {
    for (const double unit : {1.0, 1e-200}) {
      Matrix a = random_matrix(rows, cols, random);
      for (int c = 0; c < cols; ++c) {
        for (int r = 0; r < rows; ++r) a.at(r, c) *= unit * std::pow(10.0, -(c * 5 % 7));
      }
      const std::int64_t slots = 3;  // the second is not finite
      std::vector<double> host = a.entries;
      host.insert(host.end(), a.entries.begin(), a.entries.end());
      host.back() = std::numeric_limits<double>::quiet_NaN();
      host.insert(host.end(), a.entries.begin(), a.entries.end());
      const auto device = to_device(executor(), host);
      const std::int64_t count = std::min(rows, cols);
      const Buffer<double> values(executor(), slots * count);
      const auto left = to_device(
          executor(), std::vector<double>(static_cast<std::size_t>(slots * (rows + 2)), -7));
      const Buffer<double> workspace(executor(), slots * singular_values_workspace(rows, cols));
      singular_values(executor(), SingularValuesArgs<double>{
                                      .a = {device.data(), slots, rows, cols, rows * cols, cols},
                                      .values = values.data(),
                                      .values_count = 1,
                                      .values_stride = count,
                                      .workspace = workspace.data(),
                                      .left = left.data(),
                                      .left_stride = rows + 2});
      const auto all = left.download();
      const double s = values.download().front();
      const std::vector<double> u(all.begin(), all.begin() + rows);
      EXPECT_EQ(std::vector<double>(all.begin() + 2 * (rows + 2), all.begin() + 3 * rows + 4), u);
      EXPECT_EQ(all[static_cast<std::size_t>(rows)], -7);
      EXPECT_EQ(all[static_cast<std::size_t>(rows + 1)], -7);
      for (int r = 0; r < rows; ++r) {
        EXPECT_TRUE(std::isnan(all[static_cast<std::size_t>(rows + 2 + r)]));
      }
      std::vector<double> right(static_cast<std::size_t>(cols));  // A^T u / s_1
      double length2 = 0;
      for (int r = 0; r < rows; ++r) {
        length2 += u[static_cast<std::size_t>(r)] * u[static_cast<std::size_t>(r)];
        for (int c = 0; c < cols; ++c) {
          right[static_cast<std::size_t>(c)] += a.at(r, c) / s * u[static_cast<std::size_t>(r)];
        }
      }
      const double bound = 16 * std::max(rows, cols) * epsilon<double>();
      EXPECT_NEAR(length2, 1, bound) << rows << "x" << cols;
      for (int r = 0; r < rows; ++r) {
        double product = 0;
        for (int c = 0; c < cols; ++c)
          product += a.at(r, c) / s * right[static_cast<std::size_t>(c)];
        EXPECT_NEAR(product, u[static_cast<std::size_t>(r)], bound) << rows << "x" << cols;
      }
    }
  }
}

/// |a^T b - identity|, but for columns of value 0, which are 0.
double from_orthonormal(const Matrix& m, const std::vector<double>& values) {
  double worst = 0;
  for (std::int64_t i = 0; i < m.cols; ++i) {
    for (std::int64_t j = 0; j < m.cols; ++j) {
      double sum = 0;
      for (std::int64_t r = 0; r < m.rows; ++r) sum += m.at(r, i) * m.at(r, j);
      const bool one = i == j && values[static_cast<std::size_t>(i)] > 0;
      worst = std::max(worst, std::fabs(sum - (one ? 1.0 : 0.0)));
    }
  }
  return worst;
}

TEST_P(SingularValues, HaveAllVectors) {
  std::mt19937_64 random(test_seed());
  std::vector<std::pair<int, int>> sizes = {{1, 1},   {1, 6},  {6, 1},  {2, 2},
                                            {20, 20}, {9, 33}, {33, 9}, {17, 16}};
  if (!emulated()) sizes.insert(sizes.end(), {{64, 64}, {65, 65}, {70, 130}, {300, 40}});
  for (const auto& [rows, cols] : sizes) {
    SCOPED_TRACE(std::to_string(rows) + "x" + std::to_string(cols));
    std::vector<Matrix> matrices;
    for (int s = 0; s < (emulated() ? 3 : 7); ++s) {
      matrices.push_back(random_matrix(rows, cols, random));
      Matrix& m = matrices.back();
      for (std::int64_t r = 0; r < rows; ++r) {
        // Graded by rows, by columns, a zero column, equal columns.
        for (std::int64_t c = 0; c < cols; ++c) {
          if (s == 1) m.at(r, c) *= std::pow(10.0, -static_cast<double>(c));
          if (s == 2) m.at(r, c) *= std::pow(10.0, -static_cast<double>(r));
          if (s == 3 && c == cols / 2) m.at(r, c) = 0;
          if (s == 4 && c > 0) m.at(r, c) = m.at(r, 0);
          if (s == 5) m.at(r, c) *= 1e-200;
        }
      }
    }
    const auto found = decompose(matrices);
    for (std::size_t s = 0; s < matrices.size(); ++s) {
      SCOPED_TRACE("matrix " + std::to_string(s));
      const Matrix& m = matrices[s];
      const auto& [values, u, v] = found[s];
      EXPECT_EQ(values, compute({m}).values.front()) << "vectors change no value";
      const double eps = 2.3e-16 * 8 * std::max(rows, cols);
      EXPECT_LT(from_orthonormal(u, values), eps);
      EXPECT_LT(from_orthonormal(v, values), eps);
      for (std::int64_t r = 0; r < rows; ++r) {
        for (std::int64_t c = 0; c < cols; ++c) {
          double sum = 0;
          for (std::size_t i = 0; i < values.size(); ++i) {
            const auto at = static_cast<std::int64_t>(i);
            sum += u.at(r, at) * values[i] * v.at(c, at);
          }
          // Small relative to the graded side's column (or row): that is what keeps tiny values.
          double size = 0;
          for (std::int64_t i = 0; i < rows && s == 1; ++i)
            size = std::max(size, std::fabs(m.at(i, c)));
          for (std::int64_t i = 0; i < cols && s == 2; ++i)
            size = std::max(size, std::fabs(m.at(r, i)));
          if (s != 1 && s != 2) size = values.front();
          const bool square = rows == cols;  // else the shorter side is rotated
          if (!square) size = values.front();
          ASSERT_LE(std::fabs(sum - m.at(r, c)), eps * size) << r << ", " << c;
        }
      }
    }
  }
}

TEST_P(SingularValues, OfASlotThatIsNotFiniteHaveNoVectors) {
  std::mt19937_64 random(test_seed());
  std::vector<Matrix> matrices(6, random_matrix(5, 4, random));
  const auto alone = decompose({matrices.front()});
  matrices[1].at(2, 3) = INFINITY;
  matrices[4].at(0, 0) = NAN;
  const auto found = decompose(matrices);
  for (std::size_t s = 0; s < matrices.size(); ++s) {
    for (std::int64_t r = 0; r < 5; ++r) {
      for (std::int64_t c = 0; c < 4; ++c) {
        if (s == 1 || s == 4) {
          EXPECT_TRUE(std::isnan(found[s].u.at(r, c)));
        } else {
          EXPECT_EQ(found[s].u.at(r, c), alone[0].u.at(r, c));
        }
      }
    }
  }
}

TEST_P(SingularValues, OfZeroHaveNoLeftVector) {
  const auto a = to_device(executor(), std::vector<double>(12));
  for (const auto& [rows, cols] : {std::pair{4, 3}, {3, 4}}) {
    const Buffer<double> values(executor(), 3);
    const auto left = to_device(executor(), std::vector<double>(4));
    const Buffer<double> workspace(executor(), 12);
    singular_values(executor(), SingularValuesArgs<double>{.a = {a.data(), 1, rows, cols, 12, cols},
                                                           .values = values.data(),
                                                           .values_count = 3,
                                                           .values_stride = 3,
                                                           .workspace = workspace.data(),
                                                           .left = left.data(),
                                                           .left_stride = rows});
    const auto u = left.download();
    for (int r = 0; r < rows; ++r) EXPECT_TRUE(std::isnan(u[static_cast<std::size_t>(r)]));
  }
}

/// Columns of a Householder reflector times d_c, or the transpose: the singular values are the d_c.
Matrix reflected(std::int64_t rows, std::int64_t cols, const std::vector<double>& d,
                 std::mt19937_64& random) {
  const bool tall = rows >= cols;
  std::vector<double> v = random_vector<double>(std::max(rows, cols), random);
  double norm2 = 0;
  for (const double x : v) norm2 += x * x;
  Matrix a{rows, cols, std::vector<double>(static_cast<std::size_t>(rows * cols))};
  for (std::int64_t r = 0; r < rows; ++r) {
    for (std::int64_t c = 0; c < cols; ++c) {
      const double entry = (r == c ? 1.0 : 0.0) - 2 * v[static_cast<std::size_t>(r)] *
                                                      v[static_cast<std::size_t>(c)] / norm2;
      a.at(r, c) = entry * d[static_cast<std::size_t>(tall ? c : r)];
    }
  }
  return a;
}

/// Beyond the sizes of singular_methods.hpp, where LAPACK and cuSOLVER take over: LAPACK's Jacobi
/// is as accurate on graded columns as ours.
TEST_P(SingularValues, OfLargeMatricesComeFromTheLibrary) {
  std::mt19937_64 random(test_seed());
  const bool cpu = executor().device().kind == "cpu";
  const std::int64_t count = (cpu ? cpu_singular_columns : gpu_singular_columns) + 1;
  for (const auto& [rows, cols] : {std::pair{count + 5, count}, {count, count + 2}}) {
    SCOPED_TRACE(std::to_string(rows) + "x" + std::to_string(cols));
    std::vector<double> d(static_cast<std::size_t>(count));
    for (std::size_t i = 0; i < d.size(); ++i) {
      const auto place = static_cast<double>((i * 7 + 3) % d.size());
      d[i] = std::pow(10.0, -25 * place / static_cast<double>(d.size() - 1));
    }
    d[10] = 0;
    const Matrix a = reflected(rows, cols, d, random);
    std::sort(d.rbegin(), d.rend());
    std::vector<double> host = a.entries;
    host.insert(host.end(), a.entries.begin(), a.entries.end());
    host[5] = std::numeric_limits<double>::infinity();
    const auto device = to_device(executor(), host);
    const Buffer<double> values(executor(), 2 * count);
    const Buffer<double> left(executor(), 2 * rows);
    const Buffer<double> u(executor(), 2 * rows * count);
    const Buffer<double> v(executor(), 2 * cols * count);
    const Buffer<std::int32_t> sweeps(executor(), 2);
    const Buffer<double> workspace(executor(), 2 * singular_values_workspace(rows, cols, true));
    SingularValuesArgs<double> args{.a = {device.data(), 2, rows, cols, rows * cols, cols},
                                    .values = values.data(),
                                    .values_count = count,
                                    .values_stride = count,
                                    .sweeps = sweeps.data(),
                                    .workspace = workspace.data(),
                                    .left = left.data(),
                                    .left_stride = rows,
                                    .u = {u.data(), 2, rows, count, rows * count, count},
                                    .v = {v.data(), 2, cols, count, cols * count, count}};
    singular_values(executor(), args);
    EXPECT_EQ(sweeps.download(), (std::vector<std::int32_t>{0, 1}));
    const auto found = values.download();
    const auto first_left = left.download();
    const auto us = u.download();
    const auto vs = v.download();
    for (std::int64_t i = 0; i < count; ++i) {
      EXPECT_TRUE(std::isnan(found[static_cast<std::size_t>(i)]));
      const double expected = d[static_cast<std::size_t>(i)];
      const double bound =
          cpu ? 1e-12 * expected : 8 * static_cast<double>(count) * epsilon<double>();
      EXPECT_NEAR(found[static_cast<std::size_t>(count + i)], expected, bound) << i;
    }
    EXPECT_TRUE(std::isnan(us.front()) && std::isnan(vs.front()) && std::isnan(first_left.front()));
    // A v_j = s_j u_j, both of length 1.
    const double rounding = 16 * static_cast<double>(count) * epsilon<double>();
    for (const std::int64_t j : {std::int64_t{0}, count / 2, count - 2}) {
      double u2 = 0;
      double v2 = 0;
      const auto u_at = [&](std::int64_t r) {
        return us[static_cast<std::size_t>((rows + r) * count + j)];
      };
      const auto v_at = [&](std::int64_t c) {
        return vs[static_cast<std::size_t>((cols + c) * count + j)];
      };
      for (std::int64_t r = 0; r < rows; ++r) {
        double sum = 0;
        for (std::int64_t c = 0; c < cols; ++c) sum += a.at(r, c) * v_at(c);
        EXPECT_NEAR(sum, found[static_cast<std::size_t>(count + j)] * u_at(r), rounding);
        u2 += u_at(r) * u_at(r);
        if (j == 0) {
          EXPECT_NEAR(first_left[static_cast<std::size_t>(rows + r)], u_at(r), rounding);
        }
      }
      for (std::int64_t c = 0; c < cols; ++c) v2 += v_at(c) * v_at(c);
      EXPECT_NEAR(v2, 1, rounding) << j;
      EXPECT_NEAR(u2, 1, rounding) << j;
    }
    for (std::int64_t r = 0; cpu && r < rows; ++r) {  // of the value 0
      EXPECT_EQ(us[static_cast<std::size_t>((rows + r) * count + count - 1)], 0);
    }
    if (cpu) continue;
    EXPECT_THROW(
        (void)executor().record({nullptr, 2}, 1, [&] { singular_values(executor(), args); }),
        std::logic_error);
    EXPECT_TRUE(singular_values_wait(rows, cols));
  }
}

TEST_P(SingularValues, RejectWhatTheyCannotTake) {
  const Buffer<double> memory(executor(), 64);
  SingularValuesArgs<double> args;
  args.a = {memory.data(), 1, 3, 4, 12, 4};
  args.values = memory.data();
  args.values_count = 3;
  args.values_stride = 3;
  EXPECT_THROW(singular_values(executor(), args), std::invalid_argument) << "no workspace";
  args.workspace = memory.data();
  args.values_count = -1;
  EXPECT_THROW(singular_values(executor(), args), std::invalid_argument) << "-1 values";
  args.values_count = 3;
  args.u = {memory.data(), 1, 3, 4, 12, 4};
  EXPECT_THROW(singular_values(executor(), args), std::invalid_argument) << "u of 4 columns";
  args.u = {};
  args.values_count = 3;
  args.workspace_stride = 10;
  EXPECT_THROW(singular_values(executor(), args), std::invalid_argument) << "workspaces overlap";
  args.workspace_stride = 0;
  args.a.slots = 2;
  args.values_stride = 2;
  EXPECT_THROW(singular_values(executor(), args), std::invalid_argument) << "values overlap";
  args.a.rows = 0;
  EXPECT_THROW(singular_values(executor(), args), std::invalid_argument) << "no rows";
  args.a.rows = std::int64_t{1} << 29;
  EXPECT_THROW(singular_values(executor(), args), std::invalid_argument) << "too many entries";
}

MANYFOLD_ON_EVERY_DEVICE(SingularValues);

}  // namespace
}  // namespace manyfold::kernels
