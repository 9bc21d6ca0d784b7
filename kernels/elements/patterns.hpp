// Bodies of sign_patterns and changed_signs (contract: kernels/patterns.hpp).
#pragma once

#include <cstdint>

#include <math.h>

#include "core/portable.hpp"
#include "kernels/patterns.hpp"

namespace manyfold::kernels::elements {

template <class T, class Launcher>
void sign_patterns(const Launcher& for_each, const SignPatternsArgs<T>& args) {
  for_each("sign_patterns", args.x.slots, args.x.size(),
           [=] MF_KERNEL(std::int64_t slot, std::int64_t i) {
             const std::int64_t row = i / args.x.cols;
             const std::int64_t col = i % args.x.cols;
             args.pattern.slot(slot)[row * args.pattern.row_stride + col] =
                 args.x.slot(slot)[row * args.x.row_stride + col] > T(0) ? 1 : 0;
           });
}

template <class T, class Launcher>
void changed_signs(const Launcher& for_each, const ChangedSignsArgs<T>& args) {
  for_each("changed_signs", args.x.slots, args.x.rows,
           [=] MF_KERNEL(std::int64_t slot, std::int64_t row) {
             const T* x = args.x.slot(slot) + row * args.x.row_stride;
             const std::uint8_t* pattern = args.pattern.slot(slot) + row * args.pattern.row_stride;
             std::int64_t changed = 0;
             bool missing = false;
             for (std::int64_t col = 0; col < args.x.cols; ++col) {
               missing = missing || x[col] != x[col];
               if ((x[col] > T(0)) != (pattern[col] != 0)) ++changed;
             }
             args.out[slot * args.out_stride + row] = missing ? NAN : static_cast<double>(changed);
           });
}

}  // namespace manyfold::kernels::elements
