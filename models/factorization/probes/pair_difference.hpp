// D_h = W_{h+1}^T W_{h+1} - W_h W_h^T of neighbouring layers, which gradient flow conserves (Du,
// Hu, Lee 2018, theorem 2.2).
#pragma once

#include <algorithm>

#include "core/executor/memory.hpp"
#include "models/factorization/probes.hpp"

namespace manyfold::factorization {

/// Room for one D_h of every slot at a time.
template <class T>
class PairDifference {
 public:
  explicit PairDifference(const ObserverContext& context)
      : stride_(padded<T>(largest(context.probe.shape))),
        slots_(context.slots),
        difference_(context.executor, context.slots * stride_) {}

  /// D_h, (slot, n_h, n_h); valid until the next call. Kernels only.
  MatrixBatch<T> operator()(const Chain<T>& chain, std::int64_t h) const {
    const std::int64_t n = chain.shape().layer_rows(h);
    const MatrixBatch<T> out{difference_.data(), slots_, n, n, stride_, n};
    compute(chain, h, out);
    return out;
  }

  static void compute(const Chain<T>& chain, std::int64_t h, const MatrixBatch<T>& out) {
    using kernels::Transpose;
    chain.multiply(Transpose::yes, Transpose::no, chain.weight(h + 1), chain.weight(h + 1), out);
    chain.multiply(Transpose::no, Transpose::yes, chain.weight(h), chain.weight(h), out, T(-1),
                   T(1));
  }

  /// Elements of the largest of them.
  static std::int64_t largest(const Shape& shape) {
    std::int64_t elements = 0;
    for (std::int64_t h = 1; h < shape.layers(); ++h) {
      elements = std::max(elements, shape.layer_rows(h) * shape.layer_rows(h));
    }
    return elements;
  }

 private:
  std::int64_t stride_;
  std::int64_t slots_;
  Buffer<T> difference_;
};

inline std::size_t pair_difference_bytes(const ProbeSettings& probe) {
  return padded_bytes(probe, PairDifference<double>::largest(probe.shape));
}

}  // namespace manyfold::factorization
