// Draws starts on the host, so that every device begins from the same bits.
#include "models/factorization/start.hpp"

#include <algorithm>
#include <cmath>
#include <string>

#include <cblas.h>

#include "core/random/philox.hpp"
#include "models/factorization/haar.hpp"
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
  double square = 0;
  for (const double x : p) square += x * x;
  return std::sqrt(square);
}

std::vector<double> gaussian(const Settings& settings, const Shape& shape, std::uint64_t seed) {
  std::vector<double> layers(at(shape.parameters()));
  for (std::int64_t h = 1; h <= shape.layers(); ++h) {
    double* layer = layers.data() + shape.layer_offset(h);
    const std::uint64_t stream = layer_stream("W", h);
    for (std::int64_t i = 0; i < shape.layer_size(h); ++i) {
      layer[i] = normal_double(seed, stream, static_cast<std::uint64_t>(i));
    }
  }
  std::vector<double> factors;
  if (settings.has("init.stddev")) {
    factors = settings.numbers("init.stddev");
    if (factors.size() == 1) factors.assign(at(shape.layers()), factors.front());
  } else {
    const double factor = std::pow(settings.number("init.end_norm") / end_norm(layers, shape),
                                   1.0 / static_cast<double>(shape.depth()));
    factors.assign(at(shape.layers()), factor);
  }
  for (std::int64_t h = 1; h <= shape.layers(); ++h) {
    double* layer = layers.data() + shape.layer_offset(h);
    for (std::int64_t i = 0; i < shape.layer_size(h); ++i) layer[i] *= factors[at(h - 1)];
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

}  // namespace

void add_start_keys(Spec& spec) {
  spec.add({.path = "init.kind",
            .type = Type::text,
            .doc = "gaussian: independent N(0, stddev^2) entries; orthogonal: balanced layers "
                   "V_h D^(1/L) V_{h-1}^T; identity: W(0) = alpha I.",
            .required = true,
            .choices = {"gaussian", "orthogonal", "identity"},
            .when = for_factorizations()});
  spec.add({.path = "init.stddev",
            .type = Type::number | Type::numbers,
            .doc = "Standard deviation of the entries: one for all layers, or one each from the "
                   "input.",
            .min = 0,
            .min_exclusive = true,
            .when = for_factorizations({{"init.kind", {"gaussian"}}})});
  spec.add({.path = "init.end_norm",
            .type = Type::number,
            .doc = "||W(0)||_F: one factor multiplies every layer of the draw.",
            .min = 0,
            .min_exclusive = true,
            .when = for_factorizations({{"init.kind", {"gaussian", "orthogonal"}}})});
  spec.add({.path = "init.alpha",
            .type = Type::number,
            .doc = "W(0) = alpha I.",
            .required = true,
            .min = 0,
            .min_exclusive = true,
            .when = for_factorizations({{"init.kind", {"identity"}}})});
}

std::vector<double> start(const Settings& settings, const Shape& shape) {
  const std::uint64_t seed = seed_of(settings, "init.seed");
  const std::string& kind = settings.text("init.kind");
  if (kind == "gaussian") return gaussian(settings, shape, seed);
  if (kind == "orthogonal") return orthogonal(settings, shape, seed);
  return identity(settings, shape);
}

void validate_start(const Settings& settings, const Shape& shape) {
  const std::string& kind = settings.text("init.kind");
  if (kind == "gaussian") {
    const bool stddev = settings.has("init.stddev");
    if (stddev == settings.has("init.end_norm")) {
      settings.reject(stddev ? "init.end_norm" : "init.stddev",
                      stddev ? "a value beside init.stddev" : "nothing",
                      "one of init.stddev and init.end_norm for a Gaussian start");
    }
    if (stddev) {
      const std::size_t count = settings.numbers("init.stddev").size();
      if (count != 1 && count != at(shape.layers())) {
        settings.reject(
            "init.stddev", std::to_string(count) + " values",
            "one, or one for each of the " + std::to_string(shape.layers()) + " layers");
      }
    }
  }
  if (kind == "orthogonal" && !settings.has("init.end_norm")) {
    settings.reject("init.end_norm", "nothing", "||W(0)||_F of an orthogonal start, a number > 0");
  }
  if (kind == "identity") {
    const bool square = std::all_of(shape.sizes.begin(), shape.sizes.end(),
                                    [&](std::int64_t n) { return n == shape.sizes.front(); });
    if (!square) {
      settings.reject("init.kind", "\"identity\" with layers " + shape.text(),
                      "square layers of one size");
    }
  }
}

}  // namespace manyfold::factorization
