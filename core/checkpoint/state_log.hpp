// DIR/states.log: states of members, to go on with them. A file of blocks with checksums like the
// sample log (core/record/sample_log.hpp), whose layout has no variables; its attribute
// `experiment` says whose numbers the members have. A state is kept under (member, step); the last
// one written counts.
//
// The payload of a block: states one after another, each
//   int64 member, step, number of arrays; then for each array
//   int64 length of its name, int64 length of its bytes, name, bytes, both padded to 8 bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/checkpoint/slot_state.hpp"
#include "core/record/log_blocks.hpp"
#include "core/record/sample_log.hpp"

namespace manyfold {

class StateLog {
 public:
  /// Throws like SampleLog::create.
  static StateLog create(const std::filesystem::path& file, std::int64_t members,
                         const std::string& experiment);
  StateLog(StateLog&&) noexcept = default;
  StateLog& operator=(StateLog&&) noexcept = default;

  /// States are gathered and written a block at a time. Throws ResourceError when the disk is full.
  void append(std::int64_t member, const SlotState& state);
  /// Hands what was gathered to the operating system.
  void flush();
  /// Flushes, and forces it to the disk.
  void sync();

 private:
  explicit StateLog(SampleLog log) : log_(std::move(log)) {}

  SampleLog log_;
  std::vector<std::byte> gathered_;
};

/// States of a log by member and step. What was in the file when it was opened is read.
class StateReader {
 public:
  /// Walks over the log, up to the first block that is damaged. Throws InputError when the file is
  /// no log or its head is damaged.
  explicit StateReader(const std::filesystem::path& file);

  /// The experiment that numbers the members; empty where the log does not say.
  const std::string& experiment() const { return experiment_; }
  bool has(std::int64_t member, std::int64_t step) const {
    return places_.contains({member, step});
  }
  std::optional<SlotState> read(std::int64_t member, std::int64_t step);
  /// Steps at which a member's state was kept, ascending.
  std::vector<std::int64_t> steps(std::int64_t member) const;

 private:
  struct Place {
    LogReader::Block block;
    std::size_t offset = 0;  ///< in its payload
  };

  LogReader reader_;
  std::string experiment_;
  std::map<std::pair<std::int64_t, std::int64_t>, Place> places_;
};

}  // namespace manyfold
