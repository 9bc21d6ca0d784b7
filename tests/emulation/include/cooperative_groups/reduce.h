// Stand-in for cooperative_groups::reduce over tiles of a warp.
#pragma once

#include "../cooperative_groups.h"

namespace cooperative_groups {

template <typename T>
struct plus {
  T operator()(T a, T b) const { return static_cast<T>(a + b); }
};
template <typename T>
struct less {
  T operator()(T a, T b) const { return b < a ? b : a; }
};
template <typename T>
struct greater {
  T operator()(T a, T b) const { return a < b ? b : a; }
};

// Every member gets the result, combined in a butterfly: the order of a floating-point sum is
// fixed, but need not be that of a GPU.
template <unsigned int Size, typename Parent, typename T, typename Operation>
T reduce(const thread_block_tile<Size, Parent>& tile, T value, Operation operation,
         EMULATION_HERE) {
  for (unsigned int distance = Size / 2; distance > 0; distance /= 2) {
    value = operation(value, tile.shfl_xor(value, distance, where));
  }
  return value;
}

}  // namespace cooperative_groups
