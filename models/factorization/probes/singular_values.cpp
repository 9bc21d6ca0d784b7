// Singular values of the end-to-end matrix.
#include <algorithm>

#include "kernels/combine.hpp"
#include "models/factorization/probes.hpp"

namespace manyfold::factorization {
namespace {

std::int64_t count_of(const Settings& settings, const Shape& shape) {
  return settings.has("probes.singular_values.count")
             ? settings.integer("probes.singular_values.count")
             : std::min(shape.rows(), shape.cols());
}

template <class T>
class SingularValues final : public Observer<T> {
 public:
  explicit SingularValues(const ObserverContext& context)
      : count_(count_of(context.example, context.shape)) {}
  void observe(Scene<T>& scene, double* out, std::int64_t stride) override {
    kernels::combine(scene.executor(), {.slots = scene.slots(),
                                        .count = count_,
                                        .numerator = scene.singular_values(),
                                        .numerator_stride = scene.rank_limit(),
                                        .out = out,
                                        .out_stride = stride});
  }

 private:
  std::int64_t count_;
};

void validate(const Settings& settings, const Shape& shape) {
  const char* key = "probes.singular_values.count";
  if (!settings.has(key)) return;
  const std::int64_t most = std::min(shape.rows(), shape.cols());
  if (settings.integer(key) > most) {
    settings.reject(key, std::to_string(settings.integer(key)),
                    "at most min(rows, cols) = " + std::to_string(most));
  }
}

const RegisterProbe singular_values({
    .kind = {.name = "singular_values",
             .extents = {"index"},
             .units = "1",
             .long_name = "singular values of the end-to-end matrix",
             .comment = "s_i(W), decreasing",
             .keys = {{.path = "count",
                       .type = Type::integer,
                       .doc = "How many of the largest singular values; by default all.",
                       .min = 1,
                       .sweepable = false}}},
    .extents = [](const Settings& settings,
                  const Shape& shape) { return std::vector{count_of(settings, shape)}; },
    .validate = validate,
    .needs_singular_values = true,
    .make = observer_maker<SingularValues>(),
});

}  // namespace
}  // namespace manyfold::factorization
