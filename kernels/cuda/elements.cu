// Element bodies on a GPU: each operation is its body run by ForEach.
#include "kernels/cuda/for_each.cuh"
#include "kernels/cuda/operations.cuh"
#include "kernels/elements/activation.hpp"
#include "kernels/elements/combine.hpp"
#include "kernels/elements/draws.hpp"
#include "kernels/elements/examples.hpp"
#include "kernels/elements/gram.hpp"
#include "kernels/elements/lanczos.hpp"
#include "kernels/elements/neurons.hpp"
#include "kernels/elements/patches.hpp"
#include "kernels/elements/patterns.hpp"
#include "kernels/elements/random_fill.hpp"
#include "kernels/elements/reduce.hpp"
#include "kernels/elements/references.hpp"
#include "kernels/elements/scalar_orbits.hpp"
#include "kernels/elements/scaling.hpp"
#include "kernels/elements/schedule.hpp"
#include "kernels/elements/sharing.hpp"
#include "kernels/elements/spectrum.hpp"
#include "kernels/elements/stepping.hpp"
#include "kernels/elements/teacher.hpp"
#include "kernels/elements/updates.hpp"
#include "kernels/elements/watch.hpp"
#include "kernels/elements/widen.hpp"

namespace manyfold::kernels::cuda {

#define MF_PLAIN(name, Args) \
  void name(Executor& executor, const Args& args) { elements::name(ForEach(executor), args); }
#define MF_TYPED(name, Args)                           \
  template <class T>                                   \
  void name(Executor& executor, const Args<T>& args) { \
    elements::name(ForEach(executor), args);           \
  }                                                    \
  template void name(Executor&, const Args<float>&);   \
  template void name(Executor&, const Args<double>&);
// These have loops of their own on a CPU.
MF_PLAIN(scalar_orbits, ScalarOrbitsArgs)
MF_PLAIN(example_products, ExampleProductsArgs)
MF_PLAIN(pattern_products, PatternProductsArgs)
MF_TYPED(pattern_bits, PatternBitsArgs)
MF_TYPED(add_scaled, AddScaledArgs)
MF_TYPED(subtract_rows, SubtractRowsArgs)
MF_TYPED(unfold, UnfoldArgs)
MF_TYPED(fold, FoldArgs)
MF_TYPED(average_pool, AveragePoolArgs)
MF_TYPED(spread_means, SpreadMeansArgs)
MF_TYPED(activate, ActivateArgs)
MF_TYPED(example_terms, ExampleTermsArgs)
MF_TYPED(activation_slope, ActivationSlopeArgs)
MF_TYPED(descend, DescendArgs)
MF_TYPED(heavy_ball, HeavyBallArgs)
MF_TYPED(adam, AdamArgs)
MF_TYPED(sign_descend, DescendArgs)
#include "kernels/elements/forwarded.inc"

template <class T>
void gram_products(Executor& executor, const GramProductsArgs<T>& args) {
  const auto multiply = [&](const MatrixBatch<const T>& m, const MatrixBatch<T>& into) {
    gemm<T>(executor, {.transpose_b = Transpose::yes, .a = m, .b = m, .c = into});
  };
  if (args.a.data != nullptr) multiply(args.a, args.x);
  multiply(args.b, args.y);
  elements::gram_of_products(ForEach(executor), args);
}
template void gram_products(Executor&, const GramProductsArgs<float>&);
template void gram_products(Executor&, const GramProductsArgs<double>&);

}  // namespace manyfold::kernels::cuda
