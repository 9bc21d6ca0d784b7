// manyfold record: makes record.nc from the log of a run that was killed before it could.
#include <filesystem>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "apps/manyfold/command.hpp"
#include "core/error.hpp"
#include "core/record/record_file.hpp"

namespace manyfold::apps {
namespace {

namespace fs = std::filesystem;

int make_record(const fs::path& folder, bool overwrite) {
  const fs::path log = folder / "samples.log";
  const fs::path record = folder / "record.nc";
  std::error_code ignored;
  if (!fs::exists(log, ignored)) {
    throw InputError(fmt::format("{}: is not there; expected the folder of a run", log.string()));
  }
  if (fs::exists(record, ignored) && !overwrite) {
    throw InputError(fmt::format("{} exists; --overwrite replaces it", record.string()));
  }
  const LogSummary summary = write_record(log, record);
  fmt::print("{} blocks{}\nrecord    {}\n", summary.blocks,
             summary.complete ? "" : ", and a last one that is damaged: left out", record.string());
  return exit_done;
}

}  // namespace

Action add_record(CLI::App& program) {
  const auto folder = std::make_shared<std::string>();
  const auto overwrite = std::make_shared<bool>(false);
  CLI::App& command = *program.add_subcommand(
      "record", "Make record.nc from DIR/samples.log, where a run was killed before it could.");
  command.add_option("folder", *folder, "folder of the run")->required();
  command.add_flag("--overwrite", *overwrite, "replace a record that is there already");
  return [folder, overwrite] { return make_record(*folder, *overwrite); };
}

}  // namespace manyfold::apps
