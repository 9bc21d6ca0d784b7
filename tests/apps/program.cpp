#include "tests/apps/program.hpp"

#include <csignal>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <ostream>
#include <stdexcept>

#include <fcntl.h>
#include <nlohmann/json.hpp>
#include <sys/wait.h>
#include <unistd.h>

namespace manyfold::testing {
namespace {

/// A file without a name: unlike a pipe it never fills up.
std::FILE* open_output() {
  std::FILE* file = std::tmpfile();
  if (file == nullptr) throw std::runtime_error("no temporary file");
  return file;
}

std::string text_of(std::FILE* file) {
  std::string text;
  char piece[4096];
  off_t at = 0;
  for (ssize_t n = 0; (n = ::pread(::fileno(file), piece, sizeof piece, at)) > 0; at += n) {
    text.append(piece, static_cast<std::size_t>(n));
  }
  return text;
}

}  // namespace

std::string read_file(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

fs::path write_file(const fs::path& file, std::string_view text) {
  std::ofstream out(file, std::ios::binary);
  out.write(text.data(), static_cast<std::streamsize>(text.size()));
  out.flush();
  if (!out) throw std::runtime_error("cannot write " + file.string());
  return file;
}

bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

const std::string& program_file() {
  static const std::string file =
      (fs::read_symlink("/proc/self/exe").parent_path() / "manyfold").string();
  return file;
}

nlohmann::json Outcome::json() const { return nlohmann::json::parse(out); }

std::ostream& operator<<(std::ostream& stream, const Outcome& outcome) {
  stream << "exit code " << outcome.exit_code;
  if (outcome.signal != 0) stream << ", signal " << outcome.signal;
  if (outcome.timed_out) stream << ", timed out";
  return stream << "\nstdout: " << outcome.out << "\nstderr: " << outcome.err;
}

Process::Process(const Launch& launch) : out_(open_output()), err_(open_output()) {
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

Process::~Process() {
  if (!status_) {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  ::fclose(out_);
  ::fclose(err_);
}

void Process::send(int signal) const { ::kill(pid_, signal); }

bool Process::running() {
  int status = 0;
  if (!status_ && ::wait4(pid_, &status, WNOHANG, &usage_) == pid_) status_ = status;
  return !status_;
}

Outcome Process::wait(std::chrono::seconds limit) {
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

Outcome run_program(const Launch& launch) { return Process(launch).wait(); }
Outcome run_program(const fs::path& folder, const Arguments& arguments) {
  return run_program(Launch{.arguments = arguments, .folder = folder});
}

Contents contents_of(const fs::path& folder) {
  Contents contents;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    const std::string name = entry.path().lexically_relative(folder).string();
    contents[name] = entry.is_regular_file() ? read_file(entry.path()) : "not a file";
  }
  return contents;
}

std::vector<std::string> changes(const Contents& before, const Contents& after) {
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

}  // namespace manyfold::testing
