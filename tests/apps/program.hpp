// Runs the program as a user does: a process of its own, with arguments, environment and working
// directory, of which a test sees the exit code, both outputs and the files that are left.
#pragma once

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/scratch_folder.hpp"

namespace manyfold::testing {

namespace fs = std::filesystem;
using Arguments = std::vector<std::string>;
using Scratch = test::ScratchFolder;

inline std::string read_file(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

inline fs::path write_file(const fs::path& file, std::string_view text) {
  std::ofstream out(file, std::ios::binary);
  out.write(text.data(), static_cast<std::streamsize>(text.size()));
  out.flush();
  if (!out) throw std::runtime_error("cannot write " + file.string());
  return file;
}

inline bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

/// What a process came to.
struct Outcome {
  int exit_code = -1;  ///< -1 when a signal ended it
  int signal = 0;
  bool timed_out = false;       ///< killed by the test
  std::int64_t peak_bytes = 0;  ///< of memory, resident
  std::string out;
  std::string err;

  nlohmann::json json() const { return nlohmann::json::parse(out); }
};

/// For messages of failed tests.
inline std::ostream& operator<<(std::ostream& stream, const Outcome& outcome) {
  stream << "exit code " << outcome.exit_code;
  if (outcome.signal != 0) stream << ", signal " << outcome.signal;
  if (outcome.timed_out) stream << ", timed out";
  return stream << "\nstdout: " << outcome.out << "\nstderr: " << outcome.err;
}

struct Launch {
  Arguments arguments{};
  fs::path folder = fs::current_path();              ///< working directory
  std::map<std::string, std::string> environment{};  ///< added to this process's own
  std::function<bool()> before_exec{};               ///< in the child; false: it exits with 126
  std::string program = MANYFOLD_PROGRAM;
};

/// A started process; ends with this object at the latest.
class Process {
 public:
  explicit Process(const Launch& launch) : out_(open_output()), err_(open_output()) {
    Arguments words{launch.program};
    words.insert(words.end(), launch.arguments.begin(), launch.arguments.end());
    std::vector<char*> argv;
    for (std::string& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    pid_ = ::fork();
    if (pid_ < 0) throw std::runtime_error("cannot fork");
    if (pid_ > 0) return;
    const int nothing = ::open("/dev/null", O_RDONLY);
    ::dup2(nothing, STDIN_FILENO);
    ::dup2(::fileno(out_), STDOUT_FILENO);
    ::dup2(::fileno(err_), STDERR_FILENO);
    // Tests run beside each other: threads that spin at barriers would starve their neighbours.
    ::setenv("OMP_WAIT_POLICY", "passive", 0);
    for (const auto& [name, value] : launch.environment) {
      ::setenv(name.c_str(), value.c_str(), 1);
    }
    const bool ready =
        ::chdir(launch.folder.c_str()) == 0 && (!launch.before_exec || launch.before_exec());
    if (ready) ::execv(argv[0], argv.data());
    ::_exit(ready ? 127 : 126);
  }
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;
  ~Process() {
    if (!status_) {
      ::kill(pid_, SIGKILL);
      ::waitpid(pid_, nullptr, 0);
    }
    ::fclose(out_);
    ::fclose(err_);
  }

  pid_t id() const { return pid_; }
  void send(int signal) const { ::kill(pid_, signal); }
  bool running() {
    int status = 0;
    if (!status_ && ::wait4(pid_, &status, WNOHANG, &usage_) == pid_) status_ = status;
    return !status_;
  }

  Outcome wait(std::chrono::seconds limit = std::chrono::seconds(60)) {
    const auto end = std::chrono::steady_clock::now() + limit;
    Outcome outcome;
    while (running()) {
      if (std::chrono::steady_clock::now() > end) {
        outcome.timed_out = true;
        send(SIGKILL);
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    if (WIFEXITED(*status_)) outcome.exit_code = WEXITSTATUS(*status_);
    if (WIFSIGNALED(*status_)) outcome.signal = WTERMSIG(*status_);
    outcome.peak_bytes = std::int64_t{usage_.ru_maxrss} * 1024;
    outcome.out = text_of(out_);
    outcome.err = text_of(err_);
    return outcome;
  }

 private:
  /// A file without a name: unlike a pipe it never fills up.
  static std::FILE* open_output() {
    std::FILE* file = std::tmpfile();
    if (file == nullptr) throw std::runtime_error("no temporary file");
    return file;
  }
  static std::string text_of(std::FILE* file) {
    std::string text;
    char piece[4096];
    off_t at = 0;
    for (ssize_t n = 0; (n = ::pread(::fileno(file), piece, sizeof piece, at)) > 0; at += n) {
      text.append(piece, static_cast<std::size_t>(n));
    }
    return text;
  }

  std::FILE* out_;
  std::FILE* err_;
  pid_t pid_ = -1;
  std::optional<int> status_;
  rusage usage_{};
};

inline Outcome run_program(const Launch& launch) { return Process(launch).wait(); }
inline Outcome run_program(const fs::path& folder, const Arguments& arguments) {
  return run_program(Launch{.arguments = arguments, .folder = folder});
}

/// `condition` within `limit`; false when it did not come true.
template <class Condition>
bool eventually(const Condition& condition, std::chrono::seconds limit = std::chrono::seconds(30)) {
  const auto end = std::chrono::steady_clock::now() + limit;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

/// Names and contents of all files below a folder, to see that nothing changed.
using Contents = std::map<std::string, std::string>;
inline Contents contents_of(const fs::path& folder) {
  Contents contents;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    const std::string name = entry.path().lexically_relative(folder).string();
    contents[name] = entry.is_regular_file() ? read_file(entry.path()) : "not a file";
  }
  return contents;
}

/// Names of what was added, removed or changed.
inline std::vector<std::string> changes(const Contents& before, const Contents& after) {
  std::vector<std::string> names;
  for (const auto& [name, content] : before) {
    const auto found = after.find(name);
    if (found == after.end()) names.push_back("removed: " + name);
    if (found != after.end() && found->second != content) names.push_back("changed: " + name);
  }
  for (const auto& [name, content] : after) {
    if (!before.contains(name)) names.push_back("added: " + name);
  }
  return names;
}
inline const std::vector<std::string> no_changes;

/// Four members of 4x4 completion, 50 steps: every test of the command starts from this file. Its
/// lines are counted by tests of messages.
inline constexpr std::string_view small_experiment = R"(name = "small"
problem.seed = 7

[model]
kind = "deep_linear"
depth = 2
hidden = 4

[objective]
kind = "completion"
target = { kind = "gaussian", size = 4, norm = 2.0 }
observed = 0.5

[init]
kind = "orthogonal"
end_norm = 0.1

[optimizer]
kind = "gd"
learning_rate = 0.05

[stop]
steps = 50

[probes]
train_loss = { every = 10 }
test_loss = { every = "geometric", per_decade = 3, running = "min" }
layer_norm2 = { every = 10 }
singular_values = { every = 10, count = 3 }

[sweep]
"seed" = { range = [0, 4] }
)";

}  // namespace manyfold::testing
