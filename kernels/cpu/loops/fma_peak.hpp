// Fused multiply-adds in independent chains: as many operations as this core can do. Without fused
// instructions, a multiplication and an addition.
#pragma once

#include "kernels/cpu/loops/vector.hpp"

namespace manyfold::kernels::cpu::MF_ISA {
namespace {

// Chains enough for latency 4 to 5 on two units, few enough for the registers.
constexpr int chains = vector_bytes == 64 ? 24 : 12;

template <class T>
constexpr int64_t fma_flops_per_round = int64_t{2} * chains* width<T>;

template <class T>
void fma_rounds(int64_t rounds, T* sink) {
  Vector<T> chain[chains];
  for (int i = 0; i < chains; ++i) chain[i] = broadcast(static_cast<T>(i));
  const Vector<T> factor = broadcast(static_cast<T>(0.5));
  const Vector<T> term = broadcast(static_cast<T>(0.25));
  for (int64_t round = 0; round < rounds; ++round) {
#pragma GCC unroll 24
    for (int i = 0; i < chains; ++i) chain[i] = fma(chain[i], factor, term);
  }
  Vector<T> sum = chain[0];
  for (int i = 1; i < chains; ++i) sum += chain[i];
  for (int i = 0; i < width<T>; ++i) *sink += sum[i];
}

}  // namespace
}  // namespace manyfold::kernels::cpu::MF_ISA
