// How long a device pauses between replays: what is counted, and that a pause shows. That the
// figure is right on a GPU, only a GPU can show.
#include <chrono>
#include <cmath>
#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

#include "kernels/combine.hpp"
#include "tests/kernels/devices.hpp"

namespace manyfold::kernels {
namespace {

using namespace manyfold::test;

class ReplayGapsOnDevice : public DeviceTest {
 protected:
  void SetUp() override {
    DeviceTest::SetUp();
    if (IsSkipped()) return;
    // One of its own: measuring stays on.
    own_ =
        make_executor({.device = GetParam(), .threads = 2, .memory_budget = std::size_t{1} << 28});
    state_ = Buffer<double>(*own_, 4);
    state_.upload(std::vector<double>{1, 2, 3, 4});
    host_ = PinnedBuffer<double>(*own_, 4);
  }
  /// Doubles the state.
  std::unique_ptr<Program> doubling() {
    return own_->record({nullptr, 4}, 8, [&] {
      CombineArgs args;
      args.slots = 4;
      args.scale = 2;
      args.numerator = state_.data();
      args.out = state_.data();
      combine(*own_, args);
    });
  }
  void run(const Program& program, std::int64_t repeats) {
    own_->run(std::vector<Burst>{{&program, repeats}});
  }
  void expect_doubled(int times) {
    const double factor = std::ldexp(1.0, times);
    EXPECT_EQ(state_.download(), (std::vector<double>{factor, 2 * factor, 3 * factor, 4 * factor}));
  }

  std::unique_ptr<Executor> own_;
  Buffer<double> state_;
  PinnedBuffer<double> host_;
};

TEST_P(ReplayGapsOnDevice, CountsNeighboursAndMeasuresSome) {
  struct Case {
    std::int64_t every;
    std::int64_t measured;
  };
  // Replays 0 to 11 in runs of 5, 3, 2 | 2, where | is a copy out: 7 gaps within the first three
  // runs, 2 between them, 1 within the last. One in 4 replays: those after 0 and 5 of the first
  // kind, of the second the one after 4 only, as 7 comes too soon; then the one after 10.
  for (const auto& [every, measured] : {Case{1, 10}, Case{4, 4}}) {
    state_.upload(std::vector<double>{1, 2, 3, 4});
    own_->measure_gaps(every);
    const auto program = doubling();
    run(*program, 5);
    run(*program, 3);
    own_->stage_out(host_.data(), state_.data(), host_.bytes());
    run(*program, 2);
    expect_doubled(10);
    run(*program, 2);
    expect_doubled(12);
    const ReplayGaps gaps = own_->gaps();
    if (on_cpu()) {
      EXPECT_EQ(gaps.replays, 0);
      EXPECT_EQ(gaps.gaps, 0);
      continue;
    }
    EXPECT_EQ(gaps.replays, 12);
    EXPECT_EQ(gaps.gaps, 10) << "as many as replays, less one for each unbroken chain";
    EXPECT_EQ(gaps.measured, measured) << "one in " << every;
    EXPECT_GE(gaps.seconds, 0);
    EXPECT_GE(gaps.largest, 0);
    EXPECT_LE(gaps.largest, gaps.seconds + 1e-12);
  }
}

TEST_P(ReplayGapsOnDevice, ShowAHostThatComesTooLate) {
  constexpr double delay = 0.1;
  // The host reads the results of the first replay, as a run does, and dawdles before or after it
  // asks for the second.
  const auto largest = [&](bool between) {
    own_->measure_gaps(1);
    const auto program = doubling();
    const auto dawdle = [&] {
      own_->wait(own_->stage_out(host_.data(), state_.data(), host_.bytes()));
      std::this_thread::sleep_for(std::chrono::duration<double>(delay));
    };
    run(*program, 1);
    if (between) dawdle();
    run(*program, 1);
    if (!between) dawdle();
    const ReplayGaps gaps = own_->gaps();
    EXPECT_EQ(gaps.measured, on_cpu() ? 0 : 1);
    return gaps.largest;
  };
  if (on_cpu()) {
    EXPECT_EQ(largest(true), 0);
    return;
  }
  EXPECT_GE(largest(true), delay);
  EXPECT_LT(largest(false), delay);
}

/// More gaps than are kept at once: some are left out, none is mixed up with another.
TEST_P(ReplayGapsOnDevice, AreLeftOutWhereTooManyAreUnderWay) {
  constexpr std::int64_t replays = 3000;
  own_->measure_gaps(1);
  const auto program = doubling();
  run(*program, replays);
  const ReplayGaps gaps = own_->gaps();
  if (on_cpu()) return;
  EXPECT_EQ(gaps.replays, replays);
  EXPECT_EQ(gaps.gaps, replays - 1);
  EXPECT_GE(gaps.measured, 1024);
  EXPECT_LE(gaps.measured, replays - 1);
  EXPECT_GE(gaps.seconds, 0);
  EXPECT_LE(gaps.seconds, gaps.largest * static_cast<double>(gaps.gaps) * (1 + 1e-9));
}

/// A program that was recorded before has no marks: it runs, and is counted.
TEST_P(ReplayGapsOnDevice, NeedProgramsThatWereRecordedSince) {
  const auto early = doubling();
  own_->measure_gaps(1);
  const auto late = doubling();
  run(*early, 3);
  run(*late, 2);
  run(*early, 1);
  run(*late, 2);
  const ReplayGaps gaps = own_->gaps();
  expect_doubled(8);
  if (on_cpu()) return;
  EXPECT_EQ(gaps.gaps, 7);
  EXPECT_EQ(gaps.measured, 2) << "between marked programs only";
}

MANYFOLD_ON_EVERY_DEVICE(ReplayGapsOnDevice);

}  // namespace
}  // namespace manyfold::kernels
