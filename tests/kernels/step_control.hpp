// The part of a StepControl that updates and draws look at, with a few slots in the test's hands.
#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

#include "kernels/stepping.hpp"
#include "tests/kernels/devices.hpp"

namespace manyfold::test {

class Steps {
 public:
  Steps(Executor& executor, const std::vector<std::int64_t>& step,
        const std::vector<double>& step_size, const std::vector<std::int32_t>& active)
      : active_(to_device(executor, active)),
        step_(to_device(executor, step)),
        step_size_(to_device(executor, step_size)),
        grad_norm2_(executor, step_.size()) {}

  kernels::StepControl control() const {
    kernels::StepControl c;
    c.slots = step_.size();
    c.active = active_.data();
    c.step = step_.data();
    c.step_size = step_size_.data();
    c.grad_norm2 = grad_norm2_.data();
    return c;
  }
  void set_grad_norm2(const std::vector<double>& values) { grad_norm2_.upload(values); }
  void set_step(const std::vector<std::int64_t>& values) { step_.upload(values); }
  std::vector<double> step_size() const { return step_size_.download(); }

 private:
  Buffer<std::int32_t> active_;
  Buffer<std::int64_t> step_;
  Buffer<double> step_size_;
  Buffer<double> grad_norm2_;
};

/// The value that a chi-square variable of `freedom` degrees exceeds with probability 1e-9 (the
/// normal quantile 6.0), by Wilson and Hilferty's approximation.
inline double chi_square_bound(double freedom) {
  const double c = 2 / (9 * freedom);
  const double root = 1 - c + 6.0 * std::sqrt(c);
  return freedom * root * root * root;
}

/// Chi-square statistic of counts that should be equal.
inline double chi_square(const std::vector<std::int64_t>& counts) {
  double total = 0;
  for (const std::int64_t count : counts) total += static_cast<double>(count);
  const double expected = total / static_cast<double>(counts.size());
  double sum = 0;
  for (const std::int64_t count : counts) {
    const double difference = static_cast<double>(count) - expected;
    sum += difference * difference / expected;
  }
  return sum;
}

}  // namespace manyfold::test
