// Kernel matrices: of patterns, which count neurons, and of the gradients of a network.
#include "apps/bench/gram_rows.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include <cblas.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "apps/bench/blas_version.hpp"
#include "apps/bench/measure_call.hpp"
#include "apps/bench/peak_memory.hpp"
#include "core/error.hpp"
#include "core/executor/memory.hpp"
#include "core/sweep/experiment.hpp"
#include "kernels/gram.hpp"
#include "models/network/description.hpp"
#include "models/network/grams.hpp"
#include "models/network/net.hpp"
#include "models/network/objective.hpp"
#include "models/network/start.hpp"
#include "models/training/model.hpp"

extern "C" void openblas_set_num_threads(int threads);  // no header declares it

namespace manyfold::apps {
namespace {

std::size_t index(std::int64_t i) { return static_cast<std::size_t>(i); }

/// While it lives the BLAS has as many threads as the executor.
class AllThreads {
 public:
  explicit AllThreads(const Executor& executor) {
    if (executor.device().kind == "cpu") {
      openblas_set_num_threads(executor.device().compute_units);
    }
  }
  AllThreads(const AllThreads&) = delete;
  AllThreads& operator=(const AllThreads&) = delete;
  ~AllThreads() { openblas_set_num_threads(1); }
};

/// The lower triangle of S S^T; S: (n, m).
void blas_gram(const std::vector<float>& s, std::int64_t n, std::int64_t m,
               std::vector<float>& counts) {
  cblas_ssyrk(CblasRowMajor, CblasLower, CblasNoTrans, static_cast<int>(n), static_cast<int>(m), 1,
              s.data(), static_cast<int>(m), 0, counts.data(), static_cast<int>(n));
}

}  // namespace

std::vector<BenchRow> pattern_gram(Executor& executor, const BenchFlags& flags) {
  const std::int64_t n = flags.full ? 1000 : 200;
  const std::int64_t m = flags.full ? 16000 : 2000;
  const std::int64_t words = kernels::pattern_words(m);
  std::mt19937_64 random(23);
  std::vector<float> s(index(n * m));
  for (float& one : s) one = (random() >> 63) != 0 ? 1.0F : 0.0F;
  const Buffer<float> activations(executor, n * m);
  activations.upload(s);
  const Buffer<std::uint64_t> bits(executor, n * words);
  const Buffer<double> counts(executor, n * n);
  const auto compute = [&] {
    const MatrixBatch<std::uint64_t> patterns{bits.data(), 1, n, words, n * words, words};
    kernels::pattern_bits<float>(executor,
                                 {.x = {activations.data(), 1, n, m, n * m, m}, .bits = patterns});
    kernels::pattern_products(executor,
                              {.bits = patterns, .counts = {counts.data(), 1, n, n, n * n, n}});
  };

  std::vector<float> expected(index(n * n));
  blas_gram(s, n, m, expected);
  compute();
  const std::vector<double> found = counts.download();
  for (std::int64_t i = 0; i < n; ++i) {
    for (std::int64_t j = 0; j < n; ++j) {
      const double both = expected[index(std::max(i, j) * n + std::min(i, j))];
      if (found[index(i * n + j)] == both) continue;
      throw DeviceError(
          fmt::format("bench spectra pattern-gram: examples {} and {} share {} neurons, expected "
                      "{}",
                      i, j, found[index(i * n + j)], both));
    }
  }

  TimedCall what{.name = "pattern-gram",
                 .precision = "f32",
                 .unit = "products/s",
                 .count = 1,
                 .operations = static_cast<double>(n * (n + 1) * m),
                 .formula = fmt::format("pattern-gram: n (n + 1) m of a symmetric product in "
                                        "floats, n = {}, m = {}: {:.4g}; from activations to "
                                        "counts, 64 neurons a word",
                                        n, m, static_cast<double>(n * (n + 1) * m)),
                 .compute = compute};
  if (executor.device().kind == "cpu") {
    what.rival = {.name = "ssyrk", .version = blas_version(), .compute = [&] {
                    const AllThreads threads(executor);
                    blas_gram(s, n, m, expected);
                  }};
  }
  return {measure_call(executor, flags, what)};
}

namespace {

/// Sizes of the net whose tangent kernel is made: of the input, of each hidden layer, 1.
struct KernelSizes {
  std::int64_t examples = 0;
  std::vector<std::int64_t> layers;
};

std::string experiment_text(const KernelSizes& sizes, const std::string& precision) {
  return fmt::format(R"(
name = "bench tangent-kernel"
precision = "{}"
problem.seed = 3
[model]
kind = "fc"
hidden = [{}]
parametrization = "thesis"
[data]
source = "sphere"
shape = {}
count = {}
targets = "random_normal"
[init]
kind = "gaussian"
[optimizer]
kind = "gd"
learning_rate = 1.0
[stop]
steps = 0
[probes]
train_loss = {{ steps = [0] }}
)",
                     precision, fmt::join(sizes.layers.begin() + 1, sizes.layers.end() - 1, ", "),
                     sizes.layers.front(), sizes.examples);
}

/// c = a b or a b^T, each row-major: (m, n) of terms k.
void multiply(bool transpose_b, std::int64_t m, std::int64_t n, std::int64_t k,
              const std::vector<double>& a, const double* b, std::vector<double>& c) {
  c.resize(index(m * n));
  cblas_dgemm(CblasRowMajor, CblasNoTrans, transpose_b ? CblasTrans : CblasNoTrans,
              static_cast<int>(m), static_cast<int>(n), static_cast<int>(k), 1, a.data(),
              static_cast<int>(k), b, static_cast<int>(transpose_b ? k : n), 0, c.data(),
              static_cast<int>(n));
}

/// The sum over layers of (A A^T) o (B B^T): A the layer's inputs, B the output's gradients in its
/// pre-activations with every scale in them, all through the BLAS. W_1, W_2, ... stand behind each
/// other in `weights`.
std::vector<double> plain_kernel(const KernelSizes& sizes, const std::vector<double>& weights,
                                 const std::vector<double>& x) {
  const std::int64_t n = sizes.examples;
  const std::size_t hidden = sizes.layers.size() - 2;
  std::vector<const double*> w;
  const double* at = weights.data();
  for (std::size_t h = 0; h <= hidden; ++h) {
    w.push_back(at);
    at += sizes.layers[h] * sizes.layers[h + 1];
  }
  std::vector<std::vector<double>> inputs{x};
  for (std::size_t h = 0; h < hidden; ++h) {
    const std::int64_t m = sizes.layers[h + 1];
    std::vector<double> z;
    multiply(true, n, m, sizes.layers[h], inputs[h], w[h], z);
    for (double& one : z) one = std::sqrt(2 / static_cast<double>(m)) * std::max(one, 0.0);
    inputs.push_back(std::move(z));
  }
  std::vector<double> kernel;
  std::vector<double> products;
  multiply(true, n, n, sizes.layers[hidden], inputs[hidden], inputs[hidden].data(), kernel);
  std::vector<double> back;
  for (std::int64_t i = 0; i < n; ++i) {
    back.insert(back.end(), w[hidden], w[hidden] + sizes.layers[hidden]);
  }
  for (std::size_t h = hidden; h-- > 0;) {
    const std::int64_t m = sizes.layers[h + 1];
    for (std::size_t i = 0; i < back.size(); ++i) {
      back[i] *= inputs[h + 1][i] > 0 ? std::sqrt(2 / static_cast<double>(m)) : 0;
    }
    std::vector<double> of_inputs;
    multiply(true, n, n, sizes.layers[h], inputs[h], inputs[h].data(), of_inputs);
    multiply(true, n, n, m, back, back.data(), products);
    for (std::size_t i = 0; i < kernel.size(); ++i) kernel[i] += of_inputs[i] * products[i];
    std::vector<double> below;
    multiply(false, n, sizes.layers[h], m, back, w[h], below);
    back = std::move(below);
  }
  return kernel;
}

/// A net at its start, and its kernel.
template <class T>
class TangentKernel {
 public:
  TangentKernel(Executor& executor, const KernelSizes& sizes, const std::string& precision)
      : TangentKernel(executor, sizes,
                      Experiment::parse(experiment_text(sizes, precision), "bench tangent-kernel",
                                        {}, experiment_spec())
                          .member(0)) {}

  /// At the weights: both passes and the products.
  void compute() {
    net_.forward(objective_.inputs(network::Set::train));
    grams_.evaluate(net_, objective_);
  }

  std::size_t planned_bytes() const { return planned_; }

  /// Throws DeviceError where the kernel is not that of plain products in double precision. In
  /// single precision a neuron near zero may come out on the other side of its kink: each such flip
  /// moves an entry's sum by a neuron, and n m H u of them are expected.
  void check(Executor& executor) {
    const AllThreads threads(executor);
    const std::vector<double> weights(start_.begin(), start_.end());
    std::vector<T> x(index(sizes_.examples * sizes_.layers.front()));
    executor.copy_out(x.data(), objective_.inputs(network::Set::train).data, x.size() * sizeof(T));
    const std::vector<double> expected =
        plain_kernel(sizes_, weights, std::vector<double>(x.begin(), x.end()));
    grams_.evaluate(net_, objective_);
    std::vector<double> found(expected.size());
    executor.copy_out(found.data(), grams_.sum().data, found.size() * sizeof(double));
    double largest = 0;
    for (const double one : expected) largest = std::max(largest, std::fabs(one));
    const auto width = static_cast<double>(sizes_.layers[1]);
    const auto depth = static_cast<double>(sizes_.layers.size() - 2);
    const double roundoff = static_cast<double>(std::numeric_limits<T>::epsilon()) / 2;
    const double flips = static_cast<double>(sizes_.examples) * width * depth * roundoff;
    const double tolerance =
        2 * depth * width * roundoff + (sizeof(T) == sizeof(float) ? (1 + flips) / width : 0);
    for (std::size_t i = 0; i < found.size(); ++i) {
      if (std::fabs(found[i] - expected[i]) <= tolerance * largest) continue;
      throw DeviceError(
          fmt::format("bench spectra tangent-kernel: entry {} is {:.17g}, expected {:.17g} within "
                      "{:.3g}",
                      i, found[i], expected[i], tolerance * largest));
    }
  }

 private:
  TangentKernel(Executor& executor, const KernelSizes& sizes, const Settings& member)
      : sizes_(sizes),
        description_(network::description_of(member)),
        rows_(network::Objective<T>::rows(member, description_)),
        before_(executor.allocated()),
        net_(executor, description_, 1, rows_, kernels::MathMode::full),
        objective_(executor, member, net_, 1, true),
        grams_(executor, description_,
               {.set = network::Set::train, .examples = sizes.examples, .single = true}, 1, rows_,
               true),
        planned_(executor.allocated() - before_) {
    const network::Start start = network::start(member, description_);
    start_.assign(start.parameters.begin(), start.parameters.end());
    net_.values().upload(start_);
    const std::vector<Settings> members{member};
    objective_.load(members);
    grams_.load(objective_);
  }

  KernelSizes sizes_;
  network::Description description_;
  std::int64_t rows_;
  std::size_t before_;
  network::Net<T> net_;
  network::Objective<T> objective_;
  network::Grams<T> grams_;
  std::size_t planned_;
  std::vector<T> start_;
};

/// Forward 2 n P, backward 2 n P without the first layer, and of each layer two symmetric products,
/// put together entry by entry.
double kernel_operations(const KernelSizes& sizes) {
  const auto n = static_cast<double>(sizes.examples);
  double parameters = 0;
  double behind_first = 0;
  double products = 0;
  const std::size_t layers = sizes.layers.size() - 1;
  for (std::size_t h = 0; h < layers; ++h) {
    const auto in = static_cast<double>(sizes.layers[h]);
    const auto out = static_cast<double>(sizes.layers[h + 1]);
    parameters += in * out;
    if (h > 0) behind_first += in * out;
    products += n * (n + 1) * (h + 1 < layers ? in + out : in);
  }
  return 2 * n * (parameters + behind_first) + products + 2 * static_cast<double>(layers) * n * n;
}

template <class T>
BenchRow measure_kernel(Executor& executor, const BenchFlags& flags, const KernelSizes& sizes,
                        const std::string& precision) {
  TangentKernel<T> kernel(executor, sizes, precision);
  kernel.check(executor);
  const double operations = kernel_operations(sizes);
  const PeakMemory memory;
  BenchRow row = measure_call(
      executor, flags,
      {.name = "tangent-kernel",
       .precision = precision,
       .unit = "kernels/s",
       .count = 1,
       .operations = operations,
       .formula = fmt::format("tangent-kernel: 2 n (P + P without the first layer) + n (n + 1) (in "
                              "+ out) of each layer + 2 n^2 a layer, n = {}, layers of {}: {:.4g}",
                              sizes.examples, fmt::join(sizes.layers, "-"), operations),
       .compute = [&] { kernel.compute(); }});
  row.planned_bytes = static_cast<double>(kernel.planned_bytes());
  if (executor.device().kind == "cpu") row.peak_rss_bytes = memory.bytes();
  return row;
}

}  // namespace

std::vector<BenchRow> tangent_kernel(Executor& executor, const BenchFlags& flags) {
  const KernelSizes sizes = flags.full ? KernelSizes{1000, {1000, 1024, 1024, 1024, 1024, 1}}
                                       : KernelSizes{100, {100, 128, 128, 128, 128, 1}};
  return {measure_kernel<double>(executor, flags, sizes, "f64"),
          measure_kernel<float>(executor, flags, sizes, "f32")};
}

}  // namespace manyfold::apps
