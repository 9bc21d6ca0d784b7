// The sample log as bytes: block heads, the payload of samples, and a reader that walks over blocks
// without holding more than one of them. For the files of this folder and of core/checkpoint.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <vector>

#include "core/record/sample_log.hpp"
#include "core/record/shape.hpp"

namespace manyfold {

struct LogHead {
  char magic[8];
  std::uint32_t version;
  std::uint32_t byte_order;
};
constexpr char log_magic[8] = {'M', 'F', 'L', 'D', '-', 'L', 'O', 'G'};
constexpr std::uint32_t log_version = 1;
constexpr std::uint32_t log_byte_order = 0x01020304;

enum class BlockType : std::uint32_t { layout = 1, samples, ends, attributes, texts, states = 64 };

struct BlockHead {
  std::uint64_t length;  ///< of the payload
  std::uint32_t type;
  std::uint32_t crc;
};
std::uint32_t block_crc(const BlockHead& head, std::span<const std::byte> payload);

/// The payload of samples begins with this; then follow `rank` extents, the members (the first one
/// only when they are consecutive), and the values.
struct SamplesHead {
  std::int32_t variable;
  std::uint16_t rank;
  std::uint16_t consecutive;
  std::int64_t sample;
  std::int64_t members;
};

/// Throws std::invalid_argument unless the block fits the layout: variable, sample and members in
/// range, extents not above the record's, as many values as their product says.
void check_samples(const SampleBlock& block, const RecordLayout& layout,
                   std::span<const VariableShape> shapes);
void check_ends(std::span<const MemberEnd> ends, const RecordLayout& layout);
void check_texts(const TextBlock& block, const RecordLayout& layout);

/// A log open for reading. What was in the file when it was opened is read, later additions are
/// not.
class LogReader {
 public:
  /// Reads head and layout. Throws InputError when they are damaged or none.
  explicit LogReader(const std::filesystem::path& file);
  LogReader(const LogReader&) = delete;
  LogReader& operator=(const LogReader&) = delete;
  ~LogReader();

  const RecordLayout& layout() const { return layout_; }
  std::span<const VariableShape> shapes() const { return shapes_; }
  std::uint64_t size() const { return size_; }
  std::uint64_t first_block() const { return first_block_; }  ///< the one after the layout's

  struct Block {
    std::uint64_t at = 0;  ///< offset of its head
    BlockHead head{};
    std::uint64_t payload() const { return at + sizeof(BlockHead); }
    std::uint64_t next() const { return payload() + head.length; }
  };
  /// The block whose head stands at an offset, if its bytes lie in the file before `end`. The
  /// payload is neither read nor checked.
  std::optional<Block> block(std::uint64_t at, std::uint64_t end);

  /// Each span lives until the next call of any function that reads.
  std::span<const std::byte> payload(const Block& block);
  /// The payload when its checksum is right.
  std::optional<std::span<const std::byte>> intact_payload(const Block& block);
  /// Variable and sample of a samples block, without reading the rest of it.
  std::optional<SamplesHead> samples_head(const Block& block);
  /// Throws std::invalid_argument when the payload is no samples block of this layout.
  SampleBlock samples(std::span<const std::byte> payload);

 private:
  std::span<const std::byte> bytes(std::uint64_t at, std::uint64_t count);

  std::filesystem::path path_;
  int descriptor_ = -1;
  std::uint64_t size_ = 0;
  std::uint64_t first_block_ = 0;
  RecordLayout layout_;
  std::vector<VariableShape> shapes_;
  std::vector<std::byte> window_;  ///< bytes of the file from window_at_ on
  std::uint64_t window_at_ = 0;
  std::uint64_t window_size_ = 0;
  std::vector<std::int64_t> members_;  ///< written out, where the block has only the first
};

}  // namespace manyfold
