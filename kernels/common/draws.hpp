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

/// Element `position` of the permutation of [0, n), n <= 16, that 64 random bits name: Fisher and
/// Yates' shuffle of numbers packed into 4 bits each. The bits are one digit after another of a
/// fraction in the mixed radix n, n - 1, ..., so that orders are equally likely up to n! / 2^64,
/// 1.2e-6 at n = 16.
MF_FN std::uint64_t shuffled_few(std::uint64_t bits, std::uint64_t n, std::uint64_t position) {
  std::uint64_t order = 0xfedcba9876543210u;
  for (std::uint64_t i = 0;; ++i) {
    const std::uint64_t left = n - i;
    const std::uint64_t j = i + scaled_bits(bits, left);
    bits *= left;
    const std::uint64_t chosen = order >> (4 * j) & 15;
    if (i == position) return chosen;
    // The number at place i, which is never asked for again, moves to where the chosen one was.
    const std::uint64_t displaced = order >> (4 * i) & 15;
    order ^= (chosen ^ displaced) << (4 * j);
  }
}

/// Element `position` of the permutation of [0, n), n < 2^31, that belongs to (seed, stream,
/// epoch). Few elements: shuffled_few, because a Feistel network on a domain that small is far from
/// uniform over all orders (on 3 x 2 its distance halves only with every second round). More: a
/// Feistel network on Z_a x Z_b with a b >= n (Black and Rogaway 2002, "Ciphers with arbitrary
/// finite domains"), a and b next to sqrt(n), walked along its cycle until it is back in [0, n),
/// which takes less than 1 + 2 / sqrt(n) walks on average. Each round adds a random function of one
/// half to the other; the joint law of two places then is uniform up to n^-(rounds/2).
MF_FN std::uint64_t shuffled(std::uint64_t seed, std::uint64_t stream, std::uint64_t n,
                             std::uint64_t epoch, std::uint64_t position) {
  constexpr std::uint64_t rounds = 8;
  if (n <= 16) return shuffled_few(random_bits(seed, stream, epoch), n, position);
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
      const std::uint64_t counter = epoch << 19 | round << 16 | (moves_left ? right : left);
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
