// Bodies of reference_distances and reference_alignments (contract: kernels/references.hpp).
#pragma once

#include <cstdint>

#include <math.h>

#include "core/portable.hpp"
#include "kernels/references.hpp"

namespace manyfold::kernels::elements {

template <class T, class Launcher>
void reference_distances(const Launcher& for_each, const ReferenceDistancesArgs<T>& args) {
  for_each("reference_distances", args.x.slots, args.references.rows,
           [=] MF_KERNEL(std::int64_t slot, std::int64_t i) {
             const T* x = args.x.slot(slot);
             const double* r = args.references.slot(slot) + i * args.references.row_stride;
             double sum = 0;
             for (std::int64_t j = 0; j < args.x.count; ++j) {
               const double difference = static_cast<double>(x[j]) - r[j];
               sum = fma(difference, difference, sum);
             }
             args.out[slot * args.out_stride + i] = sqrt(sum);
           });
}

template <class Launcher>
void reference_alignments(const Launcher& for_each, const ReferenceAlignmentsArgs& args) {
  for_each("reference_alignments", args.x.slots, args.references.rows,
           [=] MF_KERNEL(std::int64_t slot, std::int64_t i) {
             const double* x = args.x.slot(slot);
             const double* r = args.references.slot(slot) + i * args.references.row_stride;
             double sum = 0;
             for (std::int64_t j = 0; j < args.x.count; ++j) sum = fma(r[j], x[j], sum);
             args.out[slot * args.out_stride + i] = fabs(sum);
           });
}

}  // namespace manyfold::kernels::elements
