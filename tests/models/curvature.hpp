// Curvature matrices of one member by two ways: column by column from exact products, and by
// central differences of gradients or outputs; their eigenvalues by LAPACK.
#pragma once

#include <algorithm>
#include <cmath>
#include <string>
#include <variant>
#include <vector>

#include <lapacke.h>

#include "models/curvature/product.hpp"
#include "tests/models/bench.hpp"

namespace manyfold::testing {

/// Square and row-major.
struct Dense {
  std::size_t n = 0;
  std::vector<double> values;
  double at(std::size_t i, std::size_t j) const { return values[i * n + j]; }
  double norm() const { return norm_of(values); }
};

/// Column i from products with unit vectors, one in each slot.
inline Dense products(Executor& device, const std::string& toml, CurvatureMatrix matrix,
                      const std::vector<double>& at = {}) {
  const std::size_t n = Bench(device, toml, 1).parameters(0).size();
  const auto count = static_cast<std::int64_t>(n);
  Bench bench(device, toml, count);
  for (std::int64_t i = 0; !at.empty() && i < count; ++i) bench.set_parameters(i, at);
  bench.evaluate();
  const std::vector<double> gradient = bench.gradient(count - 1);
  Dense dense{n, std::vector<double>(n * n)};
  std::visit(
      [&]<class T>(CurvatureProduct<T>* product) {
        ASSERT_NE(product, nullptr);
        std::vector<T> units(n * n, T(0));
        for (std::size_t i = 0; i < n; ++i) units[i * n + i] = 1;
        Buffer<T> vectors(device, count * count);
        Buffer<T> columns(device, count * count);
        vectors.upload(units);
        columns.upload(std::vector<T>(n * n, T(NAN)));
        product->multiply(matrix, {vectors.data(), count, count, count},
                          {columns.data(), count, count, count});
        const std::vector<T> found = columns.download();
        for (std::size_t i = 0; i < n; ++i) {
          for (std::size_t j = 0; j < n; ++j) {
            dense.values[j * n + i] = static_cast<double>(found[i * n + j]);
          }
        }
      },
      bench.model().curvature());
  // A step that is watched goes on with the gradient that it has.
  EXPECT_TRUE(same_bits(bench.gradient(count - 1), gradient));
  return dense;
}

/// d out_k / d theta_i as out.size() rows of n, by central differences of what `of` reads of a
/// slot.
template <class Of>
std::vector<double> differences(Executor& device, const std::string& toml, const Of& of,
                                const std::vector<double>& at = {}) {
  const std::size_t n = Bench(device, toml, 1).parameters(0).size();
  const auto count = static_cast<std::int64_t>(n);
  Bench bench(device, toml, 2 * count);
  const std::vector<double> point = at.empty() ? bench.parameters(0) : at;
  constexpr double h = 1e-5;
  for (std::int64_t i = 0; i < count; ++i) {
    for (const int side : {-1, 1}) {
      std::vector<double> moved = point;
      moved[static_cast<std::size_t>(i)] += side * h;
      bench.set_parameters(2 * i + (side < 0 ? 0 : 1), moved);
    }
  }
  bench.evaluate();
  std::vector<double> rows;
  for (std::size_t i = 0; i < n; ++i) {
    const std::vector<double> low = of(bench, static_cast<std::int64_t>(2 * i));
    const std::vector<double> high = of(bench, static_cast<std::int64_t>(2 * i + 1));
    rows.resize(low.size() * n);
    for (std::size_t k = 0; k < low.size(); ++k) rows[k * n + i] = (high[k] - low[k]) / (2 * h);
  }
  return rows;
}
inline Dense hessian_by_differences(Executor& device, const std::string& toml) {
  const auto gradient = [](Bench& bench, std::int64_t slot) { return bench.gradient(slot); };
  Dense dense;
  dense.values = differences(device, toml, gradient);
  dense.n = static_cast<std::size_t>(std::lround(std::sqrt(dense.values.size())));
  return dense;
}

/// Ascending.
inline std::vector<double> eigenvalues(Dense dense) {
  const auto n = static_cast<int>(dense.n);
  std::vector<double> values(dense.n);
  EXPECT_EQ(LAPACKE_dsyev(LAPACK_ROW_MAJOR, 'N', 'U', n, dense.values.data(), n, values.data()), 0);
  return values;
}

/// What a probe says of every slot, one after the other.
inline std::vector<double> observed(Executor& device, Bench& bench, const std::string& probe,
                                    std::int64_t slots, std::int64_t width) {
  Buffer<double> out(device, slots * width);
  bench.model().observe(probe, out.data(), width);
  return out.download();
}

/// An experiment that ends in its [probes], with those of curvature.
inline std::string with_curvature(const std::string& toml, int steps = 400) {
  std::string text = toml;
  for (const char* probe : {"sharpness", "least_curvature", "gauss_newton_sharpness"}) {
    text +=
        std::string(probe) + " = { every = 5, lanczos_steps = " + std::to_string(steps) + " }\n";
  }
  return text;
}

inline double asymmetry(const Dense& a) {
  double most = 0;
  for (std::size_t i = 0; i < a.n; ++i) {
    for (std::size_t j = 0; j < i; ++j) most = std::max(most, std::abs(a.at(i, j) - a.at(j, i)));
  }
  return most;
}

/// Exact products are symmetric to rounding and the gradient's differences to 1e-7 of their norm;
/// with as many steps as parameters the probes are LAPACK's eigenvalues to 1e-8.
inline void expect_exact_curvature(Executor& device, const std::string& experiment) {
  const std::string toml = with_curvature(experiment);
  const Dense hessian = products(device, toml, CurvatureMatrix::hessian);
  const Dense gauss_newton = products(device, toml, CurvatureMatrix::gauss_newton);
  const double size = std::max(hessian.norm(), 1e-3);
  EXPECT_LT(asymmetry(hessian), 1e-13 * size);
  EXPECT_LT(asymmetry(gauss_newton), 1e-13 * std::max(gauss_newton.norm(), 1e-3));
  EXPECT_LT(distance(hessian.values, hessian_by_differences(device, toml).values), 1e-7 * size);

  Bench bench(device, toml, 2);
  EXPECT_EQ(bench.allocated(),
            bench.footprint().shared_bytes + 2 * bench.footprint().bytes_per_slot);
  // So many steps as parameters take long on fibers, and which products they make changes nothing.
  if (device.device().kind == "emulated" && hessian.n > 16) return;
  bench.evaluate();
  const auto expect_end = [&](const std::string& probe, double expected, double norm) {
    const std::vector<double> found = observed(device, bench, probe, 2, 2);
    for (const std::size_t slot : {0, 1}) {
      EXPECT_NEAR(found[2 * slot], expected, 1e-8 * norm) << probe;
      EXPECT_LT(found[2 * slot + 1], 1e-8 * norm) << probe;
      EXPECT_GE(found[2 * slot + 1], 0) << probe;
    }
  };
  expect_end("sharpness", eigenvalues(hessian).back(), size);
  expect_end("least_curvature", eigenvalues(hessian).front(), size);
  expect_end("gauss_newton_sharpness", eigenvalues(gauss_newton).back(),
             std::max(gauss_newton.norm(), 1e-3));
}

}  // namespace manyfold::testing
