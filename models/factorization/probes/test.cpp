// Test loss, and what it is relative to W = 0.
#include <cmath>

#include "core/executor/memory.hpp"
#include "kernels/combine.hpp"
#include "models/factorization/probes.hpp"

namespace manyfold::factorization {
namespace {

template <class T>
class TestObserver : public Observer<T> {
 public:
  enum class Form { loss, error, relative_loss };
  TestObserver(const ObserverContext& context, Form form)
      : form_(form), half_square_(context.executor, context.slots) {}

  void observe(Scene<T>& scene, double* out, std::int64_t stride) override {
    const Objective<T>& objective = scene.objective();
    if (form_ == Form::loss) {
      objective.test_loss(scene.chain().end(), half_square_.data());
    } else {
      objective.test_half_square(scene.chain().end(), half_square_.data());
    }
    const bool relative = form_ != Form::loss;
    const bool root = form_ == Form::error;
    kernels::combine(scene.executor(), {.slots = scene.slots(),
                                        .count = 1,
                                        .scale = root       ? std::sqrt(2.0)
                                                 : relative ? 2.0
                                                            : 1.0,
                                        .square_root = root,
                                        .numerator = half_square_.data(),
                                        .numerator_stride = 1,
                                        .denominator = relative ? objective.test_norm2() : nullptr,
                                        .denominator_stride = objective.test_norm2_stride(),
                                        .out = out,
                                        .out_stride = stride});
  }

 private:
  Form form_;
  Buffer<double> half_square_;
};

template <class T>
class TestLoss final : public TestObserver<T> {
 public:
  explicit TestLoss(const ObserverContext& context)
      : TestObserver<T>(context, TestObserver<T>::Form::loss) {}
};
template <class T>
class TestError final : public TestObserver<T> {
 public:
  explicit TestError(const ObserverContext& context)
      : TestObserver<T>(context, TestObserver<T>::Form::error) {}
};
template <class T>
class RelativeTestLoss final : public TestObserver<T> {
 public:
  explicit RelativeTestLoss(const ObserverContext& context)
      : TestObserver<T>(context, TestObserver<T>::Form::relative_loss) {}
};

ObserverBytes bytes(const ProbeSettings&) { return {.per_slot = sizeof(double)}; }

const RegisterProbe loss({
    .kind = {.name = "test_loss",
             .extents = {},
             .units = "1",
             .long_name = "test loss",
             .comment = "1/2 sum of (W - M)^2 over the entries of objective.test_on, less what "
                        "objective.shift says",
             .keys = {}},
    .bytes = bytes,
    .make = observer_maker<TestLoss>(),
});

const RegisterProbe error({
    .kind = {.name = "test_error",
             .extents = {},
             .units = "1",
             .long_name = "relative test error",
             .comment = "||W - M||_F / ||M||_F over the entries of objective.test_on",
             .keys = {}},
    .bytes = bytes,
    .make = observer_maker<TestError>(),
});

const RegisterProbe relative_loss({
    .kind = {.name = "relative_test_loss",
             .extents = {},
             .units = "1",
             .long_name = "test loss relative to that of zero",
             .comment =
                 "test loss of W over the test loss of W = 0: ||W - M||_F^2 / ||M||_F^2 over "
                 "the entries of objective.test_on (Wang and Jacot 2023, figure 3)",
             .keys = {}},
    .bytes = bytes,
    .make = observer_maker<RelativeTestLoss>(),
});

}  // namespace
}  // namespace manyfold::factorization
