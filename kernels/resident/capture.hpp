// Keeps operations instead of carrying them out, so that they can be compiled for resident
// stepping.
#pragma once

#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "core/executor/executor.hpp"
#include "kernels/resident/operands.hpp"
#include "kernels/resident/program.hpp"

namespace manyfold::kernels::resident {

/// While one of these lives on an executor, operations called on it (dispatch.cpp) are kept here,
/// shapes checked but nothing computed. One at a time an executor.
class Capture {
 public:
  explicit Capture(Executor& executor) : executor_(executor) { executor.capture_by(this); }
  Capture(const Capture&) = delete;
  Capture& operator=(const Capture&) = delete;
  ~Capture() { executor_.capture_by(nullptr); }

  template <class Args>
  void add(Operation operation, std::int32_t element_bytes, const Args& args) {
    if constexpr (has_resident_form<Args>) {
      static_assert(sizeof(Args) <= Instruction::capacity);
      Instruction instruction{operation, element_bytes, {}};
      std::memcpy(instruction.args, &args, sizeof(Args));
      calls_.push_back(instruction);
    } else if (refused_.empty()) {
      refused_ = name_of(operation);
    }
  }

  /// What was kept since the last call.
  std::vector<Instruction> take() { return std::exchange(calls_, {}); }
  /// The first operation that has no resident form; empty: all have one.
  const std::string& refused() const { return refused_; }

 private:
  Executor& executor_;
  std::vector<Instruction> calls_;
  std::string refused_;
};

/// Calls f with the arguments of an instruction in their own type.
template <class F>
MF_FN void with_args(Instruction& instruction, const F& f) {
  switch (instruction.operation) {
#define MF_TYPED(name, Args)                          \
  case Operation::name:                               \
    if constexpr (has_resident_form<Args<float>>) {   \
      if (instruction.element_bytes == sizeof(float)) \
        f(instruction.as<Args<float>>());             \
      else                                            \
        f(instruction.as<Args<double>>());            \
    }                                                 \
    break;
#define MF_PLAIN(name, Args)                                          \
  case Operation::name:                                               \
    if constexpr (has_resident_form<Args>) f(instruction.as<Args>()); \
    break;
#include "kernels/operations.inc"
#define MF_FUSED(name, Args)                          \
  case Operation::name:                               \
    if (instruction.element_bytes == sizeof(float)) { \
      f(instruction.as<Args<float>>());               \
    } else {                                          \
      f(instruction.as<Args<double>>());              \
    }                                                 \
    break;
    MF_FUSED(sampled_product, SampledProductArgs)
    MF_FUSED(sparse_product, SparseProductArgs)
    MF_FUSED(sparse_top_layer, SparseTopLayerArgs)
    MF_FUSED(drawn_descent, DrawnDescentArgs)
#undef MF_FUSED
  }
}

}  // namespace manyfold::kernels::resident
