#include "kernels/gemm.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <stdexcept>
#include <string>
#include <tuple>
#include <vector>

#include "kernels/activation.hpp"
#include "tests/kernels/devices.hpp"
#include "tests/same_bits.hpp"

namespace manyfold::kernels {
namespace {

using namespace manyfold::test;

/// One product with everything that the contract lets vary. Strides beyond the minimum are gaps
/// that must stay as they are.
template <class T>
struct Product {
  std::int64_t m = 1, n = 1, k = 1, slots = 3;
  bool transpose_a = false, transpose_b = false;
  bool shared_a = false, shared_b = false;
  std::int64_t gap = 0;
  T alpha = 1, beta = 0;
  MathMode math = MathMode::full;

  std::int64_t a_rows() const { return transpose_a ? k : m; }
  std::int64_t a_cols() const { return transpose_a ? m : k; }
  std::int64_t b_rows() const { return transpose_b ? n : k; }
  std::int64_t b_cols() const { return transpose_b ? k : n; }
  std::int64_t a_slot() const { return a_rows() * (a_cols() + gap) + gap; }
  std::int64_t b_slot() const { return b_rows() * (b_cols() + gap) + gap; }
  std::int64_t c_slot() const { return m * (n + gap) + gap; }

  std::string name() const {
    return std::to_string(m) + "x" + std::to_string(n) + "x" + std::to_string(k) +
           (transpose_a ? " A^T" : "") + (transpose_b ? " B^T" : "") +
           (shared_a ? " shared A" : "") + (shared_b ? " shared B" : "") + " gap " +
           std::to_string(gap) + " alpha " + std::to_string(alpha) + " beta " +
           std::to_string(beta);
  }
};

template <class T>
struct Operands {
  std::vector<T> a, b, c;
};

template <class T>
Operands<T> random_operands(const Product<T>& p, std::mt19937_64& random) {
  return {random_vector<T>(p.a_slot() * p.slots, random),
          random_vector<T>(p.b_slot() * p.slots, random),
          p.beta == T(0) ? poisoned<T>(p.c_slot() * p.slots)
                         : random_vector<T>(p.c_slot() * p.slots, random)};
}

template <class T>
GemmArgs<T> arguments(const Product<T>& p, const T* a, const T* b, T* c) {
  const auto flag = [](bool yes) { return yes ? Transpose::yes : Transpose::no; };
  return {flag(p.transpose_a),
          flag(p.transpose_b),
          p.alpha,
          {a, p.slots, p.a_rows(), p.a_cols(), p.shared_a ? 0 : p.a_slot(), p.a_cols() + p.gap},
          {b, p.slots, p.b_rows(), p.b_cols(), p.shared_b ? 0 : p.b_slot(), p.b_cols() + p.gap},
          p.beta,
          {c, p.slots, p.m, p.n, p.c_slot(), p.n + p.gap},
          p.math};
}

template <class T>
std::vector<T> multiply(Executor& executor, const Product<T>& p, const Operands<T>& operands) {
  const auto a = to_device(executor, operands.a);
  const auto b = to_device(executor, operands.b);
  const auto c = to_device(executor, operands.c);
  gemm(executor, arguments(p, a.data(), b.data(), c.data()));
  return c.download();
}

/// Every entry against a sum in extended precision. k products, each rounded, added in some order:
/// the error is at most (k + 2) eps times the sum of absolute values, to first order.
template <class T>
void expect_slot(const Product<T>& p, const Operands<T>& operands, const std::vector<T>& result,
                 std::int64_t s, double operand_eps = 0) {
  const auto at = [](std::int64_t i) { return static_cast<std::size_t>(i); };
  const T* a = operands.a.data() + (p.shared_a ? 0 : s * p.a_slot());
  const T* b = operands.b.data() + (p.shared_b ? 0 : s * p.b_slot());
  for (std::int64_t i = 0; i < p.m; ++i) {
    for (std::int64_t j = 0; j < p.n; ++j) {
      long double sum = 0;
      long double size = 0;
      for (std::int64_t l = 0; l < p.k; ++l) {
        const long double x =
            p.transpose_a ? a[l * (p.a_cols() + p.gap) + i] : a[i * (p.a_cols() + p.gap) + l];
        const long double y =
            p.transpose_b ? b[j * (p.b_cols() + p.gap) + l] : b[l * (p.b_cols() + p.gap) + j];
        sum += x * y;
        size += std::fabs(x * y);
      }
      const std::int64_t place = s * p.c_slot() + i * (p.n + p.gap) + j;
      const long double before = operands.c[at(place)];
      long double expected = p.alpha * sum;
      long double bound = std::fabs(p.alpha) * size;
      if (p.beta != T(0)) {
        expected += p.beta * before;
        bound += std::fabs(p.beta * before);
      }
      bound *= static_cast<double>(p.k + 2) * epsilon<T>() + 2.1 * operand_eps;
      ASSERT_LE(std::fabs(result[at(place)] - expected), bound)
          << p.name() << ", slot " << s << " (" << i << ", " << j << "): " << result[at(place)]
          << " for " << static_cast<double>(expected);
    }
  }
}

template <class T>
void expect_product(const Product<T>& p, const Operands<T>& operands, const std::vector<T>& result,
                    double operand_eps = 0) {
  for (std::int64_t s = 0; s < p.slots && !::testing::Test::HasFatalFailure(); ++s) {
    expect_slot(p, operands, result, s, operand_eps);
  }
}

/// Some slots as above; of the others that every entry was written.
template <class T>
void expect_some(const Product<T>& p, const Operands<T>& operands, const std::vector<T>& result,
                 std::mt19937_64& random) {
  for (const std::int64_t s : some_slots(p.slots, random)) {
    expect_slot(p, operands, result, s);
    if (::testing::Test::HasFatalFailure()) return;
  }
  for (std::int64_t s = 0; s < p.slots; ++s) {
    for (std::int64_t i = 0; i < p.m; ++i) {
      const T* row = result.data() + s * p.c_slot() + i * (p.n + p.gap);
      ASSERT_TRUE(std::all_of(row, row + p.n, [](T x) { return std::isfinite(x); }))
          << p.name() << ", slot " << s << ", row " << i;
    }
  }
}

template <class T>
void expect_gaps_untouched(const Product<T>& p, const Operands<T>& operands,
                           std::vector<T> result) {
  for (std::int64_t s = 0; s < p.slots; ++s) {
    for (std::int64_t i = 0; i < p.m; ++i) {
      for (std::int64_t j = 0; j < p.n; ++j) {
        const auto place = static_cast<std::size_t>(s * p.c_slot() + i * (p.n + p.gap) + j);
        result[place] = operands.c[place];
      }
    }
  }
  EXPECT_TRUE(bits(result) == bits(operands.c)) << p.name() << ": wrote between rows or slots";
}

class Gemm : public DeviceTest {
 protected:
  template <class T>
  void check(const Product<T>& p, std::mt19937_64& random) {
    const Operands<T> operands = random_operands(p, random);
    const std::vector<T> result = multiply(executor(), p, operands);
    expect_product(p, operands, result);
    expect_gaps_untouched(p, operands, result);
  }

  /// Slots that fill the chip; all are checked where their products take a moment only.
  template <class T>
  void check_full() {
    std::mt19937_64 random(test_seed());
    int kind = 0;
    for (const auto& [m, n, k] : {std::tuple{4, 4, 4},
                                  {20, 20, 20},
                                  {33, 65, 17},
                                  {1, 50, 30},
                                  {64, 64, 64},
                                  {100, 100, 100}}) {
      Product<T> p;
      p.m = m;
      p.n = n;
      p.k = k;
      p.transpose_a = kind % 2 == 1;
      p.transpose_b = kind / 2 % 2 == 1;
      p.shared_b = kind == 3;
      p.gap = kind == 2 ? 3 : 0;
      p.slots = enough_slots(7, std::max({p.a_slot(), p.b_slot(), p.c_slot()}));
      ++kind;
      const Operands<T> operands = random_operands(p, random);
      const std::vector<T> result = multiply(executor(), p, operands);
      if (p.slots * m * n * k < 100'000'000) {
        expect_product(p, operands, result);
      } else {
        expect_some(p, operands, result, random);
      }
      if (HasFatalFailure()) return;
      expect_gaps_untouched(p, operands, result);
    }
  }

  /// Sizes around vector widths and tiles, odd ones, and beyond the crossover to BLAS.
  template <class T>
  void check_sizes() {
    std::mt19937_64 random(test_seed());
    const std::vector<std::tuple<int, int, int>> sizes = {
        {1, 1, 1},    {1, 7, 3},    {7, 1, 5},       {2, 3, 4},    {20, 20, 20},   {5, 20, 8},
        {33, 65, 17}, {64, 64, 64}, {100, 100, 100}, {17, 16, 15}, {12, 36, 9},    {130, 129, 31},
        {200, 3, 40}, {3, 200, 40}, {3, 4, 200},     {8, 8, 1},    {13, 52, 21},   {193, 194, 195},
        {257, 5, 30}, {6, 260, 9},  {9, 11, 300},    {19, 84, 20}, {11, 116, 100}, {24, 18, 50}};
    for (const auto& [m, n, k] : sizes) {
      for (int transposes = 0; transposes < 4; ++transposes) {
        Product<T> p;
        p.m = m;
        p.n = n;
        p.k = k;
        p.slots = m * n > 5000 ? 2 : 3;
        p.transpose_a = transposes % 2 == 1;
        p.transpose_b = transposes / 2 == 1;
        check(p, random);
        if (HasFatalFailure()) return;
        p.gap = 3;
        p.alpha = T(-1.25);
        p.beta = T(0.75);
        p.shared_a = transposes % 2 == 0;
        p.shared_b = transposes > 1;
        check(p, random);
        if (HasFatalFailure()) return;
      }
    }
  }
};

TEST_P(Gemm, MatchesExtendedPrecisionInDouble) { check_sizes<double>(); }
TEST_P(Gemm, MatchesExtendedPrecisionInFloat) { check_sizes<float>(); }

TEST_P(Gemm, MatchesWhereSlotsFillTheChipInDouble) { check_full<double>(); }
TEST_P(Gemm, MatchesWhereSlotsFillTheChipInFloat) { check_full<float>(); }

TEST_P(Gemm, EverySmallSize) {
  std::mt19937_64 random(test_seed());
  const int largest = emulated() ? 6 : 26;
  for (int m = 1; m <= largest; ++m) {
    for (int n = 1; n <= largest; ++n) {
      Product<float> f;
      f.m = m;
      f.n = n;
      f.k = (3 * m + n) % 23;
      f.slots = 2;
      f.transpose_a = (m + n) % 2 == 0;
      f.transpose_b = (m + n) % 3 == 0;
      f.beta = n % 2 == 0 ? 0.0f : 2.0f;
      check(f, random);
      Product<double> d;
      d.m = m;
      d.n = n;
      d.k = (3 * n + m) % 23;
      d.slots = 2;
      d.transpose_a = n % 2 == 0;
      d.transpose_b = m % 2 == 0;
      d.alpha = 0.5;
      check(d, random);
      if (HasFatalFailure()) return;
    }
  }
}

TEST_P(Gemm, WithoutTermsOnlyScales) {
  std::mt19937_64 random(test_seed());
  for (const double beta : {0.0, 1.0, -0.5}) {
    Product<double> p;
    p.m = 5;
    p.n = 9;
    p.k = 0;
    p.gap = 2;
    p.beta = beta;
    check(p, random);
  }
}

TEST_P(Gemm, EmptyResultIsNothingToDo) {
  Product<double> p;
  p.m = 0;
  p.n = 4;
  p.k = 2;
  const Operands<double> operands{std::vector<double>(1), std::vector<double>(8 * 3), {}};
  EXPECT_NO_THROW(multiply(executor(), p, operands));
}

/// A product that finishes with a rectifier, or its slope, against one after the other.
template <class T>
void check_finish(Executor& device, const Product<T>& p, Finish finish, T below) {
  SCOPED_TRACE(p.name() + ", below " + std::to_string(below));
  std::mt19937_64 random(test_seed());
  Operands<T> operands = random_operands(p, random);
  operands.a.front() = std::numeric_limits<T>::infinity();
  if (!p.shared_a) operands.a.back() = std::numeric_limits<T>::quiet_NaN();
  const auto state =
      to_device(device, random_vector<T>(p.c_slot() * p.slots, random));  // of both signs
  const auto a = to_device(device, operands.a);
  const auto b = to_device(device, operands.b);
  const auto separate = to_device(device, operands.c);
  const auto together = to_device(device, operands.c);
  const T by = T(0.75);
  const GemmArgs<T> product = arguments<T>(p, a.data(), b.data(), separate.data());
  gemm(device, product);
  const Activation kind = below == 0 ? Activation::relu : Activation::leaky_relu;
  const VectorBatch<T> c = flatten(product.c);
  const MatrixBatch<const T> states{state.data(), p.slots, p.m, p.n, p.c_slot(), p.n};
  if (finish == Finish::rectify) {
    activate<T>(device, {kind, double{below}, double{by}, c, c});
  } else {
    activation_slope<T>(device, {kind, double{below}, 1, flatten(states), c, double{by}, false, c});
  }
  GemmArgs<T> finished = product;
  finished.c.data = together.data();
  finished.finish = finish;
  finished.below = below;
  finished.by = by;
  finished.state = states;
  gemm(device, finished);
  EXPECT_TRUE(same_bits(separate.download(), together.download()));
}

template <class T>
void check_finishes(Executor& device) {
  for (const Finish finish : {Finish::rectify, Finish::rectified_slope}) {
    for (const T below : {T(0), T(0.25)}) {
      for (const auto& [m, n, k] :
           {std::tuple{1, 1, 1}, {7, 5, 3}, {64, 16, 8}, {33, 1, 16}, {1, 40, 9}, {300, 20, 270}}) {
        for (const int variant : {0, 1, 2, 3}) {
          Product<T> p{m, n, k};
          p.transpose_a = variant == 1;
          p.transpose_b = variant % 2 == 0;
          p.shared_a = variant == 2;
          p.alpha = variant == 3 ? T(1) : T(0.3);
          p.beta = variant == 1 ? T(0.5) : T(0);
          check_finish(device, p, finish, below);
        }
      }
    }
  }
}

TEST_P(Gemm, FinishesAsARectifierAfterItWould) {
  check_finishes<float>(executor());
  check_finishes<double>(executor());
}

TEST_P(Gemm, RejectsAFinishThatDoesNotFit) {
  const auto x = to_device(executor(), std::vector<double>(16, 1.0));
  const MatrixBatch<double> square{x.data(), 1, 2, 2, 4, 2};
  GemmArgs<double> args{.a = square, .b = square, .c = square, .finish = Finish::rectified_slope};
  args.c.data += 4;
  args.state = MatrixBatch<const double>{x.data() + 8, 1, 2, 1, 2, 1};
  EXPECT_THROW(gemm(executor(), args), std::invalid_argument);
  args.state = MatrixBatch<const double>{x.data() + 8, 1, 2, 2, 4, 2};
  args.c.row_stride = 3;
  EXPECT_THROW(gemm(executor(), args), std::invalid_argument);
}

/// A slot's bits depend on its operands alone: not on its place, on the slots beside it, nor (on a
/// CPU) on the number of slots and threads.
TEST_P(Gemm, SlotsDoNotSeeEachOther) {
  std::mt19937_64 random(test_seed());
  for (const int size : {1, 20, 33, 100, 260}) {
    Product<float> p;
    p.m = size;
    p.n = size;
    p.k = size;
    p.slots = 5;
    p.transpose_b = true;
    const Operands<float> operands = random_operands(p, random);
    const std::vector<float> all = multiply(executor(), p, operands);
    Operands<float> spoiled = operands;
    for (std::int64_t i = 0; i < p.a_slot(); ++i) {
      spoiled.a[static_cast<std::size_t>(2 * p.a_slot() + i)] =
          std::numeric_limits<float>::quiet_NaN();
    }
    std::vector<float> with_nan = multiply(executor(), p, spoiled);
    for (std::int64_t i = 0; i < p.c_slot(); ++i) {
      const auto place = static_cast<std::size_t>(2 * p.c_slot() + i);
      EXPECT_TRUE(std::isnan(with_nan[place]));
      with_nan[place] = all[place];
    }
    EXPECT_EQ(bits(with_nan), bits(all)) << size;
    if (!on_cpu()) continue;  // cuBLAS may choose by the number of slots
    for (const int threads : {1, 2}) {
      const auto other = make_executor({.device = "cpu", .threads = threads});
      EXPECT_EQ(bits(multiply(*other, p, operands)), bits(all)) << size << ", threads " << threads;
      for (std::int64_t s = 0; s < p.slots; ++s) {
        Product<float> single = p;
        single.slots = 1;
        const auto slice = [&](const std::vector<float>& x, std::int64_t length) {
          return std::vector<float>(x.begin() + s * length, x.begin() + (s + 1) * length);
        };
        const Operands<float> alone{slice(operands.a, p.a_slot()), slice(operands.b, p.b_slot()),
                                    slice(operands.c, p.c_slot())};
        EXPECT_EQ(bits(multiply(*other, single, alone)), bits(slice(all, p.c_slot())))
            << size << ", slot " << s;
      }
    }
  }
}

TEST_P(Gemm, RecordedEqualsDirect) {
  std::mt19937_64 random(test_seed());
  Product<double> p;
  p.m = 20;
  p.n = 20;
  p.k = 20;
  p.slots = 9;
  p.transpose_b = true;
  const Operands<double> operands = random_operands(p, random);
  const std::vector<double> direct = multiply(executor(), p, operands);
  const auto a = to_device(executor(), operands.a);
  const auto b = to_device(executor(), operands.b);
  const auto c = to_device(executor(), operands.c);
  const auto program = executor().record({nullptr, p.slots}, 1 << 14, [&] {
    gemm(executor(), arguments(p, a.data(), b.data(), c.data()));
  });
  EXPECT_EQ(bits(c.download()), bits(operands.c)) << "recording must not carry out";
  executor().run(std::vector<Burst>{{program.get(), 2}});
  EXPECT_EQ(bits(c.download()), bits(direct));
}

/// TF32 rounds operands to 11 significant bits where there is such hardware, and nowhere else.
TEST_P(Gemm, Tf32StaysWithinItsRounding) {
  std::mt19937_64 random(test_seed());
  Product<float> p;
  p.m = 33;
  p.n = 40;
  p.k = 50;
  p.math = MathMode::tf32;
  const Operands<float> operands = random_operands(p, random);
  expect_product(p, operands, multiply(executor(), p, operands), 0x1p-11);
}

TEST_P(Gemm, RejectsShapesThatDoNotMultiply) {
  const Buffer<double> memory(executor(), 64);
  GemmArgs<double> args;
  args.a = {memory.data(), 1, 2, 3, 6, 3};
  args.b = {memory.data(), 1, 4, 2, 8, 2};
  args.c = {memory.data(), 1, 2, 2, 4, 2};
  try {
    gemm(executor(), args);
    FAIL() << "accepted";
  } catch (const std::invalid_argument& error) {
    EXPECT_NE(std::string(error.what()).find("A (1, 2, 3) times B (1, 4, 2) into C (1, 2, 2)"),
              std::string::npos)
        << error.what();
  }
  args.b = {memory.data(), 1, 3, 2, 6, 2};
  args.c = {memory.data(), 2, 2, 2, 4, 2};
  EXPECT_THROW(gemm(executor(), args), std::invalid_argument) << "A has one slot and is not shared";
  args.a.slot_stride = 0;
  args.b.slot_stride = 0;
  args.c.slot_stride = 0;
  EXPECT_THROW(gemm(executor(), args), std::invalid_argument) << "C is shared";
  args.c = {memory.data(), 1, 2, 2, 4, 1};
  EXPECT_THROW(gemm(executor(), args), std::invalid_argument) << "rows of C overlap";
}

MANYFOLD_ON_EVERY_DEVICE(Gemm);

}  // namespace
}  // namespace manyfold::kernels
