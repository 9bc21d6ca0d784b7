// Sizes of a factorization: which matrices a member trains.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/config/settings.hpp"
#include "core/config/spec.hpp"

namespace manyfold::factorization {

/// The product P = W_L ... W_1, W_h of shape (n_h, n_{h-1}); layers are numbered from the input.
/// deep_linear: the end-to-end matrix is W = P, (n_L, n_0).
/// asymmetric:  W = U V^T, U (rows, r), V (cols, r): layers W_2 = U, W_1 = V^T.
/// rank_one:    asymmetric with r = 1.
/// scalar:      W = x.y, x and y in R^d, a 1 x 1 target: layers W_2 = x^T, W_1 = y.
/// symmetric:   W = P P^T, (n_L, n_L); `depth` counts the factors of W, so P has depth / 2.
struct Shape {
  bool symmetric_model = false;
  std::vector<std::int64_t> sizes;  ///< n_0 ... n_L of P

  std::int64_t layers() const { return static_cast<std::int64_t>(sizes.size()) - 1; }
  std::int64_t layer_rows(std::int64_t h) const { return sizes[static_cast<std::size_t>(h)]; }
  std::int64_t layer_cols(std::int64_t h) const { return sizes[static_cast<std::size_t>(h - 1)]; }
  std::int64_t layer_size(std::int64_t h) const { return layer_rows(h) * layer_cols(h); }
  /// Elements before layer h among a member's parameters.
  std::int64_t layer_offset(std::int64_t h) const;
  std::int64_t parameters() const { return layer_offset(layers() + 1); }
  std::int64_t rows() const { return sizes.back(); }
  /// The largest rank that W can have.
  std::int64_t rank() const;
  std::int64_t cols() const { return symmetric_model ? sizes.back() : sizes.front(); }
  /// Factors of W.
  std::int64_t depth() const { return symmetric_model ? 2 * layers() : layers(); }
  /// Multiplications and additions of one gradient: 2 m n k for each product, forward and backward,
  /// and three operations an entry for residual and loss.
  double flops_per_gradient() const;
  std::string text() const;  ///< "20x20 . 20x20 . 20x20", output side first
};

/// Values of model.kind that are factorizations, and the condition that asks for them.
const std::vector<std::string>& model_names();
Condition is_factorization();
/// `more`, and a factorization.
std::vector<Condition> for_factorizations(std::vector<Condition> more = {});
constexpr double largest_size = 65536;  ///< rows or columns of anything

void add_shape_keys(Spec& spec);

/// Rows and columns of the target that the objective names. Reads the file of a target from a file.
struct TargetSize {
  std::int64_t rows = 0;
  std::int64_t cols = 0;
};
TargetSize target_size(const Settings& settings);

/// From model.kind, the keys of that kind and the target. Throws InputError when the shapes do not
/// multiply to the target's.
Shape shape_of(const Settings& settings);

}  // namespace manyfold::factorization
