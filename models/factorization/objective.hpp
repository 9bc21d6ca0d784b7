// The objective f(W) of a factorization on a device: its value, its gradient in W, and what tests
// of W compare it with. One problem for all slots, or one each.
//
//   full, completion   c sum over the observed entries of (W_ij - M_ij)^2
//   sensing            c sum_i (<A_i, W> - b_i)^2        (Wang, Chen, Zhao, Tao 2022, A.2)
//   linear             f_0 - <W, Q>                      (Li, Luo, Lyu 2021, section 4)
//
// c follows objective.convention, N the number of terms of the sum:
//   sum            1/2
//   paper          1/(2N)   Wang and Jacot 2023; sensing in Wang, Chen, Zhao, Tao 2022, A.2
//   weight-decay   1/N      squared error without the 1/2, as training code has it
// One drawn term stands for all N of them, so a stochastic gradient of one entry multiplies the
// gradient of its own c r^2 by N, and with objective.l2 = lambda (penalty.hpp) one step is
//   paper          theta - eta (1/2 grad r^2 + 2 lambda theta)
//                = (1 - 2 eta lambda) theta - eta/2 grad r^2
//   weight-decay   theta - eta (grad r^2 + lambda theta) = (1 - eta lambda) theta - eta grad r^2,
// the paper's update and that of training code, of which its figures are drawn.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/config/settings.hpp"
#include "core/executor/executor.hpp"
#include "core/executor/memory.hpp"
#include "core/view.hpp"
#include "kernels/stepping.hpp"
#include "models/factorization/problem.hpp"
#include "models/factorization/shape.hpp"
#include "models/training/model.hpp"

namespace manyfold::factorization {

/// objective.convention.
enum class Convention { sum, paper, weight_decay };
Convention convention_of(const Settings& settings);

template <class T>
class Objective {
 public:
  Objective(Executor& executor, const Settings& example, const Shape& shape, std::int64_t slots,
            bool shared_problem);

  static Footprint footprint(const Settings& settings, const Shape& shape, bool shared_problem);

  /// Makes and uploads the members' problems.
  void load(std::span<const Settings> members);

  /// gradient <- grad f(w); loss (slot; may be null) <- f(w), the objective without penalties, less
  /// what objective.shift says. w, gradient: (slot, rows, cols). Kernels only.
  void gradient(MatrixBatch<const T> w, MatrixBatch<T> gradient, double* loss) const;
  /// out <- (d^2 f / dW^2) dw, by how much grad f changes along dw, whatever W is; all (slot, rows,
  /// cols). `zero`: zeros of W's shape, for completion only. Kernels only.
  void second_derivative(MatrixBatch<const T> dw, MatrixBatch<const T> zero,
                         MatrixBatch<T> out) const;
  ObjectiveKind kind() const { return kind_; }
  /// gradient <- what StochasticGradient says of f: terms are the observed entries in row-major
  /// order (each of two mirrored ones by itself), the measurements, or the one term of a linear
  /// objective, which has no label for noise. Kernels only.
  void stochastic_gradient(const kernels::StepControl& control, const StochasticGradient& what,
                           MatrixBatch<const T> w, MatrixBatch<T> gradient) const;
  /// (slot): terms of each slot's objective.
  const std::int64_t* terms() const { return terms_.data(); }

  /// half_square (slot) <- 1/2 sum of (W - M)^2 over the entries that objective.test_on names; the
  /// convention does not change it.
  void test_half_square(MatrixBatch<const T> w, double* half_square) const;
  /// The same less objective.shift: 1/2 sum_{i>r} s_i(M)^2.
  void test_loss(MatrixBatch<const T> w, double* loss) const;
  /// Squared norm of M over the same entries: (slot), or one for all (stride 0).
  const double* test_norm2() const { return test_norm2_.data(); }
  std::int64_t test_norm2_stride() const { return shared_ ? 0 : 1; }

  /// M and the mask, (slot, rows, cols); shared ones have slot_stride 0. The mask has no data where
  /// every entry is observed.
  MatrixBatch<const T> target() const;
  MatrixBatch<const std::uint8_t> mask() const;

 private:
  /// A_1 ... A_m as rows, (slot, m, rows * cols), and b, (slot, 1, m).
  MatrixBatch<const T> measurements() const;
  MatrixBatch<const T> values() const;
  /// (slot, 1, m) in one of the two vectors of measurements.
  MatrixBatch<T> measured(const Buffer<T>& buffer) const;
  /// (<A_i, W>)_i of every slot.
  void measure(MatrixBatch<const T> w, MatrixBatch<T> out) const;
  /// gradient <- sum_i r_i A_i.
  void spread(MatrixBatch<const T> r, MatrixBatch<T> gradient) const;
  /// Multiplies by the convention's factor over 1/2; nothing where that is 1.
  void scale(MatrixBatch<T> gradient, double* loss) const;
  void upload(std::size_t problem, const Problem& made);

  Executor& executor_;
  Shape shape_;
  std::int64_t slots_;
  bool shared_;
  ObjectiveKind kind_;
  Convention convention_;
  bool shifted_;
  bool test_everything_;
  std::int64_t target_stride_;
  std::int64_t mask_stride_;
  std::int64_t measurements_;     ///< m; 0 where there are none
  std::int64_t measured_stride_;  ///< of a slot's vector of m
  Buffer<T> target_;
  Buffer<std::uint8_t> mask_;
  Buffer<std::int32_t> entries_;  ///< completion: places of the observed entries, row by row
  Buffer<T> measurement_;
  Buffer<T> value_;
  Buffer<T> residual_;  ///< of the measurements, for every slot
  Buffer<T> drawn_;     ///< the same, of drawn ones only
  Buffer<double> test_norm2_;
  Buffer<std::int64_t> terms_;
  Buffer<double> factor_;       ///< 2c, (slot); none for the convention "sum", where it is 1
  Buffer<double> term_weight_;  ///< 2c N, (slot)
  Buffer<double> shift_;        ///< 1/2 sum_{i>r} s_i(M)^2, (slot); where asked for
  Buffer<double> offset_;       ///< f_0, (slot); linear only
  Buffer<double> product_;      ///< <W, Q>, (slot); linear only
};

/// Whether tests look at every entry (else at those that were not observed).
bool tests_everything(const Settings& settings);

/// Rejects objectives that the shape does not allow. Throws InputError.
void validate_objective(const Settings& settings, const Shape& shape);

/// What of the objective decides which kernels run: part of a family's name.
std::string objective_text(const Settings& settings);

}  // namespace manyfold::factorization
