// What a network's outputs are worth on its examples: losses with their gradients in the outputs,
// whether an example is classified correctly, by what margin; and the rows of a minibatch.
#pragma once

#include <cstdint>

#include "core/executor/executor.hpp"
#include "core/view.hpp"

namespace manyfold::kernels {

/// The loss of one example with outputs f:
///   squared        1/2 sum_k (f_k - y_k)^2
///   cross_entropy  log sum_k e^(f_k) - f_c, c the label: -log softmax(f)_c
///   logistic       log(1 + e^(-y f)), one output, y = +1 for label 1 and -1 for label 0
enum class Loss { squared, cross_entropy, logistic };

/// What is written of each example:
///   loss     weight times its loss
///   correct  1 where the prediction is right, else 0: the first largest output is the label's (of
///            one output: its sign is that of y, 0 is wrong)
///   margin   f_c - max over k != c of f_k (of one output: y f)
/// Without labels the first largest target is the label's (of one output: y is its sign).
enum class ExampleTerm { loss, correct, margin };

/// The network's outputs are scale f; f: (slot, row, output). Row r of a slot shows example
/// rows[slot * rows_stride + r], or first + r where `rows` is null. targets: (slot, example,
/// output), for the squared loss; labels: (slot, example); both may be shared.
/// out (may be null): (slot, row) doubles, slots out_stride apart. slope (may have no data): weight
/// times the loss's gradient in f, (slot, row, output), may be f itself. All is computed in double
/// precision. A row that has NaN gives NaN, and touches no other.
/// noise (slot; may be null): standard deviation of fresh Gaussian noise on every target: that of
/// output k of example j at step t is draw (t examples + j) outputs + k of (seed, stream), with
/// `examples` those of the targets.
template <class T>
struct ExampleTermsArgs {
  MatrixBatch<const T> f;
  double scale = 1;
  Loss loss = Loss::squared;
  ExampleTerm term = ExampleTerm::loss;
  MatrixBatch<const T> targets{};
  VectorBatch<const std::int32_t> labels{};
  const std::int32_t* rows = nullptr;
  std::int64_t rows_stride = 0;
  std::int64_t first = 0;
  double weight = 1;
  const double* noise = nullptr;
  const std::uint64_t* seeds = nullptr;  ///< (slot), for noise
  const std::int64_t* step = nullptr;    ///< (slot), for noise
  std::uint64_t stream = 0;
  double* out = nullptr;
  std::int64_t out_stride = 0;
  MatrixBatch<T> slope{};
};
template <class T>
void example_terms(Executor& executor, const ExampleTermsArgs<T>& args);

/// The loss's second derivative along a direction: the network's outputs are scale f, and change by
/// scale f' (`tangent`). slope_srk = weight scale sum_l (d2 loss / d output_k d output_l) scale
/// f'_srl, by which the slope of example_terms changes. It depends on the outputs alone:
///   squared        f'
///   cross_entropy  p_k (f'_k - sum_l p_l f'_l), p = softmax(f)
///   logistic       sigma(f) sigma(-f) f'
/// All (slot, row, output); slope may be tangent. Computed in double precision. An output that is
/// not finite makes NaN of its own slope, and of all in its row where the loss couples them.
template <class T>
struct ExampleCurvatureArgs {
  MatrixBatch<const T> f;
  double scale = 1;
  Loss loss = Loss::squared;
  double weight = 1;
  MatrixBatch<const T> tangent;
  MatrixBatch<T> slope;
};
template <class T>
void example_curvature(Executor& executor, const ExampleCurvatureArgs<T>& args);

/// out_sri = x_s,j,i with j = rows[slot * rows_stride + r]. x: (slot, example, feature), may be
/// shared; out: (slot, row, feature).
template <class T>
struct GatherRowsArgs {
  MatrixBatch<const T> x;
  const std::int32_t* rows = nullptr;
  std::int64_t rows_stride = 0;
  MatrixBatch<T> out;
};
template <class T>
void gather_rows(Executor& executor, const GatherRowsArgs<T>& args);

}  // namespace manyfold::kernels
