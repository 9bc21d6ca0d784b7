// Gradient descent with a constant step: W <- W - eta grad.
#include "kernels/stepping.hpp"
#include "models/training/optimizer.hpp"

namespace manyfold {
namespace {

template <class T>
class GradientDescent final : public Optimizer {
 public:
  GradientDescent(Executor& executor, const Parameters<T>& parameters, std::int64_t slots)
      : executor_(executor), parameters_(parameters), learning_rate_(executor, slots) {}

  void load(std::span<const Settings> members) override {
    learning_rate_.load(members, "optimizer.learning_rate");
  }
  void step(const kernels::StepControl& control) override {
    kernels::constant_step(executor_, {control, learning_rate_.data()});
    kernels::descend<T>(executor_, {control, parameters_.values, parameters_.gradient});
  }

 private:
  Executor& executor_;
  Parameters<T> parameters_;
  PerSlot learning_rate_;
};

}  // namespace

extern const OptimizerKind gd_kind{
    .name = "gd",
    .doc = "gradient descent with a constant step",
    .add_keys = [](Spec&) {},
    .needs_grad_norm2 = false,
    .bytes_per_slot = [](std::int64_t, std::size_t) { return sizeof(double); },
    .make =
        [](Executor& executor, const AnyParameters& parameters, std::int64_t slots) {
          return std::visit(
              [&]<class T>(const Parameters<T>& typed) -> std::unique_ptr<Optimizer> {
                return std::make_unique<GradientDescent<T>>(executor, typed, slots);
              },
              parameters);
        },
};

}  // namespace manyfold
