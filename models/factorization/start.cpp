// Draws starts on the host, so that every device begins from the same bits.
#include "models/factorization/start.hpp"

#include <algorithm>
#include <cmath>
#include <memory>
#include <mutex>
#include <string>

#include <cblas.h>

#include "core/random/philox.hpp"
#include "models/factorization/haar.hpp"
#include "models/factorization/problem.hpp"
#include "models/factorization/steepest_descent.hpp"
#include "models/training/given_start.hpp"
#include "models/training/model.hpp"

namespace manyfold::factorization {
namespace {

constexpr std::uint64_t stream_spectrum = random_stream("init/spectrum");

std::uint64_t layer_stream(const char* what, std::int64_t layer) {
  return random_stream(std::string("init/") + what + "/" + std::to_string(layer));
}

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

/// C (m, n) = A (m, k) B (k, n) or A B^T, row-major.
std::vector<double> product(const double* a, const double* b, std::int64_t m, std::int64_t n,
                            std::int64_t k, bool transpose_b) {
  std::vector<double> c(at(m * n));
  cblas_dgemm(CblasRowMajor, CblasNoTrans, transpose_b ? CblasTrans : CblasNoTrans,
              static_cast<int>(m), static_cast<int>(n), static_cast<int>(k), 1.0, a,
              static_cast<int>(k), b, static_cast<int>(transpose_b ? k : n), 0.0, c.data(),
              static_cast<int>(n));
  return c;
}

double norm_of(const double* x, std::int64_t count) {
  double square = 0;
  for (std::int64_t i = 0; i < count; ++i) square += x[i] * x[i];
  return std::sqrt(square);
}

/// ||W||_F of the end-to-end matrix.
double end_norm(const std::vector<double>& layers, const Shape& shape) {
  std::vector<double> p(layers.begin(), layers.begin() + shape.layer_size(1));
  for (std::int64_t h = 2; h <= shape.layers(); ++h) {
    p = product(layers.data() + shape.layer_offset(h), p.data(), shape.layer_rows(h),
                shape.sizes.front(), shape.layer_cols(h), false);
  }
  if (shape.symmetric_model) {
    p = product(p.data(), p.data(), shape.rows(), shape.rows(), shape.sizes.front(), true);
  }
  return norm_of(p.data(), static_cast<std::int64_t>(p.size()));
}

/// N(0, 1) entries: draw i of the layer's stream is entry i.
std::vector<double> normal_layers(const Shape& shape, std::uint64_t seed) {
  std::vector<double> layers(at(shape.parameters()));
  for (std::int64_t h = 1; h <= shape.layers(); ++h) {
    double* layer = layers.data() + shape.layer_offset(h);
    const std::uint64_t stream = layer_stream("W", h);
    for (std::int64_t i = 0; i < shape.layer_size(h); ++i) {
      layer[i] = normal_double(seed, stream, static_cast<std::uint64_t>(i));
    }
  }
  return layers;
}

void scale_layer(std::vector<double>& layers, const Shape& shape, std::int64_t h, double factor) {
  double* layer = layers.data() + shape.layer_offset(h);
  for (std::int64_t i = 0; i < shape.layer_size(h); ++i) layer[i] *= factor;
}

/// One value for each layer, from a list or from one value for all.
std::vector<double> per_layer(const Settings& settings, const char* key, const Shape& shape) {
  std::vector<double> values = settings.numbers(key);
  if (values.size() == 1) values.assign(at(shape.layers()), values.front());
  return values;
}

/// Sizes between layers; the symmetric model's input side is one.
std::vector<std::int64_t> hidden_sizes(const Shape& shape) {
  return {shape.sizes.begin() + (shape.symmetric_model ? 0 : 1), shape.sizes.end() - 1};
}

/// What init.scaling divides layer h by.
double scaling(const std::string& kind, const Shape& shape, std::int64_t h) {
  const auto fan_in = static_cast<double>(shape.layer_cols(h));
  if (kind == "fan_in") return std::sqrt(fan_in);
  if (kind == "he") return std::sqrt(fan_in / 2);
  const auto hidden = hidden_sizes(shape);
  return std::sqrt(static_cast<double>(*std::max_element(hidden.begin(), hidden.end())));
}

std::vector<double> gaussian(const Settings& settings, const Shape& shape, std::uint64_t seed) {
  std::vector<double> layers = normal_layers(shape, seed);
  const std::string& scaled = settings.text("init.scaling");
  for (std::int64_t h = 1; scaled != "none" && h <= shape.layers(); ++h) {
    scale_layer(layers, shape, h, 1 / scaling(scaled, shape, h));
  }
  std::vector<double> factors(at(shape.layers()), 1.0);
  if (settings.has("init.stddev")) {
    factors = per_layer(settings, "init.stddev", shape);
  } else if (settings.has("init.end_norm")) {
    const double factor = std::pow(settings.number("init.end_norm") / end_norm(layers, shape),
                                   1.0 / static_cast<double>(shape.depth()));
    factors.assign(at(shape.layers()), factor);
  }
  for (std::int64_t h = 1; h <= shape.layers(); ++h) {
    scale_layer(layers, shape, h, factors[at(h - 1)]);
  }
  return layers;
}

/// On the sphere of each layer's radius, or in the ball.
std::vector<double> round(const Settings& settings, const Shape& shape, std::uint64_t seed,
                          bool inside) {
  std::vector<double> layers = normal_layers(shape, seed);
  const std::vector<double> radii = per_layer(settings, "init.norms", shape);
  for (std::int64_t h = 1; h <= shape.layers(); ++h) {
    double radius = radii[at(h - 1)];
    if (inside) {
      const double u = uniform_double(seed, layer_stream("ball", h), 0);
      radius *= std::pow(u, 1.0 / static_cast<double>(shape.layer_size(h)));
    }
    // No draw is 0, so neither is the norm.
    const double norm = norm_of(layers.data() + shape.layer_offset(h), shape.layer_size(h));
    scale_layer(layers, shape, h, radius / norm);
  }
  return layers;
}

bool is_symmetric(const Settings& settings, const Shape& shape) {
  return shape.symmetric_model || settings.boolean("objective.symmetric");
}

/// Of the problem asked for last: most members of an experiment share theirs.
std::shared_ptr<const Descent> descent_of(const Settings& settings, const Shape& shape) {
  static std::mutex mutex;
  static std::string last_key;
  static std::shared_ptr<const Descent> last;
  const std::lock_guard lock(mutex);
  const bool symmetric = is_symmetric(settings, shape);
  const std::string key = (symmetric ? "symmetric|" : "general|") + problem_key(settings);
  if (last == nullptr || key != last_key) {
    last = std::make_shared<const Descent>(
        steepest_descent_at_zero(make_problem(settings), symmetric));
    last_key = key;
  }
  return last;
}

std::vector<double> rank_one(const Settings& settings, const Shape& shape) {
  const std::shared_ptr<const Descent> descent = descent_of(settings, shape);
  const double norm =
      std::pow(settings.number("init.end_norm"), 1.0 / static_cast<double>(shape.depth()));
  std::vector<double> layers(at(shape.parameters()), 0.0);
  for (std::int64_t h = 1; h <= shape.layers(); ++h) {
    double* layer = layers.data() + shape.layer_offset(h);
    const bool first = h == 1 && !shape.symmetric_model;  // the symmetric model's input is hidden
    const bool last = h == shape.layers();
    for (std::int64_t i = 0; i < (last ? shape.layer_rows(h) : 1); ++i) {
      for (std::int64_t j = 0; j < (first ? shape.layer_cols(h) : 1); ++j) {
        layer[i * shape.layer_cols(h) + j] =
            norm * ((last ? descent->left[at(i)] : 1) * (first ? descent->right[at(j)] : 1));
      }
    }
  }
  return layers;
}

std::vector<double> orthogonal(const Settings& settings, const Shape& shape, std::uint64_t seed) {
  const std::int64_t rank = *std::min_element(shape.sizes.begin(), shape.sizes.end());
  std::vector<double> spectrum(at(rank));
  double square = 0;
  for (std::int64_t r = 0; r < rank; ++r) {
    spectrum[at(r)] = uniform_double(seed, stream_spectrum, static_cast<std::uint64_t>(r));
    square += spectrum[at(r)] * spectrum[at(r)];
  }
  const double scale = settings.number("init.end_norm") / std::sqrt(square);
  for (double& d : spectrum) {
    d = std::pow(d * scale, 1.0 / static_cast<double>(shape.depth()));
  }
  const bool tied = !shape.symmetric_model && settings.boolean("objective.symmetric");
  auto frame = [&](std::int64_t h) {
    return haar_frame(shape.sizes[at(h)], rank, seed,
                      layer_stream("frame", tied && h == 0 ? shape.layers() : h));
  };
  std::vector<double> layers(at(shape.parameters()));
  std::vector<double> input = frame(0);
  for (std::int64_t h = 1; h <= shape.layers(); ++h) {
    std::vector<double> output = frame(h);
    std::vector<double> scaled = output;
    for (std::size_t i = 0; i < scaled.size(); ++i) scaled[i] *= spectrum[i % at(rank)];
    const auto layer =
        product(scaled.data(), input.data(), shape.layer_rows(h), shape.layer_cols(h), rank, true);
    std::copy(layer.begin(), layer.end(), layers.begin() + shape.layer_offset(h));
    input = std::move(output);
  }
  return layers;
}

std::vector<double> identity(const Settings& settings, const Shape& shape) {
  const double diagonal =
      std::pow(settings.number("init.alpha"), 1.0 / static_cast<double>(shape.depth()));
  std::vector<double> layers(at(shape.parameters()), 0.0);
  for (std::int64_t h = 1; h <= shape.layers(); ++h) {
    double* layer = layers.data() + shape.layer_offset(h);
    for (std::int64_t i = 0; i < shape.layer_rows(h); ++i) {
      layer[i * shape.layer_cols(h) + i] = diagonal;
    }
  }
  return layers;
}

/// The layers as files and records have them.
GivenLayout given_layout(const Shape& shape) {
  GivenLayout layout{.arrays = {}, .text = "layers " + shape.text()};
  for (std::int64_t h = 1; h <= shape.layers(); ++h) {
    layout.arrays.push_back({"W_" + std::to_string(h), shape.layer_rows(h), shape.layer_cols(h)});
  }
  return layout;
}

}  // namespace

void add_start_keys(Spec& spec) {
  const auto of = [](std::vector<std::string> kinds) {
    return for_factorizations({{"init.kind", std::move(kinds)}});
  };
  spec.add({.path = "init.kind",
            .type = Type::text,
            .doc =
                "gaussian: independent N(0, stddev^2) entries; orthogonal: balanced layers "
                "V_h D^(1/L) V_{h-1}^T; identity: W(0) = alpha I; sphere, ball: each layer "
                "uniform on the sphere or in the ball of its norm; rank_one: balanced, along the "
                "top eigenvector (or singular pair) of -grad f(0); file: from array files; "
                "record: from the parameters in another record.",
            .required = true,
            .choices = {"gaussian", "orthogonal", "identity", "sphere", "ball", "rank_one", "file",
                        "record"},
            .when = for_factorizations()});
  spec.add({.path = "init.stddev",
            .type = Type::number | Type::numbers,
            .doc = "Standard deviation of the entries: one for all layers, or one each from the "
                   "input.",
            .min = 0,
            .min_exclusive = true,
            .when = of({"gaussian"})});
  spec.add({.path = "init.scaling",
            .type = Type::text,
            .doc =
                "What divides a Gaussian layer beforehand: nothing; fan_in: the root of its "
                "columns' number (LeCun); he: the root of half of it; width: the root of the "
                "largest hidden width (N(0, 1/w) entries in every layer). Unless none, stddev is 1 "
                "by default.",
            .default_value = "none",
            .choices = {"none", "fan_in", "he", "width"},
            .when = of({"gaussian"})});
  spec.add({.path = "init.end_norm",
            .type = Type::number,
            .doc = "||W(0)||_F: one factor multiplies every layer of the draw.",
            .min = 0,
            .min_exclusive = true,
            .when = of({"gaussian", "orthogonal", "rank_one"})});
  spec.add({.path = "init.alpha",
            .type = Type::number,
            .doc = "W(0) = alpha I.",
            .required = true,
            .min = 0,
            .min_exclusive = true,
            .when = of({"identity"})});
  spec.add({.path = "init.norms",
            .type = Type::number | Type::numbers,
            .doc =
                "||W_h||_F, or its largest value in a ball: one for all layers, or one each from "
                "the input.",
            .required = true,
            .min = 0,
            .when = of({"sphere", "ball"})});
  spec.add({.path = "init.path",
            .type = Type::text | Type::texts,
            .doc = "A .npy or .csv file with all parameters, W_1 first, each layer row by row; a "
                   "list of one file for each layer, from the input; a .nc file with variables "
                   "W_1, ..., W_L; or a .npz or .safetensors file with an array for each layer, "
                   "in their order where they have other names.",
            .required = true,
            .when = of({"file"}),
            .is_path = true});
  spec.add({.path = "init.record",
            .type = Type::text,
            .doc = "The record, or the folder of a run, whose parameters (probes.parameters) a "
                   "member begins with.",
            .required = true,
            .when = of({"record"}),
            .is_path = true});
  spec.add({.path = "init.member",
            .type = Type::integer,
            .doc = "The member of init.record.",
            .required = true,
            .min = 0,
            .when = of({"record"})});
  spec.add({.path = "init.sample",
            .type = Type::integer,
            .doc =
                "The sample of init.record's parameters, counted from 0. By default the member's "
                "last that is finite.",
            .min = 0,
            .when = of({"record"})});
}

std::vector<double> start(const Settings& settings, const Shape& shape) {
  const std::uint64_t seed = seed_of(settings, "init.seed");
  const std::string& kind = settings.text("init.kind");
  if (kind == "gaussian") return gaussian(settings, shape, seed);
  if (kind == "orthogonal") return orthogonal(settings, shape, seed);
  if (kind == "sphere") return round(settings, shape, seed, false);
  if (kind == "ball") return round(settings, shape, seed, true);
  if (kind == "rank_one") return rank_one(settings, shape);
  if (kind == "file") return start_from_file(settings, given_layout(shape)).parameters;
  if (kind == "record") return start_from_record(settings, given_layout(shape));
  return identity(settings, shape);
}

namespace {

/// A list of one value, or of one for each layer.
void require_per_layer(const Settings& settings, const char* key, const Shape& shape) {
  const std::size_t count = settings.numbers(key).size();
  if (count == 1 || count == at(shape.layers())) return;
  settings.reject(key, std::to_string(count) + " values",
                  "one, or one for each of the " + std::to_string(shape.layers()) + " layers");
}

void validate_gaussian(const Settings& settings, const Shape& shape) {
  const bool stddev = settings.has("init.stddev");
  const bool end_norm = settings.has("init.end_norm");
  const std::string& scaled = settings.text("init.scaling");
  if (stddev && end_norm) {
    settings.reject("init.end_norm", "a value beside init.stddev",
                    "one of init.stddev and init.end_norm for a Gaussian start");
  }
  if (!stddev && !end_norm && scaled == "none") {
    settings.reject("init.stddev", "nothing",
                    "one of init.stddev and init.end_norm for a Gaussian start");
  }
  if (stddev) require_per_layer(settings, "init.stddev", shape);
  if (scaled == "width" && hidden_sizes(shape).empty()) {
    settings.reject("init.scaling", "\"width\" with the one layer " + shape.text(),
                    "a hidden width to scale by, or \"fan_in\"");
  }
}

void validate_rank_one(const Settings& settings, const Shape& shape) {
  constexpr std::int64_t largest_side = 8192;  // the work grows like its third power
  if (std::max(shape.rows(), shape.cols()) > largest_side) {
    settings.reject("init.kind",
                    "\"rank_one\" with an end-to-end matrix of " + std::to_string(shape.rows()) +
                        "x" + std::to_string(shape.cols()),
                    "sides of at most " + std::to_string(largest_side));
  }
  if (descent_of(settings, shape)->slope <= 0) {
    settings.reject("init.kind",
                    is_symmetric(settings, shape)
                        ? "\"rank_one\" where -grad f(0) has no positive eigenvalue"
                        : "\"rank_one\" where grad f(0) is 0",
                    "an objective that falls from W = 0");
  }
}

}  // namespace

void validate_start(const Settings& settings, const Shape& shape) {
  const std::string& kind = settings.text("init.kind");
  if (kind == "gaussian") validate_gaussian(settings, shape);
  if ((kind == "orthogonal" || kind == "rank_one") && !settings.has("init.end_norm")) {
    settings.reject("init.end_norm", "nothing",
                    std::string("||W(0)||_F of ") +
                        (kind == "orthogonal" ? "an orthogonal" : "a rank-one") +
                        " start, a number > 0");
  }
  if (kind == "identity") {
    const bool square = std::all_of(shape.sizes.begin(), shape.sizes.end(),
                                    [&](std::int64_t n) { return n == shape.sizes.front(); });
    if (!square) {
      settings.reject("init.kind", "\"identity\" with layers " + shape.text(),
                      "square layers of one size");
    }
  }
  if (kind == "sphere" || kind == "ball") require_per_layer(settings, "init.norms", shape);
  if (kind == "rank_one") validate_rank_one(settings, shape);
  if (kind == "file") (void)start_from_file(settings, given_layout(shape));
  if (kind == "record") (void)start_from_record(settings, given_layout(shape));
}

}  // namespace manyfold::factorization
