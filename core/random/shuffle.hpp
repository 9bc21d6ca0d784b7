// Orders drawn on the host. (kernels/common/draws.hpp draws those of minibatches.)
#pragma once

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <utility>
#include <vector>

#include "core/random/philox.hpp"

namespace manyfold {

/// The first `wanted` of 0 ... count-1 in random order, by Fisher and Yates's shuffle: draw i picks
/// number i, so that the first few are the same however many are wanted.
inline std::vector<std::int64_t> shuffled(std::int64_t count, std::int64_t wanted,
                                          std::uint64_t seed, std::uint64_t stream) {
  std::vector<std::int64_t> order(static_cast<std::size_t>(count));
  std::iota(order.begin(), order.end(), std::int64_t{0});
  for (std::int64_t i = 0; i < wanted; ++i) {
    const double u = uniform_double(seed, stream, static_cast<std::uint64_t>(i));
    const auto left = static_cast<double>(count - i);
    const auto pick = std::min(count - 1, i + static_cast<std::int64_t>(u * left));
    std::swap(order[static_cast<std::size_t>(i)], order[static_cast<std::size_t>(pick)]);
  }
  order.resize(static_cast<std::size_t>(wanted));
  return order;
}

}  // namespace manyfold
