// A copy, round after round: what the memory that both arrays stand in can deliver and take.
#pragma once

#include "kernels/cpu/loops/vector.hpp"

namespace manyfold::kernels::cpu::MF_ISA {
namespace {

/// `rounds` copies of `count` doubles; count is a multiple of copy_block.
void copy_rounds(int64_t rounds, double* to, const double* from, int64_t count) {
  constexpr int64_t block = copy_block / width<double>;
  for (int64_t round = 0; round < rounds; ++round) {
    for (int64_t i = 0; i < count; i += copy_block) {
#pragma GCC unroll 32
      for (int64_t v = 0; v < block; ++v) {
        store(to + i + v * width<double>, load(from + i + v * width<double>));
      }
    }
    // The compiler must not merge rounds.
    asm volatile("" ::: "memory");
  }
}

}  // namespace
}  // namespace manyfold::kernels::cpu::MF_ISA
