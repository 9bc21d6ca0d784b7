// APPNOTE.TXT of PKWARE, sections 4.3 and 4.4: local headers with the entries, a directory of them,
// and at the end a record that says where the directory begins.
#include "core/data/zip_archive.hpp"

#include <cstring>
#include <fstream>
#include <limits>

#include <fmt/format.h>
#include <zlib.h>

#include "core/error.hpp"

namespace manyfold {
namespace {

constexpr std::uint32_t local_magic = 0x04034b50;
constexpr std::uint32_t directory_magic = 0x02014b50;
constexpr std::uint32_t end_magic = 0x06054b50;
constexpr std::size_t local_size = 30;
constexpr std::size_t directory_size = 46;
constexpr std::size_t end_size = 22;
constexpr std::uint16_t stored = 0;
constexpr std::uint16_t deflated = 8;

template <class T>
T number_at(std::string_view bytes, std::size_t at) {
  T number{};
  std::memcpy(&number, bytes.data() + at, sizeof number);  // little-endian, as this machine
  return number;
}

template <class T>
void put(std::string& bytes, T number) {
  bytes.append(reinterpret_cast<const char*>(&number), sizeof number);
}

std::uint32_t checksum(std::string_view bytes) {
  return static_cast<std::uint32_t>(
      ::crc32_z(0, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size()));
}

class Reader {
 public:
  explicit Reader(const std::filesystem::path& file) : file_(file) {
    std::ifstream in(file, std::ios::binary);
    if (!in) throw InputError(fmt::format("{}: cannot be read", file.string()));
    bytes_.assign(std::istreambuf_iterator<char>(in), {});
  }

  std::vector<ZipEntry> read() const {
    const std::size_t end = find_end();
    const auto count = number_at<std::uint16_t>(bytes_, end + 10);
    std::size_t at = number_at<std::uint32_t>(bytes_, end + 16);
    if (count == 0xffff || at == 0xffffffff) {
      throw InputError(
          fmt::format("{}: found a ZIP64 directory, expected a file below 4 GiB", file_.string()));
    }
    std::vector<ZipEntry> entries;
    for (int i = 0; i < count; ++i) entries.push_back(entry(at));
    return entries;
  }

 private:
  [[noreturn]] void damaged(const std::string& what) const {
    throw InputError(fmt::format("{}: a damaged ZIP file: {}", file_.string(), what));
  }
  void require(std::size_t at, std::size_t size, const char* what) const {
    if (at > bytes_.size() || size > bytes_.size() - at) {
      damaged(
          fmt::format("{} ends at byte {}, and the file has {}", what, at + size, bytes_.size()));
    }
  }

  /// The end record: behind it stands at most a comment of 65535 bytes.
  std::size_t find_end() const {
    constexpr std::size_t longest = end_size + 65535;
    for (std::size_t back = end_size; back <= std::min(longest, bytes_.size()); ++back) {
      const std::size_t at = bytes_.size() - back;
      if (number_at<std::uint32_t>(bytes_, at) == end_magic) return at;
    }
    const bool begins = bytes_.size() >= 4 && number_at<std::uint32_t>(bytes_, 0) == local_magic;
    throw InputError(fmt::format("{}: {}", file_.string(),
                                 begins ? "cut short: a ZIP file without its directory"
                                        : "not a ZIP file: it has no directory at its end"));
  }

  /// The entry whose place in the directory is `at`, which moves on to the next.
  ZipEntry entry(std::size_t& at) const {
    require(at, directory_size, "an entry of the directory");
    if (number_at<std::uint32_t>(bytes_, at) != directory_magic) damaged("its directory");
    const auto flags = number_at<std::uint16_t>(bytes_, at + 8);
    const auto method = number_at<std::uint16_t>(bytes_, at + 10);
    const auto sum = number_at<std::uint32_t>(bytes_, at + 16);
    const auto packed = number_at<std::uint32_t>(bytes_, at + 20);
    const auto size = number_at<std::uint32_t>(bytes_, at + 24);
    const auto name_size = number_at<std::uint16_t>(bytes_, at + 28);
    const std::size_t rest = std::size_t{number_at<std::uint16_t>(bytes_, at + 30)} +
                             number_at<std::uint16_t>(bytes_, at + 32);
    const std::size_t local = number_at<std::uint32_t>(bytes_, at + 42);
    require(at + directory_size, name_size + rest, "the name of an entry");
    ZipEntry made{bytes_.substr(at + directory_size, name_size), {}};
    at += directory_size + name_size + rest;

    if ((flags & 1) != 0) damaged(made.name + " is encrypted");
    require(local, local_size, "the header of an entry");
    if (number_at<std::uint32_t>(bytes_, local) != local_magic) damaged("where entries begin");
    const std::size_t begin = local + local_size + number_at<std::uint16_t>(bytes_, local + 26) +
                              number_at<std::uint16_t>(bytes_, local + 28);
    require(begin, packed, made.name.c_str());
    const std::string_view from = std::string_view(bytes_).substr(begin, packed);
    if (method == stored) {
      made.bytes = from;
    } else if (method == deflated) {
      made.bytes = inflated(from, size, made.name);
    } else {
      damaged(fmt::format("{} is packed by method {}, expected 0 (stored) or 8 (deflated)",
                          made.name, method));
    }
    if (made.bytes.size() != size || checksum(made.bytes) != sum) {
      damaged(made.name + " does not have its checksum");
    }
    return made;
  }

  std::string inflated(std::string_view from, std::size_t size, const std::string& name) const {
    std::string bytes(size, '\0');
    z_stream stream{};
    constexpr int raw = -15;
    if (inflateInit2(&stream, raw) != Z_OK) throw ResourceError("no memory to inflate " + name);
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(from.data()));
    stream.avail_in = static_cast<uInt>(from.size());
    stream.next_out = reinterpret_cast<Bytef*>(bytes.data());
    stream.avail_out = static_cast<uInt>(bytes.size());
    const int status = inflate(&stream, Z_FINISH);
    const bool whole = status == Z_STREAM_END && stream.total_out == size;
    inflateEnd(&stream);
    if (!whole) damaged(name + " cannot be inflated");
    return bytes;
  }

  const std::filesystem::path& file_;
  std::string bytes_;
};

}  // namespace

std::vector<ZipEntry> read_zip(const std::filesystem::path& file) { return Reader(file).read(); }

std::string zip_bytes(const std::filesystem::path& file, const std::vector<ZipEntry>& entries) {
  constexpr std::size_t most = std::numeric_limits<std::uint32_t>::max();
  constexpr std::uint16_t version = 20;
  constexpr std::uint16_t first_day = 33;  // 1980-01-01: dates would make equal files differ
  std::string bytes;
  std::string directory;
  for (const ZipEntry& entry : entries) {
    if (bytes.size() + entry.bytes.size() + entry.name.size() + local_size > most ||
        entries.size() >= 0xffff) {
      throw InputError(fmt::format("{}: cannot be written: more than a .npz file below 4 GiB holds",
                                   file.string()));
    }
    const auto begin = static_cast<std::uint32_t>(bytes.size());
    std::string common;  // to both headers
    put<std::uint16_t>(common, version);
    put<std::uint16_t>(common, 0);  // flags
    put<std::uint16_t>(common, stored);
    put<std::uint16_t>(common, 0);  // time
    put<std::uint16_t>(common, first_day);
    put<std::uint32_t>(common, checksum(entry.bytes));
    put<std::uint32_t>(common, static_cast<std::uint32_t>(entry.bytes.size()));
    put<std::uint32_t>(common, static_cast<std::uint32_t>(entry.bytes.size()));
    put<std::uint16_t>(common, static_cast<std::uint16_t>(entry.name.size()));
    put<std::uint16_t>(common, 0);  // extra fields
    put<std::uint32_t>(bytes, local_magic);
    bytes += common + entry.name + entry.bytes;
    put<std::uint32_t>(directory, directory_magic);
    put<std::uint16_t>(directory, version);
    directory += common;
    put<std::uint16_t>(directory, 0);  // comment
    put<std::uint16_t>(directory, 0);  // disk
    put<std::uint16_t>(directory, 0);  // attributes
    put<std::uint32_t>(directory, 0);
    put<std::uint32_t>(directory, begin);
    directory += entry.name;
  }
  const auto begin = static_cast<std::uint32_t>(bytes.size());
  bytes += directory;
  put<std::uint32_t>(bytes, end_magic);
  put<std::uint32_t>(bytes, 0);  // disks
  put<std::uint16_t>(bytes, static_cast<std::uint16_t>(entries.size()));
  put<std::uint16_t>(bytes, static_cast<std::uint16_t>(entries.size()));
  put<std::uint32_t>(bytes, static_cast<std::uint32_t>(directory.size()));
  put<std::uint32_t>(bytes, begin);
  put<std::uint16_t>(bytes, 0);
  return bytes;
}

}  // namespace manyfold
