// The bytes of the log's blocks: headers, checksums, bounds-checked decoding.
#include "core/record/log_blocks.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <numeric>
#include <stdexcept>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "core/error.hpp"
#include "core/record/layout_json.hpp"

namespace manyfold {
namespace {

/// Read at once around small blocks: they come from one system call, large ones are passed over
/// without being read.
constexpr std::uint64_t window_bytes = std::uint64_t{1} << 18;

[[noreturn]] void refuse(const char* why) { throw std::invalid_argument(why); }

/// Number of values, or refusal: `sizes` come from a file. Each product stays below `most`.
std::uint64_t values_of(std::int64_t members, std::span<const std::int64_t> sizes,
                        std::uint64_t most) {
  auto product = static_cast<std::uint64_t>(members);
  for (const std::int64_t size : sizes) {
    if (size < 1) refuse("samples: an extent is below 1");
    if (product > most / static_cast<std::uint64_t>(size)) refuse("samples: too few values");
    product *= static_cast<std::uint64_t>(size);
  }
  return product;
}

const VariableLayout& variable_of(int index, const RecordLayout& layout) {
  if (index < 0 || static_cast<std::size_t>(index) >= layout.variables.size())
    refuse("the layout has no such variable");
  return layout.variables[static_cast<std::size_t>(index)];
}

void check_members(std::span<const std::int64_t> members, const RecordLayout& layout) {
  for (const std::int64_t member : members)
    if (member < 0 || member >= layout.members) refuse("the layout has no such member");
}

}  // namespace

std::uint32_t block_crc(const BlockHead& head, std::span<const std::byte> payload) {
  static_assert(offsetof(BlockHead, crc) == 12);
  uLong crc = crc32_z(0, reinterpret_cast<const Bytef*>(&head), offsetof(BlockHead, crc));
  crc = crc32_z(crc, reinterpret_cast<const Bytef*>(payload.data()), payload.size());
  return static_cast<std::uint32_t>(crc);
}

void check_samples(const SampleBlock& block, const RecordLayout& layout,
                   std::span<const VariableShape> shapes) {
  if (variable_of(block.variable, layout).type == StoredType::text)
    refuse("samples: the variable holds texts");
  const VariableShape& shape = shapes[static_cast<std::size_t>(block.variable)];
  if (block.sample < 0 || block.sample >= shape.samples) refuse("samples: no such sample");
  if (block.extents.size() != shape.extents.size()) refuse("samples: wrong number of extents");
  for (std::size_t i = 0; i < block.extents.size(); ++i)
    if (block.extents[i] > shape.extents[i]) refuse("samples: an extent is above the layout's");
  if (block.values.size() != values_of(static_cast<std::int64_t>(block.members.size()),
                                       block.extents, block.values.size()))
    refuse("samples: not as many values as members and extents say");
  check_members(block.members, layout);
  const int group = layout.variables[static_cast<std::size_t>(block.variable)].group;
  if (group < 0) return;
  const auto& own = layout.groups[static_cast<std::size_t>(group)].members;
  for (const std::int64_t member : block.members)
    if (!std::binary_search(own.begin(), own.end(), member))
      refuse("samples: the variable's group has no such member");
}

void check_ends(std::span<const MemberEnd> ends, const RecordLayout& layout) {
  for (const MemberEnd& end : ends) {
    check_members({&end.member, 1}, layout);
    if (end.end_step < 0) refuse("a member's end: a negative step");
  }
}

void check_texts(const TextBlock& block, const RecordLayout& layout) {
  if (variable_of(block.variable, layout).type != StoredType::text)
    refuse("texts: the variable holds numbers");
  if (block.members.size() != block.values.size()) refuse("texts: not one per member");
  check_members(block.members, layout);
}

LogReader::LogReader(const std::filesystem::path& file) : path_(file) {
  // Not blocking: a FIFO of that name must not hang the program.
  descriptor_ = open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (descriptor_ < 0)
    throw InputError(fmt::format("{}: cannot be opened: {}", file.string(), std::strerror(errno)));
  try {
    struct stat status {};
    if (fstat(descriptor_, &status) != 0 || !S_ISREG(status.st_mode))
      throw InputError(fmt::format("{}: is no sample log, but no regular file", file.string()));
    size_ = static_cast<std::uint64_t>(status.st_size);

    LogHead head{};
    if (size_ < sizeof head)
      throw InputError(fmt::format("{}: is no sample log, but too short for one", file.string()));
    std::memcpy(&head, bytes(0, sizeof head).data(), sizeof head);
    if (std::memcmp(head.magic, log_magic, sizeof log_magic) != 0)
      throw InputError(fmt::format("{}: is no sample log", file.string()));
    if (head.byte_order != log_byte_order)
      throw InputError(fmt::format("{}: comes from a machine of another byte order; read it there",
                                   file.string()));
    if (head.version != log_version)
      throw InputError(
          fmt::format("{}: is a sample log of version {}; this program reads version {}",
                      file.string(), head.version, log_version));

    const std::optional<Block> first = block(sizeof head, size_);
    const auto text = first && first->head.type == static_cast<std::uint32_t>(BlockType::layout)
                          ? intact_payload(*first)
                          : std::nullopt;
    if (!text)
      throw InputError(fmt::format(
          "{}: the layout at its begin is damaged: nothing of it can be read", file.string()));
    try {
      layout_ = layout_from_json({reinterpret_cast<const char*>(text->data()), text->size()});
      layout_.check();
    } catch (const std::invalid_argument& problem) {
      throw InputError(fmt::format("{}: the layout at its begin makes no sense: {}", file.string(),
                                   problem.what()));
    }
    first_block_ = first->next();
    shapes_ = manyfold::shapes(layout_);
  } catch (...) {
    close(descriptor_);
    throw;
  }
}

LogReader::~LogReader() { close(descriptor_); }

std::optional<LogReader::Block> LogReader::block(std::uint64_t at, std::uint64_t end) {
  if (at > end || end - at < sizeof(BlockHead)) return std::nullopt;
  Block block{.at = at};
  const auto head = bytes(at, sizeof(BlockHead));
  if (head.size() < sizeof(BlockHead)) return std::nullopt;
  std::memcpy(&block.head, head.data(), sizeof block.head);
  if (block.head.length % 8 != 0 || block.head.length > end - block.payload()) return std::nullopt;
  return block;
}

std::span<const std::byte> LogReader::payload(const Block& block) {
  return bytes(block.payload(), block.head.length);
}

std::optional<std::span<const std::byte>> LogReader::intact_payload(const Block& block) {
  const std::span<const std::byte> found = payload(block);
  if (found.size() != block.head.length || block_crc(block.head, found) != block.head.crc)
    return std::nullopt;
  return found;
}

std::optional<SamplesHead> LogReader::samples_head(const Block& block) {
  if (block.head.length < sizeof(SamplesHead)) return std::nullopt;
  const auto found = bytes(block.payload(), sizeof(SamplesHead));
  if (found.size() < sizeof(SamplesHead)) return std::nullopt;
  SamplesHead head;
  std::memcpy(&head, found.data(), sizeof head);
  return head;
}

SampleBlock LogReader::samples(std::span<const std::byte> payload) {
  static_assert(sizeof(SamplesHead) % 8 == 0 && sizeof(LogHead) % 8 == 0 &&
                sizeof(BlockHead) % 8 == 0);
  SamplesHead head;
  if (payload.size() < sizeof head) refuse("samples: cut short");
  std::memcpy(&head, payload.data(), sizeof head);
  payload = payload.subspan(sizeof head);

  // Blocks are multiples of 8 bytes from the begin of the file on, and so are windows: every number
  // lies aligned.
  const std::span<const std::int64_t> integers{
      reinterpret_cast<const std::int64_t*>(payload.data()), payload.size() / 8};
  if (head.members < 1 || integers.size() <= head.rank) refuse("samples: cut short");
  const auto extents = integers.first(head.rank);
  const auto written = head.consecutive != 0 ? std::int64_t{1} : head.members;
  const std::uint64_t room = integers.size() - head.rank;
  if (static_cast<std::uint64_t>(written) > room) refuse("samples: cut short");
  const std::uint64_t values = room - static_cast<std::uint64_t>(written);
  if (values_of(head.members, extents, values) != values) refuse("samples: wrong length");

  std::span<const std::int64_t> members =
      integers.subspan(head.rank, static_cast<std::size_t>(written));
  if (head.consecutive != 0) {
    // No overflow: there are as many values as members in the file, and the first is in range.
    check_members(members, layout_);
    members_.resize(static_cast<std::size_t>(head.members));
    std::iota(members_.begin(), members_.end(), members.front());
    members = members_;
  }
  const SampleBlock block{
      .variable = head.variable,
      .sample = head.sample,
      .members = members,
      .extents = extents,
      .values = {reinterpret_cast<const double*>(payload.data()) + head.rank + written, values}};
  check_samples(block, layout_, shapes_);
  return block;
}

/// Fewer than asked for when the file was cut since it was opened. Throws ResourceError when the
/// file cannot be read.
std::span<const std::byte> LogReader::bytes(std::uint64_t at, std::uint64_t count) {
  if (at < window_at_ || at + count > window_at_ + window_size_) {
    const std::uint64_t wanted = std::min(std::max(count, window_bytes), size_ - at);
    if (window_.size() < wanted) window_.resize(wanted);
    window_at_ = at;
    window_size_ = 0;
    while (window_size_ < wanted) {
      const ssize_t got = pread(descriptor_, window_.data() + window_size_, wanted - window_size_,
                                static_cast<off_t>(at + window_size_));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0)
        throw ResourceError(
            fmt::format("{}: cannot be read: {}", path_.string(), std::strerror(errno)));
      if (got == 0) break;
      window_size_ += static_cast<std::uint64_t>(got);
    }
  }
  const std::uint64_t have = window_at_ + window_size_ - at;
  return std::span<const std::byte>(window_).subspan(at - window_at_, std::min(count, have));
}

}  // namespace manyfold
