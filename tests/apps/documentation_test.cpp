// What README.md shows works: its experiments are valid, its commands run, its flags are the
// program's, and none of the program's is missing.
#include <algorithm>
#include <chrono>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/apps/program.hpp"

namespace manyfold::testing {
namespace {

const fs::path source = MANYFOLD_SOURCE_DIR;

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

struct Fence {
  std::string language;
  std::size_t line = 0;  ///< of its first line in the page
  std::string text;
};

std::vector<Fence> fences_of(const std::string& page) {
  std::vector<Fence> fences;
  bool inside = false;
  std::size_t number = 0;
  for (const std::string& line : lines_of(page)) {
    ++number;
    if (line.starts_with("```")) {
      if (!inside) fences.push_back({line.substr(3), number + 1, ""});
      inside = !inside;
    } else if (inside) {
      fences.back().text += line + "\n";
    }
  }
  return fences;
}

/// What stands after `$ `, a line that ends in `\` joined with the next.
std::vector<std::string> commands_of(const Fence& fence) {
  std::vector<std::string> commands;
  bool goes_on = false;
  for (std::string line : lines_of(fence.text)) {
    const bool is_command = line.starts_with("$ ");
    if (!is_command && !goes_on) continue;
    const bool was_open = goes_on;
    goes_on = line.ends_with("\\");
    if (goes_on) line.pop_back();
    if (was_open) {
      commands.back() += line;
    } else {
      commands.push_back(line.substr(2));
    }
  }
  return commands;
}

void add_flags(const std::string& text, std::set<std::string>& flags) {
  static const std::regex flag("(^|[\\s,|/\\[`])(--[a-z][a-z-]*)");
  for (std::sregex_iterator at(text.begin(), text.end(), flag), end; at != end; ++at) {
    flags.insert((*at)[2]);
  }
}

const std::string program_path = "build/bin/manyfold";

/// Flags that a page gives to the program: in commands that call it, and in inline code that begins
/// with a flag or with the program's name.
std::set<std::string> flags_of(const std::string& page) {
  std::set<std::string> flags;
  std::string prose;
  bool inside = false;
  for (const std::string& line : lines_of(page)) {
    if (line.starts_with("```")) {
      inside = !inside;
    } else if (!inside) {
      prose += line + "\n";
    }
  }
  for (const Fence& fence : fences_of(page)) {
    for (const std::string& command : commands_of(fence)) {
      if (command.starts_with(program_path + " ")) add_flags(command, flags);
    }
  }
  static const std::regex code("`([^`]+)`");
  for (std::sregex_iterator at(prose.begin(), prose.end(), code), end; at != end; ++at) {
    const std::string text = (*at)[1];
    if (text.starts_with("--") || text.starts_with("manyfold ") || text.starts_with(program_path)) {
      add_flags(text, flags);
    }
  }
  return flags;
}

/// Every command and subcommand, as the words that call it: what stands below "Subcommands:" in
/// what
/// --help prints.
std::vector<Arguments> commands_of_the_program(const Arguments& under = {}) {
  Arguments help = under;
  help.emplace_back("--help");
  std::vector<Arguments> commands;
  bool listed = false;
  for (const std::string& line : lines_of(run_program(Launch{.arguments = help}).out)) {
    if (listed && line.starts_with("  ") && line.size() > 2 && line[2] != ' ') {
      Arguments command = under;
      command.push_back(line.substr(2, line.find(' ', 2) - 2));
      commands.push_back(command);
      const auto below = commands_of_the_program(command);
      commands.insert(commands.end(), below.begin(), below.end());
    }
    listed = listed || line.starts_with("Subcommands:");
  }
  return commands;
}

std::string joined(const Arguments& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : " ") + word;
  return text;
}

std::set<std::string> flags_of_the_program() {
  std::set<std::string> flags;
  std::vector<Arguments> calls = commands_of_the_program();
  calls.emplace_back();
  for (Arguments& arguments : calls) {
    arguments.emplace_back("--help");
    for (const std::string& line : lines_of(run_program(Launch{.arguments = arguments}).out)) {
      if (line.starts_with("  -")) add_flags(line.substr(0, 28), flags);
    }
  }
  return flags;
}

/// Every page named README.md at the top and in the folders there.
std::vector<fs::path> pages() {
  std::vector<fs::path> found;
  if (fs::exists(source / "README.md")) found.push_back(source / "README.md");
  for (const auto& entry : fs::directory_iterator(source)) {
    if (entry.is_directory() && fs::exists(entry.path() / "README.md")) {
      found.push_back(entry.path() / "README.md");
    }
  }
  return found;
}

class DocumentationTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!fs::exists(source / "README.md")) GTEST_SKIP() << "SKIPPED: there is no README.md";
  }
};

TEST_F(DocumentationTest, ExperimentsAreValid) {
  const Scratch scratch;
  int experiments = 0;
  for (const fs::path& page : pages()) {
    for (const Fence& fence : fences_of(read_file(page))) {
      if (fence.language != "toml") continue;
      ++experiments;
      write_file(scratch / "shown.toml", fence.text);
      const Outcome outcome =
          run_program(scratch.path(), {"info", "shown.toml", "--device", "cpu"});
      EXPECT_EQ(outcome.exit_code, 0) << page.filename() << ":" << fence.line << ": " << outcome;
    }
  }
  EXPECT_GE(experiments, 1) << "no experiment is shown";
}

TEST_F(DocumentationTest, ExperimentFilesAreValid) {
  int experiments = 0;
  for (const char* folder : {"apps/experiments", "apps/gpu_check/experiments"}) {
    for (const auto& entry : fs::directory_iterator(source / folder)) {
      if (entry.path().extension() != ".toml") continue;
      if (contains(read_file(entry.path()), "\"fashion_mnist\"") &&
          !fs::exists("/usr/share/datasets/fashion-mnist")) {
        continue;  // the Debian package is not there
      }
      ++experiments;
      // A step of the largest nets takes long where every access is checked.
      const Outcome outcome =
          Process(
              {.arguments = {"info", entry.path().string(), "--device", "cpu"}, .folder = source})
              .wait(std::chrono::seconds(300));
      EXPECT_EQ(outcome.exit_code, 0) << outcome;
    }
  }
  EXPECT_GE(experiments, 2);
}

TEST_F(DocumentationTest, CommandsRun) {
  const Scratch scratch;
  fs::create_directories(scratch / "build/bin");
  fs::create_symlink(program_file(), scratch / program_path);
  fs::create_symlink(source / "apps", scratch / "apps");
  int commands = 0;
  for (const Fence& fence : fences_of(read_file(source / "README.md"))) {
    if (fence.language != "console") continue;
    for (const std::string& command : commands_of(fence)) {
      if (!command.starts_with(program_path + " ")) continue;
      ++commands;
      const bool is_long = contains(command, "# long");
      const std::string line = is_long ? command.substr(0, command.find('#')) + " --help" : command;
      Process process(
          Launch{.arguments = {"-c", line}, .folder = scratch.path(), .program = "/bin/sh"});
      const Outcome outcome = process.wait(std::chrono::seconds(180));
      EXPECT_EQ(outcome.exit_code, 0) << line << ": " << outcome;
    }
  }
  EXPECT_GE(commands, 1) << "no command is shown";
}

TEST_F(DocumentationTest, EveryFlagIsDocumentedAndEveryDocumentedFlagExists) {
  const std::set<std::string> known = flags_of_the_program();
  ASSERT_TRUE(known.contains("--overwrite") && known.contains("--repeats")) << "help was not read";
  std::set<std::string> documented;
  for (const fs::path& page : pages()) {
    const auto flags = flags_of(read_file(page));
    documented.insert(flags.begin(), flags.end());
  }
  for (const std::string& flag : known) {
    EXPECT_TRUE(documented.contains(flag)) << flag << " is not in README.md";
  }
  for (const std::string& flag : documented) {
    EXPECT_TRUE(known.contains(flag)) << flag << " is in README.md and unknown to the program";
  }
}

/// The page of keys and commands is what the program prints: the code that parses a key documents
/// it. Another page: `build/bin/manyfold reference --markdown > apps/manyfold/REFERENCE.md`.
TEST_F(DocumentationTest, ReferencePageIsWhatTheProgramSays) {
  const Outcome outcome =
      run_program(Launch{.arguments = {"reference", "--markdown"}, .folder = source});
  ASSERT_EQ(outcome.exit_code, 0) << outcome;
  const fs::path page = source / "apps/manyfold/REFERENCE.md";
  ASSERT_TRUE(fs::exists(page));
  EXPECT_TRUE(read_file(page) == outcome.out)
      << page << " is out of date: build/bin/manyfold reference --markdown > "
      << "apps/manyfold/REFERENCE.md";
  for (const Arguments& words : commands_of_the_program()) {
    const std::string command = joined(words);
    EXPECT_TRUE(contains(outcome.out, "## `manyfold " + command + "`")) << command;
    if (command == "data") continue;  // only its subcommands do something
    EXPECT_TRUE(contains(read_file(source / "README.md"), "`manyfold " + command))
        << command << " is not in README.md";
  }
  EXPECT_TRUE(contains(read_file(source / "README.md"), "apps/manyfold/REFERENCE.md"));
}

TEST(Reference, OneKeyATableOrAMistake) {
  const Outcome key = run_program(Launch{.arguments = {"reference", "optimizer.learning_rate"}});
  EXPECT_EQ(key.exit_code, 0);
  EXPECT_TRUE(contains(key.out, "optimizer.learning_rate\n    Step size eta.")) << key;
  const Outcome table = run_program(Launch{.arguments = {"reference", "stop"}});
  EXPECT_EQ(table.exit_code, 0);
  EXPECT_TRUE(contains(table.out, "stop.steps") && contains(table.out, "stop.train_loss"));
  EXPECT_FALSE(contains(table.out, "optimizer.kind"));
  const Outcome typo = run_program(Launch{.arguments = {"reference", "optimizer.learnin_rate"}});
  EXPECT_EQ(typo.exit_code, 2);
  EXPECT_TRUE(contains(typo.err, "did you mean optimizer.learning_rate?")) << typo;
}

/// The readers above see what is planted.
TEST(DocumentationReader, FindsFencesCommandsAndFlags) {
  const std::string page =
      "Use `--out DIR`, `manyfold bench --json`, `cmake --build` or `x`.\n"
      "```toml\na = 1\n```\n"
      "```console\n$ build/bin/manyfold run a.toml --quiet \\\n    --threads 2\nout --put\n"
      "$ cmake --preset release\n```\n";
  const auto fences = fences_of(page);
  ASSERT_EQ(fences.size(), 2U);
  EXPECT_EQ(fences[0].language, "toml");
  EXPECT_EQ(fences[0].line, 3U);
  EXPECT_EQ(fences[0].text, "a = 1\n");
  const auto commands = commands_of(fences[1]);
  ASSERT_EQ(commands.size(), 2U);
  EXPECT_EQ(commands[0], "build/bin/manyfold run a.toml --quiet     --threads 2");
  EXPECT_EQ(flags_of(page), (std::set<std::string>{"--out", "--json", "--quiet", "--threads"}));
}

}  // namespace
}  // namespace manyfold::testing
