// Bodies of spread_weights and collect_weights (contract: kernels/sharing.hpp).
#pragma once

#include <cstdint>

#include "core/portable.hpp"
#include "kernels/sharing.hpp"

namespace manyfold::kernels::elements {

template <class T, class Launcher>
void spread_weights(const Launcher& for_each, const SpreadWeightsArgs<T>& args) {
  for_each("spread_weights", args.w.slots, args.w.size(),
           [=] MF_KERNEL(std::int64_t slot, std::int64_t i) {
             const std::int32_t number = args.numbers[i];
             const std::int64_t at = i / args.w.cols * args.w.row_stride + i % args.w.cols;
             args.w.slot(slot)[at] = number > 0 ? args.v.slot(slot)[number - 1] : T(0);
           });
}

template <class T, class Launcher>
void collect_weights(const Launcher& for_each, const CollectWeightsArgs<T>& args) {
  for_each("collect_weights", args.v.slots, args.v.count,
           [=] MF_KERNEL(std::int64_t slot, std::int64_t k) {
             const T* w = args.w.slot(slot);
             T& v = args.v.slot(slot)[k];
             double sum = args.add ? static_cast<double>(v) : 0.0;
             for (std::int32_t j = args.begins[k]; j < args.begins[k + 1]; ++j) {
               const std::int64_t i = args.places[j];
               sum += static_cast<double>(w[i / args.w.cols * args.w.row_stride + i % args.w.cols]);
             }
             v = static_cast<T>(sum);
           });
}

}  // namespace manyfold::kernels::elements
