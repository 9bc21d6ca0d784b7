// Orbits of the scalar problem in the lanes of vectors (kernels/scalar_orbits.hpp). A step is a
// chain of three dependent operations, so several vectors go side by side: while one waits, the
// others compute. A lane whose member ended takes the next one at the check where it ended.
#pragma once

#include "kernels/cpu/lanes.hpp"
#include "kernels/cpu/loops/lanes.hpp"

namespace manyfold::kernels::cpu::MF_ISA {
namespace {

typedef int64_t LaneBits __attribute__((vector_size(vector_bytes), may_alias));

/// Whether all bits of all lanes are set.
MF_LOOP bool all_set(LaneBits bits) {
#if defined(__AVX512F__)
  return _mm512_movepi64_mask(reinterpret_cast<__m512i>(bits)) == 0xff;
#elif defined(__AVX2__)
  return _mm256_movemask_pd(reinterpret_cast<__m256d>(bits)) == 0xf;
#else
  return (bits[0] & bits[1]) != 0;
#endif
}

template <int d>
struct OrbitLanes {
  static constexpr int w = width<double>;
  /// As many as the registers hold, 2 d + 1 a vector of members and two for what a step computes.
  static constexpr int most = ((vector_bytes == 64 ? 32 : 16) - 4) / (2 * d + 1);
  static constexpr int vectors = most > 9 ? 9 : most < 2 ? 2 : most;
  static constexpr int lanes = vectors * w;

  alignas(64) double x[d][lanes];
  alignas(64) double y[d][lanes];
  alignas(64) double h[lanes];
  alignas(64) int64_t born[lanes];   ///< the clock when the member came
  alignas(64) int64_t going[lanes];  ///< all ones: not at its end
  int64_t member[lanes];             ///< -1: none
};

template <int d>
MF_LOOP Wide lane_residual_of_orbit(Wide mu, const Wide (&x)[d], const Wide (&y)[d]) {
#pragma GCC unroll 4
  for (int c = 0; c < d; ++c) mu = fused_lanes<double>(-x[c], y[c], mu);
  return mu;
}

template <int d>
void orbits(const LaneOrbits& run) {
  using State = OrbitLanes<d>;
  constexpr int w = State::w;
  constexpr int vectors = State::vectors;
  State s{};
  constexpr int64_t never = int64_t{1} << 62;
  int64_t next = 0;
  int64_t end = 0;
  int64_t live = 0;
  int64_t clock = 0;
  bool more = true;
  const auto fill = [&](int lane) {
    if (next == end && more) {
      end = run.take(run.queue, &next);
      more = end > 0;
      end += next;
    }
    s.member[lane] = more ? next : -1;
    s.born[lane] = more ? clock : never;
    for (int c = 0; c < d; ++c) {
      s.x[c][lane] = more ? run.x[next * d + c] : 0;
      s.y[c][lane] = more ? run.y[next * d + c] : 0;
    }
    s.h[lane] = more ? run.h[next] : 0;
    if (!more) return;
    ++live;
    ++next;
  };
  const auto leave = [&](int lane) {
    const int64_t m = s.member[lane];
    if (m < 0) return false;
    double size = 0;
    double r = run.mu;
    for (int c = 0; c < d; ++c) {
      const double x = s.x[c][lane];
      const double y = s.y[c][lane];
      run.end_x[m * d + c] = x == x ? x : __builtin_nan("");
      run.end_y[m * d + c] = y == y ? y : __builtin_nan("");
      size = fused(y, y, fused(x, x, size));
      r = fused(-x, y, r);
    }
    run.end_step[m] = clock - s.born[lane];
    run.fate[m] = !(size < run.far) ? 2 : r < run.close && -r < run.close ? 1 : 0;
    --live;
    return true;
  };

  for (int lane = 0; lane < State::lanes; ++lane) fill(lane);
  const Wide mu = broadcast(run.mu);
  while (live > 0) {
    Wide x[vectors][d];
    Wide y[vectors][d];
    Wide h[vectors];
#pragma GCC unroll 9
    for (int u = 0; u < vectors; ++u) {
#pragma GCC unroll 4
      for (int c = 0; c < d; ++c) {
        x[u][c] = load(&s.x[c][u * w]);
        y[u][c] = load(&s.y[c][u * w]);
      }
      h[u] = load(&s.h[u * w]);
    }
    for (int64_t step = 0; step < run.check_every; ++step) {
#pragma GCC unroll 9
      for (int u = 0; u < vectors; ++u) {
        const Wide move = h[u] * lane_residual_of_orbit<d>(mu, x[u], y[u]);
#pragma GCC unroll 4
        for (int c = 0; c < d; ++c) {
          const Wide old = x[u][c];
          x[u][c] = fused_lanes<double>(move, y[u][c], old);
          y[u][c] = fused_lanes<double>(move, old, y[u][c]);
        }
      }
    }
    clock += run.check_every;
    const int64_t oldest = clock - run.max_steps;  // who came then has had its steps
    LaneBits all = ~LaneBits{};
#pragma GCC unroll 9
    for (int u = 0; u < vectors; ++u) {
      Wide size{};
#pragma GCC unroll 4
      for (int c = 0; c < d; ++c) {
        size = fused_lanes<double>(y[u][c], y[u][c], fused_lanes<double>(x[u][c], x[u][c], size));
        store(&s.x[c][u * w], x[u][c]);
        store(&s.y[c][u * w], y[u][c]);
      }
      const Wide r = lane_residual_of_orbit<d>(mu, x[u], y[u]);
      const LaneBits born = *reinterpret_cast<const LaneBits*>(&s.born[u * w]);
      const LaneBits going =
          (size < run.far) & ((r >= run.close) | (-r >= run.close)) & (born > oldest);
      *reinterpret_cast<LaneBits*>(&s.going[u * w]) = going;
      all &= going;
    }
    if (all_set(all)) continue;
    for (int lane = 0; lane < State::lanes; ++lane) {
      if (s.going[lane] == 0 && leave(lane)) fill(lane);
    }
  }
}

}  // namespace
}  // namespace manyfold::kernels::cpu::MF_ISA
