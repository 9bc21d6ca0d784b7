// The command `manyfold`: finds the subcommand, and turns what went wrong into one line on standard
// error and an exit code.
#include <algorithm>
#include <csignal>
#include <cstdio>
#include <exception>
#include <new>
#include <string_view>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "apps/manyfold/command.hpp"
#include "core/error.hpp"
#include "core/version.hpp"

namespace manyfold::apps {
namespace {

int fail(ExitCode code, const char* message) {
  fmt::print(stderr, "manyfold: {}\n", message);
  return code;
}

int run_program(int argc, char** argv) {
  CLI::App program(
      "Trains ensembles of homogeneous networks and records what gradient descent does "
      "to them.",
      "manyfold");
  program.set_version_flag("--version", fmt::format("manyfold {} ({})", version(), commit()));
  program.require_subcommand(1);
  program.failure_message([](const CLI::App*, const CLI::Error& error) {
    return fmt::format("manyfold: {}\nmanyfold --help says more.\n", error.what());
  });
  const std::vector<std::pair<const char*, Action>> actions{{"run", add_run(program)},
                                                            {"info", add_info(program)},
                                                            {"bench", add_bench(program)},
                                                            {"record", add_record(program)},
                                                            {"replay", add_replay(program)},
                                                            {"data", add_data(program)},
                                                            {"gram", add_gram(program)},
                                                            {"reproduce", add_reproduce(program)},
                                                            {"reference", add_reference(program)}};
  if (argc > 1 && argv[1][0] != '-' &&
      std::none_of(actions.begin(), actions.end(),
                   [&](const auto& action) { return action.first == std::string_view(argv[1]); })) {
    std::string names;
    for (const auto& [name, action] : actions)
      names += fmt::format("{}{}", names.empty() ? "" : ", ", name);
    throw InputError(fmt::format("found \"{}\", expected one of {}", argv[1], names));
  }
  try {
    program.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return program.exit(error) == 0 ? exit_done : exit_bad_input;
  }
  for (const auto& [name, action] : actions) {
    if (program.got_subcommand(name)) return action();
  }
  return exit_bad_input;
}

/// What was printed may still be in a buffer, and the disk or pipe behind it full.
int flush_output(int code) {
  if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0) return code;
  return fail(exit_no_resource, "standard output cannot be written");
}

}  // namespace
}  // namespace manyfold::apps

int main(int argc, char** argv) {
  using namespace manyfold;
  std::signal(SIGXFSZ, SIG_IGN);  // a limit on file sizes is an error of a write, with a message
  try {
    return apps::flush_output(apps::run_program(argc, argv));
  } catch (const InputError& error) {
    return apps::fail(apps::exit_bad_input, error.what());
  } catch (const ResourceError& error) {
    return apps::fail(apps::exit_no_resource, error.what());
  } catch (const std::bad_alloc&) {
    return apps::fail(apps::exit_no_resource, "out of memory");
  } catch (const std::exception& error) {
    fmt::print(stderr,
               "manyfold: internal error: {}\nPlease report this with the experiment file.\n",
               error.what());
    return apps::exit_no_resource;
  }
}
