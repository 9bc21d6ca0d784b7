// Gram matrices of the outputs' gradients, layer by layer and summed (the empirical tangent
// kernel): the matrices, their eigenvalues, how far they have moved, and how far they are from the
// limit of infinite width, whose own eigenvalues are probes, too (Du 2019, thesis, chapters 2 and
// 3).
#include <algorithm>
#include <span>
#include <string>
#include <vector>

#include "core/executor/memory.hpp"
#include "kernels/add_scaled.hpp"
#include "kernels/combine.hpp"
#include "kernels/reduce.hpp"
#include "kernels/symmetric_eigenvalues.hpp"
#include "kernels/widen.hpp"
#include "models/network/limits.hpp"
#include "models/network/probes.hpp"
#include "models/training/optimizer.hpp"

namespace manyfold::network {
namespace {

using kernels::Eigenvalues;

std::int64_t size_of(const ProbeSettings& probe) {
  return probe.grams(false).examples * probe.description.outputs;
}

/// Which eigenvalues a probe is to find of a matrix of `size` rows.
struct Wanted {
  Eigenvalues which = Eigenvalues::all;
  std::int64_t count = 0;
  std::int64_t values = 0;
};
Wanted wanted(const ProbeSettings& probe, std::int64_t size) {
  const std::string& which = probe.text("which");
  Wanted w;
  if (which == "least") w.which = Eigenvalues::least;
  if (which == "ends" && size > 1) {
    w.which = Eigenvalues::ends;
    w.count = 1;
  }
  w.values = kernels::eigenvalues_kept(w.which, size, w.count);
  return w;
}

/// The matrices that a probe looks at: one of each layer, or their sum.
template <class T>
std::vector<MatrixBatch<const double>> matrices(const Scene<T>& scene, const GramRequest& request) {
  const Grams<T>& grams = scene.grams(request);
  if (!request.layers) return {grams.sum()};
  std::vector<MatrixBatch<const double>> all;
  for (std::size_t i = 0; i < trained_weights(scene.description()).size(); ++i) {
    all.push_back(grams.layer(i));
  }
  return all;
}
std::int64_t matrices_of(const ProbeSettings& probe, bool layers) {
  return layers ? each_layer(probe).front() : 1;
}

template <class T, bool layers>
class Matrices final : public Observer<T> {
 public:
  explicit Matrices(const ObserverContext& context) : request_(context.probe.grams(layers)) {}
  void observe(Scene<T>& scene, double* out, std::int64_t stride) override {
    for (const MatrixBatch<const double>& gram : matrices(scene, request_)) {
      kernels::widen<double>(scene.executor(), {flatten(gram), out, stride});
      out += gram.size();
    }
  }

 private:
  GramRequest request_;
};

// ---- Eigenvalues

template <class T, bool layers>
class Values final : public Observer<T> {
 public:
  explicit Values(const ObserverContext& context)
      : request_(context.probe.grams(layers)),
        wanted_(wanted(context.probe, size_of(context.probe))) {}

  void observe(Scene<T>& scene, double* out, std::int64_t stride) override {
    for (const MatrixBatch<const double>& gram : matrices(scene, request_)) {
      kernels::symmetric_eigenvalues<double>(scene.executor(), {.a = gram,
                                                                .which = wanted_.which,
                                                                .count = wanted_.count,
                                                                .values = out,
                                                                .values_stride = stride});
      out += wanted_.values;
    }
  }

 private:
  GramRequest request_;
  Wanted wanted_;
};

template <class T, bool layers>
class Bounds final : public Observer<T> {
 public:
  explicit Bounds(const ObserverContext& context)
      : request_(context.probe.grams(layers)),
        wanted_(wanted(context.probe, size_of(context.probe))),
        values_(context.executor, context.slots * wanted_.values),
        bounds_(context.executor, context.slots) {}

  void observe(Scene<T>& scene, double* out, std::int64_t stride) override {
    for (const MatrixBatch<const double>& gram : matrices(scene, request_)) {
      kernels::symmetric_eigenvalues<double>(scene.executor(), {.a = gram,
                                                                .which = wanted_.which,
                                                                .count = wanted_.count,
                                                                .values = values_.data(),
                                                                .values_stride = wanted_.values,
                                                                .bounds = bounds_.data()});
      kernels::combine(scene.executor(), {.slots = scene.slots(),
                                          .numerator = bounds_.data(),
                                          .out = out++,
                                          .out_stride = stride});
    }
  }

 private:
  GramRequest request_;
  Wanted wanted_;
  Buffer<double> values_;
  Buffer<double> bounds_;
};

ObserverBytes bytes_of_bounds(const ProbeSettings& probe) {
  return {.per_slot = double_bytes(wanted(probe, size_of(probe)).values + 1)};
}

// ---- Distances

/// ||D||_2 of symmetric matrices.
class SpectralNorm {
 public:
  SpectralNorm(Executor& executor, std::int64_t slots, std::int64_t size)
      : executor_(executor),
        size_(size),
        difference_(executor, slots * size * size),
        ends_(executor, slots * ends(size)) {}
  static std::int64_t doubles(std::int64_t size) { return size * size + ends(size); }

  /// out_s = ||a_s - b_s||_2, slots stride apart.
  void distance(const MatrixBatch<const double>& a, const VectorBatch<const double>& b, double* out,
                std::int64_t stride) const {
    const MatrixBatch<double> d{difference_.data(), a.slots, size_, size_, size_ * size_, size_};
    kernels::add_scaled<double>(executor_, {.x = flatten(a), .add = false, .y = flatten(d)});
    kernels::add_scaled<double>(executor_, {.x = b, .scale = -1, .y = flatten(d)});
    kernels::symmetric_eigenvalues<double>(
        executor_, {.a = d,
                    .which = size_ > 1 ? Eigenvalues::ends : Eigenvalues::all,
                    .count = 1,
                    .values = ends_.data(),
                    .values_stride = ends(size_)});
    kernels::reduce(executor_, {.slots = a.slots,
                                .count = ends(size_),
                                .reduction = kernels::Reduction::largest_difference,
                                .x = ends_.data(),
                                .x_stride = ends(size_),
                                .out = out,
                                .out_stride = stride});
  }

 private:
  static std::int64_t ends(std::int64_t size) { return size > 1 ? 2 : 1; }
  Executor& executor_;
  std::int64_t size_;
  Buffer<double> difference_;
  Buffer<double> ends_;
};

/// ||G(k) - G(0)||_2.
template <class T, bool layers>
class Movement final : public Observer<T> {
 public:
  explicit Movement(const ObserverContext& context)
      : request_(context.probe.grams(layers)),
        slots_(context.slots),
        entries_(size_of(context.probe) * size_of(context.probe)),
        norm_(context.executor, context.slots, size_of(context.probe)),
        stride_(matrices_of(context.probe, layers) * entries_),
        start_(context.executor, context.slots * stride_) {}

  void remember(Scene<T>& scene) override {
    const std::vector<MatrixBatch<const double>> all = matrices(scene, request_);
    for (std::size_t i = 0; i < all.size(); ++i) {
      kernels::add_scaled<double>(scene.executor(),
                                  {.x = flatten(all[i]), .add = false, .y = start_of(i)});
    }
  }

  void observe(Scene<T>& scene, double* out, std::int64_t stride) override {
    const std::vector<MatrixBatch<const double>> all = matrices(scene, request_);
    for (std::size_t i = 0; i < all.size(); ++i) {
      norm_.distance(all[i], start_of(i), out + i, stride);
    }
  }

  std::vector<StateArray> state() override {
    return {vector_state("start", VectorBatch<double>{start_.data(), slots_, stride_, stride_})};
  }

 private:
  VectorBatch<double> start_of(std::size_t i) const {
    return {start_.data() + static_cast<std::int64_t>(i) * entries_, slots_, entries_, stride_};
  }

  GramRequest request_;
  std::int64_t slots_;
  std::int64_t entries_;
  SpectralNorm norm_;
  std::int64_t stride_;
  Buffer<double> start_;
};

template <bool layers>
ObserverBytes bytes_of_movement(const ProbeSettings& probe) {
  const std::int64_t size = size_of(probe);
  const std::int64_t start = matrices_of(probe, layers) * size * size;
  return {.per_slot = double_bytes(start + SpectralNorm::doubles(size)),
          .remembered = double_bytes(start)};
}

// ---- The limit of infinite width

/// A member's limit matrices on the device, (slot, size, size).
class Limits {
 public:
  Limits(const ObserverContext& context, bool last_layer)
      : last_layer_(last_layer),
        request_(context.probe.grams(false)),
        slots_(context.slots),
        size_(size_of(context.probe)),
        matrices_(context.executor, context.slots * size_ * size_) {}

  void load(std::span<const Settings> members) const {
    for (std::size_t slot = 0; slot < members.size(); ++slot) {
      const Settings& member = members[slot];
      const auto kernels =
          limit_kernels(member, description_of(member), request_.set, request_.examples);
      matrices_.upload(last_layer_ ? kernels->last_layer : kernels->tangent,
                       static_cast<std::int64_t>(slot) * size_ * size_);
    }
  }
  MatrixBatch<const double> matrices() const {
    return {matrices_.data(), slots_, size_, size_, size_ * size_, size_};
  }

 private:
  bool last_layer_;
  GramRequest request_;
  std::int64_t slots_;
  std::int64_t size_;
  Buffer<double> matrices_;
};

/// ||G - K||_2, of the sum or of the last hidden layer.
template <class T, bool last_layer>
class LimitDistance final : public Observer<T> {
 public:
  explicit LimitDistance(const ObserverContext& context)
      : request_(context.probe.grams(last_layer)),
        limits_(context, last_layer),
        norm_(context.executor, context.slots, size_of(context.probe)) {}

  void load(std::span<const Settings> members) override { limits_.load(members); }

  void observe(Scene<T>& scene, double* out, std::int64_t stride) override {
    std::vector<MatrixBatch<const double>> all = matrices(scene, request_);
    // Of trained weights the last is the output's, where that is trained.
    if (last_layer && all.size() > 1) all.pop_back();
    norm_.distance(all.back(), flatten(limits_.matrices()), out, stride);
  }

 private:
  GramRequest request_;
  Limits limits_;
  SpectralNorm norm_;
};

ObserverBytes bytes_of_distance(const ProbeSettings& probe) {
  const std::int64_t size = size_of(probe);
  return {.per_slot = double_bytes(size * size + SpectralNorm::doubles(size))};
}

/// Eigenvalues of K, which does not change while a member trains.
template <class T, bool last_layer>
class LimitValues final : public Observer<T> {
 public:
  explicit LimitValues(const ObserverContext& context)
      : executor_(context.executor),
        wanted_(wanted(context.probe, size_of(context.probe))),
        limits_(context, last_layer),
        values_(context.executor, context.slots * wanted_.values) {}

  void load(std::span<const Settings> members) override {
    limits_.load(members);
    MatrixBatch<const double> of_members = limits_.matrices();
    of_members.slots = static_cast<std::int64_t>(members.size());
    kernels::symmetric_eigenvalues<double>(executor_, {.a = of_members,
                                                       .which = wanted_.which,
                                                       .count = wanted_.count,
                                                       .values = values_.data(),
                                                       .values_stride = wanted_.values});
  }

  void observe(Scene<T>& scene, double* out, std::int64_t stride) override {
    kernels::combine(scene.executor(), {.slots = scene.slots(),
                                        .count = wanted_.values,
                                        .numerator = values_.data(),
                                        .numerator_stride = wanted_.values,
                                        .out = out,
                                        .out_stride = stride});
  }

 private:
  Executor& executor_;
  Wanted wanted_;
  Limits limits_;
  Buffer<double> values_;
};

ObserverBytes bytes_of_limit_values(const ProbeSettings& probe) {
  const std::int64_t size = size_of(probe);
  return {.per_slot = double_bytes(size * size + wanted(probe, size).values)};
}

// ---- Keys and checks

std::vector<KeySpec> example_keys() {
  return {{.path = "set",
           .type = Type::text,
           .doc = "The examples that are looked at.",
           .default_value = "train",
           .choices = {"train", "test"},
           .sweepable = false},
          {.path = "examples",
           .type = Type::integer,
           .doc = "How many of them, from the first. By default all.",
           .min = 1,
           .sweepable = false}};
}
std::vector<KeySpec> eigenvalue_keys() {
  std::vector<KeySpec> keys = example_keys();
  keys.push_back({.path = "which",
                  .type = Type::text,
                  .doc = "least: the least eigenvalue; ends: the least, then the largest; all: "
                         "ascending.",
                  .default_value = "ends",
                  .choices = {"least", "ends", "all"},
                  .sweepable = false});
  return keys;
}

void validate_examples(const ProbeSettings& probe) {
  if (probe.set() == Set::test) validate_test(probe);
  for (const Weight& w : probe.description.weights) {
    if (w.pattern == nullptr || w.frozen) continue;
    probe.reject("a trained layer with a pattern", "dense layers and convolutions");
  }
  const std::int64_t examples = probe.grams(false).examples;
  if (examples <= probe.examples()) return;
  probe.reject("examples", std::to_string(examples),
               "at most " + std::to_string(probe.examples()) + ", which the data have");
}
void validate_layers(const ProbeSettings& probe) {
  validate_examples(probe);
  for (const Weight& w : probe.description.weights) {
    if (!w.frozen || !w.bias) continue;
    probe.reject("a trained bias beside a weight that is not", "layers whose weights are trained");
  }
}
void validate_limit(const ProbeSettings& probe) {
  validate_examples(probe);
  const NoLimit why = why_no_limit(probe.settings, probe.description);
  if (!why.found.empty()) probe.reject(why.found, why.expected);
}

std::vector<std::int64_t> eigenvalues_of(const ProbeSettings& probe) {
  return {wanted(probe, size_of(probe)).values};
}

constexpr const char* source = " (Du 2019, thesis, chapters 2 and 3)";

template <class T>
using SumMatrix = Matrices<T, false>;
template <class T>
using SumValues = Values<T, false>;
template <class T>
using SumBounds = Bounds<T, false>;
template <class T>
using SumMovement = Movement<T, false>;
template <class T>
using SumDistance = LimitDistance<T, false>;
template <class T>
using SumLimit = LimitValues<T, false>;
template <class T>
using LayerMatrix = Matrices<T, true>;
template <class T>
using LayerValues = Values<T, true>;
template <class T>
using LayerBounds = Bounds<T, true>;
template <class T>
using LayerMovement = Movement<T, true>;
template <class T>
using LastDistance = LimitDistance<T, true>;
template <class T>
using LastLimit = LimitValues<T, true>;

constexpr Observed::Needs sum_needed{.grams = true, .layer_grams = false};
constexpr Observed::Needs layers_needed{.grams = true, .layer_grams = true};

const RegisterProbe tangent_kernel({
    .kind = {.name = "tangent_kernel",
             .extents = {"gram_row", "gram_col"},
             .units = "1",
             .long_name = "empirical tangent kernel",
             .comment = "G_(k,i),(l,j) = <df_k(x_i)/dW, df_l(x_j)/dW> over all trained parameters; "
                        "row k n + i of n examples",
             .keys = example_keys()},
    .extents = [](const ProbeSettings& probe) -> std::vector<std::int64_t> {
      return {size_of(probe), size_of(probe)};
    },
    .validate = validate_examples,
    .needs = sum_needed,
    .make = observer_maker<SumMatrix>(),
});

const RegisterProbe tangent_kernel_eigenvalues({
    .kind = {.name = "tangent_kernel_eigenvalues",
             .extents = {"eigenvalue"},
             .units = "1",
             .long_name = "eigenvalues of the empirical tangent kernel",
             .comment = std::string("of G = sum_h G^(h), of a two_layer_relu H(k)") + source,
             .keys = eigenvalue_keys(),
             .waits = true},
    .extents = eigenvalues_of,
    .validate = validate_examples,
    .needs = sum_needed,
    .make = observer_maker<SumValues>(),
});

const RegisterProbe tangent_kernel_bound({
    .kind = {.name = "tangent_kernel_bound",
             .extents = {},
             .units = "1",
             .long_name = "bound on errors of eigenvalues of the empirical tangent kernel",
             .comment = "each lies this close to one of G as it was computed; larger where the "
                        "method did not converge",
             .keys = eigenvalue_keys(),
             .waits = true},
    .validate = validate_examples,
    .needs = sum_needed,
    .bytes = bytes_of_bounds,
    .make = observer_maker<SumBounds>(),
});

const RegisterProbe tangent_kernel_movement({
    .kind = {.name = "tangent_kernel_movement",
             .extents = {},
             .units = "1",
             .long_name = "distance of the empirical tangent kernel from its start",
             .comment = std::string("||G(k) - G(0)||_2") + source,
             .keys = example_keys(),
             .waits = true},
    .validate = validate_examples,
    .needs = sum_needed,
    .bytes = bytes_of_movement<false>,
    .make = observer_maker<SumMovement>(),
});

const RegisterProbe tangent_kernel_limit_distance({
    .kind = {.name = "tangent_kernel_limit_distance",
             .extents = {},
             .units = "1",
             .long_name = "distance of the empirical tangent kernel from its limit",
             .comment = std::string("||G(k) - K||_2, K of infinite width; of a two_layer_relu "
                                    "||H(k) - Hinf||_2") +
                        source,
             .keys = example_keys(),
             .waits = true},
    .validate = validate_limit,
    .needs = sum_needed,
    .bytes = bytes_of_distance,
    .make = observer_maker<SumDistance>(),
});

const RegisterProbe tangent_kernel_limit_eigenvalues({
    .kind = {.name = "tangent_kernel_limit_eigenvalues",
             .extents = {"eigenvalue"},
             .units = "1",
             .long_name = "eigenvalues of the tangent kernel of infinite width",
             .comment = std::string("of a two_layer_relu those of Hinf") + source,
             .keys = eigenvalue_keys()},
    .extents = eigenvalues_of,
    .validate = validate_limit,
    .bytes = bytes_of_limit_values,
    .make = observer_maker<SumLimit>(),
});

const RegisterProbe gram({
    .kind = {.name = "gram",
             .extents = {"layer", "gram_row", "gram_col"},
             .units = "1",
             .long_name = "Gram matrix of each layer",
             .comment = std::string("G^(h)_(k,i),(l,j) = <df_k(x_i)/dW_h, df_l(x_j)/dW_h> of each "
                                    "trained weight; row k n + i of n examples") +
                        source,
             .keys = example_keys()},
    .extents = [](const ProbeSettings& probe) -> std::vector<std::int64_t> {
      return {each_layer(probe).front(), size_of(probe), size_of(probe)};
    },
    .validate = validate_layers,
    .needs = layers_needed,
    .make = observer_maker<LayerMatrix>(),
});

const RegisterProbe gram_eigenvalues({
    .kind = {.name = "gram_eigenvalues",
             .extents = {"layer", "eigenvalue"},
             .units = "1",
             .long_name = "eigenvalues of the Gram matrix of each layer",
             .comment = std::string("of G^(h)") + source,
             .keys = eigenvalue_keys(),
             .waits = true},
    .extents = [](const ProbeSettings& probe) -> std::vector<std::int64_t> {
      return {each_layer(probe).front(), wanted(probe, size_of(probe)).values};
    },
    .validate = validate_layers,
    .needs = layers_needed,
    .make = observer_maker<LayerValues>(),
});

const RegisterProbe gram_bound({
    .kind = {.name = "gram_bound",
             .extents = {"layer"},
             .units = "1",
             .long_name = "bound on errors of eigenvalues of the Gram matrix of each layer",
             .comment = "each lies this close to one of G^(h) as it was computed; larger where the "
                        "method did not converge",
             .keys = eigenvalue_keys(),
             .waits = true},
    .extents = each_layer,
    .validate = validate_layers,
    .needs = layers_needed,
    .bytes = bytes_of_bounds,
    .make = observer_maker<LayerBounds>(),
});

const RegisterProbe gram_movement({
    .kind = {.name = "gram_movement",
             .extents = {"layer"},
             .units = "1",
             .long_name = "distance of the Gram matrix of each layer from its start",
             .comment = std::string("||G^(h)(k) - G^(h)(0)||_2") + source,
             .keys = example_keys(),
             .waits = true},
    .extents = each_layer,
    .validate = validate_layers,
    .needs = layers_needed,
    .bytes = bytes_of_movement<true>,
    .make = observer_maker<LayerMovement>(),
});

const RegisterProbe last_gram_limit_distance({
    .kind = {.name = "last_gram_limit_distance",
             .extents = {},
             .units = "1",
             .long_name = "distance of the last hidden layer's Gram matrix from its limit",
             .comment = std::string("||G^(H)(k) - K^(H)||_2") + source,
             .keys = example_keys(),
             .waits = true},
    .validate = validate_limit,
    .needs = layers_needed,
    .bytes = bytes_of_distance,
    .make = observer_maker<LastDistance>(),
});

const RegisterProbe last_gram_limit_eigenvalues({
    .kind = {.name = "last_gram_limit_eigenvalues",
             .extents = {"eigenvalue"},
             .units = "1",
             .long_name = "eigenvalues of the last hidden layer's Gram matrix of infinite width",
             .comment = std::string("of K^(H)") + source,
             .keys = eigenvalue_keys()},
    .extents = eigenvalues_of,
    .validate = validate_limit,
    .bytes = bytes_of_limit_values,
    .make = observer_maker<LastLimit>(),
});

}  // namespace
}  // namespace manyfold::network
