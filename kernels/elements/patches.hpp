// Bodies of unfold, fold, average_pool and spread_means (contract: kernels/patches.hpp). The CPU
// has loops of its own.
#pragma once

#include <cstdint>

#include "core/portable.hpp"
#include "kernels/common/updates.hpp"
#include "kernels/patches.hpp"

namespace manyfold::kernels::elements {

template <class T, class Launcher>
void unfold(const Launcher& for_each, const UnfoldArgs<T>& args) {
  const Window w = args.window;
  for_each("unfold", args.patches.slots, args.patches.size(),
           [=] MF_KERNEL(std::int64_t slot, std::int64_t i) {
             const std::int64_t channel = i % w.channels;
             const std::int64_t tap = i / w.channels % w.taps();
             const std::int64_t place = i / w.patch_size() % w.places();
             const std::int64_t example = i / (w.patch_size() * w.places());
             const std::int64_t y =
                 place / w.out_width() * w.stride_y - w.padding_y + tap / w.kernel_width;
             const std::int64_t x =
                 place % w.out_width() * w.stride_x - w.padding_x + tap % w.kernel_width;
             const bool inside = y >= 0 && y < w.height && x >= 0 && x < w.width;
             const T* image = args.images.slot(slot) + example * args.images.row_stride;
             args.patches.slot(
                 slot)[example * args.patches.row_stride + i % (w.patch_size() * w.places())] =
                 inside ? image[(y * w.width + x) * w.channels + channel] : T(0);
           });
}

/// Calls see(place, tap) for the places whose window shows (y, x), in the order of the taps.
template <class See>
MF_FN void each_window(const Window& w, std::int64_t y, std::int64_t x, const See& see) {
  for (std::int64_t tap = 0; tap < w.taps(); ++tap) {
    const std::int64_t from_y = y + w.padding_y - tap / w.kernel_width;
    const std::int64_t from_x = x + w.padding_x - tap % w.kernel_width;
    if (from_y < 0 || from_x < 0 || from_y % w.stride_y != 0 || from_x % w.stride_x != 0) continue;
    const std::int64_t row = from_y / w.stride_y;
    const std::int64_t col = from_x / w.stride_x;
    if (row < w.out_height() && col < w.out_width()) see(row * w.out_width() + col, tap);
  }
}

template <class T, class Launcher>
void fold(const Launcher& for_each, const FoldArgs<T>& args) {
  const Window w = args.window;
  const auto factor = static_cast<T>(args.factor);
  for_each("fold", args.images.slots, args.images.size(),
           [=] MF_KERNEL(std::int64_t slot, std::int64_t i) {
             const std::int64_t example = i / w.image_size();
             const std::int64_t at = i % w.image_size();
             const std::int64_t pixel = at / w.channels;
             const T* patches = args.patches.slot(slot) + example * args.patches.row_stride;
             T sum = 0;
             each_window(
                 w, pixel / w.width, pixel % w.width, [&](std::int64_t place, std::int64_t tap) {
                   sum += patches[place * w.patch_size() + tap * w.channels + at % w.channels];
                 });
             T& image = args.images.slot(slot)[example * args.images.row_stride + at];
             image = args.add ? fused(factor, sum, image) : factor * sum;
           });
}

template <class T, class Launcher>
void average_pool(const Launcher& for_each, const AveragePoolArgs<T>& args) {
  const Window w = args.window;
  const auto share = static_cast<T>(1 / static_cast<double>(w.taps()));
  for_each(
      "average_pool", args.means.slots, args.means.size(),
      [=] MF_KERNEL(std::int64_t slot, std::int64_t i) {
        const std::int64_t channel = i % w.channels;
        const std::int64_t place = i / w.channels % w.places();
        const std::int64_t example = i / (w.channels * w.places());
        const std::int64_t y = place / w.out_width() * w.stride_y;
        const std::int64_t x = place % w.out_width() * w.stride_x;
        const T* image = args.images.slot(slot) + example * args.images.row_stride + channel;
        T sum = 0;
        for (std::int64_t dy = 0; dy < w.kernel_height; ++dy) {
          for (std::int64_t dx = 0; dx < w.kernel_width; ++dx) {
            sum += image[((y + dy) * w.width + x + dx) * w.channels];
          }
        }
        args.means.slot(slot)[example * args.means.row_stride + i % (w.channels * w.places())] =
            share * sum;
      });
}

template <class T, class Launcher>
void spread_means(const Launcher& for_each, const SpreadMeansArgs<T>& args) {
  const Window w = args.window;
  const auto factor = static_cast<T>(args.factor / static_cast<double>(w.taps()));
  for_each("spread_means", args.images.slots, args.images.size(),
           [=] MF_KERNEL(std::int64_t slot, std::int64_t i) {
             const std::int64_t example = i / w.image_size();
             const std::int64_t at = i % w.image_size();
             const std::int64_t pixel = at / w.channels;
             const T* means = args.means.slot(slot) + example * args.means.row_stride;
             T sum = 0;
             each_window(w, pixel / w.width, pixel % w.width,
                         [&](std::int64_t place, std::int64_t) {
                           sum += means[place * w.channels + at % w.channels];
                         });
             T& image = args.images.slot(slot)[example * args.images.row_stride + at];
             image = args.add ? fused(factor, sum, image) : factor * sum;
           });
}

}  // namespace manyfold::kernels::elements
