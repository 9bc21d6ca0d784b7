// From keys to an architecture of infinite width.
#include "models/network/limits.hpp"

#include <algorithm>
#include <mutex>
#include <span>
#include <string>
#include <thread>

#include <fmt/format.h>

#include "models/data/recent.hpp"
#include "models/network/problem.hpp"

namespace manyfold::network {
namespace {

const Layer* first_of(const Description& description, LayerKind kind) {
  for (const Layer& layer : description.layers) {
    if (layer.kind == kind) return &layer;
  }
  return nullptr;
}

bool starts_from_unit_gaussians(const Settings& settings) {
  if (settings.text("init.kind") != "gaussian") return false;
  if (settings.has("init.scaling") && settings.text("init.scaling") != "none") return false;
  for (const char* key : {"init.stddev", "init.variance"}) {
    if (!settings.has(key)) continue;
    const std::vector<double> values = settings.numbers(key);
    if (std::any_of(values.begin(), values.end(), [](double v) { return v != 1; })) return false;
  }
  return true;
}

gram::Architecture architecture_of(const Settings& settings, const Description& description) {
  gram::Architecture a;
  const std::string& kind = settings.text("model.kind");
  a.kind = kind == "fc"       ? gram::NetworkKind::fc
           : kind == "resnet" ? gram::NetworkKind::resnet
                              : gram::NetworkKind::conv_resnet;
  const Layer& activation = *first_of(description, LayerKind::activation);
  a.activation = activation.activation;
  a.slope = activation.slope;
  a.depth = static_cast<std::int64_t>(description.weights.size()) - 1;
  a.parametrization = settings.text("model.parametrization") == "thesis"
                          ? gram::Parametrization::thesis
                          : gram::Parametrization::ntk;
  if (a.kind != gram::NetworkKind::fc) {
    a.c_res = a.parametrization == gram::Parametrization::thesis
                  ? settings.number("model.c_res")
                  : settings.number("model.residual_scale");
  }
  if (const Layer* conv = first_of(description, LayerKind::conv)) {
    a.window = conv->window;
    a.window.channels = description.input.channels;
  }
  return a;
}

std::span<const double> first_inputs(const Data& data, Set set, std::int64_t examples) {
  const DataSet& from = set == Set::train ? data.train : data.test;
  return std::span(from.inputs).first(static_cast<std::size_t>(examples * from.size()));
}

}  // namespace

NoLimit why_no_limit(const Settings& settings, const Description& description) {
  const std::string& kind = settings.text("model.kind");
  const bool two_layer = kind == "two_layer_relu";
  if (!two_layer && kind != "fc" && kind != "resnet" && kind != "conv_resnet") {
    return {fmt::format("a \"{}\"", kind), "a two_layer_relu, fc, resnet or conv_resnet"};
  }
  if (!two_layer && settings.text("model.parametrization") == "standard") {
    return {"model.parametrization = \"standard\"", "\"thesis\" or \"ntk\", which have a limit"};
  }
  if (description.has_biases()) return {"biases", "a network without"};
  if (description.outputs != 1) {
    return {fmt::format("{} outputs", description.outputs), "one output"};
  }
  if (description.weights.size() < 2) return {"no hidden layer", "at least one"};
  if (!starts_from_unit_gaussians(settings)) {
    return {"weights of another start", "init.kind = \"gaussian\" with a deviation of 1"};
  }
  return {};
}

std::shared_ptr<const gram::InfiniteWidthKernels> limit_kernels(const Settings& settings,
                                                                const Description& description,
                                                                Set set, std::int64_t examples) {
  const bool two_layer = settings.text("model.kind") == "two_layer_relu";
  const gram::Architecture a =
      two_layer ? gram::Architecture{} : architecture_of(settings, description);
  const std::string key =
      fmt::format("{} {} {} {} {} {} {} {}x{} {} {} {}", data_key(settings), two_layer,
                  static_cast<int>(a.kind), static_cast<int>(a.activation), a.slope, a.depth,
                  a.c_res, a.window.kernel_height, a.window.kernel_width,
                  static_cast<int>(a.parametrization), static_cast<int>(set), examples);
  static std::mutex mutex;
  static Recent<gram::InfiniteWidthKernels, 4> kept;
  const std::lock_guard lock(mutex);
  return kept.get(key, [&] {
    const std::shared_ptr<const Data> data = data_of(settings);
    const std::span<const double> inputs = first_inputs(*data, set, examples);
    const int threads = static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
    auto kernels = std::make_shared<gram::InfiniteWidthKernels>();
    if (two_layer) {
      kernels->tangent = gram::two_layer_relu_kernel(inputs, examples, threads);
      kernels->last_layer = kernels->tangent;
    } else {
      *kernels = gram::infinite_width_kernels(a, inputs, examples, threads);
    }
    return kernels;
  });
}

std::vector<double> limit_layer_means(const Settings& settings, const Description& description,
                                      Set set, std::int64_t examples) {
  const std::shared_ptr<const Data> data = data_of(settings);
  return gram::layer_means(architecture_of(settings, description),
                           first_inputs(*data, set, examples), examples);
}

}  // namespace manyfold::network
