// Gram matrices tile by tile: A and B of a tile are kept, those of the tiles after it are made as
// the network propagates back through them.
#include "models/network/grams.hpp"

#include <algorithm>
#include <stdexcept>
#include <type_traits>

#include "kernels/add_scaled.hpp"
#include "kernels/gram.hpp"
#include "kernels/widen.hpp"
#include "models/network/probes.hpp"

namespace manyfold::network {
namespace {

using kernels::Transpose;

/// What tiles of one slot may take.
constexpr std::int64_t most_doubles = (std::int64_t{256} << 20) / sizeof(double);

/// W x, relu, a sum with weights +1 and -1: what multiplies x_i . x_j is a count of neurons.
bool counts_neurons(const Description& description) {
  const auto& layers = description.layers;
  const std::size_t first = !layers.empty() && layers[0].kind == LayerKind::flatten ? 1 : 0;
  if (layers.size() != first + 3 || description.outputs != 1) return false;
  const Layer& hidden = layers[first];
  const Layer& relu = layers[first + 1];
  const Layer& sum = layers[first + 2];
  return hidden.kind == LayerKind::dense && !hidden.bias && !hidden.frozen &&
         relu.kind == LayerKind::activation && relu.activation == kernels::Activation::relu &&
         sum.kind == LayerKind::dense && !sum.bias && sum.frozen && sum.signs;
}

const Layer& layer_of(const Description& description, std::int64_t h) {
  return *std::find_if(description.layers.begin(), description.layers.end(),
                       [&](const Layer& layer) { return layer.weight == h; });
}

/// In which precision the products of a request are made of what the net shows, and whether it has
/// to be copied before.
enum class Direct { as_is, narrow, widened };
template <class T>
Direct direct_of(const GramRequest& request) {
  if (std::is_same_v<T, double>) return Direct::as_is;
  return request.single ? Direct::narrow : Direct::widened;
}

/// Memory and operations of the parts, with tiles of that many examples, all or some.
GramLayout layout_of(const Description& description, std::int64_t tile, bool all, Direct direct) {
  GramLayout layout;
  layout.tile = tile;
  for (auto h = static_cast<std::int64_t>(description.weights.size()); h >= 1; --h) {
    const Weight& w = description.weights[static_cast<std::size_t>(h - 1)];
    const Layer& layer = layer_of(description, h);
    GramPart part;
    part.h = h;
    part.places = layer.places();
    part.out = w.rows;
    for (const bool bias : {false, true}) {
      if (bias ? !w.bias : w.frozen) continue;
      part.bias = bias;
      part.in = bias ? 1 : w.cols;
      const double pairs = static_cast<double>(part.places) * static_cast<double>(part.places) *
                           static_cast<double>(part.in + part.out);
      const double filter = static_cast<double>(part.in) * static_cast<double>(part.out);
      const double making = static_cast<double>(part.places) / static_cast<double>(tile);
      part.gradients = part.places > 1 && filter * (1 + making) < pairs;
      part.direct = all && description.outputs == 1 && part.places == 1;
      const std::int64_t a = bias ? 0 : tile * part.places * part.in;
      const std::int64_t b = tile * part.places * part.out;
      if (part.direct) {
        if (direct == Direct::widened) layout.other = std::max(layout.other, a + b);
        std::int64_t& products = direct == Direct::narrow ? layout.narrow : layout.products;
        products = std::max(products, tile * tile);
        layout.parts.push_back(part);
        continue;
      }
      part.b_size = part.gradients ? tile * part.in * part.out : b;
      part.a_begin = layout.store;
      if (!part.gradients) layout.store += a;
      part.b_begin = layout.store;
      layout.store += description.outputs * part.b_size;
      // What never meets another tile needs no memory for one.
      if (!all) layout.other = std::max(layout.other, (part.gradients ? 0 : a) + part.b_size);
      if (part.gradients) layout.room = std::max(layout.room, a + b);
      const std::int64_t side = tile * (part.gradients ? 1 : part.places);
      layout.products = std::max(layout.products, side * side);
      layout.parts.push_back(part);
    }
  }
  return layout;
}

std::int64_t doubles(const GramLayout& layout) {
  return layout.store + layout.other + layout.room + 2 * (layout.products + layout.narrow);
}

template <class T>
GramLayout layout_of(const Description& description, const GramRequest& request,
                     std::int64_t rows) {
  if (counts_neurons(description)) {
    GramLayout layout;
    layout.patterns = true;
    layout.tile = std::min(rows, request.examples);
    layout.products = request.examples * request.examples;
    return layout;
  }
  std::int64_t tile = std::min(rows, request.examples);
  const auto cut = [&] {
    return layout_of(description, tile, tile >= request.examples, direct_of<T>(request));
  };
  GramLayout layout = cut();
  while (tile > 1 && doubles(layout) > most_doubles) {
    tile = (tile + 1) / 2;
    layout = cut();
  }
  return layout;
}

std::int64_t words_of(const Description& description, const GramRequest& request) {
  return request.examples * kernels::pattern_words(description.weights.front().rows);
}

/// Doubles of all that patterns need of the inputs: the inputs, and their products.
std::int64_t input_doubles(const Description& description, const GramRequest& request) {
  return request.examples * (description.input.size() + request.examples);
}

std::int64_t longest_ones(const GramLayout& layout) {
  std::int64_t most = 0;
  for (const GramPart& part : layout.parts) {
    if (part.bias && !part.direct) most = std::max(most, layout.tile * part.places);
  }
  return most;
}

}  // namespace

template <class T>
std::size_t Grams<T>::bytes_per_slot(const Description& description, const GramRequest& request,
                                     std::int64_t rows, bool shared_problem) {
  const GramLayout layout = layout_of<T>(description, request, rows);
  const std::int64_t size = request.examples * description.outputs;
  std::int64_t count = size * size;
  if (request.layers) {
    count += size * size * static_cast<std::int64_t>(trained_weights(description).size());
  }
  if (layout.patterns) {
    count += layout.products + words_of(description, request) +
             (shared_problem ? 0 : input_doubles(description, request));
  } else {
    count += doubles(layout) - 2 * layout.narrow;
  }
  return static_cast<std::size_t>(count) * sizeof(double) +
         static_cast<std::size_t>(2 * layout.narrow) * sizeof(T);
}

template <class T>
std::size_t Grams<T>::shared_bytes(const Description& description, const GramRequest& request,
                                   std::int64_t rows, bool shared_problem) {
  const GramLayout layout = layout_of<T>(description, request, rows);
  if (layout.patterns) {
    return shared_problem
               ? static_cast<std::size_t>(input_doubles(description, request)) * sizeof(double)
               : 0;
  }
  return static_cast<std::size_t>((layout.tile + 1) * description.outputs) * sizeof(T) +
         static_cast<std::size_t>(longest_ones(layout)) * sizeof(double);
}

template <class T>
Grams<T>::Grams(Executor& executor, const Description& description, const GramRequest& request,
                std::int64_t slots, std::int64_t rows, bool shared_problem)
    : executor_(executor),
      request_(request),
      layout_(layout_of<T>(description, request, rows)),
      slots_(slots),
      outputs_(description.outputs),
      size_(request.examples * description.outputs),
      factors_(layout_.parts.size()),
      sum_(executor, slots * size_ * size_),
      shared_inputs_(shared_problem) {
  const std::vector<std::int64_t> trained = trained_weights(description);
  if (request.layers) {
    for (std::size_t i = 0; i < trained.size(); ++i) {
      layers_.emplace_back(executor, slots * size_ * size_);
    }
  }
  for (const GramPart& part : layout_.parts) {
    places_of_layers_.push_back(std::find(trained.begin(), trained.end(), part.h) -
                                trained.begin());
  }
  const auto first = std::find_if(layout_.parts.begin(), layout_.parts.end(),
                                  [](const GramPart& part) { return part.direct; });
  if (first != layout_.parts.end())
    first_ = static_cast<std::size_t>(first - layout_.parts.begin());
  y_ = Buffer<double>(executor, slots * layout_.products);
  if (layout_.patterns) {
    relu_ = static_cast<std::int64_t>(description.layers.size()) - 2;
    for (const Layer& layer : description.layers) pattern_factor_ *= layer.scale;
    bits_ = Buffer<std::uint64_t>(executor, slots * words_of(description, request));
    const std::int64_t problems = shared_problem ? 1 : slots;
    inputs_ = Buffer<double>(executor, problems * request.examples * description.input.size());
    input_gram_ = Buffer<double>(executor, problems * request.examples * request.examples);
    return;
  }
  x_ = Buffer<double>(executor, slots * layout_.products);
  narrow_x_ = Buffer<T>(executor, slots * layout_.narrow);
  narrow_y_ = Buffer<T>(executor, slots * layout_.narrow);
  store_ = Buffer<double>(executor, slots * layout_.store);
  other_ = Buffer<double>(executor, slots * layout_.other);
  room_ = Buffer<double>(executor, slots * layout_.room);
  std::vector<T> units(static_cast<std::size_t>((layout_.tile + 1) * outputs_), T(0));
  for (std::size_t i = 0; i < units.size(); i += static_cast<std::size_t>(outputs_)) units[i] = 1;
  units_ = Buffer<T>(executor, static_cast<std::int64_t>(units.size()));
  units_.upload(units);
  ones_ = Buffer<double>(executor, longest_ones(layout_));
  if (ones_.size() > 0) {
    ones_.upload(std::vector<double>(static_cast<std::size_t>(ones_.size()), 1.0));
  }
}

template <class T>
void Grams<T>::load(const Objective<T>& objective) {
  if (!layout_.patterns) return;
  MatrixBatch<const T> x = objective.inputs(request_.set);
  x.rows = request_.examples;
  x.slots = shared_inputs_ ? 1 : slots_;
  kernels::widen<T>(executor_, {flatten(x), inputs_.data(), x.size()});
  const MatrixBatch<const double> wide{inputs_.data(), x.slots, x.rows, x.cols, x.size(), x.cols};
  const std::int64_t n = x.rows;
  kernels::gemm<double>(executor_, {.transpose_b = Transpose::yes,
                                    .a = wide,
                                    .b = wide,
                                    .c = {input_gram_.data(), x.slots, n, n, n * n, n}});
}

template <class T>
typename Grams<T>::Terms Grams<T>::terms_at(const Buffer<double>& buffer, std::int64_t stride,
                                            const GramPart& part, std::int64_t a_begin,
                                            std::int64_t b_begin, std::int64_t count) const {
  const std::int64_t rows = part.gradients ? count : count * part.places;
  const std::int64_t b_cols = part.gradients ? part.in * part.out : part.out;
  Terms terms;
  if (part.bias) {
    terms.a = {ones_.data(), slots_, count * part.places, 1, 0, 1};
  } else if (!part.gradients) {
    terms.a = {buffer.data() + a_begin, slots_, rows, part.in, stride, part.in};
  }
  terms.b = {buffer.data() + b_begin, slots_, rows, b_cols, stride, b_cols};
  return terms;
}

template <class T>
typename Grams<T>::Terms Grams<T>::kept(const GramPart& part, std::int64_t output,
                                        std::int64_t count) const {
  return terms_at(store_, layout_.store, part, part.a_begin, part.b_begin + output * part.b_size,
                  count);
}

template <class T>
typename Grams<T>::Terms Grams<T>::others(const GramPart& part, std::int64_t count) const {
  return terms_at(other_, layout_.other, part, 0, part.b_begin - part.a_begin, count);
}

/// df_k/df, k = output, of every row.
template <class T>
void Grams<T>::set_slope(const Net<T>& net, std::int64_t output, std::int64_t count) const {
  const std::int64_t before = (outputs_ - output) % outputs_;
  kernels::add_scaled<T>(executor_, {.x = {units_.data() + before, slots_, count * outputs_, 0},
                                     .add = false,
                                     .y = flatten(net.output_slope())});
}

template <class T>
void Grams<T>::take(const LayerTerms<T>& layer, const GramPart& part, const Terms& to) const {
  const auto widen = [&](const MatrixBatch<const T>& from, const MatrixBatch<double>& into) {
    kernels::widen<T>(executor_, {flatten(from), into.data, into.slot_stride});
  };
  if (!part.gradients) {
    if (!part.bias) widen(layer.in, to.a);
    widen(layer.slope, to.b);
    return;
  }
  const std::int64_t rows = layer.slope.rows;
  const MatrixBatch<double> slope{room_.data(), slots_, rows, part.out, layout_.room, part.out};
  MatrixBatch<double> in = to.a;
  widen(layer.slope, slope);
  if (!part.bias) {
    in = {room_.data() + rows * part.out, slots_, rows, part.in, layout_.room, part.in};
    widen(layer.in, in);
  }
  kernels::example_products(executor_, {.a = slope, .b = in, .places = part.places, .c = to.b});
}

/// Of all examples at once. x and y: room for products, slots stride apart.
template <class T>
template <class U>
void Grams<T>::put_direct(std::size_t i, const MatrixBatch<const U>& a,
                          const MatrixBatch<const U>& b, const Buffer<U>& x, const Buffer<U>& y,
                          std::int64_t stride) const {
  const auto room = [&](const Buffer<U>& of) {
    return MatrixBatch<U>{of.data(), slots_, b.rows, b.rows, stride, b.rows};
  };
  kernels::gram_products<U>(
      executor_, {.a = a,
                  .b = b,
                  .factor = factors_[i],
                  .add = adds(i),
                  .gram = {matrix_of(i).data(), slots_, size_, size_, size_ * size_, size_},
                  .x = room(x),
                  .y = room(y)});
}

template <class T>
void Grams<T>::put_direct(std::size_t i, const LayerTerms<T>& layer) const {
  const GramPart& part = layout_.parts[i];
  const MatrixBatch<const T> a = part.bias ? MatrixBatch<const T>{} : layer.in;
  if constexpr (std::is_same_v<T, double>) {
    put_direct<double>(i, a, layer.slope, x_, y_, layout_.products);
  } else if (request_.single) {
    put_direct<T>(i, a, layer.slope, narrow_x_, narrow_y_, layout_.narrow);
  } else {
    const auto widened = [&](const MatrixBatch<const T>& from, std::int64_t begin) {
      const MatrixBatch<double> to{other_.data() + begin, slots_,   from.rows, from.cols,
                                   layout_.other,         from.cols};
      kernels::widen<T>(executor_, {flatten(from), to.data, to.slot_stride});
      return MatrixBatch<const double>(to);
    };
    const MatrixBatch<const double> b = widened(layer.slope, 0);
    put_direct<double>(i, part.bias ? MatrixBatch<const double>{} : widened(a, b.rows * b.cols), b,
                       x_, y_, layout_.products);
  }
}

template <class T>
void Grams<T>::keep(Net<T>& net, Objective<T>& objective, const Tile& tile) {
  objective.show(request_.set, tile.first, tile.count);
  for (std::int64_t output = 0; output < outputs_; ++output) {
    set_slope(net, output, tile.count);
    net.backward_terms([&](const LayerTerms<T>& layer) {
      for (std::size_t i = 0; i < layout_.parts.size(); ++i) {
        const GramPart& part = layout_.parts[i];
        if (part.h != layer.h) continue;
        const double scale = (part.bias ? layer.bias_scale : layer.scale) * net.output_scale();
        factors_[i] = scale * scale;
        if (part.direct) {
          put_direct(i, layer);
        } else {
          take(layer, part, kept(part, output, tile.count));
        }
      }
    });
  }
}

/// x_ = A A'^T, where wanted, and y_ = B B'^T.
template <class T>
void Grams<T>::products(const GramPart& part, const Terms& own, const Terms& other,
                        bool with_a) const {
  const auto multiply = [&](const MatrixBatch<double>& left, const MatrixBatch<double>& right,
                            const Buffer<double>& into) {
    kernels::gemm<double>(executor_, {.transpose_b = Transpose::yes,
                                      .a = left,
                                      .b = right,
                                      .c = {into.data(), slots_, left.rows, right.rows,
                                            layout_.products, right.rows}});
  };
  if (with_a && !part.gradients && !part.bias) multiply(own.a, other.a, x_);
  multiply(own.b, other.b, y_);
}

/// Puts a part's products where they belong, and their transpose.
template <class T>
void Grams<T>::put(std::size_t i, const Tile& own, std::int64_t output, const Tile& other,
                   std::int64_t from_output) const {
  const GramPart& part = layout_.parts[i];
  const std::int64_t places = part.gradients ? 1 : part.places;
  const bool weighed = !part.gradients && !part.bias;
  const std::int64_t row = output * request_.examples + own.first;
  const std::int64_t col = from_output * request_.examples + other.first;
  const auto view = [&](const Buffer<double>& products) {
    return MatrixBatch<const double>{products.data(),      slots_,           own.count * places,
                                     other.count * places, layout_.products, other.count * places};
  };
  const Buffer<double>& to = matrix_of(i);
  const auto block = [&](std::int64_t r, std::int64_t c, std::int64_t rows, std::int64_t cols) {
    return MatrixBatch<double>{to.data() + r * size_ + c, slots_, rows, cols, size_ * size_, size_};
  };
  kernels::gram_block(executor_, {.x = weighed ? view(x_) : MatrixBatch<const double>{},
                                  .y = view(y_),
                                  .places = places,
                                  .factor = factors_[i],
                                  .add = adds(i),
                                  .gram = block(row, col, own.count, other.count),
                                  .mirror = row != col ? block(col, row, other.count, own.count)
                                                       : MatrixBatch<double>{}});
}

template <class T>
void Grams<T>::within(const Tile& tile) const {
  for (std::size_t i = 0; i < layout_.parts.size(); ++i) {
    const GramPart& part = layout_.parts[i];
    if (part.direct) continue;
    for (std::int64_t output = 0; output < outputs_; ++output) {
      for (std::int64_t from = 0; from <= output; ++from) {
        products(part, kept(part, output, tile.count), kept(part, from, tile.count), output == 0);
        put(i, tile, output, tile, from);
      }
    }
  }
}

template <class T>
void Grams<T>::between(Net<T>& net, Objective<T>& objective, const Tile& own,
                       const Tile& other) const {
  objective.show(request_.set, other.first, other.count);
  for (std::int64_t from = 0; from < outputs_; ++from) {
    set_slope(net, from, other.count);
    net.backward_terms([&](const LayerTerms<T>& layer) {
      for (std::size_t i = 0; i < layout_.parts.size(); ++i) {
        const GramPart& part = layout_.parts[i];
        if (part.h != layer.h) continue;
        const Terms theirs = others(part, other.count);
        take(layer, part, theirs);
        for (std::int64_t output = 0; output < outputs_; ++output) {
          products(part, kept(part, output, own.count), theirs, output == 0);
          put(i, own, output, other, from);
        }
      }
    });
  }
}

template <class T>
void Grams<T>::evaluate_patterns(Net<T>& net, Objective<T>& objective) const {
  const std::int64_t n = request_.examples;
  const std::int64_t words = bits_.size() / slots_ / n;
  for (std::int64_t first = 0; first < n; first += layout_.tile) {
    const std::int64_t count = std::min(layout_.tile, n - first);
    objective.show(request_.set, first, count);
    kernels::pattern_bits<T>(executor_, {.x = net.state(relu_),
                                         .bits = {bits_.data() + first * words, slots_, count,
                                                  words, n * words, words}});
  }
  kernels::pattern_products(executor_, {.bits = {bits_.data(), slots_, n, words, n * words, words},
                                        .counts = {y_.data(), slots_, n, n, n * n, n}});
  const std::int64_t stride = shared_inputs_ ? 0 : n * n;
  kernels::gram_block(executor_, {.x = {input_gram_.data(), slots_, n, n, stride, n},
                                  .y = {y_.data(), slots_, n, n, n * n, n},
                                  .factor = pattern_factor_ * pattern_factor_,
                                  .add = false,
                                  .gram = matrix(sum_)});
  if (!request_.layers) return;
  kernels::add_scaled<double>(
      executor_, {.x = flatten(sum()), .add = false, .y = flatten(matrix(layers_.front()))});
}

template <class T>
void Grams<T>::evaluate(Net<T>& net, Objective<T>& objective) {
  if (layout_.patterns) return evaluate_patterns(net, objective);
  const std::int64_t n = request_.examples;
  const auto tile_at = [&](std::int64_t first) {
    return Tile{first, std::min(layout_.tile, n - first)};
  };
  for (std::int64_t first = 0; first < n; first += layout_.tile) {
    keep(net, objective, tile_at(first));
    within(tile_at(first));
    for (std::int64_t then = first + layout_.tile; then < n; then += layout_.tile) {
      between(net, objective, tile_at(first), tile_at(then));
    }
  }
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    kernels::add_scaled<double>(executor_,
                                {.x = flatten(layer(i)), .add = i > 0, .y = flatten(matrix(sum_))});
  }
}

namespace {

bool same_examples(const GramRequest& a, const GramRequest& b) {
  return a.set == b.set && a.examples == b.examples;
}

}  // namespace

void add_request(std::vector<GramRequest>& requests, const GramRequest& request) {
  for (GramRequest& other : requests) {
    if (!same_examples(other, request)) continue;
    other.layers = other.layers || request.layers;
    other.single = other.single && request.single;
    return;
  }
  requests.push_back(request);
}

template <class T>
GramSet<T>::GramSet(Executor& executor, const Description& description,
                    const std::vector<GramRequest>& requests, std::int64_t slots, std::int64_t rows,
                    bool shared_problem)
    : fresh_(requests.size(), false) {
  for (const GramRequest& request : requests) {
    all_.emplace_back(executor, description, request, slots, rows, shared_problem);
  }
}

template <class T>
void GramSet<T>::load(const Objective<T>& objective) {
  for (Grams<T>& grams : all_) grams.load(objective);
  forget();
}

template <class T>
const Grams<T>& GramSet<T>::at(const GramRequest& request, Net<T>& net, Objective<T>& objective) {
  for (std::size_t i = 0; i < all_.size(); ++i) {
    if (!same_examples(all_[i].request(), request)) continue;
    if (!fresh_[i]) all_[i].evaluate(net, objective);
    fresh_[i] = true;
    return all_[i];
  }
  throw std::logic_error("Gram matrices that no probe has asked for");
}

template class Grams<float>;
template class Grams<double>;
template class GramSet<float>;
template class GramSet<double>;

}  // namespace manyfold::network
