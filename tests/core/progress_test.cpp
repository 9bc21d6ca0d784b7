#include "core/progress/progress.hpp"

#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <limits>
#include <thread>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <poll.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "core/error.hpp"
#include "core/progress/event_log.hpp"
#include "tests/scratch_folder.hpp"

namespace manyfold {
namespace {

constexpr double inf = std::numeric_limits<double>::infinity();
constexpr double nan = std::numeric_limits<double>::quiet_NaN();

TEST(HumanCount, HasThreeDigitsAndAPrefix) {
  EXPECT_EQ(human_count(0), "0");
  EXPECT_EQ(human_count(7), "7");
  EXPECT_EQ(human_count(7.25), "7.25");
  EXPECT_EQ(human_count(0.0123456), "0.0123");
  EXPECT_EQ(human_count(999), "999");
  EXPECT_EQ(human_count(999.4), "999");
  EXPECT_EQ(human_count(999.6), "1.00 k");
  EXPECT_EQ(human_count(12'345), "12.3 k");
  EXPECT_EQ(human_count(99'950), "100 k");
  EXPECT_EQ(human_count(999'499), "999 k");
  EXPECT_EQ(human_count(999'501), "1.00 M");
  EXPECT_EQ(human_count(12.3e6), "12.3 M");
  EXPECT_EQ(human_count(4.56e10), "45.6 G");
  EXPECT_EQ(human_count(-2500), "-2.50 k");
  EXPECT_EQ(human_count(nan), "unknown");
  EXPECT_EQ(human_count(inf), "unknown");
}

TEST(HumanDuration, HasTheTwoLargestUnits) {
  EXPECT_EQ(human_duration(0), "0 s");
  EXPECT_EQ(human_duration(-3), "0 s");
  EXPECT_EQ(human_duration(0.2), "1 s");
  EXPECT_EQ(human_duration(59), "59 s");
  EXPECT_EQ(human_duration(59.5), "1 min 00 s");
  EXPECT_EQ(human_duration(125), "2 min 05 s");
  EXPECT_EQ(human_duration(3599.5), "1 h 00 min");
  EXPECT_EQ(human_duration(3 * 3600 + 7 * 60), "3 h 07 min");
  EXPECT_EQ(human_duration(86'399), "1 d 0 h");
  EXPECT_EQ(human_duration(12.0 * 86'400 + 4 * 3600), "12 d 4 h");
  EXPECT_EQ(human_duration(1e300), "unknown");
  EXPECT_EQ(human_duration(inf), "unknown");
  EXPECT_EQ(human_duration(nan), "unknown");
}

TEST(MovingRate, ForgetsWhatIsOlderThanItsWindow) {
  MovingRate rate(10.0);
  EXPECT_EQ(rate.per_second(), 0.0);
  rate.add(0.0, 0);
  EXPECT_EQ(rate.per_second(), 0.0);
  rate.add(0.0, 5);
  EXPECT_EQ(rate.per_second(), 0.0);  // no time has passed
  for (int t = 1; t <= 20; ++t) rate.add(t, 100 * t);
  EXPECT_DOUBLE_EQ(rate.per_second(), 100.0);
  for (int t = 21; t <= 30; ++t) rate.add(t, 2000 + 1000 * (t - 20));
  EXPECT_DOUBLE_EQ(rate.per_second(), 1000.0);
  rate.add(31.0, 3);  // another run: its own window
  EXPECT_EQ(rate.per_second(), 0.0);
  rate.add(32.0, 10);
  EXPECT_DOUBLE_EQ(rate.per_second(), 7.0);
}

TEST(MovingRate, IsKnownWhenUpdatesAreRarerThanTheWindow) {
  MovingRate rate(10.0);
  rate.add(0.0, 0);
  rate.add(100.0, 1000);
  EXPECT_DOUBLE_EQ(rate.per_second(), 10.0);
  rate.add(200.0, 4000);
  EXPECT_DOUBLE_EQ(rate.per_second(), 30.0);
}

ProgressState half_way() {
  return {.members_done = 120,
          .members = 500,
          .member_steps = 500'000'000,
          .member_steps_total = 1'000'000'000,
          .phase = "wave 2 of 3, batched, cpu"};
}

TEST(ProgressText, TellsMembersShareRateAndTimeLeft) {
  EXPECT_EQ(progress_text(half_way(), 4e6),
            "120 of 500 members, 50 %, 4.00 M member-steps/s, at most 2 min 05 s left, "
            "wave 2 of 3, batched, cpu");
}

TEST(ProgressText, LeavesOutWhatIsNotKnown) {
  EXPECT_EQ(progress_text({}, 0.0), "0 of 0 members");
  EXPECT_EQ(progress_text({.members_done = 0, .members = 3, .phase = "compiling"}, nan),
            "0 of 3 members, compiling");
  for (const double rate : {0.0, -1.0, inf, nan})
    EXPECT_EQ(progress_text(half_way(), rate),
              "120 of 500 members, 50 %, wave 2 of 3, batched, cpu");
  ProgressState done = half_way();
  done.member_steps = done.member_steps_total;
  done.phase.clear();
  EXPECT_EQ(progress_text(done, 5.0), "120 of 500 members, 100 %, 5 member-steps/s");
  done.member_steps = done.member_steps_total - 1;  // 100 % only when it is
  EXPECT_EQ(progress_text(done, 0.0), "120 of 500 members, 99 %");
}

std::string contents(std::FILE* file) {
  std::string text(static_cast<std::size_t>(std::ftell(file)), '\0');
  std::rewind(file);
  EXPECT_EQ(std::fread(text.data(), 1, text.size(), file), text.size());
  return text;
}

TEST(Progress, WritesOnlyTheLastLineOfAShortRunToAFile) {
  std::FILE* file = std::tmpfile();
  ASSERT_NE(file, nullptr);
  Progress progress(file, false);
  for (int i = 0; i < 1000; ++i) progress.update(half_way());
  progress.finish(half_way());
  progress.finish(half_way());  // once is enough
  const std::string text = contents(file);
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 1) << text;
  EXPECT_EQ(text.find("120 of 500 members, 50 %"), 0U) << text;
  EXPECT_EQ(text.find('\r'), std::string::npos);
  EXPECT_EQ(text.find('\x1b'), std::string::npos);
  std::fclose(file);
}

TEST(Progress, IsSilentWhenQuiet) {
  std::FILE* file = std::tmpfile();
  ASSERT_NE(file, nullptr);
  {
    Progress progress(file, true);
    progress.update(half_way());
    progress.finish(half_way());
    Progress nowhere(nullptr, false);
    nowhere.update(half_way());
    nowhere.finish(half_way());
  }
  EXPECT_EQ(std::ftell(file), 0);
  std::fclose(file);
}

TEST(Progress, RedrawsOneLineOfATerminalAndClearsIt) {
  const int master = posix_openpt(O_RDWR | O_NOCTTY);
  if (master < 0 || grantpt(master) != 0 || unlockpt(master) != 0)
    GTEST_SKIP() << "no pseudo-terminal can be opened here";
  std::FILE* terminal = std::fopen(ptsname(master), "w");
  ASSERT_NE(terminal, nullptr);
  winsize size{};
  size.ws_col = 40;
  ioctl(master, TIOCSWINSZ, &size);
  const char* term = std::getenv("TERM");
  const std::string before = term == nullptr ? "" : term;
  setenv("TERM", "xterm", 1);

  Progress progress(terminal, false);
  for (int i = 0; i < 8; ++i) {
    progress.update(half_way());
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
  progress.finish(half_way());
  setenv("TERM", before.c_str(), 1);

  // A terminal hands out what was written bit by bit.
  std::string seen;
  pollfd ready{.fd = master, .events = POLLIN, .revents = 0};
  while (poll(&ready, 1, 200) > 0) {
    char part[1000];
    const ssize_t got = read(master, part, sizeof part);
    ASSERT_GT(got, 0);
    seen.append(part, static_cast<std::size_t>(got));
  }
  EXPECT_EQ(seen.find('\n'), std::string::npos) << seen;
  // One column stays free, for terminals that wrap when the last is written.
  EXPECT_NE(seen.find("\r120 of 500 members, 50 %"), std::string::npos) << seen;
  std::size_t redraws = 0, from = 0;
  while ((from = seen.find("\r120", from)) != std::string::npos) {
    EXPECT_LE(seen.find('\x1b', from) - from - 1, 39U);
    ++redraws;
    ++from;
  }
  EXPECT_GE(redraws, 2U);
  EXPECT_LE(redraws, 4U);  // 0.8 s, four a second at most
  EXPECT_EQ(seen.substr(seen.size() - 4), "\r\x1b[K");
  std::fclose(terminal);
  close(master);
}

// ---- event log

class EventLogTest : public testing::Test {
 protected:
  std::vector<nlohmann::json> lines() const {
    std::ifstream file(folder_ / "log.jsonl");
    std::vector<nlohmann::json> all;
    for (std::string line; std::getline(file, line);) all.push_back(nlohmann::json::parse(line));
    return all;
  }

  const test::ScratchFolder folder_;
};

TEST_F(EventLogTest, WritesOneObjectALine) {
  testing::internal::CaptureStderr();
  {
    EventLog log(false);
    log.info("early", "before there is a file");
    log.open(folder_ / "log.jsonl");
    log.info("wave_started", "wave 1 of 3: 500 members",
             {{"members", std::int64_t{500}}, {"share", 0.1}, {"path", "batched"}, {"gpu", false}});
    EventLog moved(std::move(log));
    moved.warn("slow", "the disk is slow");
    moved.error("lost", "a member is lost", {{"loss", nan}, {"most", inf}, {"least", -inf}});
  }
  EXPECT_EQ(testing::internal::GetCapturedStderr(),
            "before there is a file\nwave 1 of 3: 500 members\nwarning: the disk is slow\n"
            "error: a member is lost\n");
  const auto all = lines();
  ASSERT_EQ(all.size(), 3U);
  EXPECT_EQ(all[0]["level"], "info");
  EXPECT_EQ(all[0]["event"], "wave_started");
  EXPECT_EQ(all[0]["message"], "wave 1 of 3: 500 members");
  EXPECT_EQ(all[0]["fields"]["members"], 500);
  EXPECT_EQ(all[0]["fields"]["share"], 0.1);
  EXPECT_EQ(all[0]["fields"]["path"], "batched");
  EXPECT_EQ(all[0]["fields"]["gpu"], false);
  EXPECT_EQ(all[1]["level"], "warn");
  EXPECT_EQ(all[1]["fields"], nlohmann::json::object());
  EXPECT_EQ(all[2]["fields"]["loss"], "nan");
  EXPECT_EQ(all[2]["fields"]["most"], "inf");
  EXPECT_EQ(all[2]["fields"]["least"], "-inf");
}

TEST_F(EventLogTest, IsValidJsonWhateverTheTextsHold) {
  std::vector<std::string> nasty{
      "\"quoted\" \\ / \b\f\n\r\t",     "naïve Δ 火 🙂", "\xff\xfe broken \xc3",
      std::string("nul \0 inside", 12), "\x1b[31mred",        ""};
  for (int c = 0; c < 256; ++c) nasty.emplace_back(3, static_cast<char>(c));
  testing::internal::CaptureStderr();
  {
    EventLog log(true);
    log.open(folder_ / "log.jsonl");
    for (const std::string& text : nasty) log.info(text, text, {{text, text}});
  }
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
  const auto all = lines();
  ASSERT_EQ(all.size(), nasty.size());
  EXPECT_EQ(all[0]["message"], nasty[0]);
  EXPECT_EQ(all[1]["fields"][nasty[1]], nasty[1]);
  EXPECT_EQ(all[2]["message"], "\xEF\xBF\xBD\xEF\xBF\xBD broken \xEF\xBF\xBD");
  EXPECT_EQ(all[3]["message"], nasty[3]);
}

TEST_F(EventLogTest, KeepsWarningsWhenQuietAndControlCharactersFromTheTerminal) {
  testing::internal::CaptureStderr();
  EventLog log(true);
  log.info("x", "not seen");
  log.warn("x", "seen \x1b[31m");
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "warning: seen ?[31m\n");
}

TEST_F(EventLogTest, AppendsToAnEarlierLogAndNamesAFileThatCannotBeOpened) {
  for (int i = 0; i < 2; ++i) {
    EventLog log(true);
    log.open(folder_ / "log.jsonl");
    log.info("again", "again");
  }
  EXPECT_EQ(lines().size(), 2U);
  EventLog log(true);
  try {
    log.open(folder_ / "no" / "log.jsonl");
    FAIL() << "a file in a folder that does not exist was opened";
  } catch (const ResourceError& error) {
    EXPECT_NE(std::string(error.what()).find("no/log.jsonl"), std::string::npos) << error.what();
  }
}

TEST_F(EventLogTest, AFullDiskCostsTheLogAndNotTheRun) {
  if (access("/dev/full", W_OK) != 0) GTEST_SKIP() << "this system has no /dev/full";
  testing::internal::CaptureStderr();
  EventLog log(true);
  log.open("/dev/full");
  log.info("x", "first");
  log.info("x", "second");
  const std::string said = testing::internal::GetCapturedStderr();
  EXPECT_EQ(std::count(said.begin(), said.end(), '\n'), 1) << said;
  EXPECT_NE(said.find("No space left"), std::string::npos) << said;
}

TEST_F(EventLogTest, KeepsLinesWholeWhenThreadsShareIt) {
  {
    EventLog log(true);
    log.open(folder_ / "log.jsonl");
    std::vector<std::thread> threads;
    threads.reserve(4);
    for (int t = 0; t < 4; ++t)
      threads.emplace_back([&log] {
        for (int i = 0; i < 200; ++i)
          log.info("x", std::string(500, 'm'), {{"i", std::int64_t{i}}});
      });
    for (std::thread& thread : threads) thread.join();
  }
  EXPECT_EQ(lines().size(), 800U);
}

TEST(UtcTime, IsIso8601WithMilliseconds) {
  using std::chrono::milliseconds;
  using std::chrono::system_clock;
  EXPECT_EQ(utc_time(system_clock::time_point(milliseconds(0))), "1970-01-01T00:00:00.000Z");
  EXPECT_EQ(utc_time(system_clock::time_point(milliseconds(1738326896789))),
            "2025-01-31T12:34:56.789Z");
  EXPECT_EQ(utc_time(system_clock::time_point(milliseconds(-1))), "1969-12-31T23:59:59.999Z");
}

}  // namespace
}  // namespace manyfold
