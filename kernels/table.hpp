// The operations of a backend as a table of functions. The contract headers beside this file are
// what callers include; each forwards to the executor's table (dispatch.cpp), and each backend
// fills one table with its own functions (cpu/table.cpp, cuda/table.cu). A backend that is loaded
// at run time brings its own.
#pragma once

#include "kernels/accumulate.hpp"
#include "kernels/activation.hpp"
#include "kernels/add_scaled.hpp"
#include "kernels/combine.hpp"
#include "kernels/drawn_residual.hpp"
#include "kernels/draws.hpp"
#include "kernels/examples.hpp"
#include "kernels/gemm.hpp"
#include "kernels/gram.hpp"
#include "kernels/inner_product.hpp"
#include "kernels/lanczos.hpp"
#include "kernels/neurons.hpp"
#include "kernels/norms.hpp"
#include "kernels/patches.hpp"
#include "kernels/patterns.hpp"
#include "kernels/random_fill.hpp"
#include "kernels/reduce.hpp"
#include "kernels/references.hpp"
#include "kernels/resident.hpp"
#include "kernels/residual.hpp"
#include "kernels/scalar_orbits.hpp"
#include "kernels/schedule.hpp"
#include "kernels/sharing.hpp"
#include "kernels/singular_values.hpp"
#include "kernels/spectrum.hpp"
#include "kernels/stepping.hpp"
#include "kernels/symmetric_eigenvalues.hpp"
#include "kernels/teacher.hpp"
#include "kernels/updates.hpp"
#include "kernels/watch.hpp"
#include "kernels/widen.hpp"

namespace manyfold::kernels {

template <class T>
struct TypedTable {
#define MF_TYPED(name, Args) void (*name)(Executor&, const Args<T>&) = nullptr;
#define MF_PLAIN(name, Args)
#include "kernels/operations.inc"
};

struct KernelTables {
  TypedTable<float> f32;
  TypedTable<double> f64;
#define MF_TYPED(name, Args)
#define MF_PLAIN(name, Args) void (*name)(Executor&, const Args&) = nullptr;
#include "kernels/operations.inc"
};

}  // namespace manyfold::kernels
