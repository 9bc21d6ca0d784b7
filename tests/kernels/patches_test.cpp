#include "kernels/patches.hpp"

#include <cmath>
#include <cstdint>
#include <stdexcept>
#include <vector>

#include "kernels/patterns.hpp"
#include "tests/kernels/devices.hpp"

namespace manyfold::kernels {
namespace {

using namespace manyfold::test;

Window window(std::int64_t channels, std::int64_t height, std::int64_t width,
              std::int64_t kernel_height, std::int64_t kernel_width, std::int64_t stride_y,
              std::int64_t stride_x, std::int64_t padding_y, std::int64_t padding_x) {
  return {channels, height,   width,     kernel_height, kernel_width,
          stride_y, stride_x, padding_y, padding_x};
}

const std::vector<Window>& windows() {
  static const std::vector<Window> all{
      window(1, 1, 9, 1, 3, 1, 1, 0, 1),   // a signal, same places
      window(3, 1, 10, 1, 4, 1, 3, 0, 0),  // strides that leave the end out
      window(2, 5, 4, 3, 3, 1, 1, 1, 1),   // an image, same places
      window(4, 7, 6, 2, 3, 2, 1, 0, 2),   // different along the dimensions
      window(1, 3, 3, 3, 3, 1, 1, 0, 0),   // one place
      window(2, 4, 4, 1, 1, 3, 3, 0, 0),   // pixels that no window shows
      window(1, 2, 2, 4, 4, 1, 1, 2, 2),   // mostly padding
  };
  return all;
}

/// Number in the image of tap (dy, dx) at place (row, col) of channel c; -1: padding.
std::int64_t pixel(const Window& w, std::int64_t place, std::int64_t tap, std::int64_t channel) {
  const std::int64_t y = place / w.out_width() * w.stride_y - w.padding_y + tap / w.kernel_width;
  const std::int64_t x = place % w.out_width() * w.stride_x - w.padding_x + tap % w.kernel_width;
  if (y < 0 || y >= w.height || x < 0 || x >= w.width) return -1;
  return (y * w.width + x) * w.channels + channel;
}

class Patches : public DeviceTest {
 protected:
  static constexpr std::int64_t slots = 3;

  template <class T>
  void check_unfold(const Window& w, std::int64_t examples, bool shared) {
    std::mt19937_64 random(test_seed());
    const std::int64_t image_slot = examples * w.image_size() + 2;
    const std::int64_t size = w.places() * w.patch_size();
    const std::int64_t patch_slot = examples * size + 3;
    const auto images = random_vector<T>(slots * image_slot, random);
    const auto on_images = to_device(executor(), images);
    const auto patches = to_device(executor(), poisoned<T>(slots * patch_slot));
    unfold<T>(executor(), {w,
                           {on_images.data(), slots, examples, w.image_size(),
                            shared ? 0 : image_slot, w.image_size()},
                           {patches.data(), slots, examples, size, patch_slot, size}});
    std::vector<T> expected = poisoned<T>(slots * patch_slot);
    for (std::int64_t s = 0; s < slots; ++s) {
      for (std::int64_t e = 0; e < examples; ++e) {
        for (std::int64_t place = 0; place < w.places(); ++place) {
          for (std::int64_t tap = 0; tap < w.taps(); ++tap) {
            for (std::int64_t c = 0; c < w.channels; ++c) {
              const std::int64_t from = pixel(w, place, tap, c);
              expected[static_cast<std::size_t>(s * patch_slot + e * size + place * w.patch_size() +
                                                tap * w.channels + c)] =
                  from < 0 ? T(0)
                           : images[static_cast<std::size_t>((shared ? 0 : s * image_slot) +
                                                             e * w.image_size() + from)];
            }
          }
        }
      }
    }
    EXPECT_EQ(bits(patches.download()), bits(expected));
  }

  /// <unfold(x), p> = <x, fold(p)>, entry by entry, in the order that the contract names.
  template <class T>
  void check_fold(const Window& w, std::int64_t examples, bool add) {
    std::mt19937_64 random(test_seed());
    const std::int64_t image_slot = examples * w.image_size() + 2;
    const std::int64_t size = w.places() * w.patch_size();
    const std::int64_t patch_slot = examples * size + 3;
    const auto patches = random_vector<T>(slots * patch_slot, random);
    const auto begin =
        add ? random_vector<T>(slots * image_slot, random) : poisoned<T>(slots * image_slot);
    const auto on_patches = to_device(executor(), patches);
    const auto images = to_device(executor(), begin);
    fold<T>(executor(), {.window = w,
                         .patches = {on_patches.data(), slots, examples, size, patch_slot, size},
                         .factor = -0.75,
                         .add = add,
                         .images = {images.data(), slots, examples, w.image_size(), image_slot,
                                    w.image_size()}});
    std::vector<T> sums(begin.size(), T(0));
    for (std::int64_t s = 0; s < slots; ++s) {
      for (std::int64_t e = 0; e < examples; ++e) {
        for (std::int64_t tap = 0; tap < w.taps(); ++tap) {
          for (std::int64_t place = 0; place < w.places(); ++place) {
            for (std::int64_t c = 0; c < w.channels; ++c) {
              const std::int64_t to = pixel(w, place, tap, c);
              if (to < 0) continue;
              sums[static_cast<std::size_t>(s * image_slot + e * w.image_size() + to)] +=
                  patches[static_cast<std::size_t>(s * patch_slot + e * size +
                                                   place * w.patch_size() + tap * w.channels + c)];
            }
          }
        }
      }
    }
    std::vector<T> expected = begin;
    for (std::int64_t s = 0; s < slots; ++s) {
      for (std::int64_t i = 0; i < examples * w.image_size(); ++i) {
        const auto at = static_cast<std::size_t>(s * image_slot + i);
        expected[at] = add ? std::fma(T(-0.75), sums[at], begin[at]) : T(-0.75) * sums[at];
      }
    }
    EXPECT_EQ(bits(images.download()), bits(expected));
  }

  template <class T>
  void check_pool(Window w) {
    w.padding_y = w.padding_x = 0;
    if (w.kernel_height > w.height || w.kernel_width > w.width) return;
    std::mt19937_64 random(test_seed());
    constexpr std::int64_t examples = 4;
    const std::int64_t out = w.places() * w.channels;
    const auto images = random_vector<T>(slots * examples * w.image_size(), random);
    const auto on_images = to_device(executor(), images);
    const auto means = to_device(executor(), poisoned<T>(slots * examples * out));
    const MatrixBatch<T> image_view{
        on_images.data(),          slots,         examples, w.image_size(),
        examples * w.image_size(), w.image_size()};
    const MatrixBatch<T> mean_view{means.data(), slots, examples, out, examples * out, out};
    average_pool<T>(executor(), {w, image_view, mean_view});
    const auto found = means.download();
    std::vector<double> back(images.size(), 0.0);
    const double share = 1 / static_cast<double>(w.taps());
    for (std::int64_t e = 0; e < slots * examples; ++e) {
      for (std::int64_t place = 0; place < w.places(); ++place) {
        for (std::int64_t c = 0; c < w.channels; ++c) {
          const auto at = static_cast<std::size_t>(e * out + place * w.channels + c);
          double mean = 0;
          for (std::int64_t tap = 0; tap < w.taps(); ++tap) {
            const auto from =
                static_cast<std::size_t>(e * w.image_size() + pixel(w, place, tap, c));
            mean += share * static_cast<double>(images[from]);
            back[from] += share * static_cast<double>(found[at]);
          }
          EXPECT_NEAR(found[at], mean, 8 * epsilon<T>() * static_cast<double>(w.taps()));
        }
      }
    }
    for (const bool add : {false, true}) {
      const auto begin = add ? random_vector<T>(static_cast<std::int64_t>(images.size()), random)
                             : poisoned<T>(static_cast<std::int64_t>(images.size()));
      const auto spread = to_device(executor(), begin);
      MatrixBatch<T> to = image_view;
      to.data = spread.data();
      spread_means<T>(executor(),
                      {.window = w, .means = mean_view, .factor = 2, .add = add, .images = to});
      const auto spread_out = spread.download();
      for (std::size_t i = 0; i < images.size(); ++i) {
        EXPECT_NEAR(spread_out[i], (add ? static_cast<double>(begin[i]) : 0.0) + 2 * back[i],
                    32 * epsilon<T>());
      }
    }
  }
};

TEST_P(Patches, UnfoldCopiesEveryPatch) {
  for (const Window& w : windows()) {
    for (const bool shared : {false, true}) {
      check_unfold<double>(w, 3, shared);
      check_unfold<float>(w, 1, shared);
    }
  }
}

TEST_P(Patches, FoldIsTheAdjointOfUnfold) {
  for (const Window& w : windows()) {
    for (const bool add : {false, true}) {
      check_fold<double>(w, 3, add);
      check_fold<float>(w, 2, add);
    }
  }
}

TEST_P(Patches, PoolsAreMeansAndSpreadIsTheirAdjoint) {
  for (const Window& w : windows()) {
    check_pool<double>(w);
    check_pool<float>(w);
  }
}

TEST_P(Patches, RejectWindowsThatDoNotFit) {
  const Buffer<double> memory(executor(), 256);
  UnfoldArgs<double> args;
  args.window = window(1, 4, 4, 5, 1, 1, 1, 0, 0);
  args.images = {memory.data(), 1, 1, 16, 16, 16};
  args.patches = {memory.data(), 1, 1, 16, 16, 16};
  EXPECT_THROW(unfold(executor(), args), std::invalid_argument) << "5 rows of 4";
  args.window.kernel_height = 3;
  EXPECT_THROW(unfold(executor(), args), std::invalid_argument) << "8 places of 3 taps";
  AveragePoolArgs<double> pool;
  pool.window = window(1, 4, 4, 2, 2, 2, 2, 1, 1);
  pool.images = args.images;
  pool.means = {memory.data(), 1, 1, 9, 9, 9};
  EXPECT_THROW(average_pool(executor(), pool), std::invalid_argument) << "padding";
}

TEST_P(Patches, SignsAreKeptAndTheirChangesCounted) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const auto x = to_device(executor(), std::vector<double>{1, -1, 0, 2, /**/ -3, 4, 5, -6, /**/
                                                           nan, 1, 1, 1, /**/ 1, 1, 1, 1});
  const auto pattern = to_device(executor(), std::vector<std::uint8_t>(16, 9));
  const MatrixBatch<double> view{x.data(), 2, 2, 4, 8, 4};
  const MatrixBatch<std::uint8_t> patterns{pattern.data(), 2, 2, 4, 8, 4};
  sign_patterns<double>(executor(), {view, patterns});
  EXPECT_EQ(pattern.download(), (std::vector<std::uint8_t>{1, 0, 0, 1, 0, 1, 1, 0,  //
                                                           0, 1, 1, 1, 1, 1, 1, 1}));
  const auto later = to_device(executor(), std::vector<double>{1, 1, 1, -2, /**/ -3, 4, 5, -6, /**/
                                                               1, 1, 1, nan, /**/ -1, 1, -1, 1});
  const auto out = to_device(executor(), poisoned<double>(6));
  changed_signs<double>(executor(), {{later.data(), 2, 2, 4, 8, 4}, patterns, out.data(), 3});
  const auto counts = out.download();
  EXPECT_EQ(counts[0], 3);
  EXPECT_EQ(counts[1], 0);
  EXPECT_TRUE(std::isnan(counts[3])) << "a row with NaN";
  EXPECT_EQ(counts[4], 2);
  EXPECT_TRUE(std::isnan(counts[2])) << "wrote between slots";
}

MANYFOLD_ON_EVERY_DEVICE(Patches);

}  // namespace
}  // namespace manyfold::kernels
