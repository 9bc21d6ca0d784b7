// Draws targets and masks.
#include "models/factorization/problem.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>

#include "core/data/digits.hpp"
#include "core/random/philox.hpp"
#include "models/factorization/haar.hpp"
#include "models/factorization/shape.hpp"

namespace manyfold::factorization {
namespace {

constexpr std::uint64_t stream_left = random_stream("problem/target/left");
constexpr std::uint64_t stream_right = random_stream("problem/target/right");
constexpr std::uint64_t stream_entries = random_stream("problem/target/entries");
constexpr std::uint64_t stream_images = random_stream("problem/target/images");
constexpr std::uint64_t stream_mask = random_stream("problem/mask");

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

/// Q S Q^T, or Q_1 S Q_2^T where the target need not be symmetric.
std::vector<double> low_rank(const Settings& settings, const TargetSize& size, std::uint64_t seed) {
  const std::vector<double> values = settings.numbers("objective.target.singular_values");
  const auto rank = static_cast<std::int64_t>(values.size());
  if (rank > std::min(size.rows, size.cols)) {
    settings.reject("objective.target.singular_values", std::to_string(rank) + " values",
                    "at most min(rows, cols) = " + std::to_string(std::min(size.rows, size.cols)));
  }
  const bool symmetric = settings.boolean("objective.symmetric");
  const auto left = haar_frame(size.rows, rank, seed, stream_left);
  const auto right = symmetric ? left : haar_frame(size.cols, rank, seed, stream_right);
  std::vector<double> target(at(size.rows * size.cols), 0.0);
  for (std::int64_t i = 0; i < size.rows; ++i) {
    for (std::int64_t j = 0; j < size.cols; ++j) {
      double sum = 0;
      for (std::int64_t r = 0; r < rank; ++r) {
        // The product of the two vectors first: it commutes, so a symmetric target is so bitwise.
        sum += values[at(r)] * (left[at(i * rank + r)] * right[at(j * rank + r)]);
      }
      target[at(i * size.cols + j)] = sum;
    }
  }
  return target;
}

/// N(0, 1) entries; symmetric: (Z + Z^T) / 2.
std::vector<double> gaussian(const Settings& settings, const TargetSize& size, std::uint64_t seed) {
  std::vector<double> target(at(size.rows * size.cols));
  for (std::size_t i = 0; i < target.size(); ++i)
    target[i] = normal_double(seed, stream_entries, i);
  if (settings.boolean("objective.symmetric")) {
    for (std::int64_t i = 0; i < size.rows; ++i) {
      for (std::int64_t j = 0; j < i; ++j) {
        const double mean = (target[at(i * size.cols + j)] + target[at(j * size.cols + i)]) / 2;
        target[at(i * size.cols + j)] = target[at(j * size.cols + i)] = mean;
      }
    }
  }
  return target;
}

/// The first `rows` images of an order shuffled by the problem's seed, one image a row.
std::vector<double> digit_rows(const Settings& settings, const TargetSize& size,
                               std::uint64_t seed) {
  const Digits& all = digits();
  if (size.rows > all.count()) {
    settings.reject("objective.target.rows", std::to_string(size.rows),
                    "at most the " + std::to_string(all.count()) + " images there are");
  }
  if (settings.boolean("objective.symmetric")) {
    settings.reject("objective.symmetric", "true with images as rows",
                    "false: this target is not symmetric");
  }
  std::vector<std::int64_t> order(at(all.count()));
  std::iota(order.begin(), order.end(), std::int64_t{0});
  for (std::int64_t i = 0; i < size.rows; ++i) {  // Fisher-Yates, as far as it is needed
    const double u = uniform_double(seed, stream_images, static_cast<std::uint64_t>(i));
    const auto left = static_cast<double>(all.count() - i);
    const auto pick = std::min(all.count() - 1, i + static_cast<std::int64_t>(u * left));
    std::swap(order[at(i)], order[at(pick)]);
  }
  std::vector<double> target;
  target.reserve(at(size.rows * size.cols));
  for (std::int64_t i = 0; i < size.rows; ++i) {
    const auto first = all.images.begin() + order[at(i)] * Digits::pixels;
    target.insert(target.end(), first, first + Digits::pixels);
  }
  return target;
}

void scale_to_norm(std::vector<double>& target, double norm) {
  double square = 0;
  for (const double x : target) square += x * x;
  const double factor = norm / std::sqrt(square);
  for (double& x : target) x *= factor;
}

std::vector<std::uint8_t> draw_mask(const Settings& settings, const TargetSize& size,
                                    std::uint64_t seed) {
  const double observed = settings.number("objective.observed");
  const bool symmetric = settings.boolean("objective.symmetric");
  std::vector<std::uint8_t> mask(at(size.rows * size.cols));
  for (std::int64_t i = 0; i < size.rows; ++i) {
    for (std::int64_t j = 0; j < size.cols; ++j) {
      const std::int64_t a = symmetric ? std::max(i, j) : i;  // one draw for a pair
      const std::int64_t b = symmetric ? std::min(i, j) : j;
      const double u =
          uniform_double(seed, stream_mask, static_cast<std::uint64_t>(a * size.cols + b));
      mask[at(i * size.cols + j)] = u < observed ? 1 : 0;
    }
  }
  if (std::none_of(mask.begin(), mask.end(), [](std::uint8_t seen) { return seen != 0; })) {
    settings.reject("objective.observed", to_toml(observed) + ", which observes no entry",
                    "a larger share, or another problem.seed");
  }
  return mask;
}

}  // namespace

void add_problem_keys(Spec& spec) {
  spec.add({.path = "objective.kind",
            .type = Type::text,
            .doc = "completion: f(W) = 1/2 sum over observed entries of (W - M)^2; full: over all "
                   "entries.",
            .required = true,
            .choices = {"completion", "full"},
            .when = for_factorizations()});
  spec.add({.path = "objective.observed",
            .type = Type::number,
            .doc = "Probability that an entry (a pair of entries, if symmetric) is observed.",
            .required = true,
            .min = 0,
            .max = 1,
            .min_exclusive = true,
            .when = for_factorizations({{"objective.kind", {"completion"}}})});
  spec.add({.path = "objective.test_on",
            .type = Type::text,
            .doc = "Entries that test loss and test error look at.",
            .default_value = "unobserved",
            .choices = {"unobserved", "all"},
            .when = for_factorizations({{"objective.kind", {"completion"}}})});
  spec.add({.path = "objective.symmetric",
            .type = Type::boolean,
            .doc = "Target and mask are symmetric, and an orthogonal start is too.",
            .default_value = false,
            .when = for_factorizations()});
  spec.add({.path = "objective.target.kind",
            .type = Type::text,
            .doc = "low_rank: random orthonormal vectors and given singular values; gaussian: "
                   "N(0, 1) entries; digits: real 8x8 images of handwritten digits, one a row.",
            .required = true,
            .choices = {"low_rank", "gaussian", "digits"},
            .when = for_factorizations()});
  const std::vector<Condition> drawn =
      for_factorizations({{"objective.target.kind", {"low_rank", "gaussian"}}});
  spec.add({.path = "objective.target.size",
            .type = Type::integer,
            .doc = "Rows and columns of a square target.",
            .min = 1,
            .max = largest_size,
            .when = drawn});
  spec.add({.path = "objective.target.rows",
            .type = Type::integer,
            .doc =
                "Rows of the target; for digits, the number of images, taken in an order shuffled "
                "by problem.seed.",
            .min = 1,
            .max = largest_size,
            .when = for_factorizations()});
  spec.add({.path = "objective.target.cols",
            .type = Type::integer,
            .doc = "Columns of the target.",
            .min = 1,
            .max = largest_size,
            .when = drawn});
  spec.add({.path = "objective.target.singular_values",
            .type = Type::number | Type::numbers,
            .doc = "Singular values of the target; their number is its rank.",
            .required = true,
            .min = 0,
            .min_exclusive = true,
            .when = for_factorizations({{"objective.target.kind", {"low_rank"}}})});
  spec.add({.path = "objective.target.norm",
            .type = Type::number,
            .doc = "Scales the target to this Frobenius norm.",
            .min = 0,
            .min_exclusive = true,
            .when = for_factorizations()});
}

Problem make_problem(const Settings& settings) {
  const TargetSize size = target_size(settings);
  const auto seed = static_cast<std::uint64_t>(settings.integer("problem.seed"));
  const std::string& kind = settings.text("objective.target.kind");
  if (settings.boolean("objective.symmetric") && size.rows != size.cols) {
    settings.reject(
        "objective.symmetric",
        "true with a target of " + std::to_string(size.rows) + "x" + std::to_string(size.cols),
        "a square target");
  }
  Problem problem{.rows = size.rows, .cols = size.cols, .target = {}, .mask = {}};
  if (kind == "low_rank") problem.target = low_rank(settings, size, seed);
  if (kind == "gaussian") problem.target = gaussian(settings, size, seed);
  if (kind == "digits") problem.target = digit_rows(settings, size, seed);
  if (settings.has("objective.target.norm")) {
    scale_to_norm(problem.target, settings.number("objective.target.norm"));
  }
  if (settings.text("objective.kind") == "completion") {
    problem.mask = draw_mask(settings, size, seed);
  }
  return problem;
}

std::string problem_key(const Settings& settings) {
  std::string key = to_toml(settings.value("problem.seed"));
  for (const char* path :
       {"objective.kind", "objective.symmetric", "objective.observed", "objective.test_on",
        "objective.target.kind", "objective.target.size", "objective.target.rows",
        "objective.target.cols", "objective.target.norm", "objective.target.singular_values"}) {
    key += '|';
    if (settings.has(path)) key += to_toml(settings.value(path));
  }
  return key;
}

}  // namespace manyfold::factorization
