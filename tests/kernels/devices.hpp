// Every kernel test runs on every device that answers: the CPU, the emulated CUDA device of test
// builds, and a GPU. A device that does not answer is skipped with its reason, so that the skip is
// counted and seen.
//
// Sizes are small, so that the tests are quick, unless MANYFOLD_TEST_SIZES=full asks for those that
// fill a chip (gpu-check does, on a GPU): what goes wrong only when blocks wait for others to end,
// when a grid's loop goes round, or beyond 65535 slots, shows nowhere else.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "core/executor/memory.hpp"
#include "core/view.hpp"
#include "kernels/backends.hpp"

namespace manyfold::test {

/// The seed of this run's inputs: MANYFOLD_TEST_SEED, else a fresh one. Failures print it.
inline std::uint64_t test_seed() {
  static const std::uint64_t seed = [] {
    const char* text = std::getenv("MANYFOLD_TEST_SEED");
    return text != nullptr ? std::strtoull(text, nullptr, 10) : std::random_device{}();
  }();
  return seed;
}

inline bool full_sizes() {
  static const bool full = [] {
    const char* text = std::getenv("MANYFOLD_TEST_SIZES");
    const std::string word = text != nullptr ? text : "quick";
    if (word != "quick" && word != "full") {
      throw std::runtime_error("MANYFOLD_TEST_SIZES: found " + word + ", expected quick or full");
    }
    return word == "full";
  }();
  return full;
}

/// Slots that are checked one by one where checking all would take too long: the first, the last,
/// those around 65536, and some at random; all if there are few.
inline std::vector<std::int64_t> some_slots(std::int64_t slots, std::mt19937_64& random) {
  std::set<std::int64_t> some;
  for (std::int64_t i = 0; i < 64; ++i) {
    some.insert(
        {i < 8 ? i : static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(slots)),
         slots - 1 - i % 8, 65'532 + i % 8});
  }
  std::erase_if(some, [&](std::int64_t s) { return s < 0 || s >= slots; });
  return {some.begin(), some.end()};
}

/// An executor for `device`, kept for the whole program; nullptr with the reason when there is
/// none.
inline Executor* executor_on(const std::string& device, std::string* why_none) {
  static std::map<std::string, std::unique_ptr<Executor>> executors;
  for (const auto& status : kernels::backend_statuses()) {
    if (status.device != device) continue;
    if (!status.usable) {
      *why_none = status.detail;
      return nullptr;
    }
    auto& executor = executors[device];
    if (!executor) executor = kernels::make_executor({.device = device, .threads = 2});
    return executor.get();
  }
  *why_none = "this build has no such device";
  return nullptr;
}

class DeviceTest : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    std::string why_none;
    executor_ = executor_on(GetParam(), &why_none);
    if (executor_ == nullptr) GTEST_SKIP() << "no " << GetParam() << " device: " << why_none;
    RecordProperty("seed", std::to_string(test_seed()));
  }
  Executor& executor() const { return *executor_; }
  bool on_cpu() const { return executor_->device().kind == "cpu"; }
  /// Fibers make a block cost a fraction of a millisecond: fewer and smaller cases there.
  bool emulated() const { return executor_->device().kind == "emulated"; }
  /// How many slots of `count` elements (gaps included) a test takes: `quick`, or at full sizes so
  /// many that each kernel, whatever it makes of a slot, fills the chip more than twice. The CPU
  /// takes as many as a GPU.
  std::int64_t enough_slots(std::int64_t quick, std::int64_t count) const {
    if (!full_sizes()) return quick;
    count = std::max<std::int64_t>(count, 1);
    const std::int64_t multiprocessors = std::max(executor_->device().compute_units, 132);
    // A block a slot: at most 32 of them share a multiprocessor.
    std::int64_t slots = 2 * 32 * multiprocessors + 5;
    // A thread an element: a grid has 16 blocks of 128 threads a multiprocessor and goes round.
    slots = std::max(slots, (2 * 16 * 128 * multiprocessors + 77) / count + 1);
    // What goes to a grid's second or third dimension ends at 65535.
    if (count <= 64) slots = std::max<std::int64_t>(slots, 65'573);
    constexpr std::int64_t most_elements = std::int64_t{1} << 24;  // 128 MiB of doubles
    return std::max(quick, std::min(slots, most_elements / count));
  }

 private:
  Executor* executor_ = nullptr;
  ::testing::ScopedTrace trace_{__FILE__, __LINE__,
                                "MANYFOLD_TEST_SEED=" + std::to_string(test_seed())};
};

#define MANYFOLD_ON_EVERY_DEVICE(suite)                                                  \
  INSTANTIATE_TEST_SUITE_P(Devices, suite, ::testing::Values("cpu", "emulated", "cuda"), \
                           [](const auto& device) { return std::string(device.param); })

/// Normal numbers.
template <class T>
std::vector<T> random_vector(std::int64_t count, std::mt19937_64& random, double scale = 1) {
  std::normal_distribution<double> normal(0, scale);
  std::vector<T> values(static_cast<std::size_t>(count));
  for (T& value : values) value = static_cast<T>(normal(random));
  return values;
}

template <class T>
Buffer<T> to_device(Executor& executor, const std::vector<T>& host) {
  Buffer<T> buffer(executor, static_cast<std::int64_t>(host.size()));
  if (!host.empty()) buffer.upload(host);
  return buffer;
}

/// What an output holds before a kernel writes it: nothing may depend on it.
template <class T>
std::vector<T> poisoned(std::int64_t count) {
  return std::vector<T>(static_cast<std::size_t>(count), std::numeric_limits<T>::quiet_NaN());
}

/// Bits, so that NaN equals itself and -0 differs from 0.
template <class T>
std::vector<unsigned char> bits(const std::vector<T>& values) {
  const auto* begin = reinterpret_cast<const unsigned char*>(values.data());
  return {begin, begin + values.size() * sizeof(T)};
}

template <class T>
constexpr double epsilon() {
  return static_cast<double>(std::numeric_limits<T>::epsilon());
}

}  // namespace manyfold::test
