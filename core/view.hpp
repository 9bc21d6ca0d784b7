// Views of batched arrays. A view owns nothing; shapes are (slot, row, col), row-major, and slots
// are `slot_stride` elements apart. A slot_stride of 0 shares one matrix among all slots.
#pragma once

#include <cstdint>
#include <type_traits>

namespace manyfold {

template <class T>
struct MatrixBatch {
  T* data = nullptr;
  std::int64_t slots = 0;
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  std::int64_t slot_stride = 0;
  std::int64_t row_stride = 0;  ///< elements from one row to the next, >= cols

  constexpr std::int64_t size() const { return rows * cols; }
  constexpr T* slot(std::int64_t s) const { return data + s * slot_stride; }
  constexpr bool dense() const { return row_stride == cols; }
  constexpr operator MatrixBatch<const T>() const
    requires(!std::is_const_v<T>)
  {
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

  constexpr T* slot(std::int64_t s) const { return data + s * slot_stride; }
  constexpr operator VectorBatch<const T>() const
    requires(!std::is_const_v<T>)
  {
    return {data, slots, count, slot_stride};
  }
};

/// All elements of dense matrices, as vectors.
template <class T>
constexpr VectorBatch<T> flatten(const MatrixBatch<T>& m) {
  return {m.data, m.slots, m.size(), m.slot_stride};
}

}  // namespace manyfold
