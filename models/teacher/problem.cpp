// Draws teachers on the host.
#include "models/teacher/problem.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include <fmt/format.h>

#include "core/random/philox.hpp"
#include "kernels/common/teacher.hpp"

namespace manyfold::teacher {
namespace {

constexpr double largest_size = 65536;

std::vector<Condition> for_teachers() { return {{"model.kind", {model_name}}}; }

double norm_of(const std::vector<double>& x) {
  return std::sqrt(std::inner_product(x.begin(), x.end(), x.begin(), 0.0));
}

std::vector<double> normals(std::int64_t count, std::uint64_t seed, std::uint64_t stream) {
  std::vector<double> x(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = normal_double(seed, stream, i);
  return x;
}

/// d: orthogonal to 1, of length 1. There is none of one entry.
std::vector<double> direction(const Settings& settings, std::int64_t patches, std::uint64_t seed) {
  std::vector<double> d;
  if (settings.text("teacher.direction") == "drawn") {
    d = normals(patches, seed, random_stream("teacher/a"));
  } else {
    for (std::int64_t i = 0; i < patches; ++i) d.push_back(i % 2 == 0 ? 1.0 : -1.0);
  }
  const double mean = std::accumulate(d.begin(), d.end(), 0.0) / static_cast<double>(patches);
  for (double& x : d) x -= mean;
  const double norm = norm_of(d);
  for (double& x : d) x /= norm;
  return d;
}

}  // namespace

void add_problem_keys(Spec& spec) {
  spec.add({.path = "model.filter",
            .type = Type::integer,
            .doc = "Entries p of the student's filter v.",
            .required = true,
            .min = 1,
            .max = largest_size,
            .when = for_teachers()});
  spec.add({.path = "model.patches",
            .type = Type::integer,
            .doc = "Patches k of the input, as many as the student has output weights a.",
            .required = true,
            .min = 1,
            .max = largest_size,
            .when = for_teachers()});
  spec.add({.path = "teacher.ratio",
            .type = Type::number,
            .doc = "(1.a*)^2 / ||a*||^2 of the teacher's output weights, at most model.patches; "
                   "||a*|| = ||w*|| = 1, and problem.seed draws w* uniformly.",
            .required = true,
            .min = 0,
            .when = for_teachers()});
  spec.add({.path = "teacher.direction",
            .type = Type::text,
            .doc =
                "The part of a* that is orthogonal to 1 points along (1, -1, 1, -1, ...) less its "
                "mean, or where problem.seed draws it.",
            .default_value = std::string("alternating"),
            .choices = {"alternating", "drawn"},
            .when = for_teachers()});
}

Shape shape_of(const Settings& settings) {
  return {settings.integer("model.filter"), settings.integer("model.patches")};
}

void validate_problem(const Settings& settings) {
  const auto patches = static_cast<double>(shape_of(settings).patches);
  const double ratio = settings.number("teacher.ratio");
  if (ratio > patches) {
    settings.reject("teacher.ratio", fmt::format("{} with {} patches", ratio, patches),
                    fmt::format("at most {}, where all entries of a* are equal", patches));
  }
  if (patches == 1 && ratio != 1) {
    settings.reject("teacher.ratio", fmt::format("{} with one patch", ratio), "1");
  }
}

Problem make_problem(const Settings& settings) {
  const Shape shape = shape_of(settings);
  const auto seed = static_cast<std::uint64_t>(settings.integer("problem.seed"));
  const auto patches = static_cast<double>(shape.patches);
  const double ratio = settings.number("teacher.ratio");
  Problem problem;
  problem.w = normals(shape.filter, seed, random_stream("teacher/w"));
  const double norm = norm_of(problem.w);  // no draw is 0, so neither is the norm
  for (double& x : problem.w) x /= norm;
  // sqrt(ratio / k) times 1 / sqrt(k)
  problem.a.assign(static_cast<std::size_t>(shape.patches), std::sqrt(ratio) / patches);
  if (ratio < patches) {
    const double across = std::sqrt(1 - ratio / patches);
    const std::vector<double> d = direction(settings, shape.patches, seed);
    for (std::size_t i = 0; i < d.size(); ++i) problem.a[i] += across * d[i];
  }
  problem.sum = std::accumulate(problem.a.begin(), problem.a.end(), 0.0);
  return problem;
}

std::string problem_key(const Settings& settings) {
  // Every key that is registered here, so that none can be forgotten.
  static const Spec spec = [] {
    Spec all;
    add_problem_keys(all);
    return all;
  }();
  std::string key = to_toml(settings.value("problem.seed"));
  for (const KeySpec& one : spec.keys()) key += '|' + to_toml(settings.value(one.path));
  return key;
}

std::vector<double> spurious_end(const Problem& problem) {
  std::vector<double> end;
  const double level =
      kernels::spurious_level(problem.sum, static_cast<std::int64_t>(problem.a.size()));
  for (const double x : problem.a) end.push_back(level - kernels::spurious_slope * x);
  return end;
}

}  // namespace manyfold::teacher
