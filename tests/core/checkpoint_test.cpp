// The log of states: what goes in comes out, whatever was cut off or changed behind it.
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include <gtest/gtest.h>

#include "core/checkpoint/state_log.hpp"
#include "core/error.hpp"
#include "tests/scratch_folder.hpp"

namespace manyfold {
namespace {

namespace fs = std::filesystem;

class StateLogTest : public ::testing::Test {
 protected:
  fs::path file() const { return folder_ / "states.log"; }

  /// Sizes that are no multiples of 8, an empty array, and more than one block in all.
  static SlotState state(std::int64_t step) {
    SlotState state{step, {}};
    for (const std::size_t bytes : {std::size_t{13}, std::size_t{0}, std::size_t{300'001}}) {
      std::vector<std::byte> content(bytes);
      for (std::size_t i = 0; i < bytes; ++i) {
        content[i] = static_cast<std::byte>((i * 7 + static_cast<std::size_t>(step)) % 251);
      }
      state.arrays.push_back({"array of " + std::to_string(bytes), std::move(content)});
    }
    return state;
  }
  static void expect_equal(const std::optional<SlotState>& found, const SlotState& wanted) {
    ASSERT_TRUE(found);
    EXPECT_EQ(found->step, wanted.step);
    ASSERT_EQ(found->arrays.size(), wanted.arrays.size());
    for (std::size_t i = 0; i < wanted.arrays.size(); ++i) {
      EXPECT_EQ(found->arrays[i].name, wanted.arrays[i].name);
      EXPECT_EQ(found->arrays[i].bytes, wanted.arrays[i].bytes);
    }
  }
  void write_ten() const {
    StateLog log = StateLog::create(file(), 10, "an experiment");
    for (std::int64_t m = 0; m < 10; ++m) log.append(m, state(100 + m));
    log.sync();
  }

  const test::ScratchFolder folder_;
};

TEST_F(StateLogTest, KeepsStatesByMemberAndStep) {
  {
    StateLog log = StateLog::create(file(), 10, "an experiment");
    for (std::int64_t m = 0; m < 10; ++m) log.append(m, state(100 + m));
    log.append(3, state(7));
    SlotState later = state(105);
    later.arrays.front().bytes.front() = std::byte{255};
    log.append(5, later);  // counts in place of the first
    log.sync();
  }
  StateReader reader(file());
  EXPECT_EQ(reader.experiment(), "an experiment");
  expect_equal(reader.read(3, 103), state(103));
  expect_equal(reader.read(3, 7), state(7));
  expect_equal(reader.read(0, 100), state(100));
  EXPECT_EQ(reader.read(5, 105)->arrays.front().bytes.front(), std::byte{255});
  EXPECT_EQ(reader.steps(3), (std::vector<std::int64_t>{7, 103}));
  EXPECT_EQ(reader.steps(11), (std::vector<std::int64_t>{}));
  EXPECT_FALSE(reader.has(3, 8));
  EXPECT_FALSE(reader.read(3, 8));
}

TEST_F(StateLogTest, WhatStandsBeforeADamageIsRead) {
  write_ten();
  fs::resize_file(file(), fs::file_size(file()) - 11);
  StateReader reader(file());
  expect_equal(reader.read(0, 100), state(100));
  EXPECT_FALSE(reader.has(9, 109));
}

TEST_F(StateLogTest, AChangedByteIsNoticed) {
  write_ten();
  {
    std::fstream bytes(file(), std::ios::in | std::ios::out | std::ios::binary);
    bytes.seekp(5000);
    bytes.put('\x7f');
  }
  StateReader reader(file());
  for (std::int64_t m = 0; m < 10; ++m) EXPECT_FALSE(reader.has(m, 100 + m)) << m;
}

TEST_F(StateLogTest, OtherFilesAreRefused) {
  std::ofstream(file()) << "something else altogether";
  EXPECT_THROW(StateReader{file()}, InputError);
  EXPECT_THROW(StateReader{folder_ / "missing"}, InputError);
  EXPECT_THROW(StateLog::create(file(), 1, ""), InputError);
}

}  // namespace
}  // namespace manyfold
