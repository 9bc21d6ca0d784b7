// Element bodies on the CPU: each operation is its body run by ForEach.
#include "kernels/cpu/for_each.hpp"
#include "kernels/cpu/operations.hpp"
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
#include "kernels/elements/scaling.hpp"
#include "kernels/elements/schedule.hpp"
#include "kernels/elements/sharing.hpp"
#include "kernels/elements/spectrum.hpp"
#include "kernels/elements/stepping.hpp"
#include "kernels/elements/teacher.hpp"
#include "kernels/elements/updates.hpp"
#include "kernels/elements/watch.hpp"
#include "kernels/elements/widen.hpp"

namespace manyfold::kernels::cpu {

#define MF_PLAIN(name, Args) \
  void name(Executor& executor, const Args& args) { elements::name(ForEach(executor), args); }
#define MF_TYPED(name, Args)                           \
  template <class T>                                   \
  void name(Executor& executor, const Args<T>& args) { \
    elements::name(ForEach(executor), args);           \
  }                                                    \
  template void name(Executor&, const Args<float>&);   \
  template void name(Executor&, const Args<double>&);
#include "kernels/elements/forwarded.inc"

}  // namespace manyfold::kernels::cpu
