// Every probe of a factorization against a slow formula of its own: double loops and LAPACK, at
// random states and at special ones, and what a probe promises of memory, samples and events.
#include "models/factorization/probes.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>
#include <random>
#include <set>

#include <fmt/format.h>
#include <lapacke.h>

#include "core/data/array_file.hpp"
#include "core/error.hpp"
#include "models/factorization/factorization.hpp"
#include "models/factorization/problem.hpp"
#include "models/factorization/start.hpp"
#include "models/training/control_block.hpp"
#include "models/training/ensemble.hpp"
#include "tests/models/run.hpp"
#include "tests/scratch_folder.hpp"

namespace manyfold::testing {
namespace {

using factorization::Shape;

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }
constexpr double nan = std::numeric_limits<double>::quiet_NaN();

// ---- matrices by double loops

struct Matrix {
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  std::vector<double> x;
  double operator()(std::int64_t i, std::int64_t j) const { return x[at(i * cols + j)]; }
};

Matrix zeros(std::int64_t rows, std::int64_t cols) {
  return {rows, cols, std::vector<double>(at(rows * cols), 0.0)};
}

Matrix transposed(const Matrix& a) {
  Matrix t = zeros(a.cols, a.rows);
  for (std::int64_t i = 0; i < a.rows; ++i) {
    for (std::int64_t j = 0; j < a.cols; ++j) t.x[at(j * a.rows + i)] = a(i, j);
  }
  return t;
}

Matrix times(const Matrix& a, const Matrix& b) {
  Matrix c = zeros(a.rows, b.cols);
  for (std::int64_t i = 0; i < a.rows; ++i) {
    for (std::int64_t j = 0; j < b.cols; ++j) {
      for (std::int64_t k = 0; k < a.cols; ++k) c.x[at(i * b.cols + j)] += a(i, k) * b(k, j);
    }
  }
  return c;
}

Matrix minus(Matrix a, const Matrix& b) {
  for (std::size_t i = 0; i < a.x.size(); ++i) a.x[i] -= b.x[i];
  return a;
}

double norm2(const Matrix& a) {
  double sum = 0;
  for (const double x : a.x) sum += x * x;
  return sum;
}
double norm(const Matrix& a) { return std::sqrt(norm2(a)); }

struct Svd {
  std::vector<double> s;
  Matrix u;  ///< (rows, min)
};
Svd svd(Matrix a) {
  const std::int64_t count = std::min(a.rows, a.cols);
  Svd result{std::vector<double>(at(count)), zeros(a.rows, count)};
  std::vector<double> vt(at(count * a.cols));
  std::vector<double> rest(at(count));
  const auto rows = static_cast<lapack_int>(a.rows);
  const auto cols = static_cast<lapack_int>(a.cols);
  EXPECT_EQ(LAPACKE_dgesvd(LAPACK_ROW_MAJOR, 'S', 'S', rows, cols, a.x.data(), cols,
                           result.s.data(), result.u.x.data(), static_cast<lapack_int>(count),
                           vt.data(), cols, rest.data()),
            0);
  return result;
}

/// A member's parameters as matrices.
struct State {
  Shape shape;
  std::vector<Matrix> layers;  ///< W_1 ... W_L
  Matrix w;

  const Matrix& layer(std::int64_t h) const { return layers[at(h - 1)]; }
  Matrix difference(std::int64_t h) const {
    return minus(times(transposed(layer(h + 1)), layer(h + 1)),
                 times(layer(h), transposed(layer(h))));
  }
  /// How large rounding in a product of the layers can be, in units of eps.
  double scale() const {
    double product = 1;
    for (const Matrix& one : layers) product *= norm(one);
    return shape.symmetric_model ? product * product : product;
  }
};

State state_of(const Shape& shape, const std::vector<double>& parameters) {
  State state{shape, {}, {}};
  for (std::int64_t h = 1; h <= shape.layers(); ++h) {
    const auto begin = parameters.begin() + static_cast<std::ptrdiff_t>(shape.layer_offset(h));
    state.layers.push_back({shape.layer_rows(h),
                            shape.layer_cols(h),
                            {begin, begin + static_cast<std::ptrdiff_t>(shape.layer_size(h))}});
  }
  Matrix product = state.layers.front();
  for (std::int64_t h = 2; h <= shape.layers(); ++h) product = times(state.layer(h), product);
  state.w = shape.symmetric_model ? times(product, transposed(product)) : product;
  return state;
}

// ---- a model whose parameters are in the test's hands

struct ModelCase {
  std::string name;
  std::string model;
  std::int64_t rows;
  std::int64_t cols;
};

std::vector<ModelCase> model_cases() {
  return {
      {"oblong", "kind = \"deep_linear\"\nsizes = [4, 3, 6, 5]\n", 5, 4},
      {"wide", "kind = \"deep_linear\"\nsizes = [7, 4, 3]\n", 3, 7},
      {"factors", "kind = \"deep_linear\"\nsizes = [6, 4, 6]\n", 6, 6},
      {"rank_one_factors", "kind = \"deep_linear\"\nsizes = [5, 1, 5]\n", 5, 5},
      {"symmetric", "kind = \"symmetric\"\nsizes = [3, 4, 5]\n", 5, 5},
      {"single", "kind = \"deep_linear\"\nsizes = [4, 6]\n", 6, 4},
  };
}

class Files {
 public:
  explicit Files(const ModelCase& one) {
    std::mt19937_64 random(11);
    std::normal_distribution<double> normal;
    auto array = [&](std::vector<std::int64_t> shape) {
      std::int64_t count = 1;
      for (const std::int64_t n : shape) count *= n;
      Array made{std::move(shape), std::vector<double>(at(count))};
      for (double& x : made.values) x = normal(random);
      return made;
    };
    matrix = array({one.rows, one.cols});
    several = array({5, one.rows, one.cols});
    directions = array({3, one.rows});
    write_array(path("matrix.npy"), matrix);
    write_array(path("several.npy"), several);
    write_array(path("directions.npy"), directions);
  }
  std::string path(const std::string& name) const { return (folder_.path() / name).string(); }

  Array matrix, several, directions;

 private:
  test::ScratchFolder folder_;
};

constexpr double alpha = 0.7;

/// Every probe that the model can have; probes that take keys under names of their own, too.
std::string all_probes(const ModelCase& one, const Files& files) {
  const bool pairs = one.name != "single";
  const bool factors = one.name == "factors" || one.name == "rank_one_factors";
  std::string text = "[probes]\n";
  auto add = [&](const std::string& name, const std::string& keys = "") {
    text += fmt::format("{} = {{ every = 1{}{} }}\n", name, keys.empty() ? "" : ", ", keys);
  };
  for (const char* name : {"train_loss",
                           "end_norm",
                           "layer_norm2",
                           "spectral_norm",
                           "nuclear_norm",
                           "representation_cost",
                           "test_loss",
                           "test_error",
                           "relative_test_loss",
                           "singular_values",
                           "singular_value_floor",
                           "layer_singular_values",
                           "effective_rank",
                           "stable_rank",
                           "numerical_rank",
                           "rank_ratio",
                           "distance",
                           "end_to_end",
                           "parameters",
                           "alignment"}) {
    if (std::string(name) == "rank_ratio" && one.name == "rank_one_factors") {
      add("rank_ratio", "index = 2");
    } else {
      add(name);
    }
  }
  add("schatten_norm", "p = 0.5");
  add("schatten_3", "kind = \"schatten_norm\", p = 3");
  add("low_rankness", "rank = 1");
  add("low_rankness_0", "kind = \"low_rankness\", rank = 0");
  add("f_alpha_rank", fmt::format("alpha = {}", alpha));
  add("in_b_r_rank", fmt::format("rank = 2, alpha = {}, epsilon2 = 0.1", alpha));
  add("in_b_r_bound", "bound = 6.0");
  add("distance_1", "kind = \"distance\", rank = 1");
  add("distance_file", fmt::format("kind = \"distance\", file = \"{}\"", files.path("matrix.npy")));
  add("closest_distance", fmt::format("file = \"{}\"", files.path("several.npy")));
  add("closest_index", fmt::format("file = \"{}\"", files.path("several.npy")));
  add("alignment_file", fmt::format("kind = \"alignment\", of = \"file\", count = 2, file = \"{}\"",
                                    files.path("directions.npy")));
  add("first_two", "kind = \"singular_values\", count = 2");
  add("layer_first", "kind = \"layer_singular_values\", count = 1");
  if (one.rows == one.cols) add("alignment_gradient", "kind = \"alignment\", of = \"gradient\"");
  if (pairs) {
    for (const char* name : {"balance", "balance_drift", "neuron_balance", "neuron_balance_drift",
                             "layer_norm2_difference", "layer_norm2_ratio"}) {
      add(name);
    }
    add("in_b_r",
        fmt::format("rank = 2, alpha = {}, epsilon1 = 2.0, epsilon2 = 0.1, bound = 6.0", alpha));
    add("in_b_r_balance", "epsilon1 = 2.0");
  }
  if (factors) {
    add("factor_distance");
    add("factor_cosine");
  }
  return text;
}

std::string experiment_text(const ModelCase& one, const Files& files,
                            const std::string& precision) {
  const bool symmetric = one.rows == one.cols;
  return fmt::format(
             "precision = \"{}\"\nproblem.seed = 3\nseed = 5\n[model]\n{}"
             "[objective]\nkind = \"completion\"\nobserved = 0.6\nsymmetric = {}\n"
             "target = {{ kind = \"gaussian\", rows = {}, cols = {} }}\n"
             "[init]\nkind = \"gaussian\"\nstddev = 0.6\n"
             "[optimizer]\nkind = \"gd\"\nlearning_rate = 0.01\n[stop]\nsteps = 3\n",
             precision, one.model, symmetric, one.rows, one.cols) +
         all_probes(one, files);
}

class Bench {
 public:
  Bench(Executor& executor, const std::string& toml, std::int64_t slots)
      : executor_(executor),
        slots_(slots),
        experiment_(Experiment::parse(toml, "test.toml", {}, experiment_spec())),
        plan_(make_plan(experiment_, executor.device())),
        settings_(experiment_.member(0)),
        shape_(factorization::shape_of(settings_)),
        control_(executor, slots),
        work_(executor, slots, slots),
        model_(model_kind(settings_).make(executor, settings_, slots, true, work_)) {
    const std::vector<Settings> members(at(slots), settings_);
    control_.load(members);
    model_->load(members);
  }

  const Shape& shape() const { return shape_; }
  const Settings& settings() const { return settings_; }

  void set(std::int64_t slot, const std::vector<double>& values) {
    std::visit(
        [&]<class T>(const Parameters<T>& typed) {
          const std::vector<T> rounded(values.begin(), values.end());
          executor_.copy_in(typed.values.slot(slot), rounded.data(), rounded.size() * sizeof(T));
        },
        model_->parameters());
  }
  State state(std::int64_t slot) {
    return std::visit(
        [&]<class T>(const Parameters<T>& typed) {
          std::vector<T> host(at(typed.values.count));
          executor_.copy_out(host.data(), typed.values.slot(slot), host.size() * sizeof(T));
          return state_of(shape_, std::vector<double>(host.begin(), host.end()));
        },
        model_->parameters());
  }
  void evaluate() { model_->evaluate(control_.control(), {true, true}); }

  /// Names of the probes that the model itself observes.
  std::vector<std::string> names() const {
    std::vector<std::string> all;
    for (const ProbeRequest& probe : plan_.probes.probes) {
      if (probe.of != "train_loss") all.push_back(probe.kind.name);
    }
    return all;
  }
  std::int64_t width(const std::string& name) const {
    std::int64_t product = 1;
    for (const ProbeRequest& probe : plan_.probes.probes) {
      if (probe.kind.name != name) continue;
      for (const std::int64_t n : model_kind(settings_).extents(settings_, probe.kind)) {
        product *= n;
      }
    }
    return product;
  }
  /// By slot. What lies between slots must stay as it is.
  std::vector<std::vector<double>> observe(const std::string& name) {
    const std::int64_t count = width(name);
    const std::int64_t stride = count + 3;
    Buffer<double> out(executor_, slots_ * stride);
    out.upload(std::vector<double>(at(slots_ * stride), -77.0));
    model_->observe(name, out.data(), stride);
    const std::vector<double> host = out.download();
    std::vector<std::vector<double>> all;
    for (std::int64_t slot = 0; slot < slots_; ++slot) {
      const auto begin = host.begin() + static_cast<std::ptrdiff_t>(slot * stride);
      all.emplace_back(begin, begin + static_cast<std::ptrdiff_t>(count));
      for (std::int64_t i = count; i < stride; ++i) {
        EXPECT_EQ(begin[i], -77.0) << name << " wrote beyond its values";
      }
    }
    return all;
  }

 private:
  Executor& executor_;
  std::int64_t slots_;
  Experiment experiment_;
  Plan plan_;
  Settings settings_;
  Shape shape_;
  ControlBlock control_;
  kernels::WorkSlots work_;
  std::unique_ptr<Model> model_;
};

// ---- what each probe should say

struct Expected {
  std::vector<double> values;
  /// Absolute, in units of the epsilon of the member's precision: what rounding may make of it.
  double rounding = 0;
};

class Reference {
 public:
  /// `singular`: the values that the device found of W, which are tested by themselves: functions
  /// of them are compared at these, because some of them (powers below 1) magnify rounding at 0.
  Reference(const Bench& bench, const Files& files, State start, State state,
            std::vector<double> singular)
      : bench_(bench),
        files_(files),
        start_(std::move(start)),
        now_(std::move(state)),
        singular_(std::move(singular)),
        problem_(factorization::make_problem(bench.settings())) {
    target_ = {problem_.rows, problem_.cols, problem_.target};
  }

  Expected operator()(const std::string& name) const {
    const std::vector<double>& s = singular_;
    const double n = 50;  // terms of the longest sum, and some
    const double end = n * now_.scale();
    if (name == "end_norm") return one(norm(now_.w), end);
    if (name == "spectral_norm") return one(s[0], 0);
    if (name == "singular_values") return {svd(now_.w).s, end};
    if (name == "singular_value_floor") {
      const auto longest = static_cast<double>(std::max(now_.w.rows, now_.w.cols));
      const double floor = 4 * longest * std::numeric_limits<double>::epsilon();
      return {{floor * svd(now_.w).s.front()}, floor * end};
    }
    if (name == "end_to_end") return {now_.w.x, end};
    if (name == "first_two") return {{s[0], s[1]}, 0};
    if (name == "nuclear_norm") return one(power_sum(1), n * power_sum(1));
    if (name == "schatten_norm") return one(schatten(0.5), n * schatten(0.5));
    if (name == "schatten_3") return one(schatten(3), n * schatten(3));
    if (name == "representation_cost") {
      const auto depth = static_cast<double>(bench_.shape().depth());
      const double cost = depth * power_sum(2 / depth);
      return one(cost, n * cost);
    }
    if (name == "effective_rank") return one(effective_rank(), n * effective_rank());
    if (name == "stable_rank") return one(s[0] > 0 ? power_sum(2) / (s[0] * s[0]) : 0, n * 10);
    if (name == "numerical_rank") {
      return one(static_cast<double>(
                     std::count_if(s.begin(), s.end(), [&](double x) { return x > 1e-8 * s[0]; })),
                 0);
    }
    if (name == "rank_ratio") {
      const std::size_t i = bench_.settings().has("probes.rank_ratio.index")
                                ? at(bench_.settings().integer("probes.rank_ratio.index"))
                                : 1;
      return one(s[i] / s[i - 1], 0);
    }
    if (name == "low_rankness") return one(tail(1), n * tail(1));
    if (name == "low_rankness_0") return one(tail(0), n * tail(0));
    if (name == "layer_norm2") {
      return layers([](const State& x, std::int64_t h) { return norm2(x.layer(h)); });
    }
    if (name == "layer_singular_values") return layer_values(limit());
    if (name == "layer_first") return layer_values(1);
    if (name == "f_alpha_rank") return layers(f_alpha);
    if (name == "layer_norm2_difference") {
      return pairs(
          [](const State& x, std::int64_t h) { return norm2(x.layer(h + 1)) - norm2(x.layer(h)); });
    }
    if (name == "layer_norm2_ratio") {
      return pairs(
          [](const State& x, std::int64_t h) { return norm2(x.layer(h + 1)) / norm2(x.layer(h)); });
    }
    if (name == "balance") {
      return pairs([](const State& x, std::int64_t h) { return norm(x.difference(h)); });
    }
    if (name == "balance_drift") {
      return pairs([this](const State& x, std::int64_t h) {
        return norm(minus(x.difference(h), start_.difference(h)));
      });
    }
    if (name == "neuron_balance") {
      return pairs([](const State& x, std::int64_t h) { return largest(gaps(x, h)); });
    }
    if (name == "neuron_balance_drift") {
      return pairs([this](const State& x, std::int64_t h) {
        std::vector<double> now = gaps(x, h);
        const std::vector<double> then = gaps(start_, h);
        for (std::size_t i = 0; i < now.size(); ++i) now[i] -= then[i];
        return largest(now);
      });
    }
    if (name == "in_b_r_balance") return one(balanced() ? 1 : 0, 0);
    if (name == "in_b_r_rank") return one(ranked() ? 1 : 0, 0);
    if (name == "in_b_r_bound") return one(bounded() ? 1 : 0, 0);
    if (name == "in_b_r") return one(balanced() && ranked() && bounded() ? 1 : 0, 0);
    if (name == "factor_distance") {
      return one(norm(minus(now_.layer(2), transposed(now_.layer(1)))),
                 n * (norm(now_.layer(1)) + norm(now_.layer(2))));
    }
    if (name == "factor_cosine") {
      double inner = 0;
      for (std::int64_t i = 0; i < now_.w.rows; ++i) {
        for (std::int64_t j = 0; j < now_.layer(1).rows; ++j) {
          inner += now_.layer(2)(i, j) * now_.layer(1)(j, i);
        }
      }
      return one(std::fabs(inner) / (norm(now_.layer(1)) * norm(now_.layer(2))), n);
    }
    if (name == "distance") return from(target_);
    if (name == "distance_1") return from(rank_one(target_));
    if (name == "distance_file") return from({now_.w.rows, now_.w.cols, files_.matrix.values});
    if (name == "closest_distance" || name == "closest_index") {
      std::vector<double> all;
      for (std::int64_t k = 0; k < 5; ++k) {
        const auto begin = files_.several.values.begin() +
                           static_cast<std::ptrdiff_t>(k * now_.w.rows * now_.w.cols);
        const Matrix one_of{now_.w.rows,
                            now_.w.cols,
                            {begin, begin + static_cast<std::ptrdiff_t>(now_.w.x.size())}};
        all.push_back(norm(minus(now_.w, one_of)));
      }
      const auto least = std::min_element(all.begin(), all.end());
      if (name == "closest_distance") return one(*least, end + n * *least);
      return one(static_cast<double>(least - all.begin()), 0);
    }
    if (name.starts_with("alignment")) return alignment(name);
    if (name == "test_loss") return one(0.5 * tested(now_.w), loss_rounding());
    if (name == "test_error") {
      return one(std::sqrt(tested(now_.w) / tested(zero())), loss_rounding());
    }
    if (name == "relative_test_loss") {
      return one(0.5 * tested(now_.w) / (0.5 * tested(zero())), loss_rounding());
    }
    if (name == "parameters") {
      Expected all;
      for (const Matrix& layer : now_.layers) {
        all.values.insert(all.values.end(), layer.x.begin(), layer.x.end());
      }
      return all;
    }
    ADD_FAILURE() << "no formula for " << name;
    return {};
  }

 private:
  static Expected one(double value, double rounding) { return {{value}, rounding}; }
  static double largest(const std::vector<double>& values) {
    double most = 0;
    for (const double x : values) most = std::max(most, std::fabs(x));
    return most;
  }
  static std::vector<double> gaps(const State& x, std::int64_t h) {
    std::vector<double> all;
    for (std::int64_t i = 0; i < x.shape.layer_rows(h); ++i) {
      double in = 0;
      double out = 0;
      for (std::int64_t j = 0; j < x.layer(h).cols; ++j) in += x.layer(h)(i, j) * x.layer(h)(i, j);
      for (std::int64_t j = 0; j < x.layer(h + 1).rows; ++j) {
        out += x.layer(h + 1)(j, i) * x.layer(h + 1)(j, i);
      }
      all.push_back(in - out);
    }
    return all;
  }
  static double f_alpha(const State& x, std::int64_t h) {
    double sum = 0;
    for (const double s : svd(x.layer(h)).s) {
      const double y = s * s;
      sum += y <= alpha ? y * (2 * alpha - y) / (alpha * alpha) : 1;
    }
    return sum;
  }
  std::int64_t limit() const { return factorization::layer_rank_limit(bench_.shape()); }

  /// Sums of a few squares of the layers of both states.
  double layer_rounding() const {
    double sum = 1;
    for (const Matrix& layer : now_.layers) sum += norm2(layer);
    for (const Matrix& layer : start_.layers) sum += norm2(layer);
    return 50 * sum;
  }
  template <class Formula>
  Expected layers(Formula formula) const {
    Expected all{{}, layer_rounding()};
    for (std::int64_t h = 1; h <= bench_.shape().layers(); ++h) {
      all.values.push_back(formula(now_, h));
    }
    return all;
  }
  template <class Formula>
  Expected pairs(Formula formula) const {
    Expected all{{}, layer_rounding()};
    for (std::int64_t h = 1; h < bench_.shape().layers(); ++h) {
      all.values.push_back(formula(now_, h));
    }
    return all;
  }
  Expected layer_values(std::int64_t count) const {
    Expected all{{}, layer_rounding()};
    for (std::int64_t h = 1; h <= bench_.shape().layers(); ++h) {
      std::vector<double> s = svd(now_.layer(h)).s;
      s.resize(at(limit()), nan);
      all.values.insert(all.values.end(), s.begin(),
                        s.begin() + static_cast<std::ptrdiff_t>(count));
    }
    return all;
  }
  double power_sum(double p) const {
    double sum = 0;
    for (const double s : singular_) sum += s > 0 ? std::pow(s, p) : 0;
    return sum;
  }
  double schatten(double p) const { return std::pow(power_sum(p), 1 / p); }
  double tail(std::size_t r) const {
    double sum = 0;
    for (std::size_t i = r; i < singular_.size(); ++i) sum += singular_[i] * singular_[i];
    return std::sqrt(sum);
  }
  double effective_rank() const {
    const double total = power_sum(1);
    if (total == 0) return 0;
    double entropy = 0;
    for (const double s : singular_) {
      if (s > 0) entropy -= s / total * std::log(s / total);
    }
    return std::exp(entropy);
  }
  bool balanced() const {
    bool all = true;
    for (std::int64_t h = 1; h < bench_.shape().layers(); ++h) {
      all = all && norm2(now_.difference(h)) <= 2.0;
    }
    return all;
  }
  bool ranked() const {
    bool all = true;
    for (std::int64_t h = 1; h <= bench_.shape().layers(); ++h)
      all = all && f_alpha(now_, h) <= 2.1;
    return all;
  }
  bool bounded() const {
    bool all = true;
    for (const Matrix& layer : now_.layers) all = all && norm2(layer) <= 6.0;
    return all;
  }
  static Matrix rank_one(const Matrix& m) {
    // u u^T M, u the first left singular vector.
    const Svd d = svd(m);
    Matrix u = zeros(m.rows, 1);
    for (std::int64_t i = 0; i < m.rows; ++i) u.x[at(i)] = d.u(i, 0);
    return times(u, times(transposed(u), m));
  }
  Expected from(const Matrix& a) const {
    return one(norm(minus(now_.w, a)), 50 * (now_.scale() + norm(a)));
  }
  Matrix zero() const { return zeros(now_.w.rows, now_.w.cols); }
  double tested(const Matrix& w) const {
    double sum = 0;
    for (std::size_t i = 0; i < w.x.size(); ++i) {
      if (problem_.mask[i] == 0) sum += std::pow(w.x[i] - target_.x[i], 2);
    }
    return sum;
  }
  double loss_rounding() const {
    const double size = now_.scale() + norm(target_);
    return 50 * (size * size + 1);
  }

  Expected alignment(const std::string& name) const {
    std::vector<std::vector<double>> directions;
    if (name == "alignment_file") {
      for (std::int64_t k = 0; k < 2; ++k) {
        const auto begin =
            files_.directions.values.begin() + static_cast<std::ptrdiff_t>(k * now_.w.rows);
        directions.emplace_back(begin, begin + static_cast<std::ptrdiff_t>(now_.w.rows));
      }
    } else if (name == "alignment") {
      const Matrix u = svd(target_).u;
      for (std::int64_t k = 0; k < u.cols; ++k) {
        directions.emplace_back();
        for (std::int64_t i = 0; i < u.rows; ++i) directions.back().push_back(u(i, k));
      }
    } else {
      // By dsyev, where the program takes dsyevd.
      Matrix g = target_;
      for (std::size_t i = 0; i < g.x.size(); ++i) g.x[i] *= problem_.mask[i];
      std::vector<double> values(at(g.rows));
      const auto rows = static_cast<lapack_int>(g.rows);
      EXPECT_EQ(LAPACKE_dsyev(LAPACK_ROW_MAJOR, 'V', 'U', rows, g.x.data(), rows, values.data()),
                0);
      for (std::int64_t k = g.rows - 1; k >= 0; --k) {
        directions.emplace_back();
        for (std::int64_t i = 0; i < g.rows; ++i) directions.back().push_back(g(i, k));
      }
    }
    const Svd d = svd(now_.w);
    Expected all;
    for (const std::vector<double>& v : directions) {
      double inner = 0;
      double length2 = 0;
      for (std::int64_t i = 0; i < now_.w.rows; ++i) {
        inner += v[at(i)] * d.u(i, 0);
        length2 += v[at(i)] * v[at(i)];
      }
      all.values.push_back(d.s[0] > 0 ? std::fabs(inner) / std::sqrt(length2) : nan);
    }
    // A singular vector turns by at most the perturbation over the gap (Wedin).
    const double gap = d.s.size() > 1 ? d.s[0] - d.s[1] : d.s[0];
    all.rounding = 50 * (1 + now_.scale() / gap);
    return all;
  }

  const Bench& bench_;
  const Files& files_;
  State start_;
  State now_;
  std::vector<double> singular_;
  factorization::Problem problem_;
  Matrix target_;
};

std::vector<double> random_parameters(const Shape& shape, std::mt19937_64& random, double scale) {
  std::normal_distribution<double> normal(0, scale);
  std::vector<double> values(at(shape.parameters()));
  for (double& x : values) x = normal(random);
  return values;
}

/// Every layer an outer product.
std::vector<double> rank_one_parameters(const Shape& shape, std::mt19937_64& random) {
  std::normal_distribution<double> normal;
  std::vector<double> values;
  for (std::int64_t h = 1; h <= shape.layers(); ++h) {
    std::vector<double> left(at(shape.layer_rows(h)));
    std::vector<double> right(at(shape.layer_cols(h)));
    for (double& x : left) x = normal(random);
    for (double& x : right) x = normal(random);
    for (const double x : left) {
      for (const double y : right) values.push_back(x * y / 2);
    }
  }
  return values;
}

using ProbesOnDevice = OnDevice;

/// A random orthogonal matrix: Gram-Schmidt, twice.
Matrix orthogonal(std::int64_t n, std::mt19937_64& random) {
  std::normal_distribution<double> normal;
  Matrix q = zeros(n, n);
  for (double& x : q.x) x = normal(random);
  for (std::int64_t i = 0; i < n; ++i) {
    for (int pass = 0; pass < 2; ++pass) {
      for (std::int64_t j = 0; j < i; ++j) {
        double inner = 0;
        for (std::int64_t k = 0; k < n; ++k) inner += q(i, k) * q(j, k);
        for (std::int64_t k = 0; k < n; ++k) q.x[at(i * n + k)] -= inner * q(j, k);
      }
    }
    double norm2 = 0;
    for (std::int64_t k = 0; k < n; ++k) norm2 += q(i, k) * q(i, k);
    for (std::int64_t k = 0; k < n; ++k) q.x[at(i * n + k)] /= std::sqrt(norm2);
  }
  return q;
}

// Values of 1e-6, 1e-12, ... 1e-30 of a product whose factors have condition 1e10: the product
// itself, once formed, knows nothing below 1e-17.
TEST_P(ProbesOnDevice, SingularValuesOfAProductOutliveItsRounding) {
  const auto device = executor();
  constexpr std::int64_t n = 6;
  for (const bool symmetric : {false, true}) {
    const std::string model = symmetric ? "kind = \"symmetric\"\ndepth = 4\nhidden = 6"
                                        : "kind = \"deep_linear\"\nsizes = [6, 6, 6, 6]";
    Bench bench(*device,
                "[model]\n" + model +
                    "\n[objective]\nkind = \"full\"\ntarget = { kind = \"gaussian\", size = 6 }\n" +
                    (symmetric ? "symmetric = true\n" : "") +
                    "[init]\nkind = \"gaussian\"\nstddev = 0.1\n[optimizer]\nkind = "
                    "\"gd\"\nlearning_rate = 0.1\n[stop]\nsteps = 1\n[probes]\nsingular_values = { "
                    "every = 1 }\n",
                2);
    std::mt19937_64 random(11);
    std::vector<double> theta;
    Matrix below = orthogonal(n, random);
    for (std::int64_t h = 0; h < bench.shape().layers(); ++h) {
      const Matrix above = orthogonal(n, random);
      Matrix middle = zeros(n, n);
      for (std::int64_t i = 0; i < n; ++i) {
        middle.x[at(i * n + i)] = std::pow(10.0, -2.0 * static_cast<double>(i));
      }
      const Matrix w = times(times(transposed(above), middle), below);
      theta.insert(theta.end(), w.x.begin(), w.x.end());
      below = above;
    }
    bench.set(0, theta);
    bench.set(1, std::vector<double>(theta.size(), nan));
    bench.evaluate();
    const auto found = bench.observe("singular_values");
    const double factors = static_cast<double>(bench.shape().layers()) * (symmetric ? 2 : 1);
    for (std::int64_t i = 0; i < n; ++i) {
      const double expected = std::pow(10.0, -2.0 * static_cast<double>(i) * factors);
      // n eps cond of the factors' leading parts, and the roundings that made the factors.
      const double bound =
          30 * factors * n * 2.2e-16 * std::pow(10.0, 2.0 * static_cast<double>(i));
      EXPECT_LT(std::fabs(found[0][at(i)] / expected - 1), bound) << i << " " << found[0][at(i)];
      EXPECT_TRUE(std::isnan(found[1][at(i)]));
    }
  }
}

// Beyond the narrowest layer there is nothing, to the bit.
TEST_P(ProbesOnDevice, SingularValuesBeyondTheNarrowestLayerAreZero) {
  const auto device = executor();
  Bench bench(*device,
              "[model]\nkind = \"deep_linear\"\nsizes = [6, 5, 2, 5]\n[objective]\nkind = "
              "\"full\"\ntarget = { kind = \"gaussian\", rows = 5, cols = 6 }\n[init]\nkind = "
              "\"gaussian\"\nstddev = 0.7\n[optimizer]\nkind = \"gd\"\nlearning_rate = "
              "0.1\n[stop]\nsteps = 1\n[probes]\nsingular_values = { every = 1 }\n",
              1);
  bench.evaluate();
  const auto found = bench.observe("singular_values").front();
  ASSERT_EQ(found.size(), 5U);
  EXPECT_GT(found[1], 0);
  for (const std::size_t i : {2U, 3U, 4U}) EXPECT_EQ(found[i], 0);
}

TEST_P(ProbesOnDevice, FollowTheirFormulas) {
  const auto device = executor();
  for (const std::string precision : {"f64", "f32"}) {
    const double eps = precision == "f64" ? 0x1p-52 : 0x1p-23;
    for (const ModelCase& one : model_cases()) {
      const Files files(one);
      Bench bench(*device, experiment_text(one, files, precision), 5);
      std::vector<State> starts;
      for (std::int64_t slot = 0; slot < 5; ++slot) starts.push_back(bench.state(slot));
      std::mt19937_64 random(7);
      bench.set(0, random_parameters(bench.shape(), random, 0.6));
      bench.set(1, std::vector<double>(at(bench.shape().parameters()), 0.0));
      bench.set(2, rank_one_parameters(bench.shape(), random));
      bench.set(3, random_parameters(bench.shape(), random, 0.05));  // inside B_r
      bench.evaluate();
      const auto singular = bench.observe("singular_values");
      for (const std::string& name : bench.names()) {
        const auto found = bench.observe(name);
        for (std::int64_t slot = 0; slot < 5; ++slot) {
          SCOPED_TRACE(fmt::format("{} {} {} slot {}", precision, one.name, name, slot));
          const Expected expected = Reference(bench, files, starts[at(slot)], bench.state(slot),
                                              singular[at(slot)])(name);
          ASSERT_EQ(found[at(slot)].size(), expected.values.size());
          for (std::size_t i = 0; i < expected.values.size(); ++i) {
            const double wanted = expected.values[i];
            if (std::isnan(wanted)) {
              EXPECT_TRUE(std::isnan(found[at(slot)][i])) << i << ": " << found[at(slot)][i];
            } else if (std::isinf(wanted)) {
              EXPECT_EQ(found[at(slot)][i], wanted);
            } else {
              EXPECT_NEAR(found[at(slot)][i], wanted, eps * expected.rounding) << i;
            }
          }
        }
      }
    }
  }
}

TEST_P(ProbesOnDevice, AMemberThatIsNanTouchesNoOther) {
  const auto device = executor();
  for (const ModelCase& one : model_cases()) {
    const Files files(one);
    Bench bench(*device, experiment_text(one, files, "f64"), 3);
    std::mt19937_64 random(7);
    std::vector<double> values = random_parameters(bench.shape(), random, 0.6);
    const std::vector<double> other = random_parameters(bench.shape(), random, 0.6);
    bench.set(0, other);
    bench.set(1, values);
    bench.set(2, other);
    std::map<std::string, std::vector<std::vector<double>>> good;
    bench.evaluate();
    for (const std::string& name : bench.names()) good[name] = bench.observe(name);
    std::fill(values.begin(), values.end(), nan);
    bench.set(1, values);
    bench.evaluate();
    for (const std::string& name : bench.names()) {
      SCOPED_TRACE(one.name + " " + name);
      const auto bad = bench.observe(name);
      EXPECT_TRUE(same_bits(bad[0], good[name][0]));
      EXPECT_TRUE(same_bits(bad[2], good[name][2]));
      EXPECT_TRUE(same_bits(bad[0], bad[2])) << "depends on the slot";
      for (const double x : bad[1]) EXPECT_TRUE(std::isnan(x)) << x;
    }
  }
}

TEST_P(ProbesOnDevice, TakeTheMemoryThatIsPlanned) {
  const auto device = executor();
  for (const ModelCase& one : model_cases()) {
    const Files files(one);
    for (const std::string precision : {"f64", "f32"}) {
      for (const std::string problems : {"sweep.seed=[1,2,3]", "sweep.\"problem.seed\"=[1,2,3]"}) {
        const Experiment experiment = Experiment::parse(experiment_text(one, files, precision),
                                                        "test.toml", {problems}, experiment_spec());
        const Plan plan = make_plan(experiment, device->device());
        const FamilyPlan& family = plan.families.front();
        EXPECT_EQ(family.shared_problem, problems == "sweep.seed=[1,2,3]");
        const std::size_t before = device->allocated();
        const Ensemble ensemble(*device, experiment.member(0), family, plan.probes,
                                plan.check_every);
        EXPECT_EQ(device->allocated() - before, family.bytes())
            << one.name << " " << precision << " " << problems;
      }
    }
  }
}

/// A registered probe that no test above asks for has no formula here.
TEST(Probes, AreAllTested) {
  std::set<std::string> asked;
  for (const ModelCase& one : model_cases()) {
    const Files files(one);
    const Experiment experiment =
        Experiment::parse(experiment_text(one, files, "f64"), "test.toml", {}, experiment_spec());
    for (const auto& [probe, name] : factorization::Probes::requested(experiment.member(0))) {
      asked.insert(probe->kind.name);
    }
  }
  asked.insert("gram_norm");  // of models/README.md, which documented_examples_test.cpp runs
  asked.insert({"sharpness", "least_curvature", "gauss_newton_sharpness"});  // gradient_test.cpp
  for (const factorization::Probe& probe : factorization::Probes::all()) {
    EXPECT_TRUE(asked.contains(probe.kind.name)) << probe.kind.name;
    EXPECT_FALSE(probe.kind.comment.empty()) << probe.kind.name;
  }
}

constexpr const char* small_run = R"(
problem.seed = 2
[model]
kind = "deep_linear"
depth = 3
hidden = 4
[objective]
kind = "completion"
observed = 0.6
target = { kind = "low_rank", rows = 5, cols = 6, singular_values = [4.0, 2.0] }
[init]
kind = "gaussian"
stddev = 0.4
[optimizer]
kind = "gd"
learning_rate = 2e-2
[stop]
steps = 60
check_every = 1
[probes]
train_loss = { every = 20 }
)";

/// What is watched is what dense samples show, value by value of a probe with several.
TEST_P(ProbesOnDevice, EventsOfSeveralValuesAreWhatSamplesShow) {
  const auto device = executor();
  const Results results =
      run(small_run, *device,
          {"probes.layer_norm2.every=1", "probes.layer_norm2.first_above=3.0",
           "probes.layer_norm2.running=max", "probes.neuron_balance_drift.every=1",
           "probes.neuron_balance_drift.first_above=1e-2", "probes.tail.kind=low_rankness",
           "probes.tail.rank=2", "probes.tail.every=1", "probes.tail.running=min",
           "probes.tail.first_below=0.3", "sweep.seed=[1,2,3]"});
  bool crossed = false;
  bool never = false;
  for (std::int64_t m = 0; m < 3; ++m) {
    for (const auto& [name, count, threshold, event] :
         {std::tuple{"layer_norm2", 3, 3.0, "first_step_layer_norm2_above_3"},
          {"neuron_balance_drift", 2, 1e-2, "first_step_neuron_balance_drift_above_0.01"}}) {
      const std::vector<double> first = results.at(event, m, 0);
      ASSERT_EQ(first.size(), static_cast<std::size_t>(count)) << event;
      for (std::size_t i = 0; i < first.size(); ++i) {
        double expected = nan;
        for (std::int64_t t = 60; t >= 0; --t) {
          if (results.at(name, m, t)[i] > threshold) expected = static_cast<double>(t);
        }
        EXPECT_TRUE(same_bits({first[i]}, {expected})) << event << " " << first[i];
        crossed = crossed || first[i] > 0;
        never = never || std::isnan(first[i]);
      }
    }
    std::vector<double> most(3, 0.0);
    double least = 1e300;
    for (std::int64_t t = 0; t <= 60; ++t) {
      for (std::size_t i = 0; i < 3; ++i) {
        most[i] = std::max(most[i], results.at("layer_norm2", m, t)[i]);
      }
      least = std::min(least, results.scalar("tail", m, t));
    }
    EXPECT_EQ(results.at("max_layer_norm2", m, 0), most);
    EXPECT_EQ(results.scalar("min_tail", m), least);
  }
  EXPECT_TRUE(crossed && never) << "the thresholds show nothing";
}

/// Drifts begin at zero, and all of a member's drift comes from its own start.
TEST_P(ProbesOnDevice, DriftsBeginAtZero) {
  const auto device = executor();
  const Results results = run(small_run, *device,
                              {"probes.balance_drift.every=20",
                               "probes.neuron_balance_drift.every=20", "sweep.seed=[1,2,3]"});
  for (std::int64_t m = 0; m < 3; ++m) {
    EXPECT_EQ(results.at("balance_drift", m, 0), (std::vector<double>{0, 0}));
    EXPECT_EQ(results.at("neuron_balance_drift", m, 0), (std::vector<double>{0, 0}));
    for (const double x : results.at("balance_drift", m, 3)) EXPECT_GT(x, 0);
  }
}

/// What a probe remembers of a start is the start of the slot's own member, in every wave.
TEST_P(ProbesOnDevice, RememberTheStartOfEachWave) {
  const auto device = executor();
  const std::vector<std::string> overrides{
      "probes.balance_drift.every=20", "probes.neuron_balance_drift.every=20",
      "probes.distance.every=20", "probes.distance.rank=1", "sweep.\"problem.seed\"={range=[0,9]}"};
  const Results at_once = run(small_run, *device, overrides);
  ASSERT_EQ(at_once.plan.families.front().waves, 1);
  const Footprint& footprint = at_once.plan.families.front().footprint;
  const std::size_t few = footprint.shared_bytes + 3 * footprint.bytes_per_slot + 10;
  const auto narrow = executor(2, few);
  const Results waves = run(small_run, *narrow, overrides);
  ASSERT_EQ(waves.plan.families.front().waves, 3);
  for (std::int64_t m = 0; m < 9; ++m) {
    EXPECT_EQ(waves.at("balance_drift", m, 0), (std::vector<double>{0, 0})) << m;
    // The start is drawn on the host; its products are rounded once.
    const double start = at_once.scalar("distance", m, 0);
    EXPECT_NEAR(waves.scalar("distance", m, 0), start, 1e-13 * start) << m;
    if (device->device().kind != "cpu") continue;  // another number of slots, other trajectories
    for (const char* name : {"balance_drift", "neuron_balance_drift", "distance"}) {
      for (std::int64_t sample = 0; sample <= 3; ++sample) {
        EXPECT_TRUE(same_bits(waves.at(name, m, sample), at_once.at(name, m, sample)))
            << name << " " << m;
      }
    }
  }
}

/// A shift is of losses: what is relative to the target is not.
TEST_P(ProbesOnDevice, TestLossIsLessTheShift) {
  const auto device = executor();
  const std::vector<std::string> plain{"objective.kind=full",
                                       "objective.target.singular_values=[4.0, 2.0, 1.0]",
                                       "model.hidden=2",
                                       "probes.test_loss.every=60",
                                       "probes.relative_test_loss.every=60",
                                       "probes.test_error.every=60"};
  std::vector<std::string> shifted = plain;
  shifted.emplace_back("objective.shift=best_rank");
  auto without_mask = [](std::string text) {
    const std::string mask = "observed = 0.6\n";
    return text.replace(text.find(mask), mask.size(), "");
  };
  const Results a = run(without_mask(small_run), *device, plain);
  const Results b = run(without_mask(small_run), *device, shifted);
  for (const std::int64_t sample : {0, 1}) {
    // The least loss of rank 2 is 1/2 1^2.
    EXPECT_NEAR(b.scalar("test_loss", 0, sample), a.scalar("test_loss", 0, sample) - 0.5, 1e-13);
    EXPECT_EQ(b.scalar("relative_test_loss", 0, sample), a.scalar("relative_test_loss", 0, sample));
    const double error = a.scalar("test_error", 0, sample);
    EXPECT_EQ(b.scalar("test_error", 0, sample), error);
    EXPECT_NEAR(a.scalar("relative_test_loss", 0, sample), error * error, 1e-14);
  }
}

/// DESIGN promises it of paths without a BLAS: no probe knows of the other members.
TEST(ProbesOnCpu, PackingAndThreadsChangeNoBit) {
  const auto two = executor_on("cpu", 2);
  const auto one = executor_on("cpu", 1);
  for (const ModelCase& model : model_cases()) {
    const Files files(model);
    const std::string text = experiment_text(model, files, "f64");
    const Results among = run(text, *two, {"sweep.seed={range=[0,70]}"});
    const Results single_thread = run(text, *one, {"sweep.seed={range=[0,70]}"});
    for (const std::int64_t m : {0, 33, 69}) {
      const Results alone = run(text, *two, {fmt::format("seed={}", m)});
      EXPECT_FALSE(alone.everything(0).empty());
      EXPECT_TRUE(same_bits(alone.everything(0), among.everything(m))) << model.name << " " << m;
      EXPECT_TRUE(same_bits(alone.everything(0), single_thread.everything(m))) << model.name;
    }
  }
}

TEST_P(ProbesOnDevice, ParametersAreRecordedPerFamily) {
  const auto device = executor();
  const std::vector<std::string> overrides{
      "probes.parameters.every=30", "probes.end_norm.every=30",
      "sweep.zip=[{\"model.depth\"=2, \"seed\"=1}, {\"model.depth\"=3, \"seed\"=1}, "
      "{\"model.depth\"=2, \"seed\"=2}]"};
  const Results results = run(small_run, *device, overrides);
  ASSERT_EQ(results.layout.groups.size(), 2U);
  EXPECT_EQ(results.layout.groups[0].name, "family_0");
  EXPECT_EQ(results.layout.groups[0].members, (std::vector<std::int64_t>{0, 2}));
  EXPECT_EQ(results.layout.groups[1].members, (std::vector<std::int64_t>{1}));
  const Experiment experiment =
      Experiment::parse(small_run, "test.toml", overrides, experiment_spec());
  for (std::int64_t m = 0; m < 3; ++m) {
    const Settings settings = experiment.member(m);
    const Shape shape = factorization::shape_of(settings);
    const std::vector<double> start = factorization::start(settings, shape);
    auto recorded = [&](std::int64_t sample) {
      std::vector<double> all;
      for (std::int64_t h = 1; h <= shape.layers(); ++h) {
        const auto layer = results.at(fmt::format("W_{}", h), m, sample);
        EXPECT_EQ(layer.size(), at(shape.layer_size(h)));
        all.insert(all.end(), layer.begin(), layer.end());
      }
      return all;
    };
    EXPECT_TRUE(same_bits(recorded(0), start)) << m;
    EXPECT_FALSE(same_bits(recorded(2), start)) << m;
    // The third sample of every = 30 is the end, step 60.
    EXPECT_NEAR(norm(state_of(shape, recorded(2)).w), results.scalar("end_norm", m, 2), 1e-13);
    EXPECT_TRUE(results.at(fmt::format("W_{}", shape.layers() + 1), m, 0).empty());
  }
}

MANYFOLD_ON_ALL_DEVICES(ProbesOnDevice);

}  // namespace
}  // namespace manyfold::testing
