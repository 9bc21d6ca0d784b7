// The objective f(W) of a factorization on a device: its value, its gradient in W, and what tests
// of W compare it with. One problem for all slots, or one each.
#pragma once

#include <cstdint>
#include <span>

#include "core/config/settings.hpp"
#include "core/executor/executor.hpp"
#include "core/executor/memory.hpp"
#include "core/view.hpp"
#include "kernels/stepping.hpp"
#include "models/factorization/shape.hpp"
#include "models/training/model.hpp"

namespace manyfold::factorization {

template <class T>
class Objective {
 public:
  Objective(Executor& executor, const Settings& example, const Shape& shape, std::int64_t slots,
            bool shared_problem);

  static Footprint footprint(const Settings& settings, const Shape& shape, bool shared_problem);

  /// Makes and uploads the members' problems.
  void load(std::span<const Settings> members);

  /// gradient <- grad f(w); loss (slot; may be null) <- f(w), the objective without penalties. All
  /// (slot, rows, cols). Kernels only.
  void gradient(MatrixBatch<const T> w, MatrixBatch<T> gradient, double* loss) const;
  /// gradient <- what StochasticGradient says of f. Kernels only.
  void stochastic_gradient(const kernels::StepControl& control, const StochasticGradient& what,
                           MatrixBatch<const T> w, MatrixBatch<T> gradient) const;
  /// (slot): terms of each slot's objective.
  const std::int64_t* terms() const { return terms_.data(); }

  /// half_square (slot) <- 1/2 sum of (W - M)^2 over the entries that objective.test_on names.
  void test_half_square(MatrixBatch<const T> w, double* half_square) const;
  /// Squared norm of M over the same entries: (slot), or one for all (stride 0).
  const double* test_norm2() const { return test_norm2_.data(); }
  std::int64_t test_norm2_stride() const { return shared_ ? 0 : 1; }

  /// M and the mask, (slot, rows, cols); shared ones have slot_stride 0. The mask has no data where
  /// every entry is observed.
  MatrixBatch<const T> target() const;
  MatrixBatch<const std::uint8_t> mask() const;

 private:
  Executor& executor_;
  Shape shape_;
  std::int64_t slots_;
  bool shared_;
  bool test_everything_;
  std::int64_t target_stride_;
  std::int64_t mask_stride_;
  Buffer<T> target_;
  Buffer<std::uint8_t> mask_;
  Buffer<double> test_norm2_;
  Buffer<std::int64_t> terms_;
};

/// Whether tests look at every entry (else at those that were not observed).
bool tests_everything(const Settings& settings);

}  // namespace manyfold::factorization
