// Gram matrices of networks at finite width: against the explicit gradients of every example and
// output, for every layer and preset; eigenvalues, movement and limits against plain arithmetic.
#include "models/network/grams.hpp"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <lapacke.h>

#include "core/error.hpp"
#include "models/gram/infinite_width.hpp"
#include "models/network/probes.hpp"
#include "models/network/problem.hpp"
#include "models/network/start.hpp"
#include "tests/kernels/devices.hpp"
#include "tests/models/bench.hpp"
#include "tests/models/network_cases.hpp"

namespace manyfold::testing {
namespace {

using network::Description;
using network::GramRequest;
using network::Grams;
using network::Net;
using network::Objective;
using network::Set;

/// A member's network and data, and the Gram matrices asked for.
template <class T>
class GramBench {
 public:
  GramBench(Executor& executor, const std::string& toml, const GramRequest& request,
            std::int64_t slots = 1)
      : executor_(executor),
        experiment_(Experiment::parse(toml, "test.toml", {}, experiment_spec())),
        settings_(experiment_.member(0)),
        description_(network::description_of(settings_)),
        rows_(Objective<T>::rows(settings_, description_)),
        net_(executor, description_, slots, rows_, kernels::MathMode::full),
        objective_(executor, settings_, net_, slots, true) {
    const network::Start start = network::start(settings_, description_);
    for (std::int64_t slot = 0; slot < slots; ++slot) {
      net_.values().upload(narrow(start.parameters), slot * net_.stride());
      if (!start.frozen.empty()) {
        net_.frozen().upload(narrow(start.frozen), slot * net_.frozen_stride());
      }
    }
    objective_.load(std::vector<Settings>(static_cast<std::size_t>(slots), settings_));
    const std::size_t before = executor.allocated();
    grams_.emplace_back(executor, description_, request, slots, rows_, true);
    const std::size_t allocated = executor.allocated() - before;
    EXPECT_EQ(allocated, static_cast<std::size_t>(slots) *
                                 Grams<T>::bytes_per_slot(description_, request, rows_, true) +
                             Grams<T>::shared_bytes(description_, request, rows_, true));
    grams_.front().load(objective_);
    grams_.front().evaluate(net_, objective_);
  }

  const Description& description() const { return description_; }
  std::vector<double> sum(std::int64_t slot = 0) const { return read(grams_.front().sum(), slot); }
  std::vector<double> layer(std::size_t i) const { return read(grams_.front().layer(i), 0); }

  /// The gradient of every example and output, (output, example, parameter), one at a time.
  std::vector<std::vector<double>> gradients(const GramRequest& request) {
    std::vector<std::vector<double>> all;
    const std::int64_t outputs = description_.outputs;
    for (std::int64_t k = 0; k < outputs; ++k) {
      for (std::int64_t i = 0; i < request.examples; ++i) {
        net_.forward(one_row(objective_.inputs(request.set), i));
        std::vector<T> slope(static_cast<std::size_t>(outputs), T(0));
        slope[static_cast<std::size_t>(k)] = static_cast<T>(net_.output_scale());
        executor_.copy_in(net_.output_slope().data, slope.data(), slope.size() * sizeof(T));
        net_.backward(false);
        std::vector<T> gradient(static_cast<std::size_t>(description_.parameters));
        executor_.copy_out(gradient.data(), net_.parameters().gradient.data,
                           gradient.size() * sizeof(T));
        all.emplace_back(gradient.begin(), gradient.end());
      }
    }
    return all;
  }

 private:
  static MatrixBatch<const T> one_row(MatrixBatch<const T> x, std::int64_t i) {
    x.data += i * x.row_stride;
    x.rows = 1;
    return x;
  }
  static std::vector<T> narrow(const std::vector<double>& from) {
    return std::vector<T>(from.begin(), from.end());
  }
  std::vector<double> read(const MatrixBatch<const double>& m, std::int64_t slot) const {
    std::vector<double> host(static_cast<std::size_t>(m.size()));
    executor_.copy_out(host.data(), m.slot(slot), host.size() * sizeof(double));
    return host;
  }

  Executor& executor_;
  Experiment experiment_;
  Settings settings_;
  Description description_;
  std::int64_t rows_;
  Net<T> net_;
  Objective<T> objective_;
  std::vector<Grams<T>> grams_;
};

/// Gram matrix of the entries [first, first + count) of each gradient.
std::vector<double> gram_of(const std::vector<std::vector<double>>& gradients, std::size_t first,
                            std::size_t count) {
  std::vector<double> gram;
  for (const auto& a : gradients) {
    for (const auto& b : gradients) {
      long double sum = 0;
      for (std::size_t p = first; p < first + count; ++p) {
        sum += static_cast<long double>(a[p]) * b[p];
      }
      gram.push_back(static_cast<double>(sum));
    }
  }
  return gram;
}

double largest(const std::vector<double>& x) {
  double most = 0;
  for (const double one : x) most = std::max(most, std::fabs(one));
  return most;
}

template <class T>
void expect_explicit_gram(Executor& executor, const std::string& toml, bool layers,
                          double tolerance) {
  const GramRequest request{Set::train, 5, layers};
  GramBench<T> bench(executor, toml, request);
  const auto gradients = bench.gradients(request);
  const auto close = [&](const std::vector<double>& found, const std::vector<double>& expected) {
    ASSERT_EQ(found.size(), expected.size());
    double apart = 0;
    for (std::size_t i = 0; i < found.size(); ++i) {
      apart = std::max(apart, std::fabs(found[i] - expected[i]));
    }
    EXPECT_LE(apart, tolerance * largest(expected));
    const auto n = static_cast<std::size_t>(std::lround(std::sqrt(found.size())));
    for (std::size_t i = 0; i < n; ++i) {
      for (std::size_t j = 0; j < i; ++j) {
        EXPECT_NEAR(found[i * n + j], found[j * n + i], 1e-14 * largest(expected));
      }
    }
  };
  const std::vector<double> whole = gram_of(gradients, 0, gradients.front().size());
  ASSERT_GT(largest(whole), 0);
  close(bench.sum(), whole);
  if (!layers) return;
  std::size_t i = 0;
  for (const network::Weight& w : bench.description().weights) {
    if (w.frozen) continue;
    const std::int64_t count = w.size() + (w.bias ? w.rows : 0);
    close(bench.layer(i++),
          gram_of(gradients, static_cast<std::size_t>(w.offset), static_cast<std::size_t>(count)));
  }
}

bool layers_make_sense(const std::string& name) { return name != "frozen first with a bias"; }

using GramsOnDevice = OnDevice;

TEST_P(GramsOnDevice, EqualExplicitGradientsOfEveryLayer) {
  const auto device = executor();
  for (const NetworkCase& one : layer_cases()) {
    SCOPED_TRACE(one.name);
    expect_explicit_gram<double>(*device, one.toml, layers_make_sense(one.name), 1e-13);
    // Tiles of 2, 2 and 1 examples.
    expect_explicit_gram<double>(*device, one.toml + "[objective]\nrows = 2\n", false, 1e-13);
  }
}

TEST_P(GramsOnDevice, EqualExplicitGradientsOfEveryPreset) {
  const auto device = executor();
  for (const NetworkCase& one : preset_cases()) {
    SCOPED_TRACE(one.name);
    expect_explicit_gram<double>(*device, one.toml, true, 1e-13);
    expect_explicit_gram<double>(*device, one.toml + "[objective]\nrows = 3\n", true, 1e-13);
    expect_explicit_gram<float>(*device, one.toml, true, 2e-6);
  }
}

/// Every probe of Gram matrices at the start and after some steps.
std::string with_probes(const std::string& model, const std::string& more = "") {
  std::string text =
      "problem.seed = 3\nseed = 5\n[model]\n" + model +
      "\n[data]\nsource = \"sphere\"\nshape = 4\ncount = 6\ntest_count = 3\ntargets = "
      "\"random_normal\"\n[init]\nkind = \"gaussian\"\n[optimizer]\nkind = \"gd\"\n"
      "learning_rate = 0.3\n[stop]\nsteps = 8\n" +
      more + "[cadences]\nends = { every = 8 }\n[probes]\n";
  for (const char* probe : {"tangent_kernel", "tangent_kernel_bound", "tangent_kernel_movement",
                            "tangent_kernel_limit_distance", "gram", "gram_bound", "gram_movement",
                            "last_gram_limit_distance"}) {
    text += std::string(probe) + " = { every = \"ends\" }\n";
  }
  for (const char* probe : {"tangent_kernel_eigenvalues", "gram_eigenvalues",
                            "tangent_kernel_limit_eigenvalues", "last_gram_limit_eigenvalues"}) {
    text += std::string(probe) + " = { every = \"ends\", which = \"all\" }\n";
  }
  // At another cadence: a program of its own.
  text += "often = { kind = \"tangent_kernel_eigenvalues\", every = 4, which = \"all\" }\n";
  return text + "ends = { kind = \"tangent_kernel_eigenvalues\", every = \"ends\" }\n" +
         "least = { kind = \"gram_eigenvalues\", every = \"ends\", which = \"least\", "
         "running = \"min\", examples = 4 }\n"
         "test = { kind = \"tangent_kernel\", every = \"ends\", set = \"test\" }\n";
}

std::vector<double> eigenvalues(std::vector<double> symmetric) {
  const auto n = static_cast<lapack_int>(std::lround(std::sqrt(symmetric.size())));
  std::vector<double> values(static_cast<std::size_t>(n));
  LAPACKE_dsyev(LAPACK_ROW_MAJOR, 'N', 'L', n, symmetric.data(), n, values.data());
  return values;
}
double spectral_distance(std::vector<double> a, const std::vector<double>& b) {
  for (std::size_t i = 0; i < a.size(); ++i) a[i] -= b[i];
  return largest(eigenvalues(a));
}
void expect_close(const std::vector<double>& found, const std::vector<double>& expected,
                  double tolerance) {
  ASSERT_EQ(found.size(), expected.size());
  for (std::size_t i = 0; i < found.size(); ++i) EXPECT_NEAR(found[i], expected[i], tolerance);
}

void expect_consistent_probes(const Results& results, std::int64_t sample, std::size_t layers,
                              const gram::InfiniteWidthKernels& limit) {
  const auto at = [&](const char* name, std::int64_t when) { return results.at(name, 0, when); };
  const std::vector<double> sum = at("tangent_kernel", sample);
  ASSERT_EQ(sum.size(), 36);
  const double close = 1e-13 * largest(sum);
  const std::vector<double> values = eigenvalues(sum);
  expect_close(at("tangent_kernel_eigenvalues", sample), values, close);
  expect_close(at("often", 2 * sample), values, close);
  // When nothing else is due, too, it is made anew.
  EXPECT_NE(at("often", 1), at("often", 0));
  expect_close(at("ends", sample), {values.front(), values.back()}, close);
  EXPECT_GT(at("tangent_kernel_bound", sample).front(), 0);
  EXPECT_LT(at("tangent_kernel_bound", sample).front(), 1e-13 * largest(sum) * 6);
  EXPECT_NEAR(at("tangent_kernel_movement", sample).front(),
              spectral_distance(sum, at("tangent_kernel", 0)), close);
  EXPECT_NEAR(at("tangent_kernel_limit_distance", sample).front(),
              spectral_distance(sum, limit.tangent), close);
  expect_close(at("tangent_kernel_limit_eigenvalues", sample), eigenvalues(limit.tangent), close);
  expect_close(at("last_gram_limit_eigenvalues", sample), eigenvalues(limit.last_layer), close);
  const std::vector<double> all = at("gram", sample);
  ASSERT_EQ(all.size(), 36 * layers);
  std::vector<double> added(36, 0.0);
  std::vector<double> last;
  for (std::size_t h = 0; h < layers; ++h) {
    const std::vector<double> one(all.begin() + 36 * static_cast<std::ptrdiff_t>(h),
                                  all.begin() + 36 * static_cast<std::ptrdiff_t>(h + 1));
    for (std::size_t i = 0; i < 36; ++i) added[i] += one[i];
    const std::vector<double> found = at("gram_eigenvalues", sample);
    const auto begin = found.begin() + 6 * static_cast<std::ptrdiff_t>(h);
    expect_close({begin, begin + 6}, eigenvalues(one), close);
    EXPECT_GT(at("gram_bound", sample)[h], 0);
    const std::vector<double> start = at("gram", 0);
    const auto from = start.begin() + 36 * static_cast<std::ptrdiff_t>(h);
    EXPECT_NEAR(at("gram_movement", sample)[h], spectral_distance(one, {from, from + 36}), close);
    std::vector<double> corner;
    for (std::size_t i = 0; i < 16; ++i) corner.push_back(one[i / 4 * 6 + i % 4]);
    EXPECT_NEAR(at("least", sample)[h], eigenvalues(corner).front(), close);
    if (h + 2 == layers || layers == 1) last = one;
  }
  expect_close(added, sum, close);
  EXPECT_NEAR(at("last_gram_limit_distance", sample).front(),
              spectral_distance(last, limit.last_layer), close);
}

std::vector<double> inputs_of(const std::string& toml) {
  const Experiment experiment = Experiment::parse(toml, "test.toml", {}, experiment_spec());
  return network::data_of(experiment.member(0))->train.inputs;
}

TEST_P(GramsOnDevice, ProbesAgreeWithEachOtherAndWithTheLimit) {
  const auto device = executor();
  const std::string wide = with_probes("kind = \"two_layer_relu\"\nhidden = 70");
  const Results two_layer = run(wide, *device);
  gram::InfiniteWidthKernels limit;
  limit.tangent = limit.last_layer = gram::two_layer_relu_kernel(inputs_of(wide), 6, 1);
  for (const std::int64_t sample : {0, 1}) expect_consistent_probes(two_layer, sample, 1, limit);

  const std::string deep = with_probes(
      "kind = \"resnet\"\nhidden = 20\ndepth = 4\nparametrization = \"thesis\"\nc_res = "
      "0.6\nactivation = \"softplus\"",
      "[objective]\nrows = 4\n");
  const Results resnet = run(deep, *device);
  limit = gram::infinite_width_kernels({.kind = gram::NetworkKind::resnet,
                                        .activation = kernels::Activation::softplus,
                                        .depth = 3,
                                        .c_res = 0.6},
                                       inputs_of(deep), 6, 1);
  for (const std::int64_t sample : {0, 1}) expect_consistent_probes(resnet, sample, 4, limit);
  EXPECT_GT(resnet.scalar("tangent_kernel_movement", 0, 1), 0);
  EXPECT_EQ(resnet.scalar("tangent_kernel_movement", 0, 0), 0);
}

/// Of wide networks, for which the limit is near, and shrinks with the width.
TEST_P(GramsOnDevice, MeansOfLayersAreNearTheirLimits) {
  const auto device = executor();
  const auto errors = [&](const std::string& model, const std::string& shape, int width) {
    const Results results = run(
        "problem.seed = 3\nseed = 5\n[model]\n" + model + std::to_string(width) +
            "\nparametrization = \"thesis\"\nactivation = \"softplus\"\n[data]\nsource = "
            "\"sphere\"\nshape = " +
            shape +
            "\ncount = 5\ntargets = \"random_normal\"\n"
            "[objective]\nrows = 2\n[init]\nkind = \"gaussian\"\n[optimizer]\nkind = \"gd\"\n"
            "learning_rate = 0.1\n[stop]\nsteps = 0\n[probes]\nlayer_mean_error = { every = 1 }\n",
        *device);
    EXPECT_EQ(results.ends.at(0).status, MemberStatus::finished);
    return results.at("layer_mean_error", 0, 0);
  };
  for (const auto& [model, shape] :
       {std::pair{"kind = \"fc\"\ndepth = 4\nhidden = ", "4"},
        std::pair{"kind = \"resnet\"\nc_res = 0.5\ndepth = 4\nhidden = ", "4"},
        std::pair{"kind = \"conv_resnet\"\nc_res = 0.5\ndepth = 4\nchannels = ", "[2, 3]"}}) {
    SCOPED_TRACE(model);
    const std::vector<double> narrow = errors(model, shape, 40);
    const std::vector<double> wide = errors(model, shape, 640);
    ASSERT_EQ(wide.size(), 3);
    for (std::size_t h = 0; h < wide.size(); ++h) {
      EXPECT_GT(narrow[h], 0);
      EXPECT_LT(wide[h], 0.15);  // means of 640 numbers of deviation about 0.6
    }
    EXPECT_LT(wide[0] + wide[1] + wide[2], narrow[0] + narrow[1] + narrow[2]);
  }
}

/// A member whose weights are not finite, and its neighbour.
TEST_P(GramsOnDevice, AMemberThatIsNotFiniteIsAlone) {
  const std::string text =
      "problem.seed = 3\n[model]\nkind = \"fc\"\nhidden = [7]\n[data]\nsource = \"sphere\"\n"
      "shape = 3\ncount = 40\ntargets = \"random_normal\"\n[init]\nkind = \"gaussian\"\n"
      "stddev = 1.0\n[optimizer]\nkind = \"gd\"\nlearning_rate = 0.01\n[stop]\nsteps = 30\n"
      "check_every = 1\n[probes]\ntangent_kernel_eigenvalues = { every = 10, running = \"min\" }\n"
      "gram_movement = { every = 10 }\n";
  const auto device = executor();
  const Results both =
      run(text + "[sweep]\n\"optimizer.learning_rate\" = [1e150, 0.001]\n", *device);
  const Results alone = run(text + "[sweep]\n\"optimizer.learning_rate\" = [0.001]\n", *device);
  EXPECT_EQ(both.ends.at(0).status, MemberStatus::diverged);
  for (const std::int64_t sample : {0, 1, 2, 3}) {
    for (const char* name : {"tangent_kernel_eigenvalues", "gram_movement"}) {
      expect_close(both.at(name, 1, sample), alone.at(name, 0, sample), 1e-9);
    }
  }
}

TEST(GramProbes, WhatCannotBeIsRejected) {
  const auto rejection = [](const std::string& toml) -> std::string {
    try {
      const Experiment experiment = Experiment::parse(toml, "test.toml", {}, experiment_spec());
      const Settings member = experiment.member(0);
      model_kind(member).validate(member);
    } catch (const InputError& error) {
      return error.what();
    }
    return "";
  };
  const auto text = [](const std::string& model, const std::string& probe) {
    return "[model]\n" + model +
           "\n[data]\nsource = \"sphere\"\nshape = 4\ncount = 6\ntargets = \"random_normal\"\n"
           "[init]\nkind = \"gaussian\"\nstddev = 1.0\n[optimizer]\nkind = \"gd\"\n"
           "learning_rate = 0.3\n[stop]\nsteps = 8\n[probes]\n" +
           probe + "\n";
  };
  const std::string wide = "kind = \"two_layer_relu\"\nhidden = 4";
  EXPECT_THAT(rejection(text(wide, "tangent_kernel = { every = 1, examples = 7 }")),
              ::testing::HasSubstr("found 7, expected at most 6, which the data have"));
  EXPECT_THAT(rejection(text(wide, "tangent_kernel = { every = 1, set = \"test\" }")),
              ::testing::HasSubstr("data that have some"));
  EXPECT_THAT(rejection(text("kind = \"fc\"\nhidden = [4]\nparametrization = \"ntk\"\nbias = true",
                             "tangent_kernel_limit_distance = { every = 1 }")),
              ::testing::HasSubstr("found biases, expected a network without"));
  EXPECT_THAT(
      rejection(text("kind = \"fc\"\nhidden = [4]", "last_gram_limit_eigenvalues = { every = 1 }")),
      ::testing::HasSubstr("\"thesis\" or \"ntk\""));
  EXPECT_THAT(rejection(text("kind = \"network\"\nlayers = [\"dense 3 frozen bias\", \"tanh\", "
                             "\"output\"]",
                             "gram = { every = 1 }")),
              ::testing::HasSubstr("layers whose weights are trained"));
}

INSTANTIATE_TEST_SUITE_P(Devices, GramsOnDevice, ::testing::ValuesIn(test_devices()),
                         [](const auto& one) { return one.param.name; });

}  // namespace
}  // namespace manyfold::testing
