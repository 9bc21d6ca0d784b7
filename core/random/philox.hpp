// Random numbers as pure functions of (seed, stream, index): Philox4x32-10 (Salmon, Moraes, Dror
// and Shaw 2011; Random123), a counter-based generator, so that any thread of any device can draw
// any element without state. The key is the seed; the 128-bit counter is (index / 2, stream); one
// block of 128 bits gives elements 2i and 2i + 1.
#pragma once

#include <cstdint>
#include <string_view>

#include <Random123/philox.h>

#include "core/portable.hpp"
#include "core/random/normal.hpp"

namespace manyfold {

/// The number of a named stream: FNV-1a, 64 bits. Names, not numbers, so that adding a stream moves
/// no other.
constexpr std::uint64_t random_stream(std::string_view name) {
  std::uint64_t hash = 0xcbf29ce484222325u;
  for (const char c : name) {
    hash ^= static_cast<unsigned char>(c);
    hash *= 0x100000001b3u;
  }
  return hash;
}

/// 64 random bits.
MF_FN std::uint64_t random_bits(std::uint64_t seed, std::uint64_t stream, std::uint64_t index) {
  const std::uint64_t block = index / 2;
  const auto word = [](std::uint64_t x, int shift) {
    return static_cast<std::uint32_t>(x >> shift);
  };
  const philox4x32_ctr_t counter = {
      {word(block, 0), word(block, 32), word(stream, 0), word(stream, 32)}};
  const philox4x32_key_t key = {{word(seed, 0), word(seed, 32)}};
  const philox4x32_ctr_t r = philox4x32(counter, key);
  return index % 2 == 0 ? (std::uint64_t{r.v[1]} << 32 | r.v[0])
                        : (std::uint64_t{r.v[3]} << 32 | r.v[2]);
}

/// Uniform on the open interval (0, 1): odd multiples of 2^-53, which lie symmetrically about 1/2
/// and never round to an end.
MF_FN double uniform_double(std::uint64_t seed, std::uint64_t stream, std::uint64_t index) {
  const std::uint64_t odd = random_bits(seed, stream, index) >> 11 | 1;
  return static_cast<double>(odd) * 0x1p-53;
}

/// Standard normal.
MF_FN double normal_double(std::uint64_t seed, std::uint64_t stream, std::uint64_t index) {
  return inverse_normal_cdf(uniform_double(seed, stream, index));
}

}  // namespace manyfold
