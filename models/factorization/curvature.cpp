// Products along a direction, kernel by kernel.
#include "models/factorization/curvature.hpp"

namespace manyfold::factorization {
namespace {

using kernels::Transpose;

constexpr Transpose keep = Transpose::no;
constexpr Transpose flip = Transpose::yes;

std::int64_t zeros(const Shape& shape, ObjectiveKind kind) {
  return kind == ObjectiveKind::completion ? shape.rows() * shape.cols() : 0;
}

}  // namespace

template <class T>
std::size_t ChainCurvature<T>::bytes_per_slot(const Shape& shape) {
  // As the chain's own, but parameters and gradient are the caller's.
  return Chain<T>::work_bytes(shape) -
         static_cast<std::size_t>(padded<T>(shape.parameters())) * sizeof(T);
}

template <class T>
std::size_t ChainCurvature<T>::shared_bytes(const Settings& settings, const Shape& shape) {
  return static_cast<std::size_t>(zeros(shape, objective_kind(settings))) * sizeof(T);
}

template <class T>
ChainCurvature<T>::ChainCurvature(Executor& executor, const Chain<T>& chain,
                                  const Objective<T>& objective, Penalty<T>& penalty,
                                  kernels::WorkSlots& work)
    : chain_(chain),
      objective_(objective),
      penalty_(penalty),
      end_(work.buffer<T>(chain.end_stride_)),
      slope_(work.buffer<T>(chain.slope_stride_)),
      zero_(executor, zeros(chain.shape(), objective.kind())) {
  for (const std::int64_t stride : chain.prefix_stride_) prefix_.push_back(work.buffer<T>(stride));
  for (auto& buffer : backward_) buffer = work.buffer<T>(chain.backward_stride_);
  zero_.clear();
}

template <class T>
MatrixBatch<T> ChainCurvature<T>::product_of(std::int64_t h) const {
  MatrixBatch<T> like = chain_.prefix(h);
  like.data = prefix_[static_cast<std::size_t>(h - 2)].data();
  return like;
}

template <class T>
MatrixBatch<const T> ChainCurvature<T>::prefix(VectorBatch<const T> along, std::int64_t h) const {
  if (h == 1) return chain_.layer(along, 1);
  return product_of(h);
}

template <class T>
MatrixBatch<T> ChainCurvature<T>::square() const {
  MatrixBatch<T> like = chain_.end();
  like.data = end_.data();
  return like;
}

template <class T>
MatrixBatch<const T> ChainCurvature<T>::end(VectorBatch<const T> along) const {
  if (chain_.shape().symmetric_model) return square();
  return prefix(along, chain_.shape().layers());
}

template <class T>
MatrixBatch<T> ChainCurvature<T>::slope(VectorBatch<T> product) const {
  if (chain_.slope_stride_ == 0) return chain_.layer(product, 1);
  MatrixBatch<T> like = chain_.slope();
  like.data = slope_.data();
  return like;
}

template <class T>
MatrixBatch<T> ChainCurvature<T>::prefix_slope(VectorBatch<T> product, std::int64_t h) const {
  if (h == 1) return chain_.layer(product, 1);
  if (h == chain_.shape().layers() && !chain_.shape().symmetric_model) return slope(product);
  MatrixBatch<T> like = chain_.prefix_slope(h);
  like.data = backward_[static_cast<std::size_t>(h % 2)].data();
  return like;
}

/// P_h' = W_h' P_{h-1} + W_h P_{h-1}'; of the symmetric model W' = P' P^T + P P'^T.
template <class T>
void ChainCurvature<T>::forward(VectorBatch<const T> vector) {
  const std::int64_t last = chain_.shape().layers();
  for (std::int64_t h = 2; h <= last; ++h) {
    const MatrixBatch<T> to = product_of(h);
    chain_.multiply(keep, keep, chain_.layer(vector, h), chain_.prefix(h - 1), to);
    chain_.multiply(keep, keep, chain_.weight(h), prefix(vector, h - 1), to, T(1), T(1));
  }
  if (!chain_.shape().symmetric_model) return;
  chain_.multiply(keep, flip, prefix(vector, last), chain_.prefix(last), square());
  chain_.multiply(keep, flip, chain_.prefix(last), prefix(vector, last), square(), T(1), T(1));
}

/// With B_h = df/dP_h: the gradient B_h P_{h-1}^T of W_h and B_{h-1} = W_h^T B_h change by
/// B_h' P_{h-1}^T + B_h P_{h-1}'^T and W_h^T B_h' + W_h'^T B_h. The second terms are the curvature
/// of W.
template <class T>
void ChainCurvature<T>::backward(bool whole, VectorBatch<const T> vector, VectorBatch<T> product) {
  const std::int64_t last = chain_.shape().layers();
  if (chain_.shape().symmetric_model) {
    // B_L = (S + S^T) P / 2, S = grad f(W).
    const MatrixBatch<T> to = prefix_slope(product, last);
    const MatrixBatch<const T> moved = slope(product);
    chain_.multiply(keep, keep, moved, chain_.prefix(last), to, T(0.5));
    chain_.multiply(flip, keep, moved, chain_.prefix(last), to, T(0.5), T(1));
    if (whole) {
      const MatrixBatch<const T> s = chain_.slope();
      chain_.multiply(keep, keep, s, prefix(vector, last), to, T(0.5), T(1));
      chain_.multiply(flip, keep, s, prefix(vector, last), to, T(0.5), T(1));
      if (last > 1) {  // of a single layer B_1 is the gradient itself
        chain_.multiply(keep, keep, s, chain_.prefix(last), chain_.prefix_slope(last), T(0.5));
        chain_.multiply(flip, keep, s, chain_.prefix(last), chain_.prefix_slope(last), T(0.5),
                        T(1));
      }
    }
  }
  for (std::int64_t h = last; h >= 2; --h) {
    const MatrixBatch<const T> moved = prefix_slope(product, h);
    const MatrixBatch<T> w = chain_.layer(product, h);
    const MatrixBatch<T> below = prefix_slope(product, h - 1);
    chain_.multiply(keep, flip, moved, chain_.prefix(h - 1), w);
    chain_.multiply(flip, keep, chain_.weight(h), moved, below);
    if (!whole) continue;
    const MatrixBatch<const T> b = chain_.prefix_slope(h);
    chain_.multiply(keep, flip, b, prefix(vector, h - 1), w, T(1), T(1));
    chain_.multiply(flip, keep, chain_.layer(vector, h), b, below, T(1), T(1));
    if (h > 2) chain_.multiply(flip, keep, chain_.weight(h), b, chain_.prefix_slope(h - 1));
  }
}

template <class T>
void ChainCurvature<T>::multiply(CurvatureMatrix matrix, VectorBatch<const T> vector,
                                 VectorBatch<T> product) {
  forward(vector);
  const Shape& shape = chain_.shape();
  const MatrixBatch<const T> zero{zero_.data(), chain_.slots(), shape.rows(), shape.cols(), 0,
                                  shape.cols()};
  objective_.second_derivative(end(vector), zero, slope(product));
  backward(matrix == CurvatureMatrix::hessian, vector, product);
  penalty_.add_curvature(matrix, chain_, vector, product);
}

template class ChainCurvature<float>;
template class ChainCurvature<double>;

}  // namespace manyfold::factorization
