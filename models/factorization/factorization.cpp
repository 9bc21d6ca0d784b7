// The stepping of factorizations by batched products over all slots, and their probes.
#include "models/factorization/factorization.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <stdexcept>

#include "core/executor/memory.hpp"
#include "kernels/combine.hpp"
#include "kernels/gemm.hpp"
#include "kernels/norms.hpp"
#include "kernels/residual.hpp"
#include "kernels/singular_values.hpp"
#include "models/factorization/problem.hpp"
#include "models/factorization/shape.hpp"
#include "models/factorization/start.hpp"

namespace manyfold {
namespace factorization {
namespace {

using kernels::MathMode;
using kernels::Transpose;

constexpr Transpose keep = Transpose::no;
constexpr Transpose flip = Transpose::yes;

/// Slots start on cache lines, so that a slot's vectors do not straddle its neighbour's.
template <class T>
std::int64_t padded(std::int64_t elements) {
  constexpr std::int64_t line = 64 / static_cast<std::int64_t>(sizeof(T));
  return (elements + line - 1) / line * line;
}

/// Everything a family allocates, counted in one place: the plan and the allocation both read it.
template <class T>
struct Layout {
  Shape shape;
  std::int64_t parameters;           ///< stride of parameters and of gradients
  std::vector<std::int64_t> prefix;  ///< of P_h = W_h ... W_1, h = 2..L
  std::int64_t backward;             ///< of each of the two buffers for df/dP_h
  std::int64_t end;                  ///< of W; 0 where P_L or W_1 serves
  std::int64_t residual;             ///< 0 where the gradient of the only layer serves
  std::int64_t pair;                 ///< of the balance difference
  std::int64_t spectrum;             ///< doubles of the singular values' workspace
  std::int64_t problem_target;
  std::int64_t problem_mask;  ///< bytes

  Layout(const Settings& settings)
      : shape(shape_of(settings)), parameters(padded<T>(shape.parameters())) {
    const std::int64_t n0 = shape.sizes.front();
    const std::int64_t last = shape.layers();
    std::int64_t largest = 0;
    std::int64_t largest_pair = 0;
    for (std::int64_t h = 2; h <= last; ++h) {
      prefix.push_back(padded<T>(shape.layer_rows(h) * n0));
      if (h < last || shape.symmetric_model) largest = std::max(largest, shape.layer_rows(h) * n0);
      const std::int64_t inner = shape.layer_cols(h);
      largest_pair = std::max(largest_pair, inner * inner);
    }
    backward = padded<T>(largest);
    end = shape.symmetric_model ? padded<T>(shape.rows() * shape.rows()) : 0;
    const bool own_residual = last > 1 || shape.symmetric_model;
    residual = own_residual ? padded<T>(shape.rows() * shape.cols()) : 0;
    pair = padded<T>(largest_pair);
    spectrum = kernels::singular_values_workspace(shape.rows(), shape.cols());
    problem_target = shape.rows() * shape.cols();
    problem_mask = settings.text("objective.kind") == "completion" ? problem_target : 0;
  }

  Footprint footprint(bool shared_problem) const {
    std::int64_t elements = 2 * parameters + 2 * backward + end + residual + pair;
    for (const std::int64_t stride : prefix) elements += stride;
    const auto problem = static_cast<std::size_t>(problem_target) * sizeof(T) +
                         static_cast<std::size_t>(problem_mask);
    Footprint footprint;
    footprint.bytes_per_slot = static_cast<std::size_t>(elements) * sizeof(T) +
                               static_cast<std::size_t>(spectrum) * sizeof(double) +
                               sizeof(double) + sizeof(std::int32_t) +
                               (shared_problem ? 0 : problem + sizeof(double));
    footprint.shared_bytes = shared_problem ? problem + sizeof(double) : 0;
    footprint.flops_per_step = shape.flops_per_gradient();
    footprint.parameters = shape.parameters();
    return footprint;
  }
};

bool tests_everything(const Settings& settings) {
  return settings.text("objective.kind") == "full" || settings.text("objective.test_on") == "all";
}

template <class T>
class FactorizationModel final : public Model {
 public:
  FactorizationModel(Executor& executor, const Settings& example, std::int64_t slots,
                     bool shared_problem)
      : executor_(executor),
        layout_(example),
        slots_(slots),
        shared_problem_(shared_problem),
        test_everything_(tests_everything(example)),
        math_(example.text("precision") == "tf32" ? MathMode::tf32 : MathMode::full),
        parameters_(executor, slots * layout_.parameters),
        gradient_(executor, slots * layout_.parameters),
        end_(executor, slots * layout_.end),
        residual_(executor, slots * layout_.residual),
        pair_(executor, slots * layout_.pair),
        spectrum_(executor, slots * layout_.spectrum),
        test_half_square_(executor, slots),
        sweeps_(executor, slots),
        target_(executor, (shared_problem ? 1 : slots) * layout_.problem_target),
        mask_(executor, (shared_problem ? 1 : slots) * layout_.problem_mask),
        test_norm2_(executor, shared_problem ? 1 : slots) {
    for (const std::int64_t stride : layout_.prefix) {
      prefix_.emplace_back(executor, slots * stride);
    }
    for (auto& buffer : backward_) buffer = Buffer<T>(executor, slots * layout_.backward);
    parameters_.clear();
    gradient_.clear();
  }

  void load(std::span<const Settings> members) override {
    load_problems(members);
    std::vector<T> host(static_cast<std::size_t>(slots_ * layout_.parameters), T{0});
    for (std::size_t slot = 0; slot < members.size(); ++slot) {
      const std::vector<double> values = start(members[slot], layout_.shape);
      T* to = host.data() + static_cast<std::int64_t>(slot) * layout_.parameters;
      for (std::size_t i = 0; i < values.size(); ++i) to[i] = static_cast<T>(values[i]);
    }
    parameters_.upload(host);
  }

  AnyParameters parameters() override {
    const std::int64_t count = layout_.shape.parameters();
    return Parameters<T>{{parameters_.data(), slots_, count, layout_.parameters},
                         {gradient_.data(), slots_, count, layout_.parameters}};
  }

  void evaluate(const kernels::StepControl& control, Wanted wanted) override {
    const Shape& shape = layout_.shape;
    const std::int64_t depth = shape.layers();
    for (std::int64_t h = 2; h <= depth; ++h) {
      multiply(keep, keep, weight(h), prefix(h - 1), prefix(h));
    }
    if (shape.symmetric_model) multiply(keep, flip, prefix(depth), prefix(depth), end());

    kernels::residual<T>(executor_,
                         {.w = end(),
                          .target = target(),
                          .mask = mask(),
                          .observed = true,
                          .residual = residual(),
                          .half_square = wanted.train_loss ? control.train_loss : nullptr});

    if (shape.symmetric_model) {
      multiply(keep, keep, residual(), prefix(depth), slope(depth), T(0.5));
      multiply(flip, keep, residual(), prefix(depth), slope(depth), T(0.5), T(1));
    }
    for (std::int64_t h = depth; h >= 2; --h) {
      multiply(keep, flip, slope(h), prefix(h - 1), weight_gradient(h));
      multiply(flip, keep, weight(h), slope(h), slope(h - 1));
    }
    if (wanted.grad_norm2) {
      const auto typed = std::get<Parameters<T>>(parameters());
      kernels::sum_of_squares<T>(executor_, {typed.gradient, control.grad_norm2, 1});
    }
  }

  void observe(const std::string& probe, std::int64_t count, double* out,
               std::int64_t stride) override {
    if (probe == "test_loss" || probe == "test_error") return observe_test(probe, out, stride);
    if (probe == "layer_norm2") {
      for (std::int64_t h = 1; h <= count; ++h) {
        kernels::sum_of_squares<T>(executor_, {weight_vector(h), out + (h - 1), stride});
      }
      return;
    }
    if (probe == "balance") return observe_balance(count, out, stride);
    if (probe == "end_norm") {
      kernels::sum_of_squares<T>(executor_, {flatten(MatrixBatch<const T>(end())), out, stride});
      return root(1, out, stride);
    }
    if (probe == "singular_values") return observe_singular_values(count, out, stride);
    throw std::logic_error("not a probe of a factorization: " + probe);
  }

 private:
  void load_problems(std::span<const Settings> members) {
    const std::size_t problems = shared_problem_ ? 1 : members.size();
    for (std::size_t i = 0; i < problems; ++i) {
      const Problem problem = make_problem(members[i]);
      const std::vector<T> target(problem.target.begin(), problem.target.end());
      const auto offset = static_cast<std::int64_t>(i) * layout_.problem_target;
      target_.upload(target, offset);
      if (!problem.mask.empty()) {
        mask_.upload(problem.mask, static_cast<std::int64_t>(i) * layout_.problem_mask);
      }
      double norm2 = 0;
      for (std::size_t j = 0; j < problem.target.size(); ++j) {
        const bool tested = test_everything_ || problem.mask[j] == 0;
        if (tested) norm2 += problem.target[j] * problem.target[j];
      }
      test_norm2_.upload(std::array{norm2}, static_cast<std::int64_t>(i));
    }
  }

  void multiply(Transpose ta, Transpose tb, MatrixBatch<const T> a, MatrixBatch<const T> b,
                MatrixBatch<T> c, T alpha = 1, T beta = 0) {
    kernels::gemm<T>(executor_, {ta, tb, alpha, a, b, beta, c, math_});
  }

  MatrixBatch<T> matrix(T* data, std::int64_t rows, std::int64_t cols, std::int64_t stride) const {
    return {data, slots_, rows, cols, stride, cols};
  }
  MatrixBatch<T> weight(std::int64_t h) const {
    return matrix(parameters_.data() + layout_.shape.layer_offset(h), layout_.shape.layer_rows(h),
                  layout_.shape.layer_cols(h), layout_.parameters);
  }
  VectorBatch<const T> weight_vector(std::int64_t h) const {
    return flatten(MatrixBatch<const T>(weight(h)));
  }
  MatrixBatch<T> weight_gradient(std::int64_t h) const {
    return matrix(gradient_.data() + layout_.shape.layer_offset(h), layout_.shape.layer_rows(h),
                  layout_.shape.layer_cols(h), layout_.parameters);
  }
  /// P_h = W_h ... W_1, (n_h, n_0).
  MatrixBatch<T> prefix(std::int64_t h) const {
    if (h == 1) return weight(1);
    const auto i = static_cast<std::size_t>(h - 2);
    return matrix(prefix_[i].data(), layout_.shape.layer_rows(h), layout_.shape.sizes.front(),
                  layout_.prefix[i]);
  }
  /// df/dP_h, (n_h, n_0); neighbouring layers use different buffers. P_1 is W_1, so its slope is
  /// the gradient itself, and P_L of the asymmetric model is W, so its slope is the residual.
  MatrixBatch<T> slope(std::int64_t h) const {
    if (h == 1) return weight_gradient(1);
    if (h == layout_.shape.layers() && !layout_.shape.symmetric_model) return residual();
    return matrix(backward_[static_cast<std::size_t>(h % 2)].data(), layout_.shape.layer_rows(h),
                  layout_.shape.sizes.front(), layout_.backward);
  }
  MatrixBatch<T> end() const {
    if (!layout_.shape.symmetric_model) return prefix(layout_.shape.layers());
    return matrix(end_.data(), layout_.shape.rows(), layout_.shape.rows(), layout_.end);
  }
  /// grad f(W); of a single layer it is the gradient itself.
  MatrixBatch<T> residual() const {
    if (layout_.residual == 0) return weight_gradient(1);
    return matrix(residual_.data(), layout_.shape.rows(), layout_.shape.cols(), layout_.residual);
  }
  MatrixBatch<const T> target() const {
    return {target_.data(),
            slots_,
            layout_.shape.rows(),
            layout_.shape.cols(),
            shared_problem_ ? 0 : layout_.problem_target,
            layout_.shape.cols()};
  }
  MatrixBatch<const std::uint8_t> mask() const {
    return {mask_.data(),
            slots_,
            layout_.shape.rows(),
            layout_.shape.cols(),
            shared_problem_ ? 0 : layout_.problem_mask,
            layout_.shape.cols()};
  }

  void root(std::int64_t count, double* out, std::int64_t stride) {
    kernels::combine(executor_, {.slots = slots_,
                                 .count = count,
                                 .square_root = true,
                                 .numerator = out,
                                 .numerator_stride = stride,
                                 .out = out,
                                 .out_stride = stride});
  }

  void observe_test(const std::string& probe, double* out, std::int64_t stride) {
    kernels::residual<T>(executor_,
                         {.w = end(),
                          .target = target(),
                          .mask = test_everything_ ? MatrixBatch<const std::uint8_t>{} : mask(),
                          .observed = test_everything_,
                          .residual = {},
                          .half_square = test_half_square_.data()});
    const bool relative = probe == "test_error";
    kernels::combine(executor_, {.slots = slots_,
                                 .count = 1,
                                 .scale = relative ? std::sqrt(2.0) : 1.0,
                                 .square_root = relative,
                                 .numerator = test_half_square_.data(),
                                 .numerator_stride = 1,
                                 .denominator = relative ? test_norm2_.data() : nullptr,
                                 .denominator_stride = shared_problem_ ? 0 : 1,
                                 .out = out,
                                 .out_stride = stride});
  }

  /// ||W_{h+1}^T W_{h+1} - W_h W_h^T||_F for h = 1 ... L-1.
  void observe_balance(std::int64_t count, double* out, std::int64_t stride) {
    for (std::int64_t h = 1; h <= count; ++h) {
      const std::int64_t n = layout_.shape.layer_rows(h);
      const MatrixBatch<T> difference = matrix(pair_.data(), n, n, layout_.pair);
      multiply(flip, keep, weight(h + 1), weight(h + 1), difference);
      multiply(keep, flip, weight(h), weight(h), difference, T(-1), T(1));
      kernels::sum_of_squares<T>(
          executor_, {flatten(MatrixBatch<const T>(difference)), out + (h - 1), stride});
    }
    root(count, out, stride);
  }

  void observe_singular_values(std::int64_t count, double* out, std::int64_t stride) {
    kernels::singular_values<T>(executor_, {.a = end(),
                                            .values = out,
                                            .values_count = count,
                                            .values_stride = stride,
                                            .sweeps = sweeps_.data(),
                                            .workspace = spectrum_.data()});
  }

  Executor& executor_;
  Layout<T> layout_;
  std::int64_t slots_;
  bool shared_problem_;
  bool test_everything_;
  MathMode math_;
  Buffer<T> parameters_;
  Buffer<T> gradient_;
  Buffer<T> end_;
  Buffer<T> residual_;
  Buffer<T> pair_;
  Buffer<double> spectrum_;
  Buffer<double> test_half_square_;
  Buffer<std::int32_t> sweeps_;
  Buffer<T> target_;
  Buffer<std::uint8_t> mask_;
  Buffer<double> test_norm2_;
  std::vector<Buffer<T>> prefix_;
  std::array<Buffer<T>, 2> backward_;
};

void add_keys(Spec& spec) {
  const std::vector<Condition> factorizations{{"model.kind", {"deep_linear", "symmetric"}}};
  auto when = [&](std::vector<Condition> more) {
    more.insert(more.begin(), factorizations.begin(), factorizations.end());
    return more;
  };
  constexpr double largest_size = 65536;
  spec.add({.path = "model.depth",
            .type = Type::integer,
            .doc = "Number of factors of the end-to-end matrix W. For the symmetric model, "
                   "W = P P^T, it is even: U U^T has depth 2.",
            .min = 1,
            .max = 1024,
            .when = factorizations});
  spec.add({.path = "model.hidden",
            .type = Type::integer | Type::integers,
            .doc =
                "Width of the hidden layers: one for all, or one each, from the input. By default "
                "the smaller side of the target.",
            .min = 1,
            .max = largest_size,
            .when = factorizations});
  spec.add({.path = "model.sizes",
            .type = Type::integers,
            .doc = "All sizes n_0, ..., n_L from input to output, instead of depth and hidden: W_h "
                   "is n_h x n_{h-1}.",
            .min = 1,
            .max = largest_size,
            .when = factorizations});

  spec.add({.path = "objective.kind",
            .type = Type::text,
            .doc = "completion: f(W) = 1/2 sum over observed entries of (W - M)^2; full: over all "
                   "entries.",
            .required = true,
            .choices = {"completion", "full"},
            .when = factorizations});
  spec.add({.path = "objective.observed",
            .type = Type::number,
            .doc = "Probability that an entry (a pair of entries, if symmetric) is observed.",
            .required = true,
            .min = 0,
            .max = 1,
            .min_exclusive = true,
            .when = when({{"objective.kind", {"completion"}}})});
  spec.add({.path = "objective.test_on",
            .type = Type::text,
            .doc = "Entries that test loss and test error look at.",
            .default_value = "unobserved",
            .choices = {"unobserved", "all"},
            .when = when({{"objective.kind", {"completion"}}})});
  spec.add({.path = "objective.symmetric",
            .type = Type::boolean,
            .doc = "Target and mask are symmetric, and an orthogonal start is too.",
            .default_value = false,
            .when = factorizations});
  spec.add({.path = "objective.target.kind",
            .type = Type::text,
            .doc = "low_rank: random orthonormal vectors and given singular values; gaussian: "
                   "N(0, 1) entries; digits: real 8x8 images of handwritten digits, one a row.",
            .required = true,
            .choices = {"low_rank", "gaussian", "digits"},
            .when = factorizations});
  const std::vector<Condition> drawn = when({{"objective.target.kind", {"low_rank", "gaussian"}}});
  spec.add({.path = "objective.target.size",
            .type = Type::integer,
            .doc = "Rows and columns of a square target.",
            .min = 1,
            .max = largest_size,
            .when = drawn});
  spec.add({.path = "objective.target.rows",
            .type = Type::integer,
            .doc =
                "Rows of the target; for digits, the number of images, taken in an order shuffled "
                "by problem.seed.",
            .min = 1,
            .max = largest_size,
            .when = factorizations});
  spec.add({.path = "objective.target.cols",
            .type = Type::integer,
            .doc = "Columns of the target.",
            .min = 1,
            .max = largest_size,
            .when = drawn});
  spec.add({.path = "objective.target.singular_values",
            .type = Type::number | Type::numbers,
            .doc = "Singular values of the target; their number is its rank.",
            .required = true,
            .min = 0,
            .min_exclusive = true,
            .when = when({{"objective.target.kind", {"low_rank"}}})});
  spec.add({.path = "objective.target.norm",
            .type = Type::number,
            .doc = "Scales the target to this Frobenius norm.",
            .min = 0,
            .min_exclusive = true,
            .when = factorizations});

  spec.add({.path = "init.kind",
            .type = Type::text,
            .doc = "gaussian: independent N(0, stddev^2) entries; orthogonal: balanced layers "
                   "V_h D^(1/L) V_{h-1}^T; identity: W(0) = alpha I.",
            .required = true,
            .choices = {"gaussian", "orthogonal", "identity"},
            .when = factorizations});
  spec.add({.path = "init.stddev",
            .type = Type::number | Type::numbers,
            .doc = "Standard deviation of the entries: one for all layers, or one each from the "
                   "input.",
            .min = 0,
            .min_exclusive = true,
            .when = when({{"init.kind", {"gaussian"}}})});
  spec.add({.path = "init.end_norm",
            .type = Type::number,
            .doc = "||W(0)||_F: one factor multiplies every layer of the draw.",
            .min = 0,
            .min_exclusive = true,
            .when = when({{"init.kind", {"gaussian", "orthogonal"}}})});
  spec.add({.path = "init.alpha",
            .type = Type::number,
            .doc = "W(0) = alpha I.",
            .required = true,
            .min = 0,
            .min_exclusive = true,
            .when = when({{"init.kind", {"identity"}}})});
}

void validate(const Settings& settings) {
  const Shape shape = shape_of(settings);
  validate_start(settings, shape);
  const std::string& init = settings.text("init.kind");
  if (init == "orthogonal" && !settings.has("init.end_norm")) {
    settings.reject("init.end_norm", "nothing", "||W(0)||_F of an orthogonal start, a number > 0");
  }
  if (settings.text("objective.target.kind") == "digits" &&
      !settings.has("objective.target.rows")) {
    settings.reject("objective.target.rows", "nothing", "the number of images");
  }
  if (settings.boolean("objective.symmetric") && shape.rows() != shape.cols()) {
    settings.reject("objective.symmetric",
                    "true with a target of " + std::to_string(shape.rows()) + "x" +
                        std::to_string(shape.cols()),
                    "a square target");
  }
  if (shape.layers() < 2 && settings.has("probes.balance.every")) {
    settings.reject("probes.balance.every", "a probe of neighbouring layers of " + shape.text(),
                    "a model with at least two layers");
  }
  constexpr std::int64_t largest_side = 1024;  // of kernels/singular_values.hpp
  const std::int64_t side = std::max(shape.rows(), shape.cols());
  for (const char* key : {"probes.singular_values.every", "probes.singular_values.steps",
                          "probes.singular_values.running"}) {
    if (settings.has(key) && side > largest_side) {
      settings.reject(key,
                      "singular values of a " + std::to_string(shape.rows()) + "x" +
                          std::to_string(shape.cols()) + " matrix",
                      "sides of at most " + std::to_string(largest_side));
    }
  }
  if (settings.has("probes.singular_values.count")) {
    const std::int64_t most = std::min(shape.rows(), shape.cols());
    const std::int64_t count = settings.integer("probes.singular_values.count");
    if (count > most) {
      settings.reject("probes.singular_values.count", std::to_string(count),
                      "at most min(rows, cols) = " + std::to_string(most));
    }
  }
}

std::string shape_key(const Settings& settings) {
  const Shape shape = shape_of(settings);
  std::string key =
      settings.text("model.kind") + " " + shape.text() + " " + settings.text("objective.kind");
  if (tests_everything(settings)) key += " all";
  return key;
}

Footprint footprint(const Settings& settings, bool shared_problem) {
  return settings.text("precision") == "f64" ? Layout<double>(settings).footprint(shared_problem)
                                             : Layout<float>(settings).footprint(shared_problem);
}

std::int64_t extent(const Settings& settings, const ProbeKind& probe) {
  const Shape shape = shape_of(settings);
  if (probe.extent == "layer") return shape.layers();
  if (probe.extent == "pair") return shape.layers() - 1;
  if (probe.extent == "index") {
    const std::int64_t most = std::min(shape.rows(), shape.cols());
    return settings.has("probes.singular_values.count")
               ? settings.integer("probes.singular_values.count")
               : most;
  }
  return 1;
}

std::span<const ProbeKind> probes() {
  static const std::array kinds{
      ProbeKind{.name = "test_loss",
                .extent = "",
                .units = "1",
                .long_name = "test loss",
                .comment = "1/2 sum of (W - M)^2 over the entries of objective.test_on",
                .keys = {}},
      ProbeKind{.name = "test_error",
                .extent = "",
                .units = "1",
                .long_name = "relative test error",
                .comment = "||W - M||_F / ||M||_F over the entries of objective.test_on",
                .keys = {}},
      ProbeKind{.name = "end_norm",
                .extent = "",
                .units = "1",
                .long_name = "norm of the end-to-end matrix",
                .comment = "||W||_F",
                .keys = {}},
      ProbeKind{.name = "layer_norm2",
                .extent = "layer",
                .units = "1",
                .long_name = "squared norm of each layer",
                .comment = "||W_h||_F^2, h = 1 ... L from the input (Du, Hu, Lee 2018, eq. 4)",
                .keys = {}},
      ProbeKind{.name = "balance",
                .extent = "pair",
                .units = "1",
                .long_name = "balancedness of neighbouring layers",
                .comment = "||W_{h+1}^T W_{h+1} - W_h W_h^T||_F, h = 1 ... L-1 (Du, Hu, Lee 2018, "
                           "theorem 2.2)",
                .keys = {}},
      ProbeKind{.name = "singular_values",
                .extent = "index",
                .units = "1",
                .long_name = "singular values of the end-to-end matrix",
                .comment = "s_i(W), decreasing",
                .keys = {{.path = "count",
                          .type = Type::integer,
                          .doc = "How many of the largest singular values; by default all.",
                          .min = 1,
                          .sweepable = false}}},
  };
  return kinds;
}

std::unique_ptr<Model> make(Executor& executor, const Settings& example, std::int64_t slots,
                            bool shared_problem) {
  if (example.text("precision") == "f64") {
    return std::make_unique<FactorizationModel<double>>(executor, example, slots, shared_problem);
  }
  return std::make_unique<FactorizationModel<float>>(executor, example, slots, shared_problem);
}

}  // namespace
}  // namespace factorization

const ModelKind& factorization_kind() {
  static const ModelKind kind{
      .names = {"deep_linear", "symmetric"},
      .add_keys = factorization::add_keys,
      .probes = factorization::probes,
      .validate = factorization::validate,
      .shape_key = factorization::shape_key,
      .problem_key = factorization::problem_key,
      .check_problem = [](const Settings& s) { (void)factorization::make_problem(s); },
      .footprint = factorization::footprint,
      .extent = factorization::extent,
      .make = factorization::make};
  return kind;
}

}  // namespace manyfold
