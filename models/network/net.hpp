// The networks of a family on a device, all slots at once: outputs from inputs, and the gradients
// of all weights from the gradient in the outputs, by batched products over slots. Activations are
// kept per slot as (example, feature).
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "core/executor/executor.hpp"
#include "core/executor/memory.hpp"
#include "core/view.hpp"
#include "kernels/gemm.hpp"
#include "models/network/description.hpp"
#include "models/network/tape.hpp"
#include "models/training/model.hpp"

namespace manyfold::network {

/// What the gradient of W_h consists of, for the examples that were evaluated last: the sum over
/// rows r of scale slope_r in_r^T, and that of b_h the sum of bias_scale slope_r. A row is an
/// example, of a convolution a place of one, places of an example beneath each other.
template <class T>
struct LayerTerms {
  std::int64_t h = 0;
  std::int64_t places = 1;
  double scale = 1;
  double bias_scale = 1;
  MatrixBatch<const T> in;     ///< (slot, row, fan in); no data where W_h is frozen
  MatrixBatch<const T> slope;  ///< (slot, row, entry of the pre-activation)
};

template <class T>
class NetTangent;

template <class T>
class Net {
 public:
  /// `rows`: the most examples that are evaluated at once.
  Net(Executor& executor, const Description& description, std::int64_t slots, std::int64_t rows,
      kernels::MathMode math);

  /// Everything that the constructor allocates: for each slot, and once.
  static std::size_t bytes_per_slot(const Description& description, std::int64_t rows);
  static std::size_t shared_bytes(const Description& description, std::int64_t rows);

  /// Outputs of all layers for the examples `x`, (slot, row, feature), at most `rows` of them; x
  /// may be shared by all slots. Kernels only.
  void forward(MatrixBatch<const T> x);
  /// The gradient of every weight from the one in the outputs, which stands in `output_slope()`,
  /// for the examples that `forward` saw last; added to what is there where `add`. Overwrites
  /// output_slope(). Kernels only.
  void backward(bool add);
  /// Propagates as `backward`, and shows what the gradient of each trained weight or bias consists
  /// of, from the last layer to the first, instead of making it. What is shown is overwritten when
  /// `see` has returned; kernels that `see` calls come before that. Kernels only.
  void backward_terms(const std::function<void(const LayerTerms<T>&)>& see);

  const Description& description() const { return description_; }
  Executor& executor() const { return executor_; }
  std::int64_t slots() const { return slots_; }
  std::int64_t rows() const { return rows_; }
  Parameters<T> parameters() const;
  const Buffer<T>& values() const { return parameters_; }
  /// Elements from one slot's parameters to the next.
  std::int64_t stride() const { return stride_; }
  /// Entries of frozen weights, (slot, element), as the slots' parameters.
  const Buffer<T>& frozen() const { return frozen_; }
  std::int64_t frozen_stride() const { return frozen_stride_; }

  /// W_h, (slot, rows, cols), h = 1, 2, ...: of a pattern as `forward` or `spread` made it last.
  MatrixBatch<T> weight(std::int64_t h) const;
  /// Of a pattern it is the gradient in the whole matrix, and all of them share its memory.
  MatrixBatch<T> weight_gradient(std::int64_t h) const;
  /// What is trained of W_h: itself, or v of a pattern, (slot, 1, K).
  MatrixBatch<T> free_weight(std::int64_t h) const;
  /// Makes W_h of a pattern from its parameters, for all h. Kernels only.
  void spread() const;
  /// The matrix w that W_h's pattern makes of v. Kernels only.
  void spread(std::int64_t h, const VectorBatch<const T>& v, const MatrixBatch<T>& w) const;

  /// The outputs are output_scale() times this, (slot, row, output), as `forward` left it.
  MatrixBatch<T> output() const;
  double output_scale() const;
  /// Where the gradient in `output()` goes, scale included.
  MatrixBatch<T> output_slope() const;
  /// What the layer of that index in the description gives for the examples that `forward` saw
  /// last, but for a positive factor, (slot, row, feature): an activation's s(z). Only layers that
  /// compute something have one.
  MatrixBatch<T> state(std::int64_t layer) const;
  double state_scale(std::int64_t layer) const;  ///< that factor

 private:
  friend class NetTangent<T>;  // goes the same ways along a direction

  MatrixBatch<T> matrix(const Buffer<T>& buffer, std::int64_t stride, std::int64_t cols) const {
    return {buffer.data(), slots_, current_rows_, cols, stride, cols};
  }
  MatrixBatch<const T> value(int number) const;
  MatrixBatch<T> own(int number) const;  ///< of a value that is not the input
  MatrixBatch<T> gradient(int buffer, std::int64_t features) const;
  MatrixBatch<T> bias(std::int64_t h, const Buffer<T>& of) const;
  const Layer& layer_of(const Node& node) const;
  const Node& node_of(std::int64_t layer) const;
  /// A value of a convolution's output as one row a place.
  template <class U>
  static MatrixBatch<U> by_place(const MatrixBatch<U>& m, std::int64_t places) {
    const std::int64_t cols = m.cols / places;
    return {m.data, m.slots, m.rows * places, cols, m.slot_stride, cols};
  }

  /// How a product ends where the rectifier that follows, or its slope on the way back, is in its
  /// place: together with it.
  struct Ending {
    kernels::Finish finish = kernels::Finish::none;
    T below = 0;
    T by = 1;
    MatrixBatch<const T> state{};
  };
  /// A rectifier's slope under 0; nothing for other layers.
  static std::optional<T> below_zero(const Layer& layer);
  Ending forward_ending(std::size_t node) const;
  Ending backward_ending(std::size_t step) const;

  void product(const Node& node, const Layer& layer, const Ending& ending);
  /// Rows that multiply W: the input itself, or its patches.
  MatrixBatch<const T> operand(const Node& node, const Layer& layer);
  void product_back(const BackwardStep& step, const Node& node, const Layer& layer,
                    const std::function<void(const LayerTerms<T>&)>& see, const Ending& ending);
  /// The gradient in v, among those in `all` parameters, from weight_gradient(h), the one in the
  /// whole matrix; added to what is there where `add`.
  void collect(std::int64_t h, const VectorBatch<T>& all, bool add) const;
  MatrixBatch<const T> operand(const MatrixBatch<const T>& in, const Layer& layer);
  void multiply(kernels::Transpose ta, kernels::Transpose tb, MatrixBatch<const T> a,
                MatrixBatch<const T> b, MatrixBatch<T> c, double alpha, bool add,
                const Ending& ending = Ending()) const;
  MatrixBatch<const T> ones(std::int64_t rows) const;

  Executor& executor_;
  Description description_;
  Tape tape_;
  std::int64_t slots_;
  std::int64_t rows_;
  kernels::MathMode math_;
  std::int64_t stride_;
  std::int64_t frozen_stride_;
  std::int64_t current_rows_ = 0;
  MatrixBatch<const T> input_;
  Buffer<T> parameters_;
  Buffer<T> gradient_;
  Buffer<T> frozen_;
  std::vector<Buffer<T>> storage_;
  std::vector<Buffer<T>> buffers_;
  Buffer<T> patches_;
  Buffer<T> ones_;  ///< a column, where there are biases
  /// Of weights with a pattern: its numbers, its places and where they begin; of others nothing.
  struct Places {
    Buffer<std::int32_t> numbers;
    Buffer<std::int32_t> places;
    Buffer<std::int32_t> begins;
  };
  std::vector<Places> patterns_;
  Buffer<T> spread_;           ///< W_h of patterns, (slot, entry)
  Buffer<T> spread_gradient_;  ///< the gradient in one of them
};

}  // namespace manyfold::network
