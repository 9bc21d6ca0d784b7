// Working memory of operations that go through LAPACK.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>

#include "core/error.hpp"
#include "kernels/cpu/for_each.hpp"

namespace manyfold::kernels::cpu {

/// Scratch that a thread keeps, as long as it is not large.
class Scratch {
 public:
  explicit Scratch(std::int64_t doubles) {
    const std::size_t bytes = static_cast<std::size_t>(doubles) * sizeof(double);
    constexpr std::size_t kept = std::size_t{64} << 20;
    if (bytes <= kept) {
      data_ = static_cast<double*>(thread_scratch(bytes));
      return;
    }
    own_.reset(static_cast<double*>(std::aligned_alloc(64, (bytes + 63) / 64 * 64)));
    if (!own_) {
      throw ResourceError("out of memory: could not allocate " + std::to_string(bytes) + " bytes");
    }
    data_ = own_.get();
  }
  double* data() const { return data_; }

 private:
  struct Free {
    void operator()(double* memory) const { std::free(memory); }
  };
  std::unique_ptr<double, Free> own_;
  double* data_ = nullptr;
};

}  // namespace manyfold::kernels::cpu
