// One term of drawn_residual (contract: kernels/drawn_residual.hpp), as both backends add it.
#pragma once

#include <cstdint>

#include "core/portable.hpp"
#include "core/random/philox.hpp"
#include "kernels/drawn_residual.hpp"
#include "kernels/elements/stepping.hpp"

namespace manyfold::kernels::elements {

/// e_j of a slot.
MF_FN std::int64_t entry_of(const DrawnTerms& args, std::int64_t slot, std::int64_t j) {
  return args.entries == nullptr ? j : args.entries[slot * args.entries_stride + j];
}

/// What a term's residual is multiplied by.
template <class T>
MF_FN T term_weight(const DrawnTerms& args, std::int64_t slot) {
  const double weight = args.weight != nullptr ? args.weight[slot] : 1.0;
  return static_cast<T>(args.drawn != nullptr ? weight / static_cast<double>(args.batch) : weight);
}

/// Noise on the label of term j; there is some.
template <class T>
MF_FN T label_noise_of(const DrawnTerms& args, std::int64_t slot, std::int64_t j) {
  const auto draw =
      static_cast<std::uint64_t>(args.step[slot]) * static_cast<std::uint64_t>(args.count[slot]) +
      static_cast<std::uint64_t>(j);
  return static_cast<T>(args.noise[slot] * normal_double(args.seeds[slot], args.stream, draw));
}

/// Adds term j, whose entry is `entry`.
template <class T>
MF_FN void add_term(const DrawnResidualArgs<T>& args, std::int64_t slot, T weight, std::int64_t j,
                    std::int64_t entry) {
  const std::int64_t row = entry / args.w.cols;
  const std::int64_t col = entry % args.w.cols;
  T difference = args.w.slot(slot)[row * args.w.row_stride + col] -
                 args.target.slot(slot)[row * args.target.row_stride + col];
  if (args.noise != nullptr) difference -= label_noise_of<T>(args, slot, j);
  T& sum = args.residual.slot(slot)[row * args.residual.row_stride + col];
  sum = fused(weight, difference, sum);
}

}  // namespace manyfold::kernels::elements
