// Activation patterns: on which entries a layer is active, and how many have changed since.
#pragma once

#include <cstdint>

#include "core/executor/executor.hpp"
#include "core/view.hpp"

namespace manyfold::kernels {

/// pattern = 1 where x > 0, else 0 (also for NaN). Both (slot, row, col) of one shape.
template <class T>
struct SignPatternsArgs {
  MatrixBatch<const T> x;
  MatrixBatch<std::uint8_t> pattern;
};
template <class T>
void sign_patterns(Executor& executor, const SignPatternsArgs<T>& args);

/// out: (slot, row), the number of entries of the row whose pattern differs from `pattern`; NaN for
/// rows with NaN. Slots out_stride apart.
template <class T>
struct ChangedSignsArgs {
  MatrixBatch<const T> x;
  MatrixBatch<const std::uint8_t> pattern;
  double* out = nullptr;
  std::int64_t out_stride = 0;
};
template <class T>
void changed_signs(Executor& executor, const ChangedSignsArgs<T>& args);

}  // namespace manyfold::kernels
