// Forward and backward products by batched matrix products over all slots.
#include "models/factorization/chain.hpp"

#include <algorithm>

namespace manyfold::factorization {
namespace {

using kernels::Transpose;

constexpr Transpose keep = Transpose::no;
constexpr Transpose flip = Transpose::yes;

/// Elements per slot of every buffer: the constructor allocates them, the plan counts them.
template <class T>
struct Strides {
  std::int64_t parameters = 0;
  std::vector<std::int64_t> prefix;
  std::int64_t backward = 0;
  std::int64_t end = 0;
  std::int64_t slope = 0;

  explicit Strides(const Shape& shape) : parameters(padded<T>(shape.parameters())) {
    const std::int64_t n0 = shape.sizes.front();
    const std::int64_t last = shape.layers();
    std::int64_t largest = 0;
    for (std::int64_t h = 2; h <= last; ++h) {
      prefix.push_back(padded<T>(shape.layer_rows(h) * n0));
      if (h < last || shape.symmetric_model) largest = std::max(largest, shape.layer_rows(h) * n0);
    }
    backward = padded<T>(largest);
    end = shape.symmetric_model ? padded<T>(shape.rows() * shape.rows()) : 0;
    const bool own_slope = last > 1 || shape.symmetric_model;
    slope = own_slope ? padded<T>(shape.rows() * shape.cols()) : 0;
  }

  std::int64_t total() const {
    std::int64_t elements = 2 * parameters + 2 * backward + end + slope;
    for (const std::int64_t stride : prefix) elements += stride;
    return elements;
  }
};

}  // namespace

template <class T>
std::size_t Chain<T>::bytes_per_slot(const Shape& shape) {
  return static_cast<std::size_t>(Strides<T>(shape).total()) * sizeof(T);
}

template <class T>
std::size_t Chain<T>::work_bytes(const Shape& shape) {
  const Strides<T> strides(shape);
  return static_cast<std::size_t>(strides.total() - strides.parameters) * sizeof(T);
}

template <class T>
Chain<T>::Chain(Executor& executor, const Shape& shape, std::int64_t slots, kernels::MathMode math,
                kernels::WorkSlots& work)
    : executor_(executor), shape_(shape), slots_(slots), math_(math) {
  const Strides<T> strides(shape);
  stride_ = strides.parameters;
  prefix_stride_ = strides.prefix;
  backward_stride_ = strides.backward;
  end_stride_ = strides.end;
  slope_stride_ = strides.slope;
  parameters_ = Buffer<T>(executor, slots * stride_);
  gradient_ = work.buffer<T>(stride_);
  for (const std::int64_t stride : prefix_stride_) prefix_.push_back(work.buffer<T>(stride));
  for (auto& buffer : backward_) buffer = work.buffer<T>(backward_stride_);
  end_ = work.buffer<T>(end_stride_);
  slope_ = work.buffer<T>(slope_stride_);
  parameters_.clear();
  gradient_.clear();
}

template <class T>
void Chain<T>::multiply(Transpose ta, Transpose tb, MatrixBatch<const T> a, MatrixBatch<const T> b,
                        MatrixBatch<T> c, T alpha, T beta) const {
  kernels::gemm<T>(executor_, {ta, tb, alpha, a, b, beta, c, math_});
}

template <class T>
void Chain<T>::forward() {
  const std::int64_t last = shape_.layers();
  for (std::int64_t h = 2; h <= last; ++h) {
    multiply(keep, keep, weight(h), prefix(h - 1), prefix(h));
  }
  if (shape_.symmetric_model) multiply(keep, flip, prefix(last), prefix(last), end());
}

template <class T>
void Chain<T>::backward() {
  const std::int64_t last = shape_.layers();
  if (shape_.symmetric_model) {
    multiply(keep, keep, slope(), prefix(last), prefix_slope(last), T(0.5));
    multiply(flip, keep, slope(), prefix(last), prefix_slope(last), T(0.5), T(1));
  }
  for (std::int64_t h = last; h >= 2; --h) {
    multiply(keep, flip, prefix_slope(h), prefix(h - 1), weight_gradient(h));
    multiply(flip, keep, weight(h), prefix_slope(h), prefix_slope(h - 1));
  }
}

template <class T>
Parameters<T> Chain<T>::parameters() const {
  const std::int64_t count = shape_.parameters();
  return {{parameters_.data(), slots_, count, stride_}, {gradient_.data(), slots_, count, stride_}};
}

template <class T>
MatrixBatch<T> Chain<T>::weight(std::int64_t h) const {
  return matrix(parameters_.data() + shape_.layer_offset(h), shape_.layer_rows(h),
                shape_.layer_cols(h), stride_);
}

template <class T>
MatrixBatch<T> Chain<T>::weight_gradient(std::int64_t h) const {
  return matrix(gradient_.data() + shape_.layer_offset(h), shape_.layer_rows(h),
                shape_.layer_cols(h), stride_);
}

template <class T>
MatrixBatch<T> Chain<T>::prefix(std::int64_t h) const {
  if (h == 1) return weight(1);
  const auto i = static_cast<std::size_t>(h - 2);
  return matrix(prefix_[i].data(), shape_.layer_rows(h), shape_.sizes.front(), prefix_stride_[i]);
}

template <class T>
MatrixBatch<T> Chain<T>::prefix_slope(std::int64_t h) const {
  if (h == 1) return weight_gradient(1);
  if (h == shape_.layers() && !shape_.symmetric_model) return slope();
  return matrix(backward_[static_cast<std::size_t>(h % 2)].data(), shape_.layer_rows(h),
                shape_.sizes.front(), backward_stride_);
}

template <class T>
MatrixBatch<T> Chain<T>::end() const {
  if (!shape_.symmetric_model) return prefix(shape_.layers());
  return matrix(end_.data(), shape_.rows(), shape_.rows(), end_stride_);
}

template <class T>
MatrixBatch<T> Chain<T>::slope() const {
  if (slope_stride_ == 0) return weight_gradient(1);
  return matrix(slope_.data(), shape_.rows(), shape_.cols(), slope_stride_);
}

template class Chain<float>;
template class Chain<double>;

}  // namespace manyfold::factorization
