#include "kernels/stepping.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <stdexcept>
#include <vector>

#include "tests/kernels/devices.hpp"

namespace manyfold::kernels {
namespace {

using namespace manyfold::test;

constexpr double nan = std::numeric_limits<double>::quiet_NaN();
constexpr double infinity = std::numeric_limits<double>::infinity();

/// The per-slot state on the host; `fresh` members step, have no limits and never converge.
struct State {
  std::vector<std::int32_t> active, reason;
  std::vector<std::int64_t> step, finite_step, max_steps;
  std::vector<double> time, train_loss, grad_norm2, step_size, finite_train_loss, finite_grad_norm;
  std::vector<double> stop_train_loss, stop_grad_norm, stop_divergence;

  static State fresh(std::size_t slots) {
    State s;
    s.active.assign(slots, 1);
    s.reason.assign(slots, 0);
    s.step.assign(slots, 5);
    s.finite_step.assign(slots, -1);
    s.max_steps.assign(slots, 1000);
    s.time.assign(slots, 0.25);
    s.train_loss.assign(slots, 1);
    s.grad_norm2.assign(slots, 4);
    s.step_size.assign(slots, 0.5);
    s.finite_train_loss.assign(slots, nan);
    s.finite_grad_norm.assign(slots, nan);
    s.stop_train_loss.assign(slots, -1);
    s.stop_grad_norm.assign(slots, -1);
    s.stop_divergence.assign(slots, infinity);
    return s;
  }
  std::size_t slots() const { return active.size(); }
};

/// The same in device memory.
class DeviceState {
 public:
  DeviceState(Executor& executor, const State& s)
      : active_(to_device(executor, s.active)),
        reason_(to_device(executor, s.reason)),
        step_(to_device(executor, s.step)),
        finite_step_(to_device(executor, s.finite_step)),
        max_steps_(to_device(executor, s.max_steps)),
        time_(to_device(executor, s.time)),
        train_loss_(to_device(executor, s.train_loss)),
        grad_norm2_(to_device(executor, s.grad_norm2)),
        step_size_(to_device(executor, s.step_size)),
        finite_train_loss_(to_device(executor, s.finite_train_loss)),
        finite_grad_norm_(to_device(executor, s.finite_grad_norm)),
        stop_train_loss_(to_device(executor, s.stop_train_loss)),
        stop_grad_norm_(to_device(executor, s.stop_grad_norm)),
        stop_divergence_(to_device(executor, s.stop_divergence)) {}

  StepControl control() const {
    StepControl c;
    c.slots = active_.size();
    c.active = active_.data();
    c.reason = reason_.data();
    c.step = step_.data();
    c.time = time_.data();
    c.train_loss = train_loss_.data();
    c.grad_norm2 = grad_norm2_.data();
    c.step_size = step_size_.data();
    c.finite_step = finite_step_.data();
    c.finite_train_loss = finite_train_loss_.data();
    c.finite_grad_norm = finite_grad_norm_.data();
    c.max_steps = max_steps_.data();
    c.stop_train_loss = stop_train_loss_.data();
    c.stop_grad_norm = stop_grad_norm_.data();
    c.stop_divergence = stop_divergence_.data();
    return c;
  }
  State download() const {
    State s;
    s.active = active_.download();
    s.reason = reason_.download();
    s.step = step_.download();
    s.finite_step = finite_step_.download();
    s.max_steps = max_steps_.download();
    s.time = time_.download();
    s.train_loss = train_loss_.download();
    s.grad_norm2 = grad_norm2_.download();
    s.step_size = step_size_.download();
    s.finite_train_loss = finite_train_loss_.download();
    s.finite_grad_norm = finite_grad_norm_.download();
    s.stop_train_loss = stop_train_loss_.download();
    s.stop_grad_norm = stop_grad_norm_.download();
    s.stop_divergence = stop_divergence_.download();
    return s;
  }

 private:
  Buffer<std::int32_t> active_, reason_;
  Buffer<std::int64_t> step_, finite_step_, max_steps_;
  Buffer<double> time_, train_loss_, grad_norm2_, step_size_, finite_train_loss_, finite_grad_norm_,
      stop_train_loss_, stop_grad_norm_, stop_divergence_;
};

class Stepping : public DeviceTest {
 protected:
  template <class T>
  void check_descend() {
    std::mt19937_64 random(test_seed());
    for (const std::int64_t count : {1, 7, 16, 33, 400, 1201}) {
      const std::int64_t stride = count + 3;
      const std::int64_t slots = enough_slots(3, stride);
      State before = State::fresh(static_cast<std::size_t>(slots));
      for (std::size_t s = 0; s < before.slots(); ++s) {
        before.step_size[s] = std::array{0.1, 1e-3, 3.0}[s % 3];
        before.active[s] = s % 3 == 1 ? 0 : 1;
      }
      const DeviceState state(executor(), before);
      const auto params = random_vector<T>(slots * stride, random);
      const auto grad = random_vector<T>(slots * stride, random);
      const auto device_params = to_device(executor(), params);
      const auto device_grad = to_device(executor(), grad);
      descend(executor(), DescendArgs<T>{state.control(),
                                         {device_params.data(), slots, count, stride},
                                         {device_grad.data(), slots, count, stride}});
      auto expected = params;
      for (std::int64_t s = 0; s < slots; ++s) {
        if (s % 3 == 1) continue;
        const T step = static_cast<T>(before.step_size[static_cast<std::size_t>(s)]);
        for (std::int64_t i = 0; i < count; ++i) {
          const auto place = static_cast<std::size_t>(s * stride + i);
          expected[place] = std::fma(-step, grad[place], params[place]);
        }
      }
      EXPECT_TRUE(bits(device_params.download()) == bits(expected)) << count;
    }
  }
};

TEST_P(Stepping, DescendIsFusedInDouble) { check_descend<double>(); }
TEST_P(Stepping, DescendIsFusedInFloat) { check_descend<float>(); }

struct StopCase {
  const char* name;
  double train_loss, grad_norm2, stop_train_loss, stop_grad_norm, stop_divergence;
  StopReason reason;
};

TEST_P(Stepping, StopsForTheFirstReasonThatHolds) {
  const std::vector<StopCase> cases = {
      {"goes on", 1, 4, -1, -1, infinity, StopReason::none},
      {"no goal is negative", 0, 0, -1, -1, infinity, StopReason::none},
      {"a negative loss is no goal reached", -2, 4, -1, -1, infinity, StopReason::none},
      {"loss above the goal", 1, 4, 0.5, -1, infinity, StopReason::none},
      {"loss at the goal", 0.5, 4, 0.5, -1, infinity, StopReason::train_loss},
      {"loss below the goal", 0.1, 4, 0.5, -1, infinity, StopReason::train_loss},
      {"zero loss at goal zero", 0, 4, 0, -1, infinity, StopReason::train_loss},
      {"gradient above the goal", 1, 4, -1, 1.9, infinity, StopReason::none},
      {"gradient at the goal", 1, 4, -1, 2, infinity, StopReason::grad_norm},
      {"zero gradient at goal zero", 1, 0, -1, 0, infinity, StopReason::grad_norm},
      {"loss before gradient", 0.1, 0, 0.5, 2, infinity, StopReason::train_loss},
      {"at the limit is not above it", 10, 4, -1, -1, 10, StopReason::none},
      {"above the limit", 11, 4, -1, -1, 10, StopReason::divergence},
      {"divergence before loss", 0.1, 0, 0.5, 2, 0.05, StopReason::divergence},
      {"large but finite", 1e300, 1e300, -1, -1, infinity, StopReason::none},
      {"loss is NaN", nan, 4, 0.5, -1, 10, StopReason::non_finite},
      {"loss is infinite", infinity, 4, -1, -1, 10, StopReason::non_finite},
      {"loss is minus infinity", -infinity, 4, 0.5, -1, 10, StopReason::non_finite},
      {"gradient is NaN", 1, nan, -1, 2, infinity, StopReason::non_finite},
      {"gradient is infinite", 0.1, infinity, 0.5, -1, infinity, StopReason::non_finite},
      {"squared norm is negative", 1, -1, -1, 2, infinity, StopReason::non_finite},
  };
  const auto slots =
      static_cast<std::size_t>(enough_slots(static_cast<std::int64_t>(cases.size()), 1));
  State before = State::fresh(slots);
  for (std::size_t i = 0; i < slots; ++i) {
    const StopCase& one = cases[i % cases.size()];
    before.train_loss[i] = one.train_loss;
    before.grad_norm2[i] = one.grad_norm2;
    before.stop_train_loss[i] = one.stop_train_loss;
    before.stop_grad_norm[i] = one.stop_grad_norm;
    before.stop_divergence[i] = one.stop_divergence;
  }
  const DeviceState state(executor(), before);
  check_stop(executor(), state.control());
  const State after = state.download();
  for (std::size_t i = 0; i < slots && !HasFailure(); ++i) {
    const StopCase& one = cases[i % cases.size()];
    SCOPED_TRACE(one.name);
    EXPECT_EQ(after.reason[i], static_cast<std::int32_t>(one.reason));
    EXPECT_EQ(after.active[i], one.reason == StopReason::none ? 1 : 0);
    if (one.reason == StopReason::non_finite) {
      EXPECT_EQ(after.finite_step[i], -1);
      EXPECT_TRUE(std::isnan(after.finite_train_loss[i]));
      EXPECT_TRUE(std::isnan(after.finite_grad_norm[i]));
    } else {
      EXPECT_EQ(after.finite_step[i], 5);
      EXPECT_EQ(after.finite_train_loss[i], one.train_loss);
      EXPECT_EQ(after.finite_grad_norm[i], std::sqrt(one.grad_norm2));
    }
    EXPECT_EQ(after.step[i], 5);
  }
}

void expect_same(const State& a, const State& b) {
  EXPECT_EQ(a.active, b.active);
  EXPECT_EQ(a.reason, b.reason);
  EXPECT_EQ(a.step, b.step);
  EXPECT_EQ(a.finite_step, b.finite_step);
  EXPECT_EQ(bits(a.time), bits(b.time));
  EXPECT_EQ(bits(a.step_size), bits(b.step_size));
  EXPECT_EQ(bits(a.finite_train_loss), bits(b.finite_train_loss));
  EXPECT_EQ(bits(a.finite_grad_norm), bits(b.finite_grad_norm));
}

/// Whatever is in an inactive slot stays as it is.
TEST_P(Stepping, LeavesInactiveSlotsAlone) {
  const std::int64_t slots = enough_slots(40, 3);
  const auto count = static_cast<std::size_t>(slots);
  State before = State::fresh(count);
  before.active.assign(count, 0);
  before.reason.assign(count, static_cast<std::int32_t>(StopReason::steps));
  before.train_loss.assign(count, nan);
  before.max_steps.assign(count, 1);
  const DeviceState state(executor(), before);
  const auto ones = to_device(executor(), std::vector<double>(count, 1));
  const auto v = to_device(executor(), std::vector<double>(count, 3));
  const auto power = to_device(executor(), std::vector<double>(count, 0.25));
  const auto params = to_device(executor(), std::vector<float>(count * 3, 2));
  const auto grad = to_device(executor(), std::vector<float>(count * 3, 1));
  const StepControl control = state.control();
  check_stop(executor(), control);
  constant_step(executor(), {control, ones.data()});
  rms_step(executor(), {control, ones.data(), ones.data(), ones.data(), v.data(), power.data()});
  descend(executor(),
          DescendArgs<float>{control, {params.data(), slots, 3, 3}, {grad.data(), slots, 3, 3}});
  advance(executor(), control);
  expect_same(state.download(), before);
  EXPECT_EQ(v.download(), std::vector<double>(count, 3));
  EXPECT_EQ(power.download(), std::vector<double>(count, 0.25));
  EXPECT_EQ(params.download(), std::vector<float>(count * 3, 2));
}

TEST_P(Stepping, ConstantStepIsTheLearningRate) {
  const State before = State::fresh(3);
  const DeviceState state(executor(), before);
  const std::vector<double> rates = {0.1, 2, 1e-5};
  const auto learning_rate = to_device(executor(), rates);
  constant_step(executor(), {state.control(), learning_rate.data()});
  EXPECT_EQ(state.download().step_size, rates);
}

/// Several steps against the formula of the contract, written with std::pow: t + 1 roundings in the
/// power, a few in the rest.
TEST_P(Stepping, RmsStepMatchesItsFormula) {
  std::mt19937_64 random(test_seed());
  const auto slots = static_cast<std::size_t>(enough_slots(37, 1));
  State before = State::fresh(slots);
  const DeviceState state(executor(), before);
  std::uniform_real_distribution<double> uniform(0.01, 0.99);
  std::vector<double> rates, epsilons, decays, v(slots, 0);
  for (std::size_t s = 0; s < slots; ++s) {
    rates.push_back(uniform(random));
    epsilons.push_back(s == 0 ? 0 : 1e-3 * uniform(random));
    decays.push_back(s == 1 ? 0 : uniform(random));
  }
  const auto learning_rate = to_device(executor(), rates);
  const auto eps = to_device(executor(), epsilons);
  const auto decay = to_device(executor(), decays);
  const auto device_v = to_device(executor(), v);
  const auto power = to_device(executor(), std::vector<double>(slots, 1));
  for (int t = 0; t < 20; ++t) {
    std::vector<double> norm2;
    for (std::size_t s = 0; s < slots; ++s) norm2.push_back(10 * uniform(random));
    executor().copy_in(state.control().grad_norm2, norm2.data(), slots * sizeof(double));
    rms_step(executor(), {state.control(), learning_rate.data(), eps.data(), decay.data(),
                          device_v.data(), power.data()});
    const auto sizes = state.download().step_size;
    for (std::size_t s = 0; s < slots; ++s) {
      v[s] = decays[s] * v[s] + (1 - decays[s]) * norm2[s];
      const double corrected = v[s] / (1 - std::pow(decays[s], t + 1));
      const double expected = rates[s] / (std::sqrt(corrected) + epsilons[s]);
      // 1 - decay^(t+1) magnifies the power's error by decay / (1 - decay) < 100.
      ASSERT_NEAR(sizes[s], expected, (100 * (t + 1) + 8) * epsilon<double>() * expected)
          << "slot " << s;
    }
  }
  const auto final_v = device_v.download();
  for (std::size_t s = 0; s < slots; ++s) {
    ASSERT_NEAR(final_v[s], v[s], 40 * epsilon<double>() * v[s]) << "slot " << s;
  }
}

/// The step sizes of the CPU, bit for bit: they decide every later number.
TEST_P(Stepping, RmsStepHasTheBitsOfTheCpu) {
  std::mt19937_64 random(test_seed());
  const auto slots = static_cast<std::size_t>(enough_slots(100, 1));
  const auto run = [&](Executor& executor, const std::vector<double>& norm2) {
    State before = State::fresh(slots);
    before.grad_norm2 = norm2;
    const DeviceState state(executor, before);
    const auto rate = to_device(executor, std::vector<double>(slots, 0.3));
    const auto eps = to_device(executor, std::vector<double>(slots, 1e-4));
    const auto decay = to_device(executor, std::vector<double>(slots, 0.99));
    const auto v = to_device(executor, std::vector<double>(slots, 0.7));
    const auto power = to_device(executor, std::vector<double>(slots, 0.81));
    for (int t = 0; t < 3; ++t) {
      rms_step(executor,
               {state.control(), rate.data(), eps.data(), decay.data(), v.data(), power.data()});
    }
    return state.download().step_size;
  };
  std::vector<double> norm2 = random_vector<double>(slots, random);
  for (double& x : norm2) x = x * x;
  const auto cpu = make_executor({.device = "cpu", .threads = 1});
  EXPECT_TRUE(bits(run(executor(), norm2)) == bits(run(*cpu, norm2)));
}

TEST_P(Stepping, DescendRejectsShapesThatDiffer) {
  const DeviceState state(executor(), State::fresh(2));
  const Buffer<float> memory(executor(), 64);
  EXPECT_THROW(descend(executor(),
                       DescendArgs<float>{
                           state.control(), {memory.data(), 2, 4, 4}, {memory.data(), 2, 5, 5}}),
               std::invalid_argument);
  EXPECT_THROW(descend(executor(),
                       DescendArgs<float>{
                           state.control(), {memory.data(), 3, 4, 4}, {memory.data(), 3, 4, 4}}),
               std::invalid_argument);
}

TEST_P(Stepping, AdvanceCountsAndEnds) {
  const auto slots = static_cast<std::size_t>(enough_slots(3, 1));
  State before = State::fresh(slots);
  for (std::size_t s = 0; s < slots; ++s) {
    before.step[s] = std::array<std::int64_t, 3>{0, 9, 998}[s % 3];
    before.max_steps[s] = std::array<std::int64_t, 3>{10, 10, 1000}[s % 3];
  }
  const DeviceState state(executor(), before);
  advance(executor(), state.control());
  const State after = state.download();
  for (std::size_t s = 0; s < slots; ++s) {
    const bool ends = s % 3 == 1;
    ASSERT_EQ(after.step[s], before.step[s] + 1) << "slot " << s;
    ASSERT_EQ(after.time[s], 0.75) << "slot " << s;
    ASSERT_EQ(after.active[s], ends ? 0 : 1) << "slot " << s;
    ASSERT_EQ(after.reason[s],
              static_cast<std::int32_t>(ends ? StopReason::steps : StopReason::none))
        << "slot " << s;
  }
}

/// A burst of steps in a program: members with fewer steps end and stay as they ended.
TEST_P(Stepping, RecordedProgramRunsUntilMembersEnd) {
  const auto slots = static_cast<std::size_t>(enough_slots(9, 1));
  State before = State::fresh(slots);
  before.step.assign(slots, 0);
  before.time.assign(slots, 0);
  for (std::size_t s = 0; s < slots; ++s) {
    before.max_steps[s] = static_cast<std::int64_t>(s % 9) + 1;
  }
  const DeviceState state(executor(), before);
  const auto rate = to_device(executor(), std::vector<double>(slots, 0.5));
  const auto params = to_device(executor(), std::vector<double>(slots, 0));
  const auto grad = to_device(executor(), std::vector<double>(slots, -2));
  const StepControl control = state.control();
  const auto count = static_cast<std::int64_t>(slots);
  const auto program = executor().record({control.active, count}, 1000, [&] {
    check_stop(executor(), control);
    constant_step(executor(), {control, rate.data()});
    descend(executor(),
            DescendArgs<double>{control, {params.data(), count, 1, 1}, {grad.data(), count, 1, 1}});
    advance(executor(), control);
  });
  executor().run(std::vector<Burst>{{program.get(), 4}, {program.get(), 2}});
  executor().synchronize();
  const State after = state.download();
  const auto values = params.download();
  for (std::size_t s = 0; s < slots; ++s) {
    const auto steps = std::min<std::int64_t>(before.max_steps[s], 6);
    ASSERT_EQ(after.step[s], steps) << "slot " << s;
    ASSERT_EQ(after.active[s], before.max_steps[s] > 6 ? 1 : 0) << "slot " << s;
    ASSERT_EQ(values[s], static_cast<double>(steps)) << "slot " << s;
    ASSERT_EQ(after.time[s], 0.5 * static_cast<double>(steps)) << "slot " << s;
  }
}

MANYFOLD_ON_EVERY_DEVICE(Stepping);

}  // namespace
}  // namespace manyfold::kernels
