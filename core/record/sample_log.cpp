// Appends whole blocks, and reads them back until the first that is damaged.
#include "core/record/sample_log.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <stdexcept>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/error.hpp"
#include "core/record/layout_json.hpp"
#include "core/record/log_blocks.hpp"

namespace manyfold {
namespace {

[[noreturn]] void throw_for_write(const std::filesystem::path& file, int failure) {
  std::string advice;
  if (failure == ENOSPC)
    advice = ": the disk is full; make room, or write elsewhere with --out";
  else if (failure == EDQUOT)
    advice = ": the disk quota is used up; make room, or write elsewhere with --out";
  else if (failure == EFBIG)
    advice = ": the file may not grow further (ulimit -f, or the file system's limit)";
  throw ResourceError(
      fmt::format("{}: cannot be written: {}{}", file.string(), std::strerror(failure), advice));
}

class Payload {
 public:
  /// Room for a block's head is left in front.
  Payload(std::vector<std::byte>& buffer, std::size_t in_front) : buffer_(buffer) {
    buffer_.assign(in_front + sizeof(BlockHead), std::byte{0});
  }

  template <class T>
  void add(std::span<const T> values) {
    const auto bytes = std::as_bytes(values);
    buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
  }
  template <class T>
  void add(const T& value) {
    add(std::span<const T>(&value, 1));
  }
  void add_padded(const std::string& json) {
    add(std::span<const char>(json));
    while (buffer_.size() % 8 != 0) buffer_.push_back(std::byte{' '});
  }

 private:
  std::vector<std::byte>& buffer_;
};

/// Fills in the head of the block that takes the buffer from `at` on.
void seal(std::vector<std::byte>& buffer, std::size_t at, BlockType type) {
  const std::span<const std::byte> payload = std::span(buffer).subspan(at + sizeof(BlockHead));
  BlockHead head{.length = payload.size(), .type = static_cast<std::uint32_t>(type), .crc = 0};
  head.crc = block_crc(head, payload);
  std::memcpy(buffer.data() + at, &head, sizeof head);
}

bool are_consecutive(std::span<const std::int64_t> members) {
  for (std::size_t i = 1; i < members.size(); ++i)
    if (members[i] != members[i - 1] + 1) return false;
  return true;
}

}  // namespace

std::string_view word(MemberStatus status) {
  switch (status) {
    case MemberStatus::pending:
      return "pending";
    case MemberStatus::running:
      return "running";
    case MemberStatus::finished:
      return "finished";
    case MemberStatus::converged:
      return "converged";
    case MemberStatus::diverged:
      return "diverged";
    case MemberStatus::left_domain:
      return "left_domain";
    case MemberStatus::underflow:
      return "underflow";
    case MemberStatus::failed:
      return "failed";
    case MemberStatus::interrupted:
      return "interrupted";
  }
  throw std::invalid_argument("word: no status of a member");
}

struct SampleLog::File {
  File(std::filesystem::path file, int open_descriptor)
      : path(std::move(file)), descriptor(open_descriptor) {}
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  ~File() {
    if (unsynced) fsync(descriptor);
    close(descriptor);
  }

  /// Appends the buffer, whole or not at all.
  void write_buffer() {
    if (broken)
      throw ResourceError(
          fmt::format("{}: an earlier failure left half a block at its end; nothing can follow it",
                      path.string()));
    std::span<const std::byte> rest(buffer);
    while (!rest.empty()) {
      const ssize_t written = write(descriptor, rest.data(), rest.size());
      if (written < 0 && errno == EINTR) continue;
      if (written <= 0) {
        const int failure = written < 0 ? errno : EIO;
        broken = ftruncate(descriptor, static_cast<off_t>(whole_bytes)) != 0;
        throw_for_write(path, failure);
      }
      unsynced = true;
      rest = rest.subspan(static_cast<std::size_t>(written));
    }
    whole_bytes += buffer.size();
  }

  void append(BlockType type) {
    seal(buffer, 0, type);
    write_buffer();
  }

  std::filesystem::path path;
  int descriptor;
  RecordLayout layout;
  std::vector<VariableShape> shapes;
  std::uint64_t whole_bytes = 0;
  bool unsynced = false;
  bool broken = false;
  std::vector<std::byte> buffer;  ///< one block; kept for its capacity
};

SampleLog::SampleLog(std::unique_ptr<File> file) : file_(std::move(file)) {}
SampleLog::SampleLog(SampleLog&&) noexcept = default;
SampleLog& SampleLog::operator=(SampleLog&&) noexcept = default;
SampleLog::~SampleLog() = default;

SampleLog SampleLog::create(const std::filesystem::path& path, const RecordLayout& layout) {
  layout.check();
  const int descriptor =
      open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (descriptor < 0) {
    if (errno == ENOSPC || errno == EDQUOT) throw_for_write(path, errno);
    throw InputError(fmt::format("{}: cannot be created: {}", path.string(), std::strerror(errno)));
  }
  auto file = std::make_unique<File>(path, descriptor);
  // A file system without locks is no reason not to run.
  flock(descriptor, LOCK_EX | LOCK_NB);
  try {
    file->layout = layout;
    file->shapes = manyfold::shapes(layout);
    LogHead head{.magic = {}, .version = log_version, .byte_order = log_byte_order};
    std::memcpy(head.magic, log_magic, sizeof log_magic);
    Payload payload(file->buffer, sizeof head);
    payload.add_padded(layout_to_json(layout));
    std::memcpy(file->buffer.data(), &head, sizeof head);
    seal(file->buffer, sizeof head, BlockType::layout);
    file->write_buffer();
  } catch (...) {
    unlink(path.c_str());
    throw;
  }
  return SampleLog(std::move(file));
}

SampleLog SampleLog::append_to(const std::filesystem::path& path) {
  const int descriptor = open(path.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC | O_NONBLOCK);
  if (descriptor < 0)
    throw InputError(fmt::format("{}: cannot be opened: {}", path.string(), std::strerror(errno)));
  auto file = std::make_unique<File>(path, descriptor);
  if (flock(descriptor, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK)
    throw InputError(fmt::format("{}: another process is writing it", path.string()));
  LogSummary summary = read_log(path, {});
  file->layout = std::move(summary.layout);
  file->shapes = manyfold::shapes(file->layout);
  file->whole_bytes = static_cast<std::uint64_t>(summary.valid_bytes);
  if (!summary.complete && ftruncate(descriptor, summary.valid_bytes) != 0)
    throw ResourceError(fmt::format("{}: its damaged end cannot be cut off: {}", path.string(),
                                    std::strerror(errno)));
  return SampleLog(std::move(file));
}

void SampleLog::append(const SampleBlock& block) {
  const bool no_cells =
      std::find(block.extents.begin(), block.extents.end(), 0) != block.extents.end();
  if (block.values.empty() && (block.members.empty() || no_cells)) return;
  check_samples(block, file_->layout, file_->shapes);
  const bool consecutive = are_consecutive(block.members);
  const SamplesHead head{.variable = block.variable,
                         .rank = static_cast<std::uint16_t>(block.extents.size()),
                         .consecutive = consecutive,
                         .sample = block.sample,
                         .members = static_cast<std::int64_t>(block.members.size())};
  Payload payload(file_->buffer, 0);
  payload.add(head);
  payload.add(block.extents);
  payload.add(consecutive ? block.members.first(1) : block.members);
  payload.add(block.values);
  file_->append(BlockType::samples);
}

void SampleLog::append(const TextBlock& block) {
  check_texts(block, file_->layout);
  if (block.members.empty()) return;
  Payload(file_->buffer, 0).add_padded(texts_to_json(block));
  file_->append(BlockType::texts);
}

void SampleLog::append(std::span<const MemberEnd> ends) {
  check_ends(ends, file_->layout);
  if (ends.empty()) return;
  Payload(file_->buffer, 0).add_padded(ends_to_json(ends));
  file_->append(BlockType::ends);
}

void SampleLog::append(std::span<const std::pair<std::string, Attribute>> attributes) {
  if (attributes.empty()) return;
  RecordLayout only_names;
  only_names.attributes.assign(attributes.begin(), attributes.end());
  only_names.check();
  Payload(file_->buffer, 0).add_padded(attributes_to_json(attributes));
  file_->append(BlockType::attributes);
}

void SampleLog::append_states(std::span<const std::byte> payload) {
  Payload(file_->buffer, 0).add(payload);
  file_->append(BlockType::states);
}

void SampleLog::sync() {
  if (fsync(file_->descriptor) != 0) throw_for_write(file_->path, errno);
  file_->unsynced = false;
}

const RecordLayout& SampleLog::layout() const { return file_->layout; }

LogSummary read_log(const std::filesystem::path& file, const LogVisitor& visitor) {
  LogReader reader(file);
  LogSummary summary;
  std::uint64_t at = reader.first_block();
  summary.blocks = 1;
  while (const auto block = reader.block(at, reader.size())) {
    const auto payload = reader.intact_payload(*block);
    if (!payload) break;
    const std::string_view text(reinterpret_cast<const char*>(payload->data()), payload->size());
    // Everything is read before the visitor is told anything: its own exceptions pass through.
    SampleBlock samples;
    OwnedTexts texts;
    std::vector<MemberEnd> ends;
    Attributes attributes;
    const auto type = static_cast<BlockType>(block->head.type);
    try {
      if (type == BlockType::samples) {
        samples = reader.samples(*payload);
      } else if (type == BlockType::ends) {
        ends = ends_from_json(text);
        check_ends(ends, reader.layout());
      } else if (type == BlockType::attributes) {
        attributes = attributes_from_json(text);
        RecordLayout only_names;
        only_names.attributes = attributes;
        only_names.check();
      } else if (type == BlockType::texts) {
        texts = texts_from_json(text);
        check_texts({texts.variable, texts.members, texts.values}, reader.layout());
      } else if (type == BlockType::layout) {
        break;
      }
    } catch (const std::invalid_argument&) {
      break;
    }
    if (type == BlockType::samples && visitor.on_samples) visitor.on_samples(samples);
    if (type == BlockType::texts && visitor.on_texts)
      visitor.on_texts({texts.variable, texts.members, texts.values});
    if (visitor.on_end)
      for (const MemberEnd& end : ends) visitor.on_end(end);
    if (visitor.on_attribute)
      for (const auto& [name, value] : attributes) visitor.on_attribute(name, value);
    ++summary.blocks;
    at = block->next();
  }
  summary.valid_bytes = static_cast<std::int64_t>(at);
  summary.complete = at == reader.size();
  summary.layout = reader.layout();
  return summary;
}

}  // namespace manyfold
