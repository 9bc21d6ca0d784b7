// The hot loops of resident stepping on the CPU, one set per instruction set, like those of
// loops.hpp and under the same rule: plain data, no functions.
//
// A lane is one member's place in the vectors of a thread. Element e of a member's array stands in
// lane l at p[e * lanes + l]: every operation on an element is one on a whole vector of members, so
// odd sizes waste nothing and no member's arithmetic depends on its neighbours'. Shared arrays, the
// same for all members, have no lanes: element e is p[e].
#pragma once

#include <stdint.h>

#include "kernels/cpu/loops.hpp"

namespace manyfold::kernels::cpu {

/// C = alpha op(A) op(B) + beta C: op(A)(i, p) is element i * a_row + p * a_col of a, op(B)(p, j)
/// element p * b_row + j * b_col of b, C(i, j) element i * c_row + j of c. Every element of C is
/// one chain of fused multiply-adds over p = 0, 1, ..., as in the batched product (loops/gemm.hpp).
template <class T>
struct LaneGemm {
  int64_t m, n, k;
  T alpha, beta;
  const T* a;
  int64_t a_row, a_col;
  bool a_shared;
  const T* b;
  int64_t b_row, b_col;
  bool b_shared;
  T* c;
  int64_t c_row;
  LoopFinish finish;
  T below, by;     ///< slope below zero; scale, or factor
  const T* state;  ///< of rectified_slope: as C, rows state_row apart
  int64_t state_row;
};

/// ExampleTermsArgs (kernels/examples.hpp) of the squared loss, without noise, of rows one after
/// another. f, slope (row, output) and losses (row) have lanes; so have targets unless shared.
template <class T>
struct LaneSquared {
  int64_t rows, outputs;
  const T* f;
  int64_t f_row;
  double scale, weight;
  const T* target;  ///< of the first row
  int64_t target_row;
  bool target_shared;
  double* losses;  ///< null: not wanted
  T* slope;        ///< null: not wanted; may be f
  int64_t slope_row;
};

/// ResidualArgs (kernels/residual.hpp). mask: null, or one byte an element and lane, or shared.
/// sum (lane; may be null) receives the sum of squares.
template <class T>
struct LaneResidual {
  int64_t rows, cols;
  const T* w;
  int64_t w_row;
  const T* target;
  int64_t target_row;
  bool target_shared;
  const uint8_t* mask;
  int64_t mask_row;
  bool mask_shared;
  bool observed;
  T* out;
  int64_t out_row;
  double* sum;
};

/// Where a matrix of a fixed pattern has entries: line i has those from begin[i] to begin[i + 1].
/// For an entry t, `entry` is its element in the matrix, `other` the line of the other factor that
/// it meets.
struct LanePattern {
  int64_t lines;
  const int32_t* begin;
  const int32_t* entry;
  const int32_t* other;
};

/// C(i, q) = sum over the entries t of line i of S[entry_t] X(other_t, q), q = 0 ... count - 1: a
/// product with a sparse factor S on either side, a chain of fused multiply-adds in the order of
/// the entries. X(o, q) is element o * x_line + q * x_step of x, C(i, q) element i * c_line + q *
/// c_step of c. C = alpha C + beta (old C) at last.
template <class T>
struct LaneSparse {
  LanePattern pattern;
  int64_t count;
  T alpha, beta;
  const T* s;
  const T* x;
  int64_t x_line, x_step;
  T* c;
  int64_t c_line, c_step;
};

/// S[entry_t] = sum_p A(i, p) B(p, other_t) - M[target_t] for the entries t of line i: the residual
/// of a product where it is observed. A(i, p), B(p, j) as in LaneGemm, none shared. sum (lane; may
/// be null) receives the sum of squares. target_t: entry_t where `target` is dense, as M is.
template <class T>
struct LaneSampled {
  LanePattern pattern;
  int64_t k;
  const T* a;
  int64_t a_row, a_col;
  const T* b;
  int64_t b_row, b_col;
  const T* target;
  const int32_t* target_entry;
  bool target_shared;
  T* s;
  double* sum;
};

/// SparseTopLayerArgs (kernels/resident/fused.hpp): W (lines, k), P and slope (k, cols). S is kept
/// entry after entry in the order of `rows`; `entry` of `cols` numbers them so.
template <class T>
struct LaneTopLayer {
  LanePattern rows, cols;
  int64_t k;
  T* w;
  int64_t w_row;
  T* p;
  int64_t p_row;
  bool moves_p;
  const T* target;
  const int32_t* target_entry;
  bool target_shared;
  T* s;
  T* slope;  ///< where P moves, scratch of ten rows
  int64_t slope_row;
  const T* scale;  ///< (lane); null: 1
  const T* step;   ///< (lane)
};

/// DrawnDescentArgs (kernels/resident/fused.hpp): numbers of each lane, rounded to T.
template <class T>
struct LaneDrawnDescent {
  int32_t layers;
  const int32_t* sizes;
  T* params;
  T* scratch;
  int64_t back, widest;  ///< DrawnDescentArgs::back_offset(), widest()
  const int32_t* row;    ///< (lane): the entry
  const int32_t* col;
  const T* label;
  const T* noise;  ///< null: none
  const T* weight;
  const T* decay;  ///< null: none
  const T* step;
};

/// Numbers of each lane, already rounded to T.
template <class T>
struct LaneUpdate {
  int64_t count;
  T* params;
  const T* grad;
  T* first;   ///< velocity, m
  T* second;  ///< v
  const T* step;
  const T* kept1;  ///< momentum, beta1
  const T* added1;
  const T* kept2;
  const T* added2;
  const T* epsilon;
  const T* root_scale;
  bool nesterov;
};

/// TeacherGradientArgs (kernels/teacher.hpp): the gradient, and the loss (lane; may be null).
template <class T>
struct LaneTeacher {
  int64_t filter, patches;
  const T* v;
  const T* a;
  const T* w;
  bool w_shared;
  const T* a_star;
  bool a_star_shared;
  const double* sum;  ///< 1.a* (lane)
  T* grad_v;
  T* grad_a;
  double* loss;
};

/// ScalarOrbitsArgs (kernels/scalar_orbits.hpp), of the members that `take` hands out: it returns
/// how many it has for the caller, from *first on; none: there are no more.
struct LaneOrbits {
  const double* x;
  const double* y;
  const double* h;
  double mu, far, close;
  int64_t check_every, max_steps;
  double* end_x;
  double* end_y;
  int64_t* end_step;
  int32_t* fate;
  int64_t (*take)(void* queue, int64_t* first);
  void* queue;
};

template <class T>
struct TypedLaneLoops {
  int64_t lanes;
  void (*gemm)(const LaneGemm<T>& args);
  void (*residual)(const LaneResidual<T>& args);
  void (*squared)(const LaneSquared<T>& args);
  void (*sparse)(const LaneSparse<T>& args);
  void (*sampled)(const LaneSampled<T>& args);
  void (*sparse_top_layer)(const LaneTopLayer<T>& args);
  void (*drawn_descent)(const LaneDrawnDescent<T>& args);
  /// out (lane) = sum_i x_i y_i; x or y may be shared.
  void (*inner_product)(const T* x, bool x_shared, const T* y, bool y_shared, int64_t count,
                        double* out);
  /// y = c x, or y + c x where `add`; c (lane).
  void (*add_scaled)(const T* x, bool x_shared, const T* c, bool add, T* y, int64_t count);
  void (*descend)(const LaneUpdate<T>& args);
  void (*heavy_ball)(const LaneUpdate<T>& args);
  void (*adam)(const LaneUpdate<T>& args);
  void (*sign_descend)(const LaneUpdate<T>& args);
  /// x = a x + b y; a, b (lane).
  void (*linear_combination)(T* x, const T* y, const T* a, const T* b, int64_t count);
  void (*teacher_gradient)(const LaneTeacher<T>& args);
};

struct LaneLoops {
  TypedLaneLoops<float> f32;
  TypedLaneLoops<double> f64;
  void (*orbits[4])(const LaneOrbits& args);  ///< in 1 to 4 dimensions
};

namespace avx512 {
extern const LaneLoops lane_loops;
}
namespace avx2 {
extern const LaneLoops lane_loops;
}
namespace portable {
extern const LaneLoops lane_loops;
}

template <class T>
struct LaneLoopsOf;
template <>
struct LaneLoopsOf<float> {
  static constexpr TypedLaneLoops<float> LaneLoops::*member = &LaneLoops::f32;
};
template <>
struct LaneLoopsOf<double> {
  static constexpr TypedLaneLoops<double> LaneLoops::*member = &LaneLoops::f64;
};

/// The set that goes with chosen_loops().
const LaneLoops& chosen_lane_loops();

}  // namespace manyfold::kernels::cpu
