// The CUDA backend's operations, as its table lists them.
#pragma once

#include "kernels/table.hpp"

namespace manyfold::kernels::cuda {

#define MF_TYPED(name, Args) \
  template <class T>         \
  void name(Executor& executor, const Args<T>& args);
#define MF_PLAIN(name, Args) void name(Executor& executor, const Args& args);
#include "kernels/operations.inc"

}  // namespace manyfold::kernels::cuda
