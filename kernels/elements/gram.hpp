// Bodies of the parts of Gram matrices (contract: kernels/gram.hpp). The CPU has loops of its own
// for example_products, gram_products, pattern_bits and pattern_products.
#pragma once

#include <cstdint>

#include "core/portable.hpp"
#include "kernels/gram.hpp"

namespace manyfold::kernels::elements {

/// How many bits of a word are 1.
MF_FN int ones_of(std::uint64_t word) {
#if defined(__CUDA_ARCH__)
  return __popcll(word);
#else
  return __builtin_popcountll(word);
#endif
}

MF_CALLS_EITHER template <class Launcher>
MF_FN void gram_block(const Launcher& for_each, const GramBlockArgs& args) {
  for_each("gram_block", args.gram.slots, args.gram.size(),
           [=] MF_KERNEL(std::int64_t slot, std::int64_t at) {
             const std::int64_t p = args.places;
             const std::int64_t i = at / args.gram.cols;
             const std::int64_t j = at - i * args.gram.cols;
             const bool weighed = args.x.data != nullptr;
             double sum = 0;
             for (std::int64_t l = i * p; l < (i + 1) * p; ++l) {
               const double* y = args.y.slot(slot) + l * args.y.row_stride + j * p;
               const double* x =
                   weighed ? args.x.slot(slot) + l * args.x.row_stride + j * p : nullptr;
               for (std::int64_t m = 0; m < p; ++m) sum += weighed ? x[m] * y[m] : y[m];
             }
             double& gram = args.gram.slot(slot)[i * args.gram.row_stride + j];
             gram = args.add ? gram + args.factor * sum : args.factor * sum;
             if (args.mirror.data != nullptr) {
               args.mirror.slot(slot)[j * args.mirror.row_stride + i] = gram;
             }
           });
}

/// The end of gram_products, from its products; the CPU does this block by block.
MF_CALLS_EITHER template <class T, class Launcher>
MF_FN void gram_of_products(const Launcher& for_each, const GramProductsArgs<T>& args) {
  for_each("gram_of_products", args.gram.slots, args.gram.size(),
           [=] MF_KERNEL(std::int64_t slot, std::int64_t at) {
             const std::int64_t i = at / args.gram.cols;
             const std::int64_t j = at - i * args.gram.cols;
             if (j > i) return;
             double product = args.y.slot(slot)[i * args.y.row_stride + j];
             if (args.a.data != nullptr) product *= args.x.slot(slot)[i * args.x.row_stride + j];
             double& gram = args.gram.slot(slot)[i * args.gram.row_stride + j];
             gram = args.add ? gram + args.factor * product : args.factor * product;
             args.gram.slot(slot)[j * args.gram.row_stride + i] = gram;
           });
}

MF_CALLS_EITHER template <class Launcher>
MF_FN void example_products(const Launcher& for_each, const ExampleProductsArgs& args) {
  for_each("example_products", args.c.slots, args.c.size(),
           [=] MF_KERNEL(std::int64_t slot, std::int64_t at) {
             const std::int64_t row = at / args.c.cols;
             const std::int64_t out = (at - row * args.c.cols) / args.b.cols;
             const std::int64_t tap = at - row * args.c.cols - out * args.b.cols;
             const double* a = args.a.slot(slot) + row * args.places * args.a.cols + out;
             const double* b = args.b.slot(slot) + row * args.places * args.b.cols + tap;
             double sum = 0;
             for (std::int64_t l = 0; l < args.places; ++l) {
               sum += a[l * args.a.cols] * b[l * args.b.cols];
             }
             args.c.slot(slot)[at] = sum;
           });
}

template <class T, class Launcher>
void pattern_bits(const Launcher& for_each, const PatternBitsArgs<T>& args) {
  for_each("pattern_bits", args.bits.slots, args.bits.size(),
           [=] MF_KERNEL(std::int64_t slot, std::int64_t at) {
             const std::int64_t row = at / args.bits.cols;
             const std::int64_t word = at - row * args.bits.cols;
             const std::int64_t first = word * 64;
             const std::int64_t left = args.x.cols - first;
             const T* x = args.x.slot(slot) + row * args.x.row_stride + first;
             std::uint64_t bits = 0;
             for (std::int64_t c = 0; c < (left < 64 ? left : 64); ++c) {
               if (x[c] > T(0)) bits |= std::uint64_t{1} << c;
             }
             args.bits.slot(slot)[row * args.bits.row_stride + word] = bits;
           });
}

MF_CALLS_EITHER template <class Launcher>
MF_FN void pattern_products(const Launcher& for_each, const PatternProductsArgs& args) {
  for_each("pattern_products", args.counts.slots, args.counts.size(),
           [=] MF_KERNEL(std::int64_t slot, std::int64_t at) {
             const std::int64_t i = at / args.counts.cols;
             const std::int64_t j = at - i * args.counts.cols;
             const std::uint64_t* a = args.bits.slot(slot) + i * args.bits.row_stride;
             const std::uint64_t* b = args.bits.slot(slot) + j * args.bits.row_stride;
             std::int64_t count = 0;
             for (std::int64_t w = 0; w < args.bits.cols; ++w) count += ones_of(a[w] & b[w]);
             args.counts.slot(slot)[i * args.counts.row_stride + j] = static_cast<double>(count);
           });
}

}  // namespace manyfold::kernels::elements
