// Factor by factor: a product, then rotations.
#include "models/factorization/product_spectrum.hpp"

#include <algorithm>
#include <type_traits>
#include <vector>

#include "kernels/gemm.hpp"
#include "kernels/singular_values.hpp"
#include "kernels/widen.hpp"

namespace manyfold::factorization {
namespace {

using kernels::Transpose;

/// W_h, or its transpose.
struct Factor {
  std::int64_t layer;
  Transpose transpose;
  std::int64_t rows, cols;
};

/// From the right.
std::vector<Factor> factors_of(const Shape& shape) {
  std::vector<Factor> all;
  for (std::int64_t h = shape.layers(); shape.symmetric_model && h >= 1; --h) {
    all.push_back({h, Transpose::yes, shape.layer_cols(h), shape.layer_rows(h)});
  }
  for (std::int64_t h = 1; h <= shape.layers(); ++h) {
    all.push_back({h, Transpose::no, shape.layer_rows(h), shape.layer_cols(h)});
  }
  return all;
}

/// Sizes over all factors: X_h is rows x (columns that are left).
struct Sizes {
  std::int64_t weight = 0;
  std::int64_t product = 0;
  std::int64_t scaled = 0;
  std::int64_t workspace = 0;

  explicit Sizes(const Shape& shape) {
    const std::vector<Factor> factors = factors_of(shape);
    std::int64_t left = factors.front().cols;
    for (const Factor& factor : factors) {
      const bool last = &factor == &factors.back();
      weight = std::max(weight, factor.rows * factor.cols);
      product = std::max(product, factor.rows * left);
      workspace = std::max(workspace, kernels::singular_values_workspace(factor.rows, left, !last));
      left = std::min(left, factor.rows);
      scaled = std::max(scaled, factor.rows * left);
    }
    if (factors.size() > 1) return;
    weight = product = scaled = 0;
  }
};

template <class T>
constexpr bool widens = !std::is_same_v<T, double>;

}  // namespace

template <class T>
ProductSpectrum<T>::ProductSpectrum(Executor& executor, const Chain<T>& chain,
                                    kernels::WorkSlots& work)
    : executor_(executor), chain_(chain) {
  const Sizes sizes(chain.shape());
  if (widens<T>) wide_ = work.buffer<double>(sizes.weight);
  product_ = work.buffer<double>(sizes.product);
  scaled_ = work.buffer<double>(sizes.scaled);
}

template <class T>
std::size_t ProductSpectrum<T>::bytes_per_slot(const Shape& shape) {
  const Sizes sizes(shape);
  return static_cast<std::size_t>((widens<T> ? sizes.weight : 0) + sizes.product + sizes.scaled) *
         sizeof(double);
}

template <class T>
std::int64_t ProductSpectrum<T>::workspace(const Shape& shape) {
  return Sizes(shape).workspace;
}

template <class T>
void ProductSpectrum<T>::compute(double* values, double* left, std::int32_t* sweeps,
                                 double* workspace, std::int64_t workspace_stride) {
  const Shape& shape = chain_.shape();
  const std::int64_t slots = chain_.slots();
  const std::int64_t stride = std::min(shape.rows(), shape.cols());
  const std::vector<Factor> factors = factors_of(shape);
  // One stride for all: a CPU carries some slots through every operation while others wait.
  const Sizes sizes(shape);
  const auto rotate = [&]<class U>(const MatrixBatch<U>& x, const Factor& factor,
                                   std::int64_t count) {
    kernels::SingularValuesArgs<std::remove_const_t<U>> args{.a = x,
                                                             .values = values,
                                                             .values_stride = stride,
                                                             .sweeps = sweeps,
                                                             .workspace = workspace,
                                                             .workspace_stride = workspace_stride};
    if (&factor == &factors.back()) {
      args.values_count = stride;
      args.left = left;
      args.left_stride = shape.rows();
    } else {
      // Of W^T = V S U^T, V S.
      const bool turned = &factor == &factors.front() && factor.transpose == Transpose::yes;
      (turned ? args.v : args.u) =
          MatrixBatch<double>{scaled_.data(), slots, factor.rows, count, sizes.scaled, count};
      args.scaled = true;
    }
    kernels::singular_values(executor_, args);
  };

  std::int64_t count = factors.front().cols;
  for (const Factor& factor : factors) {
    const MatrixBatch<const T> weight = chain_.weight(factor.layer);
    const std::int64_t below = count;
    count = std::min(count, factor.rows);
    if (&factor == &factors.front()) {
      rotate(weight, factor, count);
      continue;
    }
    MatrixBatch<const double> wide;
    if constexpr (widens<T>) {
      kernels::widen<T>(executor_, {flatten(weight), wide_.data(), sizes.weight});
      wide = {wide_.data(), slots, weight.rows, weight.cols, sizes.weight, weight.cols};
    } else {
      wide = weight;
    }
    const MatrixBatch<double> x{product_.data(), slots, factor.rows, below, sizes.product, below};
    const MatrixBatch<const double> y{scaled_.data(), slots,        factor.cols,
                                      below,          sizes.scaled, below};
    kernels::gemm<double>(executor_, {.transpose_a = factor.transpose, .a = wide, .b = y, .c = x});
    rotate(MatrixBatch<const double>(x), factor, count);
  }
}

template class ProductSpectrum<float>;
template class ProductSpectrum<double>;

}  // namespace manyfold::factorization
