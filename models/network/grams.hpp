// Gram matrices of a network at finite width, while it trains: G^(h)_(k,i),(l,j) = <df_k(x_i)/dW_h,
// df_l(x_j)/dW_h> and their sum over layers, the empirical tangent kernel (Du 2019, thesis,
// chapters 2 and 3; Jacot et al. 2018). Made layer by layer from the layers' inputs A and the
// gradients B in their pre-activations, G^(h) = (A A^T) o (B B^T), tile by tile of examples: the
// gradients of all weights are never there.
//
// Of a convolution, either pairs of places are summed or the gradients of its filter are made, an
// example at a time, whichever takes fewer operations. Of a two_layer_relu what multiplies x_i .
// x_j is a count of neurons, an exact integer, and is made 64 neurons at a time.
//
// Where all examples are one tile and the net has one output, products of dense layers are made of
// what the net shows, by half of their blocks, and nothing is kept. Products are in double
// precision, whatever the network's: G is the Gram matrix of the gradients that the network has in
// its own, and its least eigenvalue keeps its digits. A request may do without.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include "core/executor/executor.hpp"
#include "core/executor/memory.hpp"
#include "core/view.hpp"
#include "models/network/net.hpp"
#include "models/network/objective.hpp"

namespace manyfold::network {

/// The first examples of a set, and whether the matrix of each layer is wanted beside their sum.
struct GramRequest {
  Set set = Set::train;
  std::int64_t examples = 0;
  bool layers = false;
  /// Products may be in the network's precision: entries err by its rounding times the roots of
  /// diagonal entries, and so do eigenvalues.
  bool single = false;
};

/// What a matrix is the sum of: the part of one weight, or one bias.
struct GramPart {
  std::int64_t h = 0;
  bool bias = false;
  std::int64_t places = 1;
  std::int64_t in = 1;  ///< entries of a row of A: the fan in, 1 of a bias
  std::int64_t out = 1;
  bool gradients = false;    ///< by gradients of the filter, not by pairs of places
  bool direct = false;       ///< of what the net shows: nothing is kept
  std::int64_t a_begin = 0;  ///< where a tile's A stands in a slot of the store, where it is kept
  std::int64_t b_begin = 0;  ///< and of output k its B, or gradients, k b_size further
  std::int64_t b_size = 0;
};

/// Memory of a slot, in doubles, but for the matrices.
struct GramLayout {
  std::vector<GramPart> parts;  ///< from the output
  bool patterns = false;        ///< of a two_layer_relu
  std::int64_t tile = 0;        ///< examples
  std::int64_t store = 0;       ///< A and B of a tile, all parts
  std::int64_t other = 0;       ///< of another tile, the part at hand
  std::int64_t room = 0;        ///< a part's A and B, where its gradients are made
  std::int64_t products = 0;    ///< of two tiles, each of two
  std::int64_t narrow = 0;      ///< the same in the network's precision
};

template <class T>
class Grams {
 public:
  /// `rows` as in Net.
  Grams(Executor& executor, const Description& description, const GramRequest& request,
        std::int64_t slots, std::int64_t rows, bool shared_problem);
  /// Everything that the constructor allocates: for each slot, and once.
  static std::size_t bytes_per_slot(const Description& description, const GramRequest& request,
                                    std::int64_t rows, bool shared_problem);
  static std::size_t shared_bytes(const Description& description, const GramRequest& request,
                                  std::int64_t rows, bool shared_problem);

  const GramRequest& request() const { return request_; }
  /// When the slots' data are in place; not inside a program.
  void load(const Objective<T>& objective);
  /// At the network's weights. Kernels only.
  void evaluate(Net<T>& net, Objective<T>& objective);

  /// Rows: of example i and output k, k examples + i.
  std::int64_t size() const { return size_; }
  /// (slot, size, size), symmetric to rounding, as evaluated last.
  MatrixBatch<const double> sum() const { return matrix(sum_); }
  /// Of the i-th trained weight from the input, with its bias; where the request asks for layers.
  MatrixBatch<const double> layer(std::size_t i) const { return matrix(layers_[i]); }

 private:
  /// A and B, or gradients in B's place, of some examples and one output.
  struct Terms {
    MatrixBatch<double> a;
    MatrixBatch<double> b;
  };
  struct Tile {
    std::int64_t first = 0;
    std::int64_t count = 0;
  };
  MatrixBatch<double> matrix(const Buffer<double>& buffer) const {
    return {buffer.data(), slots_, size_, size_, size_ * size_, size_};
  }
  Terms terms_at(const Buffer<double>& buffer, std::int64_t stride, const GramPart& part,
                 std::int64_t a_begin, std::int64_t b_begin, std::int64_t count) const;
  Terms kept(const GramPart& part, std::int64_t output, std::int64_t count) const;
  Terms others(const GramPart& part, std::int64_t count) const;
  void set_slope(const Net<T>& net, std::int64_t output, std::int64_t count) const;
  void take(const LayerTerms<T>& layer, const GramPart& part, const Terms& to) const;
  void keep(Net<T>& net, Objective<T>& objective, const Tile& tile);
  template <class U>
  void put_direct(std::size_t part, const MatrixBatch<const U>& a, const MatrixBatch<const U>& b,
                  const Buffer<U>& x, const Buffer<U>& y, std::int64_t stride) const;
  void put_direct(std::size_t part, const LayerTerms<T>& layer) const;
  const Buffer<double>& matrix_of(std::size_t part) const {
    return request_.layers ? layers_[static_cast<std::size_t>(places_of_layers_[part])] : sum_;
  }
  /// Whether the part's products are added to what is there. Direct ones come first.
  bool adds(std::size_t part) const {
    return request_.layers ? layout_.parts[part].bias : part != first_;
  }
  void products(const GramPart& part, const Terms& own, const Terms& other, bool with_a) const;
  void put(std::size_t part, const Tile& own, std::int64_t output, const Tile& other,
           std::int64_t from_output) const;
  void within(const Tile& tile) const;
  void between(Net<T>& net, Objective<T>& objective, const Tile& own, const Tile& other) const;
  void evaluate_patterns(Net<T>& net, Objective<T>& objective) const;

  Executor& executor_;
  GramRequest request_;
  GramLayout layout_;
  std::int64_t slots_;
  std::int64_t outputs_;
  std::int64_t size_;
  std::vector<std::int64_t> places_of_layers_;  ///< of each part: number of its matrix in layers_
  std::vector<double> factors_;                 ///< of each part
  std::size_t first_ = 0;                       ///< part that is put first
  std::int64_t relu_ = -1;                      ///< index of the layer whose patterns count
  double pattern_factor_ = 1;
  Buffer<double> sum_;
  std::vector<Buffer<double>> layers_;
  Buffer<double> store_;
  Buffer<double> other_;
  Buffer<double> room_;
  Buffer<double> x_;
  Buffer<double> y_;
  Buffer<T> narrow_x_;
  Buffer<T> narrow_y_;
  Buffer<T> units_;      ///< 1, 0, ..., 0, of as many as outputs, again and again
  Buffer<double> ones_;  ///< A of a bias
  // Of patterns.
  Buffer<std::uint64_t> bits_;
  Buffer<double> inputs_;      ///< in double precision
  Buffer<double> input_gram_;  ///< x_i . x_j
  bool shared_inputs_;
};

/// Those of all probes of a family: each is evaluated once at a state, however many look at it.
template <class T>
class GramSet {
 public:
  GramSet(Executor& executor, const Description& description,
          const std::vector<GramRequest>& requests, std::int64_t slots, std::int64_t rows,
          bool shared_problem);

  void load(const Objective<T>& objective);
  /// The state is another one now.
  void forget() { fresh_.assign(fresh_.size(), false); }
  /// Of a request among those of the constructor. Kernels only.
  const Grams<T>& at(const GramRequest& request, Net<T>& net, Objective<T>& objective);

 private:
  std::vector<Grams<T>> all_;
  std::vector<bool> fresh_;
};

/// Adds one to others, as one of the same examples where there is one.
void add_request(std::vector<GramRequest>& requests, const GramRequest& request);

}  // namespace manyfold::network
