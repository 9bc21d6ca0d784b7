// States as bytes, and back with every length checked: a log may come from anywhere.
#include "core/checkpoint/state_log.hpp"

#include <cstring>
#include <span>

namespace manyfold {
namespace {

/// Blocks of about this size: few writes for small states, little lost with a killed run.
constexpr std::size_t block_bytes = std::size_t{1} << 20;

std::size_t padded(std::size_t bytes) { return (bytes + 7) / 8 * 8; }

void add(std::vector<std::byte>& to, const void* from, std::size_t bytes) {
  const auto* begin = static_cast<const std::byte*>(from);
  to.insert(to.end(), begin, begin + bytes);
  to.resize(padded(to.size()), std::byte{0});
}

void add(std::vector<std::byte>& to, std::int64_t number) { add(to, &number, sizeof number); }

/// Reads states off the front of a payload; `good` is false once something did not fit.
class Cursor {
 public:
  explicit Cursor(std::span<const std::byte> payload) : payload_(payload) {}

  bool good() const { return good_; }
  bool at_end() const { return at_ == payload_.size(); }
  std::size_t offset() const { return at_; }

  std::int64_t number() {
    std::int64_t value = 0;
    const auto bytes = take(sizeof value);
    if (good_) std::memcpy(&value, bytes.data(), sizeof value);
    return value;
  }
  std::span<const std::byte> take(std::size_t bytes) {
    if (!good_ || bytes > payload_.size() - at_ || padded(bytes) > payload_.size() - at_) {
      good_ = false;
      return {};
    }
    const auto found = payload_.subspan(at_, bytes);
    at_ += padded(bytes);
    return found;
  }

 private:
  std::span<const std::byte> payload_;
  std::size_t at_ = 0;
  bool good_ = true;
};

struct Entry {
  std::int64_t member = 0;
  SlotState state;
};

/// nullopt when the bytes are none. `with_bytes` false: only member and step.
std::optional<Entry> read_entry(Cursor& cursor, bool with_bytes) {
  Entry entry;
  entry.member = cursor.number();
  entry.state.step = cursor.number();
  const std::int64_t arrays = cursor.number();
  for (std::int64_t i = 0; i < arrays && cursor.good(); ++i) {
    const std::int64_t name_bytes = cursor.number();
    const std::int64_t bytes = cursor.number();
    if (name_bytes < 0 || bytes < 0) return std::nullopt;
    const auto name = cursor.take(static_cast<std::size_t>(name_bytes));
    const auto content = cursor.take(static_cast<std::size_t>(bytes));
    if (!with_bytes) continue;
    entry.state.arrays.push_back(
        {std::string(reinterpret_cast<const char*>(name.data()), name.size()),
         std::vector<std::byte>(content.begin(), content.end())});
  }
  if (!cursor.good() || arrays < 0) return std::nullopt;
  return entry;
}

}  // namespace

StateLog StateLog::create(const std::filesystem::path& file, std::int64_t members,
                          const std::string& experiment) {
  RecordLayout layout;
  layout.members = members;
  layout.attributes = {{"experiment", experiment}};
  return StateLog(SampleLog::create(file, layout));
}

void StateLog::append(std::int64_t member, const SlotState& state) {
  add(gathered_, member);
  add(gathered_, state.step);
  add(gathered_, static_cast<std::int64_t>(state.arrays.size()));
  for (const SlotState::Array& array : state.arrays) {
    add(gathered_, static_cast<std::int64_t>(array.name.size()));
    add(gathered_, static_cast<std::int64_t>(array.bytes.size()));
    add(gathered_, array.name.data(), array.name.size());
    add(gathered_, array.bytes.data(), array.bytes.size());
  }
  if (gathered_.size() >= block_bytes) flush();
}

void StateLog::flush() {
  if (gathered_.empty()) return;
  log_.append_states(gathered_);
  gathered_.clear();
}

void StateLog::sync() {
  flush();
  log_.sync();
}

StateReader::StateReader(const std::filesystem::path& file) : reader_(file) {
  for (const auto& [name, value] : reader_.layout().attributes) {
    const auto* text = std::get_if<std::string>(&value);
    if (name == "experiment" && text != nullptr) experiment_ = *text;
  }
  std::uint64_t at = reader_.first_block();
  while (const auto block = reader_.block(at, reader_.size())) {
    const auto payload = reader_.intact_payload(*block);
    if (!payload) break;
    at = block->next();
    if (static_cast<BlockType>(block->head.type) != BlockType::states) continue;
    Cursor cursor(*payload);
    while (!cursor.at_end()) {
      const std::size_t offset = cursor.offset();
      const auto entry = read_entry(cursor, false);
      if (!entry) break;
      places_[{entry->member, entry->state.step}] = {*block, offset};
    }
  }
}

std::optional<SlotState> StateReader::read(std::int64_t member, std::int64_t step) {
  const auto found = places_.find({member, step});
  if (found == places_.end()) return std::nullopt;
  Cursor cursor(reader_.payload(found->second.block).subspan(found->second.offset));
  auto entry = read_entry(cursor, true);
  if (!entry) return std::nullopt;
  return std::move(entry->state);
}

std::vector<std::int64_t> StateReader::steps(std::int64_t member) const {
  std::vector<std::int64_t> all;
  for (auto it = places_.lower_bound({member, 0}); it != places_.end(); ++it) {
    if (it->first.first != member) break;
    all.push_back(it->first.second);
  }
  return all;
}

}  // namespace manyfold
