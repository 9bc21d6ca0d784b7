#include "kernels/spectrum.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <vector>

#include "tests/kernels/devices.hpp"

namespace manyfold::kernels {
namespace {

using namespace manyfold::test;

class Spectrum : public DeviceTest {
 protected:
  /// One value per slot of spectra of one length, with gaps that must stay as they are.
  std::vector<double> compute(const std::vector<std::vector<double>>& spectra,
                              SpectrumFunction function, double parameter, double scale = 1) {
    const auto slots = static_cast<std::int64_t>(spectra.size());
    const auto count = static_cast<std::int64_t>(spectra.front().size());
    std::vector<double> host;
    for (const auto& one : spectra) {
      host.insert(host.end(), one.begin(), one.end());
      host.push_back(1e9);
    }
    const auto values = to_device(executor(), host);
    const auto out = to_device(executor(), poisoned<double>(2 * slots));
    spectrum(executor(), {.slots = slots,
                          .count = count,
                          .values = values.data(),
                          .values_stride = count + 1,
                          .function = function,
                          .parameter = parameter,
                          .scale = scale,
                          .out = out.data(),
                          .out_stride = 2});
    const auto all = out.download();
    std::vector<double> result;
    for (std::size_t s = 0; s < spectra.size(); ++s) {
      result.push_back(all[2 * s]);
      EXPECT_TRUE(std::isnan(all[2 * s + 1])) << "wrote between slots";
    }
    return result;
  }
  double one(const std::vector<double>& s, SpectrumFunction function, double parameter = 1,
             double scale = 1) {
    return compute({s}, function, parameter, scale).front();
  }
};

/// Powers and logarithms are right to a few units in the last place on either device.
void expect_close(double value, double expected) {
  EXPECT_NEAR(value, expected, 64 * epsilon<double>() * std::fabs(expected));
}

TEST_P(Spectrum, HasValuesWorkedOutByHand) {
  const std::vector<double> s{4, 2, 1, 1};
  expect_close(one(s, SpectrumFunction::power_sum, 0.5, 3), 3 * (2 + std::sqrt(2.0) + 2));
  expect_close(one(s, SpectrumFunction::schatten_norm, 1), 8);
  expect_close(one(s, SpectrumFunction::schatten_norm, 2), std::sqrt(22.0));
  expect_close(one(s, SpectrumFunction::schatten_norm, 0.5), std::pow(4 + std::sqrt(2.0), 2));
  expect_close(one(s, SpectrumFunction::schatten_norm, 200), 4);  // nearly the largest
  expect_close(one(s, SpectrumFunction::tail_norm, 0), std::sqrt(22.0));
  expect_close(one(s, SpectrumFunction::tail_norm, 2), std::sqrt(2.0));
  EXPECT_EQ(one(s, SpectrumFunction::tail_norm, 4), 0);
  // p = 1/2, 1/4, 1/8, 1/8: entropy (1/2 + 1/2 + 3/4) ln 2
  expect_close(one(s, SpectrumFunction::effective_rank), std::pow(2.0, 1.75));
  expect_close(one(s, SpectrumFunction::stable_rank), 22.0 / 16);
  EXPECT_EQ(one(s, SpectrumFunction::numerical_rank, 0.25), 2);  // above, not at
  EXPECT_EQ(one(s, SpectrumFunction::numerical_rank, 0.24), 4);
  // alpha = 8: f(16) = 1, f(4) = 4 (16 - 4) / 64 = 3/4, f(1) = 15/64
  expect_close(one(s, SpectrumFunction::f_alpha_rank, 8), 1 + 0.75 + 2 * 15.0 / 64);
  expect_close(one(s, SpectrumFunction::f_alpha_rank, 1), 4);
}

TEST_P(Spectrum, OfEqualValuesHasTheirNumberAsRank) {
  for (const std::size_t n : {1U, 2U, 7U, 33U}) {
    const std::vector<double> s(n, 0.3);
    expect_close(one(s, SpectrumFunction::effective_rank), static_cast<double>(n));
    expect_close(one(s, SpectrumFunction::stable_rank), static_cast<double>(n));
    EXPECT_EQ(one(s, SpectrumFunction::numerical_rank, 1e-9), static_cast<double>(n));
  }
}

TEST_P(Spectrum, OfZeroIsZero) {
  for (const auto function :
       {SpectrumFunction::power_sum, SpectrumFunction::schatten_norm, SpectrumFunction::tail_norm,
        SpectrumFunction::effective_rank, SpectrumFunction::stable_rank,
        SpectrumFunction::numerical_rank, SpectrumFunction::f_alpha_rank}) {
    EXPECT_EQ(one({0, 0, 0}, function, 0.5), 0) << static_cast<int>(function);
  }
}

TEST_P(Spectrum, ScalesWithoutOverflowOrUnderflow) {
  const std::vector<double> s{4, 2, 1, 1};
  for (const double unit : {1e-250, 1e250}) {
    std::vector<double> scaled = s;
    for (double& x : scaled) x *= unit;
    expect_close(one(scaled, SpectrumFunction::tail_norm, 1) / unit, std::sqrt(6.0));
    expect_close(one(scaled, SpectrumFunction::schatten_norm, 2) / unit, std::sqrt(22.0));
    expect_close(one(scaled, SpectrumFunction::effective_rank), std::pow(2.0, 1.75));
    expect_close(one(scaled, SpectrumFunction::stable_rank), 22.0 / 16);
    EXPECT_EQ(one(scaled, SpectrumFunction::numerical_rank, 0.24), 4);
  }
}

TEST_P(Spectrum, OfAnotherSlotChangesNothing) {
  std::mt19937_64 random(test_seed());
  std::vector<std::vector<double>> spectra;
  for (int slot = 0; slot < 40; ++slot) {
    auto s = random_vector<double>(9, random);
    for (double& x : s) x = std::fabs(x);
    std::sort(s.begin(), s.end(), std::greater<>());
    spectra.push_back(s);
  }
  for (const auto function :
       {SpectrumFunction::power_sum, SpectrumFunction::schatten_norm, SpectrumFunction::tail_norm,
        SpectrumFunction::effective_rank, SpectrumFunction::stable_rank,
        SpectrumFunction::numerical_rank, SpectrumFunction::f_alpha_rank}) {
    auto with_nan = spectra;
    with_nan[7].assign(9, std::nan(""));
    const auto all = compute(with_nan, function, 1);
    for (std::size_t slot = 0; slot < spectra.size(); ++slot) {
      if (slot == 7) {
        EXPECT_TRUE(std::isnan(all[slot])) << static_cast<int>(function);
      } else {
        EXPECT_EQ(all[slot], one(spectra[slot], function, 1)) << static_cast<int>(function);
      }
    }
  }
}

MANYFOLD_ON_EVERY_DEVICE(Spectrum);

}  // namespace
}  // namespace manyfold::kernels
