// The rooms keep their order: a file includes only from its own room and from rooms below it (apps
// > models > kernels > core). Every file opens with a comment that says what it is, and none names
// a path of the machine that it was written on.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace manyfold {
namespace {

namespace fs = std::filesystem;

/// From the lowest.
const std::vector<std::string> rooms{"core", "kernels", "models", "apps"};

/// The place of a room, -1 for what is none.
int level_of(const std::string& room) {
  const auto found = std::find(rooms.begin(), rooms.end(), room);
  return found == rooms.end() ? -1 : static_cast<int>(found - rooms.begin());
}

/// What no room holds: written by the build; the stand-in for a GPU that the tests compile with.
const std::set<std::string> from_outside{"version.inc", "emulation/control.hpp"};

/// First folders of the paths that a program may name on any machine.
const std::set<std::string> common_folders{"bin",  "dev", "etc", "lib", "lib64",
                                           "proc", "sys", "tmp", "usr", "var"};

/// What is wrong with a file of `room`, one line each.
std::vector<std::string> faults_of(const std::string& room, const std::string& text) {
  std::vector<std::string> faults;
  if (!text.starts_with("// ")) faults.emplace_back("1: does not open with a comment");
  static const std::regex include("^\\s*#\\s*include\\s*\"([^\"]+)\"");
  static const std::regex absolute("(^|[\"'`\\s(=<>,:])/([A-Za-z0-9_.-]+)/[A-Za-z0-9_.-]");
  std::istringstream in(text);
  int number = 0;
  for (std::string line; std::getline(in, line);) {
    ++number;
    std::smatch match;
    if (std::regex_search(line, match, include)) {
      const std::string path = match[1];
      const std::string first = path.substr(0, path.find('/'));
      if (path.find("..") != std::string::npos) {
        faults.push_back(std::to_string(number) + ": includes by a relative path: " + path);
      } else if (from_outside.contains(path)) {
        continue;
      } else if (path.find('/') == std::string::npos) {
        faults.push_back(std::to_string(number) + ": includes without its room: " + path);
      } else if (level_of(first) < 0) {
        faults.push_back(std::to_string(number) + ": includes from no room: " + path);
      } else if (level_of(first) > level_of(room)) {
        faults.push_back(std::to_string(number) + ": includes from a room above: " + path);
      }
    }
    for (std::sregex_iterator at(line.begin(), line.end(), absolute), end; at != end; ++at) {
      if (!common_folders.contains((*at)[2])) {
        faults.push_back(std::to_string(number) + ": names a path of a machine: " + line);
      }
    }
  }
  return faults;
}

std::string read_text(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

TEST(Rooms, EveryFileKeepsTheOrder) {
  static const std::set<std::string> sources{".cpp", ".hpp", ".cu", ".cuh"};
  std::map<std::string, int> files;
  for (const std::string& room : rooms) {
    for (const auto& entry :
         fs::recursive_directory_iterator(fs::path(MANYFOLD_SOURCE_DIR) / room)) {
      if (!sources.contains(entry.path().extension().string())) continue;
      ++files[room];
      const fs::path name = entry.path().lexically_relative(MANYFOLD_SOURCE_DIR);
      for (const std::string& fault : faults_of(room, read_text(entry.path()))) {
        ADD_FAILURE() << name.string() << ":" << fault;
      }
    }
  }
  EXPECT_GE(files["core"], 30);
  EXPECT_GE(files["kernels"], 20);
  EXPECT_GE(files["models"], 15);
  EXPECT_GE(files["apps"], 5);
}

TEST(Rooms, CheckerAcceptsWhatIsAllowed) {
  const std::string good =
      "// Reads /proc/meminfo, and /usr/bin/python3 runs scripts; n / 2 / 3; http://a.org/b/c.\n"
      "#include \"models/training/plan.hpp\"\n"
      "#include \"kernels/gemm.hpp\"\n"
      "#include \"core/error.hpp\"\n"
      "#include \"version.inc\"\n"
      "#include <fmt/format.h>\n"
      "// and/or/nor\n";
  EXPECT_EQ(faults_of("models", good), std::vector<std::string>{});
}

TEST(Rooms, CheckerFindsEachPlantedFault) {
  const std::string opening = "// A file.\n";
  const auto faults = [&](const std::string& room, const std::string& line) {
    return faults_of(room, opening + line + "\n").size();
  };
  EXPECT_EQ(faults_of("core", "#include <vector>\n").size(), 1U);
  EXPECT_EQ(faults_of("core", "").size(), 1U);
  EXPECT_EQ(faults("core", "#include \"kernels/gemm.hpp\""), 1U);
  EXPECT_EQ(faults("core", "  #  include \"apps/bench/bench.hpp\""), 1U);
  EXPECT_EQ(faults("kernels", "#include \"models/training/plan.hpp\""), 1U);
  EXPECT_EQ(faults("models", "#include \"apps/bench/bench.hpp\""), 1U);
  EXPECT_EQ(faults("apps", "#include \"tests/apps/program.hpp\""), 1U);
  EXPECT_EQ(faults("apps", "#include \"../core/error.hpp\""), 1U);
  EXPECT_EQ(faults("core", "#include \"error.hpp\""), 1U);
  for (const char* folder : {"home", "root", "Users", "mnt"}) {
    const std::string path = "/" + std::string(folder) + "/somebody/data";
    EXPECT_EQ(faults("apps", "const char* data = \"" + path + "\";"), 1U) << path;
    EXPECT_EQ(faults("apps", "// see " + path), 1U) << path;
  }
}

}  // namespace
}  // namespace manyfold
