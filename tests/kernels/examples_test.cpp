#include "kernels/examples.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <stdexcept>
#include <vector>

#include "core/random/philox.hpp"
#include "tests/kernels/devices.hpp"

namespace manyfold::kernels {
namespace {

using namespace manyfold::test;

/// Outputs and data of a few slots, with gaps between rows and slots.
template <class T>
struct Table {
  std::int64_t slots = 3;
  std::int64_t rows = 0;
  std::int64_t examples = 0;
  std::int64_t outputs = 0;
  std::vector<T> f;
  std::vector<T> targets;
  std::vector<std::int32_t> labels;
  std::vector<std::int32_t> drawn;

  std::int64_t f_row() const { return outputs + 2; }
  std::int64_t f_slot() const { return rows * f_row() + 5; }

  Table(std::int64_t rows_in, std::int64_t examples_in, std::int64_t outputs_in,
        std::mt19937_64& random)
      : rows(rows_in), examples(examples_in), outputs(outputs_in) {
    f = random_vector<T>(slots * f_slot(), random, 2);
    targets = random_vector<T>(slots * examples * outputs, random);
    const auto classes = static_cast<std::uint64_t>(std::max<std::int64_t>(outputs, 2));
    for (std::int64_t i = 0; i < slots * examples; ++i) {
      labels.push_back(static_cast<std::int32_t>(random() % classes));
    }
    for (std::int64_t i = 0; i < slots * rows; ++i) {
      drawn.push_back(static_cast<std::int32_t>(random() % static_cast<std::uint64_t>(examples)));
    }
  }
};

/// Loss and gradient of one example in long double, by the definitions.
struct Defined {
  long double loss = 0;
  std::vector<long double> slope;
};
Defined defined(Loss loss, const std::vector<long double>& f, const std::vector<long double>& y,
                std::int32_t label) {
  Defined d;
  if (loss == Loss::squared) {
    for (std::size_t k = 0; k < f.size(); ++k) {
      d.loss += (f[k] - y[k]) * (f[k] - y[k]) / 2;
      d.slope.push_back(f[k] - y[k]);
    }
  } else if (loss == Loss::cross_entropy) {
    long double sum = 0;
    for (const long double x : f) sum += std::exp(x);
    d.loss = std::log(sum) - f[static_cast<std::size_t>(label)];
    for (std::size_t k = 0; k < f.size(); ++k) {
      d.slope.push_back(std::exp(f[k]) / sum - (k == static_cast<std::size_t>(label) ? 1 : 0));
    }
  } else {
    const long double sign = label > 0 ? 1 : -1;
    d.loss = std::log1p(std::exp(-sign * f[0]));
    d.slope.push_back(-sign / (1 + std::exp(sign * f[0])));
  }
  return d;
}

class ExampleTerms : public DeviceTest {
 protected:
  template <class T>
  void check(Loss loss, std::int64_t outputs, bool draws, bool shared, bool in_place) {
    std::mt19937_64 random(test_seed());
    Table<T> table(37, 50, outputs, random);
    constexpr std::int64_t first = 9;
    const double scale = 0.7;
    const double weight = 1.25;
    const std::int64_t nan_at = table.f_slot() + 4 * table.f_row();  // slot 1, row 4
    table.f[static_cast<std::size_t>(nan_at)] = std::numeric_limits<T>::quiet_NaN();
    const auto f = to_device(executor(), table.f);
    const auto targets = to_device(executor(), table.targets);
    const auto labels = to_device(executor(), table.labels);
    const auto drawn = to_device(executor(), table.drawn);
    const auto slope = to_device(executor(), poisoned<T>(table.slots * table.f_slot()));
    const std::int64_t out_stride = table.rows + 2;
    const auto out = to_device(executor(), poisoned<double>(table.slots * out_stride));
    const MatrixBatch<T> f_view{f.data(), table.slots,    table.rows,
                                outputs,  table.f_slot(), table.f_row()};
    MatrixBatch<T> slope_view = f_view;
    if (!in_place) slope_view.data = slope.data();
    example_terms<T>(executor(), {.f = f_view,
                                  .scale = scale,
                                  .loss = loss,
                                  .targets = {targets.data(), table.slots, table.examples, outputs,
                                              shared ? 0 : table.examples * outputs, outputs},
                                  .labels = {labels.data(), table.slots, table.examples,
                                             shared ? 0 : table.examples},
                                  .rows = draws ? drawn.data() : nullptr,
                                  .rows_stride = table.rows,
                                  .first = first,
                                  .weight = weight,
                                  .out = out.data(),
                                  .out_stride = out_stride,
                                  .slope = slope_view});
    const auto losses = out.download();
    const auto slopes = in_place ? f.download() : slope.download();
    for (std::int64_t s = 0; s < table.slots; ++s) {
      for (std::int64_t r = 0; r < table.rows; ++r) {
        const double found = losses[static_cast<std::size_t>(s * out_stride + r)];
        const std::int64_t from = s * table.f_slot() + r * table.f_row();
        if (s == 1 && r == 4) {
          EXPECT_TRUE(std::isnan(found));
          continue;
        }
        const std::int64_t example =
            draws ? table.drawn[static_cast<std::size_t>(s * table.rows + r)] : first + r;
        const std::int64_t place = (shared ? 0 : s * table.examples) + example;
        std::vector<long double> outputs_of_row;
        std::vector<long double> targets_of_row;
        for (std::int64_t k = 0; k < outputs; ++k) {
          outputs_of_row.push_back(static_cast<long double>(scale) *
                                   table.f[static_cast<std::size_t>(from + k)]);
          targets_of_row.push_back(table.targets[static_cast<std::size_t>(place * outputs + k)]);
        }
        const Defined expected = defined(loss, outputs_of_row, targets_of_row,
                                         table.labels[static_cast<std::size_t>(place)]);
        // A few roundings of sums whose terms are below 20 + outputs.
        EXPECT_NEAR(found, static_cast<double>(weight * expected.loss),
                    64 * epsilon<double>() * static_cast<double>(20 + outputs))
            << s << " " << r;
        for (std::int64_t k = 0; k < outputs; ++k) {
          const auto wanted = static_cast<double>(static_cast<long double>(weight * scale) *
                                                  expected.slope[static_cast<std::size_t>(k)]);
          EXPECT_NEAR(slopes[static_cast<std::size_t>(from + k)], wanted,
                      8 * epsilon<T>() * (1 + std::fabs(wanted)));
        }
        if (!in_place) {
          EXPECT_TRUE(std::isnan(slopes[static_cast<std::size_t>(from + outputs)]))
              << "wrote between rows";
        }
      }
    }
  }
};

TEST_P(ExampleTerms, AreTheLossesAndTheirGradients) {
  for (const bool draws : {false, true}) {
    for (const bool shared : {false, true}) {
      for (const bool in_place : {false, true}) {
        check<double>(Loss::squared, 3, draws, shared, in_place);
        check<float>(Loss::squared, 1, draws, shared, in_place);
        check<double>(Loss::cross_entropy, 5, draws, shared, in_place);
        check<float>(Loss::cross_entropy, 2, draws, shared, in_place);
        check<double>(Loss::logistic, 1, draws, shared, in_place);
        check<float>(Loss::logistic, 1, draws, shared, in_place);
      }
    }
  }
}

/// Central differences of slopes in long double, along a random direction.
TEST_P(ExampleTerms, CurvatureIsTheChangeOfTheSlope) {
  std::mt19937_64 random(test_seed());
  const double scale = 0.7;
  const double weight = 1.25;
  for (const auto& [loss, outputs] : {std::pair<Loss, std::int64_t>{Loss::squared, 3},
                                      {Loss::cross_entropy, 1},
                                      {Loss::cross_entropy, 5},
                                      {Loss::logistic, 1}}) {
    for (const bool in_place : {false, true}) {
      Table<double> table(37, 50, outputs, random);
      table.f[0] = 500;  // nothing overflows
      const auto nan_at = static_cast<std::size_t>(table.f_slot() + 4 * table.f_row());
      const auto direction = random_vector<double>(table.slots * table.f_slot(), random);
      const std::vector<double> finite = table.f;
      table.f[nan_at] = std::nan("");  // slot 1, row 4
      const auto f = to_device(executor(), table.f);
      const auto tangent = to_device(executor(), direction);
      const auto out = to_device(executor(), poisoned<double>(table.slots * table.f_slot()));
      const auto view = [&](const Buffer<double>& buffer) {
        return MatrixBatch<double>{buffer.data(), table.slots,    table.rows,
                                   outputs,       table.f_slot(), table.f_row()};
      };
      example_curvature<double>(executor(), {.f = view(f),
                                             .scale = scale,
                                             .loss = loss,
                                             .weight = weight,
                                             .tangent = view(tangent),
                                             .slope = view(in_place ? tangent : out)});
      const auto found = (in_place ? tangent : out).download();
      for (std::int64_t s = 0; s < table.slots; ++s) {
        for (std::int64_t r = 0; r < table.rows; ++r) {
          const auto from = static_cast<std::size_t>(s * table.f_slot() + r * table.f_row());
          const auto k_end = static_cast<std::size_t>(outputs);
          constexpr long double h = 1e-6L;
          std::vector<std::vector<long double>> slopes;
          for (const long double side : {-h, h}) {
            std::vector<long double> moved;
            for (std::size_t k = 0; k < k_end; ++k) {
              moved.push_back(scale * (finite[from + k] + side * direction[from + k]));
            }
            slopes.push_back(defined(loss, moved, std::vector<long double>(k_end, 0.3L), 0).slope);
          }
          for (std::size_t k = 0; k < k_end; ++k) {
            if (from == nan_at) {
              EXPECT_TRUE(std::isnan(found[from + k]) || (loss == Loss::squared && k > 0));
              continue;
            }
            const auto expected =
                static_cast<double>(weight * scale * (slopes[1][k] - slopes[0][k]) / (2 * h));
            EXPECT_NEAR(found[from + k], expected, 1e-9) << static_cast<int>(loss);
          }
          if (!in_place) {
            EXPECT_TRUE(std::isnan(found[from + k_end])) << "wrote between rows";
          }
        }
      }
    }
  }
}

TEST_P(ExampleTerms, LargeOutputsDoNotOverflow) {
  const auto f = to_device(executor(), std::vector<double>{1000, -1000, 900, -2000, 0, 3000});
  const auto labels = to_device(executor(), std::vector<std::int32_t>{1, 1});
  const auto out = to_device(executor(), poisoned<double>(2));
  const auto slope = to_device(executor(), poisoned<double>(6));
  example_terms<double>(executor(), {.f = {f.data(), 1, 2, 3, 6, 3},
                                     .loss = Loss::cross_entropy,
                                     .labels = {labels.data(), 1, 2, 2},
                                     .out = out.data(),
                                     .out_stride = 2,
                                     .slope = {slope.data(), 1, 2, 3, 6, 3}});
  EXPECT_EQ(out.download(), (std::vector<double>{2000, 3000}));
  EXPECT_EQ(slope.download()[1], -1);
  const auto wide = to_device(executor(), std::vector<double>{-800, 800});
  example_terms<double>(executor(), {.f = {wide.data(), 1, 2, 1, 2, 1},
                                     .loss = Loss::logistic,
                                     .labels = {labels.data(), 1, 2, 2},
                                     .out = out.data(),
                                     .out_stride = 2,
                                     .slope = {}});
  EXPECT_EQ(out.download(), (std::vector<double>{800, 0}));
}

TEST_P(ExampleTerms, CountsAndMargins) {
  // Rows: right by 1; wrong by 2; a tie, whose first output is the label's; NaN.
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const auto f = to_device(executor(), std::vector<double>{1, 3, 2, /**/ 4, 2, 0, /**/ 5, 5, 1,
                                                           /**/ 1, nan, 0});
  const auto labels = to_device(executor(), std::vector<std::int32_t>{1, 1, 0, 0});
  const auto targets =
      to_device(executor(), std::vector<double>{0, 9, 0, 0, 9, 0, 9, 0, 0, 9, 0, 0});
  const auto out = to_device(executor(), poisoned<double>(4));
  for (const bool with_labels : {true, false}) {
    ExampleTermsArgs<double> args{.f = {f.data(), 1, 4, 3, 12, 3}, .out = out.data()};
    args.out_stride = 4;
    if (with_labels) args.labels = {labels.data(), 1, 4, 4};
    if (!with_labels) args.targets = {targets.data(), 1, 4, 3, 12, 3};
    args.term = ExampleTerm::correct;
    example_terms(executor(), args);
    const auto correct = out.download();
    EXPECT_EQ(std::vector<double>(correct.begin(), correct.begin() + 3),
              (std::vector<double>{1, 0, 1}));
    EXPECT_TRUE(std::isnan(correct[3]));
    args.term = ExampleTerm::margin;
    example_terms(executor(), args);
    const auto margins = out.download();
    EXPECT_EQ(std::vector<double>(margins.begin(), margins.begin() + 3),
              (std::vector<double>{1, -2, 0}));
    EXPECT_TRUE(std::isnan(margins[3]));
  }
  // One output: its sign.
  const auto binary = to_device(executor(), std::vector<double>{2, -3, 0, -1});
  const auto sides = to_device(executor(), std::vector<double>{1, 1, 1, -1});
  ExampleTermsArgs<double> args{.f = {binary.data(), 1, 4, 1, 4, 1}, .out = out.data()};
  args.targets = {sides.data(), 1, 4, 1, 4, 1};
  args.out_stride = 4;
  args.term = ExampleTerm::correct;
  example_terms(executor(), args);
  EXPECT_EQ(out.download(), (std::vector<double>{1, 0, 0, 1}));
  args.term = ExampleTerm::margin;
  example_terms(executor(), args);
  EXPECT_EQ(out.download(), (std::vector<double>{2, -3, 0, 1}));
}

TEST_P(ExampleTerms, NoiseIsAddedToTheTargets) {
  const auto f = to_device(executor(), std::vector<double>{0, 0, 0, 0});
  const auto targets = to_device(executor(), std::vector<double>(6, 0.5));
  const auto noise = to_device(executor(), std::vector<double>{0.3});
  const auto seeds = to_device(executor(), std::vector<std::uint64_t>{7});
  const auto step = to_device(executor(), std::vector<std::int64_t>{4});
  const auto rows = to_device(executor(), std::vector<std::int32_t>{2, 0});
  const auto slope = to_device(executor(), poisoned<double>(4));
  const std::uint64_t stream = random_stream("sgd/label_noise");
  example_terms<double>(executor(), {.f = {f.data(), 1, 2, 2, 4, 2},
                                     .targets = {targets.data(), 1, 3, 2, 6, 2},
                                     .rows = rows.data(),
                                     .rows_stride = 2,
                                     .noise = noise.data(),
                                     .seeds = seeds.data(),
                                     .step = step.data(),
                                     .stream = stream,
                                     .slope = {slope.data(), 1, 2, 2, 4, 2}});
  const auto found = slope.download();
  std::size_t at = 0;
  for (const std::uint64_t example : {2, 0}) {
    for (std::uint64_t k = 0; k < 2; ++k) {
      const double draw = normal_double(7, stream, (4 * 3 + example) * 2 + k);
      EXPECT_DOUBLE_EQ(found[at++], -(0.5 + 0.3 * draw));
    }
  }
}

TEST_P(ExampleTerms, RejectWhatDoesNotFit) {
  const Buffer<double> memory(executor(), 64);
  ExampleTermsArgs<double> args;
  args.f = {memory.data(), 2, 3, 2, 6, 2};
  EXPECT_THROW(example_terms(executor(), args), std::invalid_argument) << "no targets";
  args.targets = {memory.data(), 2, 3, 3, 9, 3};
  EXPECT_THROW(example_terms(executor(), args), std::invalid_argument) << "three targets";
  args.targets = {memory.data(), 2, 3, 2, 6, 2};
  args.loss = Loss::logistic;
  EXPECT_THROW(example_terms(executor(), args), std::invalid_argument) << "two outputs";
  args.loss = Loss::cross_entropy;
  EXPECT_THROW(example_terms(executor(), args), std::invalid_argument) << "no labels";
  args.loss = Loss::squared;
  args.slope = {memory.data(), 2, 3, 2, 0, 2};
  EXPECT_THROW(example_terms(executor(), args), std::invalid_argument) << "shared slope";
}

TEST_P(ExampleTerms, RowsAreGathered) {
  std::mt19937_64 random(test_seed());
  for (const bool shared : {false, true}) {
    const auto x = random_vector<float>(2 * 5 * 4, random);
    const auto rows = to_device(executor(), std::vector<std::int32_t>{4, 0, 4, 9, 2, 1, 3, 9});
    const auto on_x = to_device(executor(), x);
    const auto out = to_device(executor(), poisoned<float>(2 * 14));
    gather_rows<float>(
        executor(),
        {{on_x.data(), 2, 5, 4, shared ? 0 : 20, 4}, rows.data(), 4, {out.data(), 2, 3, 4, 14, 4}});
    const auto found = out.download();
    const std::vector<std::vector<std::size_t>> drawn{{4, 0, 4}, {2, 1, 3}};
    for (std::size_t s = 0; s < 2; ++s) {
      for (std::size_t r = 0; r < 3; ++r) {
        for (std::size_t i = 0; i < 4; ++i) {
          EXPECT_EQ(found[s * 14 + r * 4 + i], x[(shared ? 0 : s * 20) + drawn[s][r] * 4 + i]);
        }
      }
      EXPECT_TRUE(std::isnan(found[s * 14 + 12])) << "wrote between slots";
    }
  }
}

MANYFOLD_ON_EVERY_DEVICE(ExampleTerms);

}  // namespace
}  // namespace manyfold::kernels
