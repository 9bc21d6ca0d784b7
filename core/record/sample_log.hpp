// The append-only log that a run writes while it runs: DIR/samples.log. One block per call, each
// with its length and a checksum, handed to the operating system by one write(2) before the call
// returns, so a killed run loses at most the block being written. (A machine that loses power may
// lose more: nothing is forced to the disk before `sync`.) `record.nc` is made from the log and
// from nothing else.
//
// The file: a head of 16 bytes (magic "MFLD-LOG", format version and byte-order mark, 32 bits
// each), then blocks:
//
//   bytes 0..7    length of the payload, a multiple of 8
//   bytes 8..11   type
//   bytes 12..15  CRC-32 of the 12 bytes before and of the payload
//   payload
//
// Numbers stand in the byte order of the machine that writes. Types: 1 layout (the first block, and
// only the first), 2 samples, 3 member ends, 4 attributes, 5 texts. Samples are binary (see
// log_blocks.hpp), the rest is JSON padded with blanks, where a double that is not finite is the
// string "nan", "inf" or "-inf". Whole blocks of other types are passed over (64: states, in a file
// of their own).
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/record/layout.hpp"

namespace manyfold {

/// How a member ended. The words stand in the record's `status(member)`.
enum class MemberStatus : std::int32_t {
  pending,    ///< never entered a slot
  running,    ///< never in a finished record
  finished,   ///< all its steps are done
  converged,  ///< a stop condition was met; `end_reason` says which
  diverged,   ///< non-finite, or above stop.divergence
  left_domain,
  underflow,
  failed,  ///< a device error, after one retry
  interrupted,
};
std::string_view word(MemberStatus status);

/// Values of one variable for several members at one sample (or, for cadence -1, once).
/// Shape (member, extents...) of this family, row-major; smaller than the layout's extents is fine.
/// Values of the same (variable, sample, member) may be written again: the last ones count.
struct SampleBlock {
  int variable = 0;         ///< index into RecordLayout::variables
  std::int64_t sample = 0;  ///< index into the cadence's steps; 0 for cadence -1
  std::span<const std::int64_t> members;
  std::span<const std::int64_t> extents;  ///< this block's sizes beyond member
  std::span<const double> values;         ///< members.size() * product(extents)
};

/// Values of one text variable.
struct TextBlock {
  int variable = 0;
  std::span<const std::int64_t> members;
  std::span<const std::string> values;  ///< members.size()
};

/// Written again for a member, the last one counts.
struct MemberEnd {
  std::int64_t member = 0;
  MemberStatus status = MemberStatus::pending;
  std::int64_t end_step = 0;
  std::string end_reason{};  ///< "steps", "train_loss", "grad_norm", "non-finite train loss", ...
};

/// The writing end. For one thread at a time, and one process: the file is locked (flock) while it
/// is open.
class SampleLog {
 public:
  /// Throws InputError when `file` exists or cannot be created, ResourceError when the disk is full
  /// (no file is left then), std::invalid_argument for a layout that fails its `check`.
  static SampleLog create(const std::filesystem::path& file, const RecordLayout& layout);
  /// Reopens a log to go on after its last whole block; what follows that block is cut off. Throws
  /// InputError when `file` is no sample log or another process is writing it.
  static SampleLog append_to(const std::filesystem::path& file);
  SampleLog(SampleLog&&) noexcept;
  SampleLog& operator=(SampleLog&&) noexcept;
  /// Forces the log to the disk as `sync` does, but ignores a failure.
  ~SampleLog();

  /// Each appends one block (none, when there is nothing in it). Throws ResourceError naming the
  /// file when the disk is full: the log then ends after the last whole block, and appending may be
  /// tried again. Throws std::invalid_argument for what does not fit the layout.
  void append(const SampleBlock& block);
  void append(const TextBlock& block);
  void append(std::span<const MemberEnd> ends);
  /// Attributes known only at the end (wall time, member-steps, ...). They replace those of the
  /// same name.
  void append(std::span<const std::pair<std::string, Attribute>> attributes);
  /// A block of states (core/checkpoint), a multiple of 8 bytes long; readers of samples pass it
  /// over.
  void append_states(std::span<const std::byte> payload);

  /// Forces what was appended to the disk (fsync): once, at the end of a run. Throws ResourceError.
  void sync();

  const RecordLayout& layout() const;

 private:
  struct File;
  explicit SampleLog(std::unique_ptr<File> file);
  std::unique_ptr<File> file_;
};

/// Reads a log block by block and stops at the first that is damaged, cut short, or does not fit
/// the layout. Functions left empty are not called; what spans point at lives for the call.
struct LogVisitor {
  std::function<void(const SampleBlock&)> on_samples;
  std::function<void(const TextBlock&)> on_texts;
  std::function<void(const MemberEnd&)> on_end;
  std::function<void(const std::string&, const Attribute&)> on_attribute;
};
struct LogSummary {
  RecordLayout layout;
  std::int64_t blocks = 0;       ///< whole blocks, the layout's included
  std::int64_t valid_bytes = 0;  ///< up to the end of the last whole block
  bool complete = true;          ///< false: bytes follow that are no whole block
};
/// Takes memory for the layout and the largest block. A log may be read while it is written.
/// Throws InputError when the file is no sample log of a known version or its layout is damaged.
LogSummary read_log(const std::filesystem::path& file, const LogVisitor& visitor);

}  // namespace manyfold
