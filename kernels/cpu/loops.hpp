// The CPU's hot loops, one set per instruction set, chosen when the program starts.
//
// The sources in loops/ are compiled three times with different flags, into the namespaces avx512,
// avx2 and portable. Whatever those sources include is compiled with their flags too, and the
// linker keeps one copy of an inline function for the whole program: so everything here is plain
// data without functions (not even defaulted ones), and loops/ includes nothing with inline
// functions.
#pragma once

#include <stdint.h>

namespace manyfold::kernels {

template <class T>
struct AdamNumbers;  // kernels/common/updates.hpp

}  // namespace manyfold::kernels

namespace manyfold::kernels::cpu {

/// The most rows, columns or terms of a product that our own loops take. Up to twice this they were
/// measured faster than the BLAS (kernels/README.md), but a BLAS cuts for the caches and they do
/// not.
constexpr int64_t largest_own_gemm = 256;

/// Doubles that copy_rounds takes at a time: four cache lines.
constexpr int64_t copy_block = 32;

/// Values of Activation (kernels/activation.hpp).
constexpr int activations = 7;

/// Finish of kernels/gemm.hpp.
enum class LoopFinish { none, rectify, rectified_slope };

/// GemmArgs (kernels/gemm.hpp), flattened.
template <class T>
struct GemmBatch {
  int64_t m, n, k;
  bool transpose_a, transpose_b;
  T alpha, beta;
  const T* a;
  int64_t a_slot, a_row;  // strides of what is stored, as in MatrixBatch
  const T* b;
  int64_t b_slot, b_row;
  T* c;
  int64_t c_slot, c_row;
  LoopFinish finish;
  T below, by;
  const T* state;
  int64_t state_slot;  ///< rows n apart
};

/// ResidualArgs (kernels/residual.hpp) for one slot.
template <class T>
struct ResidualSlot {
  int64_t rows, cols;
  const T* w;
  int64_t w_row;
  const T* target;
  int64_t target_row;
  const uint8_t* mask;  // null: no mask
  int64_t mask_row;
  bool observed;
  T* out;  // null: not wanted
  int64_t out_row;
};

template <class T>
struct TypedLoops {
  /// Elements of scratch that gemm needs.
  int64_t (*gemm_scratch)(const GemmBatch<T>& batch);
  void (*gemm)(const GemmBatch<T>& batch, int64_t slot_begin, int64_t slot_end, T* scratch);
  /// The sum of squares over what counts.
  double (*residual)(const ResidualSlot<T>& slot);
  double (*sum_of_squares)(const T* x, int64_t count);
  // kernels/updates.hpp for one slot.
  void (*descend)(T* params, const T* grad, T step, int64_t count);
  void (*heavy_ball)(T* params, const T* grad, T* velocity, T momentum, T step, bool nesterov,
                     int64_t count);
  void (*adam)(T* params, const T* grad, T* m, T* v, AdamNumbers<T> numbers, int64_t count);
  void (*sign_descend)(T* params, const T* grad, T step, int64_t count);
  // kernels/activation.hpp over `count` elements, by the number of the Activation; `below` is the
  // slope of leaky_relu.
  void (*activate[activations])(T* y, const T* z, T scale, T below, int64_t count);
  void (*activation_slope[activations])(T* dz, const T* state, const T* dy, T scale, T below,
                                        T factor, bool add, int64_t count);
  // kernels/examples.hpp, the squared loss without noise: of `count` elements the slopes; of rows
  // of `outputs` elements, row_stride apart in f and y, the losses.
  void (*squared_slopes)(T* slope, const T* f, const T* y, double scale, double weight,
                         int64_t count);
  void (*squared_losses)(double* losses, const T* f, int64_t f_row, const T* y, int64_t y_row,
                         int64_t rows, int64_t outputs, double scale, double weight);
  /// kernels/gram.hpp: bits of a row of `count` elements.
  void (*positive_bits)(uint64_t* bits, const T* x, int64_t count);
  /// `rounds` times `fma_flops_per_round` operations in independent chains; adds to *sink.
  void (*fma_rounds)(int64_t rounds, T* sink);
  int64_t fma_flops_per_round;
};

/// The most columns of matrices that stand in lanes: beyond, those of several are more than caches
/// hold.
constexpr int64_t lane_jacobi_columns = 64;

/// Singular values of as many matrices as a vector has doubles, each m by n: element i of column j
/// of lane l at columns[(j * m + i) * lanes + l], sorted by their norms, the longest first. They
/// are rotated until they are orthogonal: column j is then u_j s_j / 2^exponents[j * lanes + l],
/// and its norm norms[j * lanes + l]. right (may be null): the rotations, which are to begin as the
/// identity or a permutation, element i of column j as above with n in the place of m.
struct LaneJacobi {
  int64_t m, n;
  double* columns;
  double* norms;
  int32_t* exponents;
  double* right;
  int32_t max_sweeps;
  int32_t* sweeps;  ///< (lane): taken, or -1 where max_sweeps did not suffice
};

struct Loops {
  const char* name;
  TypedLoops<float> f32;
  TypedLoops<double> f64;
  /// Leading dimension (elements) that jacobi wants for columns of m elements.
  int64_t (*jacobi_stride)(int64_t m);
  /// Rotates the columns of the m by n matrix (m >= n) in `columns` until they are orthogonal:
  /// column-major, column j at columns + j * jacobi_stride(m), 64-byte aligned, padding zero.
  /// Column places[i] is then u_i s_i / 2^exponents[i], and its norm norms[i], i = 0 ... n - 1.
  /// right (may be null): the rotations, columns jacobi_stride(n) apart, which are to begin as the
  /// identity. Returns sweeps taken, or -1 when max_sweeps did not suffice.
  int32_t (*jacobi)(int64_t m, int64_t n, double* columns, double* right, double* norms,
                    int32_t* exponents, int32_t* places, int32_t max_sweeps);
  int64_t jacobi_lanes;
  void (*lane_jacobi)(const LaneJacobi& args);
  /// counts_ij, (rows, cols), rows counts_row apart: the bits that are 1 in both row i of a and row
  /// j of b, which have `words` words each, rows words_row apart.
  void (*shared_ones)(double* counts, int64_t counts_row, const uint64_t* a, int64_t rows,
                      const uint64_t* b, int64_t cols, int64_t words_row, int64_t words);
  /// `rounds` copies of `count` doubles, a multiple of copy_block; both begin on a cache line.
  void (*copy_rounds)(int64_t rounds, double* to, const double* from, int64_t count);
};

namespace avx512 {
extern const Loops loops;
}
namespace avx2 {
extern const Loops loops;
}
namespace portable {
extern const Loops loops;
}

template <class T>
struct LoopsOf;
template <>
struct LoopsOf<float> {
  static constexpr TypedLoops<float> Loops::*member = &Loops::f32;
};
template <>
struct LoopsOf<double> {
  static constexpr TypedLoops<double> Loops::*member = &Loops::f64;
};

/// The set for this processor, or the one that the environment variable MANYFOLD_ISA names
/// (portable, avx2, avx512). Throws InputError when that is unknown or this processor lacks it.
const Loops& chosen_loops();

}  // namespace manyfold::kernels::cpu
