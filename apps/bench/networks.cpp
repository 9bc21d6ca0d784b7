// manyfold bench networks: wide, deep, tiny and convolutional nets, beside the rate of a large
// product measured in the same run.
#include <algorithm>
#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "apps/bench/named_rows.hpp"
#include "apps/bench/plain_net.hpp"
#include "apps/bench/product_rate.hpp"
#include "apps/bench/stepping.hpp"

namespace manyfold::apps {
namespace {

constexpr const char* both[] = {"f32", "f64"};

/// What differs between the rows.
struct NetRow {
  std::string name;
  std::string model;  ///< the tables [model], [data], [objective], [init]
  double learning_rate = 0;
  std::int64_t members = 1;
  std::vector<std::int64_t> elements;  ///< of each trained layer
  double operations = 0;               ///< per member-step
  std::string formula;
  std::function<std::vector<Matrix>(const Settings&, const std::vector<Matrix>&)> plain;
};

std::string experiment_text(const NetRow& row, const std::string& precision) {
  return fmt::format(R"(
name = "bench {}"
precision = "{}"
problem.seed = 3
{}
[optimizer]
kind = "gd"
learning_rate = {}
[stop]
steps = {}
check_every = 10
[probes]
train_loss = {{ steps = [0] }}
[sweep]
"seed" = {{ range = [0, {}] }}
)",
                     row.name, precision, row.model, row.learning_rate, unbounded_steps,
                     row.members);
}

/// `small` is the same net with fewer units, which plain loops check in its place; on enough
/// examples that its products are made as the row's own.
std::vector<BenchRow> measure(Executor& executor, const BenchFlags& flags, const NetRow& small,
                              const NetRow& row) {
  std::vector<BenchRow> rows;
  for (const char* precision : both) {
    const auto work_of = [&](const NetRow& of) {
      Work work;
      work.bench = "networks";
      work.name = of.name;
      work.path = flags.device.path;
      work.experiment = experiment_text(of, precision);
      work.operations = of.operations;
      work.formula = of.formula;
      work.elements = of.elements;
      return work;
    };
    Work checked = work_of(small);
    checked.plain = small.plain;
    check_stepping(executor, precision, checked);
    const auto rate = [&] {
      return std::string(precision) == "f32" ? product_rate<float>(executor, flags.seconds / 4)
                                             : product_rate<double>(executor, flags.seconds / 4);
    };
    const double before = rate();
    BenchRow measured = measure_stepping(executor, flags, precision, work_of(row));
    measured.product_rate = (before + rate()) / 2;
    measured.share_of_product = measured.value * row.operations / *measured.product_rate;
    rows.push_back(std::move(measured));
  }
  return rows;
}

std::int64_t count_of(const std::vector<std::int64_t>& sizes, std::size_t layer) {
  return sizes[layer] * sizes[layer + 1];
}

// ---- f(x) = 1/sqrt(m) sum_r a_r relu(w_r . x): apps/bench/peers/workloads/two_layer_relu.py

NetRow two_layer(std::int64_t n, std::int64_t d, std::int64_t m) {
  NetRow row;
  row.name = fmt::format("two-layer-m{}", m);
  row.learning_rate = 0.3;
  row.model = fmt::format(R"([model]
kind = "two_layer_relu"
hidden = {}
[data]
source = "sphere"
shape = {}
count = {}
targets = "random_normal"
[init]
kind = "gaussian")",
                          m, d, n);
  row.elements = {m * d};
  const auto x = static_cast<double>(n);
  const auto y = static_cast<double>(d);
  const auto z = static_cast<double>(m);
  row.operations = 4 * x * z * y + 6 * x * z + 2 * z * y;
  row.formula = fmt::format("{}: 4 n m d + 6 n m + 2 m d a step, n = {}, d = {}: {:.4g}", row.name,
                            n, d, row.operations);
  row.plain = [rate = row.learning_rate](const Settings& member, const std::vector<Matrix>& start) {
    return plain_steps(PlainNet::of(member, rate), start, checked_steps);
  };
  return row;
}

std::vector<BenchRow> two_layer_rows(Executor& executor, const BenchFlags& flags) {
  std::vector<BenchRow> rows;
  const std::int64_t n = flags.full ? 1000 : 200;
  std::vector<std::int64_t> widths{500};
  if (flags.full) widths = {1000, 4000, 16000};
  for (const std::int64_t m : widths) {
    for (BenchRow& row : measure(executor, flags, two_layer(300, 20, 40), two_layer(n, n, m))) {
      rows.push_back(std::move(row));
    }
  }
  return rows;
}

// ---- dense nets: apps/bench/peers/workloads/fully_connected.py

NetRow dense_net(const std::string& name, const std::vector<std::int64_t>& sizes, std::int64_t n,
                 double learning_rate, std::int64_t members) {
  NetRow row;
  row.name = name;
  row.learning_rate = learning_rate;
  row.members = members;
  const std::vector<std::int64_t> hidden(sizes.begin() + 1, sizes.end() - 1);
  std::vector<double> deviations;  // as the members' own start
  for (std::size_t h = 0; h + 1 < sizes.size(); ++h) {
    deviations.push_back(std::sqrt(2 / static_cast<double>(sizes[h])));
  }
  row.model = fmt::format(R"([model]
kind = "fc"
hidden = [{0}]
[data]
source = "gaussian"
shape = {1}
count = {2}
targets = "teacher"
outputs = {3}
[data.teacher]
hidden = [{0}]
stddev = [{4}]
[objective]
reduction = "mean"
[init]
kind = "gaussian"
scaling = "he")",
                          fmt::join(hidden, ", "), sizes.front(), n, sizes.back(),
                          fmt::join(deviations, ", "));
  double all = 0;
  double behind_first = 0;
  double units = 2 * static_cast<double>(sizes.back());
  for (std::size_t h = 0; h + 1 < sizes.size(); ++h) {
    row.elements.push_back(count_of(sizes, h));
    all += static_cast<double>(row.elements.back());
    if (h > 0) behind_first += static_cast<double>(row.elements.back());
    if (h > 0) units += 2 * static_cast<double>(sizes[h]);
  }
  const auto examples = static_cast<double>(n);
  row.operations = 2 * examples * (2 * all + behind_first) + examples * units + 2 * all;
  row.formula = fmt::format(
      "{}: 2 n (2 P + P without the first layer) + n (2 hidden + 2 out) + 2 P a member-step, n = "
      "{}: {:.4g}",
      name, n, row.operations);
  row.plain = [learning_rate](const Settings& member, const std::vector<Matrix>& start) {
    return plain_steps(PlainNet::of(member, learning_rate), start, checked_steps);
  };
  return row;
}

std::vector<BenchRow> fc(Executor& executor, const BenchFlags& flags) {
  return measure(executor, flags, dense_net("fc", {30, 12, 10, 3}, 300, 1e-2, 2),
                 dense_net("fc", {1000, 100, 100, 10}, 1000, 1e-3, flags.members_of(4, 64)));
}
std::vector<BenchRow> tiny_fc(Executor& executor, const BenchFlags& flags) {
  return measure(executor, flags, dense_net("tiny-fc", {8, 16, 16, 1}, 64, 1e-2, 9),
                 dense_net("tiny-fc", {8, 16, 16, 1}, 64, 1e-2, flags.members_of(512, 4096)));
}

// ---- two convolutions and a dense layer: apps/bench/peers/workloads/cnn.py

NetRow conv_net(std::int64_t side, std::int64_t n, std::int64_t members) {
  constexpr std::int64_t channels[] = {8, 16};
  constexpr std::int64_t classes = 10;
  NetRow row;
  row.name = "cnn";
  row.learning_rate = 1e-2;
  row.members = members;
  row.model = fmt::format(R"([model]
kind = "cnn"
channels = [8, 16]
stride = 2
[data]
source = "gaussian"
shape = [1, {0}, {0}]
count = {1}
targets = "random_normal"
outputs = 10
[objective]
reduction = "mean"
[init]
kind = "gaussian"
scaling = "he")",
                          side, n);
  const std::int64_t places_1 = (side / 2) * (side / 2);
  const std::int64_t places_2 = (side / 4) * (side / 4);
  row.elements = {channels[0] * 9, channels[1] * 9 * channels[0], classes * channels[1] * places_2};
  const double products[] = {static_cast<double>(row.elements[0] * places_1),
                             static_cast<double>(row.elements[1] * places_2),
                             static_cast<double>(row.elements[2])};
  const double per_image =
      2 * (2 * (products[0] + products[1] + products[2]) + products[1] + products[2]) +
      3 * static_cast<double>(channels[0] * places_1 + channels[1] * places_2) +
      static_cast<double>(9 * channels[0] * places_2);
  double parameters = 0;
  for (const std::int64_t e : row.elements) parameters += static_cast<double>(e);
  row.operations = static_cast<double>(n) * per_image + 2 * parameters;
  row.formula = fmt::format(
      "cnn: per image the products of the layers forward and for their weights, of the last two "
      "for their inputs, ReLUs, masks, patch sums; {} images: {:.4g}",
      n, row.operations);
  row.plain = [rate = row.learning_rate](const Settings& member, const std::vector<Matrix>& start) {
    return plain_steps(PlainConvNet::of(member, rate), start, checked_steps);
  };
  return row;
}

std::vector<BenchRow> cnn(Executor& executor, const BenchFlags& flags) {
  return measure(executor, flags, conv_net(8, 5, 2),
                 conv_net(28, flags.full ? 64 : 16, flags.members_of(16, 256)));
}

constexpr NamedRow network_rows[] = {
    {"two-layer", "two-layer ReLU, n = d = 1000, three widths", two_layer_rows, true},
    {"fc", "1000-100-100-10 on 1000 points", fc, true},
    {"tiny-fc", "8-16-16-1 on 64 points", tiny_fc, true},
    {"cnn", "two convolutions and a dense layer on 28x28 images", cnn, true},
};

}  // namespace

std::string network_rows_text() { return rows_text(network_rows); }

std::vector<BenchRow> bench_networks(Executor& executor, const BenchFlags& flags) {
  return run_rows(network_rows, executor, flags);
}

}  // namespace manyfold::apps
