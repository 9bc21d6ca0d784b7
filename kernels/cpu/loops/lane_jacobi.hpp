// Singular values of small matrices by one-sided Jacobi, a matrix in each lane of a vector: every
// number below is one of all of them. Formulas: kernels/common/jacobi.hpp.
//
// Pairs of columns meet in the order of a round-robin tournament (Brent and Luk 1985), whose rounds
// have no column twice: a few pairs go side by side, because one alone would mostly wait for its
// square roots and quotients. Columns come sorted by their norms, which lets graded matrices
// converge in few sweeps. A lane whose columns are orthogonal is not rotated any more, so what a
// matrix gives does not depend on its neighbours.
#pragma once

#include "kernels/common/jacobi.hpp"
#include "kernels/cpu/loops.hpp"
#include "kernels/cpu/loops/elementwise.hpp"

namespace manyfold::kernels::cpu::MF_ISA {
namespace {

using Integers = Marks;
using Doubles = Vector<double>;
constexpr int64_t lane_count = width<double>;

/// 2^exponent, 0 or infinity where that is out of range.
MF_LOOP Doubles powers_of_two(Integers exponent) {
  exponent = exponent < -1023 ? Integers{} - 1023 : exponent;
  exponent = exponent > 1024 ? Integers{} + 1024 : exponent;
  return reinterpret_cast<Doubles>((exponent + 1023) << 52);
}
/// What stands in the arrays of a LaneJacobi.
struct LaneColumns {
  int64_t m, n;
  double* elements;
  double* right;
  Doubles* norm2;
  Integers* exponent;
  Integers* shrunk;  ///< lanes: jacobi_gone

  [[gnu::always_inline]] inline double* column(int64_t j) const {
    return elements + j * m * lane_count;
  }
  [[gnu::always_inline]] inline double* right_column(int64_t j) const {
    return right + j * n * lane_count;
  }
};

/// A rotation for each lane, none where the columns count as orthogonal: there nothing may change,
/// not the sign of a zero nor the last bit of a norm, or a matrix would notice its neighbours.
struct LaneRotation {
  Doubles keep, to_first, to_second, sine;
  Integers turned;
};

MF_LOOP LaneRotation lane_rotation(const LaneColumns& c, int64_t p, int64_t q, Doubles g,
                                   Integers turned) {
  const Doubles a = c.norm2[p];
  const Doubles b = c.norm2[q];
  const Doubles ratio = powers_of_two(c.exponent[q] - c.exponent[p]);
  const Doubles h = b * ratio * ratio - a;
  const Doubles g2 = 2 * g;
  const Doubles root = root_lanes<double>(g2 * ratio * (g2 * ratio) + h * h);
  const Doubles over = turned ? g2 / (h < 0 ? h - root : h + root) : Doubles{};
  const Doubles t = turned ? over * ratio : Doubles{};
  const Doubles keep = 1 / root_lanes<double>(1 + t * t);
  return {keep, -keep * t * ratio, keep * over, keep * t, turned};
}

MF_LOOP Doubles lane_product(const double* x, const double* y, int64_t m) {
  constexpr int64_t w = lane_count;
  Doubles even{};
  Doubles odd{};
  int64_t i = 0;
  for (; i + 2 <= m; i += 2) {
    even = fma(load(x + i * w), load(y + i * w), even);
    odd = fma(load(x + (i + 1) * w), load(y + (i + 1) * w), odd);
  }
  if (i < m) even = fma(load(x + i * w), load(y + i * w), even);
  return even + odd;
}

/// Rotates a pair and finds the new squared norms. `everywhere`: in all lanes, as in the first
/// sweeps.
template <bool everywhere>
MF_LOOP void lane_rotate(const LaneColumns& c, int64_t p, int64_t q, const LaneRotation& r) {
  constexpr int64_t w = lane_count;
  const auto chosen = [&](Doubles rotated, Doubles old) {
    if constexpr (everywhere) {
      return rotated;
    } else {
      return r.turned ? rotated : old;
    }
  };
  double* x = c.column(p);
  double* y = c.column(q);
  Doubles sum_x{};
  Doubles sum_y{};
  for (int64_t i = 0; i < c.m * w; i += w) {
    const Doubles old_x = load(x + i);
    const Doubles old_y = load(y + i);
    const Doubles new_x = chosen(fma(r.to_first, old_y, r.keep * old_x), old_x);
    const Doubles new_y = chosen(fma(r.to_second, old_x, r.keep * old_y), old_y);
    sum_x = fma(new_x, new_x, sum_x);
    sum_y = fma(new_y, new_y, sum_y);
    store(x + i, new_x);
    store(y + i, new_y);
  }
  c.norm2[p] = chosen(sum_x, c.norm2[p]);
  c.norm2[q] = chosen(sum_y, c.norm2[q]);
  if (c.right == nullptr) return;
  x = c.right_column(p);
  y = c.right_column(q);
  for (int64_t i = 0; i < c.n * w; i += w) {
    const Doubles old_x = load(x + i);
    const Doubles old_y = load(y + i);
    store(x + i, chosen(fma(-r.sine, old_y, r.keep * old_x), old_x));
    store(y + i, chosen(fma(r.sine, old_x, r.keep * old_y), old_y));
  }
}

/// Brings a column back to size 1 in those lanes that `which` names; a zero column has norm2 = 0.
void lane_normalize(const LaneColumns& c, int64_t j, Integers which) {
  for (int64_t l = 0; l < lane_count; ++l) {
    if (which[l] == 0) continue;
    double* const x = c.column(j) + l;
    double largest = 0;
    for (int64_t i = 0; i < c.m; ++i) {
      const double size = __builtin_fabs(x[i * lane_count]);
      largest = size > largest ? size : largest;
    }
    double sum = 0;
    if (largest > 0) {
      const int exponent = exponent_of(largest);
      c.exponent[j][l] += exponent;
      for (int64_t i = 0; i < c.m; ++i) {
        double& element = x[i * lane_count];
        element = scale_by_power(element, -exponent);
        sum += element * element;
      }
    }
    c.norm2[j][l] = sum;
  }
}

/// After a rotation: columns that left the range in which their squared norms may be multiplied.
MF_LOOP void lane_rescale(const LaneColumns& c, int64_t j) {
  const Integers small = (c.norm2[j] < jacobi_gone) & (c.norm2[j] > 0);
  const Integers far = small | (c.norm2[j] > 1e60);
  if (!any(far)) return;
  for (int64_t l = 0; l < lane_count; ++l) {
    if ((small & c.shrunk[j])[l] == 0) continue;
    for (int64_t i = 0; i < c.m; ++i) c.column(j)[i * lane_count + l] = 0;
  }
  lane_normalize(c, j, far);
  c.shrunk[j] |= small;
}

/// The pairs of a sweep, round after round; a round's have no column in common.
struct Tournament {
  static constexpr int64_t most = lane_jacobi_columns * (lane_jacobi_columns - 1) / 2;
  int64_t count;  // of pairs a round, the last one a round may lack
  int64_t rounds;
  uint8_t low[most + lane_jacobi_columns];
  uint8_t high[most + lane_jacobi_columns];
};

/// Where the columns are odd, one rests each round: its pair is (0, 0).
MF_LOOP void make_tournament(int64_t n, Tournament& t) {
  const int64_t players = n + n % 2;
  t.count = players / 2;
  t.rounds = players - 1;
  const auto around = [&](int64_t place) { return place < t.rounds ? place : place - t.rounds; };
  int64_t at = 0;
  for (int64_t round = 0; round < t.rounds; ++round) {
    for (int64_t k = 0; k < t.count; ++k, ++at) {
      // The last player stays, the others move on by one each round.
      const int64_t first = k == 0 ? players - 1 : around(round + k);
      const int64_t second = around(round + t.rounds - k);
      const bool rests = first >= n;
      t.low[at] = static_cast<uint8_t>(rests ? 0 : first < second ? first : second);
      t.high[at] = static_cast<uint8_t>(rests ? 0 : first < second ? second : first);
    }
  }
}

/// Up to so many pairs go side by side.
constexpr int64_t side_by_side = 4;

/// Rotates the lanes of some pairs whose columns are not orthogonal; returns which did.
MF_LOOP Integers rotate_some(const LaneColumns& c, const uint8_t* low, const uint8_t* high,
                             int64_t pairs, double bound2) {
  Integers moved{};
  LaneRotation rotation[side_by_side];
  bool turns[side_by_side];
  for (int64_t i = 0; i < pairs; ++i) {
    const int64_t p = low[i];
    const int64_t q = high[i];
    turns[i] = false;
    if (p == q) continue;
    const Doubles g = lane_product(c.column(p), c.column(q), c.m);
    const Integers turned = g * g > bound2 * (c.norm2[p] * c.norm2[q]);
    turns[i] = any(turned);
    if (!turns[i]) continue;
    moved |= turned;
    rotation[i] = lane_rotation(c, p, q, g, turned);
  }
  for (int64_t i = 0; i < pairs; ++i) {
    if (!turns[i]) continue;
    if (any(~rotation[i].turned)) {
      lane_rotate<false>(c, low[i], high[i], rotation[i]);
    } else {
      lane_rotate<true>(c, low[i], high[i], rotation[i]);
    }
    lane_rescale(c, low[i]);
    lane_rescale(c, high[i]);
  }
  return moved;
}

void lane_jacobi(const LaneJacobi& args) {
  const double bound = jacobi_tolerance(static_cast<double>(args.m));
  Doubles norm2[lane_jacobi_columns];
  Integers exponent[lane_jacobi_columns] = {};
  Integers shrunk[lane_jacobi_columns] = {};
  const LaneColumns c{args.m, args.n, args.columns, args.right, norm2, exponent, shrunk};
  for (int64_t j = 0; j < args.n; ++j) {
    norm2[j] = Doubles{};
    lane_normalize(c, j, Integers{} - 1);
  }
  Tournament t;
  make_tournament(args.n, t);
  Integers sweeps{};
  Integers moving = Integers{} + (args.n > 1 ? -1 : 0);
  for (int32_t sweep = 0; any(moving) && sweep < args.max_sweeps; ++sweep) {
    sweeps -= moving;
    moving = Integers{};
    for (int64_t round = 0; round < t.rounds; ++round) {
      for (int64_t k = 0; k < t.count; k += side_by_side) {
        const int64_t pairs = t.count - k < side_by_side ? t.count - k : side_by_side;
        const int64_t at = round * t.count + k;
        moving |= rotate_some(c, t.low + at, t.high + at, pairs, bound * bound);
      }
    }
  }
  for (int64_t l = 0; l < lane_count; ++l) {
    args.sweeps[l] = moving[l] != 0 ? -1 : static_cast<int32_t>(sweeps[l]);
    for (int64_t j = 0; j < args.n; ++j) {
      args.norms[j * lane_count + l] = __builtin_sqrt(norm2[j][l]);
      args.exponents[j * lane_count + l] = static_cast<int32_t>(exponent[j][l]);
    }
  }
}

}  // namespace
}  // namespace manyfold::kernels::cpu::MF_ISA
