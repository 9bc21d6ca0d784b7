// Runs the program as a user does: a process of its own, with arguments, environment and working
// directory, of which a test sees the exit code, both outputs and the files that are left.
#pragma once

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <iosfwd>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <nlohmann/json_fwd.hpp>
#include <sys/resource.h>
#include <sys/types.h>

#include "tests/scratch_folder.hpp"

namespace manyfold::testing {

namespace fs = std::filesystem;
using Arguments = std::vector<std::string>;
using Scratch = test::ScratchFolder;

std::string read_file(const fs::path& file);
fs::path write_file(const fs::path& file, std::string_view text);

bool contains(std::string_view text, std::string_view part);

/// The program `manyfold` of the build that these tests belong to: it stands beside them.
const std::string& program_file();

/// What a process came to.
struct Outcome {
  int exit_code = -1;  ///< -1 when a signal ended it
  int signal = 0;
  bool timed_out = false;       ///< killed by the test
  std::int64_t peak_bytes = 0;  ///< of memory, resident
  std::string out;
  std::string err;

  /// Of `out`. Who asks for it includes <nlohmann/json.hpp>, which takes a compiler seconds.
  nlohmann::json json() const;
};

/// For messages of failed tests.
std::ostream& operator<<(std::ostream& stream, const Outcome& outcome);

struct Launch {
  Arguments arguments{};
  fs::path folder = fs::current_path();              ///< working directory
  std::map<std::string, std::string> environment{};  ///< added to this process's own
  std::function<bool()> before_exec{};               ///< in the child; false: it exits with 126
  std::string program = program_file();
};

/// A started process; ends with this object at the latest.
class Process {
 public:
  explicit Process(const Launch& launch);
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;
  ~Process();

  pid_t id() const { return pid_; }
  void send(int signal) const;
  bool running();
  Outcome wait(std::chrono::seconds limit = std::chrono::seconds(60));

 private:
  std::FILE* out_;
  std::FILE* err_;
  pid_t pid_ = -1;
  std::optional<int> status_;
  rusage usage_{};
};

Outcome run_program(const Launch& launch);
Outcome run_program(const fs::path& folder, const Arguments& arguments);

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
Contents contents_of(const fs::path& folder);

/// Names of what was added, removed or changed.
std::vector<std::string> changes(const Contents& before, const Contents& after);
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
