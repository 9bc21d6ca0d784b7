// Convolutions as products: the patches of images as rows of a matrix, its adjoint, and average
// pooling. Images stand with the channel last, (y, x, channel); a signal in one dimension is an
// image of height 1.
#pragma once

#include <cstdint>

#include "core/executor/executor.hpp"
#include "core/portable.hpp"
#include "core/view.hpp"

namespace manyfold::kernels {

/// Windows of kernel_height x kernel_width that slide over an image with zeros around it.
struct Window {
  std::int64_t channels = 1;
  std::int64_t height = 1;
  std::int64_t width = 1;
  std::int64_t kernel_height = 1;
  std::int64_t kernel_width = 1;
  std::int64_t stride_y = 1;
  std::int64_t stride_x = 1;
  std::int64_t padding_y = 0;  ///< rows of zeros above and below
  std::int64_t padding_x = 0;  ///< columns of zeros left and right

  /// Places of the window; at least 1 each where it fits.
  MF_FN std::int64_t out_height() const {
    return (height + 2 * padding_y - kernel_height) / stride_y + 1;
  }
  MF_FN std::int64_t out_width() const {
    return (width + 2 * padding_x - kernel_width) / stride_x + 1;
  }
  MF_FN std::int64_t places() const { return out_height() * out_width(); }
  MF_FN std::int64_t taps() const { return kernel_height * kernel_width; }
  MF_FN std::int64_t image_size() const { return height * width * channels; }
  MF_FN std::int64_t patch_size() const { return taps() * channels; }
};

/// The patch of example e at place (y, x) is row (e out_height + y) out_width + x of the patches;
/// its entries are (tap row, tap column, channel): images W^T with a filter W (out, patch) is
/// patches W^T. images: (slot, example, image), may be shared; patches: (slot, example, places *
/// patch).
template <class T>
struct UnfoldArgs {
  Window window;
  MatrixBatch<const T> images;
  MatrixBatch<T> patches;
};
template <class T>
void unfold(Executor& executor, const UnfoldArgs<T>& args);

/// The adjoint of unfold: every entry of an image is factor times the sum of the entries of patches
/// that show it, in the order of the taps, or what is there plus that where `add`.
template <class T>
struct FoldArgs {
  Window window;
  MatrixBatch<const T> patches;
  double factor = 1;
  bool add = false;
  MatrixBatch<T> images;
};
template <class T>
void fold(Executor& executor, const FoldArgs<T>& args);

/// means: (slot, example, places * channels), the mean of each window, channel by channel. Padding
/// must be 0.
template <class T>
struct AveragePoolArgs {
  Window window;
  MatrixBatch<const T> images;
  MatrixBatch<T> means;
};
template <class T>
void average_pool(Executor& executor, const AveragePoolArgs<T>& args);

/// The adjoint of average_pool, as `fold` is that of `unfold`.
template <class T>
struct SpreadMeansArgs {
  Window window;
  MatrixBatch<const T> means;
  double factor = 1;
  bool add = false;
  MatrixBatch<T> images;
};
template <class T>
void spread_means(Executor& executor, const SpreadMeansArgs<T>& args);

}  // namespace manyfold::kernels
