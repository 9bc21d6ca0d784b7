// .npz is a ZIP file of .npy files. .safetensors (its README gives the format) is the length of a
// header, 8 bytes little-endian; the header, a JSON object
//   {"W_1": {"dtype": "F64", "shape": [3, 4], "data_offsets": [0, 96]}, ...}
// whose key __metadata__ is no array; and the numbers, in C order.
#include "core/data/array_archive.hpp"

#include <algorithm>
#include <bit>
#include <cctype>
#include <cstring>
#include <fstream>
#include <sstream>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "core/data/array_formats.hpp"
#include "core/data/zip_archive.hpp"
#include "core/error.hpp"

namespace manyfold {
namespace {

constexpr std::string_view npy_ending = ".npy";

std::string ending_of(const std::filesystem::path& file) {
  std::string ending = file.extension().string();
  for (char& c : ending) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return ending;
}

std::vector<NamedArray> read_npz(const std::filesystem::path& file) {
  std::vector<NamedArray> arrays;
  for (ZipEntry& entry : read_zip(file)) {
    std::string name = entry.name;
    if (name.ends_with(npy_ending)) name.resize(name.size() - npy_ending.size());
    std::istringstream in(entry.bytes);
    arrays.push_back({name, read_npy(in, entry.bytes.size(), file.string() + ": " + name)});
  }
  return arrays;
}

/// Types of .safetensors by the names that .npy has for them.
constexpr std::pair<std::string_view, std::string_view> types[] = {
    {"F64", "f8"}, {"F32", "f4"}, {"F16", "f2"}, {"I64", "i8"}, {"I32", "i4"},
    {"I16", "i2"}, {"I8", "i1"},  {"U8", "u1"},  {"BOOL", "b1"}};

class SafetensorsReader {
 public:
  explicit SafetensorsReader(const std::filesystem::path& file) : file_(file) {
    std::ifstream in(file, std::ios::binary);
    if (!in) throw InputError(fmt::format("{}: cannot be read", file.string()));
    bytes_.assign(std::istreambuf_iterator<char>(in), {});
  }

  std::vector<NamedArray> read() {
    std::uint64_t length = 0;
    if (bytes_.size() >= sizeof length) std::memcpy(&length, bytes_.data(), sizeof length);
    if (bytes_.size() < sizeof length || length > bytes_.size() - sizeof length) {
      throw InputError(fmt::format(
          "{}: not a .safetensors file, or cut short: found {} bytes, expected a header of {}",
          file_.string(), bytes_.size(), length));
    }
    begin_ = sizeof length + length;
    const auto header = nlohmann::ordered_json::parse(
        bytes_.begin() + sizeof length, bytes_.begin() + static_cast<std::ptrdiff_t>(begin_),
        nullptr, false);
    if (!header.is_object()) fail("its header is no JSON object");
    std::vector<NamedArray> arrays;
    for (const auto& [name, about] : header.items()) {
      if (name != "__metadata__") arrays.push_back({name, array(name, about)});
    }
    return arrays;
  }

 private:
  [[noreturn]] void fail(const std::string& what) const {
    throw InputError(fmt::format("{}: {}", file_.string(), what));
  }

  Array array(const std::string& name, const nlohmann::ordered_json& about) const {
    Array made;
    std::string type;
    std::vector<std::uint64_t> place;
    try {
      type = about.at("dtype").get<std::string>();
      made.shape = about.at("shape").get<std::vector<std::int64_t>>();
      place = about.at("data_offsets").get<std::vector<std::uint64_t>>();
    } catch (const nlohmann::json::exception&) {
      fail(fmt::format("{}: its header is damaged, expected dtype, shape and data_offsets", name));
    }
    const std::string label = file_.string() + ": " + name;
    const std::size_t count = checked_count(label, made.shape);
    const std::uint64_t there = bytes_.size() - begin_;
    if (place.size() != 2 || place[0] > place[1] || place[1] > there) {
      fail(
          fmt::format("{}: cut short: its numbers are not within the {} bytes that follow the "
                      "header",
                      name, there));
    }
    const std::string_view numbers =
        std::string_view(bytes_).substr(begin_ + place[0], place[1] - place[0]);
    if (type == "BF16") {
      made.type = "f4";
      require_bytes(label, made, numbers.size(), 2 * count);
      for (std::size_t i = 0; i < count; ++i) {
        std::uint16_t high = 0;
        std::memcpy(&high, numbers.data() + 2 * i, sizeof high);
        made.values.push_back(std::bit_cast<float>(std::uint32_t{high} << 16));
      }
      return made;
    }
    for (const auto& [known, as] : types) {
      if (type != known) continue;
      made.type = as;
      require_bytes(label, made, numbers.size(), count * number_bytes(as));
      made.values.resize(count);
      numbers_to_doubles(as, numbers.data(), count, made.values.data());
      return made;
    }
    fail(
        fmt::format("{}: found numbers of type {}, expected F64, F32, F16, BF16, I8 to I64, U8 or "
                    "BOOL",
                    name, type));
  }
  static void require_bytes(const std::string& label, const Array& array, std::size_t found,
                            std::size_t expected) {
    if (found == expected) return;
    throw InputError(fmt::format("{}: found {} bytes of numbers, expected {} for the shape {}",
                                 label, found, expected, array.shape_text()));
  }

  const std::filesystem::path& file_;
  std::string bytes_;
  std::size_t begin_ = 0;
};

std::string safetensors_bytes(const std::vector<NamedArray>& arrays, bool single) {
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  std::string numbers;
  for (const auto& [name, array] : arrays) {
    const std::size_t begin = numbers.size();
    append_numbers(numbers, array.values, single);
    header[name] = {{"dtype", single ? "F32" : "F64"},
                    {"shape", array.shape},
                    {"data_offsets", {begin, numbers.size()}}};
  }
  std::string text = header.dump();
  text.append((8 - text.size() % 8) % 8, ' ');  // numbers begin at a multiple of 8
  const std::uint64_t length = text.size();
  return std::string(reinterpret_cast<const char*>(&length), sizeof length) + text + numbers;
}

}  // namespace

bool is_archive(const std::filesystem::path& file) {
  const std::string ending = ending_of(file);
  return ending == ".npz" || ending == ".safetensors";
}

std::vector<NamedArray> read_arrays(const std::filesystem::path& file) {
  require_readable(file);
  const std::string ending = ending_of(file);
  if (ending == ".npz") return read_npz(file);
  if (ending == ".safetensors") return SafetensorsReader(file).read();
  throw InputError(fmt::format("{}: found the ending \"{}\", expected .npz or .safetensors",
                               file.string(), ending));
}

void write_arrays(const std::filesystem::path& file, const std::vector<NamedArray>& arrays,
                  bool single) {
  for (const auto& [name, array] : arrays) {
    if (checked_count(file.string() + ": " + name, array.shape) != array.values.size()) {
      throw std::invalid_argument("write_arrays: as many values as the shape says: " + name);
    }
  }
  const std::string ending = ending_of(file);
  if (ending == ".npz") {
    std::vector<ZipEntry> entries;
    for (const auto& [name, array] : arrays) {
      entries.push_back({name + std::string(npy_ending), npy_bytes(array, single)});
    }
    return write_whole(file, zip_bytes(file, entries));
  }
  if (ending == ".safetensors") return write_whole(file, safetensors_bytes(arrays, single));
  throw InputError(fmt::format("{}: found the ending \"{}\", expected .npz or .safetensors",
                               file.string(), ending));
}

}  // namespace manyfold
