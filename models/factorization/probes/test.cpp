// Test loss and relative test error.
#include <cmath>

#include "core/executor/memory.hpp"
#include "kernels/combine.hpp"
#include "models/factorization/probes.hpp"

namespace manyfold::factorization {
namespace {

template <class T>
class TestObserver : public Observer<T> {
 public:
  TestObserver(const ObserverContext& context, bool relative)
      : relative_(relative), half_square_(context.executor, context.slots) {}

  void observe(Scene<T>& scene, double* out, std::int64_t stride) override {
    const Objective<T>& objective = scene.objective();
    objective.test_half_square(scene.chain().end(), half_square_.data());
    kernels::combine(scene.executor(), {.slots = scene.slots(),
                                        .count = 1,
                                        .scale = relative_ ? std::sqrt(2.0) : 1.0,
                                        .square_root = relative_,
                                        .numerator = half_square_.data(),
                                        .numerator_stride = 1,
                                        .denominator = relative_ ? objective.test_norm2() : nullptr,
                                        .denominator_stride = objective.test_norm2_stride(),
                                        .out = out,
                                        .out_stride = stride});
  }

 private:
  bool relative_;
  Buffer<double> half_square_;
};

template <class T>
class TestLoss final : public TestObserver<T> {
 public:
  explicit TestLoss(const ObserverContext& context) : TestObserver<T>(context, false) {}
};
template <class T>
class TestError final : public TestObserver<T> {
 public:
  explicit TestError(const ObserverContext& context) : TestObserver<T>(context, true) {}
};

std::size_t bytes(const Settings&, const Shape&) { return sizeof(double); }

const RegisterProbe loss({
    .kind = {.name = "test_loss",
             .extents = {},
             .units = "1",
             .long_name = "test loss",
             .comment = "1/2 sum of (W - M)^2 over the entries of objective.test_on",
             .keys = {}},
    .bytes_per_slot = bytes,
    .make = observer_maker<TestLoss>(),
});

const RegisterProbe error({
    .kind = {.name = "test_error",
             .extents = {},
             .units = "1",
             .long_name = "relative test error",
             .comment = "||W - M||_F / ||M||_F over the entries of objective.test_on",
             .keys = {}},
    .bytes_per_slot = bytes,
    .make = observer_maker<TestError>(),
});

}  // namespace
}  // namespace manyfold::factorization
