#include "kernels/backends.hpp"

#include <algorithm>
#include <cstdlib>
#include <iterator>
#include <string>

#include <gtest/gtest.h>

#include "core/error.hpp"
#include "core/executor/cpu_executor.hpp"
#include "kernels/cpu/fma_peak.hpp"
#include "kernels/cpu/l2_bandwidth.hpp"
#include "kernels/cpu/loops.hpp"
#include "kernels/cpu/table.hpp"
#include "tests/sanitized.hpp"

namespace manyfold::kernels {
namespace {

bool usable(const std::string& device) {
  for (const auto& status : backend_statuses()) {
    if (status.device == device) return status.usable;
  }
  return false;
}

TEST(Backends, CpuIsAlwaysThere) {
  const auto executor = make_executor({.device = "cpu", .threads = 2, .memory_budget = 1 << 20});
  EXPECT_EQ(executor->device().kind, "cpu");
  EXPECT_EQ(executor->device().compute_units, 2);
  EXPECT_EQ(executor->device().memory_budget, std::size_t{1} << 20);
  EXPECT_EQ(executor->device().instruction_set, cpu::instruction_set());
  EXPECT_TRUE(usable("cpu"));
}

TEST(Backends, AutoTakesAGpuWhenOneAnswers) {
  const auto executor = make_executor({});
  EXPECT_EQ(executor->device().kind, usable("cuda") ? "cuda" : "cpu");
}

TEST(Backends, EveryStatusSaysSomething) {
  const auto statuses = backend_statuses();
  EXPECT_TRUE(std::any_of(statuses.begin(), statuses.end(),
                          [](const auto& status) { return status.device == "cuda"; }));
  for (const auto& status : statuses) EXPECT_FALSE(status.detail.empty()) << status.device;
}

TEST(Backends, MalformedRequestsAreInputErrors) {
  for (const char* device : {"", "gpu", "cuda:", "cuda:x", "cuda:1x", "cuda:-1", "cuda0", "CUDA",
                             "cuda:99999999999999999999", "cpu:0", "auto:0"}) {
    EXPECT_THROW(make_executor({.device = device}), InputError) << device;
  }
  EXPECT_THROW(make_executor({.device = "cpu", .threads = -1}), InputError);
}

TEST(Backends, MissingDevicesAreResourceErrorsThatSayWhy) {
  try {
    make_executor({.device = usable("cuda") ? "cuda:4096" : "cuda"});
    FAIL() << "made";
  } catch (const ResourceError& error) {
    EXPECT_NE(std::string(error.what()).find(usable("cuda") ? "cuda:4096" : "no cuda device: "),
              std::string::npos)
        << error.what();
  }
}

TEST(FmaPeak, IsMeasured) {
  const double single = cpu::measure_fma_peak<float>(0.02, 1);
  const double twice = cpu::measure_fma_peak<double>(0.02, 1);
  // Instrumented, and beside another test: some operations a microsecond.
  const double least = test::is_sanitized() ? 0.01e9 : 1e9;
  EXPECT_GT(single, least);
  EXPECT_GT(twice, least / 2);
}

TEST(L2Bandwidth, IsMeasured) {
  EXPECT_GE(l2_bytes(), std::size_t{1} << 16);
  const double bytes = cpu::measure_l2_bandwidth(0.02, 1);
  EXPECT_GT(bytes, 1e9);
  EXPECT_LT(bytes, 1e12);  // a core reads and writes less than 200 bytes a cycle
}

TEST(L2Bandwidth, CopiesEverything) {
  alignas(64) double from[3 * cpu::copy_block];
  alignas(64) double to[3 * cpu::copy_block + 1] = {};
  for (double& x : from) x = static_cast<double>(&x - from) + 1;
  cpu::chosen_loops().copy_rounds(2, to, from, std::size(from));
  for (std::size_t i = 0; i < std::size(from); ++i) EXPECT_EQ(to[i], from[i]) << i;
  EXPECT_EQ(to[std::size(from)], 0);
}

}  // namespace
}  // namespace manyfold::kernels
