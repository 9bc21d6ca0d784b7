#include "kernels/gram.hpp"

#include <cmath>
#include <cstdint>
#include <stdexcept>
#include <vector>

#include "tests/kernels/devices.hpp"

namespace manyfold::kernels {
namespace {

using namespace manyfold::test;

class Gram : public DeviceTest {};
MANYFOLD_ON_EVERY_DEVICE(Gram);

TEST_P(Gram, BlocksSumPairsOfPlaces) {
  std::mt19937_64 random(test_seed());
  for (const std::int64_t places : {1, 3}) {
    for (const bool weighed : {true, false}) {
      for (const bool add : {true, false}) {
        const std::int64_t rows = 7;
        const std::int64_t cols = 5;
        const std::int64_t slots = enough_slots(3, rows * cols);
        const std::int64_t slot = rows * places * cols * places;
        const auto x = random_vector<double>(slot, random);  // shared
        const auto y = random_vector<double>(slots * slot, random);
        // Blocks of larger matrices.
        const std::int64_t side = 16;
        const auto begin = add ? random_vector<double>(slots * side * side, random)
                               : poisoned<double>(slots * side * side);
        const auto on_x = to_device(executor(), x);
        const auto on_y = to_device(executor(), y);
        const auto gram = to_device(executor(), begin);
        const auto block = [&](std::int64_t r, std::int64_t c, std::int64_t m, std::int64_t n) {
          return MatrixBatch<double>{gram.data() + r * side + c, slots, m, n, side * side, side};
        };
        GramBlockArgs args{
            .y = {on_y.data(), slots, rows * places, cols * places, slot, cols * places},
            .places = places,
            .factor = 0.7,
            .add = add,
            .gram = block(9, 2, rows, cols),
            .mirror = block(2, 9, cols, rows)};
        if (weighed) {
          args.x = {on_x.data(), slots, rows * places, cols * places, 0, cols * places};
        }
        gram_block(executor(), args);
        auto expected = begin;
        for (std::int64_t s = 0; s < slots; ++s) {
          for (std::int64_t i = 0; i < rows; ++i) {
            for (std::int64_t j = 0; j < cols; ++j) {
              double sum = 0;
              for (std::int64_t l = 0; l < places; ++l) {
                for (std::int64_t m = 0; m < places; ++m) {
                  const auto at =
                      static_cast<std::size_t>((i * places + l) * cols * places + j * places + m);
                  const double one = y[static_cast<std::size_t>(s * slot) + at];
                  sum += weighed ? x[at] * one : one;
                }
              }
              const std::int64_t first = s * side * side;
              double& there = expected[static_cast<std::size_t>(first + (9 + i) * side + 2 + j)];
              there = add ? there + 0.7 * sum : 0.7 * sum;
              expected[static_cast<std::size_t>(first + (2 + j) * side + 9 + i)] = there;
            }
          }
        }
        EXPECT_EQ(bits(gram.download()), bits(expected)) << places << weighed << add;
      }
    }
  }
}

/// a (n, k) for all slots, b (n, l), wider than its columns, of each; gram within a larger matrix.
template <class T>
void check_products(Executor& executor, std::int64_t n, std::int64_t k, std::int64_t l,
                    bool weighed, bool add, std::mt19937_64& random) {
  SCOPED_TRACE(std::to_string(n) + " rows of " + std::to_string(k) + " and " + std::to_string(l) +
               (weighed ? ", weighed" : "") + (add ? ", added" : ""));
  const std::int64_t slots = 3;
  const std::int64_t side = n + 3;
  const auto a = random_vector<T>(n * k, random);
  const auto b = random_vector<T>(slots * n * (l + 2), random);
  const auto begin = add ? random_vector<double>(slots * side * side, random)
                         : poisoned<double>(slots * side * side);
  const auto on_a = to_device(executor, a);
  const auto on_b = to_device(executor, b);
  const auto gram = to_device(executor, begin);
  const auto x = to_device(executor, poisoned<T>(slots * n * n));
  const auto y = to_device(executor, poisoned<T>(slots * n * n));
  GramProductsArgs<T> args{.b = {on_b.data(), slots, n, l, n * (l + 2), l + 2},
                           .factor = 0.7,
                           .add = add,
                           .gram = {gram.data() + side + 1, slots, n, n, side * side, side},
                           .x = {x.data(), slots, n, n, n * n, n},
                           .y = {y.data(), slots, n, n, n * n, n}};
  if (weighed) args.a = {on_a.data(), slots, n, k, 0, k};
  gram_products<T>(executor, args);
  const auto found = gram.download();
  const auto dot = [](const T* u, const T* v, std::int64_t count, double& size) {
    double sum = 0;
    size = 0;
    for (std::int64_t i = 0; i < count; ++i) {
      const double term = static_cast<double>(u[i]) * static_cast<double>(v[i]);
      sum += term;
      size += std::fabs(term);
    }
    return sum;
  };
  const auto terms = static_cast<double>(k + l + 4);
  for (std::int64_t s = 0; s < slots; ++s) {
    for (std::int64_t i = 0; i < side * side; ++i) {
      const auto at = static_cast<std::size_t>(s * side * side + i);
      const std::int64_t row = i / side - 1;
      const std::int64_t col = i % side - 1;
      if (row < 0 || col < 0 || row >= n || col >= n) {  // left alone
        ASSERT_EQ(bits(std::vector<double>{found[at]}), bits(std::vector<double>{begin[at]}));
        continue;
      }
      double size_a = 1;
      double size_b = 0;
      const double of_a = weighed ? dot(a.data() + row * k, a.data() + col * k, k, size_a) : 1.0;
      const T* slot = b.data() + s * n * (l + 2);
      const double of_b = dot(slot + row * (l + 2), slot + col * (l + 2), l, size_b);
      const double before = add ? begin[at] : 0;
      if (row >= col) {
        ASSERT_NEAR(found[at], before + 0.7 * of_a * of_b,
                    terms * epsilon<T>() * (size_a * size_b + std::fabs(before)));
      } else {  // the mirror of what is below, whatever was there
        ASSERT_EQ(found[at],
                  found[static_cast<std::size_t>(s * side * side + (col + 1) * side + row + 1)]);
      }
    }
  }
}

TEST_P(Gram, ProductsOfRowsArePutTogether) {
  std::mt19937_64 random(test_seed());
  struct Sizes {
    std::int64_t n, k, l;
  };
  std::vector<Sizes> all{{1, 1, 1}, {5, 3, 1}, {19, 7, 33}};
  // Several blocks; through the BLAS, and by own loops at the edge to it.
  if (!emulated()) all.insert(all.end(), {{300, 5, 9}, {257, 3, 260}, {40, 256, 300}});
  for (const Sizes& z : all) {
    for (const bool weighed : {true, false}) {
      for (const bool add : {true, false}) {
        if (z.n > 100 && weighed != add) continue;
        check_products<double>(executor(), z.n, z.k, z.l, weighed, add, random);
        check_products<float>(executor(), z.n, z.k, z.l, weighed, add, random);
      }
    }
  }
}

TEST_P(Gram, ExamplesHaveProductsOfTheirOwn) {
  std::mt19937_64 random(test_seed());
  struct Sizes {
    std::int64_t rows, places, outputs, taps;
  };
  for (const Sizes& z :
       {Sizes{1, 1, 1, 1}, Sizes{3, 4, 5, 6}, Sizes{40, 9, 3, 27}, Sizes{2, 3, 300, 2}}) {
    const std::int64_t slots = enough_slots(2, z.rows * z.outputs * z.taps);
    const std::int64_t a_slot = z.rows * z.places * z.outputs + 3;
    const std::int64_t c_slot = z.rows * z.outputs * z.taps + 1;
    const auto a = random_vector<double>(slots * a_slot, random);
    const auto b = random_vector<double>(z.rows * z.places * z.taps, random);  // shared
    const auto on_a = to_device(executor(), a);
    const auto on_b = to_device(executor(), b);
    const auto c = to_device(executor(), poisoned<double>(slots * c_slot));
    example_products(
        executor(),
        {.a = {on_a.data(), slots, z.rows * z.places, z.outputs, a_slot, z.outputs},
         .b = {on_b.data(), slots, z.rows * z.places, z.taps, 0, z.taps},
         .places = z.places,
         .c = {c.data(), slots, z.rows, z.outputs * z.taps, c_slot, z.outputs * z.taps}});
    const auto found = c.download();
    for (const std::int64_t s : some_slots(slots, random)) {
      for (std::int64_t r = 0; r < z.rows; ++r) {
        for (std::int64_t o = 0; o < z.outputs; ++o) {
          for (std::int64_t t = 0; t < z.taps; ++t) {
            double sum = 0;
            double size = 0;
            for (std::int64_t l = 0; l < z.places; ++l) {
              const double product =
                  a[static_cast<std::size_t>(s * a_slot + (r * z.places + l) * z.outputs + o)] *
                  b[static_cast<std::size_t>((r * z.places + l) * z.taps + t)];
              sum += product;
              size += std::fabs(product);
            }
            const auto at = static_cast<std::size_t>(s * c_slot + (r * z.outputs + o) * z.taps + t);
            ASSERT_NEAR(found[at], sum, static_cast<double>(z.places) * epsilon<double>() * size);
          }
        }
      }
      // What pads a slot is left alone.
      EXPECT_TRUE(std::isnan(found[static_cast<std::size_t>((s + 1) * c_slot - 1)]));
    }
  }
}

template <class T>
void check_patterns(Executor& executor, std::int64_t slots, std::int64_t rows, std::int64_t cols,
                    std::mt19937_64& random) {
  auto x = random_vector<T>(slots * rows * cols, random);
  x[0] = 0;                                               // not positive
  x[x.size() / 2] = std::numeric_limits<T>::quiet_NaN();  // nor this
  const std::int64_t words = pattern_words(cols);
  const auto on_x = to_device(executor, x);
  const auto patterns = to_device(
      executor, std::vector<std::uint64_t>(static_cast<std::size_t>(slots * rows * words), ~0ULL));
  const auto counts = to_device(executor, poisoned<double>(slots * rows * rows));
  pattern_bits<T>(executor, {.x = {on_x.data(), slots, rows, cols, rows * cols, cols},
                             .bits = {patterns.data(), slots, rows, words, rows * words, words}});
  pattern_products(executor, {.bits = {patterns.data(), slots, rows, words, rows * words, words},
                              .counts = {counts.data(), slots, rows, rows, rows * rows, rows}});
  std::vector<double> expected;
  for (std::int64_t s = 0; s < slots; ++s) {
    for (std::int64_t i = 0; i < rows; ++i) {
      for (std::int64_t j = 0; j < rows; ++j) {
        double both = 0;
        for (std::int64_t c = 0; c < cols; ++c) {
          const T a = x[static_cast<std::size_t>((s * rows + i) * cols + c)];
          const T b = x[static_cast<std::size_t>((s * rows + j) * cols + c)];
          if (a > 0 && b > 0) ++both;
        }
        expected.push_back(both);
      }
    }
  }
  EXPECT_EQ(counts.download(), expected) << rows << " rows, " << cols << " columns";
}

TEST_P(Gram, PatternsAreCountedExactly) {
  std::mt19937_64 random(test_seed());
  for (const std::int64_t cols : {1, 63, 64, 65, 200}) {
    for (const std::int64_t rows : {1, 2, 5, 37}) {
      if (emulated() && rows * cols > 5000) continue;
      check_patterns<float>(executor(), 2, rows, cols, random);
      check_patterns<double>(executor(), 3, rows, cols, random);
    }
  }
  if (emulated()) return;
  check_patterns<double>(executor(), 1, 129, 1000, random);
  check_patterns<float>(executor(), 1, 331, 200, random);
}

TEST_P(Gram, CountsOfManyColumnsAreExact) {
  const std::int64_t rows = 3;
  const std::int64_t words = 1100;  // more columns than 16 bits can count
  const std::vector<std::uint64_t> ones(static_cast<std::size_t>(rows * words), ~0ULL);
  const auto patterns = to_device(executor(), ones);
  const auto counts = to_device(executor(), poisoned<double>(rows * rows));
  pattern_products(executor(), {.bits = {patterns.data(), 1, rows, words, rows * words, words},
                                .counts = {counts.data(), 1, rows, rows, rows * rows, rows}});
  EXPECT_EQ(counts.download(), std::vector<double>(9, 64.0 * words));
}

TEST_P(Gram, ShapesThatDoNotFitAreNamed) {
  const Buffer<double> a(executor(), 64);
  const Buffer<double> b(executor(), 64);
  EXPECT_THROW(
      gram_block(executor(),
                 {.y = {a.data(), 1, 4, 4, 16, 4}, .places = 3, .gram = {b.data(), 1, 2, 2, 4, 2}}),
      std::invalid_argument);
  EXPECT_THROW(example_products(executor(), {.a = {a.data(), 1, 4, 2, 8, 2},
                                             .b = {a.data(), 1, 4, 3, 12, 3},
                                             .places = 2,
                                             .c = {b.data(), 1, 2, 5, 10, 5}}),
               std::invalid_argument);
  EXPECT_THROW(gram_products<double>(executor(), {.b = {a.data(), 1, 3, 2, 6, 2},
                                                  .gram = {b.data(), 1, 2, 2, 4, 2},
                                                  .x = {b.data(), 1, 2, 2, 4, 2},
                                                  .y = {b.data(), 1, 2, 2, 4, 2}}),
               std::invalid_argument);
  EXPECT_THROW(
      gram_products<double>(
          executor(),
          {.b = {a.data(), 1, 2, 3, 6, 3}, .gram = {b.data(), 1, 2, 2, 4, 2}, .x = {}, .y = {}}),
      std::invalid_argument);
  const Buffer<std::uint64_t> bits(executor(), 8);
  EXPECT_THROW(pattern_products(executor(), {.bits = {bits.data(), 1, 4, 2, 8, 2},
                                             .counts = {b.data(), 1, 3, 3, 9, 3}}),
               std::invalid_argument);
  EXPECT_THROW(pattern_bits<double>(executor(), {.x = {a.data(), 1, 2, 30, 60, 30},
                                                 .bits = {bits.data(), 1, 2, 2, 4, 2}}),
               std::invalid_argument);
}

}  // namespace
}  // namespace manyfold::kernels
