// What the subcommands share: exit codes, device flags, and the list that main.cpp registers.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "kernels/backends.hpp"

// Its header takes a compiler seconds: only what adds flags includes it.
namespace CLI {
class App;
}

namespace manyfold::apps {

enum ExitCode : int {
  exit_done = 0,  ///< also when members diverged: those are results
  exit_claim_failed = 1,
  exit_bad_input = 2,
  exit_no_resource = 3,  ///< a device or resource is missing or ran out
  exit_interrupted = 130,
};

/// --device, --threads, --memory and --path.
struct DeviceFlags {
  std::string path = "auto";  ///< of models/training/plan.hpp
  std::string device = "auto";
  int threads = 0;
  std::string memory;

  void add_to(CLI::App& command);
  /// Throws InputError for a size that is none.
  kernels::DeviceRequest request() const;
};

/// --out, a folder.
void add_out(CLI::App& command, std::string& folder, const std::string& doc);

/// A subcommand: registers its flags and returns what to do when it was asked for.
using Action = std::function<int()>;
Action add_run(CLI::App& program);
Action add_info(CLI::App& program);
Action add_bench(CLI::App& program);
Action add_record(CLI::App& program);
Action add_replay(CLI::App& program);
Action add_data(CLI::App& program);
Action add_gram(CLI::App& program);
Action add_reproduce(CLI::App& program);
Action add_reference(CLI::App& program);

/// "1.5 GiB".
std::string human_bytes(double bytes);
/// "2 h 3 min".
std::string human_seconds(double seconds);

}  // namespace manyfold::apps
