// Fills with random numbers that are a pure function of (slot's seed, stream name, element index):
// Philox4x32-10 (Salmon et al. 2011; Random123), bitwise the same on every device and for any
// packing, because the transform uses only operations that IEEE 754 rounds exactly.
#pragma once

#include <cstdint>

#include "core/executor/executor.hpp"
#include "core/view.hpp"

namespace manyfold::kernels {

enum class Distribution {
  normal,   ///< N(0, scale^2)
  uniform,  ///< uniform on (-scale, scale)
};

/// out (slot, element); seeds and scales (slot) in device memory. Element i of slot s is
/// scale_s * draw(seed_s, stream, i): draw and product in double precision, then rounded to T.
template <class T>
struct RandomFillArgs {
  VectorBatch<T> out;
  Distribution distribution = Distribution::normal;
  const std::uint64_t* seeds = nullptr;
  std::uint64_t stream = 0;  ///< random_stream("...") of core/random/philox.hpp
  const double* scales = nullptr;
};

template <class T>
void random_fill(Executor& executor, const RandomFillArgs<T>& args);

}  // namespace manyfold::kernels
