// Views of batched arrays. A view owns nothing; shapes are (slot, row, col), row-major, and slots
// are `slot_stride` elements apart. A slot_stride of 0 shares one matrix among all slots.
#pragma once

#include <cstdint>
#include <type_traits>

#include "core/portable.hpp"

namespace manyfold {

template <class T>
struct MatrixBatch {
  T* data = nullptr;
  std::int64_t slots = 0;
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  std::int64_t slot_stride = 0;
  std::int64_t row_stride = 0;  ///< elements from one row to the next, >= cols

  MF_FN constexpr std::int64_t size() const { return rows * cols; }
  MF_FN constexpr T* slot(std::int64_t s) const { return data + s * slot_stride; }
  MF_FN constexpr bool dense() const { return row_stride == cols; }
  /// To a view of const elements.
  template <class U>
  requires std::is_same_v<U, const T> MF_FN constexpr operator MatrixBatch<U>() const {
    return {data, slots, rows, cols, slot_stride, row_stride};
  }
};

/// Vectors (slot, element), elements adjacent.
template <class T>
struct VectorBatch {
  T* data = nullptr;
  std::int64_t slots = 0;
  std::int64_t count = 0;
  std::int64_t slot_stride = 0;

  MF_FN constexpr T* slot(std::int64_t s) const { return data + s * slot_stride; }
  /// To a view of const elements.
  template <class U>
  requires std::is_same_v<U, const T> MF_FN constexpr operator VectorBatch<U>() const {
    return {data, slots, count, slot_stride};
  }
};

/// All elements of dense matrices, as vectors.
template <class T>
constexpr VectorBatch<T> flatten(const MatrixBatch<T>& m) {
  return {m.data, m.slots, m.size(), m.slot_stride};
}

}  // namespace manyfold
