// Draws or reads targets, masks and measurements.
#include "models/factorization/problem.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <stdexcept>
#include <string>

#include "core/data/digits.hpp"
#include "core/random/philox.hpp"
#include "core/random/shuffle.hpp"
#include "models/data/array_keys.hpp"
#include "models/factorization/best_rank.hpp"
#include "models/factorization/haar.hpp"
#include "models/factorization/shape.hpp"

namespace manyfold::factorization {
namespace {

constexpr std::uint64_t stream_left = random_stream("problem/target/left");
constexpr std::uint64_t stream_right = random_stream("problem/target/right");
constexpr std::uint64_t stream_entries = random_stream("problem/target/entries");
constexpr std::uint64_t stream_images = random_stream("problem/target/images");
constexpr std::uint64_t stream_mask = random_stream("problem/mask");
constexpr std::uint64_t stream_mask_order = random_stream("problem/mask/order");
constexpr std::uint64_t stream_measurements = random_stream("problem/measurements");
constexpr std::uint64_t stream_values = random_stream("problem/values");
constexpr std::uint64_t stream_noise = random_stream("problem/noise");

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

std::string size_text(std::int64_t rows, std::int64_t cols) {
  return std::to_string(rows) + "x" + std::to_string(cols);
}

/// "(2, 3)", counted from 0 as in the keys.
std::string entry_text(std::int64_t row, std::int64_t col) {
  return "(" + std::to_string(row) + ", " + std::to_string(col) + ")";
}

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

/// (Z + Z^T) / 2, of (n, n).
void symmetrize(double* matrix, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) {
    for (std::int64_t j = 0; j < i; ++j) {
      const double mean = (matrix[i * n + j] + matrix[j * n + i]) / 2;
      matrix[i * n + j] = matrix[j * n + i] = mean;
    }
  }
}

/// N(0, 1) entries; symmetric: (Z + Z^T) / 2.
std::vector<double> gaussian(const Settings& settings, const TargetSize& size, std::uint64_t seed) {
  std::vector<double> target(at(size.rows * size.cols));
  for (std::size_t i = 0; i < target.size(); ++i)
    target[i] = normal_double(seed, stream_entries, i);
  if (settings.boolean("objective.symmetric")) symmetrize(target.data(), size.rows);
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
  std::vector<double> target;
  target.reserve(at(size.rows * size.cols));
  for (const std::int64_t image : shuffled(all.count(), size.rows, seed, stream_images)) {
    const auto first = all.images.begin() + image * Digits::pixels;
    target.insert(target.end(), first, first + Digits::pixels);
  }
  return target;
}

/// mu I, also where there are more rows or columns than the other.
std::vector<double> scaled_identity(const Settings& settings, const TargetSize& size) {
  std::vector<double> target(at(size.rows * size.cols), 0.0);
  for (std::int64_t i = 0; i < std::min(size.rows, size.cols); ++i) {
    target[at(i * size.cols + i)] = settings.number("objective.target.scale");
  }
  return target;
}

std::vector<double> listed(const Settings& settings, const TargetSize& size) {
  std::vector<double> target = settings.numbers("objective.target.values");
  if (static_cast<std::int64_t>(target.size()) != size.rows * size.cols) {
    settings.reject("objective.target.values", std::to_string(target.size()) + " values",
                    std::to_string(size.rows * size.cols) + ", the entries of " +
                        size_text(size.rows, size.cols) + " row by row");
  }
  return target;
}

std::vector<double> from_file(const Settings& settings) {
  const ArrayMatrix matrix = matrix_of(settings, "objective.target");
  return {matrix.values, matrix.values + matrix.rows * matrix.cols};
}

/// Given matrices are what they are; drawn ones are symmetric by construction.
void expect_symmetric(const Settings& settings, const std::string& what,
                      const std::vector<double>& matrix, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) {
    for (std::int64_t j = 0; j < i; ++j) {
      const double lower = matrix[at(i * n + j)];
      const double upper = matrix[at(j * n + i)];
      if (lower == upper || (std::isnan(lower) && std::isnan(upper))) continue;
      settings.reject("objective.symmetric",
                      "true with a " + what + " whose entries " + entry_text(i, j) + " and " +
                          entry_text(j, i) + " differ",
                      "false, or a symmetric " + what);
    }
  }
}

void expect_finite(const Settings& settings, const char* key, const std::vector<double>& target,
                   std::int64_t cols, const std::vector<std::uint8_t>& mask) {
  for (std::size_t i = 0; i < target.size(); ++i) {
    if (std::isfinite(target[i]) || (!mask.empty() && mask[i] == 0)) continue;
    const auto place = static_cast<std::int64_t>(i);
    settings.reject(
        key, std::to_string(target[i]) + " at entry " + entry_text(place / cols, place % cols),
        "finite numbers wherever the objective looks");
  }
}

void scale_to_norm(const Settings& settings, std::vector<double>& target) {
  const double norm = settings.number("objective.target.norm");
  double square = 0;
  for (const double x : target) square += x * x;
  if (square == 0) {
    settings.reject("objective.target.norm", to_toml(norm) + " for a target of zeros",
                    "a target that is not zero");
  }
  const double factor = norm / std::sqrt(square);
  for (double& x : target) x *= factor;
}

std::vector<double> make_target(const Settings& settings, const TargetSize& size,
                                std::uint64_t seed) {
  const std::string& kind = settings.text("objective.target.kind");
  std::vector<double> target;
  if (kind == "low_rank") target = low_rank(settings, size, seed);
  if (kind == "gaussian") target = gaussian(settings, size, seed);
  if (kind == "digits") target = digit_rows(settings, size, seed);
  if (kind == "identity") target = scaled_identity(settings, size);
  if (kind == "values") target = listed(settings, size);
  if (kind == "file") target = from_file(settings);
  if (kind == "zero") target.assign(at(size.rows * size.cols), 0.0);
  if (settings.boolean("objective.symmetric")) {
    expect_symmetric(settings, "target", target, size.rows);
  }
  if (settings.has("objective.target.rank")) {
    const std::int64_t rank = settings.integer("objective.target.rank");
    if (rank > std::min(size.rows, size.cols)) {
      settings.reject(
          "objective.target.rank", std::to_string(rank),
          "at most min(rows, cols) = " + std::to_string(std::min(size.rows, size.cols)));
    }
    expect_finite(settings, "objective.target.rank", target, size.cols, {});
    target = best_approximation(target, size.rows, size.cols, rank);
  }
  if (settings.has("objective.target.norm")) scale_to_norm(settings, target);
  return target;
}

std::vector<std::uint8_t> random_mask(const Settings& settings, const TargetSize& size,
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

/// Entries, or pairs of mirrored entries, drawn without replacement.
std::vector<std::uint8_t> counted_mask(const Settings& settings, const TargetSize& size,
                                       std::uint64_t seed) {
  const bool symmetric = settings.boolean("objective.symmetric");
  std::vector<std::int64_t> candidates;
  for (std::int64_t i = 0; i < size.rows; ++i) {
    for (std::int64_t j = 0; j < (symmetric ? i + 1 : size.cols); ++j) {
      candidates.push_back(i * size.cols + j);
    }
  }
  const auto available = static_cast<std::int64_t>(candidates.size());
  const std::int64_t count = settings.integer("objective.mask.count");
  if (count > available) {
    settings.reject("objective.mask.count", std::to_string(count),
                    "at most the " + std::to_string(available) +
                        (symmetric ? " pairs {i, j}" : " entries") + " of " +
                        size_text(size.rows, size.cols));
  }
  std::vector<std::uint8_t> mask(at(size.rows * size.cols), 0);
  for (const std::int64_t pick : shuffled(available, count, seed, stream_mask_order)) {
    const std::int64_t entry = candidates[at(pick)];
    mask[at(entry)] = 1;
    if (symmetric) mask[at(entry % size.cols * size.cols + entry / size.cols)] = 1;
  }
  return mask;
}

std::vector<std::uint8_t> listed_mask(const Settings& settings, const TargetSize& size) {
  const std::vector<std::int64_t> rows = settings.integers("objective.mask.rows");
  const std::vector<std::int64_t> cols = settings.integers("objective.mask.cols");
  if (rows.size() != cols.size()) {
    settings.reject("objective.mask.cols", std::to_string(cols.size()) + " numbers",
                    std::to_string(rows.size()) + ", as many as objective.mask.rows");
  }
  if (rows.empty()) {
    settings.reject("objective.mask.rows", "no entry", "at least one: a mask must observe some");
  }
  const bool symmetric = settings.boolean("objective.symmetric");
  std::vector<std::uint8_t> mask(at(size.rows * size.cols), 0);
  for (std::size_t k = 0; k < rows.size(); ++k) {
    for (const auto& [key, index, end] : {std::tuple{"objective.mask.rows", rows[k], size.rows},
                                          {"objective.mask.cols", cols[k], size.cols}}) {
      if (index < end) continue;
      settings.reject(key,
                      std::to_string(index) + " for entry number " + std::to_string(k + 1) +
                          " of a target of " + size_text(size.rows, size.cols),
                      "at most " + std::to_string(end - 1) + ": they count from 0");
    }
    mask[at(rows[k] * size.cols + cols[k])] = 1;
    if (symmetric) mask[at(cols[k] * size.cols + rows[k])] = 1;
  }
  return mask;
}

std::vector<std::uint8_t> mask_from_file(const Settings& settings, const TargetSize& size) {
  const ArrayMatrix matrix = matrix_of(settings, "objective.mask");
  if (matrix.rows != size.rows || matrix.cols != size.cols) {
    settings.reject("objective.mask.path", "a mask of " + size_text(matrix.rows, matrix.cols),
                    "the target's shape " + size_text(size.rows, size.cols));
  }
  std::vector<std::uint8_t> mask(at(size.rows * size.cols));
  for (std::size_t i = 0; i < mask.size(); ++i) {
    const double value = matrix.values[i];
    if (value != 0 && value != 1) {
      const auto place = static_cast<std::int64_t>(i);
      settings.reject(
          "objective.mask.path",
          to_toml(value) + " at entry " + entry_text(place / size.cols, place % size.cols),
          "0 or 1");
    }
    mask[i] = value != 0 ? 1 : 0;
  }
  if (std::none_of(mask.begin(), mask.end(), [](std::uint8_t seen) { return seen != 0; })) {
    settings.reject("objective.mask.path", "a mask that observes no entry", "at least one 1");
  }
  if (settings.boolean("objective.symmetric")) {
    expect_symmetric(settings, "mask", {mask.begin(), mask.end()}, size.rows);
  }
  return mask;
}

std::vector<std::uint8_t> make_mask(const Settings& settings, const TargetSize& size,
                                    std::uint64_t seed) {
  const std::string& kind = settings.text("objective.mask.kind");
  if (size.rows * size.cols > INT32_MAX) {  // terms have numbers of 32 bits
    settings.reject("objective.kind",
                    "\"completion\" of " + size_text(size.rows, size.cols) + " entries",
                    "at most " + std::to_string(INT32_MAX));
  }
  if (kind == "count") return counted_mask(settings, size, seed);
  if (kind == "entries") return listed_mask(settings, size);
  if (kind == "file") return mask_from_file(settings, size);
  return random_mask(settings, size, seed);
}

double inner_product(const double* a, const std::vector<double>& b) {
  double sum = 0;
  for (std::size_t i = 0; i < b.size(); ++i) sum += a[i] * b[i];
  return sum;
}

void make_measurements(const Settings& settings, std::uint64_t seed, Problem& problem) {
  const std::int64_t count = measurement_count(settings);
  const std::int64_t size = problem.rows * problem.cols;
  if (settings.text("objective.measurements.kind") == "file") {
    problem.measurements = array_of(settings, "objective.measurements")->values;
    expect_finite(settings, "objective.measurements.path", problem.measurements, problem.cols, {});
  } else {
    problem.measurements.resize(at(count * size));
    for (std::size_t i = 0; i < problem.measurements.size(); ++i) {
      problem.measurements[i] = normal_double(seed, stream_measurements, i);
    }
    if (settings.boolean("objective.symmetric")) {
      for (std::int64_t i = 0; i < count; ++i) {
        symmetrize(problem.measurements.data() + i * size, problem.rows);
      }
    }
  }
  problem.values.resize(at(count));
  const std::string& kind = settings.text("objective.values.kind");
  if (kind == "file") {
    const auto array = array_of(settings, "objective.values");
    if (static_cast<std::int64_t>(array->values.size()) != count) {
      settings.reject("objective.values.path", "an array of shape " + array->shape_text(),
                      std::to_string(count) + " numbers, one for each measurement");
    }
    problem.values = array->values;
    expect_finite(settings, "objective.values.path", problem.values, count, {});
    return;
  }
  if (kind == "target") {
    expect_finite(settings, "objective.target.kind", problem.target, problem.cols, {});
  }
  for (std::int64_t i = 0; i < count; ++i) {
    problem.values[at(i)] =
        kind == "uniform" ? uniform_double(seed, stream_values, static_cast<std::uint64_t>(i))
                          : inner_product(problem.measurements.data() + i * size, problem.target);
  }
}

/// Gaussian noise on what the objective sees as labels: observed entries, or measured values.
void add_noise(const Settings& settings, std::uint64_t seed, Problem& problem) {
  const double stddev = settings.number("objective.target.noise");
  if (problem.kind == ObjectiveKind::sensing) {
    for (std::size_t i = 0; i < problem.values.size(); ++i) {
      problem.values[i] += stddev * normal_double(seed, stream_noise, i);
    }
    return;
  }
  const bool symmetric = settings.boolean("objective.symmetric");
  for (std::int64_t i = 0; i < problem.rows; ++i) {
    for (std::int64_t j = 0; j < problem.cols; ++j) {
      const std::int64_t entry = i * problem.cols + j;
      if (!problem.mask.empty() && problem.mask[at(entry)] == 0) continue;
      // One draw for a pair, so that a symmetric target stays so.
      const std::int64_t draw = symmetric ? std::max(i, j) * problem.cols + std::min(i, j) : entry;
      problem.target[at(entry)] +=
          stddev * normal_double(seed, stream_noise, static_cast<std::uint64_t>(draw));
    }
  }
}

void add_objective_keys(Spec& spec) {
  spec.add({.path = "objective.kind",
            .type = Type::text,
            .doc = "completion: f(W) = 1/2 sum over observed entries of (W - M)^2; full: over all "
                   "entries; sensing: 1/2 sum_i (<A_i, W> - b_i)^2; linear: f_0 - <W, Q>, Q the "
                   "target.",
            .required = true,
            .choices = {"completion", "full", "sensing", "linear"},
            .when = for_factorizations()});
  spec.add({.path = "objective.convention",
            .type = Type::text,
            .doc = "What a sum of squares is multiplied by, N its number of terms, and what l2 is: "
                   "sum: 1/2, l2/2 ||theta||^2; paper: 1/(2N), l2 ||theta||^2; weight-decay: 1/N, "
                   "l2/2 ||theta||^2.",
            .default_value = std::string("sum"),
            .choices = {"sum", "paper", "weight-decay"},
            .when = for_factorizations()});
  spec.add({.path = "objective.shift",
            .type = Type::text,
            .doc = "best_rank: train and test loss are measured from the least that a matrix of "
                   "the model's rank can have, 1/2 sum_{i>r} s_i(M)^2 (times what the convention "
                   "multiplies the train loss by).",
            .default_value = std::string("none"),
            .choices = {"none", "best_rank"},
            .when = for_factorizations({{"objective.kind", {"full"}}})});
  spec.add({.path = "objective.offset",
            .type = Type::number,
            .doc = "f_0 of a linear objective.",
            .default_value = 0.0,
            .when = for_factorizations({{"objective.kind", {"linear"}}})});
  spec.add({.path = "objective.test_on",
            .type = Type::text,
            .doc = "Entries that test loss and test error look at.",
            .default_value = std::string("unobserved"),
            .choices = {"unobserved", "all"},
            .when = for_factorizations({{"objective.kind", {"completion"}}})});
  spec.add({.path = "objective.symmetric",
            .type = Type::boolean,
            .doc = "Target, mask and measurements are symmetric, and an orthogonal start is too.",
            .default_value = false,
            .when = for_factorizations()});
}

void add_mask_keys(Spec& spec) {
  const auto when = [](const std::string& kind) {
    return for_factorizations(
        {{"objective.kind", {"completion"}}, {"objective.mask.kind", {kind}}});
  };
  spec.add({.path = "objective.mask.kind",
            .type = Type::text,
            .doc = "Which entries are observed. random: each with probability objective.observed; "
                   "count: a number of them, drawn; entries: those listed; file: where an array "
                   "of zeros and ones has a one.",
            .default_value = std::string("random"),
            .choices = {"random", "count", "entries", "file"},
            .when = for_factorizations({{"objective.kind", {"completion"}}})});
  spec.add({.path = "objective.observed",
            .type = Type::number,
            .doc = "Probability that an entry (a pair of entries, if symmetric) is observed.",
            .required = true,
            .min = 0,
            .max = 1,
            .min_exclusive = true,
            .when = when("random")});
  spec.add({.path = "objective.mask.count",
            .type = Type::integer,
            .doc = "Number of observed entries (of pairs {i, j}, if symmetric).",
            .required = true,
            .min = 1,
            .when = when("count")});
  for (const char* side : {"rows", "cols"}) {
    spec.add({.path = std::string("objective.mask.") + side,
              .type = Type::integer | Type::integers,
              .doc = std::string(side == std::string("rows") ? "Rows" : "Columns") +
                     " of the observed entries, counted from 0; their mirror images too, if "
                     "symmetric.",
              .required = true,
              .min = 0,
              .when = when("entries")});
  }
  add_array_keys(spec, "objective.mask", "0 or 1 for every entry", when("file"));
  add_index_key(spec, "objective.mask", when("file"));
}

void add_measurement_keys(Spec& spec) {
  const auto when = [](std::vector<Condition> more = {}) {
    more.insert(more.begin(), Condition{"objective.kind", {"sensing"}});
    return for_factorizations(std::move(more));
  };
  spec.add({.path = "objective.measurements.kind",
            .type = Type::text,
            .doc = "A_i of a sensing objective. gaussian: N(0, 1) entries; file: an array "
                   "(count, rows, cols).",
            .default_value = std::string("gaussian"),
            .choices = {"gaussian", "file"},
            .when = when()});
  spec.add({.path = "objective.measurements.count",
            .type = Type::integer,
            .doc = "Number of measurements.",
            .required = true,
            .min = 1,
            .max = 1e6,
            .when = when({{"objective.measurements.kind", {"gaussian"}}})});
  add_array_keys(spec, "objective.measurements", "the matrices A_i, (count, rows, cols)",
                 when({{"objective.measurements.kind", {"file"}}}));
  spec.add({.path = "objective.values.kind",
            .type = Type::text,
            .doc = "b_i of a sensing objective. target: <A_i, M>; uniform: drawn from (0, 1); "
                   "file: an array of as many numbers as measurements.",
            .default_value = std::string("target"),
            .choices = {"target", "uniform", "file"},
            .when = when()});
  add_array_keys(spec, "objective.values", "the values b_i",
                 when({{"objective.values.kind", {"file"}}}));
}

void add_target_keys(Spec& spec) {
  spec.add({.path = "objective.target.kind",
            .type = Type::text,
            .doc = "low_rank: random orthonormal vectors and given singular values; gaussian: "
                   "N(0, 1) entries; digits: real 8x8 images of handwritten digits, one a row; "
                   "identity: scale times I; values: listed here; file: from a file; zero: "
                   "nothing, where only measurements matter.",
            .required = true,
            .choices = {"low_rank", "gaussian", "digits", "identity", "values", "file", "zero"},
            .when = for_factorizations()});
  const auto when = [](std::vector<std::string> kinds) {
    return for_factorizations({{"objective.target.kind", std::move(kinds)}});
  };
  const std::vector<std::string> sized{"low_rank", "gaussian", "identity", "values", "zero"};
  spec.add({.path = "objective.target.size",
            .type = Type::integer,
            .doc = "Rows and columns of a square target.",
            .min = 1,
            .max = largest_size,
            .when = when(sized)});
  spec.add({.path = "objective.target.rows",
            .type = Type::integer,
            .doc =
                "Rows of the target; for digits, the number of images, taken in an order shuffled "
                "by problem.seed.",
            .min = 1,
            .max = largest_size,
            .when = when({"low_rank", "gaussian", "identity", "values", "zero", "digits"})});
  spec.add({.path = "objective.target.cols",
            .type = Type::integer,
            .doc = "Columns of the target.",
            .min = 1,
            .max = largest_size,
            .when = when(sized)});
  spec.add({.path = "objective.target.singular_values",
            .type = Type::number | Type::numbers,
            .doc = "Singular values of the target; their number is its rank.",
            .required = true,
            .min = 0,
            .min_exclusive = true,
            .when = when({"low_rank"})});
  spec.add({.path = "objective.target.scale",
            .type = Type::number,
            .doc = "mu of the target mu I.",
            .default_value = 1.0,
            .when = when({"identity"})});
  spec.add({.path = "objective.target.values",
            .type = Type::number | Type::numbers,
            .doc = "Entries of the target, row by row.",
            .required = true,
            .when = when({"values"})});
  add_array_keys(spec, "objective.target", "the target, or several of them", when({"file"}));
  add_index_key(spec, "objective.target", when({"file"}));
  spec.add({.path = "objective.target.rank",
            .type = Type::integer,
            .doc = "Replaces the target by its best approximation of this rank.",
            .min = 1,
            .max = largest_size,
            .when = for_factorizations()});
  spec.add({.path = "objective.target.norm",
            .type = Type::number,
            .doc = "Scales the target to this Frobenius norm, after its rank was cut.",
            .min = 0,
            .min_exclusive = true,
            .when = for_factorizations()});
  spec.add({.path = "objective.target.noise",
            .type = Type::number,
            .doc = "Standard deviation of Gaussian noise that problem.seed draws once for every "
                   "observed entry or measured value.",
            .min = 0,
            .when = for_factorizations({{"objective.kind", {"completion", "full", "sensing"}}})});
}

}  // namespace

ObjectiveKind objective_kind(const Settings& settings) {
  const std::string& kind = settings.text("objective.kind");
  if (kind == "full") return ObjectiveKind::full;
  if (kind == "completion") return ObjectiveKind::completion;
  if (kind == "sensing") return ObjectiveKind::sensing;
  return ObjectiveKind::linear;
}

std::int64_t Problem::terms() const {
  if (kind == ObjectiveKind::linear) return 1;
  if (kind == ObjectiveKind::sensing) return static_cast<std::int64_t>(values.size());
  if (mask.empty()) return rows * cols;
  return std::count_if(mask.begin(), mask.end(), [](std::uint8_t seen) { return seen != 0; });
}

void add_problem_keys(Spec& spec) {
  add_objective_keys(spec);
  add_mask_keys(spec);
  add_measurement_keys(spec);
  add_target_keys(spec);
}

std::int64_t measurement_count(const Settings& settings) {
  if (settings.text("objective.measurements.kind") != "file") {
    return settings.integer("objective.measurements.count");
  }
  const TargetSize size = target_size(settings);
  const auto array = array_of(settings, "objective.measurements");
  const auto& shape = array->shape;
  if (shape.size() != 3 || shape[0] < 1 || shape[1] != size.rows || shape[2] != size.cols) {
    settings.reject("objective.measurements.path", "an array of shape " + array->shape_text(),
                    "(count, " + std::to_string(size.rows) + ", " + std::to_string(size.cols) +
                        "), matrices of the target's shape");
  }
  return shape[0];
}

Problem make_problem(const Settings& settings) {
  const TargetSize size = target_size(settings);
  const auto seed = static_cast<std::uint64_t>(settings.integer("problem.seed"));
  if (settings.boolean("objective.symmetric") && size.rows != size.cols) {
    settings.reject("objective.symmetric",
                    "true with a target of " + size_text(size.rows, size.cols), "a square target");
  }
  Problem problem;
  problem.kind = objective_kind(settings);
  problem.rows = size.rows;
  problem.cols = size.cols;
  problem.target = make_target(settings, size, seed);
  if (problem.kind == ObjectiveKind::completion) problem.mask = make_mask(settings, size, seed);
  if (problem.kind == ObjectiveKind::sensing) {
    make_measurements(settings, seed, problem);
  } else {
    expect_finite(settings, "objective.target.kind", problem.target, problem.cols, problem.mask);
  }
  if (problem.kind == ObjectiveKind::linear) problem.offset = settings.number("objective.offset");
  if (settings.has("objective.target.noise")) add_noise(settings, seed, problem);
  return problem;
}

std::vector<double> gradient_at_zero(const Problem& problem) {
  std::vector<double> gradient(problem.target.size(), 0.0);
  switch (problem.kind) {
    case ObjectiveKind::full:
    case ObjectiveKind::completion:
    case ObjectiveKind::linear:
      for (std::size_t i = 0; i < gradient.size(); ++i) {
        if (problem.mask.empty() || problem.mask[i] != 0) gradient[i] = -problem.target[i];
      }
      break;
    case ObjectiveKind::sensing:
      for (std::size_t m = 0; m < problem.values.size(); ++m) {
        const double* a = problem.measurements.data() + m * gradient.size();
        for (std::size_t i = 0; i < gradient.size(); ++i) gradient[i] -= problem.values[m] * a[i];
      }
      break;
  }
  return gradient;
}

std::string problem_key(const Settings& settings) {
  // Every key that is registered here, so that none can be forgotten.
  static const Spec spec = [] {
    Spec all;
    add_problem_keys(all);
    return all;
  }();
  std::string key = to_toml(settings.value("problem.seed"));
  for (const KeySpec& one : spec.keys()) {
    key += '|';
    if (settings.has(one.path)) key += to_toml(settings.value(one.path));
  }
  return key;
}

}  // namespace manyfold::factorization
