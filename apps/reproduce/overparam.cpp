// Over-parameterized networks and their Gram matrices: experiments and claims of Du 2019 (thesis),
// chapters 2 and 3. What claims 4 and 6 of its specification say (closed forms against quadrature
// and draws, Gram matrices against explicit gradients) is tested, not run here.
#include <algorithm>
#include <cmath>
#include <map>
#include <numbers>
#include <optional>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "apps/reproduce/arithmetic.hpp"
#include "apps/reproduce/reproduction.hpp"
#include "models/network/problem.hpp"

namespace manyfold::apps {
namespace {

constexpr const char* figure_1 = "Du 2019, thesis, figure 1";
constexpr const char* chapter_2 = "Du 2019, thesis, chapter 2";
constexpr const char* chapter_3 = "Du 2019, thesis, chapter 3";

/// What a part says of training that only looks at networks as they start.
constexpr const char* untrained = R"([init]
kind = "gaussian"
[optimizer]
kind = "gd"
learning_rate = 0.1
[stop]
steps = 0
)";

/// A value of a swept key of a group.
double number_of(const MemberGroup& group, const std::string& key) {
  return std::stod(group.values.at(key));
}

/// Over a group's members, of one entry of a variable at a sample; the last where `sample` is -1.
double median_of(const FinishedPart& part, const MemberGroup& group, const std::string& variable,
                 std::int64_t sample = 0, std::size_t entry = 0) {
  std::vector<double> values;
  for (const std::int64_t member : group.members) {
    const std::int64_t at = sample < 0 ? part.samples.count(member, variable) + sample : sample;
    if (const auto* all = part.samples.find(member, variable, at)) values.push_back(all->at(entry));
  }
  return values.empty() ? std::nan("") : median(std::move(values));
}

/// "64: 0.25, 256: 0.12".
std::string listed(const std::vector<double>& keys, const std::vector<double>& values) {
  std::string text;
  for (std::size_t i = 0; i < keys.size(); ++i) {
    text += fmt::format("{}{:g}: {:.4g}", text.empty() ? "" : ", ", keys[i], values[i]);
  }
  return text;
}

bool falls(const std::vector<double>& values) {
  for (std::size_t i = 1; i < values.size(); ++i) {
    if (!(values[i] < values[i - 1])) return false;
  }
  return true;
}

/// Groups of a part by one swept key, the other ones' values in the outer map's text.
using Curves = std::map<std::string, std::vector<const MemberGroup*>>;
Curves curves_along(const std::vector<MemberGroup>& groups, const std::string& key) {
  Curves curves;
  for (const MemberGroup& group : groups) {
    std::string rest;
    for (const auto& [other, value] : group.values) {
      if (other != key) rest += fmt::format("{}{} = {}", rest.empty() ? "" : ", ", other, value);
    }
    curves[rest].push_back(&group);
  }
  return curves;
}

struct Curve {
  std::vector<double> keys;
  std::vector<double> values;
};
Curve medians_along(const FinishedPart& part, const std::vector<const MemberGroup*>& groups,
                    const std::string& key, const std::string& variable, std::int64_t sample = 0,
                    std::size_t entry = 0) {
  Curve curve;
  for (const MemberGroup* group : groups) {
    curve.keys.push_back(number_of(*group, key));
    curve.values.push_back(median_of(part, *group, variable, sample, entry));
  }
  return curve;
}

/// Of a part that sweeps one key beside seeds.
Curve medians_over(const FinishedPart& part, const std::string& key, const std::string& variable,
                   std::size_t entry = 0) {
  const std::vector<MemberGroup> groups = groups_but_for_seeds(part.experiment);
  return medians_along(part, curves_along(groups, key).at(""), key, variable, 0, entry);
}

double largest(const std::vector<MemberGroup>& groups, const std::string& key) {
  double most = 0;
  for (const MemberGroup& group : groups) most = std::max(most, number_of(group, key));
  return most;
}

std::string before(const std::string& rest) { return rest.empty() ? "" : rest + ": "; }

// ---- Figure 1

std::vector<Part> fig1_parts(Scale scale) {
  const bool quick = scale == Scale::quick;
  return {{"widths",
           fmt::format(R"(
name = "overparam.fig1"
precision = "f32"
record.states = false
[model]
kind = "two_layer_relu"
hidden = 100
[data]
source = "sphere"
shape = {0}
count = {0}
targets = "random_normal"
[init]
kind = "gaussian"
[optimizer]
kind = "gd"
learning_rate = 0.3
[stop]
steps = 100
check_every = 100
[cadences]
epochs = {{ every = 10 }}
[probes]
train_loss = {{ every = "epochs" }}
changed_patterns = {{ every = "epochs" }}
neuron_distance = {{ every = "epochs" }}
tangent_kernel_eigenvalues = {{ every = "epochs", which = "least" }}
[sweep]
"optimizer.learning_rate" = [0.1, 0.3, 1.0]
"model.hidden" = {1}
"seed" = {{ range = [0, {2}] }}
)",
                       quick ? 100 : 1000,
                       quick ? "[100, 200, 400, 800, 1600]" : "[1000, 2000, 4000, 8000, 16000]",
                       quick ? 5 : 3)}};
}

std::vector<Claim> fig1_claims(const FinishedParts& parts) {
  const FinishedPart& part = parts.at("widths");
  const std::vector<MemberGroup> groups = groups_but_for_seeds(part.experiment);
  std::vector<Claim> claims;
  for (const auto& [step, along] : curves_along(groups, "model.hidden")) {
    const auto last = [&](const char* variable) {
      return medians_along(part, along, "model.hidden", variable, -1);
    };
    const Curve patterns = last("changed_patterns");
    claims.push_back({"fig1.patterns", "the share of changed patterns falls with the width",
                      figure_1, before(step) + listed(patterns.keys, patterns.values),
                      "falls, medians over seeds, epoch 100", falls(patterns.values)});
    const Curve distances = last("neuron_distance");
    claims.push_back({"fig1.distance",
                      "the largest distance of a neuron from its start falls with "
                      "the width",
                      figure_1, before(step) + listed(distances.keys, distances.values),
                      "falls, medians over seeds, epoch 100", falls(distances.values)});
    const Curve error = last("train_loss");
    std::vector<double> reversed(error.values.rbegin(), error.values.rend());
    const char* direction = falls(error.values) ? "falls"
                            : falls(reversed)   ? "rises"
                                                : "neither falls nor rises";
    claims.push_back(
        {"fig1.error", "training error against the width at epoch 100", figure_1,
         fmt::format("{}{} ({})", before(step), listed(error.keys, error.values), direction), "",
         true});
    const Curve least = last("tangent_kernel_eigenvalues");
    claims.push_back({"fig1.least", "least eigenvalue of H(k) at epoch 100", figure_1,
                      before(step) + listed(least.keys, least.values), "", true});
  }
  return claims;
}

// ---- The rate of gradient descent

std::vector<Part> linear_rate_parts(Scale scale) {
  const bool quick = scale == Scale::quick;
  return {{"rate", fmt::format(R"(
name = "overparam.linear-rate"
record.states = false
[model]
kind = "two_layer_relu"
hidden = 256
[data]
source = "sphere"
shape = 100
count = 50
targets = "random_normal"
[init]
kind = "gaussian"
[optimizer]
kind = "gd"
learning_rate = 0.2
[stop]
steps = {0}
check_every = {0}
[probes]
train_loss = {{ every = 10 }}
tangent_kernel = {{ steps = [0] }}
outputs = {{ steps = [0] }}
tangent_kernel_limit_eigenvalues = {{ steps = [0], which = "least" }}
tangent_kernel_eigenvalues = {{ every = {0}, which = "least" }}
[sweep]
"data.count" = [50, 100, 200]
"model.hidden" = {1}
)",
                               quick ? 200 : 400, quick ? "[512, 8192]" : "[1024, 65536]")}};
}

std::vector<Claim> linear_rate_claims(const FinishedParts& parts) {
  const FinishedPart& part = parts.at("rate");
  const std::vector<MemberGroup> groups = groups_but_for_seeds(part.experiment);
  const double widest = largest(groups, "model.hidden");
  std::vector<Claim> claims;
  for (const MemberGroup& group : groups) {
    if (number_of(group, "model.hidden") < widest) continue;
    const std::int64_t member = group.members.front();
    const Settings settings = part.experiment.member(member);
    const double eta = settings.number("optimizer.learning_rate");
    const auto& y = network::data_of(settings)->train.targets;
    const std::vector<double>& f = *part.samples.find(member, "outputs");
    const std::vector<double>& h = *part.samples.find(member, "tangent_kernel");
    const double l0 = part.samples.find(member, "tangent_kernel_limit_eigenvalues")->front();
    std::vector<double> residual;
    for (std::size_t i = 0; i < y.size(); ++i) residual.push_back(y[i] - f[i]);
    const double start = squared(residual);
    double worst_share = 0;  // of the bound
    double worst_rate = 0;   // from the predicted one
    std::int64_t k = 0;
    const std::vector<std::int64_t>& steps = part.samples.steps("train_loss");
    for (std::size_t s = 1; s < steps.size(); ++s) {
      const auto* loss = part.samples.find(member, "train_loss", static_cast<std::int64_t>(s));
      if (loss == nullptr) break;
      for (; k < steps[s]; ++k) residual = descended(residual, h, eta);
      const double measured = 2 * loss->front();
      const double bound = start * std::pow(1 - eta * l0 / 2, static_cast<double>(k));
      worst_share = std::max(worst_share, measured / bound);
      const double rate = std::log(measured / start) / std::log(squared(residual) / start);
      worst_rate = std::max(worst_rate, std::fabs(rate - 1));
    }
    const std::string where = fmt::format("{}, k up to {}", group.text, steps.back());
    claims.push_back(
        {"linear-rate.bound", "||u(k) - y||^2 <= (1 - eta l_0 / 2)^k ||u(0) - y||^2 for all k",
         "Du 2019, thesis, theorem 2.3",
         fmt::format("at most {:.4g} of it ({})", worst_share, where), "1", worst_share <= 1});
    claims.push_back({"linear-rate.spectrum",
                      "the residual decays as (I - eta H(0))^k (y - u(0)) does", chapter_2,
                      fmt::format("rates differ by at most {:.3g} % ({})", 100 * worst_rate, where),
                      "10 %", worst_rate <= 0.1});
  }
  return claims;
}

// ---- H(0) and its limit

std::vector<Part> concentration_parts(Scale scale) {
  const bool quick = scale == Scale::quick;
  return {{"widths", fmt::format(R"(
name = "overparam.concentration"
record.states = false
[model]
kind = "two_layer_relu"
hidden = 64
[data]
source = "sphere"
shape = 100
count = 100
targets = "random_normal"
{2}[cadences]
start = {{ steps = [0] }}
[probes]
tangent_kernel_limit_distance = {{ every = "start" }}
tangent_kernel_eigenvalues = {{ every = "start", which = "least" }}
tangent_kernel_limit_eigenvalues = {{ every = "start", which = "least" }}
[sweep]
"model.hidden" = {0}
"seed" = {{ range = [0, {1}] }}
)",
                                 quick ? "[64, 256, 1024, 4096, 16384]"
                                       : "[64, 256, 1024, 4096, 16384, 65536, 262144]",
                                 quick ? 8 : 32, untrained)}};
}

Claim slope_claim(const std::string& id, const std::string& statement, const char* source,
                  const std::string& where, const Curve& curve) {
  const double slope = log_log_slope(curve.keys, curve.values);
  return {
      id,
      statement,
      source,
      fmt::format("{}slope {:.3f} ({})", before(where), slope, listed(curve.keys, curve.values)),
      "-0.6 to -0.4",
      slope >= -0.6 && slope <= -0.4};
}

std::vector<Claim> concentration_claims(const FinishedParts& parts) {
  const FinishedPart& part = parts.at("widths");
  const auto along = [&](const char* variable) {
    return medians_over(part, "model.hidden", variable);
  };
  const Curve least = along("tangent_kernel_eigenvalues");
  const double limit = along("tangent_kernel_limit_eigenvalues").values.front();
  return {slope_claim("concentration.slope", "||H(0) - Hinf||_2 falls like m^-1/2", chapter_2, "",
                      along("tangent_kernel_limit_distance")),
          {"concentration.least", "least eigenvalue of H(0) against that of Hinf", chapter_2,
           fmt::format("{}; Hinf {:.6g}", listed(least.keys, least.values), limit), "", true}};
}

// ---- The least eigenvalue of Hinf

std::vector<Part> lambda_scaling_parts(Scale scale) {
  const bool quick = scale == Scale::quick;
  const auto toml = [](const std::string& data, const std::string& sweep) {
    return fmt::format(R"(
name = "overparam.lambda-scaling"
record.states = false
[model]
kind = "two_layer_relu"
hidden = 1
[data]
source = "sphere"
targets = "random_normal"
{}
{}[probes]
tangent_kernel_limit_eigenvalues = {{ steps = [0], which = "least" }}
[sweep]
{}
)",
                       data, untrained, sweep);
  };
  return {{"examples",
           toml("shape = 20\ncount = 100",
                fmt::format("\"data.count\" = {}\n\"problem.seed\" = {{ range = [0, {}] }}",
                            quick ? "[100, 200, 400, 800]" : "[100, 300, 1000, 3000, 10000]",
                            quick ? 5 : 3))},
          {"angles", toml("shape = 20\ncount = 20\nangle = 1.0",
                          "\"data.angle\" = [1.0, 0.1, 0.01, 1e-3, 1e-4, 1e-5, 1e-6]\n"
                          "\"problem.seed\" = { range = [0, 5] }")}};
}

std::vector<Claim> lambda_scaling_claims(const FinishedParts& parts) {
  constexpr const char* variable = "tangent_kernel_limit_eigenvalues";
  const Curve examples = medians_over(parts.at("examples"), "data.count", variable);
  const Curve angles = medians_over(parts.at("angles"), "data.angle", variable);
  const Curve small{{angles.keys.begin() + 2, angles.keys.end()},
                    {angles.values.begin() + 2, angles.values.end()}};
  const double slope = log_log_slope(small.keys, small.values);
  // Of the closest pair alone, 1/2 - cos t (pi - t) / (2 pi): t / (2 pi) and more.
  const auto of_pair = [](double t) {
    const double half = std::sin(t / 2);
    return t / (2 * std::numbers::pi) +
           2 * half * half * (std::numbers::pi - t) / (2 * std::numbers::pi);
  };
  double most = 0;
  for (std::size_t i = 0; i < small.keys.size(); ++i) {
    most = std::max(most, small.values[i] / of_pair(small.keys[i]));
  }
  return {
      {"lambda-scaling.examples", "l_min(Hinf) falls as examples are added", chapter_2,
       fmt::format("{}; slope {:.3f}", listed(examples.keys, examples.values),
                   log_log_slope(examples.keys, examples.values)),
       "falls, medians over data", falls(examples.values)},
      {"lambda-scaling.angle", "l_min(Hinf) goes to 0 as the closest pair's angle does, linearly",
       chapter_2, fmt::format("{}; slope {:.4f}", listed(angles.keys, angles.values), slope),
       "slope 0.98 to 1.02 from 0.01 on", std::fabs(slope - 1) <= 0.02},
      {"lambda-scaling.pair",
       "and stays below that of the pair alone, 1/2 - cos t (pi - t) / (2 pi)", chapter_2,
       fmt::format("at most {:.4f} of it", most), "1", most <= 1}};
}

// ---- Deep networks

std::string deep_toml(const std::string& model, const std::string& data, const std::string& sweep,
                      const std::string& more = "[stop]\nsteps = 0\n") {
  return fmt::format(R"(
name = "overparam.deep"
record.states = false
[model]
parametrization = "thesis"
{}
[data]
{}
[init]
kind = "gaussian"
[optimizer]
kind = "gd"
learning_rate = 0.005
{}
[cadences]
start = {{ steps = [0] }}
[probes]
last_gram_limit_distance = {{ every = "start" }}
last_gram_limit_eigenvalues = {{ every = "start", which = "least" }}
train_loss = {{ every = 10 }}
[sweep]
{}
)",
                     model, data, more, sweep);
}

struct DeepKind {
  const char* part;
  const char* model;
};
constexpr DeepKind deep_kinds[] = {
    {"fc-relu", "kind = \"fc\"\nactivation = \"relu\""},
    {"resnet-relu", "kind = \"resnet\"\nc_res = 0.5\nactivation = \"relu\""},
    {"fc-softplus", "kind = \"fc\"\nactivation = \"softplus\""},
    {"resnet-softplus", "kind = \"resnet\"\nc_res = 0.5\nactivation = \"softplus\""},
};

std::vector<Part> deep_parts(Scale scale) {
  const bool quick = scale == Scale::quick;
  const int n = quick ? 20 : 50;
  const std::string data =
      fmt::format("source = \"sphere\"\nshape = {0}\ncount = {0}\ntargets = \"random_normal\"", n);
  // depth counts matrices, the output's too: H + 1.
  const std::string depths = "\"model.depth\" = [3, 5, 9, 17, 33]";
  const std::string sweep =
      fmt::format("{}\n\"model.hidden\" = {}\n\"seed\" = {{ range = [0, {}] }}", depths,
                  quick ? "[128, 512]" : "[64, 128, 256, 512, 1024, 2048, 4096]", quick ? 5 : 32);
  std::vector<Part> parts;
  for (const DeepKind& kind : deep_kinds) {
    parts.push_back(
        {kind.part, deep_toml(fmt::format("{}\nhidden = 64\ndepth = 3", kind.model), data, sweep)});
  }
  for (const DeepKind& kind : {deep_kinds[0], deep_kinds[1]}) {
    parts.push_back(
        {fmt::format("{}-training", kind.part),
         deep_toml(fmt::format("{}\nhidden = {}\ndepth = 3", kind.model, quick ? 128 : 1024), data,
                   fmt::format("\"model.depth\" = [3, 5, 9]\n\"seed\" = {{ range = [0, {}] }}",
                               quick ? 3 : 8),
                   fmt::format("[stop]\nsteps = {0}\ncheck_every = {0}\n", quick ? 200 : 1000))});
  }
  return parts;
}

/// Medians of ||G^(H)(0) - K^(H)||_2 / l_min(K^(H)) over the depths, at the largest width.
Curve relative_error(const FinishedPart& part, const std::string& width_key) {
  const std::vector<MemberGroup> groups = groups_but_for_seeds(part.experiment);
  const double widest = largest(groups, width_key);
  Curve curve;
  for (const MemberGroup& group : groups) {
    if (number_of(group, width_key) < widest) continue;
    std::vector<double> ratios;
    for (const std::int64_t member : group.members) {
      ratios.push_back(part.samples.find(member, "last_gram_limit_distance")->front() /
                       part.samples.find(member, "last_gram_limit_eigenvalues")->front());
    }
    curve.keys.push_back(number_of(group, "model.depth") - 1);
    curve.values.push_back(median(std::move(ratios)));
  }
  return curve;
}

/// Reported: of few seeds a slope says little.
Claim distance_report(const std::string& id, const std::string& where, const Curve& curve) {
  return {id,
          "||G^(H)(0) - K^(H)||_2 over the width",
          chapter_3,
          fmt::format("{}: slope {:.3f} ({})", where, log_log_slope(curve.keys, curve.values),
                      listed(curve.keys, curve.values)),
          "",
          true};
}

std::vector<Claim> deep_claims(const FinishedParts& parts) {
  std::vector<Claim> claims;
  const Curve fc = relative_error(parts.at("fc-relu"), "model.hidden");
  const Curve resnet = relative_error(parts.at("resnet-relu"), "model.hidden");
  const double fc_growth = fc.values.back() / fc.values.front();
  const double resnet_growth = resnet.values.back() / resnet.values.front();
  claims.push_back(
      {"deep.error",
       "||G^(H)(0) - K^(H)||_2 / l_min(K^(H)) grows with H much faster for FC than for ResNet, "
       "ReLU",
       chapter_3,
       fmt::format("FC {} (times {:.1f}), ResNet {} (times {:.2f})", listed(fc.keys, fc.values),
                   fc_growth, listed(resnet.keys, resnet.values), resnet_growth),
       "FC's growth at least 5 times ResNet's", fc_growth >= 5 * resnet_growth});
  for (const char* name : {"fc-softplus", "resnet-softplus"}) {
    const Curve error = relative_error(parts.at(name), "model.hidden");
    std::string singular;
    const FinishedPart& part = parts.at(name);
    for (const MemberGroup& group : groups_but_for_seeds(part.experiment)) {
      const double least = median_of(part, group, "last_gram_limit_eigenvalues");
      const double depth = number_of(group, "model.depth") - 1;
      if (least > 1e-9 || singular.find(fmt::format("H = {}:", depth)) != std::string::npos)
        continue;
      singular += fmt::format("; H = {}: l_min {:.2g}, numerically singular", depth, least);
    }
    claims.push_back({fmt::format("deep.{}", name), "the same ratio with softplus", chapter_3,
                      listed(error.keys, error.values) + singular, "", true});
  }
  for (const DeepKind& kind : deep_kinds) {
    const FinishedPart& part = parts.at(kind.part);
    const std::vector<MemberGroup> groups = groups_but_for_seeds(part.experiment);
    for (const auto& [depth, along] : curves_along(groups, "model.hidden")) {
      if (depth != "model.depth = 3") continue;
      claims.push_back(
          distance_report(fmt::format("deep.distance-{}", kind.part), "H = 2",
                          medians_along(part, along, "model.hidden", "last_gram_limit_distance")));
    }
  }
  for (const char* name : {"fc-relu-training", "resnet-relu-training"}) {
    const FinishedPart& part = parts.at(name);
    std::vector<double> depths;
    std::vector<double> shares;
    for (const MemberGroup& group : groups_but_for_seeds(part.experiment)) {
      depths.push_back(number_of(group, "model.depth") - 1);
      shares.push_back(median_of(part, group, "train_loss", -1) /
                       median_of(part, group, "train_loss"));
    }
    claims.push_back({fmt::format("deep.{}", name),
                      "share of the train loss that is left after the same steps, over H",
                      chapter_3, listed(depths, shares), "", true});
  }
  return claims;
}

// ---- Convolutions

std::vector<Part> conv_parts(Scale scale) {
  const bool quick = scale == Scale::quick;
  const std::string data = fmt::format(
      "source = \"digits\"\nclasses = [0, 1]\ncount = {}\ntargets = \"sign\"\nnormalize "
      "= \"unit_norm\"",
      quick ? 20 : 50);
  return {{"widths",
           deep_toml("kind = \"conv_resnet\"\nc_res = 0.5\nactivation = \"relu\"\nchannels = 64\n"
                     "depth = 3",
                     data,
                     fmt::format("\"model.depth\" = [3, 5, 9]\n\"model.channels\" = {}\n\"seed\" = "
                                 "{{ range = [0, {}] }}",
                                 quick ? "[16, 64, 256]" : "[64, 128, 256, 512, 1024]",
                                 quick ? 5 : 32))}};
}

std::vector<Claim> conv_claims(const FinishedParts& parts) {
  const FinishedPart& part = parts.at("widths");
  std::vector<Claim> claims;
  const std::vector<MemberGroup> groups = groups_but_for_seeds(part.experiment);
  for (const auto& [depth, along] : curves_along(groups, "model.channels")) {
    claims.push_back(
        distance_report("conv.distance", depth,
                        medians_along(part, along, "model.channels", "last_gram_limit_distance")));
  }
  const Curve error = relative_error(part, "model.channels");
  claims.push_back({"conv.error", "||G^(H)(0) - K^(H)||_2 / l_min(K^(H)) over H", chapter_3,
                    listed(error.keys, error.values), "", true});
  return claims;
}

// ---- Layer means

std::vector<Part> bias_parts(Scale scale) {
  const bool quick = scale == Scale::quick;
  return {
      {"widths", fmt::format(R"(
name = "overparam.bias"
record.states = false
[model]
kind = "resnet"
parametrization = "thesis"
activation = "softplus"
c_res = 0.5
depth = 5
hidden = 64
[data]
source = "sphere"
shape = 20
count = 20
targets = "random_normal"
{}[probes]
layer_mean_error = {{ steps = [0] }}
[sweep]
"model.hidden" = {}
"seed" = {{ range = [0, {}] }}
)",
                             untrained, quick ? "[64, 256, 1024]" : "[64, 256, 1024, 4096, 16384]",
                             quick ? 10 : 32)}};
}

std::vector<Claim> bias_claims(const FinishedParts& parts) {
  const FinishedPart& part = parts.at("widths");
  std::vector<Claim> claims;
  for (std::size_t h = 0; h < 4; ++h) {
    claims.push_back(slope_claim("bias.concentration",
                                 "the largest error of a layer's means falls like m^-1/2",
                                 "Du 2019, thesis, theorem 3.4", fmt::format("h = {}", h + 1),
                                 medians_over(part, "model.hidden", "layer_mean_error", h)));
  }
  return claims;
}

// ---- Digits

std::vector<Part> digits_parts(Scale scale) {
  const bool quick = scale == Scale::quick;
  return {{"labels", fmt::format(R"(
name = "overparam.digits"
record.states = false
[model]
kind = "two_layer_relu"
hidden = {0}
[data]
source = "digits"
classes = [3, 8]
count = {1}
targets = "sign"
normalize = "unit_norm"
[init]
kind = "gaussian"
[optimizer]
kind = "gd"
learning_rate = {2}
[stop]
steps = {3}
check_every = {3}
[cadences]
each = {{ every = 1 }}
start = {{ steps = [0] }}
[probes]
train_loss = {{ every = "each" }}
outputs = {{ every = "each" }}
tangent_kernel = {{ every = "start" }}
[sweep]
"data.random_labels" = [0.0, 1.0]
)",
                                 quick ? 8192 : 32768, quick ? 100 : 350, quick ? 0.006 : 0.002,
                                 quick ? 700 : 1500)}};
}

/// Steps, between two of them by interpolation, until a component is half of what it was; nothing
/// where it never is.
std::optional<double> half_time(const std::vector<double>& sizes) {
  for (std::size_t k = 1; k < sizes.size(); ++k) {
    if (sizes[k] > sizes[0] / 2) continue;
    const double above = std::log(sizes[k - 1]);
    const double below = std::log(std::max(sizes[k], 1e-300));
    return static_cast<double>(k - 1) + (above - std::log(sizes[0] / 2)) / (above - below);
  }
  return std::nullopt;
}

std::vector<Claim> digits_claims(const FinishedParts& parts) {
  const FinishedPart& part = parts.at("labels");
  constexpr std::size_t leading = 10;
  std::vector<Claim> claims;
  for (const MemberGroup& group : groups_but_for_seeds(part.experiment)) {
    const std::int64_t member = group.members.front();
    const Settings settings = part.experiment.member(member);
    const double eta = settings.number("optimizer.learning_rate");
    const std::vector<double>& y = network::data_of(settings)->train.targets;
    const std::size_t n = y.size();
    const Eigenpairs pairs = eigenpairs(*part.samples.find(member, "tangent_kernel"), n);
    const std::int64_t samples = part.samples.count(member, "outputs");
    std::vector<std::vector<double>> components(leading);
    for (std::int64_t k = 0; k < samples; ++k) {
      const std::vector<double>& f = *part.samples.find(member, "outputs", k);
      for (std::size_t i = 0; i < leading; ++i) {
        const double* v = pairs.vectors.data() + (n - 1 - i) * n;
        double sum = 0;
        for (std::size_t j = 0; j < n; ++j) sum += v[j] * (y[j] - f[j]);
        components[i].push_back(std::fabs(sum));
      }
    }
    double worst = 0;
    std::string times;
    for (std::size_t i = 0; i < leading; ++i) {
      const double predicted = std::numbers::ln2 / -std::log(1 - eta * pairs.values[n - 1 - i]);
      const std::optional<double> found = half_time(components[i]);
      worst = found ? std::max(worst, std::fabs(*found / predicted - 1)) : HUGE_VAL;
      times += fmt::format("{}{} of {:.1f}", i == 0 ? "" : ", ",
                           found ? fmt::format("{:.1f}", *found) : "never", predicted);
    }
    claims.push_back(
        {"digits.half-times",
         "component i of y - u(0) along the eigenvectors of H(0) halves in ln 2 / -ln(1 "
         "- eta l_i) steps, the leading 10",
         chapter_2, fmt::format("{}: at worst {:.1f} % off ({})", group.text, 100 * worst, times),
         "20 %", worst <= 0.2});
    double along = 0;
    for (std::size_t i = 0; i < leading; ++i) {
      const double* v = pairs.vectors.data() + (n - 1 - i) * n;
      double sum = 0;
      for (std::size_t j = 0; j < n; ++j) sum += v[j] * y[j];
      along += sum * sum;
    }
    claims.push_back(
        {"digits.labels",
         "share of ||y||^2 along the leading 10 eigenvectors, and train loss at the end", chapter_2,
         fmt::format("{}: {:.3f}, {:.3g} of {:.3g}", group.text, along / squared(y),
                     median_of(part, group, "train_loss", -1),
                     median_of(part, group, "train_loss")),
         "", true});
  }
  return claims;
}

}  // namespace

std::vector<Reproduction> overparam_reproductions() {
  return {
      {"overparam.fig1", "two-layer ReLU: error, patterns and distances against the width",
       fig1_parts, fig1_claims},
      {"overparam.linear-rate",
       "two-layer ReLU: the rate of gradient descent against its bound and "
       "the spectrum of H(0)",
       linear_rate_parts, linear_rate_claims},
      {"overparam.concentration", "H(0) goes to Hinf with the width", concentration_parts,
       concentration_claims},
      {"overparam.lambda-scaling", "l_min(Hinf) against examples and the closest pair",
       lambda_scaling_parts, lambda_scaling_claims},
      {"overparam.deep", "FC and ResNet: G^(H)(0) against K^(H) over depth and width", deep_parts,
       deep_claims},
      {"overparam.conv", "conv ResNet on digits: the same", conv_parts, conv_claims},
      {"overparam.bias", "means of a ResNet's layers against their limits", bias_parts,
       bias_claims},
      {"overparam.digits", "two-layer ReLU on digits: which parts of labels are fitted when",
       digits_parts, digits_claims},
  };
}

}  // namespace manyfold::apps
