// Starts the peers' script for the cases at hand and reads the file that it leaves.
#include "apps/bench/peers_run.hpp"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>
#include <system_error>

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <sys/wait.h>
#include <unistd.h>

#include "apps/bench/record_run.hpp"
#include "core/error.hpp"

namespace manyfold::apps {
namespace {

namespace fs = std::filesystem;

constexpr const char* script = "apps/bench/peers/run_peers.py";
constexpr const char* setup = "apps/bench/peers/setup.sh";

/// The repository that holds the script: the first folder that does, from `from` upwards.
fs::path repository_around(fs::path from) {
  std::error_code failed;
  for (;; from = from.parent_path()) {
    if (fs::exists(from / script, failed)) return from;
    if (!from.has_relative_path()) return {};
  }
}

fs::path repository() {
  std::error_code failed;
  fs::path root = repository_around(fs::current_path(failed));
  if (root.empty()) root = repository_around(fs::read_symlink("/proc/self/exe", failed));
  if (root.empty()) {
    throw InputError(fmt::format(
        "--peers: found no {} around this folder or the program; expected to be run in a "
        "repository of manyfold",
        script));
  }
  const fs::path python = root / "build/peers/main/bin/python";
  if (!fs::exists(python, failed)) {
    throw InputError(
        fmt::format("--peers: found no {}; run {} first, which makes the environments "
                    "of the peers",
                    python.string(), (root / setup).string()));
  }
  return root;
}

/// Waits for it; its output goes to standard error. Returns its exit code, -1 when a signal ended
/// it.
int run(const std::vector<std::string>& words) {
  std::vector<char*> argv;
  for (const std::string& word : words) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  std::fflush(nullptr);
  const pid_t child = ::fork();
  if (child < 0) throw ResourceError("--peers: cannot start a process");
  if (child == 0) {
    ::dup2(STDERR_FILENO, STDOUT_FILENO);
    ::execv(argv[0], argv.data());
    ::_exit(127);
  }
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

}  // namespace

void require_peers() { repository(); }

void run_peers(const std::vector<PeerCase>& cases, const Executor& executor,
               const BenchFlags& flags) {
  if (cases.empty()) return;
  const fs::path root = repository();
  std::string keys;
  for (const PeerCase& one : cases) keys += fmt::format("{}{}", keys.empty() ? "" : ",", one.key);
  const bool on_cpu = executor.device().kind == "cpu";
  const TemporaryFolder folder;
  const fs::path results = folder.path() / "peers.json";
  std::vector<std::string> words{
      (root / "build/peers/main/bin/python").string(), (root / script).string(), "--cases", keys,
      "--scale", flags.full ? "full" : "quick", "--device", on_cpu ? "cpu" : "cuda", "--repeats",
      fmt::format("{}", flags.repeats), "--seconds", fmt::format("{}", flags.seconds),
      // As the table of README.md was measured.
      "--case-seconds", "20", "--variant-seconds", "30", "--timeout", "240", "--json",
      results.string()};
  if (on_cpu) {
    words.insert(words.end(), {"--threads", fmt::format("{}", executor.device().compute_units)});
  }
  const int code = run(words);
  // 1: some peer disagreed or failed, and said so; the others' rows stand.
  if (code != 0 && code != 1) {
    throw DeviceError(fmt::format("--peers: {} ended with exit code {}", script, code));
  }
  nlohmann::json document;
  try {
    std::ifstream in(results);
    document = nlohmann::json::parse(in);
    for (const nlohmann::json& found : document.at("rows")) {
      const std::string key = fmt::format("{}.m{}.{}", found.at("name").get<std::string>(),
                                          found.at("members").get<std::int64_t>(),
                                          found.at("precision").get<std::string>());
      for (const PeerCase& one : cases) {
        if (one.key != key) continue;
        const double value = found.at("value").get<double>();
        std::optional<double> peak_rss;
        if (found.contains("peak_rss_bytes")) peak_rss = found.at("peak_rss_bytes").get<double>();
        one.row->peers.push_back({.name = found.at("peer").get<std::string>(),
                                  .version = found.at("version").get<std::string>(),
                                  .value = value,
                                  .ratio = one.row->value / value,
                                  .peak_rss_bytes = peak_rss});
      }
    }
  } catch (const nlohmann::json::exception& error) {
    throw DeviceError(fmt::format("--peers: {} left no rows: {}", script, error.what()));
  }
}

}  // namespace manyfold::apps
