// Dense layers with an explicit pattern W[i,j] = v[g(i,j)] or 0: beside convolutions, circular
// ones, plain dense layers and plain loops; what gradient flow conserves of them (Du, Hu, Lee 2018,
// section 2.2); files that are no patterns.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "core/data/array_file.hpp"
#include "core/error.hpp"
#include "models/network/problem.hpp"
#include "models/network/start.hpp"
#include "tests/models/bench.hpp"
#include "tests/models/curvature.hpp"

namespace manyfold::testing {
namespace {

using Numbers = std::vector<double>;

/// g, as a file has it.
struct Grid {
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  Numbers numbers;

  Grid(std::int64_t rows_in, std::int64_t cols_in)
      : rows(rows_in), cols(cols_in), numbers(static_cast<std::size_t>(rows_in * cols_in), 0.0) {}
  double& at(std::int64_t i, std::int64_t j) {
    return numbers[static_cast<std::size_t>(i * cols + j)];
  }
  std::int64_t parameters() const {
    return static_cast<std::int64_t>(*std::max_element(numbers.begin(), numbers.end()));
  }
  /// W of v.
  Numbers matrix(const Numbers& v) const {
    Numbers w;
    for (const double k : numbers) w.push_back(k > 0 ? v[static_cast<std::size_t>(k - 1)] : 0.0);
    return w;
  }
};

/// Some entries 0, `count` parameters, which are shared where there are fewer than other entries.
Grid some_pattern(std::int64_t rows, std::int64_t cols, std::int64_t count) {
  Grid grid(rows, cols);
  std::int64_t number = 0;
  for (std::int64_t i = 0; i < rows; ++i) {
    for (std::int64_t j = 0; j < cols; ++j) {
      if ((i + 2 * j) % 3 == 1 && number >= count) continue;
      grid.at(i, j) = static_cast<double>(number++ * 7 % count + 1);
    }
  }
  return grid;
}

/// Each entry its own parameter, but for those with (i + j) % 3 == 2, which are 0.
Grid sparse_pattern(std::int64_t rows, std::int64_t cols) {
  Grid grid(rows, cols);
  double number = 0;
  for (std::int64_t i = 0; i < rows; ++i) {
    for (std::int64_t j = 0; j < cols; ++j) {
      if ((i + j) % 3 != 2) grid.at(i, j) = ++number;
    }
  }
  return grid;
}

/// A convolution of images of height x width: rows (place, channel out), parameters as its filter
/// has them. Columns: (channel, y, x) as data stand in files, or (y, x, channel) as layers leave
/// them.
Grid convolution(const kernels::Window& w, std::int64_t channels_out, bool channel_last) {
  Grid grid(w.places() * channels_out, w.image_size());
  for (std::int64_t place = 0; place < w.places(); ++place) {
    for (std::int64_t tap = 0; tap < w.taps(); ++tap) {
      const std::int64_t y =
          place / w.out_width() * w.stride_y - w.padding_y + tap / w.kernel_width;
      const std::int64_t x =
          place % w.out_width() * w.stride_x - w.padding_x + tap % w.kernel_width;
      if (y < 0 || y >= w.height || x < 0 || x >= w.width) continue;
      for (std::int64_t out = 0; out < channels_out; ++out) {
        for (std::int64_t in = 0; in < w.channels; ++in) {
          const std::int64_t col = channel_last ? (y * w.width + x) * w.channels + in
                                                : (in * w.height + y) * w.width + x;
          grid.at(place * channels_out + out, col) =
              static_cast<double>(out * w.patch_size() + tap * w.channels + in + 1);
        }
      }
    }
  }
  return grid;
}

/// Files of patterns, and the [model] that has them.
class Files {
 public:
  std::string add(const Grid& grid) {
    const auto file = folder_ / ("pattern_" + std::to_string(count_++) + ".npy");
    write_array(file, {.shape = {grid.rows, grid.cols}, .values = grid.numbers, .type = "i8"});
    return file.string();
  }
  std::string write(const std::string& name, const std::string& text) {
    return folder_.write(name, text).string();
  }
  const test::ScratchFolder& folder() const { return folder_; }

 private:
  test::ScratchFolder folder_;
  int count_ = 0;
};

std::string list(const std::vector<std::string>& texts) {
  std::string all;
  for (const std::string& text : texts) all += (all.empty() ? "\"" : ", \"") + text + "\"";
  return "[" + all + "]";
}

std::string model(const std::vector<std::string>& layers, const std::vector<std::string>& files) {
  return "kind = \"network\"\nlayers = " + list(layers) +
         (files.empty() ? "" : "\npatterns = " + list(files)) + "\n";
}

std::string data(const std::string& shape, int outputs) {
  return "[data]\nsource = \"gaussian\"\nshape = " + shape +
         "\noutputs = " + std::to_string(outputs) +
         "\ncount = 6\ntest_count = 3\ntargets = \"random_normal\"\n";
}

const std::string every_probe =
    "parameters = { every = 10 }\noutputs = { every = 10 }\ntest_loss = { every = 10 }\n"
    "layer_norm2 = { every = 10 }\nlayer_norm2_difference = { every = 10 }\n"
    "layer_norm2_ratio = { every = 10 }\nweight_distance = { every = 10 }\n"
    "weight_movement = { every = 10 }\ngrad_norm = { every = 10 }\n";

std::string experiment(const std::string& of_model, const std::string& more,
                       const std::string& init = "stddev = 0.5",
                       const std::string& probes = every_probe,
                       const std::string& optimizer = "kind = \"gd\"\nlearning_rate = 0.01") {
  return "problem.seed = 3\nseed = 5\n[model]\n" + of_model + more +
         "[init]\nkind = \"gaussian\"\n" + init + "\n[optimizer]\n" + optimizer +
         "\n[stop]\nsteps = 40\n[probes]\ntrain_loss = { every = 10 }\n" + probes;
}

using PatternOnDevice = OnDevice;

std::vector<std::pair<std::string, std::string>> gradient_cases(Files& files) {
  const std::string shared = files.add(some_pattern(5, 4, 6));
  const std::string square = files.add(some_pattern(5, 5, 4));
  const std::string last = files.add(some_pattern(2, 5, 3));
  const std::string sparse = files.add(sparse_pattern(5, 4));
  const std::string after = files.add(some_pattern(5, 10, 8));
  const std::string four = data("[4]", 2);
  const auto of = [](const std::string& of_model, const std::string& more) {
    return experiment(of_model, more, "stddev = 0.5", "");
  };
  return {
      {"shared", of(model({"dense 5 pattern", "tanh", "output pattern"}, {shared, last}), four)},
      {"biases and scales", of(model({"dense 5 pattern bias scale 0.5", "tanh",
                                      "dense 5 bias pattern", "relu", "output scale 2"},
                                     {shared, square}),
                               four)},
      {"ntk", of(model({"dense 5 pattern", "tanh", "output pattern"}, {shared, last}) +
                     "parametrization = \"ntk\"\n",
                 four)},
      {"frozen", of(model({"dense 5 pattern", "tanh", "dense 5 pattern frozen", "tanh",
                           "output frozen pattern signs"},
                          {sparse, square, last}),
                    four)},
      {"in a block", of(model({"dense 5 pattern", "residual", "dense 5 pattern", "tanh",
                               "end scale 0.3", "output"},
                              {sparse, square}),
                        four)},
      {"after a convolution",
       of(model({"conv 2 3 padding 1", "tanh", "flatten", "dense 5 pattern", "relu", "output"},
                {after}),
          data("[5]", 2))},
      {"in passes of four rows",
       of(model({"dense 5 pattern", "tanh", "output pattern"}, {shared, last}),
          four + "[objective]\nrows = 4\nl2 = 0.2\n")},
  };
}

TEST_P(PatternOnDevice, GradientsEqualCentralDifferences) {
  const auto device = executor();
  Files files;
  for (const auto& [name, toml] : gradient_cases(files)) {
    SCOPED_TRACE(name);
    const CentralDifferences found = central_differences(*device, toml);
    ASSERT_GT(found.norm2, 0);
    EXPECT_LT(found.distance, 1e-7);
  }
}

TEST_P(PatternOnDevice, CurvatureEqualsDenseHessians) {
  const auto device = executor();
  Files files;
  for (const auto& [name, toml] : gradient_cases(files)) {
    SCOPED_TRACE(name);
    expect_exact_curvature(*device, toml);
  }
}

TEST_P(PatternOnDevice, MemoryIsWhatTheFootprintSays) {
  const auto device = executor();
  Files files;
  for (auto& [name, toml] : gradient_cases(files)) {
    SCOPED_TRACE(name);
    const Experiment parsed =
        Experiment::parse(toml + "neuron_distance = { every = 20 }\nsharpness = { every = 20 }\n",
                          "test.toml", {}, experiment_spec());
    for (const bool shared : {true, false}) {
      Bench bench(*device, parsed, 3, shared);
      EXPECT_EQ(bench.allocated(),
                bench.footprint().shared_bytes + 3 * bench.footprint().bytes_per_slot);
    }
  }
}

/// Every value of every variable of both, up to what rounding does to them.
void expect_close(const Results& a, const Results& b, double tolerance) {
  ASSERT_EQ(a.values.size(), b.values.size());
  for (const auto& [key, values] : a.values) {
    const auto found = b.values.find(key);
    ASSERT_NE(found, b.values.end()) << std::get<0>(key);
    if (std::get<0>(key) == "time") continue;
    EXPECT_LE(distance(values, found->second), tolerance * (1 + norm_of(values)))
        << std::get<0>(key) << " at sample " << std::get<2>(key);
  }
}

TEST_P(PatternOnDevice, AConvolutionsPatternTrainsAsTheConvolution) {
  const auto device = executor();
  Files files;
  // 2x4x4, then 3x4x4, then 2x2x2.
  const kernels::Window first{2, 4, 4, 3, 3, 1, 1, 1, 1};
  const kernels::Window second{3, 4, 4, 2, 2, 2, 2, 0, 0};
  const std::string conv = model(
      {"conv 3 3 padding 1", "relu", "conv 2 2 stride 2", "leaky_relu 0.3", "flatten", "output"},
      {});
  const std::string dense =
      model({"flatten", "dense 48 pattern", "relu", "dense 8 pattern", "leaky_relu 0.3", "output"},
            {files.add(convolution(first, 3, false)), files.add(convolution(second, 2, true))});
  const std::string minibatches = "kind = \"sgd_entries\"\nlearning_rate = 0.005\nbatch = 2";
  const std::string gd = "kind = \"gd\"\nlearning_rate = 0.005";
  for (const auto& [more, init, optimizer] :
       {std::tuple{std::string(), "stddev = [0.3, 0.4, 0.5]", gd},
        {std::string("parametrization = \"ntk\"\n"), "stddev = 1", gd},
        {std::string(), "scaling = \"he\"", minibatches}}) {
    SCOPED_TRACE(more + init + optimizer);
    const std::string examples = data("[2, 4, 4]", 2);
    const Results a = run(experiment(conv + more, examples, init, every_probe, optimizer), *device);
    const Results b =
        run(experiment(dense + more, examples, init, every_probe, optimizer), *device);
    ASSERT_EQ(b.at("W_1", 0, 0).size(), 54U);
    EXPECT_EQ(a.at("W_1", 0, 0), b.at("W_1", 0, 0)) << "the same start";
    EXPECT_GT(distance(a.at("W_1", 0, 0), a.at("W_1", 0, 4)), 1e-2) << "something was trained";
    // Forty contracting steps, each of which rounds sums of some hundred terms.
    expect_close(a, b, 1e-12);
  }
}

TEST_P(PatternOnDevice, ACirculantPatternIsACircularConvolution) {
  const auto device = executor();
  Files files;
  Grid circulant(6, 6);
  for (std::int64_t i = 0; i < 6; ++i) {
    for (std::int64_t t = 0; t < 3; ++t) circulant.at(i, (i + t) % 6) = static_cast<double>(t + 1);
  }
  const std::string toml =
      experiment(model({"output pattern"}, {files.add(circulant)}), data("[6]", 6), "stddev = 1",
                 "parameters = { every = 10 }\noutputs = { every = 10 }\n");
  const Results results = run(toml, *device);
  const Data examples =
      make_data(Experiment::parse(toml, "test.toml", {}, experiment_spec()).member(0));
  for (const std::int64_t sample : {0, 4}) {
    const Numbers v = results.at("W_1", 0, sample);
    const Numbers f = results.at("outputs", 0, sample);
    ASSERT_EQ(v.size(), 3U);
    ASSERT_EQ(f.size(), 36U);
    for (std::size_t e = 0; e < 6; ++e) {
      for (std::size_t i = 0; i < 6; ++i) {
        double y = 0;
        for (std::size_t t = 0; t < 3; ++t) {
          y += v[t] * examples.train.inputs[6 * e + (i + t) % 6];
        }
        EXPECT_NEAR(f[6 * e + i], y, 1e-14 * 30);
      }
    }
  }
}

TEST_P(PatternOnDevice, APatternOfEveryEntryIsThePlainLayerBitForBit) {
  const auto device = executor();
  Files files;
  Grid full(5, 4);
  for (std::size_t i = 0; i < full.numbers.size(); ++i) {
    full.numbers[i] = static_cast<double>(i + 1);
  }
  for (const std::string precision : {"f64", "f32"}) {
    SCOPED_TRACE(precision);
    const auto trained = [&](const std::string& of_model) {
      return run("precision = \"" + precision + "\"\n" +
                     experiment(of_model, data("[4]", 2), "scaling = \"fan_in\""),
                 *device, {}, false, "batched");
    };
    const Results plain = trained(model({"dense 5 bias", "relu", "output"}, {}));
    const Results pattern =
        trained(model({"dense 5 pattern bias", "relu", "output"}, {files.add(full)}));
    EXPECT_TRUE(same_bits(plain.everything(0), pattern.everything(0)));
  }
}

/// f of one example: two layers with a ReLU between.
Numbers outputs_of(const Numbers& w1, const Numbers& w2, const double* x, std::size_t in) {
  const std::size_t hidden = w1.size() / in;
  Numbers f(w2.size() / hidden, 0.0);
  for (std::size_t i = 0; i < hidden; ++i) {
    double z = 0;
    for (std::size_t j = 0; j < in; ++j) z += w1[i * in + j] * x[j];
    for (std::size_t k = 0; k < f.size(); ++k) f[k] += w2[k * hidden + i] * std::max(z, 0.0);
  }
  return f;
}

TEST_P(PatternOnDevice, ProbesAndOutputsAreWhatPlainLoopsGive) {
  const auto device = executor();
  Files files;
  const Grid first = some_pattern(5, 4, 6);
  const Grid second = some_pattern(2, 5, 3);
  ASSERT_EQ(first.parameters(), 6);
  ASSERT_GT(std::count(first.numbers.begin(), first.numbers.end(), 0.0), 2);
  const std::string toml = experiment(
      model({"dense 5 pattern", "relu", "output pattern"}, {files.add(first), files.add(second)}),
      data("[4]", 2), "stddev = 0.7", every_probe + "neuron_distance = { every = 10 }\n");
  const Results results = run(toml, *device);
  const Data examples =
      make_data(Experiment::parse(toml, "test.toml", {}, experiment_spec()).member(0));
  for (const std::int64_t sample : {0, 1, 4}) {
    for (const auto& [h, grid] : {std::pair{std::size_t{0}, first}, {std::size_t{1}, second}}) {
      const std::string name = "W_" + std::to_string(h + 1);
      const Numbers v = results.at(name, 0, sample);
      const Numbers start = results.at(name, 0, 0);
      ASSERT_EQ(v.size(), static_cast<std::size_t>(grid.parameters()));
      EXPECT_NEAR(results.at("layer_norm2", 0, sample)[h], norm_of(v) * norm_of(v), 1e-13);
      EXPECT_NEAR(results.at("weight_distance", 0, sample)[h], distance(v, start), 1e-13);
      EXPECT_NEAR(results.at("weight_movement", 0, sample)[h], distance(v, start) / norm_of(start),
                  1e-13);
      const Numbers w = grid.matrix(v);
      const Numbers w0 = grid.matrix(start);
      double farthest = 0;
      for (std::int64_t i = 0; i < grid.rows; ++i) {
        const auto row = [&](const Numbers& m) {
          return Numbers(m.begin() + i * grid.cols, m.begin() + (i + 1) * grid.cols);
        };
        farthest = std::max(farthest, distance(row(w), row(w0)));
      }
      EXPECT_NEAR(results.at("neuron_distance", 0, sample)[h], farthest, 1e-13);
    }
    const Numbers f = results.at("outputs", 0, sample);
    for (std::size_t e = 0; e < 6; ++e) {
      const Numbers expected = outputs_of(first.matrix(results.at("W_1", 0, sample)),
                                          second.matrix(results.at("W_2", 0, sample)),
                                          examples.train.inputs.data() + 4 * e, 4);
      for (std::size_t k = 0; k < 2; ++k) EXPECT_NEAR(f[2 * e + k], expected[k], 1e-13);
    }
  }
}

TEST_P(PatternOnDevice, StartsComeFromFilesOfParameters) {
  const auto device = executor();
  Files files;
  const std::string pattern = files.add(some_pattern(5, 4, 6));
  const Numbers v{1, -2, 3, -4, 5, -6};
  const Numbers w{0.5, 1, 1.5, 2, 2.5, 3, 3.5, 4, 4.5, 5};
  const std::string row = (files.folder() / "row.npy").string();
  const std::string vector = (files.folder() / "vector.npy").string();
  const std::string second = (files.folder() / "second.npy").string();
  write_array(row, {.shape = {1, 6}, .values = v, .type = "f8"});
  write_array(vector, {.shape = {6}, .values = v, .type = "f8"});
  write_array(second, {.shape = {2, 5}, .values = w, .type = "f8"});
  for (const std::string& file : {row, vector}) {
    std::string toml = experiment(model({"dense 5 pattern", "relu", "output"}, {pattern}),
                                  data("[4]", 2), "path = " + list({file, second}));
    toml.replace(toml.find("kind = \"gaussian\"\npath"), 17, "kind = \"file\"");
    const Results results = run(toml, *device);
    EXPECT_EQ(results.at("W_1", 0, 0), v);
    EXPECT_EQ(results.at("W_2", 0, 0), w);
  }
}

MANYFOLD_ON_ALL_DEVICES(PatternOnDevice);

TEST(Pattern, FanInIsTheMostEntriesOfARow) {
  Files files;
  Grid grid(3, 400);
  for (std::int64_t j = 0; j < 100; ++j) grid.at(1, j) = static_cast<double>(j + 1);
  for (std::int64_t j = 0; j < 40; ++j) grid.at(2, j) = static_cast<double>(j + 1);
  const std::string file = files.add(grid);
  const auto start_of = [&](const std::string& init) {
    const Settings settings =
        Experiment::parse(experiment(model({"dense 3 pattern", "relu", "output"}, {file}),
                                     data("[400]", 2), init),
                          "test.toml", {}, experiment_spec())
            .member(0);
    return network::start(settings, network::description_of(settings)).parameters;
  };
  const Numbers plain = start_of("stddev = 1");
  const Numbers fan_in = start_of("scaling = \"fan_in\"");
  const Numbers he = start_of("scaling = \"he\"");
  ASSERT_EQ(plain.size(), 100U + 6U);
  for (std::size_t i = 0; i < 100; ++i) {
    EXPECT_DOUBLE_EQ(fan_in[i], plain[i] / 10);
    EXPECT_DOUBLE_EQ(he[i], plain[i] * std::sqrt(0.02));
  }
}

TEST(Pattern, FamiliesHaveOnePattern) {
  const auto device = executor_on("cpu");
  Files files;
  const Grid grid = some_pattern(5, 4, 6);
  Grid other = grid;
  std::swap(other.at(0, 0), other.at(0, 1));
  const std::string a = files.add(grid);
  const std::string again = files.add(grid);
  const std::string b = files.add(other);
  const std::string toml =
      experiment(model({"dense 5 pattern", "relu", "output"}, {}), data("[4]", 2));
  const auto swept = [&](const std::vector<std::string>& some) {
    return run(toml, *device, {"sweep.\"model.patterns\"=" + list(some)});
  };
  const Results all = swept({a, b, again});
  EXPECT_EQ(all.plan.families.size(), 2U);
  EXPECT_TRUE(same_bits(all.everything(0), all.everything(2)));
  EXPECT_EQ(all.at("W_1", 0, 0), all.at("W_1", 1, 0));
  EXPECT_GT(distance(all.at("outputs", 0, 0), all.at("outputs", 1, 0)), 1e-2);
  EXPECT_TRUE(same_bits(all.everything(1), swept({b}).everything(0)));
}

/// Of the flow, ||v_2||^2 - ||v_1||^2 stays; so does every neuron where nothing is shared, but not
/// the norms of the matrices where something is. What changes by t = 0.4 in so many steps:
struct Drift {
  double parameters = 0;
  double matrices = 0;
};
Drift drift_at(const std::string& of_model, const std::vector<Grid>& grids, int steps) {
  const auto device = executor_on("cpu");
  const std::string all = std::to_string(steps);
  const std::string toml =
      "problem.seed = 1\nseed = 3\n[model]\n" + of_model +
      "[data]\nsource = \"gaussian\"\nshape = 6\ncount = 12\ntargets = \"random_normal\"\n"
      "outputs = 2\n[objective]\nreduction = \"mean\"\n[init]\nkind = \"gaussian\"\nstddev = 0.5\n"
      "[optimizer]\nkind = \"gd\"\nlearning_rate = " +
      std::to_string(0.4 / steps) + "\n[stop]\nsteps = " + all +
      "\n[probes]\nlayer_norm2_difference = { every = " + all +
      " }\nparameters = { every = " + all + " }\n";
  const Results results = run(toml, *device);
  Drift drift;
  const Numbers before = results.at("layer_norm2_difference", 0, 0);
  const Numbers after = results.at("layer_norm2_difference", 0, 1);
  for (std::size_t h = 0; h < before.size(); ++h) {
    drift.parameters = std::max(drift.parameters, std::abs(after[h] - before[h]));
  }
  const auto norm2 = [&](std::size_t h, std::int64_t sample) {
    const double norm =
        norm_of(grids[h].matrix(results.at("W_" + std::to_string(h + 1), 0, sample)));
    return norm * norm;
  };
  for (std::size_t h = 0; h + 1 < grids.size(); ++h) {
    drift.matrices = std::max(
        drift.matrices, std::abs(norm2(h + 1, 1) - norm2(h, 1) - norm2(h + 1, 0) + norm2(h, 0)));
  }
  return drift;
}

TEST(PatternBalance, HalvingTheStepHalvesTheDriftOverFreeParameters) {
  Files files;
  const std::vector<Grid> grids{some_pattern(9, 6, 10), some_pattern(7, 9, 25),
                                some_pattern(2, 7, 5)};
  std::vector<std::string> names;
  for (const Grid& grid : grids) names.push_back(files.add(grid));
  for (const std::string activation : {"relu", "leaky_relu 0.2"}) {
    SCOPED_TRACE(activation);
    const std::string net = model(
        {"dense 9 pattern", activation, "dense 7 pattern", activation, "output pattern"}, names);
    const Drift coarse = drift_at(net, grids, 400);
    const Drift fine = drift_at(net, grids, 800);
    const double slope = std::log2(coarse.parameters / fine.parameters);
    EXPECT_GT(slope, 0.8);
    EXPECT_LT(slope, 1.2);
    // The matrices' own norms are none of the flow's constants.
    EXPECT_GT(fine.matrices, 20 * fine.parameters);
    EXPECT_NEAR(coarse.matrices, fine.matrices, 0.05 * fine.matrices);
  }
  const std::string smooth =
      model({"dense 9 pattern", "tanh", "dense 7 pattern", "tanh", "output pattern"}, names);
  const double coarse = drift_at(smooth, grids, 400).parameters;
  EXPECT_NEAR(coarse, drift_at(smooth, grids, 800).parameters, 0.05 * coarse);
  EXPECT_GT(coarse, 1e-2);
}

TEST(PatternBalance, NeuronsOfSparseLayersAreBalancedOneByOne) {
  const auto device = executor_on("cpu");
  Files files;
  const std::string net = model({"dense 9 pattern", "relu", "dense 7", "relu", "output pattern"},
                                {files.add(sparse_pattern(9, 6)), files.add(sparse_pattern(2, 7))});
  const auto drift = [&](int steps) {
    const std::string all = std::to_string(steps);
    const Results results =
        run("problem.seed = 1\nseed = 3\n[model]\n" + net +
                "[data]\nsource = \"gaussian\"\nshape = 6\ncount = 12\n"
                "targets = \"random_normal\"\noutputs = 2\n[objective]\nreduction = \"mean\"\n"
                "[init]\nkind = \"gaussian\"\nstddev = 0.5\n[optimizer]\nkind = \"gd\"\n"
                "learning_rate = " +
                std::to_string(0.4 / steps) + "\n[stop]\nsteps = " + all +
                "\n[probes]\nneuron_balance_drift = { every = " + all + " }\n",
            *device);
    const Numbers all_drifts = results.at("neuron_balance_drift", 0, 1);
    return all_drifts.empty() ? 0 : *std::max_element(all_drifts.begin(), all_drifts.end());
  };
  const double slope = std::log2(drift(400) / drift(800));
  EXPECT_GT(slope, 0.8);
  EXPECT_LT(slope, 1.2);
}

TEST(PatternRejected, WithWhatIsWrong) {
  const auto device = executor_on("cpu");
  Files files;
  const std::string good = files.add(some_pattern(3, 4, 5));
  const std::string flat = (files.folder() / "flat.npy").string();
  write_array(flat, {.shape = {12}, .values = Numbers(12, 1.0), .type = "i4"});
  const std::string mask = (files.folder() / "mask.npy").string();
  write_array(mask, {.shape = {3, 4}, .values = Numbers(12, 1.0), .type = "b1"});
  const auto file = [&](const char* name, const char* text) { return files.write(name, text); };
  const std::string gap = file("gap.csv", "1,0,0,0\n2,2,0,5\n0,0,4,1\n");
  const std::string far = file("far.csv", "1,0,0,0\n2,2,0,2000000000\n0,0,0,1\n");
  const std::string half = file("half.csv", "1,0,0,0\n2,1.5,0,0\n0,0,0,1\n");
  const std::string below = file("below.csv", "1,0,0,0\n2,-1,0,0\n0,0,0,1\n");
  const std::string none = file("none.csv", "0,0,0,0\n0,0,0,0\n0,0,0,0\n");
  const std::string foreign = file("foreign.npy", "no array at all");
  const std::string nan = file("nan.csv", "1,0,0,0\n2,1,nan,0\n0,0,0,1\n");
  const std::vector<std::string> layers{"dense 3 pattern", "relu", "output"};
  const auto reject = [&](const std::string& of_model, const std::string& message,
                          const std::string& probes = "") {
    SCOPED_TRACE(message);
    try {
      (void)run(experiment(of_model, data("[4]", 2), "stddev = 1", probes), *device);
      ADD_FAILURE() << "accepted";
    } catch (const InputError& error) {
      const std::string found = error.what();
      EXPECT_NE(found.find(message), std::string::npos) << found;
      EXPECT_EQ(found.find("test.toml:"), 0U) << found;
    }
  };
  const std::string whole =
      ", expected whole numbers: 0 where an entry is 0, k where it is parameter k, counted from 1";
  reject(model(layers, {gap}), "test.toml:6: model.patterns: found " + gap +
                                   " with numbers up to 5, but no 3, expected each number from 1 "
                                   "on: they count the free parameters");
  reject(model(layers, {far}), far + " with numbers up to 2000000000, but no 3, expected each");
  reject(model(layers, {half}),
         "model.patterns: found " + half + " with 1.5 in row 1, column 1 (counted from 0)" + whole);
  reject(model(layers, {below}), below + " with -1 in row 1, column 1 (counted from 0)" + whole);
  reject(model(layers, {nan}), nan + " with nan in row 1, column 2 (counted from 0)" + whole);
  reject(model(layers, {mask}), "found " + mask + " with booleans" + whole);
  reject(model(layers, {none}), none + " without a parameter, expected an entry above 0");
  reject(model(layers, {flat}),
         flat + " with an array of shape (12,), expected a matrix of the layer's shape");
  reject(model(layers, {foreign}), "model.patterns: " + foreign + ": ");
  reject(model(layers, {"nowhere.npy"}), "nowhere.npy: ");
  reject(model({"relu", "dense 5 pattern", "output"}, {good}),
         "model.patterns: found " + good +
             " with an array of shape (3, 4) for layer 2, \"dense 5 pattern\", on 4, expected "
             "shape (5, 4)");
  reject(model(layers, {}),
         "model.patterns: found nothing, expected a file for each layer with a pattern, of which "
         "there is 1");
  reject(model({"dense 3", "relu", "output"}, {good}),
         "model.patterns: found a value where no layer has a pattern, expected the word pattern");
  reject(model({"dense 3 pattern", "dense 3 pattern", "output pattern"}, {good, good}),
         "model.patterns: found 2 files, expected 3, one for each layer with a pattern (or one for "
         "all)");
  reject(model({"conv 3 2 pattern", "flatten", "output"}, {good}),
         "one of stride, padding, bias, frozen, signs, scale in place of \"pattern\"");
  for (const std::string probe : {"neuron_balance", "neuron_balance_drift"}) {
    reject(model(layers, {good}),
           "where W_1 shares parameters by its pattern, expected patterns that have each parameter "
           "once",
           probe + " = { every = 10 }\n");
  }
}

}  // namespace
}  // namespace manyfold::testing
