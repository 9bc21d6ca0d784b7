// Bodies of example_terms and gather_rows (contract: kernels/examples.hpp).
#pragma once

#include <cstdint>

#include <math.h>

#include "core/portable.hpp"
#include "core/random/philox.hpp"
#include "kernels/examples.hpp"

namespace manyfold::kernels::elements {

/// One row of a slot: outputs, and what they should be. Outputs, slopes and targets stand some
/// elements apart: 1, or the lanes of resident stepping on a CPU.
template <class T>
struct ExampleRow {
  const T* f;
  std::int64_t step;  ///< of f and slope
  double scale;
  std::int64_t outputs;
  std::int64_t example;
  const T* target_data;  ///< null: there are none
  std::int64_t target_step;
  std::int64_t label;  ///< -1: there is none
  T* slope_data;       ///< null: not wanted

  MF_FN double output(std::int64_t k) const { return scale * static_cast<double>(f[k * step]); }
  MF_FN T target(std::int64_t k) const { return target_data[k * target_step]; }
  MF_FN T& slope(std::int64_t k) const { return slope_data[k * step]; }
};

template <class T>
MF_FN ExampleRow<T> example_row(const ExampleTermsArgs<T>& args, std::int64_t slot,
                                std::int64_t r) {
  const std::int64_t example =
      args.rows != nullptr ? args.rows[slot * args.rows_stride + r] : args.first + r;
  const T* target = args.targets.data == nullptr
                        ? nullptr
                        : args.targets.slot(slot) + example * args.targets.row_stride;
  const std::int64_t label = args.labels.data == nullptr ? -1 : args.labels.slot(slot)[example];
  T* slope =
      args.slope.data == nullptr ? nullptr : args.slope.slot(slot) + r * args.slope.row_stride;
  return {args.f.slot(slot) + r * args.f.row_stride,
          1,
          args.scale,
          args.f.cols,
          example,
          target,
          1,
          label,
          slope};
}

/// The number of the label; -1 where there is neither label nor target.
template <class T>
MF_FN std::int64_t class_of(const ExampleRow<T>& row) {
  if (row.label >= 0 || row.target_data == nullptr) return row.label;
  std::int64_t largest = 0;
  for (std::int64_t k = 1; k < row.outputs; ++k) {
    if (row.target(k) > row.target(largest)) largest = k;
  }
  return largest;
}

/// y of one output.
template <class T>
MF_FN double sign_of_example(const ExampleRow<T>& row) {
  if (row.label >= 0) return row.label > 0 ? 1.0 : -1.0;
  return row.target(0) < T(0) ? -1.0 : 1.0;
}

template <class T>
MF_FN double margin_of(const ExampleRow<T>& row) {
  if (row.outputs == 1) return sign_of_example(row) * row.output(0);
  const std::int64_t c = class_of(row);
  double best = -HUGE_VAL;
  bool missing = false;
  for (std::int64_t k = 0; k < row.outputs; ++k) {
    const double f = row.output(k);
    missing = missing || f != f;
    if (k != c && f > best) best = f;
  }
  return missing ? NAN : row.output(c) - best;
}

template <class T>
MF_FN double correct_of(const ExampleRow<T>& row) {
  if (row.outputs == 1) {
    const double margin = margin_of(row);
    return margin != margin ? margin : (margin > 0 ? 1.0 : 0.0);
  }
  std::int64_t largest = 0;
  bool missing = false;
  for (std::int64_t k = 0; k < row.outputs; ++k) {
    missing = missing || row.output(k) != row.output(k);
    if (row.output(k) > row.output(largest)) largest = k;
  }
  return missing ? NAN : (largest == class_of(row) ? 1.0 : 0.0);
}

/// Loss of a row; its gradient in f times `weight` goes to row.slope, if that is there, which may
/// be row.f: an output is read before its slope is written, and not after.
template <class T>
MF_FN double squared_of(const ExampleTermsArgs<T>& args, const ExampleRow<T>& row,
                        std::int64_t slot) {
  double sum = 0;
  for (std::int64_t k = 0; k < row.outputs; ++k) {
    double y = static_cast<double>(row.target(k));
    if (args.noise != nullptr) {
      const auto draw = (static_cast<std::uint64_t>(args.step[slot]) *
                             static_cast<std::uint64_t>(args.targets.rows) +
                         static_cast<std::uint64_t>(row.example)) *
                            static_cast<std::uint64_t>(row.outputs) +
                        static_cast<std::uint64_t>(k);
      y += args.noise[slot] * normal_double(args.seeds[slot], args.stream, draw);
    }
    const double difference = row.output(k) - y;
    sum = fma(difference, difference, sum);
    if (row.slope_data != nullptr) {
      row.slope(k) = static_cast<T>(args.weight * args.scale * difference);
    }
  }
  return 0.5 * sum;
}

template <class T>
MF_FN double cross_entropy_of(const ExampleTermsArgs<T>& args, const ExampleRow<T>& row) {
  // e^(f - largest): nothing overflows, and the sum is at least 1.
  double largest = row.output(0);
  for (std::int64_t k = 1; k < row.outputs; ++k) {
    if (row.output(k) > largest) largest = row.output(k);
  }
  double sum = 0;
  for (std::int64_t k = 0; k < row.outputs; ++k) sum += exp(row.output(k) - largest);
  const double loss = log(sum) + (largest - row.output(row.label));
  if (row.slope_data == nullptr) return loss;
  for (std::int64_t k = 0; k < row.outputs; ++k) {
    const double share = exp(row.output(k) - largest) / sum;
    row.slope(k) = static_cast<T>(args.weight * args.scale * (k == row.label ? share - 1 : share));
  }
  return loss;
}

template <class T>
MF_FN double logistic_of(const ExampleTermsArgs<T>& args, const ExampleRow<T>& row) {
  const double y = sign_of_example(row);
  const double m = y * row.output(0);
  const double e = exp(-fabs(m));
  if (row.slope_data != nullptr) {
    const double share = (m > 0 ? e : 1.0) / (1 + e);  // sigmoid(-m)
    row.slope(0) = static_cast<T>(-args.weight * args.scale * y * share);
  }
  return (m < 0 ? -m : 0.0) + log1p(e);
}

template <class T>
MF_FN double example_term_of(const ExampleTermsArgs<T>& args, const ExampleRow<T>& row,
                             std::int64_t slot) {
  if (args.term == ExampleTerm::correct) return correct_of(row);
  if (args.term == ExampleTerm::margin) return margin_of(row);
  if (args.loss == Loss::squared) return args.weight * squared_of(args, row, slot);
  if (args.loss == Loss::logistic) return args.weight * logistic_of(args, row);
  return args.weight * cross_entropy_of(args, row);
}

MF_CALLS_EITHER template <class T, class Launcher>
MF_FN void example_terms(const Launcher& for_each, const ExampleTermsArgs<T>& args) {
  for_each("example_terms", args.f.slots, args.f.rows,
           [=] MF_KERNEL(std::int64_t slot, std::int64_t r) {
             const double term = example_term_of(args, example_row(args, slot, r), slot);
             if (args.out != nullptr) args.out[slot * args.out_stride + r] = term;
           });
}

/// One row of example_curvature. NaN in an output is NaN in the result, also of the squared loss.
template <class T>
MF_FN void example_curvature_of(const ExampleCurvatureArgs<T>& args, std::int64_t slot,
                                std::int64_t r) {
  const T* f = args.f.slot(slot) + r * args.f.row_stride;
  const T* tangent = args.tangent.slot(slot) + r * args.tangent.row_stride;
  T* slope = args.slope.slot(slot) + r * args.slope.row_stride;
  const std::int64_t outputs = args.f.cols;
  const auto output = [&](std::int64_t k) { return args.scale * static_cast<double>(f[k]); };
  const auto change = [&](std::int64_t k) { return args.scale * static_cast<double>(tangent[k]); };
  const double factor = args.weight * args.scale;
  if (args.loss == Loss::squared) {
    for (std::int64_t k = 0; k < outputs; ++k) {
      const double second = output(k) - output(k) == 0 ? 1.0 : NAN;
      slope[k] = static_cast<T>(factor * second * change(k));
    }
    return;
  }
  if (args.loss == Loss::logistic) {
    const double e = exp(-fabs(output(0)));
    slope[0] = static_cast<T>(factor * (e / ((1 + e) * (1 + e))) * change(0));
    return;
  }
  double largest = output(0);
  for (std::int64_t k = 1; k < outputs; ++k) {
    if (output(k) > largest) largest = output(k);
  }
  double sum = 0;
  double mean = 0;
  for (std::int64_t k = 0; k < outputs; ++k) {
    const double e = exp(output(k) - largest);
    sum += e;
    mean += e * change(k);
  }
  mean /= sum;
  for (std::int64_t k = 0; k < outputs; ++k) {
    const double share = exp(output(k) - largest) / sum;
    slope[k] = static_cast<T>(factor * share * (change(k) - mean));
  }
}

MF_CALLS_EITHER template <class T, class Launcher>
MF_FN void example_curvature(const Launcher& for_each, const ExampleCurvatureArgs<T>& args) {
  for_each(
      "example_curvature", args.f.slots, args.f.rows,
      [=] MF_KERNEL(std::int64_t slot, std::int64_t r) { example_curvature_of(args, slot, r); });
}

MF_CALLS_EITHER template <class T, class Launcher>
MF_FN void gather_rows(const Launcher& for_each, const GatherRowsArgs<T>& args) {
  for_each("gather_rows", args.out.slots, args.out.size(),
           [=] MF_KERNEL(std::int64_t slot, std::int64_t i) {
             const std::int64_t r = i / args.out.cols;
             const std::int64_t c = i % args.out.cols;
             const std::int64_t example = args.rows[slot * args.rows_stride + r];
             args.out.slot(slot)[r * args.out.row_stride + c] =
                 args.x.slot(slot)[example * args.x.row_stride + c];
           });
}

}  // namespace manyfold::kernels::elements
