// Where a record cannot be put: one that exists already, a path that is none, a folder without
// permission, a disk that is full. An earlier record is never lost, and nothing is half-written.
#include <csignal>
#include <ostream>
#include <string>
#include <vector>

#include <fcntl.h>
#include <grp.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/record/sample_log.hpp"
#include "tests/apps/netcdf_file.hpp"
#include "tests/apps/program.hpp"

namespace manyfold::testing {
namespace {

constexpr int bad_input = 2;
constexpr int no_resource = 3;

/// A folder with small.toml and its record in out/.
class WithRecord {
 public:
  WithRecord() {
    write_file(scratch_ / "small.toml", small_experiment);
    const Outcome outcome = run({});
    EXPECT_EQ(outcome.exit_code, 0) << outcome;
    EXPECT_TRUE(fs::exists(scratch_ / "out/record.nc"));
  }
  Outcome run(const Arguments& more) const {
    Arguments arguments{"run", "small.toml", "--out", "out", "--quiet"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run_program(scratch_.path(), arguments);
  }
  Contents contents() const { return contents_of(scratch_.path()); }
  fs::path operator/(const fs::path& name) const { return scratch_ / name; }

 private:
  Scratch scratch_;
};

TEST(ExistingRecord, IsUntouchedWithoutOverwrite) {
  const WithRecord folder;
  const auto before = folder.contents();
  const Outcome outcome = folder.run({});
  EXPECT_EQ(outcome.exit_code, bad_input) << outcome;
  EXPECT_TRUE(contains(outcome.err, "out/record.nc exists; --overwrite replaces it")) << outcome;
  EXPECT_EQ(changes(before, folder.contents()), no_changes);
}

TEST(ExistingRecord, LogAloneCountsAsOne) {
  const WithRecord folder;
  fs::remove(folder / "out/record.nc");
  const auto before = folder.contents();
  const Outcome outcome = folder.run({});
  EXPECT_EQ(outcome.exit_code, bad_input) << outcome;
  EXPECT_TRUE(contains(outcome.err, "out/samples.log exists; --overwrite replaces it")) << outcome;
  EXPECT_EQ(changes(before, folder.contents()), no_changes);
}

/// --overwrite replaces a record by another one, not by nothing.
struct CannotRun {
  const char* name;
  Arguments flags;
};
void PrintTo(const CannotRun& bad, std::ostream* out) { *out << bad.name; }

class OverwriteTest : public ::testing::TestWithParam<CannotRun> {};

TEST_P(OverwriteTest, KeepsTheRecordWhenTheExperimentCannotRun) {
  const WithRecord folder;
  const auto before = folder.contents();
  Arguments flags{"--overwrite"};
  const Arguments& bad = GetParam().flags;
  flags.insert(flags.end(), bad.begin(), bad.end());
  const Outcome outcome = folder.run(flags);
  EXPECT_TRUE(outcome.exit_code == bad_input || outcome.exit_code == no_resource) << outcome;
  EXPECT_EQ(changes(before, folder.contents()), no_changes) << outcome;
}

const std::vector<CannotRun> cannot_run{
    {"UnknownKey", {"--set", "model.dept=3"}},
    {"TooLittleMemory", {"--memory", "1"}},
    {"NoSuchDevice", {"--device", "abacus"}},
    {"NothingObserved", {"--set", "objective.observed=1e-12"}},
    {"RankAboveTheMatrix",
     {"--set", "objective.target.kind=low_rank", "--set",
      "objective.target.singular_values=[5,4,3,2,1]"}},
};
INSTANTIATE_TEST_SUITE_P(Experiments, OverwriteTest, ::testing::ValuesIn(cannot_run),
                         [](const auto& one) { return std::string(one.param.name); });

TEST(BadPath, BelowARegularFile) {
  const Scratch scratch;
  write_file(scratch / "small.toml", small_experiment);
  write_file(scratch / "file", "a file");
  const auto before = contents_of(scratch.path());
  for (const std::string out : {"file", "file/below", "file/below/that"}) {
    const Outcome outcome = run_program(scratch.path(), {"run", "small.toml", "--out", out});
    EXPECT_EQ(outcome.exit_code, bad_input) << outcome;
    EXPECT_TRUE(contains(outcome.err, "--out " + out + ": cannot be made: Not a directory"))
        << outcome;
  }
  EXPECT_EQ(changes(before, contents_of(scratch.path())), no_changes);
}

/// In the child: goes on as a user without rights. Root may write everywhere.
bool become_nobody() {
  constexpr unsigned nobody = 65534;
  if (::getuid() != 0) return true;
  return ::setgroups(0, nullptr) == 0 && ::setgid(nobody) == 0 && ::setuid(nobody) == 0;
}

class PermissionTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ::chmod(scratch_.path().c_str(), 0755);
    write_file(scratch_ / "small.toml", small_experiment);
    const Outcome probe = as_nobody({"--version"});
    if (probe.exit_code != 0) {
      GTEST_SKIP() << "SKIPPED: the program cannot be started without root's rights here: "
                   << probe;
    }
  }
  Outcome as_nobody(const Arguments& arguments) const {
    return run_program(
        Launch{.arguments = arguments, .folder = scratch_.path(), .before_exec = become_nobody});
  }

  Scratch scratch_;
};

TEST_F(PermissionTest, FolderThatCannotBeMade) {
  fs::create_directory(scratch_ / "closed");
  ::chmod((scratch_ / "closed").c_str(), 0555);
  const auto before = contents_of(scratch_.path());
  const Outcome outcome = as_nobody({"run", "small.toml", "--out", "closed/out"});
  EXPECT_EQ(outcome.exit_code, bad_input) << outcome;
  EXPECT_TRUE(contains(outcome.err, "--out closed/out: cannot be made: Permission denied"))
      << outcome;
  EXPECT_EQ(changes(before, contents_of(scratch_.path())), no_changes);
}

TEST_F(PermissionTest, FolderThatCannotBeWritten) {
  fs::create_directory(scratch_ / "closed");
  ::chmod((scratch_ / "closed").c_str(), 0555);
  const auto before = contents_of(scratch_.path());
  const Outcome outcome = as_nobody({"run", "small.toml", "--out", "closed"});
  EXPECT_EQ(outcome.exit_code, bad_input) << outcome;
  EXPECT_TRUE(contains(outcome.err, "closed/samples.log: cannot be created: Permission denied"))
      << outcome;
  EXPECT_EQ(changes(before, contents_of(scratch_.path())), no_changes);
}

TEST_F(PermissionTest, RecordThatCannotBeReplaced) {
  const Outcome first =
      run_program(scratch_.path(), {"run", "small.toml", "--out", "out", "--quiet"});
  ASSERT_EQ(first.exit_code, 0) << first;
  ::chmod((scratch_ / "out").c_str(), 0555);
  const auto before = contents_of(scratch_.path());
  const Outcome outcome = as_nobody({"run", "small.toml", "--out", "out", "--overwrite"});
  EXPECT_EQ(outcome.exit_code, bad_input) << outcome;
  EXPECT_TRUE(contains(outcome.err, "out/record.nc: cannot be replaced: Permission denied"))
      << outcome;
  EXPECT_EQ(changes(before, contents_of(scratch_.path())), no_changes);
}

TEST_F(PermissionTest, ExperimentThatCannotBeRead) {
  ::chmod((scratch_ / "small.toml").c_str(), 0);
  const Outcome outcome = as_nobody({"run", "small.toml", "--out", "out"});
  EXPECT_EQ(outcome.exit_code, bad_input) << outcome;
  EXPECT_TRUE(contains(outcome.err, "small.toml: cannot be read: Permission denied")) << outcome;
}

/// More samples than a small disk takes: 2000 of 4 members, each a block of at least 64 bytes.
const Arguments many_samples{"--set", "stop.steps=2000", "--set", "probes.train_loss.every=1"};

/// The log ends after a whole block, holds the first samples, and no record pretends to be one.
void expect_only_a_valid_log(const fs::path& folder) {
  EXPECT_FALSE(fs::exists(folder / "record.nc"));
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    EXPECT_TRUE(name == "samples.log" || name == "states.log" || name == "log.jsonl") << name;
  }
  std::int64_t values = 0;
  LogVisitor visitor;
  visitor.on_samples = [&](const SampleBlock& block) {
    values += static_cast<std::int64_t>(block.values.size());
  };
  const LogSummary summary = read_log(folder / "samples.log", visitor);
  EXPECT_TRUE(summary.complete);
  EXPECT_EQ(summary.layout.members, 4);
  EXPECT_GT(values, 0);
}

/// A disk of `size` at `folder` that only this process and its children see; false without the
/// right to make one.
bool mount_small_disk(const fs::path& folder, const std::string& size) {
  fs::create_directory(folder);
  const auto user = std::to_string(::getuid());
  const auto group = std::to_string(::getgid());
  if (::unshare(CLONE_NEWNS) != 0) {
    if (::unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) return false;
    const auto write_map = [](const char* file, const std::string& text) {
      const int descriptor = ::open(file, O_WRONLY | O_CLOEXEC);
      const bool good =
          ::write(descriptor, text.data(), text.size()) == static_cast<ssize_t>(text.size());
      ::close(descriptor);
      return good;
    };
    if (!write_map("/proc/self/setgroups", "deny") ||
        !write_map("/proc/self/uid_map", "0 " + user + " 1") ||
        !write_map("/proc/self/gid_map", "0 " + group + " 1")) {
      return false;
    }
  }
  return ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
         ::mount("tmpfs", folder.c_str(), "tmpfs", 0, ("size=" + size).c_str()) == 0;
}

class FullDiskTest : public ::testing::Test {
 protected:
  void TearDown() override { ::umount2(disk().c_str(), MNT_DETACH); }
  fs::path disk() const { return scratch_ / "disk"; }
  Outcome run(const Arguments& more) {
    write_file(scratch_ / "small.toml", small_experiment);
    Arguments arguments{"run", "small.toml", "--out", "disk/out", "--quiet"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run_program(scratch_.path(), arguments);
  }

  Scratch scratch_;
};

TEST_F(FullDiskTest, WhileTheRunGoesOn) {
  if (!mount_small_disk(disk(), "64k"))
    GTEST_SKIP() << "SKIPPED: no small disk can be mounted here";
  const Outcome outcome = run(many_samples);
  EXPECT_EQ(outcome.exit_code, no_resource) << outcome;
  EXPECT_TRUE(contains(outcome.err,
                       "disk/out/samples.log: cannot be written: No space left on "
                       "device: the disk is full"))
      << outcome;
  expect_only_a_valid_log(disk() / "out");
}

TEST_F(FullDiskTest, WhileTheRecordIsWritten) {
  // Room for the logs of this run, 16 KiB in whole pages, but not for its record of 25.
  if (!mount_small_disk(disk(), "24k"))
    GTEST_SKIP() << "SKIPPED: no small disk can be mounted here";
  const Outcome outcome = run({});
  EXPECT_EQ(outcome.exit_code, no_resource) << outcome;
  EXPECT_TRUE(contains(outcome.err, "disk/out/record.nc: cannot be written: the disk is full"))
      << outcome;
  expect_only_a_valid_log(disk() / "out");
}

TEST_F(FullDiskTest, BeforeAnything) {
  if (!mount_small_disk(disk(), "4k")) GTEST_SKIP() << "SKIPPED: no small disk can be mounted here";
  write_file(disk() / "full", std::string(4000, 'x'));
  const Outcome outcome = run({});
  EXPECT_EQ(outcome.exit_code, no_resource) << outcome;
  EXPECT_TRUE(contains(outcome.err, "samples.log: cannot be written: No space left")) << outcome;
  EXPECT_FALSE(fs::exists(disk() / "out/samples.log"));
  EXPECT_FALSE(fs::exists(disk() / "out/record.nc"));
}

TEST_F(FullDiskTest, LimitOnTheSizeOfAFile) {
  write_file(scratch_ / "small.toml", small_experiment);
  Arguments arguments{"run", "small.toml", "--out", "out", "--quiet"};
  arguments.insert(arguments.end(), many_samples.begin(), many_samples.end());
  // As `ulimit -f 16` does: the default action of the signal that comes with it ends a program.
  const Outcome outcome =
      run_program(Launch{.arguments = arguments, .folder = scratch_.path(), .before_exec = [] {
                           constexpr rlimit limit{16384, 16384};
                           std::signal(SIGXFSZ, SIG_DFL);
                           return ::setrlimit(RLIMIT_FSIZE, &limit) == 0;
                         }});
  EXPECT_EQ(outcome.exit_code, no_resource) << outcome;
  EXPECT_TRUE(contains(outcome.err, "out/samples.log: cannot be written: File too large"))
      << outcome;
  expect_only_a_valid_log(scratch_ / "out");
}

TEST(FullDisk, OutputThatCannotBePrinted) {
  if (!fs::exists("/dev/full")) GTEST_SKIP() << "SKIPPED: there is no /dev/full";
  const Outcome outcome = run_program(Launch{.arguments = {"info", "--json"}, .before_exec = [] {
                                               return ::dup2(::open("/dev/full", O_WRONLY),
                                                             STDOUT_FILENO) == STDOUT_FILENO;
                                             }});
  EXPECT_EQ(outcome.exit_code, no_resource) << "what was asked for was lost: " << outcome;
}

}  // namespace
}  // namespace manyfold::testing
