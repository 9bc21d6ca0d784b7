// Names the arrays of a problem and of a start.
#include "models/factorization/drawn_data.hpp"

#include <cstdint>
#include <string>
#include <utility>

#include "models/factorization/problem.hpp"
#include "models/factorization/shape.hpp"
#include "models/factorization/start.hpp"

namespace manyfold::factorization {

std::vector<DrawnArray> drawn_data(const Settings& settings) {
  std::vector<DrawnArray> arrays;
  Problem problem = make_problem(settings);
  const std::int64_t rows = problem.rows;
  const std::int64_t cols = problem.cols;
  arrays.push_back({"target",
                    problem.kind == ObjectiveKind::linear ? "Q of f(W) = f_0 - <W, Q>"
                                                          : "the matrix M that W should become",
                    {.shape = {rows, cols}, .values = std::move(problem.target), .type = "f8"}});
  if (!problem.mask.empty()) {
    arrays.push_back({"mask",
                      "true where an entry is observed",
                      {.shape = {rows, cols},
                       .values = {problem.mask.begin(), problem.mask.end()},
                       .type = "b1"}});
  }
  if (problem.kind == ObjectiveKind::sensing) {
    const auto count = static_cast<std::int64_t>(problem.values.size());
    arrays.push_back(
        {"measurements",
         "the matrices A_i",
         {.shape = {count, rows, cols}, .values = std::move(problem.measurements), .type = "f8"}});
    arrays.push_back({"values",
                      "b_i, what <A_i, W> should become",
                      {.shape = {count}, .values = std::move(problem.values), .type = "f8"}});
  }
  const Shape shape = shape_of(settings);
  const std::vector<double> layers = start(settings, shape);
  arrays.push_back({"start",
                    "all initial parameters, W_1 first, each layer row by row",
                    {.shape = {shape.parameters()}, .values = layers, .type = "f8"}});
  for (std::int64_t h = 1; h <= shape.layers(); ++h) {
    const auto from = layers.begin() + shape.layer_offset(h);
    arrays.push_back({"W_" + std::to_string(h),
                      "initial layer " + std::to_string(h) + ", counted from the input",
                      {.shape = {shape.layer_rows(h), shape.layer_cols(h)},
                       .values = {from, from + shape.layer_size(h)},
                       .type = "f8"}});
  }
  return arrays;
}

}  // namespace manyfold::factorization
