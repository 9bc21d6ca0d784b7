// Formulas of kernels/draws.hpp that both backends share.
#pragma once

#include <cstdint>

#include <math.h>

#include "core/portable.hpp"
#include "core/random/exact.hpp"
#include "core/random/philox.hpp"
#include "kernels/common/elementary.hpp"

namespace manyfold::kernels {

/// floor(bits n / 2^64) for n < 2^32: 64 random bits to a number in [0, n).
MF_FN std::uint64_t scaled_bits(std::uint64_t bits, std::uint64_t n) {
  const std::uint64_t high = (bits >> 32) * n;
  const std::uint64_t low = (bits & 0xffffffffu) * n;
  return (high + (low >> 32)) >> 32;
}

/// Element `position` of the permutation of [0, n) that belongs to `epoch`, n < 2^31: a Feistel
/// network on Z_a x Z_b with a b >= n (Black and Rogaway 2002, "Ciphers with arbitrary finite
/// domains"), a and b next to sqrt(n), walked along its cycle until it is back in [0, n): on
/// average less than 1 + 2 / sqrt(n) times. Each round adds a random function of one half to the
/// other. On the tiny domains that completion problems have, convergence to the uniform law over
/// all permutations decides how many rounds there must be: for a = b = 2 the distance halves with
/// each round, so 16 leave 2^-15.
MF_FN std::uint64_t shuffled(std::uint64_t seed, std::uint64_t stream, std::uint64_t n,
                             std::uint64_t epoch, std::uint64_t position) {
  constexpr std::uint64_t rounds = 16;
  std::uint64_t a = static_cast<std::uint64_t>(sqrt(static_cast<double>(n)));
  while (a * a < n) ++a;
  const std::uint64_t b = (n + a - 1) / a;
  std::uint64_t x = position;
  do {
    std::uint64_t left = x / b;
    std::uint64_t right = x % b;
    for (std::uint64_t round = 0; round < rounds; ++round) {
      const bool moves_left = round % 2 == 0;
      // Halves are below 2^16; one counter for every (epoch, round, half).
      const std::uint64_t counter = epoch << 20 | round << 16 | (moves_left ? right : left);
      const std::uint64_t bits = random_bits(seed, stream, counter);
      if (moves_left) {
        left = (left + scaled_bits(bits, a)) % a;
      } else {
        right = (right + scaled_bits(bits, b)) % b;
      }
    }
    x = left * b + right;
  } while (x >= n);
  return x;
}

/// Whether perturbed gradient descent adds its noise now; a NaN norm never does.
MF_FN bool perturbation_is_due(double grad_norm2, double grad_threshold, std::int64_t step,
                               std::int64_t last_noise, std::int64_t min_steps) {
  return sqrt(grad_norm2) <= grad_threshold && step - last_noise > min_steps;
}

/// radius u^(1/count) / sqrt(norm2): what a normal vector of squared norm norm2 is scaled by.
MF_FN double perturbation_scale(double radius, double u, std::int64_t count, double norm2) {
  const double share = exact_exp(exact_log(u) / static_cast<double>(count));
  return exact::times(radius, share) / sqrt(norm2);
}

}  // namespace manyfold::kernels
