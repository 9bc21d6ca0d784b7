// Parts of the Gram matrices G_ij = <df(x_i)/dW, df(x_j)/dW> of networks, made without the
// gradients: a product of a layer's inputs A and one of the gradients B in its pre-activations, put
// together entry by entry, G = (A A^T) o (B B^T). Of convolutions A and B have a row for every
// place, and what is put together is summed over pairs of places.
#pragma once

#include <cstdint>

#include "core/executor/executor.hpp"
#include "core/view.hpp"

namespace manyfold::kernels {

/// gram_ij (+)= factor sum over l, l' of x_(i,l),(j,l') y_(i,l),(j,l'), l and l' among `places`.
/// x, y: (slot, rows places, cols places), places of one example beneath each other; x without data
/// is 1 everywhere, and may be shared. gram: (slot, rows, cols); mirror: (slot, cols, rows), is
/// given the transpose of gram, or nothing where it has no data. Sums run over l, then l'.
struct GramBlockArgs {
  MatrixBatch<const double> x{};
  MatrixBatch<const double> y;
  std::int64_t places = 1;
  double factor = 1;
  bool add = true;
  MatrixBatch<double> gram;
  MatrixBatch<double> mirror{};
};
void gram_block(Executor& executor, const GramBlockArgs& args);

/// gram_ij (+)= factor (a_i . a_j) (b_i . b_j) of rows of a and b, i.e. factor (A A^T) o (B B^T):
/// a block of one example a row, and no more than half of it made. a: (slot, row, col), without
/// data 1 in place of its products; b: (slot, row, col), columns of its own; both may be shared.
/// gram: (slot, row, row), made as its lower triangle and mirrored. x, y: (slot, row, row), where a
/// backend may put A A^T and B B^T meanwhile. Products are summed in T, factor and gram in double.
template <class T>
struct GramProductsArgs {
  MatrixBatch<const T> a{};
  MatrixBatch<const T> b;
  double factor = 1;
  bool add = true;
  MatrixBatch<double> gram;
  MatrixBatch<T> x;
  MatrixBatch<T> y;
};
template <class T>
void gram_products(Executor& executor, const GramProductsArgs<T>& args);

/// Gradients of each example in the filter of a convolution: c_r,(o,t) = sum over places l of
/// a_(r,l),o b_(r,l),t. a: (slot, rows places, outputs), b: (slot, rows places, taps), c: (slot,
/// rows, outputs taps), dense all.
struct ExampleProductsArgs {
  MatrixBatch<const double> a;
  MatrixBatch<const double> b;
  std::int64_t places = 1;
  MatrixBatch<double> c;
};
void example_products(Executor& executor, const ExampleProductsArgs& args);

/// 64 columns a word: bit c mod 64 of word c / 64 of a row is 1 where x > 0, else 0 (also for NaN
/// and beyond the last column). x: (slot, row, col); bits: (slot, row, pattern_words(cols)).
template <class T>
struct PatternBitsArgs {
  MatrixBatch<const T> x;
  MatrixBatch<std::uint64_t> bits;
};
template <class T>
void pattern_bits(Executor& executor, const PatternBitsArgs<T>& args);

constexpr std::int64_t pattern_words(std::int64_t cols) { return (cols + 63) / 64; }

/// counts_ij: of how many columns both row i and row j have a 1, exactly: S S^T of 0/1 patterns S.
/// bits: (slot, row, word); counts: (slot, row, row).
struct PatternProductsArgs {
  MatrixBatch<const std::uint64_t> bits;
  MatrixBatch<double> counts;
};
void pattern_products(Executor& executor, const PatternProductsArgs& args);

}  // namespace manyfold::kernels
