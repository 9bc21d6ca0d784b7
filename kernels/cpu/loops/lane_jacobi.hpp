// Singular values of small matrices by one-sided Jacobi, a matrix in each lane of a vector: every
// number below is one of all of them. Formulas: kernels/common/jacobi.hpp.
//
// Columns meet in blocks of two, and blocks in the order of a round-robin tournament (Brent and Luk
// 1985): of the four columns of two blocks all products are summed at once, the four rotations
// between the blocks follow from them, and all are carried out in one sweep over the rows. Up to
// three such meetings go side by side, because one alone would mostly wait for its roots and
// quotients. Columns come sorted by their norms, which lets graded matrices converge in few sweeps.
// A lane that has converged is not rotated any more, so what a matrix gives does not depend on its
// neighbours.
//
// Rotations are fast ones (Gentleman 1973): the cosines gather in a factor beside each column, two
// multiply-adds an element are left of a rotation, and squared norms follow from the angle. Factors
// go into the columns, and norms are summed again, where a sweep begins.
#pragma once

#include "kernels/common/jacobi.hpp"
#include "kernels/cpu/loops.hpp"
#include "kernels/cpu/loops/elementwise.hpp"

namespace manyfold::kernels::cpu::MF_ISA {
namespace {

using Integers = Marks;
using Doubles = Vector<double>;
constexpr int64_t lane_count = width<double>;

MF_LOOP Doubles magnitude(Doubles x) {
  return reinterpret_cast<Doubles>(reinterpret_cast<Integers>(x) & INT64_MAX);
}
/// A positive x with the sign of another number.
MF_LOOP Doubles with_sign_of(Doubles x, Doubles other) {
  return reinterpret_cast<Doubles>(reinterpret_cast<Integers>(x) |
                                   (reinterpret_cast<Integers>(other) & INT64_MIN));
}

/// A squared norm that lost so much of itself is summed again: what is left of it is inexact.
constexpr double lost = 1.0 / 1024;

/// 2^exponent, 0 or infinity where that is out of range.
MF_LOOP Doubles powers_of_two(Integers exponent) {
  exponent = exponent < -1023 ? Integers{} - 1023 : exponent;
  exponent = exponent > 1024 ? Integers{} + 1024 : exponent;
  return reinterpret_cast<Doubles>((exponent + 1023) << 52);
}

/// What stands in the arrays of a LaneJacobi. Column j is 2^exponent sqrt(scale2) times what is
/// stored, column j of the rotations sqrt(scale2) times that.
struct LaneColumns {
  int64_t m, n;
  double* elements;
  double* right;
  Doubles* norm2;   ///< of sqrt(scale2) times what is stored
  Doubles* scale2;  ///< in (0, 1]
  Integers* exponent;
  Integers* shrunk;  ///< lanes: jacobi_gone

  [[gnu::always_inline]] inline double* column(int64_t j) const {
    return elements + j * m * lane_count;
  }
  [[gnu::always_inline]] inline double* right_column(int64_t j) const {
    return right + j * n * lane_count;
  }
};

/// What stored columns turn by: x <- x - `x` y, y <- y + `y` x (the old x), 0 outside of `lanes`.
/// There nothing may change, not the sign of a zero, or a matrix would notice its neighbours.
struct Turn {
  Doubles x, y;
  Integers lanes;
};

struct LaneRotation {
  Turn columns, right;
  Integers look;  ///< lanes with a norm that lost most of itself
};

/// What a sweep does and has seen, lane by lane.
struct Sweep {
  Integers active;  ///< lanes that are rotated
  double orthogonal2;
  double far2;
  bool mixed;      ///< columns may have different exponents
  Integers far{};  ///< squared cosines above far2
};

// Element by element: whole structures are copied through memory, by halves.
MF_LOOP void no_rotation(LaneRotation& rotation) {
  rotation.columns.x = rotation.columns.y = Doubles{};
  rotation.right.x = rotation.right.y = Doubles{};
  rotation.columns.lanes = rotation.right.lanes = rotation.look = Integers{};
}

/// The rotation of jacobi_rotation for columns with factors, given the product g of what is stored;
/// norms and factors become those after it. None in lanes that rest or are orthogonal; returns
/// whether there is one in any.
MF_LOOP bool lane_rotation(const LaneColumns& c, int64_t p, int64_t q, Doubles g, Sweep& sweep,
                           LaneRotation& rotation) {
  const Doubles a = c.norm2[p];
  const Doubles b = c.norm2[q];
  const Doubles x_scale = c.scale2[p];
  const Doubles y_scale = c.scale2[q];
  const Doubles g2 = g * g * (x_scale * y_scale);
  const Doubles lengths = a * b;
  const Integers turned = sweep.active & (g2 > sweep.orthogonal2 * lengths);
  if (!any(turned)) {
    no_rotation(rotation);
    return false;
  }
  sweep.far |= turned & (g2 > sweep.far2 * lengths);
  Doubles ratio = broadcast(1.0);
  Doubles b_there = b;  // in the units of x
  Doubles product2 = 4 * g2;
  if (sweep.mixed) {
    // Beyond 2^150 the angle does not depend on it any more, and what follows stays finite.
    const Integers shift = c.exponent[q] - c.exponent[p];
    ratio = powers_of_two(shift > 150 ? Integers{} + 150 : shift);
    b_there *= ratio * ratio;
    product2 *= ratio * ratio;
  }
  const Doubles h = b_there - a;
  const Doubles root = root_lanes<double>(fma(h, h, product2));
  // With d = h + sign(h) root: t / ratio = 2 g / d, and cos^2 = |d| / (2 root), of one quotient.
  const Doubles d = h + with_sign_of(root, h);
  const Doubles over = 1 / (root * d);
  const Doubles turn = turned ? 2 * g * (over * root) : Doubles{};
  const Doubles keep2 = turned ? magnitude(over * d) * (0.5 * magnitude(d)) : broadcast(1.0);
  Doubles x_turn = turn * y_scale;
  const Doubles y_turn = turn * x_scale;
  // a - t x . y and b + t x . y, of which one term is at most the other.
  const Doubles moved = x_turn * x_scale * g;
  Doubles a_after = a - moved;
  const Doubles b_after = b + moved;
  Doubles right_x = x_turn;
  Doubles right_y = y_turn;
  if (sweep.mixed) {
    right_x *= ratio;
    right_y *= ratio;
    x_turn *= ratio * ratio;
    a_after = fma(-moved, ratio * ratio, a);
  }
  rotation.columns.x = x_turn;
  rotation.columns.y = y_turn;
  rotation.columns.lanes = turned;
  if (c.right != nullptr) {
    rotation.right.x = right_x;
    rotation.right.y = right_y;
    rotation.right.lanes = turned;
  }
  c.scale2[p] = x_scale * keep2;
  c.scale2[q] = y_scale * keep2;
  c.norm2[p] = a_after;
  c.norm2[q] = b_after;
  rotation.look = (a_after < lost * a) | (b_after < lost * b);
  return true;
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

/// `everywhere`: in all lanes, as in the first sweeps.
template <bool everywhere>
MF_LOOP void turn(Doubles& x, Doubles& y, Turn by) {
  const Doubles new_x = fma(-by.x, y, x);
  const Doubles new_y = fma(by.y, x, y);
  x = everywhere ? new_x : by.lanes ? new_x : x;
  y = everywhere ? new_y : by.lanes ? new_y : y;
}

template <bool everywhere>
MF_LOOP void turn_columns(double* x, double* y, int64_t length, Turn by) {
  for (int64_t i = 0; i < length * lane_count; i += lane_count) {
    Doubles of_x = load(x + i);
    Doubles of_y = load(y + i);
    turn<everywhere>(of_x, of_y, by);
    store(x + i, of_x);
    store(y + i, of_y);
  }
}
MF_LOOP void turn_columns(double* x, double* y, int64_t length, Turn by) {
  if (any(~by.lanes)) {
    turn_columns<false>(x, y, length, by);
  } else {
    turn_columns<true>(x, y, length, by);
  }
}

/// Brings a column back to size 1 in those lanes that `which` names; a zero column has norm2 = 0.
/// One that is little below 2^near takes that for its exponent: columns of about one size then have
/// one exponent, which saves factors in rotations.
MF_LOOP void lane_normalize(const LaneColumns& c, int64_t j, Integers which, const Integers* near) {
  constexpr int64_t w = lane_count;
  double* const x = c.column(j);
  Doubles largest{};
  for (int64_t i = 0; i < c.m * w; i += w) {
    const Doubles size = magnitude(load(x + i));
    largest = size > largest ? size : largest;
  }
  Integers exponent{};
  for (int64_t l = 0; l < w; ++l) {
    if (which[l] == 0 || largest[l] == 0) continue;
    exponent[l] = exponent_of(largest[l]);
    if (near == nullptr) continue;
    const bool as_near = exponent[l] <= (*near)[l] && exponent[l] + 2 >= (*near)[l];
    if (as_near) exponent[l] = (*near)[l];
  }
  c.exponent[j] += exponent;
  // Twice, as one factor could be out of range.
  const Integers half = exponent / 2;
  const Doubles first = powers_of_two(-half);
  const Doubles second = powers_of_two(half - exponent);
  Doubles sum{};
  for (int64_t i = 0; i < c.m * w; i += w) {
    const Doubles element = load(x + i) * first * second;
    sum = fma(element, element, sum);
    store(x + i, element);
  }
  c.norm2[j] = which ? sum * c.scale2[j] : c.norm2[j];
}

/// Sums the norm again in those lanes that `which` names, and brings columns back that left the
/// range in which their squared norms may be multiplied.
MF_LOOP void lane_rescale(const LaneColumns& c, int64_t j, Integers which, Sweep& sweep) {
  const Doubles norm2 = c.scale2[j] * lane_product(c.column(j), c.column(j), c.m);
  c.norm2[j] = which ? norm2 : c.norm2[j];
  const Integers small = which & (c.norm2[j] < jacobi_gone) & (c.norm2[j] > 0);
  const Integers far = small | (which & (c.norm2[j] > 1e60));
  if (!any(far)) return;
  for (int64_t l = 0; l < lane_count; ++l) {
    if ((small & c.shrunk[j])[l] == 0) continue;
    for (int64_t i = 0; i < c.m; ++i) c.column(j)[i * lane_count + l] = 0;
  }
  lane_normalize(c, j, far, nullptr);
  sweep.mixed = true;
  c.shrunk[j] |= small;
}

/// Puts the factors into the columns and sums their norms.
MF_LOOP void settle(const LaneColumns& c, int64_t j, Sweep& sweep) {
  const Doubles scale = root_lanes<double>(c.scale2[j]);
  Doubles sum{};
  double* const x = c.column(j);
  for (int64_t i = 0; i < c.m * lane_count; i += lane_count) {
    const Doubles element = scale * load(x + i);
    sum = fma(element, element, sum);
    store(x + i, element);
  }
  c.norm2[j] = sum;
  c.scale2[j] = broadcast(1.0);
  if (any(sum > 1e60)) lane_rescale(c, j, sum > 1e60, sweep);
  if (c.right == nullptr) return;
  double* const r = c.right_column(j);
  for (int64_t i = 0; i < c.n * lane_count; i += lane_count) store(r + i, scale * load(r + i));
}

/// Which blocks meet, round after round; in a round each but once.
struct Tournament {
  static constexpr int64_t players = lane_jacobi_columns / 2;
  int64_t count;  // of pairs a round
  int64_t rounds;
  uint8_t low[players * players / 2];
  uint8_t high[players * players / 2];
};

/// Where the blocks are odd, one rests each round: its pair is (0, 0).
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

/// Rotates one pair.
MF_LOOP void meet(const LaneColumns& c, int64_t p, int64_t q, Sweep& sweep) {
  LaneRotation r;
  if (!lane_rotation(c, p, q, lane_product(c.column(p), c.column(q), c.m), sweep, r)) return;
  turn_columns(c.column(p), c.column(q), c.m, r.columns);
  if (c.right != nullptr) turn_columns(c.right_column(p), c.right_column(q), c.n, r.right);
  if (!any(r.look)) return;
  lane_rescale(c, p, r.look, sweep);
  lane_rescale(c, q, r.look, sweep);
}

/// Two blocks, of columns p0 and p0 + 1, q0 and q0 + 1: what their columns turn by, first 0 with 0
/// and 1 with 1, then 0 with 1 and 1 with 0.
struct Meeting {
  int64_t p, q;
  LaneRotation straight[2], crossed[2];
  bool turns;
};

struct BlockProducts {
  Doubles straight[2];
  Doubles crossed[2];  ///< p 0 with q 1, p 1 with q 0
  Doubles p, q;        ///< within the blocks
};

/// Products of all columns of the two blocks, in one sweep over the rows.
MF_LOOP void block_products(const double* x, const double* y, int64_t m, BlockProducts& products) {
  const int64_t next = m * lane_count;
  BlockProducts sum{};
  for (int64_t i = 0; i < next; i += lane_count) {
    const Doubles x0 = load(x + i);
    const Doubles x1 = load(x + next + i);
    const Doubles y0 = load(y + i);
    const Doubles y1 = load(y + next + i);
    sum.straight[0] = fma(x0, y0, sum.straight[0]);
    sum.straight[1] = fma(x1, y1, sum.straight[1]);
    sum.crossed[0] = fma(x0, y1, sum.crossed[0]);
    sum.crossed[1] = fma(x1, y0, sum.crossed[1]);
    sum.p = fma(x0, x1, sum.p);
    sum.q = fma(y0, y1, sum.q);
  }
  products = sum;
}

MF_LOOP void straight_rotations(const LaneColumns& c, const BlockProducts& g, Meeting& m,
                                Sweep& sweep) {
  m.turns = lane_rotation(c, m.p, m.q, g.straight[0], sweep, m.straight[0]);
  m.turns |= lane_rotation(c, m.p + 1, m.q + 1, g.straight[1], sweep, m.straight[1]);
}

/// The products of columns that have turned follow from those before: their errors are small
/// relative to the norms before, which makes an angle less good where a norm fell, and no value
/// less accurate.
MF_LOOP void crossed_rotations(const LaneColumns& c, const BlockProducts& g, Meeting& m,
                               Sweep& sweep) {
  const Turn& a = m.straight[0].columns;
  const Turn& b = m.straight[1].columns;
  const Doubles g01 = fma(-a.x, fma(b.y, g.crossed[1], g.q), fma(b.y, g.p, g.crossed[0]));
  const Doubles g10 = fma(-b.x, fma(a.y, g.crossed[0], g.q), fma(a.y, g.p, g.crossed[1]));
  m.turns |= lane_rotation(c, m.p, m.q + 1, g01, sweep, m.crossed[0]);
  m.turns |= lane_rotation(c, m.p + 1, m.q, g10, sweep, m.crossed[1]);
}

template <bool everywhere>
MF_LOOP void turn_blocks(double* x, double* y, int64_t length, Turn a, Turn b, Turn crossed_a,
                         Turn crossed_b) {
  const int64_t next = length * lane_count;
  for (int64_t i = 0; i < next; i += lane_count) {
    Doubles x0 = load(x + i);
    Doubles x1 = load(x + next + i);
    Doubles y0 = load(y + i);
    Doubles y1 = load(y + next + i);
    turn<everywhere>(x0, y0, a);
    turn<everywhere>(x1, y1, b);
    turn<everywhere>(x0, y1, crossed_a);
    turn<everywhere>(x1, y0, crossed_b);
    store(x + i, x0);
    store(x + next + i, x1);
    store(y + i, y0);
    store(y + next + i, y1);
  }
}

template <bool everywhere>
MF_LOOP void turn_meeting(const LaneColumns& c, const Meeting& m) {
  turn_blocks<everywhere>(c.column(m.p), c.column(m.q), c.m, m.straight[0].columns,
                          m.straight[1].columns, m.crossed[0].columns, m.crossed[1].columns);
  if (c.right == nullptr) return;
  turn_blocks<everywhere>(c.right_column(m.p), c.right_column(m.q), c.n, m.straight[0].right,
                          m.straight[1].right, m.crossed[0].right, m.crossed[1].right);
}

MF_LOOP void carry_out(const LaneColumns& c, const Meeting& m, Sweep& sweep) {
  if (!m.turns) return;
  const Integers everywhere = m.straight[0].columns.lanes & m.straight[1].columns.lanes &
                              m.crossed[0].columns.lanes & m.crossed[1].columns.lanes;
  if (any(~everywhere)) {
    turn_meeting<false>(c, m);
  } else {
    turn_meeting<true>(c, m);
  }
  const Integers p0 = m.straight[0].look | m.crossed[0].look;
  const Integers p1 = m.straight[1].look | m.crossed[1].look;
  const Integers q0 = m.straight[0].look | m.crossed[1].look;
  const Integers q1 = m.straight[1].look | m.crossed[0].look;
  if (!any(p0 | p1)) return;
  lane_rescale(c, m.p, p0, sweep);
  lane_rescale(c, m.p + 1, p1, sweep);
  lane_rescale(c, m.q, q0, sweep);
  lane_rescale(c, m.q + 1, q1, sweep);
}

/// Meetings that have no column in common.
template <int count>
MF_LOOP void meet_blocks(const LaneColumns& c, const uint8_t* low, const uint8_t* high,
                         Sweep& sweep) {
  BlockProducts products[count];
  Meeting meeting[count];
  for (int i = 0; i < count; ++i) {
    meeting[i].p = 2 * low[i];
    meeting[i].q = 2 * high[i];
    block_products(c.column(meeting[i].p), c.column(meeting[i].q), c.m, products[i]);
  }
  for (int i = 0; i < count; ++i) straight_rotations(c, products[i], meeting[i], sweep);
  for (int i = 0; i < count; ++i) crossed_rotations(c, products[i], meeting[i], sweep);
  for (int i = 0; i < count; ++i) carry_out(c, meeting[i], sweep);
}

/// Each column with each other, once.
void meet_all(const LaneColumns& c, const Tournament& blocks, Sweep& sweep) {
  for (int64_t j = 0; j + 1 < c.n; j += 2) meet(c, j, j + 1, sweep);
  for (int64_t round = 0; round < blocks.rounds; ++round) {
    const uint8_t* low = blocks.low + round * blocks.count;
    const uint8_t* high = blocks.high + round * blocks.count;
    // Blocks that have two columns, and where they are odd in number not the one that rests.
    const auto whole = [&](int64_t k) { return low[k] != high[k] && 2 * high[k] + 1 < c.n; };
    int64_t k = 0;
    while (k < blocks.count) {
      int64_t together = 0;
      while (together < 3 && k + together < blocks.count && whole(k + together)) ++together;
      if (together == 3) {
        meet_blocks<3>(c, low + k, high + k, sweep);
      } else if (together == 2) {
        meet_blocks<2>(c, low + k, high + k, sweep);
      } else if (together == 1) {
        meet_blocks<1>(c, low + k, high + k, sweep);
      } else if (low[k] != high[k]) {
        meet(c, 2 * low[k], 2 * high[k], sweep);
        meet(c, 2 * low[k] + 1, 2 * high[k], sweep);
      }
      k += together > 0 ? together : 1;
    }
  }
}

void lane_jacobi(const LaneJacobi& args) {
  const double bound = jacobi_tolerance(static_cast<double>(args.m));
  Doubles norm2[lane_jacobi_columns];
  Doubles scale2[lane_jacobi_columns];
  Integers exponent[lane_jacobi_columns] = {};
  Integers shrunk[lane_jacobi_columns] = {};
  const LaneColumns c{args.m, args.n, args.columns, args.right, norm2, scale2, exponent, shrunk};
  bool mixed = false;
  for (int64_t j = 0; j < args.n; ++j) {
    norm2[j] = Doubles{};
    scale2[j] = broadcast(1.0);
    const Integers near = exponent[0];
    lane_normalize(c, j, Integers{} - 1, j > 0 ? &near : nullptr);
    mixed |= any(exponent[j] != exponent[0]);
  }
  Tournament t;
  make_tournament((args.n + 1) / 2, t);
  Integers sweeps{};
  // Cosines of at most far leave n far^2 behind a sweep, which is orthogonal: no sweep more is
  // needed to see it.
  Sweep sweep{Integers{} + (args.n > 1 ? -1 : 0), bound * bound,
              bound / static_cast<double>(args.n), mixed};
  for (int32_t done = 0; any(sweep.active) && done < args.max_sweeps; ++done) {
    sweeps -= sweep.active;
    sweep.far = Integers{};
    meet_all(c, t, sweep);
    for (int64_t j = 0; j < args.n; ++j) settle(c, j, sweep);
    sweep.active = sweep.far;
  }
  for (int64_t l = 0; l < lane_count; ++l) {
    args.sweeps[l] = sweep.active[l] != 0 ? -1 : static_cast<int32_t>(sweeps[l]);
    for (int64_t j = 0; j < args.n; ++j) {
      args.norms[j * lane_count + l] = __builtin_sqrt(norm2[j][l]);
      args.exponents[j * lane_count + l] = static_cast<int32_t>(exponent[j][l]);
    }
  }
}

}  // namespace
}  // namespace manyfold::kernels::cpu::MF_ISA
