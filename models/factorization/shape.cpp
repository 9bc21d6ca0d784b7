// From keys to shapes, with an error that shows both shapes where they do not fit.
#include "models/factorization/shape.hpp"

#include <algorithm>

#include "models/data/array_keys.hpp"

namespace manyfold::factorization {
namespace {

std::string size_text(std::int64_t rows, std::int64_t cols) {
  return std::to_string(rows) + "x" + std::to_string(cols);
}

std::string list_text(const std::vector<std::int64_t>& values) {
  std::string text = "[";
  for (std::size_t i = 0; i < values.size(); ++i) {
    text += (i == 0 ? "" : ", ") + std::to_string(values[i]);
  }
  return text + "]";
}

}  // namespace

const std::vector<std::string>& model_names() {
  static const std::vector<std::string> names{"deep_linear", "symmetric", "asymmetric", "scalar",
                                              "rank_one"};
  return names;
}

Condition is_factorization() { return {"model.kind", model_names()}; }

std::vector<Condition> for_factorizations(std::vector<Condition> more) {
  more.insert(more.begin(), is_factorization());
  return more;
}

void add_shape_keys(Spec& spec) {
  const std::vector<Condition> chains{{"model.kind", {"deep_linear", "symmetric"}}};
  spec.add({.path = "model.depth",
            .type = Type::integer,
            .doc = "Number of factors of the end-to-end matrix W. For the symmetric model, "
                   "W = P P^T, it is even: U U^T has depth 2.",
            .min = 1,
            .max = 1024,
            .when = chains});
  spec.add({.path = "model.hidden",
            .type = Type::integer | Type::integers,
            .doc =
                "Width of the hidden layers: one for all, or one each, from the input. By default "
                "the smaller side of the target.",
            .min = 1,
            .max = largest_size,
            .when = chains});
  spec.add({.path = "model.sizes",
            .type = Type::integers,
            .doc = "All sizes n_0, ..., n_L from input to output, instead of depth and hidden: W_h "
                   "is n_h x n_{h-1}.",
            .min = 1,
            .max = largest_size,
            .when = chains});
  spec.add({.path = "model.rank",
            .type = Type::integer,
            .doc = "Columns r of U and V in W = U V^T; it may exceed the sides. By default the "
                   "smaller side of the target.",
            .min = 1,
            .max = largest_size,
            .when = {{"model.kind", {"asymmetric"}}}});
  spec.add({.path = "model.dimension",
            .type = Type::integer,
            .doc = "Dimension d of x and y in W = x.y.",
            .required = true,
            .min = 1,
            .max = largest_size,
            .when = {{"model.kind", {"scalar"}}}});
}

std::int64_t Shape::layer_offset(std::int64_t h) const {
  std::int64_t offset = 0;
  for (std::int64_t i = 1; i < h; ++i) offset += layer_size(i);
  return offset;
}

std::int64_t Shape::rank() const { return *std::min_element(sizes.begin(), sizes.end()); }

double Shape::flops_per_gradient() const {
  const auto n0 = static_cast<double>(sizes.front());
  const auto nl = static_cast<double>(sizes.back());
  double flops = 3 * static_cast<double>(rows()) * static_cast<double>(cols());
  for (std::int64_t h = 2; h <= layers(); ++h) {
    flops += 6 * static_cast<double>(layer_size(h)) * n0;  // W_h P, B P^T, W_h^T B
  }
  if (symmetric_model) flops += 4 * nl * nl * n0;  // P P^T, G P
  return flops;
}

std::string Shape::text() const {
  std::string text;
  for (std::int64_t h = layers(); h >= 1; --h) {
    text += (text.empty() ? "" : " . ") + size_text(layer_rows(h), layer_cols(h));
  }
  return symmetric_model ? "P P^T, P = " + text : text;
}

TargetSize target_size(const Settings& settings) {
  const std::string& kind = settings.text("objective.target.kind");
  if (kind == "digits") {
    if (!settings.has("objective.target.rows")) {
      settings.reject("objective.target.rows", "nothing", "the number of images");
    }
    return {settings.integer("objective.target.rows"), 64};
  }
  if (kind == "file") {
    const ArrayMatrix matrix = matrix_of(settings, "objective.target");
    return {matrix.rows, matrix.cols};
  }
  if (settings.has("objective.target.size")) {
    const std::int64_t size = settings.integer("objective.target.size");
    for (const char* other : {"objective.target.rows", "objective.target.cols"}) {
      if (settings.has(other)) {
        settings.reject(other, std::to_string(settings.integer(other)),
                        "no rows or cols beside size = " + std::to_string(size));
      }
    }
    return {size, size};
  }
  const bool says_nothing =
      !settings.has("objective.target.rows") && !settings.has("objective.target.cols");
  if (says_nothing && settings.text("model.kind") == "scalar") return {1, 1};
  for (const char* needed : {"objective.target.rows", "objective.target.cols"}) {
    if (!settings.has(needed)) {
      settings.reject(needed, "nothing", "a number of rows and of cols, or one size for both");
    }
  }
  return {settings.integer("objective.target.rows"), settings.integer("objective.target.cols")};
}

Shape shape_of(const Settings& settings) {
  Shape shape;
  const std::string& kind = settings.text("model.kind");
  shape.symmetric_model = kind == "symmetric";
  const TargetSize target = target_size(settings);
  if (kind == "scalar") {
    if (target.rows != 1 || target.cols != 1) {
      settings.reject("model.kind",
                      "\"scalar\" with a target of " + size_text(target.rows, target.cols),
                      "a target of 1x1");
    }
    shape.sizes = {1, settings.integer("model.dimension"), 1};
    return shape;
  }
  if (kind == "asymmetric" || kind == "rank_one") {
    std::int64_t rank = kind == "rank_one" ? 1 : std::min(target.rows, target.cols);
    if (settings.has("model.rank")) rank = settings.integer("model.rank");
    shape.sizes = {target.cols, rank, target.rows};
    return shape;
  }
  if (shape.symmetric_model && target.rows != target.cols) {
    settings.reject("model.kind",
                    "\"symmetric\" with a target of " + size_text(target.rows, target.cols),
                    "a square target");
  }

  if (settings.has("model.sizes")) {
    shape.sizes = settings.integers("model.sizes");
    for (const char* other : {"model.depth", "model.hidden"}) {
      if (settings.is_written(other)) {
        settings.reject(other, "a value beside model.sizes",
                        "either model.sizes or model.depth with model.hidden");
      }
    }
    if (shape.sizes.size() < 2) {
      settings.reject("model.sizes", list_text(shape.sizes),
                      "at least two sizes: n_0 (input side) to n_L (output side)");
    }
    const bool fits = shape.sizes.back() == target.rows &&
                      (shape.symmetric_model || shape.sizes.front() == target.cols);
    if (!fits) {
      settings.reject(
          "model.sizes",
          list_text(shape.sizes) + ", whose end-to-end matrix is " +
              size_text(shape.sizes.back(),
                        shape.symmetric_model ? shape.sizes.back() : shape.sizes.front()),
          "the target's shape " + size_text(target.rows, target.cols) +
              (shape.symmetric_model ? " (last size = rows)"
                                     : " (first size = cols, last size = rows)"));
    }
    return shape;
  }

  if (!settings.has("model.depth")) {
    settings.reject("model.depth", "nothing", "a depth, or model.sizes");
  }
  const std::int64_t depth = settings.integer("model.depth");
  if (shape.symmetric_model && depth % 2 != 0) {
    settings.reject("model.depth", std::to_string(depth),
                    "an even depth: W = P P^T has every factor twice (U U^T has depth 2)");
  }
  const std::int64_t layers = shape.symmetric_model ? depth / 2 : depth;
  std::vector<std::int64_t> hidden;
  if (settings.has("model.hidden")) {
    hidden = settings.integers("model.hidden");
  } else {
    hidden = {std::min(target.rows, target.cols)};
  }
  // A symmetric model's input side is free: it is a hidden width too.
  const auto wanted = static_cast<std::size_t>(shape.symmetric_model ? layers : layers - 1);
  if (hidden.size() == 1) hidden.assign(wanted, hidden.front());
  if (hidden.size() != wanted) {
    settings.reject(
        "model.hidden", std::to_string(hidden.size()) + " widths " + list_text(hidden),
        std::to_string(wanted) + " for depth " + std::to_string(depth) + " (or one width for all)");
  }
  if (!shape.symmetric_model) shape.sizes.push_back(target.cols);
  shape.sizes.insert(shape.sizes.end(), hidden.begin(), hidden.end());
  shape.sizes.push_back(target.rows);
  return shape;
}

}  // namespace manyfold::factorization
