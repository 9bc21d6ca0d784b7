#include "kernels/lanczos.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <stdexcept>
#include <vector>

#include <lapacke.h>

#include "kernels/add_scaled.hpp"
#include "kernels/inner_product.hpp"
#include "kernels/norms.hpp"
#include "tests/kernels/devices.hpp"

namespace manyfold::kernels {
namespace {

using namespace manyfold::test;

constexpr double nan = std::numeric_limits<double>::quiet_NaN();

class Lanczos : public DeviceTest {
 protected:
  /// Rows times a vector, and the vector less what they are times their coefficients.
  template <class T>
  void check_rows() {
    std::mt19937_64 random(test_seed());
    constexpr std::int64_t slots = 3;
    for (const std::int64_t rows : {1, 2, 7}) {
      for (const std::int64_t count : {1, 8, 33, 129, 1001}) {
        const std::int64_t row = count + 3;
        const std::int64_t stride = rows * row + 5;
        const auto x = random_vector<T>(slots * stride, random);
        const auto y = random_vector<T>(slots * row, random);
        const auto c = random_vector<double>(slots * 10, random);
        const auto on_x = to_device(executor(), x);
        const auto on_y = to_device(executor(), y);
        const auto on_c = to_device(executor(), c);
        const auto out = to_device(executor(), poisoned<double>(slots * 10));
        const MatrixBatch<const T> matrix{on_x.data(), slots, rows, count, stride, row};
        const VectorBatch<T> vector{on_y.data(), slots, count, row};
        inner_products<T>(executor(), {matrix, vector, out.data(), 10});
        for (std::int64_t r = 0; r < rows; ++r) {
          const auto one = to_device(executor(), poisoned<double>(slots));
          inner_product<T>(executor(),
                           {{on_x.data() + r * row, slots, count, stride}, vector, one.data(), 1});
          for (std::int64_t s = 0; s < slots; ++s) {
            EXPECT_EQ(out.download()[static_cast<std::size_t>(10 * s + r)],
                      one.download()[static_cast<std::size_t>(s)]);
          }
        }
        EXPECT_TRUE(std::isnan(out.download()[static_cast<std::size_t>(rows)]));

        subtract_rows<T>(executor(), {matrix, on_c.data(), 10, vector});
        std::vector<T> expected = y;
        for (std::int64_t s = 0; s < slots; ++s) {
          for (std::int64_t i = 0; i < count; ++i) {
            auto& to = expected[static_cast<std::size_t>(s * row + i)];
            double left = to;
            for (std::int64_t r = 0; r < rows; ++r) {
              const double product = c[static_cast<std::size_t>(10 * s + r)] *
                                     x[static_cast<std::size_t>(s * stride + r * row + i)];
              left -= product;
            }
            to = static_cast<T>(left);
          }
        }
        EXPECT_EQ(bits(on_y.download()), bits(expected)) << rows << " rows of " << count;
      }
    }
  }
};

TEST_P(Lanczos, RowsMatchOneByOneInDouble) { check_rows<double>(); }
TEST_P(Lanczos, RowsMatchOneByOneInFloat) { check_rows<float>(); }

/// Each slot's matrix has a length of its own; values against LAPACK's to a few roundings of the
/// norm, bounds against the last entries of its eigenvectors.
TEST_P(Lanczos, EndsOfTridiagonalMatricesMatchLapack) {
  std::mt19937_64 random(test_seed());
  for (const std::int64_t steps : {1, 2, 5, 40, 150}) {
    const std::int64_t slots = enough_slots(9, 7 * steps);
    std::vector<double> alpha = random_vector<double>(slots * steps, random);
    std::vector<double> beta = random_vector<double>(slots * steps, random);
    for (double& b : beta) b = std::abs(b);
    std::vector<std::int32_t> length;
    for (std::int64_t s = 0; s < slots; ++s) {
      length.push_back(static_cast<std::int32_t>(s % 3 == 0 ? steps : 1 + s % steps));
      const double size = std::pow(10.0, static_cast<double>(s % 5) * 40 - 80);
      for (std::int64_t j = 0; j < steps; ++j) {
        alpha[static_cast<std::size_t>(s * steps + j)] *= size;
        beta[static_cast<std::size_t>(s * steps + j)] *= s % 4 == 3 && j % 3 == 1 ? 0 : size;
      }
    }
    const auto on_alpha = to_device(executor(), alpha);
    const auto on_beta = to_device(executor(), beta);
    const auto on_length = to_device(executor(), length);
    const auto scratch = to_device(executor(), poisoned<double>(slots * 3 * steps));
    const auto out = to_device(executor(), poisoned<double>(slots * 5));
    ritz_ends(executor(), {.slots = slots,
                           .steps = steps,
                           .alpha = on_alpha.data(),
                           .beta = on_beta.data(),
                           .length = on_length.data(),
                           .scratch = scratch.data(),
                           .out = out.data(),
                           .out_stride = 5});
    const auto found = out.download();
    for (const std::int64_t s : some_slots(slots, random)) {
      const auto n = static_cast<int>(length[static_cast<std::size_t>(s)]);
      const auto first = static_cast<std::ptrdiff_t>(s * steps);
      std::vector<double> d(alpha.begin() + first, alpha.begin() + first + n);
      std::vector<double> e(beta.begin() + first, beta.begin() + first + n);
      const double last = e.back();
      double norm = 0;
      for (int i = 0; i < n; ++i) {
        norm = std::max(norm, std::abs(d[static_cast<std::size_t>(i)]) +
                                  2 * std::abs(e[static_cast<std::size_t>(i)]));
      }
      std::vector<double> z(static_cast<std::size_t>(n * n));
      ASSERT_EQ(LAPACKE_dstev(LAPACK_ROW_MAJOR, 'V', n, d.data(), e.data(), z.data(), n), 0);
      const double* mine = found.data() + 5 * s;
      const double tolerance = 8 * n * epsilon<double>() * norm;
      EXPECT_NEAR(mine[0], d.front(), tolerance);
      EXPECT_NEAR(mine[2], d.back(), tolerance);
      EXPECT_TRUE(std::isnan(mine[4]));
      // Entries of a vector are known to the norm over the gap.
      const auto expect_bound = [&](double bound, std::size_t at) {
        double gap = norm;
        for (std::size_t i = 0; i < d.size(); ++i) {
          if (i != at) gap = std::min(gap, std::abs(d[i] - d[at]));
        }
        const double entry = std::abs(z[static_cast<std::size_t>((n - 1) * n) + at]);
        EXPECT_GE(bound, 0);
        EXPECT_NEAR(bound, last * entry,
                    last * (16 * n * epsilon<double>() * norm / std::max(gap, 1e-300)));
      };
      expect_bound(mine[1], 0);
      expect_bound(mine[3], static_cast<std::size_t>(n - 1));
    }
  }
}

TEST_P(Lanczos, WhatIsNotFiniteIsNanInItsSlot) {
  constexpr std::int64_t slots = 6;
  std::vector<double> alpha{1, 2, 3, nan, 5, 6, 7, HUGE_VAL, 9, 10, 11, 12};
  std::vector<double> beta{1, 1, 1, 1, 1, -HUGE_VAL, 1, 1, 1, 1, 1, 1};
  std::vector<double> finite{0, 0, 0, 0, nan, 0};
  std::vector<std::int32_t> length{2, 2, 2, 2, 2, 0};
  const auto on_alpha = to_device(executor(), alpha);
  const auto on_beta = to_device(executor(), beta);
  const auto on_finite = to_device(executor(), finite);
  const auto on_length = to_device(executor(), length);
  const auto scratch = to_device(executor(), poisoned<double>(slots * 6));
  const auto out = to_device(executor(), std::vector<double>(slots * 4, 0.0));
  ritz_ends(executor(), {.slots = slots,
                         .steps = 2,
                         .alpha = on_alpha.data(),
                         .beta = on_beta.data(),
                         .length = on_length.data(),
                         .finite = on_finite.data(),
                         .scratch = scratch.data(),
                         .out = out.data()});
  const auto found = out.download();
  for (std::size_t i = 0; i < found.size(); ++i) EXPECT_EQ(std::isnan(found[i]), i >= 4) << i;
}

/// Slot 0 goes on, slot 1 ends at step 1 by a small beta, slot 2 by NaN, slot 3 by infinity, slot 4
/// by a zero matrix.
TEST_P(Lanczos, StepsEndWhereVectorsDo) {
  constexpr std::int64_t slots = 5;
  constexpr std::int64_t steps = 3;
  std::vector<double> projections(slots * 2 * steps);
  for (std::size_t i = 0; i < projections.size(); ++i)
    projections[i] = 0.25 * static_cast<double>(i);
  for (std::size_t i = 4 * 2 * steps; i < projections.size(); ++i) projections[i] = 0;
  const auto on_projections = to_device(executor(), projections);
  const auto norm2 = to_device(executor(), std::vector<double>(slots, 4.0));
  const auto alpha = to_device(executor(), poisoned<double>(slots * steps));
  const auto beta = to_device(executor(), poisoned<double>(slots * steps));
  const auto scale = to_device(executor(), poisoned<double>(slots));
  const auto length = to_device(executor(), std::vector<std::int32_t>(slots, -7));
  const auto ended = to_device(executor(), std::vector<std::int32_t>(slots, -7));
  LanczosStepArgs args{.slots = slots,
                       .steps = steps,
                       .step = -1,
                       .negligible = 1e-3,
                       .projections = on_projections.data(),
                       .norm2 = norm2.data(),
                       .alpha = alpha.data(),
                       .beta = beta.data(),
                       .length = length.data(),
                       .ended = ended.data(),
                       .scale = scale.data()};
  lanczos_step(executor(), args);
  EXPECT_EQ(scale.download(), std::vector<double>(slots, 0.5));
  EXPECT_EQ(length.download(), std::vector<std::int32_t>(slots, 0));
  args.step = 0;
  norm2.upload(std::vector<double>{16, 16, 16, 16, 0});
  lanczos_step(executor(), args);
  EXPECT_EQ(scale.download(), (std::vector<double>{0.25, 0.25, 0.25, 0.25, 0}));
  args.step = 1;
  const double small = 0.99e-3 * (4 + 0.25 * (2 * 6 + 3));  // of the largest, at step 0
  norm2.upload(std::vector<double>{64, small * small, nan, HUGE_VAL, 16});
  lanczos_step(executor(), args);
  EXPECT_EQ(scale.download(), (std::vector<double>{0.125, 0, 0, 0, 0}));
  args.step = 2;
  norm2.upload(std::vector<double>(slots, 1.0));
  lanczos_step(executor(), args);
  EXPECT_EQ(scale.download(), (std::vector<double>{1, 0, 0, 0, 0}));
  EXPECT_EQ(length.download(), (std::vector<std::int32_t>{3, 2, 2, 2, 1}));
  const auto a = alpha.download();
  const auto b = beta.download();
  for (std::size_t s = 0; s < 4; ++s) {
    for (std::size_t j = 0; j < (s == 0 ? 3U : 2U); ++j) {
      EXPECT_EQ(a[s * steps + j], projections[s * 6 + j] + projections[s * 6 + 3 + j]);
    }
    EXPECT_EQ(b[s * steps], 4);
    EXPECT_EQ(std::isnan(a[s * steps + 2]), s != 0);  // nothing is written beyond the end
  }
  EXPECT_EQ(b[1], 8);
  EXPECT_EQ(b[4], std::sqrt(small * small));
}

TEST_P(Lanczos, RejectsWhatDoesNotFit) {
  const auto buffer = to_device(executor(), std::vector<double>(100, 1.0));
  double* x = buffer.data();
  EXPECT_THROW(inner_products<double>(executor(), {{x, 2, 3, 4, 12, 4}, {x, 2, 5, 5}, x, 3}),
               std::invalid_argument);
  EXPECT_THROW(inner_products<double>(executor(), {{x, 2, 3, 4, 12, 4}, {x, 2, 4, 4}, x, 2}),
               std::invalid_argument);
  EXPECT_THROW(subtract_rows<double>(executor(), {{x, 2, 3, 4, 12, 4}, x, 3, {x, 1, 4, 4}}),
               std::invalid_argument);
  EXPECT_THROW(subtract_rows<double>(executor(), {{x, 2, 3, 4, 12, 4}, x, 3, {x, 2, 4, 0}}),
               std::invalid_argument);
  EXPECT_THROW(lanczos_step(executor(), {.slots = 1, .steps = 3, .step = 3}),
               std::invalid_argument);
  EXPECT_THROW(ritz_ends(executor(), {.slots = 2, .steps = 3, .out_stride = 3}),
               std::invalid_argument);
}

MANYFOLD_ON_EVERY_DEVICE(Lanczos);

}  // namespace
}  // namespace manyfold::kernels
