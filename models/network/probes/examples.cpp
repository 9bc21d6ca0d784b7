// What is asked of the examples: test loss, accuracies, margins, outputs.
#include "kernels/examples.hpp"

#include "core/executor/memory.hpp"
#include "kernels/combine.hpp"
#include "kernels/reduce.hpp"
#include "kernels/widen.hpp"
#include "models/network/probes.hpp"

namespace manyfold::network {
namespace {

using kernels::ExampleTerm;

template <class T>
class TestLoss final : public Observer<T> {
 public:
  explicit TestLoss(const ObserverContext&) {}
  void observe(Scene<T>& scene, double* out, std::int64_t stride) override {
    const double* losses = scene.objective.example_terms(Set::test, ExampleTerm::loss);
    scene.objective.sum(losses, scene.objective.count(Set::test), scene.objective.terms_stride(),
                        out, stride);
  }
};

template <class T>
class Share : public Observer<T> {
 public:
  Share(const ObserverContext& context, Set set)
      : set_(set), correct_(context.executor, context.slots) {}
  void observe(Scene<T>& scene, double* out, std::int64_t stride) override {
    const double* correct = scene.objective.example_terms(set_, ExampleTerm::correct);
    const std::int64_t count = scene.objective.count(set_);
    scene.objective.sum(correct, count, scene.objective.terms_stride(), correct_.data());
    kernels::combine(scene.executor(), {.slots = scene.slots(),
                                        .scale = 1 / static_cast<double>(count),
                                        .numerator = correct_.data(),
                                        .out = out,
                                        .out_stride = stride});
  }

 private:
  Set set_;
  Buffer<double> correct_;
};
template <class T>
class Accuracy final : public Share<T> {
 public:
  explicit Accuracy(const ObserverContext& context) : Share<T>(context, Set::train) {}
};
template <class T>
class TestAccuracy final : public Share<T> {
 public:
  explicit TestAccuracy(const ObserverContext& context) : Share<T>(context, Set::test) {}
};

template <class T>
class LeastMargin final : public Observer<T> {
 public:
  explicit LeastMargin(const ObserverContext& context) : set_(context.probe.set()) {}
  void observe(Scene<T>& scene, double* out, std::int64_t stride) override {
    const double* margins = scene.objective.example_terms(set_, ExampleTerm::margin);
    kernels::reduce(scene.executor(), {.slots = scene.slots(),
                                       .count = scene.objective.count(set_),
                                       .reduction = kernels::Reduction::least,
                                       .x = margins,
                                       .x_stride = scene.objective.terms_stride(),
                                       .out = out,
                                       .out_stride = stride});
  }

 private:
  Set set_;
};

template <class T>
class Margins final : public Observer<T> {
 public:
  explicit Margins(const ObserverContext& context) : set_(context.probe.set()) {}
  void observe(Scene<T>& scene, double* out, std::int64_t stride) override {
    const double* margins = scene.objective.example_terms(set_, ExampleTerm::margin);
    kernels::combine(scene.executor(), {.slots = scene.slots(),
                                        .count = scene.objective.count(set_),
                                        .numerator = margins,
                                        .numerator_stride = scene.objective.terms_stride(),
                                        .out = out,
                                        .out_stride = stride});
  }

 private:
  Set set_;
};

template <class T>
class Outputs final : public Observer<T> {
 public:
  explicit Outputs(const ObserverContext& context) : set_(context.probe.set()) {}
  void observe(Scene<T>& scene, double* out, std::int64_t stride) override {
    const std::int64_t outputs = scene.description().outputs;
    scene.objective.each_pass(set_, [&](std::int64_t first, std::int64_t count) {
      double* to = out + first * outputs;
      kernels::widen<T>(scene.executor(),
                        {flatten(MatrixBatch<const T>(scene.net.output())), to, stride});
      kernels::combine(scene.executor(), {.slots = scene.slots(),
                                          .count = count * outputs,
                                          .scale = scene.net.output_scale(),
                                          .numerator = to,
                                          .numerator_stride = stride,
                                          .out = to,
                                          .out_stride = stride});
    });
  }

 private:
  Set set_;
};

KeySpec set_key() {
  return {.path = "set",
          .type = Type::text,
          .doc = "The examples that are looked at.",
          .default_value = "train",
          .choices = {"train", "test"},
          .sweepable = false};
}

void validate_set(const ProbeSettings& probe) {
  if (probe.set() == Set::test) validate_test(probe);
}
/// One output tells two classes apart.
void validate_classes(const ProbeSettings& probe) {
  if (probe.description.outputs > 1 || probe.data.classes <= 2) return;
  probe.reject("one output for " + std::to_string(probe.data.classes) + " classes",
               "two classes, or an output for each: data.targets = \"one_hot\"");
}

ObserverBytes one_double(const ProbeSettings&) { return {.per_slot = sizeof(double)}; }

const RegisterProbe test_loss({
    .kind = {.name = "test_loss",
             .extents = {},
             .units = "1",
             .long_name = "test loss",
             .comment = "objective.loss over the test examples, by objective.reduction",
             .keys = {}},
    .validate = validate_test,
    .make = observer_maker<TestLoss>(),
});

const RegisterProbe accuracy({
    .kind = {.name = "accuracy",
             .extents = {},
             .units = "1",
             .long_name = "train accuracy",
             .comment = "share of the train examples whose largest output is that of their label, "
                        "or largest target; of one output: whose sign is right",
             .keys = {}},
    .validate = validate_classes,
    .bytes = one_double,
    .make = observer_maker<Accuracy>(),
});

const RegisterProbe test_accuracy({
    .kind = {.name = "test_accuracy",
             .extents = {},
             .units = "1",
             .long_name = "test accuracy",
             .comment = "share of the test examples whose largest output is that of their label, "
                        "or largest target; of one output: whose sign is right",
             .keys = {}},
    .validate =
        [](const ProbeSettings& probe) {
          validate_test(probe);
          validate_classes(probe);
        },
    .bytes = one_double,
    .make = observer_maker<TestAccuracy>(),
});

const RegisterProbe least_margin({
    .kind = {.name = "least_margin",
             .extents = {},
             .units = "1",
             .long_name = "least margin",
             .comment = "least over the examples of f_label - max_{k != label} f_k; of one output: "
                        "of y f, y = +-1",
             .keys = {set_key()}},
    .validate =
        [](const ProbeSettings& probe) {
          validate_set(probe);
          validate_classes(probe);
        },
    .make = observer_maker<LeastMargin>(),
});

const RegisterProbe margins({
    .kind = {.name = "margins",
             .extents = {"example"},
             .units = "1",
             .long_name = "margin of each example",
             .comment = "f_label - max_{k != label} f_k; of one output: y f, y = +-1",
             .keys = {set_key()}},
    .extents = [](const ProbeSettings& probe) -> std::vector<std::int64_t> {
      return {probe.examples()};
    },
    .validate =
        [](const ProbeSettings& probe) {
          validate_set(probe);
          validate_classes(probe);
        },
    .make = observer_maker<Margins>(),
});

const RegisterProbe outputs({
    .kind = {.name = "outputs",
             .extents = {"example", "output"},
             .units = "1",
             .long_name = "outputs on each example",
             .comment = "f(x_i)",
             .keys = {set_key()}},
    .extents = [](const ProbeSettings& probe) -> std::vector<std::int64_t> {
      return {probe.examples(), probe.description.outputs};
    },
    .validate = validate_set,
    .make = observer_maker<Outputs>(),
});

}  // namespace
}  // namespace manyfold::network
