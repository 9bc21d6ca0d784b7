// Patches and pools on the CPU: a row of taps is adjacent in the image and in its patch, so it is
// copied, or added back, as a whole.
#include "kernels/patches.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "kernels/common/updates.hpp"
#include "kernels/cpu/for_each.hpp"
#include "kernels/cpu/operations.hpp"

namespace manyfold::kernels::cpu {
namespace {

/// Calls see(pixel, entry, count) for each row of taps of each place: `count` adjacent entries of
/// the image from `pixel` on stand in the patches from `entry` on. From the last place to the
/// first, so that a pixel is seen by its taps in their order.
template <class See>
void each_row_of_taps(const Window& w, const See& see) {
  std::int64_t patch = w.places() * w.patch_size();
  for (std::int64_t row = w.out_height() - 1; row >= 0; --row) {
    for (std::int64_t col = w.out_width() - 1; col >= 0; --col) {
      patch -= w.patch_size();
      const std::int64_t x = col * w.stride_x - w.padding_x;
      const std::int64_t first = std::max<std::int64_t>(0, -x);
      const std::int64_t last = std::min(w.kernel_width, w.width - x);
      for (std::int64_t dy = 0; dy < w.kernel_height; ++dy) {
        const std::int64_t y = row * w.stride_y - w.padding_y + dy;
        if (y < 0 || y >= w.height || first >= last) continue;
        see((y * w.width + x + first) * w.channels,
            patch + (dy * w.kernel_width + first) * w.channels, (last - first) * w.channels);
      }
    }
  }
}

/// to is factor from, or to plus that.
template <class T>
void add_times(T* to, const T* from, T factor, bool add, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) {
    to[i] = add ? fused(factor, from[i], to[i]) : factor * from[i];
  }
}

}  // namespace

template <class T>
void unfold(Executor& executor, const UnfoldArgs<T>& args) {
  cpu(executor).for_slots(args.patches.slots, [args](SlotRange range) {
    const Window& w = args.window;
    const bool padded = w.padding_x > 0 || w.padding_y > 0;
    for (std::int64_t slot = range.begin; slot < range.end; ++slot) {
      for (std::int64_t e = 0; e < args.images.rows; ++e) {
        const T* image = args.images.slot(slot) + e * args.images.row_stride;
        T* patches = args.patches.slot(slot) + e * args.patches.row_stride;
        if (padded) std::fill(patches, patches + args.patches.cols, T(0));
        each_row_of_taps(w, [&](std::int64_t pixel, std::int64_t entry, std::int64_t count) {
          std::copy(image + pixel, image + pixel + count, patches + entry);
        });
      }
    }
  });
}
template void unfold(Executor&, const UnfoldArgs<float>&);
template void unfold(Executor&, const UnfoldArgs<double>&);

template <class T>
void fold(Executor& executor, const FoldArgs<T>& args) {
  cpu(executor).for_slots(args.images.slots, [args](SlotRange range) {
    const Window& w = args.window;
    const auto factor = static_cast<T>(args.factor);
    // Whole sums come first: one rounding where they are added to what is there.
    const auto size = static_cast<std::size_t>(w.image_size());
    T* sums = static_cast<T*>(thread_scratch(size * sizeof(T)));
    for (std::int64_t slot = range.begin; slot < range.end; ++slot) {
      for (std::int64_t e = 0; e < args.images.rows; ++e) {
        const T* patches = args.patches.slot(slot) + e * args.patches.row_stride;
        T* image = args.images.slot(slot) + e * args.images.row_stride;
        std::fill(sums, sums + size, T(0));
        each_row_of_taps(w, [&](std::int64_t pixel, std::int64_t entry, std::int64_t count) {
          for (std::int64_t i = 0; i < count; ++i) sums[pixel + i] += patches[entry + i];
        });
        add_times(image, sums, factor, args.add, w.image_size());
      }
    }
  });
}
template void fold(Executor&, const FoldArgs<float>&);
template void fold(Executor&, const FoldArgs<double>&);

// Channels stand side by side, so a window's means are sums of whole rows of channels.

template <class T>
void average_pool(Executor& executor, const AveragePoolArgs<T>& args) {
  cpu(executor).for_slots(args.means.slots, [args](SlotRange range) {
    const Window& w = args.window;
    const auto share = static_cast<T>(1 / static_cast<double>(w.taps()));
    for (std::int64_t slot = range.begin; slot < range.end; ++slot) {
      for (std::int64_t e = 0; e < args.images.rows; ++e) {
        const T* image = args.images.slot(slot) + e * args.images.row_stride;
        T* means = args.means.slot(slot) + e * args.means.row_stride;
        for (std::int64_t row = 0; row < w.out_height(); ++row) {
          for (std::int64_t col = 0; col < w.out_width(); ++col, means += w.channels) {
            std::fill(means, means + w.channels, T(0));
            for (std::int64_t dy = 0; dy < w.kernel_height; ++dy) {
              const T* pixel =
                  image + ((row * w.stride_y + dy) * w.width + col * w.stride_x) * w.channels;
              for (std::int64_t dx = 0; dx < w.kernel_width; ++dx, pixel += w.channels) {
                for (std::int64_t c = 0; c < w.channels; ++c) means[c] += pixel[c];
              }
            }
            for (std::int64_t c = 0; c < w.channels; ++c) means[c] *= share;
          }
        }
      }
    }
  });
}
template void average_pool(Executor&, const AveragePoolArgs<float>&);
template void average_pool(Executor&, const AveragePoolArgs<double>&);

template <class T>
void spread_means(Executor& executor, const SpreadMeansArgs<T>& args) {
  cpu(executor).for_slots(args.images.slots, [args](SlotRange range) {
    const Window& w = args.window;
    const auto factor = static_cast<T>(args.factor / static_cast<double>(w.taps()));
    const auto size = static_cast<std::size_t>(w.image_size());
    T* sums = static_cast<T*>(thread_scratch(size * sizeof(T)));
    for (std::int64_t slot = range.begin; slot < range.end; ++slot) {
      for (std::int64_t e = 0; e < args.images.rows; ++e) {
        const T* means = args.means.slot(slot) + e * args.means.row_stride;
        T* image = args.images.slot(slot) + e * args.images.row_stride;
        std::fill(sums, sums + size, T(0));
        each_row_of_taps(w, [&](std::int64_t pixel, std::int64_t entry, std::int64_t count) {
          const T* mean = means + entry / w.patch_size() * w.channels;
          for (std::int64_t i = 0; i < count; i += w.channels) {
            for (std::int64_t c = 0; c < w.channels; ++c) sums[pixel + i + c] += mean[c];
          }
        });
        add_times(image, sums, factor, args.add, w.image_size());
      }
    }
  });
}
template void spread_means(Executor&, const SpreadMeansArgs<float>&);
template void spread_means(Executor&, const SpreadMeansArgs<double>&);

}  // namespace manyfold::kernels::cpu
