// What rewriting captured steps needs: which bytes an operation touches, whether two operands are
// one. For fuse_masks.cpp and fuse_drawn.cpp.
#pragma once

#include <cstdint>
#include <cstring>

#include "kernels/resident/capture.hpp"

namespace manyfold::kernels::resident {

struct Bytes {
  std::uintptr_t begin = 0;
  std::uintptr_t end = 0;
  bool meets(const Bytes& other) const { return begin < other.end && other.begin < end; }
};

template <class U>
Bytes bytes_of(const MatrixBatch<U>& m) {
  const auto begin = reinterpret_cast<std::uintptr_t>(m.data);
  const std::int64_t count = m.size() == 0 ? 0 : (m.rows - 1) * m.row_stride + m.cols;
  return {begin, begin + static_cast<std::uintptr_t>(count) * sizeof(U)};
}
template <class U>
Bytes bytes_of(const VectorBatch<U>& v) {
  const auto begin = reinterpret_cast<std::uintptr_t>(v.data);
  return {begin, begin + static_cast<std::uintptr_t>(v.count) * sizeof(U)};
}

/// Whether an operation reads any of some bytes.
class Reads {
 public:
  explicit Reads(const Bytes& bytes) : bytes_(bytes) {}
  template <class U>
  void matrix(MatrixBatch<U>& m, Access access) {
    see(bytes_of(m), access);
  }
  template <class U>
  void vector(VectorBatch<U>& v, Access access) {
    see(bytes_of(v), access);
  }
  template <class U>
  void numbers(U*&, std::int64_t, std::int64_t, Access) {}
  template <class U>
  void resting(U*&, std::int64_t) {}
  bool found() const { return found_; }

 private:
  void see(const Bytes& bytes, Access access) {
    found_ = found_ || (access != Access::write && bytes.meets(bytes_));
  }
  Bytes bytes_;
  bool found_ = false;
};

inline bool reads(Instruction& instruction, const Bytes& bytes) {
  Reads visitor(bytes);
  with_args(instruction, [&](auto& args) { each_operand(args, visitor); });
  return visitor.found();
}

template <class A, class B>
bool same(const MatrixBatch<A>& a, const MatrixBatch<B>& b) {
  return a.data == b.data && a.rows == b.rows && a.cols == b.cols && a.row_stride == b.row_stride &&
         a.slot_stride == b.slot_stride;
}

template <class Args>
Instruction instruction_of(Operation operation, std::int32_t element_bytes, const Args& args) {
  static_assert(sizeof(Args) <= Instruction::capacity);
  Instruction made{operation, element_bytes, {}};
  std::memcpy(made.args, &args, sizeof(Args));
  return made;
}

template <class T>
bool is(const Instruction& instruction, Operation operation) {
  return instruction.operation == operation && instruction.element_bytes == sizeof(T);
}

}  // namespace manyfold::kernels::resident
