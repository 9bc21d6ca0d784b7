// manyfold reference: the documentation of every key and command, from the tables that parse them.
#include "core/config/reference.hpp"

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "apps/manyfold/command.hpp"
#include "core/error.hpp"
#include "models/training/model.hpp"

namespace manyfold::apps {
namespace {

struct ReferenceFlags {
  std::string key;
  bool markdown = false;
};

/// What a command and those below it print on --help, one section each.
void add_commands(std::string& text, const CLI::App& under, const std::string& words) {
  for (const CLI::App* command : under.get_subcommands([](const CLI::App*) { return true; })) {
    const std::string call = words + " " + command->get_name();
    text += fmt::format("\n## `{}`\n\n```\n{}```\n", call, command->help(words));
    add_commands(text, *command, call);
  }
}

std::string commands_markdown(const CLI::App& program) {
  std::string text =
      "# Commands\n\nWhat `manyfold COMMAND --help` prints. Exit codes: 0 done, 1 a comparison "
      "failed, 2 bad input, 3 a device or resource is missing or ran out, 130 interrupted.\n";
  add_commands(text, program, "manyfold");
  return text;
}

int print_reference(const CLI::App& program, const ReferenceFlags& flags) {
  const Spec& spec = experiment_spec();
  if (flags.markdown) {
    if (!flags.key.empty()) throw InputError("--markdown prints the whole page: leave KEY out");
    fmt::print("{}\n{}", reference_markdown(spec), commands_markdown(program));
  } else {
    fmt::print("{}", reference_text(spec, flags.key));
  }
  return exit_done;
}

}  // namespace

Action add_reference(CLI::App& program) {
  const auto flags = std::make_shared<ReferenceFlags>();
  CLI::App& command = *program.add_subcommand(
      "reference", "What the keys of an experiment mean: one key, one table, or all of them.");
  command.add_option("key", flags->key, "a key or table, such as optimizer.momentum or probes");
  command.add_flag("--markdown", flags->markdown,
                   "the whole page, commands included: apps/manyfold/REFERENCE.md");
  return [flags, &program] { return print_reference(program, *flags); };
}

}  // namespace manyfold::apps
